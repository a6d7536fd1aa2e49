// SPDX-License-Identifier: GPL-2.0

//! Allocating inodes.
//!
//! What is in one directory is read together, so files come into the group of their directory, or
//! near it. So do directories, but not without limits: a group full of directories has no room for
//! their files. Those right below the root, which have little to do with each other, are spread over
//! the whole device. The idea is Orlov's, the limits are those of C ext4.

use super::{
    allocate::visiting_ranges,
    descriptors::{Changed, GroupSummary},
    room::{Has, Needs},
    search::FreeBits,
    tables::begins_table_block,
    Groups,
};
use crate::{
    disk::{
        allocation::AllocationError,
        bitmap::{Bitmap, BitmapMut},
        group_desc::{GroupFlags, GroupPart},
        units::{GroupNumber, InodeNumber},
        Corrupt,
    },
    error::{FsError, FsResult},
    vfs::{
        buffer::{Buffer, FreshBuffer},
        jbd2::Handle,
    },
};
use core::ops::Range;
use kernel::{error::code::EIO, sync::atomic::Relaxed};

/// Where a new inode should lie.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Siting {
    /// That of a directory, which should lie near this group unless that is crowded.
    Directory(GroupNumber),
    /// That of a directory which has nothing to do with its neighbours: wherever there is most
    /// room, looked for from this group on.
    Apart(GroupNumber),
    /// That of anything else, as near to this group as can be.
    Near(GroupNumber),
}

impl Groups {
    /// Allocates an inode. What its place in the inode table holds means nothing; the block there is in
    /// the transaction, and zero, if this is the first of its inodes.
    ///
    /// Needs [`ALLOCATE_INODE`](crate::journal::credits::ALLOCATE_INODE) credits.
    ///
    /// # Errors
    ///
    /// `ENOSPC` if there is none, and `EIO` if the bitmap of a group that should have one can't be read and no
    /// other group has one. A damaged bitmap is noted once, see [`Self::take_damage`], and its
    /// group is left alone from then on. Errors of [`Handle::write`].
    pub(crate) fn allocate_inode(
        &self,
        handle: &Handle<'_>,
        siting: Siting,
    ) -> FsResult<InodeNumber> {
        let (start, is_directory) = match siting {
            Siting::Directory(group) | Siting::Apart(group) => (group, true),
            Siting::Near(group) => (group, false),
        };
        let start = GroupNumber(start.0 % self.layout.group_count().max(1));
        let mut none = FsError::NO_SPACE;
        if let Some(group) = self.favourite(siting, start)? {
            if let Some(inode) = self.take_inode(handle, group, is_directory, &mut none)? {
                return Ok(inode);
            }
        }
        // First where there is room for data too.
        for blocks in [1, 0] {
            let needs = Needs {
                inodes: 1,
                blocks,
                directories: u32::MAX,
            };
            for mut groups in visiting_ranges(start, &self.layout) {
                while let Some(group) = self.first_with(groups.clone(), &needs)? {
                    if let Some(inode) = self.take_inode(handle, group, is_directory, &mut none)? {
                        return Ok(inode);
                    }
                    // There is a group with this number.
                    groups.start = group.0 + 1;
                }
            }
        }
        Err(none)
    }

    /// The group that suits best, if it matters which one.
    fn favourite(&self, siting: Siting, start: GroupNumber) -> FsResult<Option<GroupNumber>> {
        match siting {
            Siting::Near(_) => Ok(None),
            Siting::Directory(_) => self.uncrowded(start),
            Siting::Apart(_) => self.emptiest(start),
        }
    }

    /// What groups have on average.
    fn average(&self) -> Has {
        let groups = u64::from(self.layout.group_count().max(1));
        let each = |all: u64| u32::try_from(all / groups).unwrap_or(u32::MAX);
        Has {
            inodes: each(self.free_inodes()),
            blocks: each(self.free_blocks()),
            directories: each(u64::try_from(self.directories.load(Relaxed)).unwrap_or(0)),
        }
    }

    /// Of the groups with at least as much room as others have, the one with fewest directories.
    fn emptiest(&self, start: GroupNumber) -> FsResult<Option<GroupNumber>> {
        let average = self.average();
        let needs = Needs {
            inodes: average.inodes.max(1),
            blocks: average.blocks,
            directories: u32::MAX,
        };
        let groups = [start.0..self.layout.group_count(), 0..start.0];
        let look = |group, needs: &Needs| self.look_for(group, needs);
        self.room.emptiest(groups, &needs, &look)
    }

    /// The nearest group that does not have many more directories, or much less room, than others.
    fn uncrowded(&self, start: GroupNumber) -> FsResult<Option<GroupNumber>> {
        let average = self.average();
        let (inodes, blocks) = (
            self.layout.inodes_per_group(),
            self.layout.blocks_per_group(),
        );
        let fewer_than = average.directories.saturating_add(inodes / 16);
        let needs = Needs {
            inodes: average.inodes.saturating_sub(inodes / 4).max(1),
            blocks: average.blocks.saturating_sub(blocks / 4),
            directories: fewer_than.saturating_sub(1),
        };
        for groups in visiting_ranges(start, &self.layout) {
            let found = self.first_with(groups, &needs)?;
            if found.is_some() {
                return Ok(found);
            }
        }
        Ok(None)
    }

    /// The first group in a range that has what is needed.
    fn first_with(&self, groups: Range<u32>, needs: &Needs) -> FsResult<Option<GroupNumber>> {
        let look = |group, needs: &Needs| self.look_for(group, needs);
        let found = self.room.first(groups, needs, &look)?;
        Ok(found.map(|(group, _)| group))
    }

    /// What a group has, if that is enough. If not, this is remembered.
    fn look_for(&self, group: GroupNumber, needs: &Needs) -> FsResult<Option<Has>> {
        let has = Has::from(&self.summary(group)?);
        if needs.are_met_by(&has) {
            return Ok(Some(has));
        }
        let _state = self.lock(group)?;
        self.room.lower(group, Has::from(&self.summary(group)?));
        Ok(None)
    }

    /// Takes the first free inode of a group, if it has one. If its bitmap can't be read, `none` is what
    /// to answer when no other group has one either.
    fn take_inode(
        &self,
        handle: &Handle<'_>,
        group: GroupNumber,
        is_directory: bool,
        none: &mut FsError,
    ) -> FsResult<Option<InodeNumber>> {
        let mut state = self.lock(group)?;
        let summary = self.summary(group)?;
        self.release_inodes_of(&mut state, handle.journal());
        let pinned = state.pinned_inodes.as_ref();
        let pinned_count = pinned.map_or(0, |pinned| pinned.count());
        if state.bad_inodes || summary.free_inodes <= pinned_count {
            return Ok(None);
        }
        let found = self
            .inode_bitmap_to_change(handle, group, &summary)
            .and_then(|bitmap| {
                let pinned = pinned.map_or([None; 3], |pinned| pinned.bitmaps());
                let index = self.free_index(group, &bitmap, pinned)?;
                if begins_table_block(&self.layout, &summary, index) {
                    // The block is going to be zero.
                    self.check_never_used(handle.journal().device(), group, &summary)?;
                }
                Ok((bitmap, index))
            });
        let (bitmap, index) = match found {
            Ok(found) => found,
            Err(FsError::Corrupt(corrupt)) => {
                state.bad_inodes = true;
                self.note_damage(corrupt);
                return Ok(None);
            }
            // The next group may be readable.
            Err(error) if error.is(EIO) => {
                *none = error;
                return Ok(None);
            }
            Err(error) => return Err(error),
        };
        let inode = self
            .layout
            .inode_at(group, index)
            .ok_or(AllocationError::BadGroup { group })
            .map_err(Corrupt::from)?;

        if summary.blocks_uninit {
            // Whoever sees a group in use takes its block bitmap for written too.
            match self.block_bitmap(handle, group, &summary) {
                Ok(_) => {}
                Err(FsError::Corrupt(corrupt)) => {
                    self.condemn_blocks(group, &mut state, summary.free_blocks);
                    self.note_damage(corrupt);
                }
                Err(error) => return Err(error),
            }
        }
        let bits = handle.write(&bitmap)?;
        let descriptor = handle.write(self.descriptors.buffer(&self.layout, group)?)?;
        // Last of what can fail: once the block is in the transaction its inode has to count as used.
        self.begin_table_block(handle, &summary, index)?;
        bits.edit(|bytes| BitmapMut::new(bytes).set_range(index..index + 1))?
            .map_err(Corrupt::from)?;
        let lazy = self.descriptors.has_lazy_parts();
        let inodes = self.layout.inodes_per_group();
        let flipped = Changed::Flipped(index..index + 1);
        let part = (GroupPart::InodeBitmap, &bitmap, flipped);
        self.descriptors
            .edit(&self.layout, group, &descriptor, part, |desc| {
                desc.set_free_inodes(desc.free_inodes().saturating_sub(1));
                if is_directory {
                    desc.set_used_dirs(desc.used_dirs().saturating_add(1));
                }
                // Those before this one are in use, or were: the first free one was taken, or one behind those
                // that were in use a moment ago.
                let behind = inodes.saturating_sub(index + 1);
                if lazy && (summary.inodes_uninit || desc.unused_inodes() > behind) {
                    desc.set_unused_inodes(behind);
                }
            })?;
        self.free_inodes.fetch_sub(1u64, Relaxed);
        if is_directory {
            self.directories.add(1i64, Relaxed);
        }
        Ok(Some(inode))
    }

    /// The first free inode of a group, counted from its first one.
    fn free_index(
        &self,
        group: GroupNumber,
        bitmap: &Buffer,
        pinned: [Option<Bitmap<'_>>; 3],
    ) -> FsResult<u32> {
        // Some inodes of the first group are reserved, whatever the bitmap says.
        let first = match group.0 {
            0 => self.layout.first_inode().0.saturating_sub(1),
            _ => 0,
        };
        let inodes = self.layout.inodes_per_group();
        bitmap
            .with(|bytes| {
                FreeBits::new(Bitmap::new(bytes), pinned, inodes).next_run(first..inodes, 1)
            })
            .map(|free| free.start)
            .ok_or_else(|| Corrupt::from(AllocationError::BadGroup { group }).into())
    }

    /// The inode bitmap of a group, checked, or made if it was never written. The group is locked.
    fn inode_bitmap_to_change(
        &self,
        handle: &Handle<'_>,
        group: GroupNumber,
        summary: &GroupSummary,
    ) -> FsResult<Buffer> {
        let device = handle.journal().device();
        if !summary.inodes_uninit {
            return self.inode_bitmap(device, group, summary);
        }
        let size = self.layout.block_size().bytes();
        let bitmap = handle.create(FreshBuffer::get(device, summary.inode_bitmap.0, size)?)?;
        let inodes = self.layout.inodes_per_group();
        let descriptor = handle.write(self.descriptors.buffer(&self.layout, group)?)?;
        handle.write(&bitmap)?.edit(|bytes| {
            // What there are no inodes for counts as used.
            let mut bits = BitmapMut::new(bytes);
            let end = bits.as_bitmap().bits();
            bits.fill(inodes..end, true);
        })?;
        let part = (GroupPart::InodeBitmap, &bitmap, Changed::All);
        self.descriptors
            .edit(&self.layout, group, &descriptor, part, |desc| {
                let flags = desc.flags().0 & !GroupFlags::INODE_UNINIT;
                desc.set_flags(GroupFlags(flags));
                desc.set_unused_inodes(inodes);
            })?;
        Ok(bitmap)
    }
}
