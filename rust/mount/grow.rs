// SPDX-License-Identifier: GPL-2.0

//! Making a mounted file system larger.
//!
//! First its last group gets as many blocks as a group can have, or as are wanted. Then come new groups,
//! several at a time: those that have their metadata together, as far as their descriptors lie in one
//! block. Each step is a transaction, and after a crash the file system has the size of one of them.
//!
//! ```text
//!   past the journal: bitmaps, tables, copies of the super block and descriptors in the new groups
//!   one transaction:  descriptors ─ resize inode ─ super block
//!   in memory:        the groups are used
//!   at the end:       commit; all copies
//! ```
//!
//! What is new lies where nobody looks before that transaction, and is written when it begins: its commit
//! flushes the device's cache before the block that makes it valid, and without a journal it is flushed before
//! the transaction. See [`crate::group`] for what is kept in memory.
//!
//! | file | what |
//! |---|---|
//! | [`resize_inode`] | what is kept for more descriptors |
//! | [`meta_groups`] | where these go when that is used up |
//! | [`copies`] | copies of the super block and the descriptors |

mod copies;
mod meta_groups;
mod resize_inode;

use super::Filesystem;
use crate::{
    disk::{features::Feature, superblock::Size, units::GroupNumber},
    error::{FsError, FsResult},
    group::NewGroups,
    journal::credits,
    vfs::{
        ioctl::Resize,
        jbd2::{Credits, Handle, Journal},
        super_block::SuperBlock,
    },
    Rext4,
};
use core::sync::atomic::Ordering;
use kernel::{error::code, prelude::*};
use resize_inode::ResizeInode;

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
/// `EINVAL` to make it smaller, or larger than its numbers of blocks and inodes, or if its resize inode is
/// not as it should be; `ENOSPC` if the device is too small, or the journal; `EOPNOTSUPP` with
/// `sparse_super2`, and for groups of the caller's; `EPERM` if errors were found; `EBUSY` if somebody else is
/// about it; those of [`Filesystem::writing`]. It may be larger than before then, but not as large as it
/// should be.
pub(super) fn grow(sb: &SuperBlock<Rext4>, how: Resize, wanted: u64) -> FsResult {
    let fs = sb.data();
    let journal = fs.writing(sb)?;
    let Some(_alone) = fs.resizing.try_lock() else {
        return Err(refuse(sb, code::EBUSY, "somebody else is doing that"));
    };
    let layout = &fs.layout;
    let old = layout.blocks_count();
    let end = check(sb, fs, how, wanted)?;
    if end == old {
        return Ok(());
    }
    let first = layout.group_count();
    let result = extend_last(fs, journal, end.min(layout.end_of_groups().0))
        .and_then(|()| add_groups(sb, fs, journal, end));
    let now = layout.blocks_count();
    if now == old {
        return result;
    }
    let committed = journal.force_commit();
    pr_info!("({}): resized from {} to {} blocks\n", sb.id(), old, now);
    // It is done, whatever becomes of the copies.
    if committed.is_ok() && copies::update(sb, first).is_err() {
        pr_warn!(
            "({}): warning: can't write the new size to all copies of the super block\n",
            sb.id()
        );
    }
    fs.continue_zeroing(sb);
    result.and(Ok(committed?))
}

/// Has the last group end at `end`.
fn extend_last(fs: &Filesystem, journal: &Journal, end: u64) -> FsResult {
    if end <= fs.layout.blocks_count() {
        return Ok(());
    }
    let handle = journal.start(Credits::new(credits::EXTEND_LAST_GROUP))?;
    // What can fail for want of memory, before anything is changed: from here on the handle has access.
    fs.edit_primary(&handle, |_| ())?;
    fs.groups()?.extend_last(&handle, end)?;
    fs.edit_primary(&handle, |superblock| superblock.set_blocks_count(end))?;
    Ok(handle.stop()?)
}

/// Adds groups until the file system ends at `end`.
fn add_groups(sb: &SuperBlock<Rext4>, fs: &Filesystem, journal: &Journal, end: u64) -> FsResult {
    let layout = &fs.layout;
    while layout.blocks_count() < end {
        let first = layout.group_count();
        let size = fs.primary.with(|superblock| superblock.size())?;
        let is_in_meta_group = first / layout.descriptors_per_block() >= layout.first_meta_group();
        if is_in_meta_group && size.first_meta_group.is_none() {
            meta_groups::begin(sb, fs, journal, &size)?;
            continue;
        }
        // Those that have their metadata together, with descriptors in one block.
        let flex = layout.groups_per_flex().min(layout.descriptors_per_block());
        let behind = (first / flex + 1).saturating_mul(flex);
        let most = layout.first_block(GroupNumber(behind)).0;
        let zero_tables = !fs.leaves_tables_for_later();
        let new = fs
            .groups()?
            .prepare(sb.device(), end.min(most), zero_tables)?;
        add(sb, fs, journal, &new, size)?;
    }
    Ok(())
}

/// Adds groups that were prepared.
fn add(
    sb: &SuperBlock<Rext4>,
    fs: &Filesystem,
    journal: &Journal,
    new: &NewGroups,
    mut size: Size,
) -> FsResult {
    let (groups, grown) = (fs.groups()?, new.grown());
    let has_copies = new.numbers().any(|group| grown.has_superblock(group));
    let kept = grown.kept_for_descriptors();
    let block = new.new_descriptor_block();
    let needs_inode = size.has_resize_inode
        && size.first_meta_group.is_none()
        && (block.is_some() || (has_copies && kept > 0));
    let inode = match needs_inode {
        true => Some(ResizeInode::read(sb, new)?),
        false => None,
    };
    let credits =
        Credits::new(credits::ADD_GROUPS + inode.as_ref().map_or(0, ResizeInode::credits));
    if credits.blocks > journal.max_credits() {
        return Err(refuse(sb, code::ENOSPC, "the journal is too small"));
    }
    copies::begin(sb, new)?;
    journal.settle()?;
    let handle = journal.start(credits)?;
    fs.edit_primary(&handle, |_| ())?;
    if let Some(inode) = &inode {
        inode.change(fs, &handle, new)?;
    }
    groups.describe(&handle, new)?;
    size.add_blocks(grown.blocks_count() - fs.layout.blocks_count());
    size.inodes = grown.inodes_count();
    size.free_blocks = groups.free_blocks().saturating_add(new.free_blocks());
    size.free_inodes = u32::try_from(groups.free_inodes())
        .unwrap_or(u32::MAX)
        .saturating_add(new.inodes());
    let overhead = fs.overhead.load(Ordering::Relaxed) + new.own_blocks();
    size.overhead = u32::try_from(overhead).unwrap_or(0);
    if size.first_meta_group.is_none() {
        // At most a quarter of the bytes of a block.
        size.kept_for_descriptors = kept as u16;
    }
    publish(fs, &handle, new, &size)?;
    fs.overhead.store(overhead, Ordering::Relaxed);
    Ok(handle.stop()?)
}

/// Tells of new groups, on disk and in memory.
fn publish(fs: &Filesystem, handle: &Handle<'_>, new: &NewGroups, size: &Size) -> FsResult {
    fs.edit_primary(handle, |superblock| superblock.set_size(size))?;
    fs.groups()?.publish(new, size.reserved_blocks)
}

/// Where the file system is to end.
fn check(sb: &SuperBlock<Rext4>, fs: &Filesystem, how: Resize, wanted: u64) -> FsResult<u64> {
    let layout = &fs.layout;
    let (has_errors, size) = fs
        .primary
        .with(|superblock| (superblock.state().has_errors(), superblock.size()))?;
    if has_errors {
        return Err(refuse(sb, code::EPERM, "it has errors, run e2fsck first"));
    }
    let has_meta_groups = size.first_meta_group.is_some();
    let is_possible = match size.has_resize_inode {
        true => !has_meta_groups,
        false => has_meta_groups || size.kept_for_descriptors == 0,
    };
    if !is_possible {
        let why = "blocks are kept for more descriptors in a way that can't be, run e2fsck first";
        return Err(refuse(sb, code::EINVAL, why));
    }
    if fs.features.has(Feature::SPARSE_SUPER2) {
        let why = "not with sparse_super2 while it is mounted";
        return Err(refuse(sb, crate::error::eopnotsupp(), why));
    }
    if how == Resize::AddGroup {
        let why = "no groups of the caller's, which a newer resize2fs does not ask for";
        return Err(refuse(sb, crate::error::eopnotsupp(), why));
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
    if how == Resize::LastGroup {
        return Ok(wanted.min(layout.end_of_groups().0));
    }
    let end = layout.end_for(wanted);
    if !layout.can_end_at(end) {
        let why = "it can't have so many groups or inodes";
        return Err(refuse(sb, code::EINVAL, why));
    }
    Ok(end)
}
