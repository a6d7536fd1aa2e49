// SPDX-License-Identifier: GPL-2.0

//! What can be wrong with an inode.

use crate::disk::error::ChecksumMismatch;
use crate::disk::units::PhysicalBlock;
use core::fmt;

/// What is wrong with an inode.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InodeError {
    /// Fewer bytes than an inode has.
    Short {
        /// The number of bytes.
        bytes: usize,
    },
    /// The checksum.
    Checksum(ChecksumMismatch),
    /// `i_extra_isize` is more than the inode has room for, or no multiple of 4.
    ExtraSize(u16),
    /// `i_mode` has no type of file.
    Mode(u16),
    /// `i_size` is more than can be mapped.
    Size(u64),
    /// The size of a directory is no multiple of the block size.
    DirectorySize(u64),
    /// `i_flags` says both that there are extents and that the data lies in the inode.
    InlineExtents,
    /// A symbolic link with a flag that forbids changes.
    ImmutableSymlink,
    /// The text of a symbolic link in the inode is empty, too long, or has a zero byte in it.
    SymlinkText {
        /// `i_size`.
        size: u64,
    },
    /// `i_file_acl` lies outside of the file system.
    XattrBlock(PhysicalBlock),
    /// More space used than `i_blocks` can say.
    TooManySectors(u64),
}

impl fmt::Display for InodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("inode: ")?;
        match self {
            Self::Short { bytes } => write!(f, "only {bytes} bytes"),
            Self::Checksum(mismatch) => fmt::Display::fmt(mismatch, f),
            Self::ExtraSize(bytes) => write!(f, "bad extra size: {bytes}"),
            Self::Mode(mode) => write!(f, "mode {mode:#o} has no known file type"),
            Self::Size(size) => write!(f, "size {size} is too large"),
            Self::DirectorySize(size) => {
                write!(f, "size {size} of a directory is not in whole blocks")
            }
            Self::InlineExtents => f.write_str("flags for both inline data and extents"),
            Self::ImmutableSymlink => f.write_str("symbolic link that is immutable or append-only"),
            Self::SymlinkText { size } => write!(f, "bad symbolic link of {size} bytes"),
            Self::XattrBlock(block) => write!(f, "bad block of extended attributes: {block}"),
            Self::TooManySectors(count) => write!(f, "{count} sectors are too many to count"),
        }
    }
}
