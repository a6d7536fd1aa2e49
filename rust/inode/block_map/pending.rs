// SPDX-License-Identifier: GPL-2.0

//! Blocks that are chosen for data of a file with a block map, and are not in the map yet.

use crate::{disk::units::LogicalBlock, inode::staged::StagedRun, memory::insist};
use core::ops::Range;
use kernel::prelude::*;

/// Those of one file.
///
/// # Invariants
///
/// The runs are in order, none is empty, and no two overlap. What they are for is a hole of the map.
/// `blocks` is how many they have together.
#[derive(Default)]
pub(crate) struct Pending {
    runs: KVec<StagedRun>,
    blocks: u32,
}

impl Pending {
    /// None.
    pub(in crate::inode) const fn new() -> Self {
        Self {
            runs: KVec::new(),
            blocks: 0,
        }
    }

    /// How many runs.
    pub(in crate::inode) fn runs(&self) -> u32 {
        u32::try_from(self.runs.len()).unwrap_or(u32::MAX)
    }

    /// How many blocks.
    pub(in crate::inode) fn blocks(&self) -> u32 {
        self.blocks
    }

    /// The run that holds `block`, or else the next one.
    pub(super) fn at_or_behind(&self, block: LogicalBlock) -> Option<StagedRun> {
        let first = self.runs.partition_point(|own| own.blocks().end <= block);
        self.runs.get(first).copied()
    }

    /// What of the runs is the first in a range.
    pub(super) fn first_in(&self, range: &Range<LogicalBlock>) -> Option<StagedRun> {
        self.at_or_behind(range.start)?.part(range)
    }

    /// Makes room for one run more. File systems are not called for memory.
    pub(super) fn make_room(&mut self) -> Result {
        insist(|| Ok(self.runs.reserve(1, GFP_KERNEL)?))
    }

    /// Adds a run, of which nothing is in there. There is room.
    pub(super) fn add(&mut self, run: StagedRun) {
        let at = self
            .runs
            .partition_point(|own| own.blocks().start < run.blocks().start);
        if self.runs.insert_within_capacity(at, run).is_ok() {
            self.blocks += run.run().len;
        }
    }

    /// Takes a part of one run out. There is room.
    pub(super) fn take(&mut self, part: &StagedRun) {
        let taken = part.blocks();
        let at = self
            .runs
            .partition_point(|own| own.blocks().end <= taken.start);
        let Some(own) = self.runs.get_mut(at) else {
            return;
        };
        let whole = *own;
        let before = whole.part(&(whole.blocks().start..taken.start));
        let behind = whole.part(&(taken.end..whole.blocks().end));
        self.blocks -= part.run().len;
        match (before, behind) {
            (Some(before), behind) => {
                *own = before;
                if let Some(behind) = behind {
                    let _ = self.runs.insert_within_capacity(at + 1, behind);
                }
            }
            (None, Some(behind)) => *own = behind,
            (None, None) => {
                let _ = self.runs.remove(at);
            }
        }
    }
}
