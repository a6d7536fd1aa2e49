// SPDX-License-Identifier: GPL-2.0

//! Direct writes: which lock they take, and what surrounds the I/O.
//!
//! | the write | lock |
//! |---|---|
//! | is below the end of the file, holes or not, whole blocks or not | shared |
//! | goes beyond the end of the file | exclusive |
//! | has to take privileges away | exclusive |
//!
//! One that goes beyond the end holds the lock until it is complete, unless it is asynchronous, of whole
//! blocks, and begins where the file or the one before it ends: see [`direct_io::append`]. If it begins in a page
//! that others may store to through a mapping, it goes through the page cache.
//!
//! Besides, it claims the blocks that are not written yet: who covers a part of such a block is alone
//! in it. See [`super::claim`].

use super::{
    alignment::ByteRange,
    aside,
    atomic::{self, Way},
    claim::Waiting,
    claims::{self, Claim},
    nowait,
};
use crate::{
    error::{edquot, FsError, FsResult},
    file::buffered,
    inode::{convert, journaled::journals_data, size, truncate},
    mount::Filesystem,
    quota,
    vfs::{
        direct_io::{self, HeldLock, WholeBy},
        file::{IovIter, Kiocb},
        inode::{ExclusiveLock, Inode},
        task,
    },
    Rext4,
};
use kernel::{error::code, page::PAGE_SIZE, prelude::*};

/// Writes directly; returns the number of bytes or `EIOCBQUEUED`.
pub(crate) fn write(request: &mut Kiocb<'_, Rext4>, memory: &mut IovIter<'_>) -> Result<usize> {
    let asked = memory.len();
    let Some((lock, bytes)) = prepare(request, memory)? else {
        return Ok(0);
    };
    if journals_data(request.inode()) {
        drop(lock);
        return match request.is_atomic() {
            true => Err(code::EINVAL),
            false => some_of_it(request.inode(), bytes, buffered::write(request, memory)),
        };
    }
    if request.is_atomic() {
        return write_whole(request, memory, lock, asked, bytes);
    }
    if !direct_io::is_accepted(request, memory) {
        // Before any of it is done.
        return Err(code::EINVAL);
    }
    let claim = claim(request, bytes, false)
        .map_err(|e| Filesystem::errno(request.inode(), "direct write", e))?;
    if is_overwrite(request, bytes, &claim) {
        overwrite(request, memory, lock)
    } else {
        write_new(request, memory, lock, bytes, claim, None)
    }
}

/// A write that is to be there as a whole or not at all.
#[inline(never)] // As below.
fn write_whole(
    request: &mut Kiocb<'_, Rext4>,
    memory: &mut IovIter<'_>,
    lock: HeldLock<'_, Rext4>,
    asked: usize,
    bytes: usize,
) -> Result<usize> {
    atomic::check_place(request, asked, bytes)?;
    // iomap warns if it finds out when it has a part of it.
    memory.fault_in(bytes)?;
    if !direct_io::is_accepted(request, memory) {
        return Err(code::EINVAL);
    }
    // Data in the page cache becomes written when that is dropped: not behind the back of who has looked for a way.
    match request.invalidate_cache(bytes) {
        Err(e) if e == code::EBUSY => return Err(code::EAGAIN),
        result => result?,
    }
    let find_way = || -> FsResult<(Way, Option<Claim>)> {
        let way = atomic::way(request, bytes)?;
        if way == Way::Aside {
            return Ok((way, None));
        }
        let is_new = way == Way::InPlace(WholeBy::Conversion);
        let claim = claim(request, bytes, is_new)?;
        // Others may have been there when it has waited for them. What was written stays so.
        if is_new && atomic::way(request, bytes)? != way {
            return Ok((Way::Aside, None));
        }
        Ok((way, claim))
    };
    let found = find_way().map_err(|e| Filesystem::errno(request.inode(), "direct write", e))?;
    match found {
        (Way::InPlace(_), claim) if is_overwrite(request, bytes, &claim) => {
            overwrite(request, memory, lock)
        }
        (Way::InPlace(by), claim) => write_new(request, memory, lock, bytes, claim, Some(by)),
        (Way::Aside, _) => {
            drop(lock);
            aside::write(request, memory, asked)
        }
    }
}

/// Whether nothing is changed but data, so that it can go the simple way.
fn is_overwrite(request: &Kiocb<'_, Rext4>, bytes: usize, claim: &Option<Claim>) -> bool {
    claim.is_none() && !grows(request, bytes) && !clears_behind(request, bytes)
}

/// A write over blocks that are all written.
fn overwrite(
    request: &mut Kiocb<'_, Rext4>,
    memory: &mut IovIter<'_>,
    lock: HeldLock<'_, Rext4>,
) -> Result<usize> {
    request.modified()?;
    size_to_disk(request, memory.len())?;
    note_async(request);
    // What is to be durable is when this has ended.
    match direct_io::transfer(request, memory) {
        Err(e) if e == direct_io::must_go_through_cache() => {
            drop(lock);
            if request.is_nowait() {
                return Err(code::EAGAIN);
            }
            through_the_page_cache(request, memory)
        }
        result => result,
    }
}

/// A write that may have to do more than transfer data.
#[inline(never)] // An overwrite does without the room for all of this.
fn write_new(
    request: &mut Kiocb<'_, Rext4>,
    memory: &mut IovIter<'_>,
    lock: HeldLock<'_, Rext4>,
    bytes: usize,
    claim: Option<Claim>,
    whole: Option<WholeBy>,
) -> Result<usize> {
    let inode = request.inode();
    let is_atomic = whole.is_some();
    let is_unaligned = !is_atomic && !direct_io::is_in_sectors(request, memory);
    if is_unaligned && request.is_nowait() {
        // It would wait for its own end.
        return Err(code::EAGAIN);
    }
    let mut appends = false;
    if let (HeldLock::Exclusive(exclusive), true) = (&lock, grows(request, bytes)) {
        truncate::finish_cut(inode, exclusive)
            .map_err(|e| Filesystem::errno(inode, "direct write", e))?;
        appends = !is_unaligned && claim.is_some() && can_append(request, exclusive, bytes);
        if !appends {
            // How far it goes beyond the end is known when they are complete.
            inode.data().appends.wait(exclusive)?;
        }
    }
    // Asked when nobody else moves the end of the file any more.
    if !is_atomic && meets_stores(request, bytes) {
        drop(claim);
        drop(lock);
        return through_the_page_cache(request, memory);
    }
    // Memory that is not there is found out before anything is done.
    memory.fault_in(memory.len())?;
    request.modified()?;
    match &lock {
        HeldLock::Exclusive(exclusive) if grows(request, bytes) => {
            size::before_growing(inode, exclusive, request.end_of(bytes))
                .map_err(|e| Filesystem::errno(inode, "direct write", e))?;
            size::write_new_data(inode, inode.size());
        }
        _ => size_to_disk(request, bytes)?,
    }
    let end = inode.size();
    let leaves_gap = request.position() > end && !appends && inode.is_cached(end, end);
    if let (HeldLock::Exclusive(exclusive), true) = (&lock, leaves_gap) {
        // On disk there are zeros, but a mapping may have left something else in the page cache.
        size::clear_to_block_end(inode, exclusive, request.position())
            .map_err(|e| Filesystem::errno(inode, "direct write", e))?;
    }
    match request.invalidate_cache(bytes) {
        // A mapping stores to these pages again and again. Then they stay, and the data goes the same
        // way.
        Err(e) if e == code::EBUSY && !request.is_nowait() => {
            drop(claim);
            drop(lock);
            return through_the_page_cache(request, memory);
        }
        Err(e) if e == code::EBUSY => return Err(code::EAGAIN),
        result => result?,
    }
    if is_unaligned {
        return write_unaligned(request, memory, bytes, lock, claim);
    }
    note_async(request);
    let result = match (&lock, claim, whole) {
        (lock, claim, Some(by)) => direct_io::write_atomic(request, memory, lock, claim, by),
        (HeldLock::Exclusive(exclusive), Some(claim), None) if appends => {
            direct_io::append(request, memory, exclusive, claim)
        }
        (lock, claim, None) => direct_io::write(request, memory, lock, claim),
    };
    drop(lock);
    let written = some_of_it(inode, bytes, result)?;
    request.advance(written);
    request.sync(written)
}

/// The rest of it, from memory that is not aligned to sectors.
fn write_unaligned(
    request: &mut Kiocb<'_, Rext4>,
    memory: &mut IovIter<'_>,
    bytes: usize,
    lock: HeldLock<'_, Rext4>,
    claim: Option<Claim>,
) -> Result<usize> {
    let inode = request.inode();
    let result = direct_io::write_and_wait(request, memory, &lock, claim);
    drop(lock);
    match result {
        Err(e) if e == direct_io::must_go_through_cache() => {
            through_the_page_cache(request, memory)
        }
        result => some_of_it(inode, bytes, result),
    }
}

/// Notes for others that the write is going to be under way, if it does not have the lock to its end.
fn note_async(request: &Kiocb<'_, Rext4>) {
    if request.is_async() {
        request.inode().data().note_direct_write();
    }
}

/// How much of the `asked` bytes is written. Only a full disk ends a write before its first block, or that the owner has no
/// more.
///
/// A loop device takes a part for all of it, so to the kernel's own tasks a part is an error.
fn some_of_it(inode: &Inode<Rext4>, asked: usize, result: Result<usize>) -> Result<usize> {
    let written = match result {
        Err(e) if e == code::ENOSPC => 0,
        result => result?,
    };
    match written {
        written if written == asked || (written > 0 && !task::is_kernel_thread()) => Ok(written),
        _ if quota::is_used_up(inode) => Err(edquot()),
        _ => Err(code::ENOSPC),
    }
}

/// Sees to it that the size on disk is not less than where a write ends that does not go beyond the end of the file.
/// It is less as long as the end is in the page cache; and if writing that back has failed, nobody else brings it up.
pub(super) fn size_to_disk(request: &Kiocb<'_, Rext4>, bytes: usize) -> Result {
    let inode = request.inode();
    let end = request.end_of(bytes);
    if end <= inode.data().disk_size() {
        return Ok(());
    }
    if request.is_nowait() {
        return Err(code::EAGAIN);
    }
    size::write_new_data(inode, end);
    convert::catch_up_on_disk(inode, end).map_err(|e| Filesystem::errno(inode, "direct write", e))
}

/// A direct write to pages that can't be dropped: it is on the device when it returns. One that must not be torn is
/// `EAGAIN`.
fn through_the_page_cache(
    request: &mut Kiocb<'_, Rext4>,
    memory: &mut IovIter<'_>,
) -> Result<usize> {
    if request.is_atomic() {
        return Err(code::EAGAIN);
    }
    let written = buffered::write(request, memory)?;
    if written > 0 {
        // Where it began is known now, with `O_APPEND`.
        let end = request.position();
        let start = end.saturating_sub_unsigned(written as u64);
        request.inode().write_back(start, end - 1)?;
    }
    Ok(written)
}

/// Checks the write against limits, under a lock that is as strong as it needs. `None` if there is
/// nothing to be written.
fn prepare<'a>(
    request: &mut Kiocb<'a, Rext4>,
    memory: &mut IovIter<'_>,
) -> Result<Option<(HeldLock<'a, Rext4>, usize)>> {
    let inode = request.inode();
    if !request.is_append() && inode.has_no_privileges() {
        let lock = nowait::lock_shared(request)?;
        let bytes = request.write_checks(memory)?;
        // Asked again: to get a privilege takes the lock, to take it away takes all of it.
        if !grows(request, bytes) && inode.has_no_privileges() {
            return Ok((bytes != 0).then_some((HeldLock::Shared(lock), bytes)));
        }
    }
    // What was found may have changed when the stronger lock is there, which does for anything.
    let lock = nowait::lock(request)?;
    if request.is_append() && !request.is_nowait() {
        // The file ends where they do.
        inode.data().appends.wait(&lock)?;
    }
    let bytes = request.write_checks(memory)?;
    if request.is_nowait() && grows(request, bytes) {
        // It would wait for its own end.
        return Err(code::EAGAIN);
    }
    Ok((bytes != 0).then_some((HeldLock::Exclusive(lock), bytes)))
}

/// Whether a write of `bytes` bytes goes beyond the end of the file.
fn grows(request: &Kiocb<'_, Rext4>, bytes: usize) -> bool {
    request.end_of(bytes) > request.inode().size()
}

/// Whether the write goes beyond the end of the file in a page that has something of the file before that, or will
/// have when others at the end are done, and somebody may store to that page. A store makes all blocks of the page
/// dirty, and if it comes while the write is under way, those behind the old end are written back over it.
fn meets_stores(request: &Kiocb<'_, Rext4>, bytes: usize) -> bool {
    let inode = request.inode();
    let page = PAGE_SIZE as i64;
    let (start, end) = (request.position(), inode.size());
    inode.data().has_stores()
        && grows(request, bytes)
        && (start % page != 0 || (start < end && end % page != 0))
}

/// Whether iomap would fill the rest of the last block with zeros, as it does at the end of the file. In a
/// block that is written that would meet those who write behind the end while this is under way.
fn clears_behind(request: &Kiocb<'_, Rext4>, bytes: usize) -> bool {
    let inode = request.inode();
    let end = request.end_of(bytes);
    let size = inode.super_block().data().layout.block_size();
    end >= inode.size() && size.within_block(u64::try_from(end).unwrap_or(0)) != 0
}

/// Whether a write of `bytes` bytes, beyond the end of the file, can go on by itself behind others. It does not begin
/// within a page, which may be mapped, and stored to, as soon as the file has a part of it.
fn can_append(request: &Kiocb<'_, Rext4>, lock: &ExclusiveLock<'_, Rext4>, bytes: usize) -> bool {
    let inode = request.inode();
    let size = inode.super_block().data().layout.block_size();
    let is_whole = |bytes: u64| size.within_block(bytes) == 0;
    request.is_async()
        && !request.is_atomic()
        && !request.is_dsync()
        && is_whole(bytes as u64)
        && request.position() % PAGE_SIZE as i64 == 0
        && u64::try_from(request.position()).is_ok_and(is_whole)
        && request.position() == inode.data().appends.end(inode, lock)
}

/// Claims what the write has to have for itself. `None` if all of it is written. `EAGAIN` if it must not wait, and would
/// have to for anything but the device. The inode is locked.
fn claim(request: &Kiocb<'_, Rext4>, bytes: usize, has_all: bool) -> FsResult<Option<Claim>> {
    let inode = request.inode();
    let size = inode.super_block().data().layout.block_size();
    let range =
        ByteRange::new(request.position(), bytes, size).ok_or(FsError::Kernel(code::EFBIG))?;
    if request.is_nowait() {
        nowait::check_write(inode, range.blocks())?;
    }
    claims::claim(inode, range, has_all, Waiting::unless(request.is_nowait()))
}
