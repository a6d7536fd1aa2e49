// SPDX-License-Identifier: GPL-2.0

//! The primary super block on disk.
//!
//! It is written in place, past the journal, where it says how the file system was left (mount,
//! freeze, unmount, damage), and within a transaction where it is the head of the list of orphans.

use crate::{
    disk::superblock::{Superblock, SUPERBLOCK_OFFSET, SUPERBLOCK_SIZE},
    error::{FsError, FsResult},
    vfs::{
        block_device::BlockDevice,
        buffer::{Buffer, Placement},
        checksum::crc32c,
        jbd2::Handle,
        stat::Timestamp,
    },
};

/// The buffer that holds the primary super block, and where in it.
pub(crate) struct Primary {
    buffer: Buffer,
    offset: usize,
}

impl Primary {
    /// Reads the super block, on a device that was set to this block size, in bytes.
    pub(crate) fn read(device: &BlockDevice, block_size: u32) -> FsResult<Self> {
        let size = u64::from(block_size.max(1));
        Ok(Self {
            buffer: Buffer::read_placed(
                device,
                SUPERBLOCK_OFFSET / size,
                block_size,
                Placement::Pinned,
            )?,
            offset: (SUPERBLOCK_OFFSET % size) as usize,
        })
    }

    /// Looks at the super block. `look` must not sleep.
    pub(crate) fn with<R>(&self, look: impl FnOnce(&Superblock) -> R) -> FsResult<R> {
        self.buffer.with(|block| {
            let bytes = block
                .get(self.offset..self.offset + SUPERBLOCK_SIZE)
                .unwrap_or_default();
            let superblock =
                Superblock::from_bytes(bytes).map_err(|e| FsError::Corrupt(e.into()))?;
            Ok(look(superblock))
        })
    }

    fn edit_in<R>(
        offset: usize,
        block: &mut [u8],
        change: impl FnOnce(&mut Superblock) -> R,
    ) -> FsResult<R> {
        let bytes = block
            .get_mut(offset..offset + SUPERBLOCK_SIZE)
            .unwrap_or_default();
        let superblock =
            Superblock::from_bytes_mut(bytes).map_err(|e| FsError::Corrupt(e.into()))?;
        let result = change(superblock);
        superblock.set_write_time(u64::try_from(Timestamp::now().seconds).unwrap_or(0));
        superblock.update_checksum(crc32c);
        Ok(result)
    }

    /// Changes the super block within a transaction. Needs credits for one block. `change` must
    /// not sleep.
    pub(crate) fn edit<R>(
        &self,
        handle: &Handle<'_>,
        change: impl FnOnce(&mut Superblock) -> R,
    ) -> FsResult<R> {
        handle
            .write(&self.buffer)?
            .edit(|block| Self::edit_in(self.offset, block, change))?
    }

    /// Changes the super block and writes it now. `change` must not sleep.
    pub(crate) fn write_now<R>(&self, change: impl FnOnce(&mut Superblock) -> R) -> FsResult<R> {
        self.buffer
            .write_through(|block| Self::edit_in(self.offset, block, change))?
    }
}
