// SPDX-License-Identifier: GPL-2.0

//! Block groups: what is free in them, and who gets it.
//!
//! ```text
//!   Groups ─┬─ descriptors   where each group's bitmaps and inode table are, its counts (on disk)
//!           ├─ space         how much is free in all, claims and promises (in memory)
//!           │    └─ ledger   the arithmetic
//!           ├─ system        the file system's own blocks, which are never given out
//!           ├─ longest       per group: how long a free run can be
//!           ├─ room          per group: what it can have for new inodes
//!           └─ shards        per group: lock, pinned and staged blocks, windows, damage
//!                ├─ pinned   freed, but not for good yet
//!                ├─ staged   chosen for data that is on its way
//!                └─ windows  left to files that are being written to
//! ```
//!
//! [`allocate`], [`free`], [`grow`], [`new_groups`], [`discard`], [`inodes`], [`new_inode`], [`tables`] and
//! [`space_map`] are the operations; [`search`] looks for a place within a group. What there is for each
//! group is in arrays that get longer while they are used ([`growing`]), but for what has a lock.
//!
//! # Locks
//!
//! Each group has a lock, hashed: a fixed number of mutexes share all groups. It covers what is
//! kept in memory about the group, and every change of its bitmaps and its descriptor. It is taken
//! with a handle, after the lock of an extent tree, or (to stage blocks, to trim) with neither. Under it only
//! journal access to buffers is asked for, and memory without calling file systems. No thread has two of them. The lock of [`space`] is taken under it or alone.

mod allocate;
mod bitmaps;
mod bounds;
mod descriptors;
mod discard;
mod free;
mod grow;
mod growing;
#[cfg(CONFIG_KUNIT = "y")]
#[allow(unsafe_code)]
mod growth_tests;
mod inodes;
mod ledger;
mod longest;
mod new_groups;
mod new_inode;
mod pinned;
mod room;
#[cfg(CONFIG_KUNIT = "y")]
#[allow(unsafe_code)]
mod room_tests;
mod search;
#[cfg(CONFIG_KUNIT = "y")]
#[allow(unsafe_code)]
mod search_tests;
mod space;
mod space_map;
mod staged;
mod stripes;
mod system;
mod tables;
#[cfg(CONFIG_KUNIT = "y")]
#[allow(unsafe_code)]
mod tests;
mod wanted;
mod windows;

pub(crate) use allocate::Run;
pub(crate) use descriptors::is_kept_in_name_only;
pub(crate) use inodes::{locate_before_recovery, InodeLocation};
pub(crate) use new_groups::NewGroups;
pub(crate) use new_inode::Siting;
pub(crate) use space::{ConversionReserve, DelayedReserve, Rights};
pub(crate) use space_map::{Part, Use};
pub(crate) use stripes::Stripes;
pub(crate) use tables::TablePosition;
pub(crate) use wanted::Wanted;

use crate::{
    disk::{
        allocation::SystemRun, bitmap::Bitmap, group_desc::GroupDescChecksum, layout::Layout,
        units::GroupNumber, Corrupt,
    },
    error::{FsError, FsResult},
    vfs::{block_device::BlockDevice, jbd2::Journal},
};
use core::{
    ops::{Deref, DerefMut},
    sync::atomic::AtomicBool,
};
use descriptors::{Descriptors, GroupSummary};
use growing::Growing;
use kernel::{
    new_mutex,
    prelude::*,
    sync::{
        atomic::{Atomic, Relaxed},
        lock::{mutex::MutexBackend, Guard},
        Arc, Mutex,
    },
};
use ledger::Ledger;
use longest::Longest;
use pinned::{Pinned, Released};
use room::{Has, Room};
use search::FreeBits;
use space::Space;
use staged::Staged;
pub(crate) use system::tidy;
use windows::Windows;

/// How often somebody tries again who found no space. What a commit brings back others may be quicker to take, and give
/// back.
const RETRIES: usize = 3;

/// The number of mutexes that share all groups.
const SHARDS: usize = 64;

/// What is kept in memory about one group.
struct GroupState {
    /// The block bitmap is damaged: nothing is allocated or freed in it.
    bad_blocks: bool,
    /// The inode bitmap is damaged.
    bad_inodes: bool,
    /// Blocks that were freed but can't be used yet.
    pinned: Option<KBox<Pinned>>,
    /// The same of inodes, see [`inodes`].
    pinned_inodes: Option<KBox<Pinned>>,
    /// Blocks that were chosen for data on its way.
    staged: Option<KBox<Staged>>,
    /// Blocks that are left to files.
    windows: Option<KBox<Windows>>,
    /// All free runs of at least so many blocks were discarded, and none was freed since.
    trimmed: Option<u32>,
}

impl GroupState {
    const fn new() -> Self {
        Self {
            bad_blocks: false,
            bad_inodes: false,
            pinned: None,
            pinned_inodes: None,
            staged: None,
            windows: None,
            trimmed: None,
        }
    }

    fn pinned_count(&self) -> u32 {
        self.pinned.as_ref().map_or(0, |pinned| pinned.count())
    }

    /// What is free of the first `end` blocks: neither used in the group's bitmap, nor pinned, nor staged.
    fn free_bits<'a>(&'a self, bitmap: &'a [u8], end: u32) -> FreeBits<'a> {
        let pinned = self.pinned.as_ref();
        let pinned = pinned.map_or([None; 3], |pinned| pinned.bitmaps());
        let staged = self
            .staged
            .as_ref()
            .map_or(&[][..], |staged| staged.ranges());
        FreeBits::new(Bitmap::new(bitmap), pinned, end).but_for(staged)
    }
}

/// The groups whose numbers have the same remainder, in order.
type Shard = KVVec<GroupState>;

/// The state of one group, while its lock is held.
struct LockedGroup<'g> {
    shard: Guard<'g, Shard, MutexBackend>,
    /// An index within the shard.
    slot: usize,
}

impl Deref for LockedGroup<'_> {
    type Target = GroupState;

    fn deref(&self) -> &GroupState {
        &self.shard[self.slot]
    }
}

impl DerefMut for LockedGroup<'_> {
    fn deref_mut(&mut self) -> &mut GroupState {
        &mut self.shard[self.slot]
    }
}

/// All block groups of a mounted file system.
pub(crate) struct Groups {
    layout: Arc<Layout>,
    descriptors: Descriptors,
    /// The file system's own blocks.
    system: Growing<SystemRun>,
    space: Arc<Space>,
    longest: Longest,
    room: Room,
    free_inodes: Atomic<u64>,
    /// Those of them that can't be used yet.
    pinned_inodes: Atomic<u64>,
    directories: Atomic<i64>,
    shards: KVec<Pin<KBox<Mutex<Shard>>>>,
    /// Damage that was found and worked around, and that nobody has been told of: the first of it.
    damage: Pin<KBox<Mutex<Option<Corrupt>>>>,
    /// Whether there is any, to be looked at without the lock.
    has_damage: Atomic<bool>,
    /// The array below: see [`stripes`].
    stripes: Atomic<u64>,
    /// Freed blocks are discarded before they are used again.
    discard: AtomicBool,
    /// Held by who does that.
    discarding: Pin<KBox<Mutex<()>>>,
}

/// How much is free, as `statfs` tells it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FreeSpace {
    /// Free blocks, but for those that are kept for conversions.
    pub(crate) blocks: u64,
    /// Of these, what is not kept for the super-user.
    pub(crate) blocks_for_all: u64,
    /// Free inodes.
    pub(crate) inodes: u64,
}

/// What is set aside for data in the page cache.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct DelayedSpace {
    /// Blocks for the data itself.
    pub(crate) data: u64,
    /// Blocks for the nodes of extent trees.
    pub(crate) nodes: u64,
}

impl DelayedSpace {
    /// Whether there is none.
    pub(crate) fn is_empty(&self) -> bool {
        self.data + self.nodes == 0
    }
}

impl Groups {
    /// Reads all descriptors, checks them, and adds up what is free.
    ///
    /// To be called after the journal's recovery, which may change all of it. `root_reserved` is
    /// the number of blocks that is kept for the super-user.
    ///
    /// # Errors
    ///
    /// [`Corrupt`] if a descriptor is damaged, or metadata of groups lie over each other.
    pub(crate) fn load(
        device: &BlockDevice,
        layout: &Arc<Layout>,
        checksum: GroupDescChecksum,
        root_reserved: u64,
    ) -> FsResult<Self> {
        let descriptors = Descriptors::load(device, layout, checksum)?;
        let mut system = KVVec::new();
        let (mut free_blocks, mut free_inodes, mut directories) = (0u64, 0u64, 0i64);
        let room = Room::new(layout.groups().map(|group| {
            let has = Has::from(&descriptors.summary(layout, group)?);
            free_blocks += u64::from(has.blocks);
            free_inodes += u64::from(has.inodes);
            directories += i64::from(has.directories);
            for run in descriptors.system_runs(layout, group)? {
                system.push(run, GFP_KERNEL)?;
            }
            Ok(has)
        }))?;
        let longest = Longest::new(layout.groups().map(|group| room.blocks_of(group)))?;
        // With `bigalloc`, which is read-only, all of these are clusters.
        let per_cluster = u64::from(layout.blocks_per_cluster());
        let clusters = layout.blocks_count() / per_cluster;
        let ledger = Ledger::new(clusters, free_blocks, root_reserved / per_cluster);
        Ok(Self {
            layout: layout.clone(),
            descriptors,
            system: Growing::new(tidy(system)?)?,
            space: Space::new(ledger)?,
            longest,
            room,
            free_inodes: Atomic::new(free_inodes),
            pinned_inodes: Atomic::new(0),
            directories: Atomic::new(directories),
            shards: new_shards(layout.group_count() as usize)?,
            damage: KBox::pin_init(new_mutex!(None), GFP_KERNEL)?,
            has_damage: Atomic::new(false),
            stripes: Atomic::new(0),
            discard: AtomicBool::new(false),
            discarding: KBox::pin_init(new_mutex!(()), GFP_KERNEL)?,
        })
    }

    /// The number of free blocks, as it is to be stored in the super block.
    pub(crate) fn free_blocks(&self) -> u64 {
        self.space.ledger().free
    }

    /// The number of free inodes, as it is to be stored in the super block.
    pub(crate) fn free_inodes(&self) -> u64 {
        self.free_inodes.load(Relaxed)
    }

    /// The number of blocks that are kept for conversions.
    pub(crate) fn kept_for_conversions(&self) -> u64 {
        self.space.ledger().pool
    }

    /// The number of blocks that are promised to conversions under way.
    pub(crate) fn promised(&self) -> u64 {
        self.space.ledger().promised
    }

    /// The number of blocks that were chosen for direct writes on their way, and are in no tree yet.
    pub(crate) fn staged(&self) -> u64 {
        self.space.ledger().staged
    }

    /// The number of blocks that were freed and can't be used yet.
    pub(crate) fn pinned(&self) -> u64 {
        self.space.ledger().pinned
    }

    /// What is free as `statfs` tells it.
    pub(crate) fn free_space(&self) -> FreeSpace {
        let ledger = self.space.ledger();
        FreeSpace {
            blocks: ledger.visible(),
            blocks_for_all: ledger.visible_to_all(),
            inodes: self.free_inodes(),
        }
    }

    /// Keeps `blocks` for the super-user from now on. Returns whether others may use more than before.
    pub(crate) fn set_reserved(&self, blocks: u64) -> bool {
        let clusters = blocks / u64::from(self.layout.blocks_per_cluster());
        self.space.update(|ledger| ledger.reserve(clusters))
    }

    /// Damage that was found in a group's bitmap, if there is any that was not taken yet.
    ///
    /// An allocation that meets it goes on in other groups, so that nobody else would hear of it.
    pub(crate) fn take_damage(&self) -> Option<Corrupt> {
        if !self.has_damage.load(Relaxed) {
            return None;
        }
        let mut damage = self.damage.lock();
        self.has_damage.store(false, Relaxed);
        damage.take()
    }

    fn note_damage(&self, corrupt: Corrupt) {
        let mut damage = self.damage.lock();
        damage.get_or_insert(corrupt);
        self.has_damage.store(true, Relaxed);
    }

    /// Takes a reserve of `blocks` for the conversion of one request: see [`space`].
    ///
    /// Waits for other conversions if need be, so it is to be called before anything is submitted,
    /// without a handle, and without a lock that a completion takes.
    ///
    /// # Errors
    ///
    /// `ENOSPC` if there are not so many blocks, and will not be by waiting; `ERESTARTSYS` if the
    /// process is being killed; `EDEADLK` with a handle.
    pub(crate) fn reserve_conversion(
        &self,
        journal: &Journal,
        blocks: u32,
    ) -> FsResult<ConversionReserve> {
        if let Some(reserve) = self.try_reserve_conversion(blocks) {
            return Ok(reserve);
        }
        if self.space.ledger().covers(blocks) {
            // Others have been promised too much as it is: a commit would not help.
            if let Some(reserve) = ConversionReserve::wait(&self.space, blocks)? {
                return Ok(reserve);
            }
        }
        self.reclaim(journal)?;
        ConversionReserve::wait(&self.space, blocks)?.ok_or(FsError::NO_SPACE)
    }

    /// Whether [`Self::reserve_conversion`] would not have to wait, as things are.
    pub(crate) fn can_reserve_conversion(&self, blocks: u32) -> bool {
        self.try_reserve_conversion(blocks).is_some()
    }

    /// An empty reserve for the delayed data of one file.
    pub(crate) fn delayed_reserve(&self) -> DelayedReserve {
        DelayedReserve::new(&self.space)
    }

    /// What is set aside for data in the page cache.
    pub(crate) fn delayed_space(&self) -> DelayedSpace {
        let ledger = self.space.ledger();
        DelayedSpace {
            data: ledger.delayed,
            nodes: ledger.delayed_nodes,
        }
    }

    /// As [`Self::reserve_conversion`], without waiting.
    pub(crate) fn try_reserve_conversion(&self, blocks: u32) -> Option<ConversionReserve> {
        ConversionReserve::try_new(&self.space, blocks)
    }

    /// Makes an attempt that may need blocks or inodes, and some more if there are none, after [`Self::reclaim`]. An
    /// attempt that fails leaves nothing behind. To be called without a handle.
    ///
    /// # Errors
    ///
    /// Those of `attempt` and of [`Self::reclaim`].
    pub(crate) fn retry<R>(
        &self,
        journal: &Journal,
        mut attempt: impl FnMut() -> FsResult<R>,
    ) -> FsResult<R> {
        for _ in 0..RETRIES {
            let unpinned = self.space.ledger().unpinned;
            match attempt() {
                // Somebody else may have made them usable meanwhile.
                Err(e)
                    if e.is(ENOSPC)
                        && (self.reclaim(journal)? || self.space.ledger().unpinned != unpinned) => {
                }
                result => return result,
            }
        }
        attempt()
    }

    /// Commits what was freed, so that it can be used. Returns whether anything became usable.
    ///
    /// For one who got `ENOSPC`, to try once more. To be called without a handle.
    ///
    /// # Errors
    ///
    /// As for [`Journal::force_commit`].
    fn reclaim(&self, journal: &Journal) -> FsResult<bool> {
        Journal::must_not_have_handle()?;
        // How much is pinned would not say it: others may go on freeing.
        let unpinned = self.space.ledger().unpinned;
        self.release_freed(journal)?;
        if self.space.ledger().pinned > 0 || self.has_pinned_inodes() {
            journal.force_commit()?;
            self.release_freed(journal)?;
        }
        let inodes = self.release_inodes(journal);
        Ok(inodes || self.space.ledger().unpinned != unpinned)
    }

    fn summary(&self, group: GroupNumber) -> FsResult<GroupSummary> {
        self.descriptors.summary(&self.layout, group)
    }

    /// Locks a group.
    fn lock(&self, group: GroupNumber) -> FsResult<LockedGroup<'_>> {
        let locked = self.lock_by(group, |shard| Some(shard.lock()))?;
        locked.ok_or(FsError::from(EINVAL))
    }

    /// The same, if nobody else has it, or one of those that share its lock.
    fn try_lock(&self, group: GroupNumber) -> FsResult<Option<LockedGroup<'_>>> {
        self.lock_by(group, |shard| shard.try_lock())
    }

    /// Locks a group in this way, if that works.
    fn lock_by<'a>(
        &'a self,
        group: GroupNumber,
        lock: impl FnOnce(&'a Mutex<Shard>) -> Option<Guard<'a, Shard, MutexBackend>>,
    ) -> FsResult<Option<LockedGroup<'a>>> {
        let number = group.0 as usize;
        let slot = number / SHARDS;
        let shard = self.shards.get(number % SHARDS);
        let Some(shard) = lock(shard.ok_or(FsError::from(EINVAL))?) else {
            return Ok(None);
        };
        if slot >= shard.len() {
            return Err(FsError::from(EINVAL));
        }
        Ok(Some(LockedGroup { shard, slot }))
    }

    /// Gives the group's pinned blocks back that are committed by now.
    fn release_pinned(&self, group: GroupNumber, state: &mut GroupState, journal: &Journal) {
        let Some(pinned) = &mut state.pinned else {
            return;
        };
        if self.discards() {
            // They are discarded first, which takes too long under the group's lock.
            return;
        }
        let released = pinned.release(|tid| journal.is_committed(tid));
        self.unpin(group, state, released);
    }

    /// Notes that blocks of a group are not pinned any more.
    fn unpin(&self, group: GroupNumber, state: &mut GroupState, released: Released) {
        if state.pinned_count() == 0 {
            state.pinned = None;
        }
        if released.blocks > 0 {
            // Before anybody may claim them: a search believes it.
            self.longest.lift(group, released.blocks, released.pieces);
            state.trimmed = None;
            self.space.update(|ledger| ledger.unpin(released.blocks));
        }
    }

    /// Notes that a run of blocks is free now which nobody has after a crash either, so that it need not be
    /// pinned.
    fn release_at_once(&self, group: GroupNumber, state: &mut GroupState, blocks: u32) {
        self.space.update(|ledger| ledger.freed(blocks));
        self.unpin(group, state, Released { blocks, pieces: 1 });
    }

    /// Gives the pinned blocks of all groups back that are committed by now. Without a handle.
    fn release_freed(&self, journal: &Journal) -> FsResult {
        if self.discards() {
            return self.discard_committed(journal.device(), |tid| journal.is_committed(tid));
        }
        self.release_committed(journal);
        if self.space.ledger().pinned > 0 {
            // They may be about to be discarded still, since before that was turned off.
            drop(self.discarding.lock());
        }
        Ok(())
    }

    /// The same for all groups, as far as it can be done with a handle.
    fn release_committed(&self, journal: &Journal) {
        if self.space.ledger().pinned == 0 {
            return;
        }
        for (first, shard) in self.shards.iter().enumerate() {
            for (slot, state) in shard.lock().iter_mut().enumerate() {
                // The number of a group that exists.
                let group = GroupNumber((slot * SHARDS + first) as u32);
                self.release_pinned(group, state, journal);
            }
        }
    }

    /// Notes that a group's block bitmap is damaged, and counts its free blocks no more.
    fn condemn_blocks(&self, group: GroupNumber, state: &mut GroupState, free: u32) {
        if !state.bad_blocks {
            let (pinned, staged) = (state.pinned_count(), state.staged_count());
            self.space
                .update(|ledger| ledger.write_off(free, pinned, staged));
            self.longest.lower(group, 0);
            state.bad_blocks = true;
            state.pinned = None;
            state.staged = None;
            state.windows = None;
        }
    }
}

/// The states of `groups` groups.
fn new_shards(groups: usize) -> FsResult<KVec<Pin<KBox<Mutex<Shard>>>>> {
    let mut shards = KVec::with_capacity(SHARDS, GFP_KERNEL)?;
    for first in 0..SHARDS {
        // First those with this number, then every one that is `SHARDS` further on.
        let count = groups.saturating_sub(first).div_ceil(SHARDS);
        let mut shard = Shard::with_capacity(count, GFP_KERNEL)?;
        for _ in 0..count {
            shard.push(GroupState::new(), GFP_KERNEL)?;
        }
        shards.push(KBox::pin_init(new_mutex!(shard), GFP_KERNEL)?, GFP_KERNEL)?;
    }
    Ok(shards)
}
