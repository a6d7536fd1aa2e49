// SPDX-License-Identifier: GPL-2.0

//! Giving up the block of attributes of an inode that is being deleted.

use super::read_block;
use crate::{
    disk::{
        xattr::{drop_reference, update_checksum},
        Corrupt,
    },
    error::FsResult,
    inode::store,
    journal::credits,
    vfs::{inode::Inode, jbd2::Credits},
    Rext4,
};

/// Gives up the inode's block of attributes, if it has one: frees it, unless others share it.
/// Within a transaction of its own; after a crash it is done, or nothing of it.
///
/// # Errors
///
/// Damage, `EROFS` and other errors of the journal.
pub(crate) fn release_block(inode: &Inode<Rext4>) -> FsResult {
    let Some(buffer) = read_block(inode)? else {
        return Ok(());
    };
    let Some(block) = inode.data().xattr_block() else {
        return Ok(());
    };
    let sb = inode.super_block();
    let fs = sb.data();
    let journal = fs.writing(sb)?;
    let blocks = 1 + credits::ALLOCATE + credits::INODE;
    let handle = journal.start(Credits::new(blocks).with_revokes(1))?;
    // The count is lowered and looked at in one step: two inodes that share the block may be
    // deleted at the same time.
    let left = handle
        .write(&buffer)?
        .edit(|bytes| -> Result<u32, Corrupt> {
            let left = drop_reference(bytes)?;
            if let Some(seed) = fs.seed {
                update_checksum(bytes, block, seed)?;
            }
            Ok(left)
        })??;
    if left == 0 {
        handle.forget(buffer)?;
        fs.groups()?.free(&handle, block, 1)?;
    }
    store::edit(inode, &handle, |raw| raw.set_xattr_block(None))?;
    Ok(handle.stop()?)
}
