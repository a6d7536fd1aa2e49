// SPDX-License-Identifier: GPL-2.0

//! Blocks of a group that were chosen for data on its way, and are in use nowhere on disk yet.
//!
//! In memory alone: a crash gives them back. They are free in the bitmap and in the descriptor, and
//! nobody else gets them. See [`Groups::stage`] and [`Groups::choose`]. They are
//! taken out again in parts, or several runs at once.

use super::{search::length, GroupState, Groups, Run};
use crate::{
    disk::units::GroupNumber,
    error::{euclean, FsError, FsResult},
    memory::insist,
    vfs::{jbd2::Handle, no_fs::NoFs},
};
use core::ops::Range;
use kernel::{
    alloc::{AllocError, KVVec},
    prelude::*,
};

/// The staged blocks of one group.
///
/// # Invariants
///
/// The ranges are in order, none is empty, and no two overlap or touch. `count` is the number of blocks.
#[derive(Default)]
pub(super) struct Staged {
    list: KVVec<Range<u32>>,
    count: u32,
}

impl Staged {
    /// How many blocks.
    pub(super) fn count(&self) -> u32 {
        self.count
    }

    /// Which.
    pub(super) fn ranges(&self) -> &[Range<u32>] {
        &self.list
    }

    /// Makes room for one more range.
    pub(super) fn make_room(&mut self) -> Result<(), AllocError> {
        self.list.reserve(1, GFP_KERNEL)
    }

    /// Adds a range of which no block is in there. There is room.
    pub(super) fn add(&mut self, range: Range<u32>) {
        let count = length(&range);
        let at = self.list.partition_point(|own| own.start < range.start);
        let behind = self.list.get(at).filter(|own| own.start == range.end);
        let behind = behind.map(|own| own.end);
        let before = at.checked_sub(1).and_then(|at| self.list.get_mut(at));
        match (before.filter(|own| own.end == range.start), behind) {
            (Some(before), Some(end)) => {
                before.end = end;
                let _ = self.list.remove(at);
            }
            (Some(before), None) => before.end = range.end,
            (None, Some(_)) => {
                if let Some(behind) = self.list.get_mut(at) {
                    behind.start = range.start;
                }
            }
            (None, None) => {
                if self.list.insert_within_capacity(at, range).is_err() {
                    return;
                }
            }
        }
        self.count += count;
    }

    /// The range that these blocks are in.
    fn position(&self, range: &Range<u32>) -> Option<usize> {
        let behind = self.list.partition_point(|own| own.start <= range.start);
        let at = behind.checked_sub(1)?;
        let own = self.list.get(at)?;
        (range.end <= own.end && !range.is_empty()).then_some(at)
    }

    /// Makes room for what is left when these blocks are taken out, which takes some if they are amidst a range.
    fn make_room_without(&mut self, range: &Range<u32>) -> Result<(), AllocError> {
        let own = self.position(range).and_then(|at| self.list.get(at));
        if own.is_some_and(|own| own.start < range.start && range.end < own.end) {
            self.make_room()?;
        }
        Ok(())
    }

    /// Takes blocks out that were added, together or not. There is [room](Self::make_room) if they are amidst a
    /// range. Returns whether they were there.
    pub(super) fn remove(&mut self, range: &Range<u32>) -> bool {
        let Some(at) = self.position(range) else {
            return false;
        };
        match self.list.get_mut(at) {
            Some(own) if own == range => {
                let _ = self.list.remove(at);
            }
            Some(own) if own.start == range.start => own.start = range.end,
            Some(own) if own.end == range.end => own.end = range.start,
            Some(own) => {
                let rest = range.end..own.end;
                own.end = range.start;
                if self
                    .list
                    .insert_within_capacity(at + 1, rest.clone())
                    .is_err()
                {
                    self.count -= length(&rest);
                }
            }
            None => return false,
        }
        self.count -= length(range);
        true
    }
}

impl GroupState {
    pub(super) fn staged_count(&self) -> u32 {
        self.staged.as_ref().map_or(0, |staged| staged.count())
    }

    /// Makes room for [`Self::stage`], which does not fail then.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    pub(super) fn make_room_to_stage(&mut self) -> Result {
        let staged = match &mut self.staged {
            Some(staged) => staged,
            none => none.insert(KBox::new(Staged::default(), GFP_KERNEL)?),
        };
        Ok(staged.make_room()?)
    }

    /// Adds blocks.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    pub(super) fn stage(&mut self, range: Range<u32>) -> FsResult {
        self.make_room_to_stage()?;
        if let Some(staged) = &mut self.staged {
            staged.add(range);
        }
        Ok(())
    }

    /// Makes room for what is left when a part is taken out. File systems are not called for memory, which
    /// could want a group's lock: in a handle, or with [`NoFs`].
    fn make_room_to_unstage(&mut self, range: &Range<u32>) -> FsResult {
        match &mut self.staged {
            Some(staged) => Ok(insist(|| Ok(staged.make_room_without(range)?))?),
            None => Ok(()),
        }
    }

    /// Takes staged blocks out. Returns whether they were there.
    fn unstage(&mut self, range: &Range<u32>) -> bool {
        let staged = self.staged.as_mut();
        staged.is_some_and(|staged| staged.remove(range))
    }
}

impl Groups {
    /// Makes staged blocks used, on disk. Needs [`ALLOCATE`](crate::journal::credits::ALLOCATE)
    /// credits.
    ///
    /// # Errors
    ///
    /// The group was found damaged since; then they are staged no more. Errors of [`Handle::write`],
    /// with which they still are.
    pub(crate) fn settle_staged(&self, handle: &Handle<'_>, run: Run) -> FsResult {
        let (group, range) = self.range_of(run)?;
        let mut state = self.lock(group)?;
        let staged = state.staged.as_ref();
        if staged.is_none_or(|staged| staged.position(&range).is_none()) {
            // Who finds a group damaged takes them away.
            return Err(FsError::Kernel(euclean()));
        }
        state.make_room_to_unstage(&range)?;
        let summary = self.summary(group)?;
        let bitmap = self.block_bitmap(handle, group, &summary)?;
        self.set_blocks(handle, group, &bitmap, range.clone(), true)?;
        if state.unstage(&range) {
            self.space.update(|ledger| ledger.settle_staged(run.len));
        }
        Ok(())
    }

    /// Undoes [`Self::settle_staged`] in the same transaction.
    ///
    /// # Errors
    ///
    /// Errors of [`Handle::write`], and then they are used.
    pub(crate) fn stage_again(&self, handle: &Handle<'_>, run: Run) -> FsResult {
        let (group, range) = self.range_of(run)?;
        let mut state = self.lock(group)?;
        if state.bad_blocks {
            return Ok(());
        }
        let summary = self.summary(group)?;
        let bitmap = self.block_bitmap(handle, group, &summary)?;
        // Without it they are lost. File systems are not called for memory.
        insist(|| state.make_room_to_stage())?;
        state.stage(range.clone())?;
        if let Err(e) = self.set_blocks(handle, group, &bitmap, range.clone(), false) {
            state.unstage(&range);
            return Err(e);
        }
        self.space.update(|ledger| ledger.stage_again(run.len));
        Ok(())
    }

    /// Makes staged blocks free again.
    pub(crate) fn unstage(&self, run: Run) -> FsResult {
        let _no_fs = NoFs::new();
        let (group, range) = self.range_of(run)?;
        let mut state = self.lock(group)?;
        state.make_room_to_unstage(&range)?;
        if state.unstage(&range) {
            // Before anybody may claim them: a search believes it.
            self.longest.lift(group, run.len, 1);
            // Who trimmed the group has passed over them.
            state.trimmed = None;
            self.space.update(|ledger| ledger.unstage(run.len));
        }
        Ok(())
    }

    /// The place of a run, which lies in one group.
    fn range_of(&self, run: Run) -> FsResult<(GroupNumber, Range<u32>)> {
        let place = self.layout.group_of_block(run.start);
        let (group, first) = place.ok_or(FsError::from(EINVAL))?;
        Ok((group, first..first.saturating_add(run.len)))
    }
}
