// SPDX-License-Identifier: GPL-2.0

//! Writing through the page cache, and writing the page cache back.
//!
//! When a hole is written to in memory, blocks are set aside for it, so that writeback can't meet a
//! full disk; which ones is decided at writeback ([`crate::inode::delayed`]). They are allocated
//! unwritten. When writeback is complete they are converted, and only then does the size on disk
//! grow: the same rule as for direct writes.
//!
//! A write that must not wait (`RWF_NOWAIT`, and what io_uring tries first) is told `EAGAIN` where it
//! would have to: here, by [`map()`], or by iomap, which knows of folios, of what is to be read into them,
//! and of the limit of what may be dirty. What it has written by then is a short write.

use crate::{
    dio::{alignment::ByteRange, claim::Waiting, claims, nowait},
    disk::units::LogicalBlock,
    error::{FsError, FsResult},
    group::ConversionReserve,
    inode::{
        self, ahead, allocate,
        convert::{self, Part, Parts},
        delayed::{self, Reserved},
        journaled::{self, journals_data},
        map::{self, Found},
        orphan, size, truncate, Alone,
    },
    memory::insist,
    mount::{counters::Count, Filesystem},
    vfs::{
        file::{IovIter, Kiocb},
        inode::{ExclusiveLock, Inode},
        iomap::{self, Mapping, Reason},
        jbd2::Journal,
        journaled::Source,
        no_fs::NoFs,
        super_block::SuperBlock,
        task,
        writeback::{Completed, IoendQueue, IoendWorkers, Writeback, TOGETHER},
    },
    Rext4,
};
use core::ops::Range;
use kernel::{error::code, prelude::*};

/// Writes through the page cache.
pub(crate) fn write(request: &mut Kiocb<'_, Rext4>, memory: &mut IovIter<'_>) -> Result<usize> {
    let inode = request.inode();
    let at_once = request.is_nowait();
    if at_once && (request.is_dsync() || journals_data(inode)) {
        return Err(code::EAGAIN);
    }
    let lock = nowait::lock(request)?;
    // Where the file ends is known when they are.
    if !at_once {
        inode.data().appends.wait(&lock)?;
    } else if !inode.data().appends.is_idle(&lock) {
        return Err(code::EAGAIN);
    }
    let bytes = request.write_checks(memory)?;
    if bytes == 0 {
        return Ok(0);
    }
    if inode::has_direct_writes(inode, &lock) {
        wait_for_direct_writes(request, bytes, &lock)
            .map_err(|e| Filesystem::errno(inode, "write", e))?;
    }
    let grows = request.end_of(bytes) > inode.size();
    if at_once && (request.position() > inode.size() || (grows && inode.data().is_uncut())) {
        // What is behind the end may have to be read, to be cleared, or to be cut off first.
        return Err(code::EAGAIN);
    }
    request.modified()?;
    if grows {
        size::before_growing(inode, &lock, request.end_of(bytes))
            .map_err(|e| Filesystem::errno(inode, "write", e))?;
    }
    if request.position() > inode.size() {
        size::clear_to_block_end(inode, &lock, request.position())
            .map_err(|e| Filesystem::errno(inode, "write", e))?;
    }
    let was_orphan = inode.data().is_orphan();
    let written = match journals_data(inode) {
        true => write_in_order(request, memory, &lock),
        false => write_folios(request, memory, &lock),
    };
    if let Err(e) = end_growth(inode, was_orphan) {
        // What was written is in the file, and stays there. It stays an orphan, and recovery takes what is behind it.
        let _ = Filesystem::errno(inode, "end a write", e);
    }
    drop(lock);
    request.sync(written?)
}

/// Writes to a file whose data goes through the journal: each piece is in a transaction before the next one is there
/// for others to write back, so that a crash leaves the beginning of what was written. Ends early where a piece fails: with the
/// error if that is the first one, or for the kernel's own tasks, as a loop device takes a part for all of it.
fn write_in_order(
    request: &mut Kiocb<'_, Rext4>,
    memory: &mut IovIter<'_>,
    lock: &ExclusiveLock<'_, Rext4>,
) -> Result<usize> {
    let inode = request.inode();
    let mut written = 0;
    while memory.len() > 0 {
        let begin = request.position();
        let piece = journaled::PIECE - begin as usize % journaled::PIECE;
        let done = memory.with_first(piece, |memory| write_folios(request, memory, lock));
        let in_journal = done.and_then(|done| {
            if done > 0 {
                let result = inode.write_back(begin, request.position() - 1);
                result.inspect_err(|_| {
                    request.retreat(done);
                    memory.revert(done);
                })?;
            }
            Ok(done)
        });
        match in_journal {
            Ok(0) => break,
            Ok(done) => written += done,
            Err(_) if written > 0 && !task::is_kernel_thread() => break,
            Err(e) => return Err(e),
        }
    }
    Ok(written)
}

/// Frees blocks behind the end of the file that the write has got and did not come to, since its memory was not there
/// or for want of more. Until then the file is an orphan, so that a crash takes them, too.
fn end_growth(inode: &Inode<Rext4>, was_orphan: bool) -> FsResult {
    ahead::end_write(inode)?;
    if !was_orphan {
        truncate::release_orphan(inode)?;
    }
    Ok(())
}

/// A direct write that is on its way and fills the rest of a block with zeros must not do that over
/// what is written here. And where this writes to a part of a block, the rest is read, and is written back
/// later: that must not be over what is on its way to it.
fn wait_for_direct_writes(
    request: &Kiocb<'_, Rext4>,
    bytes: usize,
    lock: &ExclusiveLock<'_, Rext4>,
) -> FsResult {
    let inode = request.inode();
    let size = inode.super_block().data().layout.block_size();
    let range =
        ByteRange::new(request.position(), bytes, size).ok_or(FsError::Kernel(code::EFBIG))?;
    let waiting = Waiting::unless(request.is_nowait());
    claims::wait_for_others(inode, range, waiting)?;
    for block in range.partial_blocks().into_iter().flatten() {
        let found = map::bytes(inode, size.byte_of_logical(block), waiting)?;
        if matches!(found.place, iomap::Place::Written(_)) {
            // Who writes over it directly has claimed nothing.
            if waiting == Waiting::Forbidden {
                return Err(FsError::Kernel(code::EAGAIN));
            }
            drop(Alone::new(inode, lock));
            break;
        }
    }
    Ok(())
}

/// Writes to the page cache. A folio is dropped as a whole, and that is what is done when a direct write to a part of it
/// is complete. So another part of it is not changed before: what was read there before the direct write would stay, and
/// hide what that has written.
fn write_folios(
    request: &mut Kiocb<'_, Rext4>,
    memory: &mut IovIter<'_>,
    lock: &ExclusiveLock<'_, Rext4>,
) -> Result<usize> {
    let inode = request.inode();
    if !inode::has_direct_writes(inode, lock) {
        return request.write_buffered(memory, lock, None);
    }
    let mut has_more = false;
    let written = request.write_buffered(memory, lock, Some(&mut has_more));
    if !has_more || request.is_nowait() || memory.len() == 0 {
        // It may have gone on after it had said so.
        return written;
    }
    // No direct write begins as long as the lock is held.
    drop(Alone::new(inode, lock));
    let before = written.unwrap_or(0);
    match request.write_buffered(memory, lock, None) {
        Ok(more) => Ok(before + more),
        Err(_) if before > 0 => Ok(before),
        Err(error) => Err(error),
    }
}

/// The most bytes that are set aside at once: about as much as writeback takes in one go.
const STEP: u64 = 4 << 20;

/// The mapping that holds byte `offset`, with blocks reserved or allocated if there were none; for
/// writing `len` bytes.
pub(crate) fn map(
    inode: &Inode<Rext4>,
    offset: u64,
    len: u64,
    reason: Reason,
) -> FsResult<Mapping> {
    let sb = inode.super_block();
    let fs = sb.data();
    let size = fs.layout.block_size();
    let mut delay = fs.options().delalloc;
    let mut may_make_room = reason == Reason::Write;
    let waiting = match reason {
        Reason::WriteAtOnce => Waiting::Forbidden,
        Reason::Write | Reason::Fault => Waiting::Allowed,
    };
    if reason == Reason::Fault {
        // The file may have been mapped long before.
        fs.writing(sb)?;
    }
    loop {
        let found = map::bytes(inode, offset, waiting)?;
        if found.place != iomap::Place::Hole {
            return Ok(found);
        }
        let block = size
            .logical_of_byte(offset)
            .ok_or(FsError::Kernel(code::EFBIG))?;
        let end = size.blocks_for(offset.saturating_add(len.clamp(1, STEP)));
        let wanted = u32::try_from(end - u64::from(block.0)).unwrap_or(u32::MAX);
        let journal = fs.writing(sb)?;
        if delay {
            match delayed::reserve(inode, block, wanted, waiting)? {
                Reserved::New(blocks, version) => {
                    return Ok(Mapping {
                        offset: size.byte_of_logical(block),
                        len: u64::from(blocks) << size.bits(),
                        place: iomap::Place::Delayed { is_new: true },
                        version,
                    });
                }
                Reserved::Changed => continue,
                // Allocated now it takes no more than it needs.
                Reserved::NoRoom => delay = false,
            }
        }
        if waiting == Waiting::Forbidden {
            // It takes a transaction.
            return Err(FsError::Kernel(code::EAGAIN));
        }
        let wanted = match inode::holds_metadata(inode) {
            true => wanted.min(truncate::METADATA_STEP),
            false => wanted,
        };
        // What is found then is looked up again, so that mapping and version belong together.
        match fill_hole(inode, journal, block, wanted) {
            // Others' data may have more set aside than it needs.
            Err(e) if e.is(code::ENOSPC) && may_make_room && fs.make_room(sb) => {
                may_make_room = false;
            }
            filled => filled?,
        }
    }
}

/// Gives blocks to a hole of which so many from `block` on are to be written. What is behind the end of the file is
/// noted, for [`end_growth`]; the inode's lock is held exclusively if anything is.
fn fill_hole(
    inode: &Inode<Rext4>,
    journal: &Journal,
    block: LogicalBlock,
    wanted: u32,
) -> FsResult {
    let beyond_end = u64::from(block.0) + u64::from(wanted) > delayed::end_of_file(inode);
    let mut since = None;
    let found = allocate::fill_hole(inode, journal, block, wanted, |handle| {
        if beyond_end {
            since = handle.tid();
            orphan::add(inode, handle)?;
        }
        Ok(())
    })?;
    if let (Some(tid), Found::Unwritten { len, .. }) = (since, found) {
        // The write came to all that it had before.
        ahead::replace(inode, block..LogicalBlock(block.0.saturating_add(len)), tid);
    }
    Ok(())
}

fn warn_of_loss(inode: &Inode<Rext4>) {
    let fs = inode.super_block().data();
    fs.warn_once_per_inode(
        inode,
        "data in the page cache can't be written, and is lost",
    );
}

/// What an ioend takes along.
pub(crate) struct Completion {
    /// For its conversion.
    reserve: ConversionReserve,
    /// How many it stands for.
    ioends: u32,
}

impl Writeback for Rext4 {
    type Completion = Completion;

    fn map_for_writeback(inode: &Inode<Self>, offset: u64) -> Result<Mapping> {
        delayed::map_for_writeback(inode, offset)
            .inspect_err(|_| warn_of_loss(inode))
            .map_err(|e| Filesystem::errno(inode, "write back", e))
    }

    fn write_to_journal(inode: &Inode<Self>, source: &Source<'_>) -> Result<u32> {
        journaled::write(inode, source)
            .inspect_err(|_| warn_of_loss(inode))
            .map_err(|e| Filesystem::errno(inode, "write back", e))
    }

    fn prepare(
        inode: &Inode<Self>,
        bytes: &Range<u64>,
        unwritten: bool,
    ) -> Result<Option<KBox<Completion>>> {
        let sb = inode.super_block();
        let fs = sb.data();
        // Also where nothing has to be done afterwards: a file system that was stopped writes no data.
        fs.writing(sb)
            .map_err(|e| Filesystem::errno(inode, "write back", e))?;
        let grows = bytes.end > u64::try_from(inode.data().disk_size()).unwrap_or(0);
        if !unwritten && !grows && !fs.stops_without_data() {
            return Ok(None);
        }
        let reserve = convert::reserve_at_once(inode, unwritten)
            .map_err(|e| Filesystem::errno(inode, "write back", e))?;
        // Folios are locked, and under writeback without being submitted.
        let _no_fs = NoFs::new();
        let place = insist(|| Ok(KBox::new_uninit(GFP_KERNEL)?))?;
        Ok(Some(KBox::write(place, Completion { reserve, ioends: 1 })))
    }

    fn merge(completion: &mut Completion, other: KBox<Completion>) {
        let other = KBox::into_inner(other);
        completion.reserve.merge(other.reserve);
        completion.ioends = completion.ioends.saturating_add(other.ioends);
    }

    fn complete(inode: &Inode<Self>, ranges: &mut [Option<Completed<Completion>>]) -> Result {
        complete(inode, ranges).map_err(|e| Filesystem::errno(inode, "complete writeback", e))
    }

    fn has_failed(inode: &Inode<Self>) {
        let sb = inode.super_block();
        sb.data().data_is_lost(sb);
    }

    fn queue(inode: &Inode<Self>) -> &IoendQueue {
        &inode.data().ioends
    }

    fn workers(sb: &SuperBlock<Self>) -> &IoendWorkers {
        &sb.data().ioend_workers
    }
}

/// Converts what was unwritten in ranges, in as few transactions as they fit in, and moves the size
/// on disk behind all of them.
fn complete(inode: &Inode<Rext4>, ranges: &mut [Option<Completed<Completion>>]) -> FsResult {
    let size = inode.super_block().data().layout.block_size();
    let block = |byte: u64| LogicalBlock(u32::try_from(byte).unwrap_or(u32::MAX));
    let mut parts = Parts::<TOGETHER>::new();
    let mut grown = 0;
    let counters = &inode.super_block().data().counters;
    counters.add(Count::WritebackStep, 1);
    for range in ranges.iter_mut().flatten() {
        counters.add(Count::Writeback, range.completion.ioends.into());
        let bytes = &range.bytes;
        // The file may have been cut while this was under way.
        let end = i64::try_from(bytes.end)
            .unwrap_or(i64::MAX)
            .min(inode.size());
        if !range.unwritten || bytes.is_empty() {
            grown = end.max(grown);
            continue;
        }
        // What lies behind the new end stays unwritten: who has cut the file waits for this, and stores the size
        // after it. A crash in between must leave nothing written behind the size on disk.
        let first = block(bytes.start >> size.bits());
        let behind = block(size.blocks_for(u64::try_from(end).unwrap_or(0)));
        if behind <= first {
            continue;
        }
        parts.add(Part {
            range: first..behind,
            end,
            staged: None,
            reserve: &mut range.completion.reserve,
            is_whole: false,
        });
    }
    convert::convert_all(inode, parts.get_mut())?;
    convert::grow_on_disk(inode, grown)
}
