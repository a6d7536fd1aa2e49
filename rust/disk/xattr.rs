// SPDX-License-Identifier: GPL-2.0

//! Extended attributes: in the space behind an inode's fields, and in a block of their own.
//!
//! Both are a header, entries from the front, four zero bytes, and values from the back. An entry
//! has 16 bytes and the name, rounded up to 4. Where a value lies is counted from the start of the
//! block, or in an inode from the first entry. This file reads them, `edit` writes them, `grow` has those
//! in an inode do with less room. Source:
//! `Documentation/filesystems/ext4/attributes.rst`.

mod edit;
mod grow;

use super::checksum::FsSeed;
use super::error::ChecksumMismatch;
use super::units::{InodeNumber, PhysicalBlock};
use core::fmt;
use zerocopy::little_endian::{U16, U32};
use zerocopy::FromBytes as _;
use zerocopy_derive::{FromBytes, Immutable, IntoBytes, KnownLayout};

pub use edit::{compose_block, compose_in_inode, Change, ComposeError};
pub use grow::{fits, shrink, GrowError};

/// What both headers begin with.
const MAGIC: u32 = 0xea02_0000;
/// What the entries are aligned to, and values too, in bytes.
const ALIGN: usize = 4;
/// The zero bytes behind the last entry.
const TERMINATOR: usize = 4;
/// More than a value can ever have, in bytes: what C ext4 takes for corruption.
const MAX_VALUE: u32 = 1 << 24;

/// The header of a block.
#[derive(FromBytes, IntoBytes, KnownLayout, Immutable)]
#[repr(C)]
struct BlockHeader {
    magic: U32,
    refcount: U32,
    blocks: U32,
    hash: U32,
    checksum: U32,
    reserved: [U32; 3],
}

/// Where the checksum lies in the block, in bytes.
const CHECKSUM_OFFSET: usize = core::mem::offset_of!(BlockHeader, checksum);

/// An entry, before its name.
#[derive(FromBytes, IntoBytes, KnownLayout, Immutable)]
#[repr(C)]
struct EntryHeader {
    name_length: u8,
    name_index: u8,
    value_offset: U16,
    value_inode: U32,
    value_size: U32,
    hash: U32,
}

/// The bytes that an entry takes whose name has `length` bytes.
const fn entry_size(length: usize) -> usize {
    (size_of::<EntryHeader>() + length).next_multiple_of(ALIGN)
}

/// What is wrong with extended attributes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum XattrProblem {
    /// Fewer bytes than the header has.
    Short,
    /// The header of the block.
    Header,
    /// The checksum of the block.
    Checksum(ChecksumMismatch),
    /// There is no end behind the entries.
    NoEnd,
    /// The name has a zero byte in it.
    Name,
    /// The value is larger than any can be.
    ValueSize(u32),
    /// The value does not lie between the last entry and the end.
    ValuePlace {
        /// Where it begins, in bytes.
        offset: u16,
        /// How long it is, in bytes.
        size: u32,
    },
    /// The value lies in an inode but has no size.
    InodeValueSize,
    /// The stored hash does not match name and value.
    Hash {
        /// The hash in the entry.
        stored: u32,
        /// What it must be.
        computed: u32,
    },
}

/// What is wrong with extended attributes, and where.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct XattrError {
    /// The entry, in bytes from the start of the block or from an inode's first entry.
    pub offset: usize,
    /// What is wrong.
    pub problem: XattrProblem,
}

impl fmt::Display for XattrError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "extended attributes, offset {}: ", self.offset)?;
        match &self.problem {
            XattrProblem::Short => f.write_str("too few bytes"),
            XattrProblem::Header => f.write_str("bad header"),
            XattrProblem::Checksum(mismatch) => fmt::Display::fmt(mismatch, f),
            XattrProblem::NoEnd => f.write_str("entries reach over the end"),
            XattrProblem::Name => f.write_str("name with a zero byte"),
            XattrProblem::ValueSize(size) => write!(f, "value of {size} bytes is too large"),
            XattrProblem::ValuePlace { offset, size } => {
                write!(f, "value of {size} bytes must not be at {offset}")
            }
            XattrProblem::InodeValueSize => f.write_str("empty value in an inode"),
            XattrProblem::Hash { stored, computed } => {
                write!(
                    f,
                    "hash is {stored:#010x} but {computed:#010x} was computed"
                )
            }
        }
    }
}

/// What a name begins with, kept as a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NameIndex(pub u8);

impl NameIndex {
    /// `user.`
    pub const USER: Self = Self(1);
    /// `system.posix_acl_access`, the whole name.
    pub const ACL_ACCESS: Self = Self(2);
    /// `system.posix_acl_default`, the whole name.
    pub const ACL_DEFAULT: Self = Self(3);
    /// `trusted.`
    pub const TRUSTED: Self = Self(4);
    /// `security.`
    pub const SECURITY: Self = Self(6);
    /// `system.`
    pub const SYSTEM: Self = Self(7);

    /// What the name begins with, or `None` if it is not known.
    pub const fn prefix(self) -> Option<&'static str> {
        match self {
            Self::USER => Some("user."),
            Self::ACL_ACCESS => Some("system.posix_acl_access"),
            Self::ACL_DEFAULT => Some("system.posix_acl_default"),
            Self::TRUSTED => Some("trusted."),
            Self::SECURITY => Some("security."),
            Self::SYSTEM => Some("system."),
            _ => None,
        }
    }
}

/// The value of an attribute.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Value<'a> {
    /// These bytes.
    Bytes(&'a [u8]),
    /// The content of another inode: the feature `ea_inode`.
    Inode {
        /// The inode.
        inode: InodeNumber,
        /// The size of the value in bytes.
        size: u32,
    },
}

/// An attribute.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Xattr<'a> {
    /// What the name begins with.
    pub index: NameIndex,
    /// The rest of the name.
    pub name: &'a [u8],
    /// The value.
    pub value: Value<'a>,
    /// The stored hash of name and value, zero if there is none.
    hash: u32,
    /// Where the entry is, for messages.
    offset: usize,
    /// The value with the bytes that fill it up to a multiple of 4.
    padded: &'a [u8],
}

/// The attributes of an inode or of a block, checked as a whole.
#[derive(Clone, Copy)]
pub struct Xattrs<'a> {
    /// What the places of values are counted in.
    area: &'a [u8],
    /// Where the first entry is, in bytes.
    first: usize,
}

impl<'a> Xattrs<'a> {
    /// The attributes in an inode. `area` is
    /// [`Inode::xattr_area`](super::inode::Inode::xattr_area).
    ///
    /// `None` if there are none: the area was never used, or is too small.
    ///
    /// # Errors
    ///
    /// The first thing found wrong.
    pub fn in_inode(area: &'a [u8]) -> Result<Option<Self>, XattrError> {
        let Some((magic, area)) = area.split_first_chunk() else {
            return Ok(None);
        };
        if u32::from_le_bytes(*magic) != MAGIC || area.len() < TERMINATOR {
            return Ok(None);
        }
        let this = Self { area, first: 0 };
        this.check()?;
        Ok(Some(this))
    }

    /// The attributes in `block`, all of it.
    ///
    /// # Errors
    ///
    /// The first thing found wrong.
    pub fn in_block(block: &'a [u8]) -> Result<Self, XattrError> {
        let header = block_header(block)?;
        if header.magic.get() != MAGIC || header.blocks.get() != 1 {
            return Err(XattrError {
                offset: 0,
                problem: XattrProblem::Header,
            });
        }
        let this = Self {
            area: block,
            first: size_of::<BlockHeader>(),
        };
        this.check()?;
        Ok(this)
    }

    /// Walks over all entries and their values once.
    fn check(&self) -> Result<(), XattrError> {
        let mut offset = self.first;
        while let Some((_, _, next)) = self.entry_at(offset)? {
            offset = next;
        }
        let end = offset.saturating_add(TERMINATOR);
        let mut offset = self.first;
        while let Some((header, name, next)) = self.entry_at(offset)? {
            self.xattr(offset, header, name, end)?;
            offset = next;
        }
        Ok(())
    }

    /// The entry at `offset`, its name and where the next one is, or `None` for the end.
    #[allow(clippy::type_complexity)]
    fn entry_at(
        &self,
        offset: usize,
    ) -> Result<Option<(&'a EntryHeader, &'a [u8], usize)>, XattrError> {
        let fail = |problem| XattrError { offset, problem };
        let rest = self.area.get(offset..).unwrap_or_default();
        match rest.first_chunk() {
            Some([0, 0, 0, 0]) => return Ok(None),
            Some(_) => {}
            None => return Err(fail(XattrProblem::NoEnd)),
        }
        let (header, behind) =
            EntryHeader::ref_from_prefix(rest).map_err(|_| fail(XattrProblem::NoEnd))?;
        let length = usize::from(header.name_length);
        let name = behind.get(..length).ok_or(fail(XattrProblem::NoEnd))?;
        if name.contains(&0) {
            return Err(fail(XattrProblem::Name));
        }
        Ok(Some((
            header,
            name,
            offset.saturating_add(entry_size(length)),
        )))
    }

    /// The attribute of the entry at `offset`, whose value must not lie before `end`.
    fn xattr(
        &self,
        offset: usize,
        header: &EntryHeader,
        name: &'a [u8],
        end: usize,
    ) -> Result<Xattr<'a>, XattrError> {
        let fail = |problem| XattrError { offset, problem };
        let size = header.value_size.get();
        if size > MAX_VALUE {
            return Err(fail(XattrProblem::ValueSize(size)));
        }
        let inode = header.value_inode.get();
        if inode != 0 && size == 0 {
            return Err(fail(XattrProblem::InodeValueSize));
        }

        let mut padded: &[u8] = &[];
        let value = if inode != 0 {
            Value::Inode {
                inode: InodeNumber(inode),
                size,
            }
        } else if size == 0 {
            Value::Bytes(&[])
        } else {
            let at = header.value_offset.get();
            let bad = fail(XattrProblem::ValuePlace { offset: at, size });
            // Less than 2^24.
            let length = (size as usize).next_multiple_of(ALIGN);
            padded = Some(usize::from(at))
                .filter(|&at| at >= end)
                .and_then(|at| self.area.get(at..))
                .and_then(|rest| rest.get(..length))
                .ok_or(bad)?;
            Value::Bytes(padded.get(..size as usize).unwrap_or_default())
        };
        Ok(Xattr {
            index: NameIndex(header.name_index),
            name,
            value,
            hash: header.hash.get(),
            offset,
            padded,
        })
    }

    /// All attributes.
    pub fn iter(&self) -> impl Iterator<Item = Xattr<'a>> + Clone + use<'a> {
        let this = *self;
        let mut next = self.first;
        core::iter::from_fn(move || {
            // All was checked when this was made, so there are no errors to lose.
            let offset = next;
            let (header, name, behind) = this.entry_at(offset).ok()??;
            next = behind;
            this.xattr(offset, header, name, 0).ok()
        })
    }

    /// The attribute with this name.
    pub fn find(&self, index: NameIndex, name: &[u8]) -> Option<Xattr<'a>> {
        self.iter()
            .find(|xattr| xattr.index == index && xattr.name == name)
    }
}

impl Xattr<'_> {
    /// Checks the hash of name and value, as `e2fsck` does.
    ///
    /// Old kernels stored none in inodes, and took bytes of the name over 127 as negative numbers.
    /// Both pass. The hash of a value in an inode is not checked.
    ///
    /// # Errors
    ///
    /// [`XattrProblem::Hash`].
    pub fn verify_hash(&self) -> Result<(), XattrError> {
        if self.hash == 0 || matches!(self.value, Value::Inode { .. }) {
            return Ok(());
        }
        let computed = hash(self.name, self.padded, u32::from);
        // Sign-extended.
        let signed = hash(self.name, self.padded, |byte| i32::from(byte as i8) as u32);
        if self.hash == computed || self.hash == signed {
            return Ok(());
        }
        Err(XattrError {
            offset: self.offset,
            problem: XattrProblem::Hash {
                stored: self.hash,
                computed,
            },
        })
    }
}

/// The hash of a name and of its value, which is filled up with zeros to a multiple of 4 bytes.
fn hash(name: &[u8], padded: &[u8], widen: fn(u8) -> u32) -> u32 {
    let hash = name
        .iter()
        .fold(0u32, |hash, &byte| hash.rotate_left(5) ^ widen(byte));
    padded.chunks_exact(4).fold(hash, |hash, bytes| {
        let word = bytes
            .first_chunk()
            .map_or(0, |word| u32::from_le_bytes(*word));
        hash.rotate_left(16) ^ word
    })
}

fn block_header(block: &[u8]) -> Result<&BlockHeader, XattrError> {
    BlockHeader::ref_from_prefix(block)
        .map(|(header, _)| header)
        .map_err(|_| XattrError {
            offset: 0,
            problem: XattrProblem::Short,
        })
}

/// How many inodes share the attributes in `block`.
///
/// # Errors
///
/// [`XattrProblem::Short`], and [`XattrProblem::Header`] if none does.
pub fn block_references(block: &[u8]) -> Result<u32, XattrError> {
    let count = block_header(block)?.refcount.get();
    let problem = XattrProblem::Header;
    (count != 0)
        .then_some(count)
        .ok_or(XattrError { offset: 0, problem })
}

/// Takes an inode off those that share the attributes in `block`, and returns how many are left.
/// The checksum is not updated.
///
/// # Errors
///
/// [`XattrProblem::Short`], and [`XattrProblem::Header`] if none was left before; nothing is
/// changed then.
pub fn drop_reference(block: &mut [u8]) -> Result<u32, XattrError> {
    let fail = |problem| XattrError { offset: 0, problem };
    let (header, _) = BlockHeader::mut_from_prefix(block).map_err(|_| fail(XattrProblem::Short))?;
    let count = header.refcount.get();
    let left = count.checked_sub(1).ok_or(fail(XattrProblem::Header))?;
    header.refcount.set(left);
    Ok(left)
}

/// The place of the block, and all of it with the checksum taken for zero.
fn compute_checksum(block: &[u8], at: PhysicalBlock, seed: FsSeed) -> u32 {
    let before = block.get(..CHECKSUM_OFFSET).unwrap_or_default();
    let behind = block.get(CHECKSUM_OFFSET + 4..).unwrap_or_default();
    let value = seed.start().with(&at.0.to_le_bytes());
    value.with(before).with_zeros(4).with(behind).value()
}

/// Checks the checksum of a block of attributes that lies at `at`.
///
/// # Errors
///
/// [`XattrProblem::Short`] and [`XattrProblem::Checksum`].
pub fn verify_checksum(block: &[u8], at: PhysicalBlock, seed: FsSeed) -> Result<(), XattrError> {
    let stored = block_header(block)?.checksum.get();
    ChecksumMismatch::check(stored, compute_checksum(block, at, seed)).map_err(|mismatch| {
        XattrError {
            offset: 0,
            problem: XattrProblem::Checksum(mismatch),
        }
    })
}

/// Makes the checksum of a block of attributes that lies at `at` that of its present content.
///
/// # Errors
///
/// [`XattrProblem::Short`], with nothing changed.
pub fn update_checksum(
    block: &mut [u8],
    at: PhysicalBlock,
    seed: FsSeed,
) -> Result<(), XattrError> {
    block_header(block)?;
    let checksum = compute_checksum(block, at, seed);
    if let Ok((header, _)) = BlockHeader::mut_from_prefix(block) {
        header.checksum.set(checksum);
    }
    Ok(())
}
