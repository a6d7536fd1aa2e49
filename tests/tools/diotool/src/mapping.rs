// SPDX-License-Identifier: GPL-2.0

//! A part of a file in memory.

use std::io;
use std::os::fd::AsRawFd;

/// A shared mapping, which ends when it is dropped. What is in it may change at any time, so that
/// bytes are only ever copied, and no reference to them is formed.
pub struct Mapping {
    start: *mut libc::c_void,
    length: usize,
}

impl Mapping {
    /// `length` bytes from `offset`, a multiple of the page size; to be stored to if `writable`.
    pub fn new(
        file: &impl AsRawFd,
        offset: u64,
        length: usize,
        writable: bool,
    ) -> io::Result<Self> {
        let write = if writable { libc::PROT_WRITE } else { 0 };
        // SAFETY: a new mapping at an address that the kernel chooses.
        let start = unsafe {
            libc::mmap(
                std::ptr::null_mut(),
                length,
                libc::PROT_READ | write,
                libc::MAP_SHARED,
                file.as_raw_fd(),
                offset as i64,
            )
        };
        if start == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        Ok(Mapping { start, length })
    }

    /// Copies what is `at` bytes from the start into `to`.
    pub fn load(&self, at: usize, to: &mut [u8]) {
        assert!(at + to.len() <= self.length);
        // SAFETY: both have as many bytes, and a mapping overlaps with nothing of ours.
        unsafe {
            std::ptr::copy_nonoverlapping(
                self.start.cast::<u8>().add(at),
                to.as_mut_ptr(),
                to.len(),
            )
        };
    }

    /// Copies `from` to `at` bytes from the start; the mapping has to be writable.
    pub fn store(&self, at: usize, from: &[u8]) {
        assert!(at + from.len() <= self.length);
        // SAFETY: as in `load`.
        unsafe {
            std::ptr::copy_nonoverlapping(
                from.as_ptr(),
                self.start.cast::<u8>().add(at),
                from.len(),
            )
        };
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: `start` is a mapping of `length` bytes, and nothing refers to it.
        unsafe { libc::munmap(self.start, self.length) };
    }
}
