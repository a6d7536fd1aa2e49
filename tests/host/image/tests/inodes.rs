// SPDX-License-Identifier: GPL-2.0

//! Inodes and extended attributes, compared with what was put there and with what `debugfs` says.

use rext4_disk::disk::inode::{Content, DeviceNumber, Inode, InodeFlags, Timestamp};
use rext4_disk::disk::units::InodeNumber;
use rext4_disk::disk::xattr::{NameIndex, Value, Xattrs};
use rext4_image::{Fs, Image, Recipe, RECIPES};

fn recipe(name: &str) -> &'static Recipe {
    let found = RECIPES.iter().find(|recipe| recipe.name == name);
    found.expect("no such recipe")
}

fn with_inode<R>(fs: &Fs, path: &str, f: impl FnOnce(InodeNumber, &Inode<&[u8]>) -> R) -> R {
    let number = fs.find(path);
    let bytes = fs.inode(number).expect("bad inode");
    f(number, &Inode::from_bytes(&bytes[..]).unwrap())
}

/// The word behind `key` in what `debugfs stat` says.
fn word<'a>(text: &'a str, key: &str) -> &'a str {
    let (_, rest) = text
        .split_once(key)
        .unwrap_or_else(|| panic!("no {key:?} in {text}"));
    rest.split_whitespace().next().unwrap()
}

fn hex(text: &str) -> u32 {
    u32::from_str_radix(text.trim_start_matches("0x"), 16).unwrap()
}

/// The two fields of a time, as `debugfs` prints them: `0x6b00136a:00000000`.
fn debugfs_time(text: &str, key: &str) -> Timestamp {
    let (seconds, extra) = match word(text, key).split_once(':') {
        Some((seconds, extra)) => (hex(seconds), hex(extra)),
        None => (hex(word(text, key)), 0),
    };
    Timestamp {
        seconds: i64::from(seconds as i32) + (i64::from(extra & 3) << 32),
        nanoseconds: extra >> 2,
    }
}

fn compare(image: &Image, fs: &Fs, path: &str) {
    let text = image.debugfs(&format!("stat {path}"));
    with_inode(fs, path, |number, inode| {
        println!("{path}");
        assert_eq!(word(&text, "Inode: "), number.to_string());
        let mode = u16::from_str_radix(word(&text, "Mode: "), 8).unwrap();
        assert_eq!(inode.mode() & 0o7777, mode);
        assert_eq!(inode.flags(), InodeFlags(hex(word(&text, "Flags: "))));
        assert_eq!(word(&text, "User: "), inode.uid().to_string());
        assert_eq!(word(&text, "Group: "), inode.gid().to_string());
        assert_eq!(word(&text, "Generation: "), inode.generation().to_string());
        assert_eq!(word(&text, "Links: "), inode.links_count().to_string());
        assert_eq!(
            word(&text, "Blockcount: "),
            inode.sectors(fs.layout()).to_string()
        );
        // Devices have none.
        if text.contains("Size: ") {
            assert_eq!(word(&text, " Size: "), inode.size(fs.layout()).to_string());
        }
        assert_eq!(debugfs_time(&text, "ctime: "), inode.ctime());
        assert_eq!(debugfs_time(&text, "atime: "), inode.atime());
        assert_eq!(debugfs_time(&text, "mtime: "), inode.mtime());
        match inode.crtime() {
            Some(time) => assert_eq!(debugfs_time(&text, "crtime: "), time),
            None => assert!(!text.contains("crtime: ")),
        }
        let acl = inode.xattr_block(fs.layout()).map_or(0, |block| block.0);
        assert_eq!(word(&text, "File ACL: "), acl.to_string());
    });
}

const PATHS: &[&str] = &[
    "/",
    "/hello",
    "/few",
    "/big",
    "/few/a",
    "/symlink",
    "/symlink-59",
    "/symlink-60",
    "/symlink-900",
    "/fragmented",
    "/sparse",
    "/character",
    "/block",
    "/pipe",
    "/deep/one/two/three/end",
];

#[test]
fn fields() {
    for name in [
        "4k",
        "1k 32bit gdt_csum",
        "4k inodes of 128",
        "4k inodes of 1024",
    ] {
        let image = Image::filled(recipe(name));
        let fs = image.open();
        for path in PATHS {
            compare(&image, &fs, path);
        }
    }
}

#[test]
fn contents() {
    for name in ["4k", "1k", "1k no checksums", "4k inodes of 128"] {
        println!("{name}");
        let image = Image::filled(recipe(name));
        let fs = image.open();
        let layout = fs.layout();
        let text = |path: &str| fs.read(fs.find(path)).unwrap();
        assert_eq!(text("hello"), b"hello, world\n");
        assert_eq!(text("deep/one/two/three/end"), [0x5a; 10_000]);
        assert_eq!(text("symlink"), b"few/a");
        for length in [59, 60, 900] {
            assert_eq!(text(&format!("symlink-{length}")), vec![b's'; length]);
            with_inode(&fs, &format!("symlink-{length}"), |_, inode| {
                let is_fast = matches!(inode.content(layout), Ok(Content::Symlink(_)));
                assert_eq!(is_fast, length < 60);
            });
        }
        let fragmented = text("fragmented");
        for (number, bytes) in (0u64..).zip(fragmented.chunks(8192)) {
            assert_eq!(bytes[..8], number.to_le_bytes());
            assert!(bytes[8..].iter().all(|&byte| byte == 0));
        }
        with_inode(&fs, "sparse", |_, inode| {
            assert_eq!(inode.size(layout), 5 << 30)
        });
        let device = |path, major, minor| {
            with_inode(&fs, path, |_, inode| {
                let expected = Content::Device(DeviceNumber { major, minor });
                assert_eq!(inode.content(layout), Ok(expected));
            });
        };
        device("character", 4, 65);
        device("block", 259, 1000);
        with_inode(&fs, "pipe", |_, inode| {
            assert_eq!(inode.content(layout), Ok(Content::Nothing));
        });
        with_inode(&fs, "hello", |_, inode| {
            assert_eq!((inode.uid(), inode.gid()), (100_001, 200_002));
            assert_eq!(inode.generation(), 0x1234_5678);
            let seconds = if layout.inode_size() > 128 {
                7_000_000_000
            } else {
                // Cut to 32 bits by debugfs.
                7_000_000_000i64 as i32 as i64
            };
            assert_eq!(inode.mtime().seconds, seconds);
        });
    }
}

/// What kind of data a file has, without a look at the directories on the way.
fn content_of(image: &Image, fs: &Fs, path: &str) -> String {
    let text = image.debugfs(&format!("stat {path}"));
    let number = InodeNumber(word(&text, "Inode: ").parse().unwrap());
    let bytes = fs.inode(number).expect("bad inode");
    let inode = Inode::from_bytes(&bytes[..]).unwrap();
    format!("{:?}", inode.content(fs.layout()).unwrap())
}

/// Files that need what comes with a later step, or never: seen, not misread.
#[test]
fn other_contents() {
    let mut old = *recipe("4k");
    old.options = &[
        "-b",
        "4096",
        "-O",
        "none,has_journal,ext_attr,dir_index,filetype,sparse_super",
    ];
    let image = Image::filled(&old);
    let fs = image.open();
    // The directories are of that kind as well.
    assert_eq!(content_of(&image, &fs, "/"), "BlockMap");
    assert_eq!(content_of(&image, &fs, "/fragmented"), "BlockMap");

    let mut inline = *recipe("4k");
    inline.options = &[
        "-b",
        "4096",
        "-I",
        "256",
        "-O",
        "inline_data,extent,filetype",
    ];
    let image = Image::filled(&inline);
    let fs = image.open();
    assert_eq!(content_of(&image, &fs, "/few"), "Inline");
    assert_eq!(content_of(&image, &fs, "/hello"), "Inline");
}

#[test]
fn xattrs() {
    for name in [
        "4k",
        "1k no checksums",
        "4k inodes of 128",
        "4k inodes of 1024",
    ] {
        println!("{name}");
        let image = Image::filled(recipe(name));
        let fs = image.open();
        with_inode(&fs, "hello", |_, inode| {
            let block = inode.xattr_block(fs.layout()).map(|at| fs.block(at));
            let xattrs = match &block {
                Some(block) => Xattrs::in_block(block).unwrap(),
                None => Xattrs::in_inode(inode.xattr_area().unwrap())
                    .unwrap()
                    .unwrap(),
            };
            assert_eq!(block.is_some(), fs.layout().inode_size() == 128);
            let small = xattrs.find(NameIndex::USER, b"small").unwrap();
            assert_eq!(small.value, Value::Bytes(&[b'v'; 20]));
            let label = xattrs.find(NameIndex::SECURITY, b"label").unwrap();
            assert_eq!(label.value, Value::Bytes(b"system_u"));
            assert!(xattrs.find(NameIndex::USER, b"label").is_none());
            assert!(xattrs.find(NameIndex::USER, b"smal").is_none());
            assert_eq!(xattrs.iter().count(), 2);
        });
    }
}

/// Each change of an inode, seen by `debugfs`, with the checksum right to `e2fsck`.
#[test]
fn changes() {
    for name in ["4k", "1k 32bit gdt_csum", "4k inodes of 128"] {
        println!("{name}");
        let image = Image::filled(recipe(name));
        let fs = image.open();
        let number = fs.find("hello");
        let (offset, mut bytes) = fs.inode_bytes(number).unwrap();
        let mut inode = Inode::from_bytes(&mut bytes[..]).unwrap();
        let long = fs.layout().inode_size() > 128;
        let seconds = if long { 5_000_000_000 } else { -5 };
        let time = Timestamp {
            seconds,
            nanoseconds: if long { 123_456_789 } else { 0 },
        };
        inode.set_mode(0o100_640);
        inode.set_uid(0x1234_5678);
        inode.set_gid(0x0765_4321);
        inode.set_size(4000);
        inode.set_flags(inode.flags().with(InodeFlags::NODUMP));
        inode.set_version(0x1_2345_6789);
        inode.set_atime(time);
        inode.set_ctime(Timestamp {
            seconds: seconds + 1,
            ..time
        });
        inode.set_mtime(Timestamp {
            seconds: seconds + 2,
            ..time
        });
        inode.set_crtime(Timestamp {
            seconds: seconds + 3,
            ..time
        });
        assert_eq!(inode.set_project(77), long);
        let sectors = inode.sectors(fs.layout());
        inode.set_sectors(fs.layout(), sectors).unwrap();
        if let Some(seed) = fs.seed() {
            let seed = inode.seed(seed, number);
            inode.update_checksum(seed);
        }
        image.write(offset, &bytes);
        image.e2fsck();

        let fs = image.open();
        compare(&image, &fs, "/hello");
        with_inode(&fs, "hello", |_, inode| {
            assert_eq!((inode.uid(), inode.gid()), (0x1234_5678, 0x0765_4321));
            assert_eq!(inode.size(fs.layout()), 4000);
            assert_eq!(
                inode.mtime(),
                Timestamp {
                    seconds: seconds + 2,
                    ..time
                }
            );
            assert_eq!(inode.crtime().is_some(), long);
            assert_eq!(inode.project(), long.then_some(77));
            let version = if long { 0x1_2345_6789 } else { 0x2345_6789 };
            assert_eq!(inode.version(), version);
        });
    }
}
