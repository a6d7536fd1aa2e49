// SPDX-License-Identifier: GPL-2.0

//! The primary super block on disk.
//!
//! It is written in place, past the journal, where it says how the file system was left (mount,
//! freeze, unmount), and within a transaction where it is the head of the list of orphans. Damage is
//! noted in either way.

use crate::{
    disk::superblock::{Superblock, SUPERBLOCK_OFFSET, SUPERBLOCK_SIZE},
    error::{FsError, FsResult},
    vfs::{
        block_device::BlockDevice,
        buffer::{Buffer, Placement},
        checksum::crc32c,
        device_block::DeviceBlock,
        jbd2::Handle,
        stat::Timestamp,
    },
};

/// The buffer that holds the primary super block, and where in it.
pub(crate) struct Primary {
    buffer: Buffer,
    offset: usize,
    /// What was written to the device before this was read, in bytes.
    written_at_mount: u64,
    /// What was written to the file system in its life before that, in units of 1024 bytes.
    kbytes_before: u64,
}

impl Primary {
    /// Reads the super block, on a device that was set to this block size, in bytes.
    pub(crate) fn read(device: &BlockDevice, block_size: u32) -> FsResult<Self> {
        let size = u64::from(block_size.max(1));
        let mut primary = Self {
            buffer: Buffer::read_placed(
                device,
                SUPERBLOCK_OFFSET / size,
                block_size,
                Placement::Pinned,
            )?,
            offset: (SUPERBLOCK_OFFSET % size) as usize,
            written_at_mount: device.bytes_written(),
            kbytes_before: 0,
        };
        primary.kbytes_before = primary.with(|superblock| superblock.kbytes_written())?;
        Ok(primary)
    }

    /// What was written to the device since the mount, in units of 1024 bytes.
    pub(crate) fn kbytes_since_mount(&self) -> u64 {
        let bytes = self.buffer.device().bytes_written();
        bytes.saturating_sub(self.written_at_mount) / 1024
    }

    /// What was written to the file system in its life, likewise.
    pub(crate) fn kbytes_in_life(&self) -> u64 {
        self.kbytes_before.saturating_add(self.kbytes_since_mount())
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

    /// Copies the super block into `out`, which has as many bytes.
    pub(super) fn copy(&self, out: &mut [u8]) {
        self.buffer.with(|block| {
            let bytes = block.get(self.offset..self.offset + SUPERBLOCK_SIZE);
            for (to, from) in out.iter_mut().zip(bytes.unwrap_or_default()) {
                *to = *from;
            }
        });
    }

    /// Whether the super block is on the device as it is in memory: nobody else has changed it since it
    /// was read or written here.
    pub(super) fn is_on_device(&self) -> FsResult<bool> {
        let mut block = DeviceBlock::new(self.buffer.block(), self.buffer.size() as u32)?;
        block.read(self.buffer.device())?;
        let place = self.offset..self.offset + SUPERBLOCK_SIZE;
        let there = block.bytes().get(place.clone());
        Ok(self.buffer.with(|bytes| bytes.get(place) == there))
    }

    fn edit_in<R>(
        &self,
        block: &mut [u8],
        change: impl FnOnce(&mut Superblock) -> R,
    ) -> FsResult<R> {
        let bytes = block
            .get_mut(self.offset..self.offset + SUPERBLOCK_SIZE)
            .unwrap_or_default();
        let superblock =
            Superblock::from_bytes_mut(bytes).map_err(|e| FsError::Corrupt(e.into()))?;
        let result = change(superblock);
        superblock.set_kbytes_written(self.kbytes_in_life());
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
            .edit(|block| self.edit_in(block, change))?
    }

    /// Makes one change to the super block, also to that on the device, past the journal: what else was changed is
    /// for its transaction to bring there. `change` must not sleep, and is called for both.
    pub(crate) fn write_alone<R>(&self, change: impl Fn(&mut Superblock) -> R) -> FsResult<R> {
        self.buffer
            .write_through_alone(|block| self.edit_in(block, &change))?
    }

    /// Changes the super block and writes it now. `change` must not sleep.
    pub(crate) fn write_now<R>(&self, change: impl FnOnce(&mut Superblock) -> R) -> FsResult<R> {
        self.buffer
            .write_through(|block| self.edit_in(block, change))?
    }
}
