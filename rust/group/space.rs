// SPDX-License-Identifier: GPL-2.0

//! Free space, as it is shared out: claims, promises, and waiting for them.
//!
//! # Why the writeback of delayed data does not meet a full disk
//!
//! A write to the page cache takes a [`DelayedReserve`] before it copies anything: a block for each
//! block of data, and what the extent tree can need when they are allocated. Writeback turns parts
//! of it into claims, and a claim is found. What nobody is going to write back any more is given
//! back: see [`crate::inode::delayed`].
//!
//! # Why a conversion does not meet a full disk
//!
//! A direct write into an unwritten extent is converted when its data is on disk. That can split
//! the extent, and a split can need new tree blocks, at a moment at which there is nobody left to
//! tell that there are none. So the writer takes a [`ConversionReserve`] before it submits the
//! write, for as many blocks as its conversion can need at most ([`crate::extent::credits`]), and
//! hands it to the completion.
//!
//! There is one reserve for a whole request, however many extents it meets, since a range has two
//! ends. Whoever has one must not ask for another: it might wait for itself, or for somebody who
//! does the same.
//!
//! - *A completion that has a reserve gets its blocks.* By the second invariant of
//!   [`super::ledger`] what is promised is available, and by the first, what is claimed is there to
//!   be found: see [`super::allocate`].
//! - *Writes into preallocated space work when `statfs` shows no free block.* Normal allocations
//!   leave a pool alone, which `statfs` does not show, and from which promises can still be given.
//!   The pool is as large as that of C ext4: 2 % of all blocks, and at most 4096.
//! - *More writes are outstanding than the pool covers*, and than a sixteenth of what is free does. Then the next writer
//!   waits until others have completed and gave back what they did not need, or until a commit makes freed blocks
//!   available, whichever comes first. It waits before it has submitted anything, without a handle, so the completions that
//!   it waits for can go on; only a fatal signal ends the wait.
//! - *Writeback can't wait*, as folios are locked. Where no promise is to be had its conversion goes
//!   without, and may use all that is not promised to others. An eighth of the pool is never promised, so
//!   there is something left however many direct writes are outstanding, and a split here and there does
//!   not use it up.
//! - *Nobody is outstanding, no block is about to be freed, and still there are not enough.* Then
//!   waiting would not help, and the writer is told `ENOSPC`, before it has submitted anything. This
//!   takes a disk that was filled to the last block by another file system driver, or a pool that
//!   was used up by splits of extents: on a full disk each leaf of a tree comes out of it, and a
//!   leaf holds 84 extents at least (340 with blocks of 4 KiB). It refills as soon as blocks
//!   are freed.

use super::ledger::{Claimant, Ledger};
use crate::{quota::Limits, vfs::wait::WaitQueue};
use kernel::{
    new_spinlock,
    prelude::*,
    sync::{Arc, SpinLock},
};

/// The free space of a file system.
///
/// The lock is innermost, but for a wait queue's own.
#[pin_data]
pub(super) struct Space {
    #[pin]
    ledger: SpinLock<Ledger>,
    /// For writers that wait for a promise.
    #[pin]
    risen: WaitQueue,
}

impl Space {
    pub(super) fn new(ledger: Ledger) -> Result<Arc<Self>> {
        Arc::pin_init(
            pin_init!(Self {
                ledger <- new_spinlock!(ledger),
                risen <- WaitQueue::new(),
            }),
            GFP_KERNEL,
        )
    }

    /// The counts as they are now.
    pub(super) fn ledger(&self) -> Ledger {
        *self.ledger.lock()
    }

    /// Changes the counts, and wakes who waits if there is more available after it.
    pub(super) fn update<R>(&self, change: impl FnOnce(&mut Ledger) -> R) -> R {
        let (result, risen) = {
            let mut ledger = self.ledger.lock();
            let before = ledger.risen;
            let result = change(&mut ledger);
            (result, ledger.risen != before)
        };
        if risen {
            self.risen.wake_all();
        }
        result
    }
}

/// Blocks that will be there when a conversion needs them. Dropping it gives back what is left.
pub(crate) struct ConversionReserve {
    space: Arc<Space>,
    left: u32,
}

impl ConversionReserve {
    /// A promise of `blocks`, if they are available now.
    pub(super) fn try_new(space: &Arc<Space>, blocks: u32) -> Option<Self> {
        // No blocks, no promise: nothing to give back either.
        let promised = blocks == 0 || space.update(|ledger| ledger.promise(blocks));
        promised.then(|| Self::promised(space, blocks))
    }

    /// What was promised.
    fn promised(space: &Arc<Space>, blocks: u32) -> Self {
        Self {
            space: space.clone(),
            left: blocks,
        }
    }

    /// Makes one of two, for a conversion that takes the place of both: it needs no more than either.
    pub(crate) fn merge(&mut self, mut other: Self) {
        if other.left > self.left {
            core::mem::swap(&mut self.left, &mut other.left);
        }
    }

    /// Waits for a promise of `blocks`, as long as there is somebody to wait for.
    ///
    /// `None` if there is nobody.
    pub(super) fn wait(space: &Arc<Space>, blocks: u32) -> Result<Option<Self>> {
        space.risen.wait_killable(|| {
            // In one look: who is waited for may end after the first.
            let (promised, has_others) = space.update(|ledger| {
                let promised = ledger.promise(blocks);
                (promised, ledger.promised != 0 || ledger.claimed != 0)
            });
            if promised {
                return Some(Some(Self::promised(space, blocks)));
            }
            // Who has a promise or a claim gives back what is left of it.
            (!has_others).then_some(None)
        })
    }
}

impl Drop for ConversionReserve {
    fn drop(&mut self) {
        if self.left > 0 {
            self.space.update(|ledger| ledger.unpromise(self.left));
        }
    }
}

/// Blocks set aside for data of one file that is in the page cache and not allocated yet, and for
/// the tree nodes that it can need. Dropping it gives back what is left.
///
/// Changed under the lock of that file's tree alone.
pub(crate) struct DelayedReserve {
    space: Arc<Space>,
    data: u64,
    nodes: u64,
}

impl DelayedReserve {
    /// An empty one.
    pub(super) fn new(space: &Arc<Space>) -> Self {
        Self {
            space: space.clone(),
            data: 0,
            nodes: 0,
        }
    }

    /// Sets `data` blocks more aside, and so many for nodes that there are `nodes` in all. Returns
    /// whether there were as many; if not, nothing has changed.
    pub(crate) fn grow(&mut self, rights: &Rights<'_>, data: u64, nodes: u64) -> bool {
        let more = nodes.saturating_sub(self.nodes);
        let who = rights.claimant();
        if !self.space.update(|ledger| ledger.delay(who, data, more)) {
            return false;
        }
        self.data += data;
        self.nodes += more;
        self.shrink(0, nodes);
        true
    }

    /// How many blocks there are for nodes.
    pub(crate) fn nodes(&self) -> u64 {
        self.nodes
    }

    /// Gives back `data` blocks, and what is there for nodes beyond `nodes`.
    pub(crate) fn shrink(&mut self, data: u64, nodes: u64) {
        let data = data.min(self.data);
        let surplus = self.nodes.saturating_sub(nodes);
        self.data -= data;
        self.nodes -= surplus;
        if data + surplus > 0 {
            self.space.update(|ledger| ledger.undelay(data, surplus));
        }
    }
}

impl Drop for DelayedReserve {
    fn drop(&mut self) {
        self.shrink(u64::MAX, 0);
    }
}

/// Who wants blocks, and what he may use.
pub(crate) enum Rights<'r> {
    /// Anybody, for anything.
    Normal,
    /// One who may use what is reserved for the super-user.
    Root,
    /// A conversion, out of what was promised to it. When that is used up, or nothing could be
    /// promised, out of all that is not promised to others: its data was acknowledged.
    Reserve(&'r mut ConversionReserve),
    /// Delayed data, out of what was set aside for it. When that is used up, out of all that is not
    /// promised.
    Delayed(&'r mut DelayedReserve),
    /// The nodes that delayed data needs, in the same way.
    DelayedNodes(&'r mut DelayedReserve),
}

impl<'r> Rights<'r> {
    /// Out of a reserve, if there is one.
    pub(crate) fn of(reserve: Option<&'r mut ConversionReserve>) -> Self {
        reserve.map_or(Self::Root, Self::Reserve)
    }

    /// What there is to be had when what was set aside is used up.
    fn claimant(&self) -> Claimant {
        match self {
            Self::Normal => Claimant::Normal,
            Self::Root => Claimant::Root,
            Self::Reserve(_) | Self::Delayed(_) | Self::DelayedNodes(_) => Claimant::Writeback,
        }
    }

    /// Whether who has these rights heeds the limits of quotas for what it needs besides.
    pub(crate) fn limits(&self) -> Limits {
        match self {
            Self::Normal | Self::Root => Limits::Heeded,
            Self::Reserve(_) | Self::Delayed(_) | Self::DelayedNodes(_) => Limits::Ignored,
        }
    }

    /// The same rights for a shorter time.
    pub(crate) fn reborrow(&mut self) -> Rights<'_> {
        match self {
            Self::Normal => Rights::Normal,
            Self::Root => Rights::Root,
            Self::Reserve(reserve) => Rights::Reserve(reserve),
            Self::Delayed(reserve) => Rights::Delayed(reserve),
            Self::DelayedNodes(reserve) => Rights::DelayedNodes(reserve),
        }
    }
}

/// Where the blocks of a claim come from, and where they go back to.
enum Source<'r> {
    /// What is available to all of a kind.
    Available,
    /// A promise.
    Promise(&'r mut ConversionReserve),
    /// What was set aside for delayed data.
    Delayed(&'r mut DelayedReserve),
    /// What was set aside for nodes.
    DelayedNodes(&'r mut DelayedReserve),
}

/// Blocks that are about to be allocated. Dropping it gives back what was not.
pub(super) struct Claim<'r> {
    space: &'r Arc<Space>,
    source: Source<'r>,
    blocks: u32,
    used: u32,
}

impl<'r> Claim<'r> {
    /// Claims at least one and at most `wanted` blocks. `None` if there is none to be had.
    ///
    /// Before it says so, it calls `release`, which may make more available, and tries again.
    pub(super) fn new(
        space: &'r Arc<Space>,
        wanted: u32,
        rights: &'r mut Rights<'_>,
        release: impl FnOnce(),
    ) -> Option<Self> {
        let who = rights.claimant();
        if let Some(claim) = Self::set_aside(space, wanted, rights) {
            return Some(claim);
        }
        let mut blocks = space.update(|ledger| ledger.claim(who, wanted));
        if blocks == 0 {
            release();
            blocks = space.update(|ledger| ledger.claim(who, wanted));
        }
        (blocks > 0).then_some(Self {
            space,
            source: Source::Available,
            blocks,
            used: 0,
        })
    }

    /// Claims `blocks`, all or none, of what is available.
    pub(super) fn whole(space: &'r Arc<Space>, blocks: u32, rights: &Rights<'_>) -> Option<Self> {
        let fits = space.update(|ledger| ledger.claim_whole(rights.claimant(), blocks));
        fits.then_some(Self {
            space,
            source: Source::Available,
            blocks,
            used: 0,
        })
    }

    /// Claims what was promised or set aside, if anything is left of it.
    fn set_aside(space: &'r Arc<Space>, wanted: u32, rights: &'r mut Rights<'_>) -> Option<Self> {
        // Not more than `wanted`, which has 32 bits.
        let of = |left: u64| left.min(wanted.into()) as u32;
        let (source, blocks) = match rights {
            Rights::Reserve(reserve) if reserve.left > 0 => {
                let blocks = of(reserve.left.into());
                reserve.left -= blocks;
                space.update(|ledger| ledger.claim_promised(blocks));
                (Source::Promise(reserve), blocks)
            }
            Rights::Delayed(reserve) if reserve.data > 0 => {
                let blocks = of(reserve.data);
                reserve.data -= u64::from(blocks);
                space.update(|ledger| ledger.claim_delayed(blocks));
                (Source::Delayed(reserve), blocks)
            }
            Rights::DelayedNodes(reserve) if reserve.nodes > 0 => {
                let blocks = of(reserve.nodes);
                reserve.nodes -= u64::from(blocks);
                space.update(|ledger| ledger.claim_delayed_nodes(blocks));
                (Source::DelayedNodes(reserve), blocks)
            }
            _ => return None,
        };
        Some(Self {
            space,
            source,
            blocks,
            used: 0,
        })
    }

    /// How many blocks may be allocated.
    pub(super) fn blocks(&self) -> u32 {
        self.blocks
    }

    /// Ends the claim: `used` of its blocks are in use now.
    pub(super) fn spend(mut self, used: u32) {
        self.used = used.min(self.blocks);
    }

    /// Ends the claim: so many of its blocks were counted as staged.
    pub(super) fn end_chosen(mut self, staged: u32) {
        self.blocks = self.blocks.saturating_sub(staged);
        // Nobody has a promise for them, at whose end who waits would look whether there is anybody left.
        self.space.update(Ledger::end_claim);
    }

    /// Ends a claim of what is available, whose blocks were all counted as staged.
    pub(super) fn end_staged(mut self) {
        self.blocks = 0;
    }
}

impl Drop for Claim<'_> {
    fn drop(&mut self) {
        let (blocks, used) = (self.blocks, self.used);
        if blocks == 0 {
            return;
        }
        let left = blocks - used;
        match &mut self.source {
            Source::Available => self.space.update(|ledger| ledger.settle(blocks, used)),
            Source::Promise(reserve) => {
                self.space
                    .update(|ledger| ledger.settle_promised(blocks, used));
                reserve.left += left;
            }
            Source::Delayed(reserve) => {
                self.space
                    .update(|ledger| ledger.settle_delayed(blocks, used));
                reserve.data += u64::from(left);
            }
            Source::DelayedNodes(reserve) => {
                self.space
                    .update(|ledger| ledger.settle_delayed_nodes(blocks, used));
                reserve.nodes += u64::from(left);
            }
        }
    }
}
