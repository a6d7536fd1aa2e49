// SPDX-License-Identifier: GPL-2.0

//! What the algorithms on trees need of whoever keeps the nodes.

use core::ops::Range;

use super::TreeError;
use crate::disk::extent::{DataArea, Extent};
use crate::disk::units::{LogicalBlock, PhysicalBlock};

/// Keeps the nodes of one inode's tree, to read.
pub trait NodeStore {
    /// A reference to the block of a node that keeps it in memory: a buffer head in the kernel.
    type Block;
    /// Why a node cannot be had.
    type Error: From<TreeError>;

    /// Where on the device data and nodes can lie.
    fn area(&self) -> DataArea;

    /// Calls `f` with the root, which is all of the inode's `i_block`.
    ///
    /// The root is small enough for its entries to be checked each time it is used.
    fn with_root<R>(&self, f: impl FnOnce(&[u8]) -> R) -> R;

    /// Gets the block at `at`, which lies in [`Self::area`].
    ///
    /// A block that comes from disk is checked here, once: its checksum by
    /// [`verify_checksum`](crate::disk::extent::verify_checksum), its entries by
    /// [`Node::check`](crate::disk::extent::Node::check). Whether it is the right node for its
    /// place in the tree is checked each time by the caller.
    fn read(&self, at: PhysicalBlock) -> Result<Self::Block, Self::Error>;

    /// Calls `f`, which does not sleep, with the bytes of a block.
    fn with_bytes<R>(&self, block: &Self::Block, f: impl FnOnce(&[u8]) -> R) -> R;

    /// Where a block lies.
    fn location(&self, block: &Self::Block) -> PhysicalBlock;
}

/// Keeps the nodes of one inode's tree, to change, within one transaction.
///
/// Everything that is changed has been announced with [`Self::prepare`] or
/// [`Self::prepare_root`] or was just allocated, so that the methods that change something fail
/// only if the journal is broken. It then commits nothing, and the tree on disk stays whole.
pub trait NodeStoreMut: NodeStore {
    /// Gets ready for [`Self::edit_root`]: journal write access to the inode.
    fn prepare_root(&mut self) -> Result<(), Self::Error>;

    /// Gets ready for [`Self::edit`] of `block`: journal write access to it.
    fn prepare(&mut self, block: &Self::Block) -> Result<(), Self::Error>;

    /// Lets `f` change the root, and marks the inode dirty.
    fn edit_root<R>(&mut self, f: impl FnOnce(&mut [u8]) -> R) -> Result<R, Self::Error>;

    /// Lets `f` change a block, makes its checksum right and marks it dirty in the journal.
    fn edit<R>(
        &mut self,
        block: &Self::Block,
        f: impl FnOnce(&mut [u8]) -> R,
    ) -> Result<R, Self::Error>;

    /// As [`Self::edit`], with the bytes of another block, `source`, to read.
    fn edit_from<R>(
        &mut self,
        block: &Self::Block,
        source: &Self::Block,
        f: impl FnOnce(&mut [u8], &[u8]) -> R,
    ) -> Result<R, Self::Error>;

    /// Allocates a block for a node, if possible close to `near`.
    ///
    /// Its contents do not matter, they are written before anything is read. It is a part of the
    /// transaction and can be given to [`Self::edit`] at once.
    fn allocate(&mut self, near: PhysicalBlock) -> Result<Self::Block, Self::Error>;

    /// Frees a block that is no longer, or never became, a node of the tree.
    fn free(&mut self, block: Self::Block) -> Result<(), Self::Error>;

    /// Whether the blocks that `removed` holds can be freed: asked before the tree is changed, so that nothing is lost for
    /// what can't be read.
    fn may_free_data(&mut self, removed: Extent) -> Result<(), Self::Error>;

    /// Frees the blocks of the device that `removed` held, which is no longer in the tree.
    fn free_data(&mut self, removed: Extent) -> Result<(), Self::Error>;

    /// Is told, before the tree is changed, that these blocks will be mapped otherwise, or that what
    /// was one extent may be several: what is known of them without the tree holds no more. The
    /// change may fail.
    fn forget(&mut self, blocks: Range<LogicalBlock>);

    /// Is told, after it was changed, that the tree has this extent where it was changed.
    fn learn(&mut self, extent: Extent);
}
