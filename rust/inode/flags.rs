// SPDX-License-Identifier: GPL-2.0

//! The flags of an inode that users see and change (`lsattr`, `chattr`), its project, and its
//! generation.
//!
//! The bits of `i_flags` on disk are those of the system call. Which of them are seen, which can be
//! changed, and what is refused is as in C ext4 (`EXT4_FL_USER_VISIBLE` and its neighbours in the
//! kernel's `fs/ext4/ext4.h`). That data goes through the journal holds with delayed allocation, too; a file can't have
//! that without a journal.

use super::{block_map, journaled, store, Alone};
use crate::{
    disk::{
        features::Feature,
        file_type::FileType,
        inode::{self as format, InodeFlags},
    },
    error::{FsError, FsResult},
    journal::{credits, sync_point::Change},
    mount::Filesystem,
    vfs::{
        fileattr::{FileAttributes, FlagOperations},
        inode::{ExclusiveLock, Inode},
        jbd2::Credits,
        quota::Transfer,
        task,
    },
    xattr::room,
    Rext4,
};
use core::sync::atomic::Ordering;
use kernel::{error::code, prelude::*};

/// Flags of old that change nothing, and that users can set nevertheless.
const WITHOUT_EFFECT: u32 = InodeFlags::SECURE_REMOVAL
    | InodeFlags::UNDELETABLE
    | InodeFlags::COMPRESSED
    | InodeFlags::NO_TAILS
    | InodeFlags::EOF_BLOCKS;

/// What users can set and clear.
const CHANGEABLE: u32 = WITHOUT_EFFECT
    | InodeFlags::SYNC
    | InodeFlags::IMMUTABLE
    | InodeFlags::APPEND
    | InodeFlags::NODUMP
    | InodeFlags::NOATIME
    | InodeFlags::JOURNAL_DATA
    | InodeFlags::DIRSYNC
    | InodeFlags::TOPDIR
    | InodeFlags::EXTENTS
    | InodeFlags::DAX
    | InodeFlags::PROJECT_INHERIT
    | InodeFlags::CASEFOLD;

/// What users see.
const VISIBLE: u32 = CHANGEABLE
    | InodeFlags::DIRTY
    | InodeFlags::COMPRESSED_BLOCKS
    | InodeFlags::NOT_COMPRESSED
    | InodeFlags::ENCRYPT
    | InodeFlags::INDEX
    | InodeFlags::VERITY
    | InodeFlags::INLINE_DATA;

/// What a new inode takes over from its directory.
const INHERITED: u32 = InodeFlags::SECURE_REMOVAL
    | InodeFlags::UNDELETABLE
    | InodeFlags::COMPRESSED
    | InodeFlags::NOT_COMPRESSED
    | InodeFlags::NO_TAILS
    | InodeFlags::SYNC
    | InodeFlags::NODUMP
    | InodeFlags::NOATIME
    | InodeFlags::JOURNAL_DATA
    | InodeFlags::DIRSYNC
    | InodeFlags::PROJECT_INHERIT
    | InodeFlags::CASEFOLD
    | InodeFlags::DAX;

/// What means something for directories alone.
const OF_DIRECTORIES: u32 =
    InodeFlags::DIRSYNC | InodeFlags::TOPDIR | InodeFlags::CASEFOLD | InodeFlags::PROJECT_INHERIT;

/// Those of `flags` that an inode of this type can have.
fn fitting(flags: InodeFlags, kind: Option<FileType>) -> InodeFlags {
    match kind {
        Some(FileType::Directory) => flags,
        Some(FileType::Regular) => flags.without(OF_DIRECTORIES),
        // The others make no sense for what has no data.
        _ => InodeFlags(flags.0 & (InodeFlags::NODUMP | InodeFlags::NOATIME)),
    }
}

/// What a new inode of this type takes over from its directory. Without a journal not that its data goes through that.
pub(super) fn inherited(parent: InodeFlags, kind: FileType, has_journal: bool) -> InodeFlags {
    let all = InodeFlags(parent.0 & INHERITED);
    let all = match has_journal {
        true => all,
        false => all.without(InodeFlags::JOURNAL_DATA),
    };
    fitting(all, Some(kind))
}

impl FlagOperations for Rext4 {
    fn file_attributes(inode: &Inode<Self>) -> Result<FileAttributes> {
        attributes(inode).map_err(|e| Filesystem::errno(inode, "read flags", e))
    }

    fn set_file_attributes(
        inode: &Inode<Self>,
        lock: &ExclusiveLock<'_, Self>,
        wanted: FileAttributes,
    ) -> Result {
        set(inode, lock, wanted).map_err(|e| Filesystem::errno(inode, "change flags", e))
    }
}

fn has_projects(inode: &Inode<Rext4>) -> bool {
    inode.super_block().data().features.has(Feature::PROJECT)
}

/// Whether an inode has room for its project.
fn has_project(inode: &Inode<Rext4>) -> FsResult<bool> {
    let project = super::with_raw(inode, |bytes| {
        format::Inode::from_bytes(bytes).map(|raw| raw.project().is_some())
    })?;
    project.map_err(|e| FsError::Corrupt(e.into()))
}

fn attributes(inode: &Inode<Rext4>) -> FsResult<FileAttributes> {
    let mut flags = inode.data().flags().0 & VISIBLE;
    if inode.is_regular() {
        flags &= !InodeFlags::PROJECT_INHERIT;
    }
    let project = if has_projects(inode) {
        super::project(inode)?
    } else {
        0
    };
    Ok(FileAttributes { flags, project })
}

/// Sets flags and project in one transaction; how the inode's blocks are mapped, in another one after that.
fn set(inode: &Inode<Rext4>, lock: &ExclusiveLock<'_, Rext4>, wanted: FileAttributes) -> FsResult {
    let old = inode.data().flags();
    if inode.is_exempt_from_quotas() {
        // One of the quota files, which nobody else changes.
        return Err(FsError::Kernel(code::EPERM));
    }
    // What is seen and can't be set is passed over, since `chattr` gives back what it was shown.
    let new = InodeFlags(wanted.flags & CHANGEABLE);
    let kind = FileType::of_mode(inode.mode());
    if wanted.flags & !VISIBLE != 0 || fitting(new, kind) != new {
        return Err(FsError::unsupported());
    }
    let old_project = attributes(inode)?.project;
    let changed = (old.0 ^ new.0) & CHANGEABLE;
    if old.has(InodeFlags::IMMUTABLE) && new.has(InodeFlags::IMMUTABLE) {
        let other = old.without(InodeFlags::IMMUTABLE).0 ^ new.without(InodeFlags::IMMUTABLE).0;
        if other & CHANGEABLE != 0 || old_project != wanted.project {
            return Err(FsError::Kernel(code::EPERM));
        }
    }
    let special = old.has(InodeFlags::VERITY) || old.has(InodeFlags::ENCRYPT);
    if changed & InodeFlags::JOURNAL_DATA != 0 && !task::has_resource_rights() {
        return Err(FsError::Kernel(code::EPERM));
    }
    // That is not carried out here.
    if changed & InodeFlags::CASEFOLD != 0 || (new.has(InodeFlags::DAX) && special) {
        return Err(FsError::unsupported());
    }
    if old_project != wanted.project && !has_projects(inode) {
        return Err(FsError::unsupported());
    }

    let store = || store_flags(inode, lock, new, wanted.project);
    let is_or_will_be = new.has(InodeFlags::JOURNAL_DATA) || journaled::journals_data(inode);
    let has_data = inode.is_regular() && inode.data().kind().has_blocks();
    if changed & InodeFlags::JOURNAL_DATA != 0 && has_data && is_or_will_be {
        journaled::change_way(inode, lock, store)?;
    } else {
        store()?;
    }
    match changed & InodeFlags::EXTENTS {
        0 => Ok(()),
        _ if new.has(InodeFlags::EXTENTS) => block_map::to_extents(inode, lock),
        _ => block_map::from_extents(inode, lock),
    }
}

/// The part of [`set`] that is one transaction.
fn store_flags(
    inode: &Inode<Rext4>,
    lock: &ExclusiveLock<'_, Rext4>,
    new: InodeFlags,
    project: u32,
) -> FsResult {
    let old = inode.data().flags();
    let old_project = attributes(inode)?.project;
    let sb = inode.super_block();
    let journal = sb.data().writing(sb)?;
    let becomes_immutable = !old.has(InodeFlags::IMMUTABLE) && new.has(InodeFlags::IMMUTABLE);
    if inode.is_regular() && becomes_immutable && inode.data().kind().has_blocks() {
        // Writes under way end, and pages become clean, so that the next store into a mapping
        // comes through the file system and is refused.
        let _alone = Alone::new(inode, lock);
        inode.write_back(0, i64::MAX)?;
    }
    let own = Credits::new(credits::INODE);
    let mut transfer = None;
    let handle = if old_project == project {
        journal.start(own)?
    } else {
        transfer = Some(Transfer::to_project(inode, lock, project)?);
        // Inodes of old have no room for it.
        room::start(inode, journal, own)?
    };
    if inode.is_sync() {
        handle.set_sync();
    }
    if let Some(transfer) = &mut transfer {
        if !has_project(inode)? {
            return Err(FsError::unsupported());
        }
        transfer.carry_out()?;
    }
    let stored = merged(old, new);
    let has_room = store::edit(inode, &handle, |raw| {
        let has_room = old_project == project || raw.set_project(project);
        if has_room {
            // Not what the inode's number of blocks is counted in.
            raw.set_flags(merged(raw.flags(), stored));
        }
        has_room
    })?;
    if !has_room {
        return Err(FsError::unsupported());
    }
    inode.data().project.store(project, Ordering::Relaxed);
    set_in_memory(inode, lock, stored);
    inode.note_change();
    finish(inode, handle)
}

/// Sets the flags of an inode in memory alone.
pub(crate) fn set_in_memory(
    inode: &Inode<Rext4>,
    lock: &ExclusiveLock<'_, Rext4>,
    flags: InodeFlags,
) {
    inode.data().flags.store(flags.0, Ordering::Relaxed);
    inode.set_vfs_flags(lock, super::load::vfs_flags(flags));
}

/// Stores an inode with the flags that it has in memory.
///
/// # Errors
///
/// Those of the journal.
pub(crate) fn store_in_memory(inode: &Inode<Rext4>, _lock: &ExclusiveLock<'_, Rext4>) -> FsResult {
    let sb = inode.super_block();
    let handle = sb.data().writing(sb)?.start(Credits::new(credits::INODE))?;
    let flags = inode.data().flags();
    store::edit(inode, &handle, |raw| {
        raw.set_flags(merged(raw.flags(), flags));
    })?;
    finish(inode, handle)
}

/// Takes back what was set in memory alone.
///
/// # Errors
///
/// Those of reading the inode.
pub(crate) fn restore(inode: &Inode<Rext4>, lock: &ExclusiveLock<'_, Rext4>) -> FsResult {
    let stored = super::with_raw(inode, |bytes| {
        format::Inode::from_bytes(bytes).map(|raw| raw.flags())
    })?;
    let stored = stored.map_err(|e| FsError::Corrupt(e.into()))?;
    set_in_memory(inode, lock, merged(inode.data().flags(), stored));
    Ok(())
}

/// The flags `own`, but for those that users can change, which are as in `changed`.
fn merged(own: InodeFlags, changed: InodeFlags) -> InodeFlags {
    let stays = !CHANGEABLE | InodeFlags::EXTENTS;
    InodeFlags(own.0 & stays | changed.0 & !stays)
}

/// Gives a file with a block map extents.
///
/// # Errors
///
/// `EINVAL` if it has none, or the file system has no extents; `EPERM` for a quota file; see [`set`].
pub(crate) fn migrate(inode: &Inode<Rext4>, lock: &ExclusiveLock<'_, Rext4>) -> FsResult {
    if inode.is_exempt_from_quotas() {
        return Err(FsError::Kernel(code::EPERM));
    }
    inode.initialize_quotas()?;
    block_map::to_extents(inode, lock)
}

/// Stores the rest of the inode and ends the transaction.
fn finish(inode: &Inode<Rext4>, handle: crate::vfs::jbd2::Handle<'_>) -> FsResult {
    let root = inode.data().tree.read();
    store::store(inode, &handle, &root)?;
    drop(root);
    inode.data().sync_point.note(&handle, Change::Other);
    Ok(handle.stop()?)
}

/// Sets the number that tells this use of the inode from earlier ones.
///
/// # Errors
///
/// `ENOTTY` where checksums start from it, as all of them would have to be made anew.
pub(crate) fn set_generation(
    inode: &Inode<Rext4>,
    lock: &ExclusiveLock<'_, Rext4>,
    generation: u32,
) -> FsResult {
    let sb = inode.super_block();
    let fs = sb.data();
    if fs.seed.is_some() {
        return Err(FsError::Kernel(code::ENOTTY));
    }
    let journal = fs.writing(sb)?;
    let handle = journal.start(Credits::new(credits::INODE))?;
    store::edit(inode, &handle, |raw| raw.set_generation(generation))?;
    inode.set_generation(lock, generation);
    inode.note_change();
    finish(inode, handle)
}
