// SPDX-License-Identifier: GPL-2.0

//! How long a free run can be in each group, at most: see [`super::bounds`].
//!
//! The bound of a group is lowered by a search that found no longer run and by allocations, and lifted
//! when blocks can be used again.

use super::bounds::Bounds;
use crate::{disk::units::GroupNumber, error::FsResult};
use core::ops::Range;

/// The bounds of all groups.
pub(super) struct Longest(Bounds);

impl Longest {
    /// Those of groups that have so many free blocks.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    pub(super) fn new(free: impl Iterator<Item = u32>) -> FsResult<Self> {
        Ok(Self(Bounds::new(free)?))
    }

    /// Sees to it that [`Self::add`] needs no memory for so many groups.
    pub(super) fn make_room(&self, more: usize) -> FsResult {
        self.0.make_room(more)
    }

    /// Adds that of a group that has so many free blocks, behind the others. Nobody asks for it yet.
    ///
    /// # Errors
    ///
    /// `ENOMEM`, with nothing added.
    pub(super) fn add(&self, free: u32) -> FsResult {
        self.0.add(free)
    }

    /// No free run of the group is longer.
    pub(super) fn of(&self, group: GroupNumber) -> u32 {
        self.0.of(group)
    }

    /// Notes that no free run is longer than `longest`. The group is locked.
    pub(super) fn lower(&self, group: GroupNumber, longest: u32) {
        self.0.lower(group, longest);
    }

    /// Notes that `pieces` runs with `blocks` blocks in all can be used again. The group is locked.
    ///
    /// Each piece may join the runs on its two sides: at worst all of them make one run, with one
    /// more of the old ones than there are pieces.
    pub(super) fn lift(&self, group: GroupNumber, blocks: u32, pieces: u32) {
        let joined = pieces.saturating_add(1).saturating_mul(self.0.of(group));
        self.0.raise(group, joined.saturating_add(blocks));
    }

    /// The first group in `range` that may have a run of at least `least` blocks.
    pub(super) fn next(&self, range: Range<u32>, least: u32) -> Option<GroupNumber> {
        Bounds::next([(&self.0, least)], range)
    }
}
