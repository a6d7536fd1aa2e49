// SPDX-License-Identifier: GPL-2.0

//! The arithmetic of free space: who may take how much.
//!
//! Pure, and under one lock in [`super::space`].
//!
//! # Invariants
//!
//! With `available = free - pinned - staged - claimed - delayed - delayed_nodes`:
//!
//! 1. `available`, the claims and what is delayed together are not more than the blocks that are
//!    clear in the bitmaps, not pinned and not staged. Blocks are claimed here before they are looked for there,
//!    and are found for that reason. What is delayed is a claim that lasts until the page cache is
//!    written back: it becomes one of the short kind without asking anybody.
//! 2. `promised <= available`. A promise is given only within what is available, and leaves a part of the
//!    pool to those who could get none and can't wait; a normal claim
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
    /// The writeback of data that was acknowledged, and its conversion: all that is not promised.
    Writeback,
}

/// The counts of free blocks of a file system.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Ledger {
    /// Free in the bitmaps, as on disk.
    pub(super) free: u64,
    /// Of these, freed by transactions that are not committed yet.
    pub(super) pinned: u64,
    /// Of these, chosen for data that is on its way.
    pub(super) staged: u64,
    /// Of these, about to be allocated.
    pub(super) claimed: u64,
    /// Of these, set aside for data that is in the page cache only.
    pub(super) delayed: u64,
    /// Of these, set aside for the tree nodes that this data can need.
    pub(super) delayed_nodes: u64,
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

    /// The part of the pool that is never promised: one in this many.
    const UNPROMISED_PART: u64 = 8;

    /// The part of what is available that can be promised when that is more than the pool: one in this many. A promise
    /// shows in no count of free blocks and in no quota, and may be kept for long: it is not to leave others without.
    const BEYOND_PART: u64 = 16;

    /// The counts at mount.
    pub(super) fn new(blocks: u64, free: u64, root: u64) -> Self {
        Self {
            free,
            pool: Self::pool_of(blocks),
            root,
            ..Self::default()
        }
    }

    /// How many of all blocks are kept for conversions.
    fn pool_of(blocks: u64) -> u64 {
        (blocks / Self::POOL_PART).min(Self::POOL_MAX)
    }

    /// Notes that the file system has so many blocks now. Those that are new are free, and were noted
    /// as such.
    pub(super) fn grow(&mut self, blocks: u64) {
        self.pool = Self::pool_of(blocks);
    }

    /// Keeps so many blocks for the super-user from now on. Returns whether others have more now.
    pub(super) fn reserve(&mut self, root: u64) -> bool {
        let before = core::mem::replace(&mut self.root, root);
        root < before
    }

    /// Notes `free` free blocks of new groups, and that the super-user has `root` of all for himself now.
    pub(super) fn add(&mut self, free: u64, root: u64) {
        self.free += free;
        self.root = root;
        self.risen = self.risen.wrapping_add(1);
        self.unpinned = self.unpinned.wrapping_add(1);
    }

    /// What is free and not spoken for by an allocation under way.
    pub(super) fn available(&self) -> u64 {
        self.free
            .saturating_sub(self.pinned)
            .saturating_sub(self.staged)
            .saturating_sub(self.claimed)
            .saturating_sub(self.delayed)
            .saturating_sub(self.delayed_nodes)
    }

    /// How many of those that are available somebody may take.
    fn open_to(&self, who: Claimant) -> u64 {
        let kept = match who {
            Claimant::Normal => self.promised.max(self.pool).saturating_add(self.root),
            Claimant::Root => self.promised.max(self.pool),
            Claimant::Writeback => self.promised,
        };
        self.available().saturating_sub(kept)
    }

    /// Claims at least one and at most `wanted` blocks. Returns how many, zero if there are none.
    pub(super) fn claim(&mut self, who: Claimant, wanted: u32) -> u32 {
        // Not more than `wanted`, which has 32 bits.
        let granted = self.open_to(who).min(wanted.into()) as u32;
        self.claimed += u64::from(granted);
        granted
    }

    /// Claims `blocks`, if there are as many.
    pub(super) fn claim_whole(&mut self, who: Claimant, blocks: u32) -> bool {
        let fits = u64::from(blocks) <= self.open_to(who);
        if fits {
            self.claimed += u64::from(blocks);
        }
        fits
    }

    /// Promises `blocks`, if there are as many, and not too much is promised already.
    ///
    /// Writeback that gets no promise has data that was acknowledged all the same: the last part of the pool
    /// is for that.
    pub(super) fn promise(&mut self, blocks: u32) -> bool {
        let promised = self.promised.saturating_add(blocks.into());
        let most = self.pool.max(self.available() / Self::BEYOND_PART);
        // Nobody waits for what nobody has.
        let fits = self.covers(blocks) && (promised <= most || self.promised == 0);
        if fits {
            self.promised = promised;
        }
        fits
    }

    /// Whether there are blocks for one more promise, however much is promised.
    pub(super) fn covers(&self, blocks: u32) -> bool {
        let promised = self.promised.saturating_add(blocks.into());
        let unpromised = self.pool / Self::UNPROMISED_PART;
        promised.saturating_add(unpromised) <= self.available()
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
        // Who waits gives up when there is nobody left to wait for.
        if used < claimed || self.claimed == 0 {
            self.risen = self.risen.wrapping_add(1);
        }
    }

    /// Ends a claim of `claimed` blocks that were promised, of which `used` were allocated. The
    /// rest is promised again.
    pub(super) fn settle_promised(&mut self, claimed: u32, used: u32) {
        self.settle(claimed, used);
        self.promised += u64::from(claimed.saturating_sub(used));
    }

    /// Sets blocks aside for delayed data and for nodes, if there are as many of both together.
    pub(super) fn delay(&mut self, who: Claimant, data: u64, nodes: u64) -> bool {
        let fits = data.saturating_add(nodes) <= self.open_to(who);
        if fits {
            self.delayed += data;
            self.delayed_nodes += nodes;
        }
        fits
    }

    /// Gives back what was set aside.
    pub(super) fn undelay(&mut self, data: u64, nodes: u64) {
        self.delayed = self.delayed.saturating_sub(data);
        self.delayed_nodes = self.delayed_nodes.saturating_sub(nodes);
        self.risen = self.risen.wrapping_add(1);
    }

    /// Claims blocks that were set aside for data.
    pub(super) fn claim_delayed(&mut self, blocks: u32) {
        self.delayed = self.delayed.saturating_sub(blocks.into());
        self.claimed += u64::from(blocks);
    }

    /// Claims blocks that were set aside for nodes.
    pub(super) fn claim_delayed_nodes(&mut self, blocks: u32) {
        self.delayed_nodes = self.delayed_nodes.saturating_sub(blocks.into());
        self.claimed += u64::from(blocks);
    }

    /// Ends a claim of `claimed` blocks that were set aside for data, of which `used` were
    /// allocated. The rest is set aside again.
    pub(super) fn settle_delayed(&mut self, claimed: u32, used: u32) {
        self.settle(claimed, used);
        self.delayed += u64::from(claimed.saturating_sub(used));
    }

    /// The same for nodes.
    pub(super) fn settle_delayed_nodes(&mut self, claimed: u32, used: u32) {
        self.settle(claimed, used);
        self.delayed_nodes += u64::from(claimed.saturating_sub(used));
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

    /// Ends a claim of `blocks`, which were all chosen for data on its way. Nothing becomes available by
    /// that, and who has staged them has a promise: so nobody is woken.
    pub(super) fn stage(&mut self, blocks: u32) {
        self.claimed = self.claimed.saturating_sub(blocks.into());
        self.staged += u64::from(blocks);
    }

    /// Notes that a claim has ended, all of which may have been staged.
    pub(super) fn end_claim(&mut self) {
        self.risen = self.risen.wrapping_add(1);
    }

    /// Notes that staged blocks are used on disk now.
    pub(super) fn settle_staged(&mut self, blocks: u32) {
        self.staged = self.staged.saturating_sub(blocks.into());
        self.free = self.free.saturating_sub(blocks.into());
    }

    /// Notes that blocks which are used on disk are staged again.
    pub(super) fn stage_again(&mut self, blocks: u32) {
        self.staged += u64::from(blocks);
        self.free += u64::from(blocks);
    }

    /// Notes that staged blocks can be used by others again.
    pub(super) fn unstage(&mut self, blocks: u32) {
        self.staged = self.staged.saturating_sub(blocks.into());
        self.risen = self.risen.wrapping_add(1);
        self.unpinned = self.unpinned.wrapping_add(1);
    }

    /// Writes off the free blocks of a damaged group.
    pub(super) fn write_off(&mut self, free: u32, pinned: u32, staged: u32) {
        self.free = self.free.saturating_sub(free.into());
        self.pinned = self.pinned.saturating_sub(pinned.into());
        self.staged = self.staged.saturating_sub(staged.into());
    }

    /// What `statfs` calls free: without what is kept for conversions, and without what data in the
    /// page cache or on its way is going to take. What is set aside for nodes is mostly given back.
    pub(super) fn visible(&self) -> u64 {
        self.free
            .saturating_sub(self.pool)
            .saturating_sub(self.delayed)
            .saturating_sub(self.staged)
    }

    /// What `statfs` calls available: what anybody may use.
    pub(super) fn visible_to_all(&self) -> u64 {
        self.visible().saturating_sub(self.root)
    }
}
