// SPDX-License-Identifier: GPL-2.0

//! How much the operations change: never more than is kept back for them, and there are trees in
//! which it is exactly that much.

mod support;

use rext4_extent::disk::extent::{Extent, State, LOGICAL_END, MAX_DEPTH};
use rext4_extent::disk::units::{LogicalBlock, PhysicalBlock};
use rext4_extent::extent::memory::Memory;
use rext4_extent::extent::{
    convert, credits, depth, insert, lookup, narrow, remove, replace, Mapping, Progress,
};
use support::{Pair, TINY};

/// Blocks in each extent.
const LEN: u32 = 3;

/// Calls `test` with a tree of `levels` below the root in which only the root may have room: it
/// has `children` entries. One extent starts each `step` blocks, and none continues another.
fn full(levels: u16, children: u32, step: u32, test: impl FnOnce(&mut Memory<'_>, u32)) {
    let count = children * 6u32.pow(levels.into());
    let mut pair = Pair::new(TINY, 7000);
    pair.with(|memory| {
        for n in 0..count {
            insert(memory, unwritten(n * step)).expect("room");
        }
        assert_eq!(depth(memory), Ok(levels));
        memory.begin();
        test(memory, count);
    });
}

fn unwritten(at: u32) -> Extent {
    let physical = PhysicalBlock(1_000_000 + 2 * u64::from(at));
    Extent::new(LogicalBlock(at), physical, LEN, State::Unwritten).expect("a valid extent")
}

fn range(from: u32, to: u32) -> std::ops::Range<LogicalBlock> {
    LogicalBlock(from)..LogicalBlock(to)
}

#[test]
fn an_insertion_into_a_full_tree_needs_all_it_may() {
    let insert_one = |levels: u16, children| {
        full(levels, children, LEN + 1, |memory, count| {
            let at = LogicalBlock(count / 2 * (LEN + 1) + LEN);
            let new = Extent::new(at, PhysicalBlock(9), 1, State::Written);
            insert(memory, new.expect("a valid extent")).expect("room");
            assert_eq!(memory.counts.allocated, credits::splice_new(levels));
            assert!(memory.touched() as u32 <= credits::splice(levels));
            if levels < MAX_DEPTH {
                assert_eq!(memory.touched() as u32, credits::splice(levels));
            }
        });
    };
    for levels in 0..MAX_DEPTH {
        insert_one(levels, 4);
    }
    insert_one(MAX_DEPTH, 2);
}

/// From the middle of an extent in the first subtree to the middle of one in the last.
#[test]
fn a_conversion_in_a_full_tree_needs_all_it_may() {
    let convert_most = |levels: u16, children| {
        full(levels, children, LEN, |memory, count| {
            let part = count / children;
            let (from, to) = (part / 2 * LEN + 1, (count - 1 - part / 2) * LEN + 1);
            let result = convert(memory, range(from, to), State::Written, usize::MAX);
            assert_eq!(result, Ok(Progress::Done));
            assert_eq!(memory.counts.allocated, credits::convert_new(levels));
            assert!(memory.touched() as u32 <= credits::convert(levels, count));
        });
    };
    for levels in 0..MAX_DEPTH {
        convert_most(levels, 4);
    }
    assert_eq!(credits::convert_new(MAX_DEPTH), credits::CONVERT_NEW_MAX);
    convert_most(MAX_DEPTH, 2);
}

/// The middle of an extent in full nodes, and back. Putting it back takes no node.
#[test]
fn a_replacement_in_a_full_tree_needs_all_it_may() {
    for levels in 0..=MAX_DEPTH {
        let children = if levels < MAX_DEPTH { 4 } else { 2 };
        full(levels, children, LEN, |memory, count| {
            let at = LogicalBlock(count / 2 * LEN + 1);
            let new = Extent::new(at, PhysicalBlock(9), 1, State::Written).expect("valid");
            let old = replace(memory, new).expect("room");
            assert_eq!(memory.counts.allocated, credits::splice_new(levels));
            assert_eq!(replace(memory, old), Ok(new));
            assert_eq!(memory.counts.allocated, credits::splice_new(levels));
            assert!(memory.touched() as u32 <= credits::splice(levels));
            narrow(memory).expect("no error");
            assert!(memory.touched() as u32 <= credits::splice(levels));
        });
    }
}

/// The same in steps, each of which is a transaction of its own.
#[test]
fn the_steps_of_a_conversion_keep_to_their_limits() {
    full(2, 4, LEN, |memory, count| {
        let (mut from, end) = (LogicalBlock(1), LogicalBlock(count * LEN - 1));
        for steps in 1.. {
            memory.begin();
            let before = depth(memory).expect("no error");
            let result = convert(memory, from..end, State::Written, 5).expect("room");
            assert!(memory.touched() as u32 <= credits::convert(before, 5));
            match result {
                Progress::More(next) => from = next,
                Progress::Done => {
                    assert_eq!(steps, count.div_ceil(5));
                    break;
                }
            }
        }
        let edges = [
            (0, State::Unwritten),
            (1, State::Written),
            (end.0, State::Unwritten),
        ];
        for (at, state) in edges {
            match lookup(memory, LogicalBlock(at)) {
                Ok(Mapping::Extent(extent)) => assert_eq!(extent.state(), state),
                other => panic!("{other:?}"),
            }
        }
    });
}

#[test]
fn the_steps_of_a_removal_keep_to_their_limits() {
    full(3, 4, LEN + 1, |memory, count| {
        let mut end = LOGICAL_END;
        let mut freed = 0;
        loop {
            memory.begin();
            let before = depth(memory).expect("no error");
            let result = remove(memory, LogicalBlock(0)..end, 7).expect("no error");
            assert!(memory.touched() as u32 <= credits::remove(before, 7));
            freed += memory.counts.freed_data;
            match result {
                Progress::More(rest) => end = rest,
                Progress::Done => break,
            }
        }
        assert_eq!((freed, memory.in_use()), (count * LEN, 0));
    });
}

/// What is written already is not even prepared to be changed.
#[test]
fn a_conversion_of_what_is_written_touches_nothing() {
    full(2, 4, LEN, |memory, count| {
        let all = || range(0, count * LEN);
        let convert = |memory: &mut Memory<'_>| convert(memory, all(), State::Written, usize::MAX);
        assert_eq!(convert(memory), Ok(Progress::Done));
        memory.begin();
        memory.fail_after = Some(0);
        assert_eq!(convert(memory), Ok(Progress::Done));
        assert_eq!(memory.touched(), 0);
    });
}
