// SPDX-License-Identifier: GPL-2.0

//! Changes to the nodes of an index: making them, adding entries, splitting.
//!
//! None of them brings the checksum up to date: see [`postpone_checksum`](super::postpone_checksum).
//! What takes two nodes takes one to change and one to look at, and is done in two steps: first the
//! new node is made of the old one, then the old one gives up what it lost.

use super::{
    entry_length, is_root, node_entries, Entries, HtreeError, HtreeProblem, IndexFormat, IndexTail,
    Root, BLOCK_MASK, DOT_LENGTH, NODE_ENTRIES_OFFSET, ROOT_ENTRIES_OFFSET, ROOT_INFO_OFFSET,
};
use crate::disk::units::LogicalBlock;

/// The size of an entry, in bytes.
const ENTRY_SIZE: usize = size_of::<super::IndexEntry>();
/// Where the number of levels lies in the root.
const LEVELS_OFFSET: usize =
    ROOT_INFO_OFFSET + core::mem::offset_of!(super::RootInfo, indirect_levels);

/// The entries of `block`, a node of an index, the root or another.
fn entries(block: &[u8], format: IndexFormat) -> Result<Entries<'_>, HtreeError> {
    if is_root(block) {
        Ok(Root::from_block(block, format)?.entries)
    } else {
        node_entries(block, format)
    }
}

/// Where in `block`, a node of an index, its entries begin.
fn entries_offset(block: &[u8]) -> usize {
    if is_root(block) {
        ROOT_ENTRIES_OFFSET
    } else {
        NODE_ENTRIES_OFFSET
    }
}

/// The number of places for entries in a node of `size` bytes whose entries begin at `offset`.
fn places(size: usize, offset: usize, format: IndexFormat) -> usize {
    let tail = if format.has_checksums {
        size_of::<IndexTail>()
    } else {
        0
    };
    size.saturating_sub(offset + tail) / ENTRY_SIZE
}

fn put(block: &mut [u8], at: usize, bytes: &[u8]) {
    let slots = block.get_mut(at..).unwrap_or_default();
    for (to, from) in slots.iter_mut().zip(bytes) {
        *to = *from;
    }
}

/// Writes the entry with number `position`. That of the first one has no place for its hash.
fn put_entry(block: &mut [u8], offset: usize, position: usize, hash: u32, child: LogicalBlock) {
    let at = offset + position * ENTRY_SIZE;
    if position != 0 {
        put(block, at, &hash.to_le_bytes());
    }
    put(block, at + 4, &(child.0 & BLOCK_MASK).to_le_bytes());
}

/// Writes how many entries there are, and how many there can be.
fn put_count(block: &mut [u8], offset: usize, format: IndexFormat, count: usize) {
    // A block has at most 65536 bytes, an entry 8.
    let limit = places(block.len(), offset, format) as u16;
    put(block, offset, &limit.to_le_bytes());
    put(block, offset + 2, &(count as u16).to_le_bytes());
}

/// Makes an inner node without entries of `block`.
fn create_node(block: &mut [u8]) {
    block.fill(0);
    // What looks like an unused entry as long as the block.
    let length = u16::try_from(block.len()).unwrap_or(u16::MAX);
    put(block, 4, &length.to_le_bytes());
}

/// Checks that `block`, the first one of a directory, begins with `.` and `..`, as the root of an index
/// has to: a name in their place would be lost.
///
/// # Errors
///
/// [`HtreeProblem::NotAnIndex`].
pub fn check_first(block: &[u8]) -> Result<(), HtreeError> {
    let dot = usize::from(DOT_LENGTH);
    // The length of a name lies before its type, and the name behind that.
    let is_name = |at: usize, name: &[u8]| {
        let (length, start) = (at + 6, at + 8);
        block.get(length).copied().map(usize::from) == Some(name.len())
            && block.get(start..start + name.len()) == Some(name)
    };
    let begins = entry_length(block, 0) == Some(dot) && is_name(0, b".") && is_name(dot, b"..");
    begins
        .then_some(())
        .ok_or(HtreeError::new(HtreeProblem::NotAnIndex))
}

/// Makes `block`, the first one of a directory, the root of an index whose one leaf is `leaf`.
///
/// `.` and `..` stay as they are, all that is behind them is overwritten. `hash_version` is stored
/// as it is.
///
/// # Errors
///
/// As for [`check_first`], with nothing changed.
pub fn create_root(
    block: &mut [u8],
    format: IndexFormat,
    hash_version: u8,
    leaf: LogicalBlock,
) -> Result<(), HtreeError> {
    check_first(block)?;
    let dot = usize::from(DOT_LENGTH);
    let rest = u16::try_from(block.len().saturating_sub(dot)).unwrap_or(u16::MAX);
    put(block, dot + 4, &rest.to_le_bytes());
    block
        .get_mut(ROOT_INFO_OFFSET..)
        .unwrap_or_default()
        .fill(0);
    // A version, the size of these fields, no levels, no flags; before them a reserved word.
    put(block, ROOT_INFO_OFFSET + 4, &[hash_version, 8, 0, 0]);
    put_entry(block, ROOT_ENTRIES_OFFSET, 0, 0, leaf);
    put_count(block, ROOT_ENTRIES_OFFSET, format, 1);
    Ok(())
}

/// Whether there is no place for another entry in `block`, a node of an index.
///
/// # Errors
///
/// What is wrong with the node.
pub fn is_full(block: &[u8], format: IndexFormat) -> Result<bool, HtreeError> {
    let count = entries(block, format)?.count();
    Ok(count >= places(block.len(), entries_offset(block), format))
}

/// Checks that [`insert`] can add an entry with this hash, and returns how many there are.
///
/// # Errors
///
/// What is wrong with the node, and [`HtreeProblem::Count`] if it is full or has no such entry;
/// [`HtreeProblem::Order`] if it would not be in order there.
pub fn check_insert(
    block: &[u8],
    format: IndexFormat,
    position: usize,
    hash: u32,
) -> Result<usize, HtreeError> {
    let fail = |problem| Err(HtreeError::new(problem));
    let old = entries(block, format)?;
    let count = old.count();
    if count >= places(block.len(), entries_offset(block), format) || position >= count {
        return fail(HtreeProblem::Count(count as u16));
    }
    let slot = position + 1;
    let in_order = old.hash(position).is_some_and(|before| before <= hash)
        && old.hash(slot).is_none_or(|behind| hash <= behind);
    if !in_order {
        return fail(HtreeProblem::Order { entry: slot as u16 });
    }
    Ok(count)
}

/// Adds an entry to `block`, a node of an index, behind the one with number `position`.
///
/// # Errors
///
/// As for [`check_insert`], with nothing changed.
pub fn insert(
    block: &mut [u8],
    format: IndexFormat,
    position: usize,
    hash: u32,
    child: LogicalBlock,
) -> Result<(), HtreeError> {
    let count = check_insert(block, format, position, hash)?;
    let (slot, offset) = (position + 1, entries_offset(block));
    let start = offset + slot * ENTRY_SIZE;
    let end = offset + count * ENTRY_SIZE;
    // There is a place behind the last entry.
    if end + ENTRY_SIZE <= block.len() {
        block.copy_within(start..end, start + ENTRY_SIZE);
    }
    put_entry(block, offset, slot, hash, child);
    put_count(block, offset, format, count + 1);
    Ok(())
}

/// How many entries of a node with `count` of them stay when it is split.
fn kept(count: usize) -> usize {
    count / 2
}

/// The hash that is to stand for the upper half of the entries of `full`, an inner node, in the node
/// above once it is split.
///
/// # Errors
///
/// What is wrong with `full`, and [`HtreeProblem::Count`] if it has less than two entries.
pub fn upper_hash(full: &[u8], format: IndexFormat) -> Result<u32, HtreeError> {
    let old = node_entries(full, format)?;
    let keep = kept(old.count());
    let few = HtreeError::new(HtreeProblem::Count(old.count() as u16));
    old.hash(keep).filter(|_| keep > 0).ok_or(few)
}

/// Makes `block` an inner node with the upper half of the entries of `full`, an inner node, and
/// returns what [`upper_hash`] says.
///
/// After it comes [`keep_lower_half`] for `full`.
///
/// # Errors
///
/// As for [`upper_hash`].
pub fn create_upper_half(
    block: &mut [u8],
    full: &[u8],
    format: IndexFormat,
) -> Result<u32, HtreeError> {
    let hash = upper_hash(full, format)?;
    let old = node_entries(full, format)?;
    create_node(block);
    copy_entries(block, format, old, kept(old.count()));
    Ok(hash)
}

/// Copies the entries of `old` from number `first` on to `block`, an inner node without any.
fn copy_entries(block: &mut [u8], format: IndexFormat, old: Entries<'_>, first: usize) {
    let moved = first..old.count();
    for (slot, position) in moved.clone().enumerate() {
        if let (Some(hash), Some(child)) = (old.hash(position), old.block(position)) {
            put_entry(block, NODE_ENTRIES_OFFSET, slot, hash, child);
        }
    }
    put_count(block, NODE_ENTRIES_OFFSET, format, moved.len());
}

/// Takes the upper half of the entries from `full`, an inner node.
///
/// # Errors
///
/// What is wrong with the node, with nothing changed.
pub fn keep_lower_half(full: &mut [u8], format: IndexFormat) -> Result<(), HtreeError> {
    let count = node_entries(full, format)?.count();
    put_count(full, NODE_ENTRIES_OFFSET, format, kept(count).max(1));
    Ok(())
}

/// Makes `block` an inner node with all entries of `root`.
///
/// After it comes [`push_down`] for `root`.
///
/// # Errors
///
/// What is wrong with the root.
pub fn create_below_root(
    block: &mut [u8],
    root: &[u8],
    format: IndexFormat,
) -> Result<(), HtreeError> {
    let old = Root::from_block(root, format)?.entries;
    create_node(block);
    copy_entries(block, format, old, 0);
    Ok(())
}

/// Makes `child`, which has all its entries now, the only entry of `root`, one level deeper.
///
/// # Errors
///
/// What is wrong with the root, and [`HtreeProblem::Levels`] if it is as deep as it can be.
/// Nothing is changed then.
pub fn push_down(
    root: &mut [u8],
    format: IndexFormat,
    child: LogicalBlock,
) -> Result<(), HtreeError> {
    let levels = Root::from_block(root, format)?.indirect_levels + 1;
    if levels > format.max_indirect_levels() {
        return Err(HtreeError::new(HtreeProblem::Levels(levels as u8)));
    }
    put(root, LEVELS_OFFSET, &[levels as u8]);
    put_entry(root, ROOT_ENTRIES_OFFSET, 0, 0, child);
    put_count(root, ROOT_ENTRIES_OFFSET, format, 1);
    Ok(())
}
