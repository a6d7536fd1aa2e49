// SPDX-License-Identifier: GPL-2.0

//! Random changes of a tree, compared with a model of it after each.

mod support;

use proptest::prelude::*;
use rext4_extent::disk::extent::{Extent, State, MAX_DEPTH};
use rext4_extent::disk::units::{LogicalBlock, PhysicalBlock};
use rext4_extent::extent::check::check;
use rext4_extent::extent::memory::MemoryError;
use rext4_extent::extent::{depth, insert, remove, Progress, TreeError};
use support::{Op, Pair, SPACE, TINY};

fn state() -> impl Strategy<Value = State> {
    prop_oneof![Just(State::Written), Just(State::Unwritten)]
}

/// Changes of up to `longest` blocks each, and whether to look for a place where they succeed.
fn op(longest: u32) -> impl Strategy<Value = (bool, Op)> {
    let place = (0..SPACE, 1..=longest).prop_map(|(at, len)| (at, len.min(SPACE - at)));
    let op = prop_oneof![
        5 => (place.clone(), 0..3u64, state())
            .prop_map(|((at, len), run, state)| Op::Insert { at, len, run, state }),
        3 => (place.clone(), state()).prop_map(|((at, len), to)| Op::Convert { at, len, to }),
        2 => (place.clone(), 0..3u64).prop_map(|((at, len), run)| Op::Replace { at, len, run }),
        1 => place.clone().prop_map(|(at, len)| Op::Remove { at, len }),
        1 => place.clone().prop_map(|(at, len)| Op::Collapse { at, len }),
        1 => place.prop_map(|(at, len)| Op::Open { at, len }),
    ];
    (prop::bool::weighted(0.9), op)
}

/// Does all of `ops`, with a look at the whole tree after each.
fn apply(pair: &mut Pair, ops: Vec<(bool, Op)>, inject: bool) {
    for (fit, op) in ops {
        let op = if fit { pair.fit(op) } else { op };
        pair.apply(op, inject);
        pair.verify();
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 100, ..ProptestConfig::default() })]

    #[test]
    fn agrees_with_the_model_on_tiny_nodes(
        ops in prop::collection::vec(op(6), 300..600),
        reads in prop::collection::vec(0..SPACE, 30),
    ) {
        let mut pair = Pair::new(TINY, 2000);
        apply(&mut pair, ops, false);
        for at in reads {
            pair.verify_reads(at);
        }
        prop_assert!(pair.deepest >= 2, "only {} levels", pair.deepest);
    }

    #[test]
    fn agrees_with_the_model_on_real_nodes(
        ops in prop::collection::vec(op(3), 1..600),
        reads in prop::collection::vec(0..SPACE, 30),
    ) {
        let mut pair = Pair::new(1024, 100);
        apply(&mut pair, ops, false);
        for at in reads {
            pair.verify_reads(at);
        }
    }

    #[test]
    fn a_failure_at_any_point_leaves_a_sound_tree(
        ops in prop::collection::vec(op(6), 200..300),
    ) {
        let mut pair = Pair::new(TINY, 2000);
        apply(&mut pair, ops, true);
    }
}

/// Every second block, in several orders, which no two extents can be joined in.
#[test]
fn grows_to_every_depth_and_back() {
    type Order = fn(u32) -> u32;
    let orders: [(&str, Order); 3] = [
        ("ascending", |n| 2 * n),
        ("descending", |n| SPACE - 2 - 2 * n),
        // 211 is coprime to the number of blocks, so that each of them comes once.
        ("shuffled", |n| 2 * (n * 211 % (SPACE / 2))),
    ];
    for (name, order) in orders {
        let mut pair = Pair::new(TINY, 2000);
        for n in 0..SPACE / 2 {
            let (at, state) = (order(n), State::Unwritten);
            pair.apply(
                Op::Insert {
                    at,
                    len: 1,
                    run: 0,
                    state,
                },
                false,
            );
            let shape = pair.verify();
            assert_eq!(shape.unjoined, 0);
        }
        assert!(pair.deepest >= 3, "{name}: only {} levels", pair.deepest);
        assert_eq!(pair.too_deep, 0, "{name}: {} refused", pair.too_deep);
        for at in 0..SPACE {
            pair.verify_reads(at);
        }
        pair.apply(Op::Remove { at: 0, len: SPACE }, true);
        assert_eq!(pair.verify().nodes, 0);
    }
}

/// What is written from front to back fills its nodes.
#[test]
fn a_tree_that_grows_at_its_end_is_dense() {
    let mut pair = Pair::new(TINY, 2000);
    let (mut extents, mut nodes) = (0, 0);
    for at in (0..SPACE).step_by(2) {
        let state = State::Written;
        pair.apply(
            Op::Insert {
                at,
                len: 1,
                run: 0,
                state,
            },
            false,
        );
        let shape = pair.verify();
        (extents, nodes) = (shape.extents, shape.nodes);
    }
    // Six entries in each leaf, and in each node above.
    let leaves = extents / 6;
    assert!(
        nodes <= leaves + leaves / 6 + leaves / 36 + 4,
        "{nodes} nodes for {extents} extents"
    );
}

/// A whole file of preallocated space is written block by block in random order: the split must
/// come to an end in one extent again wherever a leaf allows it.
#[test]
fn conversion_block_by_block_joins_again() {
    let mut pair = Pair::new(1024, 100);
    let state = State::Unwritten;
    pair.apply(
        Op::Insert {
            at: 0,
            len: SPACE,
            run: 0,
            state,
        },
        false,
    );
    for n in 0..SPACE {
        let to = State::Written;
        // 487 is coprime to the number of blocks.
        pair.apply(
            Op::Convert {
                at: n * 487 % SPACE,
                len: 1,
                to,
            },
            n % 50 == 0,
        );
        assert_eq!(pair.verify().unjoined, 0);
    }
    let shape = pair.verify();
    // One extent is left in each leaf, and if there are few of them, no leaf.
    assert!(shape.extents <= shape.nodes.max(1), "{shape:?}");
}

/// A node is not kept longer than it is needed.
#[test]
fn a_tree_becomes_less_deep() {
    let mut pair = Pair::new(TINY, 2000);
    let (at, len, run) = (0, SPACE, 0);
    let (state, to) = (State::Unwritten, State::Written);
    let unwritten = Op::Insert {
        at,
        len,
        run,
        state,
    };
    pair.apply(unwritten, false);
    // Five pieces are more than the root holds.
    for at in [100, 300] {
        pair.apply(Op::Convert { at, len: 1, to }, true);
    }
    assert_eq!((pair.verify().depth, pair.verify().extents), (1, 5));
    let len = 200;
    pair.apply(Op::Convert { at: 101, len, to }, true);
    assert_eq!((pair.verify().depth, pair.verify().nodes), (0, 0));
    // And when what is left was removed down to as much as the root holds.
    for at in [500, 600, 700, 800] {
        pair.apply(Op::Convert { at, len: 1, to }, false);
    }
    assert!(pair.verify().nodes > 1);
    pair.apply(Op::Remove { at: 0, len: 750 }, true);
    assert_eq!((pair.verify().depth, pair.verify().nodes), (0, 0));
}

/// The greatest tree there is, and one extent more.
#[test]
fn a_full_tree_refuses_and_stays() {
    let mut pair = Pair::new(TINY, 8000);
    let all = 4 * 6u32.pow(5);
    pair.with(|memory| {
        for n in 0..all {
            insert(memory, written(2 * n)).expect("room");
        }
        assert_eq!(depth(memory), Ok(MAX_DEPTH));
        let nodes = memory.in_use();
        for extent in [written(2 * all), written(all + 1)] {
            let refused = Err(MemoryError::Tree(TreeError::TooDeep));
            assert_eq!(insert(memory, extent), refused);
        }
        let mut next = 0;
        let shape = check(memory, &mut |extent| {
            assert_eq!(extent, written(next));
            next += 2;
        });
        let shape = shape.expect("a sound tree");
        assert_eq!((shape.extents, shape.nodes), (all as usize, nodes));
        let all = LogicalBlock(0)..LogicalBlock(2 * all);
        assert_eq!(remove(memory, all, usize::MAX), Ok(Progress::Done));
        assert_eq!((memory.in_use(), depth(memory)), (0, Ok(0)));
    });
}

/// One written block, which no other of its kind continues.
fn written(at: u32) -> Extent {
    let physical = PhysicalBlock(1_000_000 + 2 * u64::from(at));
    Extent::new(LogicalBlock(at), physical, 1, State::Written).expect("a valid extent")
}
