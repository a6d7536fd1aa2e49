// SPDX-License-Identifier: GPL-2.0

//! Where a block of a file would go best: in a row with those that have a place already.
//!
//! Blocks of a sparse file that come in any order get places as far from each other as they are in the file, as
//! long as these are free: what comes between them later finds its own. That holds for the first block of
//! all, too: there is to be room before it for those that are before it in the file.

use super::staged;
use crate::{
    disk::{
        extent::{Extent, LOGICAL_END},
        units::{LogicalBlock, PhysicalBlock},
    },
    error::FsError,
    extent::{self, Gap, Hole, Mapping, NodeStore},
    group::Groups,
    vfs::{buffer::Buffer, inode::Inode},
    Rext4,
};

/// A block of a file, and its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Placed {
    pub(super) block: LogicalBlock,
    pub(super) place: PhysicalBlock,
}

impl From<Extent> for Placed {
    fn from(extent: Extent) -> Self {
        Self {
            block: extent.logical(),
            place: extent.physical(),
        }
    }
}

/// What is known of a file around a block in a hole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Around {
    /// A block that has a place: the next one before it, or if it is the first one of the file the next one
    /// behind it.
    Placed(Placed),
    /// No block of the file has a place.
    Nothing,
    /// Not enough.
    Unknown,
}

impl From<Mapping> for Around {
    /// By what is beside a hole.
    fn from(mapping: Mapping) -> Self {
        match mapping {
            Mapping::Extent(extent) => Self::Placed(extent.into()),
            Mapping::Hole(_) => Self::Unknown,
        }
    }
}

impl Around {
    /// Where `block` goes best. A file that has no blocks would begin at `anywhere`.
    fn best(self, block: LogicalBlock, anywhere: PhysicalBlock) -> Option<PhysicalBlock> {
        let from = match self {
            Self::Placed(placed) => placed,
            Self::Nothing => Placed {
                block: LogicalBlock(0),
                place: anywhere,
            },
            Self::Unknown => return None,
        };
        match block.0.checked_sub(from.block.0) {
            Some(behind) => from.place.checked_add(behind.into()),
            None => from.place.checked_sub((from.block.0 - block.0).into()),
        }
    }
}

/// Where a block goes best that has this around it. If there is no such place it is where the last
/// allocation of the file ended. There are so many blocks.
pub(super) fn best(
    inode: &Inode<Rext4>,
    (block, blocks): (LogicalBlock, u32),
    around: Around,
) -> PhysicalBlock {
    let anywhere = inode.data().goal();
    let fs = inode.super_block().data();
    let layout = &fs.layout;
    let begin = |groups: &Groups| groups.begin_of_stripe(anywhere, blocks);
    let best = around.best(block, fs.groups().map_or(anywhere, begin));
    best.filter(|place| layout.contains(*place, 1))
        .unwrap_or(anywhere)
}

/// Where so many blocks go best, of which the first one is in this gap of the tree.
pub(super) fn in_gap<S: NodeStore<Block = Buffer, Error = FsError>>(
    inode: &Inode<Rext4>,
    tree: &S,
    (block, blocks): (LogicalBlock, u32),
    gap: &Gap<Buffer>,
) -> PhysicalBlock {
    let hole = gap.hole();
    let around = match staged::around(inode, block, &hole) {
        Some(placed) => Around::Placed(placed),
        None => in_tree(tree, &hole, gap.before()),
    };
    best(inode, (block, blocks), around)
}

/// What a tree has around a hole in which nothing is staged.
fn in_tree<S: NodeStore<Block = Buffer, Error = FsError>>(
    tree: &S,
    hole: &Hole,
    before: Option<Extent>,
) -> Around {
    if let Some(extent) = before {
        return Around::Placed(extent.into());
    }
    match beside(hole) {
        // It may lie in another leaf. If that can't be read others will say so: this is but a hint.
        Some(next) => extent::lookup(tree, next).map_or(Around::Unknown, Around::from),
        None => Around::Nothing,
    }
}

/// The block beside a hole that places in it go by: the one before it, or if it is the first of the file the
/// one behind it. `None` if it is the whole file.
pub(super) fn beside(hole: &Hole) -> Option<LogicalBlock> {
    match hole.first.checked_sub(1) {
        // It may be in the leaf before.
        Some(before) => Some(before),
        None => (hole.end != LOGICAL_END).then_some(hole.end),
    }
}
