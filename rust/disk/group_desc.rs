// SPDX-License-Identifier: GPL-2.0

//! Group descriptors: where a group's bitmaps and inode table are, and what is free in it.
//!
//! 32 bytes, or with the feature `64bit` 64 and more, of which the second half has the upper bits
//! of the fields of the first. Source: `Documentation/filesystems/ext4/group_descr.rst`.

use super::checksum::{crc16, FsSeed};
use super::error::ChecksumMismatch;
use super::layout::Layout;
use super::units::{GroupNumber, PhysicalBlock};
use core::fmt;
use zerocopy::little_endian::{U16, U32};
use zerocopy::{Ref, SplitByteSlice, SplitByteSliceMut};
use zerocopy_derive::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// The fields that every descriptor has.
#[derive(FromBytes, IntoBytes, KnownLayout, Immutable)]
#[repr(C)]
struct Lower {
    block_bitmap: U32,
    inode_bitmap: U32,
    inode_table: U32,
    free_blocks: U16,
    free_inodes: U16,
    used_dirs: U16,
    flags: U16,
    exclude_bitmap: U32,
    block_bitmap_checksum: U16,
    inode_bitmap_checksum: U16,
    unused_inodes: U16,
    checksum: U16,
}

/// The upper bits of the fields, which a descriptor of 64 bytes and more has.
#[derive(FromBytes, IntoBytes, KnownLayout, Immutable)]
#[repr(C)]
struct Upper {
    block_bitmap: U32,
    inode_bitmap: U32,
    inode_table: U32,
    free_blocks: U16,
    free_inodes: U16,
    used_dirs: U16,
    unused_inodes: U16,
    exclude_bitmap: U32,
    block_bitmap_checksum: U16,
    inode_bitmap_checksum: U16,
    reserved: U32,
}

const _: () = assert!(size_of::<Lower>() == 32 && size_of::<Upper>() == 32);

/// Where the checksum lies in the descriptor, in bytes.
const CHECKSUM_OFFSET: usize = core::mem::offset_of!(Lower, checksum);

/// The flags of a group, `bg_flags`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GroupFlags(pub u16);

impl GroupFlags {
    /// No inode of the group is used; its inode bitmap and inode table were never written.
    pub const INODE_UNINIT: u16 = 1;
    /// The block bitmap was never written: only the group's own metadata is in use.
    pub const BLOCK_UNINIT: u16 = 2;
    /// The inode table was filled with zeros.
    pub const INODE_ZEROED: u16 = 4;

    /// Whether all bits of `mask` are set.
    pub const fn has(self, mask: u16) -> bool {
        self.0 & mask == mask
    }
}

/// One of the three pieces of metadata that a descriptor points to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GroupPart {
    /// The bitmap of used blocks.
    BlockBitmap,
    /// The bitmap of used inodes.
    InodeBitmap,
    /// The inode table.
    InodeTable,
}

impl fmt::Display for GroupPart {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::BlockBitmap => "block bitmap",
            Self::InodeBitmap => "inode bitmap",
            Self::InodeTable => "inode table",
        })
    }
}

/// What is wrong with a group descriptor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GroupDescProblem {
    /// There is no such group, or fewer bytes than a descriptor has.
    Missing,
    /// The descriptor's own checksum.
    Checksum(ChecksumMismatch),
    /// A part lies, in whole or partly, where it must not: outside of the file system, without
    /// `flex_bg` outside of the group, or over the super block or its descriptors.
    Place {
        /// The part.
        part: GroupPart,
        /// Its first block.
        at: PhysicalBlock,
    },
    /// More free blocks than the group has blocks.
    FreeBlocks(u32),
    /// More free inodes than a group has.
    FreeInodes(u32),
    /// More never used inodes than a group has.
    UnusedInodes(u32),
    /// More directories than a group has inodes.
    UsedDirs(u32),
}

/// What is wrong with the descriptor of which group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GroupDescError {
    /// The group that the descriptor describes.
    pub group: GroupNumber,
    /// What is wrong.
    pub problem: GroupDescProblem,
}

impl fmt::Display for GroupDescError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "group descriptor {}: ", self.group)?;
        match &self.problem {
            GroupDescProblem::Missing => f.write_str("not there"),
            GroupDescProblem::Checksum(mismatch) => fmt::Display::fmt(mismatch, f),
            GroupDescProblem::Place { part, at } => {
                write!(f, "{part} must not be at block {at}")
            }
            GroupDescProblem::FreeBlocks(count) => write!(f, "too many free blocks: {count}"),
            GroupDescProblem::FreeInodes(count) => write!(f, "too many free inodes: {count}"),
            GroupDescProblem::UnusedInodes(count) => write!(f, "too many unused inodes: {count}"),
            GroupDescProblem::UsedDirs(count) => write!(f, "too many directories: {count}"),
        }
    }
}

/// How group descriptors are checksummed, which depends on the features of the file system.
#[derive(Clone, Copy, Debug)]
pub enum GroupDescChecksum {
    /// They are not.
    None,
    /// crc16 over the UUID, the group and the descriptor: `uninit_bg`.
    Crc16 {
        /// The UUID of the file system.
        uuid: [u8; 16],
    },
    /// The lower half of a crc32c from the seed on: `metadata_csum`, which wins over the other.
    Crc32c(FsSeed),
}

impl GroupDescChecksum {
    /// Whether the flags for parts that were never written, and the number of never used inodes,
    /// mean something: they do not without a checksum, as nobody keeps them right then.
    pub fn has_lazy_parts(&self) -> bool {
        !matches!(self, Self::None)
    }

    /// The checksum of a descriptor of `group`, of which `before` and `behind` are what surrounds
    /// the checksum itself. That is taken for zero (crc32c) or left out (crc16).
    fn compute(&self, group: GroupNumber, before: &[u8], behind: [&[u8]; 2]) -> Option<u16> {
        match self {
            Self::None => None,
            Self::Crc16 { uuid } => {
                let value = crc16(!0, uuid);
                let value = crc16(value, &group.0.to_le_bytes());
                let value = crc16(value, before);
                Some(
                    behind
                        .iter()
                        .fold(value, |value, bytes| crc16(value, bytes)),
                )
            }
            Self::Crc32c(seed) => {
                let value = seed.start().with_u32(group.0).with(before);
                let value = value.with_zeros(size_of::<U16>());
                let value = behind.iter().fold(value, |value, bytes| value.with(bytes));
                // Cut to the width of the field.
                Some(value.value() as u16)
            }
        }
    }
}

/// The descriptor of one group, over the bytes that hold it.
///
/// `B` is `&[u8]` to read and `&mut [u8]` to change it. Changes are not reflected in the checksum
/// until [`Self::update_checksum`].
pub struct GroupDesc<B: SplitByteSlice> {
    group: GroupNumber,
    lower: Ref<B, Lower>,
    upper: Option<Ref<B, Upper>>,
    /// What a descriptor larger than 64 bytes has more. No field, but covered by the checksum.
    rest: B,
}

impl<B: SplitByteSlice> GroupDesc<B> {
    /// Takes the descriptor of `group` out of `block`, the block that holds it at `offset`.
    ///
    /// Nothing but the length is checked: see [`Self::verify_checksum`] and [`Self::check`].
    ///
    /// # Errors
    ///
    /// [`GroupDescProblem::Missing`] if there is no such group or the block ends before it does.
    pub fn in_block(block: B, layout: &Layout, group: GroupNumber) -> Result<Self, GroupDescError> {
        Self::take(block, layout, group).ok_or(GroupDescError {
            group,
            problem: GroupDescProblem::Missing,
        })
    }

    fn take(block: B, layout: &Layout, group: GroupNumber) -> Option<Self> {
        let place = layout.place_of_descriptor(group)?;
        let (_, bytes) = block.split_at(place.offset as usize).ok()?;
        let (bytes, _) = bytes.split_at(layout.descriptor_size() as usize).ok()?;
        let (lower, rest) = Ref::from_prefix(bytes).ok()?;
        if rest.is_empty() {
            return Some(Self {
                group,
                lower,
                upper: None,
                rest,
            });
        }
        let (upper, rest) = Ref::from_prefix(rest).ok()?;
        Some(Self {
            group,
            lower,
            upper: Some(upper),
            rest,
        })
    }

    /// The group that this describes.
    pub fn group(&self) -> GroupNumber {
        self.group
    }

    /// The block that holds the bitmap of used blocks.
    pub fn block_bitmap(&self) -> PhysicalBlock {
        self.block(|lower| lower.block_bitmap, |upper| upper.block_bitmap)
    }

    /// The block that holds the bitmap of used inodes.
    pub fn inode_bitmap(&self) -> PhysicalBlock {
        self.block(|lower| lower.inode_bitmap, |upper| upper.inode_bitmap)
    }

    /// The first block of the inode table.
    pub fn inode_table(&self) -> PhysicalBlock {
        self.block(|lower| lower.inode_table, |upper| upper.inode_table)
    }

    /// The number of free blocks (clusters with `bigalloc`).
    pub fn free_blocks(&self) -> u32 {
        self.count(|lower| lower.free_blocks, |upper| upper.free_blocks)
    }

    /// The number of free inodes.
    pub fn free_inodes(&self) -> u32 {
        self.count(|lower| lower.free_inodes, |upper| upper.free_inodes)
    }

    /// The number of directories.
    pub fn used_dirs(&self) -> u32 {
        self.count(|lower| lower.used_dirs, |upper| upper.used_dirs)
    }

    /// The number of inodes at the end of the inode table that were never used.
    pub fn unused_inodes(&self) -> u32 {
        self.count(|lower| lower.unused_inodes, |upper| upper.unused_inodes)
    }

    /// The flags.
    pub fn flags(&self) -> GroupFlags {
        GroupFlags(self.lower.flags.get())
    }

    /// Checks the descriptor's own checksum.
    ///
    /// # Errors
    ///
    /// [`GroupDescProblem::Checksum`].
    pub fn verify_checksum(&self, checksum: &GroupDescChecksum) -> Result<(), GroupDescError> {
        let stored = self.lower.checksum.get();
        let computed = self.compute_checksum(checksum).unwrap_or(stored);
        ChecksumMismatch::check(stored.into(), computed.into())
            .map_err(|mismatch| self.error(GroupDescProblem::Checksum(mismatch)))
    }

    /// Checks a bitmap's checksum, which the descriptor holds.
    ///
    /// # Errors
    ///
    /// The mismatch, for the caller to say which bitmap it was: see
    /// [`BitmapError`](super::bitmap::BitmapError).
    pub(super) fn verify_bitmap_checksum(
        &self,
        part: GroupPart,
        computed: u32,
    ) -> Result<(), ChecksumMismatch> {
        let Some((lo, hi)) = self.bitmap_checksums(part) else {
            return Ok(());
        };
        match hi {
            Some(hi) => ChecksumMismatch::check(lo | (hi << 16), computed),
            None => ChecksumMismatch::check(lo, computed & 0xffff),
        }
    }

    /// The lower and the upper half of a bitmap's checksum, of which there may be the lower only.
    fn bitmap_checksums(&self, part: GroupPart) -> Option<(u32, Option<u32>)> {
        let upper = self.upper.as_ref();
        let (lo, hi) = match part {
            GroupPart::BlockBitmap => (
                self.lower.block_bitmap_checksum,
                upper.map(|upper| upper.block_bitmap_checksum),
            ),
            GroupPart::InodeBitmap => (
                self.lower.inode_bitmap_checksum,
                upper.map(|upper| upper.inode_bitmap_checksum),
            ),
            // It has none: each inode has its own.
            GroupPart::InodeTable => return None,
        };
        Some((lo.get().into(), hi.map(|hi| hi.get().into())))
    }

    /// A bitmap's checksum, if all of it is kept.
    pub(super) fn bitmap_checksum(&self, part: GroupPart) -> Option<u32> {
        let (lo, hi) = self.bitmap_checksums(part)?;
        Some(lo | (hi? << 16))
    }

    /// Checks that all parts lie where they may, and that no count is larger than the group.
    ///
    /// # Errors
    ///
    /// Any [`GroupDescProblem`] but those of the checksum and of the length.
    pub fn check(&self, layout: &Layout) -> Result<(), GroupDescError> {
        for (part, at, count) in [
            (GroupPart::BlockBitmap, self.block_bitmap(), 1),
            (GroupPart::InodeBitmap, self.inode_bitmap(), 1),
            (
                GroupPart::InodeTable,
                self.inode_table(),
                layout.inode_table_blocks(),
            ),
        ] {
            if !self.may_lie_at(layout, at, count) {
                return Err(self.error(GroupDescProblem::Place { part, at }));
            }
        }

        let clusters = layout.clusters_in_group(self.group);
        let inodes = layout.inodes_per_group();
        let problem = if self.free_blocks() > clusters {
            GroupDescProblem::FreeBlocks(self.free_blocks())
        } else if self.free_inodes() > inodes {
            GroupDescProblem::FreeInodes(self.free_inodes())
        } else if self.unused_inodes() > inodes {
            GroupDescProblem::UnusedInodes(self.unused_inodes())
        } else if self.used_dirs() > inodes {
            GroupDescProblem::UsedDirs(self.used_dirs())
        } else {
            return Ok(());
        };
        Err(self.error(problem))
    }

    /// Whether `count` blocks from `at` on may hold a part of this group.
    fn may_lie_at(&self, layout: &Layout, at: PhysicalBlock, count: u32) -> bool {
        let group = self.group;
        let Some(end) = at.checked_add(count.into()) else {
            return false;
        };
        // The primary super block and its descriptors are what must not be overwritten.
        let primary = layout.first_data_block().0 + u64::from(layout.descriptor_end());
        if at.0 < primary || end.0 > layout.blocks_count() {
            return false;
        }
        if layout.has_flexible_groups() {
            return true;
        }
        let first = layout.first_block(group);
        let size = u64::from(layout.blocks_in_group(group));
        first
            .checked_add(size)
            .is_some_and(|last| at >= first && end <= last)
    }

    fn error(&self, problem: GroupDescProblem) -> GroupDescError {
        GroupDescError {
            group: self.group,
            problem,
        }
    }

    fn block(
        &self,
        lower: impl FnOnce(&Lower) -> U32,
        upper: impl FnOnce(&Upper) -> U32,
    ) -> PhysicalBlock {
        let lo = u64::from(lower(&self.lower).get());
        let hi = self.upper.as_ref().map_or(0, |fields| upper(fields).get());
        PhysicalBlock(lo | (u64::from(hi) << 32))
    }

    fn count(&self, lower: impl FnOnce(&Lower) -> U16, upper: impl FnOnce(&Upper) -> U16) -> u32 {
        let lo = u32::from(lower(&self.lower).get());
        let hi = self.upper.as_ref().map_or(0, |fields| upper(fields).get());
        lo | (u32::from(hi) << 16)
    }

    fn compute_checksum(&self, checksum: &GroupDescChecksum) -> Option<u16> {
        let lower = Ref::bytes(&self.lower);
        // The checksum is the last field of the lower half.
        let before = lower.get(..CHECKSUM_OFFSET).unwrap_or_default();
        let upper = self.upper.as_ref().map(Ref::bytes).unwrap_or_default();
        checksum.compute(self.group, before, [upper, &self.rest])
    }
}

impl<B: SplitByteSliceMut> GroupDesc<B> {
    /// Sets where the block bitmap, the inode bitmap and the inode table are.
    pub fn set_places(&mut self, [block_bitmap, inode_bitmap, inode_table]: [PhysicalBlock; 3]) {
        let halves = |block: PhysicalBlock| (block.0 as u32, (block.0 >> 32) as u32);
        let parts = [
            halves(block_bitmap),
            halves(inode_bitmap),
            halves(inode_table),
        ];
        let [block_bitmap, inode_bitmap, inode_table] = parts;
        self.lower.block_bitmap.set(block_bitmap.0);
        self.lower.inode_bitmap.set(inode_bitmap.0);
        self.lower.inode_table.set(inode_table.0);
        if let Some(upper) = &mut self.upper {
            upper.block_bitmap.set(block_bitmap.1);
            upper.inode_bitmap.set(inode_bitmap.1);
            upper.inode_table.set(inode_table.1);
        }
    }

    /// Sets the number of free blocks (clusters with `bigalloc`).
    pub fn set_free_blocks(&mut self, count: u32) {
        self.lower.free_blocks.set(count as u16);
        if let Some(upper) = &mut self.upper {
            upper.free_blocks.set((count >> 16) as u16);
        }
    }

    /// Sets the number of free inodes.
    pub fn set_free_inodes(&mut self, count: u32) {
        self.lower.free_inodes.set(count as u16);
        if let Some(upper) = &mut self.upper {
            upper.free_inodes.set((count >> 16) as u16);
        }
    }

    /// Sets the number of directories.
    pub fn set_used_dirs(&mut self, count: u32) {
        self.lower.used_dirs.set(count as u16);
        if let Some(upper) = &mut self.upper {
            upper.used_dirs.set((count >> 16) as u16);
        }
    }

    /// Sets the number of inodes at the end of the inode table that were never used.
    pub fn set_unused_inodes(&mut self, count: u32) {
        self.lower.unused_inodes.set(count as u16);
        if let Some(upper) = &mut self.upper {
            upper.unused_inodes.set((count >> 16) as u16);
        }
    }

    /// Sets the flags.
    pub fn set_flags(&mut self, flags: GroupFlags) {
        self.lower.flags.set(flags.0);
    }

    /// Stores the checksum of a bitmap. Without the upper half its lower 16 bits are kept.
    pub(super) fn set_bitmap_checksum(&mut self, part: GroupPart, checksum: u32) {
        let lo = checksum as u16;
        let hi = (checksum >> 16) as u16;
        match part {
            GroupPart::BlockBitmap => {
                self.lower.block_bitmap_checksum.set(lo);
                if let Some(upper) = &mut self.upper {
                    upper.block_bitmap_checksum.set(hi);
                }
            }
            GroupPart::InodeBitmap => {
                self.lower.inode_bitmap_checksum.set(lo);
                if let Some(upper) = &mut self.upper {
                    upper.inode_bitmap_checksum.set(hi);
                }
            }
            GroupPart::InodeTable => {}
        }
    }

    /// Makes the checksum that of the present content.
    pub fn update_checksum(&mut self, checksum: &GroupDescChecksum) {
        if let Some(value) = self.compute_checksum(checksum) {
            self.lower.checksum.set(value);
        }
    }
}
