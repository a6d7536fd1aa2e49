// SPDX-License-Identifier: GPL-2.0

//! The group descriptors in memory: the buffers that hold them, for as long as the mount lasts.

use super::growing::Growing;
use crate::{
    disk::{
        allocation::{runs_of_group, SystemRun},
        bitmap,
        checksum::FsSeed,
        group_desc::{GroupDesc, GroupDescChecksum, GroupFlags, GroupPart},
        layout::Layout,
        units::{GroupNumber, PhysicalBlock},
        Corrupt,
    },
    error::{FsError, FsResult},
    vfs::{
        block_device::BlockDevice,
        buffer::{Buffer, Placement},
        jbd2::BufferMut,
    },
};
use core::ops::Range;
use kernel::prelude::*;

/// What a descriptor says, read at one moment.
#[derive(Clone, Copy)]
pub(super) struct GroupSummary {
    pub(super) block_bitmap: PhysicalBlock,
    pub(super) inode_bitmap: PhysicalBlock,
    pub(super) inode_table: PhysicalBlock,
    pub(super) free_blocks: u32,
    pub(super) free_inodes: u32,
    pub(super) used_dirs: u32,
    /// The inodes at the end of the table that were never used.
    pub(super) unused_inodes: u32,
    /// The block bitmap was never written.
    pub(super) blocks_uninit: bool,
    /// The inode bitmap and the inode table were never written.
    pub(super) inodes_uninit: bool,
    /// What was never used of the inode table is zero.
    pub(super) table_is_zero: bool,
}

/// What of a bitmap has changed.
pub(super) enum Changed {
    /// It was made.
    All,
    /// These bits were set and are clear, or the other way round.
    Flipped(Range<u32>),
}

/// The descriptors of all groups.
///
/// A descriptor is changed under the lock of its group (see [`super`]), and within the journal. To
/// read one, the byte lock of its buffer is enough.
pub(super) struct Descriptors {
    buffers: Growing<Buffer>,
    checksum: GroupDescChecksum,
}

impl Descriptors {
    /// Reads the descriptors of all groups and checks each by itself.
    pub(super) fn load(
        device: &BlockDevice,
        layout: &Layout,
        checksum: GroupDescChecksum,
    ) -> FsResult<Self> {
        let mut buffers = KVVec::with_capacity(layout.descriptor_blocks() as usize, GFP_KERNEL)?;
        for number in 0..layout.descriptor_blocks() {
            if let Some(ahead) = layout.descriptor_block(number.saturating_add(READ_AHEAD)) {
                Buffer::read_ahead(device, ahead.0, layout.block_size().bytes());
            }
            buffers.push(read_block(device, layout, number)?, GFP_KERNEL)?;
        }
        let all = Self {
            buffers: Growing::new(buffers)?,
            checksum,
        };
        for group in layout.groups() {
            all.look(layout, group, |desc| {
                desc.verify_checksum(&all.checksum)?;
                desc.check(layout)
            })?
            .map_err(Corrupt::from)?;
        }
        Ok(all)
    }

    /// How many groups' worth of descriptors there are is known from the layout; this is the seed
    /// of the bitmaps' checksums, if they have any.
    pub(super) fn bitmap_seed(&self) -> Option<FsSeed> {
        match self.checksum {
            GroupDescChecksum::Crc32c(seed) => Some(seed),
            GroupDescChecksum::None | GroupDescChecksum::Crc16 { .. } => None,
        }
    }

    /// See [`GroupDescChecksum::has_lazy_parts`].
    pub(super) fn has_lazy_parts(&self) -> bool {
        self.checksum.has_lazy_parts()
    }

    /// Stores the checksum of a descriptor that is not among these yet.
    pub(super) fn seal(&self, desc: &mut GroupDesc<&mut [u8]>) {
        desc.update_checksum(&self.checksum);
    }

    /// Sees to it that [`Self::add`] needs no memory so many times.
    pub(super) fn make_room(&self, more: usize) -> FsResult {
        self.buffers.make_room(more)
    }

    /// Adds the next block of descriptors. Nobody asks for it yet.
    pub(super) fn add(&self, block: Buffer) -> FsResult {
        self.buffers.push(block)
    }

    /// Copies a block of them.
    pub(super) fn copy(&self, number: u32, out: &mut [u8]) -> FsResult {
        let buffer = self.buffers.get(number as usize).ok_or(EINVAL)?;
        buffer.with(|bytes| out.copy_from_slice(bytes));
        Ok(())
    }

    /// The buffer that holds the descriptor of `group`.
    pub(super) fn buffer(&self, layout: &Layout, group: GroupNumber) -> FsResult<&Buffer> {
        layout
            .place_of_descriptor(group)
            .and_then(|place| self.buffers.get(place.block as usize))
            .ok_or(EINVAL.into())
    }

    /// Looks at a descriptor, under the byte lock of its buffer.
    pub(super) fn look<R>(
        &self,
        layout: &Layout,
        group: GroupNumber,
        look: impl FnOnce(GroupDesc<&[u8]>) -> R,
    ) -> FsResult<R> {
        self.buffer(layout, group)?.with(|bytes| {
            let desc = GroupDesc::in_block(bytes, layout, group).map_err(Corrupt::from)?;
            Ok(look(desc))
        })
    }

    /// What a descriptor says now.
    pub(super) fn summary(&self, layout: &Layout, group: GroupNumber) -> FsResult<GroupSummary> {
        let lazy = self.has_lazy_parts();
        self.look(layout, group, |desc| GroupSummary {
            block_bitmap: desc.block_bitmap(),
            inode_bitmap: desc.inode_bitmap(),
            inode_table: desc.inode_table(),
            free_blocks: desc.free_blocks(),
            free_inodes: desc.free_inodes(),
            used_dirs: desc.used_dirs(),
            unused_inodes: if lazy { desc.unused_inodes() } else { 0 },
            blocks_uninit: lazy && desc.flags().has(GroupFlags::BLOCK_UNINIT),
            inodes_uninit: lazy && desc.flags().has(GroupFlags::INODE_UNINIT),
            table_is_zero: desc.flags().has(GroupFlags::INODE_ZEROED),
        })
    }

    /// The blocks that a group's metadata takes up.
    pub(super) fn system_runs(
        &self,
        layout: &Layout,
        group: GroupNumber,
    ) -> FsResult<[SystemRun; 4]> {
        self.look(layout, group, |desc| runs_of_group(layout, &desc))
    }

    /// Changes a descriptor, and stores its checksum and that of the bitmap `part`, which is in
    /// `bitmap` and was changed before.
    pub(super) fn edit(
        &self,
        layout: &Layout,
        group: GroupNumber,
        token: &BufferMut<'_>,
        (part, bitmap, changed): (GroupPart, &Buffer, Changed),
        change: impl FnOnce(&mut GroupDesc<&mut [u8]>),
    ) -> FsResult {
        token.edit_from(bitmap, |bytes, bits| {
            let mut desc = GroupDesc::in_block(bytes, layout, group).map_err(Corrupt::from)?;
            change(&mut desc);
            if let Some(seed) = self.bitmap_seed() {
                match changed {
                    Changed::All => bitmap::update_checksum(seed, layout, &mut desc, part, bits),
                    Changed::Flipped(range) => bitmap::update_checksum_of_flipped(
                        seed, layout, &mut desc, part, bits, range,
                    ),
                }
                .map_err(Corrupt::from)?;
            }
            desc.update_checksum(&self.checksum);
            Ok(())
        })?
    }

    /// The same where no bitmap changes.
    pub(super) fn edit_alone(
        &self,
        layout: &Layout,
        group: GroupNumber,
        token: &BufferMut<'_>,
        change: impl FnOnce(&mut GroupDesc<&mut [u8]>),
    ) -> FsResult {
        token.edit(|bytes| {
            let mut desc = GroupDesc::in_block(bytes, layout, group).map_err(Corrupt::from)?;
            change(&mut desc);
            desc.update_checksum(&self.checksum);
            Ok(())
        })?
    }
}

/// Whether [`Layout::is_kept_in_name_only`], by what is on the device. Before recovery too: no part ever moves.
///
/// # Errors
///
/// `EIO`.
pub(crate) fn is_kept_in_name_only(device: &BlockDevice, layout: &Layout) -> FsResult<bool> {
    let is_so = read_block(device, layout, 0)?.with(|bytes| {
        GroupDesc::in_block(bytes, layout, GroupNumber(0))
            .map(|first| layout.is_kept_in_name_only(&first))
    });
    Ok(is_so.map_err(Corrupt::from)?)
}

/// How many blocks of descriptors are read ahead at mount.
const READ_AHEAD: u32 = 32;

/// Reads one of the blocks of descriptors.
pub(super) fn read_block(device: &BlockDevice, layout: &Layout, number: u32) -> FsResult<Buffer> {
    let at = layout
        .descriptor_block(number)
        .ok_or(FsError::from(EINVAL))?;
    let size = layout.block_size().bytes();
    Ok(Buffer::read_placed(device, at.0, size, Placement::Pinned)?)
}
