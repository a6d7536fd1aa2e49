// SPDX-License-Identifier: GPL-2.0

//! Other blocks, or another state, in the place of what is mapped.

use super::path::Path;
use super::splice::Splice;
use super::{NodeStoreMut, TreeError};
use crate::disk::extent::Extent;

/// Maps what `new` says, in the place of what is mapped there now, and gives that. It has to lie in
/// one extent.
///
/// If `new` continues a neighbour in the same leaf, or is continued by one, they become one extent.
///
/// To put back what was given, before anything else changes the tree, never needs a new node: the
/// rests of the old extent and `new` are entries of their own, or `new` was joined to a neighbour
/// in the leaf, which has the room for one entry more that it had before.
///
/// # Errors
///
/// [`TreeError::Hole`] with the block at which there is no such extent, or no more of it; the tree
/// has too many levels, a node is damaged, or the store's error. In each case the tree is as it was
/// before.
pub fn replace<S: NodeStoreMut>(store: &mut S, new: Extent) -> Result<Extent, S::Error> {
    let path = Path::to(store, new.logical())?;
    let around = path.around(store)?;
    let hole = TreeError::Hole(new.logical());
    let old = around.left.ok_or(hole)?;
    let inside = old.part(new.logical(), new.end()).ok_or(hole)?;
    if inside.end() != new.end() {
        return Err(TreeError::Hole(inside.end()).into());
    }
    substitute(store, path, around.right, old, new)?;
    Ok(inside)
}

/// Puts `new` in the place of a part of `old`, the extent before the position of `path` in its leaf,
/// which `right` comes after. Returns whether there are fewer extents than before.
pub(super) fn substitute<S: NodeStoreMut>(
    store: &mut S,
    path: Path<S::Block>,
    right: Option<Extent>,
    old: Extent,
    new: Extent,
) -> Result<bool, S::Error> {
    let mut slot = path.slot(path.depth()).saturating_sub(1);
    let mut removed = 1;
    let before = old.part(old.logical(), new.logical());
    let after = old.part(new.end(), old.end());
    let mut middle = new;
    if before.is_none() && slot > 0 {
        let left = extent_at(store, &path, slot - 1)?;
        if let Some(joined) = left.join(middle) {
            middle = joined;
            slot -= 1;
            removed += 1;
        }
    }
    if after.is_none() {
        if let Some(joined) = right.and_then(|right| middle.join(right)) {
            middle = joined;
            removed += 1;
        }
    }
    store.forget(new.logical()..new.end());
    let pieces = [before, Some(middle), after];
    Splice::new(slot, removed, pieces).apply(store, path, old.physical())?;
    store.learn(middle);
    Ok(pieces.iter().flatten().count() < removed)
}

/// Extent `slot` of the leaf at the end of `path`.
fn extent_at<S: NodeStoreMut>(
    store: &S,
    path: &Path<S::Block>,
    slot: usize,
) -> Result<Extent, S::Error> {
    let area = store.area();
    path.view(store, path.depth(), |leaf| leaf.extent(slot, area))
}
