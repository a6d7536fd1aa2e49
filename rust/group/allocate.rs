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

use super::{
    search::{length, FreeBits},
    space::{Claim, Rights},
    GroupState, Groups,
};
use crate::{
    disk::{
        bitmap::Bitmap,
        units::{GroupNumber, PhysicalBlock},
        Corrupt,
    },
    error::{FsError, FsResult},
    vfs::{buffer::Buffer, jbd2::Handle},
};
use core::ops::Range;
use kernel::error::code::EROFS;

/// Blocks that lie one behind the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Run {
    /// The first block.
    pub(crate) start: PhysicalBlock,
    /// The number of blocks, at least one.
    pub(crate) len: u32,
}

/// In how many groups a run of full length is looked for before a shorter one is taken.
const GROUPS_FOR_LENGTH: usize = 64;

/// What came of a group.
enum Outcome {
    /// Blocks were allocated.
    Taken(Run),
    /// It has no run that is long enough; the longest has so many blocks.
    TooShort(u32),
    /// Its bitmap can't be used.
    Unusable(FsError),
}

/// What somebody wants in a group.
struct Wish {
    /// Where, as a bit of the group's bitmap.
    goal: Option<u32>,
    /// The most blocks.
    wanted: u32,
    /// The fewest blocks, unless they lie at the goal.
    least: u32,
}

impl Groups {
    /// Allocates a run of at least one and at most `wanted` blocks, near `goal`.
    ///
    /// At the goal exactly if that is free; else a run as long as wanted in the goal's group, in the
    /// groups that have their metadata together with it, and in those behind; else the longest that
    /// was seen. Needs [`ALLOCATE`](crate::journal::credits::ALLOCATE) credits.
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
        goal: PhysicalBlock,
        wanted: u32,
        mut rights: Rights<'_>,
    ) -> FsResult<Run> {
        let wanted = wanted.max(1);
        let release = || self.release_committed(handle.journal());
        let claim =
            Claim::new(&self.space, wanted, &mut rights, release).ok_or(FsError::NO_SPACE)?;
        loop {
            let unpinned = self.space.ledger().unpinned;
            match self.find(handle, goal, claim.blocks())? {
                Ok(run) => {
                    claim.spend(run.len);
                    return Ok(run);
                }
                Err(_) if self.space.ledger().unpinned != unpinned => {}
                Err(damage) => return Err(damage.unwrap_or(FsError::NO_SPACE)),
            }
        }
    }

    /// Looks for a run in all groups, and takes it. If there is none, says what damage was seen.
    fn find(
        &self,
        handle: &Handle<'_>,
        goal: PhysicalBlock,
        wanted: u32,
    ) -> FsResult<Result<Run, Option<FsError>>> {
        let (goal_group, goal_bit) = self
            .layout
            .group_of_block(goal)
            .unwrap_or((GroupNumber(0), 0));
        let wish = |group: GroupNumber, least| Wish {
            goal: (group == goal_group).then_some(goal_bit),
            wanted,
            least,
        };
        let mut damage = None;
        let mut best: Option<(GroupNumber, u32)> = None;
        let order = || visiting_order(goal_group, &self.layout);

        for group in order().take(GROUPS_FOR_LENGTH) {
            match self.try_group(handle, group, &wish(group, wanted))? {
                Outcome::Taken(run) => return Ok(Ok(run)),
                Outcome::TooShort(longest) => {
                    if longest > best.map_or(0, |(_, longest)| longest) {
                        best = Some((group, longest));
                    }
                }
                Outcome::Unusable(error) => damage = Some(error),
            }
        }
        for group in best.map(|(group, _)| group).into_iter().chain(order()) {
            match self.try_group(handle, group, &wish(group, 1))? {
                Outcome::Taken(run) => return Ok(Ok(run)),
                Outcome::TooShort(_) => {}
                Outcome::Unusable(error) => damage = Some(error),
            }
        }
        Ok(Err(damage))
    }

    /// Looks for a run in one group, and takes it.
    fn try_group(&self, handle: &Handle<'_>, group: GroupNumber, wish: &Wish) -> FsResult<Outcome> {
        let mut state = self.lock(group)?;
        if state.bad_blocks {
            return Ok(Outcome::TooShort(0));
        }
        self.release_pinned(&mut state, handle.journal());
        let summary = self.summary(group)?;
        let free = summary.free_blocks.saturating_sub(state.pinned_count());
        let longest = state.longest.min(free);
        if free == 0 || (longest < wish.least && wish.goal.is_none()) {
            return Ok(Outcome::TooShort(longest));
        }

        let bitmap = match self.block_bitmap(handle, group, &summary) {
            Ok(bitmap) => bitmap,
            Err(FsError::Corrupt(corrupt)) => {
                self.condemn_blocks(&mut state, summary.free_blocks);
                self.note_damage(corrupt);
                return Ok(Outcome::Unusable(corrupt.into()));
            }
            // A handle that does not work any more would not do so in the next group either.
            Err(error) if error.is(EROFS) => return Err(error),
            Err(error) => return Ok(Outcome::Unusable(error)),
        };
        let Some(range) = self.place(&mut state, &bitmap, group, wish) else {
            return Ok(Outcome::TooShort(state.longest.min(free)));
        };

        // Bits in the range are of the group, so the sum fits.
        let start = PhysicalBlock(self.layout.first_block(group).0 + u64::from(range.start));
        let len = length(&range);
        if let Err(error) = self.system().check_foreign(start, len.into()) {
            self.condemn_blocks(&mut state, summary.free_blocks);
            self.note_damage(error.into());
            return Ok(Outcome::Unusable(Corrupt::from(error).into()));
        }
        self.set_blocks(handle, group, &bitmap, range, true)?;
        Ok(Outcome::Taken(Run { start, len }))
    }

    /// The place in a group for what somebody wants, if there is one that is long enough.
    fn place(
        &self,
        state: &mut GroupState,
        bitmap: &Buffer,
        group: GroupNumber,
        wish: &Wish,
    ) -> Option<Range<u32>> {
        let end = self.layout.blocks_in_group(group);
        let range = bitmap.with(|bytes| {
            let pinned = state.pinned.as_ref();
            let pinned = pinned.map_or([None; 3], |pinned| pinned.bitmaps());
            FreeBits::new(Bitmap::new(bytes), pinned, end).place(wish.goal, wish.wanted)
        });
        let len = range.as_ref().map_or(0, length);
        let at_goal = wish.goal.is_some() && range.as_ref().map(|range| range.start) == wish.goal;
        if !at_goal && len < wish.wanted {
            // There is no longer one, or it would have been chosen.
            state.longest = len;
        }
        range.filter(|_| at_goal || len >= wish.least)
    }
}

/// All groups, in the order in which they are looked at: the goal's, those behind it and before it
/// which have their metadata together with it, then those behind, then those before.
pub(super) fn visiting_order(
    goal: GroupNumber,
    layout: &crate::disk::layout::Layout,
) -> impl Iterator<Item = GroupNumber> {
    let all = layout.group_count();
    let first = goal.0 - goal.0 % layout.groups_per_flex();
    let end = first.saturating_add(layout.groups_per_flex()).min(all);
    (goal.0..end)
        .chain(first..goal.0)
        .chain(end..all)
        .chain(0..first)
        .map(GroupNumber)
}
