// SPDX-License-Identifier: GPL-2.0

//! Times, as an inode holds them.
//!
//! 32 bits of signed seconds since 1970, and in a later field two more bits of seconds below 30
//! bits of nanoseconds. The two bits are added as they are to the *signed* seconds, so times from
//! 1901 to 2446 can be stored ("Inode Timestamps" in
//! `Documentation/filesystems/ext4/inodes.rst`).

/// A point in time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Timestamp {
    /// Seconds since 1970.
    pub seconds: i64,
    /// Nanoseconds, less than 1,000,000,000.
    pub nanoseconds: u32,
}

/// The bits of the later field that extend the seconds.
const EPOCH_MASK: u32 = 3;
/// How many they are.
const EPOCH_BITS: u32 = 2;
/// What nanoseconds are at most.
const MAX_NANOSECONDS: u32 = 999_999_999;

impl Timestamp {
    /// The latest time that fits an inode with the later field.
    pub const MAX_SECONDS: i64 = (1 << 34) - 1 + i32::MIN as i64;
    /// The latest time that fits an inode without it.
    pub const MAX_SHORT_SECONDS: i64 = i32::MAX as i64;
    /// The earliest time that fits an inode.
    pub const MIN_SECONDS: i64 = i32::MIN as i64;

    /// The time in a pair of fields. Nanoseconds that are too many are cut.
    pub(super) fn decode(seconds: u32, extra: Option<u32>) -> Self {
        // The bits of a signed number.
        let seconds = i64::from(seconds as i32);
        let extra = extra.unwrap_or(0);
        Self {
            seconds: seconds + (i64::from(extra & EPOCH_MASK) << 32),
            nanoseconds: (extra >> EPOCH_BITS).min(MAX_NANOSECONDS),
        }
    }

    /// The pair of fields that hold the time, or the nearest one that fits them.
    pub(super) fn encode(self) -> (u32, u32) {
        let seconds = self.seconds.clamp(Self::MIN_SECONDS, Self::MAX_SECONDS);
        let low = seconds as i32;
        // 0 to 3, given the range.
        let epoch = ((seconds - i64::from(low)) >> 32) as u32 & EPOCH_MASK;
        let nanoseconds = self.nanoseconds.min(MAX_NANOSECONDS);
        (low as u32, (nanoseconds << EPOCH_BITS) | epoch)
    }

    /// The one field that holds the time in an inode without room for the other, or the nearest
    /// time that fits.
    pub(super) fn encode_short(self) -> u32 {
        let seconds = self
            .seconds
            .clamp(Self::MIN_SECONDS, Self::MAX_SHORT_SECONDS);
        seconds as i32 as u32
    }
}
