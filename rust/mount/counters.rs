// SPDX-License-Identifier: GPL-2.0

//! What a mounted file system counts, for people.

use core::sync::atomic::{AtomicU64, Ordering};
use kernel::prelude::*;

/// What is counted.
#[derive(Clone, Copy)]
pub(crate) enum Count {
    /// Direct writes whose completion converted unwritten blocks.
    Conversion,
    /// Those of them whose completion ran on the workqueue.
    Deferred,
    /// Those that were converted together with others.
    Combined,
    /// Blocks that were converted.
    ConvertedBlock,
    /// Direct writes that failed and so converted nothing.
    FailedWrite,
    /// Direct writes that waited for another one in the same block.
    BlockWait,
    /// Blocks that took the place of others, for writes that are there as a whole or not at all.
    ReplacedBlock,
    /// Ioends of writeback that had something to be completed.
    Writeback,
    /// The calls in which they were, several at once.
    WritebackStep,
    /// Look-ups of blocks in trees, for want of the answer in memory.
    TreeLookup,
}

impl Count {
    /// The names that people see, in the order of the declaration.
    pub(crate) const NAMES: [&'static CStr; 10] = [
        c"conversions",
        c"deferred",
        c"combined",
        c"converted_blocks",
        c"failed_writes",
        c"block_waits",
        c"replaced_blocks",
        c"writebacks",
        c"writeback_steps",
        c"tree_lookups",
    ];
}

/// The counters of a mount, since it was mounted.
#[derive(Default)]
pub(crate) struct Counters([AtomicU64; Count::NAMES.len()]);

impl Counters {
    /// Counts `n` of something.
    pub(crate) fn add(&self, what: Count, n: u64) {
        if let Some(counter) = self.0.get(what as usize) {
            counter.fetch_add(n, Ordering::Relaxed);
        }
    }

    /// All of them, with the names that people see.
    pub(crate) fn all(&self) -> impl Iterator<Item = (&'static CStr, u64)> + '_ {
        let values = self.0.iter().map(|counter| counter.load(Ordering::Relaxed));
        Count::NAMES.into_iter().zip(values)
    }
}
