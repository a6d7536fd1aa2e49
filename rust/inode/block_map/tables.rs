// SPDX-License-Identifier: GPL-2.0

//! The tables of an inode's block map, over the kernel's buffers and the journal.

use super::wanted;
use crate::{
    block_map::{TableStore, TableStoreMut},
    dio::claim::Waiting,
    disk::{
        block_map::MapError,
        extent::ROOT_SIZE,
        units::{BlockSize, PhysicalBlock},
    },
    error::{FsError, FsResult},
    group::Rights,
    inode::{charged, map, store},
    journal::sync_point::Change,
    quota::{self, Limits},
    vfs::{buffer::Buffer, inode::Inode, jbd2::Handle},
    Rext4,
};
use kernel::error::code;

/// A map to look at.
pub(super) struct ReadTables<'a> {
    inode: &'a Inode<Rext4>,
    root: &'a [u8; ROOT_SIZE],
    waiting: Waiting,
}

impl<'a> ReadTables<'a> {
    /// The map of `inode` with these numbers in the inode. If waiting is forbidden, what is not in memory
    /// is `EAGAIN`.
    pub(super) fn new(
        inode: &'a Inode<Rext4>,
        root: &'a [u8; ROOT_SIZE],
        waiting: Waiting,
    ) -> Self {
        Self {
            inode,
            root,
            waiting,
        }
    }
}

fn size(inode: &Inode<Rext4>) -> BlockSize {
    inode.super_block().data().layout.block_size()
}

fn check_inside(
    inode: &Inode<Rext4>,
    start: PhysicalBlock,
    len: u32,
    outside: MapError,
) -> FsResult {
    let layout = &inode.super_block().data().layout;
    if !layout.contains(start, len.into()) {
        return Err(outside.into());
    }
    Ok(())
}

fn check(inode: &Inode<Rext4>, start: PhysicalBlock, len: u32, outside: MapError) -> FsResult {
    check_inside(inode, start, len, outside)?;
    map::check_foreign(inode, start, len)
}

impl TableStore for ReadTables<'_> {
    type Block = Buffer;
    type Error = FsError;

    fn size(&self) -> BlockSize {
        size(self.inode)
    }

    fn with_root<R>(&self, f: impl FnOnce(&[u8]) -> R) -> R {
        f(self.root)
    }

    fn check(&self, start: PhysicalBlock, len: u32, outside: MapError) -> FsResult {
        check(self.inode, start, len, outside)
    }

    fn check_data(&self, start: PhysicalBlock, len: u32, outside: MapError) -> FsResult {
        check_inside(self.inode, start, len, outside)?;
        map::check_data(self.inode, start, len)
    }

    fn read(&self, at: PhysicalBlock) -> FsResult<Buffer> {
        let device = self.inode.super_block().device();
        let bytes = self.size().bytes();
        match self.waiting {
            Waiting::Allowed => Ok(Buffer::read(device, at.0, bytes)?),
            Waiting::Forbidden => {
                Buffer::find(device, at.0, bytes).ok_or(FsError::Kernel(code::EAGAIN))
            }
        }
    }

    fn with_bytes<R>(&self, table: &Buffer, f: impl FnOnce(&[u8]) -> R) -> R {
        table.with(f)
    }

    fn location(&self, table: &Buffer) -> PhysicalBlock {
        PhysicalBlock(table.block())
    }
}

/// A map to change, within a transaction. After the last change the caller stores the inode:
/// [`WriteTables::store_inode`].
pub(crate) struct WriteTables<'a, 'j> {
    inode: &'a Inode<Rext4>,
    root: &'a mut [u8; ROOT_SIZE],
    handle: &'a Handle<'j>,
    /// Who pays for new tables.
    rights: Rights<'a>,
    /// Whether new tables are for somebody who asks for something.
    limits: Limits,
    freed: u32,
}

impl<'a, 'j> WriteTables<'a, 'j> {
    /// The map of `inode` with these numbers in the inode. New tables are allocated with `rights`.
    pub(crate) fn new(
        inode: &'a Inode<Rext4>,
        root: &'a mut [u8; ROOT_SIZE],
        handle: &'a Handle<'j>,
        rights: Rights<'a>,
    ) -> Self {
        Self {
            inode,
            root,
            handle,
            rights,
            limits: Limits::Ignored,
            freed: 0,
        }
    }

    /// New tables are for somebody who heeds the limits of quotas, or not: as long as nothing is said, not.
    pub(crate) fn heed(&mut self, limits: Limits) {
        self.limits = limits;
    }

    /// How many tables were freed.
    pub(super) fn freed(&self) -> u32 {
        self.freed
    }

    /// Writes the inode with its changed numbers. Needs credits for one block.
    pub(crate) fn store_inode(&self) -> FsResult {
        self.inode.data().note_change();
        store::store(self.inode, self.handle, self.root)?;
        self.inode.data().sync_point.note(self.handle, Change::Data);
        Ok(())
    }
}

impl TableStore for WriteTables<'_, '_> {
    type Block = Buffer;
    type Error = FsError;

    fn size(&self) -> BlockSize {
        size(self.inode)
    }

    fn with_root<R>(&self, f: impl FnOnce(&[u8]) -> R) -> R {
        f(self.root)
    }

    fn check(&self, start: PhysicalBlock, len: u32, outside: MapError) -> FsResult {
        check(self.inode, start, len, outside)
    }

    fn read(&self, at: PhysicalBlock) -> FsResult<Buffer> {
        let device = self.inode.super_block().device();
        Ok(Buffer::read(device, at.0, self.size().bytes())?)
    }

    fn with_bytes<R>(&self, table: &Buffer, f: impl FnOnce(&[u8]) -> R) -> R {
        table.with(f)
    }

    fn location(&self, table: &Buffer) -> PhysicalBlock {
        PhysicalBlock(table.block())
    }
}

impl TableStoreMut for WriteTables<'_, '_> {
    fn prepare_root(&mut self) -> FsResult {
        // As for the root of an extent tree.
        store::edit(self.inode, self.handle, |_| ())
    }

    fn prepare(&mut self, table: &Buffer) -> FsResult {
        self.handle.write(table)?;
        Ok(())
    }

    fn edit_root<R>(&mut self, f: impl FnOnce(&mut [u8]) -> R) -> FsResult<R> {
        Ok(f(self.root))
    }

    fn edit<R>(&mut self, table: &Buffer, f: impl FnOnce(&mut [u8]) -> R) -> FsResult<R> {
        Ok(self.handle.write(table)?.edit(f)?)
    }

    fn allocate(&mut self, near: PhysicalBlock) -> FsResult<Buffer> {
        let (wanted, rights) = (wanted(near, 1), self.rights.reborrow());
        charged::allocate(self.inode, self.handle, wanted, rights, self.limits)
    }

    fn free(&mut self, table: Buffer) -> FsResult {
        let at = self.location(&table);
        let groups = self.inode.super_block().data().groups()?;
        groups.free(self.handle, at, 1)?;
        self.freed += 1;
        self.handle.forget(table)?;
        quota::free(self.inode, 1);
        Ok(())
    }

    fn may_free_data(&mut self, start: PhysicalBlock, len: u32) -> FsResult {
        let groups = self.inode.super_block().data().groups()?;
        groups.may_free(self.handle, start, len)
    }

    fn free_data(&mut self, start: PhysicalBlock, len: u32) -> FsResult {
        let sb = self.inode.super_block();
        sb.data().groups()?.free(self.handle, start, len)?;
        charged::let_go(self.inode, self.handle, start, len)
    }
}
