// SPDX-License-Identifier: GPL-2.0

//! What is known of a tree without looking at it: mappings that were looked up, in memory.
//!
//! Mappings are in order, in runs of up to [`RUN`], and the runs are in an index. So a mapping costs
//! little more than its own 16 bytes, a look-up is two binary searches, and a change moves no more
//! than a run, or the index if a run comes or goes. Memory is given back run by run.
//!
//! A cache knows a part of the truth or nothing, whatever fails: what there is no memory for is not
//! kept, and if what is left of a mapping does not fit it is forgotten too. It has no lock, and never
//! does much at once ([`MOST`]), since its owner keeps it under a spin lock. Memory for it can fail
//! to grow, must not sleep, and is the owner's to choose: [`Memory`].
//!
//! # What is in it
//!
//! No mapping in here says more than one entry of the tree: an extent is an extent of the tree or a
//! part of one. Those who change the tree rely on that where they look up what they change.

mod run;

use super::Mapping;
use crate::disk::units::LogicalBlock;
use core::ops::Range;
use run::Run;

/// The most mappings in a run. To put one in moves half a run, and twice in as many the half of the index: with runs of
/// 64 that is least where there are some 30,000 mappings.
pub const RUN: usize = 64;

/// The room in the only run of a small cache.
const FIRST: usize = 4;

/// The most runs that are given up at once.
pub const MOST: usize = 64;

/// The most runs there are. It bounds the index, which is moved as a whole, to 32 KiB.
pub const RUNS: usize = 1024;

/// How many runs are passed over at most for one that was not used of late.
const LOOKS: usize = 16;

/// A list in memory that may not be had.
pub trait List<T>: Default {
    /// What is in it.
    fn items(&self) -> &[T];
    /// The same, to change.
    fn items_mut(&mut self) -> &mut [T];
    /// How much there is room for.
    fn capacity(&self) -> usize;
    /// Makes room for so many more. Returns whether there is. Must not sleep.
    fn reserve(&mut self, more: usize) -> bool;
    /// Puts something in before the item `at`. There is room.
    fn insert(&mut self, at: usize, item: T);
    /// Leaves the first `len`.
    fn truncate(&mut self, len: usize);
}

/// Where the lists of a cache come from.
pub trait Memory {
    /// A list.
    type List<T>: List<T>;
}

/// Removes some items of a list.
fn cut<T>(list: &mut impl List<T>, range: Range<usize>) {
    let len = list.items().len();
    let removed = range.len();
    if let Some(rest) = list.items_mut().get_mut(range.start..) {
        // None if they are the last ones.
        rest.rotate_left(removed.min(rest.len()));
    }
    list.truncate(len.saturating_sub(removed));
}

/// The mapping's first block, and the one behind its last.
fn range_of(mapping: Mapping) -> Range<LogicalBlock> {
    match mapping {
        Mapping::Extent(extent) => extent.logical()..extent.end(),
        Mapping::Hole(hole) => hole.first..hole.end,
    }
}

/// The part of a mapping from `from` up to and without `to`, if it is not empty.
fn part_of(mapping: Mapping, from: LogicalBlock, to: LogicalBlock) -> Option<Mapping> {
    match mapping {
        Mapping::Extent(extent) => extent.part(from, to).map(Mapping::Extent),
        Mapping::Hole(mut hole) => {
            hole.first = hole.first.max(from);
            hole.end = hole.end.min(to);
            (hole.first < hole.end).then_some(Mapping::Hole(hole))
        }
    }
}

/// What came of [`Cache::forget`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub struct Forgotten {
    /// Whether anything was known.
    pub any: bool,
    /// Whether it is to be called again, for what was left because it was too much at once.
    pub more: bool,
}

/// Mappings of one inode.
///
/// # Invariants
///
/// - No run is empty, each begins where its first mapping does, and mappings are in ascending order
///   and do not overlap.
/// - `bytes` is what all lists have allocated.
pub struct Cache<M: Memory> {
    runs: M::List<Run<M>>,
    /// Where giving back goes on.
    hand: usize,
    bytes: usize,
}

impl<M: Memory> Default for Cache<M> {
    fn default() -> Self {
        Self {
            runs: Default::default(),
            hand: 0,
            bytes: 0,
        }
    }
}

impl<M: Memory> Cache<M> {
    /// How many runs there are.
    pub fn runs(&self) -> usize {
        self.runs.items().len()
    }

    /// The memory that is allocated, in bytes.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// The mapping that holds `block`, if it is known.
    pub fn find(&mut self, block: LogicalBlock) -> Option<Mapping> {
        let at = self.run_before(block)?;
        let run = self.runs.items_mut().get_mut(at)?;
        let found = run.find(block)?;
        run.used = true;
        Some(found)
    }

    /// The first block at or behind `block` of which something is known.
    pub fn next(&self, block: LogicalBlock) -> Option<LogicalBlock> {
        let at = self.run_before(block).unwrap_or(0);
        let runs = self.runs.items().get(at..)?;
        runs.iter().take(2).find_map(|run| run.next(block))
    }

    /// Keeps a mapping that the tree has, in the place of what is known of its blocks.
    pub fn keep(&mut self, mapping: Mapping) {
        let range = range_of(mapping);
        if range.is_empty() {
            return;
        }
        let (mut at, mut slot) = self.place(range.start);
        if !self.is_unknown(at, slot, &range) {
            if self.forget(range.clone()).more {
                return;
            }
            (at, slot) = self.place(range.start);
        }
        let is_full = self.runs.items().get(at).is_some_and(Run::is_full);
        if is_full && self.runs() >= RUNS {
            self.give_one_back();
            (at, slot) = self.place(range.start);
        }
        self.insert(at, slot, mapping);
    }

    /// Forgets what is known of some blocks.
    pub fn forget(&mut self, range: Range<LogicalBlock>) -> Forgotten {
        let first = self.run_before(range.start).unwrap_or(0);
        let runs = self.runs.items();
        let is_last = |at: usize| {
            let next = runs.get(at + 1);
            next.is_none_or(|next| next.first >= range.end)
        };
        if runs.get(first).is_some_and(|run| run.goes_beyond(&range)) && is_last(first) {
            // Nearly always: it meets no more than one run, and something of that is left.
            let any = self.cut_run(first, &range);
            return Forgotten { any, more: false };
        }
        let behind = runs.partition_point(|run| run.first < range.end);
        let inside = |at: &usize| {
            let run = runs.get(*at);
            run.is_some_and(|run| run.first >= range.start && run.end() <= range.end)
        };
        // Those that lie in the range as a whole. What else it meets is the first or the last.
        let start = (first..behind).find(inside).unwrap_or(behind);
        let end = (start..behind)
            .rev()
            .find(inside)
            .map_or(start, |at| at + 1);
        let more = end - start > MOST;
        let start = if more { end - MOST } else { start };
        let mut any = start < end;
        self.remove_runs(start..end);
        let last = (behind - (end - start)).checked_sub(1);
        if let Some(last) = last.filter(|_| !more) {
            any |= self.cut_run(last, &range);
            // Nothing before the last one has moved.
            any |= first < last && self.cut_run(first, &range);
        }
        if start < end {
            // What was before and behind these are neighbours now.
            self.join(start.saturating_sub(1));
        }
        Forgotten { any, more }
    }

    /// Gives back runs that were not used since it came by last time, and goes on where it ended
    /// then. Looks at no more than `looks` runs, and takes from that how many it did look at. Returns
    /// how many it gave back, and whether it came to the end of the cache.
    pub fn give_back(&mut self, looks: &mut usize) -> (usize, bool) {
        let start = self.hand.min(self.runs());
        let end = (start + (*looks).min(MOST)).min(self.runs());
        *looks -= end - start;
        let mut kept = start;
        let runs = self.runs.items_mut();
        for at in start..end {
            let used = runs
                .get_mut(at)
                .is_some_and(|run| core::mem::take(&mut run.used));
            if used {
                runs.swap(kept, at);
                kept += 1;
            }
        }
        self.remove_runs(kept..end);
        let is_end = kept >= self.runs();
        self.hand = if is_end { 0 } else { kept };
        (end - kept, is_end)
    }

    /// Gives back one run, if possible one that was not used of late.
    fn give_one_back(&mut self) {
        for _ in 0..LOOKS {
            let (given, _) = self.give_back(&mut 1);
            if given > 0 {
                return;
            }
        }
        let at = self.hand;
        self.remove_runs(at..at + 1);
    }

    /// The last run that begins at or before `block`.
    fn run_before(&self, block: LogicalBlock) -> Option<usize> {
        let runs = self.runs.items();
        let behind = runs.partition_point(|run| run.first <= block);
        behind.checked_sub(1)
    }

    /// The run that a mapping belongs to that begins at `block`, and how many in it begin before that.
    fn place(&self, block: LogicalBlock) -> (usize, usize) {
        let at = self.run_before(block).unwrap_or(0);
        let run = self.runs.items().get(at);
        (at, run.map_or(0, |run| run.slot(block)))
    }

    /// Whether nothing is known of a range that belongs to run `at`, before its mapping `slot`.
    fn is_unknown(&self, at: usize, slot: usize, range: &Range<LogicalBlock>) -> bool {
        let runs = self.runs.items();
        let next = runs.get(at + 1);
        runs.get(at).is_some_and(|run| run.is_free(slot, range))
            && next.is_none_or(|next| next.first >= range.end)
    }

    /// Removes runs, and gives back the index when it is empty.
    fn remove_runs(&mut self, range: Range<usize>) {
        let range = range.start..range.end.min(self.runs());
        if range.is_empty() {
            return;
        }
        for run in self.runs.items().get(range.clone()).unwrap_or_default() {
            self.bytes -= run.bytes();
        }
        if range.start < self.hand {
            self.hand -= range.end.min(self.hand) - range.start;
        }
        cut(&mut self.runs, range);
        if self.runs() == 0 {
            // INVARIANT: nothing is allocated then.
            *self = Self::default();
        }
    }

    /// Forgets what run `at` knows of a range. Returns whether that was anything.
    fn cut_run(&mut self, at: usize, range: &Range<LogicalBlock>) -> bool {
        let Some(run) = self.runs.items_mut().get_mut(at) else {
            return false;
        };
        let Some((slot, rest)) = run.forget(range) else {
            return false;
        };
        if let Some(rest) = rest {
            // There may be no room for it. Then that is forgotten too.
            self.insert(at, slot, rest);
        } else if run.is_empty() {
            self.remove_runs(at..at + 1);
        } else {
            self.join(at);
            if let Some(before) = at.checked_sub(1) {
                self.join(before);
            }
        }
        true
    }

    /// Moves what is in the run behind run `at` into that, if both together are not much.
    fn join(&mut self, at: usize) {
        let Some([run, next]) = self.runs.items_mut().get_mut(at..at + 2) else {
            return;
        };
        let before = run.bytes();
        if run.take_all(next) {
            self.bytes += run.bytes();
            self.bytes -= before;
            self.remove_runs(at + 1..at + 2);
        }
    }

    /// Puts a mapping into run `at`, before its mapping `slot`. Whatever that needs is allocated first;
    /// if it can't be, nothing is changed.
    fn insert(&mut self, at: usize, slot: usize, mapping: Mapping) {
        let Some(run) = self.runs.items_mut().get_mut(at) else {
            // The first of all.
            if let Some(run) = self.new_run(FIRST) {
                self.add_run(0, run.with(mapping));
            }
            return;
        };
        if !run.is_full() {
            let before = run.bytes();
            if run.reserve(FIRST) {
                run.insert(slot, mapping);
            }
            self.bytes += run.bytes();
            self.bytes -= before;
            return;
        }
        let Some(mut new) = self.new_run(RUN) else {
            return;
        };
        // What grows at its end stays full, anything else gets room on both sides.
        if let Some(run) = self.runs.items_mut().get_mut(at).filter(|_| slot < RUN) {
            run.move_half(&mut new);
            if let Some(slot) = slot.checked_sub(run.len()) {
                new.insert(slot, mapping);
            } else {
                run.insert(slot, mapping);
            }
        } else {
            new.insert(0, mapping);
        }
        self.add_run(at + 1, new);
    }

    /// An empty run with this room, and a place for it in the index.
    fn new_run(&mut self, room: usize) -> Option<Run<M>> {
        if self.runs() >= RUNS {
            return None;
        }
        let mut run = Run::new();
        if !run.reserve(room) {
            return None;
        }
        let before = self.runs.capacity();
        let has_place = self.runs.reserve(1);
        self.bytes += (self.runs.capacity() - before) * size_of::<Run<M>>();
        has_place.then_some(run)
    }

    /// Adds a run that is not empty, for which there is a place.
    fn add_run(&mut self, at: usize, run: Run<M>) {
        self.bytes += run.bytes();
        if at < self.hand {
            self.hand += 1;
        }
        self.runs.insert(at, run);
    }
}

#[cfg(any(CONFIG_KUNIT = "y", feature = "testing"))]
impl<M: Memory> Cache<M> {
    /// Calls `each` with all mappings in order, and says whether the invariants hold.
    pub fn check(&self, mut each: impl FnMut(Mapping)) -> bool {
        let mut bytes = self.runs.capacity() * size_of::<Run<M>>();
        let mut end = LogicalBlock(0);
        let mut holds = true;
        for run in self.runs.items() {
            bytes += run.bytes();
            let mappings = run.mappings();
            let first = mappings.first().map(|first| range_of(*first).start);
            holds &= first == Some(run.first);
            for mapping in mappings {
                let range = range_of(*mapping);
                holds &= end <= range.start && !range.is_empty();
                end = range.end;
                each(*mapping);
            }
        }
        holds && bytes == self.bytes
    }
}
