// SPDX-License-Identifier: GPL-2.0

//! The resize inode, which has the blocks that are kept for more descriptors (`resize_inode`).
//!
//! It is a file with a block map, of which only one number in the inode is used: that of the block of
//! blocks of numbers. Each number in there stands for one of the kept blocks behind the primary super
//! block, at the index that this would have as a block of descriptors (modulo how many a block holds).
//! These in turn are full of numbers: the blocks for the same descriptors in the groups with copies of the
//! super block, in the order of the groups.
//!
//! So when one of them becomes a block of descriptors it leaves the inode together with its copies, and
//! a new group with a copy of the super block adds a number to each of them.
//!
//! Source: `Documentation/filesystems/ext4/blockgroup.rst`, `special_inodes.rst`; `fs/ext4/resize.c` and
//! `lib/ext2fs/res_gdt.c` of e2fsprogs for the order.

use super::layout::Layout;
use super::units::{GroupNumber, PhysicalBlock};
use core::fmt;

/// Which of the numbers in the inode is used: the one for two levels.
const SLOT: usize = 13;
/// The numbers in the inode.
const SLOTS: usize = 15;
/// The bytes of a number.
const NUMBER_SIZE: usize = 4;

/// What is wrong with the resize inode.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ResizeInodeError {
    /// It is not a file with the block map that it should have.
    Map,
    /// It has something else where this block should be.
    NotKept(PhysicalBlock),
    /// It uses so many units of 512 bytes, which can't be.
    Sectors(u64),
}

impl fmt::Display for ResizeInodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("resize inode: ")?;
        match self {
            Self::Map => f.write_str("bad block map"),
            Self::NotKept(block) => write!(f, "block {block} is not where it should be"),
            Self::Sectors(count) => write!(f, "can't use {count} sectors"),
        }
    }
}

/// The block of blocks of numbers, out of the bytes of the inode's `i_block`.
///
/// # Errors
///
/// [`ResizeInodeError::Map`].
pub fn top(map: &[u8]) -> Result<PhysicalBlock, ResizeInodeError> {
    let others = (0..SLOTS).filter(|&slot| slot != SLOT);
    for slot in others {
        if number(map, slot) != Some(0) {
            return Err(ResizeInodeError::Map);
        }
    }
    match number(map, SLOT) {
        Some(block) if block != 0 => Ok(PhysicalBlock(block.into())),
        _ => Err(ResizeInodeError::Map),
    }
}

/// The index of block `number` of the descriptors in the block of [`top`].
pub fn index_in_top(layout: &Layout, number: u32) -> usize {
    number as usize % numbers_per_block(layout)
}

/// How many numbers a block holds.
pub fn numbers_per_block(layout: &Layout) -> usize {
    layout.block_size().size() / NUMBER_SIZE
}

/// The groups with copies of the super block, among the first `groups` of all.
pub fn copies(layout: &Layout, groups: u32) -> impl Iterator<Item = GroupNumber> + '_ {
    (1..groups)
        .map(GroupNumber)
        .filter(|&group| layout.has_superblock(group))
}

/// Checks that a number in a block, or in `i_block`, is that of this block.
///
/// # Errors
///
/// [`ResizeInodeError::NotKept`].
pub fn check_number(
    numbers: &[u8],
    index: usize,
    block: PhysicalBlock,
) -> Result<(), ResizeInodeError> {
    match number(numbers, index) {
        // The numbers have 32 bits, whatever they stand for; e2fsck goes by that, too.
        Some(stored) if stored == block.0 as u32 => Ok(()),
        _ => Err(ResizeInodeError::NotKept(block)),
    }
}

/// Sets a number in a block, whether there was one or not. Does nothing if it has no such index.
pub fn set_number(numbers: &mut [u8], index: usize, block: PhysicalBlock) {
    let start = index.saturating_mul(NUMBER_SIZE);
    let bytes = numbers.get_mut(start..).unwrap_or_default();
    for (to, from) in bytes.iter_mut().zip((block.0 as u32).to_le_bytes()) {
        *to = from;
    }
}

/// Clears the number of [`top`] in the bytes of `i_block`.
pub fn clear_top(map: &mut [u8]) {
    set_number(map, SLOT, PhysicalBlock(0));
}

fn number(numbers: &[u8], index: usize) -> Option<u32> {
    let bytes = numbers.get(index.checked_mul(NUMBER_SIZE)?..)?;
    bytes.first_chunk().map(|bytes| u32::from_le_bytes(*bytes))
}
