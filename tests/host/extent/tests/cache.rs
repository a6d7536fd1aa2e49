// SPDX-License-Identifier: GPL-2.0

//! What is kept of a tree in memory. That it is told of each change of the tree is shown where trees
//! are changed at random (`model`); here it is compared with a model that knows each block by itself.

mod support;

use proptest::prelude::*;
use rext4_extent::disk::extent::{Extent, State};
use rext4_extent::disk::units::{LogicalBlock, PhysicalBlock};
use rext4_extent::extent::cache::{Cache, Forgotten, MOST, RUN, RUNS};
use rext4_extent::extent::check::check;
use rext4_extent::extent::{convert, insert, split, Hole, Mapping, Progress};
use support::{Heap, Op, Pair, LUCK, SPACE};

/// What is known of a block: on which run of the device it lies, none for a hole.
type Known = Option<u64>;

#[derive(Clone, Copy, Debug)]
enum Step {
    Keep {
        at: u32,
        len: u32,
        run: Known,
    },
    Forget {
        at: u32,
        len: u32,
    },
    Find {
        at: u32,
    },
    GiveBack {
        looks: usize,
    },
    /// So many lists can grow from now on.
    Luck {
        left: Option<u32>,
    },
}

fn place(longest: u32) -> impl Strategy<Value = (u32, u32)> {
    (0..SPACE, 1..=longest).prop_map(|(at, len)| (at, len.min(SPACE - at)))
}

/// Steps that lose nothing unless it is said so.
fn exact() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (place(5), prop::option::of(0..3u64)).prop_map(|((at, len), run)| Step::Keep { at, len, run }),
        3 => place(4).prop_map(|(at, len)| Step::Forget { at, len }),
        1 => place(SPACE / 4).prop_map(|(at, len)| Step::Forget { at, len }),
        4 => (0..SPACE).prop_map(|at| Step::Find { at }),
    ]
}

/// Also such that lose something.
fn lossy() -> impl Strategy<Value = Step> {
    prop_oneof![
        12 => exact(),
        1 => (0..40usize).prop_map(|looks| Step::GiveBack { looks }),
        1 => prop::option::of(0..3u32).prop_map(|left| Step::Luck { left }),
    ]
}

fn mapping(at: u32, len: u32, run: Known) -> Mapping {
    let (first, end) = (LogicalBlock(at), LogicalBlock(at + len));
    let Some(run) = run else {
        return Mapping::Hole(Hole { first, end });
    };
    let to = PhysicalBlock(1_000_000 * (run + 1) + u64::from(at));
    Mapping::Extent(Extent::new(first, to, len, State::Written).expect("a valid extent"))
}

fn written(at: u32) -> Mapping {
    mapping(at, 1, Some(0))
}

/// A cache, and for each block what was last kept of it and not forgotten.
struct Pairs {
    cache: Cache<Heap>,
    known: Vec<Option<Known>>,
}

impl Pairs {
    fn new() -> Self {
        LUCK.set(None);
        Self {
            cache: Cache::default(),
            known: vec![None; SPACE as usize],
        }
    }

    fn apply(&mut self, step: Step) {
        let blocks = |at: u32, len: u32| at as usize..(at + len) as usize;
        match step {
            Step::Keep { at, len, run } => {
                self.cache.keep(mapping(at, len, run));
                self.known[blocks(at, len)].fill(Some(run));
            }
            Step::Forget { at, len } => {
                let range = LogicalBlock(at)..LogicalBlock(at + len);
                let known = self.known[blocks(at, len)].iter().any(Option::is_some);
                let Forgotten { any, more } = self.cache.forget(range);
                assert!(!more, "there are not as many runs");
                assert!(known || !any);
                self.known[blocks(at, len)].fill(None);
            }
            Step::Find { at } => {
                let found = self.cache.find(LogicalBlock(at));
                if let Some(found) = found {
                    let (from, to) = ends(found);
                    assert!((from..to).contains(&at), "{found:?} for {at}");
                }
            }
            Step::GiveBack { looks } => {
                let (mut left, runs) = (looks, self.cache.runs());
                let (given, _) = self.cache.give_back(&mut left);
                assert_eq!(self.cache.runs(), runs - given);
                assert!(given <= looks - left);
            }
            Step::Luck { left } => LUCK.set(left),
        }
    }

    /// Checks that nothing else is known than in the model; if `all`, no less either.
    fn verify(&mut self, all: bool) {
        let mut kept = vec![None; SPACE as usize];
        assert!(self.cache.check(|found| {
            let (from, to) = ends(found);
            for block in from..to {
                let run = match found {
                    Mapping::Hole(_) => None,
                    Mapping::Extent(extent) => {
                        let at = extent.map(LogicalBlock(block)).expect("a part of it");
                        Some((at.0 - u64::from(block)) / 1_000_000 - 1)
                    }
                };
                kept[block as usize] = Some(run);
            }
        }));
        let mut next = None;
        for (block, (kept, known)) in kept.iter().zip(&self.known).enumerate().rev() {
            if all || kept.is_some() {
                assert_eq!(kept, known, "block {block}");
            }
            let block = LogicalBlock(block as u32);
            next = kept.map(|_| block).or(next);
            assert_eq!(self.cache.next(block), next, "behind {block:?}");
        }
    }
}

fn ends(mapping: Mapping) -> (u32, u32) {
    match mapping {
        Mapping::Hole(hole) => (hole.first.0, hole.end.0),
        Mapping::Extent(extent) => (extent.logical().0, extent.end().0),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    #[test]
    fn knows_what_was_kept_and_not_forgotten(steps in prop::collection::vec(exact(), 1..800)) {
        let mut pairs = Pairs::new();
        for step in steps {
            pairs.apply(step);
            pairs.verify(true);
        }
    }

    #[test]
    fn knows_nothing_else_when_memory_is_short(steps in prop::collection::vec(lossy(), 1..800)) {
        let mut pairs = Pairs::new();
        for step in steps {
            pairs.apply(step);
            pairs.verify(false);
        }
    }
}

/// Mappings in a run.
const EACH: u32 = RUN as u32;

/// `count` extents of one block, every other block, in order.
fn ascending(count: u32) -> Cache<Heap> {
    LUCK.set(None);
    let mut cache = Cache::default();
    for n in 0..count {
        cache.keep(written(2 * n));
    }
    cache
}

#[test]
fn what_grows_at_its_end_is_dense() {
    let cache = ascending(4096);
    assert_eq!(cache.runs(), 4096 / RUN);
    assert_eq!(cache.bytes(), 4096 * 16 + 4096 / RUN * 32);
    assert_eq!(Cache::<Heap>::default().bytes(), 0);
    assert_eq!(ascending(1).bytes(), 4 * 16 + 32);
}

#[test]
fn any_order_leaves_room_for_no_more_than_as_much_again() {
    LUCK.set(None);
    let mut cache = Cache::<Heap>::default();
    for n in 0..4096u32 {
        // Odd, so each one comes once.
        cache.keep(written(2 * (n * 2741 % 4096)));
    }
    assert!((0..4096).all(|n| cache.find(LogicalBlock(2 * n)).is_some()));
    assert!(cache.runs() <= 2 * 4096 / RUN, "{} runs", cache.runs());
}

#[test]
fn little_is_done_at_once() {
    let mut cache = ascending(EACH * 300);
    let all = LogicalBlock(0)..LogicalBlock(u32::MAX);
    for calls in 1.. {
        let before = cache.runs();
        let forgotten = cache.forget(all.clone());
        assert!(forgotten.any && before - cache.runs() <= MOST);
        if !forgotten.more {
            assert_eq!(calls, 5);
            break;
        }
    }
    assert_eq!((cache.runs(), cache.bytes()), (0, 0));
}

#[test]
fn few_mappings_are_in_few_runs() {
    let mut cache = ascending(EACH * 3);
    let mut forget = |from: u32, to: u32| {
        let range = LogicalBlock(2 * from)..LogicalBlock(2 * to);
        assert!(!cache.forget(range).more);
        cache.runs()
    };
    assert_eq!(forget(2, EACH), 3);
    assert_eq!(forget(2 * EACH, 3 * EACH - 2), 3);
    // What was between them is gone as a whole.
    assert_eq!(forget(EACH, 2 * EACH), 1);
    assert!([0, 1, 3 * EACH - 2, 3 * EACH - 1]
        .map(|n| cache.find(LogicalBlock(2 * n)))
        .iter()
        .all(Option::is_some));
    assert!(cache.check(|_| ()));
}

#[test]
fn a_cache_that_is_too_large_gives_back_what_was_not_used() {
    // What is kept was just used, so all has a second chance first.
    let full = RUNS as u32 * EACH;
    let mut cache = ascending(full);
    assert_eq!(cache.runs(), RUNS);
    for n in full..full + 100 * EACH {
        cache.keep(written(2 * n));
        assert!(cache.runs() <= RUNS);
    }
    assert!(cache
        .find(LogicalBlock(2 * (full + 100 * EACH - 1)))
        .is_some());
    // One run for each that came, no more.
    let known = (0..full + 100 * EACH).filter(|n| cache.find(LogicalBlock(2 * n)).is_some());
    assert!(known.count() >= (RUNS - 1) * RUN);
}

#[test]
fn what_was_used_is_given_back_the_next_time() {
    let mut cache = ascending(EACH * 40);
    // All was just made.
    let mut looks = 100;
    assert_eq!(cache.give_back(&mut looks), (0, true));
    assert_eq!(looks, 60, "it does not go round again");
    for run in (0..40).step_by(4) {
        assert!(cache.find(LogicalBlock(2 * EACH * run)).is_some());
    }
    let mut looks = 15;
    assert_eq!(cache.give_back(&mut looks), (11, false));
    let mut looks = 100;
    assert_eq!(cache.give_back(&mut looks), (19, true));
    assert_eq!(cache.runs(), 10);
    let known = (0..40).filter(|run| cache.find(LogicalBlock(2 * EACH * run + 2)).is_some());
    assert_eq!(known.count(), 10);
    assert_eq!(cache.give_back(&mut 100), (0, true));
    assert_eq!(cache.give_back(&mut 100), (10, true));
    assert_eq!(cache.bytes(), 0);
}

#[test]
fn without_memory_nothing_is_lost_but_what_is_new() {
    let mut cache = ascending(10 * EACH);
    let runs = cache.runs();
    LUCK.set(Some(0));
    for n in 0..10 * EACH + 40 {
        // In the midst of full runs, and behind all.
        cache.keep(written(2 * n + 1));
    }
    LUCK.set(None);
    assert_eq!(cache.runs(), runs);
    assert!((0..10 * EACH).all(|n| cache.find(LogicalBlock(2 * n)).is_some()));
}

/// What is preallocated in a hole and written then is known all the time: the tree is looked at once.
#[test]
fn conversions_leave_nothing_unknown() {
    LUCK.set(None);
    let mut pair = Pair::new(1024, 100);
    let state = State::Unwritten;
    let (at, len, run) = (0, SPACE, 0);
    pair.apply(
        Op::Insert {
            at,
            len,
            run,
            state,
        },
        false,
    );
    for n in 0..SPACE {
        // 487 is coprime to the number of blocks.
        let (at, to) = (n * 487 % SPACE, State::Written);
        pair.with(|memory| {
            let range = LogicalBlock(at)..LogicalBlock(at + 1);
            convert(memory, range, to, 1).map(drop).expect("a change");
        });
        if n % 100 == 0 {
            assert!((0..SPACE).all(|at| pair.cache.find(LogicalBlock(at)).is_some()));
        }
    }
    // And it is not in more pieces than the tree is, but for the hole behind all.
    let shape = pair.with(|memory| check(memory, &mut |_| ()));
    let mut kept = 0;
    assert!(pair.cache.check(|_| kept += 1));
    assert_eq!(kept, shape.expect("a sound tree").extents + 1);
    assert!(
        pair.cache.runs() <= 1 + kept / 4,
        "{} runs",
        pair.cache.runs()
    );
}

/// The longest written extent becomes two, which takes another way than all others.
#[test]
fn the_longest_extent_is_known_no_more() {
    LUCK.set(None);
    let mut pair = Pair::new(1024, 100);
    let len = State::Written.max_len();
    let Mapping::Extent(longest) = mapping(0, len, Some(0)) else {
        panic!("a hole");
    };
    let to = State::Unwritten;
    pair.with(|memory| insert(memory, longest))
        .expect("a change");
    pair.look_up([0]);
    let range = longest.logical()..longest.end();
    let done = pair.with(|memory| convert(memory, range, to, 2));
    assert_eq!(done, Ok(Progress::Done));
    assert!((0..len).all(|at| pair.cache.find(LogicalBlock(at)).is_none()));
}

/// What becomes two extents is not known as one.
#[test]
fn an_extent_that_was_split_is_known_no_more() {
    LUCK.set(None);
    let mut pair = Pair::new(1024, 100);
    let Mapping::Extent(extent) = mapping(0, 10, Some(0)) else {
        panic!("a hole");
    };
    pair.with(|memory| insert(memory, extent))
        .expect("a change");
    pair.look_up([0]);
    pair.with(|memory| split(memory, LogicalBlock(4)))
        .expect("a change");
    assert!((0..10).all(|at| pair.cache.find(LogicalBlock(at)).is_none()));
}
