// SPDX-License-Identifier: GPL-2.0

//! Names taken away. What has none left is an orphan, and freed when nobody uses it any more.

use super::{drop_subdirectory, end, errno, journal_of, store};
use crate::{
    dir,
    error::FsResult,
    inode::{
        self,
        orphan::{self, Room},
        store::hold,
    },
    journal::credits,
    vfs::{
        inode::Inode,
        jbd2::{Credits, Handle},
        namespace::Directory,
    },
    Rext4,
};

/// Removing one name: the entry, the directory, and the inode, which may become an orphan.
pub(super) const REMOVE: u32 =
    credits::CHANGE_ENTRY + credits::INODE + credits::INODE + credits::ORPHAN;

/// Whether an inode can lose a name: what has no other, as no directory has, must be such that it can be
/// freed.
///
/// # Errors
///
/// `EOPNOTSUPP` for inodes whose data can't be served.
pub(super) fn check_removable(inode: &Inode<Rext4>) -> FsResult {
    if inode.links() > 1 && !inode.is_directory() {
        return Ok(());
    }
    inode::check_supported(inode)
}

/// Removes a name of an inode that is no directory.
///
/// # Errors
///
/// `EOPNOTSUPP` where the inode could not be freed; damage, errors of the journal.
pub(super) fn unlink(dir: &Directory<'_, Rext4>, name: &[u8], inode: &Inode<Rext4>) -> FsResult {
    check_removable(inode)?;
    let entry = dir::entry(dir, name, inode::number(inode))?;
    let _held = (hold(dir)?, hold(inode)?);
    let room = Room::new()?;
    let handle = journal_of(dir)?.start(Credits::new(REMOVE))?;
    dir::remove(dir, &handle, name, &entry)?;
    dir.note_data_change();
    store(dir, &handle)?;
    lose_link(inode, &handle, room)?;
    end(handle, &[&**dir])
}

/// Removes a directory.
///
/// # Errors
///
/// `ENOTEMPTY`, `EOPNOTSUPP` where the directory could not be freed; damage, errors of the journal.
pub(super) fn remove_directory(
    dir: &Directory<'_, Rext4>,
    name: &[u8],
    removed: &Directory<'_, Rext4>,
) -> FsResult {
    if !dir::is_empty(removed)? {
        return Err(errno(crate::bindings::ENOTEMPTY));
    }
    check_removable(removed)?;
    let entry = dir::entry(dir, name, inode::number(removed))?;
    let _held = (hold(dir)?, hold(removed)?);
    let room = Room::new()?;
    let handle = journal_of(dir)?.start(Credits::new(REMOVE))?;
    dir::remove(dir, &handle, name, &entry)?;
    drop_subdirectory(dir);
    dir.note_data_change();
    store(dir, &handle)?;
    lose_link(removed, &handle, room)?;
    end(handle, &[&**dir])
}

/// Takes a link from an inode whose name is gone; all of them from a directory. Needs credits for
/// the inode and [`credits::ORPHAN`]. `room` is made before the name goes, which would not come back
/// if there were none.
pub(super) fn lose_link(inode: &Inode<Rext4>, handle: &Handle<'_>, room: Room) -> FsResult {
    inode.set_links(if inode.is_directory() {
        0
    } else {
        // More names than links are damage, which e2fsck finds.
        inode.links().saturating_sub(1)
    });
    inode.note_change();
    if inode.links() == 0 {
        orphan::add_within(inode, handle, room)?;
    }
    store(inode, handle)
}
