// SPDX-License-Identifier: GPL-2.0

//! Bitmaps of blocks and inodes: searching, counting, changing, checksums.
//!
//! Bit `n` is bit `n % 8` of byte `n / 8`, counted from the lowest
//! (`Documentation/filesystems/ext4/bitmaps.rst`). Set means used. All work is done 64 bits at a
//! time. A bit beyond the end of the slice counts as used and cannot be changed.

use super::checksum::{Crc32c, FsSeed};
use super::error::ChecksumMismatch;
use super::group_desc::{GroupDesc, GroupPart};
use super::layout::Layout;
use super::units::GroupNumber;
use core::cmp::Ordering;
use core::fmt;
use core::ops::Range;
use zerocopy::{SplitByteSlice, SplitByteSliceMut};

/// What is wrong with a bitmap.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BitmapError {
    /// Its checksum, which is in the group descriptor.
    Checksum {
        /// The group that the bitmap belongs to.
        group: GroupNumber,
        /// Which of the two.
        part: GroupPart,
        /// The checksums.
        mismatch: ChecksumMismatch,
    },
    /// Fewer bytes than the bitmap must have.
    Short {
        /// The group that the bitmap belongs to.
        group: GroupNumber,
        /// Which of the two.
        part: GroupPart,
    },
    /// A range that was to be set has a bit that is set already, or one that was to be cleared
    /// has one that is clear: a block or inode would be used, or freed, twice.
    AlreadyDone {
        /// The first such bit, counted from the start of the group.
        bit: u32,
    },
    /// A range lies beyond the end of the bitmap.
    OutOfRange {
        /// The bit behind the range's end.
        end: u32,
    },
}

impl fmt::Display for BitmapError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Checksum {
                group,
                part,
                mismatch,
            } => write!(f, "{part} of group {group}: {mismatch}"),
            Self::Short { group, part } => write!(f, "{part} of group {group}: too few bytes"),
            Self::AlreadyDone { bit } => {
                write!(f, "bitmap: bit {bit} was already what it should become")
            }
            Self::OutOfRange { end } => write!(f, "bitmap: no bits up to {end}"),
        }
    }
}

/// The bits of a 64-bit word from the lowest on that lie before `bit`, which is at most 64.
const fn low_mask(bit: u32) -> u64 {
    match 1u64.checked_shl(bit) {
        Some(power) => power - 1,
        None => !0,
    }
}

/// A bitmap to look at.
#[derive(Clone, Copy)]
pub struct Bitmap<'a>(&'a [u8]);

impl<'a> Bitmap<'a> {
    /// The bitmap that `bytes` hold.
    pub const fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    /// The number of bits.
    pub fn bits(self) -> u32 {
        u32::try_from(self.0.len())
            .unwrap_or(u32::MAX)
            .saturating_mul(8)
    }

    /// Whether `bit` is set.
    pub fn is_set(self, bit: u32) -> bool {
        self.0
            .get((bit / 8) as usize)
            .is_none_or(|byte| byte & (1 << (bit % 8)) != 0)
    }

    /// The 64 bits from `word * 64` on. Those beyond the end are set.
    fn word(self, word: u32) -> u64 {
        let start = (word as usize).saturating_mul(8);
        let rest = self.0.get(start..).unwrap_or_default();
        match rest.first_chunk() {
            Some(bytes) => u64::from_le_bytes(*bytes),
            None => {
                let mut bytes = [0xff; 8];
                for (to, from) in bytes.iter_mut().zip(rest) {
                    *to = *from;
                }
                u64::from_le_bytes(bytes)
            }
        }
    }

    /// The first bit in `range` that is set (or clear, with `flip` all ones), or `None`.
    fn find(self, range: Range<u32>, flip: u64) -> Option<u32> {
        let end = range.end.min(self.bits());
        if range.start >= end {
            return None;
        }
        let mut word = range.start / 64;
        // What lies before the range does not count.
        let mut found = (self.word(word) ^ flip) & !low_mask(range.start % 64);
        while found == 0 {
            word += 1;
            // Not over 2^32: `end` is not.
            if word > (end - 1) / 64 {
                return None;
            }
            found = self.word(word) ^ flip;
        }
        let bit = u64::from(word) * 64 + u64::from(found.trailing_zeros());
        u32::try_from(bit).ok().filter(|&bit| bit < end)
    }

    /// The first bit in `range` that is set.
    pub fn next_set(self, range: Range<u32>) -> Option<u32> {
        self.find(range, 0)
    }

    /// The first bit in `range` that is clear.
    pub fn next_clear(self, range: Range<u32>) -> Option<u32> {
        self.find(range, !0)
    }

    /// The first run of clear bits in `range`, as long as it comes within the range.
    pub fn next_run(self, range: Range<u32>) -> Option<Range<u32>> {
        let start = self.next_clear(range.clone())?;
        let limit = range.end.min(self.bits());
        let end = self.next_set(start..limit).unwrap_or(limit);
        Some(start..end)
    }

    /// All runs of clear bits in `range`, from its start on.
    pub fn runs(self, range: Range<u32>) -> impl Iterator<Item = Range<u32>> + 'a {
        let mut rest = range;
        core::iter::from_fn(move || {
            let run = self.next_run(rest.clone())?;
            rest.start = run.end;
            Some(run)
        })
    }

    /// The first run in `range` with at least `wanted` clear bits, or else the longest.
    ///
    /// A run that is longer than `wanted` is cut to it.
    pub fn best_run(self, range: Range<u32>, wanted: u32) -> Option<Range<u32>> {
        let mut best: Option<Range<u32>> = None;
        for run in self.runs(range) {
            if run.end - run.start >= wanted {
                // No overflow: the run's end is not less.
                return Some(run.start..run.start + wanted).filter(|run| !run.is_empty());
            }
            if best
                .as_ref()
                .is_none_or(|best| run.end - run.start > best.end - best.start)
            {
                best = Some(run);
            }
        }
        best
    }

    /// The number of clear bits in `range`.
    pub fn count_clear(self, range: Range<u32>) -> u32 {
        let end = range.end.min(self.bits());
        if range.start >= end {
            return 0;
        }
        let (first, last) = (range.start / 64, (end - 1) / 64);
        (first..=last)
            .map(|word| {
                let mut clear = !self.word(word);
                if word == first {
                    clear &= !low_mask(range.start % 64);
                }
                if word == last {
                    clear &= low_mask((end - 1) % 64 + 1);
                }
                clear.count_ones()
            })
            .sum()
    }
}

/// The longest run that [`first_clear_in_all`] looks for.
pub const LONGEST_SOUGHT: u32 = 64;

/// Where the first run of `len` bits in `range` starts that are clear in all of `maps`, word by word: what it
/// takes does not depend on how many runs there are that are too short. `len` is at least 1 and at most
/// [`LONGEST_SOUGHT`].
pub fn first_clear_in_all<'a>(
    maps: impl Iterator<Item = Bitmap<'a>> + Clone,
    range: Range<u32>,
    len: u32,
) -> Option<u32> {
    let end = maps.clone().map(Bitmap::bits).fold(range.end, u32::min);
    let last = end.checked_sub(1).filter(|&bit| range.start <= bit)?;
    let clear = |word: u32| {
        let within = match word.cmp(&(last / 64)) {
            Ordering::Less => !0,
            Ordering::Equal => low_mask(last % 64 + 1),
            Ordering::Greater => return 0,
        };
        within & maps.clone().fold(!0, |clear, map| clear & !map.word(word))
    };
    let mut word = range.start / 64;
    let mut here = clear(word) & !low_mask(range.start % 64);
    loop {
        // Not over 2^32 / 64: there is a bit in this one.
        let next = clear(word + 1);
        // Of both, the bits behind which as many are clear as were looked at.
        let (mut starts, mut next_starts, mut looked_at) = (here, next, 1);
        while looked_at < len && starts != 0 {
            let by = looked_at.min(len - looked_at).min(32);
            starts &= starts >> by | next_starts << (64 - by);
            next_starts &= next_starts >> by;
            looked_at += by;
        }
        if starts != 0 {
            return Some(word * 64 + starts.trailing_zeros());
        }
        if word >= last / 64 {
            return None;
        }
        word += 1;
        here = next;
    }
}

/// A bitmap to change.
pub struct BitmapMut<'a>(&'a mut [u8]);

impl<'a> BitmapMut<'a> {
    /// The bitmap that `bytes` hold.
    pub fn new(bytes: &'a mut [u8]) -> Self {
        Self(bytes)
    }

    /// The bitmap, to look at.
    pub fn as_bitmap(&self) -> Bitmap<'_> {
        Bitmap(self.0)
    }

    /// Sets all bits of `range`, all of which must be clear.
    ///
    /// # Errors
    ///
    /// [`BitmapError::AlreadyDone`] and [`BitmapError::OutOfRange`], with nothing changed.
    pub fn set_range(&mut self, range: Range<u32>) -> Result<(), BitmapError> {
        self.check_end(&range)?;
        if let Some(bit) = self.as_bitmap().next_set(range.clone()) {
            return Err(BitmapError::AlreadyDone { bit });
        }
        self.fill(range, true);
        Ok(())
    }

    /// Clears all bits of `range`, all of which must be set.
    ///
    /// # Errors
    ///
    /// [`BitmapError::AlreadyDone`] and [`BitmapError::OutOfRange`], with nothing changed.
    pub fn clear_range(&mut self, range: Range<u32>) -> Result<(), BitmapError> {
        self.check_end(&range)?;
        if let Some(bit) = self.as_bitmap().next_clear(range.clone()) {
            return Err(BitmapError::AlreadyDone { bit });
        }
        self.fill(range, false);
        Ok(())
    }

    fn check_end(&self, range: &Range<u32>) -> Result<(), BitmapError> {
        if range.end > self.as_bitmap().bits() {
            return Err(BitmapError::OutOfRange { end: range.end });
        }
        Ok(())
    }

    /// Makes all bits of `range` that exist `used`, whatever they were.
    pub fn fill(&mut self, range: Range<u32>, used: bool) {
        let end = range.end.min(self.as_bitmap().bits());
        if range.start >= end {
            return;
        }
        let (first, last) = ((range.start / 8) as usize, ((end - 1) / 8) as usize);
        // Within a byte, so that neither is over 8 bits.
        let first_mask = !(low_mask(range.start % 8) as u8);
        let last_mask = low_mask((end - 1) % 8 + 1) as u8;
        let Some(bytes) = self.0.get_mut(first..=last) else {
            return;
        };
        let change = |byte: &mut u8, mask: u8| {
            if used {
                *byte |= mask;
            } else {
                *byte &= !mask;
            }
        };
        match bytes {
            [] => {}
            [only] => change(only, first_mask & last_mask),
            [head, middle @ .., tail] => {
                change(head, first_mask);
                middle.fill(if used { 0xff } else { 0 });
                change(tail, last_mask);
            }
        }
    }
}

/// The part of a bitmap's block that its checksum covers.
///
/// As many bits as a group of full size has, whatever the size of this group.
fn covered<'a>(
    layout: &Layout,
    group: GroupNumber,
    part: GroupPart,
    block: &'a [u8],
) -> Result<&'a [u8], BitmapError> {
    let bits = match part {
        GroupPart::BlockBitmap => layout.clusters_per_group(),
        GroupPart::InodeBitmap | GroupPart::InodeTable => layout.inodes_per_group(),
    };
    block
        .get(..(bits / 8) as usize)
        .ok_or(BitmapError::Short { group, part })
}

/// Checks the checksum of the block or inode bitmap in `block` against the group descriptor.
///
/// # Errors
///
/// [`BitmapError::Checksum`] and [`BitmapError::Short`].
pub fn verify_checksum<B: SplitByteSlice>(
    seed: FsSeed,
    layout: &Layout,
    desc: &GroupDesc<B>,
    part: GroupPart,
    block: &[u8],
) -> Result<(), BitmapError> {
    let group = desc.group();
    let computed = seed.start().with(covered(layout, group, part, block)?);
    desc.verify_bitmap_checksum(part, computed.value())
        .map_err(|mismatch| BitmapError::Checksum {
            group,
            part,
            mismatch,
        })
}

/// Stores the checksum of the block or inode bitmap in `block` in the group descriptor, whose own
/// checksum has to be brought up to date after that.
///
/// # Errors
///
/// [`BitmapError::Short`], with nothing changed.
pub fn update_checksum<B: SplitByteSliceMut>(
    seed: FsSeed,
    layout: &Layout,
    desc: &mut GroupDesc<B>,
    part: GroupPart,
    block: &[u8],
) -> Result<(), BitmapError> {
    let bytes = covered(layout, desc.group(), part, block)?;
    desc.set_bitmap_checksum(part, seed.start().with(bytes).value());
    Ok(())
}

/// As [`update_checksum`], after all bits of `range` were set that were clear, or the other way round:
/// the range is looked at alone, and the checksum from before.
///
/// # Errors
///
/// As for [`update_checksum`].
pub fn update_checksum_of_flipped<B: SplitByteSliceMut>(
    seed: FsSeed,
    layout: &Layout,
    desc: &mut GroupDesc<B>,
    part: GroupPart,
    block: &[u8],
    range: Range<u32>,
) -> Result<(), BitmapError> {
    let Some(before) = desc.bitmap_checksum(part) else {
        // Half of it is not kept.
        return update_checksum(seed, layout, desc, part, block);
    };
    let covered = covered(layout, desc.group(), part, block)?.len();
    let before = Crc32c::resume(seed.start().update(), before);
    desc.set_bitmap_checksum(part, flipped(before, covered, range).value());
    Ok(())
}

/// What the checksum of a bitmap of so many bytes becomes when all bits of `range`, which lies within
/// it, become the contrary.
pub fn flipped(before: Crc32c, covered: usize, range: Range<u32>) -> Crc32c {
    let Some(last) = range.end.checked_sub(1).filter(|last| range.start <= *last) else {
        return before;
    };
    let (first_byte, last_byte) = ((range.start / 8) as usize, (last / 8) as usize);
    // Within a byte, so that neither is over 8 bits.
    let first_mask = !(low_mask(range.start % 8) as u8);
    let last_mask = low_mask(last % 8 + 1) as u8;
    let change = |crc: Crc32c| {
        if first_byte == last_byte {
            return crc.with(&[first_mask & last_mask]);
        }
        const ONES: [u8; 64] = [0xff; 64];
        let (mut crc, mut left) = (crc.with(&[first_mask]), last_byte - first_byte - 1);
        while left > 0 {
            let step = left.min(ONES.len());
            crc = crc.with(ONES.get(..step).unwrap_or(&ONES));
            left -= step;
        }
        crc.with(&[last_mask])
    };
    before.changed_by(change, covered.saturating_sub(last_byte + 1))
}
