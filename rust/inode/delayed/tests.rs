// SPDX-License-Identifier: GPL-2.0

//! KUnit suite of the ranges, against a table with an entry for each block.

use super::{ranges::Ranges, shape::Shape};
use crate::{
    disk::units::{BlockSize, LogicalBlock},
    extent::credits::splice_new,
};
use core::ops::Range;
use kernel::prelude::*;

const BLOCKS: usize = 64;

fn blocks(range: Range<u32>) -> Range<LogicalBlock> {
    LogicalBlock(range.start)..LogicalBlock(range.end)
}

/// A set of blocks kept in two ways.
struct Both {
    ranges: Ranges,
    table: [bool; BLOCKS],
}

impl Both {
    fn new() -> Self {
        Self {
            ranges: Ranges::new(),
            table: [false; BLOCKS],
        }
    }

    /// Adds what of a range is not in the set yet, in pieces as they come.
    fn add(&mut self, range: Range<u32>) -> Result {
        let mut at = range.start;
        while at < range.end {
            if self.table[at as usize] {
                at += 1;
                continue;
            }
            let start = at;
            while at < range.end && !self.table[at as usize] {
                self.table[at as usize] = true;
                at += 1;
            }
            let expected = self.ranges.count_with(&blocks(start..at));
            self.ranges.add(blocks(start..at))?;
            assert_eq!(self.ranges.count(), expected);
        }
        Ok(())
    }

    fn remove(&mut self, range: Range<u32>) {
        let mut removed = 0;
        for block in range.clone() {
            removed += u32::from(self.table[block as usize]);
            self.table[block as usize] = false;
        }
        assert_eq!(self.ranges.remove(blocks(range)), removed);
    }

    /// All that can be asked is answered as the table says.
    fn check(&self) {
        let mut count = 0;
        let mut next: Option<Range<u32>> = None;
        for at in (0..BLOCKS).rev() {
            let block = at as u32;
            if self.table[at] {
                match &mut next {
                    Some(range) if range.start == block + 1 => range.start = block,
                    _ => {
                        next = Some(block..block + 1);
                        count += 1;
                    }
                }
            }
            // As far as it is known from behind: its start may come yet.
            let found = self.ranges.at_or_behind(LogicalBlock(block));
            let end = found.as_ref().map(|range| range.end.0);
            assert_eq!(end, next.as_ref().map(|range| range.end));
            let holding = self.ranges.holding(LogicalBlock(block));
            assert_eq!(holding.is_some(), self.table[at]);
            let before = (0..at).rev().find(|at| self.table[*at]);
            let before = before.map(|last| LogicalBlock(last as u32 + 1));
            let inside = self.table[at] && at > 0 && self.table[at - 1];
            if !inside {
                assert_eq!(self.ranges.end_before(LogicalBlock(block)), before);
            }
            if !self.table[at] {
                let start = found.map(|range| range.start.0);
                assert_eq!(start, next.as_ref().map(|range| range.start));
            }
        }
        assert_eq!(self.ranges.count(), count);
        let set = self.table.iter().filter(|set| **set).count();
        assert_eq!(self.ranges.blocks() as usize, set);
    }
}

#[kunit_tests(rext4_delayed)]
mod suite {
    use super::*;

    #[test]
    fn ranges_grow_together() -> Result {
        let mut both = Both::new();
        for range in [10..20, 30..40, 20..21, 29..30, 21..29, 0..10, 40..64] {
            both.add(range)?;
            both.check();
        }
        assert_eq!(both.ranges.count(), 1);
        Ok(())
    }

    /// Small files need no nodes; others no more than one splice does, and then a few in a hundred.
    #[test]
    fn nodes_are_bounded() -> Result {
        let size = BlockSize::new(4096).ok_or(EINVAL)?;
        let shape = |depth, room| Shape::Tree { depth, room, size };
        assert_eq!(shape(0, 4).nodes(1, 4, &(0..0)), 0);
        assert_eq!(shape(0, 4).nodes(1, 5, &(0..0)), 1);
        assert_eq!(shape(0, 0).nodes(1, 1, &(0..0)), 1);
        assert_eq!(shape(2, 0).nodes(1, 1, &(0..0)), u64::from(splice_new(2)));
        assert_eq!(shape(2, 0).nodes(10, 20, &(0..0)), 21);
        assert!(shape(1, 0).nodes(1, 100_000, &(0..0)) < 1_000);
        Ok(())
    }

    /// Of a block map it is all tables, also those of what is pending.
    #[test]
    fn tables_are_bounded() -> Result {
        let size = BlockSize::new(1024).ok_or(EINVAL)?;
        const FAR: u32 = 1 << 24;
        let shape = |runs, blocks| Shape::Map {
            runs,
            blocks,
            first: 0,
            end: FAR,
            size,
        };
        assert_eq!(shape(0, 0).nodes(0, 0, &(0..0)), 0);
        assert_eq!(shape(0, 0).nodes(1, 1, &(0..FAR)), 3);
        assert_eq!(shape(2, 2).nodes(1, 1, &(0..FAR)), 9);
        // Each of the lower levels may have one more.
        assert_eq!(shape(0, 0).nodes(1, 2, &(0..FAR)), 5);
        assert_eq!(shape(0, 0).nodes(1, 256, &(0..FAR)), 5);
        assert!(shape(1, 100_000).nodes(0, 0, &(0..FAR)) < 800);
        // Not more than there are between the first and the last.
        let near = Shape::Map {
            runs: 100,
            blocks: 100,
            first: 20,
            end: 220,
            size,
        };
        assert_eq!(near.nodes(100, 100, &(100..268)), 1);
        assert_eq!(near.nodes(100, 100, &(100..269)), 3);
        assert_eq!(near.nodes(100, 100, &(0..0)), 1);
        assert!(shape(1, 1).has_pending() && !shape(0, 0).has_pending());
        Ok(())
    }

    #[test]
    fn ranges_are_cut() -> Result {
        let mut both = Both::new();
        both.add(0..64)?;
        for range in [0..1, 63..64, 30..31, 10..12, 11..31, 1..5, 0..64] {
            both.remove(range);
            both.check();
        }
        assert_eq!(both.ranges.count(), 0);
        Ok(())
    }

    #[test]
    fn any_order_of_changes() -> Result {
        let mut both = Both::new();
        let mut dice = 12345u32;
        let mut roll = |most: u32| {
            dice = dice.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (dice >> 16) % most
        };
        for _ in 0..2000 {
            let start = roll(BLOCKS as u32 - 1);
            let end = start + 1 + roll(BLOCKS as u32 - start - 1).min(12);
            if roll(2) == 0 {
                both.add(start..end)?;
            } else {
                both.remove(start..end);
            }
            both.check();
        }
        Ok(())
    }
}
