// SPDX-License-Identifier: GPL-2.0

//! Removing what is mapped.

use core::ops::Range;

use super::narrow::narrow;
use super::path::Path;
use super::splice::{delete, Splice};
use super::{NodeStoreMut, Progress, TreeError};
use crate::disk::extent::LOGICAL_END;
use crate::disk::units::LogicalBlock;

/// Removes what is mapped in `range`, looking at no more than `limit` extents.
///
/// Works from back to front, so that a file that is being truncated never has anything behind a
/// hole that it did not have before. Each run of blocks goes to
/// [`free_data`](NodeStoreMut::free_data) once it is out of the tree. Nodes that become empty are
/// freed, and the tree loses levels as soon as what is left has room above them.
///
/// Only if the range lies within one extent and touches neither end of it can nodes be allocated.
///
/// # Errors
///
/// [`TreeError::OutOfRange`], the tree has too many levels, a node is damaged, or the store's
/// error. What lies behind the place of the error may be removed, and the tree is valid; blocks
/// that it was the store's error not to free are lost until the next `e2fsck`.
pub fn remove<S: NodeStoreMut>(
    store: &mut S,
    range: Range<LogicalBlock>,
    limit: usize,
) -> Result<Progress, S::Error> {
    if range.end > LOGICAL_END {
        return Err(TreeError::OutOfRange(range.end).into());
    }
    let mut end = range.end;
    for _ in 0..limit {
        match remove_last(store, range.start, end)? {
            Some(rest) => end = rest,
            None => {
                narrow(store)?;
                return Ok(Progress::Done);
            }
        }
    }
    Ok(Progress::More(end))
}

/// Removes what of the last extent before `end` lies behind `start`.
///
/// Gives the end of what is left to do, if anything may be.
fn remove_last<S: NodeStoreMut>(
    store: &mut S,
    start: LogicalBlock,
    end: LogicalBlock,
) -> Result<Option<LogicalBlock>, S::Error> {
    let Some(last) = end.checked_sub(1).filter(|&last| last >= start) else {
        return Ok(None);
    };
    let path = Path::to(store, last)?;
    let around = path.around(store)?;
    let Some(old) = around.left else {
        // Nothing before `end` in this leaf: it is the first one, or has nothing at all.
        if around.right.is_none() && path.depth() > 0 {
            delete(store, path, 0)?;
        }
        return Ok(Some(around.lower));
    };
    let Some(cut) = old.part(start, end) else {
        return Ok(None);
    };

    // The extent is the one before the path's position in the leaf.
    let slot = path.slot(path.depth()).saturating_sub(1);
    let before = old.part(old.logical(), cut.logical());
    let after = old.part(cut.end(), old.end());
    store.may_free_data(cut)?;
    store.forget(cut.logical()..cut.end());
    if before.is_none() && after.is_none() {
        delete(store, path, slot)?;
    } else {
        Splice::new(slot, 1, [before, after, None]).apply(store, path, old.physical())?;
    }
    store.free_data(cut)?;
    Ok(Some(cut.logical()).filter(|&rest| rest > start))
}
