// SPDX-License-Identifier: GPL-2.0

//! Some mappings that come one after the other.

use super::{cut, part_of, range_of, List, Mapping, Memory, RUN};
use crate::disk::units::LogicalBlock;
use core::ops::Range;

/// A mapping has to be no larger than what it says.
const _: () = assert!(size_of::<Mapping>() == 16);

/// Up to [`RUN`] mappings, in order.
pub(super) struct Run<M: Memory> {
    list: M::List<Mapping>,
    /// Where the first one begins.
    pub(super) first: LogicalBlock,
    /// Whether something was found in it since that was last looked at.
    pub(super) used: bool,
}

impl<M: Memory> Run<M> {
    /// No mapping.
    pub(super) fn new() -> Self {
        Self {
            list: Default::default(),
            first: LogicalBlock(0),
            // What was just looked up will be again.
            used: true,
        }
    }

    /// An empty run with one mapping in it, for which there is room.
    pub(super) fn with(mut self, mapping: Mapping) -> Self {
        self.insert(0, mapping);
        self
    }

    /// All of them.
    pub(super) fn mappings(&self) -> &[Mapping] {
        self.list.items()
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.list.items().len()
    }

    /// Whether there are none.
    pub(super) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether there can be no more.
    pub(super) fn is_full(&self) -> bool {
        self.len() >= RUN
    }

    /// What is allocated for them, in bytes.
    pub(super) fn bytes(&self) -> usize {
        self.list.capacity() * size_of::<Mapping>()
    }

    /// The block behind the last one.
    pub(super) fn end(&self) -> LogicalBlock {
        let last = self.mappings().last();
        last.map_or(self.first, |last| range_of(*last).end)
    }

    /// Whether some of what it says is outside a range.
    pub(super) fn goes_beyond(&self, range: &Range<LogicalBlock>) -> bool {
        self.first < range.start || self.end() > range.end
    }

    /// Whether no mapping meets a range, before the start of which `slot` of them begin.
    pub(super) fn is_free(&self, slot: usize, range: &Range<LogicalBlock>) -> bool {
        let all = self.mappings();
        let before = slot.checked_sub(1).and_then(|slot| all.get(slot));
        before.is_none_or(|before| range_of(*before).end <= range.start)
            && all
                .get(slot)
                .is_none_or(|next| range_of(*next).start >= range.end)
    }

    /// How many begin before `block`.
    pub(super) fn slot(&self, block: LogicalBlock) -> usize {
        let begins_before = |mapping: &Mapping| range_of(*mapping).start < block;
        self.mappings().partition_point(begins_before)
    }

    /// The first block at or behind `block` that one of them holds.
    pub(super) fn next(&self, block: LogicalBlock) -> Option<LogicalBlock> {
        let ends_before = |mapping: &Mapping| range_of(*mapping).end <= block;
        let at = self.mappings().partition_point(ends_before);
        let next = self.mappings().get(at)?;
        Some(range_of(*next).start.max(block))
    }

    /// The one that holds `block`.
    pub(super) fn find(&self, block: LogicalBlock) -> Option<Mapping> {
        let ends_before = |mapping: &Mapping| range_of(*mapping).end <= block;
        let at = self.mappings().partition_point(ends_before);
        let found = *self.mappings().get(at)?;
        (range_of(found).start <= block).then_some(found)
    }

    /// Makes room for one more, and if it has to, for so many. Returns whether there is.
    pub(super) fn reserve(&mut self, room: usize) -> bool {
        let full = self.list.capacity() == self.len();
        !full
            || self
                .list
                .reserve(room.min(RUN - self.len().min(RUN)).max(1))
    }

    /// Puts one in before the one at `slot`. There is room.
    pub(super) fn insert(&mut self, slot: usize, mapping: Mapping) {
        self.list.insert(slot.min(self.len()), mapping);
        self.note_first();
    }

    /// Forgets what is known of a range. `None` if there is nothing, else what could not be kept for
    /// want of room, and where that belongs.
    pub(super) fn forget(
        &mut self,
        range: &Range<LogicalBlock>,
    ) -> Option<(usize, Option<Mapping>)> {
        let all = self.list.items();
        let ends_before = |mapping: &Mapping| range_of(*mapping).end <= range.start;
        let mut from = all.partition_point(ends_before);
        let first = *all.get(from)?;
        if range_of(first).start >= range.end {
            return None;
        }
        let mut to = self.slot(range.end);
        let last = *all.get(to.checked_sub(1)?)?;
        let before = part_of(first, LogicalBlock(0), range.start);
        let mut behind = part_of(last, range.end, LogicalBlock(u32::MAX));
        if let (Some(before), Some(first)) = (before, self.list.items_mut().get_mut(from)) {
            *first = before;
            from += 1;
        }
        // If it is the same one it is written over already.
        if from < to {
            let last = self.list.items_mut().get_mut(to - 1);
            if let (Some(rest), Some(last)) = (behind, last) {
                *last = rest;
                behind = None;
                to -= 1;
            }
            cut(&mut self.list, from..to);
        }
        self.note_first();
        Some((from, behind))
    }

    /// Moves all mappings of the run behind this one to here, if there are few in both. Returns
    /// whether that was done.
    pub(super) fn take_all(&mut self, next: &Self) -> bool {
        let more = next.len();
        let room = self.list.capacity() - self.len();
        if self.len() + more > RUN / 2 || (room < more && !self.list.reserve(more)) {
            return false;
        }
        for mapping in next.mappings() {
            self.list.insert(self.len(), *mapping);
        }
        self.used |= next.used;
        self.note_first();
        true
    }

    /// Moves the second half to an empty run that has room for it.
    pub(super) fn move_half(&mut self, new: &mut Self) {
        let half = self.len() / 2;
        for mapping in self.list.items().get(half..).unwrap_or_default() {
            new.list.insert(new.len(), *mapping);
        }
        self.list.truncate(half);
        new.used = self.used;
        new.note_first();
    }

    fn note_first(&mut self) {
        if let Some(first) = self.mappings().first() {
            self.first = range_of(*first).start;
        }
    }
}
