// SPDX-License-Identifier: GPL-2.0

//! `e2fsck` and `debugfs` judge trees that were made here.
//!
//! A tree is made in memory for a file of a real file system, with that file's checksums, and put
//! into the image. The bitmaps are not changed, so `e2fsck` has those to mend and nothing else.

use rext4_extent::disk::extent::{DataArea, Extent, State, LOGICAL_END};
use rext4_extent::disk::units::{LogicalBlock, PhysicalBlock};
use rext4_extent::extent::check::check;
use rext4_extent::extent::memory::{BlockState, Memory};
use rext4_extent::extent::{convert, insert, lookup, remove, Mapping, Progress};
use rext4_image::{tools, Image, Recipe, RECIPES};
use std::ops::Range;

/// Blocks for nodes.
const NODES: u64 = 600;

/// Has `e2fsck` say what is wrong, not what could take fewer blocks, and leave that alone.
const AS_IT_IS: &str = "no_optimize_extents";

/// Numbers that look random and are the same each time.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, limit: u32) -> u32 {
        // Knuth's multiplier for a linear congruential generator; its high bits are the good ones.
        self.0 = self
            .0
            .wrapping_mul(6364136223846793005)
            .wrapping_add(1442695040888963407);
        ((self.0 >> 33) % u64::from(limit)) as u32
    }
}

/// The free blocks of an image that are left when `NODES` contiguous ones are taken for nodes.
struct Free {
    nodes: PhysicalBlock,
    data: Vec<u64>,
}

impl Free {
    fn find(image: &Image, count: usize) -> Self {
        let text = image.debugfs(&format!("find_free_block {}", count + NODES as usize));
        let list = text.split(':').nth(1).expect("a list of blocks");
        let blocks: Vec<u64> = list
            .split_whitespace()
            .map_while(|word| word.parse().ok())
            .collect();
        assert_eq!(blocks.len(), count + NODES as usize, "{text}");
        let (nodes, data) = blocks.split_at(NODES as usize);
        assert_eq!(
            nodes[0] + NODES - 1,
            nodes[NODES as usize - 1],
            "not contiguous"
        );
        let nodes = PhysicalBlock(nodes[0]);
        Self {
            nodes,
            data: data.to_vec(),
        }
    }

    /// Free blocks for `range` of logical blocks, if they are contiguous.
    fn extent(&self, range: Range<u32>, state: State) -> Option<Extent> {
        let first = self.data[range.start as usize];
        let last = self.data[range.end as usize - 1];
        let len = range.end - range.start;
        if last - first != u64::from(len) - 1 {
            return None;
        }
        Extent::new(LogicalBlock(range.start), PhysicalBlock(first), len, state)
    }
}

/// Makes a file system, has `change` make a tree for a file, and asks what is thought of it.
///
/// Gives the depth of the tree.
fn judge(recipe: &Recipe, blocks: u32, change: impl FnOnce(&mut Memory<'_>, &Free)) -> u16 {
    let image = Image::empty(recipe);
    image.debugfs_write(&["write /dev/null file"]);
    let fs = image.open();
    let number = fs.find("file");
    let bytes = fs.inode(number).expect("a sound inode");
    let inode = rext4_extent::disk::inode::Inode::from_bytes(&bytes[..]).expect("a sound inode");
    let block_size = fs.layout().block_size();
    let area = DataArea {
        first: PhysicalBlock(fs.layout().first_data_block().0 + 1),
        end: PhysicalBlock(fs.layout().blocks_count()),
    };

    let free = Free::find(&image, blocks as usize);
    let mut arena = vec![0; block_size.size() * NODES as usize];
    let mut states = vec![BlockState::default(); NODES as usize];
    let mut memory = Memory::new(&mut arena, &mut states, block_size.size(), free.nodes, area);
    if let Some(seed) = fs.inode_seed(number, &inode) {
        memory.set_seed(seed);
    }
    change(&mut memory, &free);

    let mut extents = Vec::new();
    let shape = check(&memory, &mut |extent| extents.push(extent)).expect("a sound tree");
    for (at, bytes) in memory.used_blocks() {
        let offset = block_size.byte_of_physical(at).expect("in the image");
        image.write(offset, bytes);
    }
    let mapped: u64 = extents.iter().map(|extent| u64::from(extent.len())).sum();
    let sectors = (mapped + shape.nodes as u64) * u64::from(block_size.bytes() / 512);
    let mut requests = vec![
        format!("set_inode_field file blocks {sectors}"),
        format!(
            "set_inode_field file size {}",
            u64::from(blocks) * u64::from(block_size.bytes())
        ),
    ];
    for (n, word) in memory.root.chunks_exact(4).enumerate() {
        let word = u32::from_le_bytes([word[0], word[1], word[2], word[3]]);
        let name = match n {
            12 => "IND".to_owned(),
            13 => "DIND".to_owned(),
            14 => "TIND".to_owned(),
            _ => n.to_string(),
        };
        requests.push(format!("set_inode_field file block[{name}] {word:#x}"));
    }
    let requests: Vec<&str> = requests.iter().map(String::as_str).collect();
    image.debugfs_write(&requests);

    let path = image.path();
    let path = path.to_str().expect("a plain path");
    let output = tools::try_run("e2fsck", &["-fn", "-E", AS_IT_IS, path]);
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let other: Vec<&str> = text.lines().filter(|line| !is_of_bitmaps(line)).collect();
    assert!(other.is_empty(), "{}: {other:#?}", recipe.name);
    // Mended, nothing else changes.
    tools::try_run("e2fsck", &["-fy", "-E", AS_IT_IS, path]);
    image.e2fsck();
    assert_eq!(
        leaves(&image.debugfs("dump_extents -l file")),
        extents,
        "{}",
        recipe.name
    );
    shape.depth
}

/// Whether a line of `e2fsck` is about nothing but bitmaps, or about nothing at all.
fn is_of_bitmaps(line: &str) -> bool {
    let starts = [
        "Pass ",
        "Block bitmap differences:",
        "Free blocks count wrong",
        "Padding at end of",
        "Fix? no",
        // A long list of blocks goes on in the next line.
        " +",
    ];
    line.is_empty()
        || starts.iter().any(|start| line.starts_with(start))
        || line.ends_with("but group is marked BLOCK_UNINIT")
        || line.contains("WARNING: Filesystem still has errors")
        || line.contains(" files (")
}

/// The extents that `debugfs` lists.
fn leaves(text: &str) -> Vec<Extent> {
    text.lines()
        .skip(1)
        .map(|line| {
            let state = if line.contains("Uninit") {
                State::Unwritten
            } else {
                State::Written
            };
            // " 1/ 1   2/ 84     4 -     4   4390 -  4390      1 "
            let numbers: Vec<u64> = line
                .split(|c: char| !c.is_ascii_digit())
                .filter_map(|word| word.parse().ok())
                .collect();
            let &[_, _, _, _, logical, _, physical, _, len] = &numbers[..] else {
                panic!("cannot read: {line}");
            };
            let logical = LogicalBlock(u32::try_from(logical).expect("32 bits"));
            let len = u32::try_from(len).expect("32 bits");
            Extent::new(logical, PhysicalBlock(physical), len, state).expect("a valid extent")
        })
        .collect()
}

fn recipe(name: &str) -> Recipe {
    *RECIPES
        .iter()
        .find(|recipe| recipe.name == name)
        .expect("such a recipe")
}

/// Random changes of all kinds.
fn shuffle(memory: &mut Memory<'_>, free: &Free, blocks: u32) {
    let mut numbers = Numbers(7);
    for _ in 0..6000 {
        memory.begin();
        let at = numbers.below(blocks - 8);
        let end = at + 1 + numbers.below(8);
        let range = LogicalBlock(at)..LogicalBlock(end);
        match numbers.below(8) {
            0 => {
                let result = remove(memory, range, usize::MAX);
                assert_eq!(result, Ok(Progress::Done));
            }
            1..=3 => {
                // Stops at a hole, which is as good.
                let _ = convert(memory, range, State::Written, usize::MAX);
            }
            _ => {
                let mapping = lookup(memory, LogicalBlock(at)).expect("no error");
                let Mapping::Hole(hole) = mapping else {
                    continue;
                };
                if let Some(new) = free.extent(at..end.min(hole.end.0), State::Unwritten) {
                    insert(memory, new).expect("room");
                }
            }
        }
    }
}

#[test]
fn accepts_trees_after_random_changes() {
    for name in [
        "4k",
        "2k",
        "1k",
        "4k gdt_csum",
        "1k no checksums",
        "4k seed from UUID",
    ] {
        let blocks = 6000;
        let depth = judge(&recipe(name), blocks, |memory, free| {
            shuffle(memory, free, blocks)
        });
        assert!(depth >= 1, "{name}");
    }
}

/// One extent for each second block.
#[test]
fn accepts_a_tree_of_depth_3() {
    let blocks = 4 * 84 * 84 * 2 + 400;
    let recipe = Recipe {
        size: "256M",
        ..recipe("1k")
    };
    let depth = judge(&recipe, blocks, |memory, free| {
        for at in (0..blocks).step_by(2) {
            memory.begin();
            let new = free
                .extent(at..at + 1, State::Unwritten)
                .expect("one block");
            insert(memory, new).expect("room");
        }
        // In other leaves than those at the end.
        for at in (0..blocks).step_by(64) {
            memory.begin();
            let range = LogicalBlock(at)..LogicalBlock(at + 1);
            assert_eq!(
                convert(memory, range, State::Written, 2),
                Ok(Progress::Done)
            );
        }
    });
    assert_eq!(depth, 3);
}

#[test]
fn accepts_what_is_left_of_a_tree() {
    let blocks = 4000;
    let depth = judge(&recipe("1k"), blocks, |memory, free| {
        for at in (0..blocks).step_by(2) {
            memory.begin();
            let new = free.extent(at..at + 1, State::Written).expect("one block");
            insert(memory, new).expect("room");
        }
        let ranges = [3000..LOGICAL_END.0, 0..300, 1000..1400, 1601..1700];
        for range in ranges {
            memory.begin();
            let range = LogicalBlock(range.start)..LogicalBlock(range.end);
            assert_eq!(remove(memory, range, usize::MAX), Ok(Progress::Done));
        }
    });
    assert_eq!(depth, 2);
}
