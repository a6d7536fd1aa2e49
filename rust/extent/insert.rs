// SPDX-License-Identifier: GPL-2.0

//! Adding an extent.

use super::path::{Around, Path};
use super::splice::Splice;
use super::{Hole, NodeStore, NodeStoreMut, TreeError};
use crate::disk::extent::Extent;
use crate::disk::units::LogicalBlock;

/// Adds `extent` to the tree, where there is a hole.
///
/// If it continues a neighbour in the same leaf, or is continued by one, they become one extent.
///
/// # Errors
///
/// There is something already ([`TreeError::Occupied`]), the tree has too many levels, a node is
/// damaged, or the store's error. In each case the tree is as it was before.
pub fn insert<S: NodeStoreMut>(store: &mut S, extent: Extent) -> Result<(), S::Error> {
    match find_gap(store, extent.logical())? {
        Spot::Extent(found) => Err(TreeError::Occupied(found).into()),
        Spot::Gap(gap) => gap.insert(store, extent),
    }
}

/// What is at a logical block that somebody wants to map.
pub enum Spot<B> {
    /// An extent that holds the block.
    Extent(Extent),
    /// A hole that the block is in.
    Gap(Gap<B>),
}

/// A hole, and the way to it: to put an extent there does not take another search.
pub struct Gap<B> {
    path: Path<B>,
    around: Around,
}

/// What is at `block`, as [`lookup()`](super::lookup()) finds it.
///
/// # Errors
///
/// As of [`lookup()`](super::lookup()).
pub fn find_gap<S: NodeStore>(store: &S, block: LogicalBlock) -> Result<Spot<S::Block>, S::Error> {
    let path = Path::to(store, block)?;
    let around = path.around(store)?;
    Ok(match around.left {
        Some(extent) if block < extent.end() => Spot::Extent(extent),
        _ => Spot::Gap(Gap { path, around }),
    })
}

impl<B> Gap<B> {
    /// The hole.
    pub fn hole(&self) -> Hole {
        self.around.hole()
    }

    /// The extent before the hole, if it is in the same leaf.
    pub fn before(&self) -> Option<Extent> {
        self.around.left
    }

    /// Adds `extent`, which begins in this hole, as [`insert()`] does.
    ///
    /// The tree is to be the one that the hole was found in, and not to have changed since.
    ///
    /// # Errors
    ///
    /// As of [`insert()`].
    pub fn insert<S>(self, store: &mut S, extent: Extent) -> Result<(), S::Error>
    where
        S: NodeStoreMut<Block = B>,
    {
        let Self { path, around } = self;
        let hole = around.hole();
        if extent.logical() < hole.first || extent.logical() >= hole.end {
            return Err(TreeError::OutOfRange(extent.logical()).into());
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
        store.forget(extent.logical()..extent.end());
        let splice = Splice::new(slot, removed, [Some(merged), None, None]);
        splice.apply(store, path, extent.physical())?;
        store.learn(merged);
        Ok(())
    }
}
