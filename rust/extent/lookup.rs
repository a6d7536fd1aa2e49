// SPDX-License-Identifier: GPL-2.0

//! Finding what is mapped where.

use super::insert::{find_gap, Spot};
use super::path::Path;
use super::NodeStore;
use crate::disk::extent::{Extent, LOGICAL_END};
use crate::disk::units::LogicalBlock;

/// Logical blocks that are not mapped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hole {
    /// The first of them that is known to be one: the hole may start earlier.
    pub first: LogicalBlock,
    /// The block behind the last of them, which is mapped, or is the end of what can be mapped.
    pub end: LogicalBlock,
}

/// What is at a logical block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mapping {
    /// An extent that holds the block.
    Extent(Extent),
    /// A hole that the block is in.
    Hole(Hole),
}

/// What is at `block`.
///
/// # Errors
///
/// `block` cannot be in a file, a node on the way is damaged, or the store's error.
pub fn lookup<S: NodeStore>(store: &S, block: LogicalBlock) -> Result<Mapping, S::Error> {
    Ok(match find_gap(store, block)? {
        Spot::Extent(extent) => Mapping::Extent(extent),
        Spot::Gap(gap) => Mapping::Hole(gap.hole()),
    })
}

/// The first extent that ends behind `from`: the one that holds it, or the next one.
///
/// # Errors
///
/// A node on the way is damaged, or the store's error.
pub fn next_extent<S: NodeStore>(
    store: &S,
    mut from: LogicalBlock,
) -> Result<Option<Extent>, S::Error> {
    // Goes round again at the end of a leaf and for an empty one.
    while from < LOGICAL_END {
        let path = Path::to(store, from)?;
        let around = path.around(store)?;
        let left = around.left.filter(|extent| from < extent.end());
        if let Some(extent) = left.or(around.right) {
            return Ok(Some(extent));
        }
        from = path.next_leaf();
    }
    Ok(None)
}
