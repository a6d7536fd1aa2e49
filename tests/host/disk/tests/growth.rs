// SPDX-License-Identifier: GPL-2.0

//! File systems that get more groups: what changes of the geometry, where the parts of new groups go, and
//! what the resize inode has.

mod common;

use rext4_disk::disk::group_desc::GroupDesc;
use rext4_disk::disk::layout::Layout;
use rext4_disk::disk::packing::Packing;
use rext4_disk::disk::resize_inode::{self, ResizeInodeError};
use rext4_disk::disk::superblock::Superblock;
use rext4_disk::disk::units::{GroupNumber, InodeNumber, PhysicalBlock};

const GROUP: u64 = 32768;

fn layout_of(bytes: &[u8]) -> Layout {
    Superblock::from_bytes(bytes).unwrap().layout().unwrap()
}

/// A super block whose two blocks of descriptors, of 64 groups each, have one kept behind them.
fn sample() -> Vec<u8> {
    let mut bytes = common::superblock();
    common::put(&mut bytes, 0x00, 4, 100 * 8192);
    common::put(&mut bytes, 0x04, 4, 100 * GROUP);
    common::put(&mut bytes, 0xce, 2, 1);
    bytes
}

#[test]
fn groups_come_with_blocks() {
    let layout = layout_of(&sample());
    let last = InodeNumber(100 * 8192);
    assert!(layout.place_of_inode(last).is_some() && layout.is_user_inode(last));
    let next = InodeNumber(last.0 + 1);
    assert!(layout.place_of_inode(next).is_none() && !layout.is_user_inode(next));
    assert!(!layout.has_group(GroupNumber(100)));
    assert_eq!(layout.place_of_descriptor(GroupNumber(100)), None);

    assert!(layout.extend(101 * GROUP + 5000));
    assert_eq!(
        (layout.group_count(), layout.inodes_count()),
        (102, 102 * 8192)
    );
    assert_eq!(layout.blocks_in_group(GroupNumber(100)), 32768);
    assert_eq!(layout.blocks_in_group(GroupNumber(101)), 5000);
    assert!(layout.has_group(GroupNumber(101)) && !layout.has_group(GroupNumber(102)));
    assert_eq!(layout.place_of_inode(next).unwrap().group, GroupNumber(100));
    assert!(layout.is_user_inode(next));
    let place = layout.place_of_descriptor(GroupNumber(101)).unwrap();
    assert_eq!((place.block, place.offset), (1, 37 * 64));
}

#[test]
fn there_are_numbers_for_all() {
    let layout = layout_of(&sample());
    // So many groups have as many inodes as there are numbers.
    let most = (u64::from(u32::MAX) / 8192) * GROUP;
    assert!(layout.can_end_at(most));
    assert!(!layout.can_end_at(most + 1));
    assert!(!layout.extend(most + 1));
    assert_eq!(layout.group_count(), 100);
}

#[test]
fn what_is_kept_becomes_descriptors() {
    let layout = layout_of(&sample());
    let parts = |group| {
        let parts = layout.fixed_parts(GroupNumber(group));
        (parts.superblock, parts.descriptors, parts.reserved)
    };
    assert_eq!(
        (layout.table_in_use(), layout.kept_for_descriptors()),
        (2, 1)
    );
    assert_eq!(
        (parts(0), parts(1), parts(2)),
        ((1, 2, 1), (1, 2, 1), (0, 0, 0))
    );
    assert_eq!(layout.descriptor_block(2), None);

    assert!(layout.extend(128 * GROUP));
    assert_eq!(
        (layout.table_in_use(), layout.kept_for_descriptors()),
        (2, 1)
    );
    assert!(layout.extend(129 * GROUP));
    assert_eq!(
        (layout.table_in_use(), layout.kept_for_descriptors()),
        (3, 0)
    );
    assert_eq!((parts(0), parts(81)), ((1, 3, 0), (1, 3, 0)));
    assert_eq!(layout.descriptor_block(2), Some(PhysicalBlock(3)));
    assert_eq!(layout.descriptor_end(), 4);
}

#[test]
fn what_other_metadata_lies_in_is_not_kept() {
    let mut bytes = sample();
    common::put(&mut bytes, 0xce, 2, 100);
    let layout = layout_of(&bytes);
    // The super block, 2 blocks of descriptors, 100 that may be kept for more.
    let is_in_name_only = |bitmaps: [u64; 2], table: u64| {
        let mut block = vec![0; 4096];
        for (offset, at) in [(0, bitmaps[0]), (4, bitmaps[1]), (8, table)] {
            common::put(&mut block, offset, 4, at);
        }
        let first = GroupDesc::in_block(&block[..], &layout, GroupNumber(0)).unwrap();
        layout.is_kept_in_name_only(&first)
    };
    assert!(!is_in_name_only([103, 104], 105));
    assert!(!is_in_name_only([1000, 40000], 103));
    assert!(is_in_name_only([102, 104], 105));
    assert!(is_in_name_only([103, 3], 105));
    assert!(is_in_name_only([103, 104], 102));

    let mut layout = layout;
    layout.keep_nothing();
    assert_eq!(
        (layout.table_in_use(), layout.kept_for_descriptors()),
        (2, 0)
    );
    for group in [0, 1, 81] {
        assert_eq!(layout.fixed_blocks(GroupNumber(group)), 3, "{group}");
    }
    assert_eq!(layout.descriptor_block(1), Some(PhysicalBlock(2)));

    // With meta_bg from the second block of descriptors on, the first lies behind the super block.
    common::put(&mut bytes, 0x60, 4, 0x22c2 | 0x10);
    common::put(&mut bytes, 0x104, 4, 1);
    let mut layout = layout_of(&bytes);
    assert_eq!(layout.fixed_blocks(GroupNumber(0)), 102);
    layout.keep_nothing();
    assert_eq!(layout.fixed_blocks(GroupNumber(0)), 2);
    assert_eq!(layout.descriptor_block(1), Some(PhysicalBlock(64 * GROUP)));
}

#[test]
fn then_they_lie_in_their_groups() {
    let layout = layout_of(&sample());
    assert_eq!(layout.first_meta_group(), 3);
    assert!(layout.extend(300 * GROUP));
    assert!(!layout.is_in_meta_group(GroupNumber(191)));
    assert!(layout.is_in_meta_group(GroupNumber(192)));
    assert_eq!(layout.table_in_use(), 3);
    assert_eq!(layout.descriptor_block(3), Some(PhysicalBlock(192 * GROUP)));
    // 243 is a power of 3: behind the copy of the super block.
    let parts = layout.fixed_parts(GroupNumber(243));
    assert_eq!(
        (parts.superblock, parts.descriptors, parts.reserved),
        (1, 0, 0)
    );
    for (group, descriptors) in [(192, 1), (193, 1), (194, 0), (254, 0), (255, 1), (256, 1)] {
        let parts = layout.fixed_parts(GroupNumber(group));
        assert_eq!(
            (parts.descriptors, parts.reserved),
            (descriptors, 0),
            "{group}"
        );
    }

    // The same geometry is found when it is mounted again: with `meta_bg` from there on.
    let mut bytes = sample();
    let mut size = Superblock::from_bytes(&bytes).unwrap().size();
    size.blocks = 300 * GROUP;
    size.inodes = 300 * 8192;
    size.kept_for_descriptors = 0;
    size.first_meta_group = Some(3);
    size.has_resize_inode = false;
    Superblock::from_bytes_mut(&mut bytes)
        .unwrap()
        .set_size(&size);
    assert_eq!(Superblock::from_bytes(&bytes).unwrap().size(), size);
    assert_eq!(layout_of(&bytes), layout);
}

#[test]
fn root_gets_its_part() {
    let mut size = Superblock::from_bytes(&sample()).unwrap().size();
    (size.blocks, size.reserved_blocks) = (1000, 50);
    size.add_blocks(220);
    assert_eq!((size.blocks, size.reserved_blocks), (1220, 61));
    // 5 % but for a block is 4 %.
    (size.blocks, size.reserved_blocks) = (1001, 50);
    size.add_blocks(1000);
    assert_eq!((size.blocks, size.reserved_blocks), (2001, 90));
}

#[test]
fn a_copy_says_where_it_is() {
    let mut bytes = sample();
    common::put(&mut bytes, 0x60, 4, 0x22c6);
    common::put(&mut bytes, 0xe8, 4, 77);
    let copy = Superblock::from_bytes_mut(&mut bytes).unwrap();
    copy.become_copy(0x1_0019);
    assert!(copy.state().is_clean() && copy.last_orphan().is_none());
    assert_eq!(bytes[0x5a..0x5c], [0x19, 0]);
    assert_eq!(bytes[0x60..0x64], [0xc2, 0x22, 0, 0]);
}

#[test]
fn parts_lie_together_around_what_groups_begin_with() {
    let layout = layout_of(&sample());
    assert!(layout.extend(112 * GROUP));
    // None of these groups begins with anything.
    let mut packing = Packing::new(&layout, 100..112);
    let start = 100 * GROUP;
    for bitmap in 0..24 {
        assert_eq!(packing.take(1), Some(PhysicalBlock(start + bitmap)));
    }
    for table in 0..12 {
        let at = start + 24 + table * 512;
        assert_eq!(packing.take(512), Some(PhysicalBlock(at)));
    }
    // As long as there is room.
    let left = 12 * GROUP - 24 - 12 * 512;
    let left = u32::try_from(left).unwrap();
    assert_eq!(packing.take(left + 1), None);
    assert!(packing.take(left).is_some());
    assert_eq!(packing.take(1), None);

    // 81 has a copy of the super block, two blocks of descriptors and one for more.
    let mut packing = Packing::new(&layout, 80..82);
    let end = 81 * GROUP;
    assert_eq!(packing.take(32767), Some(PhysicalBlock(80 * GROUP)));
    // One block is left before it, which is too little.
    assert_eq!(packing.take(2), Some(PhysicalBlock(end + 4)));
    assert_eq!(packing.take(1), Some(PhysicalBlock(end + 6)));
    assert_eq!(packing.take(32768), None);
}

#[test]
fn the_last_group_may_be_short() {
    let layout = layout_of(&sample());
    assert!(layout.extend(100 * GROUP + 600));
    let mut packing = Packing::new(&layout, 100..101);
    assert_eq!(packing.take(600), Some(PhysicalBlock(100 * GROUP)));
    assert_eq!(packing.take(1), None);
}

#[test]
fn the_map_of_the_resize_inode() {
    let mut map = [0; 60];
    assert_eq!(resize_inode::top(&map), Err(ResizeInodeError::Map));
    map[52..56].copy_from_slice(&7000u32.to_le_bytes());
    assert_eq!(resize_inode::top(&map), Ok(PhysicalBlock(7000)));
    for other in [0, 48, 59] {
        let mut map = map;
        map[other] = 1;
        assert_eq!(
            resize_inode::top(&map),
            Err(ResizeInodeError::Map),
            "{other}"
        );
    }
    resize_inode::clear_top(&mut map);
    assert_eq!(map, [0; 60]);
    assert_eq!(resize_inode::top(&map[..40]), Err(ResizeInodeError::Map));
}

#[test]
fn numbers_in_the_resize_inode() {
    let layout = layout_of(&sample());
    assert_eq!(resize_inode::numbers_per_block(&layout), 1024);
    assert_eq!(resize_inode::index_in_top(&layout, 1026), 2);
    let copies: Vec<u32> = resize_inode::copies(&layout, 28)
        .map(|group| group.0)
        .collect();
    assert_eq!(copies, [1, 3, 5, 7, 9, 25, 27]);
    let mut numbers = vec![0; 4096];
    let block = PhysicalBlock(0x1234_5678);
    for index in [0, 1023] {
        let wrong = Err(ResizeInodeError::NotKept(block));
        assert_eq!(resize_inode::check_number(&numbers, index, block), wrong);
        resize_inode::set_number(&mut numbers, index, block);
        assert_eq!(resize_inode::check_number(&numbers, index, block), Ok(()));
        assert_eq!(numbers[index * 4..index * 4 + 4], [0x78, 0x56, 0x34, 0x12]);
    }
    let before = numbers.clone();
    resize_inode::set_number(&mut numbers, 1024, block);
    assert_eq!(numbers, before);
    assert!(resize_inode::check_number(&numbers, usize::MAX, block).is_err());
}

/// Where numbers of blocks have 32 bits, a group that is not wholly below that is of no use.
#[test]
fn groups_lie_below_a_block() {
    let layout = layout_of(&sample());
    let below = |block| layout.groups_below(PhysicalBlock(block));
    assert_eq!(below(1 << 32), 100);
    assert_eq!(below(100 * GROUP), 100);
    assert_eq!(below(100 * GROUP - 1), 99);
    assert_eq!(below(3 * GROUP), 3);
    assert_eq!(below(3 * GROUP + 5), 3);
    assert_eq!(below(0), 0);
}
