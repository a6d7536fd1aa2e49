// SPDX-License-Identifier: GPL-2.0

//! Tests of the tree in the kernel: each position, at each depth.
//!
//! What the host's tests find by chance is here in full for a few trees, compiled as the module
//! is: by its compiler, with its flags. Nodes have six entries, so that four levels are small.

use core::cell::Cell;

use kernel::prelude::*;

use super::check::check;
use super::memory::{BlockState, Memory, MemoryError};
use super::{
    convert, insert, lookup, next_extent, remove, shift_down, shift_up, split, Mapping, Progress,
    TreeError,
};
use crate::disk::extent::{DataArea, Extent, State, LOGICAL_END, ROOT_SIZE};
use crate::disk::units::{LogicalBlock, PhysicalBlock};

/// A node with room for six entries.
const NODE_SIZE: usize = 12 + 6 * 12 + 4;

/// Blocks for nodes.
const NODES: usize = 400;

/// From the start of one of the first extents to the start of the next.
const STEP: u32 = 8;

/// Blocks in each of the first extents.
const LEN: u32 = 4;

/// Numbers of first extents, and the depth that they make: inserted one behind the other, they
/// fill all nodes.
const TREES: [(u32, u16); 5] = [(1, 0), (4, 0), (20, 1), (60, 2), (180, 3)];

/// What a logical block is mapped to.
type Mapped = Option<(u64, State)>;

/// The memory of a tree, and a copy of it to go back to.
struct Bed {
    arena: KVVec<u8>,
    states: KVVec<BlockState>,
    saved_root: [u8; ROOT_SIZE],
    saved_arena: KVVec<u8>,
    saved_states: KVVec<BlockState>,
    /// What the tree maps, block by block.
    found: KVVec<Mapped>,
}

/// The extents that a tree starts with, and what they map.
#[derive(Clone, Copy)]
struct Start {
    count: u32,
    state: State,
}

impl Start {
    /// The first extent number `n`. It continues no other one.
    fn extent(self, n: u32) -> Result<Extent> {
        let at = n * STEP;
        new_extent(at, LEN, physical(at), self.state)
    }

    /// What `block` is mapped to.
    fn mapped(self, block: u32) -> Mapped {
        let inside = block < self.count * STEP && block % STEP < LEN;
        inside.then(|| (physical(block), self.state))
    }
}

/// The block of the device for `block`.
fn physical(block: u32) -> u64 {
    1_000_000 + u64::from(block)
}

fn new_extent(at: u32, len: u32, to: u64, state: State) -> Result<Extent> {
    Extent::new(LogicalBlock(at), PhysicalBlock(to), len, state).ok_or(EINVAL)
}

fn range(from: u32, to: u32) -> core::ops::Range<LogicalBlock> {
    LogicalBlock(from)..LogicalBlock(to)
}

/// Says in the log what is wrong, which a test's result cannot.
fn ok<T>(result: Result<T, MemoryError>) -> Result<T> {
    result.map_err(|error| {
        pr_err!("extent tree: {error:?}\n");
        EIO
    })
}

/// Carries an operation through that is done in one step.
fn done(result: Result<Progress, MemoryError>) -> Result {
    match ok(result)? {
        Progress::Done => Ok(()),
        Progress::More(at) => {
            pr_err!("extent tree: stopped at {at:?}\n");
            Err(EIO)
        }
    }
}

impl Bed {
    fn new() -> Result<Self> {
        Ok(Self {
            arena: KVVec::from_elem(0, NODES * NODE_SIZE, GFP_KERNEL)?,
            states: KVVec::from_elem(BlockState::default(), NODES, GFP_KERNEL)?,
            saved_root: [0; ROOT_SIZE],
            saved_arena: KVVec::from_elem(0, NODES * NODE_SIZE, GFP_KERNEL)?,
            saved_states: KVVec::from_elem(BlockState::default(), NODES, GFP_KERNEL)?,
            found: KVVec::new(),
        })
    }

    /// Makes a tree with the first extents, checks its depth and keeps a copy.
    fn start(&mut self, start: Start, depth: u16) -> Result {
        let mut memory = empty(&mut self.arena, &mut self.states);
        for n in 0..start.count {
            memory.begin();
            ok(insert(&mut memory, start.extent(n)?))?;
        }
        if ok(super::depth(&memory))? != depth {
            pr_err!(
                "extent tree: {} extents do not make depth {depth}\n",
                start.count
            );
            return Err(EINVAL);
        }
        self.saved_root = memory.root;
        self.saved_arena.copy_from_slice(&self.arena);
        self.saved_states.copy_from_slice(&self.states);
        Ok(())
    }

    /// Goes back to the copy, lets `change` do one thing to the tree, and checks that all of it is
    /// sound and maps what `expected` says.
    fn try_one(
        &mut self,
        start: Start,
        change: impl FnOnce(&mut Memory<'_>) -> Result,
        expected: impl Fn(u32) -> Mapped,
    ) -> Result {
        let end = (start.count + 1) * STEP;
        self.arena.copy_from_slice(&self.saved_arena);
        let mut memory = empty(&mut self.arena, &mut self.states);
        memory.root = self.saved_root;
        memory.set_states(&self.saved_states);
        memory.begin();
        change(&mut memory)?;

        self.found.clear();
        self.found.resize(end as usize, None, GFP_KERNEL)?;
        let found = &mut self.found;
        let mut outside = false;
        let shape = ok(check(&memory, &mut |extent| {
            for block in extent.logical().0..extent.end().0 {
                let at = extent
                    .map(LogicalBlock(block))
                    .map(|at| (at.0, extent.state()));
                match found.get_mut(block as usize) {
                    Some(place) => *place = at,
                    None => outside = true,
                }
            }
        }))?;
        if outside || shape.unjoined != 0 || shape.nodes != memory.in_use() {
            pr_err!("extent tree: {shape:?}, {} nodes in use\n", memory.in_use());
            return Err(EIO);
        }
        for (block, found) in (0..).zip(self.found.iter()) {
            if *found != expected(block) {
                pr_err!("extent tree: block {block} is {found:?}\n");
                return Err(EIO);
            }
        }
        Ok(())
    }
}

/// An empty tree.
fn empty<'a>(arena: &'a mut [u8], states: &'a mut [BlockState]) -> Memory<'a> {
    let area = DataArea {
        first: PhysicalBlock(1),
        end: PhysicalBlock(1 << 40),
    };
    Memory::new(arena, states, NODE_SIZE, PhysicalBlock(1 << 30), area)
}

/// Calls `f` with each tree of [`TREES`] whose extents are in `state`.
fn each_tree(state: State, mut f: impl FnMut(&mut Bed, Start) -> Result) -> Result {
    let mut bed = Bed::new()?;
    for (count, depth) in TREES {
        let start = Start { count, state };
        bed.start(start, depth)?;
        f(&mut bed, start)?;
    }
    Ok(())
}

/// Converts blocks `from..to` of each extent of each tree, one extent at a time.
fn convert_each(from: u32, to: u32, old: State) -> Result {
    let new = old.opposite();
    each_tree(old, |bed, start| {
        for n in 0..start.count {
            let (first, end) = (n * STEP + from, n * STEP + to);
            bed.try_one(
                start,
                |tree| done(convert(tree, range(first, end), new, 2)),
                |block| {
                    let (at, state) = start.mapped(block)?;
                    let inside = (first..end).contains(&block);
                    Some((at, if inside { new } else { state }))
                },
            )?;
        }
        Ok(())
    })
}

/// Removes blocks `from..to`, counted from the start of each extent of each tree.
fn remove_each(from: u32, to: u32) -> Result {
    each_tree(State::Written, |bed, start| {
        for n in 0..start.count {
            let (first, end) = (n * STEP + from, n * STEP + to);
            bed.try_one(
                start,
                |tree| done(remove(tree, range(first, end), 3)),
                |block| {
                    start
                        .mapped(block)
                        .filter(|_| !(first..end).contains(&block))
                },
            )?;
        }
        Ok(())
    })
}

#[kunit_tests(rext4_extent)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_tree_is_one_hole() -> Result {
        let mut bed = Bed::new()?;
        let tree = empty(&mut bed.arena, &mut bed.states);
        let hole = ok(lookup(&tree, LogicalBlock(7)))?;
        assert!(matches!(hole, Mapping::Hole(hole) if hole.first.0 == 0 && hole.end.0 == u32::MAX));
        assert!(ok(next_extent(&tree, LogicalBlock(0)))?.is_none());
        assert!(lookup(&tree, LogicalBlock(u32::MAX)).is_err());
        Ok(())
    }

    #[test]
    fn lookup_finds_each_block_and_each_hole() -> Result {
        let result = each_tree(State::Written, |bed, start| {
            let check = |tree: &mut Memory<'_>| {
                for block in 0..start.count * STEP {
                    let mapping = ok(lookup(tree, LogicalBlock(block)))?;
                    let n = block / STEP;
                    let next = ok(next_extent(tree, LogicalBlock(block)))?;
                    let right = if let Mapping::Hole(hole) = mapping {
                        let last = n + 1 == start.count;
                        let end = if last { u32::MAX } else { (n + 1) * STEP };
                        let expected = (!last).then(|| start.extent(n + 1)).transpose()?;
                        block % STEP >= LEN
                            && hole.first.0 == n * STEP + LEN
                            && hole.end.0 == end
                            && next == expected
                    } else {
                        let expected = start.extent(n)?;
                        mapping == Mapping::Extent(expected) && next == Some(expected)
                    };
                    if !right {
                        pr_err!("extent tree: block {block}: {mapping:?}, then {next:?}\n");
                        return Err(EIO);
                    }
                }
                Ok(())
            };
            bed.try_one(start, check, |block| start.mapped(block))
        });
        assert!(result.is_ok());
        Ok(())
    }

    /// The smallest thing, not next to anything, in each hole and behind all.
    #[test]
    fn insert_apart_at_each_position() -> Result {
        each_tree(State::Written, |bed, start| {
            for n in 0..start.count {
                let at = n * STEP + LEN + 1;
                let new = new_extent(at, 1, 77, State::Unwritten)?;
                let expected = |block| match block == at {
                    true => Some((77, State::Unwritten)),
                    false => start.mapped(block),
                };
                bed.try_one(start, |tree| ok(insert(tree, new)), expected)?;
            }
            Ok(())
        })
    }

    /// It continues what is before it, or is continued, or both.
    #[test]
    fn insert_joins_on_each_side() -> Result {
        each_tree(State::Unwritten, |bed, start| {
            for n in 0..start.count {
                for (from, to) in [(LEN, LEN + 1), (STEP - 1, STEP), (LEN, STEP)] {
                    let (from, to) = (n * STEP + from, n * STEP + to);
                    let new = new_extent(from, to - from, physical(from), start.state)?;
                    let expected = |block| match (from..to).contains(&block) {
                        true => Some((physical(block), start.state)),
                        false => start.mapped(block),
                    };
                    bed.try_one(start, |tree| ok(insert(tree, new)), expected)?;
                }
            }
            Ok(())
        })
    }

    #[test]
    fn insert_refuses_what_is_mapped() -> Result {
        each_tree(State::Written, |bed, start| {
            for n in 0..start.count {
                // Over the start, within, and over the end of an extent.
                for (at, len) in [
                    ((n * STEP).saturating_sub(1), 2),
                    (n * STEP + 1, 1),
                    (n * STEP + 3, 2),
                ] {
                    let new = new_extent(at, len, 77, State::Written)?;
                    let refused = |tree: &mut Memory<'_>| match insert(tree, new) {
                        Err(MemoryError::Tree(TreeError::Occupied(_))) => Ok(()),
                        other => {
                            pr_err!("extent tree: {at}+{len}: {other:?}\n");
                            Err(EIO)
                        }
                    };
                    bed.try_one(start, refused, |block| start.mapped(block))?;
                }
            }
            Ok(())
        })
    }

    /// The first of all blocks comes last, so that every node on the way starts with it.
    #[test]
    fn insert_before_everything() -> Result {
        let mut bed = Bed::new()?;
        let mut tree = empty(&mut bed.arena, &mut bed.states);
        for n in (0..180).rev() {
            tree.begin();
            ok(insert(&mut tree, new_extent(2 * n, 1, 10, State::Written)?))?;
            let shape = ok(check(&tree, &mut |_| ()))?;
            assert_eq!(shape.extents, 180 - n as usize);
        }
        Ok(())
    }

    #[test]
    fn convert_whole_extents() -> Result {
        convert_each(0, LEN, State::Unwritten)
    }

    #[test]
    fn convert_heads() -> Result {
        convert_each(0, 1, State::Unwritten)
    }

    #[test]
    fn convert_tails() -> Result {
        convert_each(LEN - 1, LEN, State::Unwritten)
    }

    #[test]
    fn convert_middles() -> Result {
        convert_each(1, 3, State::Unwritten)
    }

    #[test]
    fn convert_middles_back() -> Result {
        convert_each(1, 3, State::Written)
    }

    #[test]
    fn convert_stops_at_a_hole() -> Result {
        each_tree(State::Unwritten, |bed, start| {
            for n in 0..start.count {
                let at = n * STEP;
                let hole = TreeError::Hole(LogicalBlock(at + LEN));
                let stops = |tree: &mut Memory<'_>| match convert(
                    tree,
                    range(at + 2, at + LEN + 1),
                    State::Written,
                    3,
                ) {
                    Err(MemoryError::Tree(error)) if error == hole => Ok(()),
                    other => {
                        pr_err!("extent tree: {other:?} at {at}\n");
                        Err(EIO)
                    }
                };
                // What lies before the hole is written.
                let expected = |block| {
                    let (to, state) = start.mapped(block)?;
                    let inside = (at + 2..at + LEN).contains(&block);
                    Some((to, if inside { State::Written } else { state }))
                };
                bed.try_one(start, stops, expected)?;
            }
            Ok(())
        })
    }

    /// A hole that is opened in an extent and collapsed again leaves it in one piece, unless it is where a
    /// leaf ends.
    #[test]
    fn what_was_moved_apart_joins_again() -> Result {
        each_tree(State::Written, |bed, start| {
            for n in 0..start.count {
                let (at, by) = (LogicalBlock(n * STEP + 2), 2);
                let apart_and_back = |tree: &mut Memory<'_>| {
                    ok(split(tree, at))?;
                    tree.begin();
                    done(shift_up(tree, at, LOGICAL_END, by, NODES))?;
                    tree.begin();
                    done(shift_down(tree, LogicalBlock(at.0 + by), by, NODES))
                };
                bed.try_one(start, apart_and_back, |block| start.mapped(block))?;
            }
            Ok(())
        })
    }

    /// Block by block in two halves, each half of each extent joins its other half again.
    #[test]
    fn convert_joins_what_it_split() -> Result {
        each_tree(State::Unwritten, |bed, start| {
            let all = |tree: &mut Memory<'_>| {
                for part in [1, 3, 0, 2] {
                    for n in 0..start.count {
                        let at = n * STEP + part;
                        tree.begin();
                        done(convert(tree, range(at, at + 1), State::Written, 2))?;
                    }
                }
                let shape = ok(check(tree, &mut |_| ()))?;
                // Only where a leaf ends within an extent does it stay in two.
                let most = start.count as usize + shape.nodes;
                if shape.extents > most {
                    pr_err!("extent tree: {shape:?}\n");
                    return Err(EIO);
                }
                Ok(())
            };
            bed.try_one(start, all, |block| {
                start.mapped(block).map(|(at, _)| (at, State::Written))
            })
        })
    }

    #[test]
    fn a_step_of_a_conversion_stops_where_it_says() -> Result {
        let mut bed = Bed::new()?;
        let mut tree = empty(&mut bed.arena, &mut bed.states);
        tree.begin();
        ok(insert(&mut tree, new_extent(0, 10, 100, State::Unwritten)?))?;
        ok(insert(
            &mut tree,
            new_extent(10, 10, 200, State::Unwritten)?,
        ))?;
        let all = range(0, 20);
        let half = ok(convert(&mut tree, all.clone(), State::Written, 1))?;
        assert_eq!(half, Progress::More(LogicalBlock(10)));
        assert_eq!(
            ok(convert(&mut tree, all, State::Written, 2))?,
            Progress::Done
        );
        Ok(())
    }

    /// The greatest written extent is one block too long for an unwritten one.
    #[test]
    fn the_longest_extent_goes_both_ways() -> Result {
        let mut bed = Bed::new()?;
        let mut tree = empty(&mut bed.arena, &mut bed.states);
        tree.begin();
        let longest = State::Written.max_len();
        ok(insert(
            &mut tree,
            new_extent(5, longest, 100, State::Written)?,
        ))?;
        let all = range(5, 5 + longest);
        done(convert(&mut tree, all.clone(), State::Unwritten, 2))?;
        assert_eq!(ok(check(&tree, &mut |_| ()))?.extents, 2);
        done(convert(&mut tree, all, State::Written, 3))?;
        assert_eq!(ok(check(&tree, &mut |_| ()))?.extents, 1);
        Ok(())
    }

    #[test]
    fn remove_whole_extents() -> Result {
        remove_each(0, LEN)
    }

    #[test]
    fn remove_heads_and_tails() -> Result {
        remove_each(0, 1)?;
        remove_each(LEN - 1, LEN + 1)
    }

    #[test]
    fn remove_middles() -> Result {
        remove_each(1, 3)
    }

    /// From the middle of one extent to the middle of the one after the next.
    #[test]
    fn remove_across_extents() -> Result {
        remove_each(2, 2 * STEP + 2)
    }

    #[test]
    fn remove_everything() -> Result {
        each_tree(State::Unwritten, |bed, start| {
            let all = |tree: &mut Memory<'_>| {
                done(remove(tree, range(0, u32::MAX), usize::MAX))?;
                match (tree.in_use(), ok(super::super::depth(tree))?) {
                    (0, 0) if tree.counts.freed_data == start.count * LEN => Ok(()),
                    (nodes, depth) => {
                        pr_err!("extent tree: {nodes} nodes left, depth {depth}\n");
                        Err(EIO)
                    }
                }
            };
            bed.try_one(start, all, |_| None)
        })
    }

    /// Each step of a conversion that can fail does, and nothing has changed.
    #[test]
    fn a_failure_leaves_the_tree_as_it_was() -> Result {
        each_tree(State::Unwritten, |bed, start| {
            for n in 0..start.count {
                let at = n * STEP + 1;
                let failed = Cell::new(true);
                for steps in 0.. {
                    let fail = |tree: &mut Memory<'_>| {
                        tree.fail_after = Some(steps);
                        let result = convert(tree, range(at, at + 1), State::Written, 1);
                        failed.set(result == Err(MemoryError::Injected));
                        if failed.get() {
                            Ok(())
                        } else {
                            done(result)
                        }
                    };
                    let expected = |block| {
                        let (to, state) = start.mapped(block)?;
                        let written = block == at && !failed.get();
                        Some((to, if written { State::Written } else { state }))
                    };
                    bed.try_one(start, fail, expected)?;
                    if !failed.get() {
                        break;
                    }
                }
            }
            Ok(())
        })
    }
}
