// SPDX-License-Identifier: GPL-2.0

//! The quota files, which are metadata: they are read and written past the page cache, through the journal.

use super::named;
use crate::{
    dir,
    disk::{features::Feature, inode::InodeFlags, units::LogicalBlock},
    error::{euclean, FsError, FsResult},
    extent,
    inode::{self, store, tree::ReadTree, DataKind},
    journal::{credits, sync_point},
    mount::Filesystem,
    vfs::{
        inode::Inode,
        jbd2::{Credits, Handle, Journal},
        quota::{Change, QuotaOperations},
        super_block::SuperBlock,
    },
    xattr::room,
    Rext4,
};
use core::sync::atomic::Ordering;
use kernel::{error::code, prelude::*};

/// How many blocks of a quota file are made for one entry: its path in a tree of four levels
/// (`V2_INIT_ALLOC` of the kernel).
const NEW_BLOCKS: u32 = 4;

/// How many that are there already change then, or when an entry is removed (`V2_INIT_REWRITE`,
/// `V2_DEL_REWRITE`).
const CHANGED_BLOCKS: u32 = 6;

impl QuotaOperations for Rext4 {
    fn within_transaction(
        file: &Inode<Self>,
        change: Change,
        act: impl FnOnce() -> Result,
    ) -> Result {
        let mut result = Ok(());
        let done = || -> FsResult {
            let fs = file.super_block().data();
            fs.must_be_up()?;
            if fs.is_stopped() {
                return Err(FsError::Kernel(code::EROFS));
            }
            let needed = match change {
                Change::Write => Credits::new(1),
                // The block may be a hole if somebody else has made the file.
                Change::Acquire | Change::Info => acquire(file)?,
                Change::Release => Credits::new(CHANGED_BLOCKS + credits::INODE),
            };
            let journal = fs.journal.get().ok_or(FsError::Kernel(code::EROFS))?;
            let handle = journal.start(needed)?;
            result = act();
            Ok(handle.stop()?)
        };
        let done = done().and(result.map_err(FsError::from));
        let what = "change a quota file";
        done.map_err(|e| match change {
            // Nothing was counted yet for whom it is, and who asks is told.
            Change::Acquire => Filesystem::errno(file, what, e),
            // What is counted is wrong from now on, and nobody else is told.
            Change::Write | Change::Release | Change::Info => {
                Filesystem::errno_of_metadata(file, what, e)
            }
        })
    }

    fn read_quota_file(
        file: &Inode<Self>,
        is_loaded: bool,
        offset: u64,
        bytes: &mut [u8],
    ) -> Result<usize> {
        read(file, offset, bytes).map_err(|e| match e {
            // It is told when the lock is given back.
            FsError::Corrupt(_) if is_loaded && !Journal::in_transaction() => euclean(),
            FsError::Kernel(errno) if is_loaded && !Journal::in_transaction() => errno,
            e => Filesystem::errno(file, "read a quota file", e),
        })
    }

    fn search_has_failed(file: &Inode<Self>, error: Error) -> Error {
        Filesystem::errno(file, "look for an entry of a quota file", error.into())
    }

    fn write_quota_file(file: &Inode<Self>, offset: u64, bytes: &[u8]) -> Result {
        write(file, offset, bytes).map_err(|e| Filesystem::errno(file, "write a quota file", e))
    }

    fn change_attributes(inode: &Inode<Self>, change: impl FnOnce() -> Result) -> Result {
        change_attributes(inode, change)
            .map_err(|e| Filesystem::errno(inode, "change attributes", e))
    }

    fn project_of(inode: &Inode<Self>) -> Option<u32> {
        let has_projects = inode.super_block().data().features.has(Feature::PROJECT);
        has_projects.then(|| inode.data().project.load(Ordering::Relaxed))
    }

    fn project_below(inode: &Inode<Self>) -> Option<u32> {
        let inherits = inode.data().flags().has(InodeFlags::PROJECT_INHERIT);
        Self::project_of(inode).filter(|_| inherits)
    }

    fn may_turn_quotas_on(sb: &SuperBlock<Self>) -> bool {
        !super::are_hidden(sb) && sb.data().options().quota
    }

    fn take_quota_file(file: &Inode<Self>) -> Result {
        named::take(file).map_err(|e| Filesystem::errno(file, "take a quota file", e))
    }

    fn note_quota_file(file: &Inode<Self>) -> Result {
        named::note(file).map_err(|e| Filesystem::errno(file, "note a quota file", e))
    }

    fn give_quota_file_back(file: &Inode<Self>, was_noted: bool) -> Result {
        named::give_back(file, was_noted)
            .map_err(|e| Filesystem::errno(file, "give a quota file back", e))
    }
}

/// Makes a change of owner or mode in memory and stores the inode, in one transaction.
fn change_attributes(inode: &Inode<Rext4>, change: impl FnOnce() -> Result) -> FsResult {
    let sb = inode.super_block();
    let journal = sb.data().writing(sb)?;
    let _held = store::hold(inode)?;
    let handle = room::start(inode, journal, Credits::new(credits::INODE))?;
    change()?;
    let root = inode.data().tree.read();
    store::store(inode, &handle, &root)?;
    drop(root);
    // Who has data durable after it has this, too: it may be for others than those who had privileges.
    let change = sync_point::Change::Data;
    inode.data().sync_point.note(&handle, change);
    Ok(handle.stop()?)
}

/// What making an entry can change.
fn acquire(file: &Inode<Rext4>) -> FsResult<Credits> {
    let depth = match file.data().kind() {
        DataKind::BlockMap => inode::block_map::AS_DEPTH,
        _ => extent::depth(&ReadTree::new(file, &file.data().tree.read()))?,
    };
    let mut needed = Credits::new(CHANGED_BLOCKS + credits::INODE);
    for _ in 0..NEW_BLOCKS {
        // It may get one level deeper by the first of them.
        needed = needed.plus(credits::add_block(depth.saturating_add(1)));
    }
    Ok(needed)
}

/// The block of a quota file that holds a byte, and where in it.
fn place(file: &Inode<Rext4>, offset: u64) -> FsResult<(LogicalBlock, usize)> {
    let size = file.super_block().data().layout.block_size();
    let block = size.logical_of_byte(offset);
    let block = block.ok_or(FsError::Kernel(euclean()))?;
    Ok((block, size.within_block(offset) as usize))
}

fn read(file: &Inode<Rext4>, offset: u64, bytes: &mut [u8]) -> FsResult<usize> {
    let left = u64::try_from(file.size()).unwrap_or(0);
    let left = usize::try_from(left.saturating_sub(offset)).unwrap_or(usize::MAX);
    let len = bytes.len().min(left);
    let block_size = file.super_block().data().layout.block_size().size();
    let mut rest = bytes.get_mut(..len).unwrap_or_default();
    let mut at = offset;
    while !rest.is_empty() {
        let (block, within) = place(file, at)?;
        let count = rest.len().min(block_size.saturating_sub(within));
        let (part, behind) = rest.split_at_mut(count);
        match inode::read_block(file, block)? {
            Some(buffer) => buffer.with(|from| {
                let from = from.get(within..).unwrap_or_default();
                for (to, from) in part.iter_mut().zip(from) {
                    *to = *from;
                }
            }),
            None => part.fill(0),
        }
        rest = behind;
        at += count as u64;
    }
    Ok(len)
}

fn write(file: &Inode<Rext4>, offset: u64, bytes: &[u8]) -> FsResult {
    let fs = file.super_block().data();
    let (block, within) = place(file, offset)?;
    if !Journal::in_transaction() || within + bytes.len() > fs.layout.block_size().size() {
        return Err(FsError::Kernel(code::EIO));
    }
    let journal = fs.journal.get().ok_or(FsError::Kernel(code::EROFS))?;
    // That of who has the quota code write.
    let handle = journal.start(Credits::new(0))?;
    let end = offset.saturating_add(bytes.len() as u64);
    let end = i64::try_from(end).map_err(|_| FsError::Kernel(code::EFBIG))?;
    let grow = || {
        if end > file.size() {
            file.data().set_disk_size(end);
            file.set_quota_file_size(end);
        }
    };
    let buffer = match inode::read_block(file, block)? {
        Some(buffer) => buffer,
        None => dir::add_block(file, &handle, block, grow)?,
    };
    handle.write(&buffer)?.edit(|to| {
        let to = to.get_mut(within..).unwrap_or_default();
        for (to, from) in to.iter_mut().zip(bytes) {
            *to = *from;
        }
    })?;
    if end > file.size() {
        store_grown(file, &handle, grow)?;
    }
    Ok(handle.stop()?)
}

/// Has the file get longer, and stores it.
fn store_grown(file: &Inode<Rext4>, handle: &Handle<'_>, grow: impl FnOnce()) -> FsResult {
    let tree = file.data().tree.write();
    grow();
    store::store(file, handle, &tree)
}
