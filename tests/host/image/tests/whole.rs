// SPDX-License-Identifier: GPL-2.0

//! All of each kind of file system, compared with what `dumpe2fs` says.

use rext4_disk::disk::group_desc::{GroupDesc, GroupFlags};
use rext4_disk::disk::units::GroupNumber;
use rext4_image::{check, tools, Fs, Image, Recipe, RECIPES};

/// The number behind `text`, up to what is no digit.
fn number_behind(line: &str, text: &str) -> Option<u64> {
    let (_, rest) = line.split_once(text)?;
    let end = rest
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(rest.len());
    rest[..end].parse().ok()
}

fn compare_superblock(fs: &Fs, text: &str) {
    let layout = fs.layout();
    let number = |key| tools::value(text, key).parse::<u64>().expect("no number");
    assert_eq!(layout.blocks_count(), number("Block count"));
    assert_eq!(u64::from(layout.inodes_count()), number("Inode count"));
    assert_eq!(layout.first_data_block().0, number("First block"));
    assert_eq!(u64::from(layout.block_size().bytes()), number("Block size"));
    assert_eq!(
        u64::from(layout.blocks_per_group()),
        number("Blocks per group")
    );
    assert_eq!(
        u64::from(layout.inodes_per_group()),
        number("Inodes per group")
    );
    assert_eq!(
        u64::from(layout.inode_table_blocks()),
        number("Inode blocks per group")
    );
    assert_eq!(u64::from(layout.first_inode().0), number("First inode"));
    assert_eq!(u64::from(layout.inode_size()), number("Inode size"));
    if layout.has_flexible_groups() {
        assert_eq!(
            u64::from(layout.groups_per_flex()),
            number("Flex block group size")
        );
    }

    let superblock = fs.superblock();
    assert_eq!(superblock.free_blocks_count(), number("Free blocks"));
    assert_eq!(
        superblock.reserved_blocks_count(),
        number("Reserved block count")
    );
    assert_eq!(
        u64::from(superblock.free_inodes_count()),
        number("Free inodes")
    );
    assert!(superblock.state().is_clean());

    let features = superblock.features().to_string();
    let mut ours: Vec<_> = features.split(", ").collect();
    let mut theirs: Vec<_> = tools::value(text, "Filesystem features")
        .split(' ')
        .collect();
    ours.sort_unstable();
    theirs.sort_unstable();
    assert_eq!(ours, theirs);
}

/// `dumpe2fs` has a paragraph for each group.
fn compare_groups(fs: &Fs, text: &str) {
    let layout = fs.layout();
    let paragraphs: Vec<_> = text
        .split("\nGroup ")
        // Not "Group descriptor size".
        .filter(|paragraph| paragraph.starts_with(|c: char| c.is_ascii_digit()))
        .collect();
    assert_eq!(paragraphs.len(), layout.group_count() as usize);
    for (group, paragraph) in (0..).map(GroupNumber).zip(paragraphs) {
        let (_, block) = fs.descriptor_block(group);
        let desc = GroupDesc::in_block(&block[..], layout, group).unwrap();
        let number = |key| {
            number_behind(paragraph, key)
                .unwrap_or_else(|| panic!("no {key:?} in group {group}:\n{paragraph}"))
        };

        let first = layout.first_block(group).0;
        let last = first + u64::from(layout.blocks_in_group(group)) - 1;
        assert!(
            paragraph.contains(&format!("(Blocks {first}-{last})")),
            "{paragraph}"
        );
        assert_eq!(desc.block_bitmap().0, number("Block bitmap at "));
        assert_eq!(desc.inode_bitmap().0, number("Inode bitmap at "));
        assert_eq!(desc.inode_table().0, number("Inode table at "));
        let (counts, _) = paragraph.split_once(" directories").unwrap();
        let counts = counts.rsplit('\n').next().unwrap().replace(", ", "\n");
        let counts: Vec<u32> = counts
            .lines()
            .map(|part| part.trim().split(' ').next().unwrap().parse().unwrap())
            .collect();
        assert_eq!(
            counts,
            [desc.free_blocks(), desc.free_inodes(), desc.used_dirs()]
        );
        let unused = number_behind(paragraph, " directories, ").unwrap_or(0);
        assert_eq!(u64::from(desc.unused_inodes()), unused);
        for (flag, name) in [
            (GroupFlags::INODE_UNINIT, "INODE_UNINIT"),
            (GroupFlags::BLOCK_UNINIT, "BLOCK_UNINIT"),
            (GroupFlags::INODE_ZEROED, "ITABLE_ZEROED"),
        ] {
            assert_eq!(
                desc.flags().has(flag),
                paragraph.contains(name),
                "{paragraph}"
            );
        }

        let has_superblock = paragraph.contains("superblock at");
        assert_eq!(layout.has_superblock(group), has_superblock, "{paragraph}");
        compare_descriptors(fs, group, paragraph);
    }
}

/// Where the descriptors are that this group has a copy of.
fn compare_descriptors(fs: &Fs, group: GroupNumber, paragraph: &str) {
    let layout = fs.layout();
    let superblock = u64::from(layout.has_superblock(group));
    let first = layout.first_block(group).0;
    let copies = match number_behind(paragraph, "Group descriptors at ") {
        Some(start) => {
            assert_eq!(start, first + superblock, "{paragraph}");
            let end = number_behind(paragraph, &format!("Group descriptors at {start}-"));
            end.unwrap() - start + 1
        }
        None => u64::from(paragraph.contains("Group descriptor at ")),
    };
    let reserved = match number_behind(paragraph, "Reserved GDT blocks at ") {
        Some(start) => {
            let end = number_behind(paragraph, &format!("Reserved GDT blocks at {start}-"));
            end.unwrap() - start + 1
        }
        None => 0,
    };
    let fixed = u64::from(layout.fixed_blocks(group));
    assert_eq!(fixed, superblock + copies + reserved, "{paragraph}");
    if let Some(at) = number_behind(paragraph, "Group descriptor at ") {
        // A meta group's block: the first of its copies is the one to use.
        let block = layout.place_of_descriptor(group).unwrap().block;
        if group.0 % layout.descriptors_per_block() == 0 {
            assert_eq!(layout.descriptor_block(block).unwrap().0, at);
        }
    }
}

fn check_image(recipe: &Recipe) {
    println!("{}", recipe.name);
    let image = Image::filled(recipe);
    let fs = image.open();
    let text = image.dumpe2fs();
    compare_superblock(&fs, &text);
    compare_groups(&fs, &text);

    let summary = check::everything(&fs).unwrap_or_else(|error| panic!("{error}"));
    println!("{summary:?}");
    // What is not there cannot have been checked.
    assert!(summary.inodes > 2000);
    assert!(summary.indexed == 1);
    assert!(summary.entry_blocks > 50);
    assert!(summary.extent_nodes > 2);
    // The largest inodes hold all of them.
    let in_blocks = fs.layout().inode_size() < 1024;
    assert_eq!(summary.xattrs_in_blocks > 0, in_blocks);
    let size = fs.layout().block_size().bytes();
    assert!(size > 1024 || summary.index_nodes > 1);
    assert_eq!(summary.xattrs_in_inodes > 0, fs.layout().inode_size() > 128);
    assert_eq!(
        summary.orphan_blocks > 0,
        fs.superblock().orphan_file_inode().is_some()
    );
}

/// One test for all, in two halves so that two processors are busy: an image takes a second.
#[test]
fn even_recipes() {
    RECIPES.iter().step_by(2).for_each(check_image);
}

#[test]
fn odd_recipes() {
    RECIPES.iter().skip(1).step_by(2).for_each(check_image);
}
