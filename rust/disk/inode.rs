// SPDX-License-Identifier: GPL-2.0

//! Inodes: 128 bytes that each has, and behind them, in larger ones, fields that came later.
//!
//! How many of the later fields there are is said by `i_extra_isize`, in each inode anew; what is
//! left behind them holds extended attributes. This file has the layout, the checksum and the
//! reading of fields; `content` is about what the 60 bytes of `i_block` mean, `edit` about
//! changes. Source: `Documentation/filesystems/ext4/inodes.rst`.

mod content;
mod edit;
mod error;
mod flags;
mod time;

use super::checksum::{FsSeed, InodeSeed};
use super::error::ChecksumMismatch;
use super::file_type::FileType;
use super::layout::{InodePlace, Layout};
use super::units::{InodeNumber, PhysicalBlock};
use zerocopy::little_endian::{U16, U32};
use zerocopy::{Ref, SplitByteSlice};
use zerocopy_derive::{FromBytes, Immutable, IntoBytes, KnownLayout};

pub use content::{Content, DeviceNumber};
pub use error::InodeError;
pub use flags::InodeFlags;
pub use time::Timestamp;

/// The number of bytes of `i_block`: an extent tree's root, a block map, or the data itself.
pub const BLOCK_AREA_SIZE: usize = 60;
/// The fields that every inode has, in bytes.
pub const BASE_SIZE: usize = 128;
/// All later fields that are known, in bytes: what a new inode's `i_extra_isize` is at least.
pub const EXTRA_SIZE: usize = 32;

/// The fields that every inode has.
#[derive(FromBytes, IntoBytes, KnownLayout, Immutable)]
#[repr(C)]
struct Base {
    mode: U16,
    uid: U16,
    size: U32,
    atime: U32,
    ctime: U32,
    mtime: U32,
    dtime: U32,
    gid: U16,
    links_count: U16,
    blocks: U32,
    flags: U32,
    version: U32,
    block: [u8; BLOCK_AREA_SIZE],
    generation: U32,
    file_acl: U32,
    size_high: U32,
    obsolete_fragment: U32,
    blocks_high: U16,
    file_acl_high: U16,
    uid_high: U16,
    gid_high: U16,
    checksum: U16,
    reserved: U16,
}

const _: () = assert!(size_of::<Base>() == BASE_SIZE);

/// Where the lower half of the checksum lies, in bytes.
const CHECKSUM_OFFSET: usize = core::mem::offset_of!(Base, checksum);

/// A field behind the first 128 bytes. An inode has it if it ends within `i_extra_isize`.
#[derive(Clone, Copy)]
struct ExtraField {
    /// Where it lies, in bytes from byte 128 on.
    offset: usize,
    /// How many bytes it has.
    size: usize,
}

impl ExtraField {
    const EXTRA_ISIZE: Self = Self::new(0, 2);
    const CHECKSUM_HIGH: Self = Self::new(2, 2);
    const CTIME: Self = Self::new(4, 4);
    const MTIME: Self = Self::new(8, 4);
    const ATIME: Self = Self::new(12, 4);
    const CRTIME_SECONDS: Self = Self::new(16, 4);
    const CRTIME: Self = Self::new(20, 4);
    const VERSION_HIGH: Self = Self::new(24, 4);
    const PROJECT: Self = Self::new(28, 4);

    const fn new(offset: usize, size: usize) -> Self {
        Self { offset, size }
    }

    const fn range(self) -> core::ops::Range<usize> {
        self.offset..self.offset + self.size
    }
}

/// An inode, over the bytes that hold it.
///
/// `B` is `&[u8]` to read and `&mut [u8]` to change it.
pub struct Inode<B: SplitByteSlice> {
    base: Ref<B, Base>,
    /// All bytes behind the first 128.
    extra: B,
    /// How many of them are fields. Checked to be there, and to be none or at least
    /// `i_extra_isize` itself.
    extra_size: usize,
}

impl<B: SplitByteSlice> Inode<B> {
    /// Takes the inode at `place` out of `block`, the block of the inode table that holds it.
    ///
    /// # Errors
    ///
    /// Those of [`Self::from_bytes`].
    pub fn in_block(block: B, layout: &Layout, place: InodePlace) -> Result<Self, InodeError> {
        let short = |_| InodeError::Short { bytes: 0 };
        let (_, bytes) = block.split_at(place.offset as usize).map_err(short)?;
        let (bytes, _) = bytes
            .split_at(layout.inode_size() as usize)
            .map_err(short)?;
        Self::from_bytes(bytes)
    }

    /// Takes `bytes`, all of them, for an inode.
    ///
    /// Only the size is checked here: see [`Self::verify_checksum`] and [`Self::check`].
    ///
    /// # Errors
    ///
    /// [`InodeError::Short`] and [`InodeError::ExtraSize`].
    pub fn from_bytes(bytes: B) -> Result<Self, InodeError> {
        let count = bytes.len();
        let (base, extra) =
            Ref::from_prefix(bytes).map_err(|_| InodeError::Short { bytes: count })?;
        let extra_size = extra
            .first_chunk()
            .map_or(0, |bytes| u16::from_le_bytes(*bytes));
        let fits = usize::from(extra_size) <= extra.len();
        if !fits || extra_size % 4 != 0 {
            return Err(InodeError::ExtraSize(extra_size));
        }
        Ok(Self {
            base,
            extra,
            extra_size: usize::from(extra_size),
        })
    }

    /// What the checksums of the inode and of all that belongs to it start from.
    pub fn seed(&self, seed: FsSeed, number: InodeNumber) -> InodeSeed {
        seed.inode(number, self.generation())
    }

    /// Checks the checksum. `seed` is that of [`Self::seed`].
    ///
    /// # Errors
    ///
    /// [`InodeError::Checksum`].
    pub fn verify_checksum(&self, seed: InodeSeed) -> Result<(), InodeError> {
        let lo = u32::from(self.base.checksum.get());
        let computed = self.compute_checksum(seed);
        match self.extra_u16(ExtraField::CHECKSUM_HIGH) {
            Some(hi) => ChecksumMismatch::check(lo | (u32::from(hi) << 16), computed),
            // Without room for the upper half the lower one must do.
            None => ChecksumMismatch::check(lo, computed & 0xffff),
        }
        .map_err(InodeError::Checksum)
    }

    /// All of the inode, with the checksum itself taken for zero.
    fn compute_checksum(&self, seed: InodeSeed) -> u32 {
        let base = Ref::bytes(&self.base);
        let before = base.get(..CHECKSUM_OFFSET).unwrap_or_default();
        let behind = base.get(CHECKSUM_OFFSET + 2..).unwrap_or_default();
        let value = seed.start().with(before).with_zeros(2).with(behind);
        if self.field(ExtraField::CHECKSUM_HIGH).is_none() {
            return value.with(&self.extra).value();
        }
        let high = ExtraField::CHECKSUM_HIGH.range();
        let before = self.extra.get(..high.start).unwrap_or_default();
        let behind = self.extra.get(high.end..).unwrap_or_default();
        value.with(before).with_zeros(2).with(behind).value()
    }

    /// The bytes of a later field, or `None` if this inode does not have it.
    fn field(&self, field: ExtraField) -> Option<&[u8]> {
        self.extra.get(..self.extra_size)?.get(field.range())
    }

    fn extra_u16(&self, field: ExtraField) -> Option<u16> {
        let bytes = self.field(field)?.first_chunk()?;
        Some(u16::from_le_bytes(*bytes))
    }

    fn extra_u32(&self, field: ExtraField) -> Option<u32> {
        let bytes = self.field(field)?.first_chunk()?;
        Some(u32::from_le_bytes(*bytes))
    }

    /// Type and permissions.
    pub fn mode(&self) -> u16 {
        self.base.mode.get()
    }

    /// The type of the file.
    ///
    /// # Errors
    ///
    /// [`InodeError::Mode`].
    pub fn file_type(&self) -> Result<FileType, InodeError> {
        FileType::of_mode(self.mode()).ok_or(InodeError::Mode(self.mode()))
    }

    /// The owner.
    pub fn uid(&self) -> u32 {
        u32::from(self.base.uid.get()) | (u32::from(self.base.uid_high.get()) << 16)
    }

    /// The group of users.
    pub fn gid(&self) -> u32 {
        u32::from(self.base.gid.get()) | (u32::from(self.base.gid_high.get()) << 16)
    }

    /// The number of links. 1 for a directory with more than fit the field (`dir_nlink`).
    pub fn links_count(&self) -> u16 {
        self.base.links_count.get()
    }

    /// The size in bytes.
    ///
    /// The upper half counts for regular files, and for directories with `large_dir`; for others
    /// it was once used for something else.
    pub fn size(&self, layout: &Layout) -> u64 {
        let lo = u64::from(self.base.size.get());
        let hi = match FileType::of_mode(self.mode()) {
            Some(FileType::Regular) => self.base.size_high.get(),
            Some(FileType::Directory) if layout.has_large_directories() => {
                self.base.size_high.get()
            }
            _ => 0,
        };
        lo | (u64::from(hi) << 32)
    }

    /// The space that the inode uses on disk, in units of 512 bytes.
    pub fn sectors(&self, layout: &Layout) -> u64 {
        let lo = u64::from(self.base.blocks.get());
        if !layout.has_huge_files() {
            return lo;
        }
        let count = lo | (u64::from(self.base.blocks_high.get()) << 32);
        if self.flags().has(InodeFlags::HUGE_FILE) {
            // Counted in blocks. A block has at most 2^7 sectors, and the count 48 bits.
            count << (layout.block_size().bits() - 9)
        } else {
            count
        }
    }

    /// The flags.
    pub fn flags(&self) -> InodeFlags {
        InodeFlags(self.base.flags.get())
    }

    /// The number that tells this use of the inode from earlier ones.
    pub fn generation(&self) -> u32 {
        self.base.generation.get()
    }

    /// The number that grows with each change.
    pub fn version(&self) -> u64 {
        let hi = self.extra_u32(ExtraField::VERSION_HIGH).unwrap_or(0);
        u64::from(self.base.version.get()) | (u64::from(hi) << 32)
    }

    /// The project, or `None` if the inode has no room for it.
    pub fn project(&self) -> Option<u32> {
        self.extra_u32(ExtraField::PROJECT)
    }

    /// The block that holds extended attributes, or `None` if there is none.
    pub fn xattr_block(&self, layout: &Layout) -> Option<PhysicalBlock> {
        let lo = u64::from(self.base.file_acl.get());
        let hi = if layout.has_long_block_numbers() {
            u64::from(self.base.file_acl_high.get())
        } else {
            0
        };
        let block = lo | (hi << 32);
        (block != 0).then_some(PhysicalBlock(block))
    }

    /// The bytes behind the fields, which hold extended attributes, or `None` if the inode has no
    /// such room or does not use it yet.
    pub fn xattr_area(&self) -> Option<&[u8]> {
        if self.extra_size == 0 {
            return None;
        }
        self.extra.get(self.extra_size..)
    }

    /// The number of bytes of the fields behind the first 128.
    pub fn extra_size(&self) -> usize {
        self.extra_size
    }

    /// The time of the last access.
    pub fn atime(&self) -> Timestamp {
        Timestamp::decode(self.base.atime.get(), self.extra_u32(ExtraField::ATIME))
    }

    /// The time of the last change of the inode.
    pub fn ctime(&self) -> Timestamp {
        Timestamp::decode(self.base.ctime.get(), self.extra_u32(ExtraField::CTIME))
    }

    /// The time of the last change of the data.
    pub fn mtime(&self) -> Timestamp {
        Timestamp::decode(self.base.mtime.get(), self.extra_u32(ExtraField::MTIME))
    }

    /// The time of creation, or `None` if the inode has no room for it.
    pub fn crtime(&self) -> Option<Timestamp> {
        let seconds = self.extra_u32(ExtraField::CRTIME_SECONDS)?;
        Some(Timestamp::decode(
            seconds,
            self.extra_u32(ExtraField::CRTIME),
        ))
    }

    /// When the inode was deleted, in seconds since 1970, or zero.
    pub fn deletion_time(&self) -> u32 {
        self.base.dtime.get()
    }

    /// The next inode in the list of orphans, which is kept where else the time of deletion is.
    pub fn next_orphan(&self) -> Option<InodeNumber> {
        let inode = self.base.dtime.get();
        (inode != 0).then_some(InodeNumber(inode))
    }

    /// The 60 bytes of `i_block`. What they hold is said by [`Self::content`].
    pub fn block_area(&self) -> &[u8; BLOCK_AREA_SIZE] {
        &self.base.block
    }

    /// Checks what must hold for each inode that is in use, but for the checksum.
    ///
    /// # Errors
    ///
    /// What is wrong, by name.
    pub fn check(&self, layout: &Layout) -> Result<(), InodeError> {
        let kind = self.file_type()?;
        let flags = self.flags();
        if flags.has(InodeFlags::INLINE_DATA) && flags.has(InodeFlags::EXTENTS) {
            return Err(InodeError::InlineExtents);
        }
        let immutable = flags.has(InodeFlags::IMMUTABLE) || flags.has(InodeFlags::APPEND);
        if kind == FileType::Symlink && immutable {
            return Err(InodeError::ImmutableSymlink);
        }
        // The last block with a number stays unused, so that a length in blocks fits 32 bits.
        let size = self.size(layout);
        if layout.block_size().blocks_for(size) > u64::from(u32::MAX) {
            return Err(InodeError::Size(size));
        }
        if kind == FileType::Directory && layout.block_size().within_block(size) != 0 {
            // What lies in the inode is not bound to blocks.
            if !flags.has(InodeFlags::INLINE_DATA) {
                return Err(InodeError::DirectorySize(size));
            }
        }
        match self.xattr_block(layout) {
            Some(block) if !layout.contains(block, 1) => Err(InodeError::XattrBlock(block)),
            _ => Ok(()),
        }
    }
}
