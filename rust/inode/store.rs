// SPDX-License-Identifier: GPL-2.0

//! Writing an inode to the inode table.

use super::{load, seed};
use crate::{
    disk::{extent::ROOT_SIZE, inode as format, units::InodeNumber},
    error::{FsError, FsResult},
    journal::{credits, sync_point::Change},
    vfs::{
        buffer::Buffer,
        inode::Inode,
        jbd2::{Credits, Handle},
        stat::Timestamp,
    },
    xattr::room,
    Rext4,
};
use core::sync::atomic::Ordering;
use kernel::error::code::EIO;

/// Writes an inode within a transaction of its own, and says when it is on disk: with `wait` when
/// this returns, else when that transaction is.
pub(crate) fn write_inode(inode: &Inode<Rext4>, wait: bool) -> FsResult {
    let fs = inode.super_block().data();
    // Reading is possible when the file system is read-only; then there is nothing to be written.
    let Some(journal) = fs.journal_for_writing(inode.super_block())? else {
        return Ok(());
    };
    let handle = room::start(inode, journal, Credits::new(credits::INODE))?;
    let root = inode.data().tree.read();
    store(inode, &handle, &root)?;
    drop(root);
    // Only times have changed: what else changes is stored at once.
    inode.data().sync_point.note(&handle, Change::Other);
    let tid = handle.tid();
    handle.stop()?;
    if let (true, Some(tid)) = (wait, tid) {
        journal.commit(tid)?;
    }
    Ok(())
}

/// Brings the inode table up to date with the inode in memory, whose `i_block` is `root`. Needs
/// credits for one block.
pub(crate) fn store(inode: &Inode<Rext4>, handle: &Handle<'_>, root: &[u8; ROOT_SIZE]) -> FsResult {
    edit(inode, handle, |raw| {
        let layout = &inode.super_block().data().layout;
        let (uid, gid) = inode.owner();
        raw.set_mode(inode.mode());
        raw.set_uid(uid);
        raw.set_gid(gid);
        raw.set_links_count(u16::try_from(inode.links()).unwrap_or(1));
        let size = if inode.is_regular() {
            inode.data().disk_size()
        } else {
            inode.size()
        };
        raw.set_size(size as u64);
        raw.set_atime(to_disk(inode.atime()));
        raw.set_mtime(to_disk(inode.mtime()));
        raw.set_ctime(to_disk(inode.ctime()));
        raw.set_version(inode.version());
        if inode.data().kind().has_blocks() {
            *raw.block_area_mut() = *root;
        }
        raw.set_sectors(layout, inode.blocks())
            .map_err(|e| FsError::Corrupt(e.into()))
    })?
}

/// The block of the inode table that an inode lies in. As long as it is held, storing the inode reads nothing: who
/// changes something else first takes it before that, and nothing but the journal can stop him then.
///
/// # Errors
///
/// `EIO`.
pub(crate) fn hold(inode: &Inode<Rext4>) -> FsResult<Buffer> {
    load::own_table_block(inode).map(|(buffer, _)| buffer)
}

/// Something else of the change is made already. Without memory it may be tried again.
fn unreadable(error: FsError) -> FsError {
    match error.is(EIO) {
        true => error.in_the_midst(),
        false => error,
    }
}

/// Changes single fields of an inode in the inode table, and its checksum. Needs credits for one
/// block. `change` must not sleep.
///
/// # Errors
///
/// Those of the journal. [`FsError::Torn`] if the block can't be read, see [`hold`].
pub(crate) fn edit<R>(
    inode: &Inode<Rext4>,
    handle: &Handle<'_>,
    change: impl FnOnce(&mut format::Inode<&mut [u8]>) -> R,
) -> FsResult<R> {
    let fs = inode.super_block().data();
    let (buffer, place) = load::own_table_block(inode).map_err(unreadable)?;
    let seed = seed(inode);
    handle.write(&buffer)?.edit(|block| {
        let mut raw = format::Inode::in_block(block, &fs.layout, place)
            .map_err(|e| FsError::Corrupt(e.into()))?;
        let result = change(&mut raw);
        if let Some(seed) = seed {
            raw.update_checksum(seed);
        }
        Ok(result)
    })?
}

/// Sets a flag of an inode, in memory and in the inode table. Needs credits for one block.
pub(crate) fn set_flag(inode: &Inode<Rext4>, handle: &Handle<'_>, flag: u32) -> FsResult {
    edit(inode, handle, |raw| raw.set_flags(raw.flags().with(flag)))?;
    inode.data().flags.fetch_or(flag, Ordering::Relaxed);
    Ok(())
}

/// Clears a flag, in the same way.
pub(crate) fn clear_flag(inode: &Inode<Rext4>, handle: &Handle<'_>, flag: u32) -> FsResult {
    edit(inode, handle, |raw| {
        raw.set_flags(raw.flags().without(flag))
    })?;
    inode.data().flags.fetch_and(!flag, Ordering::Relaxed);
    Ok(())
}

/// Changes the link to the next orphan of an inode that is not in memory. Needs credits for one
/// block.
pub(crate) fn edit_next_orphan(
    sb: &crate::vfs::super_block::SuperBlock<Rext4>,
    handle: &Handle<'_>,
    of: InodeNumber,
    next: Option<InodeNumber>,
) -> FsResult {
    let fs = sb.data();
    let (buffer, place) = load::table_block(sb, of).map_err(unreadable)?;
    handle.write(&buffer)?.edit(|block| -> FsResult {
        let mut raw = format::Inode::in_block(block, &fs.layout, place)
            .map_err(|e| FsError::Corrupt(e.into()))?;
        raw.set_next_orphan(next);
        if let Some(seed) = fs.seed {
            let seed = raw.seed(seed, of);
            raw.update_checksum(seed);
        }
        Ok(())
    })?
}

pub(super) fn to_disk(time: Timestamp) -> format::Timestamp {
    format::Timestamp {
        seconds: time.seconds,
        nanoseconds: time.nanoseconds,
    }
}
