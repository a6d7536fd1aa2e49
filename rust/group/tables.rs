// SPDX-License-Identifier: GPL-2.0

//! Inode tables that were never written, and what has to become of them.
//!
//! mke2fs leaves most of the inode tables as they are, to be done with in a moment. Nobody looks at
//! an inode that was never used, as long as it is known which ones these are: the descriptor says it,
//! and the descriptor can get lost. Then e2fsck takes whatever an inode table holds for inodes, old
//! ones of another file system for example. So they are filled with zeros while the file system is
//! mounted, and when that is done for a group, its descriptor says so.
//!
//! # Who writes where
//!
//! ```text
//!     inode table   ┌──────┬──────┬──────┬──────┬──────┬──────┐
//!                   │ used │ used │ part │      │      │      │
//!                   └──────┴──────┴──────┴──────┴──────┴──────┘
//!                     through the journal  past it: zeros
//! ```
//!
//! A block that holds an inode that was ever used is in the hands of the journal, and is never
//! written to otherwise. Its last inodes may never have been used; they are zero since the whole block
//! was made zero in memory, and logged as a whole, when its first inode was taken
//! ([`Groups::begin_table_block`]). All blocks behind it belong to who zeroes them, directly on the
//! device. Where the one ends and the other begins is read and changed under the group's lock, and the
//! zeros are written under it, a piece at a time: who wants an inode of the group meanwhile waits for
//! the device, as for `FITRIM`. It only ever moves towards the end of the table.
//!
//! So when the last piece was written, all of the table that was never used is zero, and stays so: that
//! is noted then, in a transaction of its own. Its commit flushes the device's cache before the block
//! that makes it valid, and the zeros with it, so that a crash can't leave the note without them.
//! Without a journal the cache is flushed before that. (With `nobarrier` there is no such order, as for
//! all else.) A crash takes back how far the table is
//! used together with the inodes themselves; the note comes later in the journal.

use super::{descriptors::GroupSummary, Groups};
use crate::{
    disk::{
        allocation::AllocationError, bitmap::Bitmap, group_desc::GroupFlags, layout::Layout,
        units::GroupNumber, Corrupt,
    },
    error::{FsError, FsResult},
    journal::credits,
    vfs::{
        block_device::BlockDevice,
        buffer::FreshBuffer,
        jbd2::{Credits, Handle, Journal},
    },
};

/// How much is written at a time, in bytes: the group is locked for so long, and who ends the mount
/// may wait for it.
const PIECE: u32 = 1 << 20;

/// How far the inode tables were looked at.
#[derive(Clone, Copy, Default)]
pub(crate) struct TablePosition {
    group: u32,
    /// The first block of this group's table that may need to be written.
    block: u32,
}

impl TablePosition {
    fn next_group(&mut self) {
        *self = Self {
            group: self.group.saturating_add(1),
            block: 0,
        };
    }
}

impl Groups {
    /// Writes zeros to the next piece of the inode tables from `at` on, and notes it in the descriptor
    /// if a table is done with. Returns false, with nothing written, if there is none left.
    ///
    /// Called without locks and without a handle, with freezes kept out, by one task at a time.
    ///
    /// # Errors
    ///
    /// [`Corrupt`] if an inode that was never used is in use; `at` is behind that group then. Those of the
    /// device and of the journal.
    pub(crate) fn zero_tables(&self, journal: &Journal, at: &mut TablePosition) -> FsResult<bool> {
        Journal::must_not_have_handle()?;
        if !self.descriptors.has_lazy_parts() {
            return Ok(false);
        }
        while at.group < self.layout.group_count() {
            let group = GroupNumber(at.group);
            if self.summary(group)?.table_is_zero {
                at.next_group();
                continue;
            }
            match self.zero_piece(journal.device(), group, at.block) {
                Ok(Some(end)) if end < self.layout.inode_table_blocks() => at.block = end,
                Ok(Some(_)) => {
                    journal.settle()?;
                    self.note_zeroed(journal, group)?;
                    at.next_group();
                }
                // Nobody uses this group's inodes any more.
                Ok(None) => {
                    at.next_group();
                    continue;
                }
                Err(error) => {
                    at.next_group();
                    return Err(error);
                }
            }
            return Ok(true);
        }
        Ok(false)
    }

    /// Writes zeros to a piece of a group's inode table, from block `from` of it on as far as it was
    /// never used. Returns the block behind it; `None` if the group's inodes are damaged.
    fn zero_piece(
        &self,
        device: &BlockDevice,
        group: GroupNumber,
        from: u32,
    ) -> FsResult<Option<u32>> {
        let mut state = self.lock(group)?;
        if state.bad_inodes {
            return Ok(None);
        }
        let summary = self.summary(group)?;
        if let Err(error) = self.check_never_used(device, group, &summary) {
            state.bad_inodes |= matches!(error, FsError::Corrupt(_));
            return Err(error);
        }
        let start = from.max(used_table_blocks(&self.layout, &summary));
        let bits = self.layout.block_size().bits();
        let end = start
            .saturating_add(PIECE >> bits)
            .min(self.layout.inode_table_blocks());
        if start < end {
            let first = summary.inode_table.0 + u64::from(start);
            device.write_zeroes(first << bits, u64::from(end - start) << bits)?;
        }
        Ok(Some(end))
    }

    /// # Errors
    ///
    /// [`Corrupt`] if an inode is in use although the descriptor says that it never was: it would be
    /// lost. The group is locked.
    pub(super) fn check_never_used(
        &self,
        device: &BlockDevice,
        group: GroupNumber,
        summary: &GroupSummary,
    ) -> FsResult {
        if summary.inodes_uninit {
            return Ok(());
        }
        let unused = used_inodes(&self.layout, summary)..self.layout.inodes_per_group();
        let bitmap = self.inode_bitmap(device, group, summary)?;
        match bitmap.with(|bytes| Bitmap::new(bytes).next_set(unused)) {
            None => Ok(()),
            Some(index) => {
                let inode = self.layout.inode_at(group, index);
                let error = match inode {
                    Some(inode) => AllocationError::UsedBehindEnd { inode },
                    None => AllocationError::BadGroup { group },
                };
                Err(Corrupt::from(error).into())
            }
        }
    }

    /// Notes in the descriptor that all of a group's inode table that was never used is zero.
    fn note_zeroed(&self, journal: &Journal, group: GroupNumber) -> FsResult {
        let handle = journal.start(Credits::new(credits::NOTE_ZEROED))?;
        let state = self.lock(group)?;
        let descriptor = handle.write(self.descriptors.buffer(&self.layout, group)?)?;
        self.descriptors
            .edit_alone(&self.layout, group, &descriptor, |desc| {
                desc.set_flags(GroupFlags(desc.flags().0 | GroupFlags::INODE_ZEROED));
            })?;
        drop(state);
        Ok(handle.stop()?)
    }

    /// Makes the block of the inode table that holds the inode with this index zero, if none of its
    /// inodes was ever used: what is on the device there may be anything. The group is locked,
    /// `summary` does not count the inode yet, and that none is in use all the same was checked
    /// ([`Self::check_never_used`]).
    ///
    /// The block is in the transaction from then on, so that all of it is written.
    pub(super) fn begin_table_block(
        &self,
        handle: &Handle<'_>,
        summary: &GroupSummary,
        index: u32,
    ) -> FsResult {
        if !begins_table_block(&self.layout, summary, index) {
            return Ok(());
        }
        let at = summary.inode_table.0 + u64::from(table_block(&self.layout, index));
        let size = self.layout.block_size().bytes();
        let block = handle.create(FreshBuffer::get(handle.journal().device(), at, size)?)?;
        Ok(handle.write(&block)?.edit(|_| ())?)
    }
}

/// How many of a group's inodes were ever used, for all that it knows.
pub(super) fn used_inodes(layout: &Layout, summary: &GroupSummary) -> u32 {
    match summary.inodes_uninit {
        true => 0,
        false => layout
            .inodes_per_group()
            .saturating_sub(summary.unused_inodes),
    }
}

/// The block of a group's inode table that holds the inode with this index.
fn table_block(layout: &Layout, index: u32) -> u32 {
    index / layout.inodes_per_block().max(1)
}

/// Whether none of the inodes in the same block as the one with this index was ever used.
pub(super) fn begins_table_block(layout: &Layout, summary: &GroupSummary, index: u32) -> bool {
    table_block(layout, index) >= used_table_blocks(layout, summary)
}

/// The blocks at the start of an inode table that hold those that were.
fn used_table_blocks(layout: &Layout, summary: &GroupSummary) -> u32 {
    used_inodes(layout, summary).div_ceil(layout.inodes_per_block().max(1))
}
