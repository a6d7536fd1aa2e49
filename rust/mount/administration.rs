// SPDX-License-Identifier: GPL-2.0

//! What administrators ask of a mounted file system by `ioctl`.

use super::{
    tuning::{self, everywhere},
    Filesystem,
};
use crate::{
    disk::{
        superblock::{Superblock, SUPERBLOCK_SIZE, VOLUME_NAME_SIZE},
        units::PhysicalBlock,
    },
    error::{FsError, FsResult},
    group::{Part, Use},
    inode::flags,
    vfs::{
        buffer::Buffer,
        checksum::crc32c,
        inode::{ExclusiveLock, Inode},
        ioctl::{owner, tune::Tuning, Administration, Resize, Shutdown, SpaceRecord, TrimRange},
        jbd2::Wipe,
        super_block::SuperBlock,
    },
    Rext4,
};
use core::ops::Range;
use kernel::{error::code, prelude::*};

impl Administration for Rext4 {
    const LABEL_MAX: usize = VOLUME_NAME_SIZE;

    fn set_generation(
        inode: &Inode<Self>,
        lock: &ExclusiveLock<'_, Self>,
        generation: u32,
    ) -> Result {
        flags::set_generation(inode, lock, generation)
            .map_err(|e| Filesystem::errno(inode, "set a generation", e))
    }

    fn migrate(inode: &Inode<Self>, lock: &ExclusiveLock<'_, Self>) -> Result {
        flags::migrate(inode, lock).map_err(|e| Filesystem::errno(inode, "migrate to extents", e))
    }

    fn label(sb: &SuperBlock<Self>, out: &mut [u8]) -> Result {
        let fs = sb.data();
        let copy = |superblock: &Superblock| {
            for (to, from) in out.iter_mut().zip(superblock.volume_name()) {
                *to = *from;
            }
        };
        fs.primary
            .with(copy)
            .map_err(|e| fs.errno_at(sb, None, "read the label", e))
    }

    fn set_label(sb: &SuperBlock<Self>, label: &[u8]) -> Result {
        let fs = sb.data();
        everywhere(sb, |superblock| superblock.set_volume_name(label))
            .map_err(|e| fs.errno_at(sb, None, "set the label", e))
    }

    fn uuid(sb: &SuperBlock<Self>) -> Result<[u8; 16]> {
        let fs = sb.data();
        fs.primary
            .with(|superblock| *superblock.uuid())
            .map_err(|e| fs.errno_at(sb, None, "read the UUID", e))
    }

    fn set_uuid(sb: &SuperBlock<Self>, uuid: &[u8; 16]) -> Result {
        let fs = sb.data();
        tuning::set_uuid(sb, uuid).map_err(|e| fs.errno_at(sb, None, "set the UUID", e))
    }

    fn tuning(sb: &SuperBlock<Self>, out: &mut Tuning) -> Result {
        let fs = sb.data();
        tuning::get(fs, out).map_err(|e| fs.errno_at(sb, None, "read the super block", e))
    }

    fn tune(sb: &SuperBlock<Self>, wanted: &Tuning) -> Result {
        let fs = sb.data();
        tuning::set(sb, wanted).map_err(|e| fs.errno_at(sb, None, "tune", e))
    }

    fn trim(sb: &SuperBlock<Self>, range: &TrimRange) -> Result<u64> {
        let fs = sb.data();
        super::discard::trim(sb, range).map_err(|e| fs.errno_at(sb, None, "trim", e))
    }

    fn empty_journal(sb: &SuperBlock<Self>, wipe: Wipe, dry_run: bool) -> Result {
        let fs = sb.data();
        empty_journal(sb, wipe, dry_run).map_err(|e| fs.errno_at(sb, None, "empty the journal", e))
    }

    fn space_map(
        sb: &SuperBlock<Self>,
        bytes: Range<u64>,
        give: &mut dyn FnMut(SpaceRecord) -> Result<bool>,
    ) -> Result {
        let fs = sb.data();
        space_map(sb, bytes, give).map_err(|e| fs.errno_at(sb, None, "map the space", e))
    }

    fn resize(sb: &SuperBlock<Self>, how: Resize, blocks: u64) -> Result {
        let fs = sb.data();
        super::grow::grow(sb, how, blocks).map_err(|e| fs.errno_at(sb, None, "resize", e))
    }

    fn go_down(sb: &SuperBlock<Self>, how: Shutdown) -> Result {
        let fs = sb.data();
        fs.go_down(sb, how)
            .map_err(|e| fs.errno_at(sb, None, "shut down", e))
    }
}

/// Tells what the device is used for. Who has the blocks of files is not known.
///
/// # Errors
///
/// `EOPNOTSUPP` with a feature that forbids writing: bits of a bitmap may stand for something else then.
fn space_map(
    sb: &SuperBlock<Rext4>,
    bytes: Range<u64>,
    give: &mut dyn FnMut(SpaceRecord) -> Result<bool>,
) -> FsResult {
    let fs = sb.data();
    fs.must_be_up()?;
    fs.must_understand_bitmaps()?;
    let bits = fs.layout.block_size().bits();
    let end = PhysicalBlock(bytes.end >> bits).min(PhysicalBlock(fs.layout.blocks_count()));
    let start = PhysicalBlock(bytes.start >> bits);
    if start >= end {
        return Ok(());
    }
    let mut give = |part: Part| -> FsResult<bool> {
        Ok(give(SpaceRecord {
            start: part.start << bits,
            len: (part.end - part.start) << bits,
            owner: owner_of(part.what),
        })?)
    };
    fs.groups()?
        .space_map(sb.device(), fs.journal.get(), start..end, &mut give)
}

/// The number that stands for a use: some are XFS's, the others ext4's own.
fn owner_of(what: Use) -> u64 {
    match what {
        Use::Free => SpaceRecord::FREE,
        Use::Other => SpaceRecord::UNKNOWN,
        Use::SuperBlock => owner(b'X', 1),
        Use::Inodes => owner(b'X', 5),
        Use::Descriptors => owner(b'f', 1),
        Use::MoreDescriptors => owner(b'f', 2),
        Use::BlockBitmap => owner(b'f', 3),
        Use::InodeBitmap => owner(b'f', 4),
    }
}

/// Empties the journal, as at an unmount; the mount goes on.
fn empty_journal(sb: &SuperBlock<Rext4>, wipe: Wipe, dry_run: bool) -> FsResult {
    let fs = sb.data();
    fs.must_be_up()?;
    let journal = fs.journal.get().filter(|journal| journal.is_atomic());
    let journal = journal.ok_or(FsError::Kernel(code::ENODEV))?;
    fs.must_be_protected()?;
    if wipe == Wipe::Discard && !sb.device().can_discard() {
        return Err(FsError::unsupported());
    }
    if dry_run {
        return Ok(());
    }
    Ok(journal.lock_updates()?.flush(wipe)?)
}

/// Changes the copies of the super block, after the primary one. `change` must not sleep.
pub(super) fn edit_copies(sb: &SuperBlock<Rext4>, change: impl Fn(&mut Superblock)) -> FsResult {
    let fs = sb.data();
    let copies = fs.layout.groups().skip(1);
    for group in copies.filter(|group| fs.layout.has_superblock(*group)) {
        let at = fs.layout.first_block(group);
        let buffer = Buffer::read(sb.device(), at.0, fs.layout.block_size().bytes())?;
        // Past the journal: nothing hangs on a copy, and e2fsck brings it up to date. One that is
        // damaged is left to it.
        buffer.write_through(|block| {
            let bytes = block.get_mut(..SUPERBLOCK_SIZE).unwrap_or_default();
            if let Ok(copy) = Superblock::from_bytes_mut(bytes) {
                if copy.verify_checksum(crc32c).is_ok() {
                    change(copy);
                    copy.update_checksum(crc32c);
                }
            }
        })?;
    }
    Ok(())
}
