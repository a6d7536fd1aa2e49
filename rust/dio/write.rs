// SPDX-License-Identifier: GPL-2.0

//! Direct writes: which lock they take, and what surrounds the I/O.
//!
//! | the write | lock |
//! |---|---|
//! | covers whole blocks below the end of the file, holes or not | shared |
//! | covers blocks in part, and these are written already | shared |
//! | covers blocks in part, and one of these is new or unwritten | exclusive, alone |
//! | goes beyond the end of the file | exclusive |
//! | has to take privileges away | exclusive |
//!
//! "Alone" is with no other direct I/O outstanding on the file: the rest of a new block is filled
//! with zeros, and two requests in one block would do that to each other's data.

use super::alignment::ByteRange;
use crate::{
    error::{FsError, FsResult},
    inode::{
        map::{self, Found},
        size, Alone,
    },
    mount::{counters::Count, Filesystem},
    vfs::{
        direct_io::{self, HeldLock},
        file::{IovIter, Kiocb},
        inode::Inode,
    },
    Rext4,
};
use kernel::{error::code, prelude::*};

/// What a write needs besides the lock that it has.
enum Needs {
    /// Nothing: it can go on.
    Nothing,
    /// The lock for itself.
    Exclusive,
    /// The lock for itself, and no other direct I/O on the file.
    Alone,
}

/// Writes directly; returns the number of bytes or `EIOCBQUEUED`.
pub(crate) fn write(request: &mut Kiocb<'_, Rext4>, memory: &mut IovIter<'_>) -> Result<usize> {
    let inode = request.inode();
    let lock = if request.is_append() || !inode.has_no_privileges() {
        HeldLock::Exclusive(inode.lock())
    } else {
        HeldLock::Shared(inode.lock_shared())
    };
    let (lock, bytes) = match prepare(request, memory, lock)? {
        Some(ready) => ready,
        None => return Ok(0),
    };
    let alone = match (&lock, needs(request, bytes)?) {
        (HeldLock::Exclusive(exclusive), Needs::Alone) => {
            let fs = inode.super_block().data();
            fs.counters.add(Count::UnalignedExclusive, 1);
            Some((Alone::new(inode, exclusive), exclusive))
        }
        _ => None,
    };
    request.modified()?;
    if let (HeldLock::Exclusive(exclusive), true) = (&lock, request.position() > inode.size()) {
        // On disk there are zeros, but a mapping may have left something else in the page cache.
        size::clear_to_block_end(inode, exclusive, request.position())
            .map_err(|e| Filesystem::errno(inode, "direct write", e))?;
    }
    request.invalidate_cache(bytes)?;
    let result = direct_io::write(request, memory, &lock);
    if let Some((alone, exclusive)) = alone {
        // Nobody may meet this write in its blocks before they are converted.
        inode.wait_for_direct_io(exclusive);
        drop(alone);
    }
    drop(lock);
    match result? {
        // Only a full disk ends a write before its first block.
        0 => Err(code::ENOSPC),
        written => {
            request.advance(written);
            request.sync(written)
        }
    }
}

/// Checks the write against limits, under a lock that is as strong as it needs. `None` if there is
/// nothing to be written.
fn prepare<'a>(
    request: &mut Kiocb<'a, Rext4>,
    memory: &mut IovIter<'_>,
    lock: HeldLock<'a, Rext4>,
) -> Result<Option<(HeldLock<'a, Rext4>, usize)>> {
    let inode = request.inode();
    let bytes = request.write_checks(memory)?;
    if bytes == 0 {
        return Ok(None);
    }
    if let HeldLock::Exclusive(_) = lock {
        return Ok(Some((lock, bytes)));
    }
    match needs(request, bytes)? {
        Needs::Nothing => return Ok(Some((lock, bytes))),
        Needs::Exclusive | Needs::Alone => drop(lock),
    }
    // What was found may have changed when the stronger lock is there, which does for anything.
    let lock = HeldLock::Exclusive(inode.lock());
    let bytes = request.write_checks(memory)?;
    Ok((bytes != 0).then_some((lock, bytes)))
}

/// What a write of `bytes` bytes at the request's position needs, as things are under the lock.
fn needs(request: &Kiocb<'_, Rext4>, bytes: usize) -> Result<Needs> {
    let inode = request.inode();
    find_needs(inode, request.position(), bytes)
        .map_err(|e| Filesystem::errno(inode, "direct write", e))
}

fn find_needs(inode: &Inode<Rext4>, position: i64, bytes: usize) -> FsResult<Needs> {
    let size = inode.super_block().data().layout.block_size();
    let range = ByteRange::new(position, bytes, size).ok_or(FsError::Kernel(code::EFBIG))?;
    for block in range.partial_blocks().into_iter().flatten() {
        if !matches!(map::find(inode, block)?, Found::Written { .. }) {
            return Ok(Needs::Alone);
        }
    }
    let end_of_file = u64::try_from(inode.size()).unwrap_or(0);
    Ok(if range.end() > end_of_file {
        Needs::Exclusive
    } else {
        Needs::Nothing
    })
}
