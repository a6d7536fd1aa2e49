// SPDX-License-Identifier: GPL-2.0

//! Extended attributes written: against a map of names to values, and the hashes against C's formula.

use proptest::prelude::*;
use rext4_disk::disk::acl::{value_size, write_value, AclEntries, AclEntry};
use rext4_disk::disk::xattr::{
    block_references, compose_block, compose_in_inode, Change, ComposeError, NameIndex, Value,
    Xattrs,
};
use std::collections::BTreeMap;

/// Sorted as a block is.
type Model = BTreeMap<(u8, usize, Vec<u8>), Vec<u8>>;

const BLOCK: usize = 1024;
const AREA: usize = 96;

fn round_up(bytes: usize) -> usize {
    bytes.div_ceil(4) * 4
}

/// The bytes that entries, their end and values take.
fn size_of(model: &Model) -> usize {
    let entries: usize = model
        .keys()
        .map(|(_, length, _)| round_up(16 + length))
        .sum();
    let values: usize = model.values().map(|value| round_up(value.len())).sum();
    entries + 4 + values
}

fn changed(model: &Model, change: &Change<'_>) -> Model {
    let mut model = model.clone();
    let key = (change.index.0, change.name.len(), change.name.to_vec());
    match change.value {
        Some(value) => model.insert(key, value.to_vec()),
        None => model.remove(&key),
    };
    model
}

fn read(xattrs: Xattrs<'_>) -> Vec<((u8, usize, Vec<u8>), Vec<u8>)> {
    let mut found = Vec::new();
    for xattr in xattrs.iter() {
        xattr.verify_hash().unwrap();
        let Value::Bytes(value) = xattr.value else {
            panic!("a value in an inode")
        };
        let key = (xattr.index.0, xattr.name.len(), xattr.name.to_vec());
        found.push((key, value.to_vec()));
    }
    found
}

/// As `ext4_xattr_hash_entry()` and `ext4_xattr_rehash()` have it.
fn hash_of(model: &Model) -> u32 {
    let mut all = 0u32;
    for ((_, _, name), value) in model {
        let mut hash = 0u32;
        for &byte in name {
            hash = (hash << 5) ^ (hash >> 27) ^ u32::from(byte);
        }
        let mut padded = value.clone();
        padded.resize(round_up(value.len()), 0);
        for word in padded.chunks(4) {
            hash = (hash << 16) ^ (hash >> 16) ^ u32::from_le_bytes(word.try_into().unwrap());
        }
        if hash == 0 {
            return 0;
        }
        all = (all << 16) ^ (all >> 16) ^ hash;
    }
    all
}

fn changes() -> impl Strategy<Value = Vec<(u8, String, Option<Vec<u8>>)>> {
    let value = prop_oneof![
        3 => prop::collection::vec(any::<u8>(), 0..20),
        1 => prop::collection::vec(any::<u8>(), 0..400),
        1 => Just(Vec::new()),
    ];
    let one = (1u8..4, "[ab]{0,3}", prop::option::weighted(0.75, value));
    prop::collection::vec(one, 1..40)
}

fn change<'a>(index: u8, name: &'a str, value: Option<&'a [u8]>) -> Change<'a> {
    Change {
        index: NameIndex(index),
        name: name.as_bytes(),
        value,
    }
}

proptest! {
    #[test]
    fn a_block_is_a_sorted_map(changes in changes()) {
        let mut model = Model::new();
        let mut block: Option<Vec<u8>> = None;
        for (index, name, value) in &changes {
            let change = change(*index, name, value.as_deref());
            let wanted = changed(&model, &change);
            // What is left in memory does not matter.
            let mut new = vec![0x5a; BLOCK];
            let old = block.as_deref().map(|block| Xattrs::in_block(block).unwrap());
            let result = compose_block(old, &change, &mut new);
            if 32 + size_of(&wanted) > BLOCK {
                prop_assert_eq!(result, Err(ComposeError::NoRoom));
                prop_assert_eq!(new, vec![0x5a; BLOCK]);
                continue;
            }
            prop_assert_eq!(result, Ok(wanted.len()));
            model = wanted;
            prop_assert_eq!(block_references(&new), Ok(1));
            prop_assert_eq!(u32::from_le_bytes(new[12..16].try_into().unwrap()), hash_of(&model));
            let found = read(Xattrs::in_block(&new).unwrap());
            prop_assert_eq!(found, model.clone().into_iter().collect::<Vec<_>>());
            block = Some(new);
        }
    }

    #[test]
    fn an_inode_keeps_the_order_of_arrival(changes in changes()) {
        let mut model = Model::new();
        let mut order: Vec<(u8, usize, Vec<u8>)> = Vec::new();
        let mut area = vec![0; AREA];
        for (index, name, value) in &changes {
            let change = change(*index, name, value.as_deref());
            let wanted = changed(&model, &change);
            let mut new = vec![0x5a; AREA];
            let result = compose_in_inode(Xattrs::in_inode(&area).unwrap(), &change, &mut new);
            if 4 + size_of(&wanted) > AREA {
                prop_assert_eq!(result, Err(ComposeError::NoRoom));
                prop_assert_eq!(new, vec![0x5a; AREA]);
                continue;
            }
            prop_assert_eq!(result, Ok(wanted.len()));
            let key = (*index, name.len(), name.as_bytes().to_vec());
            if !wanted.contains_key(&key) {
                order.retain(|other| *other != key);
            } else if !order.contains(&key) {
                order.push(key);
            }
            model = wanted;
            area = new;
            match Xattrs::in_inode(&area).unwrap() {
                None => prop_assert!(model.is_empty() && area == vec![0; AREA]),
                Some(xattrs) => {
                    let wanted: Vec<_> =
                        order.iter().map(|key| (key.clone(), model[key].clone())).collect();
                    prop_assert_eq!(read(xattrs), wanted);
                }
            }
        }
    }

    #[test]
    fn a_list_of_access_is_read_as_written(
        entries in prop::collection::vec((0usize..6, 0u16..8, any::<u32>()), 0..20),
    ) {
        let entries: Vec<AclEntry> = entries
            .into_iter()
            .map(|(kind, permissions, id)| AclEntry {
                tag: 1 << kind,
                permissions,
                id: (kind == 1 || kind == 3).then_some(id),
            })
            .collect();
        let mut value = vec![0x5a; value_size(entries.iter().copied())];
        write_value(entries.iter().copied(), &mut value);
        let read: Result<Vec<_>, _> = AclEntries::new(&value).unwrap().collect();
        prop_assert_eq!(read, Ok(entries));
    }
}

#[test]
fn exactly_full() {
    let fits = vec![1; BLOCK - 32 - 4 - 20];
    let change = |value| Change {
        index: NameIndex::USER,
        name: b"n",
        value: Some(value),
    };
    let mut block = vec![0; BLOCK];
    assert_eq!(compose_block(None, &change(&fits), &mut block), Ok(1));
    let xattrs = Xattrs::in_block(&block).unwrap();
    assert_eq!(read(xattrs)[0].1, fits);
    let more = vec![1; fits.len() + 1];
    let result = compose_block(None, &change(&more), &mut block);
    assert_eq!(result, Err(ComposeError::NoRoom));
    for small in 0..8 {
        let result = compose_in_inode(None, &change(&[]), &mut vec![0; small]);
        assert_eq!(result, Err(ComposeError::NoRoom));
    }
    assert_eq!(compose_in_inode(None, &change(&[]), &mut [0; 28]), Ok(1));
}

#[test]
fn what_can_not_be_written() {
    let name = [b'n'; 256];
    let mut block = vec![0; BLOCK];
    for (name, result) in [
        (&name[..], Err(ComposeError::Name)),
        (&name[..255], Ok(1)),
        (b"a\0b", Err(ComposeError::Name)),
    ] {
        let change = Change {
            index: NameIndex::USER,
            name,
            value: Some(b"value"),
        };
        assert_eq!(compose_block(None, &change, &mut block), result);
    }
    // A value in an inode: that inode counts who uses it.
    let mut old = block.clone();
    let change = Change {
        index: NameIndex::USER,
        name: b"one",
        value: Some(b"value"),
    };
    compose_block(None, &change, &mut old).unwrap();
    old[36] = 15;
    let result = compose_block(Some(Xattrs::in_block(&old).unwrap()), &change, &mut block);
    assert_eq!(result, Err(ComposeError::ValueInInode));
}
