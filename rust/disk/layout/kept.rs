// SPDX-License-Identifier: GPL-2.0

//! What is kept behind the super block for more descriptors: whether it really is.
//!
//! The number of these blocks is in the super block, and who has them is the resize inode. Without that nobody
//! needs them, and the number may be left over: `mke2fs -O ^resize_inode` puts bitmaps and inode tables right behind
//! the descriptors, so that a number that is set later says nothing. Where the inode was only taken away
//! (`tune2fs -O ^resize_inode`) the blocks are as they were, and all groups still count them as used.

use super::Layout;
use crate::disk::{group_desc::GroupDesc, units::PhysicalBlock};
use zerocopy::SplitByteSlice;

impl Layout {
    /// Whether other metadata lies in what is said to be kept for more descriptors, by the descriptor of the
    /// first group, which has the most of it.
    pub fn is_kept_in_name_only<B: SplitByteSlice>(&self, first: &GroupDesc<B>) -> bool {
        let table = self.superblock_at.0 + 1;
        let kept = table + u64::from(self.table_in_use())..table + u64::from(self.table_blocks);
        let lies_there = |at: PhysicalBlock, count: u32| {
            at.0 < kept.end && kept.start < at.0.saturating_add(u64::from(count))
        };
        lies_there(first.block_bitmap(), 1)
            || lies_there(first.inode_bitmap(), 1)
            || lies_there(first.inode_table(), self.inode_table_blocks())
    }

    /// Has nothing kept for more descriptors.
    pub fn keep_nothing(&mut self) {
        // With meta_bg, descriptors lie elsewhere from this one on anyway.
        self.first_meta_group = self.table_in_use();
        self.table_blocks = self.first_meta_group;
    }
}
