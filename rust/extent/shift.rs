// SPDX-License-Identifier: GPL-2.0

//! Moving all that is mapped behind a place to other logical blocks, for `fallocate` with
//! `COLLAPSE_RANGE` and `INSERT_RANGE`.
//!
//! Leaves are changed one after the other, from the side to which everything moves, so that the
//! tree is valid after each: extents are never in each other's way.

use super::path::Path;
use super::splice::{delete, set_first, top_of_key, Splice};
use super::{NodeStoreMut, Progress, TreeError};
use crate::disk::extent::{Extent, LOGICAL_END};
use crate::disk::units::LogicalBlock;

/// Which way, and how far in blocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Shift {
    /// To lower logical blocks.
    Down(u32),
    /// To higher ones.
    Up(u32),
}

impl Shift {
    /// Where `block` goes.
    fn apply(self, block: LogicalBlock) -> Result<LogicalBlock, TreeError> {
        let to = match self {
            Self::Down(by) => block.0.checked_sub(by),
            Self::Up(by) => block.0.checked_add(by),
        };
        to.map(LogicalBlock).ok_or(TreeError::OutOfRange(block))
    }
}

/// Makes one extent of which `at` is a part, but not the start, two.
///
/// # Errors
///
/// [`TreeError::OutOfRange`], the tree has too many levels, a node is damaged, or the store's
/// error. Nothing was changed then.
pub fn split<S: NodeStoreMut>(store: &mut S, at: LogicalBlock) -> Result<(), S::Error> {
    let path = Path::to(store, at)?;
    let Some(old) = path.around(store)?.left else {
        return Ok(());
    };
    let (before, after) = (old.part(old.logical(), at), old.part(at, old.end()));
    if before.is_none() || after.is_none() {
        return Ok(());
    }
    // The extent is the one before the path's position in the leaf.
    let slot = path.slot(path.depth()).saturating_sub(1);
    store.forget(old.logical()..old.end());
    Splice::new(slot, 1, [before, after, None]).apply(store, path, old.physical())
}

/// Makes one extent of the two that meet at `at`, if they can be one and are in the same leaf.
fn join<S: NodeStoreMut>(store: &mut S, at: LogicalBlock) -> Result<(), S::Error> {
    let Some(before) = at.checked_sub(1) else {
        return Ok(());
    };
    let path = Path::to(store, before)?;
    let around = path.around(store)?;
    let both = around.left.zip(around.right);
    let Some(joined) = both.and_then(|(left, right)| left.join(right)) else {
        return Ok(());
    };
    // The first of the two is the one before the path's position in the leaf.
    let slot = path.slot(path.depth()).saturating_sub(1);
    store.forget(joined.logical()..joined.end());
    Splice::new(slot, 2, [Some(joined), None, None]).apply(store, path, joined.physical())
}

/// Moves all extents that start at or behind `from` down by `by` blocks, changing no more than
/// `limit` leaves. What is left to do afterwards starts at the block that is returned. An extent that
/// continues the one that it comes to lie behind is joined with it, if they are in the same leaf.
///
/// There is a hole of at least `by` blocks before `from`: the caller has made it.
///
/// # Errors
///
/// [`TreeError::OutOfRange`] if `by` is too much, a node is damaged, or the store's error. What lies
/// before the place of the error may be moved, nothing else, and the tree is valid.
pub fn shift_down<S: NodeStoreMut>(
    store: &mut S,
    from: LogicalBlock,
    by: u32,
    limit: usize,
) -> Result<Progress, S::Error> {
    let mut at = from;
    // What moves first, and where it goes.
    let to = from.checked_sub(by).unwrap_or(LogicalBlock(0));
    store.forget(to..LOGICAL_END);
    for _ in 0..limit {
        if at >= LOGICAL_END {
            break;
        }
        let path = Path::to(store, at)?;
        let next = path.next_leaf();
        shift_leaf(store, path, at, Shift::Down(by))?;
        at = next;
    }
    join(store, to)?;
    Ok(if at >= LOGICAL_END {
        Progress::Done
    } else {
        Progress::More(at)
    })
}

/// Moves all extents that start at or behind `from` and before `end` up by `by` blocks, changing no
/// more than `limit` leaves. What is left to do afterwards ends at the block that is returned.
///
/// No extent begins before `from` and ends behind it, see [`split`]; behind `end` there is nothing,
/// or what was moved by an earlier call.
///
/// # Errors
///
/// [`TreeError::OutOfRange`] if the last extent can't go so far, [`TreeError::Occupied`] if one
/// lies across `from`, a node is damaged, or the store's error. What lies behind the place of the
/// error may be moved, nothing else, and the tree is valid.
pub fn shift_up<S: NodeStoreMut>(
    store: &mut S,
    from: LogicalBlock,
    end: LogicalBlock,
    by: u32,
    limit: usize,
) -> Result<Progress, S::Error> {
    let mut end = end;
    store.forget(from..LOGICAL_END);
    for _ in 0..limit {
        let Some(last) = end.checked_sub(1).filter(|&last| last >= from) else {
            return Ok(Progress::Done);
        };
        let path = Path::to(store, last)?;
        let around = path.around(store)?;
        let moves = |left: &Extent| left.logical() >= from;
        if let Some(far) = around.left.filter(moves) {
            let end = Shift::Up(by).apply(far.end())?;
            if end > LOGICAL_END {
                return Err(TreeError::OutOfRange(end).into());
            }
        } else if let Some(across) = around.left.filter(|left| left.end() > from) {
            // Half of an extent does not move.
            return Err(TreeError::Occupied(across).into());
        } else if around.left.is_some() || around.right.is_some() {
            // All that is in the leaf has been moved, or is not to be. (It may be empty.)
            return Ok(Progress::Done);
        }
        let start = path.this_leaf();
        shift_leaf(store, path, from, Shift::Up(by))?;
        end = start;
    }
    Ok(if end > from {
        Progress::More(end)
    } else {
        Progress::Done
    })
}

/// Moves the extents of one leaf that start at or behind `from`. An empty leaf is removed: its
/// place in the tree might be in the way of the others'.
fn shift_leaf<S: NodeStoreMut>(
    store: &mut S,
    path: Path<S::Block>,
    from: LogicalBlock,
    shift: Shift,
) -> Result<(), S::Error> {
    let leaf = path.depth();
    let (first, key, len) = path.view(store, leaf, |node| {
        let first = node.entries().iter().take_while(|entry| entry.key() < from);
        let first = first.count();
        Ok((first, node.key(first), node.len()))
    })?;
    if len == 0 && leaf > 0 {
        return delete(store, path, 0);
    }
    let Some(key) = key else {
        return Ok(());
    };
    // The nodes above say with what the leaf starts.
    let first_key = shift.apply(key)?;
    let top = if first == 0 {
        top_of_key(&path, leaf)
    } else {
        leaf
    };
    for level in top..=leaf {
        path.prepare(store, level)?;
    }
    path.edit(store, leaf, |mut node| {
        for slot in first..len {
            let key = node.key(slot).and_then(|key| shift.apply(key).ok());
            node.set_key(slot, key.unwrap_or(first_key))?;
        }
        Ok(())
    })?;
    if first == 0 {
        set_first(store, &path, leaf, first_key)?;
    }
    Ok(())
}
