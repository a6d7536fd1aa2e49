// SPDX-License-Identifier: GPL-2.0

//! Removing names, having them stand for other inodes, and what a removal has to know.
//!
//! Each of these changes one block, [`CHANGE_ENTRY`](crate::journal::credits::CHANGE_ENTRY), and
//! neither the directory's times nor its inode: that is left to the operation.

use super::{
    block::{corrupt, Blocks, ROOT},
    lookup::{find, Found},
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

/// Finds `name`, which the VFS knows to stand for `expected`.
fn find_known(blocks: &Blocks<'_>, name: &[u8], expected: InodeNumber) -> FsResult<LogicalBlock> {
    let Found { block, inode } = find(blocks, name)?.ok_or(FsError::Kernel(code::ENOENT))?;
    if inode != expected {
        return Err(corrupt(block, DirectoryProblem::Inode(inode)));
    }
    Ok(block)
}

/// Checks that `name` stands for `expected`, before anything is changed.
///
/// # Errors
///
/// `ENOENT` if there is no such name, damage.
pub(crate) fn check(dir: &Directory<'_, Rext4>, name: &[u8], expected: InodeNumber) -> FsResult {
    find_known(&Blocks::new(dir)?, name, expected).map(|_| ())
}

/// Removes `name`, which stands for `expected`.
///
/// # Errors
///
/// As for [`check`], and those of the journal.
pub(crate) fn remove(
    dir: &Directory<'_, Rext4>,
    handle: &Handle<'_>,
    name: &[u8],
    expected: InodeNumber,
) -> FsResult {
    let blocks = Blocks::new(dir)?;
    let number = find_known(&blocks, name, expected)?;
    let buffer = blocks.linear(number)?;
    let removed = blocks.edit_entries(handle, number, &buffer, |block| block.remove(name))?;
    removed.then_some(()).ok_or(FsError::Kernel(code::ENOENT))
}

/// Has `name`, which stands for `expected`, stand for another inode.
///
/// # Errors
///
/// As for [`remove`].
pub(crate) fn replace(
    dir: &Directory<'_, Rext4>,
    handle: &Handle<'_>,
    name: &[u8],
    expected: InodeNumber,
    by: &Inode<Rext4>,
) -> FsResult {
    let blocks = Blocks::new(dir)?;
    let number = find_known(&blocks, name, expected)?;
    let buffer = blocks.linear(number)?;
    let (inode, kind) = (inode::number(by), entry_type(&blocks, by));
    let replaced = blocks.edit_entries(handle, number, &buffer, |block| {
        block.replace(name, inode, kind)
    })?;
    replaced.then_some(()).ok_or(FsError::Kernel(code::ENOENT))
}

/// The type of an inode as an entry has it; `None` if entries have none.
pub(super) fn entry_type(blocks: &Blocks<'_>, inode: &Inode<Rext4>) -> Option<FileType> {
    let has_types = blocks.fs().features.has(Feature::FILETYPE);
    FileType::of_mode(inode.mode()).filter(|_| has_types)
}

/// The directory that `..` of `dir` stands for.
///
/// # Errors
///
/// Damage, among it that there is no `..`.
pub(crate) fn parent(dir: &Inode<Rext4>) -> FsResult<InodeNumber> {
    let blocks = Blocks::new(dir)?;
    let buffer = blocks.linear(ROOT)?;
    let found = buffer.with(|bytes| {
        let entry = blocks.entries_if_linear(ROOT, bytes).find(b"..")?;
        Ok(entry.and_then(|entry| entry.inode))
    });
    found
        .map_err(|e| corrupt(ROOT, DirectoryProblem::Entries(e)))?
        .ok_or_else(|| corrupt(ROOT, DirectoryProblem::Hole))
}

/// The same for a directory that is not locked: locks it.
pub(crate) fn parent_unlocked(dir: &Inode<Rext4>) -> FsResult<InodeNumber> {
    let _lock = dir.lock_shared();
    parent(dir)
}

/// Has `..` of `dir`, which is being moved, stand for `parent`.
///
/// # Errors
///
/// As for [`parent`], and those of the journal.
pub(crate) fn set_parent(dir: &Inode<Rext4>, handle: &Handle<'_>, parent: InodeNumber) -> FsResult {
    let blocks = Blocks::new(dir)?;
    let buffer = blocks.linear(ROOT)?;
    let has_types = blocks.fs().features.has(Feature::FILETYPE);
    let kind = Some(FileType::Directory).filter(|_| has_types);
    let replaced = blocks.edit_entries(handle, ROOT, &buffer, |block| {
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
