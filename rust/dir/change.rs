// SPDX-License-Identifier: GPL-2.0

//! Removing names, having them stand for other inodes, and what a removal has to know.
//!
//! Each of these changes one block, [`CHANGE_ENTRY`](crate::journal::credits::CHANGE_ENTRY), and
//! neither the directory's times nor its inode: that is left to the operation.

use super::{
    block::{corrupt, Blocks, ROOT},
    lookup::{find, find_in, find_unkillable, Found},
};
use crate::{
    disk::{
        directory::DirectoryProblem,
        features::Feature,
        file_type::FileType,
        units::{InodeNumber, LogicalBlock},
    },
    error::{FsError, FsResult},
    inode,
    vfs::{inode::Inode, jbd2::Handle, namespace::Directory, readdir::pause},
    Rext4,
};
use kernel::error::code;

/// The entry `name`, which the VFS knows to stand for `expected`. It is looked for before anything is
/// changed; [`remove`] and [`replace`] read no block then, and nothing but the journal can stop them.
///
/// # Errors
///
/// `ENOENT` if there is no such name, damage, `EINTR` when the task is being killed.
pub(crate) fn entry(
    dir: &Directory<'_, Rext4>,
    name: &[u8],
    expected: InodeNumber,
) -> FsResult<Found> {
    is_known(find(&Blocks::new(dir)?, name)?, expected)
}

/// The same entry after another name was added to the directory, to make room for which it may have
/// been moved.
///
/// # Errors
///
/// Damage.
pub(crate) fn entry_again(
    dir: &Directory<'_, Rext4>,
    name: &[u8],
    before: Found,
) -> FsResult<Found> {
    let blocks = Blocks::new(dir)?;
    let expected = before.inode;
    let found = match find_in(&blocks, before.block, before.buffer, name)? {
        None => find_unkillable(&blocks, name)?,
        still_there => still_there,
    };
    is_known(found, expected)
}

fn is_known(found: Option<Found>, expected: InodeNumber) -> FsResult<Found> {
    let found = found.ok_or(FsError::Kernel(code::ENOENT))?;
    if found.inode != expected {
        return Err(corrupt(found.block, DirectoryProblem::Inode(found.inode)));
    }
    Ok(found)
}

/// Removes the entry `name`.
///
/// # Errors
///
/// Those of the journal.
pub(crate) fn remove(
    dir: &Directory<'_, Rext4>,
    handle: &Handle<'_>,
    name: &[u8],
    entry: &Found,
) -> FsResult {
    let blocks = Blocks::new(dir)?;
    let removed = blocks.edit_entries(handle, entry.block, &entry.buffer, |block| {
        block.remove(name, entry.place)
    })?;
    removed.then_some(()).ok_or(FsError::Kernel(code::ENOENT))
}

/// Has the entry `name` stand for another inode.
///
/// # Errors
///
/// Those of the journal.
pub(crate) fn replace(
    dir: &Directory<'_, Rext4>,
    handle: &Handle<'_>,
    name: &[u8],
    entry: &Found,
    by: &Inode<Rext4>,
) -> FsResult {
    let blocks = Blocks::new(dir)?;
    let (inode, kind) = (inode::number(by), entry_type(&blocks, by));
    let replaced = blocks.edit_entries(handle, entry.block, &entry.buffer, |block| {
        block.replace(name, inode, kind)
    })?;
    replaced.then_some(()).ok_or(FsError::Kernel(code::ENOENT))
}

/// The type of an inode as an entry has it; `None` if entries have none.
pub(super) fn entry_type(blocks: &Blocks<'_>, inode: &Inode<Rext4>) -> Option<FileType> {
    let has_types = blocks.fs().features.has(Feature::FILETYPE);
    FileType::of_mode(inode.mode()).filter(|_| has_types)
}

/// The entry `..` of `dir`.
///
/// # Errors
///
/// Damage, among it that there is no `..`.
pub(crate) fn parent_entry(dir: &Inode<Rext4>) -> FsResult<Found> {
    let blocks = Blocks::new(dir)?;
    find_in(&blocks, ROOT, blocks.linear(ROOT)?, b"..")?
        .ok_or_else(|| corrupt(ROOT, DirectoryProblem::Hole))
}

/// The directory that `..` of `dir`, which is not locked, stands for: locks it.
///
/// # Errors
///
/// As for [`parent_entry`], and that no directory can be there.
pub(crate) fn parent_unlocked(dir: &Inode<Rext4>) -> FsResult<InodeNumber> {
    let _lock = dir.lock_shared();
    let inode = parent_entry(dir)?.inode;
    if !dir.super_block().data().is_plausible_entry(inode) {
        return Err(corrupt(ROOT, DirectoryProblem::Inode(inode)));
    }
    Ok(inode)
}

/// Has the entry `..` of `dir`, which is being moved, stand for `parent`.
///
/// # Errors
///
/// Those of the journal.
pub(crate) fn set_parent(
    dir: &Inode<Rext4>,
    handle: &Handle<'_>,
    entry: &Found,
    parent: InodeNumber,
) -> FsResult {
    let blocks = Blocks::new(dir)?;
    let has_types = blocks.fs().features.has(Feature::FILETYPE);
    let kind = Some(FileType::Directory).filter(|_| has_types);
    let replaced = blocks.edit_entries(handle, entry.block, &entry.buffer, |block| {
        block.replace(b"..", parent, kind)
    })?;
    replaced
        .then_some(())
        .ok_or_else(|| corrupt(ROOT, DirectoryProblem::Hole))
}

/// Whether there is nothing in `dir` but `.` and `..`.
///
/// # Errors
///
/// Damage: what can't be read may hold anything.
pub(crate) fn is_empty(dir: &Inode<Rext4>) -> FsResult<bool> {
    let blocks = Blocks::new(dir)?;
    for number in (0..blocks.count()).map(LogicalBlock) {
        let buffer = blocks.linear(number)?;
        let empty = buffer.with(|bytes| {
            for entry in blocks.entries_if_linear(number, bytes).entries() {
                if !matches!(entry?.name, b"." | b"..") {
                    return Ok(false);
                }
            }
            Ok(true)
        });
        if !empty.map_err(|e| corrupt(number, DirectoryProblem::Entries(e)))? {
            return Ok(false);
        }
        pause()?;
    }
    Ok(true)
}
