// SPDX-License-Identifier: GPL-2.0

//! Directories and their indexes, compared with what `debugfs` and `e2fsck` say.

use rext4_disk::disk::checksum::{crc32c_table, InodeSeed};
use rext4_disk::disk::dirent::{self, DirBlockMut, Walk};
use rext4_disk::disk::error::Corrupt;
use rext4_disk::disk::file_type::FileType;
use rext4_disk::disk::htree::hash::Hasher;
use rext4_disk::disk::htree::search::{NodeReader, Path};
use rext4_disk::disk::htree::Root;
use rext4_disk::disk::inode::Inode;
use rext4_disk::disk::superblock::HashSignedness;
use rext4_disk::disk::units::{InodeNumber, LogicalBlock};
use rext4_image::{check, tools, DirectoryBlock, Fs, Image, RECIPES};
use std::collections::BTreeMap;

/// The blocks of a directory, by their place in it.
struct Blocks<'a> {
    fs: &'a Fs,
    blocks: BTreeMap<LogicalBlock, DirectoryBlock>,
}

impl<'a> Blocks<'a> {
    fn of(fs: &'a Fs, number: InodeNumber) -> Self {
        let blocks = fs.directory(number).expect("bad directory");
        let blocks = blocks.into_iter().map(|block| (block.logical, block));
        Self {
            fs,
            blocks: blocks.collect(),
        }
    }

    fn names(&self, block: LogicalBlock) -> Vec<Vec<u8>> {
        let block = &self.blocks[&block];
        assert!(!block.is_index);
        let entries = self.fs.entries(block).entries();
        entries.map(|entry| entry.unwrap().name.to_vec()).collect()
    }

    fn hasher(&self) -> Hasher {
        let format = check::index_format(self.fs);
        let root = Root::from_block(&self.blocks[&LogicalBlock(0)].bytes, format).unwrap();
        let superblock = self.fs.superblock();
        let signedness = superblock.hash_signedness().expect("neither flag is set");
        Hasher::new(root.hash_version, signedness, superblock.hash_seed())
    }
}

impl NodeReader for Blocks<'_> {
    type Error = Corrupt;

    fn with_node<R>(&self, block: LogicalBlock, f: impl FnOnce(&[u8]) -> R) -> Result<R, Corrupt> {
        let block = self.blocks.get(&block).expect("no such block");
        assert!(block.is_index);
        Ok(f(&block.bytes))
    }
}

/// Finds each name through the index, and with that all leaves.
fn check_index(fs: &Fs) {
    let number = fs.find("big");
    let blocks = Blocks::of(fs, number);
    let format = check::index_format(fs);
    let hasher = blocks.hasher();
    let list = fs.list(number).unwrap();
    assert_eq!(list.len(), 2002);
    for (name, _, _) in &list {
        if name == b"." || name == b".." {
            continue;
        }
        let hash = hasher.hash(name);
        let mut path = Path::to_hash(&blocks, format, hash).unwrap();
        while !blocks.names(path.leaf()).contains(name) {
            let more = path.next_with_hash(&blocks, hash).unwrap();
            assert!(more, "{} is not found", String::from_utf8_lossy(name));
        }
    }

    // From leaf to leaf: all names once, with hashes from the leaf's on.
    let mut path = Path::to_start(&blocks, format).unwrap();
    let (mut start, mut count) = (0, 0);
    loop {
        for name in blocks.names(path.leaf()) {
            assert!(hasher.hash(&name).major >= start & !1);
            count += 1;
        }
        match path.next(&blocks).unwrap() {
            Some(next) => start = next,
            None => break,
        }
    }
    // The root holds "." and "..".
    assert_eq!(count + 2, list.len());
}

#[test]
fn indexes_of_all_recipes() {
    // Those that differ in the format of the index.
    for recipe in RECIPES.iter().take(7) {
        println!("{}", recipe.name);
        check_index(&Image::filled(recipe).open());
    }
}

/// Each hash in both variants, with the index made by `e2fsck`.
#[test]
fn indexes_of_all_hashes() {
    let image = Image::filled(&RECIPES[2]);
    for version in ["legacy", "half_md4", "tea"] {
        for (flag, signedness) in [(1, HashSignedness::Signed), (2, HashSignedness::Unsigned)] {
            println!("{version} {signedness:?}");
            image.debugfs_write(&[
                &format!("set_super_value def_hash_version {version}"),
                &format!("set_super_value flags {flag}"),
            ]);
            let path = image.path();
            let arguments = ["-fyD", path.to_str().unwrap()];
            let output = tools::try_run("e2fsck", &arguments);
            assert!(matches!(output.status.code(), Some(0 | 1)), "{output:?}");
            let fs = image.open();
            assert_eq!(fs.superblock().hash_signedness(), Some(signedness));
            check_index(&fs);
        }
    }
}

/// The list of a directory, as `debugfs` gives it: inode, mode in octal and name.
fn debugfs_list(image: &Image, path: &str) -> Vec<(Vec<u8>, InodeNumber, u8)> {
    let text = image.debugfs(&format!("ls -p {path}"));
    let mut list: Vec<_> = text
        .lines()
        // Unused entries have inode 0.
        .filter(|line| !line.is_empty() && !line.starts_with("/0/"))
        .map(|line| {
            // "/inode/mode/uid/gid/name/size/"
            let fields: Vec<_> = line.split('/').collect();
            let mode = u16::from_str_radix(fields[2], 8).unwrap();
            let kind = FileType::of_mode(mode).unwrap().entry_number();
            let inode = InodeNumber(fields[1].parse().unwrap());
            (fields[5].as_bytes().to_vec(), inode, kind)
        })
        .collect();
    list.sort();
    list
}

#[test]
fn lists() {
    for recipe in &RECIPES[..3] {
        let image = Image::filled(recipe);
        let fs = image.open();
        for path in ["/", "/few", "/deep/one", "/lost+found"] {
            let mut ours = fs.list(fs.find(path)).unwrap();
            ours.sort();
            assert_eq!(ours, debugfs_list(&image, path), "{path}");
        }
    }
}

/// Gives a block of entries its checksum, as the module does: in two steps.
fn seal(block: &mut [u8], seed: InodeSeed) {
    dirent::postpone_checksum(block, seed).unwrap();
    dirent::complete_checksum(block, crc32c_table).unwrap();
    assert_eq!(dirent::verify_checksum(block, seed), Ok(()));
}

/// Entries that were added, replaced and removed, and the checksum, are right to `e2fsck`.
#[test]
fn changes() {
    for recipe in &RECIPES[..6] {
        println!("{}", recipe.name);
        let image = Image::filled(recipe);
        let fs = image.open();
        let number = fs.find("few");
        let target = fs.find("few/a");
        let block = fs.directory(number).unwrap().remove(0);
        let mut bytes = block.bytes;
        let kind = Some(FileType::Regular);
        let inodes = fs.layout().inodes_count();
        let has_tail = fs.seed().is_some();
        let mut change = DirBlockMut::new(&mut bytes, inodes, has_tail);
        // One name less and one more for the same inode: the number of links stays right.
        assert!(change.remove(b"a", Walk::default()).unwrap());
        assert!(change.insert(b"a new name", target, kind).unwrap());
        assert!(change.remove(b"ccc", Walk::default()).unwrap());
        assert!(change.insert(b"c", fs.find("few/ccc"), kind).unwrap());
        let inode = fs.inode(number).unwrap();
        let inode = Inode::from_bytes(&inode[..]).unwrap();
        if let Some(seed) = fs.inode_seed(number, &inode) {
            seal(&mut bytes, seed);
        }
        let offset = block.physical.0 << fs.layout().block_size().bits();
        image.write(offset, &bytes);
        image.e2fsck();

        let names: Vec<_> = debugfs_list(&image, "/few")
            .into_iter()
            .map(|(name, _, _)| String::from_utf8(name).unwrap())
            .collect();
        assert_eq!(names, [".", "..", "a new name", "bb", "c"]);
    }
}

/// A first block made here is what `mke2fs` made of the same directory.
#[test]
fn first_block() {
    let image = Image::empty(&RECIPES[0]);
    image.debugfs_write(&["mkdir sub"]);
    let fs = image.open();
    let number = fs.find("sub");
    let theirs = fs.directory(number).unwrap().remove(0).bytes;
    let mut ours = vec![0xff; theirs.len()];
    let inodes = fs.layout().inodes_count();
    DirBlockMut::create_first(&mut ours, inodes, true, number, InodeNumber::ROOT, true);
    let inode = fs.inode(number).unwrap();
    let inode = Inode::from_bytes(&inode[..]).unwrap();
    seal(&mut ours, fs.inode_seed(number, &inode).unwrap());
    assert!(ours == theirs);
}
