// SPDX-License-Identifier: GPL-2.0

//! Extended attributes, in a block and in an inode: read, and written anew with a change.

#![no_main]

use libfuzzer_sys::fuzz_target;
use rext4_disk::disk::units::PhysicalBlock;
use rext4_disk::disk::xattr::{self, Change, NameIndex, Value, XattrError, Xattrs};

fn read(xattrs: Result<Option<Xattrs<'_>>, XattrError>, bytes: usize) {
    let xattrs = match xattrs {
        Ok(Some(xattrs)) => xattrs,
        Ok(None) => return,
        Err(error) => {
            assert!(!error.to_string().is_empty());
            return;
        }
    };
    for xattr in xattrs.iter() {
        if let Value::Bytes(value) = xattr.value {
            assert!(value.len() < bytes);
        }
        let _ = xattr.verify_hash().map_err(|error| error.to_string());
        let found = xattrs.find(xattr.index, xattr.name).expect("it is there");
        assert_eq!((found.index, found.name), (xattr.index, xattr.name));
    }
}

/// Whatever the attributes are that are there already: what is written can be read.
fn change(data: &[u8]) {
    let Some(&first) = data.first() else {
        return;
    };
    let name = data.get(..usize::from(first % 8)).unwrap_or_default();
    let name: Vec<u8> = name.iter().map(|&byte| byte.max(1)).collect();
    let change = Change {
        index: NameIndex::USER,
        name: &name,
        value: (first & 0x80 != 0).then_some(data.get(..usize::from(first)).unwrap_or_default()),
    };
    let mut new = vec![0; data.len() & !3];
    if let Ok(old) = Xattrs::in_block(data) {
        if let Ok(count) = xattr::compose_block(Some(old), &change, &mut new) {
            let written = Xattrs::in_block(&new).expect("what was written is right");
            assert_eq!(written.iter().count(), count);
            let found = written
                .find(change.index, change.name)
                .map(|xattr| xattr.value);
            assert_eq!(found, change.value.map(Value::Bytes));
        }
    }
    new.fill(0);
    if let Ok(old) = Xattrs::in_inode(data) {
        if let Ok(count) = xattr::compose_in_inode(old, &change, &mut new) {
            let written = Xattrs::in_inode(&new).expect("what was written is right");
            assert_eq!(written.map_or(0, |written| written.iter().count()), count);
        }
    }
}

/// The attributes of an inode that have to do with less room: none gets lost.
fn shrink(data: &[u8]) {
    let data = data.get(..data.len() & !3).unwrap_or_default();
    let mut area = data.to_vec();
    let Ok(Some(before)) = Xattrs::in_inode(data) else {
        return;
    };
    let room = usize::from(data.last().copied().unwrap_or(0)) * 4;
    if room > area.len() {
        return;
    }
    let (mut block, mut scratch) = (vec![0; 1024], vec![0; area.len().max(1024)]);
    let fits = xattr::fits(&area, room);
    let Ok(moved) = xattr::shrink(&mut area, room, &mut block, &mut scratch) else {
        return;
    };
    assert_eq!(fits, Ok(moved == 0));
    assert!(area[room..].iter().all(|&byte| byte == 0));
    let inside = Xattrs::in_inode(&area[..room]).expect("what was written is right");
    let beyond = (moved > 0).then(|| Xattrs::in_block(&block).expect("what was written is right"));
    for xattr in before.iter() {
        if xattr.index == NameIndex(0) && xattr.name.is_empty() {
            continue;
        }
        // The first one, if there are several.
        let wanted = before
            .find(xattr.index, xattr.name)
            .map(|xattr| xattr.value);
        let find = |xattrs: Option<Xattrs<'_>>| {
            xattrs?
                .find(xattr.index, xattr.name)
                .map(|xattr| xattr.value == wanted.expect("it is there"))
        };
        assert_eq!(find(inside).or_else(|| find(beyond)), Some(true));
    }
}

fuzz_target!(|data: &[u8]| {
    change(data);
    shrink(data);
    read(Xattrs::in_inode(data), data.len());
    read(Xattrs::in_block(data).map(Some), data.len());

    let (at, seed) = (PhysicalBlock(99), rext4_fuzz::fs_seed());
    let mut copy = data.to_vec();
    if xattr::update_checksum(&mut copy, at, seed).is_ok() {
        assert_eq!(xattr::verify_checksum(&copy, at, seed), Ok(()));
        let users = xattr::block_references(&copy);
        let left = xattr::drop_reference(&mut copy);
        assert_eq!(users.map(|users| users - 1), left);
    }
});
