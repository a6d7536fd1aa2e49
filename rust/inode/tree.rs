// SPDX-License-Identifier: GPL-2.0

//! An inode's extent tree, over the kernel's buffers and the journal.
//!
//! The root is in [`super::InodeData::tree`], whose lock the caller holds: that is where the
//! references in here come from.

use super::{cache, charged, map, seed, store};
use crate::{
    dio::claim::Waiting,
    disk::{
        checksum::InodeSeed,
        extent::{
            complete_checksum, postpone_checksum, verify_checksum, DataArea, Extent, Node, Place,
            ROOT_SIZE,
        },
        units::{LogicalBlock, PhysicalBlock},
    },
    error::{FsError, FsResult},
    extent::{Mapping, NodeStore, NodeStoreMut},
    group::{Rights, Wanted},
    journal::{kinds::EXTENT_NODE, sync_point::Change},
    quota::{self, Limits},
    vfs::{
        buffer::{Buffer, Kind},
        checksum::crc32c,
        inode::Inode,
        jbd2::{Handle, LateChecksum},
    },
    Rext4,
};
use core::ops::Range;
use kernel::error::code;

/// A tree to look at.
pub(crate) struct ReadTree<'a> {
    inode: &'a Inode<Rext4>,
    root: &'a [u8; ROOT_SIZE],
    seed: Option<InodeSeed>,
    /// What is not in memory is not read, but is `EAGAIN`.
    in_memory: bool,
}

impl<'a> ReadTree<'a> {
    /// The tree of `inode` with this root.
    pub(crate) fn new(inode: &'a Inode<Rext4>, root: &'a [u8; ROOT_SIZE]) -> Self {
        Self {
            inode,
            root,
            seed: seed(inode),
            in_memory: false,
        }
    }

    /// As [`Self::new`]; if waiting is forbidden, to be looked at only as far as it is in memory, and
    /// `EAGAIN` where it is not.
    pub(crate) fn with(
        inode: &'a Inode<Rext4>,
        root: &'a [u8; ROOT_SIZE],
        waiting: Waiting,
    ) -> Self {
        Self {
            in_memory: waiting == Waiting::Forbidden,
            ..Self::new(inode, root)
        }
    }
}

/// What of a device nodes and data can lie in.
fn area(inode: &Inode<Rext4>) -> DataArea {
    let layout = &inode.super_block().data().layout;
    DataArea {
        first: PhysicalBlock(layout.first_data_block().0.saturating_add(1)),
        end: PhysicalBlock(layout.blocks_count()),
    }
}

fn read_node(inode: &Inode<Rext4>, seed: Option<InodeSeed>, at: PhysicalBlock) -> FsResult<Buffer> {
    let sb = inode.super_block();
    let buffer = Buffer::read(sb.device(), at.0, sb.data().layout.block_size().bytes())?;
    verify_node(inode, seed, at, &buffer)?;
    Ok(buffer)
}

/// Checks a node, and that it is none of the file system's own blocks, unless that was done before.
fn verify_node(
    inode: &Inode<Rext4>,
    seed: Option<InodeSeed>,
    at: PhysicalBlock,
    buffer: &Buffer,
) -> FsResult {
    let check = |bytes: &[u8]| -> FsResult {
        if let Some(seed) = seed {
            verify_checksum(bytes, at, seed).map_err(crate::extent::TreeError::from)?;
        }
        Node::parse(bytes, Place::Block(at))
            .and_then(|node| node.check(area(inode)))
            .map_err(crate::extent::TreeError::from)?;
        Ok(())
    };
    if map::is_own(inode) {
        // Such nodes are the file system's own: nobody else is to find them checked.
        return buffer.with(check);
    }
    if buffer.is_verified(EXTENT_NODE) {
        return Ok(());
    }
    map::check_foreign(inode, at, 1)?;
    buffer.verify_once(EXTENT_NODE, check)
}

impl NodeStore for ReadTree<'_> {
    type Block = Buffer;
    type Error = crate::error::FsError;

    fn area(&self) -> DataArea {
        area(self.inode)
    }

    fn with_root<R>(&self, f: impl FnOnce(&[u8]) -> R) -> R {
        f(self.root)
    }

    fn read(&self, at: PhysicalBlock) -> FsResult<Buffer> {
        if self.in_memory {
            let sb = self.inode.super_block();
            let size = sb.data().layout.block_size().bytes();
            let buffer =
                Buffer::find(sb.device(), at.0, size).ok_or(FsError::Kernel(code::EAGAIN))?;
            verify_node(self.inode, self.seed, at, &buffer)?;
            return Ok(buffer);
        }
        read_node(self.inode, self.seed, at)
    }

    fn with_bytes<R>(&self, block: &Buffer, f: impl FnOnce(&[u8]) -> R) -> R {
        block.with(f)
    }

    fn location(&self, block: &Buffer) -> PhysicalBlock {
        PhysicalBlock(block.block())
    }
}

/// The checksum of a node: it changes several times in one transaction, and is nearly as long as the
/// block.
struct NodeChecksum;

impl LateChecksum for NodeChecksum {
    const KIND: Kind = EXTENT_NODE;
    type Seed = InodeSeed;

    fn postpone(block: u64, bytes: &mut [u8], seed: InodeSeed) -> bool {
        postpone_checksum(bytes, PhysicalBlock(block), seed).is_ok()
    }

    fn complete(block: u64, bytes: &mut [u8]) {
        // There was a place for it.
        let _ = complete_checksum(bytes, PhysicalBlock(block), crc32c);
    }
}

/// A tree to change, within a transaction.
///
/// After the last change the caller stores the inode: [`WriteTree::store_inode`].
pub(crate) struct WriteTree<'a, 'j> {
    inode: &'a Inode<Rext4>,
    root: &'a mut [u8; ROOT_SIZE],
    handle: &'a Handle<'j>,
    seed: Option<InodeSeed>,
    /// Who pays for new nodes.
    rights: Rights<'a>,
    /// Whether new nodes are for somebody who asks for something.
    limits: Limits,
    /// Whether data that is removed was allocated in this transaction and never used.
    frees_unused: bool,
    /// Whether something was known of what is being changed.
    was_known: bool,
    /// Whether it was, and is forgotten already.
    was_known_before: bool,
}

impl<'a, 'j> WriteTree<'a, 'j> {
    /// The tree of `inode` with this root. New nodes are allocated with `rights`.
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
            seed: seed(inode),
            rights,
            limits: Limits::Ignored,
            frees_unused: false,
            was_known: false,
            was_known_before: false,
        }
    }

    /// New nodes are for somebody who heeds the limits of quotas, or not: as long as nothing is said, not.
    pub(crate) fn heed(&mut self, limits: Limits) {
        self.limits = limits;
    }

    /// From now on what is removed was allocated in this very transaction, and never used.
    pub(super) fn frees_unused(&mut self) {
        self.frees_unused = true;
    }

    /// What is going to be changed was known, and was forgotten before.
    pub(super) fn was_known_before(&mut self, was_known: bool) {
        self.was_known_before = was_known;
    }

    /// Writes the inode with its changed root. Needs credits for one block.
    pub(crate) fn store_inode(&self) -> FsResult {
        self.inode.data().note_change();
        store::store(self.inode, self.handle, self.root)?;
        self.inode.data().sync_point.note(self.handle, Change::Data);
        Ok(())
    }
}

impl NodeStore for WriteTree<'_, '_> {
    type Block = Buffer;
    type Error = crate::error::FsError;

    fn area(&self) -> DataArea {
        area(self.inode)
    }

    fn with_root<R>(&self, f: impl FnOnce(&[u8]) -> R) -> R {
        f(self.root)
    }

    fn read(&self, at: PhysicalBlock) -> FsResult<Buffer> {
        read_node(self.inode, self.seed, at)
    }

    fn with_bytes<R>(&self, block: &Buffer, f: impl FnOnce(&[u8]) -> R) -> R {
        block.with(f)
    }

    fn location(&self, block: &Buffer) -> PhysicalBlock {
        PhysicalBlock(block.block())
    }
}

impl NodeStoreMut for WriteTree<'_, '_> {
    fn prepare_root(&mut self) -> FsResult {
        // The root is in memory; its place in the inode table is asked for here, so that
        // `store_inode` has nothing left that can fail.
        store::edit(self.inode, self.handle, |_| ())
    }

    fn prepare(&mut self, block: &Buffer) -> FsResult {
        self.handle.write(block)?;
        Ok(())
    }

    fn edit_root<R>(&mut self, f: impl FnOnce(&mut [u8]) -> R) -> FsResult<R> {
        Ok(f(self.root))
    }

    fn edit<R>(&mut self, block: &Buffer, f: impl FnOnce(&mut [u8]) -> R) -> FsResult<R> {
        let node = self.handle.write(block)?;
        Ok(node.edit_late::<NodeChecksum, _>(self.seed, f)?)
    }

    fn edit_from<R>(
        &mut self,
        block: &Buffer,
        source: &Buffer,
        f: impl FnOnce(&mut [u8], &[u8]) -> R,
    ) -> FsResult<R> {
        let node = self.handle.write(block)?;
        Ok(node.edit_from_late::<NodeChecksum, _>(source, self.seed, f)?)
    }

    fn allocate(&mut self, near: PhysicalBlock) -> FsResult<Buffer> {
        let (wanted, rights) = (Wanted::new(near, 1), self.rights.reborrow());
        charged::allocate(self.inode, self.handle, wanted, rights, self.limits)
    }

    fn free(&mut self, block: Buffer) -> FsResult {
        let sb = self.inode.super_block();
        let at = self.location(&block);
        sb.data().groups()?.free(self.handle, at, 1)?;
        self.handle.forget(block)?;
        quota::free(self.inode, 1);
        Ok(())
    }

    fn may_free_data(&mut self, removed: Extent) -> FsResult {
        let groups = self.inode.super_block().data().groups()?;
        groups.may_free(self.handle, removed.physical(), removed.len())
    }

    fn free_data(&mut self, removed: Extent) -> FsResult {
        let groups = self.inode.super_block().data().groups()?;
        if self.frees_unused {
            // The journal never had anything of them.
            groups.free_unused(self.handle, removed.physical(), removed.len())?;
            quota::free(self.inode, removed.len());
            return Ok(());
        }
        groups.free(self.handle, removed.physical(), removed.len())?;
        charged::let_go(self.inode, self.handle, removed.physical(), removed.len())
    }

    fn forget(&mut self, blocks: Range<LogicalBlock>) {
        // Before what is learned can be seen without the tree's lock: who builds on it and asks for it
        // to be durable has to wait for this transaction.
        self.inode.data().sync_point.note(self.handle, Change::Data);
        self.was_known = cache::forget(self.inode, blocks) || self.was_known_before;
    }

    fn learn(&mut self, extent: Extent) {
        let is_wanted = core::mem::take(&mut self.was_known);
        // It may have grown by a neighbour that nobody has looked at yet.
        if is_wanted && map::check_foreign(self.inode, extent.physical(), extent.len()).is_ok() {
            cache::keep(self.inode, Mapping::Extent(extent));
        }
    }
}
