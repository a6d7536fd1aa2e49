// SPDX-License-Identifier: GPL-2.0

//! The page cache of regular files, filled and written back through iomap.
//!
//! C headers: `include/linux/pagemap.h`, `include/linux/iomap.h`

use super::{inode::Inode, iomap, journaled, super_block::FileSystem, writeback};
use crate::bindings;
use core::{marker::PhantomData, mem::MaybeUninit};
use kernel::prelude::*;

/// The `address_space_operations`.
pub(super) struct Table<T: FileSystem>(PhantomData<T>);

impl<T: FileSystem> Table<T> {
    const TABLE: bindings::address_space_operations = bindings::address_space_operations {
        read_folio: Some(Self::read_folio),
        readahead: Some(Self::readahead),
        writepages: Some(writeback::writepages::<T>),
        dirty_folio: Some(bindings::iomap_dirty_folio),
        bmap: Some(Self::bmap),
        invalidate_folio: Some(bindings::iomap_invalidate_folio),
        release_folio: Some(bindings::iomap_release_folio),
        is_partially_uptodate: Some(bindings::iomap_is_partially_uptodate),
        #[cfg(CONFIG_MIGRATION)]
        migrate_folio: Some(bindings::filemap_migrate_folio),
        error_remove_folio: Some(bindings::generic_error_remove_folio),
        swap_activate: Some(Self::swap_activate),
        // SAFETY: all callbacks may be absent.
        ..unsafe { MaybeUninit::<bindings::address_space_operations>::zeroed().assume_init() }
    };

    /// The table.
    pub(super) fn table() -> &'static bindings::address_space_operations {
        &Self::TABLE
    }

    /// # Safety
    ///
    /// Called by the kernel alone, with what it passes to this callback.
    unsafe extern "C" fn read_folio(
        _file: *mut bindings::file,
        folio: *mut bindings::folio,
    ) -> i32 {
        // SAFETY: the VFS passes a locked folio of an inode of ours; the table is static.
        unsafe {
            if T::journals_data(Inode::from_raw(bindings::rext4_shim_folio_inode(folio))) {
                journaled::read_folio::<T>(folio);
            } else {
                bindings::rext4_shim_iomap_read_folio(folio, &iomap::Table::<T>::READ);
            }
        }
        0
    }

    /// # Safety
    ///
    /// Called by the kernel alone, with what it passes to this callback.
    unsafe extern "C" fn readahead(request: *mut bindings::readahead_control) {
        // SAFETY: the VFS passes a request for an inode of ours; the table is static.
        unsafe {
            if T::journals_data(Inode::from_raw((*(*request).mapping).host)) {
                journaled::readahead::<T>(request);
            } else {
                bindings::rext4_shim_iomap_readahead(request, &iomap::Table::<T>::READ);
            }
        }
    }

    /// # Safety
    ///
    /// Called by the kernel alone, with what it passes to this callback.
    unsafe extern "C" fn bmap(
        mapping: *mut bindings::address_space,
        block: bindings::sector_t,
    ) -> bindings::sector_t {
        // SAFETY: the VFS passes the mapping of an inode of ours; the table is static.
        unsafe { bindings::iomap_bmap(mapping, block, &iomap::Table::<T>::READ) }
    }

    /// The file is to be swapped to: where its blocks lie, of which there must be no lack. It does
    /// not change from then on.
    ///
    /// # Safety
    ///
    /// Called by the kernel alone, with what it passes to this callback.
    unsafe extern "C" fn swap_activate(
        swap: *mut bindings::swap_info_struct,
        file: *mut bindings::file,
        span: *mut bindings::sector_t,
    ) -> i32 {
        // SAFETY: the kernel passes a file of ours.
        let inode = unsafe { Inode::<T>::from_raw(bindings::rext4_shim_file_inode(file)) };
        if T::journals_data(inode) {
            // What the journal has yet to write would be written over what is swapped out.
            return EINVAL.to_errno();
        }
        // SAFETY: the kernel passes a locked file of ours; the table is static.
        unsafe { bindings::rext4_shim_swap_activate(swap, file, span, &iomap::Table::<T>::READ) }
    }
}
