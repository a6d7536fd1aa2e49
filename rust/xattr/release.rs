// SPDX-License-Identifier: GPL-2.0

//! Giving up a block of attributes, which may be one that other inodes use too.

use super::{change::store_fields, read_block};
use crate::{
    disk::{
        units::PhysicalBlock,
        xattr::{block_references, drop_reference, update_checksum},
        Corrupt,
    },
    error::FsResult,
    inode::store,
    journal::credits,
    quota,
    vfs::{buffer::Buffer, inode::Inode, jbd2::Handle},
    Rext4,
};

/// Gives up the block of attributes of an inode that is being deleted, if it has one. Within a
/// transaction of its own; after a crash it is done, or nothing of it.
///
/// # Errors
///
/// Damage, `EROFS` and other errors of the journal.
pub(crate) fn release_block(inode: &Inode<Rext4>) -> FsResult {
    if inode.data().xattr_block.read().is_none() {
        return Ok(());
    }
    let sb = inode.super_block();
    let journal = sb.data().writing(sb)?;
    let handle = journal.start(credits::RELEASE_XATTRS)?;
    let mut place = inode.data().xattr_block.write();
    if let Some(buffer) = read_block(inode, *place)? {
        drop_user(inode, &handle, buffer)?;
        *place = None;
        store::edit(inode, &handle, |raw| raw.set_xattr_block(None))?;
        // With the space that is less now: a symbolic link that has some beside its block of attributes
        // would not have its text in the inode.
        store_fields(inode, &handle)?;
    }
    drop(place);
    Ok(handle.stop()?)
}

/// Takes an inode off the users of a block of attributes, and frees the block after the last one.
/// The space is the inode's no more; the caller stores that. Needs credits as
/// [`credits::RELEASE_XATTRS`] counts them.
///
/// # Errors
///
/// Damage, with nothing changed; errors of the journal.
pub(super) fn drop_user(inode: &Inode<Rext4>, handle: &Handle<'_>, buffer: Buffer) -> FsResult {
    let fs = inode.super_block().data();
    let block = PhysicalBlock(buffer.block());
    // Two inodes that share the block may give it up at the same time. Who finds himself the last
    // one must not have the journal forget the block while the other has lowered the count, but not
    // yet said so to the journal.
    let alone = fs.shared_xattrs.lock();
    if buffer.with(block_references).map_err(Corrupt::from)? == 1 {
        // First, as it can fail: what is forgotten is lost, and then the inode would still have it.
        fs.groups()?.free(handle, block, 1)?;
        handle.forget(buffer)?;
    } else {
        handle
            .write(&buffer)?
            .edit(|bytes| -> Result<(), Corrupt> {
                drop_reference(bytes)?;
                if let Some(seed) = fs.seed {
                    update_checksum(bytes, block, seed)?;
                }
                Ok(())
            })??;
    }
    drop(alone);
    quota::free(inode, 1);
    Ok(())
}
