// SPDX-License-Identifier: GPL-2.0

//! Freeing blocks.

use super::{pinned::Pinned, search::length, Groups};
use crate::{
    disk::{
        allocation::AllocationError,
        bitmap::Bitmap,
        units::{GroupNumber, PhysicalBlock},
        Corrupt,
    },
    error::{FsError, FsResult},
    memory::insist,
    vfs::jbd2::Handle,
};
use core::ops::Range;
use kernel::prelude::*;

impl Groups {
    /// Frees `len` blocks from `start` on, which may lie in several groups.
    ///
    /// They can be used again once the transaction is committed. Needs
    /// [`ALLOCATE`](crate::journal::credits::ALLOCATE) credits for each group. Blocks of metadata
    /// are to be forgotten before, see [`Handle::forget`].
    ///
    /// In a group whose bitmap was found damaged before, nothing is done: the blocks are lost until
    /// the file system is checked, which is better than to believe a wrong bitmap.
    ///
    /// # Errors
    ///
    /// [`Corrupt`] if they do not all exist, are not all in use, or are the file system's own. In
    /// the group where that is found nothing is changed. Errors of reading a bitmap, and of [`Handle::write`].
    pub(crate) fn free(&self, handle: &Handle<'_>, start: PhysicalBlock, len: u32) -> FsResult {
        self.free_by(handle, start, len, false)
    }

    /// The same for blocks that were allocated in this very transaction and never used: after a crash
    /// nobody has them, so they can be used again at once.
    pub(crate) fn free_unused(
        &self,
        handle: &Handle<'_>,
        start: PhysicalBlock,
        len: u32,
    ) -> FsResult {
        self.free_by(handle, start, len, true)
    }

    fn free_by(
        &self,
        handle: &Handle<'_>,
        start: PhysicalBlock,
        len: u32,
        unused: bool,
    ) -> FsResult {
        self.check_blocks(start, len)?;
        self.each_group(start, len, |group, range| {
            self.free_in_group(handle, group, range, unused)
        })
    }

    /// Whether [`Self::free`] finds what it has to read. Damage is for [`Self::free`] to tell.
    ///
    /// # Errors
    ///
    /// Those of reading a bitmap.
    pub(crate) fn may_free(&self, handle: &Handle<'_>, start: PhysicalBlock, len: u32) -> FsResult {
        if self.check_blocks(start, len).is_err() {
            return Ok(());
        }
        self.each_group(start, len, |group, _| {
            let state = self.lock(group)?;
            let summary = self.summary(group)?;
            if state.bad_blocks || summary.blocks_uninit {
                return Ok(());
            }
            match self.block_bitmap(handle, group, &summary) {
                Ok(_) | Err(FsError::Corrupt(_)) => Ok(()),
                Err(error) => Err(error),
            }
        })
    }

    /// Whether there are such blocks, none of which is the file system's own.
    fn check_blocks(&self, start: PhysicalBlock, len: u32) -> FsResult {
        let count = u64::from(len);
        if !self.layout.contains(start, count) {
            return Err(Corrupt::from(AllocationError::NoSuchBlocks {
                first: start,
                count,
            })
            .into());
        }
        self.system()
            .check_foreign(start, count)
            .map_err(Corrupt::from)?;
        Ok(())
    }

    /// Has something done with the part of a run that lies in each group. All of its blocks exist.
    fn each_group(
        &self,
        start: PhysicalBlock,
        len: u32,
        mut with: impl FnMut(GroupNumber, Range<u32>) -> FsResult,
    ) -> FsResult {
        let (mut at, mut rest) = (start, len);
        while rest > 0 {
            let (group, bit) = self
                .layout
                .group_of_block(at)
                .ok_or(FsError::from(EINVAL))?;
            let here = rest.min(self.layout.blocks_in_group(group).saturating_sub(bit));
            if here == 0 {
                // Not reached: `group_of_block` gives a bit within the group.
                return Err(EINVAL.into());
            }
            with(group, bit..bit + here)?;
            rest -= here;
            // All of these blocks exist, so their numbers fit.
            at = PhysicalBlock(at.0 + u64::from(here));
        }
        Ok(())
    }

    fn free_in_group(
        &self,
        handle: &Handle<'_>,
        group: GroupNumber,
        range: Range<u32>,
        unused: bool,
    ) -> FsResult {
        let mut state = self.lock(group)?;
        if state.bad_blocks {
            return Ok(());
        }
        self.release_pinned(group, &mut state, handle.journal());
        let summary = self.summary(group)?;
        let first = self.layout.first_block(group);
        let freed_twice = |bit: u32| {
            FsError::from(Corrupt::from(AllocationError::FreedTwice {
                block: PhysicalBlock(first.0 + u64::from(bit)),
            }))
        };
        if summary.blocks_uninit {
            // No block of it was ever given out.
            return Err(freed_twice(range.start));
        }
        let bitmap = self.needed_block_bitmap(handle, group, &mut state, &summary)?;
        if let Some(bit) = bitmap.with(|bytes| Bitmap::new(bytes).next_clear(range.clone())) {
            self.condemn_blocks(group, &mut state, summary.free_blocks);
            return Err(freed_twice(bit));
        }

        let count = length(&range);
        if unused {
            self.set_blocks(handle, group, &bitmap, range, false)?;
            self.release_at_once(group, &mut state, count);
            return Ok(());
        }
        let tid = handle.tid().ok_or(FsError::from(EROFS))?;
        let pinned = match &mut state.pinned {
            Some(pinned) => pinned,
            none => none.insert(insist(|| Ok(KBox::new(Pinned::default(), GFP_KERNEL)?))?),
        };
        // Whoever had them has lost them by now.
        insist(|| Ok(pinned.prepare(tid, bitmap.size())?))?;
        self.set_blocks(handle, group, &bitmap, range.clone(), false)?;
        pinned.add(range);
        self.space.update(|ledger| ledger.freed(count));
        Ok(())
    }
}
