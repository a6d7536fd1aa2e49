// SPDX-License-Identifier: GPL-2.0

//! How much each group has at most of something: what a search passes over without a look.
//!
//! The bound of a group is lowered by who has looked at it, and raised when it may have more. [`ROW`] groups
//! have one in common, and as many rows one more, so that a large disk is passed over quickly.
//!
//! A group's bound is changed under the group's lock. All are read without.

use super::growing::Growing;
use crate::{disk::units::GroupNumber, error::FsResult};
use core::ops::Range;
use kernel::{
    prelude::*,
    sync::atomic::{Acquire, Atomic, Full, Relaxed, Release},
};

/// How many groups, or rows, have a bound in common, as a power of two.
const ROW_BITS: u32 = 6;
const ROW: u32 = 1 << ROW_BITS;
/// Rows of groups, and rows of rows.
const LEVELS: usize = 2;

/// How many groups a row of a level has, as a power of two.
const fn group_bits(level: usize) -> u32 {
    ROW_BITS * (level as u32 + 1)
}

/// A bound for a row, and how often it was raised: whoever lowers it must not undo that.
#[derive(Clone, Copy)]
struct Row {
    raised: u32,
    most: u32,
}

impl Row {
    fn from_word(word: u64) -> Self {
        Self {
            raised: (word >> 32) as u32,
            most: word as u32,
        }
    }

    fn word(self) -> u64 {
        u64::from(self.raised) << 32 | u64::from(self.most)
    }
}

/// The bounds of all groups.
pub(super) struct Bounds {
    groups: Growing<Atomic<u32>>,
    rows: [Growing<Atomic<u64>>; LEVELS],
}

impl Bounds {
    /// These, from the first group on.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    pub(super) fn new(bounds: impl Iterator<Item = u32>) -> FsResult<Self> {
        let mut groups = KVVec::new();
        let mut rows = [KVVec::new(), KVVec::new()];
        for (group, bound) in bounds.enumerate() {
            groups.push(Atomic::new(bound), GFP_KERNEL)?;
            for (level, rows) in rows.iter_mut().enumerate() {
                if group >> group_bits(level) == rows.len() {
                    rows.push(Atomic::new(0u64), GFP_KERNEL)?;
                }
                if let Some(row) = rows.last_mut() {
                    let most = Row::from_word(*row.get_mut()).most.max(bound);
                    *row.get_mut() = Row { raised: 0, most }.word();
                }
            }
        }
        let [first, second] = rows;
        Ok(Self {
            groups: Growing::new(groups)?,
            rows: [Growing::new(first)?, Growing::new(second)?],
        })
    }

    /// Sees to it that [`Self::add`] needs no memory for so many groups.
    pub(super) fn make_room(&self, more: usize) -> FsResult {
        for (level, rows) in self.rows.iter().enumerate() {
            rows.make_room((more >> group_bits(level)) + 1)?;
        }
        self.groups.make_room(more)
    }

    /// Adds that of a group, behind the others. Nobody asks for it yet.
    ///
    /// # Errors
    ///
    /// `ENOMEM`, with nothing added.
    pub(super) fn add(&self, bound: u32) -> FsResult {
        let group = self.groups.len();
        for (level, rows) in self.rows.iter().enumerate() {
            if group >> group_bits(level) == rows.len() {
                rows.push(Atomic::new(0))?;
            }
        }
        self.groups.push(Atomic::new(0))?;
        // A number of 32 bits, as all groups have.
        self.raise(GroupNumber(group as u32), bound);
        Ok(())
    }

    /// The group has no more.
    pub(super) fn of(&self, group: GroupNumber) -> u32 {
        let bound = self.groups.get(group.0 as usize);
        bound.map_or(0, |bound| bound.load(Acquire))
    }

    /// Notes that a group has no more than `most`. The group is locked.
    pub(super) fn lower(&self, group: GroupNumber, most: u32) {
        if let Some(bound) = self.groups.get(group.0 as usize) {
            if most < bound.load(Relaxed) {
                bound.store(most, Release);
            }
        }
    }

    /// Notes that a group may have `most`. The group is locked.
    pub(super) fn raise(&self, group: GroupNumber, most: u32) {
        let Some(bound) = self.groups.get(group.0 as usize) else {
            return;
        };
        if most <= bound.load(Relaxed) {
            return;
        }
        bound.store(most, Release);
        for (level, rows) in self.rows.iter().enumerate() {
            let Some(row) = rows.get((group.0 >> group_bits(level)) as usize) else {
                return;
            };
            let mut before = row.load(Acquire);
            loop {
                let old = Row::from_word(before);
                let new = Row {
                    raised: old.raised.wrapping_add(1),
                    most: old.most.max(most),
                };
                match row.cmpxchg(before, new.word(), Full) {
                    Ok(_) => break,
                    Err(now) => before = now,
                }
            }
        }
    }

    /// The first group in `range` that may have as much as is wanted of each of these.
    pub(super) fn next<const N: usize>(
        wanted: [(&Self, u32); N],
        range: Range<u32>,
    ) -> Option<GroupNumber> {
        let is_in_row = |level, row| {
            let mut all = wanted.iter();
            all.all(|(own, least)| own.of_row(level, row) >= *least)
        };
        let is_in = |group| wanted.iter().all(|(own, least)| own.of(group) >= *least);
        let mut at = range.start;
        'rows: while at < range.end {
            for level in (0..LEVELS).rev() {
                if !is_in_row(level, at >> group_bits(level)) {
                    at = end_of_row(level, at);
                    continue 'rows;
                }
            }
            let end = range.end.min(end_of_row(0, at));
            if let Some(found) = (at..end).map(GroupNumber).find(|&group| is_in(group)) {
                return Some(found);
            }
            for (own, _) in wanted {
                own.lower_rows(at);
            }
            at = end;
        }
        None
    }

    fn of_row(&self, level: usize, row: u32) -> u32 {
        let row = self.rows.get(level).and_then(|rows| rows.get(row as usize));
        row.map_or(0, |row| Row::from_word(row.load(Acquire)).most)
    }

    /// Lowers the bounds of the rows that a group is in as far as those in them allow.
    fn lower_rows(&self, group: u32) {
        for (level, rows) in self.rows.iter().enumerate() {
            let number = group >> group_bits(level);
            let Some(row) = rows.get(number as usize) else {
                return;
            };
            // Before what is in it is looked at: if one of that is raised after that, so is the row.
            let before = row.load(Acquire);
            let old = Row::from_word(before);
            let first = number << ROW_BITS;
            let inner = (first..=first | (ROW - 1)).map(|inner| match level.checked_sub(1) {
                None => self.of(GroupNumber(inner)),
                Some(below) => self.of_row(below, inner),
            });
            let most = inner.max().unwrap_or(0);
            if most < old.most {
                // If it does not work somebody else has changed it.
                let _ = row.cmpxchg(before, Row { most, ..old }.word(), Full);
            }
        }
    }
}

/// The first group behind the row of a level that holds this one.
fn end_of_row(level: usize, group: u32) -> u32 {
    let behind = (u64::from(group) >> group_bits(level)) + 1;
    u32::try_from(behind << group_bits(level)).unwrap_or(u32::MAX)
}
