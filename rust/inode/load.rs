// SPDX-License-Identifier: GPL-2.0

//! Reading an inode from the inode table.

use super::{DataKind, InodeData};
use crate::{
    bindings,
    disk::{
        inode::{self as format, Content, InodeError, InodeFlags},
        layout::InodePlace,
        units::{InodeNumber, PhysicalBlock},
    },
    error::{FsError, FsResult},
    vfs::{
        buffer::Buffer,
        inode::Inode,
        new_inode::{Common, Iget, NewInode},
        stat::Timestamp,
        super_block::SuperBlock,
    },
    Rext4,
};
use core::sync::atomic::Ordering;
use kernel::{error::Error, sync::aref::ARef};

/// The inode with a number, from memory or from disk.
///
/// # Errors
///
/// `ESTALE` if the inode is not in use, damage otherwise.
pub(crate) fn get(sb: &SuperBlock<Rext4>, number: InodeNumber) -> FsResult<ARef<Inode<Rext4>>> {
    match sb.iget(number.0)? {
        Iget::Cached(inode) => Ok(inode),
        Iget::New(new) => load(sb, new, number, false),
    }
}

/// The same for an inode that is on the list of orphans, which may have no links any more.
pub(crate) fn get_orphan(
    sb: &SuperBlock<Rext4>,
    number: InodeNumber,
) -> FsResult<ARef<Inode<Rext4>>> {
    match sb.iget(number.0)? {
        Iget::Cached(inode) => Ok(inode),
        Iget::New(new) => load(sb, new, number, true),
    }
}

/// The block of the inode table that holds an inode, and where in it.
pub(crate) fn table_block(
    sb: &SuperBlock<Rext4>,
    number: InodeNumber,
) -> FsResult<(Buffer, InodePlace)> {
    let fs = sb.data();
    let location = fs.locate_inode(sb.device(), number)?;
    let size = fs.layout.block_size().bytes();
    if let Some(buffer) = Buffer::find(sb.device(), location.block.0, size) {
        return Ok((buffer, location.place));
    }
    let blocks = fs.options().inode_readahead;
    if blocks > 1 {
        if let Ok(groups) = fs.groups() {
            for ahead in groups.table_around(&location, blocks)? {
                Buffer::read_ahead(sb.device(), ahead, size);
            }
        }
    }
    let buffer = Buffer::read(sb.device(), location.block.0, size)?;
    Ok((buffer, location.place))
}

/// The same for an inode in memory, which remembers it.
pub(crate) fn own_table_block(inode: &Inode<Rext4>) -> FsResult<(Buffer, InodePlace)> {
    let (sb, number) = (inode.super_block(), super::number(inode));
    let fs = sb.data();
    let known = inode.data().table_block.load(Ordering::Relaxed);
    if let (true, Some(place)) = (known != 0, fs.layout.place_of_inode(number)) {
        let buffer = Buffer::read(sb.device(), known, fs.layout.block_size().bytes())?;
        return Ok((buffer, place));
    }
    let (buffer, place) = table_block(sb, number)?;
    // Before recovery it may still move.
    if fs.groups().is_ok() {
        inode
            .data()
            .table_block
            .store(buffer.block(), Ordering::Relaxed);
    }
    Ok((buffer, place))
}

/// `ESTALE`: the inode is not there any more.
fn stale() -> FsError {
    FsError::Kernel(Error::from_errno(-(bindings::ESTALE as i32)))
}

fn load(
    sb: &SuperBlock<Rext4>,
    new: NewInode<Rext4>,
    number: InodeNumber,
    may_be_unlinked: bool,
) -> FsResult<ARef<Inode<Rext4>>> {
    let fs = sb.data();
    let (buffer, place) = table_block(sb, number)?;
    let (common, xattr_block) = buffer.with(|block| -> FsResult<_> {
        let raw = format::Inode::in_block(block, &fs.layout, place)
            .map_err(|e| FsError::Corrupt(e.into()))?;
        // Not damage: nobody has used it yet, and who asks may be a client of NFS.
        if raw.links_count() == 0 && raw.mode() == 0 {
            return Err(stale());
        }
        if let Some(seed) = fs.seed {
            raw.verify_checksum(raw.seed(seed, number))
                .map_err(|e| FsError::Corrupt(e.into()))?;
        }
        if raw.links_count() == 0 && !may_be_unlinked {
            return Err(stale());
        }
        raw.check(&fs.layout)
            .map_err(|e| FsError::Corrupt(e.into()))?;
        let common = take(&raw, new.inode().data(), sb)?;
        Ok((common, raw.xattr_block(&fs.layout)))
    })?;
    let inode = new.inode();
    let data = inode.data();
    *data.xattr_block.write() = xattr_block;
    let kind = data.kind();
    if matches!(
        kind,
        DataKind::Extents | DataKind::BlockMap | DataKind::ShortSymlink
    ) {
        // The tree's lock sleeps, so the bytes are copied by way of the stack.
        let area = buffer.with(|block| {
            format::Inode::in_block(block, &fs.layout, place).map(|raw| *raw.block_area())
        });
        data.tree.write().root = area.map_err(|e| FsError::Corrupt(e.into()))?;
    }
    data.set_goal(first_goal(sb, place));
    data.sync_point.reset(fs.journal.get());
    if common.links != 0 {
        fs.orphans.remind(inode);
    }
    new.fill(&common)?;
    if kind == DataKind::ShortSymlink {
        // Without memory for it, it is asked for each time.
        if let Ok(text) = super::symlink_text(inode) {
            new.cache_link(&text);
        }
    }
    Ok(new.unlock())
}

/// Where an inode's first block would go best: in its own group.
pub(super) fn first_goal(sb: &SuperBlock<Rext4>, place: InodePlace) -> PhysicalBlock {
    sb.data().layout.first_block(place.group)
}

/// The first block of the group that an inode lies in.
pub(crate) fn group_start(inode: &Inode<Rext4>) -> PhysicalBlock {
    let layout = &inode.super_block().data().layout;
    layout
        .place_of_inode(super::number(inode))
        .map_or(PhysicalBlock(0), |place| layout.first_block(place.group))
}

/// Takes what is wanted out of the inode on disk. Must not sleep.
fn take(raw: &format::Inode<&[u8]>, data: &InodeData, sb: &SuperBlock<Rext4>) -> FsResult<Common> {
    let fs = sb.data();
    let layout = &fs.layout;
    let size = raw.size(layout);
    let flags = raw.flags();
    let mut device = 0;
    let content = match raw.content(layout) {
        // A crash came while it was deleted, and only its end is left to do: the block with its
        // text is free already.
        Err(InodeError::SymlinkText { .. }) if raw.links_count() == 0 => Content::Nothing,
        other => other.map_err(|e| FsError::Corrupt(e.into()))?,
    };
    let kind = match content {
        Content::Extents(_) => DataKind::Extents,
        Content::BlockMap => DataKind::BlockMap,
        Content::Inline => DataKind::Inline,
        Content::Symlink(_) => DataKind::ShortSymlink,
        Content::Device(number) => {
            // The kernel's own form: 12 bits of the kind, 20 bits of which one.
            device = number.major << 20 | number.minor;
            DataKind::Nothing
        }
        Content::Nothing => DataKind::Nothing,
    };
    data.kind.store(kind as u8, Ordering::Relaxed);
    data.flags.store(flags.0, Ordering::Relaxed);
    data.disk_size.store(size as i64, Ordering::Relaxed);
    // An inode is not larger than a block.
    data.note_extra_size(raw.extra_size() as u32);
    data.note_birth(raw.crtime());
    let project = raw.project().unwrap_or(0);
    data.project.store(project, Ordering::Relaxed);
    Ok(Common {
        mode: raw.mode(),
        uid: raw.uid(),
        gid: raw.gid(),
        links: u32::from(raw.links_count()),
        size: size as i64,
        blocks: raw.sectors(layout),
        atime: from_disk(raw.atime()),
        mtime: from_disk(raw.mtime()),
        ctime: from_disk(raw.ctime()),
        generation: raw.generation(),
        version: raw.version(),
        flags: vfs_flags(flags),
        device,
    })
}

fn from_disk(time: format::Timestamp) -> Timestamp {
    Timestamp::new(time.seconds, time.nanoseconds)
}

/// The VFS's flags for those on disk.
pub(super) fn vfs_flags(flags: InodeFlags) -> u32 {
    let pairs = [
        (InodeFlags::SYNC, bindings::S_SYNC),
        (InodeFlags::APPEND, bindings::S_APPEND),
        (InodeFlags::IMMUTABLE, bindings::S_IMMUTABLE),
        (InodeFlags::NOATIME, bindings::S_NOATIME),
        (InodeFlags::DIRSYNC, bindings::S_DIRSYNC),
    ];
    pairs
        .iter()
        .filter(|(own, _)| flags.has(*own))
        .fold(0, |all, (_, vfs)| all | *vfs)
}
