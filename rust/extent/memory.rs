// SPDX-License-Identifier: GPL-2.0

//! A tree in memory, for tests.
//!
//! It is stricter than any real store: it fails if a node is changed that was not announced, it
//! counts what an operation touches, it checks the checksum of each node that is read, and it
//! can be told to run out of luck after some steps. It allocates nothing, so that the same tests
//! run in the kernel and outside.

use super::cache::{self, Cache};
use super::{Mapping, NodeStore, NodeStoreMut, TreeError};
use crate::disk::checksum::{crc32c_table, FsSeed, InodeSeed};
use crate::disk::extent::{
    update_checksum, verify_checksum, DataArea, Extent, Node, NodeError, Place, ROOT_SIZE,
};
use crate::disk::units::{InodeNumber, LogicalBlock, PhysicalBlock};
use core::ops::Range;

/// Why a tree in memory could not do what it was asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MemoryError {
    /// What the tree itself found.
    Tree(TreeError),
    /// All blocks for nodes are in use.
    Full,
    /// It was told to fail: see [`Memory::fail_after`].
    Injected,
    /// A block was read, changed or freed that is not in use.
    NotInUse(PhysicalBlock),
    /// A node was changed that was not prepared.
    NotPrepared(Place),
}

impl From<TreeError> for MemoryError {
    fn from(error: TreeError) -> Self {
        Self::Tree(error)
    }
}

impl From<NodeError> for MemoryError {
    fn from(error: NodeError) -> Self {
        Self::Tree(error.into())
    }
}

/// What is known of a block for nodes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BlockState {
    in_use: bool,
    /// It can be changed in this transaction.
    prepared: bool,
    /// It was changed, allocated or freed in this transaction.
    touched: bool,
}

/// What one transaction did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Nodes that were allocated.
    pub allocated: u32,
    /// Nodes that were freed.
    pub freed: u32,
    /// Blocks of data that were freed.
    pub freed_data: u32,
}

/// One who is told of changes: see [`NodeStoreMut::forget`] and [`NodeStoreMut::learn`].
pub trait Watch {
    /// These blocks are about to be mapped otherwise. Returns whether anything was known of them.
    fn forget(&mut self, blocks: Range<LogicalBlock>) -> bool;
    /// The tree has this extent now.
    fn learn(&mut self, extent: Extent);
}

impl<M: cache::Memory> Watch for Cache<M> {
    fn forget(&mut self, blocks: Range<LogicalBlock>) -> bool {
        let mut any = false;
        loop {
            let forgotten = Cache::forget(self, blocks.clone());
            any |= forgotten.any;
            if !forgotten.more {
                return any;
            }
        }
    }

    fn learn(&mut self, extent: Extent) {
        self.keep(Mapping::Extent(extent));
    }
}

/// A tree whose nodes lie in memory that the test gives.
pub struct Memory<'a> {
    /// The bytes of `i_block`.
    pub root: [u8; ROOT_SIZE],
    /// Fail with [`MemoryError::Injected`] when that many blocks were prepared or allocated.
    pub fail_after: Option<u32>,
    /// What was done since [`Self::begin`].
    pub counts: Counts,
    /// Who is told of changes; of what comes then, if something was known of what was there.
    pub watch: Option<&'a mut dyn Watch>,
    was_known: bool,
    root_prepared: bool,
    arena: &'a mut [u8],
    states: &'a mut [BlockState],
    block_size: usize,
    first: PhysicalBlock,
    area: DataArea,
    seed: InodeSeed,
}

impl<'a> Memory<'a> {
    /// An empty tree. Its nodes have `block_size` bytes each and lie in `arena`, with a state for
    /// each in `states`. They have the numbers from `first` on, data can be anywhere in `area`.
    pub fn new(
        arena: &'a mut [u8],
        states: &'a mut [BlockState],
        block_size: usize,
        first: PhysicalBlock,
        area: DataArea,
    ) -> Self {
        let mut root = [0; ROOT_SIZE];
        super::format_root(&mut root);
        states.fill(BlockState::default());
        Self {
            root,
            fail_after: None,
            counts: Counts::default(),
            watch: None,
            was_known: false,
            root_prepared: false,
            arena,
            states,
            block_size,
            first,
            area,
            seed: FsSeed::of_uuid(crc32c_table, b"sixteen letters!").inode(InodeNumber(12), 345),
        }
    }

    /// The seed of the checksums.
    pub fn set_seed(&mut self, seed: InodeSeed) {
        self.seed = seed;
    }

    /// Goes on with the blocks of another tree in memory, whose bytes are in the arena already.
    pub fn set_states(&mut self, states: &[BlockState]) {
        for (state, other) in self.states.iter_mut().zip(states) {
            *state = *other;
        }
    }

    /// Begins a transaction: nothing is prepared, and counting starts anew.
    pub fn begin(&mut self) {
        self.counts = Counts::default();
        self.root_prepared = false;
        for state in self.states.iter_mut() {
            state.prepared = false;
            state.touched = false;
        }
    }

    /// The nodes, except the root, that this transaction changed, allocated or freed.
    pub fn touched(&self) -> usize {
        self.states.iter().filter(|state| state.touched).count()
    }

    /// The nodes that are in use, except the root.
    pub fn in_use(&self) -> usize {
        self.states.iter().filter(|state| state.in_use).count()
    }

    /// The blocks that are in use, and their bytes.
    pub fn used_blocks(&self) -> impl Iterator<Item = (PhysicalBlock, &[u8])> + '_ {
        let blocks = self.arena.chunks_exact(self.block_size).zip(self.first.0..);
        let states = blocks.zip(self.states.iter());
        states
            .filter(|(_, state)| state.in_use)
            .map(|((bytes, at), _)| (PhysicalBlock(at), bytes))
    }

    fn luck(&mut self) -> Result<(), MemoryError> {
        match &mut self.fail_after {
            Some(0) => Err(MemoryError::Injected),
            Some(left) => {
                *left -= 1;
                Ok(())
            }
            None => Ok(()),
        }
    }

    fn index(&self, at: PhysicalBlock) -> Option<usize> {
        let index = usize::try_from(at.distance_from(self.first)?).ok()?;
        self.states.get(index)?.in_use.then_some(index)
    }

    fn state(&mut self, at: PhysicalBlock) -> Result<&mut BlockState, MemoryError> {
        self.index(at)
            .and_then(|index| self.states.get_mut(index))
            .ok_or(MemoryError::NotInUse(at))
    }

    /// Notes a change of the block at `at` and gives its index.
    fn touch(&mut self, at: PhysicalBlock) -> Result<usize, MemoryError> {
        let state = self.state(at)?;
        if !state.prepared {
            return Err(MemoryError::NotPrepared(Place::Block(at)));
        }
        state.touched = true;
        self.index(at).ok_or(MemoryError::NotInUse(at))
    }
}

/// The bytes of block `index`, as an index into the arena.
fn range(index: usize, block_size: usize) -> core::ops::Range<usize> {
    let start = index * block_size;
    start..start + block_size
}

impl NodeStore for Memory<'_> {
    type Block = PhysicalBlock;
    type Error = MemoryError;

    fn area(&self) -> DataArea {
        self.area
    }

    fn with_root<R>(&self, f: impl FnOnce(&[u8]) -> R) -> R {
        f(&self.root)
    }

    fn read(&self, at: PhysicalBlock) -> Result<PhysicalBlock, MemoryError> {
        self.index(at).ok_or(MemoryError::NotInUse(at))?;
        self.with_bytes(&at, |bytes| {
            verify_checksum(bytes, at, self.seed)?;
            Node::parse(bytes, Place::Block(at))?.check(self.area)
        })?;
        Ok(at)
    }

    fn with_bytes<R>(&self, block: &PhysicalBlock, f: impl FnOnce(&[u8]) -> R) -> R {
        let bytes = self
            .index(*block)
            .and_then(|index| self.arena.get(range(index, self.block_size)));
        f(bytes.unwrap_or(&[]))
    }

    fn location(&self, block: &PhysicalBlock) -> PhysicalBlock {
        *block
    }
}

impl NodeStoreMut for Memory<'_> {
    fn prepare_root(&mut self) -> Result<(), MemoryError> {
        self.luck()?;
        self.root_prepared = true;
        Ok(())
    }

    fn prepare(&mut self, block: &PhysicalBlock) -> Result<(), MemoryError> {
        self.luck()?;
        self.state(*block)?.prepared = true;
        Ok(())
    }

    fn edit_root<R>(&mut self, f: impl FnOnce(&mut [u8]) -> R) -> Result<R, MemoryError> {
        if !self.root_prepared {
            return Err(MemoryError::NotPrepared(Place::Root));
        }
        Ok(f(&mut self.root))
    }

    fn edit<R>(
        &mut self,
        block: &PhysicalBlock,
        f: impl FnOnce(&mut [u8]) -> R,
    ) -> Result<R, MemoryError> {
        let index = self.touch(*block)?;
        let bytes = self
            .arena
            .get_mut(range(index, self.block_size))
            .ok_or(MemoryError::NotInUse(*block))?;
        let result = f(bytes);
        update_checksum(bytes, *block, self.seed)?;
        Ok(result)
    }

    fn edit_from<R>(
        &mut self,
        block: &PhysicalBlock,
        source: &PhysicalBlock,
        f: impl FnOnce(&mut [u8], &[u8]) -> R,
    ) -> Result<R, MemoryError> {
        let index = self.touch(*block)?;
        let from = self.index(*source).ok_or(MemoryError::NotInUse(*source))?;
        let (low, high) = (index.min(from), index.max(from));
        let size = self.block_size;
        let error = MemoryError::NotInUse(*source);
        let (head, tail) = self.arena.split_at_mut_checked(high * size).ok_or(error)?;
        let low = head.get_mut(range(low, size)).ok_or(error)?;
        let high = tail.get_mut(range(0, size)).ok_or(error)?;
        let (bytes, from) = if index < from {
            (low, high)
        } else {
            (high, low)
        };
        let result = f(bytes, from);
        update_checksum(bytes, *block, self.seed)?;
        Ok(result)
    }

    fn allocate(&mut self, _near: PhysicalBlock) -> Result<PhysicalBlock, MemoryError> {
        self.luck()?;
        let mut blocks = self.states.iter_mut().zip(self.first.0..);
        let (state, at) = blocks
            .find(|(state, _)| !state.in_use)
            .ok_or(MemoryError::Full)?;
        *state = BlockState {
            in_use: true,
            prepared: true,
            touched: true,
        };
        self.counts.allocated += 1;
        Ok(PhysicalBlock(at))
    }

    fn free(&mut self, block: PhysicalBlock) -> Result<(), MemoryError> {
        let state = self.state(block)?;
        state.in_use = false;
        state.touched = true;
        self.counts.freed += 1;
        Ok(())
    }

    fn may_free_data(&mut self, _removed: Extent) -> Result<(), MemoryError> {
        Ok(())
    }

    fn free_data(&mut self, removed: Extent) -> Result<(), MemoryError> {
        self.counts.freed_data += removed.len();
        Ok(())
    }

    fn forget(&mut self, blocks: Range<LogicalBlock>) {
        if let Some(watch) = &mut self.watch {
            self.was_known = watch.forget(blocks);
        }
    }

    fn learn(&mut self, extent: Extent) {
        let is_wanted = core::mem::take(&mut self.was_known);
        if let Some(watch) = self.watch.as_mut().filter(|_| is_wanted) {
            watch.learn(extent);
        }
    }
}
