// SPDX-License-Identifier: GPL-2.0

//! Writes inputs for the fuzz targets: structures of real file systems.
//!
//! `fuzz-seeds FOLDER` makes a folder in it for each target. What the bytes of an input mean is
//! said in the target, in `tests/fuzz/targets`.

use rext4_disk::disk::group_desc::GroupDesc;
use rext4_disk::disk::inode::Inode;
use rext4_disk::disk::units::{GroupNumber, InodeNumber, PhysicalBlock};
use rext4_image::{Fs, Image, RECIPES};
use std::fs;
use std::path::PathBuf;

/// A folder of inputs.
struct Seeds {
    folder: PathBuf,
    count: usize,
}

impl Seeds {
    /// Adds an input: what it starts with, and the structure.
    fn add(&mut self, target: &str, start: &[u8], bytes: &[u8]) {
        let folder = self.folder.join(target);
        fs::create_dir_all(&folder).expect("cannot make a folder");
        let input = [start, bytes].concat();
        fs::write(folder.join(self.count.to_string()), input).expect("cannot write an input");
        self.count += 1;
    }
}

fn add_all(seeds: &mut Seeds, image: &Image, fs: &Fs) {
    seeds.add("superblock", &[], &image.read(1024, 1024));

    let (_, block) = fs.descriptor_block(GroupNumber(0));
    let layout = fs.layout();
    let choice = u8::from(layout.descriptor_size() == 32);
    // Enough for eight descriptors.
    seeds.add("group_desc", &[choice], &block[..512]);
    let desc = GroupDesc::in_block(&block[..], layout, GroupNumber(0)).expect("bad descriptor");
    for at in [desc.block_bitmap(), desc.inode_bitmap()] {
        let range = [0, 0, 0, 0, 0, 0x10, 0, 0, 5, 0, 0, 0];
        seeds.add("bitmap", &range, &fs.block(at)[..512]);
    }

    for (name, number, _) in fs.list(InodeNumber::ROOT).expect("bad directory") {
        let (_, bytes) = fs.inode_bytes(number).expect("bad inode");
        seeds.add("inode", &[0], &bytes);
        let inode = Inode::from_bytes(&bytes[..]).expect("bad inode");
        seeds.add("extent", &[], inode.block_area());
        seeds.add("xattr", &[], inode.xattr_area().unwrap_or_default());
        if let Some(at) = inode.xattr_block(layout) {
            seeds.add("xattr", &[], &fs.block(at));
        }
        if name == b"fragmented" {
            for at in fs.extents(number).expect("bad extents").1 {
                seeds.add("extent", &[], &fs.block(at));
            }
        }
    }

    let checksums = u8::from(fs.seed().is_some());
    for path in ["/", "few", "big"] {
        let blocks = fs.directory(fs.find(path)).expect("bad directory");
        for block in blocks.iter().filter(|block| !block.is_index).take(3) {
            seeds.add("directory", &[checksums], &block.bytes);
        }
    }
    let index = fs.directory(fs.find("big")).expect("bad directory");
    if layout.block_size().bytes() == 1024 {
        let choice = checksums | u8::from(layout.has_large_directories()) << 1;
        // The nodes in their places, and nothing in place of leaves.
        let blocks = index.iter().map(|block| match block.is_index {
            true => block.bytes.clone(),
            false => vec![0; block.bytes.len()],
        });
        seeds.add(
            "htree",
            &[choice],
            &blocks.take(64).collect::<Vec<_>>().concat(),
        );
    }
    seeds.add("htree", &[checksums], &index[0].bytes);
    for block in index.iter().skip(1).filter(|block| block.is_index).take(2) {
        seeds.add("htree", &[checksums], &block.bytes);
    }

    if let Some(number) = fs.superblock().orphan_file_inode() {
        let at = fs.extents(number).expect("bad extents").0[0].physical();
        seeds.add("orphan_file", &[], &fs.block(PhysicalBlock(at.0)));
    }
}

fn main() {
    let folder = std::env::args_os()
        .nth(1)
        .expect("usage: fuzz-seeds FOLDER");
    let mut seeds = Seeds {
        folder: folder.into(),
        count: 0,
    };
    // They differ in what the structures differ in.
    for name in [
        "4k",
        "1k",
        "1k no checksums",
        "4k 32bit",
        "4k inodes of 128",
    ] {
        let recipe = RECIPES.iter().find(|recipe| recipe.name == name);
        let image = Image::filled(recipe.expect("no such recipe"));
        add_all(&mut seeds, &image, &image.open());
    }
    println!("{} inputs", seeds.count);
}
