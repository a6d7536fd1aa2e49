// SPDX-License-Identifier: GPL-2.0

//! Orphans: inodes that recovery would have to finish, because a change of several transactions
//! was begun.
//!
//! They are listed on disk in one of two ways. With the feature `orphan_file` a hidden file has a
//! slot for each, so that adding one touches one block. Without it, or when the file is full, they
//! are a list that starts in the super block and goes on through the inodes' fields of the time of
//! deletion. Source: `Documentation/filesystems/ext4/orphan.rst`.
//!
//! Without a journal none is listed on disk, as with C ext4: there is no recovery to look, and after a crash
//! the list would tell e2fsck of inodes that are something else by now. It finds inodes without links
//! by itself, since nobody says then that the file system is clean. What was listed before, with a
//! journal, is finished at the mount all the same.

use super::{number, seed, store};
use crate::{
    disk::{
        checksum::InodeSeed,
        orphan_file::OrphanBlock,
        units::{InodeNumber, LogicalBlock, PhysicalBlock},
    },
    error::{euclean, FsError, FsResult},
    journal::kinds::ORPHAN_BLOCK,
    vfs::{
        buffer::{Buffer, Kind},
        checksum::crc32c,
        inode::Inode,
        jbd2::{Handle, LateChecksum},
        super_block::SuperBlock,
    },
    Rext4,
};
use core::sync::atomic::{AtomicBool, Ordering};
use kernel::{
    error::code,
    new_mutex,
    prelude::*,
    rbtree::{RBTree, RBTreeNodeReservation},
    sync::Mutex,
};

/// The most blocks that an orphan file has, as in C ext4.
const MAX_FILE_BLOCKS: u32 = 512;

/// Where an inode is.
#[derive(Clone, Copy)]
enum Place {
    /// In a slot of the orphan file.
    File { block: usize, slot: usize },
    /// In the list: it links to `older`, and `newer` links to it; the super block to the newest.
    List {
        newer: Option<InodeNumber>,
        older: Option<InodeNumber>,
    },
    /// Nowhere on disk.
    Memory,
}

#[derive(Default)]
struct State {
    /// Those of the orphan file.
    blocks: KVec<Buffer>,
    /// All blocks before this one are full.
    first: usize,
    /// What the checksums of the blocks start from.
    seed: Option<InodeSeed>,
    /// Who is an orphan.
    places: RBTree<InodeNumber, Place>,
    /// The newest in the list.
    newest: Option<InodeNumber>,
    loaded: bool,
}

impl State {
    /// Notes an orphan that was found on disk.
    fn found(&mut self, inode: InodeNumber, place: Place) -> FsResult {
        let other = self
            .places
            .try_create_and_insert(inode, place, GFP_KERNEL)?;
        match other {
            None => Ok(()),
            Some(_) => Err(FsError::Kernel(euclean())),
        }
    }

    /// An empty slot of the orphan file, and its block.
    fn empty_slot(&mut self) -> Option<(usize, usize)> {
        while let Some(block) = self.blocks.get(self.first) {
            let slot = block.with(|bytes| OrphanBlock::from_bytes(bytes).ok()?.empty_slot());
            if let Some(slot) = slot {
                return Some((self.first, slot));
            }
            self.first += 1;
        }
        None
    }

    /// Notes whom `of` links to, or if that is nobody, the super block.
    fn set_older(&mut self, of: Option<InodeNumber>, inode: Option<InodeNumber>) {
        match of.map(|of| self.places.get_mut(&of)) {
            None => self.newest = inode,
            Some(Some(Place::List { older, .. })) => *older = inode,
            // It is in the list.
            Some(_) => {}
        }
    }

    /// Notes who links to `of`, if that is somebody.
    fn set_newer(&mut self, of: Option<InodeNumber>, inode: Option<InodeNumber>) {
        if let Some(Place::List { newer, .. }) = of.and_then(|of| self.places.get_mut(&of)) {
            *newer = inode;
        }
    }
}

/// The orphans of a mounted file system.
///
/// The lock is taken under a handle and under an inode's tree lock; under it blocks are changed.
#[pin_data]
pub(crate) struct Orphans {
    #[pin]
    state: Mutex<State>,
    /// Whether there may be one that was to be cut and could not be.
    uncut: AtomicBool,
}

impl Orphans {
    /// No orphans, and no orphan file yet: see [`Orphans::load`].
    pub(crate) fn new() -> impl PinInit<Self> {
        pin_init!(Self {
            state <- new_mutex!(State::default(), "rext4_orphans"),
            uncut: AtomicBool::new(false),
        })
    }

    /// Notes that an inode stays here which was to be cut.
    pub(crate) fn note_uncut(&self) {
        self.uncut.store(true, Ordering::Relaxed);
    }

    /// Tells an inode that is being loaded and has links whether it is one of those.
    pub(super) fn remind(&self, inode: &Inode<Rext4>) {
        if self.uncut.load(Ordering::Relaxed)
            && self.state.lock().places.get(&number(inode)).is_some()
        {
            inode.data().orphan.store(true, Ordering::Relaxed);
            inode.data().set_uncut(true);
        }
    }

    /// Reads the orphan file and the list, and gives all that are in them. A list that leads somewhere else
    /// ends there: what can't be followed stays on disk, for e2fsck.
    pub(crate) fn load(
        &self,
        sb: &SuperBlock<Rext4>,
        file: Option<&Inode<Rext4>>,
        head: Option<InodeNumber>,
    ) -> FsResult<KVVec<InodeNumber>> {
        // Blocks are read without the lock, which is taken under a tree's.
        let mut state = State::default();
        let mut found = KVVec::new();
        if let Some(file) = file {
            let size = sb.data().layout.block_size();
            state.seed = seed(file);
            let count = size.blocks_for(u64::try_from(file.size()).unwrap_or(0));
            // mke2fs makes no larger ones, and all of it is kept in memory.
            let count = u32::try_from(count)
                .ok()
                .filter(|count| *count <= MAX_FILE_BLOCKS)
                .ok_or_else(|| FsError::Kernel(euclean()))?;
            for logical in 0..count {
                let buffer = super::read_block(file, LogicalBlock(logical))?
                    .ok_or_else(|| FsError::Kernel(euclean()))?;
                let at = PhysicalBlock(buffer.block());
                let index = state.blocks.len();
                // The slots are counted first: under the byte lock nothing can be allocated.
                let check = |bytes: &[u8]| -> FsResult<usize> {
                    let block =
                        OrphanBlock::from_bytes(bytes).map_err(|e| FsError::Corrupt(e.into()))?;
                    if let Some(seed) = state.seed {
                        block
                            .verify_checksum(seed, at)
                            .map_err(|e| FsError::Corrupt(e.into()))?;
                    }
                    Ok(block.orphans().count())
                };
                let count = buffer.with(check)?;
                let mut orphans = KVVec::with_capacity(count, GFP_KERNEL)?;
                buffer.with(|bytes| {
                    let Ok(block) = OrphanBlock::from_bytes(bytes) else {
                        return;
                    };
                    for orphan in block.orphans().take(count) {
                        let _ = orphans.push_within_capacity(orphan);
                    }
                });
                for &(slot, inode) in orphans.iter() {
                    state.found(inode, Place::File { block: index, slot })?;
                    found.push(inode, GFP_KERNEL)?;
                }
                state.blocks.push(buffer, GFP_KERNEL)?;
            }
        }
        let (mut newer, mut next) = (None, head);
        while let Some(inode) = next {
            let is_known = state.places.get(&inode).is_some();
            let older = match is_known {
                false => next_on_disk(sb, inode),
                // In a circle, or in the orphan file too.
                true => Err(FsError::Kernel(euclean())),
            };
            let older = match older {
                Ok(older) => older,
                Err(e) if e.is(code::ENOMEM) => return Err(e),
                Err(e) => {
                    let e = sb.data().errno_at(sb, Some(inode), "follow the orphans", e);
                    pr_warn!(
                        "({}): warning: the list of orphans ends at inode {}: error {}\n",
                        sb.id(),
                        inode.0,
                        e.to_errno()
                    );
                    if is_known {
                        state.set_older(newer, None);
                    }
                    break;
                }
            };
            state.found(inode, Place::List { newer, older })?;
            found.push(inode, GFP_KERNEL)?;
            (newer, next) = (next, older);
        }
        state.newest = head;
        state.loaded = true;
        *self.state.lock() = state;
        Ok(found)
    }

    /// Whether [`Self::load`] was done.
    pub(crate) fn is_loaded(&self) -> bool {
        self.state.lock().loaded
    }

    /// Whether there are none.
    pub(crate) fn is_empty(&self) -> bool {
        self.state.lock().places.is_empty()
    }
}

/// Memory to note an orphan with: whoever has it can [add](add_within) one also when there is none left.
pub(crate) struct Room(RBTreeNodeReservation<InodeNumber, Place>);

impl Room {
    /// Room for one.
    pub(crate) fn new() -> Result<Self> {
        Ok(Self(RBTreeNodeReservation::new(GFP_KERNEL)?))
    }
}

/// Adds an inode, within the transaction that needs it to be there. Needs
/// [`credits::ORPHAN`](crate::journal::credits::ORPHAN) and credits for the inode. The inode's
/// lock is held exclusively, or nobody else knows the inode.
pub(crate) fn add(inode: &Inode<Rext4>, handle: &Handle<'_>) -> FsResult {
    add_within(inode, handle, Room::new()?)
}

/// The same with memory that is there already.
pub(crate) fn add_within(inode: &Inode<Rext4>, handle: &Handle<'_>, room: Room) -> FsResult {
    let fs = inode.super_block().data();
    let mut state = fs.orphans.state.lock();
    // Not asked without the lock: somebody may be about to take it off.
    if inode.data().is_orphan() {
        return Ok(());
    }
    let own = number(inode);
    if state.places.get(&own).is_some() {
        // It stayed there when it was in memory before.
        inode.data().orphan.store(true, Ordering::Relaxed);
        return Ok(());
    }
    let journaled = handle.journal().is_atomic();
    let place = match journaled.then(|| state.empty_slot()) {
        None => Place::Memory,
        Some(Some((block, slot))) => {
            edit_slot(&state, handle, block, |orphans| orphans.fill(slot, own))?;
            Place::File { block, slot }
        }
        Some(None) => {
            let older = state.newest;
            store::edit(inode, handle, |raw| raw.set_next_orphan(older))?;
            fs.edit_primary(handle, |superblock| superblock.set_last_orphan(Some(own)))?;
            state.set_newer(older, Some(own));
            state.newest = Some(own);
            Place::List { newer: None, older }
        }
    };
    state.places.insert(room.0.into_node(own, place));
    inode.data().orphan.store(true, Ordering::Relaxed);
    Ok(())
}

/// Takes an inode off, within the transaction after which it is consistent. Needs what [`add`]
/// needs.
pub(crate) fn remove(inode: &Inode<Rext4>, handle: &Handle<'_>) -> FsResult {
    remove_if(inode, handle, || true)
}

/// The same if `consistent` says so, which is asked with the lock held that [`add`] takes: who makes it
/// false before that finds the inode off the list, and puts it there again.
pub(crate) fn remove_if(
    inode: &Inode<Rext4>,
    handle: &Handle<'_>,
    consistent: impl FnOnce() -> bool,
) -> FsResult {
    let sb = inode.super_block();
    let fs = sb.data();
    let own = number(inode);
    let mut state = fs.orphans.state.lock();
    if !inode.data().is_orphan() || !consistent() {
        return Ok(());
    }
    match state.places.get(&own).copied() {
        Some(Place::File { block, slot }) => {
            edit_slot(&state, handle, block, |orphans| orphans.clear(slot))?;
            state.first = state.first.min(block);
        }
        Some(Place::List { newer, older }) => {
            match newer {
                Some(newer) => store::edit_next_orphan(sb, handle, newer, older)?,
                None => fs.edit_primary(handle, |superblock| superblock.set_last_orphan(older))?,
            }
            store::edit(inode, handle, |raw| raw.set_next_orphan(None))?;
            state.set_older(newer, older);
            state.set_newer(older, newer);
        }
        Some(Place::Memory) | None => {}
    }
    state.places.remove(&own);
    inode.data().orphan.store(false, Ordering::Relaxed);
    Ok(())
}

/// Notes that an inode that was just loaded is one of those that [`Orphans::load`] found.
pub(crate) fn note_loaded(inode: &Inode<Rext4>) {
    inode.data().orphan.store(true, Ordering::Relaxed);
}

fn edit_slot(
    state: &State,
    handle: &Handle<'_>,
    index: usize,
    change: impl FnOnce(
        &mut OrphanBlock<&mut [u8]>,
    ) -> core::result::Result<(), crate::disk::orphan_file::OrphanFileError>,
) -> FsResult {
    let block = state
        .blocks
        .get(index)
        .ok_or_else(|| FsError::Kernel(euclean()))?;
    handle
        .write(block)?
        .edit_late::<OrphanChecksum, _>(state.seed, |bytes| {
            let mut orphans =
                OrphanBlock::from_bytes(bytes).map_err(|e| FsError::Corrupt(e.into()))?;
            change(&mut orphans).map_err(|e| FsError::Corrupt(e.into()))
        })?
}

/// The checksum of a block of the orphan file: each file that is deleted changes one twice.
struct OrphanChecksum;

impl LateChecksum for OrphanChecksum {
    const KIND: Kind = ORPHAN_BLOCK;
    type Seed = InodeSeed;

    fn postpone(_block: u64, bytes: &mut [u8], seed: InodeSeed) -> bool {
        OrphanBlock::from_bytes(bytes)
            .map(|mut orphans| orphans.postpone_checksum(seed))
            .is_ok()
    }

    fn complete(block: u64, bytes: &mut [u8]) {
        // It was one when the checksum was put off.
        if let Ok(mut orphans) = OrphanBlock::from_bytes(bytes) {
            orphans.complete_checksum(PhysicalBlock(block), crc32c);
        }
    }
}

/// The orphan after this one in the list on disk.
fn next_on_disk(sb: &SuperBlock<Rext4>, of: InodeNumber) -> FsResult<Option<InodeNumber>> {
    let fs = sb.data();
    let (buffer, place) = super::load::table_block(sb, of)?;
    buffer.with(|block| {
        let raw = crate::disk::inode::Inode::in_block(block, &fs.layout, place)
            .map_err(|e| FsError::Corrupt(e.into()))?;
        Ok(raw.next_orphan())
    })
}
