// SPDX-License-Identifier: GPL-2.0

//! The bitmaps of a group in memory: read, checked once, made when they were never written.

use super::{
    descriptors::{Changed, GroupSummary},
    GroupState, Groups,
};
use crate::{
    disk::{
        allocation::{
            check_block_bitmap, free_in_unused_group, init_block_bitmap, AllocationError,
        },
        bitmap::{self, BitmapMut},
        group_desc::{GroupFlags, GroupPart},
        units::{GroupNumber, PhysicalBlock},
        Corrupt,
    },
    error::{FsError, FsResult},
    journal::kinds,
    vfs::{
        block_device::BlockDevice,
        buffer::{Buffer, FreshBuffer},
        jbd2::Handle,
    },
};
use core::ops::Range;

impl Groups {
    fn read(&self, device: &BlockDevice, at: PhysicalBlock) -> FsResult<Buffer> {
        Ok(Buffer::read(
            device,
            at.0,
            self.layout.block_size().bytes(),
        )?)
    }

    /// Whether the block bitmap of a group is in memory.
    pub(super) fn has_block_bitmap(&self, device: &BlockDevice, summary: &GroupSummary) -> bool {
        let size = self.layout.block_size().bytes();
        Buffer::find(device, summary.block_bitmap.0, size).is_some()
    }

    /// The block bitmap of a group, checked. The group is locked.
    ///
    /// Whatever is wrong is found here, so that what comes after can believe the bitmap.
    pub(super) fn block_bitmap(
        &self,
        handle: &Handle<'_>,
        group: GroupNumber,
        summary: &GroupSummary,
    ) -> FsResult<Buffer> {
        if summary.blocks_uninit {
            return self.make_block_bitmap(handle, group, summary);
        }
        self.checked_block_bitmap(handle.journal().device(), group, summary)
    }

    /// The same for one who can't do without it: a group whose bitmap is damaged is used no more.
    pub(super) fn needed_block_bitmap(
        &self,
        handle: &Handle<'_>,
        group: GroupNumber,
        state: &mut GroupState,
        summary: &GroupSummary,
    ) -> FsResult<Buffer> {
        let bitmap = self.block_bitmap(handle, group, summary);
        if matches!(bitmap, Err(FsError::Corrupt(_))) {
            self.condemn_blocks(group, state, summary.free_blocks);
        }
        bitmap
    }

    /// As [`Self::block_bitmap`], for a group whose bitmap is on disk.
    pub(super) fn checked_block_bitmap(
        &self,
        device: &BlockDevice,
        group: GroupNumber,
        summary: &GroupSummary,
    ) -> FsResult<Buffer> {
        let buffer = self.read(device, summary.block_bitmap)?;
        self.descriptors.look(&self.layout, group, |desc| {
            buffer.verify_once(kinds::BLOCK_BITMAP, |bytes| {
                if let Some(seed) = self.descriptors.bitmap_seed() {
                    let part = GroupPart::BlockBitmap;
                    bitmap::verify_checksum(seed, &self.layout, &desc, part, bytes)?;
                }
                check_block_bitmap(bytes, &self.layout, &desc, self.system())?;
                Ok::<(), Corrupt>(())
            })
        })??;
        Ok(buffer)
    }

    /// Makes the block bitmap of a group whose blocks were never used.
    fn make_block_bitmap(
        &self,
        handle: &Handle<'_>,
        group: GroupNumber,
        summary: &GroupSummary,
    ) -> FsResult<Buffer> {
        let free = free_in_unused_group(&self.layout, group, self.system());
        if free != summary.free_blocks {
            return Err(Corrupt::from(AllocationError::FreeCount {
                group,
                bitmap: free,
                descriptor: summary.free_blocks,
            })
            .into());
        }
        let fresh = FreshBuffer::get(
            handle.journal().device(),
            summary.block_bitmap.0,
            self.layout.block_size().bytes(),
        )?;
        let bitmap = handle.create(fresh)?;
        let descriptor = self.descriptors.buffer(&self.layout, group)?;
        let descriptor = handle.write(descriptor)?;
        handle
            .write(&bitmap)?
            .edit(|bytes| init_block_bitmap(bytes, &self.layout, group, self.system()))?;
        let part = (GroupPart::BlockBitmap, &bitmap, Changed::All);
        self.descriptors
            .edit(&self.layout, group, &descriptor, part, |desc| {
                let flags = desc.flags().0 & !GroupFlags::BLOCK_UNINIT;
                desc.set_flags(GroupFlags(flags));
            })?;
        Ok(bitmap)
    }

    /// Makes the blocks in `range` of a group used, or free, on disk. The group is locked.
    ///
    /// All of them must have been the contrary.
    pub(super) fn set_blocks(
        &self,
        handle: &Handle<'_>,
        group: GroupNumber,
        bitmap: &Buffer,
        range: Range<u32>,
        used: bool,
    ) -> FsResult {
        let count = super::search::length(&range);
        // Access to both before either is changed.
        let bits = handle.write(bitmap)?;
        let descriptor = handle.write(self.descriptors.buffer(&self.layout, group)?)?;
        bits.edit(|bytes| {
            let mut bitmap = BitmapMut::new(bytes);
            if used {
                bitmap.set_range(range.clone())
            } else {
                bitmap.clear_range(range.clone())
            }
        })?
        .map_err(Corrupt::from)?;
        let part = (GroupPart::BlockBitmap, bitmap, Changed::Flipped(range));
        self.descriptors
            .edit(&self.layout, group, &descriptor, part, |desc| {
                let free = desc.free_blocks();
                desc.set_free_blocks(if used {
                    free.saturating_sub(count)
                } else {
                    free.saturating_add(count)
                });
            })?;
        if used {
            return Ok(());
        }
        self.more_room(group)
    }

    /// The inode bitmap of a group that has inodes in use, checked. The group is locked.
    pub(super) fn inode_bitmap(
        &self,
        device: &BlockDevice,
        group: GroupNumber,
        summary: &GroupSummary,
    ) -> FsResult<Buffer> {
        let buffer = self.read(device, summary.inode_bitmap)?;
        self.descriptors.look(&self.layout, group, |desc| {
            buffer.verify_once(kinds::INODE_BITMAP, |bytes| {
                if let Some(seed) = self.descriptors.bitmap_seed() {
                    let part = GroupPart::InodeBitmap;
                    bitmap::verify_checksum(seed, &self.layout, &desc, part, bytes)?;
                }
                Ok::<(), Corrupt>(())
            })
        })??;
        Ok(buffer)
    }
}
