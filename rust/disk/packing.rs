// SPDX-License-Identifier: GPL-2.0

//! Where the bitmaps and inode tables of new groups go.
//!
//! Without `flex_bg` each group has its own. With it those of several groups lie together, at the start
//! of the first of them: all block bitmaps, all inode bitmaps, all inode tables, each part whole. They go
//! around the super block's copies, the descriptors and what is kept for more of these.

use super::layout::Layout;
use super::units::{GroupNumber, PhysicalBlock};
use core::ops::Range;

/// Gives out places in a range of groups in which nothing is in use but what they begin with.
pub struct Packing<'a> {
    /// Where these groups exist.
    layout: &'a Layout,
    /// Those that were not looked at yet.
    groups: Range<u32>,
    /// What is left of the run of blocks where the next part goes.
    free: Range<u64>,
}

impl<'a> Packing<'a> {
    /// For these groups, which exist.
    pub fn new(layout: &'a Layout, groups: Range<u32>) -> Self {
        Self {
            layout,
            groups,
            free: 0..0,
        }
    }

    /// The place for the next `count` blocks, behind those that were given out before. `None` if there is
    /// none.
    pub fn take(&mut self, count: u32) -> Option<PhysicalBlock> {
        let count = u64::from(count);
        while self.free.end - self.free.start < count {
            self.free = self.next_free()?;
        }
        let place = self.free.start;
        self.free.start += count;
        Some(PhysicalBlock(place))
    }

    /// The next run of free blocks, as far as it goes.
    fn next_free(&mut self) -> Option<Range<u64>> {
        let first = GroupNumber(self.groups.next()?);
        // What a group begins with was checked to fit it; the last one may be short.
        let start = self.layout.first_block(first).0 + u64::from(self.layout.fixed_blocks(first));
        let mut end = self.end_of(first);
        while !self.groups.is_empty()
            && self.layout.fixed_blocks(GroupNumber(self.groups.start)) == 0
        {
            end = self.end_of(GroupNumber(self.groups.start));
            self.groups.start += 1;
        }
        Some(start.min(end)..end)
    }

    fn end_of(&self, group: GroupNumber) -> u64 {
        let blocks = self.layout.blocks_in_group(group);
        self.layout.first_block(group).0 + u64::from(blocks)
    }
}
