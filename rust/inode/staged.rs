// SPDX-License-Identifier: GPL-2.0

//! Holes that direct writes are filling: blocks that were chosen for them, and are in no tree yet.
//!
//! A direct write into a hole that has room for all of it changes nothing on disk when it is submitted.
//! Its blocks are *staged*: nobody else gets them ([`crate::group`]), and here it is noted where in the file they
//! belong. When the data is on the device they are put into the tree, as written ones, with the bits in the
//! group's bitmap, by the task that completes the write, many writes in one transaction:
//!
//! ```text
//!             stage                          put, written
//!   a hole ─────────▶ staged, data on its way ───────────▶ written
//!      ▲                │             │ put, unwritten: somebody else wants a block there
//!      └────────────────┘             └──────────────────▶ unwritten ──▶ written
//!      give_back: failed                                      convert: on the device
//! ```
//!
//! As long as they are staged they are a hole for everybody who reads: in the tree, for the page cache,
//! after a crash. So nobody sees what was in them before.
//!
//! # Who fills a hole
//!
//! A block of a file is given blocks once. Those who fill holes are direct writes here, and with the tree's
//! lock held for writing all others ([`super::allocate`], [`super::delayed`]). Whoever comes second has to
//! see who was first:
//!
//! - *Staged first.* The other one asks with [`begin_filling`] before he allocates anything. If he is told
//!   that the block is staged he puts that run into the tree, unwritten, and goes on with what is there. The
//!   write that has staged it finds it there when it is complete, and converts it.
//! - *The other one first.* To stage takes a hole that is known, in memory ([`super::cache`]), and
//!   both are looked at under the same spin lock. [`begin_filling`] has the hole forgotten, and as long as
//!   the tree's lock is held nobody gets to know it again.
//!
//! Removing blocks from a file waits for its direct I/O, so nothing is staged then.
//!
//! # Locks
//!
//! The list is under the spin lock of the inode's cache. It gets longer under that alone, and shorter with
//! the tree's lock held for writing besides.

use super::{
    cache,
    goal::{self, Around, Placed},
    number, rights,
    tree::{ReadTree, WriteTree},
};
use crate::{
    dio::claim::Waiting,
    disk::{
        extent::{Extent, State, ROOT_SIZE},
        units::{LogicalBlock, PhysicalBlock},
    },
    error::{euclean, FsError, FsResult},
    extent::{self, Hole, Mapping, Spot},
    group::{Rights, Run, Wanted},
    quota::Reserved,
    vfs::{
        inode::Inode,
        jbd2::{Handle, Journal},
    },
    Rext4,
};
use core::ops::Range;
use kernel::prelude::*;

/// Blocks on the device, and which block of the file the first of them is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct StagedRun {
    first: LogicalBlock,
    run: Run,
}

impl StagedRun {
    /// These blocks, of which the first is for `first`.
    pub(super) fn new(first: LogicalBlock, run: Run) -> Self {
        Self { first, run }
    }

    /// The blocks on the device.
    pub(super) fn run(&self) -> Run {
        self.run
    }

    /// The blocks of the file.
    pub(crate) fn blocks(&self) -> Range<LogicalBlock> {
        // What was staged is below the end of the file.
        self.first..LogicalBlock(self.first.0.saturating_add(self.run.len))
    }

    /// What of it is for these blocks.
    pub(crate) fn part(&self, blocks: &Range<LogicalBlock>) -> Option<Self> {
        let own = self.blocks();
        let first = own.start.max(blocks.start);
        let end = own.end.min(blocks.end);
        (first < end).then(|| Self {
            first,
            run: Run {
                start: self.place_of(first),
                len: end.0 - first.0,
            },
        })
    }

    /// The two as one, if the other one goes on with this one, in the file and on the device.
    pub(super) fn joined(&self, next: &Self) -> Option<Self> {
        let end = self.blocks().end;
        (next.first == end && next.run.start == self.place_of(end)).then(|| Self {
            first: self.first,
            run: Run {
                start: self.run.start,
                len: self.run.len.saturating_add(next.run.len),
            },
        })
    }

    /// Where its first block lies.
    pub(crate) fn start(&self) -> PhysicalBlock {
        self.run.start
    }

    /// Where a block behind its first lies, or would lie if it went on.
    fn place_of(&self, block: LogicalBlock) -> PhysicalBlock {
        let distance = u64::from(block.0.saturating_sub(self.first.0));
        PhysicalBlock(self.run.start.0.saturating_add(distance))
    }
}

/// The staged runs of one file.
///
/// # Invariants
///
/// They are in order, none is empty, and no two overlap.
#[derive(Default)]
pub(super) struct Staged(KVec<StagedRun>);

impl Staged {
    /// The run that holds `block`, or else the next one.
    fn at_or_behind(&self, block: LogicalBlock) -> Option<StagedRun> {
        let first = self.0.partition_point(|own| own.blocks().end <= block);
        self.0.get(first).copied()
    }

    /// The last run that begins before `block`.
    fn before(&self, block: LogicalBlock) -> Option<StagedRun> {
        let behind = self.0.partition_point(|own| own.first < block);
        let last = behind.checked_sub(1)?;
        self.0.get(last).copied()
    }

    /// The run that the place of a block in a hole goes by: the next one before it, or else, if the hole is the
    /// first of all, behind it.
    fn around(&self, block: LogicalBlock, hole: &Hole) -> Option<Placed> {
        let before = self.before(block).filter(|own| own.first >= hole.first);
        let behind = || {
            let next = self.at_or_behind(block)?;
            (hole.first.0 == 0 && next.first < hole.end).then_some(next)
        };
        let own = before.or_else(behind)?;
        Some(Placed {
            block: own.first,
            place: own.run.start,
        })
    }

    /// What of a run that somebody has staged is still in here: all of it or nothing, but for what he has taken
    /// out himself. Somebody else may have staged blocks there since.
    fn left_of(&self, run: &StagedRun) -> Option<StagedRun> {
        let left = self.at_or_behind(run.first)?.part(&run.blocks())?;
        (left.run.start == run.place_of(left.first)).then_some(left)
    }

    /// Whether none of these blocks is staged.
    fn leaves(&self, blocks: &Range<LogicalBlock>) -> bool {
        let next = self.at_or_behind(blocks.start);
        next.is_none_or(|next| next.first >= blocks.end)
    }

    /// Adds a run, if there is memory for it without waiting.
    fn add(&mut self, run: StagedRun) -> bool {
        if self.0.reserve(1, GFP_NOWAIT | __GFP_NOWARN).is_err() {
            return false;
        }
        let at = self.0.partition_point(|own| own.first < run.first);
        self.0.insert_within_capacity(at, run).is_ok()
    }

    /// Takes a run out, or the beginning or the end of one.
    fn remove(&mut self, run: &StagedRun) {
        let own = self
            .0
            .partition_point(|own| own.first <= run.first)
            .checked_sub(1);
        let Some(at) = own else {
            return;
        };
        let Some(own) = self.0.get_mut(at) else {
            return;
        };
        if own == run {
            let _ = self.0.remove(at);
        } else if own.first == run.first {
            let rest = run.blocks().end..own.blocks().end;
            if let Some(rest) = own.part(&rest) {
                *own = rest;
            }
        } else if let Some(rest) = own.part(&(own.first..run.first)) {
            *own = rest;
        }
    }
}

/// Chooses blocks for `len` blocks of a hole from `block` on, in one run, for a direct write that covers all of
/// them. `None` if it can't be done in memory alone.
///
/// The blocks are below the end of the file, and the inode's lock is held, so that the file does not get
/// shorter. Who stages has to [`put`] or to [`give_back`] in the end.
///
/// # Errors
///
/// Those of [`Groups::stage`](crate::group::Groups::stage).
pub(crate) fn stage(
    inode: &Inode<Rext4>,
    journal: &Journal,
    block: LogicalBlock,
    len: u32,
    waiting: Waiting,
) -> FsResult<Option<StagedRun>> {
    let Some(end) = block.0.checked_add(len).map(LogicalBlock) else {
        return Ok(None);
    };
    let blocks = block..end;
    if len > State::Unwritten.max_len() {
        return Ok(None);
    }
    let data = inode.data();
    let Some(around) = data
        .cache
        .with_staged(|cache, staged| around_hole(cache, staged, &blocks))
    else {
        return Ok(None);
    };
    let goal = goal::best(inode, (block, len), around);
    let groups = inode.super_block().data().groups()?;
    // Who may have less than this is told so by those who allocate at once.
    let Ok(quota) = Reserved::exactly(inode, len) else {
        return Ok(None);
    };
    let wanted = groups.by_stripes(Wanted::new(goal, len), block);
    let wanted = wanted.for_file(number(inode), 0);
    let Some(run) = groups.stage(journal, wanted, &rights(inode), waiting)? else {
        return Ok(None);
    };
    let own = StagedRun { first: block, run };
    let added = data.cache.with_staged(|cache, staged| {
        // Somebody may have been faster.
        hole_around(cache, staged, &blocks).is_some() && staged.add(own)
    });
    if !added {
        groups.unstage(run)?;
        return Ok(None);
    }
    quota.keep();
    data.set_goal(PhysicalBlock(run.start.0.saturating_add(len.into())));
    Ok(Some(own))
}

/// The hole that these blocks are in, if they are known to be in one, and none of them is staged.
fn hole_around(
    cache: &mut cache::Known,
    staged: &Staged,
    blocks: &Range<LogicalBlock>,
) -> Option<Hole> {
    match cache.find(blocks.start)? {
        Mapping::Hole(hole) if blocks.end <= hole.end => staged.leaves(blocks).then_some(hole),
        _ => None,
    }
}

/// What is known around the first of these blocks, if they are in a hole.
fn around_hole(
    cache: &mut cache::Known,
    staged: &Staged,
    blocks: &Range<LogicalBlock>,
) -> Option<Around> {
    let hole = hole_around(cache, staged, blocks)?;
    if let Some(placed) = staged.around(blocks.start, &hole) {
        return Some(Around::Placed(placed));
    }
    Some(match goal::beside(&hole) {
        Some(next) => cache.find(next).map_or(Around::Unknown, Around::from),
        None => Around::Nothing,
    })
}

/// The staged run that the place of a block in a hole goes by, if there is any in that.
pub(super) fn around(inode: &Inode<Rext4>, block: LogicalBlock, hole: &Hole) -> Option<Placed> {
    let cache = &inode.data().cache;
    cache.with_staged(|_, staged| staged.around(block, hole))
}

/// What somebody has to heed who wants to fill a hole.
pub(super) enum Filling {
    /// The first block is in this run: [`put`] that, unwritten, and look again. Its owner's reserve is for
    /// when it is written, so nodes may be taken of all that is not promised.
    Staged(StagedRun),
    /// Up to this block nothing is staged, nor will be.
    Free {
        /// The block behind the last one.
        end: LogicalBlock,
        /// Whether anything was known of these.
        was_known: bool,
    },
}

/// To be called by all who allocate blocks for a hole, before they do: for the blocks that are wanted, from the
/// first on.
///
/// The tree's lock is held for writing, until the hole is filled.
pub(super) fn begin_filling(inode: &Inode<Rext4>, wanted: Range<LogicalBlock>) -> Filling {
    let usage = &inode.super_block().data().extent_cache;
    let mut was_known = false;
    loop {
        let mut end = wanted.end;
        let forgotten = inode
            .data()
            .cache
            .change_with_staged(usage, |cache, staged| {
                if let Some(next) = staged.at_or_behind(wanted.start) {
                    if next.first <= wanted.start {
                        return Err(next);
                    }
                    end = end.min(next.first);
                }
                Ok(cache.forget(wanted.start..end))
            });
        match forgotten {
            Err(staged) => return Filling::Staged(staged),
            Ok(forgotten) => {
                was_known |= forgotten.any;
                if !forgotten.more {
                    return Filling::Free { end, was_known };
                }
            }
        }
    }
}

/// What of a run is still staged: see [`Staged::left_of`].
///
/// The tree's lock is held for writing.
pub(super) fn left_of(inode: &Inode<Rext4>, run: &StagedRun) -> Option<StagedRun> {
    let cache = &inode.data().cache;
    cache.with_staged(|_, staged| staged.left_of(run))
}

/// Puts a staged run, or a part of one, into the tree, in this state. If that fails it stays staged.
///
/// Needs credits for [`insert`](crate::journal::credits::insert). The tree's lock is held for writing, with
/// `root` behind it. After it, the inode is to be stored, and [`note_allocated`](super::delayed::note_allocated) to be told of these
/// blocks.
///
/// # Errors
///
/// Those of [`extent::insert`] and of [`Groups::settle_staged`](crate::group::Groups::settle_staged).
pub(super) fn put(
    inode: &Inode<Rext4>,
    handle: &Handle<'_>,
    root: &mut [u8; ROOT_SIZE],
    staged: &StagedRun,
    state: State,
    rights: Rights<'_>,
) -> FsResult {
    let fs = inode.super_block().data();
    let groups = fs.groups()?;
    let run = staged.run;
    let damaged = FsError::Kernel(euclean());
    let extent = Extent::new(staged.first, run.start, run.len, state).ok_or(damaged)?;
    let gap = match extent::find_gap(&ReadTree::new(inode, root), staged.first)? {
        Spot::Gap(gap) => gap,
        Spot::Extent(_) => return Err(damaged),
    };
    groups.settle_staged(handle, run)?;
    let mut tree = WriteTree::new(inode, root, handle, rights);
    if let Err(e) = gap.insert(&mut tree, extent) {
        // The tree is as it was.
        groups.stage_again(handle, run)?;
        return Err(e);
    }
    Reserved::again(inode, run.len).claim(run.len);
    let cache = &inode.data().cache;
    cache.with_staged(|_, list| list.remove(staged));
    Ok(())
}

/// Makes what is left of a run free again: its data did not come to the device.
pub(crate) fn give_back(inode: &Inode<Rext4>, run: &StagedRun) -> FsResult {
    if left_of(inode, run).is_none() {
        // Nobody can add it again.
        return Ok(());
    }
    let _tree = inode.data().tree.write();
    let Some(left) = left_of(inode, run) else {
        return Ok(());
    };
    let cache = &inode.data().cache;
    cache.with_staged(|_, list| list.remove(&left));
    drop(Reserved::again(inode, left.run.len));
    // From here on somebody else may stage blocks there.
    inode.super_block().data().groups()?.unstage(left.run)
}
