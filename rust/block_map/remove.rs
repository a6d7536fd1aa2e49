// SPDX-License-Identifier: GPL-2.0

//! Removing what is mapped.

use super::lookup::{check_data, get, with};
use super::TableStoreMut;
use crate::disk::{
    block_map::{self, DIRECT, MAX_DEPTH},
    units::{LogicalBlock, PhysicalBlock},
};
use core::ops::Range;

/// How much is removed at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limit {
    /// Runs of data that lie in a row, and tables: see [`credits::remove`](super::credits::remove).
    pub steps: u32,
    /// Blocks of data, at least one.
    pub blocks: u32,
}

/// How far it came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Progress {
    /// There is nothing left to do.
    Done,
    /// The limit was reached. What is left to do ends here.
    More(LogicalBlock),
}

/// Removes and frees what is mapped in a range, from its end on, and the tables that nothing is left in
/// then. Each call leaves a map that is whole.
///
/// # Errors
///
/// The map leads to where no file's blocks can be, or the store's error. What was removed before is.
pub fn remove<S: TableStoreMut>(
    store: &mut S,
    range: Range<LogicalBlock>,
    limit: Limit,
) -> Result<Progress, S::Error> {
    store.prepare_root()?;
    let mut work = Work {
        range: range.start.0.into()..range.end.0.into(),
        left: limit,
        reached: None,
    };
    for slot in (DIRECT..DIRECT + MAX_DEPTH).rev() {
        let (start, levels) = block_map::slot_start(slot, store.size());
        let number = store
            .with_root(|root| block_map::number_at(root, slot))
            .unwrap_or(0);
        if number == 0 || !work.touches(start, block_map::covered(levels, store.size())) {
            continue;
        }
        if work.is_over() {
            return Ok(work.end());
        }
        let table = get(store, work.block(start), levels, number)?;
        if work.shrink(store, Some(&table), levels - 1, start)? {
            store.edit_root(|root| block_map::set_run(root, slot, 0, 1))?;
            store.free(table)?;
            work.step(start);
        }
    }
    work.shrink(store, None, 0, 0)?;
    Ok(work.end())
}

struct Work {
    range: Range<u64>,
    left: Limit,
    /// Where it ended, if the limit was reached.
    reached: Option<u64>,
}

impl Work {
    fn touches(&self, start: u64, len: u64) -> bool {
        start < self.range.end && start + len > self.range.start
    }

    /// A block of the range that is not before `start`, to be told.
    fn block(&self, start: u64) -> LogicalBlock {
        LogicalBlock(u32::try_from(start.max(self.range.start)).unwrap_or(u32::MAX))
    }

    fn is_over(&self) -> bool {
        self.reached.is_some()
    }

    fn end(&self) -> Progress {
        match self.reached {
            Some(end) => Progress::More(self.block(end)),
            None => Progress::Done,
        }
    }

    /// A step was done, and all from `start` on.
    fn step(&mut self, start: u64) {
        self.left.steps = self.left.steps.saturating_sub(1);
        if self.left.steps == 0 || self.left.blocks == 0 {
            self.reached = Some(start);
        }
    }

    /// Removes what is in the range of what a table maps, whose numbers have `left` levels of tables below
    /// them and stand for the blocks from `start` on. Returns whether nothing is left in it; `None` is
    /// what the inode has of data.
    fn shrink<S: TableStoreMut>(
        &mut self,
        store: &mut S,
        table: Option<&S::Block>,
        left: u32,
        start: u64,
    ) -> Result<bool, S::Error> {
        let span = block_map::covered(left, store.size());
        let count = match table {
            Some(_) => block_map::numbers_in_block(store.size()),
            None => DIRECT,
        };
        // Not more than there are numbers.
        let first = (self.range.start.max(start) - start) / span;
        let end = (self.range.end.max(start) - start).div_ceil(span);
        let first = first.min(count.into()) as u32;
        let mut end = end.min(count.into()) as u32;
        let mut prepared = false;
        while first < end && !self.is_over() {
            let most = if left == 0 { self.left.blocks } else { 1 };
            let run = with(store, table, |bytes| {
                block_map::last_run_in(bytes, first..end, most)
            });
            let Some((run, number)) = run else {
                break;
            };
            end = run.start;
            let at = start + u64::from(run.start) * span;
            let child = if left == 0 {
                check_data(store, self.block(at), number, run.end - run.start)?;
                None
            } else {
                let child = get(store, self.block(at), left, number)?;
                if !self.shrink(store, Some(&child), left - 1, at)? {
                    continue;
                }
                Some(child)
            };
            if left == 0 {
                let first = PhysicalBlock(number.into());
                store.may_free_data(first, run.end - run.start)?;
            }
            if let (Some(table), false) = (table, prepared) {
                store.prepare(table)?;
                prepared = true;
            }
            let clear =
                |bytes: &mut [u8]| block_map::set_run(bytes, run.start, 0, run.end - run.start);
            match table {
                Some(table) => store.edit(table, clear)?,
                None => store.edit_root(clear)?,
            };
            match child {
                Some(child) => store.free(child)?,
                None => {
                    let len = run.end - run.start;
                    self.left.blocks = self.left.blocks.saturating_sub(len);
                    store.free_data(PhysicalBlock(number.into()), len)?;
                }
            }
            self.step(at);
        }
        Ok(table.is_some() && with(store, table, block_map::is_empty))
    }
}
