// SPDX-License-Identifier: GPL-2.0

//! Directories with an index that grow name by name, in memory: whatever the hashes are, each name
//! is found where a search looks for it, and the nodes stay what the format says.

use proptest::prelude::*;
use rext4_disk::disk::dirent::{DirBlock, DirBlockMut, Piece, Split};
use rext4_disk::disk::file_type::FileType;
use rext4_disk::disk::htree::hash::NameHash;
use rext4_disk::disk::htree::search::{NodeReader, Path};
use rext4_disk::disk::htree::{edit, node_entries, HtreeError, HtreeProblem, IndexFormat, Root};
use rext4_disk::disk::units::{InodeNumber, LogicalBlock};
use std::collections::BTreeMap;

const SIZE: usize = 1024;
const INODES: u32 = 1_000_000;
const ROOT: LogicalBlock = LogicalBlock(0);

/// How names are hashed: names with equal first bytes have equal hashes, so that there are as many
/// collisions as a test wants.
fn hash(name: &[u8]) -> u32 {
    let number = name
        .first_chunk()
        .map_or(0, |bytes| u32::from_be_bytes(*bytes));
    number & !1
}

fn major(name: &[u8]) -> NameHash {
    NameHash {
        major: hash(name),
        minor: 0,
    }
}

/// A directory, whose block 0 is the root of its index.
struct Directory {
    blocks: Vec<Vec<u8>>,
    format: IndexFormat,
}

impl NodeReader for Directory {
    type Error = HtreeError;

    fn with_node<R>(
        &self,
        block: LogicalBlock,
        f: impl FnOnce(&[u8]) -> R,
    ) -> Result<R, HtreeError> {
        Ok(f(&self.blocks[block.0 as usize]))
    }
}

/// Why a name could not be added.
#[derive(Debug, PartialEq, Eq)]
struct Full;

impl Directory {
    fn new(format: IndexFormat) -> Self {
        let mut root = vec![0; SIZE];
        let two = InodeNumber(2);
        DirBlockMut::create_first(&mut root, INODES, format.has_checksums, two, two, true);
        edit::create_root(&mut root, format, 1, LogicalBlock(1)).unwrap();
        let mut leaf = vec![0; SIZE];
        DirBlockMut::create(&mut leaf, INODES, format.has_checksums);
        Self {
            blocks: vec![root, leaf],
            format,
        }
    }

    fn leaf(&self, number: LogicalBlock) -> DirBlock<'_> {
        DirBlock::new(
            &self.blocks[number.0 as usize],
            INODES,
            self.format.has_checksums,
        )
    }

    fn append(&mut self) -> (LogicalBlock, Vec<u8>) {
        self.blocks.push(vec![0; SIZE]);
        (LogicalBlock(self.blocks.len() as u32 - 1), vec![0; SIZE])
    }

    fn insert(&mut self, name: &[u8], inode: InodeNumber) -> Result<(), Full> {
        for _ in 0..=4 {
            let path = Path::to_hash(self, self.format, major(name)).unwrap();
            let tail = self.format.has_checksums;
            let has_room = self.leaf(path.leaf()).has_room(name.len()).unwrap();
            let block = &mut self.blocks[path.leaf().0 as usize];
            let added = DirBlockMut::new(block, INODES, tail)
                .insert(name, inode, Some(FileType::Regular))
                .unwrap();
            assert_eq!(added, has_room);
            if added {
                return Ok(());
            }
            self.make_room(&path)?;
        }
        panic!("four new blocks made no room");
    }

    fn make_room(&mut self, path: &Path) -> Result<(), Full> {
        let mut full = None;
        for (node, position) in path.nodes().rev() {
            if !edit::is_full(&self.blocks[node.0 as usize], self.format).unwrap() {
                let (hash, child) = match full {
                    None => self.split_leaf(path.leaf()),
                    Some(full) => self.split_node(full),
                };
                let above = &mut self.blocks[node.0 as usize];
                edit::insert(above, self.format, position, hash, child).unwrap();
                return Ok(());
            }
            full = Some(node);
        }
        let deepest = path.nodes().count() > self.format.max_indirect_levels();
        let (child, mut new) = self.append();
        edit::create_below_root(&mut new, &self.blocks[0], self.format).unwrap();
        let pushed = edit::push_down(&mut self.blocks[0], self.format, child);
        if deepest {
            let problem = pushed.expect_err("deeper than may be").problem;
            assert!(matches!(problem, HtreeProblem::Levels(_)));
            return Err(Full);
        }
        pushed.unwrap();
        self.blocks[child.0 as usize] = new;
        Ok(())
    }

    fn split_leaf(&mut self, number: LogicalBlock) -> (u32, LogicalBlock) {
        let copy = self.blocks[number.0 as usize].clone();
        let tail = self.format.has_checksums;
        let source = DirBlock::new(&copy, INODES, tail);
        let mut pieces: Vec<Piece> = source.pieces(hash).collect::<Result<_, _>>().unwrap();
        let split = Split::plan(&mut pieces).unwrap();
        let (stay, go) = pieces.split_at(split.at);
        let (child, mut new) = self.append();
        assert!(DirBlockMut::create_from(&mut new, INODES, tail, source, go));
        self.blocks[child.0 as usize] = new;
        let old = &mut self.blocks[number.0 as usize];
        assert!(DirBlockMut::create_from(old, INODES, tail, source, stay));
        (split.hash, child)
    }

    fn split_node(&mut self, full: LogicalBlock) -> (u32, LogicalBlock) {
        let (child, mut new) = self.append();
        let old = &mut self.blocks[full.0 as usize];
        let hash = edit::create_upper_half(&mut new, old, self.format).unwrap();
        edit::keep_lower_half(old, self.format).unwrap();
        self.blocks[child.0 as usize] = new;
        (hash, child)
    }

    fn find(&self, name: &[u8]) -> Option<InodeNumber> {
        let hash = major(name);
        let mut path = Path::to_hash(self, self.format, hash).unwrap();
        loop {
            if let Some(entry) = self.leaf(path.leaf()).find(name).unwrap() {
                return entry.inode;
            }
            if !path.next_with_hash(self, hash).unwrap() {
                return None;
            }
        }
    }

    /// All names, by the leaves from the first to the last, with the bounds of the leaves checked.
    fn names(&self) -> BTreeMap<Vec<u8>, u32> {
        let mut names = BTreeMap::new();
        let mut path = Path::to_start(self, self.format).unwrap();
        let mut start = 0;
        loop {
            let leaf = path.leaf();
            let next = path.next(self).unwrap();
            for entry in self.leaf(leaf).entries() {
                let entry = entry.unwrap();
                let hash = hash(entry.name);
                assert!(hash >= start & !1, "{hash:#x} before {start:#x}");
                assert!(
                    next.is_none_or(|end| hash < end),
                    "{hash:#x} not before {next:x?}"
                );
                let twice = names.insert(entry.name.to_vec(), entry.inode.unwrap().0);
                assert!(twice.is_none(), "a name twice");
            }
            match next {
                Some(hash) => start = hash,
                None => return names,
            }
        }
    }

    fn levels(&self) -> usize {
        Root::from_block(&self.blocks[0], self.format)
            .unwrap()
            .indirect_levels
    }
}

fn format(has_checksums: bool, large_directories: bool) -> IndexFormat {
    IndexFormat {
        has_checksums,
        large_directories,
    }
}

/// A name whose hash is made of `number`, with `length` bytes at least.
fn name(number: u32, serial: u32, length: usize) -> Vec<u8> {
    let mut name = number.to_be_bytes().to_vec();
    name.extend(serial.to_be_bytes());
    name.resize(name.len().max(length).min(255), b'.');
    name
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn names_are_found(
        has_checksums: bool,
        // How many different hashes there are.
        spread in prop_oneof![Just(2u32), Just(50), Just(u32::MAX)],
        wanted in prop::collection::vec((any::<u32>(), 8usize..256), 1..700),
    ) {
        let mut directory = Directory::new(format(has_checksums, false));
        let mut model = BTreeMap::new();
        for (serial, (number, length)) in wanted.iter().enumerate() {
            let name = name(number % spread, serial as u32, *length);
            let inode = InodeNumber(11 + serial as u32);
            directory.insert(&name, inode).unwrap();
            model.insert(name, inode.0);
        }
        prop_assert_eq!(&directory.names(), &model);
        for (name, inode) in &model {
            prop_assert_eq!(directory.find(name), Some(InodeNumber(*inode)));
        }
    }
}

/// Names come until the index is full; with `large_dir` that takes a level more.
fn fill(format: IndexFormat, most: u32) -> (Directory, u32) {
    let mut directory = Directory::new(format);
    for serial in 0..most {
        // In an order that is neither that of the hashes nor random.
        let name = name(serial.wrapping_mul(0x9e37_79b1), serial, 255);
        if directory.insert(&name, InodeNumber(11 + serial)) == Err(Full) {
            return (directory, serial);
        }
    }
    (directory, most)
}

#[test]
fn two_levels_are_full_some_time() {
    for has_checksums in [false, true] {
        let (directory, count) = fill(format(has_checksums, false), 100_000);
        assert_eq!(directory.levels(), 1);
        assert!((10_000..100_000).contains(&count), "{count}");
        assert_eq!(directory.names().len(), count as usize);
        // The nodes below the root are at least half full.
        let root = Root::from_block(&directory.blocks[0], directory.format).unwrap();
        for position in 0..root.entries.count() {
            let child = root.entries.block(position).unwrap();
            let node = node_entries(&directory.blocks[child.0 as usize], directory.format).unwrap();
            assert!(node.count() >= 60, "{}", node.count());
        }
    }
}

#[test]
fn a_large_directory_has_a_level_more() {
    let (directory, count) = fill(format(true, true), 60_000);
    assert_eq!(count, 60_000);
    assert_eq!(directory.levels(), 2);
    assert_eq!(directory.names().len(), 60_000);
    for serial in (0..60_000u32).step_by(7) {
        let name = name(serial.wrapping_mul(0x9e37_79b1), serial, 255);
        assert_eq!(directory.find(&name), Some(InodeNumber(11 + serial)));
    }
}

#[test]
fn a_root_begins_with_dots() {
    let two = InodeNumber(2);
    let mut good = vec![0; SIZE];
    DirBlockMut::create_first(&mut good, INODES, false, two, two, true);
    assert_eq!(edit::check_first(&good), Ok(()));
    // The length of the first entry, the lengths of both names, and the names.
    for at in [4, 6, 8, 18, 20, 21] {
        let mut block = good.clone();
        block[at] += 4;
        let before = block.clone();
        let made = edit::create_root(&mut block, format(false, false), 1, LogicalBlock(1));
        assert_eq!(made.unwrap_err().problem, HtreeProblem::NotAnIndex, "{at}");
        assert_eq!(block, before);
    }
}

#[test]
fn nothing_is_put_out_of_order() {
    let mut directory = Directory::new(format(true, false));
    let root = &mut directory.blocks[0];
    let format = directory.format;
    edit::insert(root, format, 0, 100, LogicalBlock(2)).unwrap();
    edit::insert(root, format, 1, 300, LogicalBlock(3)).unwrap();
    let before = root.clone();
    for (position, hash) in [(0, 301), (1, 99), (2, 299)] {
        let refused = edit::insert(root, format, position, hash, LogicalBlock(4)).unwrap_err();
        let problem = refused.problem;
        assert!(matches!(problem, HtreeProblem::Order { .. }), "{problem:?}");
        let checked = edit::check_insert(root, format, position, hash);
        assert_eq!(checked, Err(refused), "before anything is changed");
    }
    let problem = edit::insert(root, format, 3, 400, LogicalBlock(4))
        .unwrap_err()
        .problem;
    assert_eq!(problem, HtreeProblem::Count(3));
    assert_eq!(*root, before);
    edit::insert(root, format, 1, 200, LogicalBlock(4)).unwrap();
    let entries = Root::from_block(root, format).unwrap().entries;
    let found: Vec<_> = (0..4)
        .map(|n| (entries.hash(n).unwrap(), entries.block(n).unwrap().0))
        .collect();
    assert_eq!(found, [(0, 1), (100, 2), (200, 4), (300, 3)]);
    assert_eq!(
        entries.search(NameHash {
            major: 200,
            minor: 0
        }),
        2
    );
    assert_eq!(directory.blocks[ROOT.0 as usize][24..28], [0; 4]);
}
