// SPDX-License-Identifier: GPL-2.0

//! Data that is written beside what a file has, and takes its place when all of it is on the device.
//!
//! For writes that are there as a whole or not at all, where the device can't do that. Until one transaction puts the
//! new blocks into the tree the file has what it had, for everybody who reads it and after a crash; then it has all of
//! the new data. Those that it had are freed in the same transaction, so nobody gets them before it is committed.
//!
//! ```text
//!             choose            the caller writes to them              put
//!   free ─────────────▶ chosen, in memory alone ───────────▶ … ─────────────────▶ the file's
//!     ▲                                  │                                  the old ones are freed
//!     └──────────────────────────────────┘ dropped
//! ```

use super::{
    convert, delayed,
    map::{self, Found},
    number, rights,
    staged::StagedRun,
    tree::{ReadTree, WriteTree},
    whole_pages, Alone,
};
use crate::{
    dio::claim::Waiting,
    disk::{
        extent::{Extent, State},
        units::{LogicalBlock, PhysicalBlock},
    },
    error::{euclean, FsError, FsResult},
    extent::{self, NodeStoreMut},
    group::{ConversionReserve, Rights, Run, Wanted},
    journal::{credits, sync_point::Change},
    mount::{counters::Count, Filesystem},
    quota::Reserved,
    vfs::{
        inode::{ExclusiveLock, Inode},
        jbd2::{Credits, Handle, Journal},
        page_cache::PageCacheLock,
    },
    Rext4,
};
use core::ops::Range;
use kernel::{error::code, prelude::*};

/// Blocks that were chosen for a range of a file. Dropping it makes them free again.
///
/// # Invariants
///
/// `runs` are in the order of the file, one behind the other from the start of `blocks` on, and nobody else has them.
/// What of `blocks` the owner of the file needs more for the time being is reserved.
pub(crate) struct Aside<'a> {
    inode: &'a Inode<Rext4>,
    blocks: Range<LogicalBlock>,
    runs: KVec<StagedRun>,
}

/// A part of the range that lies in a row both where it is and where it is going to be.
struct Piece {
    new: Extent,
    /// What is in its place now, if anything is.
    old: Option<Extent>,
}

impl<'a> Aside<'a> {
    /// Chooses blocks for these of a file, in as few runs as can be had.
    ///
    /// # Errors
    ///
    /// `ENOSPC`, `EDQUOT`, `ENOMEM`; those of a look-up and of an allocation.
    pub(crate) fn choose(
        inode: &'a Inode<Rext4>,
        journal: &Journal,
        blocks: Range<LogicalBlock>,
    ) -> FsResult<Self> {
        let len = blocks.end.0 - blocks.start.0;
        let runs = KVec::with_capacity(len as usize, GFP_KERNEL)?;
        Reserved::exactly(inode, len)?.keep();
        // INVARIANT: there are no runs yet, and as much is reserved.
        let mut own = Self {
            inode,
            blocks,
            runs,
        };
        while let Some(rest) = own.rest() {
            let run = own.choose_run(journal, &rest)?;
            // INVARIANT: it is for the blocks behind the last run. There is room for as many runs as blocks.
            own.runs
                .push_within_capacity(StagedRun::new(rest.start, run))
                .map_err(|_| FsError::Kernel(code::ENOMEM))?;
        }
        Ok(own)
    }

    /// What of the range has no blocks yet.
    fn rest(&self) -> Option<Range<LogicalBlock>> {
        let first = self
            .runs
            .last()
            .map_or(self.blocks.start, |run| run.blocks().end);
        (first < self.blocks.end).then_some(first..self.blocks.end)
    }

    /// A run for the first of these blocks, and for as many behind it as can be had.
    fn choose_run(&self, journal: &Journal, blocks: &Range<LogicalBlock>) -> FsResult<Run> {
        let inode = self.inode;
        let groups = inode.super_block().data().groups()?;
        let len = blocks.end.0 - blocks.start.0;
        let goal = match map::find(inode, blocks.start)? {
            // Near where it was: that is a good place as seen from the rest of the file.
            Found::Written { start, .. } | Found::Unwritten { start, .. } => start,
            Found::Hole { .. } => inode.data().goal(),
        };
        // As the device wants it to write them as a whole, so that it can do it by itself the next time.
        let wanted = Wanted::new(goal, len).for_file(number(inode), 0).aligned();
        if let Some(run) = groups.stage(journal, wanted, &rights(inode), Waiting::Allowed)? {
            return Ok(run);
        }
        // Shorter ones will do, and bitmaps may have to be made for them.
        groups.retry(journal, || {
            let handle = journal.start(Credits::new(credits::ALLOCATE))?;
            let run = groups.choose(&handle, wanted, rights(inode))?;
            handle.stop().inspect_err(|_| {
                let _ = groups.unstage(run);
            })?;
            Ok(run)
        })
    }

    /// Where `block` of the file is to be written to, and how many behind it lie in a row with it. `None` if it is not in
    /// the range.
    pub(crate) fn place_of(&self, block: LogicalBlock) -> Option<(PhysicalBlock, u32)> {
        let rest = block..self.blocks.end;
        let part = self.runs.iter().find_map(|run| run.part(&rest))?;
        let blocks = part.blocks();
        (blocks.start == block).then(|| (part.start(), blocks.end.0 - blocks.start.0))
    }

    /// Puts them into the place of what the file has there, in one transaction. The size on disk is `end` bytes then, if
    /// it was less.
    ///
    /// The data is on the device. What the page cache has of the range goes; what was stored there through mappings
    /// while the data was written counts as done before it. Nothing comes back as long as the caller keeps the lock that
    /// he is given.
    ///
    /// # Errors
    ///
    /// `EAGAIN` if a page can't be dropped; `ENOSPC` if the journal is too small for it, or there is no block for a node
    /// of the tree; those of reading what has to be changed. The file has what it had then, or the journal is aborted.
    pub(crate) fn put(
        mut self,
        lock: &ExclusiveLock<'_, Rext4>,
        _alone: &Alone<'_>,
        end: i64,
    ) -> FsResult<PageCacheLock<'a, Rext4>> {
        let inode = self.inode;
        let fs = inode.super_block().data();
        let journal = fs.writing(inode.super_block())?;
        let groups = fs.groups()?;
        // The ends of the range, as with a conversion, and borders within it: these take a node more at most. Who has a
        // reserve may be waiting for a page of this file that it writes from.
        let nodes = 2 * convert::new_nodes(inode);
        let mut reserve = groups.reserve_conversion(journal, nodes)?;
        // Nobody reads what is in the old blocks into a page from here on, nor writes one back to them.
        let page_cache = inode.lock_page_cache();
        let (first, end_of_pages) = whole_pages(fs.layout.block_size(), self.blocks.clone());
        let last = end_of_pages - 1;
        // What is changed of other blocks in them has to get to its place. `fsync` tells of errors.
        let _ = inode.write_back(first, last);
        inode
            .release_page_cache(lock, first, last)
            .map_err(|_| FsError::Kernel(code::EAGAIN))?;
        let pieces = self.pieces()?;
        loop {
            let depth = extent::depth(&ReadTree::new(inode, &inode.data().tree.read()))?;
            let count = u32::try_from(pieces.len()).unwrap_or(u32::MAX);
            let handle = journal.start(credits::replace_all(depth, count))?;
            let mut root = inode.data().tree.write();
            if extent::depth(&ReadTree::new(inode, &root))? > depth {
                // It grew meanwhile: the credits may not do.
                continue;
            }
            // Before the size on disk can be seen to grow.
            inode.data().sync_point.note(&handle, Change::Data);
            self.settle(&handle)?;
            let put = put_pieces(inode, &handle, &mut root, &pieces, &mut reserve);
            match put {
                Ok(_) => {
                    // INVARIANT: they are the file's.
                    self.runs.clear();
                    let len = self.blocks.end.0 - self.blocks.start.0;
                    Reserved::again(inode, len).claim(len);
                    self.blocks.end = self.blocks.start;
                    fs.counters.add(Count::ReplacedBlock, u64::from(len));
                    if end > inode.data().disk_size() {
                        inode.data().set_disk_size(end);
                    }
                }
                // INVARIANT: nothing of it is in the tree.
                Err(_) => self.unsettle(&handle),
            }
            WriteTree::new(inode, &mut root, &handle, Rights::Root).store_inode()?;
            drop(root);
            handle.stop()?;
            if let Err(e) = put? {
                // They are nobody's, which e2fsck finds.
                let _ = Filesystem::errno(inode, "free what was replaced", e);
            }
            return Ok(page_cache);
        }
    }

    /// What is to be put where.
    fn pieces(&self) -> FsResult<KVec<Piece>> {
        let mut pieces = KVec::new();
        let mut at = self.blocks.start;
        while let Some((start, own)) = self.place_of(at) {
            let (len, old) = match map::find(self.inode, at)? {
                Found::Hole { len } => (len.min(own), None),
                Found::Written { start, len } => (len.min(own), Some((start, State::Written))),
                Found::Unwritten { start, len } => (len.min(own), Some((start, State::Unwritten))),
            };
            let extent =
                |start, state| Extent::new(at, start, len, state).ok_or(FsError::Kernel(euclean()));
            let new = extent(start, State::Written)?;
            let old = old.map(|(start, state)| extent(start, state)).transpose()?;
            pieces.push(Piece { new, old }, GFP_KERNEL)?;
            at = new.end();
        }
        // Should something fail, what is mapped can be put back.
        pieces.sort_unstable_by_key(|piece| piece.old.is_none());
        Ok(pieces)
    }

    /// Makes all runs used on disk, or none.
    fn settle(&self, handle: &Handle<'_>) -> FsResult {
        let groups = self.inode.super_block().data().groups()?;
        for (number, run) in self.runs.iter().enumerate() {
            groups.settle_staged(handle, run.run()).inspect_err(|_| {
                for run in self.runs.iter().take(number) {
                    // What fails here is in use and nobody's, which e2fsck finds.
                    let _ = groups.stage_again(handle, run.run());
                }
            })?;
        }
        Ok(())
    }

    /// Undoes [`Self::settle`] in the same transaction.
    fn unsettle(&mut self, handle: &Handle<'_>) {
        let Ok(groups) = self.inode.super_block().data().groups() else {
            return;
        };
        self.runs
            .retain(|run| groups.stage_again(handle, run.run()).is_ok());
    }
}

impl Drop for Aside<'_> {
    fn drop(&mut self) {
        let inode = self.inode;
        let Ok(groups) = inode.super_block().data().groups() else {
            return;
        };
        for run in &self.runs {
            if let Err(e) = groups.unstage(run.run()) {
                let _ = Filesystem::errno(inode, "give blocks back", e);
            }
        }
        drop(Reserved::again(
            inode,
            self.blocks.end.0 - self.blocks.start.0,
        ));
    }
}

/// Changes the tree: all pieces, or none. Gives how it went to free what was in their place; the file has its data in
/// any case then.
fn put_pieces(
    inode: &Inode<Rext4>,
    handle: &Handle<'_>,
    blocks: &mut delayed::Blocks,
    pieces: &[Piece],
    reserve: &mut ConversionReserve,
) -> FsResult<FsResult> {
    let mut tree = WriteTree::new(inode, blocks, handle, Rights::Reserve(reserve));
    let olds = || pieces.iter().filter_map(|piece| piece.old);
    for old in olds() {
        tree.may_free_data(old)?;
    }
    for piece in pieces {
        // All nodes are read while nothing is changed.
        extent::find_gap(&tree, piece.new.logical())?;
    }
    for (number, piece) in pieces.iter().enumerate() {
        let put = match piece.old {
            Some(_) => extent::replace(&mut tree, piece.new).map(drop),
            None => extent::insert(&mut tree, piece.new),
        };
        if let Err(e) = put {
            let done = pieces.get(..number).unwrap_or_default();
            // To put back takes no node. What fails all the same is the journal, or a damaged node.
            if !done.iter().rev().all(|piece| put_back(&mut tree, piece)) {
                // Half of it must not be committed.
                handle.journal().abort(code::EIO);
            }
            return Err(e);
        }
    }
    let freed = olds().try_for_each(|old| tree.free_data(old));
    for piece in pieces {
        delayed::note_allocated(inode, blocks, piece.new.logical()..piece.new.end());
    }
    Ok(freed)
}

/// Puts back what was in the place of a piece, before anything else changes the tree. Returns whether that is done.
fn put_back(tree: &mut WriteTree<'_, '_>, piece: &Piece) -> bool {
    // What was a hole comes last, and is not undone.
    piece
        .old
        .is_some_and(|old| extent::replace(tree, old).is_ok())
}
