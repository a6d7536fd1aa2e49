// SPDX-License-Identifier: GPL-2.0

//! New blocks of directories and symbolic links.
//!
//! They are metadata: their contents go through the journal, so that they can be written ones at
//! once, in the same transaction in which they are filled.

use super::block::LeafChecksum;
use crate::{
    block_map,
    disk::{
        dirent::DirBlockMut,
        extent::{Extent, State},
        features::Feature,
        units::{InodeNumber, LogicalBlock, PhysicalBlock},
    },
    error::{euclean, FsError, FsResult},
    extent,
    group::Wanted,
    inode::{self, block_map::WriteTables, tree::WriteTree, DataKind},
    quota::{self, Limits},
    vfs::{
        buffer::{Buffer, FreshBuffer},
        inode::Inode,
        jbd2::Handle,
        namespace::Directory,
        new_inode::NewInode,
    },
    Rext4,
};

/// Allocates block `number` of an inode that holds metadata, all zeros, has `set_size` set its size, and
/// stores it. Needs [`add_block`](crate::journal::credits::add_block) credits.
///
/// # Errors
///
/// `ENOSPC` and damage, with nothing changed.
pub(crate) fn add_block(
    inode: &Inode<Rext4>,
    handle: &Handle<'_>,
    number: LogicalBlock,
    set_size: impl FnOnce(),
) -> FsResult<Buffer> {
    inode::check_supported(inode)?;
    let sb = inode.super_block();
    let fs = sb.data();
    let groups = fs.groups()?;
    let size = fs.layout.block_size();
    let data = inode.data();
    let is_mapped = data.kind() == DataKind::BlockMap;
    let mut root = data.tree.write();
    let mut wanted = Wanted::new(data.goal(), 1);
    if is_mapped {
        wanted = wanted.for_map();
    }
    quota::charge(inode, 1, Limits::Heeded)?;
    let run = groups
        .allocate(handle, wanted, inode::rights(inode))
        .inspect_err(|_| quota::free(inode, 1))?;
    let mut insert = || -> FsResult<Buffer> {
        let fresh = FreshBuffer::get(sb.device(), run.start.0, size.bytes())?;
        let buffer = handle.create(fresh)?;
        let inserted = if is_mapped {
            let mut tables = WriteTables::new(inode, &mut root, handle, inode::rights(inode));
            tables.heed(Limits::Heeded);
            block_map::insert(&mut tables, number, run.start, run.len).map(drop)
        } else {
            let mut tree = WriteTree::new(inode, &mut root, handle, inode::rights(inode));
            tree.heed(Limits::Heeded);
            Extent::new(number, run.start, run.len, State::Written)
                .ok_or(FsError::Kernel(euclean()))
                .and_then(|extent| extent::insert(&mut tree, extent))
        };
        if let Err(e) = inserted {
            handle.forget(buffer)?;
            return Err(e);
        }
        Ok(buffer)
    };
    let buffer = match insert() {
        Ok(buffer) => buffer,
        Err(e) => {
            // The tree is as it was; so is the disk when the block is given back.
            quota::free(inode, 1);
            groups.free(handle, run.start, run.len)?;
            return Err(e);
        }
    };
    // Not before: whoever stores the inode meanwhile, with its times, takes the size to the disk.
    set_size();
    WriteTree::new(inode, &mut root, handle, inode::rights(inode)).store_inode()?;
    drop(root);
    data.set_goal(PhysicalBlock(run.start.0.saturating_add(1)));
    Ok(buffer)
}

/// Adds a block at the end of a directory, and stores the directory with its new size. The block is
/// to be filled in the same transaction. Needs [`add_block`](crate::journal::credits::add_block)
/// credits.
///
/// # Errors
///
/// `ENOSPC` and damage, with nothing changed.
pub(super) fn append(
    dir: &Directory<'_, Rext4>,
    handle: &Handle<'_>,
) -> FsResult<(LogicalBlock, Buffer)> {
    let fs = dir.super_block().data();
    let size = fs.layout.block_size();
    let old = u64::try_from(dir.size()).unwrap_or(0);
    let new = old.saturating_add(u64::from(size.bytes()));
    let most = u64::from(fs.options().max_dir_kib);
    if most > 0 && old >> 10 >= most {
        return Err(FsError::NO_SPACE);
    }
    // Only large directories have the upper half of the size.
    if new > u64::from(u32::MAX) && !fs.features.has(Feature::LARGE_DIR) {
        return Err(FsError::NO_SPACE);
    }
    let number = size.logical_of_byte(old).ok_or(FsError::NO_SPACE)?;
    let set_size = || dir.set_size(dir.lock(), new as i64);
    Ok((number, add_block(dir, handle, number, set_size)?))
}

/// Gives a new directory its first block, with `.` and `..`. Needs
/// [`add_block`](crate::journal::credits::add_block) credits for a tree of depth 0.
///
/// # Errors
///
/// `ENOSPC` and damage; the inode has no block then.
pub(crate) fn make_first(
    new: &NewInode<Rext4>,
    handle: &Handle<'_>,
    parent: InodeNumber,
) -> FsResult {
    let inode = new.inode();
    let fs = inode.super_block().data();
    let seed = inode::seed(inode);
    let buffer = add_block(inode, handle, LogicalBlock(0), || {
        new.set_size(i64::from(fs.layout.block_size().bytes()));
    })?;
    let token = handle.write(&buffer)?;
    Ok(token.edit_late::<LeafChecksum, _>(seed, |bytes| {
        DirBlockMut::create_first(
            bytes,
            fs.layout.inodes_count(),
            seed.is_some(),
            inode::number(inode),
            parent,
            fs.features.has(Feature::FILETYPE),
        );
    })?)
}
