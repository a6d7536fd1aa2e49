// SPDX-License-Identifier: GPL-2.0

//! Requests that must not wait (`RWF_NOWAIT`, and what io_uring tries first): they are told `EAGAIN`
//! where another would have to.
//!
//! This is about direct I/O; for writes through the page cache see [`crate::file::buffered`].
//!
//! So that nothing is half done then, all that can take long is looked at before anything is
//! submitted: locks, nodes of the tree that are not in memory, holes (to fill one takes a
//! transaction), other writes in the same block, the reserve for the conversion. What is left can
//! take a moment: another who has the tree for writing in between, memory, a place in the device's
//! queue, for which the kernel's direct I/O always waits.

use crate::{
    disk::units::LogicalBlock,
    error::{FsError, FsResult},
    inode::{
        convert,
        map::{self, Found},
    },
    vfs::{
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
