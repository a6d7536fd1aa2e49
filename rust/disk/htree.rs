// SPDX-License-Identifier: GPL-2.0

//! The index of a directory: a tree of blocks, sorted by the hashes of names.
//!
//! Block 0 of the directory is the root. To a program that does not know of the index it looks
//! like a block with `.` and `..`, of which the latter is as long as the block; an inner node
//! looks like one unused entry. The leaves are ordinary directory blocks. Names with equal hashes
//! may go on in the next leaf, which has the lowest bit of its hash set then.
//!
//! This file has the format of one node, [`edit`] the changes to nodes, [`search`] the way through
//! the tree, [`hash`] the hashes.
//! Source: "Hash Tree Directories" in `Documentation/filesystems/ext4/directory.rst`.

pub mod edit;
pub mod hash;
pub mod search;

use super::checksum::{Crc32cFn, InodeSeed};
use super::error::ChecksumMismatch;
use super::units::LogicalBlock;
use core::fmt;
use hash::{HashVersion, NameHash};
use zerocopy::little_endian::{U16, U32};
use zerocopy::{FromBytes as _, IntoBytes as _};
use zerocopy_derive::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// The most levels of index nodes that a directory can have: the root and with `large_dir` two
/// below it.
pub const MAX_LEVELS: usize = 3;

/// The root's fields before its entries, behind what looks like `.` and `..`.
#[derive(FromBytes, IntoBytes, KnownLayout, Immutable)]
#[repr(C)]
struct RootInfo {
    reserved: U32,
    hash_version: u8,
    /// The size of this structure: 8.
    info_length: u8,
    /// The number of levels of inner nodes below the root.
    indirect_levels: u8,
    flags: u8,
}

/// An entry: where names with at least this hash are found.
#[derive(FromBytes, IntoBytes, KnownLayout, Immutable)]
#[repr(C)]
struct IndexEntry {
    hash: U32,
    block: U32,
}

/// What the first entry has in place of a hash, which would be zero.
#[derive(FromBytes, IntoBytes, KnownLayout, Immutable)]
#[repr(C)]
struct CountLimit {
    limit: U16,
    count: U16,
}

/// What lies behind the last place for an entry if the file system has checksums.
#[derive(FromBytes, IntoBytes, KnownLayout, Immutable)]
#[repr(C)]
struct IndexTail {
    reserved: U32,
    checksum: U32,
}

/// Where the root's fields begin: behind `.` and `..`, each with 12 bytes.
const ROOT_INFO_OFFSET: usize = 24;
/// Where the root's entries begin.
const ROOT_ENTRIES_OFFSET: usize = ROOT_INFO_OFFSET + size_of::<RootInfo>();
/// Where an inner node's entries begin: behind the header of an unused directory entry.
const NODE_ENTRIES_OFFSET: usize = 8;
/// The length of the first entry of the root, `.`, and where `..` begins.
const DOT_LENGTH: u16 = 12;
/// The bits of a block number; the others are reserved.
const BLOCK_MASK: u32 = 0x0fff_ffff;

/// What is wrong with a directory index.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HtreeProblem {
    /// Fewer bytes than a node has.
    Short,
    /// The block does not look like a node to programs that do not know the index.
    NotAnIndex,
    /// A hash that is not known, or cannot be computed without a key.
    HashVersion(u8),
    /// `info_length` is not that of the known structure.
    InfoLength(u8),
    /// A flag that is not known.
    Flags(u8),
    /// More levels than an index can have.
    Levels(u8),
    /// The number of places for entries is not what the block has.
    Limit {
        /// The number in the node.
        stored: u16,
        /// What it must be.
        expected: u16,
    },
    /// No entries, or more than there are places.
    Count(u16),
    /// An entry's hash is less than that of the one before.
    Order {
        /// The number of the entry.
        entry: u16,
    },
    /// A child lies in a block that is one of the nodes above it.
    Cycle(LogicalBlock),
    /// A node's checksum.
    Checksum(ChecksumMismatch),
}

/// What is wrong with a directory index.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HtreeError {
    /// What is wrong. Which block of the directory it is in is known to the caller.
    pub problem: HtreeProblem,
}

impl HtreeError {
    const fn new(problem: HtreeProblem) -> Self {
        Self { problem }
    }
}

impl fmt::Display for HtreeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("directory index: ")?;
        match &self.problem {
            HtreeProblem::Short => f.write_str("too few bytes"),
            HtreeProblem::NotAnIndex => f.write_str("block is no index node"),
            HtreeProblem::HashVersion(version) => write!(f, "unknown hash version {version}"),
            HtreeProblem::InfoLength(length) => write!(f, "bad length of root fields: {length}"),
            HtreeProblem::Flags(flags) => write!(f, "unknown flags {flags:#x}"),
            HtreeProblem::Levels(levels) => write!(f, "{levels} levels below the root"),
            HtreeProblem::Limit { stored, expected } => {
                write!(f, "limit of entries is {stored}, not {expected}")
            }
            HtreeProblem::Count(count) => write!(f, "bad number of entries: {count}"),
            HtreeProblem::Order { entry } => write!(f, "entry {entry} is out of order"),
            HtreeProblem::Cycle(block) => write!(f, "block {block} is its own ancestor"),
            HtreeProblem::Checksum(mismatch) => fmt::Display::fmt(mismatch, f),
        }
    }
}

/// What a node must be like, given the file system.
#[derive(Clone, Copy, Debug)]
pub struct IndexFormat {
    /// Whether there is a checksum behind the places for entries.
    pub has_checksums: bool,
    /// Whether there may be two levels below the root instead of one: `large_dir`.
    pub large_directories: bool,
}

impl IndexFormat {
    /// How many levels of nodes there may be between the root and the leaves.
    pub const fn max_indirect_levels(self) -> usize {
        if self.large_directories {
            2
        } else {
            1
        }
    }
}

/// The entries of a node: checked to be there, as many as the node says and in order.
#[derive(Clone, Copy)]
pub struct Entries<'a>(&'a [IndexEntry]);

impl<'a> Entries<'a> {
    fn parse(block: &'a [u8], offset: usize, format: IndexFormat) -> Result<Self, HtreeError> {
        let this = Self::parse_sorted(block, offset, format)?;
        let mut before = 0;
        for (position, entry) in this.0.iter().enumerate().skip(1) {
            let hash = entry.hash.get();
            if hash < before {
                // Less than the count.
                let entry = position as u16;
                return Err(HtreeError::new(HtreeProblem::Order { entry }));
            }
            before = hash;
        }
        Ok(this)
    }

    /// The same where they are known to be in order.
    fn parse_sorted(
        block: &'a [u8],
        offset: usize,
        format: IndexFormat,
    ) -> Result<Self, HtreeError> {
        let fail = |problem| Err(HtreeError::new(problem));
        let short = HtreeError::new(HtreeProblem::Short);
        let bytes = block.get(offset..).unwrap_or_default();
        let tail = if format.has_checksums {
            size_of::<IndexTail>()
        } else {
            0
        };
        let places = bytes.len().saturating_sub(tail) / size_of::<IndexEntry>();
        // A block has at most 65536 bytes, an entry 8.
        let expected = places as u16;

        let (numbers, _) = CountLimit::ref_from_prefix(bytes).map_err(|_| short)?;
        let (limit, count) = (numbers.limit.get(), numbers.count.get());
        if limit != expected {
            return fail(HtreeProblem::Limit {
                stored: limit,
                expected,
            });
        }
        if count == 0 || count > limit {
            return fail(HtreeProblem::Count(count));
        }
        let (entries, _) =
            <[IndexEntry]>::ref_from_prefix_with_elems(bytes, count.into()).map_err(|_| short)?;

        Ok(Self(entries))
    }

    /// The number of entries, at least 1.
    pub fn count(&self) -> usize {
        self.0.len()
    }

    /// The hash that the names below entry `position` have at least, or `None` if there is no such
    /// entry. The lowest bit says that names of the entry before may go on here.
    pub fn hash(&self, position: usize) -> Option<u32> {
        match position {
            // Its place is taken by the numbers.
            0 => Some(0),
            _ => Some(self.0.get(position)?.hash.get()),
        }
    }

    /// The block of the directory that entry `position` leads to.
    pub fn block(&self, position: usize) -> Option<LogicalBlock> {
        let entry = self.0.get(position)?;
        Some(LogicalBlock(entry.block.get() & BLOCK_MASK))
    }

    /// The entry that leads to the first names with `hash`: the last one whose hash is not greater.
    ///
    /// An entry that goes on with the names of the one before has the lowest bit set, so is
    /// greater and not found.
    pub fn search(&self, hash: NameHash) -> usize {
        let behind_first = self.0.get(1..).unwrap_or_default();
        behind_first.partition_point(|entry| entry.hash.get() <= hash.major)
    }
}

/// The root of an index.
#[derive(Clone, Copy)]
pub struct Root<'a> {
    /// How its names are hashed.
    pub hash_version: HashVersion,
    /// The number of levels of nodes between the root and the leaves, at most 2.
    pub indirect_levels: usize,
    /// Its entries.
    pub entries: Entries<'a>,
}

impl<'a> Root<'a> {
    /// Takes `block`, block 0 of a directory with an index, for the root.
    ///
    /// # Errors
    ///
    /// Any [`HtreeProblem`] but those of the checksum and of cycles.
    pub fn from_block(block: &'a [u8], format: IndexFormat) -> Result<Self, HtreeError> {
        Self::parse(block, format, Entries::parse)
    }

    /// The same for a block whose entries are known to be in order, since it was checked before.
    ///
    /// # Errors
    ///
    /// As for [`Self::from_block`], but [`HtreeProblem::Order`].
    pub fn from_checked(block: &'a [u8], format: IndexFormat) -> Result<Self, HtreeError> {
        Self::parse(block, format, Entries::parse_sorted)
    }

    fn parse(
        block: &'a [u8],
        format: IndexFormat,
        entries: impl FnOnce(&'a [u8], usize, IndexFormat) -> Result<Entries<'a>, HtreeError>,
    ) -> Result<Self, HtreeError> {
        if !is_root(block) {
            return Err(HtreeError::new(HtreeProblem::NotAnIndex));
        }
        let bytes = block.get(ROOT_INFO_OFFSET..).unwrap_or_default();
        let (info, _) =
            RootInfo::ref_from_prefix(bytes).map_err(|_| HtreeError::new(HtreeProblem::Short))?;
        let hash_version = HashVersion::from_number(info.hash_version)?;
        if usize::from(info.info_length) != size_of::<RootInfo>() {
            return Err(HtreeError::new(HtreeProblem::InfoLength(info.info_length)));
        }
        if info.flags & 1 != 0 {
            return Err(HtreeError::new(HtreeProblem::Flags(info.flags)));
        }
        if usize::from(info.indirect_levels) > format.max_indirect_levels() {
            return Err(HtreeError::new(HtreeProblem::Levels(info.indirect_levels)));
        }
        Ok(Self {
            hash_version,
            indirect_levels: info.indirect_levels.into(),
            entries: entries(block, ROOT_ENTRIES_OFFSET, format)?,
        })
    }
}

/// Takes `block`, an inner node of an index, and returns its entries.
///
/// # Errors
///
/// Any [`HtreeProblem`] that an inner node can have but that of the checksum.
pub fn node_entries(block: &[u8], format: IndexFormat) -> Result<Entries<'_>, HtreeError> {
    if !is_node(block) {
        return Err(HtreeError::new(HtreeProblem::NotAnIndex));
    }
    Entries::parse(block, NODE_ENTRIES_OFFSET, format)
}

/// The same for a block whose entries are known to be in order, since it was checked before.
///
/// # Errors
///
/// As for [`node_entries`], but [`HtreeProblem::Order`].
pub fn checked_entries(block: &[u8], format: IndexFormat) -> Result<Entries<'_>, HtreeError> {
    if !is_node(block) {
        return Err(HtreeError::new(HtreeProblem::NotAnIndex));
    }
    Entries::parse_sorted(block, NODE_ENTRIES_OFFSET, format)
}

/// The length of the directory entry that seems to be at `offset`.
fn entry_length(block: &[u8], offset: usize) -> Option<usize> {
    let bytes = block.get(offset..)?.get(4..)?;
    match u16::from_le_bytes(*bytes.first_chunk()?) {
        // 65536 does not fit.
        0 | u16::MAX if block.len() == 65536 => Some(65536),
        length => Some(length.into()),
    }
}

/// Whether `block` looks like `.` and a `..` as long as the rest of the block.
fn is_root(block: &[u8]) -> bool {
    let dot = usize::from(DOT_LENGTH);
    entry_length(block, 0) == Some(dot)
        && entry_length(block, dot).is_some_and(|length| dot + length == block.len())
}

/// Whether `block` looks like an inner node: one unused entry as long as the block.
///
/// A leaf without entries looks the same if the file system has no checksums, so this is no
/// proof.
pub fn is_node(block: &[u8]) -> bool {
    let unused = block.first_chunk() == Some(&[0; 4]);
    unused && entry_length(block, 0) == Some(block.len())
}

/// The pieces of a node that its checksum covers, and where the checksum lies.
struct Covered<'a> {
    /// The block up to the end of the last entry in use.
    entries: &'a [u8],
    /// Where the tail starts, in bytes.
    tail: usize,
}

impl<'a> Covered<'a> {
    fn of(block: &'a [u8]) -> Result<Self, HtreeError> {
        let short = HtreeError::new(HtreeProblem::Short);
        let offset = if is_root(block) {
            ROOT_ENTRIES_OFFSET
        } else if is_node(block) {
            NODE_ENTRIES_OFFSET
        } else {
            return Err(HtreeError::new(HtreeProblem::NotAnIndex));
        };
        let bytes = block.get(offset..).ok_or(short)?;
        let (numbers, _) = CountLimit::ref_from_prefix(bytes).map_err(|_| short)?;
        let (limit, count) = (numbers.limit.get(), numbers.count.get());
        let tail = offset + usize::from(limit) * size_of::<IndexEntry>();
        if count > limit || block.len().saturating_sub(tail) < size_of::<IndexTail>() {
            return Err(HtreeError::new(HtreeProblem::Count(count)));
        }
        let end = offset + usize::from(count) * size_of::<IndexEntry>();
        Ok(Self {
            entries: block.get(..end).ok_or(short)?,
            tail,
        })
    }

    /// All entries in use, and the tail with the checksum taken for zero.
    fn checksum(&self, seed: InodeSeed, tail: &IndexTail) -> u32 {
        let value = seed.start().with(self.entries);
        let value = value.with(tail.reserved.as_bytes());
        value.with_zeros(size_of::<U32>()).value()
    }
}

/// Checks the checksum of a node of the index, the root included.
///
/// # Errors
///
/// [`HtreeProblem::Checksum`], and [`HtreeProblem::NotAnIndex`], [`HtreeProblem::Count`] and
/// [`HtreeProblem::Short`] where there is no place for one.
pub fn verify_checksum(block: &[u8], seed: InodeSeed) -> Result<(), HtreeError> {
    let covered = Covered::of(block)?;
    let bytes = block.get(covered.tail..).unwrap_or_default();
    let (tail, _) =
        IndexTail::ref_from_prefix(bytes).map_err(|_| HtreeError::new(HtreeProblem::Short))?;
    ChecksumMismatch::check(tail.checksum.get(), covered.checksum(seed, tail))
        .map_err(|mismatch| HtreeError::new(HtreeProblem::Checksum(mismatch)))
}

/// Puts the checksum of a node of the index off, until it is done with: in its place goes what
/// [`complete_checksum`] needs. Such a block must not get to the disk.
///
/// # Errors
///
/// As [`verify_checksum`] where there is no place for one, with nothing changed.
pub fn postpone_checksum(block: &mut [u8], seed: InodeSeed) -> Result<(), HtreeError> {
    set_checksum(block, |_, _| seed.value())
}

/// Makes the checksum right that [`postpone_checksum`] has put off. To be called once.
///
/// # Errors
///
/// As for [`postpone_checksum`].
pub fn complete_checksum(block: &mut [u8], update: Crc32cFn) -> Result<(), HtreeError> {
    set_checksum(block, |covered, tail| {
        covered.checksum(InodeSeed::stored(update, tail.checksum.get()), tail)
    })
}

/// Stores what `make` makes of the bytes that are covered and of the tail as it was before.
fn set_checksum(
    block: &mut [u8],
    make: impl FnOnce(&Covered<'_>, &IndexTail) -> u32,
) -> Result<(), HtreeError> {
    let short = HtreeError::new(HtreeProblem::Short);
    let covered = Covered::of(block)?;
    let start = covered.tail;
    let bytes = block.get(start..).unwrap_or_default();
    let (tail, _) = IndexTail::ref_from_prefix(bytes).map_err(|_| short)?;
    let checksum = make(&covered, tail);
    let bytes = block.get_mut(start..).unwrap_or_default();
    let (tail, _) = IndexTail::mut_from_prefix(bytes).map_err(|_| short)?;
    tail.checksum.set(checksum);
    Ok(())
}
