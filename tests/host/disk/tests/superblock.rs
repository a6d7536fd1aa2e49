// SPDX-License-Identifier: GPL-2.0

//! The super block in memory: damage, changes, and what a geometry promises.

use proptest::prelude::*;
use rext4_disk::disk::checksum::crc32c_table;
use rext4_disk::disk::features::{Feature, Features};
use rext4_disk::disk::superblock::{ErrorRecord, State, Superblock, SuperblockError as Error};
use rext4_disk::disk::units::{GroupNumber, InodeNumber, PhysicalBlock};

mod common;

fn open(bytes: &[u8]) -> &Superblock {
    Superblock::from_bytes(bytes).unwrap()
}

#[test]
fn the_last_group_grows() {
    let bytes = common::superblock();
    let layout = open(&bytes).layout().unwrap();
    let (old, most) = (7 * 32768 + 1000, 8 * 32768);
    assert_eq!(layout.end_of_groups(), PhysicalBlock(most));
    for end in [0, old - 1, u64::MAX] {
        assert!(!layout.extend(end));
        assert_eq!(layout.blocks_count(), old);
    }
    let before = layout.clone();
    assert!(layout.extend(old) && layout == before);
    assert!(layout.extend(most - 1) && layout != before);
    assert_eq!(layout.blocks_in_group(GroupNumber(7)), 32767);
    assert_eq!(layout.group_count(), 8);
    let last = layout.group_of_block(PhysicalBlock(most - 2));
    assert_eq!(last, Some((GroupNumber(7), 32766)));
    assert_eq!(layout.group_of_block(PhysicalBlock(most - 1)), None);
    assert!(layout.contains(PhysicalBlock(most - 2), 1));
    assert!(!layout.contains(PhysicalBlock(most - 2), 2));
}

#[test]
fn a_last_group_has_room_for_its_metadata() {
    let bytes = common::superblock();
    let layout = open(&bytes).layout().unwrap();
    let most = layout.end_of_groups().0;
    for wanted in [0, most - 1, most] {
        assert_eq!(layout.end_for(wanted), wanted);
    }
    for (group, start) in [(8, most), (9, most + 32768)] {
        let fixed = u64::from(layout.fixed_blocks(GroupNumber(group)));
        // Two bitmaps, the inode table, and a block of data.
        let least = start + fixed + 2 + 512 + 1;
        assert_eq!(layout.end_for(start + 1), start);
        assert_eq!(layout.end_for(least), start);
        assert_eq!(layout.end_for(least + 1), least + 1);
    }
    assert_ne!(layout.fixed_blocks(GroupNumber(9)), 0);
    assert_eq!(layout.end_for(u64::MAX), u64::MAX);
}

#[test]
fn what_is_hidden_from_users() {
    // The journal and the root; the first one that is not reserved, and the last one.
    let layout = |bytes: &[u8]| open(bytes).layout().unwrap();
    let mut bytes = common::superblock();
    bytes[0x280..0x284].fill(0);
    bytes[0x5d] = 0;
    let last = layout(&bytes).inodes_count();
    let is_user = |bytes: &[u8], inode| layout(bytes).is_user_inode(InodeNumber(inode));
    for (inode, expected) in [
        (0, false),
        (1, false),
        (2, true),
        (8, false),
        (10, false),
        (11, true),
        (12, true),
        (last, true),
        (last + 1, false),
    ] {
        assert_eq!(is_user(&bytes, inode), expected, "{inode}");
    }
    // Where the super block has the files of the quota, and that of the orphans.
    for field in [0x240, 0x244, 0x26c, 0x280] {
        let mut bytes = bytes.clone();
        bytes[field..field + 4].copy_from_slice(&12u32.to_le_bytes());
        assert!(!is_user(&bytes, 12), "{field:#x}");
        assert!(is_user(&bytes, 13), "{field:#x}");
    }
}

/// The quota files are those that are named, if there is the feature.
#[test]
fn quota_files() {
    let mut bytes = common::superblock();
    common::put(&mut bytes, 0x240, 4, 3);
    common::put(&mut bytes, 0x26c, 4, 12);
    assert_eq!(open(&bytes).quota_inodes(), [None; 3]);
    common::put(&mut bytes, 0x64, 4, 0x042b | 0x100);
    let files = [Some(InodeNumber(3)), None, Some(InodeNumber(12))];
    assert_eq!(open(&bytes).quota_inodes(), files);
}

#[test]
fn the_sample_is_right() {
    let bytes = common::superblock();
    let layout = open(&bytes).layout().unwrap();
    assert_eq!(layout.group_count(), 8);
    assert_eq!(layout.blocks_in_group(GroupNumber(6)), 32768);
    assert_eq!(layout.blocks_in_group(GroupNumber(7)), 1000);
    assert_eq!(layout.blocks_in_group(GroupNumber(8)), 0);
    assert_eq!(layout.inode_table_blocks(), 512);
    let has_superblock = |group| layout.has_superblock(GroupNumber(group));
    let with: Vec<u32> = (0..100).filter(|&group| has_superblock(group)).collect();
    assert_eq!(with, [0, 1, 3, 5, 7, 9, 25, 27, 49, 81]);
}

/// What inodes should have for fields: at least what is known, unless they are too small.
#[test]
fn room_for_fields() {
    // The sizes asked for, at least and otherwise; whether the feature is there; what follows.
    for (min, want, has_feature, wanted) in [
        (32, 32, true, (32, 32)),
        (0, 0, true, (32, 0)),
        (16, 28, true, (32, 16)),
        (40, 96, true, (96, 40)),
        (96, 40, true, (96, 96)),
        (43, 127, true, (124, 40)),
        (40, 96, false, (32, 0)),
    ] {
        let mut bytes = common::superblock();
        common::put(&mut bytes, 0x15c, 2, min);
        common::put(&mut bytes, 0x15e, 2, want);
        if !has_feature {
            common::put(&mut bytes, 0x64, 4, 0x042b);
        }
        let layout = open(&bytes).layout().unwrap();
        let found = (layout.inode_extra_size(), layout.inode_min_extra_size());
        assert_eq!(found, wanted, "{min} {want}");
        common::put(&mut bytes, 0x58, 2, 128);
        common::put(&mut bytes, 0x15c, 4, 0);
        let layout = open(&bytes).layout().unwrap();
        let found = (layout.inode_extra_size(), layout.inode_min_extra_size());
        assert_eq!(found, (0, 0));
    }
}

/// Each field that a geometry follows from, with a value that it must not have.
#[test]
fn damage() {
    // Where the field is, its size, the value, what is found.
    let cases: &[(usize, usize, u64, Error)] = &[
        (0x4c, 4, 2, Error::Revision(2)),
        (0x18, 4, 7, Error::LogBlockSize(7)),
        (0x18, 4, 0xffff_ffff, Error::LogBlockSize(0xffff_ffff)),
        (0x1c, 4, 1, Error::LogClusterSize(1)),
        (0x1c, 4, 3, Error::LogClusterSize(3)),
        (0x1c, 4, 0xffff_ffff, Error::LogClusterSize(0xffff_ffff)),
        (0x14, 4, 1, Error::FirstDataBlock(1)),
        (0x04, 4, 0, Error::BlocksCount(0)),
        (
            0x150,
            4,
            0xffff_ffff,
            Error::BlocksCount(0xffff_ffff_0003_83e8),
        ),
        (0x58, 2, 0, Error::InodeSize(0)),
        (0x58, 2, 64, Error::InodeSize(64)),
        (0x58, 2, 384, Error::InodeSize(384)),
        (0x58, 2, 8192, Error::InodeSize(8192)),
        (0x15c, 2, 129, Error::ExtraInodeSize(129)),
        (0x15e, 2, 0xffff, Error::ExtraInodeSize(0xffff)),
        (0x54, 4, 10, Error::FirstInode(10)),
        (0x54, 4, 65537, Error::FirstInode(65537)),
        (0x20, 4, 0, Error::BlocksPerGroup(0)),
        (0x20, 4, 32764, Error::BlocksPerGroup(32764)),
        (0x20, 4, 32776, Error::BlocksPerGroup(32776)),
        (0x24, 4, 32760, Error::ClustersPerGroup(32760)),
        (0x28, 4, 0, Error::InodesPerGroup(0)),
        (0x28, 4, 8184, Error::InodesPerGroup(8184)),
        (0x28, 4, 32784, Error::InodesPerGroup(32784)),
        (0xfe, 2, 32, Error::DescriptorSize(32)),
        (0xfe, 2, 96, Error::DescriptorSize(96)),
        (0xfe, 2, 2048, Error::DescriptorSize(2048)),
        (
            0x150,
            4,
            0x100,
            Error::InodesCount {
                stored: 65536,
                expected: 33_554_440 * 8192,
            },
        ),
        (
            0x150,
            4,
            0x4_0000,
            Error::GroupCount(0x4_0000 * 131_072 + 8),
        ),
        (
            0x00,
            4,
            65535,
            Error::InodesCount {
                stored: 65535,
                expected: 65536,
            },
        ),
        (0xce, 2, 1025, Error::ReservedGdtBlocks(1025)),
        (0x08, 4, 230_377, Error::ReservedBlocks(230_377)),
        (0xe0, 4, 0, Error::NoJournal),
        (0xe0, 4, 65537, Error::JournalInode(65537)),
        (0xe4, 4, 7, Error::TwoJournals),
        (0x280, 4, 0, Error::OrphanFileInode(0)),
        (0x280, 4, 65537, Error::OrphanFileInode(65537)),
    ];
    for (offset, size, value, error) in cases {
        let mut bytes = common::superblock();
        bytes[*offset..offset + size].copy_from_slice(&value.to_le_bytes()[..*size]);
        assert_eq!(
            open(&bytes).layout(),
            Err(*error),
            "{offset:#x} = {value:#x}"
        );
    }
    // Only with meta_bg does its first group mean something.
    let mut bytes = common::superblock();
    bytes[0x104] = 2;
    assert!(open(&bytes).layout().is_ok());
    bytes[0x60] |= 0x10;
    assert_eq!(open(&bytes).layout(), Err(Error::FirstMetaGroup(2)));
}

#[test]
fn no_superblock() {
    let mut bytes = common::superblock();
    let short = Superblock::from_bytes(&bytes[..1023]).err();
    assert_eq!(short, Some(Error::Short { bytes: 1023 }));
    bytes[0x38] = 0;
    assert_eq!(
        Superblock::from_bytes(&bytes).err(),
        Some(Error::Magic(0xef00))
    );
    assert_eq!(
        Superblock::from_bytes_mut(&mut bytes).err(),
        Some(Error::Magic(0xef00))
    );
}

#[test]
fn checksum() {
    let mut bytes = common::superblock();
    Superblock::from_bytes_mut(&mut bytes)
        .unwrap()
        .update_checksum(crc32c_table);
    assert_eq!(open(&bytes).verify_checksum(crc32c_table), Ok(()));
    // All but the magic number, the revision and the feature bits, which say that there is one.
    for bit in (0x80 * 8..1024 * 8).step_by(7) {
        let mut damaged = bytes.clone();
        damaged[bit / 8] ^= 1 << (bit % 8);
        let error = open(&damaged).verify_checksum(crc32c_table).unwrap_err();
        if bit / 8 == 0x175 {
            assert_eq!(error, Error::ChecksumType(damaged[0x175]));
        } else {
            assert!(matches!(error, Error::Checksum(_)));
        }
    }
    let seed = open(&bytes).checksum_seed(crc32c_table).unwrap();
    assert_eq!(seed.value(), 0x1234_5678);
    // Without the seed's feature it follows from the UUID.
    bytes[0x61] &= !0x20;
    let seed = open(&bytes).checksum_seed(crc32c_table).unwrap();
    assert_eq!(seed.value(), crc32c_table(!0, &[0; 16]));
}

#[test]
fn changes() {
    let mut bytes = common::superblock();
    let superblock = Superblock::from_bytes_mut(&mut bytes).unwrap();
    superblock.set_free_blocks_count(0x1_0000_0002);
    superblock.set_free_inodes_count(77);
    superblock.note_mount(0x12_3456_789a);
    superblock.note_mount(0x12_3456_789a);
    superblock.set_last_mounted(b"/some/where");
    superblock.set_state(State(State::ERRORS));
    superblock.set_last_orphan(Some(InodeNumber(99)));
    superblock.set_kbytes_written(1 << 40);
    superblock.set_overhead_clusters(5);
    superblock.set_feature(Feature::NEEDS_RECOVERY, true);
    superblock.set_feature(Feature::ORPHAN_PRESENT, true);
    superblock.set_feature(Feature::FLEX_BG, false);
    assert_eq!(superblock.free_blocks_count(), 0x1_0000_0002);
    assert_eq!(superblock.free_inodes_count(), 77);
    assert_eq!(superblock.mount_count(), 2);
    assert_eq!(superblock.last_mounted(), b"/some/where");
    assert!(superblock.state().has_errors() && !superblock.state().is_clean());
    assert_eq!(superblock.last_orphan(), Some(InodeNumber(99)));
    assert_eq!(superblock.kbytes_written(), 1 << 40);
    assert_eq!(superblock.overhead_clusters(), 5);
    let features = superblock.features();
    assert!(features.has(Feature::NEEDS_RECOVERY) && features.has(Feature::ORPHAN_PRESENT));
    assert!(!features.has(Feature::FLEX_BG));
    superblock.set_last_orphan(None);
    assert_eq!(superblock.last_orphan(), None);
    // The time has 40 bits.
    assert_eq!(bytes[0x2c..0x30], [0x9a, 0x78, 0x56, 0x34]);
    assert_eq!(bytes[0x275], 0x12);
}

/// A file system of the first revision has no features, and becomes one of the second with its first.
#[test]
fn first_feature() {
    let mut bytes = common::superblock();
    // The revision; what the first one does not know has no meaning with it.
    bytes[0x4c..0x50].fill(0);
    bytes[0x54..0x5a].fill(0xff);
    let superblock = Superblock::from_bytes_mut(&mut bytes).unwrap();
    superblock.set_feature(Feature::LARGE_FILE, false);
    assert!(!superblock.features().has(Feature::EXTENT));
    superblock.set_feature(Feature::LARGE_FILE, true);
    let features = superblock.features();
    assert!(features.has(Feature::LARGE_FILE) && !features.has(Feature::EXTENT));
    assert_eq!(bytes[0x4c], 1);
    assert_eq!((bytes[0x54], bytes[0x58], bytes[0x59]), (11, 128, 0));
}

/// The first error is kept, the last one replaced, and all are counted.
#[test]
fn errors() {
    let mut bytes = common::superblock();
    let superblock = Superblock::from_bytes_mut(&mut bytes).unwrap();
    for (time, line) in [(1000u64, 11u32), (2000, 22), (3000, 33)] {
        superblock.record_error(&ErrorRecord {
            time,
            inode: Some(InodeNumber(line + 1)),
            block: Some(PhysicalBlock(1 << 33)),
            function: b"a function with a name of more than 32 bytes",
            line,
            code: 5,
        });
    }
    assert_eq!(superblock.error_count(), 3);
    let word = |offset: usize| u32::from_le_bytes(bytes[offset..offset + 4].try_into().unwrap());
    assert_eq!([0x198, 0x19c, 0x1c8].map(word), [1000, 12, 11]);
    assert_eq!([0x1cc, 0x1d0, 0x1d4].map(word), [3000, 34, 33]);
    assert_eq!(&bytes[0x1a8..0x1c8], b"a function with a name of more t");
    assert_eq!(bytes[0x1e0..0x200], bytes[0x1a8..0x1c8]);
    assert_eq!(bytes[0x278..0x27c], [0, 0, 5, 5]);
}

#[test]
fn what_is_known_of_errors_is_kept_over_a_recovery() {
    let mut now = common::superblock();
    let superblock = Superblock::from_bytes_mut(&mut now).unwrap();
    for (time, code) in [(1 << 33, 2), (1 << 34, 5)] {
        superblock.record_error(&ErrorRecord {
            time,
            inode: Some(InodeNumber(12)),
            block: Some(PhysicalBlock(1 << 33)),
            function: b"lookup",
            line: 7,
            code,
        });
    }
    superblock.set_state(State(superblock.state().0 | State::ERRORS));
    let first = superblock.first_error();
    assert_eq!((first.time, first.code), (1 << 33, 2));
    assert_eq!(first.function, b"lookup");
    assert_eq!((first.inode, first.line), (Some(InodeNumber(12)), 7));
    assert_eq!(superblock.last_error().block, Some(PhysicalBlock(1 << 33)));
    assert_eq!(
        (superblock.last_error().time, superblock.last_error().code),
        (1 << 34, 5)
    );
    let history = superblock.error_history();

    let mut before = common::superblock();
    let older = Superblock::from_bytes_mut(&mut before).unwrap();
    assert!(!older.state().has_errors());
    assert_eq!(older.first_error().inode, None);
    let none = older.error_history();
    older.set_error_history(&history);
    assert_eq!(before, now);

    let newer = Superblock::from_bytes_mut(&mut before).unwrap();
    newer.set_error_history(&none);
    assert_eq!(before, now);
}

#[test]
fn names_of_volumes_are_cut_and_padded() {
    let mut bytes = common::superblock();
    let superblock = Superblock::from_bytes_mut(&mut bytes).unwrap();
    superblock.set_volume_name(b"a name of more than 16 bytes");
    assert_eq!(superblock.volume_name(), b"a name of more t");
    superblock.set_volume_name(b"short");
    assert_eq!(superblock.volume_name(), b"short");
}

#[test]
fn feature_names() {
    let features = Features {
        compat: 1 << 2 | 1 << 31,
        incompat: 1 << 6 | 1 << 8 | 1 << 30,
        ro_compat: 1 << 10 | 1 << 9 | 1 << 20,
    };
    assert_eq!(
        features.to_string(),
        "has_journal, FEATURE_C31, extent, mmp, FEATURE_I30, bigalloc, metadata_csum, FEATURE_R20"
    );
    assert_eq!(features.forbid_mounting().to_string(), "FEATURE_I30");
    assert_eq!(
        features.forbid_writing().to_string(),
        "bigalloc, FEATURE_R20"
    );
    let sample = common::superblock();
    let sample = open(&sample).features();
    assert!(sample.forbid_mounting().is_empty() && sample.forbid_writing().is_empty());
}

/// A file system whose fields fit together, as bytes.
fn consistent() -> impl Strategy<Value = Vec<u8>> {
    let sizes = (0u32..3, 0u32..4, 0u32..5);
    let counts = (1u64..1000, 1u64..4096, 1u64..2000, any::<u64>());
    let features = (any::<bool>(), any::<bool>(), any::<bool>(), any::<u32>());
    (sizes, counts, features).prop_map(|(sizes, counts, features)| {
        let (log, log_inode, log_descriptor) = sizes;
        let (groups, blocks, inodes, last) = counts;
        let (long, flexible, meta, first_meta) = features;
        let block = 1024u64 << log;
        let inode = (128u64 << log_inode).min(block);
        let descriptor = if long { 64u64 << log_descriptor } else { 32 };
        // Whole bytes of both bitmaps, whole blocks of inodes, and room for the descriptors.
        let table = (groups * descriptor).div_ceil(block);
        let per_group = ((blocks.min(block) + table) * 8).min(block * 8);
        let inodes = (inodes * (block / inode) * 8).min(block * 8);
        let first = u64::from(log == 0);
        let last = 1 + last % per_group;
        let count = first + (groups - 1) * per_group + last;
        let mut bytes = common::superblock();
        for (offset, size, value) in [
            (0x00, 4, groups * inodes),
            (0x04, 4, count),
            (0x14, 4, first),
            (0x18, 4, log.into()),
            (0x1c, 4, log.into()),
            (0x20, 4, per_group),
            (0x24, 4, per_group),
            (0x28, 4, inodes),
            (0x58, 2, inode),
            (
                0x60,
                4,
                0x2042 | u64::from(long) << 7 | u64::from(flexible) << 9 | u64::from(meta) << 4,
            ),
            (0x64, 4, 0x042b),
            (0xce, 2, 0),
            (0xfe, 2, descriptor),
            (0x104, 4, u64::from(first_meta) % (table + 1)),
            (0x150, 4, 0),
            (0x15c, 4, 0),
        ] {
            common::put(&mut bytes, offset, size, value);
        }
        bytes
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(5000))]

    /// A geometry does not contradict itself, and inodes and descriptors do not overlap.
    #[test]
    fn geometries(
        bytes in consistent(),
        block: u64,
        inode: u32,
        group: u32,
    ) {
        let layout = match open(&bytes).layout() {
            Ok(layout) => layout,
            // A single group can be too short for what must be in it.
            Err(Error::DescriptorBlocks(_) | Error::FirstInode(_)) => return Ok(()),
            Err(error) => return Err(TestCaseError::fail(error.to_string())),
        };

        let group = GroupNumber(group % layout.group_count());
        let first = layout.first_block(group);
        let count = layout.blocks_in_group(group);
        prop_assert!(count > 0 && first.0 + u64::from(count) <= layout.blocks_count());
        prop_assert_eq!(layout.group_of_block(first), Some((group, 0)));
        let last = PhysicalBlock(first.0 + u64::from(count) - 1);
        prop_assert_eq!(layout.group_of_block(last), Some((group, count - 1)));
        let place = layout.place_of_descriptor(group).unwrap();
        prop_assert!(place.offset + layout.descriptor_size() <= layout.block_size().bytes());
        let at = layout.descriptor_block(place.block).unwrap();
        prop_assert!(at > layout.superblock_at() || !layout.contains(at, 1));
        if place.block > 0 {
            prop_assert!(layout.descriptor_block(place.block - 1).unwrap() < at);
        }
        prop_assert_eq!(layout.descriptor_block(layout.descriptor_blocks()), None);
        prop_assert!(layout.fixed_blocks(group) <= layout.blocks_per_group());

        let block = PhysicalBlock(block % layout.blocks_count());
        if let Some((group, index)) = layout.group_of_block(block) {
            prop_assert_eq!(layout.first_block(group).0 + u64::from(index), block.0);
            prop_assert!(index < layout.blocks_in_group(group));
        } else {
            prop_assert!(block < layout.first_data_block());
        }
        let inode = InodeNumber(inode % layout.inodes_count() + 1);
        let place = layout.place_of_inode(inode).unwrap();
        prop_assert_eq!(layout.inode_at(place.group, place.index), Some(inode));
        prop_assert!(place.block < layout.inode_table_blocks());
        prop_assert!(place.offset + layout.inode_size() <= layout.block_size().bytes());
        let slot = place.block * layout.inodes_per_block() + place.offset / layout.inode_size();
        prop_assert_eq!(slot, place.index);
        prop_assert_eq!(layout.place_of_inode(InodeNumber(0)), None);
        let beyond = InodeNumber(layout.inodes_count() + 1);
        prop_assert_eq!(layout.place_of_inode(beyond), None);
    }

    /// Whatever the fields hold, the check of them ends with an answer.
    #[test]
    fn any_fields(changes in prop::collection::vec((0usize..1024, any::<u8>()), 0..40)) {
        let mut bytes = common::superblock();
        for (offset, value) in changes {
            bytes[offset] = value;
        }
        if let Ok(superblock) = Superblock::from_bytes(&bytes) {
            let _ = superblock.layout();
        }
    }
}
