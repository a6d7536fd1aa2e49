// SPDX-License-Identifier: GPL-2.0

//! Nodes of an extent tree, to read ([`Node`]) and to change ([`NodeMut`]).
//!
//! A view of a node is made from its header alone, which costs the same for any number of entries:
//! a tree is walked for every read and write. The entries are checked by [`Node::check`], once for
//! each block when it comes from disk. A view of a node whose entries were not checked still
//! cannot do harm: it gives wrong answers or errors, no panic.

use zerocopy::little_endian::{U16, U32};
use zerocopy::FromBytes;
use zerocopy_derive::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use super::{DataArea, Extent, Fault, NodeError, Place, State, ENTRY_SIZE, MAX_DEPTH};
use crate::disk::units::{LogicalBlock, PhysicalBlock};

const MAGIC: u16 = 0xf30a;

/// The start of a node.
#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct Header {
    magic: U16,
    entries: U16,
    max: U16,
    depth: U16,
    /// Kept by Lustre, unused here.
    generation: U32,
}

impl Header {
    /// Checks this header of a node for whose entries there are `room` bytes.
    ///
    /// Gives the number of entries and the number of those for which there is room.
    fn check(&self, room: usize, place: Place) -> Result<(usize, usize), NodeError> {
        let error = |fault| Err(NodeError::new(place, fault));
        if self.magic.get() != MAGIC {
            return error(Fault::Magic(self.magic.get()));
        }
        let (found, expected) = (self.depth.get(), MAX_DEPTH);
        if found > expected {
            return error(Fault::Depth { found, expected });
        }
        let (entries, max, capacity) = (self.entries.get(), self.max.get(), capacity(room));
        if max == 0 || max > capacity {
            return error(Fault::Room { max, capacity });
        }
        if entries > max {
            return error(Fault::Entries { entries, max });
        }
        if entries == 0 && found > 0 {
            return error(Fault::EmptyIndex);
        }
        Ok((usize::from(entries), usize::from(max)))
    }
}

/// How many entries fit into `room` bytes.
fn capacity(room: usize) -> u16 {
    u16::try_from(room / ENTRY_SIZE).unwrap_or(u16::MAX)
}

/// An entry as it is on disk: an extent or an index, depending on the depth of its node.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub struct Entry {
    /// The first logical block.
    key: U32,
    rest: [u8; 8],
}

impl Entry {
    /// What is in place of an entry where there is none.
    pub const ZERO: Self = Self {
        key: U32::ZERO,
        rest: [0; 8],
    };

    /// The entry of a leaf that says where `extent` is.
    pub fn leaf(extent: Extent) -> Self {
        let stored = match extent.state {
            State::Written => extent.len,
            // Fits: the length of an unwritten extent is below 2^15.
            State::Unwritten => extent.len | 1 << 15,
        };
        let [l0, l1] = stored.to_le_bytes();
        let [p0, p1, p2, p3, h0, h1, ..] = extent.physical.0.to_le_bytes();
        Self {
            key: U32::new(extent.logical.0),
            rest: [l0, l1, h0, h1, p0, p1, p2, p3],
        }
    }

    /// The entry of an index node whose `child` starts with logical block `key`.
    ///
    /// Only the lower 48 bits of `child` are kept: more is not in the format.
    pub fn index(key: LogicalBlock, child: PhysicalBlock) -> Self {
        let [p0, p1, p2, p3, h0, h1, ..] = child.0.to_le_bytes();
        Self {
            key: U32::new(key.0),
            rest: [p0, p1, p2, p3, h0, h1, 0, 0],
        }
    }

    /// The first logical block.
    pub fn key(&self) -> LogicalBlock {
        LogicalBlock(self.key.get())
    }

    /// This entry of an index node: the block of the child.
    fn child(&self) -> PhysicalBlock {
        let [p0, p1, p2, p3, h0, h1, ..] = self.rest;
        PhysicalBlock(u64::from_le_bytes([p0, p1, p2, p3, h0, h1, 0, 0]))
    }

    /// This entry of a leaf: the extent, unless it is none.
    fn extent(&self) -> Result<Extent, Fault> {
        let [l0, l1, h0, h1, p0, p1, p2, p3] = self.rest;
        let stored = u32::from(u16::from_le_bytes([l0, l1]));
        let written = State::Written.max_len();
        let (len, state) = if stored <= written {
            (stored, State::Written)
        } else {
            (stored - written, State::Unwritten)
        };
        let logical = self.key();
        let physical = PhysicalBlock(u64::from_le_bytes([p0, p1, p2, p3, h0, h1, 0, 0]));
        Extent::new(logical, physical, len, state).ok_or_else(|| {
            if Extent::new(logical, PhysicalBlock(0), len, state).is_none() {
                Fault::Length(logical)
            } else {
                Fault::Physical {
                    logical,
                    physical,
                    len,
                }
            }
        })
    }
}

/// A node, to read.
#[derive(Clone, Copy)]
pub struct Node<'a> {
    place: Place,
    depth: u16,
    max: usize,
    entries: &'a [Entry],
}

impl<'a> Node<'a> {
    /// The node that starts with the first of `bytes`, which are all of `i_block` or of a block.
    ///
    /// # Errors
    ///
    /// The header is wrong. The entries are not looked at: see [`Self::check`].
    pub fn parse(bytes: &'a [u8], place: Place) -> Result<Self, NodeError> {
        let short = NodeError::new(place, Fault::Short);
        let (header, rest) = Header::ref_from_prefix(bytes).map_err(|_| short)?;
        let (entries, max) = header.check(rest.len(), place)?;
        let (entries, _) =
            <[Entry]>::ref_from_prefix_with_elems(rest, entries).map_err(|_| short)?;
        Ok(Self {
            place,
            depth: header.depth.get(),
            max,
            entries,
        })
    }

    /// Checks each entry: sorted, without overlap, on blocks that lie in `area`.
    ///
    /// Whether the node is the right one for its place in the tree is not known here. Takes time
    /// that grows with the number of entries, and is meant for when the node comes from disk.
    ///
    /// # Errors
    ///
    /// What is wrong with the first wrong entry.
    pub fn check(&self, area: DataArea) -> Result<(), NodeError> {
        let mut free_from = LogicalBlock(0);
        for (slot, entry) in self.entries.iter().enumerate() {
            let key = entry.key();
            if key < free_from {
                return Err(self.error(Fault::Order(key)));
            }
            free_from = if self.depth == 0 {
                self.extent(slot, area)?.end()
            } else {
                self.child(slot, area)?;
                key.checked_add(1).ok_or(self.error(Fault::Length(key)))?
            };
        }
        Ok(())
    }

    /// Where this node lies.
    pub fn place(&self) -> Place {
        self.place
    }

    /// The number of levels below this one. 0 is a leaf.
    pub fn depth(&self) -> u16 {
        self.depth
    }

    /// The number of entries.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there is no entry. Only a leaf can be empty.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The number of entries for which there is room.
    pub fn max(&self) -> usize {
        self.max
    }

    /// The entries.
    pub fn entries(&self) -> &'a [Entry] {
        self.entries
    }

    /// The number of entries that start at or before `block`.
    ///
    /// The last of these is the one that can hold `block`, and a new entry that starts there
    /// belongs behind it.
    pub fn search(&self, block: LogicalBlock) -> usize {
        self.entries.partition_point(|entry| entry.key() <= block)
    }

    /// The first logical block of entry `slot`, if there is such an entry.
    pub fn key(&self, slot: usize) -> Option<LogicalBlock> {
        self.entries.get(slot).map(Entry::key)
    }

    /// Entry `slot` of a leaf.
    ///
    /// # Errors
    ///
    /// There is no such entry, or it is no extent in `area`.
    pub fn extent(&self, slot: usize, area: DataArea) -> Result<Extent, NodeError> {
        let entry = self.entry(slot)?;
        let extent = entry.extent().map_err(|fault| self.error(fault))?;
        if area.holds(extent.physical(), extent.len()) {
            Ok(extent)
        } else {
            Err(self.error(Fault::Physical {
                logical: extent.logical(),
                physical: extent.physical(),
                len: extent.len(),
            }))
        }
    }

    /// Entry `slot` of an index node: the first logical block and the node one level down.
    ///
    /// # Errors
    ///
    /// There is no such entry, or the node does not lie in `area`.
    pub fn child(
        &self,
        slot: usize,
        area: DataArea,
    ) -> Result<(LogicalBlock, PhysicalBlock), NodeError> {
        let entry = self.entry(slot)?;
        let (key, child) = (entry.key(), entry.child());
        if area.holds(child, 1) {
            Ok((key, child))
        } else {
            Err(self.error(Fault::Child { key, child }))
        }
    }

    /// The offset in bytes behind the room for entries, where the checksum of a block lies.
    pub(super) fn end(&self) -> usize {
        // Fits: `max` is at most 2^16.
        ENTRY_SIZE * (1 + self.max)
    }

    /// The error that says that this node has `fault`.
    pub fn error(&self, fault: Fault) -> NodeError {
        NodeError::new(self.place, fault)
    }

    fn entry(&self, slot: usize) -> Result<&'a Entry, NodeError> {
        self.entries.get(slot).ok_or(self.error(Fault::Slot(slot)))
    }
}

/// A node, to change.
///
/// What is no longer an entry becomes zeros. Sorting is the caller's business.
pub struct NodeMut<'a> {
    place: Place,
    header: &'a mut Header,
    /// All for which there is room.
    room: &'a mut [Entry],
    len: usize,
}

impl<'a> NodeMut<'a> {
    /// Makes `bytes`, all of `i_block` or of a block, a node without entries.
    ///
    /// # Errors
    ///
    /// They are too few for one entry.
    pub fn format(bytes: &'a mut [u8], place: Place, depth: u16) -> Result<Self, NodeError> {
        bytes.fill(0);
        let short = NodeError::new(place, Fault::Short);
        let (header, rest) = Header::mut_from_prefix(bytes).map_err(|_| short)?;
        let max = capacity(rest.len());
        if max == 0 {
            return Err(short);
        }
        header.magic = U16::new(MAGIC);
        header.max = U16::new(max);
        header.depth = U16::new(depth);
        let (room, _) =
            <[Entry]>::mut_from_prefix_with_elems(rest, usize::from(max)).map_err(|_| short)?;
        Ok(Self {
            place,
            header,
            room,
            len: 0,
        })
    }

    /// The node that starts with the first of `bytes`, which are all of `i_block` or of a block.
    ///
    /// # Errors
    ///
    /// The header is wrong, see [`Node::parse`].
    pub fn parse(bytes: &'a mut [u8], place: Place) -> Result<Self, NodeError> {
        let short = NodeError::new(place, Fault::Short);
        let (header, rest) = Header::mut_from_prefix(bytes).map_err(|_| short)?;
        let (len, max) = header.check(rest.len(), place)?;
        let (room, _) = <[Entry]>::mut_from_prefix_with_elems(rest, max).map_err(|_| short)?;
        Ok(Self {
            place,
            header,
            room,
            len,
        })
    }

    /// Puts `new` in the place of the `removed` entries from `slot` on.
    ///
    /// # Errors
    ///
    /// [`Fault::Slot`]: there are no such entries or there is no room. Nothing was changed.
    pub fn splice(&mut self, slot: usize, removed: usize, new: &[Entry]) -> Result<(), NodeError> {
        let error = NodeError::new(self.place, Fault::Slot(slot));
        let kept_from = slot
            .checked_add(removed)
            .filter(|&end| end <= self.len)
            .ok_or(error)?;
        // Neither wraps: both numbers are lengths of slices that exist.
        let moved_to = slot + new.len();
        let len = self.len - removed + new.len();
        if len > self.room.len() {
            return Err(error);
        }
        self.room.copy_within(kept_from..self.len, moved_to);
        self.room
            .get_mut(slot..moved_to)
            .ok_or(error)?
            .copy_from_slice(new);
        if let Some(unused) = self.room.get_mut(len..self.len) {
            unused.fill(Entry::ZERO);
        }
        self.set_len(len);
        Ok(())
    }

    /// Adds an entry at the end.
    ///
    /// # Errors
    ///
    /// [`Fault::Slot`]: there is no room.
    pub fn push(&mut self, entry: Entry) -> Result<(), NodeError> {
        let free = self
            .room
            .get_mut(self.len)
            .ok_or(NodeError::new(self.place, Fault::Slot(self.len)))?;
        *free = entry;
        self.set_len(self.len + 1);
        Ok(())
    }

    /// Removes the entries from `len` on.
    pub fn truncate(&mut self, len: usize) {
        if let Some(unused) = self.room.get_mut(len..self.len) {
            unused.fill(Entry::ZERO);
            self.set_len(len);
        }
    }

    /// The logical block with which entry `slot` starts.
    pub fn key(&self, slot: usize) -> Option<LogicalBlock> {
        self.room.get(..self.len)?.get(slot).map(Entry::key)
    }

    /// Makes entry `slot` start with logical block `key`.
    ///
    /// # Errors
    ///
    /// [`Fault::Slot`]: there is no such entry.
    pub fn set_key(&mut self, slot: usize, key: LogicalBlock) -> Result<(), NodeError> {
        let entry = self
            .room
            .get_mut(..self.len)
            .and_then(|entries| entries.get_mut(slot))
            .ok_or(NodeError::new(self.place, Fault::Slot(slot)))?;
        entry.key = U32::new(key.0);
        Ok(())
    }

    /// `len` is at most the length of the room, which fits 16 bits.
    fn set_len(&mut self, len: usize) {
        self.len = len;
        self.header.entries = U16::new(u16::try_from(len).unwrap_or(u16::MAX));
    }
}
