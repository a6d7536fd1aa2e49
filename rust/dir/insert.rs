// SPDX-License-Identifier: GPL-2.0

//! Adding a name to a directory.

use super::{
    block::{corrupt, Blocks, ROOT},
    change::entry_type,
    grow,
    order::{does_without_index, Order},
    split,
};
use crate::{
    disk::{
        directory::DirectoryProblem,
        dirent::DirBlockMut,
        htree::{hash::Hasher, search::Path},
        inode::InodeFlags,
        units::LogicalBlock,
    },
    error::{edquot, euclean, FsError, FsResult},
    inode::{self, store},
    vfs::{buffer::Buffer, inode::Inode, jbd2::Handle, namespace::Directory},
    Rext4,
};
use kernel::error::code;

/// A name that is to be added.
struct NewName<'a> {
    name: &'a [u8],
    inode: &'a Inode<Rext4>,
}

/// Has `name`, which is not in the directory, stand for `inode`. The directory's times are left to
/// the caller. Needs [`add_entry`](crate::journal::credits::add_entry) credits.
///
/// # Errors
///
/// `ENOSPC` if there are no blocks left, or the index is as deep as it may be and full; no name was
/// added then, though there may be more room for other ones. `EOPNOTSUPP` for an index of an unknown
/// kind, if there are checksums: without, the directory has none any more then. Damage, errors of the journal.
pub(crate) fn insert(
    dir: &Directory<'_, Rext4>,
    handle: &Handle<'_>,
    name: &[u8],
    inode: &Inode<Rext4>,
) -> FsResult {
    let new = NewName { name, inode };
    let blocks = Blocks::new(dir)?;
    match Order::of(&blocks)? {
        Order::Indexed(hasher) => match insert_indexed(dir, handle, &hasher, &new, false) {
            Err(e) if does_without_index(&blocks, &e) && !blocks.has_tails() => {
                insert_linear(dir, handle, &blocks, &new)
            }
            inserted => inserted,
        },
        Order::OneBlock(hasher) => {
            if try_leaf(&blocks, handle, ROOT, &new)? {
                return Ok(());
            }
            split::make_index(dir, handle)?;
            insert_indexed(dir, handle, &hasher, &new, true)
        }
        // The blocks of the index are not taken for blocks of names, which have their checksums in another place.
        Order::Linear if blocks.is_indexed() && blocks.has_tails() => {
            Err(match dir.data().has_bad_index() {
                true => FsError::Kernel(euclean()),
                false => FsError::unsupported(),
            })
        }
        Order::Linear => insert_linear(dir, handle, &blocks, &new),
    }
}

/// Adds the name to a block if there is room, and says whether there was.
fn try_leaf(
    blocks: &Blocks<'_>,
    handle: &Handle<'_>,
    number: LogicalBlock,
    new: &NewName<'_>,
) -> FsResult<bool> {
    let buffer = blocks.leaf(number)?;
    // Looked at first, as to change the block costs a credit.
    let has_room = buffer
        .with(|bytes| blocks.entries(bytes).has_room(new.name.len()))
        .map_err(|e| corrupt(number, DirectoryProblem::Entries(e)))?;
    if !has_room {
        return Ok(false);
    }
    add(blocks, handle, number, &buffer, new)
}

fn add(
    blocks: &Blocks<'_>,
    handle: &Handle<'_>,
    number: LogicalBlock,
    buffer: &Buffer,
    new: &NewName<'_>,
) -> FsResult<bool> {
    let (own, kind) = (inode::number(new.inode), entry_type(blocks, new.inode));
    blocks.edit_entries(handle, number, buffer, |block| {
        block.insert(new.name, own, kind)
    })
}

fn insert_linear(
    dir: &Directory<'_, Rext4>,
    handle: &Handle<'_>,
    blocks: &Blocks<'_>,
    new: &NewName<'_>,
) -> FsResult {
    if dir.data().flags().has(InodeFlags::INDEX) {
        // What can't be read would be out of reach for good.
        for number in (0..blocks.count()).map(LogicalBlock) {
            blocks.linear(number)?;
        }
        // The file system was told to have none any more, or this one can't be used. Nobody keeps it up to date now,
        // so it must not be believed once there are indexes again.
        store::clear_flag(dir, handle, InodeFlags::INDEX)?;
    }
    for number in (0..blocks.count()).map(LogicalBlock) {
        if try_leaf(blocks, handle, number, new)? {
            return Ok(());
        }
    }
    let (number, buffer) = grow::append(dir, handle)?;
    let inodes = blocks.fs().layout.inodes_count();
    blocks.edit_leaf(handle, &buffer, |bytes| {
        DirBlockMut::create(bytes, inodes, blocks.has_tails());
    })?;
    if !add(&Blocks::new(dir)?, handle, number, &buffer, new)? {
        // An empty block has room for the longest name.
        return Err(FsError::NO_SPACE);
    }
    Ok(())
}

/// `is_new`: the index was just made, with one leaf that has the room of `.` and `..` and no more. It
/// is split in any case, as C ext4 does.
fn insert_indexed(
    dir: &Directory<'_, Rext4>,
    handle: &Handle<'_>,
    hasher: &Hasher,
    new: &NewName<'_>,
    is_new: bool,
) -> FsResult {
    let hash = hasher.hash(new.name);
    // Each round takes the path one step nearer to a leaf with room, with one new block: as many as
    // `credits::add_entry` allows for.
    for round in 0.. {
        let blocks = Blocks::new(dir)?;
        let path = Path::to_hash(&blocks, blocks.index_format(), hash)?;
        let split_first = is_new && round == 0;
        if !split_first && try_leaf(&blocks, handle, path.leaf(), new)? {
            return Ok(());
        }
        if round == split::MOST_NEW_BLOCKS {
            break;
        }
        match split::make_room(dir, handle, &blocks, hasher, &path) {
            // The name may fit all the same.
            Err(e) if split_first && (e.is(code::ENOSPC) || e.is(edquot())) => {
                return match try_leaf(&blocks, handle, path.leaf(), new)? {
                    true => Ok(()),
                    false => Err(e),
                };
            }
            made => made?,
        }
    }
    // Not reached: half a leaf has room for the longest name.
    Err(FsError::NO_SPACE)
}
