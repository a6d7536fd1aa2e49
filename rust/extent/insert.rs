// SPDX-License-Identifier: GPL-2.0

//! Adding an extent.

use super::path::Path;
use super::splice::Splice;
use super::{NodeStoreMut, TreeError};
use crate::disk::extent::Extent;

/// Adds `extent` to the tree, where there is a hole.
///
/// If it continues a neighbour in the same leaf, or is continued by one, they become one extent.
///
/// # Errors
///
/// There is something already ([`TreeError::Occupied`]), the tree has too many levels, a node is
/// damaged, or the store's error. In each case the tree is as it was before.
pub fn insert<S: NodeStoreMut>(store: &mut S, extent: Extent) -> Result<(), S::Error> {
    let path = Path::to(store, extent.logical())?;
    let around = path.around(store)?;
    if let Some(left) = around.left.filter(|left| left.end() > extent.logical()) {
        return Err(TreeError::Occupied(left).into());
    }
    if around.upper < extent.end() {
        let next = super::next_extent(store, around.upper)?;
        return Err(match next {
            Some(next) if next.logical() < extent.end() => TreeError::Occupied(next).into(),
            // An empty leaf that starts amidst the extent, which a sound tree does not have.
            _ => TreeError::OutOfRange(around.upper).into(),
        });
    }

    let mut merged = extent;
    let mut slot = path.slot(path.depth());
    let mut removed = 0;
    if let Some(joined) = around.left.and_then(|left| left.join(merged)) {
        merged = joined;
        slot = slot.saturating_sub(1);
        removed += 1;
    }
    if let Some(joined) = around.right.and_then(|right| merged.join(right)) {
        merged = joined;
        removed += 1;
    }
    Splice::new(slot, removed, [Some(merged), None, None]).apply(store, path, extent.physical())
}
