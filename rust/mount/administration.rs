// SPDX-License-Identifier: GPL-2.0

//! What administrators ask of a mounted file system by `ioctl`.

use super::Filesystem;
use crate::{
    disk::superblock::{Superblock, SUPERBLOCK_SIZE, VOLUME_NAME_SIZE},
    error::FsResult,
    inode::flags,
    journal::credits,
    vfs::{
        buffer::Buffer,
        checksum::crc32c,
        inode::{ExclusiveLock, Inode},
        ioctl::{Administration, Shutdown, TrimRange},
        jbd2::Credits,
        super_block::SuperBlock,
    },
    Rext4,
};
use kernel::prelude::*;

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
        set_label(sb, label).map_err(|e| fs.errno_at(sb, None, "set the label", e))
    }

    fn trim(sb: &SuperBlock<Self>, range: &TrimRange) -> Result<u64> {
        let fs = sb.data();
        super::discard::trim(sb, range).map_err(|e| fs.errno_at(sb, None, "trim", e))
    }

    fn go_down(sb: &SuperBlock<Self>, how: Shutdown) -> Result {
        let fs = sb.data();
        fs.go_down(sb, how)
            .map_err(|e| fs.errno_at(sb, None, "shut down", e))
    }
}

/// Sets the label in the super block, in a transaction that is committed at the end, and then in
/// its copies.
fn set_label(sb: &SuperBlock<Rext4>, label: &[u8]) -> FsResult {
    let fs = sb.data();
    let journal = fs.writing(sb)?;
    let handle = journal.start(Credits::new(credits::SUPER_BLOCK))?;
    fs.edit_primary(&handle, |superblock| superblock.set_volume_name(label))?;
    handle.set_sync();
    handle.stop()?;
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
                    copy.set_volume_name(label);
                    copy.update_checksum(crc32c);
                }
            }
        })?;
    }
    Ok(())
}
