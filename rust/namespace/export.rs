// SPDX-License-Identifier: GPL-2.0

//! Inodes by number, for those who have kept one in a handle.

use crate::{
    dir,
    disk::{allocation::AllocationError, units::InodeNumber, Corrupt},
    error::{FsError, FsResult},
    inode::{self, store},
    mount::Filesystem,
    vfs::{export::Export, inode::Inode, super_block::SuperBlock},
    Rext4,
};
use kernel::{prelude::*, sync::aref::ARef};

impl Export for Rext4 {
    fn inode_of_handle(sb: &SuperBlock<Self>, ino: u64) -> Result<ARef<Inode<Self>>> {
        by_number(sb, ino).map_err(|e| {
            sb.data()
                .errno_at(sb, None, "find an inode by its handle", e)
        })
    }

    fn parent(dir: &Inode<Self>) -> Result<ARef<Inode<Self>>> {
        let parent = || inode::get(dir.super_block(), dir::parent_unlocked(dir)?);
        parent().map_err(|e| Filesystem::errno(dir, "find the parent of a directory", e))
    }

    fn commit(inode: &Inode<Self>) -> Result {
        commit(inode).map_err(|e| Filesystem::errno(inode, "commit an inode", e))
    }
}

/// Without a look at its data: neither is that waited for, nor is the device flushed for it.
fn commit(inode: &Inode<Rext4>) -> FsResult {
    let sb = inode.super_block();
    let Some(journal) = sb.data().journal_for_writing(sb)? else {
        return Ok(());
    };
    if inode.has_changed_metadata() {
        // Times, those that a call has set as well, are in memory alone.
        store::write_inode(inode, false)?;
    }
    inode.data().sync_point.commit(journal)
}

fn by_number(sb: &SuperBlock<Rext4>, ino: u64) -> FsResult<ARef<Inode<Rext4>>> {
    let stale = || super::errno(crate::bindings::ESTALE);
    let number = u32::try_from(ino).map_err(|_| stale())?;
    let number = InodeNumber(number);
    // Those of the file system's own have no names, and are nobody's business.
    if !sb.data().is_plausible_entry(number) {
        return Err(stale());
    }
    match inode::get(sb, number) {
        // Whoever asks may remember another file system, so this is no damage.
        Err(FsError::Corrupt(Corrupt::Allocation(AllocationError::NoSuchInode { .. }))) => {
            Err(stale())
        }
        result => result,
    }
}
