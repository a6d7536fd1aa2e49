// SPDX-License-Identifier: GPL-2.0

//! Blocks that were freed, but not for good yet.
//!
//! A block that a transaction frees still belongs to its former owner until that transaction is
//! committed: if the machine fails before that, the owner has it back. Were it given to somebody
//! else and filled with new data meanwhile, the former owner would then see these. So such blocks
//! are free in the bitmap, which is what will be committed, and pinned here until it is.
//!
//! Two generations are enough: while a transaction takes changes, at most the one before it is being
//! committed, and all older ones are. They are looked at when somebody next frees or wants blocks of
//! the group. That costs no memory for a group that nobody frees from, at most two blocks for one
//! that somebody does, and needs no callback from the commit, in whose context nothing could wait
//! for a group's lock.

use crate::{
    disk::bitmap::{Bitmap, BitmapMut},
    vfs::jbd2::Tid,
};
use core::ops::Range;
use kernel::alloc::{flags::GFP_KERNEL, AllocError, KVec};

/// The blocks of a group that one transaction freed.
struct Generation {
    tid: Tid,
    bits: KVec<u8>,
    count: u32,
    /// How many runs they are at most.
    pieces: u32,
}

/// Blocks of a group that are not pinned any more.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Released {
    /// How many.
    pub(super) blocks: u32,
    /// How many runs they are at most.
    pub(super) pieces: u32,
}

impl Released {
    fn add(self, generation: Option<Generation>) -> Self {
        generation.map_or(self, |own| Self {
            blocks: self.blocks.saturating_add(own.count),
            pieces: self.pieces.saturating_add(own.pieces),
        })
    }
}

impl Generation {
    fn new(tid: Tid, bytes: usize) -> Result<Self, AllocError> {
        Ok(Self {
            tid,
            bits: KVec::from_elem(0, bytes, GFP_KERNEL)?,
            count: 0,
            pieces: 0,
        })
    }

    fn add(&mut self, range: Range<u32>) {
        let count = super::search::length(&range);
        BitmapMut::new(&mut self.bits).fill(range, true);
        self.count = self.count.saturating_add(count);
        self.pieces = self.pieces.saturating_add(1);
    }

    fn take_over(&mut self, other: &Self) {
        for run in set_runs(Bitmap::new(&other.bits), 0) {
            self.add(run);
        }
    }
}

/// The pinned blocks of one group.
#[derive(Default)]
pub(super) struct Pinned {
    /// Freed by the transaction that takes changes, or the latest that did.
    younger: Option<Generation>,
    /// Freed by one before that.
    older: Option<Generation>,
    /// Freed by transactions that are committed, and being discarded: see [`super::discard`].
    discarded: Option<Generation>,
}

impl Pinned {
    /// The number of pinned blocks.
    pub(super) fn count(&self) -> u32 {
        self.generations().map(|generation| generation.count).sum()
    }

    /// The bits of the pinned blocks.
    pub(super) fn bitmaps(&self) -> [Option<Bitmap<'_>>; 3] {
        [&self.younger, &self.older, &self.discarded].map(|generation| {
            generation
                .as_ref()
                .map(|generation| Bitmap::new(&generation.bits))
        })
    }

    fn generations(&self) -> impl Iterator<Item = &Generation> {
        let waiting = self.younger.iter().chain(self.older.iter());
        waiting.chain(self.discarded.iter())
    }

    /// Gives back what transactions freed that are committed now.
    pub(super) fn release(&mut self, is_committed: impl Fn(Tid) -> bool) -> Released {
        let mut released = Released::default();
        for place in [&mut self.older, &mut self.younger] {
            released = released.add(place.take_if(|own| is_committed(own.tid)));
        }
        released
    }

    /// Sets apart what transactions freed that are committed now, to be discarded; it stays pinned.
    /// Whether there is any.
    pub(super) fn begin_discard(&mut self, is_committed: impl Fn(Tid) -> bool) -> bool {
        for place in [&mut self.older, &mut self.younger] {
            let Some(done) = place.take_if(|generation| is_committed(generation.tid)) else {
                continue;
            };
            match &mut self.discarded {
                none @ None => *none = Some(done),
                Some(own) => own.take_over(&done),
            }
        }
        self.discarded.is_some()
    }

    /// The next run from a bit on of what was set apart.
    pub(super) fn next_to_discard(&self, from: u32) -> Option<Range<u32>> {
        let map = Bitmap::new(&self.discarded.as_ref()?.bits);
        set_runs(map, from).next()
    }

    /// Gives back what was set apart.
    pub(super) fn end_discard(&mut self) -> Released {
        Released::default().add(self.discarded.take())
    }

    /// Makes room to pin blocks that transaction `tid` frees, in a bitmap of `bytes` bytes.
    ///
    /// To be called before anything is changed, and after [`Self::release`].
    pub(super) fn prepare(&mut self, tid: Tid, bytes: usize) -> Result<(), AllocError> {
        if self.younger.as_ref().is_some_and(|own| own.tid == tid) {
            return Ok(());
        }
        let fresh = Generation::new(tid, bytes)?;
        let Some(mut before) = self.younger.replace(fresh) else {
            return Ok(());
        };
        if let Some(older) = self.older.take() {
            // Not released, against what jbd2 does. To keep it longer is always right.
            before.take_over(&older);
        }
        self.older = Some(before);
        Ok(())
    }

    /// Pins `range`, which the transaction frees that was given to [`Self::prepare`].
    pub(super) fn add(&mut self, range: Range<u32>) {
        if let Some(generation) = &mut self.younger {
            generation.add(range);
        }
    }
}

/// The runs of set bits, from a bit on.
fn set_runs(map: Bitmap<'_>, from: u32) -> impl Iterator<Item = Range<u32>> + '_ {
    let mut at = from;
    core::iter::from_fn(move || {
        let start = map.next_set(at..map.bits())?;
        let end = map.next_clear(start..map.bits()).unwrap_or(map.bits());
        at = end;
        Some(start..end)
    })
}
