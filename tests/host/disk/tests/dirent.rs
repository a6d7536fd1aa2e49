// SPDX-License-Identifier: GPL-2.0

//! Changes to a directory block against a model: a map from names to inodes.

use proptest::prelude::*;
use rext4_disk::disk::dirent::{DirBlock, DirBlockMut, DirProblem, Walk};
use rext4_disk::disk::file_type::FileType;
use rext4_disk::disk::units::InodeNumber;
use std::collections::BTreeMap;

const INODES: u32 = 5000;

#[derive(Clone, Debug)]
enum Change {
    Insert(Vec<u8>, u32),
    Replace(Vec<u8>, u32),
    Remove(Vec<u8>),
    /// As e2fsck removes a name: the entry is unused, and all else as it was.
    Clear(Vec<u8>),
}

/// Names of which many are equal, some are as long as can be and some too long.
fn name() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        8 => (b'a'..b'i').prop_map(|letter| vec![letter]),
        4 => (b'a'..b'd', 1usize..40).prop_map(|(letter, length)| vec![letter; length]),
        1 => (b'a'..b'd', 250usize..258).prop_map(|(letter, length)| vec![letter; length]),
        1 => Just(Vec::new()),
    ]
}

fn change() -> impl Strategy<Value = Change> {
    prop_oneof![
        3 => (name(), 1..=INODES).prop_map(|(name, inode)| Change::Insert(name, inode)),
        1 => (name(), 1..=INODES).prop_map(|(name, inode)| Change::Replace(name, inode)),
        2 => name().prop_map(Change::Remove),
        2 => name().prop_map(Change::Clear),
    ]
}

fn content(block: DirBlock<'_>) -> BTreeMap<Vec<u8>, u32> {
    block
        .entries()
        .map(|entry| {
            let entry = entry.expect("the block is damaged");
            assert_eq!(entry.file_type(), Some(FileType::Regular));
            (entry.name.to_vec(), entry.inode.unwrap().0)
        })
        .collect()
}

/// How many bytes the entries of these names need, at least.
fn needed<'a>(names: impl Iterator<Item = &'a Vec<u8>>) -> usize {
    names.map(|name| (8 + name.len()).next_multiple_of(4)).sum()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn like_a_map(
        changes in prop::collection::vec(change(), 0..120),
        has_tail: bool,
        size in prop_oneof![Just(1024usize), Just(4096)],
    ) {
        let mut bytes = vec![0xa5; size];
        let kind = Some(FileType::Regular);
        let mut block = DirBlockMut::create(&mut bytes, INODES, has_tail);
        let mut model = BTreeMap::new();
        for change in changes {
            match change {
                Change::Insert(name, inode) if !model.contains_key(&name) => {
                    let done = block.insert(&name, InodeNumber(inode), kind).unwrap();
                    let possible = (1..=255).contains(&name.len());
                    prop_assert!(possible || !done);
                    if done {
                        model.insert(name, inode);
                    } else if possible {
                        // Refused for lack of room: so much is not left in one piece.
                        let free = size - needed(model.keys());
                        let record = (8 + name.len()).next_multiple_of(4);
                        prop_assert!(free < record * (model.len() + 2));
                    }
                }
                // The caller makes sure that the name is new.
                Change::Insert(..) => {}
                Change::Replace(name, inode) => {
                    let done = block.replace(&name, InodeNumber(inode), kind).unwrap();
                    prop_assert_eq!(done, model.contains_key(&name));
                    model.entry(name).and_modify(|old| *old = inode);
                }
                Change::Remove(name) => {
                    // Where it was found, or from the front.
                    let found = block.as_block().find_place(&name).unwrap();
                    let place = found.filter(|_| name.len() % 2 == 0).map(|(_, place)| place);
                    let done = block.remove(&name, place.unwrap_or_default()).unwrap();
                    prop_assert_eq!(done, model.remove(&name).is_some());
                }
                Change::Clear(name) => {
                    let found = block.as_block().find(&name).unwrap();
                    prop_assert_eq!(found.is_some(), model.remove(&name).is_some());
                    if let Some(entry) = found {
                        let offset = entry.offset;
                        bytes[offset..offset + 4].fill(0);
                        block = DirBlockMut::new(&mut bytes, INODES, has_tail);
                    }
                }
            }
            prop_assert_eq!(&content(block.as_block()), &model);
            for (name, inode) in &model {
                let entry = block.as_block().find(name).unwrap().unwrap();
                prop_assert_eq!(entry.inode, Some(InodeNumber(*inode)));
            }
        }
        // Once all is gone there is room for everything again.
        for name in model.keys() {
            prop_assert!(block.remove(name, Walk::default()).unwrap());
        }
        let longest = vec![b'z'; 255];
        prop_assert!(block.insert(&longest, InodeNumber(1), kind).unwrap());
    }

    /// Whatever the bytes are, the walk ends, and entries lie in the block one behind the other.
    #[test]
    fn any_bytes(bytes in prop::collection::vec(any::<u8>(), 0..200), has_tail: bool) {
        let block = DirBlock::new(&bytes, INODES, has_tail);
        let mut end = 0;
        for entry in block.records().map_while(Result::ok) {
            prop_assert_eq!(entry.offset, end);
            end = entry.end();
            prop_assert!(end <= bytes.len());
        }
    }
}

/// Unused entries that are each too short are room for a name together, on either side of a used one.
#[test]
fn unused_entries_in_a_row() {
    let kind = Some(FileType::Regular);
    for stays in [0u8, 18, 35] {
        let mut bytes = vec![0; 1024];
        let mut block = DirBlockMut::create(&mut bytes, INODES, true);
        for number in 0..36 {
            assert!(block
                .insert(&[b'a' + number; 20], InodeNumber(7), kind)
                .unwrap());
        }
        assert!(!block.as_block().has_room(1).unwrap());
        for number in (0..36).filter(|&number| number != stays) {
            bytes[usize::from(number) * 28..][..4].fill(0);
        }
        let mut block = DirBlockMut::new(&mut bytes, INODES, true);
        assert!(block.insert(&[b'z'; 255], InodeNumber(8), kind).unwrap());
        let model = BTreeMap::from([(vec![b'a' + stays; 20], 7), (vec![b'z'; 255], 8)]);
        assert_eq!(content(block.as_block()), model);
    }
}

/// A block with `.`, `..` and one file, 1024 bytes without a tail.
fn sample() -> Vec<u8> {
    let mut bytes = vec![0; 1024];
    let root = InodeNumber::ROOT;
    let mut block = DirBlockMut::create_first(&mut bytes, INODES, false, root, root, true);
    assert!(block
        .insert(b"file", InodeNumber(12), Some(FileType::Regular))
        .unwrap());
    bytes
}

/// Each thing that can be wrong is found, and called by its name and place.
#[test]
fn damage() {
    // The offset and content of what is overwritten, the place and name of what is found.
    let cases: &[(usize, &[u8], usize, DirProblem)] = &[
        (4, &[8, 0], 0, DirProblem::RecordShort(8)),
        (4, &[0, 0], 0, DirProblem::RecordShort(0)),
        (4, &[14, 0], 0, DirProblem::RecordUnaligned(14)),
        (
            18,
            &[9],
            12,
            DirProblem::NameLong {
                name: 9,
                record: 12,
            },
        ),
        (28, &[0, 4], 24, DirProblem::RecordLong(1024)),
        (28, &[0xe4, 3], 24, DirProblem::Gap(4)),
        (
            24,
            &[0x89, 0x13, 0, 0],
            24,
            DirProblem::Inode(InodeNumber(5001)),
        ),
        (30, &[0], 24, DirProblem::NoName),
        (4, &[0, 4], 0, DirProblem::LastIsDot),
    ];
    for (offset, bytes, place, problem) in cases {
        let mut block = sample();
        block[*offset..offset + bytes.len()].copy_from_slice(bytes);
        let error = DirBlock::new(&block, INODES, false)
            .records()
            .find_map(Result::err)
            .unwrap_or_else(|| panic!("{problem:?} was not found"));
        assert_eq!((error.offset, error.problem), (*place, *problem));
        let before = block.clone();
        let mut changed = DirBlockMut::new(&mut block, INODES, false);
        assert_eq!(changed.remove(b"not there", Walk::default()), Err(error));
        let long = [b'n'; 255];
        if *place > 0 {
            // Room is found only behind the damage.
            let result = changed.insert(&long, InodeNumber(1), None);
            assert_eq!(result, Err(error));
        }
        assert_eq!(block, before);
    }
}
