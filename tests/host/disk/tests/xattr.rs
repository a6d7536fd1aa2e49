// SPDX-License-Identifier: GPL-2.0

//! Extended attributes and the orphan file in memory: damage is found and named.

use proptest::prelude::*;
use rext4_disk::disk::checksum::{crc32c_table, FsSeed};
use rext4_disk::disk::orphan_file::{OrphanBlock, OrphanFileError};
use rext4_disk::disk::units::{InodeNumber, PhysicalBlock};
use rext4_disk::disk::xattr::{
    update_checksum, verify_checksum, NameIndex, Value, XattrProblem as Problem, Xattrs,
};

/// A block with `user.one` = "value" and `security.two`, which is empty.
fn sample() -> Vec<u8> {
    let mut block = vec![0; 1024];
    block[..12].copy_from_slice(&[0, 0, 2, 0xea, 1, 0, 0, 0, 1, 0, 0, 0]);
    block[32..36].copy_from_slice(&[3, 1, 0xf8, 3]);
    block[40] = 5;
    block[48..51].copy_from_slice(b"one");
    block[52..54].copy_from_slice(&[3, 6]);
    block[68..71].copy_from_slice(b"two");
    block[1016..1021].copy_from_slice(b"value");
    block
}

#[test]
fn the_sample_is_right() {
    let block = sample();
    let xattrs = Xattrs::in_block(&block).unwrap();
    let one = xattrs.find(NameIndex::USER, b"one").unwrap();
    assert_eq!(one.value, Value::Bytes(b"value"));
    let two = xattrs.find(NameIndex::SECURITY, b"two").unwrap();
    assert_eq!(two.value, Value::Bytes(b""));
    assert_eq!(xattrs.iter().count(), 2);

    // The same in an inode: places are counted from the first entry.
    let mut area = block[28..].to_vec();
    area[..4].copy_from_slice(&block[..4]);
    area[6..8].copy_from_slice(&(1016u16 - 32).to_le_bytes());
    let xattrs = Xattrs::in_inode(&area).unwrap().unwrap();
    let one = xattrs.find(NameIndex::USER, b"one").unwrap();
    assert_eq!(one.value, Value::Bytes(b"value"));
}

#[test]
fn none() {
    assert!(Xattrs::in_inode(&[]).unwrap().is_none());
    assert!(Xattrs::in_inode(&[0; 96]).unwrap().is_none());
    assert!(Xattrs::in_inode(&[0, 0, 2, 0xea]).unwrap().is_none());
}

#[test]
fn damage() {
    // Where it is, what it becomes, where it is found and how it is called.
    let cases: &[(usize, &[u8], usize, Problem)] = &[
        (0, &[1], 0, Problem::Header),
        (8, &[2], 0, Problem::Header),
        (49, &[0], 32, Problem::Name),
        (
            34,
            &[0xfc, 3],
            32,
            Problem::ValuePlace {
                offset: 1020,
                size: 5,
            },
        ),
        // On the zero bytes behind the last entry, and just behind them.
        (
            34,
            &[72, 0],
            32,
            Problem::ValuePlace {
                offset: 72,
                size: 5,
            },
        ),
        (40, &[0xff; 4], 32, Problem::ValueSize(u32::MAX)),
        (
            40,
            &[0, 0, 0, 1],
            32,
            Problem::ValuePlace {
                offset: 1016,
                size: 1 << 24,
            },
        ),
        (36, &[15, 0, 0, 0, 0], 32, Problem::InodeValueSize),
        (
            44,
            &[1],
            32,
            Problem::Hash {
                stored: 1,
                computed: 0,
            },
        ),
    ];
    for (offset, bytes, place, problem) in cases {
        let mut block = sample();
        block[*offset..offset + bytes.len()].copy_from_slice(bytes);
        let result = Xattrs::in_block(&block);
        let error = match (problem, result) {
            (Problem::Hash { .. }, Ok(xattrs)) => {
                let error = xattrs
                    .iter()
                    .find_map(|xattr| xattr.verify_hash().err())
                    .unwrap();
                assert!(matches!(error.problem, Problem::Hash { stored: 1, .. }));
                continue;
            }
            (_, result) => result.err().unwrap_or_else(|| panic!("no {problem:?}")),
        };
        assert_eq!((error.offset, error.problem), (*place, *problem));
    }
    let mut block = sample();
    block[34..36].copy_from_slice(&[76, 0]);
    assert!(Xattrs::in_block(&block).is_ok());
    // Entries up to the very end.
    let mut block = sample();
    block[32..].fill(1);
    let error = Xattrs::in_block(&block).err().unwrap();
    assert_eq!(error.problem, Problem::NoEnd);
    assert_eq!(
        Xattrs::in_block(&[0; 31]).err().unwrap().problem,
        Problem::Short
    );
}

#[test]
fn values_in_inodes() {
    let mut block = sample();
    block[36] = 15;
    let xattrs = Xattrs::in_block(&block).unwrap();
    let one = xattrs.find(NameIndex::USER, b"one").unwrap();
    let inode = InodeNumber(15);
    assert_eq!(one.value, Value::Inode { inode, size: 5 });
    assert!(one.verify_hash().is_ok());
}

proptest! {
    /// Whatever the bytes are, values lie in the block.
    #[test]
    fn any_bytes(
        changes in prop::collection::vec((32usize..80, any::<u8>()), 0..8),
        flip in 0usize..1024 * 8,
    ) {
        let mut block = sample();
        for (offset, byte) in changes {
            block[offset] = byte;
        }
        if let Ok(xattrs) = Xattrs::in_block(&block) {
            for xattr in xattrs.iter() {
                if let Value::Bytes(value) = xattr.value {
                    prop_assert!(value.len() <= block.len());
                }
                let _ = xattr.verify_hash();
            }
        }
        let seed = FsSeed::stored(crc32c_table, 1);
        let at = PhysicalBlock(100);
        update_checksum(&mut block, at, seed).unwrap();
        prop_assert!(verify_checksum(&block, at, seed).is_ok());
        prop_assert!(verify_checksum(&block, PhysicalBlock(101), seed).is_err());
        block[flip / 8] ^= 1 << (flip % 8);
        prop_assert!(verify_checksum(&block, at, seed).is_err());
    }

    #[test]
    fn orphans(slots in prop::collection::btree_map(0usize..254, 1u32.., 0..20), flip in 0usize..1020 * 8) {
        let seed = FsSeed::stored(crc32c_table, 1).inode(InodeNumber(12), 5);
        let at = PhysicalBlock(100);
        let mut block = vec![0xff; 1024];
        let mut orphans = OrphanBlock::create(&mut block).unwrap();
        prop_assert_eq!(orphans.slots(), 254);
        for (slot, inode) in &slots {
            orphans.fill(*slot, InodeNumber(*inode)).unwrap();
            let taken = OrphanFileError::SlotTaken { slot: *slot, inode: InodeNumber(*inode) };
            prop_assert_eq!(orphans.fill(*slot, InodeNumber(1)), Err(taken));
        }
        let found: Vec<_> = orphans.orphans().map(|(slot, inode)| (slot, inode.0)).collect();
        let expected: Vec<_> = slots.iter().map(|(slot, inode)| (*slot, *inode)).collect();
        prop_assert_eq!(found, expected);
        let empty = (0..254).find(|slot| !slots.contains_key(slot));
        prop_assert_eq!(orphans.empty_slot(), empty);
        prop_assert_eq!(orphans.fill(254, InodeNumber(1)), Err(OrphanFileError::Slot(254)));
        prop_assert_eq!(orphans.clear(254), Err(OrphanFileError::Slot(254)));
        orphans.update_checksum(seed, at);
        prop_assert!(orphans.verify_checksum(seed, at).is_ok());
        prop_assert!(orphans.verify_checksum(seed, PhysicalBlock(101)).is_err());

        let mut damaged = block.clone();
        damaged[flip / 8] ^= 1 << (flip % 8);
        match OrphanBlock::from_bytes(&damaged[..]) {
            Ok(damaged) => prop_assert!(damaged.verify_checksum(seed, at).is_err()),
            Err(error) => prop_assert!(matches!(error, OrphanFileError::Magic(_))),
        }
        let mut orphans = OrphanBlock::from_bytes(&mut block[..]).unwrap();
        for slot in slots.keys() {
            orphans.clear(*slot).unwrap();
        }
        prop_assert_eq!(orphans.orphans().count(), 0);
    }
}

#[test]
fn no_orphan_file() {
    let size = |bytes| Some(OrphanFileError::Size(bytes));
    assert_eq!(OrphanBlock::from_bytes(&[0; 7][..]).err(), size(7));
    assert_eq!(OrphanBlock::from_bytes(&[0; 1023][..]).err(), size(1023));
    assert_eq!(
        OrphanBlock::from_bytes(&[0; 1024][..]).err(),
        Some(OrphanFileError::Magic(0))
    );
}
