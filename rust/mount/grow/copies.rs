// SPDX-License-Identifier: GPL-2.0

//! Copies of the super block and of the descriptors, for when the primary ones are lost.
//!
//! They are written past the journal: nothing hangs on a copy, and e2fsck brings it up to date.

use crate::{
    disk::{
        layout::Layout,
        superblock::{Size, Superblock, SUPERBLOCK_SIZE},
        units::{GroupNumber, PhysicalBlock},
    },
    error::FsResult,
    group::NewGroups,
    mount::administration::edit_copies,
    vfs::{buffer::Buffer, checksum::crc32c, super_block::SuperBlock},
    Rext4,
};
use kernel::prelude::*;

/// Writes what new groups begin with: the copies as they are now, and zeros in what is kept for more
/// descriptors. They don't tell of these groups yet.
pub(super) fn begin(sb: &SuperBlock<Rext4>, new: &NewGroups) -> FsResult {
    let (fs, layout) = (sb.data(), new.grown());
    let mut block = KVec::from_elem(0, layout.block_size().size(), GFP_KERNEL)?;
    for group in new.numbers().filter(|&group| layout.has_superblock(group)) {
        let first = layout.first_block(group);
        copy_super_block(sb, group, &mut block);
        write(sb, first, &block)?;
        if layout.is_in_meta_group(group) {
            continue;
        }
        for number in 0..fs.layout.table_in_use() {
            fs.groups()?.copy_descriptors(number, &mut block)?;
            write(sb, PhysicalBlock(first.0 + 1 + u64::from(number)), &block)?;
        }
        let bits = layout.block_size().bits();
        let behind = first.0 + 1 + u64::from(fs.layout.table_in_use());
        let rest = u64::from(layout.fixed_parts(group).reserved)
            + u64::from(layout.table_in_use() - fs.layout.table_in_use());
        if rest > 0 {
            sb.device().write_zeroes(behind << bits, rest << bits)?;
            sb.device().drop_cached(behind << bits, rest << bits);
        }
    }
    Ok(())
}

/// Makes `block` the super block's copy in a group.
fn copy_super_block(sb: &SuperBlock<Rext4>, group: GroupNumber, block: &mut [u8]) {
    block.fill(0);
    let bytes = block.get_mut(..SUPERBLOCK_SIZE).unwrap_or_default();
    sb.data().primary.copy(bytes);
    if let Ok(copy) = Superblock::from_bytes_mut(bytes) {
        copy.become_copy(group.0);
        copy.update_checksum(crc32c);
    }
}

/// Brings all copies up to date, after groups from `first` on were added.
pub(super) fn update(sb: &SuperBlock<Rext4>, first: u32) -> FsResult {
    let fs = sb.data();
    let layout = &fs.layout;
    let mut block = KVec::from_elem(0, layout.block_size().size(), GFP_KERNEL)?;
    let per_block = layout.descriptors_per_block();
    let last = GroupNumber(layout.group_count().saturating_sub(1));
    // The group that was the last one before may have got more blocks.
    for number in first.saturating_sub(1) / per_block..=last.0 / per_block {
        fs.groups()?.copy_descriptors(number, &mut block)?;
        if number < layout.first_meta_group() {
            for group in layout.groups().skip(1) {
                if layout.has_superblock(group) && !layout.is_in_meta_group(group) {
                    write(sb, in_table(layout, group, number), &block)?;
                }
            }
            continue;
        }
        // In the second and in the last group of those that it describes, if these are others than the first.
        for index in [1, per_block - 1] {
            let group = GroupNumber(number * per_block + index);
            if (1..per_block).contains(&index) && layout.has_group(group) {
                let behind = layout.first_block(group).0 + u64::from(layout.has_superblock(group));
                write(sb, PhysicalBlock(behind), &block)?;
            }
        }
    }
    // Last: they tell of what is described by then.
    let size: Size = fs.primary.with(|superblock| superblock.size())?;
    edit_copies(sb, |copy| copy.set_size(&size))
}

/// Where a group with a copy of the super block has that of a block of descriptors.
fn in_table(layout: &Layout, group: GroupNumber, number: u32) -> PhysicalBlock {
    PhysicalBlock(layout.first_block(group).0 + 1 + u64::from(number))
}

fn write(sb: &SuperBlock<Rext4>, at: PhysicalBlock, block: &[u8]) -> FsResult {
    let buffer = Buffer::read(sb.device(), at.0, block.len() as u32)?;
    Ok(buffer.write_through(|bytes| bytes.copy_from_slice(block))?)
}
