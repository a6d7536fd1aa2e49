// SPDX-License-Identifier: GPL-2.0

//! What extent trees and block maps do alike with blocks of the device.

use crate::{
    disk::units::PhysicalBlock,
    error::FsResult,
    group::{Rights, Wanted},
    quota::{self, Limits},
    vfs::{
        buffer::{Buffer, FreshBuffer},
        inode::Inode,
        jbd2::Handle,
    },
    Rext4,
};

/// Allocates a block for a node or a table, and counts it to the owner of the inode.
///
/// # Errors
///
/// `EDQUOT` if limits are heeded; those of [`Groups::allocate`](crate::group::Groups::allocate). Nothing is counted then.
pub(super) fn allocate(
    inode: &Inode<Rext4>,
    handle: &Handle<'_>,
    wanted: Wanted,
    rights: Rights<'_>,
    limits: Limits,
) -> FsResult<Buffer> {
    let sb = inode.super_block();
    let fs = sb.data();
    quota::charge(inode, 1, limits)?;
    let take = || -> FsResult<Buffer> {
        let run = fs.groups()?.allocate(handle, wanted, rights)?;
        let size = fs.layout.block_size().bytes();
        let made = FreshBuffer::get(sb.device(), run.start.0, size);
        let made = made.and_then(|fresh| handle.create(fresh));
        if made.is_err() {
            fs.groups()?.free(handle, run.start, run.len)?;
        }
        Ok(made?)
    };
    take().inspect_err(|_| quota::free(inode, 1))
}

/// What is left to do about blocks of data that were just freed: if they hold metadata the journal forgets them, and
/// they are not counted any more.
///
/// After it is known that they are not the file system's own: what is forgotten is lost. Nobody gets them before this
/// transaction is committed.
pub(super) fn let_go(
    inode: &Inode<Rext4>,
    handle: &Handle<'_>,
    start: PhysicalBlock,
    len: u32,
) -> FsResult {
    let sb = inode.super_block();
    if super::holds_metadata(inode) {
        let size = sb.data().layout.block_size().bytes();
        if inode.is_regular() {
            sb.data().last_journaled.note(inode, handle);
        }
        for block in (start.0..).take(len as usize) {
            handle.forget_block(block, size)?;
        }
    }
    quota::free(inode, len);
    Ok(())
}
