// SPDX-License-Identifier: GPL-2.0

//! Freeing the blocks of a file, in steps that each fit a transaction; and the end of an inode
//! that has no links.

use super::{
    block_map, delayed, map, number, orphan, size, store,
    tree::{ReadTree, WriteTree},
    window, Alone, DataKind,
};
use crate::{
    disk::{
        extent::LOGICAL_END,
        units::{InodeNumber, LogicalBlock},
    },
    error::FsResult,
    extent::{self, Hole, Mapping, Progress},
    group::{ConversionReserve, Rights},
    journal::{credits, sync_point::Change},
    mount::Filesystem,
    vfs::{
        inode::{ExclusiveLock, Inode},
        jbd2::{Credits, Journal, Tid},
        super_block::SuperBlock,
    },
    Rext4,
};
use core::ops::Range;
use kernel::prelude::*;

/// Extents removed in one step at most.
const STEP: u32 = 16;
/// Blocks of metadata removed in one step at most: each is revoked.
pub(crate) const METADATA_STEP: u32 = 256;

/// The depth of the tree, how many extents are removed in one step, and what that can change.
fn step_credits(inode: &Inode<Rext4>, journal: &Journal) -> FsResult<(u16, u32, Credits)> {
    let root = inode.data().tree.read();
    let depth = extent::depth(&ReadTree::new(inode, &root))?;
    let layout = &inode.super_block().data().layout;
    // A step takes no more than a part of a small journal.
    let fits = |credits: &Credits| credits.blocks <= journal.max_credits() / 4;
    let mut step = STEP;
    let mut credits = credits::remove(depth, step, layout);
    while step > 1 && !fits(&credits) {
        step /= 2;
        credits = credits::remove(depth, step, layout);
    }
    let revokes = if super::holds_metadata(inode) {
        METADATA_STEP
    } else {
        0
    };
    Ok((
        depth,
        step,
        credits.plus(Credits::new(0).with_revokes(revokes)),
    ))
}

/// Removes and frees what is mapped in a range of logical blocks, from its end on.
///
/// The inode's lock is held exclusively, no direct I/O is outstanding in the range, and the range
/// is not in the page cache; or nobody else knows the inode. A crash leaves a part of it done: the
/// inode is on the list of orphans if that has to be finished then.
///
/// A range that takes the middle out of an extent can need new nodes of the tree, which come from
/// `reserve`: to free must work on a full disk. What reaches to the end of all needs none.
pub(crate) fn remove(
    inode: &Inode<Rext4>,
    range: Range<LogicalBlock>,
    reserve: Option<&mut ConversionReserve>,
) -> FsResult {
    if inode.data().kind() == DataKind::BlockMap {
        return block_map::remove(inode, range);
    }
    if super::holds_metadata(inode) {
        return remove_metadata(inode, range, reserve);
    }
    remove_extents(inode, range, reserve)
}

/// The same for what has extents, without regard to how many blocks they have.
fn remove_extents(
    inode: &Inode<Rext4>,
    mut range: Range<LogicalBlock>,
    reserve: Option<&mut ConversionReserve>,
) -> FsResult {
    remove_by(inode, reserve, None, |left| {
        range.end = left.unwrap_or(range.end);
        Some(range.clone())
    })
}

/// The same where the journal has to be told of each block, with no more of them at once than can be revoked.
fn remove_metadata(
    inode: &Inode<Rext4>,
    range: Range<LogicalBlock>,
    mut reserve: Option<&mut ConversionReserve>,
) -> FsResult {
    let mut below = range.end;
    while let Some(end) = mapped_end_below(inode, below)?.filter(|end| *end > range.start) {
        let start = LogicalBlock(end.0.saturating_sub(METADATA_STEP)).max(range.start);
        remove_extents(inode, start..end, reserve.as_deref_mut())?;
        below = start;
    }
    if range.end == LOGICAL_END {
        // Nodes with nothing in them.
        remove_extents(inode, range, reserve)?;
    }
    Ok(())
}

/// The same for a range that is asked for before each step, with the tree's lock held for writing, and
/// with where the one before has come to; `None` ends it. If the blocks were never used, it is said in
/// which transaction they were allocated.
pub(super) fn remove_by(
    inode: &Inode<Rext4>,
    mut reserve: Option<&mut ConversionReserve>,
    unused_since: Option<Tid>,
    mut range: impl FnMut(Option<LogicalBlock>) -> Option<Range<LogicalBlock>>,
) -> FsResult {
    let sb = inode.super_block();
    let journal = sb.data().writing(sb)?;
    let mut left = None;
    loop {
        let layout = &sb.data().layout;
        let groups = layout.group_count();
        let (depth, step, credits) = step_credits(inode, journal)?;
        let handle = journal.start(credits)?;
        let mut root = inode.data().tree.write();
        let rights = Rights::of(reserve.as_deref_mut());
        let mut tree = WriteTree::new(inode, &mut root, &handle, rights);
        if extent::depth(&tree)? > depth || layout.group_count() > groups {
            // It grew meanwhile, or the file system did: the credits may not do.
            continue;
        }
        let Some(range) = range(left) else {
            return Ok(());
        };
        // Of a transaction that is not atomic, the disk may have the tree with them already.
        let unused = unused_since.is_some() && unused_since == handle.tid();
        if unused && journal.is_atomic() {
            tree.frees_unused();
        }
        let progress = extent::remove(&mut tree, range, step as usize);
        // What was removed before an error is removed on disk too.
        tree.store_inode()?;
        drop(root);
        handle.stop()?;
        match progress? {
            Progress::Done => return Ok(()),
            Progress::More(end) => left = Some(end),
        }
    }
}

/// Whether the tree has neither extents nor nodes.
fn is_empty(inode: &Inode<Rext4>) -> FsResult<bool> {
    let root = inode.data().tree.read();
    let tree = ReadTree::new(inode, &root);
    let nothing = Mapping::Hole(Hole {
        first: LogicalBlock(0),
        end: LOGICAL_END,
    });
    Ok(extent::depth(&tree)? == 0 && extent::lookup(&tree, LogicalBlock(0))? == nothing)
}

/// Whether a block map has nothing in it, and nothing is going to come.
fn is_map_empty(inode: &Inode<Rext4>) -> bool {
    let blocks = inode.data().tree.read();
    crate::disk::block_map::is_empty(&blocks.root) && blocks.pending.runs() == 0
}

/// The end of the last extent; `None` if there is none.
pub(crate) fn mapped_end(inode: &Inode<Rext4>) -> FsResult<Option<LogicalBlock>> {
    mapped_end_below(inode, LOGICAL_END)
}

/// The end of the last extent, or of what is below `end` of one that reaches beyond that; `None` if there is none.
fn mapped_end_below(inode: &Inode<Rext4>, limit: LogicalBlock) -> FsResult<Option<LogicalBlock>> {
    let root = inode.data().tree.read();
    let tree = ReadTree::new(inode, &root);
    let mut end = limit;
    while let Some(last) = end.checked_sub(1) {
        match extent::lookup(&tree, last)? {
            Mapping::Extent(extent) => return Ok(Some(extent.end().min(limit))),
            // As far as the hole is known: a leaf at a time.
            Mapping::Hole(hole) => end = hole.first,
        }
    }
    Ok(None)
}

/// Removes and frees everything past the end of the file.
pub(crate) fn beyond_end(inode: &Inode<Rext4>) -> FsResult {
    if !inode.data().kind().has_blocks() {
        return super::check_supported(inode);
    }
    let size = inode.super_block().data().layout.block_size();
    let blocks = size.blocks_for(u64::try_from(inode.data().disk_size()).unwrap_or(0));
    let first = LogicalBlock(u32::try_from(blocks).unwrap_or(u32::MAX));
    remove(inode, first..LOGICAL_END, None)
}

/// [`beyond_end`] for a file that was cut. Whether it fails is noted, for [`finish_cut`].
pub(super) fn cut(inode: &Inode<Rext4>) -> FsResult {
    beyond_end(inode).inspect_err(|_| note_uncut(inode))?;
    inode.data().set_uncut(false);
    Ok(())
}

/// Notes that behind the end of a file there is what was to be cut off, for [`finish_cut`].
pub(super) fn note_uncut(inode: &Inode<Rext4>) {
    inode.data().set_uncut(true);
    inode.super_block().data().orphans.note_uncut();
}

/// Does again what [`cut`] has failed to do, before a file gets longer: behind its end there may be data that it had
/// before.
///
/// Waits for direct I/O: a read may be on its way to what goes, and be told of the end of the file only then.
pub(crate) fn finish_cut(inode: &Inode<Rext4>, lock: &ExclusiveLock<'_, Rext4>) -> FsResult {
    if !inode.data().is_uncut() {
        return Ok(());
    }
    let alone = Alone::new(inode, lock);
    if inode.data().disk_size() > inode.size() || !inode.data().is_orphan() {
        // Not even the size could be stored.
        size::store_size(inode, inode.size(), Some(orphan::Room::new()?))?;
    }
    // Readahead may be on its way, too.
    let page_cache = inode.lock_page_cache();
    size::clear_cut_end(inode, lock)?;
    cut(inode)?;
    drop(page_cache);
    drop(alone);
    release_orphan(inode)
}

/// Fills the last block of a file behind its end with zeros, on disk and at once.
///
/// Only for a file that nobody uses: it goes past the page cache.
fn clear_tail(inode: &Inode<Rext4>) -> FsResult {
    let sb = inode.super_block();
    let size = sb.data().layout.block_size();
    let bytes = u64::try_from(inode.data().disk_size()).unwrap_or(0);
    let within = size.within_block(bytes) as usize;
    let Some(block) = size.logical_of_byte(bytes).filter(|_| within != 0) else {
        return Ok(());
    };
    if let map::Found::Written { start, .. } = map::find(inode, block)? {
        map::check_foreign(inode, start, 1)?;
        let buffer = crate::vfs::buffer::Buffer::read(sb.device(), start.0, size.bytes())?;
        buffer.write_through(|block| block.get_mut(within..).unwrap_or_default().fill(0))?;
    }
    Ok(())
}

/// What was done with the orphans of a file system.
#[derive(Default)]
pub(crate) struct Finished {
    /// Inodes that had no links and were freed.
    pub(crate) deleted: usize,
    /// Files that were cut at their end.
    pub(crate) truncated: usize,
}

/// Finishes what a crash has left of an inode that was on the list of orphans.
pub(crate) fn finish_orphan(
    sb: &SuperBlock<Rext4>,
    orphan: InodeNumber,
    finished: &mut Finished,
) -> FsResult {
    // Before it is loaded: without links, it would be freed for whatever reason it is let go of.
    sb.data().groups()?.check_in_use(sb.device(), orphan)?;
    let inode = super::load::get_orphan(sb, orphan)?;
    orphan::note_loaded(&inode);
    if inode.links() == 0 {
        // Evicting it frees it.
        finished.deleted += 1;
        return Ok(());
    }
    finished.truncated += 1;
    inode.initialize_quotas()?;
    // After a remount somebody may have read the file before, or be reading it.
    let lock = inode.lock();
    let alone = Alone::new(&inode, &lock);
    let page_cache = inode.lock_page_cache();
    cut(&inode)?;
    clear_tail(&inode)?;
    inode.truncate_page_cache(&lock, inode.size());
    drop(page_cache);
    drop(alone);
    drop(lock);
    release_orphan(&inode)
}

/// Takes an inode off the list of orphans, if it is on it: what was begun is finished.
///
/// One without links stays there until it is deleted. Nobody gives or takes its last link
/// meanwhile: the inode's lock is held, or nobody else knows it.
pub(crate) fn release_orphan(inode: &Inode<Rext4>) -> FsResult {
    if !inode.data().is_orphan() || inode.links() == 0 {
        return Ok(());
    }
    release_orphan_if(inode, || true)
}

/// The same where the inode's lock is not held, if `finished` says that what was begun is finished.
/// Whoever begins something says so before he puts the inode on the list.
pub(crate) fn release_orphan_if(inode: &Inode<Rext4>, finished: impl Fn() -> bool) -> FsResult {
    if !inode.data().is_orphan() || !finished() {
        return Ok(());
    }
    let sb = inode.super_block();
    let journal = sb.data().writing(sb)?;
    let handle = journal.start(Credits::new(credits::ORPHAN + credits::INODE))?;
    orphan::remove_if(inode, &handle, || finished() && inode.links() != 0)?;
    // While it is on the list, recovery cuts what was allocated for good behind the end.
    inode.data().sync_point.note(&handle, Change::Data);
    Ok(handle.stop()?)
}

/// Frees an inode that has no links, with all its blocks. Nobody else knows it any more.
pub(crate) fn delete(inode: &Inode<Rext4>) -> FsResult {
    let sb = inode.super_block();
    let fs = sb.data();
    super::check_supported(inode)?;
    if let Err(e) = inode.initialize_quotas() {
        // It is freed all the same, but not counted: the quota files are for e2fsck to mend.
        fs.writing(sb)?;
        Filesystem::errno_of_metadata(inode, "count what is deleted", e.into());
    }
    // Files that are made and removed most often have none: no transaction for nothing.
    if inode.data().kind() == DataKind::Extents && !is_empty(inode)? {
        remove(inode, LogicalBlock(0)..LOGICAL_END, None)?;
    }
    if inode.data().kind() == DataKind::BlockMap && !is_map_empty(inode) {
        block_map::remove(inode, LogicalBlock(0)..LOGICAL_END)?;
    }
    crate::xattr::release_block(inode)?;
    // It leaves the list of orphans, and then nothing must be missing to free it.
    let _held = (
        store::hold(inode)?,
        fs.groups()?.hold_inode_bitmap(sb.device(), number(inode))?,
    );
    let journal = fs.writing(sb)?;
    let handle = journal.start(Credits::new(
        credits::ORPHAN + credits::INODE + credits::FREE_INODE,
    ))?;
    orphan::remove(inode, &handle)?;
    let now = crate::vfs::stat::Timestamp::now().seconds;
    store::edit(inode, &handle, |raw| {
        raw.set_size(0);
        raw.set_deletion_time(u32::try_from(now).unwrap_or(u32::MAX));
    })?;
    fs.groups()?
        .free_inode(&handle, number(inode), inode.is_directory())?;
    inode.uncount_inode();
    Ok(handle.stop()?)
}

/// The end of an inode in memory.
pub(crate) fn evict(inode: &Inode<Rext4>) {
    let sb = inode.super_block();
    delayed::give_all_back(inode);
    let dropped = block_map::drop_pending(inode);
    window::end(inode);
    let writes = !sb.is_read_only() && !sb.data().is_stopped() && !sb.data().is_down();
    if inode.links() != 0 || !writes {
        return;
    }
    if let Err(e) = dropped.and_then(|()| delete(inode)) {
        let e = Filesystem::errno(inode, "delete an inode without links", e);
        pr_warn!(
            "({}): warning: inode {} stays an orphan: error {}\n",
            sb.id(),
            inode.ino(),
            e.to_errno()
        );
    }
}
