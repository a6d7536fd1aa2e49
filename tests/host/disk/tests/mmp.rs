// SPDX-License-Identifier: GPL-2.0

//! The block of multiple mount protection: what is read, what is written, and how long one waits.

use proptest::prelude::*;
use rext4_disk::disk::checksum::{crc32c_table, Crc32c, FsSeed};
use rext4_disk::disk::mmp::{check_interval, Mmp, MmpError, MmpState, Owner, Sequence};
use rext4_disk::disk::superblock::Superblock;
use rext4_disk::disk::units::PhysicalBlock;

mod common;
use common::put;

const CHECKSUM: usize = 1020;

fn seed() -> Option<FsSeed> {
    Some(FsSeed::of_uuid(crc32c_table, b"0123456789abcdef"))
}

/// What is in the sample block.
fn sample() -> Mmp {
    Mmp {
        state: MmpState::InUse(Sequence::from_random(77)),
        owner: Owner::new(b"a-machine", b"vdb"),
        time: 0x1_2345_6789,
        check_interval: 10,
    }
}

/// The same as it lies on disk, written by hand.
fn block(seq: u64) -> Vec<u8> {
    let mut bytes = vec![0; 4096];
    put(&mut bytes, 0, 4, 0x004d_4d50);
    put(&mut bytes, 4, 4, seq);
    put(&mut bytes, 8, 8, 0x1_2345_6789);
    bytes[16..25].copy_from_slice(b"a-machine");
    bytes[80..83].copy_from_slice(b"vdb");
    put(&mut bytes, 112, 2, 10);
    let seed = Crc32c::new(crc32c_table).with(b"0123456789abcdef");
    let checksum = seed.with(&bytes[..CHECKSUM]).value();
    put(&mut bytes, CHECKSUM, 4, checksum.into());
    bytes
}

#[test]
fn read_and_written() {
    assert_eq!(Mmp::parse(&block(77), seed()), Ok(sample()));
    for seq in [0, 1, 77, 0xe24d_4d4f, 0xff4d_4d50, 0xe24d_4d50] {
        let there = block(seq);
        let mmp = Mmp::parse(&there, seed()).unwrap();
        let mut bytes = vec![0; 4096];
        mmp.store(&mut bytes, seed()).unwrap();
        assert!(bytes == there, "{seq:#x}");
    }
}

#[test]
fn special_numbers() {
    let state = |seq| Mmp::parse(&block(seq), seed()).unwrap().state;
    assert_eq!(state(0xff4d_4d50), MmpState::Clean);
    assert_eq!(state(0xe24d_4d50), MmpState::Checked);
    for seq in [0, 1, 0xe24d_4d4f, 0xe24d_4d51, 0xffff_ffff] {
        assert!(matches!(state(seq), MmpState::InUse(_)), "{seq:#x}");
    }
}

#[test]
fn what_is_behind_it_stays() {
    let mut bytes = block(77);
    for byte in &mut bytes[116..CHECKSUM] {
        *byte = 0x11;
    }
    bytes[1024..].fill(0x22);
    let before = bytes.clone();
    sample().store(&mut bytes, seed()).unwrap();
    assert_eq!(bytes[..CHECKSUM], before[..CHECKSUM]);
    assert_eq!(bytes[1024..], before[1024..]);
    assert_eq!(Mmp::parse(&bytes, seed()), Ok(sample()));
}

#[test]
fn damage_is_found() {
    for short in [0, 1, 1023] {
        let bytes = &block(77)[..short];
        assert_eq!(
            Mmp::parse(bytes, seed()),
            Err(MmpError::Short { bytes: short })
        );
    }
    for at in 0..1024 {
        let mut bytes = block(77);
        bytes[at] ^= 0x40;
        let error = Mmp::parse(&bytes, seed()).unwrap_err();
        assert!(!error.to_string().is_empty());
        match error {
            MmpError::Magic(_) => assert!(at < 4),
            MmpError::Checksum(_) => assert!(at >= 4),
            other => panic!("byte {at}: {other}"),
        }
        assert_eq!(Mmp::parse(&bytes, None).is_ok(), at >= 4);
    }
    let mut bytes = block(77);
    bytes[1024] ^= 1;
    assert!(Mmp::parse(&bytes, seed()).is_ok());
}

#[test]
fn names_in_messages() {
    let mut mmp = sample();
    assert_eq!(
        mmp.to_string(),
        "last update time 4886718345, node a-machine, device vdb"
    );
    mmp.owner = Owner::new(&[0xc3; 100], b"a\nb\0c");
    assert_eq!(mmp.owner.node, [0xc3; 64]);
    assert!(mmp.to_string().ends_with(r"\xc3, device a\nb"));
}

#[test]
fn still_the_same() {
    let old = sample();
    let new = |change: fn(&mut Mmp)| {
        let mut new = old;
        change(&mut new);
        new
    };
    assert!(new(|_| {}).is_still(&old));
    assert!(new(|mmp| mmp.time += 1).is_still(&old));
    assert!(!new(|mmp| mmp.state = MmpState::Clean).is_still(&old));
    let counted_up = |mmp: &mut Mmp| mmp.state = MmpState::InUse(Sequence::from_random(78));
    assert!(!new(counted_up).is_still(&old));
    assert!(!new(|mmp| mmp.owner.node[0] ^= 1).is_still(&old));
    assert!(!new(|mmp| mmp.owner.device[0] ^= 1).is_still(&old));
}

#[test]
fn waiting_as_in_c() {
    for (update, check, wait) in [
        (1, 0, 11),
        (5, 5, 11),
        (1, 10, 21),
        (30, 10, 61),
        (59, 0, 119),
        (60, 0, 120),
        (100, 5, 160),
        (5, 300, 360),
        (5, 0xffff, 65595),
        (0xffff, 5, 65595),
    ] {
        let mut mmp = sample();
        mmp.check_interval = check;
        assert_eq!(mmp.wait_seconds(update), wait, "{update} {check}");
    }
}

#[test]
fn check_intervals() {
    for (update, elapsed, interval) in [
        (1, 0, 5),
        (2, 2, 5),
        (5, 0, 10),
        (5, 5, 10),
        (5, 20, 40),
        (100, 0, 200),
        (1, 1000, 300),
        (1, u64::MAX, 300),
        (0xffff, 0, 300),
    ] {
        assert_eq!(
            check_interval(update, elapsed),
            interval,
            "{update} {elapsed}"
        );
    }
}

#[test]
fn where_it_can_be() {
    let bytes = common::superblock();
    let superblock = Superblock::from_bytes(&bytes).unwrap();
    assert_eq!(superblock.mmp_block(), None);
    let layout = superblock.layout().unwrap();
    // Super block, one block of descriptors, and 127 kept for more, in groups 0, 1, 3, 5 and 7.
    let (fixed, end) = (129, 7 * 32768 + 1000);
    for (block, possible) in [
        (0, false),
        (1, false),
        (fixed - 1, false),
        (fixed, true),
        (32768 + fixed - 1, false),
        (32768 + fixed, true),
        (2 * 32768, true),
        (end - 1, true),
        (end, false),
        (u64::MAX, false),
    ] {
        let place = PhysicalBlock(block);
        let wanted = if possible {
            Ok(())
        } else {
            Err(MmpError::Place(place))
        };
        assert_eq!(layout.check_mmp_block(place), wanted);
    }
}

#[test]
fn what_the_super_block_says() {
    let mut bytes = common::superblock();
    put(&mut bytes, 0x60, 4, 0x23c2);
    put(&mut bytes, 0x166, 2, 7);
    put(&mut bytes, 0x168, 8, 0x1_0000_0009);
    let superblock = Superblock::from_bytes(&bytes).unwrap();
    assert_eq!(superblock.mmp_block(), Some(PhysicalBlock(0x1_0000_0009)));
    assert_eq!(superblock.mmp_update_interval(), 7);
    put(&mut bytes, 0x166, 2, 0);
    let superblock = Superblock::from_bytes(&bytes).unwrap();
    assert_eq!(superblock.mmp_update_interval(), 1);
}

proptest! {
    #[test]
    fn no_bytes_are_too_strange(mut bytes in proptest::collection::vec(any::<u8>(), 1024)) {
        put(&mut bytes, 0, 4, 0x004d_4d50);
        let mmp = Mmp::parse(&bytes, None).unwrap();
        prop_assert!(!mmp.to_string().is_empty());
        prop_assert!((11..=65595).contains(&mmp.wait_seconds(1)));
        let before = bytes.clone();
        mmp.store(&mut bytes, None).unwrap();
        prop_assert!(bytes == before);
    }

    #[test]
    fn numbers_go_on(number: u32) {
        let first = Sequence::from_random(number);
        let mmp = |sequence| Mmp { state: MmpState::InUse(sequence), ..sample() };
        for sequence in [first, first.next()] {
            let mut bytes = block(0);
            mmp(sequence).store(&mut bytes, None).unwrap();
            let seq = u32::from_le_bytes(bytes[4..8].try_into().unwrap());
            prop_assert!(seq <= 0xe24d_4d4f);
            // It is none of the special ones.
            prop_assert_eq!(Mmp::parse(&bytes, None), Ok(mmp(sequence)));
        }
        prop_assert_ne!(first, first.next());
    }
}

#[test]
fn numbers_begin_again() {
    let last = Sequence::from_random(0xe24d_4d4f);
    assert_eq!(last.next(), Sequence::from_random(1));
    assert_eq!(Sequence::from_random(0xe24d_4d50), Sequence::from_random(0));
    let Ok(Mmp {
        state: MmpState::InUse(strange),
        ..
    }) = Mmp::parse(&block(0xffff_ffff), seed())
    else {
        panic!("in use");
    };
    assert_eq!(strange.next(), Sequence::from_random(1));
}
