// SPDX-License-Identifier: GPL-2.0

//! A set of blocks of a file, as ranges.
//!
//! Random writes to a large file make many ranges before they grow together, so they are in a
//! balanced tree.

use crate::disk::units::LogicalBlock;
use core::ops::Range;
use kernel::{prelude::*, rbtree::RBTree};

/// A set of blocks.
///
/// # Invariants
///
/// No range is empty, and no two overlap or touch. `count` is the number of ranges, `blocks` that
/// of the blocks in them.
pub(super) struct Ranges {
    /// The start of each range, by its end: so the first range that ends behind a block is the one
    /// that holds it, or the next one.
    starts: RBTree<u32, u32>,
    count: u32,
    blocks: u32,
}

impl Ranges {
    /// No blocks.
    pub(super) fn new() -> Self {
        Self {
            starts: RBTree::new(),
            count: 0,
            blocks: 0,
        }
    }

    /// How many ranges there are.
    pub(super) fn count(&self) -> u32 {
        self.count
    }

    /// How many blocks there are.
    pub(super) fn blocks(&self) -> u32 {
        self.blocks
    }

    /// The range that holds `block`, or else the next one.
    pub(super) fn at_or_behind(&self, block: LogicalBlock) -> Option<Range<LogicalBlock>> {
        let cursor = self.starts.cursor_lower_bound(&block.0.saturating_add(1))?;
        let (end, start) = cursor.current();
        Some(LogicalBlock(*start)..LogicalBlock(*end))
    }

    /// The end of the last range that ends at or before `block`.
    pub(super) fn end_before(&self, block: LogicalBlock) -> Option<LogicalBlock> {
        let end = match self.starts.cursor_lower_bound(&block.0.saturating_add(1)) {
            Some(next) => next.peek_prev().map(|(end, _)| *end),
            None => self.starts.cursor_back().map(|last| *last.current().0),
        };
        end.map(LogicalBlock)
    }

    /// The range that holds `block`.
    pub(super) fn holding(&self, block: LogicalBlock) -> Option<Range<LogicalBlock>> {
        self.at_or_behind(block)
            .filter(|range| range.contains(&block))
    }

    /// From the first block to the last one; empty if there is none.
    pub(super) fn span(&self) -> Range<u32> {
        let first = self.starts.cursor_front();
        let last = self.starts.cursor_back();
        match (first, last) {
            (Some(first), Some(last)) => *first.current().1..*last.current().0,
            _ => 0..0,
        }
    }

    /// How many ranges there would be if a range were added of which no block is in the set.
    pub(super) fn count_with(&self, range: &Range<LogicalBlock>) -> u32 {
        let before = self.starts.get(&range.start.0).is_some();
        let behind = self
            .at_or_behind(range.end)
            .is_some_and(|next| next.start == range.end);
        self.count + 1 - u32::from(before) - u32::from(behind)
    }

    /// Adds a range of which no block is in the set.
    ///
    /// # Errors
    ///
    /// `ENOMEM`, and nothing has changed.
    pub(super) fn add(&mut self, range: Range<LogicalBlock>) -> Result {
        let (mut start, end) = (range.start.0, range.end.0);
        if start >= end {
            return Ok(());
        }
        let touched = self
            .at_or_behind(range.end)
            .filter(|next| next.start == range.end);
        let mut spare = None;
        if let Some(before) = self.starts.get(&start).copied() {
            spare = self.starts.remove_node(&start);
            self.count -= 1;
            start = before;
        }
        match (touched, spare) {
            // The one behind starts earlier.
            (Some(next), _) => {
                if let Some(value) = self.starts.get_mut(&next.end.0) {
                    *value = start;
                }
            }
            // The one before ends later.
            (None, Some(spare)) => {
                self.starts
                    .insert(spare.into_reservation().into_node(end, start));
                self.count += 1;
            }
            (None, None) => {
                self.starts.try_create_and_insert(end, start, GFP_KERNEL)?;
                self.count += 1;
            }
        }
        self.blocks += end - range.start.0;
        Ok(())
    }

    /// Takes a range out, or what there is of it. Returns how many blocks that were.
    ///
    /// To cut a hole into the middle of a range takes memory. If there is none the blocks stay.
    pub(super) fn remove(&mut self, range: Range<LogicalBlock>) -> u32 {
        let before = self.blocks;
        while let Some(own) = self.at_or_behind(range.start) {
            if own.start >= range.end {
                break;
            }
            let (start, end) = (own.start.0, own.end.0);
            let head = start..range.start.0.max(start);
            let tail = range.end.0.min(end)..end;
            match (head.is_empty(), tail.is_empty()) {
                (true, true) => {
                    self.starts.remove(&end);
                    self.count -= 1;
                }
                (true, false) => self.set_start(end, tail.start),
                (false, true) => {
                    if let Some(node) = self.starts.remove_node(&end) {
                        let node = node.into_reservation().into_node(head.end, start);
                        self.starts.insert(node);
                    }
                }
                (false, false) => {
                    let added = self
                        .starts
                        .try_create_and_insert(head.end, start, GFP_KERNEL);
                    if added.is_err() {
                        break;
                    }
                    self.count += 1;
                    self.set_start(end, tail.start);
                }
            }
            self.blocks -= tail.start - head.end;
        }
        before - self.blocks
    }

    /// Lets the range that ends at `end` start at `start`.
    fn set_start(&mut self, end: u32, start: u32) {
        if let Some(value) = self.starts.get_mut(&end) {
            *value = start;
        }
    }
}
