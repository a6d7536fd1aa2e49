// SPDX-License-Identifier: GPL-2.0

//! Attributes of an inode that have to do with less room: none is lost, and no more are moved than have to be.

use proptest::prelude::*;
use rext4_disk::disk::xattr::{
    block_references, compose_block, compose_in_inode, fits, shrink, Change, ComposeError,
    GrowError, NameIndex, Value, XattrProblem, Xattrs,
};
use std::collections::BTreeMap;

type Key = (u8, Vec<u8>);
type Model = BTreeMap<Key, Vec<u8>>;

const BLOCK: usize = 1024;
/// What a file has in its inode as data.
const DATA: (u8, &[u8]) = (7, b"data");

fn round_up(bytes: usize) -> usize {
    bytes.div_ceil(4) * 4
}

fn size_of((_, name): &Key, value: &[u8]) -> usize {
    round_up(16 + name.len()) + round_up(value.len())
}

fn size_of_all(model: &Model) -> usize {
    model.iter().map(|(key, value)| size_of(key, value)).sum()
}

/// What they take in an inode.
fn in_inode(model: &Model) -> usize {
    match size_of_all(model) {
        0 => 0,
        size => size + 8,
    }
}

fn change<'a>((index, name): &'a Key, value: &'a [u8]) -> Change<'a> {
    Change {
        index: NameIndex(*index),
        name,
        value: Some(value),
    }
}

fn area_of(attributes: &[(Key, Vec<u8>)], size: usize) -> Vec<u8> {
    let mut area = vec![0; size];
    for (key, value) in attributes {
        let mut new = vec![0; size];
        let old = Xattrs::in_inode(&area).unwrap();
        compose_in_inode(old, &change(key, value), &mut new).unwrap();
        area = new;
    }
    area
}

fn block_of(attributes: &[(Key, Vec<u8>)]) -> Vec<u8> {
    let mut block: Option<Vec<u8>> = None;
    for (key, value) in attributes {
        let mut new = vec![0; BLOCK];
        let old = block.as_deref().map(|old| Xattrs::in_block(old).unwrap());
        compose_block(old, &change(key, value), &mut new).unwrap();
        block = Some(new);
    }
    block.unwrap_or(vec![0; BLOCK])
}

fn read(xattrs: Option<Xattrs<'_>>) -> Model {
    let mut model = Model::new();
    for xattr in xattrs.iter().flat_map(Xattrs::iter) {
        xattr.verify_hash().unwrap();
        let Value::Bytes(value) = xattr.value else {
            panic!("a value in an inode")
        };
        let old = model.insert((xattr.index.0, xattr.name.to_vec()), value.to_vec());
        assert_eq!(old, None, "twice");
    }
    model
}

fn read_block(block: &[u8]) -> Model {
    match block {
        [0, 0, 0, 0, ..] => Model::new(),
        block => read(Some(Xattrs::in_block(block).unwrap())),
    }
}

/// What is in the inode and in the block.
fn shrunk(area: &[u8], room: usize, block: &[u8]) -> Result<(Model, Model, usize), GrowError> {
    let (mut area, mut block) = (area.to_vec(), block.to_vec());
    // What is left in memory does not matter.
    let mut scratch = vec![0x5a; area.len().max(BLOCK)];
    let moved = shrink(&mut area, room, &mut block, &mut scratch)?;
    assert!(area[room..].iter().all(|&byte| byte == 0));
    let inside = read(Xattrs::in_inode(&area[..room]).unwrap());
    if inside.is_empty() {
        assert!(area.iter().all(|&byte| byte == 0));
    }
    Ok((inside, read_block(&block), moved))
}

fn keys(count: core::ops::Range<usize>) -> impl Strategy<Value = Vec<(Key, Vec<u8>)>> {
    let key = prop_oneof![
        8 => (1u8..7, "[a-d]{1,12}".prop_map(String::into_bytes)),
        1 => Just((2u8, Vec::new())),
        1 => Just((DATA.0, DATA.1.to_vec())),
    ];
    let value = prop_oneof![
        3 => prop::collection::vec(any::<u8>(), 0..20),
        1 => prop::collection::vec(any::<u8>(), 0..150),
    ];
    prop::collection::btree_map(key, value, count)
        .prop_map(|map| map.into_iter().collect::<Vec<_>>())
        .prop_shuffle()
}

proptest! {
    #[test]
    fn nothing_is_lost(all in keys(0..14), split in any::<prop::sample::Index>(), room in 0usize..60, more in 0usize..20) {
        let split = split.index(all.len() + 1);
        let (inside, beyond) = all.split_at(split);
        let model = |attributes: &[(Key, Vec<u8>)]| attributes.iter().cloned().collect::<Model>();
        let (inside_model, beyond_model) = (model(inside), model(beyond));
        prop_assume!(size_of_all(&beyond_model) + 36 <= BLOCK);
        prop_assume!(!beyond_model.contains_key(&(DATA.0, DATA.1.to_vec())));
        let area = area_of(inside, (in_inode(&inside_model) + 4 * more).max(240));
        let (block, room) = (block_of(beyond), 4 * room);

        let already = in_inode(&inside_model) <= room;
        prop_assert_eq!(fits(&area, room), Ok(already));
        let free = BLOCK - 36 - size_of_all(&beyond_model);
        let missing = in_inode(&inside_model).saturating_sub(room);
        let movable = inside.iter().filter(|((index, name), _)| (*index, &name[..]) != DATA);
        let movable: Vec<_> = movable.map(|(key, value)| size_of(key, value)).collect();
        let alone = movable.iter().copied().filter(|&size| size >= missing && size <= free).min();
        match shrunk(&area, room, &block) {
            Ok((now_inside, now_beyond, moved)) => {
                prop_assert_eq!(in_inode(&now_inside).max(room), room);
                prop_assert_eq!(now_beyond.len(), beyond.len() + moved);
                prop_assert_eq!(now_inside.len() + moved, inside.len());
                let mut together = now_inside.clone();
                together.extend(now_beyond.clone());
                prop_assert_eq!(together, model(&all));
                prop_assert!(!now_beyond.contains_key(&(DATA.0, DATA.1.to_vec())));
                if already {
                    prop_assert_eq!(moved, 0);
                } else if let Some(size) = alone {
                    prop_assert_eq!(moved, 1);
                    prop_assert_eq!(size_of_all(&now_beyond), size_of_all(&beyond_model) + size);
                } else {
                    prop_assert!(moved > 0);
                }
            }
            Err(error) => {
                prop_assert_eq!(error, GrowError::Compose(ComposeError::NoRoom));
                prop_assert!(!already);
                // Where the last one goes no header is needed.
                prop_assert_eq!(alone, None);
                let all_fit = movable.iter().sum::<usize>() <= free;
                let has_data = inside_model.contains_key(&(DATA.0, DATA.1.to_vec()));
                prop_assert!(has_data || !all_fit);
            }
        }
    }
}

fn many(count: usize) -> Vec<(Key, Vec<u8>)> {
    let key = |number: usize| (1, number.to_string().into_bytes());
    (0..count)
        .map(|number| (key(number), b"aa".to_vec()))
        .collect()
}

/// Attributes of 24 bytes each, as xfstests' ext4/022 has them.
#[test]
fn as_many_as_have_to_go() {
    for (count, room, left) in [
        (4, 176, 4),
        (7, 176, 7),
        (8, 176, 7),
        (10, 176, 7),
        (10, 240, 9),
        (10, 8, 0),
        (10, 0, 0),
        (1, 28, 0),
        (1, 32, 1),
    ] {
        let area = area_of(&many(count), 256);
        let block = block_of(&[((6, b"other".to_vec()), b"value".to_vec())]);
        let (inside, beyond, moved) = shrunk(&area, room, &block).unwrap();
        assert_eq!((inside.len(), moved), (left, count - left));
        assert_eq!(beyond.len(), 1 + moved);
        let mut together = inside;
        together.extend(beyond);
        assert_eq!(together.len(), 1 + count);
        // Without a block there is one now.
        let (_, beyond, _) = shrunk(&area, room, &[0; BLOCK]).unwrap();
        assert_eq!(beyond.len(), moved);
    }
    // 40 of them fill the block but for 28 bytes.
    let others: Vec<_> = (0..40)
        .map(|number| ((6, format!("{number:04}").into_bytes()), b"aa".to_vec()))
        .collect();
    let area = area_of(&many(10), 256);
    let no_room = Err(GrowError::Compose(ComposeError::NoRoom));
    assert_eq!(shrunk(&area, 176, &block_of(&others)), no_room);
    let (inside, beyond, _) = shrunk(&area, 240, &block_of(&others)).unwrap();
    assert_eq!((inside.len(), beyond.len()), (9, 41));
}

#[test]
fn a_new_block_is_the_inodes_own() {
    let mut area = area_of(&many(2), 64);
    let (mut block, mut scratch) = (vec![0; BLOCK], vec![0; BLOCK]);
    assert_eq!(shrink(&mut area, 32, &mut block, &mut scratch), Ok(1));
    assert_eq!(block_references(&block), Ok(1));
    let mut expected = vec![0; BLOCK];
    compose_block(None, &change(&(1, b"0".to_vec()), b"aa"), &mut expected).unwrap();
    assert_eq!(block, expected);
    // Where nothing has to go it is as it was.
    let before = vec![0x5a; BLOCK];
    block = before.clone();
    assert_eq!(shrink(&mut area, 32, &mut block, &mut scratch), Ok(0));
    assert_eq!(block, before);
}

/// An attribute in the inode hides one of the same name in the block, and takes its place.
#[test]
fn the_inodes_counts() {
    let key = || (1, b"name".to_vec());
    let area = area_of(&[(key(), b"inside".to_vec())], 64);
    let block = block_of(&[(key(), b"beyond".to_vec())]);
    let (inside, beyond, moved) = shrunk(&area, 16, &block).unwrap();
    assert_eq!((inside.len(), moved), (0, 1));
    assert_eq!(beyond, Model::from([(key(), b"inside".to_vec())]));
}

#[test]
fn what_can_not_be() {
    let data = (DATA.0, DATA.1.to_vec());
    let attributes = [
        ((1, b"a".to_vec()), vec![1; 20]),
        (data.clone(), vec![2; 40]),
    ];
    let area = area_of(&attributes, 128);
    let (inside, beyond, _) = shrunk(&area, 68, &[0; BLOCK]).unwrap();
    assert_eq!(inside.keys().collect::<Vec<_>>(), [&data]);
    assert_eq!(beyond.len(), 1);
    let no_room = Err(GrowError::Compose(ComposeError::NoRoom));
    assert_eq!(shrunk(&area, 64, &[0; BLOCK]), no_room);

    // A value in another inode, which counts its users.
    let mut foreign = area.clone();
    foreign[8] = 15;
    let error = Err(GrowError::Compose(ComposeError::ValueInInode));
    assert_eq!(shrunk(&foreign, 68, &[0; BLOCK]), error);
    assert_eq!(shrunk(&foreign, 128, &[0; BLOCK]), error);

    let mut damaged = area.clone();
    damaged[6] = 0xff;
    let result = shrunk(&damaged, 68, &[0; BLOCK]);
    let is_place = |problem| matches!(problem, XattrProblem::ValuePlace { .. });
    assert!(matches!(result, Err(GrowError::Damaged(e)) if is_place(e.problem)));
    assert!(fits(&damaged, 128).is_err());

    let mut broken = block_of(&attributes[..1]);
    broken[8] = 2;
    let result = shrunk(&area, 68, &broken);
    assert!(matches!(result, Err(GrowError::Damaged(e)) if e.problem == XattrProblem::Header));
}
