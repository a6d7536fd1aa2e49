// SPDX-License-Identifier: GPL-2.0

//! Block maps: where the blocks of a file lie, as ext2 and ext3 say it.
//!
//! The inode has 15 numbers of blocks, of 32 bits each. The first 12 are those of the file's first
//! blocks. The others are those of blocks that are full of numbers: of data, of such blocks, and of
//! blocks of such blocks. Zero stands for a hole, of data or of all that would be below.
//! (`Documentation/filesystems/ext4/ifork.rst`)

use super::extent::LOGICAL_END;
use super::units::{BlockSize, LogicalBlock, PhysicalBlock};
use core::fmt;
use core::ops::Range;

/// The numbers in the inode that are those of data.
pub const DIRECT: u32 = 12;
/// The bytes of a number.
const NUMBER_SIZE: usize = 4;
/// The most blocks of numbers on the way to data.
pub const MAX_DEPTH: u32 = 3;
/// Behind the last block of the device that a map can name.
pub const PHYSICAL_END: PhysicalBlock = PhysicalBlock(1 << 32);

/// Why a map can't be used, or changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MapError {
    /// A number that is not one of a block that a file can have.
    Outside {
        /// The block of the file that was looked for.
        block: LogicalBlock,
        /// How many blocks of numbers lie between that number and data.
        left: u32,
        /// The number.
        number: u32,
    },
    /// A block of numbers is too short for the number of this block.
    Short(LogicalBlock),
    /// There was to be a hole at this block.
    Occupied(LogicalBlock),
    /// No map has this block, or it can't name where that would lie.
    TooFar(LogicalBlock),
}

impl fmt::Display for MapError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Outside {
                block,
                left: 0,
                number,
            } => write!(
                f,
                "logical block {block} is mapped to block {number}, which no file can have"
            ),
            Self::Outside {
                block,
                left,
                number,
            } => write!(
                f,
                "the block map has block {number} on the way to logical block {block}, \
                 {left} levels above it, which no file can have"
            ),
            Self::Short(block) => write!(
                f,
                "a block of the block map has no number for logical block {block}"
            ),
            Self::Occupied(block) => write!(f, "logical block {block} is mapped already"),
            Self::TooFar(block) => write!(f, "logical block {block} is in no block map"),
        }
    }
}

/// The way to a logical block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Way {
    /// Which of the numbers in the inode.
    slot: u32,
    /// How many blocks of numbers come after that.
    depth: u32,
    /// Which one of the blocks below the slot.
    index: u32,
    /// The base-2 logarithm of how many numbers a block has.
    bits: u32,
}

impl Way {
    /// The way to `block`, or `None` if no map has it.
    pub fn to(block: LogicalBlock, size: BlockSize) -> Option<Self> {
        let bits = size.bits() - NUMBER_SIZE.trailing_zeros();
        if block.0 < DIRECT {
            return Some(Self {
                slot: block.0,
                depth: 0,
                index: 0,
                bits,
            });
        }
        let mut index = u64::from(block.0 - DIRECT);
        for depth in 1..=MAX_DEPTH {
            let below = 1_u64 << (bits * depth);
            if index < below {
                return Some(Self {
                    slot: DIRECT + depth - 1,
                    depth,
                    // Not more than `block`.
                    index: index as u32,
                    bits,
                });
            }
            index -= below;
        }
        None
    }

    /// How many blocks of numbers there are on the way.
    pub const fn depth(&self) -> u32 {
        self.depth
    }

    /// Which number is to be looked at, with `left` blocks of numbers to go: in the inode if that is
    /// all of them, else in the block that was found before.
    pub const fn number(&self, left: u32) -> u32 {
        if left >= self.depth {
            return self.slot;
        }
        (self.index as u64 >> (self.bits * left)) as u32 & ((1 << self.bits) - 1)
    }

    /// How many blocks there are from this one to the end of what that number stands for.
    pub const fn rest(&self, left: u32) -> u64 {
        let all = 1 << (self.bits * left);
        all - self.index as u64 % all
    }

    /// How many blocks there are from this one to the last whose number is in the same place: the
    /// inode, or a block of numbers. At least one.
    pub const fn in_place(&self) -> u32 {
        match self.depth {
            0 => DIRECT - self.slot,
            // Not more than a block has numbers.
            _ => self.rest(1) as u32,
        }
    }
}

/// How many numbers a block has.
pub const fn numbers_in_block(size: BlockSize) -> u32 {
    size.bytes() / NUMBER_SIZE as u32
}

/// Where the blocks that a slot of the inode stands for begin, and how many levels of blocks of numbers
/// are below it. Slots 12, 13 and 14 have such.
pub const fn slot_start(slot: u32, size: BlockSize) -> (u64, u32) {
    let numbers = numbers_in_block(size) as u64;
    match slot {
        0..DIRECT => (slot as u64, 0),
        12 => (DIRECT as u64, 1),
        13 => (DIRECT as u64 + numbers, 2),
        _ => (DIRECT as u64 + numbers + numbers * numbers, 3),
    }
}

/// How many blocks a number stands for that has so many levels of blocks of numbers below it.
pub const fn covered(left: u32, size: BlockSize) -> u64 {
    1 << ((size.bits() - NUMBER_SIZE.trailing_zeros()) * left)
}

/// Behind the last block that a map can have, and a file too.
pub fn end(size: BlockSize) -> LogicalBlock {
    let (start, left) = slot_start(DIRECT + MAX_DEPTH - 1, size);
    let end = start + covered(left, size);
    u32::try_from(end).map_or(LOGICAL_END, LogicalBlock)
}

/// How many blocks of numbers there are on the ways to all blocks of a range.
pub fn tables(blocks: &Range<u64>, size: BlockSize) -> u64 {
    let mut all = 0;
    for slot in DIRECT..DIRECT + MAX_DEPTH {
        let (start, levels) = slot_start(slot, size);
        let first = blocks.start.max(start) - start;
        let end = blocks.end.min(start + covered(levels, size)).max(start) - start;
        if first >= end {
            continue;
        }
        for left in 1..=levels {
            let span = covered(left, size);
            all += (end - 1) / span - first / span + 1;
        }
    }
    all
}

/// At most so many blocks of numbers are on the ways to `blocks` blocks in `runs` runs, wherever they
/// are.
///
/// A run of `n` blocks has one on each level, and on the two lower ones another for each border that
/// it crosses: of these there are at most `n - 1`, and at most one more than the numbers of a block fit
/// into that.
pub fn most_tables(runs: u64, blocks: u64, size: BlockSize) -> u64 {
    let more = blocks.saturating_sub(runs);
    let borders = more.min(more / u64::from(numbers_in_block(size)) + runs);
    runs.saturating_mul(MAX_DEPTH.into())
        .saturating_add(2 * borders)
}

/// The largest size of a file with a block map, in bytes.
///
/// With all blocks of numbers it must not have more space than its inode can tell: `sectors` of 512 bytes
/// each, or blocks, if these are what is counted.
pub fn max_bytes(size: BlockSize, counts_blocks: bool) -> u64 {
    let most = if counts_blocks {
        (1 << 48) - 1
    } else {
        u64::from(u32::MAX) >> (size.bits() - 9)
    };
    let end = u64::from(end(size).0);
    let end = if end + tables(&(0..end), size) <= most {
        end
    } else {
        most - tables(&(0..most), size)
    };
    end << size.bits()
}

/// A number out of the inode's or a block's: `None` behind their end.
pub fn number_at(bytes: &[u8], index: u32) -> Option<u32> {
    let start = (index as usize).checked_mul(NUMBER_SIZE)?;
    let number = bytes.get(start..)?.first_chunk()?;
    Some(u32::from_le_bytes(*number))
}

fn number_at_mut(bytes: &mut [u8], index: u32) -> Option<&mut [u8; NUMBER_SIZE]> {
    let start = (index as usize).checked_mul(NUMBER_SIZE)?;
    bytes.get_mut(start..)?.first_chunk_mut()
}

/// Sets `len` numbers from `index` on: to `first` and those after it, or all to zero if that is zero.
/// Returns whether there was room for them.
pub fn set_run(bytes: &mut [u8], index: u32, first: u32, len: u32) -> bool {
    for at in 0..len {
        let value = match first {
            0 => Some(0),
            first => first.checked_add(at),
        };
        let place = index
            .checked_add(at)
            .and_then(|index| number_at_mut(bytes, index));
        let (Some(value), Some(place)) = (value, place) else {
            return false;
        };
        *place = value.to_le_bytes();
    }
    true
}

/// The last number in a range of indexes that is not zero, and its index.
pub fn last_in(bytes: &[u8], range: Range<u32>) -> Option<(u32, u32)> {
    range.rev().find_map(|index| {
        let number = number_at(bytes, index).filter(|number| *number != 0);
        Some((index, number?))
    })
}

/// The last run in a range of indexes, of `most` blocks at most, that lies in a row on the device: the
/// indexes, and the first number.
pub fn last_run_in(bytes: &[u8], range: Range<u32>, most: u32) -> Option<(Range<u32>, u32)> {
    let (last, mut first) = last_in(bytes, range.clone())?;
    let mut run = last..last + 1;
    while run.start > range.start && run.end - run.start < most.max(1) {
        let before = number_at(bytes, run.start - 1)?;
        if before == 0 || before.checked_add(1) != Some(first) {
            break;
        }
        first = before;
        run.start -= 1;
    }
    Some((run, first))
}

/// Whether all numbers are zero.
pub fn is_empty(bytes: &[u8]) -> bool {
    bytes.iter().all(|&byte| byte == 0)
}

/// The number of the block of data at `index`, and how many there are in a row from there: on the
/// device, or of holes if the number is zero.
pub fn run_at(bytes: &[u8], index: u32) -> Option<(u32, u32)> {
    let first = number_at(bytes, index)?;
    let mut len = 1;
    while let Some(next) = index.checked_add(len).and_then(|at| number_at(bytes, at)) {
        let expected = match first {
            0 => Some(0),
            first => first.checked_add(len),
        };
        if Some(next) != expected {
            break;
        }
        len += 1;
    }
    Some((first, len))
}

/// The part of an inode's numbers that is of data.
pub fn direct(numbers: &[u8]) -> &[u8] {
    numbers
        .get(..DIRECT as usize * NUMBER_SIZE)
        .unwrap_or_default()
}
