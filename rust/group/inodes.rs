// SPDX-License-Identifier: GPL-2.0

//! Inodes as numbers: where they lie, and freeing them.
//!
//! With a journal a freed inode can be used again at once, even in the same transaction. Without one a name
//! that was removed may still be on disk after a crash, and would be that of another file. So freed
//! inodes are pinned then, as blocks are, until the removal is on disk.

use super::{
    descriptors::{read_block, Changed, GroupSummary},
    pinned::Pinned,
    room::Has,
    tables::used_inodes,
    GroupState, Groups, LockedGroup,
};
use crate::{
    disk::{
        allocation::AllocationError,
        bitmap::{Bitmap, BitmapMut},
        group_desc::{GroupDesc, GroupDescChecksum, GroupPart},
        layout::{InodePlace, Layout},
        units::{GroupNumber, InodeNumber, PhysicalBlock},
        Corrupt,
    },
    error::{FsError, FsResult},
    memory::insist,
    vfs::{
        block_device::BlockDevice,
        buffer::Buffer,
        jbd2::{Handle, Journal},
    },
};
use core::ops::Range;
use kernel::{error::code::EROFS, prelude::*, sync::atomic::Relaxed};

/// Where an inode lies on the device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct InodeLocation {
    /// The block of the inode table that holds it.
    pub(crate) block: PhysicalBlock,
    /// Where it starts in that block, in bytes.
    pub(crate) offset: u32,
    /// Its place as the format counts it.
    pub(crate) place: InodePlace,
}

impl InodeLocation {
    fn new(place: InodePlace, table: PhysicalBlock) -> Option<Self> {
        Some(Self {
            block: table.checked_add(place.block.into())?,
            offset: place.offset,
            place,
        })
    }
}

/// Where an inode lies, before there are [`Groups`]: that of the journal, which is needed for the
/// recovery that has to come first.
///
/// # Errors
///
/// [`Corrupt`] if there is no such inode, or its group's descriptor is damaged.
pub(crate) fn locate_before_recovery(
    device: &BlockDevice,
    layout: &Layout,
    checksum: &GroupDescChecksum,
    inode: InodeNumber,
) -> FsResult<InodeLocation> {
    let place = layout
        .place_of_inode(inode)
        .ok_or_else(|| no_such_inode(inode))?;
    let descriptor = layout
        .place_of_descriptor(place.group)
        .ok_or_else(|| no_such_inode(inode))?;
    let table = read_block(device, layout, descriptor.block)?
        .with(|bytes| {
            let desc = GroupDesc::in_block(bytes, layout, place.group)?;
            desc.verify_checksum(checksum)?;
            desc.check(layout)?;
            Ok(desc.inode_table())
        })
        .map_err(|error: crate::disk::group_desc::GroupDescError| Corrupt::from(error))?;
    InodeLocation::new(place, table).ok_or_else(|| no_such_inode(inode))
}

impl Groups {
    /// Where an inode lies that somebody refers to.
    ///
    /// # Errors
    ///
    /// [`Corrupt`] if there is no such inode, or if it was never used: then its block may never
    /// have been written either, and holds whatever was on the device before.
    pub(crate) fn locate_inode(&self, inode: InodeNumber) -> FsResult<InodeLocation> {
        let place = self
            .layout
            .place_of_inode(inode)
            .ok_or_else(|| no_such_inode(inode))?;
        let summary = self.summary(place.group)?;
        if !was_used(&self.layout, &summary, place.index) {
            return Err(no_such_inode(inode));
        }
        InodeLocation::new(place, summary.inode_table).ok_or_else(|| no_such_inode(inode))
    }

    /// The blocks of the inode table around one, to be read with it: up to `blocks`, a power of two, from a multiple of
    /// that on, as far as they hold inodes that were used.
    ///
    /// # Errors
    ///
    /// `EINVAL` if there is no such group.
    pub(crate) fn table_around(&self, at: &InodeLocation, blocks: u32) -> FsResult<Range<u64>> {
        let summary = self.summary(at.place.group)?;
        let table = summary.inode_table.0;
        let used = used_inodes(&self.layout, &summary).div_ceil(self.layout.inodes_per_block());
        let start = at.block.0 & !(u64::from(blocks) - 1);
        let end = (start + u64::from(blocks)).min(table + u64::from(used));
        Ok(start.max(table)..end)
    }

    /// Frees an inode, whose blocks and contents are gone already.
    ///
    /// Needs [`FREE_INODE`](crate::journal::credits::FREE_INODE) credits.
    ///
    /// # Errors
    ///
    /// [`Corrupt`] if it is not in use or reserved, or the inode bitmap is damaged. Errors of
    /// [`Handle::write`].
    pub(crate) fn free_inode(
        &self,
        handle: &Handle<'_>,
        inode: InodeNumber,
        is_directory: bool,
    ) -> FsResult {
        let (place, mut state, bitmap) = self.bitmap_of(handle.journal().device(), inode)?;
        self.prepare_to_pin_inode(handle, &mut state, bitmap.size())?;
        let bits = handle.write(&bitmap)?;
        let descriptor = self.descriptors.buffer(&self.layout, place.group)?;
        let descriptor = handle.write(descriptor)?;
        let cleared =
            bits.edit(|bytes| BitmapMut::new(bytes).clear_range(place.index..place.index + 1))?;
        if cleared.is_err() {
            state.bad_inodes = true;
            return Err(not_in_use(inode));
        }
        let flipped = Changed::Flipped(place.index..place.index + 1);
        let part = (GroupPart::InodeBitmap, &bitmap, flipped);
        self.descriptors
            .edit(&self.layout, place.group, &descriptor, part, |desc| {
                desc.set_free_inodes(desc.free_inodes().saturating_add(1));
                if is_directory {
                    desc.set_used_dirs(desc.used_dirs().saturating_sub(1));
                }
            })?;
        self.more_room(place.group)?;
        if let Some(pinned) = &mut state.pinned_inodes {
            pinned.add(place.index..place.index + 1);
            self.pinned_inodes.add(1u64, Relaxed);
        }
        self.free_inodes.add(1u64, Relaxed);
        if is_directory {
            // The descriptors may have counted fewer than there are.
            self.directories.fetch_sub(1i64, Relaxed);
        }
        Ok(())
    }

    /// Notes that a group has more of something than before. It is locked.
    pub(super) fn more_room(&self, group: GroupNumber) -> FsResult {
        self.room.raise(group, Has::from(&self.summary(group)?));
        Ok(())
    }

    /// Makes sure that an inode is in use, before what it says is acted upon: the blocks of one that is free may
    /// belong to others by now.
    ///
    /// # Errors
    ///
    /// [`Corrupt`] if it is not in use or reserved, or the inode bitmap is damaged. `EIO`.
    pub(crate) fn check_in_use(&self, device: &BlockDevice, inode: InodeNumber) -> FsResult {
        let (place, _state, bitmap) = self.bitmap_of(device, inode)?;
        let own = place.index..place.index + 1;
        match bitmap.with(|bytes| Bitmap::new(bytes).next_clear(own)) {
            None => Ok(()),
            Some(_) => Err(not_in_use(inode)),
        }
    }

    /// The bitmap that [`Self::free_inode`] is going to change: as long as it is held, that reads nothing.
    ///
    /// # Errors
    ///
    /// Those of [`Self::check_in_use`].
    pub(crate) fn hold_inode_bitmap(
        &self,
        device: &BlockDevice,
        inode: InodeNumber,
    ) -> FsResult<Buffer> {
        self.bitmap_of(device, inode).map(|(_, _, bitmap)| bitmap)
    }

    /// The place of an inode that was used at some time, its group, locked, and the inode bitmap of that.
    fn bitmap_of(
        &self,
        device: &BlockDevice,
        inode: InodeNumber,
    ) -> FsResult<(InodePlace, LockedGroup<'_>, Buffer)> {
        let place = self
            .layout
            .place_of_inode(inode)
            .filter(|_| inode >= self.layout.first_inode())
            .ok_or_else(|| not_in_use(inode))?;
        let mut state = self.lock(place.group)?;
        if state.bad_inodes {
            return Err(Corrupt::from(AllocationError::BadGroup { group: place.group }).into());
        }
        let summary = self.summary(place.group)?;
        if !was_used(&self.layout, &summary, place.index) {
            return Err(not_in_use(inode));
        }
        match self.inode_bitmap(device, place.group, &summary) {
            Ok(bitmap) => Ok((place, state, bitmap)),
            Err(error) => {
                state.bad_inodes |= matches!(error, FsError::Corrupt(_));
                Err(error)
            }
        }
    }

    /// Makes room to pin an inode of a group, if that is needed, with an inode bitmap of so many bytes.
    fn prepare_to_pin_inode(
        &self,
        handle: &Handle<'_>,
        state: &mut GroupState,
        bytes: usize,
    ) -> FsResult {
        if handle.journal().is_atomic() {
            return Ok(());
        }
        self.release_inodes_of(state, handle.journal());
        let tid = handle.tid().ok_or(FsError::from(EROFS))?;
        let pinned = match &mut state.pinned_inodes {
            Some(pinned) => pinned,
            none => none.insert(insist(|| Ok(KBox::new(Pinned::default(), GFP_KERNEL)?))?),
        };
        Ok(insist(|| Ok(pinned.prepare(tid, bytes)?))?)
    }

    /// Gives the group's pinned inodes back that are free on disk by now. Whether there were any.
    pub(super) fn release_inodes_of(&self, state: &mut GroupState, journal: &Journal) -> bool {
        let Some(pinned) = &mut state.pinned_inodes else {
            return false;
        };
        let released = pinned.release(|tid| journal.is_committed(tid)).blocks;
        if pinned.count() == 0 {
            state.pinned_inodes = None;
        }
        self.pinned_inodes.fetch_sub(u64::from(released), Relaxed);
        released > 0
    }

    /// Whether there are pinned inodes.
    pub(super) fn has_pinned_inodes(&self) -> bool {
        self.pinned_inodes.load(Relaxed) > 0
    }

    /// Gives the pinned inodes of all groups back that are free on disk by now. Whether there were any.
    pub(super) fn release_inodes(&self, journal: &Journal) -> bool {
        let mut released = false;
        if self.has_pinned_inodes() {
            for shard in &self.shards {
                for state in shard.lock().iter_mut() {
                    released |= self.release_inodes_of(state, journal);
                }
            }
        }
        released
    }
}

/// Whether the inode with this index was ever used, for all that its group knows.
fn was_used(layout: &Layout, summary: &GroupSummary, index: u32) -> bool {
    index < used_inodes(layout, summary)
}

fn not_in_use(inode: InodeNumber) -> FsError {
    Corrupt::from(AllocationError::InodeNotInUse { inode }).into()
}

fn no_such_inode(inode: InodeNumber) -> FsError {
    Corrupt::from(AllocationError::NoSuchInode { inode }).into()
}
