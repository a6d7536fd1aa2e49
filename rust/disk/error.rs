// SPDX-License-Identifier: GPL-2.0

//! What can be wrong with an on-disk structure.
//!
//! Each structure's file has an error type of its own, whose variants name exactly what is wrong
//! with it and carry the values that prove it. [`Corrupt`] is their sum: what a caller passes up
//! that has looked at several structures. All of them are `Copy`, and their `Display` text is
//! made for a log line: lower case, no full stop, the place first. The number of the inode or
//! block that was being read is known to the caller alone, where a structure does not hold it, and
//! is added to the line by the caller.

use super::acl::AclError;
use super::allocation::AllocationError;
use super::bitmap::BitmapError;
use super::block_map::MapError;
use super::directory::DirectoryError;
use super::dirent::DirError;
use super::group_desc::GroupDescError;
use super::htree::HtreeError;
use super::inode::InodeError;
use super::mmp::MmpError;
use super::orphan_file::OrphanFileError;
use super::superblock::SuperblockError;
use super::xattr::XattrError;
use core::fmt;

use super::extent::NodeError;

/// A checksum that does not match what it covers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChecksumMismatch {
    /// The checksum found on disk.
    pub stored: u32,
    /// The checksum of the bytes it was found with, cut to as many bits as are stored.
    pub computed: u32,
}

impl ChecksumMismatch {
    /// Compares a stored checksum with the computed one.
    pub(crate) fn check(stored: u32, computed: u32) -> Result<(), Self> {
        if stored == computed {
            Ok(())
        } else {
            Err(Self { stored, computed })
        }
    }
}

impl fmt::Display for ChecksumMismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { stored, computed } = self;
        write!(
            f,
            "checksum is {stored:#010x} but {computed:#010x} was computed"
        )
    }
}

/// Declares [`Corrupt`] with one variant per structure, and the conversions into it.
macro_rules! corrupt {
    ($($(#[$doc:meta])* $variant:ident($error:ty),)*) => {
        /// An on-disk structure is not what the format says it must be.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Corrupt {
            $($(#[$doc])* $variant($error),)*
        }

        impl fmt::Display for Corrupt {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                match self {
                    $(Self::$variant(error) => fmt::Display::fmt(error, f),)*
                }
            }
        }

        $(impl From<$error> for Corrupt {
            fn from(error: $error) -> Self {
                Self::$variant(error)
            }
        })*
    };
}

corrupt! {
    /// The super block.
    Superblock(SuperblockError),
    /// A group descriptor.
    GroupDesc(GroupDescError),
    /// A bitmap of blocks or inodes.
    Bitmap(BitmapError),
    /// What is in use and what is not.
    Allocation(AllocationError),
    /// An inode.
    Inode(InodeError),
    /// A directory block.
    Dir(DirError),
    /// A directory index.
    Htree(HtreeError),
    /// A directory as a whole.
    Directory(DirectoryError),
    /// Extended attributes.
    Xattr(XattrError),
    /// An access control list.
    Acl(AclError),
    /// A block of the orphan file.
    OrphanFile(OrphanFileError),
    /// The block of multiple mount protection.
    Mmp(MmpError),
    /// A checksum, where nothing but the caller knows of which structure.
    Checksum(ChecksumMismatch),
    /// A node of an extent tree.
    Extent(NodeError),
    /// A block map.
    BlockMap(MapError),
}
