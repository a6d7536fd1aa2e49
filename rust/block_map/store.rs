// SPDX-License-Identifier: GPL-2.0

//! What the algorithms on block maps need of whoever keeps the tables.

use crate::disk::{
    block_map::MapError,
    units::{BlockSize, PhysicalBlock},
};

/// Keeps the tables of one inode's map, to read.
pub trait TableStore {
    /// A reference to a table that keeps it in memory.
    type Block;
    /// Why a table cannot be had.
    type Error: From<MapError>;

    /// The size of a table.
    fn size(&self) -> BlockSize;

    /// Calls `f` with the numbers in the inode: all of its `i_block`.
    fn with_root<R>(&self, f: impl FnOnce(&[u8]) -> R) -> R;

    /// Checks that a file can have these blocks, for data or as a table: they are of the file system, and not
    /// its own. If it knows no more than that they are not, it says `outside`.
    fn check(&self, start: PhysicalBlock, len: u32, outside: MapError) -> Result<(), Self::Error>;

    /// Checks that data of a file can be read and overwritten there, in the same way.
    fn check_data(
        &self,
        start: PhysicalBlock,
        len: u32,
        outside: MapError,
    ) -> Result<(), Self::Error> {
        self.check(start, len, outside)
    }

    /// Gets the table at `at`, which was checked.
    fn read(&self, at: PhysicalBlock) -> Result<Self::Block, Self::Error>;

    /// Calls `f`, which does not sleep, with the bytes of a table.
    fn with_bytes<R>(&self, table: &Self::Block, f: impl FnOnce(&[u8]) -> R) -> R;

    /// Where a table lies.
    fn location(&self, table: &Self::Block) -> PhysicalBlock;
}

/// Keeps the tables of one inode's map, to change, within one transaction.
pub trait TableStoreMut: TableStore {
    /// Gets ready for [`Self::edit_root`].
    fn prepare_root(&mut self) -> Result<(), Self::Error>;

    /// Gets ready for [`Self::edit`] of a table.
    fn prepare(&mut self, table: &Self::Block) -> Result<(), Self::Error>;

    /// Lets `f` change the numbers in the inode, which the caller stores.
    fn edit_root<R>(&mut self, f: impl FnOnce(&mut [u8]) -> R) -> Result<R, Self::Error>;

    /// Lets `f` change a table.
    fn edit<R>(
        &mut self,
        table: &Self::Block,
        f: impl FnOnce(&mut [u8]) -> R,
    ) -> Result<R, Self::Error>;

    /// Allocates a block for a table, all zeros, if possible close to `near`.
    fn allocate(&mut self, near: PhysicalBlock) -> Result<Self::Block, Self::Error>;

    /// Frees a table that is no longer, or never became, a part of the map.
    fn free(&mut self, table: Self::Block) -> Result<(), Self::Error>;

    /// Frees blocks of data that are no longer in the map.
    fn free_data(&mut self, start: PhysicalBlock, len: u32) -> Result<(), Self::Error>;

    /// Whether [`Self::free_data`] can: asked before the map is changed, so that nothing is lost for what can't be read.
    fn may_free_data(&mut self, start: PhysicalBlock, len: u32) -> Result<(), Self::Error>;
}
