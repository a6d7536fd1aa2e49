// SPDX-License-Identifier: GPL-2.0

//! The extent tree's format: which blocks of the device hold the blocks of a file.
//!
//! A tree consists of nodes of one layout. The root lies in the inode's `i_block`, each other node
//! fills a block of the device. A node is a header and then 12-byte entries, sorted by the logical
//! block they start with: extents in a leaf (depth 0), pointers to nodes one level down in the
//! others. Numbers are little-endian.
//!
//! ```text
//!            0        2        4        6        8                 12
//! header     | magic  |entries |  max   | depth  |   generation    |
//! extent     |  first logical  | length |phys. hi|  physical low   |
//! index      |  first logical  |    child low    |child hi| unused |
//! ```
//!
//! Blocks end in a checksum right behind the room for `max` entries: see [`verify_checksum`].
//!
//! Source: `Documentation/filesystems/ext4/ifork.rst`. Two rules of the format are found only in
//! what `e2fsck` and the kernel's `fs/ext4/extents.c` refuse: the first entry of a node starts
//! exactly where its parent's entry says, and no node holds anything behind the start of the next.
//!
//! This module has the values and the checksum, [`node`] the nodes. The algorithms on whole trees
//! are in the module's `extent`.

mod error;
pub mod node;

pub use error::{Fault, NodeError, Place};
pub use node::{Entry, Node, NodeMut};

use super::checksum::{Crc32cFn, InodeSeed};
use super::error::ChecksumMismatch;
use super::units::{LogicalBlock, PhysicalBlock};

/// The bytes of `i_block`, which hold the root.
pub const ROOT_SIZE: usize = 60;

/// The bytes of a node's header, and those of each entry.
const ENTRY_SIZE: usize = 12;

/// The most entries of a root, behind its header, which is as long as one of them.
pub const ROOT_ENTRIES: usize = ROOT_SIZE / ENTRY_SIZE - 1;

/// The bytes of the checksum behind the entries.
const TAIL_SIZE: usize = 4;

/// The greatest depth of a root, that is, of levels below it.
pub const MAX_DEPTH: u16 = 5;

/// The first logical block that no extent can hold, and so the end of the last one that can be.
pub const LOGICAL_END: LogicalBlock = LogicalBlock(u32::MAX);

/// Physical block numbers have 48 bits in an extent.
const PHYSICAL_END: u64 = 1 << 48;

/// Whether the blocks of an extent hold data.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum State {
    /// The blocks hold data.
    Written,
    /// The blocks are allocated, what is in them is not the file's, and they read as zeros.
    Unwritten,
}

impl State {
    /// The most blocks that one extent of this state can have.
    ///
    /// `ee_len` has 16 bits. Up to 32768 it is the length of a written extent, above that the
    /// length of an unwritten one plus 32768.
    pub const fn max_len(self) -> u32 {
        match self {
            Self::Written => 1 << 15,
            Self::Unwritten => (1 << 15) - 1,
        }
    }

    /// The other one.
    pub const fn opposite(self) -> Self {
        match self {
            Self::Written => Self::Unwritten,
            Self::Unwritten => Self::Written,
        }
    }
}

/// A run of blocks that is contiguous both in the file and on the device.
///
/// # Invariants
///
/// - the length is at least one and at most [`State::max_len`];
/// - the last block lies before [`LOGICAL_END`] in the file, and below 2^48 on the device.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Extent {
    logical: LogicalBlock,
    physical: PhysicalBlock,
    len: u16,
    state: State,
}

impl Extent {
    /// The extent of `len` blocks that start at `logical` in the file and at `physical` on the
    /// device, or `None` where the format cannot say that in one extent.
    pub const fn new(
        logical: LogicalBlock,
        physical: PhysicalBlock,
        len: u32,
        state: State,
    ) -> Option<Self> {
        if len == 0 || len > state.max_len() || len > LOGICAL_END.0 - logical.0 {
            return None;
        }
        match physical.0.checked_add(len as u64) {
            Some(end) if end <= PHYSICAL_END => Some(Self {
                logical,
                physical,
                // INVARIANT: just checked; at most 2^15.
                len: len as u16,
                state,
            }),
            _ => None,
        }
    }

    /// The first block in the file.
    pub const fn logical(self) -> LogicalBlock {
        self.logical
    }

    /// The first block on the device.
    pub const fn physical(self) -> PhysicalBlock {
        self.physical
    }

    /// The number of blocks, never 0.
    // An extent is never empty, so there is nothing that `is_empty` could say.
    #[allow(clippy::len_without_is_empty)]
    pub const fn len(self) -> u32 {
        self.len as u32
    }

    /// Whether the blocks hold data.
    pub const fn state(self) -> State {
        self.state
    }

    /// The logical block behind the last one.
    pub const fn end(self) -> LogicalBlock {
        // Fits, by the invariant.
        LogicalBlock(self.logical.0 + self.len as u32)
    }

    /// Where the logical block `block` lies on the device, or `None` if it is not in here.
    pub const fn map(self, block: LogicalBlock) -> Option<PhysicalBlock> {
        if block.0 < self.logical.0 || block.0 >= self.end().0 {
            return None;
        }
        // Fits, by the invariant.
        Some(PhysicalBlock(
            self.physical.0 + (block.0 - self.logical.0) as u64,
        ))
    }

    /// The part from logical block `from` up to and without `to`, or `None` if it is empty.
    pub fn part(self, from: LogicalBlock, to: LogicalBlock) -> Option<Self> {
        let from = from.max(self.logical);
        let len = to.min(self.end()).distance_from(from)?;
        Self::new(from, self.map(from)?, len, self.state)
    }

    /// The same blocks in the other state, or `None` if that is one block more than an unwritten
    /// extent can have.
    pub const fn with_state(self, state: State) -> Option<Self> {
        Self::new(self.logical, self.physical, self.len as u32, state)
    }

    /// This extent and `next` as one, or `None` if `next` does not continue this one or the two
    /// are too long together.
    pub fn join(self, next: Self) -> Option<Self> {
        if self.state != next.state
            || self.end() != next.logical
            || self.physical.checked_add(u64::from(self.len))? != next.physical
        {
            return None;
        }
        Self::new(
            self.logical,
            self.physical,
            self.len().checked_add(next.len())?,
            self.state,
        )
    }
}

/// The blocks of the device that data and tree nodes can lie in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DataArea {
    /// The first such block: not before the block behind the super block's.
    pub first: PhysicalBlock,
    /// The block behind the last one: the number of blocks of the file system.
    pub end: PhysicalBlock,
}

impl DataArea {
    /// Whether `len` blocks from `start` lie in here.
    pub const fn holds(self, start: PhysicalBlock, len: u32) -> bool {
        match start.checked_add(len as u64) {
            Some(end) => start.0 >= self.first.0 && end.0 <= self.end.0,
            None => false,
        }
    }
}

/// Checks the checksum of the node that fills `block`, with the seed of the inode it belongs to.
///
/// To be called before anything else in the node is believed. The root has none: it is covered by
/// the inode's. The checksum lies behind the room for `max` entries, and covers all before it.
///
/// # Errors
///
/// The checksum is wrong, or the header is such that there is no place for one.
pub fn verify_checksum(block: &[u8], at: PhysicalBlock, seed: InodeSeed) -> Result<(), NodeError> {
    let place = Place::Block(at);
    let end = Node::parse(block, place)?.end();
    let error = NodeError::new(place, Fault::NoTail);
    let (covered, tail) = block.split_at_checked(end).ok_or(error)?;
    let stored = tail.first_chunk::<TAIL_SIZE>().ok_or(error)?;
    ChecksumMismatch::check(u32::from_le_bytes(*stored), seed.checksum(covered))
        .map_err(|mismatch| NodeError::new(place, Fault::Checksum(mismatch)))
}

/// What the checksum of the node that fills `block` covers, and its place.
fn split_tail(
    block: &mut [u8],
    at: PhysicalBlock,
) -> Result<(&[u8], &mut [u8; TAIL_SIZE]), NodeError> {
    let place = Place::Block(at);
    let end = Node::parse(block, place)?.end();
    let error = NodeError::new(place, Fault::NoTail);
    let (covered, tail) = block.split_at_mut_checked(end).ok_or(error)?;
    let stored = tail.first_chunk_mut::<TAIL_SIZE>().ok_or(error)?;
    Ok((covered, stored))
}

/// Makes the checksum of the node that fills `block` right: see [`verify_checksum`].
///
/// # Errors
///
/// The header is such that there is no place for a checksum.
pub fn update_checksum(
    block: &mut [u8],
    at: PhysicalBlock,
    seed: InodeSeed,
) -> Result<(), NodeError> {
    let (covered, stored) = split_tail(block, at)?;
    *stored = seed.checksum(covered).to_le_bytes();
    Ok(())
}

/// Puts the checksum off: in its place goes what [`complete_checksum`] needs. Such a block must not
/// get to the disk.
///
/// # Errors
///
/// As for [`update_checksum`].
pub fn postpone_checksum(
    block: &mut [u8],
    at: PhysicalBlock,
    seed: InodeSeed,
) -> Result<(), NodeError> {
    let (_, stored) = split_tail(block, at)?;
    *stored = seed.value().to_le_bytes();
    Ok(())
}

/// Makes the checksum right that [`postpone_checksum`] has put off. To be called once.
///
/// # Errors
///
/// As for [`update_checksum`].
pub fn complete_checksum(
    block: &mut [u8],
    at: PhysicalBlock,
    update: Crc32cFn,
) -> Result<(), NodeError> {
    let (covered, stored) = split_tail(block, at)?;
    let seed = InodeSeed::stored(update, u32::from_le_bytes(*stored));
    *stored = seed.checksum(covered).to_le_bytes();
    Ok(())
}
