// SPDX-License-Identifier: GPL-2.0

//! Telling the device which blocks hold nothing any more.
//!
//! In two ways: freed blocks by themselves, after the commit of the transaction that freed them
//! (mount option `discard`), and all free space when an administrator asks for it (`FITRIM`).
//!
//! A block must not be given out while it is discarded, or new data would be lost. Freed blocks are
//! pinned until their transaction is committed (see [`super::pinned`]), and with the option they
//! stay pinned until they are discarded, so no lock is held meanwhile. To trim, a group's lock is
//! held for each run: who wants blocks of that group waits for the device. That is right, since the
//! device waits for nobody, and rare.

use super::{Groups, LockedGroup};
use crate::{
    disk::{
        allocation::init_block_bitmap,
        units::{GroupNumber, PhysicalBlock},
    },
    error::{FsError, FsResult},
    vfs::{
        block_device::BlockDevice,
        jbd2::{Journal, Tid},
        readdir::pause,
        task::is_freezing,
    },
};
use core::{ops::Range, sync::atomic::Ordering};
use kernel::prelude::*;

impl Groups {
    /// Whether freed blocks are discarded before they can be used again.
    pub(crate) fn set_discard(&self, on: bool) {
        self.discard.store(on, Ordering::Release);
    }

    pub(super) fn discards(&self) -> bool {
        self.discard.load(Ordering::Acquire)
    }

    fn discard(&self, device: &BlockDevice, group: GroupNumber, run: &Range<u32>) -> FsResult {
        let bits = self.layout.block_size().bits();
        // Blocks of a group, whose numbers fit.
        let first = self.layout.first_block(group).0 + u64::from(run.start);
        let result = device.discard(first << bits, u64::from(run.end - run.start) << bits);
        match result {
            // The device may be able to do so in some places only.
            Err(e) if e == crate::error::eopnotsupp() => Ok(()),
            result => Ok(result?),
        }
    }

    /// Discards the blocks that were freed by transactions which are committed, and lets them be
    /// used. An error of the device is no reason to keep them; the first is the result.
    ///
    /// Called without locks and without a handle.
    pub(crate) fn discard_committed(
        &self,
        device: &BlockDevice,
        is_committed: impl Fn(Tid) -> bool,
    ) -> FsResult {
        Journal::must_not_have_handle()?;
        let _alone = self.discarding.lock();
        let mut result = Ok(());
        for group in self.layout.groups() {
            if self.space.ledger().pinned == 0 {
                break;
            }
            if !self.lock(group)?.take_committed(&is_committed) {
                continue;
            }
            let mut at = 0;
            while let Some(run) = self.lock(group)?.next_to_discard(at) {
                at = run.end;
                if self.discards() {
                    result = result.and(self.discard(device, group, &run));
                }
                let _ = pause();
            }
            let mut state = self.lock(group)?;
            if let Some(pinned) = &mut state.pinned {
                let released = pinned.end_discard();
                self.unpin(group, &mut state, released);
            }
        }
        result
    }

    /// Discards the free runs of at least `least` blocks in `blocks`; returns how many blocks.
    ///
    /// A group that was trimmed before, and in which nothing was freed since, is passed over.
    /// Called without locks and without a handle. Ends early if the process is being killed, or the
    /// machine suspended.
    ///
    /// # Errors
    ///
    /// Those of reading bitmaps and of the device.
    pub(crate) fn trim(
        &self,
        device: &BlockDevice,
        journal: Option<&Journal>,
        blocks: Range<PhysicalBlock>,
        least: u32,
    ) -> FsResult<u64> {
        if let Some(journal) = journal {
            // What was freed and is committed is free, though nobody has looked yet.
            self.release_freed(journal)?;
        }
        let mut trimmed = 0;
        let mut at = blocks.start;
        // Before any lock is taken: to allocate could end in reclaim, which takes others.
        let mut unused = KVec::from_elem(0, self.layout.block_size().size(), GFP_KERNEL)?;
        while at < blocks.end {
            let (group, first) = self
                .layout
                .group_of_block(at)
                .ok_or(FsError::from(EINVAL))?;
            let left = blocks.end.0 - at.0;
            let in_group = self.layout.blocks_in_group(group);
            let end = u32::try_from(left)
                .map_or(in_group, |left| in_group.min(first.saturating_add(left)));
            trimmed += self.trim_group(device, group, first..end, least, &mut unused)?;
            at = PhysicalBlock(self.layout.first_block(group).0 + u64::from(in_group));
            if pause().is_err() || is_freezing() {
                break;
            }
        }
        Ok(trimmed)
    }

    fn trim_group(
        &self,
        device: &BlockDevice,
        group: GroupNumber,
        range: Range<u32>,
        least: u32,
        unused: &mut [u8],
    ) -> FsResult<u64> {
        let mut state = self.lock(group)?;
        // Under the lock, since the last group may get more blocks.
        let whole = range.start == 0 && range.end == self.layout.blocks_in_group(group);
        if state.trimmed.is_some_and(|before| before <= least) {
            return Ok(0);
        }
        if whole {
            // Noted before it is true: what is freed from now on takes it back.
            state.trimmed = Some(least);
        }
        drop(state);
        let mut trimmed = 0;
        let all = self.trim_runs(device, group, range, least, unused, &mut trimmed);
        if whole && !matches!(all, Ok(true)) {
            self.lock(group)?.trimmed = None;
        }
        all.map(|_| trimmed)
    }

    /// Discards the free runs in a range of a group, and counts the blocks. Whether it was all of
    /// them.
    fn trim_runs(
        &self,
        device: &BlockDevice,
        group: GroupNumber,
        range: Range<u32>,
        least: u32,
        unused: &mut [u8],
        trimmed: &mut u64,
    ) -> FsResult<bool> {
        let mut at = range.start;
        loop {
            let state = self.lock(group)?;
            let rest = at..range.end;
            let Some(run) = self.next_free(device, &state, group, rest, least, unused)? else {
                return Ok(true);
            };
            self.discard(device, group, &run)?;
            drop(state);
            *trimmed += u64::from(run.end - run.start);
            at = run.end;
            if pause().is_err() || is_freezing() {
                return Ok(false);
            }
        }
    }

    /// The next free run of at least `least` blocks in a group. `unused` is a block to be used for
    /// the bitmap of a group that has none.
    pub(super) fn next_free(
        &self,
        device: &BlockDevice,
        state: &LockedGroup<'_>,
        group: GroupNumber,
        range: Range<u32>,
        least: u32,
        unused: &mut [u8],
    ) -> FsResult<Option<Range<u32>>> {
        let summary = self.summary(group)?;
        if state.bad_blocks || summary.free_blocks < least {
            return Ok(None);
        }
        let find = |bytes: &[u8]| {
            let free = state.free_bits(bytes, range.end);
            free.next_run(range, least.max(1))
        };
        if summary.blocks_uninit {
            // Nothing was ever used, and there is no bitmap on disk: one that says so.
            init_block_bitmap(unused, &self.layout, group, self.system());
            return Ok(find(unused));
        }
        let bitmap = self.checked_block_bitmap(device, group, &summary)?;
        Ok(bitmap.with(find))
    }
}

impl LockedGroup<'_> {
    /// Sets apart what committed transactions freed, to be discarded. Whether there is any.
    fn take_committed(&mut self, is_committed: impl Fn(Tid) -> bool) -> bool {
        let pinned = self.pinned.as_mut();
        pinned.is_some_and(|pinned| pinned.begin_discard(is_committed))
    }

    /// The next run of what was set apart.
    fn next_to_discard(&self, from: u32) -> Option<Range<u32>> {
        self.pinned.as_ref()?.next_to_discard(from)
    }
}
