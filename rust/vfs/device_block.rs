// SPDX-License-Identifier: GPL-2.0

//! One block of a device in memory of its own, read and written past all caches: for what other
//! machines read and write, too.
//!
//! What the device's page cache has of the block may be older than the block.
//!
//! C header: `include/linux/bio.h`

use super::block_device::BlockDevice;
use crate::bindings;
use kernel::{
    error::{code, to_result},
    page::PAGE_SIZE,
    prelude::*,
};

/// The bytes of a sector, the unit in which the block layer counts.
const SECTOR_BYTES: u64 = 512;

/// A block and what it was found to hold, or is to hold.
///
/// # Invariants
///
/// `memory` is one allocation of `kmalloc`, of a size that is a power of two, from a sector to a page.
pub(crate) struct DeviceBlock {
    sector: u64,
    memory: KVec<u8>,
}

impl DeviceBlock {
    /// A block of `size` bytes, `block` counted in this unit from the start of the device. It is zero
    /// until it was read.
    ///
    /// # Errors
    ///
    /// `EINVAL` if there can be no such block; `ENOMEM`.
    pub(crate) fn new(block: u64, size: u32) -> Result<Self> {
        let bytes = size as usize;
        let fits = size.is_power_of_two() && (SECTOR_BYTES as usize..=PAGE_SIZE).contains(&bytes);
        let start = block.checked_mul(size.into()).filter(|_| fits);
        // INVARIANT: the size was checked.
        Ok(Self {
            sector: start.ok_or(code::EINVAL)? / SECTOR_BYTES,
            memory: KVec::from_elem(0, bytes, GFP_KERNEL)?,
        })
    }

    /// What was read, or is to be written.
    pub(crate) fn bytes(&mut self) -> &mut [u8] {
        &mut self.memory
    }

    /// Reads it from the device. Sleeps until it is there.
    ///
    /// # Errors
    ///
    /// The device's.
    pub(crate) fn read(&mut self, device: &BlockDevice) -> Result {
        self.transfer(device, false)
    }

    /// Writes it to the device. Sleeps until the device has acknowledged it, be it in its own cache.
    ///
    /// # Errors
    ///
    /// The device's.
    pub(crate) fn write(&mut self, device: &BlockDevice) -> Result {
        self.transfer(device, true)
    }

    fn transfer(&mut self, device: &BlockDevice, write: bool) -> Result {
        // SAFETY: the device is valid. By the invariant the memory is a power of two of bytes from
        // `kmalloc`, which are aligned to that and so in one page; it is borrowed mutably, until the
        // transfer has ended.
        to_result(unsafe {
            bindings::rext4_shim_bdev_transfer(
                device.as_ptr(),
                write,
                self.sector,
                self.memory.as_mut_ptr().cast(),
                self.memory.len() as u32,
            )
        })
    }
}
