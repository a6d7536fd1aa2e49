// SPDX-License-Identifier: GPL-2.0

//! Less room for the attributes in an inode, as its fields get more: which of them go to the block.
//!
//! As many stay in the inode as find room there. As in C ext4, one goes that is large enough, and of
//! those the smallest; where none is, the largest, and then another one. Data of a file that lies in
//! its inode is an attribute too, and has to stay. Source: `fs/ext4/xattr.c`,
//! `ext4_expand_extra_isize_ea`.

use super::{
    compose_block, compose_in_inode,
    edit::{copy, is_kept, padded},
    entry_size, BlockHeader, Change, ComposeError, NameIndex, Value, Xattr, XattrError, Xattrs,
    TERMINATOR,
};

/// The magic number before an inode's first entry.
const INODE_HEADER: usize = size_of::<u32>();

/// Why attributes can't do with less room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GrowError {
    /// They are damaged.
    Damaged(XattrError),
    /// They can't be written: [`ComposeError::NoRoom`] if the block has none either.
    Compose(ComposeError),
}

impl From<XattrError> for GrowError {
    fn from(error: XattrError) -> Self {
        Self::Damaged(error)
    }
}

impl From<ComposeError> for GrowError {
    fn from(error: ComposeError) -> Self {
        Self::Compose(error)
    }
}

/// The bytes that an attribute takes.
fn size_of_one(xattr: &Xattr<'_>) -> usize {
    let value = match xattr.value {
        Value::Bytes(bytes) => padded(bytes.len()),
        Value::Inode { .. } => 0,
    };
    entry_size(xattr.name.len()).saturating_add(value)
}

/// The bytes that attributes take beside a header and the end.
fn size_of_all(xattrs: Xattrs<'_>) -> usize {
    let kept = xattrs.iter().filter(is_kept);
    kept.fold(0, |sum, xattr| sum.saturating_add(size_of_one(&xattr)))
}

/// The bytes that attributes take in an inode.
fn size_in_inode(xattrs: Option<Xattrs<'_>>) -> usize {
    match xattrs.map_or(0, size_of_all) {
        0 => 0,
        size => size.saturating_add(INODE_HEADER + TERMINATOR),
    }
}

/// The attributes in `block`; `None` if it is all zeros, as there is none yet.
fn in_block(block: &[u8]) -> Result<Option<Xattrs<'_>>, XattrError> {
    match block.first_chunk() {
        Some([0, 0, 0, 0]) | None => Ok(None),
        Some(_) => Xattrs::in_block(block).map(Some),
    }
}

/// Whether an attribute holds data of the file: `system.data`.
fn is_data(xattr: &Xattr<'_>) -> bool {
    xattr.index == NameIndex::SYSTEM && xattr.name == b"data"
}

/// The attribute that goes next, if `missing` bytes more are needed and the block has `free`.
fn choose<'a>(xattrs: Xattrs<'a>, missing: usize, free: usize) -> Option<Xattr<'a>> {
    let movable = xattrs
        .iter()
        .filter(is_kept)
        .filter(|xattr| !is_data(xattr) && size_of_one(xattr) <= free);
    let enough = movable
        .clone()
        .filter(|xattr| size_of_one(xattr) >= missing);
    enough
        .min_by_key(size_of_one)
        .or_else(|| movable.max_by_key(size_of_one))
}

/// Whether the attributes in `area`, an inode's
/// [`xattr_area`](crate::disk::inode::Inode::xattr_area), find room in `room` bytes.
///
/// # Errors
///
/// What is wrong with them.
pub fn fits(area: &[u8], room: usize) -> Result<bool, XattrError> {
    Ok(size_in_inode(Xattrs::in_inode(area)?) <= room)
}

/// Has the attributes in `area`, an inode's [`xattr_area`](crate::disk::inode::Inode::xattr_area), do
/// with its first `room` bytes, a multiple of 4, which is what they are written to. Those that find no
/// room there go to `block`, which is then the inode's own; its checksum is not set. It is all zeros
/// if there is none yet. `scratch` is as large as the larger of both at least. Returns how many were
/// moved: if none, `block` is as it was.
///
/// # Errors
///
/// [`GrowError`]; what is in `area` and `block` is of no use then.
pub fn shrink(
    area: &mut [u8],
    room: usize,
    block: &mut [u8],
    scratch: &mut [u8],
) -> Result<usize, GrowError> {
    let no_room = GrowError::Compose(ComposeError::NoRoom);
    let mut moved = 0;
    loop {
        let xattrs = Xattrs::in_inode(area)?;
        let missing = match size_in_inode(xattrs).checked_sub(room) {
            None | Some(0) => break,
            Some(missing) => missing,
        };
        let old = in_block(block)?;
        let used = old.map_or(0, size_of_all) + size_of::<BlockHeader>() + TERMINATOR;
        let free = block.len().saturating_sub(used);
        let chosen = xattrs.and_then(|xattrs| {
            let chosen = choose(xattrs, missing, free)?;
            // If there are several of that name, it is the first that counts, and all go.
            xattrs.find(chosen.index, chosen.name)
        });
        let chosen = chosen.ok_or(no_room)?;
        let Value::Bytes(value) = chosen.value else {
            return Err(GrowError::Compose(ComposeError::ValueInInode));
        };
        let arrival = Change {
            index: chosen.index,
            name: chosen.name,
            value: Some(value),
        };
        let new = scratch.get_mut(..block.len()).ok_or(no_room)?;
        compose_block(old, &arrival, new)?;
        copy(block, 0, new);
        let departure = Change {
            value: None,
            ..arrival
        };
        let new = scratch.get_mut(..area.len()).ok_or(no_room)?;
        compose_in_inode(xattrs, &departure, new)?;
        copy(area, 0, new);
        moved += 1;
    }
    let new = scratch.get_mut(..room).ok_or(no_room)?;
    new.fill(0);
    let xattrs = Xattrs::in_inode(area)?;
    if size_in_inode(xattrs) != 0 {
        compose_in_inode(xattrs, &Change::NOTHING, new)?;
    }
    area.get_mut(room..).ok_or(no_room)?.fill(0);
    copy(area, 0, new);
    Ok(moved)
}
