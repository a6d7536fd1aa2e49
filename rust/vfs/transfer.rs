// SPDX-License-Identifier: GPL-2.0

//! Data on its way from one place of a device to another, past all caches.
//!
//! C header: `include/linux/bio.h`

use super::block_device::BlockDevice;
use crate::bindings;
use core::ptr;
use kernel::{
    error::{code, to_result},
    page::{Page, PAGE_SIZE},
    prelude::*,
};

/// The bytes of a sector, the unit in which the block layer counts.
const SECTOR_BYTES: u64 = 512;

/// A run of bytes of the device, whole blocks of it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Run {
    /// The first byte.
    pub(crate) start: u64,
    /// The number of bytes.
    pub(crate) len: usize,
}

/// Memory for such data.
pub(crate) struct Memory(KVec<Page>);

impl Memory {
    /// Memory for so many bytes, rounded up to pages.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    pub(crate) fn new(bytes: usize) -> Result<Self> {
        let count = bytes.div_ceil(PAGE_SIZE);
        let mut pages = KVec::with_capacity(count, GFP_KERNEL)?;
        for _ in 0..count {
            pages.push(Page::alloc_page(GFP_KERNEL)?, GFP_KERNEL)?;
        }
        Ok(Self(pages))
    }

    /// Fills the memory from its start with what the device has in these runs. Sleeps until all of
    /// it is there.
    ///
    /// # Errors
    ///
    /// `EINVAL` if they do not fit; the device's error.
    pub(crate) fn read(&mut self, device: &BlockDevice, runs: impl Iterator<Item = Run>) -> Result {
        self.transfer(device, false, runs)
    }

    /// Writes the memory from its start to these runs. Sleeps until the device has acknowledged all
    /// of it.
    ///
    /// # Errors
    ///
    /// As for [`Self::read`].
    pub(crate) fn write(&self, device: &BlockDevice, runs: impl Iterator<Item = Run>) -> Result {
        self.transfer(device, true, runs)
    }

    fn transfer(
        &self,
        device: &BlockDevice,
        write: bool,
        runs: impl Iterator<Item = Run>,
    ) -> Result {
        let mut bio = ptr::null_mut();
        let mut at = 0;
        let mut fits = Ok(());
        'runs: for run in runs {
            let mut done = 0;
            while done < run.len {
                let within = at % PAGE_SIZE;
                let Some(page) = self.0.get(at / PAGE_SIZE) else {
                    fits = Err(code::EINVAL);
                    break 'runs;
                };
                let len = (run.len - done).min(PAGE_SIZE - within);
                let sector = (run.start + done as u64) / SECTOR_BYTES;
                let pages = (within + run.len - done).div_ceil(PAGE_SIZE);
                // SAFETY: the device is valid. The page lives until all is waited for, below, and
                // nobody else uses it: the device writes to it only if `self` is borrowed mutably,
                // in `read`. The bio is what this function gave, or null.
                bio = unsafe {
                    bindings::rext4_shim_bio_add(
                        bio,
                        device.as_ptr(),
                        write,
                        sector,
                        page.as_ptr().cast(),
                        within as u32,
                        len as u32,
                        pages as u32,
                    )
                };
                (done, at) = (done + len, at + len);
            }
        }
        if !bio.is_null() {
            // SAFETY: the bio comes from the function above, and is not used after this.
            to_result(unsafe { bindings::rext4_shim_bio_finish(bio) })?;
        }
        fits
    }
}
