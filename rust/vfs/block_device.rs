// SPDX-License-Identifier: GPL-2.0

//! Block devices: `struct block_device`.
//!
//! C header: [`include/linux/blkdev.h`](srctree/include/linux/blkdev.h)

use super::stat::AtomicUnits;
use crate::bindings;
use kernel::{
    error::{to_result, Result},
    types::Opaque,
};

/// A sector, the unit in which the block layer counts, whatever the device's own unit is.
const SECTOR_BYTES: u64 = 512;

/// An open block device.
///
/// # Invariants
///
/// The device stays open for as long as a reference to this exists.
#[repr(transparent)]
pub(crate) struct BlockDevice(Opaque<bindings::block_device>);

// SAFETY: a `struct block_device` belongs to no thread; what is called on it here does its own
// locking.
unsafe impl Send for BlockDevice {}

// SAFETY: as for `Send`: every function called through `&BlockDevice` may be called at any time
// from any thread.
unsafe impl Sync for BlockDevice {}

impl BlockDevice {
    /// Looks at a device that C has opened.
    ///
    /// # Safety
    ///
    /// `device` must be a valid, open block device, and stay so for `'a`.
    pub(crate) unsafe fn from_raw<'a>(device: *mut bindings::block_device) -> &'a Self {
        // INVARIANT: the caller keeps it open for `'a`.
        // SAFETY: the caller gives a valid pointer, and the layouts are the same.
        unsafe { &*device.cast() }
    }

    /// The C device, for other wrappers.
    pub(crate) fn as_ptr(&self) -> *mut bindings::block_device {
        self.0.get()
    }

    /// The device's number, as programs see it.
    pub(crate) fn number(&self) -> u32 {
        // SAFETY: by the invariant the device is valid.
        unsafe { bindings::rext4_shim_bdev_number(self.as_ptr()) }
    }

    /// The device's size in bytes.
    pub(crate) fn bytes(&self) -> u64 {
        // SAFETY: by the invariant the device is valid.
        let sectors = unsafe { bindings::rext4_shim_bdev_sectors(self.as_ptr()) };
        sectors.saturating_mul(SECTOR_BYTES)
    }

    /// The smallest unit in bytes that the device can transfer: what places and lengths of O_DIRECT must be
    /// aligned to.
    pub(crate) fn logical_block_bytes(&self) -> u32 {
        // SAFETY: by the invariant the device is valid.
        unsafe { bindings::rext4_shim_bdev_logical_block_size(self.as_ptr()) }
    }

    /// What memory must be aligned to that the device transfers from or to: a power of two, in bytes.
    pub(crate) fn memory_alignment(&self) -> u32 {
        // SAFETY: by the invariant the device is valid.
        unsafe { bindings::rext4_shim_bdev_memory_alignment(self.as_ptr()) }
    }

    /// What the device writes as a whole or not at all, if it does.
    pub(crate) fn atomic_units(&self) -> Option<AtomicUnits> {
        // SAFETY: by the invariant the device is valid.
        let (min, max) = unsafe {
            (
                bindings::rext4_shim_bdev_atomic_unit_min(self.as_ptr()),
                bindings::rext4_shim_bdev_atomic_unit_max(self.as_ptr()),
            )
        };
        (min > 0).then_some(AtomicUnits {
            min,
            max,
            best: max,
        })
    }

    /// The size of the blocks of the device's page cache, in bytes.
    pub(crate) fn block_bytes(&self) -> u32 {
        // SAFETY: by the invariant the device is valid.
        unsafe { bindings::rext4_shim_bdev_block_size(self.as_ptr()) }
    }

    /// Whether the device can't be written to.
    pub(crate) fn is_read_only(&self) -> bool {
        // SAFETY: by the invariant the device is valid.
        unsafe { bindings::rext4_shim_bdev_read_only(self.as_ptr()) }
    }

    /// The number of bytes that were written to the device since it is there.
    pub(crate) fn bytes_written(&self) -> u64 {
        // SAFETY: by the invariant the device is valid.
        let sectors = unsafe { bindings::rext4_shim_bdev_sectors_written(self.as_ptr()) };
        sectors.saturating_mul(SECTOR_BYTES)
    }

    /// Whether the device can be told that blocks hold nothing any more.
    pub(crate) fn can_discard(&self) -> bool {
        // SAFETY: by the invariant the device is valid.
        unsafe { bindings::rext4_shim_bdev_can_discard(self.as_ptr()) }
    }

    /// The smallest unit in bytes that the device can discard.
    pub(crate) fn discard_granularity(&self) -> u32 {
        // SAFETY: by the invariant the device is valid.
        unsafe { bindings::rext4_shim_bdev_discard_granularity(self.as_ptr()) }
    }

    /// Tells the device that a range of bytes holds nothing any more, and waits for it. What is
    /// read from there after this may be anything. Sleeps.
    ///
    /// # Errors
    ///
    /// `EOPNOTSUPP` if it can't do that, `EIO`.
    pub(crate) fn discard(&self, start: u64, len: u64) -> Result {
        let (sector, sectors) = (start / SECTOR_BYTES, len / SECTOR_BYTES);
        // SAFETY: by the invariant the device is valid.
        to_result(unsafe { bindings::rext4_shim_bdev_discard(self.as_ptr(), sector, sectors) })
    }

    /// Whether the device can write zeros by itself, and keep no room for them if it likes.
    pub(crate) fn can_write_zeroes(&self) -> bool {
        // SAFETY: by the invariant the device is valid.
        unsafe { bindings::rext4_shim_bdev_can_write_zeroes(self.as_ptr()) }
    }

    /// Writes zeros to a range of bytes, in the way that is fastest for the device, and waits for
    /// it. Sleeps.
    ///
    /// # Errors
    ///
    /// `EIO`.
    pub(crate) fn write_zeroes(&self, start: u64, len: u64) -> Result {
        let (sector, sectors) = (start / SECTOR_BYTES, len / SECTOR_BYTES);
        // SAFETY: by the invariant the device is valid.
        to_result(unsafe { bindings::rext4_shim_bdev_write_zeroes(self.as_ptr(), sector, sectors) })
    }

    /// Makes everything that the device has acknowledged durable. Sleeps until it is.
    pub(crate) fn flush(&self) -> Result {
        // SAFETY: by the invariant the device is valid.
        to_result(unsafe { bindings::blkdev_issue_flush(self.as_ptr()) })
    }

    /// Writes what is dirty in the device's page cache, and waits for it. Sleeps.
    ///
    /// # Errors
    ///
    /// `EIO`, perhaps for what was written before and nobody has asked about since.
    pub(crate) fn write_cache(&self) -> Result {
        // SAFETY: by the invariant the device is valid.
        to_result(unsafe { bindings::sync_blockdev(self.as_ptr()) })
    }

    /// Writes the device's page cache out and drops what nobody uses of it.
    ///
    /// For the beginning of a mount: buffers left by an earlier mount may carry marks (see
    /// [`super::buffer::Kind`]) about contents that were changed since.
    pub(crate) fn reset_cache(&self) -> Result {
        self.write_cache()?;
        // SAFETY: by the invariant the device is valid.
        unsafe { bindings::invalidate_bdev(self.as_ptr()) };
        Ok(())
    }

    /// Forgets what is in memory of a range of bytes, which was written to past that. What somebody holds
    /// stays as it is. Sleeps.
    pub(crate) fn drop_cached(&self, start: u64, len: u64) {
        // SAFETY: by the invariant the device is valid.
        unsafe { bindings::rext4_shim_bdev_drop_cached(self.as_ptr(), start, len) };
    }

    /// Sees to it that no old metadata is written over new data.
    ///
    /// To be called when `count` blocks from `block` on turn from metadata into data, before
    /// their data is written: a buffer of the old contents that is still dirty is cleaned, and its
    /// write is waited for if it is under way. Sleeps.
    pub(crate) fn forget_aliases(&self, block: u64, count: u64) {
        // SAFETY: by the invariant the device is valid. Blocks that have no buffer are skipped.
        unsafe { bindings::clean_bdev_aliases(self.as_ptr(), block, count) };
    }

    /// Sees to it that nothing that was changed in memory is written to the device any more, but for what is
    /// being written already, which is waited for. Sleeps.
    pub(crate) fn forget_all(&self) {
        let blocks = self.bytes() / u64::from(self.block_bytes().max(1));
        // Of a device that is gone there is none, and nothing can be written to it.
        if blocks > 0 {
            self.forget_aliases(0, blocks);
        }
    }
}
