// SPDX-License-Identifier: GPL-2.0

//! The operations on names: each one transaction, so that a crash leaves all of it or nothing.
//!
//! | file | what |
//! |---|---|
//! | [`create`] | files, directories, nodes, links to text; and files without a name |
//! | [`remove`] | names taken away, and directories |
//! | [`rename`] | names moved and exchanged |
//! | [`mod@export`] | inodes found by number, for NFS |
//!
//! What can fail for want of space comes first: the inode and the new entry. An inode that does not
//! get its name goes onto the list of orphans and is freed at its end, like one that lost its last
//! name. Where there was no space, and blocks were freed by transactions that are not committed yet,
//! they are committed, and the operation is tried once more.
//!
//! # Locks
//!
//! The VFS has locked the directories, and the inodes that lose or get a name. A handle comes next,
//! and then what `Documentation/locking.md` says.

mod create;
mod export;
mod remove;
mod rename;

use crate::{
    disk::{features::Feature, inode::InodeFlags},
    error::{FsError, FsResult},
    extent,
    inode::{self, store, tree::ReadTree, DataKind},
    journal::sync_point::Change,
    mount::Filesystem,
    vfs::{
        inode::{ExclusiveLock, Inode},
        jbd2::{Handle, Journal},
        namespace::{Creation, Directory, NameSpace, Rename, RenameKind},
        new_inode::NewInode,
    },
    xattr::room,
    Rext4,
};
use kernel::{error::Error, prelude::*};

impl NameSpace for Rext4 {
    fn create(
        dir: &Directory<'_, Self>,
        name: &[u8],
        wanted: &Creation<'_, Self>,
    ) -> Result<NewInode<Self>> {
        with_inode(dir, |journal| create::create(dir, name, wanted, journal))
            .map_err(|e| Filesystem::errno(dir, "create", e))
    }

    fn create_unnamed(dir: &Inode<Self>, wanted: &Creation<'_, Self>) -> Result<NewInode<Self>> {
        with_inode(dir, |journal| create::create_unnamed(dir, wanted, journal))
            .map_err(|e| Filesystem::errno(dir, "create a file without a name", e))
    }

    fn link(
        inode: &Inode<Self>,
        lock: &ExclusiveLock<'_, Self>,
        dir: &Directory<'_, Self>,
        name: &[u8],
    ) -> Result {
        if inode.links() == 0 {
            // It leaves the list of orphans, on which they need it.
            inode.data().appends.wait(lock)?;
        }
        with_reclaim(dir, |journal| create::link(inode, dir, name, journal))
            .map_err(|e| Filesystem::errno(dir, "link", e))
    }

    fn unlink(dir: &Directory<'_, Self>, name: &[u8], inode: &Inode<Self>) -> Result {
        remove::unlink(dir, name, inode).map_err(|e| Filesystem::errno(dir, "unlink", e))
    }

    fn remove_directory(
        dir: &Directory<'_, Self>,
        name: &[u8],
        removed: &Directory<'_, Self>,
    ) -> Result {
        remove::remove_directory(dir, name, removed)
            .map_err(|e| Filesystem::errno(dir, "remove a directory", e))
    }

    fn rename(rename: &Rename<'_, Self>) -> Result {
        let attempt = |journal: &Journal| rename::rename(rename, journal);
        match rename.kind {
            RenameKind::Whiteout(_) => with_inode(&rename.to, attempt),
            _ => with_reclaim(&rename.to, attempt),
        }
        .map_err(|e| Filesystem::errno(&rename.to, "rename", e))
    }
}

/// The most links that an inode can have, but for directories with `dir_nlink`: see
/// [`add_subdirectory`].
const MOST_LINKS: u32 = 65_000;

fn errno(number: u32) -> FsError {
    // Numbers of errors are below 4096.
    FsError::Kernel(Error::from_errno(-(number as i32)))
}

/// The journal, for a change in `dir`.
fn journal_of(dir: &Inode<Rext4>) -> FsResult<&Journal> {
    let sb = dir.super_block();
    sb.data().writing(sb)
}

/// Does something in `dir`, see [`Filesystem::with_reclaim`].
fn with_reclaim<R>(dir: &Inode<Rext4>, attempt: impl Fn(&Journal) -> FsResult<R>) -> FsResult<R> {
    let sb = dir.super_block();
    sb.data().with_reclaim(sb, attempt)
}

/// The same for something that makes an inode. Where there is none, no commit can bring one.
fn with_inode<R>(dir: &Inode<Rext4>, attempt: impl Fn(&Journal) -> FsResult<R>) -> FsResult<R> {
    journal_of(dir)?;
    if dir.super_block().data().groups()?.free_inodes() == 0 {
        return Err(FsError::NO_SPACE);
    }
    with_reclaim(dir, attempt)
}

/// The depth of a directory's extent tree, for the credits. The directory's lock keeps it so.
fn depth(dir: &Inode<Rext4>) -> FsResult<u16> {
    match dir.data().kind() {
        DataKind::Extents => {}
        DataKind::BlockMap => return Ok(inode::block_map::AS_DEPTH),
        // Nothing is going to be added to it.
        _ => return Ok(0),
    }
    extent::depth(&ReadTree::new(dir, &dir.data().tree.read()))
}

/// Writes an inode whose links or times have changed. Needs credits for one block.
fn store(inode: &Inode<Rext4>, handle: &Handle<'_>) -> FsResult {
    if let Err(e) = room::make_within(inode, handle) {
        // By now names have changed, and what they stand for must not be given up.
        Filesystem::errno(inode, "make room in an inode", e);
    }
    let root = inode.data().tree.read();
    store::store(inode, handle, &root)?;
    // Of a directory, what is in it is data.
    let change = if inode.is_directory() {
        Change::Data
    } else {
        Change::Other
    };
    inode.data().sync_point.note(handle, change);
    Ok(())
}

/// Makes the end of the handle wait for the commit, if changes of a directory are synchronous.
fn end(handle: Handle<'_>, dirs: &[&Inode<Rext4>]) -> FsResult {
    if dirs.iter().any(|dir| dir.is_dirsync()) {
        handle.set_sync();
    }
    Ok(handle.stop()?)
}

/// Whether a directory may get another subdirectory.
fn check_subdirectories(dir: &Inode<Rext4>) -> FsResult {
    let has_no_limit = dir.super_block().data().features.has(Feature::DIR_NLINK)
        && dir.data().flags().has(InodeFlags::INDEX);
    if dir.links() >= MOST_LINKS && !has_no_limit {
        return Err(errno(crate::bindings::EMLINK));
    }
    Ok(())
}

/// Counts another subdirectory. One link stands for "more than can be counted", for good.
fn add_subdirectory(dir: &Inode<Rext4>) {
    dir.set_links(match dir.links() {
        1 => 1,
        links if links >= MOST_LINKS => 1,
        links => links + 1,
    });
}

/// Counts a subdirectory less.
fn drop_subdirectory(dir: &Inode<Rext4>) {
    // Two are the directory's own.
    if dir.links() > 2 {
        dir.set_links(dir.links() - 1);
    }
}

/// Whether an inode may get a name in a directory whose files all belong to its project.
fn check_project(dir: &Inode<Rext4>, inode: &Inode<Rext4>) -> FsResult {
    let inherits = dir.data().flags().has(InodeFlags::PROJECT_INHERIT)
        && dir.super_block().data().features.has(Feature::PROJECT);
    if inherits && inode::project(dir)? != inode::project(inode)? {
        return Err(errno(crate::bindings::EXDEV));
    }
    Ok(())
}
