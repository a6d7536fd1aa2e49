// SPDX-License-Identifier: GPL-2.0

//! `fallocate` that moves what lies behind a range: collapsing it, or inserting one.
//!
//! Nothing is copied, the extents get other logical blocks. That is done in one transaction, the
//! new size included, as long as the extent tree fits one, and the journal is large enough for
//! some hundred leaves with the default size. A crash in the middle of a larger tree leaves a part
//! of it moved: all data is there, with the hole somewhere else, as with C ext4.

use super::{reserve, Alone};
use crate::{
    disk::{
        extent::LOGICAL_END,
        units::{BlockSize, LogicalBlock},
    },
    error::{FsError, FsResult},
    extent::{self, Progress},
    file::max_bytes,
    group::Rights,
    inode::{
        delayed, size,
        tree::{ReadTree, WriteTree},
        truncate,
    },
    journal::credits,
    vfs::{
        file::{FallocateMode, OpenFile},
        inode::{ExclusiveLock, Inode},
        jbd2::Credits,
    },
    Rext4,
};
use core::ops::Range;
use kernel::{error::code, page::PAGE_SIZE};

/// Collapses or inserts the `len` bytes from byte `offset` on.
///
/// # Errors
///
/// `EINVAL` if they are not whole blocks inside the file; `EFBIG`; what a change of the tree and of
/// the journal can meet.
pub(super) fn shift(
    file: &OpenFile<'_, Rext4>,
    lock: &ExclusiveLock<'_, Rext4>,
    mode: FallocateMode,
    offset: i64,
    len: i64,
) -> FsResult {
    let inode = file.inode();
    let invalid = FsError::Kernel(code::EINVAL);
    let old = inode.size();
    let blocks = whole_blocks(inode.super_block().data().layout.block_size(), offset, len);
    let blocks = blocks.ok_or(invalid)?;
    let by = blocks.end.0 - blocks.start.0;
    let new = if mode == FallocateMode::CollapseRange {
        if offset.saturating_add(len) >= old {
            return Err(invalid);
        }
        old - len
    } else {
        if offset >= old {
            return Err(invalid);
        }
        let new = old.checked_add(len).filter(|&new| new <= max_bytes(inode));
        let new = new.ok_or(FsError::Kernel(code::EFBIG))?;
        inode.check_new_size(lock, new)?;
        size::before_growing(inode, lock, new)?;
        new
    };
    file.modified()?;

    let _alone = Alone::new(inode, lock);
    // Who has to wait for that must not keep writeback from the page cache.
    let mut spare = reserve(inode)?;
    let page_cache = inode.lock_page_cache();
    drop_cache(inode, lock, offset)?;
    // All of it has blocks now, but for what a write that ended early had set aside.
    delayed::give_back(inode, blocks.start..LOGICAL_END);
    if mode == FallocateMode::CollapseRange {
        truncate::remove(inode, blocks.clone(), spare.as_mut())?;
        let mut from = blocks.end;
        while let Progress::More(next) = step(inode, |tree, limit| {
            let progress = extent::shift_down(tree, from, by, limit)?;
            // Not before all that is there has moved below the new end. The size on disk comes after it: `fsync`
            // brings it up to the file's.
            if progress == Progress::Done {
                inode.set_size(lock, new);
                inode.data().set_disk_size(new);
            }
            Ok(progress)
        })? {
            from = next;
        }
    } else {
        // Preallocated blocks may lie far behind the end of the file.
        let mapped = truncate::mapped_end(inode)?.map_or(0, |end| end.0);
        if u64::from(mapped.max(blocks.start.0)) + u64::from(by) > u64::from(LOGICAL_END.0) {
            return Err(FsError::Kernel(code::EFBIG));
        }
        split(inode, blocks.start, Rights::of(spare.as_mut()))?;
        let mut end = LOGICAL_END;
        while let Progress::More(next) = step(inode, |tree, limit| {
            // Whatever comes of it, nothing that moves is behind the end.
            inode.data().set_disk_size(new);
            inode.set_size(lock, new);
            extent::shift_up(tree, blocks.start, end, by, limit)
        })? {
            end = next;
        }
    }
    drop(page_cache);
    Ok(())
}

/// The blocks of a range of bytes, if it has whole blocks only.
fn whole_blocks(size: BlockSize, offset: i64, len: i64) -> Option<Range<LogicalBlock>> {
    let whole = |bytes: i64| {
        let bytes = u64::try_from(bytes).ok()?;
        size.logical_of_byte(bytes)
            .filter(|_| size.within_block(bytes) == 0)
    };
    Some(whole(offset)?..whole(offset.checked_add(len)?)?)
}

/// Drops what is cached of a file from byte `from` to its end: its place will be another one. That
/// is done for whole pages, as a page can have blocks on both sides.
///
/// What is cached before that is written out as well. When that is done, nothing is left under way
/// that changes the tree: no page becomes dirty while the locks are held.
fn drop_cache(inode: &Inode<Rext4>, lock: &ExclusiveLock<'_, Rext4>, from: i64) -> FsResult {
    let page = PAGE_SIZE as i64;
    let first = from - from % page;
    let last = (inode.size() | (page - 1)).max(first);
    inode.write_back(0, last)?;
    inode.drop_page_cache(lock, first, last);
    Ok(())
}

/// Makes an extent that lies across `at` two.
fn split(inode: &Inode<Rext4>, at: LogicalBlock, rights: Rights<'_>) -> FsResult {
    let sb = inode.super_block();
    let journal = sb.data().writing(sb)?;
    let depth = extent::depth(&ReadTree::new(inode, &inode.data().tree.read()))?;
    let handle = journal.start(credits::insert(depth))?;
    let mut root = inode.data().tree.write();
    // The inode's lock and that of the page cache keep everyone away who would make it deeper, and
    // writeback is done: see `drop_cache`.
    let mut tree = WriteTree::new(inode, &mut root, &handle, rights);
    let result = extent::split(&mut tree, at);
    tree.store_inode()?;
    drop(root);
    handle.stop()?;
    result
}

/// One transaction of a shift, by `change`, which gets the most leaves that it may change, and says
/// how far it came. The inode is stored with the size on disk that it has then.
fn step(
    inode: &Inode<Rext4>,
    mut change: impl FnMut(&mut WriteTree<'_, '_>, usize) -> FsResult<Progress>,
) -> FsResult<Progress> {
    let sb = inode.super_block();
    let journal = sb.data().writing(sb)?;
    let depth = extent::depth(&ReadTree::new(inode, &inode.data().tree.read()))?;
    let (limit, credits) = step_credits(depth, journal.max_credits() / 4);
    let handle = journal.start(credits)?;
    let mut root = inode.data().tree.write();
    let mut tree = WriteTree::new(inode, &mut root, &handle, Rights::Normal);
    let result = change(&mut tree, limit);
    // What was moved before an error is moved on disk too.
    tree.store_inode()?;
    drop(root);
    handle.stop()?;
    result
}

/// The most leaves of a tree of this depth that can be changed with `most` blocks, at least one,
/// and the credits for that.
fn step_credits(depth: u16, most: u32) -> (usize, Credits) {
    const LEAVES: u32 = 1024;
    let mut limit = LEAVES;
    let mut credits = credits::shift(depth, limit);
    while limit > 1 && credits.blocks > most {
        limit /= 2;
        credits = credits::shift(depth, limit);
    }
    (limit as usize, credits)
}
