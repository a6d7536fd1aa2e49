// SPDX-License-Identifier: GPL-2.0

//! `fallocate`: preallocating, punching holes, zeroing.
//!
//! All of it is done block by block of the tree, in steps that each are a transaction. A crash in
//! between leaves a part of it done, which is what the call allows.

mod shift;
mod write_zeroes;

use crate::{
    dio::alignment::ByteRange,
    disk::units::LogicalBlock,
    error::{FsError, FsResult},
    file::max_bytes,
    group::ConversionReserve,
    inode::{
        allocate, check_supported, convert, delayed,
        map::{self, Found},
        size, truncate, Alone, DataKind,
    },
    vfs::{
        file::{FallocateMode, OpenFile},
        inode::{ExclusiveLock, Inode},
        iomap,
    },
    Rext4,
};
use core::ops::Range;
use kernel::error::code;

/// Carries out a `fallocate` call.
pub(crate) fn fallocate(
    file: &OpenFile<'_, Rext4>,
    mode: FallocateMode,
    keep_size: bool,
    offset: i64,
    len: i64,
) -> FsResult {
    let inode = file.inode();
    check_supported(inode)?;
    let sb = inode.super_block();
    let fs = sb.data();
    fs.writing(sb)?;
    if !inode.data().kind().has_blocks() {
        return Err(FsError::unsupported());
    }
    let bytes = usize::try_from(len).map_err(|_| FsError::Kernel(code::EINVAL))?;
    let range = ByteRange::new(offset, bytes, fs.layout.block_size())
        .ok_or(FsError::Kernel(code::EFBIG))?;
    let end = offset.saturating_add(len);
    if mode != FallocateMode::PunchHole && end > max_bytes(inode) {
        return Err(FsError::Kernel(code::EFBIG));
    }
    let lock = inode.lock();
    if mode == FallocateMode::WriteZeroes {
        write_zeroes::check_supported(inode)?;
    }
    if inode.is_immutable() {
        // The VFS has asked without the lock; it may be a quota file by now.
        return Err(FsError::Kernel(code::EPERM));
    }
    if inode.data().kind() == DataKind::BlockMap && mode != FallocateMode::PunchHole {
        // A block map can't tell that blocks are not written yet. The times change, as with C ext4.
        file.modified()?;
        return Err(FsError::unsupported());
    }
    inode.data().appends.wait(&lock)?;
    // Before anything is allocated behind the end, which would be cut off too.
    truncate::finish_cut(inode, &lock)?;
    if matches!(
        mode,
        FallocateMode::CollapseRange | FallocateMode::InsertRange
    ) {
        return shift::shift(file, &lock, mode, offset, len);
    }
    let grows = !keep_size && end > inode.size();
    if grows {
        inode.check_new_size(&lock, end)?;
        // Before anything is allocated: who is killed meanwhile can't do it any more.
        size::before_growing(inode, &lock, end)?;
        size::clear_to_block_end(inode, &lock, end)?;
    }
    if grows || mode == FallocateMode::WriteZeroes {
        size::write_new_data(inode, inode.size());
    }
    file.modified()?;
    let most = if keep_size { 0 } else { end };
    match mode {
        FallocateMode::Allocate => fill_for(inode, &lock, range.blocks(), most)?,
        _ => {
            if mode != FallocateMode::PunchHole {
                // Now: with a reserve nobody may wait for room. No hole comes back, and what is
                // cached there is dropped below.
                fill_for(inode, &lock, range.blocks(), most)?;
            }
            let _alone = Alone::new(inode, &lock);
            // Who has to wait for that must not keep writeback from the page cache.
            let mut reserve = reserve(inode)?;
            let page_cache = inode.lock_page_cache();
            // What is cached is not to be written back over what comes now.
            inode.write_back(offset, end - 1)?;
            clear_edges(inode, &lock, range, offset, end)?;
            inode.drop_page_cache(&lock, offset, end - 1);
            delayed::give_back(inode, range.whole_blocks());
            if mode == FallocateMode::PunchHole {
                truncate::remove(inode, range.whole_blocks(), reserve.as_mut())?;
            } else {
                zero(inode, range.whole_blocks(), reserve.as_mut())?;
            }
            if mode == FallocateMode::WriteZeroes {
                // Blocks that are written must not lie behind the end of the file.
                if end > inode.size() {
                    grow(inode, &lock, end)?;
                }
                write_zeroes::write_zeroes(inode, range.whole_blocks(), end, reserve)?;
            }
            drop(page_cache);
        }
    }
    if !keep_size && end > inode.size() {
        grow(inode, &lock, end)?;
    }
    Ok(())
}

/// What a change that splits an extent can need. It works on a full disk then, as conversions do.
/// `None` if not even that is left: many such changes need nothing.
///
/// The inode's lock is held exclusively and no direct I/O on it is outstanding: who has such a
/// reserve already and is waited for, is at work on another file.
fn reserve(inode: &Inode<Rext4>) -> FsResult<Option<ConversionReserve>> {
    let sb = inode.super_block();
    let journal = sb.data().writing(sb)?;
    match sb
        .data()
        .groups()?
        .reserve_conversion(journal, convert::new_nodes(inode))
    {
        Err(e) if e.is(code::ENOSPC) => Ok(None),
        reserve => reserve.map(Some),
    }
}

/// Gives unwritten blocks to all holes in a range. If that fails the file reaches as far as there are
/// blocks now, and to byte `most` at most, so that nobody loses sight of what was allocated.
fn fill_for(
    inode: &Inode<Rext4>,
    lock: &ExclusiveLock<'_, Rext4>,
    range: Range<LogicalBlock>,
    most: i64,
) -> FsResult {
    let mut at = range.start;
    let filled = fill(inode, &mut at, range.end);
    if filled.is_err() && at > range.start {
        let size = inode.super_block().data().layout.block_size();
        let reached = (size.byte_of_logical(at) as i64).min(most);
        if reached > inode.size() {
            // What went wrong first is what the caller hears of.
            let _ = grow(inode, lock, reached);
        }
    }
    filled
}

/// Gives unwritten blocks to all holes from `at` to `end`; moves `at` behind what has blocks.
fn fill(inode: &Inode<Rext4>, at: &mut LogicalBlock, end: LogicalBlock) -> FsResult {
    let sb = inode.super_block();
    let journal = sb.data().writing(sb)?;
    while *at < end {
        let left = end.0 - at.0;
        let len = match map::find(inode, *at)? {
            Found::Hole { len } => {
                let fill = || allocate::fill_hole(inode, journal, *at, len.min(left), |_| Ok(()));
                let filled = match fill() {
                    // Data in the page cache may have more set aside than it needs.
                    Err(e) if e.is(code::ENOSPC) && sb.data().make_room(sb) => fill(),
                    filled => filled,
                };
                match filled? {
                    Found::Unwritten { len, .. } | Found::Written { len, .. } => len,
                    // `fill_hole` gives none.
                    Found::Hole { .. } => return Err(FsError::Kernel(code::EIO)),
                }
            }
            Found::Written { len, .. } | Found::Unwritten { len, .. } => len,
        };
        *at = LogicalBlock(at.0.saturating_add(len.min(left)));
    }
    Ok(())
}

/// Makes all written blocks in a range unwritten: they read as zeros.
fn zero(
    inode: &Inode<Rext4>,
    range: Range<LogicalBlock>,
    mut reserve: Option<&mut ConversionReserve>,
) -> FsResult {
    let mut at = range.start;
    while at < range.end {
        let left = range.end.0 - at.0;
        let len = match map::find(inode, at)? {
            Found::Written { len, .. } => {
                let len = len.min(left);
                let part = at..LogicalBlock(at.0.saturating_add(len));
                convert::unwrite(inode, part, reserve.as_deref_mut())?;
                len
            }
            Found::Hole { len } | Found::Unwritten { len, .. } => len.min(left),
        };
        at = LogicalBlock(at.0.saturating_add(len));
    }
    Ok(())
}

/// Fills what a range has of blocks that are not wholly in it with zeros, in the page cache, and
/// writes it out.
fn clear_edges(
    inode: &Inode<Rext4>,
    lock: &ExclusiveLock<'_, Rext4>,
    range: ByteRange,
    offset: i64,
    end: i64,
) -> FsResult {
    let size = inode.super_block().data().layout.block_size();
    let end = end.min(inode.size());
    for block in range.partial_blocks().into_iter().flatten() {
        let start = size.byte_of_logical(block) as i64;
        let from = start.max(offset);
        let to = (start + i64::from(size.bytes())).min(end);
        if from < to {
            iomap::zero_range(inode, lock, from, to - from)?;
            inode.write_back(from, to - 1)?;
        }
    }
    Ok(())
}

/// Sets a larger size, over blocks that read as zeros. Since the lock was taken the rest of the old last block was
/// filled with zeros.
fn grow(inode: &Inode<Rext4>, lock: &ExclusiveLock<'_, Rext4>, end: i64) -> FsResult {
    if inode.data().has_stores() {
        size::clear_to_block_end(inode, lock, end)?;
    }
    let sb = inode.super_block();
    sb.data().writing(sb)?;
    // Waits for writeback, whose completion needs a handle: so it comes before ours.
    inode.truncate_page_cache(lock, end);
    size::store_size(inode, end, None)
}
