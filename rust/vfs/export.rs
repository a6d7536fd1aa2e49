// SPDX-License-Identifier: GPL-2.0

//! Files reached by a handle, without a path: what NFS servers and `open_by_handle_at` need.
//!
//! A handle holds the number and the generation of an inode, and perhaps those of its directory.
//! `CONFIG_EXPORTFS` has the code that makes a path of it, with what is here.
//!
//! C header: `include/linux/exportfs.h`

use super::{
    inode::Inode,
    super_block::{FileSystem, SuperBlock},
};
use crate::bindings;
use core::{marker::PhantomData, mem::MaybeUninit};
use kernel::{
    error::{from_result, Error},
    prelude::*,
    sync::aref::ARef,
};

/// What is asked of a file system whose files can be reached by handles.
pub trait Export: Sized + 'static {
    /// The inode with a number that somebody has in a handle, which may be very old: `ESTALE` if
    /// it is not in use.
    fn inode_of_handle(sb: &SuperBlock<Self>, ino: u64) -> Result<ARef<Inode<Self>>>
    where
        Self: FileSystem;

    /// The directory that a directory is in.
    fn parent(dir: &Inode<Self>) -> Result<ARef<Inode<Self>>>
    where
        Self: FileSystem;

    /// Makes all changes of an inode durable that were made so far, but for those of its data.
    fn commit(inode: &Inode<Self>) -> Result
    where
        Self: FileSystem;
}

/// The `export_operations`.
pub(super) struct Table<T: FileSystem>(PhantomData<T>);

impl<T: FileSystem> Table<T> {
    const TABLE: bindings::export_operations = bindings::export_operations {
        encode_fh: Some(bindings::generic_encode_ino32_fh),
        fh_to_dentry: Some(Self::fh_to_dentry),
        fh_to_parent: Some(Self::fh_to_parent),
        get_parent: Some(Self::get_parent),
        commit_metadata: Some(Self::commit_metadata),
        // SAFETY: all callbacks may be absent.
        ..unsafe { MaybeUninit::<bindings::export_operations>::zeroed().assume_init() }
    };

    /// The table, for a super block of type `T`.
    pub(super) fn table() -> *const bindings::export_operations {
        &Self::TABLE
    }

    /// # Safety
    ///
    /// Called by the VFS with a super block of type `T` and a handle of `len` words.
    unsafe extern "C" fn fh_to_dentry(
        sb: *mut bindings::super_block,
        handle: *mut bindings::fid,
        len: i32,
        kind: i32,
    ) -> *mut bindings::dentry {
        // SAFETY: passes on what the VFS passes.
        unsafe { bindings::generic_fh_to_dentry(sb, handle, len, kind, Some(Self::get_inode)) }
    }

    /// # Safety
    ///
    /// As for [`Self::fh_to_dentry`].
    unsafe extern "C" fn fh_to_parent(
        sb: *mut bindings::super_block,
        handle: *mut bindings::fid,
        len: i32,
        kind: i32,
    ) -> *mut bindings::dentry {
        // SAFETY: passes on what the VFS passes.
        unsafe { bindings::generic_fh_to_parent(sb, handle, len, kind, Some(Self::get_inode)) }
    }

    /// # Safety
    ///
    /// As for [`Self::fh_to_dentry`].
    unsafe extern "C" fn get_inode(
        sb: *mut bindings::super_block,
        ino: u64,
        generation: u32,
    ) -> *mut bindings::inode {
        // SAFETY: the super block that the VFS has passed.
        match T::inode_of_handle(unsafe { SuperBlock::from_raw(sb) }, ino) {
            // A handle of generation zero is one for whatever has the number.
            Ok(inode) if generation == 0 || inode.generation() == generation => {
                ARef::into_raw(inode).as_ptr().cast()
            }
            Ok(_) => Error::from_errno(-(bindings::ESTALE as i32)).to_ptr(),
            Err(e) => e.to_ptr(),
        }
    }

    /// # Safety
    ///
    /// Called by the VFS with the dentry of a directory of a super block of type `T`.
    unsafe extern "C" fn get_parent(child: *mut bindings::dentry) -> *mut bindings::dentry {
        // SAFETY: the VFS passes the dentry of a directory of ours.
        match T::parent(unsafe { Inode::from_raw((*child).d_inode) }) {
            // SAFETY: gives the reference away.
            Ok(parent) => unsafe {
                bindings::d_obtain_alias(ARef::into_raw(parent).as_ptr().cast())
            },
            Err(e) => e.to_ptr(),
        }
    }

    /// # Safety
    ///
    /// Called by the VFS with an inode of a super block of type `T`.
    unsafe extern "C" fn commit_metadata(inode: *mut bindings::inode) -> i32 {
        from_result(|| {
            // SAFETY: the VFS passes an inode of ours.
            T::commit(unsafe { Inode::from_raw(inode) })?;
            Ok(0)
        })
    }
}
