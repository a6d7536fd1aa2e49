// SPDX-License-Identifier: GPL-2.0

//! Where the blocks of a file lie, as far as that was looked up: an answer without the tree's lock.
//!
//! A direct write asks twice where its blocks are, first to claim them and then to write to them, and
//! who reads and overwrites asks for the same blocks again and again. What they were told is kept
//! here ([`crate::extent::cache`]), under a spin lock of the inode that nothing is taken under, so
//! nobody waits for one who changes the tree elsewhere.
//!
//! # Why an answer is right
//!
//! Each answer is one that the tree would have given at the moment at which it was found here:
//!
//! - Something is put in by one who has found it in the tree, or has put it there, and who has held
//!   the tree's lock since: the tree still says so.
//! - Whoever changes the tree has its lock for writing, and takes out what he is about to change
//!   before he changes it. Until he gives the lock back nobody else can put anything in.
//!
//! Who needs an answer to stay right needs other locks, as with an answer from the tree, whose lock
//! he gives back as well: see `Documentation/locking.md`.
//!
//! Only what was checked not to lie in the file system's own blocks is kept.
//!
//! # Memory
//!
//! Nothing is allocated for an inode of which nothing is known. What is allocated is counted for the
//! file system ([`Usage`]) and given back when memory is short: inodes in turn, of each the runs that
//! were not used since its last turn. A change keeps what it makes only if what it changed was known,
//! so that writing alone fills no cache.

use super::{staged::Staged, InodeData};
use crate::{
    disk::units::LogicalBlock,
    extent::{
        cache::{Cache, List, Memory},
        Mapping,
    },
    vfs::{
        inode::Inode,
        shrinker::{InodeMemory, Shrinker, Turn},
        super_block::SuperBlock,
    },
    Rext4,
};
use core::{
    ops::Range,
    sync::atomic::{AtomicUsize, Ordering},
};
use kernel::{new_spinlock, prelude::*, sync::SpinLock};

/// The kernel's memory, without waiting for any.
pub(super) struct Atomic;

/// What is known of one inode, while the spin lock is held.
pub(super) type Known = Cache<Atomic>;

impl Memory for Atomic {
    type List<T> = KVec<T>;
}

impl<T> List<T> for KVec<T> {
    fn items(&self) -> &[T] {
        self
    }

    fn items_mut(&mut self) -> &mut [T] {
        self
    }

    fn capacity(&self) -> usize {
        KVec::capacity(self)
    }

    fn reserve(&mut self, more: usize) -> bool {
        KVec::reserve(self, more, GFP_NOWAIT | __GFP_NOWARN).is_ok()
    }

    fn insert(&mut self, at: usize, item: T) {
        // There is room, as the caller promises.
        let _ = self.insert_within_capacity(at, item);
    }

    fn truncate(&mut self, len: usize) {
        KVec::truncate(self, len);
    }
}

/// What all inodes of a file system keep.
#[derive(Default)]
pub(crate) struct Usage {
    runs: AtomicUsize,
    bytes: AtomicUsize,
}

impl Usage {
    /// The memory that is allocated, in bytes.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed) as u64
    }

    fn note(&self, before: (usize, usize), after: (usize, usize)) {
        let differences = [
            (&self.runs, before.0, after.0),
            (&self.bytes, before.1, after.1),
        ];
        for (sum, before, after) in differences {
            if before != after {
                // Wraps, and so subtracts if it is less.
                sum.fetch_add(after.wrapping_sub(before), Ordering::Relaxed);
            }
        }
    }
}

#[derive(Default)]
struct State {
    cache: Known,
    /// Blocks of holes that direct writes are filling: see [`super::staged`].
    staged: Staged,
    /// Whether the shrinker has the inode on its list, or is about to.
    is_listed: bool,
    /// Whether all of the tree was looked up, and nobody had it forgotten since. Memory may have been short meanwhile.
    was_whole: bool,
}

/// What is known of one inode.
#[pin_data]
pub(crate) struct ExtentCache {
    #[pin]
    state: SpinLock<State>,
}

impl ExtentCache {
    /// Nothing.
    pub(super) fn new() -> impl PinInit<Self> {
        pin_init!(Self {
            state <- new_spinlock!(State::default(), "rext4_extent_cache"),
        })
    }

    /// The mapping of `block`, if it is known.
    pub(super) fn find(&self, block: LogicalBlock) -> Option<Mapping> {
        self.state.lock().cache.find(block)
    }

    /// The first block at or behind `block` whose mapping is known.
    pub(super) fn next(&self, block: LogicalBlock) -> Option<LogicalBlock> {
        self.state.lock().cache.next(block)
    }

    /// Whether all of the tree was looked up, and nobody had it forgotten since.
    pub(super) fn was_whole(&self) -> bool {
        self.state.lock().was_whole
    }

    /// Notes whether it is so.
    pub(super) fn set_was_whole(&self, so: bool) {
        self.state.lock().was_whole = so;
    }

    /// Looks at what is known, and at what is staged or changes it.
    pub(super) fn with_staged<R>(&self, look: impl FnOnce(&mut Known, &mut Staged) -> R) -> R {
        let state = &mut *self.state.lock();
        look(&mut state.cache, &mut state.staged)
    }

    /// Looks at what is staged, and changes what is known.
    pub(super) fn change_with_staged<R>(
        &self,
        usage: &Usage,
        change: impl FnOnce(&mut Known, &Staged) -> R,
    ) -> R {
        self.change(usage, |state| change(&mut state.cache, &state.staged))
    }

    /// Does something with the cache, and counts the memory that it takes or gives back.
    fn change<R>(&self, usage: &Usage, change: impl FnOnce(&mut State) -> R) -> R {
        let mut state = self.state.lock();
        let before = (state.cache.runs(), state.cache.bytes());
        let result = change(&mut state);
        usage.note(before, (state.cache.runs(), state.cache.bytes()));
        result
    }
}

/// Keeps a mapping that the tree of an inode has. It was checked, see [`super::map::check_foreign`].
///
/// The tree's lock is held, and was when the mapping was found or made.
pub(super) fn keep(inode: &Inode<Rext4>, mapping: Mapping) {
    let usage = &inode.super_block().data().extent_cache;
    let list = inode.data().cache.change(usage, |state| {
        state.cache.keep(mapping);
        let list = !state.is_listed && state.cache.runs() > 0;
        state.is_listed |= list;
        list
    });
    if list {
        inode.list_for_shrinker();
    }
}

/// Forgets what is known of blocks that are about to be mapped otherwise. Returns whether that was
/// anything.
///
/// The tree's lock is held for writing.
pub(super) fn forget(inode: &Inode<Rext4>, range: Range<LogicalBlock>) -> bool {
    let usage = &inode.super_block().data().extent_cache;
    let mut any = false;
    // The lock is given back in between: there may be much.
    loop {
        let change = |state: &mut State| state.cache.forget(range.clone());
        let forgotten = inode.data().cache.change(usage, change);
        any |= forgotten.any;
        if !forgotten.more {
            return any;
        }
    }
}

impl InodeMemory for Rext4 {
    fn shrinker(sb: &SuperBlock<Self>) -> &Shrinker {
        &sb.data().shrinker
    }

    fn parts(sb: &SuperBlock<Self>) -> usize {
        sb.data().extent_cache.runs.load(Ordering::Relaxed)
    }

    fn free_some(sb: &SuperBlock<Self>, inode: &InodeData, looks: &mut usize) -> (usize, Turn) {
        let usage = &sb.data().extent_cache;
        let mut freed = 0;
        loop {
            let (given, turn) = inode.cache.change(usage, |state| {
                let (given, is_end) = state.cache.give_back(looks);
                let turn = if state.cache.runs() == 0 {
                    state.is_listed = false;
                    Turn::Empty
                } else if is_end {
                    Turn::Over
                } else {
                    Turn::GoesOn
                };
                (given, turn)
            });
            freed += given;
            if turn != Turn::GoesOn || *looks == 0 {
                return (freed, turn);
            }
        }
    }

    fn free_all(inode: &Inode<Self>) {
        forget(inode, LogicalBlock(0)..LogicalBlock(u32::MAX));
    }
}

#[kunit_tests(rext4_extent_cache)]
mod tests {
    use super::*;
    use crate::{
        disk::{
            extent::{Extent, State},
            units::PhysicalBlock,
        },
        extent::{cache::RUNS, Hole},
    };

    const ALL: Range<LogicalBlock> = LogicalBlock(0)..LogicalBlock(u32::MAX);

    fn extent(logical: u32, len: u32) -> Mapping {
        let at = PhysicalBlock(1000 + u64::from(logical));
        match Extent::new(LogicalBlock(logical), at, len, State::Written) {
            Some(extent) => Mapping::Extent(extent),
            None => panic!("no extent"),
        }
    }

    #[test]
    fn what_is_known() {
        let mut cache = Cache::<Atomic>::default();
        let hole = Mapping::Hole(Hole {
            first: LogicalBlock(30),
            end: LogicalBlock(40),
        });
        cache.keep(extent(20, 10));
        cache.keep(hole);
        let mut find = |block| cache.find(LogicalBlock(block));
        assert_eq!(find(19), None);
        assert_eq!(find(20), Some(extent(20, 10)));
        assert_eq!(find(29), Some(extent(20, 10)));
        assert_eq!(find(30), Some(hole));
        assert_eq!(find(39), Some(hole));
        assert_eq!(find(40), None);
        // What is left on either side stays.
        assert!(cache.forget(LogicalBlock(23)..LogicalBlock(35)).any);
        let mut find = |block| cache.find(LogicalBlock(block));
        assert_eq!(find(22), Some(extent(20, 3)));
        assert_eq!(find(23), None);
        assert_eq!(find(34), None);
        assert!(find(35).is_some());
        assert!(!cache.forget(LogicalBlock(23)..LogicalBlock(35)).any);
        assert!(cache.check(|_| ()));
    }

    #[test]
    fn all_memory_is_counted() {
        let usage = Usage::default();
        let mut cache = Cache::<Atomic>::default();
        let mut note = |change: &mut dyn FnMut(&mut Cache<Atomic>)| {
            let before = (cache.runs(), cache.bytes());
            change(&mut cache);
            usage.note(before, (cache.runs(), cache.bytes()));
            assert!(cache.check(|_| ()));
        };
        for number in 0..1000 {
            // 611 is coprime to their number.
            note(&mut |cache| cache.keep(extent(2 * (number * 611 % 1000), 1)));
        }
        let bytes = usage.bytes();
        assert!((17_000..40_000).contains(&bytes));
        note(&mut |cache| {
            // Each has a second chance.
            for _ in 0..RUNS {
                let _ = cache.give_back(&mut 7);
            }
        });
        assert_eq!(usage.bytes(), 0);
        note(&mut |cache| cache.keep(extent(0, 1)));
        note(&mut |cache| assert!(!cache.forget(ALL).more));
        assert_eq!(usage.bytes(), 0);
        assert_eq!(usage.runs.load(Ordering::Relaxed), 0);
    }
}
