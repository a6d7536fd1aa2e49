// SPDX-License-Identifier: GPL-2.0

//! The flags of an inode, `i_flags`.

/// The flags of an inode.
///
/// Source: `i_flags` in `Documentation/filesystems/ext4/inodes.rst`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct InodeFlags(pub u32);

impl InodeFlags {
    /// To be overwritten when it is deleted; not carried out.
    pub const SECURE_REMOVAL: u32 = 0x1;
    /// To be kept when it is deleted; not carried out.
    pub const UNDELETABLE: u32 = 0x2;
    /// To be compressed; not carried out.
    pub const COMPRESSED: u32 = 0x4;
    /// Writes are synchronous.
    pub const SYNC: u32 = 0x8;
    /// Must not be changed.
    pub const IMMUTABLE: u32 = 0x10;
    /// May only grow.
    pub const APPEND: u32 = 0x20;
    /// Need not be saved by `dump`.
    pub const NODUMP: u32 = 0x40;
    /// The time of access is not kept.
    pub const NOATIME: u32 = 0x80;
    /// Compressed data was changed; not used.
    pub const DIRTY: u32 = 0x100;
    /// Holds compressed blocks; not used.
    pub const COMPRESSED_BLOCKS: u32 = 0x200;
    /// Not to be compressed; not carried out.
    pub const NOT_COMPRESSED: u32 = 0x400;
    /// Encrypted.
    pub const ENCRYPT: u32 = 0x800;
    /// A directory with a hash index.
    pub const INDEX: u32 = 0x1000;
    /// The data goes through the journal.
    pub const JOURNAL_DATA: u32 = 0x4000;
    /// Tails of files are not to be merged; not carried out.
    pub const NO_TAILS: u32 = 0x8000;
    /// Changes of the directory are synchronous.
    pub const DIRSYNC: u32 = 0x1_0000;
    /// A directory whose subdirectories have nothing to do with each other.
    pub const TOPDIR: u32 = 0x2_0000;
    /// `i_blocks` counts blocks.
    pub const HUGE_FILE: u32 = 0x4_0000;
    /// `i_block` holds an extent tree.
    pub const EXTENTS: u32 = 0x8_0000;
    /// Protected by fs-verity.
    pub const VERITY: u32 = 0x10_0000;
    /// Holds the value of another inode's extended attribute.
    pub const EA_INODE: u32 = 0x20_0000;
    /// Has blocks beyond its end; not used any more.
    pub const EOF_BLOCKS: u32 = 0x40_0000;
    /// Accessed without the page cache where the device can do that.
    pub const DAX: u32 = 0x200_0000;
    /// The data lies in the inode.
    pub const INLINE_DATA: u32 = 0x1000_0000;
    /// New files get the directory's project.
    pub const PROJECT_INHERIT: u32 = 0x2000_0000;
    /// A directory that ignores case.
    pub const CASEFOLD: u32 = 0x4000_0000;

    /// Whether all bits of `mask` are set.
    pub const fn has(self, mask: u32) -> bool {
        self.0 & mask == mask
    }

    /// These flags and those of `mask`.
    #[must_use]
    pub const fn with(self, mask: u32) -> Self {
        Self(self.0 | mask)
    }

    /// These flags but for those of `mask`.
    #[must_use]
    pub const fn without(self, mask: u32) -> Self {
        Self(self.0 & !mask)
    }
}
