// SPDX-License-Identifier: GPL-2.0

//! Reading all of a file system, with all checks that `rext4-disk` has.

use crate::Fs;
use rext4_disk::disk::bitmap::{self, Bitmap};
use rext4_disk::disk::checksum::InodeSeed;
use rext4_disk::disk::error::Corrupt;
use rext4_disk::disk::file_type::FileType;
use rext4_disk::disk::group_desc::{GroupDesc, GroupFlags, GroupPart};
use rext4_disk::disk::htree::{node_entries, IndexFormat, Root};
use rext4_disk::disk::inode::{Inode, InodeFlags};
use rext4_disk::disk::orphan_file::OrphanBlock;
use rext4_disk::disk::units::{GroupNumber, InodeNumber, LogicalBlock, PhysicalBlock};
use rext4_disk::disk::xattr::{self, Xattrs};

/// How much was read and found right.
#[derive(Debug, Default)]
pub struct Summary {
    /// Inodes in use.
    pub inodes: usize,
    /// Directories with an index.
    pub indexed: usize,
    /// Nodes of such an index below the root.
    pub index_nodes: usize,
    /// Leaves and other blocks of directories.
    pub entry_blocks: usize,
    /// Blocks of extent trees.
    pub extent_nodes: usize,
    /// Extended attributes in inodes.
    pub xattrs_in_inodes: usize,
    /// Extended attributes in blocks.
    pub xattrs_in_blocks: usize,
    /// Blocks of the orphan file.
    pub orphan_blocks: usize,
    /// Bitmaps that were ever written.
    pub bitmaps: usize,
}

/// Reads everything that there is.
///
/// # Errors
///
/// The first thing found wrong.
///
/// # Panics
///
/// If counts do not match: free blocks and inodes in descriptors and bitmaps.
pub fn everything(fs: &Fs) -> Result<Summary, Corrupt> {
    let mut summary = Summary::default();
    for group in fs.layout().groups() {
        check_group(fs, group, &mut summary)?;
    }
    for group in fs.layout().groups() {
        for number in used_inodes(fs, group)? {
            check_inode(fs, number, &mut summary)?;
        }
    }
    Ok(summary)
}

fn check_group(fs: &Fs, group: GroupNumber, summary: &mut Summary) -> Result<(), Corrupt> {
    let layout = fs.layout();
    let (_, block) = fs.descriptor_block(group);
    let desc = GroupDesc::in_block(&block[..], layout, group)?;
    desc.verify_checksum(&fs.descriptor_checksum())?;
    desc.check(layout)?;

    for (part, at, bits, free, uninit) in [
        (
            GroupPart::BlockBitmap,
            desc.block_bitmap(),
            layout.clusters_in_group(group),
            desc.free_blocks(),
            GroupFlags::BLOCK_UNINIT,
        ),
        (
            GroupPart::InodeBitmap,
            desc.inode_bitmap(),
            layout.inodes_per_group(),
            desc.free_inodes(),
            GroupFlags::INODE_UNINIT,
        ),
    ] {
        if desc.flags().has(uninit) {
            continue;
        }
        let block = fs.block(at);
        if let Some(seed) = fs.seed() {
            bitmap::verify_checksum(seed, layout, &desc, part, &block)?;
        }
        let clear = Bitmap::new(&block).count_clear(0..bits);
        assert_eq!(clear, free, "free bits of the {part} of group {group}");
        summary.bitmaps += 1;
    }
    Ok(())
}

/// The inodes of a group that are in use, without the reserved ones that are never set up.
fn used_inodes(fs: &Fs, group: GroupNumber) -> Result<Vec<InodeNumber>, Corrupt> {
    let layout = fs.layout();
    let (_, block) = fs.descriptor_block(group);
    let desc = GroupDesc::in_block(&block[..], layout, group)?;
    if desc.flags().has(GroupFlags::INODE_UNINIT) {
        return Ok(Vec::new());
    }
    let bits = fs.block(desc.inode_bitmap());
    let used = (0..layout.inodes_per_group())
        .filter(|&index| Bitmap::new(&bits).is_set(index))
        .filter_map(|index| layout.inode_at(group, index))
        .filter(|&inode| {
            let superblock = fs.superblock();
            let own = [superblock.journal_inode(), superblock.orphan_file_inode()];
            layout.is_user_inode(inode) || own.contains(&Some(inode))
        });
    Ok(used.collect())
}

fn check_inode(fs: &Fs, number: InodeNumber, summary: &mut Summary) -> Result<(), Corrupt> {
    let bytes = fs.inode(number)?;
    let inode = Inode::from_bytes(&bytes[..])?;
    summary.inodes += 1;
    let (extents, nodes) = fs.extents(number)?;
    summary.extent_nodes += nodes.len();

    let area = inode.xattr_area().unwrap_or_default();
    if let Some(xattrs) = Xattrs::in_inode(area)? {
        for xattr in xattrs.iter() {
            xattr.verify_hash()?;
            summary.xattrs_in_inodes += 1;
        }
    }
    if let Some(at) = inode.xattr_block(fs.layout()) {
        let block = fs.block(at);
        if let Some(seed) = fs.seed() {
            xattr::verify_checksum(&block, at, seed)?;
        }
        for xattr in Xattrs::in_block(&block)?.iter() {
            xattr.verify_hash()?;
            summary.xattrs_in_blocks += 1;
        }
    }

    if inode.file_type()? == FileType::Directory {
        check_directory(fs, number, &inode, summary)?;
    }
    if fs.superblock().orphan_file_inode() == Some(number) {
        let seed = fs.inode_seed(number, &inode);
        for extent in extents {
            for step in 0..u64::from(extent.len()) {
                check_orphan_block(fs, PhysicalBlock(extent.physical().0 + step), seed)?;
                summary.orphan_blocks += 1;
            }
        }
    }
    Ok(())
}

fn check_directory(
    fs: &Fs,
    number: InodeNumber,
    inode: &Inode<&[u8]>,
    summary: &mut Summary,
) -> Result<(), Corrupt> {
    let format = index_format(fs);
    for block in fs.directory(number)? {
        for entry in fs.entries(&block).records() {
            entry?;
        }
        if !block.is_index {
            summary.entry_blocks += 1;
        } else if block.logical == LogicalBlock(0) {
            assert!(inode.flags().has(InodeFlags::INDEX));
            Root::from_block(&block.bytes, format)?;
            summary.indexed += 1;
        } else {
            node_entries(&block.bytes, format)?;
            summary.index_nodes += 1;
        }
    }
    Ok(())
}

/// What an index node of this file system is like.
pub fn index_format(fs: &Fs) -> IndexFormat {
    IndexFormat {
        has_checksums: fs.seed().is_some(),
        large_directories: fs.layout().has_large_directories(),
    }
}

fn check_orphan_block(fs: &Fs, at: PhysicalBlock, seed: Option<InodeSeed>) -> Result<(), Corrupt> {
    let block = fs.block(at);
    let orphans = OrphanBlock::from_bytes(&block[..])?;
    if let Some(seed) = seed {
        orphans.verify_checksum(seed, at)?;
    }
    assert_eq!(
        orphans.orphans().count(),
        0,
        "orphans in a clean file system"
    );
    Ok(())
}
