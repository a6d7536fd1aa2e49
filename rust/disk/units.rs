// SPDX-License-Identifier: GPL-2.0

//! The numbers of the format, each with a type of its own.
//!
//! A block of a file and a block of the device are both "a number of a block", and to use one for
//! the other destroys data. Here the compiler keeps them apart. Arithmetic is checked throughout:
//! a result that does not fit is `None`, never a wrapped number.

use core::fmt;

macro_rules! number {
    ($(#[$doc:meta])* $name:ident($int:ty)) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[repr(transparent)]
        pub struct $name(pub $int);

        impl $name {
            /// The number that lies `count` after this one, or `None` where that does not fit.
            pub const fn checked_add(self, count: $int) -> Option<Self> {
                match self.0.checked_add(count) {
                    Some(sum) => Some(Self(sum)),
                    None => None,
                }
            }

            /// The number that lies `count` before this one, or `None` below zero.
            pub const fn checked_sub(self, count: $int) -> Option<Self> {
                match self.0.checked_sub(count) {
                    Some(difference) => Some(Self(difference)),
                    None => None,
                }
            }

            /// How far this number lies behind `earlier`, or `None` if it lies before it.
            pub const fn distance_from(self, earlier: Self) -> Option<$int> {
                self.0.checked_sub(earlier.0)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(&self.0, f)
            }
        }
    };
}

number! {
    /// A block of a file, counted in file system blocks from the start of the file.
    ///
    /// 32 bits, as in an extent's `ee_block`. The last one, `u32::MAX`, holds no data: ext4 keeps
    /// it free so that the length of a file in blocks fits 32 bits as well.
    LogicalBlock(u32)
}

number! {
    /// A block of the device, counted in file system blocks from the start of the device.
    ///
    /// At most 48 bits are used by extents and 64 bits by group descriptors. Zero is never a data
    /// block: it holds the boot sector or the super block.
    PhysicalBlock(u64)
}

number! {
    /// A block group, counted from zero.
    GroupNumber(u32)
}

number! {
    /// An inode, counted from one: zero means "none".
    InodeNumber(u32)
}

impl InodeNumber {
    /// The root directory, `EXT4_ROOT_INO` in the kernel's `fs/ext4/ext4.h`.
    pub const ROOT: Self = Self(2);
    /// What is counted by owner, `EXT4_USR_QUOTA_INO`.
    pub const USER_QUOTA: Self = Self(3);
    /// What is counted by group, `EXT4_GRP_QUOTA_INO`.
    pub const GROUP_QUOTA: Self = Self(4);
    /// The inode that owns the blocks kept for growing the descriptor table, `EXT4_RESIZE_INO`.
    pub const RESIZE: Self = Self(7);
    /// The internal journal, `EXT4_JOURNAL_INO`.
    pub const JOURNAL: Self = Self(8);
}

/// The size of a file system block: a power of two from 1 KiB to 64 KiB.
///
/// The format's limits are those of `s_log_block_size` in
/// `Documentation/filesystems/ext4/super.rst`. Which of them can be mounted is decided elsewhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BlockSize {
    /// The base-2 logarithm of the size in bytes, 10 to 16.
    bits: u8,
}

impl BlockSize {
    /// The smallest size of the format, 1024 bytes.
    pub const MIN: Self = Self { bits: 10 };
    /// The largest size of the format, 65536 bytes.
    pub const MAX: Self = Self { bits: 16 };

    /// The size with `bytes` bytes, or `None` if the format has no such size.
    pub const fn new(bytes: u32) -> Option<Self> {
        if !bytes.is_power_of_two() {
            return None;
        }
        Self::from_bits(bytes.trailing_zeros())
    }

    /// The size with `1 << bits` bytes, or `None` if the format has no such size.
    pub const fn from_bits(bits: u32) -> Option<Self> {
        if bits < Self::MIN.bits() || bits > Self::MAX.bits() {
            return None;
        }
        Some(Self { bits: bits as u8 })
    }

    /// The base-2 logarithm of the size in bytes, 10 to 16.
    pub const fn bits(self) -> u32 {
        self.bits as u32
    }

    /// The size in bytes.
    pub const fn bytes(self) -> u32 {
        1 << self.bits
    }

    /// The size in bytes, as the length of a slice.
    pub const fn size(self) -> usize {
        1 << self.bits
    }

    /// The byte of the device at which `block` starts, or `None` beyond 2^64.
    pub const fn byte_of_physical(self, block: PhysicalBlock) -> Option<u64> {
        block.0.checked_mul(1 << self.bits)
    }

    /// The byte of the file at which `block` starts. Always fits: at most 2^48.
    pub const fn byte_of_logical(self, block: LogicalBlock) -> u64 {
        (block.0 as u64) << self.bits
    }

    /// The block of the file that holds byte `offset`, or `None` beyond 2^32 blocks.
    pub const fn logical_of_byte(self, offset: u64) -> Option<LogicalBlock> {
        let block = offset >> self.bits;
        if block > u32::MAX as u64 {
            return None;
        }
        Some(LogicalBlock(block as u32))
    }

    /// The offset of byte `offset` within its block.
    pub const fn within_block(self, offset: u64) -> u32 {
        (offset & ((1 << self.bits) - 1)) as u32
    }

    /// How many blocks `bytes` bytes need, the last one perhaps not full.
    pub const fn blocks_for(self, bytes: u64) -> u64 {
        let whole = bytes >> self.bits;
        if self.within_block(bytes) == 0 {
            whole
        } else {
            // At most 2^54 + 1: a block has at least 2^10 bytes.
            whole + 1
        }
    }
}

impl fmt::Display for BlockSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.bytes(), f)
    }
}
