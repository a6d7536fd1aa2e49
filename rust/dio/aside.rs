// SPDX-License-Identifier: GPL-2.0

//! Writes that are there as a whole or not at all where the device can't do that: the data is written beside what the
//! file has, and takes its place in one transaction. See [`inode::aside`](crate::inode::aside).
//!
//! The blocks that the file had are somebody else's soon, so nobody may still be reading or writing them: the inode's
//! lock is held exclusively, and direct I/O waited for and kept away.

use super::{alignment::ByteRange, atomic, nowait};
use crate::{
    error::{FsError, FsResult},
    inode::{aside::Aside, size, Alone},
    mount::Filesystem,
    vfs::{
        direct_io,
        file::{IovIter, Kiocb},
        inode::ExclusiveLock,
        page_cache::PageCacheLock,
    },
    Rext4,
};
use kernel::{error::code, prelude::*};

/// Writes `asked` bytes, all that the memory has, and waits for the end; returns their number.
///
/// # Errors
///
/// `EAGAIN` for one that must not wait, or if a page of the range can't be dropped; what [`atomic::check_place`] says;
/// `EFAULT`; `ENOSPC`, also where there is no room for what is there and for the new data at the same time; else those of
/// the device and of the file system. Nothing is written then.
pub(super) fn write(
    request: &mut Kiocb<'_, Rext4>,
    memory: &mut IovIter<'_>,
    asked: usize,
) -> Result<usize> {
    if request.is_nowait() {
        return Err(code::EAGAIN);
    }
    let inode = request.inode();
    let lock = nowait::lock(request)?;
    inode.data().appends.wait(&lock)?;
    // What was found before may have changed.
    let bytes = request.write_checks(memory)?;
    atomic::check_place(request, asked, bytes)?;
    memory.fault_in(bytes)?;
    request.modified()?;
    let end = request.end_of(bytes);
    let grows = end > inode.size();
    if grows {
        let prepare = || -> FsResult {
            size::before_growing(inode, &lock, end)?;
            size::write_new_data(inode, inode.size());
            // A gap reads as zeros, whatever a mapping has left behind the end.
            size::clear_to_block_end(inode, &lock, request.position())
        };
        prepare().map_err(|e| Filesystem::errno(inode, "direct write", e))?;
    } else {
        super::write::size_to_disk(request, bytes)?;
    }
    let alone = Alone::new(inode, &lock);
    let replaced = replace(request, memory, bytes, &lock, &alone);
    let page_cache = replaced.map_err(|e| Filesystem::errno(inode, "direct write", e))?;
    if grows {
        // No page of the old end is there, which would have zeros behind it.
        inode.grow(&lock, request.position(), end);
    }
    drop(page_cache);
    drop(alone);
    drop(lock);
    request.advance(bytes);
    request.sync(bytes)
}

/// Writes to other blocks, and has them take the place.
fn replace<'a>(
    request: &Kiocb<'a, Rext4>,
    memory: &mut IovIter<'_>,
    bytes: usize,
    lock: &ExclusiveLock<'_, Rext4>,
    alone: &Alone<'_>,
) -> FsResult<PageCacheLock<'a, Rext4>> {
    let inode = request.inode();
    let sb = inode.super_block();
    let size = sb.data().layout.block_size();
    let range = ByteRange::new(request.position(), bytes, size);
    let range = range.ok_or(FsError::Kernel(code::EFBIG))?;
    let aside = Aside::choose(inode, sb.data().writing(sb)?, range.blocks())?;
    let placing = |block: u64, _most: u32| {
        let (start, len) = aside.place_of(super::get_block::logical(block).ok()?)?;
        Some((start.0, len))
    };
    let written = direct_io::transfer_to(request, memory, lock, &placing)?;
    if written != bytes {
        // The memory is not there any more.
        return Err(FsError::Kernel(code::EFAULT));
    }
    aside.put(lock, alone, request.end_of(bytes))
}
