// SPDX-License-Identifier: GPL-2.0

//! Requests that must not wait (`RWF_NOWAIT`, and what io_uring tries first): they are told `EAGAIN`
//! where another would have to.
//!
//! This is about direct I/O; for writes through the page cache see [`crate::file::buffered`].
//!
//! So that nothing is half done then, all of it is looked at before anything is submitted: locks, nodes of the tree
//! that are not in memory, holes (to fill one takes a transaction), other writes in the same block, the reserve for
//! the conversion. What others have changed since then is found when blocks are mapped, and is not waited for
//! either: it is `EAGAIN` if it is met first of all, and ends the request there if something was mapped before.

use super::{claim::Waiting, get_block, io_end::IoEnd};
use crate::{
    disk::units::LogicalBlock,
    error::{FsError, FsResult},
    inode::{
        convert,
        map::{self, Found},
    },
    vfs::{
        direct_io::WriteMapping,
        file::Kiocb,
        inode::{ExclusiveLock, Inode, SharedLock},
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
pub(super) fn check_write(inode: &Inode<Rext4>, blocks: Range<LogicalBlock>) -> FsResult {
    let groups = inode.super_block().data().groups()?;
    let nodes = convert::new_nodes(inode);
    check(inode, blocks, |found| match found {
        Found::Written { .. } => Ok(()),
        Found::Unwritten { .. } if groups.can_reserve_conversion(nodes) => Ok(()),
        Found::Unwritten { .. } | Found::Hole { .. } => Err(FsError::Kernel(code::EAGAIN)),
    })
}

/// Where a block and up to `max - 1` after it are to be written to; see [`super::get_block::map_write`].
///
/// A request that comes here is not all over written blocks, and takes its reserve before anything is submitted.
///
/// # Errors
///
/// `EAGAIN` if it would have to wait, or to fill a hole.
pub(super) fn map_write(
    inode: &Inode<Rext4>,
    block: u64,
    max: u32,
    io_end: &mut Option<KBox<IoEnd>>,
) -> FsResult<WriteMapping> {
    let mapping = match map::find_at_once(inode, get_block::logical(block)?)? {
        // See `get_block`.
        Found::Written { start, .. } => WriteMapping::Written {
            block: start.0,
            len: 1,
        },
        Found::Unwritten { start, len } => WriteMapping::Unwritten {
            block: start.0,
            len: len.min(max),
        },
        Found::Hole { .. } => return Err(FsError::Kernel(code::EAGAIN)),
    };
    let journal = inode.super_block().data().writing(inode.super_block())?;
    get_block::need(io_end, inode, journal, Waiting::Forbidden)?;
    Ok(mapping)
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
