// SPDX-License-Identifier: GPL-2.0

//! Requests that must not wait (`RWF_NOWAIT`, and what io_uring tries first): they are told `EAGAIN`
//! where another would have to.
//!
//! This is about direct I/O; for writes through the page cache see [`crate::file::buffered`].
//!
//! So that nothing is half done then, all of it is looked at before anything is submitted: locks, nodes of the tree
//! that are not in memory, holes that can't be filled in memory alone, other writes in the same block, the reserve for
//! the conversion. What others have changed since then is found when blocks are mapped, and is not waited for
//! either: it is `EAGAIN` if it is met first of all, and ends the request there if something was mapped before.

use super::{claim::Waiting, claims::is_written, get_block, io_end::IoEnd};
use crate::{
    disk::units::LogicalBlock,
    error::{FsError, FsResult},
    inode::{
        convert, delayed,
        map::{self, Found},
        DataKind,
    },
    vfs::{
        direct_io::WriteMapping,
        file::Kiocb,
        inode::{ExclusiveLock, Inode, SharedLock},
        jbd2::Journal,
    },
    Rext4,
};
use core::ops::Range;
use kernel::{error::code, prelude::*};

/// Extents that are looked at; a request that meets more is told to wait.
const EXTENTS: u32 = 16;

/// Takes the inode's lock exclusively; a request that must not wait, only if it is free.
pub(crate) fn lock<'a>(request: &Kiocb<'a, Rext4>) -> Result<ExclusiveLock<'a, Rext4>> {
    let inode = request.inode();
    if request.is_nowait() {
        inode.try_lock().ok_or(code::EAGAIN)
    } else {
        Ok(inode.lock())
    }
}

/// Takes the inode's lock shared; a request that must not wait, only if it is free.
pub(super) fn lock_shared<'a>(request: &Kiocb<'a, Rext4>) -> Result<SharedLock<'a, Rext4>> {
    let inode = request.inode();
    if request.is_nowait() {
        inode.try_lock_shared().ok_or(code::EAGAIN)
    } else {
        Ok(inode.lock_shared())
    }
}

/// Whether blocks can be read without waiting for anything but their data; else `EAGAIN`.
pub(super) fn check_read(inode: &Inode<Rext4>, blocks: Range<LogicalBlock>) -> FsResult {
    check(inode, blocks, |_| Ok(()))
}

/// Whether blocks can be written without waiting for anything but the device; else `EAGAIN`.
///
/// One hole can be filled, if nothing else is to be made written: its blocks are [staged](crate::inode::staged), which
/// is done in memory.
pub(super) fn check_write(inode: &Inode<Rext4>, blocks: Range<LogicalBlock>) -> FsResult {
    let groups = inode.super_block().data().groups()?;
    let nodes = convert::new_nodes(inode);
    let can_stage = inode.data().kind() == DataKind::Extents
        && u64::from(blocks.end.0) <= delayed::end_of_file(inode);
    let (mut holes, mut unwritten) = (0, 0);
    check(inode, blocks, |found| {
        match found {
            Found::Written { .. } => return Ok(()),
            Found::Unwritten { .. } => unwritten += 1,
            Found::Hole { .. } => holes += 1,
        }
        let is_possible = holes == 0 || (holes == 1 && unwritten == 0 && can_stage);
        if is_possible && groups.can_reserve_conversion(nodes) {
            return Ok(());
        }
        Err(FsError::Kernel(code::EAGAIN))
    })
}

/// Where a block and up to `max - 1` after it are to be written to; see [`super::get_block::map_write`].
///
/// # Errors
///
/// `EAGAIN` if it would have to wait, or to fill a hole in another way than in memory.
pub(super) fn map_write(
    inode: &Inode<Rext4>,
    block: u64,
    max: u32,
    io_end: &mut Option<KBox<IoEnd>>,
) -> FsResult<WriteMapping> {
    let block = get_block::logical(block)?;
    let journal = inode.super_block().data().writing(inode.super_block())?;
    let found = map::find_at_once(inode, block)?;
    if let Found::Hole { len } = found {
        return stage(inode, journal, (block, len.min(max), max), io_end);
    }
    let mapping = get_block::mapping(&found, max).ok_or(FsError::Kernel(code::EAGAIN))?;
    if matches!(mapping, WriteMapping::Unwritten { .. }) {
        let own = get_block::need(io_end, inode, journal, Waiting::Forbidden)?;
        if own.staged().is_some() {
            return Err(FsError::Kernel(code::EAGAIN));
        }
        own.note_unwritten();
    }
    Ok(mapping)
}

/// Stages `len` blocks of a hole, of a request that has `left` blocks left.
fn stage(
    inode: &Inode<Rext4>,
    journal: &Journal,
    (block, len, left): (LogicalBlock, u32, u32),
    io_end: &mut Option<KBox<IoEnd>>,
) -> FsResult<WriteMapping> {
    let again = Err(FsError::Kernel(code::EAGAIN));
    let [behind, end] = [len, left].map(|len| LogicalBlock(block.0.saturating_add(len)));
    let is_first = io_end.is_none();
    let own = get_block::need(io_end, inode, journal, Waiting::Forbidden)?;
    if inode.data().kind() == DataKind::Extents
        && own.may_stage()
        && is_written(inode, &(behind..end), Waiting::Forbidden)?
    {
        if let Some(start) =
            get_block::stage(inode, journal, (block, len), own, Waiting::Forbidden)?
        {
            return Ok(WriteMapping::Unwritten {
                block: start.0,
                len,
            });
        }
    }
    if is_first {
        *io_end = None;
    }
    again
}

fn check(
    inode: &Inode<Rext4>,
    blocks: Range<LogicalBlock>,
    mut accept: impl FnMut(&Found) -> FsResult,
) -> FsResult {
    let mut start = blocks.start;
    for _ in 0..EXTENTS {
        let found = map::find_at_once(inode, start)?;
        accept(&found)?;
        let (Found::Hole { len } | Found::Written { len, .. } | Found::Unwritten { len, .. }) =
            found;
        start = LogicalBlock(start.0.saturating_add(len));
        if start >= blocks.end {
            return Ok(());
        }
    }
    Err(FsError::Kernel(code::EAGAIN))
}
