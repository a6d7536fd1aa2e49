// SPDX-License-Identifier: GPL-2.0

//! Finding one name in a directory.

use super::{
    block::{corrupt, Blocks, ROOT},
    order::Order,
};
use crate::{
    disk::{
        directory::DirectoryProblem,
        dirent::{DirBlock, DirError, MAX_NAME},
        htree::{hash::Hasher, search::Path},
        units::{InodeNumber, LogicalBlock},
    },
    error::{FsError, FsResult},
    inode,
    vfs::{inode::Inode, readdir::pause},
    Rext4,
};
use kernel::{error::Error, sync::aref::ARef};

/// Where a name was found.
pub(super) struct Found {
    /// The block of the directory.
    pub(super) block: LogicalBlock,
    /// The inode that it stands for.
    pub(super) inode: InodeNumber,
}

/// The inode that `name` leads to, or `None` if there is no such name. The directory is locked, at
/// least shared.
///
/// # Errors
///
/// `ENAMETOOLONG`, `EOPNOTSUPP` for a directory that can't be read, damage.
pub(crate) fn lookup(dir: &Inode<Rext4>, name: &[u8]) -> FsResult<Option<ARef<Inode<Rext4>>>> {
    if name.len() > MAX_NAME {
        return Err(errno(crate::bindings::ENAMETOOLONG));
    }
    let blocks = Blocks::new(dir)?;
    let Some(Found { block, inode }) = find(&blocks, name)? else {
        return Ok(None);
    };
    // What leads to the directory itself would make a loop.
    if !blocks.fs().is_plausible_entry(inode) || inode == inode::number(dir) {
        return Err(corrupt(block, DirectoryProblem::Inode(inode)));
    }
    match inode::get(dir.super_block(), inode) {
        Err(FsError::Kernel(e)) if e.to_errno() == -(crate::bindings::ESTALE as i32) => {
            Err(corrupt(block, DirectoryProblem::Unused(inode)))
        }
        other => other.map(Some),
    }
}

fn errno(number: u32) -> FsError {
    // Numbers of errors are below 4096.
    FsError::Kernel(Error::from_errno(-(number as i32)))
}

/// Where a name is.
pub(super) fn find(blocks: &Blocks<'_>, name: &[u8]) -> FsResult<Option<Found>> {
    match Order::of(blocks)? {
        Order::Indexed(hasher) => find_indexed(blocks, &hasher, name),
        Order::OneBlock(_) => {
            let block = blocks.leaf(ROOT)?;
            found(
                ROOT,
                block.with(|bytes| find_in(blocks.entries(bytes), name)),
            )
        }
        Order::Linear => find_linear(blocks, name),
    }
}

fn find_linear(blocks: &Blocks<'_>, name: &[u8]) -> FsResult<Option<Found>> {
    for number in (0..blocks.count()).map(LogicalBlock) {
        let block = blocks.linear(number)?;
        let entry = block.with(|bytes| find_in(blocks.entries_if_linear(number, bytes), name));
        if let Some(found) = found(number, entry)? {
            return Ok(Some(found));
        }
        pause()?;
    }
    Ok(None)
}

fn find_indexed(blocks: &Blocks<'_>, hasher: &Hasher, name: &[u8]) -> FsResult<Option<Found>> {
    let hash = hasher.hash(name);
    let mut path = Path::to_hash(blocks, blocks.index_format(), hash)?;
    loop {
        let number = path.leaf();
        let leaf = blocks.leaf(number)?;
        let entry = leaf.with(|bytes| find_in(blocks.entries(bytes), name));
        if let Some(found) = found(number, entry)? {
            return Ok(Some(found));
        }
        // Other names with the same hash may have pushed this one into the next leaf.
        if !path.next_with_hash(blocks, hash)? {
            return Ok(None);
        }
        pause()?;
    }
}

fn find_in(entries: DirBlock<'_>, name: &[u8]) -> Result<Option<InodeNumber>, DirError> {
    Ok(entries.find(name)?.and_then(|entry| entry.inode))
}

fn found(
    block: LogicalBlock,
    entry: Result<Option<InodeNumber>, DirError>,
) -> FsResult<Option<Found>> {
    match entry {
        Ok(inode) => Ok(inode.map(|inode| Found { block, inode })),
        Err(error) => Err(corrupt(block, DirectoryProblem::Entries(error))),
    }
}
