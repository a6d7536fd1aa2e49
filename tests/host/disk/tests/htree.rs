// SPDX-License-Identifier: GPL-2.0

//! The hashes of names, and the search in an index three levels deep, which `mke2fs` makes only of
//! directories with very many files.

use rext4_disk::disk::htree::hash::{HashVersion, Hasher, NameHash};
use rext4_disk::disk::htree::search::{NodeReader, Path};
use rext4_disk::disk::htree::{node_entries, HtreeError, HtreeProblem, IndexFormat};
use rext4_disk::disk::superblock::HashSignedness;
use rext4_disk::disk::units::LogicalBlock;
use std::collections::BTreeMap;

const FORMAT: IndexFormat = IndexFormat {
    has_checksums: false,
    large_directories: true,
};

/// What `debugfs` 1.47 says to `dx_hash -h VERSION [-s SEED] NAME`, with the bytes 1 to 16 as the
/// seed. It knows only the signed variants; the others are tested with images made by `e2fsck -D`.
#[test]
fn known_hashes() {
    use HashVersion::{HalfMd4, Legacy, Tea};
    let seed = [0x0403_0201, 0x0807_0605, 0x0c0b_0a09, 0x100f_0e0d];
    let long = "a name of more than thirty-two bytes, as names can be";
    for (version, seed, name, major, minor) in [
        (Legacy, [0; 4], "hello", 0x3225_2546, 0),
        (Legacy, [0; 4], "größe-ключ", 0x29c3_31b4, 0),
        (Legacy, [0; 4], long, 0xc4c3_0060, 0),
        (HalfMd4, [0; 4], "hello", 0x1746_da32, 0x4200_13b5),
        (HalfMd4, [0; 4], "größe-ключ", 0x706e_df4c, 0x364a_cb1c),
        (HalfMd4, [0; 4], long, 0xf8fc_3f8e, 0xce3b_e9e0),
        (HalfMd4, seed, "hello", 0xe2dd_f968, 0xc8bc_0924),
        (HalfMd4, seed, "größe-ключ", 0x55ed_4126, 0x6116_0b8f),
        (HalfMd4, seed, long, 0x050c_c066, 0xae8a_aca0),
        (Tea, [0; 4], "hello", 0x6f5b_b1a8, 0x2319_17c2),
        (Tea, [0; 4], "größe-ключ", 0xedf8_10e4, 0x0f68_3ffd),
        (Tea, [0; 4], long, 0x18aa_540e, 0x93a4_088e),
        (Tea, seed, "hello", 0x1a56_92b6, 0x2fd9_857d),
        (Tea, seed, "größe-ключ", 0x0fa6_df36, 0x0c87_6594),
        (Tea, seed, long, 0xae62_4256, 0x6e31_634c),
    ] {
        let hasher = Hasher::new(version, HashSignedness::Signed, seed);
        let expected = NameHash { major, minor };
        assert_eq!(hasher.hash(name.as_bytes()), expected, "{version:?} {name}");
    }
}

/// A directory's blocks in memory.
struct Blocks(BTreeMap<u32, Vec<u8>>);

impl NodeReader for Blocks {
    type Error = HtreeError;

    fn with_node<R>(
        &self,
        block: LogicalBlock,
        f: impl FnOnce(&[u8]) -> R,
    ) -> Result<R, HtreeError> {
        Ok(f(self.0.get(&block.0).expect("no such node")))
    }
}

const SIZE: usize = 1024;

/// Writes the entries of a node at `offset`. The first hash is not stored.
fn put_entries(block: &mut [u8], offset: usize, entries: &[(u32, u32)]) {
    let limit = ((SIZE - offset) / 8) as u16;
    for (slot, (hash, child)) in entries.iter().enumerate() {
        let at = offset + slot * 8;
        block[at..at + 4].copy_from_slice(&hash.to_le_bytes());
        block[at + 4..at + 8].copy_from_slice(&child.to_le_bytes());
    }
    block[offset..offset + 2].copy_from_slice(&limit.to_le_bytes());
    block[offset + 2..offset + 4].copy_from_slice(&(entries.len() as u16).to_le_bytes());
}

fn root(levels: u8, entries: &[(u32, u32)]) -> Vec<u8> {
    let mut block = vec![0; SIZE];
    block[..8].copy_from_slice(&[2, 0, 0, 0, 12, 0, 1, 2]);
    block[8] = b'.';
    block[12..20].copy_from_slice(&[2, 0, 0, 0, 0xf4, 3, 2, 2]);
    block[20..22].copy_from_slice(b"..");
    block[28..32].copy_from_slice(&[1, 8, levels, 0]);
    put_entries(&mut block, 32, entries);
    block
}

fn node(entries: &[(u32, u32)]) -> Vec<u8> {
    let mut block = vec![0; SIZE];
    block[4..6].copy_from_slice(&[0, 4]);
    put_entries(&mut block, 8, entries);
    block
}

/// Leaves 1000 up, each for 100 hashes, 5 in a node, 4 of these in a node, 3 of those in the root.
fn three_levels() -> Blocks {
    let mut blocks = BTreeMap::new();
    let (mut top, mut leaf) = (Vec::new(), 0);
    for upper in 0..3 {
        let mut middle = Vec::new();
        for lower in 0..4 {
            let first = leaf;
            let entries: Vec<_> = (0..5)
                .map(|_| {
                    leaf += 1;
                    // The hashes of leaf 1007 are all those of leaf 1006's last.
                    let start = if leaf - 1 == 7 { 699 } else { (leaf - 1) * 100 };
                    (start, 1000 + leaf - 1)
                })
                .collect();
            let number = 100 + upper * 4 + lower;
            blocks.insert(number, node(&entries));
            middle.push((first * 100, number));
        }
        blocks.insert(10 + upper, node(&middle));
        top.push((upper * 2000, 10 + upper));
    }
    blocks.insert(0, root(2, &top));
    Blocks(blocks)
}

fn hash(major: u32) -> NameHash {
    NameHash { major, minor: 0 }
}

#[test]
fn search_in_three_levels() {
    let blocks = three_levels();
    for major in (0..6000).step_by(2) {
        let path = Path::to_hash(&blocks, FORMAT, hash(major)).unwrap();
        let expected = match major / 100 {
            // Where names with this hash begin.
            6 if major == 698 => 1006,
            7 => 1007,
            leaf => 1000 + leaf,
        };
        assert_eq!(path.leaf(), LogicalBlock(expected), "{major}");
    }
}

#[test]
fn equal_hashes_go_on() {
    let blocks = three_levels();
    let mut path = Path::to_hash(&blocks, FORMAT, hash(698)).unwrap();
    assert_eq!(path.leaf(), LogicalBlock(1006));
    assert!(path.next_with_hash(&blocks, hash(698)).unwrap());
    assert_eq!(path.leaf(), LogicalBlock(1007));
    assert!(!path.next_with_hash(&blocks, hash(698)).unwrap());
    assert_eq!(path.leaf(), LogicalBlock(1007));
    let mut path = Path::to_hash(&blocks, FORMAT, hash(500)).unwrap();
    assert!(!path.next_with_hash(&blocks, hash(500)).unwrap());
}

#[test]
fn all_leaves_in_order() {
    let blocks = three_levels();
    let mut path = Path::to_start(&blocks, FORMAT).unwrap();
    let mut leaves = vec![path.leaf().0];
    let mut before = 0;
    while let Some(start) = path.next(&blocks).unwrap() {
        assert!(start >= before);
        before = start;
        leaves.push(path.leaf().0);
    }
    assert_eq!(leaves, (1000..1060).collect::<Vec<_>>());
}

/// Each thing that can be wrong is found, and called by its name.
#[test]
fn damage() {
    use HtreeProblem as P;
    // The block, the offset and content of what is overwritten, what is found.
    let cases: &[(u32, usize, &[u8], HtreeProblem)] = &[
        (0, 4, &[16], P::NotAnIndex),
        (0, 16, &[0xf0], P::NotAnIndex),
        (0, 28, &[3], P::HashVersion(3)),
        (0, 28, &[6], P::HashVersion(6)),
        (0, 29, &[12], P::InfoLength(12)),
        (0, 30, &[3], P::Levels(3)),
        (0, 31, &[1], P::Flags(1)),
        (
            0,
            32,
            &[123],
            P::Limit {
                stored: 123,
                expected: 124,
            },
        ),
        (0, 34, &[0], P::Count(0)),
        (0, 34, &[125], P::Count(125)),
        (0, 36, &[0], P::Cycle(LogicalBlock(0))),
        (10, 0, &[1], P::NotAnIndex),
        (10, 4, &[0, 2], P::NotAnIndex),
        (
            10,
            8,
            &[128],
            P::Limit {
                stored: 128,
                expected: 127,
            },
        ),
        (10, 10, &[0], P::Count(0)),
        (10, 10, &[0xff], P::Count(255)),
        (10, 12, &[10], P::Cycle(LogicalBlock(10))),
        (100, 12, &[10, 0], P::Cycle(LogicalBlock(10))),
    ];
    for (block, offset, bytes, problem) in cases {
        let mut blocks = three_levels();
        let node = blocks.0.get_mut(block).unwrap();
        node[*offset..offset + bytes.len()].copy_from_slice(bytes);
        let error = Path::to_start(&blocks, FORMAT).unwrap_err();
        assert_eq!(error.problem, *problem);
    }
    // Who walks the tree takes nodes that were checked.
    let mut node = three_levels().0.remove(&100).unwrap();
    node[27] = 0xff;
    let error = node_entries(&node, FORMAT).map(|_| ()).unwrap_err();
    assert_eq!(error.problem, P::Order { entry: 3 });
    let small = IndexFormat {
        large_directories: false,
        ..FORMAT
    };
    let error = Path::to_start(&three_levels(), small).unwrap_err();
    assert_eq!(error.problem, P::Levels(2));
}
