// SPDX-License-Identifier: GPL-2.0

//! The checksums of the format: crc32c for `metadata_csum`, crc16 for the older `uninit_bg`.
//!
//! ext4 uses the bare crc32c: the value is started with all ones or with another structure's
//! value, and is not inverted at the end (`Documentation/filesystems/ext4/checksums.rst`). The
//! function that computes it is handed in, so that the module uses the processor's instruction
//! through the kernel while tests on the host use [`crc32c_table`].
//!
//! Nearly every checksum starts from one of two values, and to take the wrong one looks like
//! corruption. They have types of their own: [`FsSeed`] and [`InodeSeed`].

use super::units::InodeNumber;

/// A function that carries a crc32c on over some more bytes: `(value so far, bytes) -> value`.
///
/// No inversion at either end. The kernel's `crc32c()` is one, [`crc32c_table`] another.
pub type Crc32cFn = fn(u32, &[u8]) -> u32;

/// A crc32c on its way: the value so far, and how to go on.
#[derive(Clone, Copy, Debug)]
pub struct Crc32c {
    value: u32,
    update: Crc32cFn,
}

impl Crc32c {
    /// Starts with all ones, as the super block's checksum does.
    pub fn new(update: Crc32cFn) -> Self {
        Self::resume(update, !0)
    }

    /// Starts with a `value` computed before.
    pub fn resume(update: Crc32cFn, value: u32) -> Self {
        Self { value, update }
    }

    /// Goes on over `bytes`.
    #[must_use]
    pub fn with(self, bytes: &[u8]) -> Self {
        Self {
            value: (self.update)(self.value, bytes),
            update: self.update,
        }
    }

    /// Goes on over the four bytes of `number` as they are stored on disk.
    #[must_use]
    pub fn with_u32(self, number: u32) -> Self {
        self.with(&number.to_le_bytes())
    }

    /// Goes on over `count` zero bytes, in much less time than over others if there are many.
    ///
    /// A checksum that lies within what it covers is taken for zero in many structures.
    #[must_use]
    pub fn with_zeros(self, count: usize) -> Self {
        const ZEROS: [u8; 64] = [0; 64];
        if let Some(few) = ZEROS.get(..count) {
            return self.with(few);
        }
        Self {
            value: multiply(self.value, power_of_x8(count)),
            update: self.update,
        }
    }

    /// What the checksum becomes if what was covered changes by exclusive or with these bytes, of which
    /// there are as many as were covered: `count` zeros at the end are left out, and those at the
    /// beginning make no difference.
    #[must_use]
    pub fn changed_by(self, bytes: impl FnOnce(Self) -> Self, count: usize) -> Self {
        let change = bytes(Self::resume(self.update, 0)).with_zeros(count);
        Self {
            value: self.value ^ change.value,
            update: self.update,
        }
    }

    /// The value so far.
    pub fn value(self) -> u32 {
        self.value
    }

    /// The function that it is computed with.
    pub fn update(self) -> Crc32cFn {
        self.update
    }
}

/// What the checksums of a file system's own structures start from: the crc32c of its UUID.
///
/// With the feature `metadata_csum_seed` it is kept in `s_checksum_seed` instead, so that the
/// UUID can be changed without a rewrite of every checksum.
#[derive(Clone, Copy, Debug)]
pub struct FsSeed(Crc32c);

impl FsSeed {
    /// The seed that follows from a UUID.
    pub fn of_uuid(update: Crc32cFn, uuid: &[u8; 16]) -> Self {
        Self(Crc32c::new(update).with(uuid))
    }

    /// The seed that was stored in the super block.
    pub fn stored(update: Crc32cFn, seed: u32) -> Self {
        Self(Crc32c::resume(update, seed))
    }

    /// Starts a checksum.
    pub fn start(self) -> Crc32c {
        self.0
    }

    /// The seed itself.
    pub fn value(self) -> u32 {
        self.0.value()
    }

    /// The seed of everything that belongs to one inode.
    pub fn inode(self, inode: InodeNumber, generation: u32) -> InodeSeed {
        InodeSeed(self.0.with_u32(inode.0).with_u32(generation))
    }
}

/// What the checksums of an inode's structures start from: the inode itself, its extent blocks,
/// directory blocks and index nodes.
///
/// [`FsSeed`] carried on over the inode's number and generation.
#[derive(Clone, Copy, Debug)]
pub struct InodeSeed(Crc32c);

impl InodeSeed {
    /// The seed with this value.
    pub fn stored(update: Crc32cFn, seed: u32) -> Self {
        Self(Crc32c::resume(update, seed))
    }

    /// The seed itself.
    pub fn value(self) -> u32 {
        self.0.value()
    }

    /// Starts a checksum.
    pub fn start(self) -> Crc32c {
        self.0
    }

    /// The checksum of `bytes` that follow the seed.
    pub fn checksum(self, bytes: &[u8]) -> u32 {
        self.0.with(bytes).value()
    }
}

/// The Castagnoli polynomial, bit-reversed.
const CRC32C_POLYNOMIAL: u32 = 0x82f6_3b78;
/// x^16 + x^15 + x^2 + 1, bit-reversed: the kernel's `crc16()`.
const CRC16_POLYNOMIAL: u16 = 0xa001;

/// The product of two polynomials of degree 31 at most, modulo that of the crc32c. Bit 31 is the
/// coefficient of 1, bit 0 that of x^31.
const fn multiply(a: u32, mut b: u32) -> u32 {
    let mut product = 0;
    let mut bit = 32;
    while bit > 0 {
        bit -= 1;
        // All ones, or zero.
        product ^= b & ((a >> bit) & 1).wrapping_neg();
        b = (b >> 1) ^ (CRC32C_POLYNOMIAL & (b & 1).wrapping_neg());
    }
    product
}

/// 1 as such a polynomial, and x^8.
const ONE: u32 = 1 << 31;
const X8: u32 = 1 << 23;
/// How many bits of a count are one digit in [`POWERS`].
const DIGIT: u32 = 5;
const DIGITS: usize = usize::BITS.div_ceil(DIGIT) as usize;

/// x^(8 * d * 32^n) for each digit `d` and its place `n`: what a crc is multiplied by when so many
/// zero bytes follow.
static POWERS: [[u32; 1 << DIGIT]; DIGITS] = {
    let mut powers = [[ONE; 1 << DIGIT]; DIGITS];
    let mut base = X8;
    let mut place = 0;
    while place < DIGITS {
        let mut digit = 1;
        while digit < 1 << DIGIT {
            powers[place][digit] = multiply(powers[place][digit - 1], base);
            digit += 1;
        }
        base = multiply(powers[place][digit - 1], base);
        place += 1;
    }
    powers
};

/// x^(8 * count).
fn power_of_x8(mut count: usize) -> u32 {
    let mut power = ONE;
    for row in &POWERS {
        if count == 0 {
            break;
        }
        let digit = count & ((1 << DIGIT) - 1);
        if let (Some(factor), true) = (row.get(digit), digit > 0) {
            power = if power == ONE {
                *factor
            } else {
                multiply(power, *factor)
            };
        }
        count >>= DIGIT;
    }
    power
}

/// The crc32c of each byte, computed when this is compiled.
static CRC32C_TABLE: [u32; 256] = {
    let mut table = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        let mut value = byte as u32;
        let mut bit = 0;
        while bit < 8 {
            let carry = value & 1;
            value >>= 1;
            if carry != 0 {
                value ^= CRC32C_POLYNOMIAL;
            }
            bit += 1;
        }
        table[byte] = value;
        byte += 1;
    }
    table
};

/// The crc16 of each byte, computed when this is compiled.
static CRC16_TABLE: [u16; 256] = {
    let mut table = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        let mut value = byte as u16;
        let mut bit = 0;
        while bit < 8 {
            let carry = value & 1;
            value >>= 1;
            if carry != 0 {
                value ^= CRC16_POLYNOMIAL;
            }
            bit += 1;
        }
        table[byte] = value;
        byte += 1;
    }
    table
};

/// crc32c by a table: slow, but nothing except itself is needed.
///
/// For the host, and to check the kernel's function against.
pub fn crc32c_table(value: u32, bytes: &[u8]) -> u32 {
    bytes.iter().fold(value, |value, &byte| {
        // The index is the low byte, and the table has 256 entries.
        CRC32C_TABLE[usize::from(value.to_le_bytes()[0] ^ byte)] ^ (value >> 8)
    })
}

/// crc16 as the group descriptors of `uninit_bg` (`gdt_csum`) use it, carried on from `value`.
///
/// See "Group Descriptors" in `Documentation/filesystems/ext4/checksums.rst`.
pub fn crc16(value: u16, bytes: &[u8]) -> u16 {
    bytes.iter().fold(value, |value, &byte| {
        // The index is the low byte, and the table has 256 entries.
        CRC16_TABLE[usize::from(value.to_le_bytes()[0] ^ byte)] ^ (value >> 8)
    })
}
