// SPDX-License-Identifier: GPL-2.0

//! Making a directory's index, and making room in it where it is full.
//!
//! One call adds one block and leaves the index right, so that whoever can't go on, for want of another
//! block, has done no harm. Whether the entry for that block can be added is known before. A leaf is split
//! by hash into two, which takes an entry in the node above it; where that is full, it is split first, and
//! so on up. The root is not split: when it is full its entries go to a new node, and the index is one
//! level deeper.

use super::{
    block::{corrupt, Blocks, ROOT},
    grow,
    listing::BlockCopy,
};
use crate::{
    disk::{
        directory::DirectoryProblem,
        dirent::{DirBlockMut, Piece, Split},
        htree::{edit, hash::Hasher, search::Path, HtreeError},
        inode::InodeFlags,
        units::LogicalBlock,
    },
    error::{FsError, FsResult},
    vfs::{buffer::Buffer, jbd2::Handle, namespace::Directory},
    Rext4,
};
use kernel::prelude::*;

/// How many blocks are added at most until there is room for a name: see
/// [`add_entry`](crate::journal::credits::add_entry).
pub(super) const MOST_NEW_BLOCKS: u32 = 4;

fn bad_index(number: LogicalBlock) -> impl Fn(HtreeError) -> FsError {
    move |error| corrupt(number, DirectoryProblem::Index(error))
}

/// A leaf lost entries: what was collected from it does not fit where it came from.
fn lost(number: LogicalBlock) -> FsError {
    corrupt(number, DirectoryProblem::Twice)
}

/// The entries of a leaf, copied, so that they can be sorted in peace.
struct Leaf {
    copy: BlockCopy,
    pieces: KVVec<Piece>,
}

impl Leaf {
    /// Copies a leaf, with the hashes of its names as `hash` has them.
    fn copy(
        blocks: &Blocks<'_>,
        number: LogicalBlock,
        hash: impl Fn(&[u8]) -> u32,
    ) -> FsResult<Self> {
        let mut leaf = Self {
            copy: BlockCopy::new(),
            pieces: KVVec::new(),
        };
        let bytes = leaf.copy.take(&blocks.leaf(number)?)?;
        for piece in blocks.entries(bytes).pieces(hash) {
            let piece = piece.map_err(|e| corrupt(number, DirectoryProblem::Entries(e)))?;
            leaf.pieces.push(piece, GFP_KERNEL)?;
        }
        Ok(leaf)
    }
}

/// Writes `pieces` of a leaf, and nothing else, into a block.
fn write_leaf(
    blocks: &Blocks<'_>,
    handle: &Handle<'_>,
    (number, buffer): (LogicalBlock, &Buffer),
    leaf: &Leaf,
    pieces: &[Piece],
) -> FsResult {
    let inodes = blocks.fs().layout.inodes_count();
    let source = blocks.entries(leaf.copy.bytes());
    let all = blocks.edit_leaf(handle, buffer, |bytes| {
        DirBlockMut::create_from(bytes, inodes, blocks.has_tails(), source, pieces)
    })?;
    all.then_some(()).ok_or_else(|| lost(number))
}

/// Gives a directory of one block an index, with one leaf.
///
/// # Errors
///
/// `ENOSPC` with nothing changed, damage, errors of the journal.
pub(super) fn make_index(dir: &Directory<'_, Rext4>, handle: &Handle<'_>) -> FsResult {
    let blocks = Blocks::new(dir)?;
    let version = blocks.fs().hash.default_version;
    let root = blocks.leaf(ROOT)?;
    let leaf = Leaf::copy(&blocks, ROOT, |_| 0)?;
    // `.` and `..` come first, and stay.
    root.with(edit::check_first).map_err(bad_index(ROOT))?;
    let names = leaf.pieces.get(2..).ok_or_else(|| lost(ROOT))?;
    let (number, buffer) = grow::append(dir, handle)?;
    write_leaf(&blocks, handle, (number, &buffer), &leaf, names)?;

    let format = blocks.index_format();
    handle.write(&root)?.forget_kinds();
    blocks
        .edit_index(handle, &root, |bytes| {
            edit::create_root(bytes, format, version, number)
        })?
        .map_err(bad_index(ROOT))?;
    crate::inode::store::set_flag(dir, handle, InodeFlags::INDEX)
}

/// Adds one block to the index, so that there is room, or more of it, on the way `path` to a leaf
/// that has none.
///
/// # Errors
///
/// `ENOSPC` with nothing changed, also where the index is as large as it may be. Damage, errors of
/// the journal.
pub(super) fn make_room(
    dir: &Directory<'_, Rext4>,
    handle: &Handle<'_>,
    blocks: &Blocks<'_>,
    hasher: &Hasher,
    path: &Path,
) -> FsResult {
    let format = blocks.index_format();
    // What is full lies below the lowest node with room.
    let mut full: Option<LogicalBlock> = None;
    for (node, position) in path.nodes().rev() {
        let buffer = blocks.index(node)?.map_err(bad_index(node))?;
        let is_full = buffer
            .with(|bytes| edit::is_full(bytes, format))
            .map_err(bad_index(node))?;
        if !is_full {
            let above = (node, &buffer, position);
            return match full {
                None => split_leaf(dir, handle, blocks, hasher, path.leaf(), above),
                Some(full) => split_node(dir, handle, blocks, full, above),
            };
        }
        full = Some(node);
    }
    if path.nodes().count() > format.max_indirect_levels() {
        blocks
            .fs()
            .warn_once_per_inode(dir, "the index of the directory is full");
        return Err(FsError::NO_SPACE);
    }
    deepen(dir, handle, blocks)
}

/// A node with room: its number, its buffer, and the entry behind which a new one belongs.
type Above<'a> = (LogicalBlock, &'a Buffer, usize);

/// Checks, before anything is changed, that an entry with this hash can be added to a node with room. It
/// can't if the index is damaged: a leaf has names with hashes that are not its own.
fn check_child(blocks: &Blocks<'_>, (node, buffer, position): Above<'_>, hash: u32) -> FsResult {
    buffer
        .with(|bytes| edit::check_insert(bytes, blocks.index_format(), position, hash))
        .map_err(bad_index(node))?;
    Ok(())
}

/// Adds an entry to a node with room.
fn add_child(
    blocks: &Blocks<'_>,
    handle: &Handle<'_>,
    (node, buffer, position): Above<'_>,
    hash: u32,
    child: LogicalBlock,
) -> FsResult {
    blocks
        .edit_index(handle, buffer, |bytes| {
            edit::insert(bytes, blocks.index_format(), position, hash, child)
        })?
        .map_err(bad_index(node))
}

fn split_leaf(
    dir: &Directory<'_, Rext4>,
    handle: &Handle<'_>,
    blocks: &Blocks<'_>,
    hasher: &Hasher,
    number: LogicalBlock,
    above: Above<'_>,
) -> FsResult {
    let mut leaf = Leaf::copy(blocks, number, |name| hasher.hash(name).major)?;
    let split = Split::plan(&mut leaf.pieces).ok_or_else(|| lost(number))?;
    check_child(blocks, above, split.hash)?;
    let old = blocks.leaf(number)?;
    let (child, new) = grow::append(dir, handle)?;
    let (stay, go) = leaf.pieces.split_at(split.at);
    write_leaf(blocks, handle, (child, &new), &leaf, go)?;
    write_leaf(blocks, handle, (number, &old), &leaf, stay)?;
    add_child(blocks, handle, above, split.hash, child)
}

fn split_node(
    dir: &Directory<'_, Rext4>,
    handle: &Handle<'_>,
    blocks: &Blocks<'_>,
    full: LogicalBlock,
    above: Above<'_>,
) -> FsResult {
    let format = blocks.index_format();
    let old = blocks.index(full)?.map_err(bad_index(full))?;
    let hash = old
        .with(|bytes| edit::upper_hash(bytes, format))
        .map_err(bad_index(full))?;
    check_child(blocks, above, hash)?;
    let (child, new) = grow::append(dir, handle)?;
    blocks
        .edit_index_from(handle, &new, &old, |bytes, old| {
            edit::create_upper_half(bytes, old, format)
        })?
        .map_err(bad_index(full))?;
    blocks
        .edit_index(handle, &old, |bytes| edit::keep_lower_half(bytes, format))?
        .map_err(bad_index(full))?;
    add_child(blocks, handle, above, hash, child)
}

/// Moves the root's entries to a new node, the only one below it.
fn deepen(dir: &Directory<'_, Rext4>, handle: &Handle<'_>, blocks: &Blocks<'_>) -> FsResult {
    let format = blocks.index_format();
    let root = blocks.index(ROOT)?.map_err(bad_index(ROOT))?;
    let (child, new) = grow::append(dir, handle)?;
    blocks
        .edit_index_from(handle, &new, &root, |bytes, root| {
            edit::create_below_root(bytes, root, format)
        })?
        .map_err(bad_index(ROOT))?;
    blocks
        .edit_index(handle, &root, |bytes| edit::push_down(bytes, format, child))?
        .map_err(bad_index(ROOT))
}
