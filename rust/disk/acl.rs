// SPDX-License-Identifier: GPL-2.0

//! POSIX access control lists, as they lie in the value of an extended attribute.
//!
//! Four bytes with the version, then the entries: a tag and the permissions, two bytes each, and
//! for a named user or group four more with its number. Source: `struct ext4_acl_entry` and
//! `struct ext4_acl_entry_short` in the kernel's `fs/ext4/acl.h`.

use core::fmt;

/// The version of the format: there is only one.
const VERSION: u32 = 1;

/// Tags of entries, that also say whether there is a number: the owner of the file,
const OWNER: u16 = 0x01;
/// a user with a number,
const USER: u16 = 0x02;
/// the group of the file,
const OWNING_GROUP: u16 = 0x04;
/// a group with a number,
const GROUP: u16 = 0x08;
/// the limit of what users, groups and the owning group get,
const MASK: u16 = 0x10;
/// everybody else.
const OTHER: u16 = 0x20;

/// An entry of a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AclEntry {
    /// To whom it applies: one of the numbers of the kernel's `include/uapi/linux/posix_acl.h`.
    pub tag: u16,
    /// Read, write and execute permission as bits 4, 2 and 1; other bits are not checked here.
    pub permissions: u16,
    /// The user or group, where the tag asks for one.
    pub id: Option<u32>,
}

/// What is wrong with a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AclError {
    /// The version is not known.
    Version(u32),
    /// The value ends in the middle of the version or of an entry.
    Truncated,
    /// No entry has such a tag.
    Tag(u16),
    /// The entries make no list: some are missing, double or out of order.
    Entries,
}

impl fmt::Display for AclError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("access control list: ")?;
        match self {
            Self::Version(version) => write!(f, "version is {version}, not {VERSION}"),
            Self::Truncated => f.write_str("ends in the middle of an entry"),
            Self::Tag(tag) => write!(f, "entry has unknown tag {tag:#06x}"),
            Self::Entries => f.write_str("entries are missing, double or out of order"),
        }
    }
}

impl AclEntry {
    /// The bytes that it takes.
    const fn size(&self) -> usize {
        match self.id {
            Some(_) => 8,
            None => 4,
        }
    }
}

/// How long an attribute's value is that holds a list of `entries`, in bytes.
pub fn value_size(entries: impl Iterator<Item = AclEntry>) -> usize {
    entries.fold(size_of_val(&VERSION), |size, entry| size + entry.size())
}

/// Writes the value of an attribute that holds a list of `entries`. `value` has the size of
/// [`value_size`]; each entry has a number if its tag asks for one, and no other does.
pub fn write_value(entries: impl Iterator<Item = AclEntry>, value: &mut [u8]) {
    let mut bytes = value.iter_mut();
    let mut put = |part: &[u8]| {
        for (from, to) in part.iter().zip(bytes.by_ref()) {
            *to = *from;
        }
    };
    put(&VERSION.to_le_bytes());
    for entry in entries {
        put(&entry.tag.to_le_bytes());
        put(&entry.permissions.to_le_bytes());
        if let Some(id) = entry.id {
            put(&id.to_le_bytes());
        }
    }
}

/// The entries of a list, one after the other. Nothing comes after an error.
#[derive(Clone, Debug)]
pub struct AclEntries<'a> {
    rest: &'a [u8],
}

impl<'a> AclEntries<'a> {
    /// The entries of the list in an attribute's `value`.
    ///
    /// # Errors
    ///
    /// [`AclError::Version`] and [`AclError::Truncated`].
    pub fn new(value: &'a [u8]) -> Result<Self, AclError> {
        let (version, rest) = value.split_first_chunk().ok_or(AclError::Truncated)?;
        match u32::from_le_bytes(*version) {
            VERSION => Ok(Self { rest }),
            other => Err(AclError::Version(other)),
        }
    }

    fn take(&mut self) -> Result<AclEntry, AclError> {
        let tag = self.take_u16()?;
        let permissions = self.take_u16()?;
        let id = match tag {
            USER | GROUP => Some(self.take_u32()?),
            OWNER | OWNING_GROUP | MASK | OTHER => None,
            other => return Err(AclError::Tag(other)),
        };
        Ok(AclEntry {
            tag,
            permissions,
            id,
        })
    }

    fn take_u16(&mut self) -> Result<u16, AclError> {
        let (bytes, rest) = self.rest.split_first_chunk().ok_or(AclError::Truncated)?;
        self.rest = rest;
        Ok(u16::from_le_bytes(*bytes))
    }

    fn take_u32(&mut self) -> Result<u32, AclError> {
        let (bytes, rest) = self.rest.split_first_chunk().ok_or(AclError::Truncated)?;
        self.rest = rest;
        Ok(u32::from_le_bytes(*bytes))
    }
}

impl Iterator for AclEntries<'_> {
    type Item = Result<AclEntry, AclError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let entry = self.take();
        if entry.is_err() {
            self.rest = &[];
        }
        Some(entry)
    }
}
