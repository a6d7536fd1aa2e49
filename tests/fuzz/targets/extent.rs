// SPDX-License-Identifier: GPL-2.0

//! Nodes of extent trees: roots of 60 bytes and blocks of any size.

#![no_main]

use libfuzzer_sys::fuzz_target;
use rext4_disk::disk::extent::{self, DataArea, Entry, Node, NodeMut, Place};
use rext4_disk::disk::units::{LogicalBlock, PhysicalBlock};

const AREA: DataArea = DataArea {
    first: PhysicalBlock(1),
    end: PhysicalBlock(1 << 32),
};

fn read(node: &Node<'_>) {
    let checked = node.check(AREA);
    let mut end = LogicalBlock(0);
    // One more than there are.
    for slot in 0..=node.len() {
        if node.depth() > 0 {
            let _ = node.child(slot, AREA).map_err(|error| error.to_string());
            continue;
        }
        match node.extent(slot, AREA) {
            Ok(extent) => {
                assert!(AREA.holds(extent.physical(), extent.len()));
                assert!(checked.is_err() || extent.logical() >= end);
                end = extent.end();
                assert_eq!(extent.map(extent.logical()), Some(extent.physical()));
                assert_eq!(extent.map(extent.end()), None);
            }
            Err(error) => assert!(checked.is_err() || slot == node.len(), "{error}"),
        }
    }
    if let (Ok(()), Some(key)) = (checked, node.key(0)) {
        assert!(node.search(key) >= 1);
    }
}

fuzz_target!(|data: &[u8]| {
    let place = Place::Block(PhysicalBlock(99));
    let Ok(node) = Node::parse(data, place) else {
        return;
    };
    read(&node);
    let (len, max) = (node.len(), node.max());
    assert!(len <= max);

    let mut copy = data.to_vec();
    let seed = rext4_fuzz::inode_seed();
    let at = PhysicalBlock(99);
    if extent::update_checksum(&mut copy, at, seed).is_ok() {
        assert_eq!(extent::verify_checksum(&copy, at, seed), Ok(()));
    }
    let Ok(mut node) = NodeMut::parse(&mut copy, place) else {
        unreachable!("it was one before");
    };
    let entry = Entry::index(LogicalBlock(5), PhysicalBlock(6));
    assert_eq!(node.push(entry).is_ok(), len < max);
    assert!(node.splice(len + 1, 1, &[entry]).is_err());
    let _ = node.splice(0, len.min(2), &[entry, entry, entry]);
    node.truncate(len / 2);
    if let Ok(node) = Node::parse(&copy, place) {
        read(&node);
    }
});
