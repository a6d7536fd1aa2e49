// SPDX-License-Identifier: GPL-2.0

//! Finding one name in a directory.

use super::{
    block::{corrupt, Blocks, ROOT},
    order::{does_without_index, Order},
};
use crate::{
    disk::{
        directory::DirectoryProblem,
        dirent::{Walk, MAX_NAME},
        htree::{hash::Hasher, search::Path},
        units::{InodeNumber, LogicalBlock},
    },
    error::{FsError, FsResult},
    inode,
    vfs::{buffer::Buffer, inode::Inode, readdir::pause},
    Rext4,
};
use kernel::{
    error::{Error, Result},
    sync::aref::ARef,
};

/// Where a name was found.
pub(crate) struct Found {
    /// The block of the directory.
    pub(super) block: LogicalBlock,
    /// The block itself: who has it need not read it again, which could fail.
    pub(super) buffer: Buffer,
    /// Where in the block.
    pub(super) place: Walk,
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
    let Some(Found { block, inode, .. }) = find(&blocks, name)? else {
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
///
/// # Errors
///
/// Damage; `EINTR` when the task is being killed, so not for the middle of a change.
pub(super) fn find(blocks: &Blocks<'_>, name: &[u8]) -> FsResult<Option<Found>> {
    search(blocks, name, pause)
}

/// The same in the middle of a change, which must not be left half done: who is being killed does not
/// notice it here.
pub(super) fn find_unkillable(blocks: &Blocks<'_>, name: &[u8]) -> FsResult<Option<Found>> {
    search(blocks, name, || {
        let _ = pause();
        Ok(())
    })
}

/// `pause` is called after each block.
fn search(blocks: &Blocks<'_>, name: &[u8], pause: impl Fn() -> Result) -> FsResult<Option<Found>> {
    match Order::to_find(blocks)? {
        Order::Indexed(hasher) => match search_indexed(blocks, &hasher, name, &pause) {
            Err(e) if does_without_index(blocks, &e) => search_linear(blocks, name, pause),
            found => found,
        },
        Order::OneBlock(_) => find_in(blocks, ROOT, blocks.leaf(ROOT)?, name),
        Order::Linear => search_linear(blocks, name, pause),
    }
}

fn search_linear(
    blocks: &Blocks<'_>,
    name: &[u8],
    pause: impl Fn() -> Result,
) -> FsResult<Option<Found>> {
    // A block that is damaged does not keep the names in others from being found.
    let mut damage = None;
    for number in (0..blocks.count()).map(LogicalBlock) {
        let found = blocks
            .linear(number)
            .and_then(|buffer| find_in(blocks, number, buffer, name));
        match found {
            Ok(None) => {}
            Ok(found) => return Ok(found),
            Err(e @ FsError::Corrupt(_)) => damage = damage.or(Some(e)),
            Err(e) => return Err(e),
        }
        pause()?;
    }
    damage.map_or(Ok(None), Err)
}

fn search_indexed(
    blocks: &Blocks<'_>,
    hasher: &Hasher,
    name: &[u8],
    pause: impl Fn() -> Result,
) -> FsResult<Option<Found>> {
    let hash = hasher.hash(name);
    let mut path = Path::to_hash(blocks, blocks.index_format(), hash)?;
    loop {
        let number = path.leaf();
        let found = find_in(blocks, number, blocks.leaf(number)?, name)?;
        // Other names with the same hash may have pushed this one into the next leaf.
        if found.is_some() || !path.next_with_hash(blocks, hash)? {
            return Ok(found);
        }
        pause()?;
    }
}

/// Where a name is, if it is in this block.
pub(super) fn find_in(
    blocks: &Blocks<'_>,
    block: LogicalBlock,
    buffer: Buffer,
    name: &[u8],
) -> FsResult<Option<Found>> {
    let inode = buffer.with(|bytes| {
        let found = blocks.entries_if_linear(block, bytes).find_place(name)?;
        Ok(found.and_then(|(entry, place)| entry.inode.zip(Some(place))))
    });
    let inode = inode.map_err(|e| corrupt(block, DirectoryProblem::Entries(e)))?;
    Ok(inode.map(|(inode, place)| Found {
        block,
        buffer,
        place,
        inode,
    }))
}
