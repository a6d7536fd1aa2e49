// SPDX-License-Identifier: GPL-2.0

//! What can be wrong with a node of an extent tree.

use core::fmt;

use crate::disk::error::ChecksumMismatch;
use crate::disk::units::{LogicalBlock, PhysicalBlock};

/// Where a node lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// In the inode's `i_block`.
    Root,
    /// In a block of its own.
    Block(PhysicalBlock),
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Root => f.write_str("extent root"),
            Self::Block(block) => write!(f, "extent node in block {block}"),
        }
    }
}

/// A node is not what it must be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NodeError {
    /// Which node.
    pub place: Place,
    /// What is wrong with it.
    pub fault: Fault,
}

impl NodeError {
    /// The node at `place` has this `fault`.
    pub const fn new(place: Place, fault: Fault) -> Self {
        Self { place, fault }
    }
}

impl fmt::Display for NodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.place, self.fault)
    }
}

/// What is wrong with a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// There are fewer bytes than a header needs.
    Short,
    /// The magic number is another one.
    Magic(u16),
    /// The depth is not one less than the parent's, or the root's is more than the format allows.
    Depth {
        /// The depth in the header.
        found: u16,
        /// The depth it must have, or the most it may have.
        expected: u16,
    },
    /// The room for entries is none, or more than there are bytes.
    Room {
        /// The number of entries in the header for which there is room.
        max: u16,
        /// The number for which there are bytes.
        capacity: u16,
    },
    /// There are more entries than there is room for.
    Entries {
        /// The number of entries in the header.
        entries: u16,
        /// The number in the header for which there is room.
        max: u16,
    },
    /// An index node, which must have at least one entry, has none.
    EmptyIndex,
    /// An extent has no blocks, or ends behind the last logical block.
    Length(LogicalBlock),
    /// An extent lies outside the blocks that can hold data.
    Physical {
        /// Where the extent starts in the file.
        logical: LogicalBlock,
        /// Where it starts on the device.
        physical: PhysicalBlock,
        /// The number of blocks it has.
        len: u32,
    },
    /// The node one level down lies outside the blocks that can hold one.
    Child {
        /// Where the child starts in the file.
        key: LogicalBlock,
        /// The block it is said to be in.
        child: PhysicalBlock,
    },
    /// An entry starts before the end of the one before it.
    Order(LogicalBlock),
    /// The first entry does not start where the parent says.
    FirstKey {
        /// Where the first entry starts.
        found: LogicalBlock,
        /// Where the parent says it starts.
        expected: LogicalBlock,
    },
    /// The last entry reaches beyond the start of the next node.
    Overhang {
        /// Where the last entry ends, or, in an index node, starts.
        last: LogicalBlock,
        /// Where the next node starts.
        limit: LogicalBlock,
    },
    /// The checksum is wrong.
    Checksum(ChecksumMismatch),
    /// There are fewer bytes behind the room for entries than the checksum needs.
    NoTail,
    /// An entry was asked for that the node does not have, or added where it has no room.
    ///
    /// Not a fault of the node alone: it was changed since it was looked at.
    Slot(usize),
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Short => f.write_str("shorter than its header"),
            Self::Magic(magic) => write!(f, "magic number is {magic:#06x}"),
            Self::Depth { found, expected } => {
                write!(f, "depth is {found} where {expected} is right")
            }
            Self::Room { max, capacity } => {
                write!(f, "has room for {max} entries in a space of {capacity}")
            }
            Self::Entries { entries, max } => {
                write!(f, "has {entries} entries and room for {max}")
            }
            Self::EmptyIndex => f.write_str("index node without entries"),
            Self::Length(logical) => {
                write!(f, "extent at logical block {logical} has a wrong length")
            }
            Self::Physical {
                logical,
                physical,
                len,
            } => write!(
                f,
                "extent at logical block {logical}: blocks {physical}+{len} cannot hold data"
            ),
            Self::Child { key, child } => write!(
                f,
                "index of logical block {key}: block {child} cannot hold a node"
            ),
            Self::Order(logical) => write!(
                f,
                "entry of logical block {logical} overlaps the one before it"
            ),
            Self::FirstKey { found, expected } => write!(
                f,
                "starts at logical block {found} where its parent says {expected}"
            ),
            Self::Overhang { last, limit } => write!(
                f,
                "reaches logical block {last} where the next node starts at {limit}"
            ),
            Self::Checksum(mismatch) => fmt::Display::fmt(mismatch, f),
            Self::NoTail => f.write_str("no room for its checksum"),
            Self::Slot(slot) => write!(f, "no entry or no room at {slot}"),
        }
    }
}
