// SPDX-License-Identifier: GPL-2.0

//! The kinds of metadata blocks that are checked once, when they come into memory.
//!
//! See [`Buffer::verify_once`](crate::vfs::buffer::Buffer::verify_once).

use crate::vfs::buffer::Kind;

/// The bitmap of a group's blocks.
pub(crate) const BLOCK_BITMAP: Kind = Kind::new(0);
/// The bitmap of a group's inodes.
pub(crate) const INODE_BITMAP: Kind = Kind::new(1);
/// A node of an extent tree.
pub(crate) const EXTENT_NODE: Kind = Kind::new(2);
/// A block of a directory with entries.
pub(crate) const DIRECTORY_LEAF: Kind = Kind::new(3);
/// A node of a directory's index, but for its checksum.
pub(crate) const DIRECTORY_INDEX: Kind = Kind::new(5);
/// What has the checksum of a node of a directory's index, and may be one of an unknown sort.
pub(crate) const DIRECTORY_INDEX_CHECKSUM: Kind = Kind::new(6);
/// A block of extended attributes.
pub(crate) const XATTR_BLOCK: Kind = Kind::new(4);
/// A block of the orphan file.
pub(crate) const ORPHAN_BLOCK: Kind = Kind::new(7);
