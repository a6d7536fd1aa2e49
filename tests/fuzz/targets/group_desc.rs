// SPDX-License-Identifier: GPL-2.0

//! Group descriptors.

#![no_main]

use libfuzzer_sys::fuzz_target;
use rext4_disk::disk::bitmap;
use rext4_disk::disk::group_desc::{GroupDesc, GroupDescChecksum, GroupFlags, GroupPart};
use rext4_disk::disk::units::{GroupNumber, PhysicalBlock};

fuzz_target!(|data: &[u8]| {
    let Some((layout, block)) = rext4_fuzz::choose_layout(data) else {
        return;
    };
    let seed = rext4_fuzz::fs_seed();
    for group in [0, 3, 7, 8].map(GroupNumber) {
        let Ok(desc) = GroupDesc::in_block(block, &layout, group) else {
            continue;
        };
        match desc.check(&layout) {
            Ok(()) => {
                assert!(layout.contains(desc.block_bitmap(), 1));
                assert!(layout.contains(desc.inode_bitmap(), 1));
                let table = u64::from(layout.inode_table_blocks());
                assert!(layout.contains(desc.inode_table(), table));
                assert!(desc.free_blocks() <= layout.clusters_in_group(group));
                assert!(desc.unused_inodes() <= layout.inodes_per_group());
            }
            Err(error) => assert!(!error.to_string().is_empty()),
        }

        let before = (desc.block_bitmap(), desc.inode_table());
        let mut bytes = block.to_vec();
        let Ok(mut desc) = GroupDesc::in_block(&mut bytes[..], &layout, group) else {
            unreachable!("it was one before");
        };
        desc.set_free_blocks(12345);
        desc.set_free_inodes(23456);
        desc.set_used_dirs(345);
        desc.set_unused_inodes(456);
        desc.set_flags(GroupFlags(5));
        assert_eq!((desc.free_blocks(), desc.free_inodes()), (12345, 23456));
        assert_eq!((desc.used_dirs(), desc.unused_inodes()), (345, 456));
        assert_eq!((desc.block_bitmap(), desc.inode_table()), before);
        let _: (PhysicalBlock, PhysicalBlock) = before;

        let zeros = [0; 4096];
        for part in [GroupPart::BlockBitmap, GroupPart::InodeBitmap] {
            let updated = bitmap::update_checksum(seed, &layout, &mut desc, part, &zeros);
            assert_eq!(updated, Ok(()));
            let verified = bitmap::verify_checksum(seed, &layout, &desc, part, &zeros);
            assert_eq!(verified, Ok(()));
        }
        for checksum in [
            GroupDescChecksum::None,
            GroupDescChecksum::Crc16 { uuid: [7; 16] },
            GroupDescChecksum::Crc32c(seed),
        ] {
            desc.update_checksum(&checksum);
            assert_eq!(desc.verify_checksum(&checksum), Ok(()));
        }
    }
});
