// SPDX-License-Identifier: GPL-2.0

//! A tree in memory next to a model of it, which is a map from each block to where it lies.

// Each test uses a part of it.
#![allow(dead_code)]

use std::cell::Cell;
use std::collections::BTreeMap;
use std::ops::Range;

use rext4_extent::disk::extent::{DataArea, Extent, State, LOGICAL_END, MAX_DEPTH, ROOT_SIZE};
use rext4_extent::disk::units::{LogicalBlock, PhysicalBlock};
use rext4_extent::extent::cache::{self, Cache};
use rext4_extent::extent::check::{check, Shape};
use rext4_extent::extent::memory::{BlockState, Memory, MemoryError};
use rext4_extent::extent::{
    self, convert, credits, insert, lookup, narrow, next_extent, remove, replace, shift_down,
    shift_up, split, Mapping, Progress, TreeError,
};

/// The first block for nodes. Below it are those for data.
const NODES: u64 = 1 << 40;

/// Logical blocks that the tests use: a change beyond them would be a mistake.
pub const SPACE: u32 = 1200;

/// The smallest node for which everything holds that the larger ones promise: six entries.
pub const TINY: usize = 12 + 6 * 12 + 4;

thread_local! {
    /// How many more lists of a cache can grow; `None` without a limit.
    pub static LUCK: Cell<Option<u32>> = const { Cell::new(None) };
}

/// Memory of the host, which fails when [`LUCK`] says so.
pub struct Heap;

/// A list of a cache. It grows as the kernel's do.
pub struct Growing<T>(Vec<T>);

impl cache::Memory for Heap {
    type List<T> = Growing<T>;
}

impl<T> Default for Growing<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<T> cache::List<T> for Growing<T> {
    fn items(&self) -> &[T] {
        &self.0
    }

    fn items_mut(&mut self) -> &mut [T] {
        &mut self.0
    }

    fn capacity(&self) -> usize {
        self.0.capacity()
    }

    fn reserve(&mut self, more: usize) -> bool {
        let (len, old) = (self.0.len(), self.0.capacity());
        if old - len >= more {
            return true;
        }
        match LUCK.get() {
            Some(0) => return false,
            luck => LUCK.set(luck.map(|left| left - 1)),
        }
        self.0.reserve_exact((2 * old).max(len + more) - len);
        true
    }

    fn insert(&mut self, at: usize, item: T) {
        assert!(self.0.len() < self.0.capacity(), "no room was made");
        self.0.insert(at, item);
    }

    fn truncate(&mut self, len: usize) {
        self.0.truncate(len);
    }
}

/// What each mapped block is mapped to.
pub type Model = BTreeMap<u32, (u64, State)>;

/// A change of a tree.
#[derive(Clone, Copy, Debug)]
pub enum Op {
    /// Insert on one of several runs of the device. Neighbours on the same run are contiguous.
    Insert {
        at: u32,
        len: u32,
        run: u64,
        state: State,
    },
    /// Convert.
    Convert { at: u32, len: u32, to: State },
    /// Map to another run of the device.
    Replace { at: u32, len: u32, run: u64 },
    /// Remove what is mapped.
    Remove { at: u32, len: u32 },
    /// Remove what is mapped, and have what follows move up to it.
    Collapse { at: u32, len: u32 },
    /// Remove what is at the end of the space, and move what follows a place there.
    Open { at: u32, len: u32 },
}

/// The state of a tree in memory, to go back to.
type Snapshot = ([u8; ROOT_SIZE], Vec<u8>, Vec<BlockState>);

/// A tree and its model.
pub struct Pair {
    block_size: usize,
    root: [u8; ROOT_SIZE],
    arena: Vec<u8>,
    states: Vec<BlockState>,
    pub model: Model,
    /// What was looked up, as far as it is told of changes.
    pub cache: Cache<Heap>,
    /// The greatest depth that was seen.
    pub deepest: u16,
    /// How often something was refused because the tree had all levels.
    pub too_deep: usize,
}

fn put(model: &mut Model, from: u32, to: u32, physical: u64, state: State) {
    for block in from..to {
        model.insert(block, (physical + u64::from(block - from), state));
    }
}

impl Pair {
    pub fn new(block_size: usize, blocks: usize) -> Self {
        let mut root = [0; ROOT_SIZE];
        extent::format_root(&mut root);
        Self {
            block_size,
            root,
            arena: vec![0; block_size * blocks],
            states: vec![BlockState::default(); blocks],
            model: Model::new(),
            cache: Cache::default(),
            deepest: 0,
            too_deep: 0,
        }
    }

    /// Calls `f` with the tree, in a transaction of its own.
    pub fn with<R>(&mut self, f: impl FnOnce(&mut Memory<'_>) -> R) -> R {
        let mut states = self.states.clone();
        let area = DataArea {
            first: PhysicalBlock(1),
            end: PhysicalBlock(1 << 44),
        };
        let first = PhysicalBlock(NODES);
        let mut memory = Memory::new(&mut self.arena, &mut states, self.block_size, first, area);
        memory.root = self.root;
        memory.watch = Some(&mut self.cache);
        memory.set_states(&self.states);
        memory.begin();
        let result = f(&mut memory);
        self.root = memory.root;
        self.states = states;
        result
    }

    fn snapshot(&self) -> Snapshot {
        (self.root, self.arena.clone(), self.states.clone())
    }

    fn restore(&mut self, (root, arena, states): Snapshot) {
        (self.root, self.arena, self.states) = (root, arena, states);
        // It was told of none of that.
        self.cache = Cache::default();
    }

    /// Keeps what the tree says of some blocks.
    pub fn look_up(&mut self, blocks: impl IntoIterator<Item = u32>) {
        for block in blocks.into_iter().filter(|&block| block < SPACE) {
            let found = self.with(|memory| lookup(memory, LogicalBlock(block)));
            self.cache.keep(found.expect("no error"));
        }
    }

    /// Keeps what the tree says of the blocks around those that `op` changes.
    fn look_around(&mut self, op: Op) {
        let (Op::Insert { at, len, .. }
        | Op::Convert { at, len, .. }
        | Op::Replace { at, len, .. }
        | Op::Remove { at, len }
        | Op::Collapse { at, len }
        | Op::Open { at, len }) = op;
        let far = at * 7 % SPACE;
        self.look_up([at.saturating_sub(1), at, at + len / 2, at + len, far]);
    }

    /// Checks that what is kept is what the tree says, and of no two of its extents at once.
    fn verify_cache(&self, extents: &[Extent]) {
        let mut mappings = Vec::new();
        assert!(self.cache.check(|mapping| mappings.push(mapping)));
        for mapping in mappings {
            match mapping {
                Mapping::Hole(hole) => {
                    let mut inside = self.model.range(hole.first.0..hole.end.0);
                    assert_eq!(inside.next(), None, "{mapping:?}");
                }
                Mapping::Extent(kept) => {
                    let at = extents.partition_point(|extent| extent.end() <= kept.logical());
                    let part = |all: &Extent| all.part(kept.logical(), kept.end());
                    assert_eq!(extents.get(at).and_then(part), Some(kept));
                }
            }
        }
    }

    /// Checks the whole tree, and that it says what the model says.
    pub fn verify(&mut self) -> Shape {
        let (mut found, mut extents) = (Model::new(), Vec::new());
        let (shape, in_use) = self.with(|memory| {
            let shape = check(memory, &mut |extent| {
                extents.push(extent);
                let (from, to) = (extent.logical().0, extent.end().0);
                put(&mut found, from, to, extent.physical().0, extent.state());
            });
            (shape.expect("a sound tree"), memory.in_use())
        });
        assert_eq!(found, self.model);
        self.verify_cache(&extents);
        assert_eq!(
            shape.nodes, in_use,
            "blocks that are in use and not in the tree"
        );
        if found.is_empty() {
            assert_eq!(shape.depth, 0, "an empty tree that is not its root alone");
        }
        self.deepest = self.deepest.max(shape.depth);
        shape
    }

    /// Checks what reading says of the block `at` and around it.
    pub fn verify_reads(&mut self, at: u32) {
        let model = std::mem::take(&mut self.model);
        self.with(|memory| {
            let next = next_extent(memory, LogicalBlock(at)).expect("no error");
            let expected = model.range(at..).next();
            match (next, expected) {
                (None, None) => {}
                (Some(extent), Some((&block, &(physical, state)))) => {
                    assert_eq!(
                        extent.map(LogicalBlock(block)),
                        Some(PhysicalBlock(physical))
                    );
                    assert_eq!(extent.state(), state);
                    assert!(block == at || extent.logical().0 == block);
                }
                wrong => panic!("after {at}: {wrong:?}"),
            }
            match lookup(memory, LogicalBlock(at)).expect("no error") {
                Mapping::Extent(extent) => {
                    assert!(model.contains_key(&at));
                    assert_eq!(Some(extent), next);
                }
                Mapping::Hole(hole) => {
                    let end = expected.map_or(LOGICAL_END.0, |(&block, _)| block);
                    assert_eq!(hole.end.0, end);
                    let first = model
                        .range(..at)
                        .next_back()
                        .map_or(0, |(&block, _)| block + 1);
                    assert_eq!(hole.first.0, first);
                }
            }
        });
        self.model = model;
    }

    /// `op` changed so that it succeeds, if there is a place at or behind where it starts.
    pub fn fit(&self, op: Op) -> Op {
        let mapped = |block: &u32| self.model.contains_key(block);
        let place = |at: u32, len: u32, wanted: bool| {
            let start = (at..SPACE).find(|block| mapped(block) == wanted)?;
            let end = start.saturating_add(len).min(SPACE);
            let len = (start..end)
                .take_while(|block| mapped(block) == wanted)
                .count();
            Some((start, len as u32))
        };
        match op {
            Op::Insert {
                at,
                len,
                run,
                state,
            } => place(at, len, false).map_or(op, |(at, len)| Op::Insert {
                at,
                len,
                run,
                state,
            }),
            Op::Convert { at, len, to } => {
                place(at, len, true).map_or(op, |(at, len)| Op::Convert { at, len, to })
            }
            Op::Replace { at, len, run } => {
                place(at, len, true).map_or(op, |(at, len)| Op::Replace { at, len, run })
            }
            Op::Remove { .. } | Op::Collapse { .. } | Op::Open { .. } => op,
        }
    }

    /// Does `op` to the tree and the model.
    ///
    /// If `inject`, first fails it at each point at which it can fail.
    pub fn apply(&mut self, op: Op, inject: bool) {
        let before = self.with(|memory| extent::depth(memory)).expect("no error");
        if inject {
            self.fail_everywhere(op);
        }
        self.look_around(op);
        let (result, counts, touched) = self.with(|memory| {
            let result = run(memory, op);
            (result, memory.counts, memory.touched() as u32)
        });
        let model = self.model.clone();
        match (result, self.expected(op)) {
            (Err(MemoryError::Tree(TreeError::TooDeep)), _) => {
                assert_eq!(before, MAX_DEPTH);
                self.too_deep += 1;
                self.model = model;
                self.accept_part(op);
            }
            (Ok(()), Ok(freed)) => assert_eq!(counts.freed_data, freed),
            (Err(MemoryError::Tree(TreeError::Occupied(extent))), Err(at)) => {
                assert!(matches!(op, Op::Insert { .. }));
                assert!(extent.map(LogicalBlock(at)).is_some());
            }
            (Err(MemoryError::Tree(TreeError::Hole(block))), Err(at)) => {
                assert!(matches!(op, Op::Convert { .. } | Op::Replace { .. }));
                assert_eq!(block.0, at);
            }
            wrong => panic!("{op:?}: {wrong:?}"),
        }
        let extents = SPACE;
        let (new, all) = match op {
            Op::Insert { .. } => (credits::splice_new(before), credits::splice(before)),
            // The other way round as well, for extents as short as these.
            Op::Convert { .. } => (
                credits::convert_new(before),
                credits::convert(before, extents),
            ),
            // `run` looks at each of its steps.
            Op::Replace { .. } => (u32::MAX, u32::MAX),
            Op::Remove { .. } => (
                credits::splice_new(before),
                credits::remove(before, extents),
            ),
            Op::Collapse { .. } => (
                credits::splice_new(before),
                credits::remove(before, extents) + credits::shift(before + 1, extents),
            ),
            Op::Open { .. } => (
                credits::splice_new(before),
                credits::remove(before, extents)
                    + credits::splice(before)
                    + credits::shift(before + 1, extents),
            ),
        };
        assert!(
            counts.allocated <= new,
            "{op:?} allocated {counts:?} at depth {before}"
        );
        assert!(touched <= all, "{op:?} touched {touched} at depth {before}");
    }

    /// Fails `op` at each point, and checks that the tree is as it was or a valid part of the way.
    fn fail_everywhere(&mut self, op: Op) {
        for steps in 0.. {
            self.look_around(op);
            let (snapshot, model) = (self.snapshot(), self.model.clone());
            let result = self.with(|memory| {
                memory.fail_after = Some(steps);
                run(memory, op)
            });
            if result != Err(MemoryError::Injected) {
                self.restore(snapshot);
                return;
            }
            match op {
                // Not even a byte may differ that the tree uses.
                Op::Insert { .. } => assert_eq!(self.root, snapshot.0),
                _ => self.accept_part(op),
            }
            self.verify();
            self.restore(snapshot);
            self.model = model;
        }
    }

    /// Brings the model to where the tree is, if that is a part of the way of `op`.
    fn accept_part(&mut self, op: Op) {
        let mut found = Model::new();
        self.with(|memory| {
            check(memory, &mut |extent| {
                let (from, to) = (extent.logical().0, extent.end().0);
                put(&mut found, from, to, extent.physical().0, extent.state());
            })
        })
        .expect("a sound tree");
        match op {
            Op::Insert { .. } => {}
            Op::Convert { at, len, to } => {
                // All that is converted lies before all that is not.
                let mut part = self.model.clone();
                for block in at..at + len {
                    if part == found {
                        break;
                    }
                    if let Some((_, state)) = part.get_mut(&block) {
                        *state = to;
                    }
                }
                self.model = part;
            }
            Op::Replace { at, len, run } => {
                for block in at..at + len {
                    if self.model == found {
                        break;
                    }
                    if let Some((place, _)) = self.model.get_mut(&block) {
                        *place = physical(run, block);
                    }
                }
            }
            Op::Remove { at, len } => {
                for block in (at..at + len).rev() {
                    if self.model == found {
                        break;
                    }
                    self.model.remove(&block);
                }
            }
            Op::Collapse { at, len } => {
                for block in (at..at + len).rev() {
                    if self.model == found {
                        break;
                    }
                    self.model.remove(&block);
                }
                // What has moved lies before all that has not.
                let rest = self.model.clone();
                let by = -i64::from(len);
                let starts = rest.range(at + len..).map(|(&block, _)| block);
                let is_found = |end: &u32| is_shifted(&rest, &(at + len..*end), by, &found);
                if let Some(end) = starts.chain([SPACE]).find(is_found) {
                    self.model = shifted(&rest, at + len..end, by);
                }
            }
            Op::Open { at, len } => {
                for block in (SPACE - len..SPACE).rev() {
                    if self.model == found {
                        break;
                    }
                    self.model.remove(&block);
                }
                // What has moved lies behind all that has not.
                let rest = self.model.clone();
                let by = i64::from(len);
                let mut starts = rest.range(at..).map(|(&block, _)| block).chain([SPACE]);
                let is_found = |from: &u32| is_shifted(&rest, &(*from..SPACE), by, &found);
                if let Some(from) = starts.find(is_found) {
                    self.model = shifted(&rest, from..SPACE, by);
                }
            }
        }
        assert_eq!(
            self.model, found,
            "{op:?} left something else than a part of it"
        );
    }

    /// Does `op` to the model. Gives the blocks of data freed, or the block that is in the way.
    fn expected(&mut self, op: Op) -> Result<u32, u32> {
        match op {
            Op::Insert {
                at,
                len,
                run,
                state,
            } => {
                if let Some((&block, _)) = self.model.range(at..at + len).next() {
                    return Err(block);
                }
                put(&mut self.model, at, at + len, physical(run, at), state);
                Ok(0)
            }
            Op::Convert { at, len, to } => {
                for block in at..at + len {
                    match self.model.get_mut(&block) {
                        Some((_, state)) => *state = to,
                        None => return Err(block),
                    }
                }
                Ok(0)
            }
            Op::Replace { at, len, run } => {
                for block in at..at + len {
                    match self.model.get_mut(&block) {
                        Some((place, _)) => *place = physical(run, block),
                        None => return Err(block),
                    }
                }
                Ok(0)
            }
            Op::Remove { at, len } => {
                let before = self.model.len();
                self.model
                    .retain(|block, _| !(at..at + len).contains(block));
                Ok((before - self.model.len()) as u32)
            }
            Op::Collapse { at, len } => {
                let freed = self.expected(Op::Remove { at, len });
                self.model = shifted(&self.model, at + len..SPACE, -i64::from(len));
                freed
            }
            Op::Open { at, len } => {
                let end = Op::Remove {
                    at: SPACE - len,
                    len,
                };
                let freed = self.expected(end);
                self.model = shifted(&self.model, at..SPACE, i64::from(len));
                freed
            }
        }
    }
}

/// Whether `found` is the model with a part of it moved.
fn is_shifted(model: &Model, part: &Range<u32>, by: i64, found: &Model) -> bool {
    let to = |block: u32| match part.contains(&block) {
        true => i64::from(block) + by,
        false => i64::from(block),
    };
    let moved = model.iter().map(|(&block, at)| (to(block), at));
    moved.eq(found.iter().map(|(&block, at)| (i64::from(block), at)))
}

/// The model with a part of it moved.
fn shifted(model: &Model, part: Range<u32>, by: i64) -> Model {
    let to = |block: u32| match part.contains(&block) {
        true => u32::try_from(i64::from(block) + by).expect("a block"),
        false => block,
    };
    model.iter().map(|(&block, &at)| (to(block), at)).collect()
}

/// The block of the device for logical block `at` on a `run`.
fn physical(run: u64, at: u32) -> u64 {
    1_000_000 * (run + 1) + u64::from(at)
}

fn run(memory: &mut Memory<'_>, op: Op) -> Result<(), MemoryError> {
    let range = |at: u32, len: u32| LogicalBlock(at)..LogicalBlock(at + len);
    let progress = match op {
        Op::Insert {
            at,
            len,
            run,
            state,
        } => {
            let start = PhysicalBlock(physical(run, at));
            let extent = Extent::new(LogicalBlock(at), start, len, state);
            insert(memory, extent.expect("a valid extent"))?;
            Progress::Done
        }
        Op::Convert { at, len, to } => convert(memory, range(at, len), to, usize::MAX)?,
        Op::Replace { at, len, run } => {
            let all = range(at, len);
            let mut at = all.start;
            while at < all.end {
                at = replace_one(memory, at..all.end, run)?;
            }
            narrow(memory)?;
            Progress::Done
        }
        Op::Remove { at, len } => remove(memory, range(at, len), usize::MAX)?,
        Op::Collapse { at, len } => {
            let gap = range(at, len);
            assert_eq!(remove(memory, gap.clone(), usize::MAX)?, Progress::Done);
            // In the smallest steps.
            let mut progress = Progress::More(gap.end);
            while let Progress::More(from) = progress {
                progress = shift_down(memory, from, len, 1)?;
            }
            progress
        }
        Op::Open { at, len } => {
            let end = range(SPACE - len, len);
            assert_eq!(remove(memory, end, usize::MAX)?, Progress::Done);
            let at = LogicalBlock(at);
            split(memory, at)?;
            let mut progress = Progress::More(LOGICAL_END);
            while let Progress::More(end) = progress {
                progress = shift_up(memory, at, end, len, 1)?;
            }
            progress
        }
    };
    assert_eq!(progress, Progress::Done);
    Ok(())
}

/// Has what a range has of the first extent in it mapped to another run, back, and there again; gives
/// its end.
fn replace_one(
    memory: &mut Memory<'_>,
    range: Range<LogicalBlock>,
    run: u64,
) -> Result<LogicalBlock, MemoryError> {
    let Mapping::Extent(extent) = lookup(memory, range.start)? else {
        return Err(TreeError::Hole(range.start).into());
    };
    let old = extent.part(range.start, range.end).expect("a part of it");
    let start = PhysicalBlock(physical(run, range.start.0));
    let new = Extent::new(range.start, start, old.len(), old.state()).expect("a valid extent");
    let most = credits::splice_new(extent::depth(memory)?);
    let before = memory.counts.allocated;
    assert_eq!(replace(memory, new)?, old);
    let allocated = memory.counts.allocated;
    assert!(allocated - before <= most, "{new:?} allocated too much");
    assert_eq!(replace(memory, old)?, new);
    assert_eq!(memory.counts.allocated, allocated, "{old:?} put back");
    assert_eq!(replace(memory, new)?, old);
    Ok(new.end())
}
