// SPDX-License-Identifier: GPL-2.0

//! The map of the file system's own blocks, against a model: which run each block belongs to.

mod common;

use proptest::prelude::*;
use rext4_disk::disk::allocation::{
    check_block_bitmap, free_in_unused_group, init_block_bitmap, runs_of_group, AllocationError,
    SystemMap, SystemRun,
};
use rext4_disk::disk::bitmap::BitmapMut;
use rext4_disk::disk::group_desc::GroupDesc;
use rext4_disk::disk::layout::Layout;
use rext4_disk::disk::superblock::Superblock;
use rext4_disk::disk::units::{GroupNumber, PhysicalBlock};

/// Blocks beyond this one are in no run of these tests.
const END: u64 = 400;

fn run() -> impl Strategy<Value = SystemRun> {
    (0..END - 20, 0u32..20).prop_map(|(first, count)| SystemRun {
        first: PhysicalBlock(first),
        count,
    })
}

/// How many runs each block is in.
fn claims(runs: &[SystemRun]) -> Vec<u32> {
    let mut claims = vec![0; END as usize];
    for run in runs {
        for block in run.first.0..run.first.0 + u64::from(run.count) {
            claims[block as usize] += 1;
        }
    }
    claims
}

/// Runs that do not lie over each other, in any order: some of those that are given.
fn disjoint(runs: Vec<SystemRun>) -> Vec<SystemRun> {
    let mut kept: Vec<SystemRun> = Vec::new();
    for run in runs {
        kept.push(run);
        if claims(&kept).iter().any(|&claims| claims > 1) {
            kept.pop();
        }
    }
    kept
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn overlaps_are_found(mut runs in prop::collection::vec(run(), 0..40)) {
        let claims = claims(&runs);
        let overlap = claims.iter().position(|&claims| claims > 1);
        match SystemMap::tidy(&mut runs) {
            Ok(_) => prop_assert_eq!(overlap, None),
            Err(AllocationError::Overlap { block }) => {
                prop_assert!(claims[block.0 as usize] > 1);
            }
            Err(other) => prop_assert!(false, "{other}"),
        }
    }

    #[test]
    fn a_map_has_what_was_put_in(
        runs in prop::collection::vec(run(), 0..80),
        first in 0..END,
        count in 0..END,
    ) {
        let mut runs = disjoint(runs);
        let claims = claims(&runs);
        let kept = SystemMap::tidy(&mut runs).unwrap();
        runs.truncate(kept);
        for pair in runs.windows(2) {
            // Sorted, and not even touching.
            prop_assert!(pair[0].first.0 + u64::from(pair[0].count) < pair[1].first.0);
        }

        let map = SystemMap::new(&runs[..]);
        let count = count.min(END - first);
        let mut found = vec![0; END as usize];
        for own in map.within(PhysicalBlock(first), count) {
            prop_assert!(!own.is_empty() && own.start >= first && own.end <= first + count);
            for block in own {
                found[block as usize] += 1;
            }
        }
        for block in first..first + count {
            prop_assert_eq!(found[block as usize], claims[block as usize]);
        }
        let own = (first..first + count).find(|&block| claims[block as usize] > 0);
        prop_assert_eq!(
            map.check_foreign(PhysicalBlock(first), count),
            match own {
                Some(block) => Err(AllocationError::SystemBlock { block: PhysicalBlock(block) }),
                None => Ok(()),
            }
        );
    }
}

#[test]
fn numbers_at_the_upper_end_do_no_harm() {
    let last = SystemRun {
        first: PhysicalBlock(u64::MAX - 1),
        count: 5,
    };
    let mut runs = [last, last];
    assert_eq!(
        SystemMap::tidy(&mut runs),
        Err(AllocationError::Overlap { block: last.first })
    );
    let map = SystemMap::new(&runs[..1]);
    assert!(map
        .check_foreign(PhysicalBlock(u64::MAX - 3), u64::MAX)
        .is_err());
    assert!(map.check_foreign(PhysicalBlock(0), 1).is_ok());
}

/// Eight groups, the last of 1000 blocks, whose bitmaps and inode tables are all in the first.
fn file_system() -> (Layout, Vec<u8>, Vec<SystemRun>) {
    let superblock = common::superblock();
    let layout = Superblock::from_bytes(&superblock)
        .unwrap()
        .layout()
        .unwrap();
    let mut table = vec![0; 4096];
    let mut runs = Vec::new();
    for group in layout.groups() {
        let descriptor = &mut table[group.0 as usize * 64..][..64];
        for (offset, block) in [
            (0, 1000 + group.0),
            (4, 1010 + group.0),
            (8, 2000 + group.0 * layout.inode_table_blocks()),
        ] {
            common::put(descriptor, offset, 4, block.into());
        }
        let descriptor = GroupDesc::in_block(&table[..], &layout, group).unwrap();
        descriptor.check(&layout).unwrap();
        runs.extend(runs_of_group(&layout, &descriptor));
    }
    let kept = SystemMap::tidy(&mut runs).unwrap();
    runs.truncate(kept);
    (layout, table, runs)
}

#[test]
fn bitmaps_of_groups_never_used() {
    let (layout, mut table, runs) = file_system();
    let map = SystemMap::new(&runs[..]);
    let tables = 8 * layout.inode_table_blocks();
    for (group, own, blocks) in [
        // Super block, one block of descriptors and 127 for more, 16 bitmaps, eight inode tables.
        (0, 1 + 1 + 127 + 16 + tables, 32768),
        (1, 1 + 1 + 127, 32768),
        (2, 0, 32768),
        (7, 1 + 1 + 127, 1000),
    ] {
        let group = GroupNumber(group);
        let free = blocks - own;
        assert_eq!(free_in_unused_group(&layout, group, map), free, "{group}");
        let mut block = vec![0x5a; 4096];
        init_block_bitmap(&mut block, &layout, group, map);
        GroupDesc::in_block(&mut table[..], &layout, group)
            .unwrap()
            .set_free_blocks(free);
        let descriptor = GroupDesc::in_block(&table[..], &layout, group).unwrap();
        assert_eq!(
            check_block_bitmap(&block, &layout, &descriptor, map),
            Ok(())
        );
    }
}

#[test]
fn damaged_block_bitmaps() {
    let (layout, mut table, runs) = file_system();
    let map = SystemMap::new(&runs[..]);
    let group = GroupNumber(7);
    let first = layout.first_block(group);
    let mut good = vec![0; 4096];
    init_block_bitmap(&mut good, &layout, group, map);
    let free = free_in_unused_group(&layout, group, map);
    GroupDesc::in_block(&mut table[..], &layout, group)
        .unwrap()
        .set_free_blocks(free);
    let descriptor = GroupDesc::in_block(&table[..], &layout, group).unwrap();

    let system_block = |bit: u32| AllocationError::SystemBlock {
        block: PhysicalBlock(first.0 + u64::from(bit)),
    };
    let count = |bitmap| AllocationError::FreeCount {
        group,
        bitmap,
        descriptor: free,
    };
    for (bit, used, error) in [
        (0, false, system_block(0)),
        (128, false, system_block(128)),
        (1000, false, AllocationError::Padding { group }),
        (32767, false, AllocationError::Padding { group }),
        (999, true, count(free - 1)),
    ] {
        let mut block = good.clone();
        BitmapMut::new(&mut block).fill(bit..bit + 1, used);
        let checked = check_block_bitmap(&block, &layout, &descriptor, map);
        assert_eq!(checked, Err(error), "bit {bit}");
    }
    // Too short a block has no free bits where there should be.
    let checked = check_block_bitmap(&good[..100], &layout, &descriptor, map);
    assert_eq!(checked, Err(count(800 - 129)));
}
