// SPDX-License-Identifier: GPL-2.0

//! Maps beside a model of them: a plain list of which block is where.

mod support;

use proptest::prelude::*;
use rext4_block_map::block_map::{credits, insert, lookup, remove, Limit, Place, Progress};
use rext4_block_map::disk::block_map::{end, is_empty, most_tables, tables, MapError};
use rext4_block_map::disk::units::{LogicalBlock, PhysicalBlock};
use std::collections::BTreeMap;
use std::ops::Range;
use support::{Error, Memory};

type Model = BTreeMap<u32, u64>;

fn put(map: &mut Memory, model: &mut Model, block: u32, start: u64, len: u32) -> Result<(), Error> {
    let mut done = 0;
    while done < len {
        map.begin();
        let at = block + done;
        let put = insert(
            map,
            LogicalBlock(at),
            PhysicalBlock(start + u64::from(done)),
            len - done,
        )?;
        assert!(put > 0 && put <= len - done);
        assert!(map.allocated <= credits::INSERT_NEW);
        assert!(map.touched.len() as u32 <= credits::INSERT);
        for one in 0..put {
            let place = start + u64::from(done + one);
            assert!(map.used.insert(place), "in use twice");
            assert_eq!(model.insert(at + one, place), None);
        }
        done += put;
    }
    Ok(())
}

fn cut(map: &mut Memory, model: &mut Model, mut range: Range<u32>, limit: Limit) -> u32 {
    let mut calls = 0;
    let all = range.clone();
    loop {
        map.begin();
        calls += 1;
        let progress = remove(
            map,
            LogicalBlock(range.start)..LogicalBlock(range.end),
            limit,
        )
        .expect("a map that is whole");
        assert!(map.touched.len() as u32 <= credits::remove(limit.steps));
        assert!(map.freed_tables <= credits::remove_freed(limit.steps));
        assert!(map.freed_runs <= limit.steps);
        match progress {
            Progress::Done => break,
            Progress::More(end) => {
                assert!(end.0 >= range.start && end.0 <= range.end);
                range.end = end.0;
            }
        }
    }
    model.retain(|block, _| !all.contains(block));
    calls
}

/// All that a map has is in the model, and the other way round.
fn compare(map: &Memory, model: &Model) {
    let mut at = 0;
    let mut found = Model::new();
    let end = end(map.size).0;
    while at < end {
        match lookup(map, LogicalBlock(at)).expect("a map that is whole") {
            Place::Hole(len) => at = at.saturating_add(len),
            Place::Data(start, len) => {
                for one in 0..len {
                    found.insert(at + one, start.0 + u64::from(one));
                }
                at += len;
            }
        }
    }
    assert_eq!(&found, model);
    // What is in use besides are tables on the way to data, and no others.
    let data: std::collections::BTreeSet<u64> = model.values().copied().collect();
    let runs = model
        .keys()
        .fold(Vec::<Range<u64>>::new(), |mut runs, &block| {
            let block = u64::from(block);
            match runs.last_mut() {
                Some(last) if last.end == block => last.end += 1,
                _ => runs.push(block..block + 1),
            }
            runs
        });
    let bound: u64 = runs.iter().map(|run| tables(run, map.size)).sum();
    let used = (map.used.len() - data.len()) as u64;
    assert!(used <= bound, "{used} tables, but {bound} on the ways");
    let blocks: u64 = runs.iter().map(|run| run.end - run.start).sum();
    assert!(bound <= most_tables(runs.len() as u64, blocks, map.size));
    if model.is_empty() {
        assert!(is_empty(&map.root));
        assert!(map.used.is_empty());
    }
}

#[derive(Clone, Debug)]
enum Step {
    Put {
        block: u32,
        len: u32,
    },
    Cut {
        from: u32,
        to: u32,
        steps: u32,
        blocks: u32,
    },
}

/// Blocks around the borders of a map with blocks of 1 KiB, and some others.
fn block() -> impl Strategy<Value = u32> {
    let border = prop_oneof![
        Just(0_u32),
        Just(12),
        Just(12 + 256),
        Just(12 + 256 + 256 * 256),
        Just(12 + 256 + 256 * 256 + 256 * 256),
        Just(12 + 256 + 256 * 256 + 256 * 256 * 256),
    ];
    prop_oneof![
        4 => (border, 0..600_u32).prop_map(|(border, near)| (border + near).saturating_sub(300)),
        1 => 0..16_843_020_u32,
    ]
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        3 => (block(), 1..700_u32).prop_map(|(block, len)| Step::Put { block, len }),
        2 => (block(), block(), 1..20_u32, 1..1000_u32).prop_map(|(one, other, steps, blocks)| Step::Cut {
            from: one.min(other),
            to: one.max(other),
            steps,
            blocks,
        }),
        1 => (block(), 1..300_u32, 1..20_u32).prop_map(|(from, len, steps)| Step::Cut {
            from,
            to: from.saturating_add(len),
            steps,
            blocks: u32::MAX,
        }),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    #[test]
    fn anything_in_any_order(steps in prop::collection::vec(step(), 1..24)) {
        let mut map = Memory::new(1024);
        let mut model = Model::new();
        let mut next = 1000;
        for step in steps {
            match step {
                Step::Put { block, len } => {
                    // As much of it as is a hole, and in the map.
                    let len = (0..len)
                        .take_while(|one| {
                            let at = block.saturating_add(*one);
                            !model.contains_key(&at) && at < end(map.size).0
                        })
                        .count() as u32;
                    if len > 0 {
                        put(&mut map, &mut model, block, next, len).expect("a hole");
                        next += u64::from(len) + 1;
                    }
                }
                Step::Cut { from, to, steps, blocks } => {
                    cut(&mut map, &mut model, from..to, Limit { steps, blocks });
                }
            }
            compare(&map, &model);
        }
        cut(&mut map, &mut model, 0..u32::MAX, Limit { steps: 7, blocks: 100 });
        compare(&map, &model);
    }

    /// A map of anything is refused somewhere or ends, and nothing panics.
    #[test]
    fn any_bytes(
        root in prop::collection::vec(prop_oneof![Just(0_u32), 90..140_u32, any::<u32>()], 15),
        table in prop::collection::vec((0..40_u64, 0..256_usize, prop_oneof![90..140_u32, any::<u32>()]), 0..40),
        at in block(),
        to in block(),
    ) {
        let mut map = Memory::new(1024);
        map.area = 100..140;
        for (place, number) in map.root.chunks_mut(4).zip(root) {
            place.copy_from_slice(&number.to_le_bytes());
        }
        for (block, index, number) in table {
            let bytes = map.tables.entry(100 + block).or_insert_with(|| vec![0; 1024]);
            bytes[4 * index..4 * index + 4].copy_from_slice(&number.to_le_bytes());
        }
        map.used = (100..140).collect();
        map.next_table = 120;
        let _ = lookup(&map, LogicalBlock(at));
        let mut other = map.clone();
        let _ = insert(&mut other, LogicalBlock(at), PhysicalBlock(500), 300);
        let limit = Limit { steps: 5, blocks: 50 };
        let mut end = to.max(at);
        for _ in 0..2000 {
            map.begin();
            match remove(&mut map, LogicalBlock(at.min(to))..LogicalBlock(end), limit) {
                Ok(Progress::More(reached)) => end = reached.0,
                _ => break,
            }
        }
    }
}

#[test]
fn a_full_disk_changes_nothing() {
    for (block, missing) in [(12, 1), (268, 2), (12 + 256 + 65_536, 3)] {
        for left in 0..missing {
            let mut map = Memory::new(1024);
            map.tables_left = left;
            map.begin();
            let before = map.root;
            let result = insert(&mut map, LogicalBlock(block), PhysicalBlock(1000), 5);
            assert_eq!(result, Err(Error::Full));
            assert_eq!(map.root, before);
            assert!(map.used.is_empty());
        }
    }
}

#[test]
fn what_is_mapped_is_not_mapped_again() {
    let (mut map, mut model) = (Memory::new(1024), Model::new());
    for block in [5, 300, 70_000] {
        put(&mut map, &mut model, block, 1000 + u64::from(block), 1).expect("a hole");
        map.begin();
        let result = insert(&mut map, LogicalBlock(block - 2), PhysicalBlock(50_000), 4);
        assert_eq!(result, Err(MapError::Occupied(LogicalBlock(block)).into()));
    }
    let far = LogicalBlock(12 + 256 + 65_536 + 16_777_216);
    let result = insert(&mut map, far, PhysicalBlock(50_000), 1);
    assert_eq!(result, Err(MapError::TooFar(far).into()));
    let result = insert(&mut map, LogicalBlock(0), PhysicalBlock((1 << 32) - 1), 2);
    assert_eq!(result, Err(MapError::TooFar(LogicalBlock(0)).into()));
    compare(&map, &model);
}

/// A table that leads to itself is freed once.
#[test]
fn a_loop_is_found() {
    let mut map = Memory::new(1024);
    map.area = 100..200;
    map.used = (100..200).collect();
    map.root[56..60].copy_from_slice(&150_u32.to_le_bytes());
    let mut table = vec![0; 1024];
    table[..4].copy_from_slice(&150_u32.to_le_bytes());
    map.tables.insert(150, table);
    let first = LogicalBlock(12 + 256 + 65_536);
    assert_eq!(lookup(&map, first), Ok(Place::Data(PhysicalBlock(150), 1)));
    map.begin();
    let limit = Limit {
        steps: 16,
        blocks: 100,
    };
    let result = remove(&mut map, LogicalBlock(0)..LogicalBlock(u32::MAX), limit);
    assert!(
        matches!(result, Err(Error::FreedTwice(150)) | Ok(_)),
        "{result:?}"
    );
    assert!(map.freed_tables <= 1);
}

/// A hole that a table stands for is passed over as a whole.
#[test]
fn large_maps_take_few_steps() {
    let (mut map, mut model) = (Memory::new(4096), Model::new());
    for block in [0, 20_000, 1_000_000, 30_000_000] {
        put(&mut map, &mut model, block, 1000 + u64::from(block), 1).expect("a hole");
    }
    let calls = cut(
        &mut map,
        &mut model,
        1..u32::MAX,
        Limit {
            steps: 16,
            blocks: 100,
        },
    );
    assert!(calls <= 2);
    compare(&map, &model);
    assert_eq!(model.len(), 1);
}
