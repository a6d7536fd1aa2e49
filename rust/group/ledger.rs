// SPDX-License-Identifier: GPL-2.0

//! The arithmetic of free space: who may take how much.
//!
//! Pure, and under one lock in [`super::space`].
//!
//! # Invariants
//!
//! With `available = free - pinned - claimed`:
//!
//! 1. `available` and the claims together are not more than the blocks that are clear in the
//!    bitmaps and not pinned. Blocks are claimed here before they are looked for there, and are
//!    found for that reason.
//! 2. `promised <= available`. A promise is given only within what is available; a normal claim
//!    leaves what is promised alone; a claim against a promise lowers both by the same; and what is
//!    given back only raises `available`. So whoever holds a promise for a block gets it.
//!
//! Only damage breaks them: blocks of a group whose bitmap turns out to be corrupt are written off.

/// Who wants blocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Claimant {
    /// Anybody.
    Normal,
    /// One who may use what is reserved for the super-user.
    Root,
}

/// The counts of free blocks of a file system.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Ledger {
    /// Free in the bitmaps, as on disk.
    pub(super) free: u64,
    /// Of these, freed by transactions that are not committed yet.
    pub(super) pinned: u64,
    /// Of these, about to be allocated.
    pub(super) claimed: u64,
    /// Of these, promised to conversions that are outstanding.
    pub(super) promised: u64,
    /// How many are kept for conversions.
    pub(super) pool: u64,
    /// How many are kept for the super-user.
    pub(super) root: u64,
    /// Goes up each time that more becomes available.
    pub(super) risen: u64,
    /// Goes up each time that blocks become free that a search under way may have missed.
    pub(super) unpinned: u64,
}

impl Ledger {
    /// The largest pool of blocks kept for conversions.
    const POOL_MAX: u64 = 4096;
    /// The part of all blocks that is kept for conversions: one in this many.
    const POOL_PART: u64 = 50;

    /// The counts at mount.
    pub(super) fn new(blocks: u64, free: u64, root: u64) -> Self {
        Self {
            free,
            pool: (blocks / Self::POOL_PART).min(Self::POOL_MAX),
            root,
            ..Self::default()
        }
    }

    /// What is free and not spoken for by an allocation under way.
    pub(super) fn available(&self) -> u64 {
        self.free
            .saturating_sub(self.pinned)
            .saturating_sub(self.claimed)
    }

    /// Claims at least one and at most `wanted` blocks. Returns how many, zero if there are none.
    pub(super) fn claim(&mut self, who: Claimant, wanted: u32) -> u32 {
        let kept = self.promised.max(self.pool);
        let kept = match who {
            Claimant::Normal => kept.saturating_add(self.root),
            Claimant::Root => kept,
        };
        let most = self.available().saturating_sub(kept);
        // Not more than `wanted`, which has 32 bits.
        let granted = most.min(wanted.into()) as u32;
        self.claimed += u64::from(granted);
        granted
    }

    /// Promises `blocks`, if there are as many.
    pub(super) fn promise(&mut self, blocks: u32) -> bool {
        let promised = self.promised.saturating_add(blocks.into());
        let fits = promised <= self.available();
        if fits {
            self.promised = promised;
        }
        fits
    }

    /// Takes a promise of `blocks` back.
    pub(super) fn unpromise(&mut self, blocks: u32) {
        self.promised = self.promised.saturating_sub(blocks.into());
        self.risen = self.risen.wrapping_add(1);
    }

    /// Claims `blocks` that were promised.
    pub(super) fn claim_promised(&mut self, blocks: u32) {
        self.promised = self.promised.saturating_sub(blocks.into());
        self.claimed += u64::from(blocks);
    }

    /// Ends a claim of `claimed` blocks, of which `used` were allocated.
    pub(super) fn settle(&mut self, claimed: u32, used: u32) {
        self.claimed = self.claimed.saturating_sub(claimed.into());
        self.free = self.free.saturating_sub(used.into());
        if used < claimed {
            self.risen = self.risen.wrapping_add(1);
        }
    }

    /// Ends a claim of `claimed` blocks that were promised, of which `used` were allocated. The
    /// rest is promised again.
    pub(super) fn settle_promised(&mut self, claimed: u32, used: u32) {
        self.settle(claimed, used);
        self.promised += u64::from(claimed.saturating_sub(used));
    }

    /// Notes that blocks were freed by the running transaction.
    pub(super) fn freed(&mut self, blocks: u32) {
        self.free += u64::from(blocks);
        self.pinned += u64::from(blocks);
    }

    /// Notes that freed blocks can be used now.
    pub(super) fn unpin(&mut self, blocks: u32) {
        self.pinned = self.pinned.saturating_sub(blocks.into());
        self.risen = self.risen.wrapping_add(1);
        self.unpinned = self.unpinned.wrapping_add(1);
    }

    /// Writes off the free blocks of a damaged group.
    pub(super) fn write_off(&mut self, free: u32, pinned: u32) {
        self.free = self.free.saturating_sub(free.into());
        self.pinned = self.pinned.saturating_sub(pinned.into());
    }

    /// What `statfs` calls free: without what is kept for conversions.
    pub(super) fn visible(&self) -> u64 {
        self.free.saturating_sub(self.pool)
    }

    /// What `statfs` calls available: what anybody may use.
    pub(super) fn visible_to_all(&self) -> u64 {
        self.visible().saturating_sub(self.root)
    }
}
