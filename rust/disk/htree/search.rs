// SPDX-License-Identifier: GPL-2.0

//! The way through an index: from a hash to a leaf, and from a leaf to the next one.
//!
//! The nodes are read through a [`NodeReader`], since only the caller knows where the blocks of
//! the directory are. The directory must not change between two steps: the caller holds its lock.

use super::hash::NameHash;
use super::{checked_entries, HtreeError, HtreeProblem, IndexFormat, Root, MAX_LEVELS};
use crate::disk::units::LogicalBlock;

/// A way to read the blocks of one directory.
pub trait NodeReader {
    /// What can go wrong.
    type Error: From<HtreeError>;

    /// Calls `f` with `block` of the directory, whose checksum was checked if it has one, and whose entries are in
    /// order.
    ///
    /// # Errors
    ///
    /// That the block cannot be read, or that the directory has no such block.
    fn with_node<R>(
        &self,
        block: LogicalBlock,
        f: impl FnOnce(&[u8]) -> R,
    ) -> Result<R, Self::Error>;
}

/// A node on the way to a leaf, and the entry that was taken in it.
#[derive(Clone, Copy, Debug, Default)]
struct Step {
    node: LogicalBlock,
    position: usize,
    /// The number of the node's entries.
    count: usize,
}

/// The way to a leaf.
#[derive(Clone, Copy, Debug)]
pub struct Path {
    /// From the root down.
    steps: [Step; MAX_LEVELS],
    /// How many of them there are, from 1 to `MAX_LEVELS`.
    depth: usize,
    leaf: LogicalBlock,
    /// The hash of the last entry on the way that has one.
    start: u32,
    format: IndexFormat,
}

/// What is wanted of a node.
#[derive(Clone, Copy)]
enum Target {
    /// The entry for a hash.
    Hash(NameHash),
    /// The entry with this number.
    Position(usize),
}

/// What was found in a node.
struct Found {
    step: Step,
    child: LogicalBlock,
    /// The hash of the entry.
    hash: u32,
}

impl Path {
    /// The way to the first leaf that can hold names with `hash`.
    ///
    /// # Errors
    ///
    /// Those of the reader, and whatever is wrong with the nodes on the way.
    pub fn to_hash<N: NodeReader>(
        reader: &N,
        format: IndexFormat,
        hash: NameHash,
    ) -> Result<Self, N::Error> {
        Self::find(reader, format, Target::Hash(hash))
    }

    /// The way to the first leaf of all.
    ///
    /// # Errors
    ///
    /// Those of the reader, and whatever is wrong with the nodes on the way.
    pub fn to_start<N: NodeReader>(reader: &N, format: IndexFormat) -> Result<Self, N::Error> {
        Self::find(reader, format, Target::Position(0))
    }

    /// The leaf that this is the way to.
    pub fn leaf(&self) -> LogicalBlock {
        self.leaf
    }

    /// The hash that the names in the leaf have at least; the lowest bit says that names of the leaf
    /// before may go on in it.
    pub fn start(&self) -> u32 {
        self.start
    }

    /// The nodes on the way, from the root down, each with the number of the entry that was taken.
    pub fn nodes(&self) -> impl DoubleEndedIterator<Item = (LogicalBlock, usize)> + '_ {
        let steps = self.steps.get(..self.depth).unwrap_or_default();
        steps.iter().map(|step| (step.node, step.position))
    }

    /// Goes on to the next leaf if that can hold names with `hash` as well, and says whether it
    /// did. If not, this stays the way to the leaf before.
    ///
    /// # Errors
    ///
    /// Those of the reader, and whatever is wrong with the nodes on the way.
    pub fn next_with_hash<N: NodeReader>(
        &mut self,
        reader: &N,
        hash: NameHash,
    ) -> Result<bool, N::Error> {
        let Some(next) = self.advance(reader)? else {
            return Ok(false);
        };
        let goes_on = next.start & !1 == hash.major;
        if goes_on {
            *self = next;
        }
        Ok(goes_on)
    }

    /// Goes on to the next leaf, and returns its [`Self::start`]. `None` if this was the last leaf.
    ///
    /// # Errors
    ///
    /// Those of the reader, and whatever is wrong with the nodes on the way.
    pub fn next<N: NodeReader>(&mut self, reader: &N) -> Result<Option<u32>, N::Error> {
        let next = self.advance(reader)?;
        Ok(next.map(|path| {
            *self = path;
            self.start
        }))
    }

    fn find<N: NodeReader>(
        reader: &N,
        format: IndexFormat,
        target: Target,
    ) -> Result<Self, N::Error> {
        let (found, depth) = reader.with_node(LogicalBlock(0), |block| {
            let root = Root::from_checked(block, format)?;
            let found = look_up(LogicalBlock(0), root.entries, target)?;
            Ok::<_, HtreeError>((found, root.indirect_levels + 1))
        })??;
        let mut path = Self {
            steps: [Step::default(); MAX_LEVELS],
            depth,
            leaf: LogicalBlock(0),
            start: 0,
            format,
        };
        path.descend(reader, 0, found, target)?;
        Ok(path)
    }

    /// Takes `found` for step `level`, and goes on from there down to a leaf.
    fn descend<N: NodeReader>(
        &mut self,
        reader: &N,
        level: usize,
        mut found: Found,
        target: Target,
    ) -> Result<(), N::Error> {
        let mut level = level;
        loop {
            if let Some(step) = self.steps.get_mut(level) {
                *step = found.step;
            }
            // A node's first entry has no hash: what the entry above it says holds.
            if found.step.position > 0 {
                self.start = found.hash;
            }
            let above = self.steps.iter().take(level + 1);
            if above.clone().any(|step| step.node == found.child) {
                return Err(HtreeError::new(HtreeProblem::Cycle(found.child)).into());
            }
            level += 1;
            if level >= self.depth {
                self.leaf = found.child;
                return Ok(());
            }
            found = self.read(reader, found.child, target)?;
        }
    }

    fn read<N: NodeReader>(
        &self,
        reader: &N,
        node: LogicalBlock,
        target: Target,
    ) -> Result<Found, N::Error> {
        let found = reader.with_node(node, |block| {
            let entries = if node == LogicalBlock(0) {
                Root::from_checked(block, self.format)?.entries
            } else {
                checked_entries(block, self.format)?
            };
            look_up(node, entries, target)
        })??;
        Ok(found)
    }

    /// The way to the next leaf.
    fn advance<N: NodeReader>(&self, reader: &N) -> Result<Option<Self>, N::Error> {
        // The lowest node that has another entry behind the one taken.
        let steps = self.steps.iter().take(self.depth).enumerate();
        let Some((level, step)) = steps.rev().find(|(_, step)| step.position + 1 < step.count)
        else {
            return Ok(None);
        };
        let found = self.read(reader, step.node, Target::Position(step.position + 1))?;
        let mut next = *self;
        // Below it the first entries.
        next.descend(reader, level, found, Target::Position(0))?;
        Ok(Some(next))
    }
}

/// Finds an entry in a node.
fn look_up(
    node: LogicalBlock,
    entries: super::Entries<'_>,
    target: Target,
) -> Result<Found, HtreeError> {
    let position = match target {
        Target::Hash(hash) => entries.search(hash),
        Target::Position(position) => position,
    };
    // Missing only if the directory changed between two steps.
    let missing = HtreeError::new(HtreeProblem::Count(0));
    Ok(Found {
        step: Step {
            node,
            position,
            count: entries.count(),
        },
        child: entries.block(position).ok_or(missing)?,
        hash: entries.hash(position).ok_or(missing)?,
    })
}
