// SPDX-License-Identifier: GPL-2.0

//! Checks a whole tree, for tests.

use super::path::view;
use super::{NodeStore, TreeError};
use crate::disk::extent::{Extent, Fault, LOGICAL_END, MAX_DEPTH};
use crate::disk::units::LogicalBlock;

/// What a tree looks like.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Shape {
    /// The levels below the root.
    pub depth: u16,
    /// The nodes, except the root.
    pub nodes: usize,
    /// The extents.
    pub extents: usize,
    /// Neighbours in one leaf that could be one extent.
    pub unjoined: usize,
}

/// Where in the tree a node is.
struct Position {
    depth: u16,
    start: LogicalBlock,
    end: LogicalBlock,
}

/// Checks each node of a tree, and calls `visit` with each extent from the first to the last.
///
/// Stricter than what is accepted elsewhere: no node but the root can be empty.
///
/// # Errors
///
/// The first fault that was found, or the store's error.
pub fn check<S: NodeStore>(store: &S, visit: &mut dyn FnMut(Extent)) -> Result<Shape, S::Error> {
    let mut shape = Shape {
        depth: super::depth(store)?,
        ..Shape::default()
    };
    let position = Position {
        depth: shape.depth,
        start: LogicalBlock(0),
        end: LOGICAL_END,
    };
    check_node(store, None, &position, &mut shape, visit)?;
    Ok(shape)
}

/// Checks the node in `block`, or the root, and all below it.
fn check_node<S: NodeStore>(
    store: &S,
    block: Option<&S::Block>,
    position: &Position,
    shape: &mut Shape,
    visit: &mut dyn FnMut(Extent),
) -> Result<(), S::Error> {
    let area = store.area();
    let len = view(store, block, |node| {
        node.check(area)?;
        let (found, expected) = (node.depth(), position.depth.min(MAX_DEPTH));
        if found != expected {
            return Err(node.error(Fault::Depth { found, expected }));
        }
        if block.is_some() {
            let (found, expected) = (node.key(0), position.start);
            let found = found.ok_or(node.error(Fault::EmptyIndex))?;
            if found != expected {
                return Err(node.error(Fault::FirstKey { found, expected }));
            }
        }
        Ok(node.len())
    })?;

    let mut last: Option<Extent> = None;
    for slot in 0..len {
        if position.depth == 0 {
            let extent = view(store, block, |node| {
                let extent = node.extent(slot, area)?;
                let (end, limit) = (extent.end(), position.end);
                if end > limit {
                    return Err(node.error(Fault::Overhang { last: end, limit }));
                }
                Ok(extent)
            })?;
            shape.extents += 1;
            if last.and_then(|last| last.join(extent)).is_some() {
                shape.unjoined += 1;
            }
            last = Some(extent);
            visit(extent);
            continue;
        }
        let (at, below) = view(store, block, |node| {
            let (start, at) = node.child(slot, area)?;
            let below = Position {
                depth: position.depth - 1,
                start,
                end: node.key(slot + 1).unwrap_or(position.end),
            };
            Ok((at, below))
        })?;
        if below.start >= position.end {
            return Err(TreeError::OutOfRange(below.start).into());
        }
        shape.nodes += 1;
        let child = store.read(at)?;
        check_node(store, Some(&child), &below, shape, visit)?;
    }
    Ok(())
}
