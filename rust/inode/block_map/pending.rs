// SPDX-License-Identifier: GPL-2.0

//! Blocks that are chosen for data of a file with a block map, and are not in the map yet.
//!
//! Small writes with nothing between them leave what grows together. Those that are far from each other do not,
//! and there may be hundreds of thousands before writeback ends, so the runs are in a balanced tree.

use crate::{
    disk::units::{LogicalBlock, PhysicalBlock},
    inode::staged::StagedRun,
    memory::insist,
};
use core::ops::Range;
use kernel::{
    prelude::*,
    rbtree::{RBTree, RBTreeNodeReservation},
};

/// Room for one run more.
pub(super) struct Room(RBTreeNodeReservation<u32, StagedRun>);

impl Room {
    /// Sleeps until there is memory for it. File systems are not called for that: in a handle, or with
    /// [`NoFs`](crate::vfs::no_fs::NoFs).
    pub(super) fn new() -> Result<Self> {
        insist(|| RBTreeNodeReservation::new(GFP_KERNEL)).map(Self)
    }
}

/// Those of one file.
///
/// # Invariants
///
/// No run is empty, and no two overlap. What they are for is a hole of the map. Each lies in one group. `runs` is
/// how many there are, `blocks` how many blocks they have together.
pub(crate) struct Pending {
    /// By the end of what they are for: so the first that ends behind a block is the one that holds it, or the
    /// next one.
    list: RBTree<u32, StagedRun>,
    runs: u32,
    blocks: u32,
}

impl Pending {
    /// None.
    pub(in crate::inode) fn new() -> Self {
        Self {
            list: RBTree::new(),
            runs: 0,
            blocks: 0,
        }
    }

    /// How many runs.
    pub(in crate::inode) fn runs(&self) -> u32 {
        self.runs
    }

    /// How many blocks.
    pub(in crate::inode) fn blocks(&self) -> u32 {
        self.blocks
    }

    /// From the first block of the file to the last one; empty if there is none.
    pub(in crate::inode) fn span(&self) -> Range<u32> {
        match (self.list.cursor_front(), self.list.cursor_back()) {
            (Some(first), Some(last)) => first.current().1.blocks().start.0..*last.current().0,
            _ => 0..0,
        }
    }

    /// The run that holds `block`, or else the next one.
    pub(super) fn at_or_behind(&self, block: LogicalBlock) -> Option<StagedRun> {
        let cursor = self.list.cursor_lower_bound(&block.0.saturating_add(1))?;
        Some(*cursor.current().1)
    }

    /// What of the runs is the first in a range.
    pub(super) fn first_in(&self, range: &Range<LogicalBlock>) -> Option<StagedRun> {
        self.at_or_behind(range.start)?.part(range)
    }

    /// Adds a run, of which nothing is in there. It becomes one with those that it goes on with in the file and on
    /// the device, but for where a group begins.
    pub(super) fn add(
        &mut self,
        run: StagedRun,
        room: Room,
        begins_group: impl Fn(PhysicalBlock) -> bool,
    ) {
        let join = |one: &StagedRun, next: &StagedRun| {
            one.joined(next).filter(|_| !begins_group(next.start()))
        };
        let mut whole = run;
        let before = self.list.get(&run.blocks().start.0);
        if let Some(joined) = before.and_then(|before| join(before, &run)) {
            self.remove(run.blocks().start);
            whole = joined;
        }
        let behind = self.at_or_behind(run.blocks().end);
        if let Some(joined) = behind.and_then(|behind| join(&whole, &behind)) {
            self.remove(joined.blocks().end);
            whole = joined;
        }
        self.insert(whole, room);
        self.blocks += run.run().len;
    }

    /// Room for what is left when a part of one run is taken out, if that takes any. File systems are not called
    /// for memory, and none is needed to take out a whole run.
    pub(super) fn room_to_take(&self, part: &StagedRun) -> Result<Option<Room>> {
        let taken = part.blocks();
        let is_amidst = self
            .at_or_behind(taken.start)
            .is_some_and(|own| own.blocks().start < taken.start && taken.end < own.blocks().end);
        is_amidst.then(Room::new).transpose()
    }

    /// Takes a part of one run out, with [room](Self::room_to_take) for what is left.
    pub(super) fn take(&mut self, part: &StagedRun, room: Option<Room>) {
        let taken = part.blocks();
        let Some(whole) = self.at_or_behind(taken.start) else {
            return;
        };
        let before = whole.part(&(whole.blocks().start..taken.start));
        let behind = whole.part(&(taken.end..whole.blocks().end));
        match (before, behind, room) {
            (Some(before), Some(behind), Some(room)) => {
                // It keeps its end.
                self.set(&behind);
                self.insert(before, room);
            }
            // Nobody does that.
            (Some(_), Some(_), None) => return,
            (None, Some(behind), _) => self.set(&behind),
            (Some(before), None, _) => {
                if let Some(room) = self.remove(whole.blocks().end) {
                    self.insert(before, room);
                }
            }
            (None, None, _) => {
                self.remove(whole.blocks().end);
            }
        }
        self.blocks -= part.run().len;
    }

    fn insert(&mut self, run: StagedRun, room: Room) {
        self.list.insert(room.0.into_node(run.blocks().end.0, run));
        self.runs += 1;
    }

    /// Removes the run that ends there. Its room is left.
    fn remove(&mut self, end: LogicalBlock) -> Option<Room> {
        let node = self.list.remove_node(&end.0)?;
        self.runs -= 1;
        Some(Room(node.into_reservation()))
    }

    /// Puts a run in the place of the one that ends where it does.
    fn set(&mut self, run: &StagedRun) {
        if let Some(own) = self.list.get_mut(&run.blocks().end.0) {
            *own = *run;
        }
    }
}

#[kunit_tests(rext4_pending)]
mod tests {
    use super::*;
    use crate::group::Run;

    /// Blocks of the file, and where on the device the first of them lies.
    fn run(blocks: Range<u32>, start: u64) -> StagedRun {
        let (first, len) = (blocks.start, blocks.end - blocks.start);
        let start = PhysicalBlock(start);
        StagedRun::new(LogicalBlock(first), Run { start, len })
    }

    fn add(pending: &mut Pending, added: StagedRun) -> Result {
        pending.add(added, Room::new()?, |block| block.0 % 100 == 0);
        Ok(())
    }

    fn take(pending: &mut Pending, part: StagedRun) -> Result {
        let room = pending.room_to_take(&part)?;
        pending.take(&part, room);
        Ok(())
    }

    #[test]
    fn neighbours_become_one() -> Result {
        let mut pending = Pending::new();
        add(&mut pending, run(0..4, 10))?;
        add(&mut pending, run(8..12, 18))?;
        add(&mut pending, run(4..8, 14))?;
        assert_eq!((pending.runs(), pending.blocks()), (1, 12));
        assert_eq!(pending.at_or_behind(LogicalBlock(5)), Some(run(0..12, 10)));
        // Not if they are neighbours in one place alone, nor where a group begins.
        add(&mut pending, run(12..14, 98))?;
        add(&mut pending, run(20..21, 22))?;
        add(&mut pending, run(14..15, 100))?;
        assert_eq!((pending.runs(), pending.blocks()), (4, 16));
        Ok(())
    }

    #[test]
    fn runs_are_cut() -> Result {
        let mut pending = Pending::new();
        add(&mut pending, run(0..20, 10))?;
        for (part, left, first) in [
            (0..2, 1, run(2..20, 12)),
            (18..20, 1, run(2..18, 12)),
            (8..10, 2, run(2..8, 12)),
            (2..8, 1, run(10..18, 20)),
        ] {
            let part = run(part.clone(), u64::from(part.start) + 10);
            take(&mut pending, part)?;
            assert_eq!(pending.runs(), left);
            assert_eq!(pending.at_or_behind(LogicalBlock(0)), Some(first));
        }
        take(&mut pending, run(10..18, 20))?;
        assert_eq!((pending.runs(), pending.blocks()), (0, 0));
        assert_eq!(pending.at_or_behind(LogicalBlock(0)), None);
        Ok(())
    }

    /// No memory in one piece is needed for all.
    #[test]
    fn there_may_be_many() -> Result {
        const MANY: u32 = 200_000;
        let mut pending = Pending::new();
        for number in 0..MANY {
            // Each goes before all that are there.
            let at = 2 * (MANY - number);
            add(&mut pending, run(at..at + 1, at.into()))?;
        }
        assert_eq!((pending.runs(), pending.blocks()), (MANY, MANY));
        let all = LogicalBlock(0)..LogicalBlock(u32::MAX);
        while let Some(first) = pending.first_in(&all) {
            assert!(pending.room_to_take(&first)?.is_none());
            pending.take(&first, None);
        }
        assert_eq!((pending.runs(), pending.blocks()), (0, 0));
        Ok(())
    }
}
