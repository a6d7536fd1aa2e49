// SPDX-License-Identifier: GPL-2.0

//! Block maps: where the blocks of a file lie, as ext2 and ext3 say it.
//!
//! The inode has 15 numbers of blocks, of 32 bits each. The first 12 are those of the file's first
//! blocks. The others are those of blocks that are full of numbers: of data, of such blocks, and of
//! blocks of such blocks. Zero stands for a hole, of data or of all that would be below.
//! (`Documentation/filesystems/ext4/ifork.rst`)

use super::units::{BlockSize, LogicalBlock};

/// The numbers in the inode that are those of data.
const DIRECT: u32 = 12;
/// The bytes of a number.
const NUMBER_SIZE: usize = 4;
/// The most blocks of numbers on the way to data.
const MAX_DEPTH: u32 = 3;

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
}

/// A number out of the inode's or a block's: `None` behind their end.
pub fn number_at(bytes: &[u8], index: u32) -> Option<u32> {
    let start = (index as usize).checked_mul(NUMBER_SIZE)?;
    let number = bytes.get(start..)?.first_chunk()?;
    Some(u32::from_le_bytes(*number))
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
