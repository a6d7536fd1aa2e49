// SPDX-License-Identifier: GPL-2.0

//! Changing the state of what is mapped.

use core::ops::Range;

use super::narrow::narrow;
use super::path::Path;
use super::replace::substitute;
use super::splice::Splice;
use super::{NodeStoreMut, Progress, TreeError};
use crate::disk::extent::{State, LOGICAL_END};
use crate::disk::units::LogicalBlock;

/// Brings all blocks in `range` into the state `to`, looking at no more than `limit` extents.
///
/// Works from front to back. Extents that lie across an end of the range are split there, and
/// what changed becomes one extent with neighbours in the same leaf that it continues. Blocks that
/// are in that state already are left alone, so that it does no harm to do it again. A tree that
/// becomes small enough for it by that loses levels.
///
/// # Errors
///
/// [`TreeError::Hole`] where something is not mapped, [`TreeError::OutOfRange`], the tree has too
/// many levels, a node is damaged, or the store's error. What lies before the place of the error
/// may be converted, nothing else is changed, and the tree is valid.
pub fn convert<S: NodeStoreMut>(
    store: &mut S,
    range: Range<LogicalBlock>,
    to: State,
    limit: usize,
) -> Result<Progress, S::Error> {
    if range.end > LOGICAL_END {
        return Err(TreeError::OutOfRange(range.end).into());
    }
    let mut from = range.start;
    let mut any_fewer = false;
    for _ in 0..limit {
        if from >= range.end {
            break;
        }
        let is_fewer;
        (from, is_fewer) = convert_one(store, from, range.end, to)?;
        any_fewer |= is_fewer;
    }
    if from < range.end {
        return Ok(Progress::More(from));
    }
    if any_fewer {
        narrow(store)?;
    }
    Ok(Progress::Done)
}

/// Converts what lies before `end` of the extent at `from`, and gives the block behind it, and whether there are fewer
/// extents now.
fn convert_one<S: NodeStoreMut>(
    store: &mut S,
    from: LogicalBlock,
    end: LogicalBlock,
    to: State,
) -> Result<(LogicalBlock, bool), S::Error> {
    let path = Path::to(store, from)?;
    let around = path.around(store)?;
    let hole = TreeError::Hole(from);
    let old = around.left.ok_or(hole)?;
    let inside = old.part(from, end).ok_or(hole)?;
    if old.state() == to {
        return Ok((inside.end(), false));
    }

    let Some(middle) = inside.with_state(to) else {
        // The greatest written extent is one block too long for an unwritten one, and so is all
        // of its extent.
        let last = LogicalBlock(inside.end().0 - 1);
        let most = inside.part(from, last).and_then(|part| part.with_state(to));
        let rest = inside.part(last, end).and_then(|part| part.with_state(to));
        // The extent at `from` is the one before the path's position in the leaf.
        let slot = path.slot(path.depth()).saturating_sub(1);
        store.forget(old.logical()..old.end());
        Splice::new(slot, 1, [most, rest, None]).apply(store, path, old.physical())?;
        return Ok((inside.end(), false));
    };
    let is_fewer = substitute(store, path, around.right, old, middle)?;
    Ok((inside.end(), is_fewer))
}
