// SPDX-License-Identifier: GPL-2.0

//! How long a free run can be in each group: what a search passes over without a look.
//!
//! All numbers are upper bounds. That of a group is lowered by a search that found no longer run
//! and by allocations, and lifted when blocks can be used again. Those of [`ROW`] groups have one in
//! common, so that a large disk that is nearly full is passed over quickly.
//!
//! A group's bound is changed under the group's lock. All are read without.

use super::growing::Growing;
use crate::{disk::units::GroupNumber, error::FsResult};
use core::ops::Range;
use kernel::{
    prelude::*,
    sync::atomic::{Acquire, Atomic, Full, Relaxed, Release},
};

/// How many groups have a bound in common.
const ROW: u32 = 64;

/// A bound for a row, and how often it was lifted: whoever lowers it must not undo that.
#[derive(Clone, Copy)]
struct Row {
    lifted: u32,
    longest: u32,
}

impl Row {
    fn from_word(word: u64) -> Self {
        Self {
            lifted: (word >> 32) as u32,
            longest: word as u32,
        }
    }

    fn word(self) -> u64 {
        u64::from(self.lifted) << 32 | u64::from(self.longest)
    }
}

/// The bounds of all groups.
pub(super) struct Longest {
    groups: Growing<Atomic<u32>>,
    rows: Growing<Atomic<u64>>,
}

impl Longest {
    /// Those of groups that have so many free blocks.
    pub(super) fn new(free: impl Iterator<Item = FsResult<u32>>) -> FsResult<Self> {
        let (mut groups, mut rows) = (KVVec::new(), KVVec::new());
        for (group, free) in free.enumerate() {
            let free = free?;
            groups.push(Atomic::new(free), GFP_KERNEL)?;
            if group % ROW as usize == 0 {
                rows.push(Atomic::new(0u64), GFP_KERNEL)?;
            }
            if let Some(row) = rows.last_mut() {
                let longest = Row::from_word(*row.get_mut()).longest.max(free);
                *row.get_mut() = Row { lifted: 0, longest }.word();
            }
        }
        Ok(Self {
            groups: Growing::new(groups)?,
            rows: Growing::new(rows)?,
        })
    }

    /// Sees to it that [`Self::add`] needs no memory for so many groups.
    pub(super) fn make_room(&self, more: usize) -> FsResult {
        self.rows.make_room(more / ROW as usize + 1)?;
        self.groups.make_room(more)
    }

    /// Adds that of a group that has so many free blocks, behind the others. Nobody asks for it yet.
    ///
    /// # Errors
    ///
    /// `ENOMEM`, with nothing added.
    pub(super) fn add(&self, free: u32) -> FsResult {
        let group = self.groups.len();
        if group % ROW as usize == 0 && self.rows.len() == group / ROW as usize {
            self.rows.push(Atomic::new(0))?;
        }
        self.groups.push(Atomic::new(0))?;
        // A number of 32 bits, as all groups have.
        self.lift(GroupNumber(group as u32), free, 1);
        Ok(())
    }

    /// No free run of the group is longer.
    pub(super) fn of(&self, group: GroupNumber) -> u32 {
        let bound = self.groups.get(group.0 as usize);
        bound.map_or(0, |bound| bound.load(Acquire))
    }

    /// Notes that no free run is longer than `longest`. The group is locked.
    pub(super) fn lower(&self, group: GroupNumber, longest: u32) {
        if let Some(bound) = self.groups.get(group.0 as usize) {
            if longest < bound.load(Relaxed) {
                bound.store(longest, Release);
            }
        }
    }

    /// Notes that `pieces` runs with `blocks` blocks in all can be used again. The group is locked.
    ///
    /// Each piece may join the runs on its two sides: at worst all of them make one run, with one
    /// more of the old ones than there are pieces.
    pub(super) fn lift(&self, group: GroupNumber, blocks: u32, pieces: u32) {
        let Some(bound) = self.groups.get(group.0 as usize) else {
            return;
        };
        let joined = pieces.saturating_add(1).saturating_mul(bound.load(Relaxed));
        let longest = joined.saturating_add(blocks);
        bound.store(longest, Release);
        let Some(row) = self.rows.get((group.0 / ROW) as usize) else {
            return;
        };
        let mut before = row.load(Acquire);
        loop {
            let old = Row::from_word(before);
            let new = Row {
                lifted: old.lifted.wrapping_add(1),
                longest: old.longest.max(longest),
            };
            match row.cmpxchg(before, new.word(), Full) {
                Ok(_) => return,
                Err(now) => before = now,
            }
        }
    }

    /// The first group in `range` that may have a run of at least `least` blocks.
    pub(super) fn next(&self, range: Range<u32>, least: u32) -> Option<GroupNumber> {
        let mut at = range.start;
        while at < range.end {
            let row = at / ROW;
            let end = range.end.min((row + 1).saturating_mul(ROW));
            if self.row_reaches(row, least) {
                let mut groups = (at..end).map(GroupNumber);
                if let Some(found) = groups.find(|&group| self.of(group) >= least) {
                    return Some(found);
                }
            }
            at = end;
        }
        None
    }

    /// Whether a group in a row may have a run of at least `least` blocks. If the row's bound says
    /// so, and none of the groups, it is lowered.
    fn row_reaches(&self, row: u32, least: u32) -> bool {
        let Some(bound) = self.rows.get(row as usize) else {
            return false;
        };
        // Before the groups are looked at: if one of them is lifted after that, so is the row.
        let before = bound.load(Acquire);
        let old = Row::from_word(before);
        if old.longest < least {
            return false;
        }
        let first = row.saturating_mul(ROW);
        let groups = (first..first.saturating_add(ROW)).map(GroupNumber);
        let longest = groups.map(|group| self.of(group)).max().unwrap_or(0);
        if longest < old.longest {
            // If it does not work somebody else has changed it.
            let _ = bound.cmpxchg(before, Row { longest, ..old }.word(), Full);
        }
        longest >= least
    }
}
