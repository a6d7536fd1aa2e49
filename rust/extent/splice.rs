// SPDX-License-Identifier: GPL-2.0

//! The one way in which a tree is changed: some entries of a leaf are replaced by others.
//!
//! See the three phases in the documentation of [`super`].

use super::path::Path;
use super::{NodeStoreMut, TreeError};
use crate::disk::extent::{
    Entry, Extent, Fault, Node, NodeError, NodeMut, Place, MAX_DEPTH, ROOT_SIZE,
};
use crate::disk::units::{LogicalBlock, PhysicalBlock};

/// The most blocks one splice allocates: one for each level below the root, the new one included.
const MAX_NEW: usize = MAX_DEPTH as usize;

/// The most extents that one is replaced by.
const MAX_PIECES: usize = 3;

/// What to do to a leaf.
pub(super) struct Splice {
    slot: usize,
    removed: usize,
    pieces: [Option<Extent>; MAX_PIECES],
}

/// Entries to put in the place of `removed` others from `slot` on, in a node of any level.
#[derive(Clone, Copy)]
struct Replacement<'a> {
    slot: usize,
    removed: usize,
    new: &'a [Entry],
}

/// Blocks that were allocated and are not in the tree yet.
struct Spare<B> {
    blocks: [Option<B>; MAX_NEW],
}

/// What a splice will need.
struct Plan {
    /// How many blocks.
    blocks: usize,
    /// Whether the root's entries move one level down.
    grow: bool,
    /// The level closest to the root that changes. All below it on the path do as well.
    top: usize,
    /// What the leaf will start with, if that changes: nodes above say it.
    first: Option<LogicalBlock>,
}

impl Splice {
    /// Replaces the `removed` extents from `slot` on by `pieces`, of which there is at least one.
    pub(super) fn new(slot: usize, removed: usize, pieces: [Option<Extent>; MAX_PIECES]) -> Self {
        Self {
            slot,
            removed,
            pieces,
        }
    }

    /// Does it, in the leaf at the end of `path`. New nodes are allocated close to `near`.
    ///
    /// # Errors
    ///
    /// The tree has too many levels, or the store's error. Nothing was changed, unless it is the
    /// store that could not make a change that it had agreed to.
    pub(super) fn apply<S: NodeStoreMut>(
        &self,
        store: &mut S,
        mut path: Path<S::Block>,
        near: PhysicalBlock,
    ) -> Result<(), S::Error> {
        let mut entries = [Entry::ZERO; MAX_PIECES];
        let mut count = 0;
        for (place, piece) in entries.iter_mut().zip(self.pieces.iter().flatten()) {
            *place = Entry::leaf(*piece);
            count += 1;
        }
        let change = Replacement {
            slot: self.slot,
            removed: self.removed,
            new: entries.get(..count).unwrap_or(&[]),
        };

        let plan = Plan::new(store, &path, &change)?;
        let mut spare = Spare::allocate(store, plan.blocks, near)?;
        for level in plan.top..=path.depth() {
            if let Err(error) = path.prepare(store, level) {
                spare.give_back(store);
                return Err(error);
            }
        }

        if plan.grow {
            grow(store, &mut path, spare.take()?)?;
        }
        let mut level = path.depth();
        let mut carry = put(store, &path, level, change, &mut spare)?;
        if let Some(first) = plan.first {
            set_first(store, &path, level, first)?;
        }
        while let Some(entry) = carry {
            // The root never splits: it grows before it has to.
            level = level.checked_sub(1).ok_or(TreeError::TooDeep)?;
            let change = Replacement {
                slot: path.slot(level) + 1,
                removed: 0,
                new: &[entry],
            };
            carry = put(store, &path, level, change, &mut spare)?;
        }
        Ok(())
    }
}

impl Plan {
    fn new<S: NodeStoreMut>(
        store: &S,
        path: &Path<S::Block>,
        change: &Replacement<'_>,
    ) -> Result<Self, S::Error> {
        let mut plan = Self {
            blocks: 0,
            grow: false,
            top: path.depth(),
            first: None,
        };
        if change.slot == 0 {
            let old = path.view(store, path.depth(), |leaf| Ok(leaf.key(0)))?;
            plan.first = change
                .new
                .first()
                .map(Entry::key)
                .filter(|&key| Some(key) != old);
        }
        if plan.first.is_some() {
            plan.top = top_of_key(path, path.depth());
        }

        // Each level gets one entry more if the one below splits.
        let (mut removed, mut added) = (change.removed, change.new.len());
        for level in (0..=path.depth()).rev() {
            let fits = path.view(store, level, |node| {
                Ok(node.len().saturating_sub(removed) + added <= node.max())
            })?;
            if fits {
                plan.top = plan.top.min(level);
                return Ok(plan);
            }
            plan.blocks += 1;
            (removed, added) = (0, 1);
        }
        // The root does not split, but its block is needed to move its entries to.
        if path.depth() >= usize::from(MAX_DEPTH) {
            return Err(TreeError::TooDeep.into());
        }
        plan.grow = true;
        plan.top = 0;
        Ok(plan)
    }
}

impl<B> Spare<B> {
    /// Allocates `count` blocks, or none.
    fn allocate<S>(store: &mut S, count: usize, near: PhysicalBlock) -> Result<Self, S::Error>
    where
        S: NodeStoreMut<Block = B>,
    {
        let mut spare = Self {
            blocks: [const { None }; MAX_NEW],
        };
        for place in spare.blocks.iter_mut().take(count) {
            match store.allocate(near) {
                Ok(block) => *place = Some(block),
                Err(error) => {
                    spare.give_back(store);
                    return Err(error);
                }
            }
        }
        Ok(spare)
    }

    /// Frees the blocks again, because of an error that is more important than one met here:
    /// the worst that can happen is that blocks are lost until the next `e2fsck`.
    fn give_back<S: NodeStoreMut<Block = B>>(self, store: &mut S) {
        for block in self.blocks.into_iter().flatten() {
            let _ = store.free(block);
        }
    }

    /// One of the blocks. There are as many as the plan said.
    fn take(&mut self) -> Result<B, TreeError> {
        self.blocks
            .iter_mut()
            .find_map(Option::take)
            .ok_or(TreeError::TooDeep)
    }
}

/// Moves the root's entries into `block`, and leaves the root with one entry, for that.
fn grow<S: NodeStoreMut>(
    store: &mut S,
    path: &mut Path<S::Block>,
    block: S::Block,
) -> Result<(), S::Error> {
    let root: Option<[u8; ROOT_SIZE]> = store.with_root(|root| root.first_chunk().copied());
    let root = root.ok_or(TreeError::from(NodeError::new(Place::Root, Fault::Short)))?;
    let old = Node::parse(&root, Place::Root).map_err(TreeError::from)?;
    // A root that has to grow is full.
    let key = old.key(0).unwrap_or(LogicalBlock(0));
    let at = store.location(&block);

    let result = store.edit(&block, |bytes| {
        NodeMut::format(bytes, Place::Block(at), old.depth())?.splice(0, 0, old.entries())
    })?;
    result.map_err(TreeError::from)?;
    let result = store.edit_root(|bytes| {
        NodeMut::format(bytes, Place::Root, old.depth() + 1)?.push(Entry::index(key, at))
    })?;
    result.map_err(TreeError::from)?;
    path.push_below_root(block);
    Ok(())
}

/// Makes a change in the node of `level`, and splits it if it has too little room.
///
/// Gives the entry of the new node, which goes behind that of the old one in the level above.
fn put<S: NodeStoreMut>(
    store: &mut S,
    path: &Path<S::Block>,
    level: usize,
    change: Replacement<'_>,
    spare: &mut Spare<S::Block>,
) -> Result<Option<Entry>, S::Error> {
    let Replacement { slot, removed, new } = change;
    let (len, max) = path.view(store, level, |node| Ok((node.len(), node.max())))?;
    let total = len.saturating_sub(removed) + new.len();
    if total <= max {
        path.edit(store, level, |mut node| node.splice(slot, removed, new))?;
        return Ok(None);
    }
    let Some(block) = path.block(level) else {
        return Err(TreeError::TooDeep.into());
    };

    // Files are mostly written from front to back: if all that is new is at the end, the old node
    // stays full, and so do in time all nodes. Anything else gets room on both sides.
    let left = if slot + removed == len {
        max
    } else {
        total / 2
    };
    let right = spare.take()?;
    let (from, at) = (store.location(block), store.location(&right));
    let first = store.edit_from(&right, block, |bytes, old| {
        let old = Node::parse(old, Place::Block(from))?;
        let mut node = NodeMut::format(bytes, Place::Block(at), old.depth())?;
        let mut first = None;
        for entry in change.entries(&old).skip(left) {
            first.get_or_insert(entry.key());
            node.push(*entry)?;
        }
        first.ok_or(NodeError::new(Place::Block(at), Fault::Slot(left)))
    })?;
    let first = first.map_err(TreeError::from)?;
    path.edit(store, level, |mut node| {
        if left <= slot {
            node.truncate(left);
            return Ok(());
        }
        let new_left = new.len().min(left - slot);
        node.truncate(slot + removed + left - slot - new_left);
        node.splice(slot, removed, new.get(..new_left).unwrap_or(&[]))
    })?;
    Ok(Some(Entry::index(first, at)))
}

impl Replacement<'_> {
    /// All entries of `node` as they are after this change.
    fn entries<'n>(&'n self, node: &'n Node<'n>) -> impl Iterator<Item = &'n Entry> {
        let before = node.entries().iter().take(self.slot);
        let behind = node.entries().iter().skip(self.slot + self.removed);
        before.chain(self.new).chain(behind)
    }
}

/// The level closest to the root whose node says with what the node of `level` starts.
pub(super) fn top_of_key<B>(path: &Path<B>, level: usize) -> usize {
    (1..level)
        .rev()
        .find(|&above| path.slot(above) != 0)
        .unwrap_or(0)
}

/// Tells the nodes above that the node of `level` now starts with `key`.
pub(super) fn set_first<S: NodeStoreMut>(
    store: &mut S,
    path: &Path<S::Block>,
    level: usize,
    key: LogicalBlock,
) -> Result<(), S::Error> {
    for above in (top_of_key(path, level)..level).rev() {
        let slot = path.slot(above);
        path.edit(store, above, |mut node| node.set_key(slot, key))?;
    }
    Ok(())
}

/// Removes entry `slot` of the leaf at the end of `path`, and nodes that are empty then.
///
/// An empty leaf is removed as well, whatever `slot` is.
///
/// # Errors
///
/// The store's error. Nothing was changed, unless it is the store that could not make a change
/// that it had agreed to, or could not free a node, which is then lost.
pub(super) fn delete<S: NodeStoreMut>(
    store: &mut S,
    mut path: Path<S::Block>,
    slot: usize,
) -> Result<(), S::Error> {
    // The level at which an entry goes, and the entry.
    let (mut level, mut slot) = (path.depth(), slot);
    let mut len = path.view(store, level, |node| Ok(node.len()))?;
    while len <= 1 && level > 0 {
        level -= 1;
        slot = path.slot(level);
        len = path.view(store, level, |node| Ok(node.len()))?;
    }
    // If that was the first one of several, the nodes above have to know.
    let first = if slot == 0 && len > 1 && level > 0 {
        path.view(store, level, |node| Ok(node.key(1)))?
    } else {
        None
    };
    let top = first.map_or(level, |_| top_of_key(&path, level));
    for level in top..=level {
        path.prepare(store, level)?;
    }

    if len > 1 {
        path.edit(store, level, |mut node| node.splice(slot, 1, &[]))?;
    } else {
        // Then it is the root, and the tree is empty.
        let format = |bytes: &mut [u8]| NodeMut::format(bytes, Place::Root, 0).map(drop);
        store.edit_root(format)?.map_err(TreeError::from)?;
    }
    if let Some(first) = first {
        set_first(store, &path, level, first)?;
    }
    for block in path.cut(level) {
        store.free(block)?;
    }
    Ok(())
}
