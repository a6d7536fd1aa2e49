// SPDX-License-Identifier: GPL-2.0

//! Orphans: inodes that recovery would have to finish, because a change of several transactions
//! was begun.
//!
//! They are listed on disk in one of two ways. With the feature `orphan_file` a hidden file has a
//! slot for each, so that adding one touches one block. Without it, or when the file is full, they
//! are a list that starts in the super block and goes on through the inodes' fields of the time of
//! deletion. Source: `Documentation/filesystems/ext4/orphan.rst`.

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
use core::sync::atomic::Ordering;
use kernel::{new_mutex, prelude::*, sync::Mutex};

/// The most blocks that an orphan file has, as in C ext4.
const MAX_FILE_BLOCKS: u32 = 512;

/// Which slot of the orphan file an inode is in.
struct Slot {
    inode: InodeNumber,
    block: usize,
    slot: usize,
}

#[derive(Default)]
struct State {
    /// Those of the orphan file.
    blocks: KVec<Buffer>,
    /// What the checksums of the blocks start from.
    seed: Option<InodeSeed>,
    /// Who is in the file.
    slots: KVVec<Slot>,
    /// Who is in the list. The last one is its head, each one links to the one before it.
    list: KVVec<InodeNumber>,
    loaded: bool,
}

/// The orphans of a mounted file system.
///
/// The lock is taken under a handle and under an inode's tree lock; under it blocks are changed.
#[pin_data]
pub(crate) struct Orphans {
    #[pin]
    state: Mutex<State>,
}

impl Orphans {
    /// No orphans, and no orphan file yet: see [`Orphans::load`].
    pub(crate) fn new() -> impl PinInit<Self> {
        pin_init!(Self {
            state <- new_mutex!(State::default(), "rext4_orphans"),
        })
    }

    /// Reads the orphan file and the list, and gives all that are in them.
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
                state.slots.reserve(count, GFP_KERNEL)?;
                found.reserve(count, GFP_KERNEL)?;
                buffer.with(|bytes| {
                    let Ok(block) = OrphanBlock::from_bytes(bytes) else {
                        return;
                    };
                    for (slot, inode) in block.orphans().take(count) {
                        let _ = state.slots.push_within_capacity(Slot {
                            inode,
                            block: index,
                            slot,
                        });
                        let _ = found.push_within_capacity(inode);
                    }
                });
                state.blocks.push(buffer, GFP_KERNEL)?;
            }
        }
        let mut next = head;
        let mut chain = KVVec::new();
        // A list with a circle in it comes back to an inode at which it was when it was half or a
        // quarter … as long.
        let mut mark = None;
        while let Some(inode) = next {
            if mark == Some(inode) {
                return Err(FsError::Kernel(euclean()));
            }
            if chain.len().is_power_of_two() {
                mark = Some(inode);
            }
            chain.push(inode, GFP_KERNEL)?;
            found.push(inode, GFP_KERNEL)?;
            next = next_on_disk(sb, inode)?;
        }
        for &inode in chain.iter().rev() {
            state.list.push(inode, GFP_KERNEL)?;
        }
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
        let state = self.state.lock();
        state.slots.is_empty() && state.list.is_empty()
    }
}

/// Adds an inode, within the transaction that needs it to be there. Needs
/// [`credits::ORPHAN`](crate::journal::credits::ORPHAN) and credits for the inode. The inode's
/// lock is held exclusively, or nobody else knows the inode.
pub(crate) fn add(inode: &Inode<Rext4>, handle: &Handle<'_>) -> FsResult {
    let fs = inode.super_block().data();
    let mut state = fs.orphans.state.lock();
    // Not asked without the lock: somebody may be about to take it off.
    if inode.data().is_orphan() {
        return Ok(());
    }
    let own = number(inode);
    if state.slots.iter().any(|slot| slot.inode == own) || state.list.contains(&own) {
        // It stayed there when it was in memory before.
        inode.data().orphan.store(true, Ordering::Relaxed);
        return Ok(());
    }
    state.slots.reserve(1, GFP_KERNEL)?;
    state.list.reserve(1, GFP_KERNEL)?;
    match empty_slot(&state) {
        Some((block, slot)) => {
            edit_slot(&state, handle, block, |orphans| orphans.fill(slot, own))?;
            let _ = state.slots.push_within_capacity(Slot {
                inode: own,
                block,
                slot,
            });
        }
        None => {
            let head = state.list.last().copied();
            store::edit(inode, handle, |raw| raw.set_next_orphan(head))?;
            fs.edit_primary(handle, |superblock| superblock.set_last_orphan(Some(own)))?;
            let _ = state.list.push_within_capacity(own);
        }
    }
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
    if let Some(index) = state.slots.iter().position(|slot| slot.inode == own) {
        let (block, slot) = (state.slots[index].block, state.slots[index].slot);
        edit_slot(&state, handle, block, |orphans| orphans.clear(slot))?;
        let _ = state.slots.remove(index);
    } else if let Some(index) = state.list.iter().position(|listed| *listed == own) {
        let next = index
            .checked_sub(1)
            .and_then(|i| state.list.get(i))
            .copied();
        match state.list.get(index + 1) {
            Some(&before) => store::edit_next_orphan(sb, handle, before, next)?,
            None => fs.edit_primary(handle, |superblock| superblock.set_last_orphan(next))?,
        }
        store::edit(inode, handle, |raw| raw.set_next_orphan(None))?;
        let _ = state.list.remove(index);
    }
    inode.data().orphan.store(false, Ordering::Relaxed);
    Ok(())
}

/// Notes that an inode that was just loaded is one of those that [`Orphans::load`] found.
pub(crate) fn note_loaded(inode: &Inode<Rext4>) {
    inode.data().orphan.store(true, Ordering::Relaxed);
}

fn empty_slot(state: &State) -> Option<(usize, usize)> {
    state.blocks.iter().enumerate().find_map(|(index, block)| {
        let slot = block.with(|bytes| OrphanBlock::from_bytes(bytes).ok()?.empty_slot())?;
        Some((index, slot))
    })
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
