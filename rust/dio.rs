// SPDX-License-Identifier: GPL-2.0

//! Direct I/O: the heart of rext4.
//!
//! | file | what |
//! |---|---|
//! | [`read`] | direct reads, with or without the inode's lock |
//! | [`mod@write`] | direct writes: which lock, and what surrounds the I/O |
//! | [`get_block`] | where a write goes: blocks are chosen, or allocated, for holes |
//! | [`io_end`] | what is done when the data is on the device |
//! | [`end_all`] | the same for several writes that are ready together |
//! | [`atomic`] | writes that are there as a whole or not at all |
//! | [`aside`] | the same where the device can't do that |
//! | [`alignment`] | what of a request covers whole blocks |
//! | [`claim`] | which writes wait for each other in new blocks |
//! | [`claims`] | the table of them, and what a write claims |
//! | [`nowait`] | requests that must not wait |
//!
//! # The life of a direct write
//!
//! ```text
//!   write ── lock, claim, drop the page cache, __blockdev_direct_IO
//!                                                             │ for each run of blocks
//!              get_block: written? ── as it is ◀──────────────┤
//!                         unwritten? ── an IoEnd goes along   │
//!                         a hole? ── choose blocks in memory ─┤
//!                               or ── allocate it unwritten ──┘
//!   device ── data is on its way ──▶ done ── IoEnd? ── no ──▶ the request is complete
//!                                               │
//!                                               ▼ in a task that may sleep
//!              end_io: put into the tree as written, or convert; and only then grow the file
//! ```
//!
//! Until then a block reads as zeros, so nobody can see what was in it before. The
//! conversion can't meet a full disk: its [`io_end::IoEnd`] holds a reserve. Overwriting written
//! blocks, and reading, needs none of this: no transaction, and a simpler way through the kernel
//! ([`direct_io::transfer`](crate::vfs::direct_io::transfer)).

pub(crate) mod alignment;
mod aside;
pub(crate) mod atomic;
pub(crate) mod claim;
pub(crate) mod claims;
mod end_all;
pub(crate) mod get_block;
pub(crate) mod io_end;
pub(crate) mod nowait;
pub(crate) mod read;
pub(crate) mod write;

use crate::{
    error::{edquot, FsResult},
    mount::Filesystem,
    vfs::{
        direct_io::{
            Appends, ChainLength, DirectIo, DoneQueue, EndOfFile, Ended, ReadMapping, WriteMapping,
        },
        inode::{ExclusiveLock, Inode},
        writeback::IoendWorkers,
    },
    Rext4,
};
use claim::Waiting;
use claims::Claim;
use io_end::IoEnd;
use kernel::{error::code, prelude::*};

/// On a full disk, or where the owner has no more, what was mapped before can be written: the request ends
/// here.
fn or_end(inode: &Inode<Rext4>, mapping: FsResult<WriteMapping>) -> Result<WriteMapping> {
    match mapping {
        Err(e) if e.is(code::ENOSPC) || e.is(edquot()) => Ok(WriteMapping::End),
        result => result.map_err(|e| Filesystem::errno(inode, "direct write", e)),
    }
}

impl DirectIo for Rext4 {
    type IoEnd = IoEnd;
    type Claim = Claim;

    fn map_read(inode: &Inode<Self>, block: u64, max: u32, at_once: bool) -> Result<ReadMapping> {
        get_block::map_read(inode, block, max, Waiting::unless(at_once))
            .map_err(|e| Filesystem::errno(inode, "direct read", e))
    }

    fn is_durable(inode: &Inode<Self>, end: i64) -> bool {
        let journal = inode.super_block().data().journal.get();
        end <= inode.data().disk_size()
            && journal.is_some_and(|journal| inode.data().sync_point.is_reached(journal))
    }

    fn map_write(
        inode: &Inode<Self>,
        block: u64,
        max: u32,
        at_once: bool,
        io_end: &mut Option<KBox<IoEnd>>,
    ) -> Result<WriteMapping> {
        let result = if at_once {
            nowait::map_write(inode, block, max, io_end)
        } else {
            get_block::map_write(inode, block, max, io_end)
        };
        or_end(inode, result)
    }

    fn note_whole(io_end: &mut IoEnd) {
        io_end.note_whole();
    }

    fn map_append(
        inode: &Inode<Self>,
        block: u64,
        max: u32,
        chain: ChainLength,
        io_end: &mut Option<KBox<IoEnd>>,
    ) -> Result<WriteMapping> {
        let result = get_block::map_append(inode, block, max, chain, io_end);
        or_end(inode, result)
    }

    fn end_io(
        inode: &Inode<Self>,
        io_end: Option<KBox<IoEnd>>,
        growing: Option<&ExclusiveLock<'_, Self>>,
        offset: i64,
        result: Result<usize>,
    ) -> Result {
        io_end::end_io(inode, io_end, growing, offset, result)
            .map_err(|e| Filesystem::errno(inode, "complete a direct write", e))
    }

    fn end_all(inode: &Inode<Self>, writes: &mut [Option<Ended<Self>>]) {
        end_all::end_all(inode, writes);
    }

    fn end_appends(
        inode: &Inode<Self>,
        writes: &mut [Option<Ended<Self>>],
        end: &EndOfFile<'_, Self>,
    ) {
        end_all::end_appends(inode, writes, end);
    }

    fn done_queue(inode: &Inode<Self>) -> &DoneQueue {
        &inode.data().done
    }

    fn has_filled(io_end: &IoEnd) -> bool {
        io_end.has_filled()
    }

    fn completion_workers(inode: &Inode<Self>) -> &IoendWorkers {
        &inode.super_block().data().ioend_workers
    }

    fn appends(inode: &Inode<Self>) -> &Appends<Self> {
        &inode.data().appends
    }
}
