// SPDX-License-Identifier: GPL-2.0

//! Directory blocks: entries one behind the other, each saying how long it is.
//!
//! An entry has 8 bytes and the name, and is a multiple of 4 long; one with inode zero is unused.
//! The last one reaches to the end of the block, or, if the file system has checksums, to the
//! last 12 bytes, which look like an unused entry and hold the checksum. This file is about
//! looking; changes are in `edit`, and `split` makes two blocks of one. Source: `Documentation/filesystems/ext4/directory.rst`.

mod edit;
mod split;

use super::checksum::{Crc32cFn, InodeSeed};
use super::error::ChecksumMismatch;
use super::file_type::FileType;
use super::units::InodeNumber;
use core::fmt;
use zerocopy::little_endian::{U16, U32};
use zerocopy::{FromBytes as _, IntoBytes as _};
use zerocopy_derive::{FromBytes, Immutable, IntoBytes, KnownLayout};

pub use edit::DirBlockMut;
pub use split::{Piece, Split};

/// The longest name, in bytes.
pub const MAX_NAME: usize = 255;
/// What an entry has before its name, in bytes.
const HEADER_SIZE: usize = size_of::<Header>();
/// The shortest entry, in bytes: the header and four bytes of name.
const MIN_ENTRY: usize = 12;
/// The largest block, whose length in an entry does not fit 16 bits.
const LARGEST_BLOCK: usize = 65536;

/// What an entry has before its name.
#[derive(FromBytes, IntoBytes, KnownLayout, Immutable)]
#[repr(C)]
struct Header {
    inode: U32,
    record_length: U16,
    name_length: u8,
    file_type: u8,
}

/// The last 12 bytes of a block with a checksum.
#[derive(FromBytes, IntoBytes, KnownLayout, Immutable)]
#[repr(C)]
struct Tail {
    /// Zero, so that it looks like an unused entry.
    inode: U32,
    /// 12.
    record_length: U16,
    /// Zero.
    name_length: u8,
    /// [`Tail::FILE_TYPE`], which no entry has.
    file_type: u8,
    checksum: U32,
}

impl Tail {
    const SIZE: usize = size_of::<Self>();
    const FILE_TYPE: u8 = 0xde;

    const EMPTY: Self = Self {
        inode: U32::ZERO,
        record_length: U16::new(Self::SIZE as u16),
        name_length: 0,
        file_type: Self::FILE_TYPE,
        checksum: U32::ZERO,
    };

    /// Whether all is as it must be, but for the checksum.
    fn is_tail(&self) -> bool {
        let expected = Self {
            checksum: self.checksum,
            ..Self::EMPTY
        };
        self.as_bytes() == expected.as_bytes()
    }
}

/// What is wrong with a directory block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DirProblem {
    /// The entry's length is less than the shortest entry's.
    RecordShort(usize),
    /// The entry's length is no multiple of 4.
    RecordUnaligned(usize),
    /// The entry is too short for its name.
    NameLong {
        /// The length of the name.
        name: usize,
        /// The length of the entry.
        record: usize,
    },
    /// The entry reaches over the end of the block.
    RecordLong(usize),
    /// Behind the entry less is left than an entry needs.
    Gap(usize),
    /// The entry's inode has a number that no inode has.
    Inode(InodeNumber),
    /// The entry is in use and has no name.
    NoName,
    /// `.` is the last entry of the block, where `..` has to follow.
    LastIsDot,
    /// There is no place for a checksum at the end of the block.
    NoTail,
    /// The block's checksum.
    Checksum(ChecksumMismatch),
}

/// What is wrong with a directory block, and where in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DirError {
    /// Where in the block, in bytes.
    pub offset: usize,
    /// What is wrong.
    pub problem: DirProblem,
}

impl fmt::Display for DirError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "directory block, offset {}: ", self.offset)?;
        match &self.problem {
            DirProblem::RecordShort(length) => write!(f, "entry of {length} bytes is too short"),
            DirProblem::RecordUnaligned(length) => {
                write!(f, "entry of {length} bytes is not aligned")
            }
            DirProblem::NameLong { name, record } => {
                write!(f, "name of {name} bytes in an entry of {record}")
            }
            DirProblem::RecordLong(length) => {
                write!(f, "entry of {length} bytes reaches over the end")
            }
            DirProblem::Gap(length) => write!(f, "only {length} bytes left behind the entry"),
            DirProblem::Inode(inode) => write!(f, "no such inode: {inode}"),
            DirProblem::NoName => f.write_str("entry without a name"),
            DirProblem::LastIsDot => f.write_str("'.' is the last entry"),
            DirProblem::NoTail => f.write_str("no place for a checksum, run e2fsck -D"),
            DirProblem::Checksum(mismatch) => fmt::Display::fmt(mismatch, f),
        }
    }
}

/// How much an entry needs for a name of `name` bytes, in bytes.
const fn record_for(name: usize) -> usize {
    (HEADER_SIZE + name).next_multiple_of(4)
}

/// An entry of a directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry<'a> {
    /// Where in the block it starts, in bytes.
    pub offset: usize,
    /// Its length with all that is unused behind the name, in bytes.
    pub record_length: usize,
    /// The inode, or `None` if the entry is unused.
    pub inode: Option<InodeNumber>,
    /// The name.
    pub name: &'a [u8],
    /// The type of the file as a number: zero if it is not known. It has no meaning without the
    /// feature `filetype`.
    pub file_type: u8,
}

impl Entry<'_> {
    /// The type of the file, or `None` if the entry does not say it.
    pub fn file_type(&self) -> Option<FileType> {
        FileType::of_entry(self.file_type)
    }

    /// Where in the block the next entry starts, in bytes.
    pub fn end(&self) -> usize {
        // Checked when it was parsed to lie in the block.
        self.offset + self.record_length
    }
}

/// A block of directory entries, to look at.
#[derive(Clone, Copy)]
pub struct DirBlock<'a> {
    /// The entries, without the tail.
    entries: &'a [u8],
    inodes_count: u32,
    /// The size of the whole block, in bytes.
    block_size: usize,
}

impl<'a> DirBlock<'a> {
    /// The entries of `block`, all of it.
    ///
    /// `inodes_count` is the last inode's number. `has_tail` says whether the last bytes are the
    /// checksum's: so it is in each block of a file system with checksums, but for the index
    /// blocks of a directory with an index.
    pub fn new(block: &'a [u8], inodes_count: u32, has_tail: bool) -> Self {
        let tail = if has_tail { Tail::SIZE } else { 0 };
        let end = block.len().saturating_sub(tail);
        Self {
            entries: block.get(..end).unwrap_or_default(),
            inodes_count,
            block_size: block.len(),
        }
    }

    /// The entry at `offset`.
    fn entry_at(&self, offset: usize) -> Result<Entry<'a>, DirError> {
        let fail = |problem| Err(DirError { offset, problem });
        let rest = self.entries.get(offset..).unwrap_or_default();
        let Ok((header, behind)) = Header::ref_from_prefix(rest) else {
            return fail(DirProblem::RecordLong(HEADER_SIZE));
        };

        let record_length = match usize::from(header.record_length.get()) {
            0 | 65535 if self.block_size == LARGEST_BLOCK => LARGEST_BLOCK,
            length => length,
        };
        let name_length = usize::from(header.name_length);
        if record_length < MIN_ENTRY {
            return fail(DirProblem::RecordShort(record_length));
        }
        if record_length % 4 != 0 {
            return fail(DirProblem::RecordUnaligned(record_length));
        }
        if record_length < record_for(name_length) {
            return fail(DirProblem::NameLong {
                name: name_length,
                record: record_length,
            });
        }
        let Some(left) = rest.len().checked_sub(record_length) else {
            return fail(DirProblem::RecordLong(record_length));
        };
        if left != 0 && left < MIN_ENTRY {
            return fail(DirProblem::Gap(left));
        }
        let Some(name) = behind.get(..name_length) else {
            return fail(DirProblem::RecordLong(record_length));
        };

        let inode = InodeNumber(header.inode.get());
        if inode.0 > self.inodes_count {
            return fail(DirProblem::Inode(inode));
        }
        if inode.0 != 0 && name.is_empty() {
            return fail(DirProblem::NoName);
        }
        if left == 0 && inode.0 != 0 && name == b"." {
            return fail(DirProblem::LastIsDot);
        }
        Ok(Entry {
            offset,
            record_length,
            inode: (inode.0 != 0).then_some(inode),
            name,
            file_type: header.file_type,
        })
    }

    /// Goes past entries from `walk` on, as long as nothing is wrong with them, others follow, and they are such as
    /// `passes` says, which is given the header and what lies behind it in the block.
    ///
    /// Where it ends, [`Self::entry_at`] tells what is there. Blocks are searched again and again for one name, of which
    /// nearly all others differ: this looks at each no more than it takes.
    #[inline(always)]
    fn pass(&self, walk: &mut Walk, passes: impl Fn(&Header, &[u8]) -> bool) {
        let mut rest = self.entries.get(walk.offset..).unwrap_or_default();
        while let Ok((header, behind)) = Header::ref_from_prefix(rest) {
            let length = usize::from(header.record_length.get());
            let name = usize::from(header.name_length);
            let inode = header.inode.get();
            let Some(next) = rest.get(length..) else {
                return;
            };
            let is_sound = length >= record_for(name).max(MIN_ENTRY)
                && length % 4 == 0
                && next.len() >= MIN_ENTRY
                && inode <= self.inodes_count
                && (name != 0 || inode == 0);
            if !is_sound || !passes(header, behind) {
                return;
            }
            walk.before = Some(walk.offset);
            walk.offset = walk.offset.saturating_add(length);
            rest = next;
        }
    }

    /// All entries, the unused ones too. Ends behind the first error.
    pub fn records(&self) -> impl Iterator<Item = Result<Entry<'a>, DirError>> + use<'a> {
        let block = *self;
        let mut next = Some(0);
        core::iter::from_fn(move || {
            let offset = next.take()?;
            if offset >= block.entries.len() {
                return None;
            }
            let entry = block.entry_at(offset);
            next = entry.as_ref().ok().map(Entry::end);
            Some(entry)
        })
    }

    /// All entries that are in use. Ends behind the first error.
    pub fn entries(&self) -> impl Iterator<Item = Result<Entry<'a>, DirError>> + use<'a> {
        self.records()
            .filter(|entry| entry.as_ref().map_or(true, |entry| entry.inode.is_some()))
    }

    /// The entry with this name.
    ///
    /// # Errors
    ///
    /// The first thing found wrong before the name was found.
    pub fn find(&self, name: &[u8]) -> Result<Option<Entry<'a>>, DirError> {
        self.find_from(&mut Walk::default(), name)
    }

    /// The same, and the place where it was found, for [`DirBlockMut::remove`].
    ///
    /// # Errors
    ///
    /// As for [`Self::find`].
    pub fn find_place(&self, name: &[u8]) -> Result<Option<(Entry<'a>, Walk)>, DirError> {
        let mut walk = Walk::default();
        let found = self.find_from(&mut walk, name)?;
        Ok(found.map(|entry| (entry, walk)))
    }

    /// Whether an entry begins where `walk` is, and follows on the one that is before it there.
    fn is_at_an_entry(&self, walk: &Walk) -> bool {
        match walk.before {
            None => walk.offset == 0,
            Some(before) => self
                .entry_at(before)
                .is_ok_and(|entry| entry.end() == walk.offset),
        }
    }

    /// The same from `walk` on, which is at an entry, and ends there.
    fn find_from(&self, walk: &mut Walk, name: &[u8]) -> Result<Option<Entry<'a>>, DirError> {
        let tail: Option<&[u8; 4]> = name.last_chunk();
        let is_other = |header: &Header, behind: &[u8]| {
            header.name_length as usize != name.len()
                || header.inode.get() == 0
                || behind.get(..name.len()).is_none_or(|own| {
                    // Names of one length often begin alike.
                    own.last_chunk() != tail || own != name
                })
        };
        loop {
            self.pass(walk, is_other);
            if walk.offset >= self.entries.len() {
                return Ok(None);
            }
            let entry = self.entry_at(walk.offset)?;
            if entry.inode.is_some() && entry.name == name {
                return Ok(Some(entry));
            }
            walk.before = Some(walk.offset);
            walk.offset = entry.end();
        }
    }
}

/// Where a walk over the entries of a block is; by default at the first.
#[derive(Clone, Copy, Debug, Default)]
pub struct Walk {
    /// The entry that comes next, in bytes.
    offset: usize,
    /// The one before it.
    before: Option<usize>,
}

/// Splits a block into what its checksum covers and the tail that holds it.
fn split_tail(block: &[u8]) -> Result<(&[u8], &Tail), DirError> {
    let no_tail = DirError {
        offset: block.len().saturating_sub(Tail::SIZE),
        problem: DirProblem::NoTail,
    };
    let (covered, tail) = Tail::ref_from_suffix(block).map_err(|_| no_tail)?;
    if tail.is_tail() {
        Ok((covered, tail))
    } else {
        Err(no_tail)
    }
}

/// Checks the checksum of a block of entries. Index blocks have another: see
/// [`htree`](super::htree).
///
/// # Errors
///
/// [`DirProblem::NoTail`] and [`DirProblem::Checksum`].
pub fn verify_checksum(block: &[u8], seed: InodeSeed) -> Result<(), DirError> {
    let (covered, tail) = split_tail(block)?;
    ChecksumMismatch::check(tail.checksum.get(), seed.checksum(covered)).map_err(|mismatch| {
        DirError {
            offset: covered.len(),
            problem: DirProblem::Checksum(mismatch),
        }
    })
}

/// Puts the checksum of a block of entries off, until it is done with: in its place goes what
/// [`complete_checksum`] needs. Such a block must not get to the disk.
///
/// # Errors
///
/// [`DirProblem::NoTail`], with nothing changed.
pub fn postpone_checksum(block: &mut [u8], seed: InodeSeed) -> Result<(), DirError> {
    set_checksum(block, |_, _| seed.value())
}

/// Makes the checksum right that [`postpone_checksum`] has put off. To be called once.
///
/// # Errors
///
/// As for [`postpone_checksum`].
pub fn complete_checksum(block: &mut [u8], update: Crc32cFn) -> Result<(), DirError> {
    set_checksum(block, |covered, stored| {
        InodeSeed::stored(update, stored).checksum(covered)
    })
}

/// Stores what `make` makes of the bytes that are covered and of what was stored before.
fn set_checksum(block: &mut [u8], make: impl FnOnce(&[u8], u32) -> u32) -> Result<(), DirError> {
    let (covered, tail) = split_tail(block)?;
    let checksum = make(covered, tail.checksum.get());
    if let Ok((_, tail)) = Tail::mut_from_suffix(block) {
        tail.checksum.set(checksum);
    }
    Ok(())
}
