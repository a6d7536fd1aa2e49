// SPDX-License-Identifier: GPL-2.0

//! Making a mounted file system larger, as far as its last group can reach. What would need new groups
//! is refused as a whole.
//!
//! It is one transaction: the bitmap and the descriptor of the last group, and the size in the super
//! block. After a crash the file system has the old size or the new one. See [`crate::group`] for what
//! is kept in memory.

use super::{administration::edit_copies, Filesystem};
use crate::{
    disk::features::Feature,
    error::{FsError, FsResult},
    journal::credits,
    vfs::{ioctl::Resize, jbd2::Credits, super_block::SuperBlock},
    Rext4,
};
use kernel::{error::code, prelude::*};

/// Says why it is not done, and gives the errno.
fn refuse(sb: &SuperBlock<Rext4>, errno: Error, why: &str) -> FsError {
    pr_warn!("({}): warning: can't resize: {}\n", sb.id(), why);
    FsError::Kernel(errno)
}

/// Makes the file system `wanted` blocks large. With [`Resize::LastGroup`] no larger than its last group
/// can reach. Waits for the commit.
///
/// # Errors
///
/// `EINVAL` to make it smaller, or larger than its block numbers; `ENOSPC` if the device is too small;
/// `EOPNOTSUPP` if new groups were needed, and with `sparse_super2`; `EPERM` if errors were found;
/// `EBUSY` if somebody else is about it; those of [`Filesystem::writing`].
pub(super) fn grow(sb: &SuperBlock<Rext4>, how: Resize, wanted: u64) -> FsResult {
    let fs = sb.data();
    let journal = fs.writing(sb)?;
    let Some(_alone) = fs.resizing.try_lock() else {
        return Err(refuse(sb, code::EBUSY, "somebody else is doing that"));
    };
    let old = fs.layout.blocks_count();
    let end = check(sb, fs, how, wanted)?;
    if end == old {
        return Ok(());
    }
    let handle = journal.start(Credits::new(credits::EXTEND_LAST_GROUP))?;
    // What can fail for want of memory, before anything is changed: from here on the handle has access.
    fs.edit_primary(&handle, |_| ())?;
    fs.groups()?.extend_last(&handle, end)?;
    fs.edit_primary(&handle, |superblock| superblock.set_blocks_count(end))?;
    handle.set_sync();
    handle.stop()?;
    pr_info!("({}): resized from {} to {} blocks\n", sb.id(), old, end);
    // It is done, whatever becomes of the copies.
    if edit_copies(sb, |copy| copy.set_blocks_count(end)).is_err() {
        pr_warn!(
            "({}): warning: can't write the new size to all copies of the super block\n",
            sb.id()
        );
    }
    Ok(())
}

/// Where the file system is to end.
fn check(sb: &SuperBlock<Rext4>, fs: &Filesystem, how: Resize, wanted: u64) -> FsResult<u64> {
    let layout = &fs.layout;
    if fs
        .primary
        .with(|superblock| superblock.state().has_errors())?
    {
        return Err(refuse(sb, code::EPERM, "it has errors, run e2fsck first"));
    }
    if fs.features.has(Feature::SPARSE_SUPER2) {
        let why = "not with sparse_super2 while it is mounted";
        return Err(refuse(sb, crate::error::eopnotsupp(), why));
    }
    let new_groups = "new groups can't be added while it is mounted, unmount it for that";
    if how == Resize::AddGroup {
        return Err(refuse(sb, crate::error::eopnotsupp(), new_groups));
    }
    if how == Resize::LastGroup && wanted == 0 {
        return Ok(layout.blocks_count());
    }
    if wanted < layout.blocks_count() {
        let why = "it can't be made smaller while it is mounted";
        return Err(refuse(sb, code::EINVAL, why));
    }
    if !layout.has_long_block_numbers() && wanted > u64::from(u32::MAX) {
        let why = "without the feature 64bit it can't have so many blocks";
        return Err(refuse(sb, code::EINVAL, why));
    }
    if wanted > sb.device().bytes() >> layout.block_size().bits() {
        return Err(refuse(sb, code::ENOSPC, "the device is too small"));
    }
    let most = layout.end_of_groups().0;
    let end = if how == Resize::LastGroup {
        wanted.min(most)
    } else {
        layout.end_for(wanted)
    };
    if end > most {
        return Err(refuse(sb, crate::error::eopnotsupp(), new_groups));
    }
    Ok(end)
}
