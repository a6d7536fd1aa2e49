// SPDX-License-Identifier: GPL-2.0

//! The hashes of names that directory indexes are sorted by.
//!
//! Each version takes a name in pieces into 32-bit words and mixes them into a state of four
//! words that starts with the seed of the file system. There is a variant of each that takes
//! bytes over 127 as negative numbers, because C's `char` was signed where ext3 came from. Source:
//! "Hash Tree Directories" in `Documentation/filesystems/ext4/directory.rst` and the kernel's
//! `fs/ext4/hash.c`; half MD4 is the compression function of RFC 1320 with eight words of input,
//! TEA that of Wheeler and Needham.

use super::{HtreeError, HtreeProblem};
use crate::disk::superblock::HashSignedness;

/// A version of the hash.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HashVersion {
    /// The first one, no longer used for new indexes.
    Legacy,
    /// Half of MD4: what `mke2fs` takes.
    HalfMd4,
    /// The Tiny Encryption Algorithm.
    Tea,
}

impl HashVersion {
    /// The version that a number in an index or in the super block stands for.
    ///
    /// # Errors
    ///
    /// [`HtreeProblem::HashVersion`]: among others for the hash of directories that are encrypted
    /// and ignore case, which needs a key.
    pub fn from_number(number: u8) -> Result<Self, HtreeError> {
        match number {
            0 => Ok(Self::Legacy),
            1 => Ok(Self::HalfMd4),
            2 => Ok(Self::Tea),
            _ => Err(HtreeError::new(HtreeProblem::HashVersion(number))),
        }
    }
}

/// The hash of a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct NameHash {
    /// What the index is sorted by. The lowest bit is zero.
    pub major: u32,
    /// What entries of equal `major` are sorted by when a directory is read.
    pub minor: u32,
}

/// What a state without a seed starts with, as MD4 does.
const DEFAULT_SEED: [u32; 4] = [0x6745_2301, 0xefcd_ab89, 0x98ba_dcfe, 0x1032_5476];
/// What is never a hash, because as a position in a directory it means its end.
const END_OF_DIRECTORY: u32 = 0x7fff_ffff << 1;

/// How names are hashed in one directory.
#[derive(Clone, Copy, Debug)]
pub struct Hasher {
    version: HashVersion,
    signedness: HashSignedness,
    seed: [u32; 4],
}

impl Hasher {
    /// A way to hash names: the version is the directory's, the rest the file system's.
    ///
    /// A `seed` of zeros means that there is none.
    pub fn new(version: HashVersion, signedness: HashSignedness, seed: [u32; 4]) -> Self {
        let seed = if seed == [0; 4] { DEFAULT_SEED } else { seed };
        Self {
            version,
            signedness,
            seed,
        }
    }

    /// The hash of `name`.
    pub fn hash(&self, name: &[u8]) -> NameHash {
        let (major, minor) = match self.version {
            HashVersion::Legacy => (self.legacy(name), 0),
            HashVersion::HalfMd4 => {
                let [_, b, c, _] = self.mix::<8>(name, half_md4);
                (b, c)
            }
            HashVersion::Tea => {
                let [a, b, _, _] = self.mix::<4>(name, tea);
                (a, b)
            }
        };
        // The lowest bit says in an index that a run of equal hashes goes on.
        let major = match major & !1 {
            END_OF_DIRECTORY => END_OF_DIRECTORY - 2,
            major => major,
        };
        NameHash { major, minor }
    }

    /// A byte as a number of 32 bits.
    fn widen(&self, byte: u8) -> u32 {
        match self.signedness {
            HashSignedness::Unsigned => u32::from(byte),
            // Sign-extended.
            HashSignedness::Signed => i32::from(byte as i8) as u32,
        }
    }

    fn legacy(&self, name: &[u8]) -> u32 {
        const FACTOR: u32 = 7_152_373;
        let start = (0x12a3_fe2du32, 0x37ab_e8f9u32);
        let (last, _) = name.iter().fold(start, |(last, before), &byte| {
            let mixed = last ^ self.widen(byte).wrapping_mul(FACTOR);
            let sum = before.wrapping_add(mixed);
            let folded = if sum >> 31 != 0 {
                sum.wrapping_sub(0x7fff_ffff)
            } else {
                sum
            };
            (folded, last)
        });
        last << 1
    }

    /// Mixes the name into the state, `N` words at a time.
    fn mix<const N: usize>(
        &self,
        name: &[u8],
        transform: fn([u32; 4], [u32; N]) -> [u32; 4],
    ) -> [u32; 4] {
        let mut state = self.seed;
        let mut rest = name;
        while !rest.is_empty() {
            state = transform(state, self.words(rest));
            rest = rest.get(N * 4..).unwrap_or_default();
        }
        state
    }

    /// The next `N` words of a name of which `rest` is left. Bytes are added from the top down,
    /// and what the name does not fill is filled with its length.
    fn words<const N: usize>(&self, rest: &[u8]) -> [u32; N] {
        // A name has at most 255 bytes.
        let length = rest.len() as u32 & 0xff;
        let padding = length * 0x0101_0101;
        let mut words = [padding; N];
        for (word, bytes) in words.iter_mut().zip(rest.chunks(4)) {
            // A last, shorter piece is added below the padding.
            *word = bytes.iter().fold(padding, |word, &byte| {
                (word << 8).wrapping_add(self.widen(byte))
            });
        }
        words
    }
}

/// The compression function of MD4, with half of its input and three rounds of eight steps.
fn half_md4(state: [u32; 4], input: [u32; 8]) -> [u32; 4] {
    fn select(x: u32, y: u32, z: u32) -> u32 {
        (x & y) | (!x & z)
    }
    fn majority(x: u32, y: u32, z: u32) -> u32 {
        (x & y) | (x & z) | (y & z)
    }
    fn parity(x: u32, y: u32, z: u32) -> u32 {
        x ^ y ^ z
    }
    /// A function, a constant, the rotations of four steps, and the order of the input.
    type Round = (fn(u32, u32, u32) -> u32, u32, [u32; 4], [usize; 8]);
    const ROUNDS: [Round; 3] = [
        (select, 0, [3, 7, 11, 19], [0, 1, 2, 3, 4, 5, 6, 7]),
        // The square roots of 2 and 3, as in MD4.
        (
            majority,
            0x5a82_7999,
            [3, 5, 9, 13],
            [1, 3, 5, 7, 0, 2, 4, 6],
        ),
        (
            parity,
            0x6ed9_eba1,
            [3, 9, 11, 15],
            [3, 7, 2, 6, 1, 5, 0, 4],
        ),
    ];

    let [mut a, mut b, mut c, mut d] = state;
    for (function, constant, rotations, order) in ROUNDS {
        for (rotation, index) in rotations.iter().cycle().zip(order) {
            let word = input.get(index).copied().unwrap_or_default();
            let sum = a
                .wrapping_add(function(b, c, d))
                .wrapping_add(word)
                .wrapping_add(constant);
            // The roles of the four words move on by one.
            (a, b, c, d) = (d, sum.rotate_left(*rotation), b, c);
        }
    }
    let [a0, b0, c0, d0] = state;
    [
        a0.wrapping_add(a),
        b0.wrapping_add(b),
        c0.wrapping_add(c),
        d0.wrapping_add(d),
    ]
}

/// Sixteen rounds of TEA on the first two words of the state, with the input as the key.
fn tea(state: [u32; 4], key: [u32; 4]) -> [u32; 4] {
    /// 2^32 divided by the golden ratio.
    const DELTA: u32 = 0x9e37_79b9;
    let [x0, y0, c, d] = state;
    let [k0, k1, k2, k3] = key;
    let (mut x, mut y, mut sum) = (x0, y0, 0u32);
    let half = |word: u32, sum: u32, first: u32, second: u32| {
        (word << 4).wrapping_add(first) ^ word.wrapping_add(sum) ^ (word >> 5).wrapping_add(second)
    };
    for _ in 0..16 {
        sum = sum.wrapping_add(DELTA);
        x = x.wrapping_add(half(y, sum, k0, k1));
        y = y.wrapping_add(half(x, sum, k2, k3));
    }
    [x0.wrapping_add(x), y0.wrapping_add(y), c, d]
}
