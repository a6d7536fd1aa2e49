// SPDX-License-Identifier: GPL-2.0

//! Files mapped into memory.
//!
//! C header: `include/linux/mm.h`

use super::{inode::Inode, iomap, super_block::FileSystem};
use crate::bindings;
use core::{marker::PhantomData, mem::MaybeUninit};

/// The `vm_operations_struct` of files.
struct Table<T: FileSystem>(PhantomData<T>);

impl<T: FileSystem> Table<T> {
    const TABLE: bindings::vm_operations_struct = bindings::vm_operations_struct {
        fault: Some(bindings::filemap_fault),
        map_pages: Some(bindings::filemap_map_pages),
        page_mkwrite: Some(Self::page_mkwrite),
        // SAFETY: all callbacks may be absent.
        ..unsafe { MaybeUninit::<bindings::vm_operations_struct>::zeroed().assume_init() }
    };

    /// The first write to a page since it was clean: blocks are reserved for it now, so that
    /// writeback can't meet a full disk.
    ///
    /// # Safety
    ///
    /// Called by the kernel alone, with what it passes to this callback.
    unsafe extern "C" fn page_mkwrite(fault: *mut bindings::vm_fault) -> bindings::vm_fault_t {
        let fill = || {
            // SAFETY: the VFS passes a fault in a mapping of an inode of ours; the table is static.
            unsafe { bindings::rext4_shim_page_mkwrite(fault, &iomap::Table::<T>::WRITE) }
        };
        let result = fill();
        if result & bindings::REXT4_VM_FAULT_SIGBUS == 0 {
            return result;
        }
        // SAFETY: as above; the mapping has a file of such an inode.
        let inode = unsafe {
            Inode::<T>::from_raw(bindings::rext4_shim_file_inode(
                (*(*fault).__bindgen_anon_1.vma).vm_file,
            ))
        };
        // Perhaps there was no space. Now that the folio is not locked, some can be made.
        if T::make_room(inode) {
            return fill();
        }
        result
    }
}

/// `mmap_prepare` of the `file_operations`.
///
/// # Safety
///
/// Called by the VFS for a file of an inode of type `T`.
pub(super) unsafe extern "C" fn prepare<T: FileSystem>(desc: *mut bindings::vm_area_desc) -> i32 {
    // SAFETY: the VFS passes a valid description, of a file of an inode of ours.
    let inode = unsafe { Inode::<T>::from_raw(bindings::rext4_shim_file_inode((*desc).file)) };
    if let Err(e) = T::check_access(inode) {
        return e.to_errno();
    }
    // SAFETY: the VFS passes a valid description.
    if unsafe { bindings::rext4_shim_may_be_stored_through(desc) } {
        T::note_stores(inode);
    }
    // SAFETY: the VFS passes a valid description, whose operations are for us to set.
    unsafe {
        bindings::rext4_shim_file_accessed((*desc).file);
        (*desc).vm_ops = &Table::<T>::TABLE;
    }
    0
}
