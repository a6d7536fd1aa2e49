// SPDX-License-Identifier: GPL-2.0

//! What of a super block changes when the file system grows.

use super::{State, Superblock};
use crate::disk::features::Feature;

/// How large a file system is, and what follows from that in its super block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Size {
    /// The number of all blocks.
    pub blocks: u64,
    /// The number of all inodes.
    pub inodes: u32,
    /// The blocks that only root may use.
    pub reserved_blocks: u64,
    /// The free blocks, as far as the super block is told of them.
    pub free_blocks: u64,
    /// The free inodes, likewise.
    pub free_inodes: u32,
    /// The blocks used by metadata, or zero if nobody counted them.
    pub overhead: u32,
    /// The blocks that are kept behind the super block for more descriptors.
    pub kept_for_descriptors: u16,
    /// With `meta_bg`, the first block of descriptors that lies in the groups it describes.
    pub first_meta_group: Option<u32>,
    /// Whether there is a resize inode, which has what is kept for more descriptors.
    pub has_resize_inode: bool,
}

impl Size {
    /// Adds so many blocks, and root's part of them: as many percent, rounded down, as it has of all.
    pub fn add_blocks(&mut self, blocks: u64) {
        let percent = self.reserved_blocks.saturating_mul(100) / self.blocks.max(1);
        self.reserved_blocks += percent.saturating_mul(blocks) / 100;
        self.blocks += blocks;
    }
}

impl Superblock {
    /// How large the file system is.
    pub fn size(&self) -> Size {
        let features = self.features();
        let first_meta_group = self.first_meta_bg.get();
        Size {
            blocks: self.blocks_count(),
            inodes: self.inodes_count(),
            reserved_blocks: self.reserved_blocks_count(),
            free_blocks: self.free_blocks_count(),
            free_inodes: self.free_inodes_count(),
            overhead: self.overhead_clusters(),
            kept_for_descriptors: self.reserved_gdt_blocks.get(),
            first_meta_group: features.has(Feature::META_BG).then_some(first_meta_group),
            has_resize_inode: features.has(Feature::RESIZE_INODE),
        }
    }

    /// Says that it is so large.
    pub fn set_size(&mut self, size: &Size) {
        self.set_blocks_count(size.blocks);
        self.inodes_count.set(size.inodes);
        self.set_reserved_blocks_count(size.reserved_blocks);
        self.set_free_blocks_count(size.free_blocks);
        self.set_free_inodes_count(size.free_inodes);
        self.set_overhead_clusters(size.overhead);
        self.reserved_gdt_blocks.set(size.kept_for_descriptors);
        self.set_feature(Feature::META_BG, size.first_meta_group.is_some());
        if let Some(first) = size.first_meta_group {
            self.first_meta_bg.set(first);
        }
        self.set_feature(Feature::RESIZE_INODE, size.has_resize_inode);
    }

    /// Makes a copy of the primary super block what belongs in a group that gets one: clean, as nobody
    /// keeps a copy up to date in that.
    pub fn become_copy(&mut self, group: u32) {
        // As many bits of the number as there is room for.
        self.block_group_nr.set(group as u16);
        self.set_state(State(State::CLEAN));
        self.set_last_orphan(None);
        self.set_feature(Feature::NEEDS_RECOVERY, false);
        self.set_feature(Feature::ORPHAN_PRESENT, false);
    }
}
