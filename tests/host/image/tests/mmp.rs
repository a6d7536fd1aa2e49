// SPDX-License-Identifier: GPL-2.0

//! Multiple mount protection as mke2fs makes it, and as debugfs reads it.

use rext4_disk::disk::mmp::{Mmp, MmpState, Owner, Sequence};
use rext4_image::{tools, Image, Recipe};

const RECIPES: &[Recipe] = &[
    Recipe {
        name: "with checksums",
        options: &[
            "-b",
            "1024",
            "-O",
            "has_journal,extent,64bit,metadata_csum,mmp",
        ],
        size: "64M",
    },
    Recipe {
        name: "without",
        options: &["-b", "4096", "-O", "has_journal,extent,^metadata_csum,mmp"],
        size: "64M",
    },
];

#[test]
fn as_e2fsprogs_has_it() {
    for recipe in RECIPES {
        let image = Image::empty(recipe);
        let fs = image.open();
        let superblock = fs.superblock();
        let at = superblock.mmp_block().unwrap();
        assert_eq!(fs.layout().check_mmp_block(at), Ok(()), "{}", recipe.name);
        let dumped = image.dumpe2fs();
        assert_eq!(tools::value(&dumped, "MMP block number"), at.to_string());
        let interval = superblock.mmp_update_interval();
        assert_eq!(
            tools::value(&dumped, "MMP update interval"),
            interval.to_string()
        );

        let mut block = fs.block(at);
        let mut mmp = Mmp::parse(&block, fs.seed()).unwrap();
        assert_eq!(mmp.state, MmpState::Clean, "{}", recipe.name);

        mmp.state = MmpState::InUse(Sequence::from_random(0x1234));
        mmp.owner = Owner::new(b"a-machine", b"a-device");
        mmp.time = 1_800_000_000;
        mmp.check_interval = 77;
        mmp.store(&mut block, fs.seed()).unwrap();
        image.write(at.0 << fs.layout().block_size().bits(), &block);
        // It refuses a block with a wrong checksum.
        let dumped = image.debugfs("dump_mmp");
        for (key, value) in [
            ("sequence", "00001234"),
            ("node_name", "a-machine"),
            ("device_name", "a-device"),
            ("check_interval", "77"),
            ("magic", "0x4d4d50"),
        ] {
            assert_eq!(tools::value(&dumped, key), value, "{}: {key}", recipe.name);
        }
        assert!(tools::value(&dumped, "time").starts_with("1800000000"));
        assert_eq!(Mmp::parse(&block, fs.seed()), Ok(mmp));
    }
}
