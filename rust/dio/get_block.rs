// SPDX-License-Identifier: GPL-2.0

//! Where the blocks of a direct read or write are: what the kernel's direct I/O asks for, run by
//! run, before it submits anything.

use super::{claim::Waiting, claims::is_written, io_end::IoEnd};
use crate::{
    disk::{
        extent::LOGICAL_END,
        units::{LogicalBlock, PhysicalBlock},
    },
    error::{euclean, FsError, FsResult},
    inode::{
        ahead, allocate, delayed,
        map::{self, Found},
        orphan, staged, DataKind,
    },
    vfs::{
        direct_io::{ChainLength, ReadMapping, WriteMapping},
        inode::Inode,
        jbd2::Journal,
    },
    Rext4,
};
use kernel::{error::code, prelude::*};

pub(super) fn logical(block: u64) -> FsResult<LogicalBlock> {
    u32::try_from(block)
        .map(LogicalBlock)
        .ok()
        .filter(|block| *block < LOGICAL_END)
        .ok_or(FsError::Kernel(code::EFBIG))
}

/// Where a block and up to `max - 1` after it are to be read from, or written to if they are written.
///
/// # Errors
///
/// Those of [`map::find`]; if waiting is forbidden, of [`map::find_at_once`].
pub(crate) fn map_read(
    inode: &Inode<Rext4>,
    block: u64,
    max: u32,
    waiting: Waiting,
) -> FsResult<ReadMapping> {
    let Ok(block) = logical(block) else {
        return Ok(ReadMapping::Zeros { len: max });
    };
    Ok(match map::find_if(inode, block, waiting)? {
        Found::Written { start, len } => ReadMapping::At {
            block: start.0,
            len: len.min(max),
        },
        Found::Hole { len } | Found::Unwritten { len, .. } => {
            ReadMapping::Zeros { len: len.min(max) }
        }
    })
}

/// Where a block and up to `max - 1` after it are to be written to. Allocates them if need be.
///
/// Written blocks are given one by one. The kernel's direct I/O by blocks takes the memory in portions, and if
/// that fails in the middle of what it was given here (the task is being killed, or the memory is a device's), it
/// writes zeros to the rest of that, and fails then: over written blocks these would take the place of data. New
/// ones stay new.
///
/// The inode's lock is held, exclusively if the blocks are beyond the end of the file.
pub(crate) fn map_write(
    inode: &Inode<Rext4>,
    block: u64,
    max: u32,
    io_end: &mut Option<KBox<IoEnd>>,
) -> FsResult<WriteMapping> {
    let block = logical(block)?;
    let found = map::find(inode, block)?;
    if let Some(written @ WriteMapping::Written { .. }) = mapping(&found, max) {
        return Ok(written);
    }
    let journal = inode.super_block().data().writing(inode.super_block())?;
    let is_first = io_end.is_none();
    let io_end = need(io_end, inode, journal, Waiting::Allowed)?;
    if let Some(run) = io_end.staged() {
        // It was not all that there is to be made written: it becomes a part of the tree like the rest.
        allocate::fill_hole(inode, journal, run.blocks().start, 1, |_| Ok(()))?;
        io_end.forget_staged();
    }
    let can_stage = is_first && inode.data().kind() == DataKind::Extents;
    if let (Found::Hole { len }, true) = (found, can_stage) {
        let len = len.min(max);
        let [first, end] = [len, max].map(|len| LogicalBlock(block.0.saturating_add(len)));
        if is_written(inode, &(first..end), Waiting::Allowed)? {
            if let Some(start) = stage(inode, journal, (block, len), io_end, Waiting::Allowed)? {
                return Ok(WriteMapping::Unwritten {
                    block: start.0,
                    len,
                });
            }
        }
    }
    let found = match found {
        Found::Hole { len } => fill_hole(inode, journal, block, len.min(max), io_end)?,
        found => found,
    };
    // `fill_hole` returns no hole.
    mapping(&found, max).ok_or(FsError::Kernel(euclean()))
}

/// Where a write to what was found goes, for up to `max` blocks; `None` if that is a hole. Written ones are given one by
/// one, see [`map_write`].
pub(super) fn mapping(found: &Found, max: u32) -> Option<WriteMapping> {
    match *found {
        Found::Written { start, .. } => Some(WriteMapping::Written {
            block: start.0,
            len: 1,
        }),
        Found::Unwritten { start, len } => Some(WriteMapping::Unwritten {
            block: start.0,
            len: len.min(max),
        }),
        Found::Hole { .. } => None,
    }
}

/// The same for a write at the end of the file, in a chain of this length.
///
/// The inode's lock is held exclusively.
pub(crate) fn map_append(
    inode: &Inode<Rext4>,
    block: u64,
    max: u32,
    chain: ChainLength,
    io_end: &mut Option<KBox<IoEnd>>,
) -> FsResult<WriteMapping> {
    let first = logical(block)?;
    let journal = inode.super_block().data().writing(inode.super_block())?;
    let own = need(io_end, inode, journal, Waiting::Allowed)?;
    own.make_room(2)?;
    if let Some((start, len, taken)) = ahead::take(inode, first, max)? {
        own.note_beyond_end(taken);
        return Ok(WriteMapping::Unwritten {
            block: start.0,
            len,
        });
    }
    // `take` had the tree's lock: what was being freed behind the end is not known any more.
    if !matches!(map::find(inode, first)?, Found::Hole { .. }) {
        // Preallocated behind the end.
        return map_write(inode, block, max, io_end);
    }
    let wanted = max.saturating_add(ahead::wanted(inode, max, chain)?);
    let mut tid = None;
    let found = allocate::fill_hole(inode, journal, first, wanted, |handle| {
        tid = handle.tid();
        orphan::add(inode, handle)
    })?;
    let (Found::Unwritten { start, len }, Some(tid)) = (found, tid) else {
        // Nobody else can have filled it.
        return Err(FsError::Kernel(euclean()));
    };
    let [end, ahead] = [len.min(max), len].map(|len| LogicalBlock(first.0.saturating_add(len)));
    if let Some(left_over) = ahead::replace(inode, end..ahead, tid) {
        own.note_beyond_end(left_over);
    }
    own.note_beyond_end(first..end);
    Ok(WriteMapping::Unwritten {
        block: start.0,
        len: len.min(max),
    })
}

/// What the request takes along, made if it has none yet.
pub(super) fn need<'a>(
    io_end: &'a mut Option<KBox<IoEnd>>,
    inode: &Inode<Rext4>,
    journal: &Journal,
    waiting: Waiting,
) -> FsResult<&'a mut IoEnd> {
    Ok(match io_end {
        Some(io_end) => io_end,
        // Waits for others' completions if there are too many, so it comes before anything of this
        // request is allocated or submitted that they could wait for.
        None => io_end.insert(KBox::new(IoEnd::new(inode, journal, waiting)?, GFP_KERNEL)?),
    })
}

/// Stages blocks of a hole that are all that is to be made written of a request, if it does not make the file
/// longer.
pub(super) fn stage(
    inode: &Inode<Rext4>,
    journal: &Journal,
    (block, len): (LogicalBlock, u32),
    io_end: &mut IoEnd,
    waiting: Waiting,
) -> FsResult<Option<PhysicalBlock>> {
    let end = u64::from(block.0) + u64::from(len);
    if end > delayed::end_of_file(inode) {
        return Ok(None);
    }
    let Some(run) = staged::stage(inode, journal, block, len, waiting)? else {
        return Ok(None);
    };
    io_end.note_staged(run);
    Ok(Some(run.start()))
}

/// Allocates blocks for a hole; see [`allocate::fill_hole`].
fn fill_hole(
    inode: &Inode<Rext4>,
    journal: &Journal,
    block: LogicalBlock,
    wanted: u32,
    io_end: &mut IoEnd,
) -> FsResult<Found> {
    let beyond_end = u64::from(block.0) + u64::from(wanted) > delayed::end_of_file(inode);
    if beyond_end {
        io_end.make_room(1)?;
    }
    let found = allocate::fill_hole(inode, journal, block, wanted, |handle| {
        if beyond_end {
            // A crash must not leave blocks there that nobody asked for.
            orphan::add(inode, handle)?;
        }
        Ok(())
    })?;
    io_end.note_filled();
    if let (true, Found::Unwritten { len, .. }) = (beyond_end, found) {
        // The inode's lock is held exclusively, so nobody else has allocated it.
        io_end.note_beyond_end(block..LogicalBlock(block.0.saturating_add(len)));
    }
    Ok(found)
}
