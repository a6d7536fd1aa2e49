// SPDX-License-Identifier: GPL-2.0

//! Extents at the limits of what the format can say, and their bytes.

use rext4_extent::disk::extent::{
    DataArea, Entry, Extent, Node, NodeMut, Place, State, LOGICAL_END, ROOT_SIZE,
};
use rext4_extent::disk::units::{LogicalBlock, PhysicalBlock};

const WRITTEN: State = State::Written;
const UNWRITTEN: State = State::Unwritten;

fn extent(at: u32, to: u64, len: u32, state: State) -> Option<Extent> {
    Extent::new(LogicalBlock(at), PhysicalBlock(to), len, state)
}

#[test]
fn an_extent_has_limits() {
    for (state, most) in [(WRITTEN, 32768), (UNWRITTEN, 32767)] {
        assert!(extent(0, 1, 0, state).is_none());
        assert!(extent(0, 1, most, state).is_some());
        assert!(extent(0, 1, most + 1, state).is_none());
        assert!(extent(LOGICAL_END.0 - 5, 1, 5, state).is_some());
        assert!(extent(LOGICAL_END.0 - 5, 1, 6, state).is_none());
        assert!(extent(0, (1 << 48) - 5, 5, state).is_some());
        assert!(extent(0, (1 << 48) - 5, 6, state).is_none());
        assert!(extent(0, u64::MAX, 1, state).is_none());
    }
}

#[test]
fn extents_join_only_if_they_fit() {
    for (state, most) in [(WRITTEN, 32768), (UNWRITTEN, 32767)] {
        let first = extent(10, 100, 1, state).expect("valid");
        let joined = |at, to, len, state| first.join(extent(at, to, len, state).expect("valid"));
        assert_eq!(
            joined(11, 101, most - 1, state),
            extent(10, 100, most, state)
        );
        assert_eq!(joined(12, 101, 1, state), None);
        assert_eq!(joined(11, 102, 1, state), None);
        assert_eq!(joined(11, 101, 1, state.opposite()), None);
        let last = extent(11, 101, most, state).expect("valid");
        assert_eq!(first.join(last), None);
    }
}

#[test]
fn the_longest_written_extent_has_no_unwritten_twin() {
    let longest = extent(0, 1, 32768, WRITTEN).expect("valid");
    assert_eq!(longest.with_state(UNWRITTEN), None);
    assert_eq!(longest.with_state(WRITTEN), Some(longest));
}

/// The layout of `struct ext4_extent`, byte by byte.
#[test]
fn the_bytes_of_an_extent_are_the_formats() {
    let area = DataArea {
        first: PhysicalBlock(1),
        end: PhysicalBlock(1 << 48),
    };
    let cases = [
        (WRITTEN, 0x8000, [0x00, 0x80]),
        (WRITTEN, 1, [0x01, 0x00]),
        (UNWRITTEN, 1, [0x01, 0x80]),
        (UNWRITTEN, 0x7fff, [0xff, 0xff]),
    ];
    for (state, len, stored) in cases {
        let extent = extent(0x0403_0201, 0x0a09_0807_0605, len, state).expect("valid");
        let mut root = [0; ROOT_SIZE];
        NodeMut::format(&mut root, Place::Root, 0)
            .and_then(|mut node| node.push(Entry::leaf(extent)))
            .expect("room");
        let header = [0x0a, 0xf3, 1, 0, 4, 0, 0, 0, 0, 0, 0, 0];
        assert_eq!(root[..12], header);
        assert_eq!(root[12..16], [1, 2, 3, 4]);
        assert_eq!(root[16..18], stored);
        assert_eq!(root[18..24], [0x09, 0x0a, 0x05, 0x06, 0x07, 0x08]);
        let node = Node::parse(&root, Place::Root).expect("sound");
        assert_eq!(node.extent(0, area), Ok(extent));
    }
}

/// The layout of `struct ext4_extent_idx`, byte by byte.
#[test]
fn the_bytes_of_an_index_are_the_formats() {
    let (key, child) = (LogicalBlock(0x0403_0201), PhysicalBlock(0x0a09_0807_0605));
    let mut root = [0; ROOT_SIZE];
    NodeMut::format(&mut root, Place::Root, 2)
        .and_then(|mut node| node.push(Entry::index(key, child)))
        .expect("room");
    assert_eq!(root[6], 2);
    assert_eq!(root[12..24], [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 0, 0]);
    let area = DataArea {
        first: PhysicalBlock(1),
        end: PhysicalBlock(1 << 48),
    };
    let node = Node::parse(&root, Place::Root).expect("sound");
    assert_eq!(node.child(0, area), Ok((key, child)));
}

/// What is no longer an entry leaves nothing behind.
#[test]
fn removed_entries_become_zeros() {
    let entry = |at| Entry::leaf(extent(at, 9, 1, WRITTEN).expect("valid"));
    let mut root = [0; ROOT_SIZE];
    let mut node = NodeMut::format(&mut root, Place::Root, 0).expect("room");
    node.splice(0, 0, &[entry(1), entry(2), entry(3), entry(4)])
        .expect("room");
    assert!(node.push(entry(5)).is_err());
    assert!(node.splice(4, 0, &[entry(5)]).is_err());
    assert!(node.splice(3, 2, &[]).is_err());
    node.splice(1, 2, &[]).expect("entries");
    assert_eq!(root[2], 2);
    assert!(root[36..].iter().all(|&byte| byte == 0));
    let mut node = NodeMut::parse(&mut root, Place::Root).expect("sound");
    node.truncate(1);
    assert_eq!(root[2], 1);
    assert!(root[24..].iter().all(|&byte| byte == 0));
}
