// SPDX-License-Identifier: GPL-2.0

//! Files whose data goes through the journal: all of a file system with `data=journal`, or those with the flag `j`.
//!
//! What is written through the page cache becomes a part of the running transaction before the call returns, with the
//! blocks that it needs and the size that covers it. After a crash there is nothing of what came after a call that is not
//! there as a whole. The last call can be there in part, from its beginning on: what it has of one folio, and [`MOST_BLOCKS`]
//! at most, is there or not, and nothing is there of a [`PIECE`] unless all is of the one before. So `fsync` is a commit. What
//! is stored through a mapping comes to the journal when it is written back. Direct I/O goes through the page cache.
//!
//! The blocks are treated as metadata is: the journal forgets them when they are freed ([`super::holds_metadata`]), and
//! they are read from where they are newest ([`crate::vfs::journaled`]).

use super::{
    convert::{self, Step},
    delayed, map, Alone,
};
use crate::{
    disk::{
        inode::InodeFlags,
        units::{LogicalBlock, PhysicalBlock},
    },
    error::{euclean, FsError, FsResult},
    journal::{credits, sync_point::Change},
    memory::insist,
    vfs::{
        buffer::FreshBuffer,
        inode::{ExclusiveLock, Inode},
        iomap::Place,
        jbd2::{Credits, Handle, Tid, Wipe},
        journaled::Source,
    },
    Rext4,
};
use kernel::{
    error::code,
    prelude::*,
    sync::atomic::{Atomic, Relaxed},
};

/// The most blocks of data in one step.
const MOST_BLOCKS: u32 = 64;

/// A write goes to the journal in pieces of so many bytes, which begin at multiples of it.
pub(crate) const PIECE: usize = 256 << 10;

/// Whether the data of an inode goes through the journal. Without one it does not, whatever is asked for.
///
/// Who holds the inode's lock, has announced a direct read, or has a folio of the file locked, finds it unchanged
/// as long as he does.
pub(crate) fn journals_data(inode: &Inode<Rext4>) -> bool {
    let fs = inode.super_block().data();
    (fs.journals_data || inode.data().flags().has(InodeFlags::JOURNAL_DATA))
        && inode.is_regular()
        && inode.data().kind().has_blocks()
        && has_journal(inode)
}

/// Whether there is a journal, which has the changes of a transaction on disk as a whole or not at all.
pub(crate) fn has_journal(inode: &Inode<Rext4>) -> bool {
    let journal = inode.super_block().data().journal.get();
    journal.is_some_and(|journal| journal.is_atomic())
}

/// The last transaction that has data of files, or has forgotten some, by their numbers; files may share one. Kept here,
/// since an inode can leave memory.
pub(crate) struct LastWrites(KVec<Atomic<u32>>);

impl LastWrites {
    const COUNT: usize = 4096;

    /// None.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    pub(crate) fn new() -> Result<Self> {
        let mut all = KVec::with_capacity(Self::COUNT, GFP_KERNEL)?;
        for _ in 0..Self::COUNT {
            all.push(Atomic::new(0), GFP_KERNEL)?;
        }
        Ok(Self(all))
    }

    fn of(&self, inode: &Inode<Rext4>) -> Option<&Atomic<u32>> {
        self.0.get(inode.ino() as usize % Self::COUNT)
    }

    /// Notes that the handle's transaction is one that has, or forgets, data of a file.
    pub(super) fn note(&self, inode: &Inode<Rext4>, handle: &Handle<'_>) {
        if let (Some(last), Some(tid)) = (self.of(inode), handle.tid()) {
            last.store(tid.to_raw(), Relaxed);
        }
    }

    fn last(&self, inode: &Inode<Rext4>) -> Option<Tid> {
        let last = self.of(inode)?.load(Relaxed);
        (last != 0).then_some(Tid::from_raw(last))
    }
}

/// Whether what the device has of a file whose data goes through the journal is the newest, but for what is newer in
/// the device's page cache. It is not if the journal was given up before the last data was committed: the journal lets
/// go of what it had, and memory may be short.
pub(crate) fn is_on_device(inode: &Inode<Rext4>) -> bool {
    let fs = inode.super_block().data();
    let is_aborted = || fs.journal.get().is_some_and(|journal| journal.is_aborted());
    let last = fs.last_journaled.last(inode);
    last.is_none_or(|last| !is_aborted() || fs.commit_work.has_seen(last))
}

/// Sees to it that data of a file can go another way from now on: through the journal, or past it. `finish` makes it so.
///
/// The page cache is written out and emptied, nobody reads or writes directly. If the data went through the journal
/// that is emptied as well, since recovery would write it over what comes past it.
///
/// # Errors
///
/// `EOPNOTSUPP` if there is no journal for it; `EBUSY` if a page is written to past the file system; those of
/// writeback and of the journal. Nothing is changed then.
pub(super) fn change_way<R>(
    inode: &Inode<Rext4>,
    lock: &ExclusiveLock<'_, Rext4>,
    finish: impl FnOnce() -> FsResult<R>,
) -> FsResult<R> {
    let sb = inode.super_block();
    let journal = sb.data().writing(sb)?;
    if !journal.is_atomic() {
        return Err(FsError::unsupported());
    }
    if inode.is_swap_file() {
        return Err(FsError::Kernel(code::ETXTBSY));
    }
    inode.data().appends.wait(lock)?;
    let _alone = Alone::new(inode, lock);
    let _page_cache = inode.lock_page_cache();
    inode.write_back(0, i64::MAX)?;
    inode.release_page_cache(lock, 0, i64::MAX)?;
    if journals_data(inode) {
        journal.lock_updates()?.flush(Wipe::Nothing)?;
    }
    finish()
}

/// Makes what a folio has, or a part of it from its beginning on, a part of the running transaction. Returns how many
/// bytes that are. The folio is locked.
///
/// # Errors
///
/// Those of a look-up, of the allocation of what is delayed, and of the journal.
pub(crate) fn write(inode: &Inode<Rext4>, source: &Source<'_>) -> FsResult<u32> {
    let sb = inode.super_block();
    let fs = sb.data();
    let size = fs.layout.block_size();
    let first = size.logical_of_byte(source.position());
    let first = first.ok_or(FsError::Kernel(euclean()))?;
    loop {
        let found = delayed::map_for_writeback(inode, source.position())?;
        let left = (found.offset + found.len).saturating_sub(source.position());
        let len = source.len().min(u32::try_from(left).unwrap_or(u32::MAX));
        let (start, is_new) = match found.place {
            Place::Written(start) => (start, false),
            Place::Unwritten(start) => (start, true),
            // Behind the end of the file, or it was cut off.
            _ => return Ok(len),
        };
        let start = PhysicalBlock((start + (source.position() - found.offset)) >> size.bits());
        let journal = fs.writing(sb)?;
        let most = MOST_BLOCKS.min(journal.max_credits() / 4).max(1);
        let blocks = size.blocks_for(len.into()).min(most.into()) as u32;
        // The journal can't have a block twice.
        map::check_foreign(inode, start, blocks)?;
        let mut reserve = convert::reserve_at_once(inode, is_new)?;
        let step = convert::step_credits(inode)?;
        let own = Credits::new(blocks + credits::INODE);
        let handle = insist(|| journal.start(own.plus(step.credits)))?;
        fs.last_journaled.note(inode, &handle);
        // Before the size on disk can be seen to grow.
        inode.data().sync_point.note(&handle, Change::Data);
        let range = first..LogicalBlock(first.0.saturating_add(blocks));
        let end = size
            .byte_of_logical(range.end)
            .min(source.position() + u64::from(len));
        let step = Step {
            credits: step,
            version: found.version,
            range,
            start,
            is_new,
            end: i64::try_from(end).unwrap_or(i64::MAX).min(inode.size()),
            reserve: &mut reserve,
        };
        let done = convert::within(inode, &handle, step, |count| {
            (0..count).try_for_each(|at| {
                let to = PhysicalBlock(start.0 + u64::from(at));
                put(inode, &handle, to, source, at << size.bits())
            })
        })?;
        handle.stop()?;
        if let Some(done) = done {
            return Ok((done << size.bits()).min(len));
        }
    }
}

/// Puts a block into the transaction, which is `from` bytes behind the beginning of `source`.
fn put(
    inode: &Inode<Rext4>,
    handle: &Handle<'_>,
    to: PhysicalBlock,
    source: &Source<'_>,
    from: u32,
) -> FsResult {
    let sb = inode.super_block();
    let (device, bytes) = (sb.device(), sb.data().layout.block_size().bytes());
    let buffer = match FreshBuffer::get(device, to.0, bytes)?.filled() {
        Ok(buffer) => buffer,
        // All of it is going to be written over, so it need not be read.
        Err(fresh) => handle.create(fresh)?,
    };
    let block = handle.write(&buffer)?;
    block.forget_kinds();
    Ok(block.edit(|content| source.copy(from, content))?)
}
