// SPDX-License-Identifier: GPL-2.0

//! Where the blocks of a file lie.

use super::{
    block_map::{self, Pending},
    cache, check_readable,
    tree::ReadTree,
    DataKind,
};
use crate::{
    dio::claim::Waiting,
    disk::{
        extent::{State, LOGICAL_END, ROOT_SIZE},
        units::{BlockSize, LogicalBlock, PhysicalBlock},
    },
    error::{FsError, FsResult},
    extent::{self, Mapping},
    mount::counters::Count,
    vfs::{inode::Inode, iomap},
    Rext4,
};
use kernel::error::code;

/// Where a block of a file lies, and how many after it lie in a row with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Found {
    /// Nowhere.
    Hole {
        /// Blocks from the one asked for to the next that is mapped, at least one.
        len: u32,
    },
    /// On the device, written.
    Written {
        /// Where the block asked for lies.
        start: PhysicalBlock,
        /// Blocks in a row, at least one.
        len: u32,
    },
    /// On the device, but not written yet: it reads as zeros.
    Unwritten {
        /// Where the block asked for lies.
        start: PhysicalBlock,
        /// Blocks in a row, at least one.
        len: u32,
    },
}

/// Looks a block up. Takes the tree's lock for reading, unless the answer is known.
pub(crate) fn find(inode: &Inode<Rext4>, block: LogicalBlock) -> FsResult<Found> {
    let data = inode.data();
    if let Some(mapping) = data.cache.find(block) {
        return Ok(found(mapping, block));
    }
    let root = data.tree.read();
    if data.kind() == DataKind::BlockMap {
        return block_map::find_in(inode, &root, block);
    }
    let tree = ReadTree::new(inode, &root);
    look(inode, &tree, block)
}

/// Looks a block up without waiting: `EAGAIN` if somebody has the tree for writing, or if not all
/// of it that is needed is in memory.
pub(crate) fn find_at_once(inode: &Inode<Rext4>, block: LogicalBlock) -> FsResult<Found> {
    let data = inode.data();
    if let Some(mapping) = data.cache.find(block) {
        return Ok(found(mapping, block));
    }
    let again = FsError::Kernel(code::EAGAIN);
    let root = data.tree.try_read().ok_or(again)?;
    if data.kind() == DataKind::BlockMap {
        return block_map::find(inode, &root, &root.pending, block, Waiting::Forbidden);
    }
    let tree = ReadTree::with(inode, &root, Waiting::Forbidden);
    look(inode, &tree, block)
}

/// Looks a block up, without waiting if that is forbidden.
pub(crate) fn find_if(
    inode: &Inode<Rext4>,
    block: LogicalBlock,
    waiting: Waiting,
) -> FsResult<Found> {
    match waiting {
        Waiting::Allowed => find(inode, block),
        Waiting::Forbidden => find_at_once(inode, block),
    }
}

/// Looks a block up in the tree, checks what was found, and keeps it for the next time.
fn look(inode: &Inode<Rext4>, tree: &ReadTree<'_>, block: LogicalBlock) -> FsResult<Found> {
    inode
        .super_block()
        .data()
        .counters
        .add(Count::TreeLookup, 1);
    let mapping = extent::lookup(tree, block)?;
    let whole = match mapping {
        Mapping::Extent(extent) => check_foreign(inode, extent.physical(), extent.len()),
        Mapping::Hole(_) => Ok(()),
    };
    let found = found(mapping, block);
    match whole {
        Ok(()) => cache::keep(inode, mapping),
        // What is asked for may be good.
        Err(_) => check_found(inode, found)?,
    }
    Ok(found)
}

/// Checks that blocks which an inode claims are not the file system's own: a damaged tree must not
/// lead a write into the inode table or the journal.
pub(crate) fn check_foreign(inode: &Inode<Rext4>, start: PhysicalBlock, len: u32) -> FsResult {
    // The journal is the file system's own, and is read before it is known what else is.
    if is_own(inode) {
        return Ok(());
    }
    let fs = inode.super_block().data();
    fs.groups()?
        .system()
        .check_foreign(start, u64::from(len))
        .map_err(|e| FsError::Corrupt(e.into()))
}

/// Whether the blocks of an inode are the file system's own.
pub(super) fn is_own(inode: &Inode<Rext4>) -> bool {
    let layout = &inode.super_block().data().layout;
    layout.is_journal(super::number(inode))
}

/// The same for blocks of data, which are not looked at as metadata, nor given to the journal: with
/// `noblock_validity` they may lie anywhere in the file system. What was found there is not [kept](cache::keep), so that
/// what is kept is good whatever the option says later.
pub(super) fn check_data(inode: &Inode<Rext4>, start: PhysicalBlock, len: u32) -> FsResult {
    let is_anywhere_good = || {
        let fs = inode.super_block().data();
        fs.layout.contains(start, len.into())
            && inode.is_regular()
            && fs.layout.is_user_inode(super::number(inode))
            && !fs.options().block_validity
    };
    match check_foreign(inode, start, len) {
        Err(FsError::Corrupt(_)) if is_anywhere_good() => Ok(()),
        checked => checked,
    }
}

fn check_found(inode: &Inode<Rext4>, found: Found) -> FsResult {
    match found {
        Found::Hole { .. } => Ok(()),
        Found::Written { start, len } | Found::Unwritten { start, len } => {
            check_data(inode, start, len)
        }
    }
}

/// Looks a block up in a tree or block map whose lock the caller has, with `root` and `pending` behind it.
pub(super) fn find_behind(
    inode: &Inode<Rext4>,
    root: &[u8; ROOT_SIZE],
    pending: &Pending,
    block: LogicalBlock,
    waiting: Waiting,
) -> FsResult<Found> {
    if inode.data().kind() == DataKind::BlockMap {
        return block_map::find(inode, root, pending, block, waiting);
    }
    find_in(&ReadTree::with(inode, root, waiting), block)
}

/// Looks a block up in a tree that the caller has locked.
pub(crate) fn find_in<S: extent::NodeStore>(
    store: &S,
    block: LogicalBlock,
) -> Result<Found, S::Error> {
    Ok(found(extent::lookup(store, block)?, block))
}

/// What a mapping says of a block that it holds.
pub(super) fn found(mapping: Mapping, block: LogicalBlock) -> Found {
    match mapping {
        Mapping::Hole(hole) => Found::Hole {
            len: hole.end.0.saturating_sub(block.0).max(1),
        },
        Mapping::Extent(extent) => {
            let len = extent.end().0.saturating_sub(block.0).max(1);
            // The extent holds the block, so this maps.
            let start = extent.map(block).unwrap_or(extent.physical());
            match extent.state() {
                State::Written => Found::Written { start, len },
                State::Unwritten => Found::Unwritten { start, len },
            }
        }
    }
}

/// The mapping that holds byte `offset` of a file, for iomap.
///
/// # Errors
///
/// If waiting is forbidden, `EAGAIN` where [`find_at_once`] says so.
pub(crate) fn bytes(
    inode: &Inode<Rext4>,
    offset: u64,
    waiting: Waiting,
) -> FsResult<iomap::Mapping> {
    check_readable(inode)?;
    let size = inode.super_block().data().layout.block_size();
    let end_of_file = iomap::Mapping {
        offset,
        len: u64::from(size.bytes()),
        place: iomap::Place::Hole,
        version: inode.data().version(),
    };
    let kind = inode.data().kind();
    if !matches!(kind, DataKind::Extents | DataKind::BlockMap) {
        return Ok(end_of_file);
    }
    let Some(block) = size
        .logical_of_byte(offset)
        .filter(|block| *block < LOGICAL_END)
    else {
        return Ok(end_of_file);
    };
    let again = FsError::Kernel(code::EAGAIN);
    let blocks = match waiting {
        Waiting::Allowed => inode.data().tree.read(),
        Waiting::Forbidden => inode.data().tree.try_read().ok_or(again)?,
    };
    let version = inode.data().version();
    let delayed = blocks.delayed.at_or_behind(block);
    if let Some(range) = delayed.clone().filter(|range| range.contains(&block)) {
        return Ok(iomap::Mapping {
            offset: size.byte_of_logical(block),
            len: u64::from(range.end.0 - block.0) << size.bits(),
            place: iomap::Place::Delayed { is_new: false },
            version,
        });
    }
    let mut found = find_behind(inode, &blocks, &blocks.pending, block, waiting)?;
    drop(blocks);
    if let (Found::Hole { len }, Some(next)) = (&mut found, delayed) {
        *len = (*len).min(next.start.0 - block.0);
    }
    check_found(inode, found)?;
    Ok(to_bytes(size, block, found, version))
}

/// A mapping in bytes.
pub(crate) fn to_bytes(
    size: BlockSize,
    block: LogicalBlock,
    found: Found,
    version: u64,
) -> iomap::Mapping {
    let place = |start| size.byte_of_physical(start).unwrap_or(u64::MAX);
    let (len, place) = match found {
        Found::Hole { len } => (len, iomap::Place::Hole),
        Found::Written { start, len } => (len, iomap::Place::Written(place(start))),
        Found::Unwritten { start, len } => (len, iomap::Place::Unwritten(place(start))),
    };
    iomap::Mapping {
        offset: size.byte_of_logical(block),
        len: u64::from(len) << size.bits(),
        place,
        version,
    }
}
