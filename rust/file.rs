// SPDX-License-Identifier: GPL-2.0

//! What an open file does: which way a read or write goes, syncing, and where data lies.

pub(crate) mod buffered;
pub(crate) mod fallocate;
mod move_extents;

use crate::{
    dio::{self, claim::Waiting},
    disk::{block_map, features::Feature, inode::InodeFlags, units::LogicalBlock},
    error::{eopnotsupp, FsError, FsResult},
    inode::{
        self, convert, delayed,
        journaled::{self, journals_data},
        map, size, window, DataKind,
    },
    mount::Filesystem,
    vfs::{
        file::{FallocateMode, FileOperations, IovIter, Kiocb, MoveRange, OpenFile},
        inode::{ExclusiveLock, Inode, InodeOperations},
        iomap::{IomapOperations, Mapping, Reason},
        posix_acl::{AclKind, PosixAcl},
        stat::{AtomicUnits, Attributes, DirectIoAlignment},
    },
    Rext4,
};
use core::ops::Range;
use kernel::{prelude::*, sync::aref::ARef};

impl FileOperations for Rext4 {
    fn open(file: &OpenFile<'_, Self>) -> Result {
        let inode = file.inode();
        Self::check_access(inode)?;
        if file.is_for_writing() {
            Self::check_writable(inode)?;
            let asks = inode.data().flags().has(InodeFlags::JOURNAL_DATA) && inode.is_regular();
            if asks && !journals_data(inode) {
                let fs = inode.super_block().data();
                fs.warn_once_per_inode(
                    inode,
                    "its data does not go through the journal (flag j): there is none",
                );
            }
        }
        inode.super_block().data().note_mount_point(file);
        // A file whose data can't be served can be opened, for its attributes; reading it fails.
        let _ = inode::check_readable(inode);
        Ok(())
    }

    fn note_stores(inode: &Inode<Self>) {
        inode.data().note_stores();
    }

    fn has_stores(inode: &Inode<Self>) -> bool {
        inode.data().has_stores()
    }

    fn check_access(inode: &Inode<Self>) -> Result {
        let up = inode.super_block().data().must_be_up();
        up.map_err(|e| Filesystem::errno(inode, "open", e))
    }

    fn check_writable(inode: &Inode<Self>) -> Result {
        let sb = inode.super_block();
        let journal = sb.data().writing(sb);
        journal.map_err(|e| Filesystem::errno(inode, "change", e))?;
        Ok(())
    }

    fn read(request: &mut Kiocb<'_, Self>, memory: &mut IovIter<'_>) -> Result<usize> {
        let inode = request.inode();
        Self::check_access(inode)?;
        inode::check_readable(inode).map_err(|e| Filesystem::errno(inode, "read", e))?;
        if memory.len() == 0 {
            return Ok(0);
        }
        if request.is_direct() && !journals_data(inode) {
            dio::read::read(request, memory)
        } else {
            request.read_buffered(memory)
        }
    }

    fn write(request: &mut Kiocb<'_, Self>, memory: &mut IovIter<'_>) -> Result<usize> {
        let inode = request.inode();
        let checked = || -> FsResult {
            inode::check_readable(inode)?;
            inode.super_block().data().writing(inode.super_block())?;
            Ok(())
        };
        checked().map_err(|e| Filesystem::errno(inode, "write", e))?;
        if request.is_atomic() {
            dio::atomic::check(request, memory)?;
        }
        if !request.is_direct() {
            return buffered::write(request, memory);
        }
        let asked = memory.len();
        match dio::write::write(request, memory) {
            // Data in the page cache may have more set aside than it needs. A write that was done,
            // and could not be made durable, is not to be done again.
            Err(e)
                if e == ENOSPC
                    && memory.len() == asked
                    && !request.is_nowait()
                    && Self::make_room(inode) =>
            {
                dio::write::write(request, memory)
            }
            result => result,
        }
    }

    fn fsync(file: &OpenFile<'_, Self>, start: i64, end: i64, data_only: bool) -> Result {
        let inode = file.inode();
        let below = inode.size().min(end.saturating_add(1));
        file.write_and_wait(start, end)?;
        if inode.is_regular() && inode.data().kind().has_blocks() {
            convert::catch_up_on_disk(inode, below)
                .map_err(|e| Filesystem::errno(inode, "fsync", e))?;
        }
        sync(inode, data_only).map_err(|e| Filesystem::errno(inode, "fsync", e))?;
        file.check_writeback_error()
    }

    fn release(inode: &Inode<Self>, is_last_writer: bool) {
        if is_last_writer {
            window::end(inode);
        }
        if inode.data().take_flush_at_close() {
            delayed::start_writing(inode);
        }
    }

    fn fallocate(
        file: &OpenFile<'_, Self>,
        mode: FallocateMode,
        keep_size: bool,
        offset: i64,
        len: i64,
    ) -> Result {
        let inode = file.inode();
        let done = || -> FsResult {
            fallocate::fallocate(file, mode, keep_size, offset, len)?;
            if file.is_sync() {
                sync(inode, false)?;
            }
            Ok(())
        };
        done().map_err(|e| Filesystem::errno(inode, "fallocate", e))
    }

    fn move_extents(
        file: &Inode<Self>,
        donor: &Inode<Self>,
        range: &MoveRange,
        moved: &mut u64,
    ) -> Result {
        move_extents::move_extents(file, donor, range, moved)
            .map_err(|e| Filesystem::errno(file, "move blocks", e))
    }

    fn atomic_units(inode: &Inode<Self>) -> Option<AtomicUnits> {
        dio::atomic::units(inode)
    }

    fn max_bytes(inode: &Inode<Self>) -> i64 {
        max_bytes(inode)
    }
}

/// The largest size of a file, in bytes: the last logical block stays unused, and a block map has an end of
/// its own. Without `huge_file` the space of an inode is counted with 32 bits, in sectors,
/// and a part of that is left for the nodes of its tree and its attributes.
pub(crate) fn max_bytes(inode: &Inode<Rext4>) -> i64 {
    let fs = inode.super_block().data();
    let counts_blocks = fs.features.has(Feature::HUGE_FILE);
    if inode.data().kind() == DataKind::BlockMap {
        let most = block_map::max_bytes(fs.layout.block_size(), counts_blocks);
        return i64::try_from(most).unwrap_or(i64::MAX);
    }
    if !counts_blocks {
        let bytes = i64::from(u32::MAX) * 512;
        return (bytes - bytes / 64) & !i64::from(fs.layout.block_size().bytes() - 1);
    }
    i64::from(u32::MAX) << fs.layout.block_size().bits()
}

/// Makes an inode durable, and all data that its device has acknowledged.
pub(crate) fn sync(inode: &Inode<Rext4>, data_only: bool) -> FsResult {
    let sb = inode.super_block();
    let fs = sb.data();
    let Some(journal) = fs.journal_for_writing(sb)? else {
        return Ok(());
    };
    if !data_only {
        // Times that changed in memory alone.
        inode.sync_metadata()?;
    }
    inode
        .data()
        .sync_point
        .wait(journal, sb.device(), data_only)
}

impl IomapOperations for Rext4 {
    fn map(inode: &Inode<Self>, offset: u64, _len: u64) -> Result<Mapping> {
        map::bytes(inode, offset, Waiting::Allowed)
            .map_err(|e| Filesystem::errno(inode, "look up a block", e))
    }

    fn map_for_write(
        inode: &Inode<Self>,
        offset: u64,
        len: u64,
        reason: Reason,
    ) -> Result<Mapping> {
        buffered::map(inode, offset, len, reason).map_err(|e| Filesystem::errno(inode, "write", e))
    }

    fn give_back(inode: &Inode<Self>, bytes: Range<u64>) {
        let size = inode.super_block().data().layout.block_size();
        let block = |byte| LogicalBlock(u32::try_from(size.blocks_for(byte)).unwrap_or(u32::MAX));
        delayed::give_back(inode, block(bytes.start)..block(bytes.end));
    }

    fn make_room(inode: &Inode<Self>) -> bool {
        let sb = inode.super_block();
        sb.data().make_room(sb)
    }

    fn journals_data(inode: &Inode<Self>) -> bool {
        journals_data(inode)
    }

    fn is_on_device(inode: &Inode<Self>) -> bool {
        journaled::is_on_device(inode)
    }

    fn map_version(inode: &Inode<Self>) -> u64 {
        inode.data().version()
    }

    fn map_xattr(inode: &Inode<Self>) -> Result<Option<Mapping>> {
        crate::xattr::map(inode).map_err(|e| Filesystem::errno(inode, "look up attributes", e))
    }
}

impl InodeOperations for Rext4 {
    fn lookup(dir: &Inode<Self>, name: &[u8]) -> Result<Option<ARef<Inode<Self>>>> {
        crate::dir::lookup(dir, name).map_err(|e| Filesystem::errno(dir, "look up a name", e))
    }

    fn read_link(inode: &Inode<Self>) -> Result<KVec<u8>> {
        inode::symlink_text(inode).map_err(|e| Filesystem::errno(inode, "read a link", e))
    }

    fn set_size(inode: &Inode<Self>, lock: &ExclusiveLock<'_, Self>, bytes: i64) -> Result<i64> {
        size::set_size(inode, lock, bytes)
            .map_err(|e| Filesystem::errno(inode, "change the size", e))
    }

    fn make_durable(inode: &Inode<Self>) -> Result {
        sync(inode, false).map_err(|e| Filesystem::errno(inode, "sync", e))
    }

    fn attributes(inode: &Inode<Self>) -> Result<Attributes> {
        Ok(attributes(inode))
    }

    fn get_acl(inode: &Inode<Self>, kind: AclKind) -> Result<Option<PosixAcl>> {
        crate::xattr::get_acl(inode, kind).map_err(|e| match e {
            // What the VFS takes for "there are none".
            FsError::Kernel(errno) if errno == eopnotsupp() => errno,
            e => Filesystem::errno(inode, "read an ACL", e),
        })
    }

    fn set_acl(
        inode: &Inode<Self>,
        lock: &ExclusiveLock<'_, Self>,
        kind: AclKind,
        acl: Option<&PosixAcl>,
        mode: Option<u16>,
    ) -> Result {
        crate::xattr::set_acl(inode, lock, kind, acl, mode)
            .map_err(|e| Filesystem::errno(inode, "set an ACL", e))
    }
}

fn attributes(inode: &Inode<Rext4>) -> Attributes {
    use crate::{bindings, disk::inode::InodeFlags};
    let flags = inode.data().flags();
    let pairs = [
        (InodeFlags::APPEND, bindings::STATX_ATTR_APPEND),
        (InodeFlags::IMMUTABLE, bindings::STATX_ATTR_IMMUTABLE),
        (InodeFlags::NODUMP, bindings::STATX_ATTR_NODUMP),
        (InodeFlags::COMPRESSED, bindings::STATX_ATTR_COMPRESSED),
        (InodeFlags::ENCRYPT, bindings::STATX_ATTR_ENCRYPTED),
        (InodeFlags::VERITY, bindings::STATX_ATTR_VERITY),
    ];
    let collect = |all: bool| {
        pairs
            .iter()
            .filter(|(own, _)| all || flags.has(*own))
            .fold(0, |bits, (_, attr)| bits | u64::from(*attr))
    };
    let device = inode.super_block().device();
    let size = inode.super_block().data().layout.block_size();
    let direct = inode.is_regular() && inode.data().kind().has_blocks() && !journals_data(inode);
    Attributes {
        birth: inode.data().birth(),
        direct_io: direct.then_some(DirectIoAlignment {
            memory: device.memory_alignment(),
            offset: device.logical_block_bytes(),
        }),
        atomic: dio::atomic::units(inode),
        // Or else tools would take a file whose data is in the inode, or in the page cache only, for
        // one hole.
        more_blocks: match inode.data().kind() {
            DataKind::Inline => (inode.size() as u64).div_ceil(512),
            _ => u64::from(inode.data().delayed_blocks()) << (size.bits() - 9),
        },
        set: collect(false),
        known: collect(true),
    }
}
