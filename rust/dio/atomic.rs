// SPDX-License-Identifier: GPL-2.0

//! Writes that are there as a whole or not at all (`RWF_ATOMIC`).
//!
//! The device does not tear the data. What the file system has to see to is that it is one request to the device, and
//! one change of the tree: each such write is one block, since several need not be in a row on the device. It never
//! goes through the page cache.
//!
//! Until the write is complete a new block reads as zeros, and the size does not cover what was beyond it: a crash or an
//! error leaves nothing of it. Not so one that begins below the end of the file and ends beyond it: after a crash its
//! data can be there as far as the old size goes.

use super::alignment::ByteRange;
use crate::{
    inode::DataKind,
    vfs::{
        file::{IovIter, Kiocb},
        inode::Inode,
        stat::AtomicUnits,
    },
    Rext4,
};
use kernel::{error::code, prelude::*};

/// What one such write may have in a file: a block, if the device does that. Files with block maps have none, nor have
/// those whose data is in the inode, as with C ext4.
pub(crate) fn units(inode: &Inode<Rext4>) -> Option<AtomicUnits> {
    if !inode.is_regular() || inode.data().kind() != DataKind::Extents {
        return None;
    }
    let block = inode.super_block().data().layout.block_size().bytes();
    let device = inode.super_block().device().atomic_units()?;
    let (min, max) = (device.min.max(block), device.max.min(block));
    (min <= max).then_some(AtomicUnits { min, max })
}

/// Whether a write can be one, before anything of the file is looked at.
///
/// # Errors
///
/// `EINVAL`; `EOPNOTSUPP` if it goes through the page cache.
pub(crate) fn check(request: &Kiocb<'_, Rext4>, memory: &mut IovIter<'_>) -> Result {
    let units = units(request.inode()).ok_or(code::EINVAL)?;
    if !(units.min as usize..=units.max as usize).contains(&memory.len()) {
        return Err(code::EINVAL);
    }
    request.check_atomic(memory)
}

/// The same when it is known where it begins (`O_APPEND`) and how much of it may be written: `bytes` of `asked`.
///
/// # Errors
///
/// `EINVAL` if it does not begin with a block, `EFBIG` if a limit cuts it.
pub(super) fn check_place(request: &Kiocb<'_, Rext4>, asked: usize, bytes: usize) -> Result {
    if bytes < asked {
        return Err(code::EFBIG);
    }
    let size = request.inode().super_block().data().layout.block_size();
    let range = ByteRange::new(request.position(), bytes, size).ok_or(code::EFBIG)?;
    match range.partial_blocks() {
        [None, None] => Ok(()),
        _ => Err(code::EINVAL),
    }
}
