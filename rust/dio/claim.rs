// SPDX-License-Identifier: GPL-2.0

//! Claims on blocks: which direct writes have to wait for each other, and for how long.
//!
//! A direct write that covers a part of a block fills the rest with zeros if the block is not written
//! yet. So while such a write is on its way, from the moment that it finds the block new to its
//! conversion, nobody else may write to that block: his data and the zeros would be on their way to
//! the same place at once. And one who waited for it must find the block written, and fill nothing.
//!
//! A write therefore claims the blocks that are not written yet, as [`Cover::Part`] or as
//! [`Cover::Whole`], before it is submitted, and gives the claim back when they are converted:
//!
//! | | `Part` | `Whole` |
//! |---|---|---|
//! | `Part` | waits | waits |
//! | `Whole` | waits | goes on: neither fills anything with zeros |
//!
//! Only writes that meet in one block wait. Whether they come from the same process, whether they are
//! asynchronous or make the file longer makes no difference.
//!
//! # The table
//!
//! Claims are in a fixed number of buckets, each with a lock, a list and a queue of those who
//! wait. The bucket is hashed from the file and the [region](REGION) of it that the blocks are in; a
//! claim that reaches into several regions has an entry for each.
//!
//! # Why nobody waits for ever
//!
//! - A request claims in ascending order of blocks, and nothing below what it has: who waits for
//!   block *b* waits for one who, if he waits at all, waits for a block above *b*. So no circle of
//!   requests waits.
//! - Who was submitted waits for no claim any more, and a claim is given back whatever became of the
//!   request: it is a value, and dropping it gives it back.
//! - Who waits has said so in the bucket before he looks once more; who gives back looks under the
//!   same lock whether anybody has. So no wake-up is lost.
//!
//! This file knows nothing of the kernel: `tests/host/protocols` runs it through all interleavings of
//! a few requests.

use crate::disk::units::{InodeNumber, LogicalBlock};
use core::ops::Range;

/// Blocks of a file that share a bucket.
pub(crate) const REGION: u32 = 256;

/// How much of its blocks a request writes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cover {
    /// Less than all: it fills the rest with zeros.
    Part,
    /// All.
    Whole,
}

/// What is claimed in one region of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    file: InodeNumber,
    blocks: Range<LogicalBlock>,
    cover: Cover,
}

impl Entry {
    fn conflicts(&self, other: &Self) -> bool {
        self.file == other.file
            && self.blocks.start < other.blocks.end
            && other.blocks.start < self.blocks.end
            && (self.cover == Cover::Part || other.cover == Cover::Part)
    }
}

/// A list of entries, in any order.
pub(crate) trait List {
    /// All of them.
    fn entries(&self) -> &[Entry];

    /// Adds one; `false` if there is no room for it.
    fn push(&mut self, entry: Entry) -> bool;

    /// Takes the one at an index away; others may change places.
    fn swap_remove(&mut self, index: usize);
}

/// What the lock of a bucket is around.
pub(crate) struct Entries<L> {
    list: L,
    /// How many wait for one of these to go.
    waiting: u32,
}

/// What came of an attempt to add an entry.
enum Attempt {
    Added,
    NoRoom,
    Conflict,
}

impl<L: List> Entries<L> {
    /// No entries, to be in this list.
    pub(crate) fn new(list: L) -> Self {
        Self { list, waiting: 0 }
    }

    /// The list, to make room in it.
    pub(crate) fn list_mut(&mut self) -> &mut L {
        &mut self.list
    }

    fn attempt(&mut self, entry: &Entry) -> Attempt {
        let others = self.list.entries();
        if others.iter().any(|other| other.conflicts(entry)) {
            Attempt::Conflict
        } else if self.list.push(entry.clone()) {
            Attempt::Added
        } else {
            Attempt::NoRoom
        }
    }

    /// Takes an entry away; says whether anybody waits.
    fn remove(&mut self, entry: &Entry) -> bool {
        // Which of several equal ones makes no difference.
        if let Some(index) = self.list.entries().iter().position(|other| other == entry) {
            self.list.swap_remove(index);
        }
        self.waiting > 0
    }
}

/// A lock around a list of entries, with a queue of those who wait for one of them to go.
pub(crate) trait Bucket {
    /// The list.
    type List: List;
    /// Why a request gives up.
    type Error;

    /// Looks at the entries, or changes them, under the lock. `work` does not sleep.
    fn with<R>(&self, work: impl FnOnce(&mut Entries<Self::List>) -> R) -> R;

    /// Makes room for one more entry, if nobody is faster.
    fn make_room(&self) -> Result<(), Self::Error>;

    /// Calls `attempt` until it gives something, and sleeps in between until [`Self::wake_all`] is
    /// called after that call of `attempt` began. `attempt` does not sleep.
    fn wait<R>(&self, attempt: impl FnMut() -> Option<R>) -> Result<R, Self::Error>;

    /// Wakes all who wait, to try again.
    fn wake_all(&self);

    /// The error of one who would have to wait and must not.
    fn would_wait() -> Self::Error;
}

/// All buckets of a file system.
pub(crate) trait Table {
    /// One of them.
    type Bucket: Bucket;

    /// All of them, at least one.
    fn buckets(&self) -> &[Self::Bucket];

    /// The bucket of a region.
    fn bucket(&self, file: InodeNumber, region: u32) -> &Self::Bucket {
        // Knuth's multiplicative hash: neighbours go far from each other.
        let mixed = file.0.wrapping_mul(0x9e37_79b1) ^ region.wrapping_mul(0x85eb_ca6b);
        let hash = mixed.wrapping_mul(0xc2b2_ae35) >> 16;
        let buckets = self.buckets();
        &buckets[hash as usize % buckets.len()]
    }
}

/// The parts of a range that lie in one region each, in ascending order.
fn by_region(blocks: Range<LogicalBlock>) -> impl Iterator<Item = (u32, Range<LogicalBlock>)> {
    let Range { mut start, end } = blocks;
    core::iter::from_fn(move || {
        let region = start.0 / REGION;
        let region_end = (region + 1).saturating_mul(REGION);
        let part = start..LogicalBlock(region_end).min(end);
        start = part.end;
        (part.start < part.end).then_some((region, part))
    })
}

/// Whether one may sleep until others have given back what is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Waiting {
    /// Yes.
    Allowed,
    /// No: he is told [`Bucket::would_wait`].
    Forbidden,
}

impl Waiting {
    /// Allowed, unless it is forbidden.
    pub(crate) const fn unless(forbidden: bool) -> Self {
        if forbidden {
            Self::Forbidden
        } else {
            Self::Allowed
        }
    }
}

/// What a request has claimed. Dropping it gives it back.
pub(crate) struct Claim<T: Table> {
    table: T,
    file: InodeNumber,
    /// In ascending order; the first block, the last, and what is between them.
    held: [Option<(Range<LogicalBlock>, Cover)>; 3],
}

impl<T: Table> Claim<T> {
    /// Nothing is claimed yet.
    pub(crate) fn new(table: T, file: InodeNumber) -> Self {
        Self {
            table,
            file,
            held: [const { None }; 3],
        }
    }

    /// Whether nothing is claimed.
    pub(crate) fn is_empty(&self) -> bool {
        self.held.iter().all(Option::is_none)
    }

    /// Claims blocks, which are above all that were claimed before. To be called three times at
    /// most. Says whether it had to wait; `waits` is called before it does.
    ///
    /// # Errors
    ///
    /// Those of [`Bucket`]. What was claimed until then stays so.
    pub(crate) fn add(
        &mut self,
        blocks: Range<LogicalBlock>,
        cover: Cover,
        waiting: Waiting,
        waits: &mut dyn FnMut(),
    ) -> Result<bool, <T::Bucket as Bucket>::Error> {
        let Some(slot) = self.held.iter().position(Option::is_none) else {
            debug_assert!(false, "a request has two ends and a middle");
            return Ok(false);
        };
        let mut waited = false;
        for (region, part) in by_region(blocks.clone()) {
            let entry = Entry {
                file: self.file,
                blocks: part.clone(),
                cover,
            };
            let bucket = self.table.bucket(self.file, region);
            waited |= enter(bucket, &entry, waiting, waits)?;
            self.held[slot] = Some((blocks.start..part.end, cover));
        }
        Ok(waited)
    }

    /// Gives the blocks back that were claimed last.
    pub(crate) fn give_back_last(&mut self) {
        if let Some((blocks, cover)) = self.held.iter_mut().rev().find_map(Option::take) {
            for (region, part) in by_region(blocks) {
                let entry = Entry {
                    file: self.file,
                    blocks: part,
                    cover,
                };
                let bucket = self.table.bucket(self.file, region);
                if bucket.with(|entries| entries.remove(&entry)) {
                    bucket.wake_all();
                }
            }
        }
    }
}

impl<T: Table> Drop for Claim<T> {
    fn drop(&mut self) {
        while !self.is_empty() {
            self.give_back_last();
        }
    }
}

/// Adds an entry to a bucket; says whether it had to wait for that.
fn enter<B: Bucket>(
    bucket: &B,
    entry: &Entry,
    waiting: Waiting,
    waits: &mut dyn FnMut(),
) -> Result<bool, B::Error> {
    let mut waited = false;
    loop {
        let mut attempt = bucket.with(|entries| entries.attempt(entry));
        if let Attempt::Conflict = attempt {
            if waiting == Waiting::Forbidden {
                return Err(B::would_wait());
            }
            waits();
            waited = true;
            bucket.with(|entries| entries.waiting += 1);
            let result = bucket.wait(|| match bucket.with(|entries| entries.attempt(entry)) {
                Attempt::Conflict => None,
                attempt => Some(attempt),
            });
            bucket.with(|entries| entries.waiting -= 1);
            attempt = result?;
        }
        match attempt {
            Attempt::Added => return Ok(waited),
            Attempt::NoRoom | Attempt::Conflict => bucket.make_room()?,
        }
    }
}
