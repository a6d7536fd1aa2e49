// SPDX-License-Identifier: GPL-2.0

//! What each group has at most for a new inode: see [`super::bounds`].
//!
//! Allocations leave these bounds as they are. Who looks at a group that has less than its bounds say lowers
//! them, and what is given back raises them.

use super::{bounds::Bounds, descriptors::GroupSummary};
use crate::{disk::units::GroupNumber, error::FsResult};
use core::ops::Range;
use kernel::prelude::*;

/// What a group has for inodes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Has {
    /// Free inodes.
    pub(super) inodes: u32,
    /// Free blocks.
    pub(super) blocks: u32,
    /// Directories.
    pub(super) directories: u32,
}

impl From<&GroupSummary> for Has {
    fn from(summary: &GroupSummary) -> Self {
        Self {
            inodes: summary.free_inodes,
            blocks: summary.free_blocks,
            directories: summary.used_dirs,
        }
    }
}

/// What a group should have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Needs {
    /// The fewest free inodes.
    pub(super) inodes: u32,
    /// The fewest free blocks.
    pub(super) blocks: u32,
    /// The most directories.
    pub(super) directories: u32,
}

impl Needs {
    /// Whether a group has it.
    pub(super) fn are_met_by(&self, has: &Has) -> bool {
        has.inodes >= self.inodes
            && has.blocks >= self.blocks
            && has.directories <= self.directories
    }
}

/// The bounds of all groups.
pub(super) struct Room {
    inodes: Bounds,
    blocks: Bounds,
    /// The fewer directories the better: they are counted downwards.
    no_directories: Bounds,
}

/// How far a group is from having the largest number of directories.
const fn downwards(directories: u32) -> u32 {
    u32::MAX - directories
}

impl Room {
    /// Those of groups that have this.
    ///
    /// # Errors
    ///
    /// `ENOMEM`; errors of the iterator.
    pub(super) fn new(groups: impl Iterator<Item = FsResult<Has>>) -> FsResult<Self> {
        let mut all = KVVec::new();
        for has in groups {
            all.push(has?, GFP_KERNEL)?;
        }
        let bounds = |of: fn(&Has) -> u32| Bounds::new(all.iter().map(of));
        Ok(Self {
            inodes: bounds(|has| has.inodes)?,
            blocks: bounds(|has| has.blocks)?,
            no_directories: bounds(|has| downwards(has.directories))?,
        })
    }

    /// Sees to it that [`Self::add`] needs no memory for so many groups.
    pub(super) fn make_room(&self, more: usize) -> FsResult {
        self.inodes.make_room(more)?;
        self.blocks.make_room(more)?;
        self.no_directories.make_room(more)
    }

    /// Adds that of a group, behind the others. Nobody asks for it yet.
    ///
    /// # Errors
    ///
    /// `ENOMEM`, for which there was [room made](Self::make_room).
    pub(super) fn add(&self, has: Has) -> FsResult {
        self.inodes.add(has.inodes)?;
        self.blocks.add(has.blocks)?;
        self.no_directories.add(downwards(has.directories))
    }

    /// The free blocks that the group has at most.
    pub(super) fn blocks_of(&self, group: GroupNumber) -> u32 {
        self.blocks.of(group)
    }

    /// Notes what a group has, which was looked at. The group is locked.
    pub(super) fn lower(&self, group: GroupNumber, has: Has) {
        self.inodes.lower(group, has.inodes);
        self.blocks.lower(group, has.blocks);
        self.no_directories.lower(group, downwards(has.directories));
    }

    /// Notes what a group has that got something back. The group is locked.
    pub(super) fn raise(&self, group: GroupNumber, has: Has) {
        self.inodes.raise(group, has.inodes);
        self.blocks.raise(group, has.blocks);
        self.no_directories.raise(group, downwards(has.directories));
    }

    /// The first group in `range` that may have what is needed.
    fn next(&self, range: Range<u32>, needs: &Needs) -> Option<GroupNumber> {
        let wanted = [
            (&self.inodes, needs.inodes),
            (&self.blocks, needs.blocks),
            (&self.no_directories, downwards(needs.directories)),
        ];
        Bounds::next(wanted, range)
    }

    /// The first group in `range` that has what is needed, and what it has. `look` says what a group has if
    /// that is enough, and else [lowers](Self::lower) its bounds.
    ///
    /// # Errors
    ///
    /// Those of `look`.
    pub(super) fn first(
        &self,
        mut range: Range<u32>,
        needs: &Needs,
        look: &dyn Fn(GroupNumber, &Needs) -> FsResult<Option<Has>>,
    ) -> FsResult<Option<(GroupNumber, Has)>> {
        while let Some(group) = self.next(range.clone(), needs) {
            if let Some(has) = look(group, needs)? {
                return Ok(Some((group, has)));
            }
            // There is a group with this number.
            range.start = group.0 + 1;
        }
        Ok(None)
    }

    /// Of the groups in `ranges` that have what is needed the first of those with the fewest directories.
    ///
    /// # Errors
    ///
    /// As of [`Self::first`].
    pub(super) fn emptiest(
        &self,
        ranges: [Range<u32>; 2],
        needs: &Needs,
        look: &dyn Fn(GroupNumber, &Needs) -> FsResult<Option<Has>>,
    ) -> FsResult<Option<GroupNumber>> {
        let (mut needs, mut best) = (*needs, None);
        for mut range in ranges {
            while let Some((group, has)) = self.first(range.clone(), &needs, look)? {
                best = Some(group);
                let Some(fewer) = has.directories.checked_sub(1) else {
                    return Ok(best);
                };
                needs.directories = fewer;
                range.start = group.0 + 1;
            }
        }
        Ok(best)
    }
}
