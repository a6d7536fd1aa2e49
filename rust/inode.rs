// SPDX-License-Identifier: GPL-2.0

//! Inodes: what rext4 keeps of one in memory, and the way to and from the inode table.
//!
//! | file | what |
//! |---|---|
//! | [`load`] | from the inode table into memory |
//! | [`store`] | back, within a transaction |
//! | [`tree`] | the inode's extent tree over buffers and journal |
//! | [`create`] | a new inode, in memory and on disk |
//! | [`map`] | where the blocks of a file lie |
//! | [`cache`] | what is known of that without the tree |
//! | [`known`] | the same as it is told to people |
//! | [`block_map`] | all of it for files with block maps, as in ext2 and ext3 |
//! | [`allocate`] | blocks for holes |
//! | [`window`] | room left free behind a file that grows |
//! | [`aside`] | blocks that take the place of others, with all that was written to them |
//! | [`delayed`] | blocks that are reserved at write and chosen at writeback |
//! | [`journaled`] | data that goes through the journal |
//! | [`convert`] | from unwritten to written, and the size on disk |
//! | [`size`] | truncation, both ways |
//! | [`flags`] | what `chattr` changes |
//! | [`orphan`] | the list of inodes that recovery has to finish |
//! | [`truncate`] | freeing blocks, in steps that each fit a transaction |
//!
//! # Locks
//!
//! From the outside in: the VFS's inode lock, a journal handle, [`InodeData::xattr_block`],
//! [`InodeData::tree`], a group's lock, the bytes of a buffer. See `Documentation/locking.md`.

pub(crate) mod ahead;
pub(crate) mod allocate;
pub(crate) mod aside;
pub(crate) mod block_map;
mod cache;
mod charged;
pub(crate) mod convert;
pub(crate) mod create;
pub(crate) mod delayed;
pub(crate) mod flags;
mod goal;
pub(crate) mod journaled;
mod known;
pub(crate) mod load;
pub(crate) mod map;
pub(crate) mod orphan;
pub(crate) mod size;
pub(crate) mod staged;
pub(crate) mod store;
pub(crate) mod tree;
pub(crate) mod truncate;
pub(crate) mod window;

use crate::{
    disk::{
        checksum::InodeSeed,
        inode::{self as format, InodeFlags},
        units::{BlockSize, InodeNumber, LogicalBlock, PhysicalBlock},
    },
    error::{FsError, FsResult},
    group::Rights,
    journal::sync_point::SyncPoint,
    vfs::{
        buffer::Buffer,
        direct_io::{self, Appends, DoneQueue},
        inode::{ExclusiveLock, Inode},
        rw_semaphore::{new_rw_semaphore, RwSemaphore},
        stat::Timestamp,
        writeback::IoendQueue,
    },
    Rext4,
};
use ahead::Ahead;
use cache::ExtentCache;
use core::ops::Range;
use core::sync::atomic::{fence, AtomicBool, AtomicI64, AtomicU32, AtomicU64, AtomicU8, Ordering};
use delayed::Blocks;
use kernel::{error::Error, page::PAGE_SIZE, prelude::*};

pub(crate) use cache::Usage;
pub(crate) use load::get;

/// What kind of data an inode has, as far as rext4 cares.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum DataKind {
    /// None, or it is in the inode and needs no more than what was loaded (a device number).
    Nothing = 0,
    /// Blocks, found through the extent tree.
    Extents = 1,
    /// Blocks, found through a block map.
    BlockMap = 2,
    /// Data in the inode, which rext4 can't read.
    Inline = 3,
    /// The text of a symbolic link, in the inode.
    ShortSymlink = 4,
}

impl DataKind {
    /// Whether there are blocks, of which there may be none.
    pub(crate) fn has_blocks(self) -> bool {
        matches!(self, Self::Extents | Self::BlockMap)
    }
}

/// The file system's own part of an inode in memory.
///
/// What is behind atomics without a comment is set while the inode is loaded and does not change.
#[pin_data]
pub(crate) struct InodeData {
    /// Where the blocks are. Held for writing while the tree or what is delayed changes, for reading
    /// while it is looked at.
    #[pin]
    pub(crate) tree: RwSemaphore<Blocks>,
    /// The size in bytes that is, or is in a transaction to become, the one on disk: `i_disksize`.
    /// Changed with [`Self::tree`] held for writing.
    disk_size: AtomicI64,
    /// Changes with every change of the tree, made with [`Self::tree`] held for writing.
    version: AtomicU64,
    /// What is known of the tree without its lock.
    #[pin]
    cache: ExtentCache,
    /// How many tasks need the blocks of the file to stay as they are, or to have them alone: while
    /// there is one, direct reads take the inode's lock.
    readers_out: AtomicU32,
    /// Whether a direct write that goes on without the inode's lock was submitted since there was no direct I/O at
    /// all. Set with that lock held, reset with it held exclusively.
    direct_writes: AtomicBool,
    /// The ioends of writeback that wait to be completed.
    #[pin]
    pub(crate) ioends: IoendQueue,
    /// How many blocks are delayed: see [`delayed`]. Changed with [`Self::tree`] held for writing.
    delayed_blocks: AtomicU32,
    /// Whether the file was cut to nothing, and what is written to it now is to be written back when
    /// it is closed.
    flush_at_close: AtomicBool,
    /// Whether there was a mapping to store through since the inode is in memory.
    stores: AtomicBool,
    /// The direct writes that wait to be completed.
    #[pin]
    pub(crate) done: DoneQueue,
    /// Those at the end of the file that are under way.
    pub(crate) appends: Appends<Rext4>,
    /// What was allocated for those that are still to come.
    ahead: Ahead,
    /// What `fsync` has to wait for.
    pub(crate) sync_point: SyncPoint,
    /// The physical block of the inode table that holds the inode; zero if it was not asked for yet.
    table_block: AtomicU64,
    /// Where the next new block would go best; a hint.
    goal: AtomicU64,
    /// The group in which the file has a window, or [`window::NONE`]; see there. Changed with
    /// [`Self::tree`] held for writing, or to none.
    window: AtomicU32,
    /// Whether the inode is on the list of orphans. Changed with the lock of the list held.
    orphan: AtomicBool,
    /// Whether cutting the file has failed: what it had may be there still, behind its end. Changed with the
    /// inode's lock held exclusively, or by who alone knows the inode.
    uncut: AtomicBool,
    flags: AtomicU32,
    kind: AtomicU8,
    /// The block that holds extended attributes. Held for writing while the attributes change, in the
    /// inode or in the block, for reading while they are looked at.
    #[pin]
    pub(crate) xattr_block: RwSemaphore<Option<PhysicalBlock>>,
    /// What of the inode on disk are fields behind its first 128 bytes, in bytes. Changed with
    /// [`Self::xattr_block`] held for writing.
    extra_size: AtomicU32,
    /// Whether more room for them was wanted and not to be had. Changed like it.
    no_more_room: AtomicBool,
    /// Whether it is a directory whose index was found to be wrong.
    bad_index: AtomicBool,
    /// Whether it is a directory of which some names can't be listed.
    lacks_names: AtomicBool,
    /// The project that the inode is counted for. Changed with the inode's lock held exclusively.
    pub(crate) project: AtomicU32,
    /// Set when the inode gets room for a time of creation, too.
    birth_seconds: AtomicI64,
    /// `u32::MAX` if the inode has no time of creation.
    birth_nanoseconds: AtomicU32,
}

impl InodeData {
    /// The data of an inode that is not loaded yet.
    pub(crate) fn new() -> impl PinInit<Self, Error> {
        try_pin_init!(Self {
            tree <- new_rw_semaphore!(Blocks::new(), c"rext4_tree"),
            disk_size: AtomicI64::new(0),
            version: AtomicU64::new(0),
            cache <- ExtentCache::new(),
            readers_out: AtomicU32::new(0),
            direct_writes: AtomicBool::new(false),
            ioends <- IoendQueue::new::<Rext4>(),
            delayed_blocks: AtomicU32::new(0),
            flush_at_close: AtomicBool::new(false),
            stores: AtomicBool::new(false),
            done <- DoneQueue::new::<Rext4>(),
            appends: Appends::new(),
            ahead: Ahead::new(),
            sync_point: SyncPoint::new(),
            table_block: AtomicU64::new(0),
            goal: AtomicU64::new(0),
            window: AtomicU32::new(window::NONE),
            orphan: AtomicBool::new(false),
            uncut: AtomicBool::new(false),
            flags: AtomicU32::new(0),
            kind: AtomicU8::new(0),
            xattr_block <- new_rw_semaphore!(None, c"rext4_xattrs"),
            extra_size: AtomicU32::new(0),
            no_more_room: AtomicBool::new(false),
            bad_index: AtomicBool::new(false),
            lacks_names: AtomicBool::new(false),
            project: AtomicU32::new(0),
            birth_seconds: AtomicI64::new(0),
            birth_nanoseconds: AtomicU32::new(u32::MAX),
        }? Error)
    }

    /// The flags on disk.
    pub(crate) fn flags(&self) -> InodeFlags {
        InodeFlags(self.flags.load(Ordering::Relaxed))
    }

    /// What kind of data the inode has.
    pub(crate) fn kind(&self) -> DataKind {
        match self.kind.load(Ordering::Relaxed) {
            1 => DataKind::Extents,
            2 => DataKind::BlockMap,
            3 => DataKind::Inline,
            4 => DataKind::ShortSymlink,
            _ => DataKind::Nothing,
        }
    }

    /// The time of creation.
    pub(crate) fn birth(&self) -> Option<Timestamp> {
        match self.birth_nanoseconds.load(Ordering::Relaxed) {
            u32::MAX => None,
            nanoseconds => Some(Timestamp::new(
                self.birth_seconds.load(Ordering::Relaxed),
                nanoseconds,
            )),
        }
    }

    /// Notes the time of creation that the inode has on disk.
    pub(crate) fn note_birth(&self, birth: Option<format::Timestamp>) {
        if let Some(birth) = birth {
            self.birth_seconds.store(birth.seconds, Ordering::Relaxed);
            self.birth_nanoseconds
                .store(birth.nanoseconds, Ordering::Relaxed);
        }
    }

    /// How many bytes behind its first 128 the inode on disk has for fields.
    pub(crate) fn extra_size(&self) -> u32 {
        self.extra_size.load(Ordering::Relaxed)
    }

    /// Notes how many that are.
    pub(crate) fn note_extra_size(&self, bytes: u32) {
        self.extra_size.store(bytes, Ordering::Relaxed);
    }

    /// Whether the inode has less room for fields than it should, and can't have more.
    pub(crate) fn has_no_more_room(&self) -> bool {
        self.no_more_room.load(Ordering::Relaxed)
    }

    /// Notes whether it is so.
    pub(crate) fn note_no_more_room(&self, so: bool) {
        self.no_more_room.store(so, Ordering::Relaxed);
    }

    /// Whether this is a directory whose index was found to be wrong, so that names are found without it.
    pub(crate) fn has_bad_index(&self) -> bool {
        self.bad_index.load(Ordering::Relaxed)
    }

    /// Notes that it is so. Returns whether that is news.
    pub(crate) fn note_bad_index(&self) -> bool {
        !self.bad_index.swap(true, Ordering::Relaxed)
    }

    /// Whether this is a directory of which some names could not be listed.
    pub(crate) fn lacks_names(&self) -> bool {
        self.lacks_names.load(Ordering::Relaxed)
    }

    /// Notes that it is so.
    pub(crate) fn note_lack_of_names(&self) {
        self.lacks_names.store(true, Ordering::Relaxed);
    }

    /// Notes that all were listed.
    pub(crate) fn note_all_names(&self) {
        if self.lacks_names() {
            self.lacks_names.store(false, Ordering::Relaxed);
        }
    }

    /// The size in bytes that the disk has or gets with the running transaction.
    pub(crate) fn disk_size(&self) -> i64 {
        self.disk_size.load(Ordering::Acquire)
    }

    /// Sets [`Self::disk_size`]; the caller stores the inode in the same transaction, which those who see the new
    /// size find [noted](Self::sync_point) if it was before.
    pub(crate) fn set_disk_size(&self, bytes: i64) {
        self.disk_size.store(bytes, Ordering::Release);
    }

    /// A number that changes with every change of the tree.
    ///
    /// It is looked at after all that the caller has looked at before: who saw that a folio is not
    /// under writeback any more sees what its completion has changed.
    pub(crate) fn version(&self) -> u64 {
        core::sync::atomic::fence(Ordering::Acquire);
        self.version.load(Ordering::Acquire)
    }

    /// Notes a change of the tree, which is held for writing.
    pub(crate) fn note_change(&self) {
        self.version.fetch_add(1, Ordering::Release);
    }

    /// How many blocks have data in the page cache and no place on the device yet.
    pub(crate) fn delayed_blocks(&self) -> u32 {
        self.delayed_blocks.load(Ordering::Relaxed)
    }

    /// Notes how many that are.
    fn note_delayed(&self, blocks: u32) {
        self.delayed_blocks.store(blocks, Ordering::Relaxed);
    }

    /// Notes that what the file held was thrown away, to be replaced.
    fn flush_at_close(&self) {
        self.flush_at_close.store(true, Ordering::Relaxed);
    }

    /// Whether that was noted.
    fn is_flushed_at_close(&self) -> bool {
        self.flush_at_close.load(Ordering::Relaxed)
    }

    /// The same; it is forgotten.
    pub(crate) fn take_flush_at_close(&self) -> bool {
        self.flush_at_close.load(Ordering::Relaxed)
            && self.flush_at_close.swap(false, Ordering::Relaxed)
    }

    /// Notes that there is a mapping to store through.
    pub(crate) fn note_stores(&self) {
        self.stores.store(true, Ordering::Relaxed);
    }

    /// Whether somebody may have stored something behind the end of the file.
    pub(crate) fn has_stores(&self) -> bool {
        self.stores.load(Ordering::Relaxed)
    }

    /// Whether direct reads have to take the inode's lock. Asked by a reader that has announced
    /// itself already (`inode_dio_begin`), so that either it sees this, or who wants the file for
    /// itself sees the reader and waits.
    pub(crate) fn are_readers_out(&self) -> bool {
        fence(Ordering::SeqCst);
        self.readers_out.load(Ordering::SeqCst) != 0
    }

    /// Notes that a direct write is going to be submitted that goes on without the inode's lock, which is held.
    pub(crate) fn note_direct_write(&self) {
        // Mostly it is not the first one, and others look at what is beside it.
        if !self.direct_writes.load(Ordering::Relaxed) {
            self.direct_writes.store(true, Ordering::Relaxed);
        }
    }

    /// Whether the inode is on the list of orphans.
    pub(crate) fn is_orphan(&self) -> bool {
        self.orphan.load(Ordering::Relaxed)
    }

    /// Whether there may be data behind the end of the file that it had before.
    pub(crate) fn is_uncut(&self) -> bool {
        self.uncut.load(Ordering::Relaxed)
    }

    /// Notes whether it is so.
    fn set_uncut(&self, so: bool) {
        self.uncut.store(so, Ordering::Relaxed);
    }

    /// Where new blocks would go best.
    pub(crate) fn goal(&self) -> PhysicalBlock {
        PhysicalBlock(self.goal.load(Ordering::Relaxed))
    }

    /// Notes in which group the file has a window now; returns in which it had one before.
    fn swap_window(&self, group: u32) -> u32 {
        if self.window.load(Ordering::Relaxed) == group {
            return group;
        }
        self.window.swap(group, Ordering::Relaxed)
    }

    /// Notes that new blocks would go best at `block`.
    pub(crate) fn set_goal(&self, block: PhysicalBlock) {
        self.goal.store(block.0, Ordering::Relaxed);
    }
}

/// The inode's blocks, without any direct I/O on them: none is outstanding, and none can start.
///
/// Direct reads do not take the inode's lock with `dioread_nolock`, so it does not keep them away.
pub(crate) struct Alone<'a>(&'a Inode<Rext4>);

impl<'a> Alone<'a> {
    /// Waits for direct I/O to end, and keeps new one away as long as the value lives.
    pub(crate) fn new(inode: &'a Inode<Rext4>, lock: &ExclusiveLock<'_, Rext4>) -> Self {
        inode.data().readers_out.fetch_add(1, Ordering::SeqCst);
        fence(Ordering::SeqCst);
        inode.wait_for_direct_io(lock);
        inode.data().direct_writes.store(false, Ordering::Relaxed);
        Self(inode)
    }
}

impl Drop for Alone<'_> {
    fn drop(&mut self) {
        self.0.data().readers_out.fetch_sub(1, Ordering::SeqCst);
    }
}

/// Whether direct writes may be under way: not if all direct I/O since there was none is reads. As long as the lock is
/// held none begins, and one that waits for its own end has the lock.
///
/// They are not counted. What would count an asynchronous one down comes too early: iomap says that it is at its end
/// before it drops cached pages, and nothing after that.
pub(crate) fn has_direct_writes(inode: &Inode<Rext4>, lock: &ExclusiveLock<'_, Rext4>) -> bool {
    let noted = &inode.data().direct_writes;
    if !noted.load(Ordering::Relaxed) {
        return false;
    }
    let may_be = inode.has_direct_io(lock);
    noted.store(may_be, Ordering::Relaxed);
    may_be
}

/// The bytes of all pages that have something of a range of blocks: the first one, and the one behind the last.
pub(crate) fn whole_pages(size: BlockSize, blocks: Range<LogicalBlock>) -> (i64, i64) {
    let page = PAGE_SIZE as u64;
    let start = size.byte_of_logical(blocks.start);
    let end = size.byte_of_logical(blocks.end).next_multiple_of(page);
    ((start - start % page) as i64, end as i64)
}

/// The number of an inode, typed.
pub(crate) fn number(inode: &Inode<Rext4>) -> InodeNumber {
    InodeNumber(inode.ino())
}

/// What the checksums of an inode and of what belongs to it start from; `None` without
/// `metadata_csum`.
pub(crate) fn seed(inode: &Inode<Rext4>) -> Option<InodeSeed> {
    let fs = inode.super_block().data();
    fs.seed
        .map(|seed| seed.inode(number(inode), inode.generation()))
}

/// Whether the inode's blocks go through the journal: those of directories and symbolic links do, and those of
/// [some files](journaled).
pub(crate) fn holds_metadata(inode: &Inode<Rext4>) -> bool {
    !inode.is_regular() || journaled::journals_data(inode)
}

/// What blocks the calling process may have for an inode: also those kept for the super-user, or
/// not.
pub(crate) fn rights(inode: &Inode<Rext4>) -> Rights<'static> {
    if inode.is_exempt_from_quotas() {
        // To count what others have must work on a full disk.
        return Rights::Root;
    }
    let options = inode.super_block().data().options();
    if direct_io::may_use_reserved(options.reserved_uid, options.reserved_gid) {
        Rights::Root
    } else {
        Rights::Normal
    }
}

/// The project that an inode's space is counted for; zero if it has none.
pub(crate) fn project(inode: &Inode<Rext4>) -> FsResult<u32> {
    let project = with_raw(inode, |bytes| {
        format::Inode::from_bytes(bytes).map(|raw| raw.project())
    })?;
    Ok(project
        .map_err(|e| FsError::Corrupt(e.into()))?
        .unwrap_or(0))
}

/// Whether the file system can give the inode blocks, and take them away.
///
/// # Errors
///
/// `EOPNOTSUPP`, with a message that says why, for inline data.
pub(crate) fn check_supported(inode: &Inode<Rext4>) -> FsResult {
    check_readable(inode)
}

/// Whether the file system can read the inode's data and write over it.
///
/// # Errors
///
/// `EOPNOTSUPP`, with a message that says why, for inline data.
pub(crate) fn check_readable(inode: &Inode<Rext4>) -> FsResult {
    if inode.data().kind() != DataKind::Inline {
        return Ok(());
    }
    refuse(
        inode,
        "can't be read, its data is in the inode (inline_data)",
    )
}

fn refuse(inode: &Inode<Rext4>, why: &'static str) -> FsResult {
    let fs = inode.super_block().data();
    fs.warn_once_per_inode(inode, why);
    Err(FsError::unsupported())
}

/// Reads a block of a file as metadata, through the device's cache: for directories and symbolic
/// links, whose contents are not in the page cache of their inode. `None` for a hole.
pub(crate) fn read_block(inode: &Inode<Rext4>, block: LogicalBlock) -> FsResult<Option<Buffer>> {
    check_readable(inode)?;
    let sb = inode.super_block();
    match map::find(inode, block)? {
        map::Found::Written { start, .. } => {
            // Also where data is not checked: the journal can't have a block twice.
            map::check_foreign(inode, start, 1)?;
            let size = sb.data().layout.block_size().bytes();
            Ok(Some(Buffer::read(sb.device(), start.0, size)?))
        }
        _ => Ok(None),
    }
}

/// Calls `look` with the inode's bytes in the inode table. It must not sleep.
pub(crate) fn with_raw<R>(inode: &Inode<Rext4>, look: impl FnOnce(&[u8]) -> R) -> FsResult<R> {
    let fs = inode.super_block().data();
    let (buffer, place) = load::own_table_block(inode)?;
    let start = place.offset as usize;
    let end = start + fs.layout.inode_size() as usize;
    Ok(buffer.with(|bytes| look(bytes.get(start..end).unwrap_or_default())))
}

/// The text of a symbolic link.
pub(crate) fn symlink_text(inode: &Inode<Rext4>) -> FsResult<KVec<u8>> {
    let mut text = KVec::new();
    let size = usize::try_from(inode.size()).unwrap_or(0);
    if inode.data().kind() == DataKind::ShortSymlink {
        // A copy: to allocate under the tree's lock could end in reclaim, which takes others.
        let area = inode.data().tree.read().root;
        text.extend_from_slice(area.get(..size).unwrap_or_default(), GFP_KERNEL)?;
        return Ok(text);
    }
    let buffer = read_block(inode, LogicalBlock(0))?
        .ok_or_else(|| FsError::Kernel(crate::error::euclean()))?;
    // Reserved first: the bytes may only be looked at without sleeping.
    text.reserve(buffer.size(), GFP_KERNEL)?;
    buffer.with(|bytes| {
        for &byte in bytes.get(..size).unwrap_or_default() {
            if byte == 0 {
                break;
            }
            let _ = text.push_within_capacity(byte);
        }
    });
    if text.len() != size || size == 0 {
        return Err(FsError::Kernel(crate::error::euclean()));
    }
    Ok(text)
}
