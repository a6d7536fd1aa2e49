// SPDX-License-Identifier: GPL-2.0

//! The ext4 on-disk format as a pure library.
//!
//! Everything here works on byte slices: it parses, checks, edits and checksums the structures of
//! the format, and does nothing else. It calls nothing of the kernel, allocates nothing and does
//! not panic, whatever bytes it is given. So the same code is built into the module and, on the
//! host, into tests, property tests and fuzz targets.
//!
//! Three rules keep it so:
//!
//! - bytes from disk are reached with `get`-like functions and computed with checked or wrapping
//!   arithmetic, because every number in them may be a lie;
//! - a value that later code computes with (a block number, a count, an offset) is checked once,
//!   where it is parsed, and carried in a type that says so from then on;
//! - what is wrong is said by name and place: see [`Corrupt`].
//!
//! There are no locks here. A function that takes `&mut [u8]` changes exactly these bytes; who
//! may change them, and when, is the caller's business.

#![forbid(unsafe_code)]

pub mod acl;
pub mod allocation;
pub mod bitmap;
pub mod block_map;
pub mod checksum;
pub mod directory;
pub mod dirent;
pub mod error;
pub mod extent;
pub mod features;
pub mod file_type;
pub mod group_desc;
pub mod htree;
pub mod inode;
pub mod layout;
pub mod mmp;
pub mod orphan_file;
pub mod packing;
pub mod resize_inode;
pub mod superblock;
pub mod units;
pub mod xattr;

pub use error::Corrupt;
