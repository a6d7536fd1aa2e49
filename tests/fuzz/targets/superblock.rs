// SPDX-License-Identifier: GPL-2.0

//! The super block, and the geometry that follows from it.

#![no_main]

use libfuzzer_sys::fuzz_target;
use rext4_disk::disk::checksum::crc32c_table;
use rext4_disk::disk::features::Feature;
use rext4_disk::disk::layout::Layout;
use rext4_disk::disk::superblock::{ErrorRecord, Superblock};
use rext4_disk::disk::units::{GroupNumber, InodeNumber, PhysicalBlock};

fn check_group(layout: &Layout, group: GroupNumber) {
    let first = layout.first_block(group);
    let count = layout.blocks_in_group(group);
    assert!(count > 0 && layout.clusters_in_group(group) <= layout.clusters_per_group());
    let last = PhysicalBlock(first.0 + u64::from(count) - 1);
    assert_eq!(layout.group_of_block(first), Some((group, 0)));
    assert_eq!(layout.group_of_block(last), Some((group, count - 1)));
    let place = layout.place_of_descriptor(group).expect("the group exists");
    assert!(place.offset + layout.descriptor_size() <= layout.block_size().bytes());
    layout
        .descriptor_block(place.block)
        .expect("the descriptor exists");
    assert!(layout.fixed_blocks(group) <= layout.blocks_per_group());
}

fn check_layout(layout: &Layout) {
    let groups = layout.group_count();
    for group in [0, 1, groups / 2, groups - 1] {
        check_group(layout, GroupNumber(group.min(groups - 1)));
    }
    for inode in [1, 2, layout.first_inode().0, layout.inodes_count()] {
        let inode = InodeNumber(inode);
        let place = layout.place_of_inode(inode).expect("the inode exists");
        assert_eq!(layout.inode_at(place.group, place.index), Some(inode));
        assert!(layout.has_group(place.group));
        assert!(place.block < layout.inode_table_blocks());
    }
    assert_eq!(
        layout.group_of_block(PhysicalBlock(layout.blocks_count())),
        None
    );
    assert!(!layout.contains(PhysicalBlock(1), u64::MAX));
}

fuzz_target!(|data: &[u8]| {
    let Ok(superblock) = Superblock::from_bytes(data) else {
        return;
    };
    let _ = superblock
        .verify_checksum(crc32c_table)
        .map_err(|error| error.to_string());
    let _ = superblock.features().to_string();
    match superblock.layout() {
        Ok(layout) => check_layout(&layout),
        Err(error) => assert!(!error.to_string().is_empty()),
    }

    let mut bytes = data.to_vec();
    let Ok(superblock) = Superblock::from_bytes_mut(&mut bytes) else {
        unreachable!("it was one before");
    };
    superblock.note_mount(u64::MAX);
    superblock.set_last_mounted(&[b'x'; 100]);
    superblock.set_feature(Feature::NEEDS_RECOVERY, true);
    superblock.set_free_blocks_count(u64::MAX);
    superblock.record_error(&ErrorRecord {
        time: u64::MAX,
        inode: Some(InodeNumber(u32::MAX)),
        block: Some(PhysicalBlock(u64::MAX)),
        function: data,
        line: u32::MAX,
        code: 5,
    });
    superblock.update_checksum(crc32c_table);
    let checked = superblock.verify_checksum(crc32c_table);
    // Only the kind of checksum can still be wrong.
    assert!(checked.is_ok() || bytes[0x175] != 1);
});
