// SPDX-License-Identifier: GPL-2.0

//! Damaged trees: each fault is found, named and put in its place, and no bytes cause a panic.

mod support;

use proptest::prelude::*;
use rext4_extent::disk::checksum::{crc32c_table, FsSeed, InodeSeed};
use rext4_extent::disk::error::ChecksumMismatch;
use rext4_extent::disk::extent::{
    complete_checksum, postpone_checksum, update_checksum, verify_checksum, DataArea, Entry,
    Extent, Fault, Node, NodeError, NodeMut, Place, State, LOGICAL_END, ROOT_SIZE,
};
use rext4_extent::disk::units::{InodeNumber, LogicalBlock, PhysicalBlock};
use rext4_extent::extent::check::check;
use rext4_extent::extent::memory::{Memory, MemoryError};
use rext4_extent::extent::{
    convert, insert, lookup, next_extent, remove, Hole, Mapping, NodeStoreMut, TreeError,
};
use support::{Op, Pair, SPACE, TINY};

const AREA: DataArea = DataArea {
    first: PhysicalBlock(1),
    end: PhysicalBlock(1000),
};

fn seed() -> InodeSeed {
    FsSeed::of_uuid(crc32c_table, b"another 16 bytes").inode(InodeNumber(11), 1)
}

fn extent(at: u32, len: u32) -> Extent {
    let physical = PhysicalBlock(100 + u64::from(at));
    Extent::new(LogicalBlock(at), physical, len, State::Written).expect("a valid extent")
}

/// A root of this depth with these entries.
fn root(depth: u16, entries: &[Entry]) -> [u8; ROOT_SIZE] {
    let mut bytes = [0; ROOT_SIZE];
    let mut node = NodeMut::format(&mut bytes, Place::Root, depth).expect("room");
    node.splice(0, 0, entries).expect("room");
    bytes
}

/// What is wrong with a root that was sound until the 16 bits at `offset` became `value`.
fn fault_of(mut bytes: [u8; ROOT_SIZE], offset: usize, value: u16) -> Fault {
    let node = Node::parse(&bytes, Place::Root).expect("a sound root");
    node.check(AREA).expect("a sound root");
    bytes[offset..offset + 2].copy_from_slice(&value.to_le_bytes());
    let result = Node::parse(&bytes, Place::Root).and_then(|node| node.check(AREA));
    let error = result.expect_err("a fault");
    assert_eq!(error.place, Place::Root);
    error.fault
}

#[test]
fn each_fault_of_a_node_has_its_name() {
    let leaf = root(0, &[Entry::leaf(extent(3, 5)), Entry::leaf(extent(8, 2))]);
    let index = |key| Entry::index(LogicalBlock(key), PhysicalBlock(50 + u64::from(key)));
    let tree = root(1, &[index(0), index(7)]);
    let logical = LogicalBlock(3);

    assert_eq!(fault_of(leaf, 0, 0xf30b), Fault::Magic(0xf30b));
    let (found, expected) = (6, 5);
    assert_eq!(fault_of(leaf, 6, found), Fault::Depth { found, expected });
    let capacity = 4;
    assert_eq!(fault_of(leaf, 4, 5), Fault::Room { max: 5, capacity });
    assert_eq!(fault_of(leaf, 4, 0), Fault::Room { max: 0, capacity });
    assert_eq!(fault_of(leaf, 2, 5), Fault::Entries { entries: 5, max: 4 });
    assert_eq!(fault_of(tree, 2, 0), Fault::EmptyIndex);
    // Of the first extent: the length, and the lower and upper half of the physical block.
    assert_eq!(fault_of(leaf, 16, 0), Fault::Length(logical));
    assert_eq!(fault_of(leaf, 16, 6), Fault::Order(LogicalBlock(8)));
    for (offset, value, physical) in [(20, 998, 998), (20, 0, 0), (18, 1, (1 << 32) + 103)] {
        let (physical, len) = (PhysicalBlock(physical), 5);
        let expected = Fault::Physical {
            logical,
            physical,
            len,
        };
        assert_eq!(fault_of(leaf, offset, value), expected);
    }
    // The logical block of the second entry.
    assert_eq!(fault_of(leaf, 24, 7), Fault::Order(LogicalBlock(7)));
    let far = root(0, &[Entry::leaf(extent(3, 5)), Entry::leaf(at_the_end())]);
    assert_eq!(fault_of(far, 24, 0xffff), Fault::Length(LOGICAL_END));
    assert_eq!(
        fault_of(far, 24, 0xfffe),
        Fault::Length(LogicalBlock(u32::MAX - 1))
    );
    assert_eq!(fault_of(tree, 24, 0), Fault::Order(LogicalBlock(0)));
    // The block of the second child.
    let (key, child) = (LogicalBlock(7), PhysicalBlock(1000));
    assert_eq!(fault_of(tree, 28, 1000), Fault::Child { key, child });

    for len in 0..24 {
        let error = Node::parse(&leaf[..len], Place::Root)
            .err()
            .expect("a fault");
        let capacity = 0;
        let expected = if len < 12 {
            Fault::Short
        } else {
            Fault::Room { max: 4, capacity }
        };
        assert_eq!(error.fault, expected);
    }
}

/// The last two blocks that a file can have.
fn at_the_end() -> Extent {
    let logical = LogicalBlock(LOGICAL_END.0 - 2);
    Extent::new(logical, PhysicalBlock(100), 2, State::Written).expect("a valid extent")
}

#[test]
fn a_wrong_checksum_is_found() {
    let at = PhysicalBlock(77);
    for size in [TINY, 1024, 2048, 4096, 65536] {
        let mut block = vec![0; size];
        NodeMut::format(&mut block, Place::Block(at), 0)
            .and_then(|mut node| node.push(Entry::leaf(extent(0, 1))))
            .expect("room");
        update_checksum(&mut block, at, seed()).expect("room");
        assert_eq!(verify_checksum(&block, at, seed()), Ok(()));

        let end = 12 + 12 * ((size - 12) / 12);
        for offset in [8, 12, end - 1, end, end + 3] {
            block[offset] ^= 0x10;
            let error = verify_checksum(&block, at, seed()).expect_err("a fault");
            assert_eq!(error.place, Place::Block(at));
            assert!(matches!(
                error.fault,
                Fault::Checksum(ChecksumMismatch { .. })
            ));
            block[offset] ^= 0x10;
        }
        let other = FsSeed::of_uuid(crc32c_table, b"another 16 bytes").inode(InodeNumber(12), 1);
        assert!(verify_checksum(&block, at, other).is_err());

        // Put off while the block changes, and in the end the same.
        postpone_checksum(&mut block, at, seed()).expect("room");
        block[end - 1] ^= 0x10;
        postpone_checksum(&mut block, at, seed()).expect("room");
        complete_checksum(&mut block, at, crc32c_table).expect("room");
        assert_eq!(verify_checksum(&block, at, seed()), Ok(()));
    }
    // Twelve bytes for each entry and none for the checksum.
    let mut block = vec![0; 12 + 12 * 6];
    NodeMut::format(&mut block, Place::Block(at), 0)
        .map(drop)
        .expect("room");
    let error = NodeError::new(Place::Block(at), Fault::NoTail);
    assert_eq!(update_checksum(&mut block, at, seed()), Err(error));
    assert_eq!(postpone_checksum(&mut block, at, seed()), Err(error));
    assert_eq!(complete_checksum(&mut block, at, crc32c_table), Err(error));
    assert_eq!(verify_checksum(&block, at, seed()), Err(error));
}

/// A tree of depth 1 whose second leaf starts at block 100.
fn two_leaves(test: impl FnOnce(&mut Memory<'_>, [PhysicalBlock; 2])) {
    let mut pair = Pair::new(TINY, 10);
    pair.with(|memory| {
        for at in 0..6 {
            insert(memory, extent(10 * at, 5)).expect("room");
        }
        insert(memory, extent(100, 5)).expect("room");
        let node = |at: u32| {
            let blocks: Vec<_> = memory.used_blocks().collect();
            let mut blocks = blocks.into_iter().filter(|(place, bytes)| {
                let node = Node::parse(bytes, Place::Block(*place)).expect("sound");
                node.key(0) == Some(LogicalBlock(at))
            });
            blocks.next().expect("such a leaf").0
        };
        let leaves = [node(0), node(100)];
        test(memory, leaves);
    });
}

/// Damages `leaf` with a right checksum, and says what is found from there.
fn damage(
    memory: &mut Memory<'_>,
    leaf: PhysicalBlock,
    change: impl FnOnce(NodeMut<'_>) -> Result<(), NodeError>,
) -> Vec<MemoryError> {
    memory.prepare(&leaf).expect("ready");
    memory
        .edit(&leaf, |bytes| {
            change(NodeMut::parse(bytes, Place::Block(leaf))?)
        })
        .expect("ready")
        .expect("a change");
    // All blocks that lead into the first leaf, and all that lead into the second.
    let mut errors = Vec::new();
    for at in [0, 100] {
        errors.extend(lookup(memory, LogicalBlock(at)).err());
    }
    errors
}

#[test]
fn a_node_that_is_not_its_parents_is_found() {
    let place = Place::Block;
    let tree = |place, fault| {
        vec![MemoryError::Tree(TreeError::Corrupt(NodeError::new(
            place, fault,
        )))]
    };
    two_leaves(|memory, [_, second]| {
        let (found, expected) = (LogicalBlock(101), LogicalBlock(100));
        let errors = damage(memory, second, |mut node| node.set_key(0, found));
        assert_eq!(
            errors,
            tree(place(second), Fault::FirstKey { found, expected })
        );
    });
    two_leaves(|memory, [first, _]| {
        // The last extent of the first leaf moves into the second's space.
        let (last, limit) = (LogicalBlock(103), LogicalBlock(100));
        let errors = damage(memory, first, |mut node| node.set_key(5, LogicalBlock(98)));
        assert_eq!(errors, tree(place(first), Fault::Overhang { last, limit }));
    });
    two_leaves(|memory, [first, _]| {
        // A leaf that says that it is an index node.
        let (found, expected) = (1, 0);
        memory.prepare(&first).expect("ready");
        memory.edit(&first, |bytes| bytes[6] = 1).expect("ready");
        let error = lookup(memory, LogicalBlock(0)).expect_err("a fault");
        let MemoryError::Tree(TreeError::Corrupt(error)) = error else {
            panic!("{error:?}");
        };
        // As an index node, its entries point outside; without that, its depth is wrong.
        assert_eq!(error.place, place(first));
        assert!(
            matches!(error.fault, Fault::Child { .. })
                || error.fault == Fault::Depth { found, expected }
        );
    });
    two_leaves(|memory, [first, second]| {
        // Nodes two levels down where leaves are due.
        memory.prepare(&first).expect("ready");
        let format = |bytes: &mut [u8]| {
            let mut node = NodeMut::format(bytes, place(first), 1)?;
            node.push(Entry::index(LogicalBlock(0), second))
        };
        memory.edit(&first, format).expect("ready").expect("room");
        let (found, expected) = (1, 0);
        let error = lookup(memory, LogicalBlock(0))
            .err()
            .into_iter()
            .collect::<Vec<_>>();
        assert_eq!(error, tree(place(first), Fault::Depth { found, expected }));
    });
}

/// The kernel accepts leaves without extents, and so they have to be lived with.
#[test]
fn an_empty_leaf_is_a_hole_and_goes_away() {
    let empty_second = |memory: &mut Memory<'_>, second| {
        let errors = damage(memory, second, |mut node| {
            node.truncate(0);
            Ok(())
        });
        assert_eq!(errors, []);
    };
    two_leaves(|memory, [_, second]| {
        empty_second(memory, second);
        let (first, end) = (LogicalBlock(100), LOGICAL_END);
        let hole = Mapping::Hole(Hole { first, end });
        assert_eq!(lookup(memory, LogicalBlock(200)), Ok(hole));
        assert_eq!(next_extent(memory, LogicalBlock(60)), Ok(None));
        // It is filled where something is inserted into it.
        insert(memory, extent(200, 3)).expect("room");
        assert_eq!(check(memory, &mut |_| ()).expect("a sound tree").extents, 7);
    });
    two_leaves(|memory, [_, second]| {
        empty_second(memory, second);
        let all = LogicalBlock(0)..LOGICAL_END;
        remove(memory, all, usize::MAX).map(drop).expect("no error");
        assert_eq!(memory.in_use(), 0);
    });
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    /// Bytes of a sound tree are overwritten. Whatever then happens, it is no panic, and what is
    /// still accepted as sound can be changed.
    #[test]
    fn no_damage_causes_a_panic(
        inserts in prop::collection::vec((0..SPACE, 1..5u32), 30..120),
        damage in prop::collection::vec((any::<prop::sample::Index>(), 0..TINY, any::<u8>()), 1..8),
        places in prop::collection::vec(0..SPACE, 8),
    ) {
        let mut pair = Pair::new(TINY, 500);
        for (at, len) in inserts {
            let op = Op::Insert { at, len, run: 0, state: State::Unwritten };
            pair.apply(pair.fit(op), false);
        }
        pair.with(|memory| {
            for (node, offset, value) in damage {
                let blocks: Vec<_> = memory.used_blocks().map(|(at, _)| at).collect();
                let choice = node.index(blocks.len() + 1);
                match blocks.get(choice) {
                    // With a right checksum where that is still possible.
                    Some(block) => {
                        memory.prepare(block).expect("ready");
                        let _ = memory.edit(block, |bytes| bytes[offset] = value);
                    }
                    None => memory.root[offset % ROOT_SIZE] = value,
                }
            }
            let sound = check(memory, &mut |_| ()).is_ok();
            let mut whole = sound;
            for at in places {
                let (block, end) = (LogicalBlock(at), LogicalBlock(at + 3));
                whole &= lookup(memory, block).is_ok();
                let _ = next_extent(memory, block);
                let _ = convert(memory, block..end, State::Written, 4);
                let _ = insert(memory, extent(at, 2));
                let _ = remove(memory, block..end, 4);
            }
            if sound {
                assert!(whole, "a sound tree that could not be read");
                check(memory, &mut |_| ()).map(drop).expect("still a sound tree");
            }
        });
    }

    #[test]
    fn any_bytes_make_an_error_or_a_node(mut bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        for header in [false, true] {
            if header {
                // Otherwise hardly any would get beyond the magic number.
                let header = [0x0a, 0xf3, 3, 0, 4, 0];
                let len = header.len().min(bytes.len());
                bytes[..len].copy_from_slice(&header[..len]);
            }
            if let Ok(node) = Node::parse(&bytes, Place::Root) {
                let _ = node.check(AREA);
                for slot in 0..node.max() + 1 {
                    let _ = node.extent(slot, AREA);
                    let _ = node.child(slot, AREA);
                }
            }
            let _ = verify_checksum(&bytes, PhysicalBlock(1), seed());
            let _ = update_checksum(&mut bytes, PhysicalBlock(1), seed());
            let _ = complete_checksum(&mut bytes, PhysicalBlock(1), crc32c_table);
        }
    }
}
