// SPDX-License-Identifier: GPL-2.0

//! A file system that grows: how far it can, and that it has.

use super::Layout;
use crate::disk::units::{GroupNumber, PhysicalBlock};
use core::sync::atomic::Ordering;

impl Layout {
    /// The block behind the last group, if that had all the blocks that a group can have.
    pub fn end_of_groups(&self) -> PhysicalBlock {
        self.first_block(GroupNumber(self.group_count()))
    }

    /// Where a file system that is to have `wanted` blocks has to end: there, or before its last group
    /// if that would not be in it yet and is too short for metadata of its own.
    pub fn end_for(&self, wanted: u64) -> u64 {
        let Some(index) = wanted.checked_sub(self.end_of_groups().0 + 1) else {
            return wanted;
        };
        let beyond = index / u64::from(self.blocks_per_group);
        let Ok(group) = u32::try_from(beyond + u64::from(self.group_count())) else {
            return wanted;
        };
        let start = self.first_block(GroupNumber(group)).0;
        let fixed = u64::from(self.fixed_blocks(GroupNumber(group)));
        // Two bitmaps, the inode table, and one to be used.
        let least = fixed + 2 + u64::from(self.inode_table_blocks()) + 1;
        if wanted - start > least {
            wanted
        } else {
            start
        }
    }

    /// Has the file system end at `end`, with new groups if need be. Whether that is possible: it has to
    /// have all its blocks, and numbers for its groups and inodes.
    ///
    /// On a mounted file system all that is looked at of new groups is there before this. If the last group
    /// gets more blocks it is locked, and their bits are clear in its bitmap.
    pub fn extend(&self, end: u64) -> bool {
        let fits = self.blocks_count() <= end && self.can_end_at(end);
        if fits {
            self.blocks_count.0.store(end, Ordering::Release);
        }
        fits
    }

    /// Whether there are numbers for all groups and inodes if the file system ends at `end`.
    pub fn can_end_at(&self, end: u64) -> bool {
        let groups = self.groups_before(end);
        let inodes = groups.checked_mul(self.inodes_per_group.into());
        let descriptors = u64::from(self.descriptors_per_block());
        self.block_size
            .byte_of_physical(PhysicalBlock(end))
            .is_some_and(|bytes| i64::try_from(bytes).is_ok())
            && groups.saturating_add(descriptors) <= u32::MAX.into()
            && inodes.is_some_and(|inodes| inodes <= u32::MAX.into())
    }

    /// The number of groups that begin before block `end`.
    pub(super) fn groups_before(&self, end: u64) -> u64 {
        end.saturating_sub(self.first_data_block.into())
            .div_ceil(self.blocks_per_group.into())
    }
}
