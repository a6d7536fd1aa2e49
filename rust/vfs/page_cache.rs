// SPDX-License-Identifier: GPL-2.0

//! What the page cache has of a file.
//!
//! C headers: `include/linux/fs.h`, `include/linux/pagemap.h`

use super::{
    inode::{ExclusiveLock, Inode, Two},
    super_block::FileSystem,
};
use crate::bindings;
use core::ptr;
use kernel::{error::to_result, prelude::*, types::NotThreadSafe};

impl<T: FileSystem> Inode<T> {
    /// Whether any page of the file may be in the page cache.
    pub fn has_cached_pages(&self) -> bool {
        // SAFETY: a racy hint, as the VFS uses it.
        unsafe { ptr::addr_of!((*self.as_ptr()).i_data.nrpages).read_volatile() != 0 }
    }

    /// Keeps page faults away from the file, and readahead; sleeps.
    pub fn lock_page_cache(&self) -> PageCacheLock<'_, T> {
        // SAFETY: the inode is valid.
        unsafe { bindings::rext4_shim_pagecache_lock(self.as_ptr()) };
        PageCacheLock(self, NotThreadSafe)
    }

    /// The same for two inodes, whose locks show that they are not one.
    pub fn lock_two_page_caches<'a>(
        (one, other): &Two<ExclusiveLock<'a, T>>,
    ) -> Two<PageCacheLock<'a, T>> {
        // SAFETY: the inodes are valid; since both are locked they are not the same.
        unsafe { bindings::rext4_shim_pagecache_lock_two(one.0.as_ptr(), other.0.as_ptr()) };
        // INVARIANT: both were locked just now.
        (
            PageCacheLock(one.0, NotThreadSafe),
            PageCacheLock(other.0, NotThreadSafe),
        )
    }

    /// Writes a range of the page cache out, first and last byte, and waits for it.
    ///
    /// # Errors
    ///
    /// Those of writeback since it began. `fsync` tells them once more.
    pub fn write_back(&self, first: i64, last: i64) -> Result {
        // SAFETY: the inode and its mapping are valid.
        to_result(unsafe { bindings::rext4_shim_write_back(self.as_ptr(), first, last) })
    }

    /// Begins to write the page cache out.
    pub fn start_write_back(&self) -> Result {
        // SAFETY: the inode and its mapping are valid.
        to_result(unsafe { bindings::filemap_flush((*self.as_ptr()).i_mapping) })
    }

    /// Whether anything of a range is in the page cache, first and last byte.
    pub fn is_cached(&self, first: i64, last: i64) -> bool {
        // SAFETY: the inode is valid, and so is its mapping.
        unsafe { bindings::filemap_range_has_page((*self.as_ptr()).i_mapping, first, last) }
    }

    /// Has the page that holds byte `at` in the page cache.
    ///
    /// # Errors
    ///
    /// Those of reading it; `ENOMEM`.
    pub fn read_page(&self, at: i64) -> Result {
        // SAFETY: the inode is valid, and so is its mapping.
        to_result(unsafe { bindings::rext4_shim_read_page((*self.as_ptr()).i_mapping, at) })
    }

    /// Drops a range of the page cache, first and last byte; what it has of pages that are not
    /// wholly in it becomes zeros.
    pub fn drop_page_cache(&self, _lock: &ExclusiveLock<'_, T>, first: i64, last: i64) {
        // SAFETY: the inode is valid and its lock is held.
        unsafe { bindings::truncate_pagecache_range(self.as_ptr(), first, last) };
    }

    /// Takes all pages that have something of a range, first and last byte, out of the page cache as
    /// they are: who reads one of them meanwhile finds what was in it.
    ///
    /// # Errors
    ///
    /// `EBUSY` if a page was changed by somebody who holds on to it, past the file system.
    pub fn release_page_cache(
        &self,
        _lock: &ExclusiveLock<'_, T>,
        first: i64,
        last: i64,
    ) -> Result {
        let page = |byte: i64| (byte >> kernel::page::PAGE_SHIFT) as kernel::ffi::c_ulong;
        // SAFETY: the inode is valid, and its mapping lives as long.
        to_result(unsafe {
            bindings::invalidate_inode_pages2_range(
                (*self.as_ptr()).i_mapping,
                page(first),
                page(last),
            )
        })
    }

    /// Sets the size in bytes that readers see, and drops what the page cache has beyond it.
    pub fn truncate_page_cache(&self, _lock: &ExclusiveLock<'_, T>, bytes: i64) {
        // SAFETY: the inode is valid and its lock is held.
        unsafe { bindings::truncate_setsize(self.as_ptr(), bytes) };
    }
}

/// The lock that keeps page faults and readahead away (`invalidate_lock`).
///
/// # Invariants
///
/// The lock is held for writing by this task.
#[must_use = "the lock is released when the guard is dropped"]
pub struct PageCacheLock<'a, T: FileSystem>(&'a Inode<T>, NotThreadSafe);

impl<T: FileSystem> Drop for PageCacheLock<'_, T> {
    fn drop(&mut self) {
        // SAFETY: by the type invariant the lock is held.
        unsafe { bindings::rext4_shim_pagecache_unlock(self.0.as_ptr()) };
    }
}
