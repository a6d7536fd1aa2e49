// SPDX-License-Identifier: GPL-2.0

//! Inodes in memory: what is stored is read again, and damage is found.

use proptest::prelude::*;
use rext4_disk::disk::checksum::{crc32c_table, FsSeed};
use rext4_disk::disk::inode::{
    Content, DeviceNumber, Inode, InodeError, InodeFlags, Timestamp, EXTRA_SIZE,
};
use rext4_disk::disk::layout::Layout;
use rext4_disk::disk::superblock::Superblock;
use rext4_disk::disk::units::{InodeNumber, PhysicalBlock};

mod common;

fn layout() -> Layout {
    Superblock::from_bytes(&common::superblock())
        .unwrap()
        .layout()
        .unwrap()
}

fn any_time() -> impl Strategy<Value = Timestamp> {
    let range = Timestamp::MIN_SECONDS..=Timestamp::MAX_SECONDS;
    (range, 0u32..1_000_000_000).prop_map(|(seconds, nanoseconds)| Timestamp {
        seconds,
        nanoseconds,
    })
}

proptest! {
    #[test]
    fn times(time in any_time()) {
        let mut bytes = [0; 256];
        let mut inode = Inode::create(&mut bytes).unwrap();
        inode.set_mtime(time);
        inode.set_crtime(time);
        prop_assert_eq!(inode.mtime(), time);
        prop_assert_eq!(inode.crtime(), Some(time));
        prop_assert_eq!(inode.atime(), Timestamp::default());

        let mut bytes = [0; 128];
        let mut inode = Inode::create(&mut bytes).unwrap();
        inode.set_mtime(time);
        let nearest = time.seconds.min(Timestamp::MAX_SHORT_SECONDS);
        prop_assert_eq!(inode.mtime().seconds, nearest);
        prop_assert_eq!(inode.mtime().nanoseconds, 0);
        prop_assert_eq!(inode.crtime(), None);
    }

    #[test]
    fn numbers(uid: u32, gid: u32, size in 0u64..1 << 44, sectors in 0u64..1 << 51, version: u64) {
        let layout = layout();
        let mut bytes = [0; 256];
        let mut inode = Inode::create(&mut bytes).unwrap();
        inode.set_mode(0o100_644);
        inode.set_uid(uid);
        inode.set_gid(gid);
        inode.set_size(size);
        inode.set_version(version);
        inode.set_xattr_block(Some(PhysicalBlock(100)));
        prop_assert_eq!((inode.uid(), inode.gid()), (uid, gid));
        prop_assert_eq!(inode.size(&layout), size);
        prop_assert_eq!(inode.version(), version);
        prop_assert_eq!(inode.xattr_block(&layout), Some(PhysicalBlock(100)));
        prop_assert_eq!(inode.check(&layout), Ok(()));

        inode.set_sectors(&layout, sectors).unwrap();
        let counted_in_blocks = sectors >> 48 != 0;
        prop_assert_eq!(inode.flags().has(InodeFlags::HUGE_FILE), counted_in_blocks);
        let unit = if counted_in_blocks { 8 } else { 1 };
        prop_assert_eq!(inode.sectors(&layout), sectors / unit * unit);
    }

    #[test]
    fn devices(major in 0u32..4096, minor in 0u32..1 << 20) {
        let mut bytes = [0; 128];
        let mut inode = Inode::create(&mut bytes).unwrap();
        inode.set_mode(0o020_600);
        let number = DeviceNumber { major, minor };
        inode.set_device_number(number);
        prop_assert_eq!(inode.content(&layout()), Ok(Content::Device(number)));
    }

    /// A bit that is flipped anywhere is found by the checksum.
    #[test]
    fn checksum(size in prop_oneof![Just(128usize), Just(256), Just(1024)], flip: usize) {
        let mut bytes = vec![0x11; size];
        bytes[100..104].copy_from_slice(&[1, 2, 3, 4]);
        if size > 128 {
            bytes[128..130].copy_from_slice(&[32, 0]);
        }
        let seed = FsSeed::stored(crc32c_table, 0x1234);
        let mut inode = Inode::from_bytes(&mut bytes[..]).unwrap();
        let seed = inode.seed(seed, InodeNumber(12));
        inode.update_checksum(seed);
        prop_assert_eq!(inode.verify_checksum(seed), Ok(()));

        let flip = flip % (size * 8);
        bytes[flip / 8] ^= 1 << (flip % 8);
        // A changed size of the fields may make the inode unreadable, or move the checksum.
        if let Ok(inode) = Inode::from_bytes(&bytes[..]) {
            let result = inode.verify_checksum(seed);
            let is_mismatch = matches!(result, Err(InodeError::Checksum(_)));
            prop_assert!(is_mismatch);
        }
    }
}

#[test]
fn damage() {
    let layout = layout();
    type Change = fn(&mut Inode<&mut [u8]>);
    let cases: &[(Change, InodeError)] = &[
        (|inode| inode.set_mode(0o644), InodeError::Mode(0o644)),
        (
            |inode| inode.set_mode(0o070_644),
            InodeError::Mode(0o070_644),
        ),
        (|inode| inode.set_size(1 << 44), InodeError::Size(1 << 44)),
        (|inode| inode.set_size(u64::MAX), InodeError::Size(u64::MAX)),
        (
            |inode| {
                inode.set_mode(0o040_755);
                inode.set_size(4097);
            },
            InodeError::DirectorySize(4097),
        ),
        (
            |inode| inode.set_flags(InodeFlags(InodeFlags::EXTENTS | InodeFlags::INLINE_DATA)),
            InodeError::InlineExtents,
        ),
        (
            |inode| {
                inode.set_mode(0o120_777);
                inode.set_flags(InodeFlags(InodeFlags::APPEND));
            },
            InodeError::ImmutableSymlink,
        ),
        (
            |inode| inode.set_xattr_block(Some(PhysicalBlock(0xffff_0000_0001))),
            InodeError::XattrBlock(PhysicalBlock(0xffff_0000_0001)),
        ),
    ];
    for (change, error) in cases {
        let mut bytes = [0; 256];
        let mut inode = Inode::create(&mut bytes).unwrap();
        inode.set_mode(0o100_644);
        assert_eq!(inode.check(&layout), Ok(()));
        change(&mut inode);
        assert_eq!(inode.check(&layout), Err(*error));
    }
}

#[test]
fn extra_size() {
    for (bytes, is_right) in [
        (0u16, true),
        (4, true),
        (32, true),
        (128, true),
        (132, false),
        (33, false),
    ] {
        let mut inode = [0; 256];
        inode[128..130].copy_from_slice(&bytes.to_le_bytes());
        let result = Inode::from_bytes(&inode[..]);
        if is_right {
            assert_eq!(
                result.map(|inode| inode.extra_size()).unwrap(),
                usize::from(bytes)
            );
        } else {
            assert_eq!(result.err(), Some(InodeError::ExtraSize(bytes)));
        }
    }
    assert_eq!(
        Inode::from_bytes(&[0; 127][..]).err(),
        Some(InodeError::Short { bytes: 127 })
    );
}

/// An inode without room for all fields has none of those that do not fit, and keeps what lies
/// where they would be.
#[test]
fn missing_fields() {
    let mut bytes = [0; 256];
    // Up to the extra bits of the change time.
    bytes[128] = 8;
    bytes[136..].fill(0xee);
    let mut inode = Inode::from_bytes(&mut bytes[..]).unwrap();
    assert_eq!(inode.extra_size(), 8);
    let time = Timestamp {
        seconds: 1 << 33,
        nanoseconds: 5,
    };
    inode.set_ctime(time);
    inode.set_mtime(time);
    inode.set_crtime(time);
    assert!(!inode.set_project(5));
    inode.set_version(1 << 40);
    assert_eq!(inode.ctime(), time);
    assert_eq!(inode.mtime().seconds, i64::from(i32::MAX));
    assert_eq!(inode.version(), 0);
    assert_eq!(inode.xattr_area().unwrap().len(), 120);
    assert!(bytes[136..].iter().all(|&byte| byte == 0xee));

    let mut bytes = [0; 256];
    bytes[130..].fill(0xee);
    let mut inode = Inode::from_bytes(&mut bytes[..]).unwrap();
    assert_eq!(inode.xattr_area(), None);
    assert!(inode.set_extra_size(EXTRA_SIZE as u32));
    assert_eq!(inode.extra_size(), EXTRA_SIZE);
    assert_eq!(inode.project(), Some(0));
    assert!(inode.xattr_area().unwrap().iter().all(|&byte| byte == 0));
}

/// An inode whose fields get more room, or less, keeps those that it has; all behind them is zero.
#[test]
fn changed_extra_size() {
    let time = Timestamp {
        seconds: 1 << 33,
        nanoseconds: 5,
    };
    for (size, is_right) in [
        (0, false),
        (2, false),
        (33, false),
        (132, false),
        (u32::MAX, false),
        (4, true),
        (16, true),
        (32, true),
        (128, true),
    ] {
        let mut bytes = [0xee; 256];
        // Up to the extra bits of the change time.
        bytes[128..130].copy_from_slice(&[8, 0]);
        let mut inode = Inode::from_bytes(&mut bytes[..]).unwrap();
        inode.set_ctime(time);
        let before = *inode.block_area();
        assert_eq!(inode.set_extra_size(size), is_right);
        let extra_size = if is_right { size as usize } else { 8 };
        assert_eq!(inode.extra_size(), extra_size);
        assert_eq!(inode.ctime() == time, extra_size >= 8);
        assert_eq!(*inode.block_area(), before);
        // What is written is read.
        let inode = Inode::from_bytes(&bytes[..]).unwrap();
        assert_eq!(inode.extra_size(), extra_size);
        let behind = if is_right { extra_size.min(8) } else { 128 };
        assert!(bytes[128 + behind.max(2)..].iter().all(|&byte| byte == 0));
    }
}

#[test]
fn symlinks() {
    let layout = layout();
    let mut bytes = [0; 256];
    let mut inode = Inode::create(&mut bytes).unwrap();
    inode.set_mode(0o120_777);
    for length in [1, 59] {
        let text = vec![b't'; length];
        inode.set_symlink_text(&text).unwrap();
        assert_eq!(inode.content(&layout), Ok(Content::Symlink(&text)));
    }
    for bad in [&b""[..], &[b't'; 60], b"zero\0byte"] {
        let size = bad.len() as u64;
        assert_eq!(
            inode.set_symlink_text(bad),
            Err(InodeError::SymlinkText { size })
        );
    }
    for size in [0, 58, 60, 1 << 31] {
        inode.set_size(size);
        assert_eq!(
            inode.content(&layout),
            Err(InodeError::SymlinkText { size })
        );
    }
}
