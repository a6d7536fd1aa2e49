// SPDX-License-Identifier: GPL-2.0

//! What a mounted file system counts, for people.

use core::sync::atomic::{AtomicU64, Ordering};

/// The counters of a mount, since it was mounted.
#[derive(Default)]
pub(crate) struct Counters {
    /// Direct writes whose completion converted unwritten blocks.
    conversions: AtomicU64,
    /// Those of them whose completion ran on the workqueue.
    deferred: AtomicU64,
    /// Blocks that were converted.
    converted_blocks: AtomicU64,
    /// Direct writes that failed and so converted nothing.
    failed_writes: AtomicU64,
    /// Times that a write waited for another one in the same block.
    block_waits: AtomicU64,
}

/// Which counter.
#[derive(Clone, Copy)]
pub(crate) enum Count {
    /// A direct write whose completion converted unwritten blocks.
    Conversion,
    /// One whose completion ran on the workqueue.
    Deferred,
    /// A block that was converted.
    ConvertedBlock,
    /// A direct write that failed.
    FailedWrite,
    /// A write waits for another one in the same block.
    BlockWait,
}

impl Counters {
    /// Counts `n` of something.
    pub(crate) fn add(&self, what: Count, n: u64) {
        let counter = match what {
            Count::Conversion => &self.conversions,
            Count::Deferred => &self.deferred,
            Count::ConvertedBlock => &self.converted_blocks,
            Count::FailedWrite => &self.failed_writes,
            Count::BlockWait => &self.block_waits,
        };
        counter.fetch_add(n, Ordering::Relaxed);
    }

    /// All of them, with the names that people see.
    pub(crate) fn all(&self) -> [(&'static str, &AtomicU64); 5] {
        [
            ("conversions", &self.conversions),
            ("deferred", &self.deferred),
            ("converted_blocks", &self.converted_blocks),
            ("failed_writes", &self.failed_writes),
            ("block_waits", &self.block_waits),
        ]
    }
}
