// SPDX-License-Identifier: GPL-2.0

//! Writing extended attributes.
//!
//! All attributes of a place are written anew, from those that were there and one change. So there
//! is nothing to be moved about, values have no gaps between them, and whatever the old bytes were,
//! the new ones are right. Entries keep their order. In a block that is by name, and C ext4 relies
//! on it when it looks for one; in an inode a new one comes last.

use super::{
    entry_size, hash, BlockHeader, EntryHeader, NameIndex, Value, Xattr, Xattrs, ALIGN, MAGIC,
    TERMINATOR,
};
use zerocopy::little_endian::{U16, U32};
use zerocopy::FromBytes as _;

/// What becomes of one attribute.
#[derive(Clone, Copy, Debug)]
pub struct Change<'a> {
    /// What the name begins with.
    pub index: NameIndex,
    /// The rest of the name: 255 bytes at most, and none of them zero.
    pub name: &'a [u8],
    /// The new value; `None` if there is to be no such attribute.
    pub value: Option<&'a [u8]>,
}

/// Why attributes can't be written. Nothing was changed then.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ComposeError {
    /// They need more room than there is.
    NoRoom,
    /// The name is too long, or has a zero byte in it.
    Name,
    /// One of them has its value in an inode, which counts its users.
    ValueInInode,
}

/// An attribute to be written.
#[derive(Clone, Copy)]
struct Item<'a> {
    index: NameIndex,
    name: &'a [u8],
    value: &'a [u8],
    /// The hash to be stored; `None` where it has to be computed.
    hash: Option<u32>,
}

impl Item<'_> {
    /// The bytes that the value takes.
    const fn value_size(&self) -> usize {
        padded(self.value.len())
    }
}

/// The bytes that a value of `length` bytes takes.
pub(super) const fn padded(length: usize) -> usize {
    length.next_multiple_of(ALIGN)
}

/// Whether an attribute is kept when those beside it change. Nobody can ask for one without any name,
/// and without a value it would be taken for the end.
pub(super) fn is_kept(xattr: &Xattr<'_>) -> bool {
    xattr.index.0 != 0 || !xattr.name.is_empty()
}

/// What blocks are sorted by.
fn sort_key(index: NameIndex, name: &[u8]) -> (u8, usize, &[u8]) {
    (index.0, name.len(), name)
}

impl<'a> Change<'a> {
    /// None at all: what is there is written anew.
    pub const NOTHING: Self = Self {
        index: NameIndex(0),
        name: b"",
        value: None,
    };

    fn is_of(&self, xattr: &Xattr<'_>) -> bool {
        xattr.index == self.index && xattr.name == self.name
    }

    fn check(&self, old: Option<Xattrs<'_>>) -> Result<(), ComposeError> {
        if self.name.len() > usize::from(u8::MAX) || self.name.contains(&0) {
            return Err(ComposeError::Name);
        }
        let in_inode = |xattr: Xattr<'_>| matches!(xattr.value, Value::Inode { .. });
        if old.is_some_and(|old| old.iter().any(in_inode)) {
            return Err(ComposeError::ValueInInode);
        }
        Ok(())
    }

    /// The attributes after the change. A new one is put where the order asks for it, if `sorted`.
    fn items(
        &self,
        old: Option<Xattrs<'a>>,
        sorted: bool,
    ) -> impl Iterator<Item = Item<'a>> + Clone {
        let this = *self;
        let all = move || old.into_iter().flat_map(|old| old.iter());
        let new = this.value.map(|value| Item {
            index: this.index,
            name: this.name,
            value,
            hash: None,
        });
        // The number of attributes before it, if it is not there yet.
        let place = if all().any(|xattr| this.is_of(&xattr)) {
            None
        } else if sorted {
            let own = sort_key(this.index, this.name);
            let before = move |xattr: &Xattr<'_>| sort_key(xattr.index, xattr.name) < own;
            Some(all().take_while(before).count())
        } else {
            Some(all().count())
        };
        let item = move |xattr: Xattr<'a>| {
            if this.is_of(&xattr) {
                return new;
            }
            if !is_kept(&xattr) {
                return None;
            }
            Some(Item {
                index: xattr.index,
                name: xattr.name,
                value: match xattr.value {
                    Value::Bytes(bytes) => bytes,
                    Value::Inode { .. } => &[],
                },
                hash: Some(xattr.hash),
            })
        };
        let count = place.unwrap_or(usize::MAX);
        let kept = move |from, to| all().map(item).take(to).skip(from).flatten();
        kept(0, count)
            .chain(new.filter(|_| place.is_some()))
            .chain(kept(count, usize::MAX))
    }
}

/// Writes attributes to `area` from `first` on, all of which is replaced. Values are counted from
/// the start of `area`, whose size is a multiple of 4 bytes. Returns the number of attributes, and
/// the hash over theirs: zero if one has none.
fn write<'a>(
    items: impl Iterator<Item = Item<'a>> + Clone,
    area: &mut [u8],
    first: usize,
    hashed: bool,
) -> Result<(usize, u32), ComposeError> {
    let mut needed = first.saturating_add(TERMINATOR);
    for item in items.clone() {
        needed = needed
            .saturating_add(entry_size(item.name.len()))
            .saturating_add(item.value_size());
    }
    // Places of values have 16 bits.
    if needed > area.len() || area.len() > 1 << 16 || area.len() % ALIGN != 0 {
        return Err(ComposeError::NoRoom);
    }
    area.get_mut(first..).unwrap_or_default().fill(0);
    let (mut at, mut value_at) = (first, area.len());
    let (mut count, mut all_hashes, mut all_hashed) = (0, 0u32, true);
    for item in items {
        let mut offset = 0;
        if !item.value.is_empty() {
            value_at -= item.value_size();
            copy(area, value_at, item.value);
            offset = value_at;
        }
        let padded = area
            .get(value_at..value_at + item.value_size())
            .unwrap_or_default();
        let own_hash = match item.hash {
            Some(hash) => hash,
            None if hashed => hash(item.name, padded, u32::from),
            None => 0,
        };
        let header = EntryHeader {
            // Checked by the caller.
            name_length: item.name.len() as u8,
            name_index: item.index.0,
            // Less than the size of the area.
            value_offset: U16::new(offset as u16),
            value_inode: U32::new(0),
            value_size: U32::new(item.value.len() as u32),
            hash: U32::new(own_hash),
        };
        copy(area, at, zerocopy::IntoBytes::as_bytes(&header));
        copy(area, at + size_of::<EntryHeader>(), item.name);
        at += entry_size(item.name.len());
        count += 1;
        all_hashes = all_hashes.rotate_left(16) ^ own_hash;
        all_hashed &= own_hash != 0;
    }
    Ok((count, if all_hashed { all_hashes } else { 0 }))
}

/// Copies `bytes` to a place that has room for them.
pub(super) fn copy(area: &mut [u8], at: usize, bytes: &[u8]) {
    let room = area.get_mut(at..).unwrap_or_default();
    for (to, from) in room.iter_mut().zip(bytes) {
        *to = *from;
    }
}

/// Fills `area`, an inode's [`xattr_area`](crate::disk::inode::Inode::xattr_area), with the
/// attributes in `old` and one change. Returns how many there are; with none it is all zeros.
///
/// # Errors
///
/// [`ComposeError`], with nothing changed.
pub fn compose_in_inode<'a>(
    old: Option<Xattrs<'a>>,
    change: &Change<'a>,
    area: &mut [u8],
) -> Result<usize, ComposeError> {
    change.check(old)?;
    let (magic, places) = area.split_first_chunk_mut().ok_or(ComposeError::NoRoom)?;
    let (count, _) = write(change.items(old, false), places, 0, false)?;
    *magic = if count == 0 { 0 } else { MAGIC }.to_le_bytes();
    Ok(count)
}

/// Fills `block`, all of it, with the attributes in `old` and one change, for one inode alone.
/// Returns how many there are. The checksum is not set.
///
/// # Errors
///
/// [`ComposeError`], with nothing changed.
pub fn compose_block<'a>(
    old: Option<Xattrs<'a>>,
    change: &Change<'a>,
    block: &mut [u8],
) -> Result<usize, ComposeError> {
    change.check(old)?;
    let items = change.items(old, true);
    let (count, all_hashes) = write(items, block, size_of::<BlockHeader>(), true)?;
    if let Ok((header, _)) = BlockHeader::mut_from_prefix(block) {
        *header = BlockHeader {
            magic: U32::new(MAGIC),
            refcount: U32::new(1),
            blocks: U32::new(1),
            hash: U32::new(all_hashes),
            checksum: U32::new(0),
            reserved: [U32::new(0); 3],
        };
    }
    Ok(count)
}
