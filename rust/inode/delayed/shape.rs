// SPDX-License-Identifier: GPL-2.0

//! How many nodes of its tree are set aside for data of a file that is delayed.
//!
//! When a range is allocated, from its start on, each run is one insertion into the tree, which
//! splits full nodes. At each level of the tree the first insertion of a range may meet a full node:
//! a node for each level and range. A node that was split has room for nearly half a node's entries
//! on either side, or for all but one if it was split at its end, where this range goes on: after
//! the first, each split takes as many insertions, of which there are at most as many as blocks;
//! levels above get one for each split below, a geometric series, which dividing by one less covers.
//! The root is not split. When it is full it grows, which takes a node, and leaves one node below it
//! with the root's entries, at most 5: until the root is full again that node has to be split four
//! times. If the root is a leaf with room for all, there is nothing of all this. So for `n` blocks in
//! `k` ranges, depth `d` and half a node of `h` entries: `k·d + n/(h - 2) + 1 + n/4(h - 2)`.
//!
//! This holds if nobody else adds entries to the same nodes. Conversions of what was allocated do,
//! each with a reserve of its own, and may leave nodes full that were counted as half empty; a
//! failed removal in the middle of a range makes two of one. What is missing then comes out of the
//! blocks that are kept for conversions and not promised, as in C ext4 all nodes do.
//!
//! For a [block map](crate::inode::block_map) it is the number of tables, of delayed and pending blocks together:
//! [`most_tables`](crate::disk::block_map::most_tables), but not more than there are on the ways to all blocks from
//! the first of them to the last. Of these some may be there already, and go before the others need them: so a
//! table that is freed is set aside again ([`super::note_tables_freed`]). In each case there is as much as those
//! that are not there.

use crate::{
    disk::{
        block_map as map_format,
        extent::{Node, Place, ROOT_SIZE},
        units::BlockSize,
    },
    error::FsResult,
    extent::TreeError,
    inode::{block_map::Pending, DataKind},
    vfs::inode::Inode,
    Rext4,
};
use core::ops::Range;

/// What of a tree the number of nodes depends on.
#[derive(Clone, Copy)]
pub(super) enum Shape {
    /// Of an extent tree.
    Tree {
        depth: u16,
        /// How many extents the root has room for; none if it is no leaf.
        room: u32,
        size: BlockSize,
    },
    /// Of a block map: what is pending.
    Map {
        runs: u32,
        blocks: u32,
        /// From the first block of the file to the last.
        first: u32,
        end: u32,
        size: BlockSize,
    },
}

impl Shape {
    /// How many nodes are set aside for so many blocks in so many ranges, of which the first and the last are in
    /// `span`: see the head of this file.
    pub(super) fn nodes(self, ranges: u32, more: u32, span: &Range<u32>) -> u64 {
        match self {
            Self::Tree { room, .. } if more <= room => 0,
            Self::Tree { depth, size, .. } => {
                // An entry has 12 bytes, and so has the head of a node; 4 more may be a checksum.
                let half = size.bytes().saturating_sub(16) / 12 / 2;
                let splits = more / half.saturating_sub(2).max(1);
                u64::from(ranges) * u64::from(depth) + u64::from(splits + 1 + splits / 4)
            }
            Self::Map {
                runs,
                blocks,
                first,
                end,
                size,
            } => {
                let all = map_format::most_tables(
                    u64::from(runs) + u64::from(ranges),
                    u64::from(blocks) + u64::from(more),
                    size,
                );
                let span = hull(first..end, span.clone());
                all.min(map_format::tables(
                    &(span.start.into()..span.end.into()),
                    size,
                ))
            }
        }
    }

    /// Whether there are pending blocks.
    pub(super) fn has_pending(self) -> bool {
        matches!(self, Self::Map { runs: 1.., .. })
    }
}

/// From the first block of two ranges to the last. One of them may be empty.
pub(super) fn hull(one: Range<u32>, other: Range<u32>) -> Range<u32> {
    match (one.is_empty(), other.is_empty()) {
        (true, _) => other,
        (_, true) => one,
        _ => one.start.min(other.start)..one.end.max(other.end),
    }
}

/// The shape of an inode's tree.
pub(super) fn shape(
    inode: &Inode<Rext4>,
    root: &[u8; ROOT_SIZE],
    pending: &Pending,
) -> FsResult<Shape> {
    let size = inode.super_block().data().layout.block_size();
    if inode.data().kind() == DataKind::BlockMap {
        return Ok(map_shape(pending, size));
    }
    let node = Node::parse(root, Place::Root).map_err(TreeError::from)?;
    let room = node.max().saturating_sub(node.len());
    Ok(Shape::Tree {
        depth: node.depth(),
        // A few.
        room: if node.depth() == 0 { room as u32 } else { 0 },
        size,
    })
}

/// The shape of a block map.
pub(super) fn map_shape(pending: &Pending, size: BlockSize) -> Shape {
    let span = pending.span();
    Shape::Map {
        runs: pending.runs(),
        blocks: pending.blocks(),
        first: span.start,
        end: span.end,
        size,
    }
}
