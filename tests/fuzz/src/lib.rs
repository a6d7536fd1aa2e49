// SPDX-License-Identifier: GPL-2.0

//! What the fuzz targets share.
//!
//! Each target takes the bytes of one structure, uses all of its functions, and checks what they
//! promise for any input: no panic, no overflow, and results that do not contradict each other.
//! An input's first byte chooses among file systems for the structures that depend on one.

#![warn(missing_docs, rust_2018_idioms, clippy::all)]
#![forbid(unsafe_code)]

use rext4_disk::disk::checksum::{crc32c_table, FsSeed, InodeSeed};
use rext4_disk::disk::layout::Layout;
use rext4_disk::disk::superblock::Superblock;
use rext4_disk::disk::units::InodeNumber;

#[path = "../../host/disk/tests/common/mod.rs"]
mod common;

/// A seed for checksums.
pub fn fs_seed() -> FsSeed {
    FsSeed::stored(crc32c_table, 0x1234_5678)
}

/// A seed for the checksums of what belongs to an inode.
pub fn inode_seed() -> InodeSeed {
    fs_seed().inode(InodeNumber(12), 0)
}

/// Takes the first byte for the choice of a file system: its features and the size of inodes.
pub fn choose_layout(data: &[u8]) -> Option<(Layout, &[u8])> {
    let (choice, rest) = data.split_first()?;
    let mut bytes = common::superblock();
    let has = |bit: u8| choice & 1 << bit != 0;
    // 64bit, flex_bg and huge_file, each on or off.
    bytes[0x60] ^= if has(0) { 0x80 } else { 0 };
    bytes[0x61] ^= if has(1) { 0x02 } else { 0 };
    bytes[0x64] ^= if has(2) { 0x08 } else { 0 };
    // large_dir
    bytes[0x61] |= if has(3) { 0x40 } else { 0 };
    let superblock = Superblock::from_bytes(&bytes).expect("the sample is right");
    let layout = superblock.layout().expect("the sample is right");
    Some((layout, rest))
}
