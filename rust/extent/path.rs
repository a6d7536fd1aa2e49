// SPDX-License-Identifier: GPL-2.0

//! The way from the root of a tree down to the leaf in which a logical block belongs.

use super::{Hole, NodeStore, NodeStoreMut, TreeError};
use crate::disk::extent::{
    DataArea, Extent, Fault, Node, NodeError, NodeMut, Place, LOGICAL_END, MAX_DEPTH,
};
use crate::disk::units::{LogicalBlock, PhysicalBlock};

/// The most nodes on a path that have blocks of their own.
const MAX_BLOCKS: usize = MAX_DEPTH as usize;

/// The nodes from the root (level 0) to a leaf (level [`Path::depth`]) and a position in each.
///
/// # Invariants
///
/// `blocks[..depth]` are there. The node of level `n` is the root for 0 and else in
/// `blocks[n - 1]`.
pub(super) struct Path<B> {
    depth: usize,
    slots: [usize; MAX_BLOCKS + 1],
    blocks: [Option<B>; MAX_BLOCKS],
    lower: LogicalBlock,
    upper: LogicalBlock,
}

/// What surrounds a logical block in its leaf.
pub(super) struct Around {
    /// The last extent that starts at or before the block.
    pub(super) left: Option<Extent>,
    /// The extent that starts behind the block.
    pub(super) right: Option<Extent>,
    /// There is nothing from here, or from the end of `left`, to the block.
    pub(super) lower: LogicalBlock,
    /// There is nothing from the block up to here: the start of `right`, or of the next leaf.
    pub(super) upper: LogicalBlock,
}

impl Around {
    /// What there is nothing in, if the block is not in `left`.
    pub(super) fn hole(&self) -> Hole {
        Hole {
            first: self.left.map_or(self.lower, Extent::end),
            end: self.upper,
        }
    }
}

/// A node one level down, and what its parent says of it.
struct Child {
    at: PhysicalBlock,
    key: LogicalBlock,
    depth: u16,
}

impl<B> Path<B> {
    /// Finds the way to where `target` is or would be.
    ///
    /// # Errors
    ///
    /// `target` cannot be in a file, a node on the way is damaged, or the store's error.
    pub(super) fn to<S>(store: &S, target: LogicalBlock) -> Result<Self, S::Error>
    where
        S: NodeStore<Block = B>,
    {
        if target >= LOGICAL_END {
            return Err(TreeError::OutOfRange(target).into());
        }
        let area = store.area();
        let mut path = Self {
            depth: 0,
            slots: [0; MAX_BLOCKS + 1],
            blocks: [const { None }; MAX_BLOCKS],
            lower: LogicalBlock(0),
            upper: LOGICAL_END,
        };
        let mut next = view(store, None, |node| {
            node.check(area)?;
            path.enter(0, node, target, area)
        })?;
        while let Some(child) = next {
            let level = path.depth + 1;
            let block = store.read(child.at)?;
            next = view(store, Some(&block), |node| {
                path.check_child(node, &child, area)?;
                path.enter(level, node, target, area)
            })?;
            // The depth of nodes falls from at most `MAX_DEPTH` by one with each level.
            if let Some(free) = path.blocks.get_mut(path.depth) {
                *free = Some(block);
            }
            path.depth = level;
        }
        Ok(path)
    }

    /// Checks that `node` is what its parent says it is.
    fn check_child(&self, node: Node<'_>, child: &Child, area: DataArea) -> Result<(), NodeError> {
        let (found, expected) = (node.depth(), child.depth);
        if found != expected {
            return Err(node.error(Fault::Depth { found, expected }));
        }
        // A leaf can be empty.
        let (Some(found), Some(slot)) = (node.key(0), node.len().checked_sub(1)) else {
            return Ok(());
        };
        let expected = child.key;
        if found != expected {
            return Err(node.error(Fault::FirstKey { found, expected }));
        }
        let limit = self.upper;
        let (last, fits) = if node.depth() == 0 {
            let end = node.extent(slot, area)?.end();
            (end, end <= limit)
        } else {
            let (key, _) = node.child(slot, area)?;
            (key, key < limit)
        };
        if fits {
            Ok(())
        } else {
            Err(node.error(Fault::Overhang { last, limit }))
        }
    }

    /// Finds the position of `target` in the node of `level`, and the child to go on with.
    fn enter(
        &mut self,
        level: usize,
        node: Node<'_>,
        target: LogicalBlock,
        area: DataArea,
    ) -> Result<Option<Child>, NodeError> {
        let behind = node.search(target);
        if node.depth() == 0 {
            self.set_slot(level, behind);
            return Ok(None);
        }
        // What comes before everything belongs into the first child.
        let slot = behind.saturating_sub(1);
        let (key, at) = node.child(slot, area)?;
        if key <= target {
            self.lower = key;
        }
        if let Some(upper) = node.key(behind.max(1)) {
            self.upper = upper;
        }
        self.set_slot(level, slot);
        let depth = node.depth() - 1;
        Ok(Some(Child { at, key, depth }))
    }

    /// The level of the leaf, which is the number of levels below the root.
    pub(super) fn depth(&self) -> usize {
        self.depth
    }

    /// In an index node, the entry of the child that the path goes on with. In the leaf, the
    /// number of entries that start at or before the target.
    pub(super) fn slot(&self, level: usize) -> usize {
        self.slots.get(level).copied().unwrap_or(0)
    }

    fn set_slot(&mut self, level: usize, slot: usize) {
        if let Some(place) = self.slots.get_mut(level) {
            *place = slot;
        }
    }

    /// The block of the node at `level`, or `None` for the root.
    pub(super) fn block(&self, level: usize) -> Option<&B> {
        self.blocks.get(level.checked_sub(1)?)?.as_ref()
    }

    /// Takes the blocks of all levels behind `level` out of the path, and ends it there.
    pub(super) fn cut(&mut self, level: usize) -> impl Iterator<Item = B> + '_ {
        self.depth = self.depth.min(level);
        self.blocks.iter_mut().skip(level).filter_map(Option::take)
    }

    /// Notes that the root's entries are now in `block`, one level down, and the root has one.
    ///
    /// To be called only if the depth is less than [`MAX_DEPTH`].
    pub(super) fn push_below_root(&mut self, block: B) {
        self.slots.rotate_right(1);
        self.set_slot(0, 0);
        self.blocks.rotate_right(1);
        if let Some(first) = self.blocks.first_mut() {
            *first = Some(block);
        }
        self.depth += 1;
    }

    /// Lets `f` look at the node of `level`.
    pub(super) fn view<S, R>(
        &self,
        store: &S,
        level: usize,
        f: impl FnOnce(Node<'_>) -> Result<R, NodeError>,
    ) -> Result<R, S::Error>
    where
        S: NodeStore<Block = B>,
    {
        view(store, self.block(level), f)
    }

    /// Gets ready for a change of the node of `level`.
    pub(super) fn prepare<S>(&self, store: &mut S, level: usize) -> Result<(), S::Error>
    where
        S: NodeStoreMut<Block = B>,
    {
        match self.block(level) {
            None => store.prepare_root(),
            Some(block) => store.prepare(block),
        }
    }

    /// Lets `f` change the node of `level`.
    pub(super) fn edit<S>(
        &self,
        store: &mut S,
        level: usize,
        f: impl FnOnce(NodeMut<'_>) -> Result<(), NodeError>,
    ) -> Result<(), S::Error>
    where
        S: NodeStoreMut<Block = B>,
    {
        let result = match self.block(level) {
            None => store.edit_root(|bytes| f(NodeMut::parse(bytes, Place::Root)?))?,
            Some(block) => {
                let place = Place::Block(store.location(block));
                store.edit(block, |bytes| f(NodeMut::parse(bytes, place)?))?
            }
        };
        result.map_err(|error| TreeError::from(error).into())
    }

    /// What surrounds the target in the leaf.
    pub(super) fn around<S>(&self, store: &S) -> Result<Around, S::Error>
    where
        S: NodeStore<Block = B>,
    {
        let area = store.area();
        self.view(store, self.depth, |leaf| {
            let behind = self.slot(self.depth);
            let at = |slot: usize| leaf.extent(slot, area);
            let left = behind.checked_sub(1).map(at).transpose()?;
            let right = (behind < leaf.len()).then(|| at(behind)).transpose()?;
            Ok(Around {
                left,
                right,
                lower: self.lower,
                upper: right.map_or(self.upper, Extent::logical),
            })
        })
    }

    /// The logical block with which the leaf starts as the nodes above say, or the start of all.
    pub(super) fn this_leaf(&self) -> LogicalBlock {
        self.lower
    }

    /// The logical block with which the next leaf starts, or the end of all.
    pub(super) fn next_leaf(&self) -> LogicalBlock {
        self.upper
    }
}

/// Lets `f` look at the node in `block`, or at the root.
pub(super) fn view<S: NodeStore, R>(
    store: &S,
    block: Option<&S::Block>,
    f: impl FnOnce(Node<'_>) -> Result<R, NodeError>,
) -> Result<R, S::Error> {
    let result = match block {
        None => store.with_root(|bytes| f(Node::parse(bytes, Place::Root)?)),
        Some(block) => {
            let place = Place::Block(store.location(block));
            store.with_bytes(block, |bytes| Node::parse(bytes, place).and_then(f))
        }
    };
    result.map_err(|error| TreeError::from(error).into())
}
