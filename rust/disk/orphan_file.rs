// SPDX-License-Identifier: GPL-2.0

//! The orphan file: inodes to be deleted or truncated after a crash, as a file of their numbers.
//!
//! Each block is an array of numbers, of which zero is an empty slot, and a tail with a magic
//! number and a checksum. Many can be added at once, since each slot stands for itself: that is
//! what it has over the list of orphans. Source: "Orphan file" in
//! `Documentation/filesystems/ext4/orphan.rst`.

use super::checksum::{Crc32cFn, InodeSeed};
use super::error::ChecksumMismatch;
use super::units::{InodeNumber, PhysicalBlock};
use core::fmt;
use zerocopy::little_endian::U32;
use zerocopy::{FromBytes as _, Ref, SplitByteSlice, SplitByteSliceMut};
use zerocopy_derive::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// What the tail begins with.
const MAGIC: u32 = 0x0b10_ca04;

/// The end of each block.
#[derive(FromBytes, IntoBytes, KnownLayout, Immutable)]
#[repr(C)]
struct Tail {
    magic: U32,
    checksum: U32,
}

/// What is wrong with a block of the orphan file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OrphanFileError {
    /// Not the size of a block.
    Size(usize),
    /// The magic number.
    Magic(u32),
    /// The checksum.
    Checksum(ChecksumMismatch),
    /// There is no such slot.
    Slot(usize),
    /// A slot that was to be filled is not empty.
    SlotTaken {
        /// The slot.
        slot: usize,
        /// The inode in it.
        inode: InodeNumber,
    },
}

impl fmt::Display for OrphanFileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("orphan file: ")?;
        match self {
            Self::Size(bytes) => write!(f, "block of {bytes} bytes"),
            Self::Magic(magic) => write!(f, "magic number is {magic:#010x}, not {MAGIC:#010x}"),
            Self::Checksum(mismatch) => fmt::Display::fmt(mismatch, f),
            Self::Slot(slot) => write!(f, "no slot {slot}"),
            Self::SlotTaken { slot, inode } => write!(f, "inode {inode} is in slot {slot}"),
        }
    }
}

/// A block of the orphan file, over the bytes that hold it.
///
/// `B` is `&[u8]` to read and `&mut [u8]` to change it.
pub struct OrphanBlock<B: SplitByteSlice> {
    slots: Ref<B, [U32]>,
    tail: Ref<B, Tail>,
}

impl<B: SplitByteSlice> OrphanBlock<B> {
    /// Takes `block`, all of it, for a block of the orphan file.
    ///
    /// # Errors
    ///
    /// [`OrphanFileError::Size`] and [`OrphanFileError::Magic`].
    pub fn from_bytes(block: B) -> Result<Self, OrphanFileError> {
        let bytes = block.len();
        let size = OrphanFileError::Size(bytes);
        let (slots, tail) = Ref::<B, Tail>::from_suffix(block).map_err(|_| size)?;
        let slots = Ref::from_bytes(slots).map_err(|_| size)?;
        match tail.magic.get() {
            MAGIC => Ok(Self { slots, tail }),
            magic => Err(OrphanFileError::Magic(magic)),
        }
    }

    /// Checks the checksum of the block. `seed` is that of the orphan file's inode, `at` where the
    /// block lies.
    ///
    /// # Errors
    ///
    /// [`OrphanFileError::Checksum`].
    pub fn verify_checksum(
        &self,
        seed: InodeSeed,
        at: PhysicalBlock,
    ) -> Result<(), OrphanFileError> {
        ChecksumMismatch::check(self.tail.checksum.get(), self.compute_checksum(seed, at))
            .map_err(OrphanFileError::Checksum)
    }

    fn compute_checksum(&self, seed: InodeSeed, at: PhysicalBlock) -> u32 {
        let value = seed.start().with(&at.0.to_le_bytes());
        value.with(Ref::bytes(&self.slots)).value()
    }

    /// The number of slots.
    pub fn slots(&self) -> usize {
        self.slots.len()
    }

    /// The orphans, with the slots that they are in.
    pub fn orphans(&self) -> impl Iterator<Item = (usize, InodeNumber)> + '_ {
        self.slots
            .iter()
            .enumerate()
            .filter(|(_, inode)| inode.get() != 0)
            .map(|(slot, inode)| (slot, InodeNumber(inode.get())))
    }

    /// The first empty slot.
    pub fn empty_slot(&self) -> Option<usize> {
        self.slots.iter().position(|inode| inode.get() == 0)
    }
}

impl<B: SplitByteSliceMut> OrphanBlock<B> {
    /// Puts `inode` in an empty slot.
    ///
    /// # Errors
    ///
    /// [`OrphanFileError::Slot`] and [`OrphanFileError::SlotTaken`], with nothing changed.
    pub fn fill(&mut self, slot: usize, inode: InodeNumber) -> Result<(), OrphanFileError> {
        let place = self
            .slots
            .get_mut(slot)
            .ok_or(OrphanFileError::Slot(slot))?;
        match place.get() {
            0 => {
                place.set(inode.0);
                Ok(())
            }
            taken => Err(OrphanFileError::SlotTaken {
                slot,
                inode: InodeNumber(taken),
            }),
        }
    }

    /// Empties a slot.
    ///
    /// # Errors
    ///
    /// [`OrphanFileError::Slot`].
    pub fn clear(&mut self, slot: usize) -> Result<(), OrphanFileError> {
        let place = self
            .slots
            .get_mut(slot)
            .ok_or(OrphanFileError::Slot(slot))?;
        place.set(0);
        Ok(())
    }

    /// Makes the checksum that of the present content. See [`Self::verify_checksum`].
    pub fn update_checksum(&mut self, seed: InodeSeed, at: PhysicalBlock) {
        let checksum = self.compute_checksum(seed, at);
        self.tail.checksum.set(checksum);
    }

    /// Puts the checksum off: in its place goes what [`Self::complete_checksum`] needs. Such a block
    /// must not get to the disk.
    pub fn postpone_checksum(&mut self, seed: InodeSeed) {
        self.tail.checksum.set(seed.value());
    }

    /// Makes the checksum right that [`Self::postpone_checksum`] has put off. To be called once.
    pub fn complete_checksum(&mut self, at: PhysicalBlock, update: Crc32cFn) {
        let seed = InodeSeed::stored(update, self.tail.checksum.get());
        self.update_checksum(seed, at);
    }
}

impl<'a> OrphanBlock<&'a mut [u8]> {
    /// Makes `block`, all of it, a block of the orphan file without orphans.
    ///
    /// # Errors
    ///
    /// [`OrphanFileError::Size`].
    pub fn create(block: &'a mut [u8]) -> Result<Self, OrphanFileError> {
        block.fill(0);
        let size = OrphanFileError::Size(block.len());
        let (_, tail) = Tail::mut_from_suffix(block).map_err(|_| size)?;
        tail.magic.set(MAGIC);
        Self::from_bytes(block)
    }
}
