// SPDX-License-Identifier: GPL-2.0

//! Allocating blocks: a run of them in one group, as near to a goal as can be.
//!
//! # Why what is claimed is found
//!
//! Blocks are claimed before they are looked for. At any time there are at least as many blocks
//! that are clear in the bitmaps and not pinned as are claimed (the first invariant of
//! [`super::ledger`]). Such a block stops being one when somebody takes it for a claim of his own, and
//! it starts to be one only when pinned blocks are released. So if none were released since a
//! search began, and it has looked at every group and found nothing, there would be a block at its
//! end that was free all the time, also when the search passed its group: a contradiction. If some
//! were released, the search begins again. What is left is damage: see [`Groups::allocate`].
//!
//! The last round of a search heeds no windows. Groups that it passes over by [`super::longest`] have
//! no free block; that bound is lifted before released blocks can be claimed.

use super::{
    search::{begin_later, length},
    space::{Claim, Rights},
    wanted::Wanted,
    windows::Windows,
    GroupState, Groups,
};
use crate::{
    dio::claim::Waiting,
    disk::{
        block_map::PHYSICAL_END,
        layout::Layout,
        units::{GroupNumber, InodeNumber, PhysicalBlock},
        Corrupt,
    },
    error::{FsError, FsResult},
    memory::insist,
    vfs::{
        buffer::Buffer,
        jbd2::{Handle, Journal},
        no_fs::NoFs,
    },
};
use core::ops::Range;
use kernel::{error::code::EROFS, prelude::*};

/// Blocks that lie one behind the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Run {
    /// The first block.
    pub(crate) start: PhysicalBlock,
    /// The number of blocks, at least one.
    pub(crate) len: u32,
}

/// In how many groups a run of one length is looked for in vain before a shorter one will do.
const LOOKS: usize = 64;

/// What becomes of the blocks that a search finds.
pub(super) enum Taking<'h> {
    /// They are used, on disk.
    Used(&'h Handle<'h>),
    /// They are staged: see [`super::staged`].
    Staged(&'h Journal, Waiting),
    /// The same, however many they are.
    Chosen(&'h Handle<'h>),
}

impl Taking<'_> {
    fn journal(&self) -> &Journal {
        match self {
            Self::Used(handle) | Self::Chosen(handle) => handle.journal(),
            Self::Staged(journal, _) => journal,
        }
    }
}

/// The same, where the longer way is left to [`Groups::allocate`].
const LOOKS_TO_STAGE: usize = 4;

/// A search for blocks, from group to group.
struct Search<'w> {
    wanted: &'w Wanted,
    /// The goal.
    group: GroupNumber,
    bit: u32,
    /// Behind the last group that will do.
    groups: u32,
    /// The fewest blocks, unless they lie at the goal.
    least: u32,
    /// Whether windows of others are left alone.
    heed_windows: bool,
    /// A bitmap was made for a group that had no place. There are credits for one.
    made_in_vain: bool,
    /// The best place is one where nothing can be staged.
    is_over: bool,
    /// The last group whose bitmap can't be used, and why.
    unusable: Option<(GroupNumber, FsError)>,
}

impl<'w> Search<'w> {
    /// One that begins at the goal.
    fn new(wanted: &'w Wanted, layout: &Layout) -> Self {
        let groups = if wanted.mapped {
            layout.groups_below(PHYSICAL_END)
        } else {
            layout.group_count()
        };
        let (group, bit) = layout
            .group_of_block(wanted.goal)
            .filter(|(group, _)| group.0 < groups)
            .unwrap_or((GroupNumber(0), 0));
        Self {
            wanted,
            group,
            bit,
            groups,
            least: wanted.run(),
            heed_windows: true,
            made_in_vain: false,
            is_over: false,
            unusable: None,
        }
    }
}

impl Groups {
    /// Allocates a run of blocks: at least one, and at most as many as are wanted.
    ///
    /// At the goal exactly if that is free; else a run as long as wanted in the goal's group, in the
    /// groups that have their metadata together with it, and in those behind; else shorter ones in
    /// the same order. Needs [`ALLOCATE`](crate::journal::credits::ALLOCATE) credits.
    ///
    /// Blocks that turn from metadata into data have to be made known with
    /// [`forget_aliases`](crate::vfs::block_device::BlockDevice::forget_aliases).
    ///
    /// # Errors
    ///
    /// `ENOSPC` if there is none, see [`Self::reclaim`]. A damaged bitmap is noted once, see
    /// [`Self::take_damage`], and its group is left alone from then on; if there is nothing in the
    /// others either, that [`Corrupt`] is the error. Errors of [`Handle::write`].
    pub(crate) fn allocate(
        &self,
        handle: &Handle<'_>,
        wanted: Wanted,
        mut rights: Rights<'_>,
    ) -> FsResult<Run> {
        let (run, claim) = self.take(&Taking::Used(handle), wanted, &mut rights)?;
        claim.spend(run.len);
        Ok(run)
    }

    /// Chooses a run in the same way, which nobody else gets from now on. It is not used on disk: that is
    /// for [`Self::settle_staged`], or it becomes free again by [`Self::unstage`]. Each of these can be done with
    /// parts of it. Needs [`ALLOCATE`](crate::journal::credits::ALLOCATE) credits, as bitmaps are made.
    ///
    /// # Errors
    ///
    /// As of [`Self::allocate`].
    pub(crate) fn choose(
        &self,
        handle: &Handle<'_>,
        wanted: Wanted,
        mut rights: Rights<'_>,
    ) -> FsResult<Run> {
        let (run, claim) = self.take(&Taking::Chosen(handle), wanted, &mut rights)?;
        claim.end_chosen(run.len);
        Ok(run)
    }

    /// Claims blocks, and takes a run of as many or fewer.
    fn take<'r>(
        &'r self,
        taking: &Taking<'_>,
        wanted: Wanted,
        rights: &'r mut Rights<'_>,
    ) -> FsResult<(Run, Claim<'r>)> {
        let release = || self.release_committed(taking.journal());
        let claim =
            Claim::new(&self.space, wanted.blocks, rights, release).ok_or(FsError::NO_SPACE)?;
        let wanted = Wanted {
            blocks: claim.blocks(),
            ..wanted
        };
        loop {
            let unpinned = self.space.ledger().unpinned;
            match self.find(taking, &wanted)? {
                Ok(run) => return Ok((run, claim)),
                Err(_) if self.space.ledger().unpinned != unpinned => {}
                Err(damage) => return Err(damage.unwrap_or(FsError::NO_SPACE)),
            }
        }
    }

    /// Chooses a run of blocks that nobody else gets from now on, exactly as long as wanted. Nothing is
    /// changed on disk, so it needs no handle; it becomes used by [`Self::settle_staged`], and free
    /// again by [`Self::unstage`].
    ///
    /// `None` if there is none without making a bitmap, without waiting for blocks that are being freed, for
    /// damage, without memory, or if a shorter one lies better: [`Self::allocate`] does more for it, and says
    /// more. If waiting is forbidden, also if somebody else has a group's lock just then, or its bitmap has to be read.
    ///
    /// # Errors
    ///
    /// Those of an allocation that are not one group's.
    pub(crate) fn stage(
        &self,
        journal: &Journal,
        wanted: Wanted,
        rights: &Rights<'_>,
        waiting: Waiting,
    ) -> FsResult<Option<Run>> {
        // Reclaim could want a group's lock.
        let _no_fs = NoFs::new();
        let Some(claim) = Claim::whole(&self.space, wanted.blocks, rights) else {
            return Ok(None);
        };
        let found = self.find_exactly(&Taking::Staged(journal, waiting), &wanted)?;
        if found.is_some() {
            claim.end_staged();
        }
        Ok(found)
    }

    /// Looks for a run of just the wanted length where that may be, and stages it.
    fn find_exactly(&self, taking: &Taking<'_>, wanted: &Wanted) -> FsResult<Option<Run>> {
        let mut search = Search::new(wanted, &self.layout);
        let at_goal = self.try_group(taking, search.group, &mut search)?;
        if at_goal.is_some() || search.is_over {
            return Ok(at_goal);
        }
        self.try_groups(taking, &mut search, LOOKS_TO_STAGE)
    }

    /// Leaves nothing to a file in a group any more.
    pub(crate) fn end_window(&self, group: GroupNumber, owner: InodeNumber) {
        let Ok(mut state) = self.lock(group) else {
            return;
        };
        if let Some(windows) = &mut state.windows {
            windows.remove(owner);
            if windows.is_empty() {
                state.windows = None;
            }
        }
    }

    /// Looks for a run in all groups, and takes it. If there is none, says what damage was seen.
    fn find(&self, taking: &Taking<'_>, wanted: &Wanted) -> FsResult<Result<Run, Option<FsError>>> {
        let mut search = Search::new(wanted, &self.layout);
        // The place at the goal is good whatever its length.
        if let Some(run) = self.try_group(taking, search.group, &mut search)? {
            return Ok(Ok(run));
        }
        for least in wanted.lengths() {
            search.least = least;
            if let Some(run) = self.try_groups(taking, &mut search, LOOKS)? {
                return Ok(Ok(run));
            }
        }
        search.heed_windows = false;
        if let Some(run) = self.try_groups(taking, &mut search, usize::MAX)? {
            return Ok(Ok(run));
        }
        Ok(Err(search.unusable.map(|(_, error)| error)))
    }

    /// Looks for a run in the groups that may have one, in at most so many, and takes it.
    fn try_groups(
        &self,
        taking: &Taking<'_>,
        search: &mut Search<'_>,
        mut looks: usize,
    ) -> FsResult<Option<Run>> {
        for groups in visiting_ranges(search.group, &self.layout) {
            let mut at = groups.start;
            let end = groups.end.min(search.groups);
            while at < end {
                let Some(group) = self.longest.next(at..end, search.least) else {
                    break;
                };
                if let Some(run) = self.try_group(taking, group, search)? {
                    return Ok(Some(run));
                }
                looks -= 1;
                if looks == 0 {
                    return Ok(None);
                }
                // There is a group with this number.
                at = group.0 + 1;
            }
        }
        Ok(None)
    }

    /// Looks for a run in one group, and takes it.
    fn try_group(
        &self,
        taking: &Taking<'_>,
        group: GroupNumber,
        search: &mut Search<'_>,
    ) -> FsResult<Option<Run>> {
        if matches!(search.unusable, Some((bad, _)) if bad == group) {
            return Ok(None);
        }
        let mut state = match taking {
            Taking::Staged(_, Waiting::Forbidden) => match self.try_lock(group)? {
                Some(state) => state,
                None => {
                    search.is_over |= group == search.group;
                    return Ok(None);
                }
            },
            _ => self.lock(group)?,
        };
        if state.bad_blocks {
            return Ok(None);
        }
        self.release_pinned(group, &mut state, taking.journal());
        let summary = self.summary(group)?;
        let free = summary
            .free_blocks
            .saturating_sub(state.pinned_count())
            .saturating_sub(state.staged_count());
        self.longest.lower(group, free);
        // In the last round each group has a place that is not full.
        let is_last = !search.heed_windows;
        if free == 0 || (summary.blocks_uninit && search.made_in_vain && !is_last) {
            return Ok(None);
        }

        let bitmap = match taking {
            Taking::Used(handle) | Taking::Chosen(handle) => {
                self.block_bitmap(handle, group, &summary)
            }
            // To make one takes a transaction, to read one a while.
            Taking::Staged(journal, waiting)
                if summary.blocks_uninit
                    || (*waiting == Waiting::Forbidden
                        && !self.has_block_bitmap(journal.device(), &summary)) =>
            {
                search.is_over |= group == search.group;
                return Ok(None);
            }
            Taking::Staged(journal, _) => {
                self.checked_block_bitmap(journal.device(), group, &summary)
            }
        };
        let bitmap = match bitmap {
            Ok(bitmap) => bitmap,
            Err(FsError::Corrupt(corrupt)) => {
                self.condemn_blocks(group, &mut state, summary.free_blocks);
                self.note_damage(corrupt);
                search.unusable = Some((group, corrupt.into()));
                return Ok(None);
            }
            // A handle that does not work any more would not do so in the next group either.
            Err(error) if error.is(EROFS) => return Err(error),
            Err(error) => {
                search.unusable = Some((group, error));
                return Ok(None);
            }
        };
        let Some(range) = self.place(&state, &bitmap, group, search) else {
            search.made_in_vain |= summary.blocks_uninit;
            return Ok(None);
        };

        let len = length(&range).min(search.wanted.blocks);
        if matches!(taking, Taking::Staged(..)) && len < search.wanted.blocks {
            // What lies at the goal is better than what is long.
            search.is_over = true;
            return Ok(None);
        }
        let taken = range.start..range.start + len;
        // Bits in the range are of the group, so the sum fits.
        let start = PhysicalBlock(self.layout.first_block(group).0 + u64::from(range.start));
        if let Err(error) = self.system().check_foreign(start, len.into()) {
            self.condemn_blocks(group, &mut state, summary.free_blocks);
            self.note_damage(error.into());
            search.unusable = Some((group, Corrupt::from(error).into()));
            return Ok(None);
        }
        match taking {
            Taking::Used(handle) => {
                self.set_blocks(handle, group, &bitmap, taken.clone(), true)?;
            }
            Taking::Staged(..) | Taking::Chosen(_) => {
                if matches!(taking, Taking::Chosen(_)) {
                    insist(|| state.make_room_to_stage())?;
                }
                if state.stage(taken.clone()).is_err() {
                    return Ok(None);
                }
                // Before the lock is given back: the group may be written off.
                self.space.update(|ledger| ledger.stage(len));
            }
        }
        self.longest.lower(group, free.saturating_sub(len));
        if search.heed_windows {
            move_window(&mut state, search.wanted, taken.end..range.end);
        }
        Ok(Some(Run { start, len }))
    }

    /// The place in a group for what somebody wants, if there is one that is long enough.
    fn place(
        &self,
        state: &GroupState,
        bitmap: &Buffer,
        group: GroupNumber,
        search: &Search<'_>,
    ) -> Option<Range<u32>> {
        let end = self.layout.blocks_in_group(group);
        let goal = (group == search.group).then_some(search.bit);
        let windows = state.windows.as_ref().filter(|_| search.heed_windows);
        let run = search.wanted.run();
        let longest = self.longest.of(group);
        let may_be_long = longest >= search.least;
        let stripes = self.begins(search.wanted, group);
        let begins = stripes.filter(|_| longest >= search.wanted.blocks);
        let (range, longest) = bitmap.with(|bytes| {
            let all = state.free_bits(bytes, end);
            let bits = windows.map_or(all, |windows| {
                all.outside(windows.of_others(search.wanted.owner))
            });
            if !may_be_long {
                return (goal.and_then(|goal| bits.at_goal(goal, run)), u32::MAX);
            }
            let at_stripe = begins.and_then(|begins| {
                if goal.is_some_and(|goal| bits.at_goal(goal, 1).is_some()) {
                    return None;
                }
                bits.place_that_begins(goal, (search.wanted.blocks, search.wanted.ahead), begins)
            });
            if at_stripe.is_some() {
                return (at_stripe, u32::MAX);
            }
            let range = bits.place(goal, run);
            let len = range.as_ref().map_or(0, length);
            let at_goal = goal.is_some() && range.as_ref().map(|range| range.start) == goal;
            if at_goal {
                return (range, u32::MAX);
            }
            if len >= search.least {
                return (range.map(|range| begin_later(range, stripes)), u32::MAX);
            }
            // Without windows there is no longer one, or it would have been chosen.
            (None, windows.map_or(len, |_| all.longest()))
        });
        self.longest.lower(group, longest);
        range
    }
}

/// Leaves free blocks to a file, if it is going to want some.
fn move_window(state: &mut GroupState, wanted: &Wanted, range: Range<u32>) {
    let Some(owner) = wanted.owner.filter(|_| wanted.ahead > 0) else {
        return;
    };
    if state.windows.is_none() {
        state.windows = KBox::new(Windows::default(), GFP_KERNEL).ok();
    }
    if let Some(windows) = &mut state.windows {
        // Without memory there is no window.
        let _ = windows.set(owner, range);
    }
}

/// All groups, in the order in which they are looked at: the goal's, those behind it and before it
/// which have their metadata together with it, then those behind, then those before.
pub(super) fn visiting_ranges(goal: GroupNumber, layout: &Layout) -> [Range<u32>; 4] {
    let all = layout.group_count();
    let first = goal.0 - goal.0 % layout.groups_per_flex();
    let end = first.saturating_add(layout.groups_per_flex()).min(all);
    [goal.0..end, first..goal.0, end..all, 0..first]
}
