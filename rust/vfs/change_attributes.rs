// SPDX-License-Identifier: GPL-2.0

//! Attributes that are set: size, mode, owner, times, and the ACLs, which belong to the mode.
//!
//! The permission bits of the group are the mask of an access ACL, so the two are never changed one
//! without the other: [`InodeOperations::set_acl`](super::inode::InodeOperations::set_acl) does both.
//!
//! C headers: `include/linux/fs.h`, `include/linux/posix_acl.h`

use super::{
    inode::{ExclusiveLock, Inode},
    posix_acl::{AclKind, PosixAcl},
    quota::Transfer,
    super_block::FileSystem,
};
use crate::bindings;
use core::ptr;
use kernel::{
    error::{code, from_err_ptr, from_result, to_result},
    prelude::*,
};

/// # Safety
///
/// Called by the VFS with the dentry of a locked inode of a super block of type `T`, and what to
/// change.
pub(super) unsafe extern "C" fn setattr<T: FileSystem>(
    idmap: *mut bindings::mnt_idmap,
    dentry: *mut bindings::dentry,
    change: *mut bindings::iattr,
) -> i32 {
    from_result(|| {
        // SAFETY: the VFS passes a dentry with a locked inode of ours. That it is locked holds until
        // the end of this function.
        let raw = unsafe { (*dentry).d_inode };
        // SAFETY: as above.
        let inode = unsafe { Inode::<T>::from_raw(raw) };
        T::check_writable(inode)?;
        // The VFS does not ask when a file that was opened before is cut.
        if inode.is_immutable() {
            return Err(code::EPERM);
        }
        // Where privileges have to go, this removes the attribute that holds file capabilities.
        // SAFETY: the VFS passes a dentry with a locked inode of ours, and what to change.
        to_result(unsafe { bindings::setattr_prepare(idmap, dentry, change) })?;
        inode.initialize_quotas()?;
        // SAFETY: as above.
        unsafe { set_counted_owner(inode, idmap, change) }?;
        // SAFETY: as above.
        let (asked, mode) = unsafe { ((*change).ia_valid, (*change).ia_mode) };
        // SAFETY: as above.
        let lock = unsafe { ExclusiveLock::of_vfs(inode) };
        let sets_size = asked & bindings::ATTR_SIZE != 0;
        let mut is_change = true;
        if sets_size {
            // SAFETY: the change has a size.
            let size = unsafe { (*change).ia_size };
            let old = T::set_size(inode, &lock, size)?;
            is_change = size != old;
            if is_change {
                // SAFETY: the inode is valid and locked.
                unsafe { bindings::rext4_shim_inode_touch(raw) };
            }
        }
        if asked & bindings::ATTR_MODE != 0 {
            // SAFETY: the inode is valid.
            let acl = unsafe { bindings::rext4_shim_posix_acl_after_chmod(raw, mode) };
            let acl = from_err_ptr(acl)?;
            // SAFETY: the function gives away a reference to a list, or null.
            if let Some(acl) = unsafe { PosixAcl::from_raw(acl) } {
                set_and_cache(inode, &lock, AclKind::Access, Some(&acl), Some(mode))?;
            }
        }
        if is_change {
            // SAFETY: the inode is valid.
            unsafe { bindings::inode_maybe_inc_iversion(raw, true) };
        }
        let copy = || {
            // SAFETY: as above.
            unsafe { bindings::setattr_copy(idmap, raw, change) };
        };
        if asked & (bindings::ATTR_MODE | bindings::ATTR_UID | bindings::ATTR_GID) != 0 {
            // Privileges that go are not to outlive what is written next.
            T::change_attributes(inode, || {
                copy();
                Ok(())
            })?;
        } else {
            copy();
            inode.mark_dirty();
        }
        if sets_size && inode.is_sync() {
            // The size, what was cut off, and the times.
            T::make_durable(inode)?;
        }
        Ok(0)
    })
}

/// Sets owner and group where the inode's space is counted for them, together with that in one transaction.
///
/// The bits of set-user-ID and set-group-ID that the change takes away go in the same transaction: a crash after
/// it must not leave them to the new owner.
///
/// # Safety
///
/// The inode is locked, and the others are what the VFS has passed for it.
unsafe fn set_counted_owner<T: FileSystem>(
    inode: &Inode<T>,
    idmap: *mut bindings::mnt_idmap,
    change: *mut bindings::iattr,
) -> Result {
    let raw = inode.as_ptr();
    // SAFETY: the caller's promise.
    if !unsafe { bindings::rext4_shim_transfer_needed(idmap, raw, change) } {
        return Ok(());
    }
    // SAFETY: the caller's promise.
    let mut transfer = unsafe { Transfer::to_owner(inode, idmap, change) }?;
    T::change_attributes(inode, || {
        transfer.carry_out()?;
        // SAFETY: the caller's promise.
        unsafe { bindings::rext4_shim_set_owner_of(idmap, raw, change) };
        Ok(())
    })
}

/// # Safety
///
/// Called by the VFS with an inode of a super block of type `T`.
pub(super) unsafe extern "C" fn get_inode_acl<T: FileSystem>(
    inode: *mut bindings::inode,
    kind: i32,
    rcu: bool,
) -> *mut bindings::posix_acl {
    if rcu {
        return code::ECHILD.to_ptr();
    }
    // SAFETY: the VFS passes an inode of ours.
    let inode = unsafe { Inode::<T>::from_raw(inode) };
    match AclKind::from_raw(kind).map(|kind| T::get_acl(inode, kind)) {
        Some(Ok(Some(acl))) => acl.into_raw(),
        Some(Ok(None)) => ptr::null_mut(),
        Some(Err(e)) => e.to_ptr(),
        None => code::EINVAL.to_ptr(),
    }
}

/// # Safety
///
/// Called by the VFS with the dentry of a locked inode of a super block of type `T`, and a valid
/// list or null, to which it keeps its reference.
pub(super) unsafe extern "C" fn set_acl<T: FileSystem>(
    idmap: *mut bindings::mnt_idmap,
    dentry: *mut bindings::dentry,
    mut acl: *mut bindings::posix_acl,
    kind: i32,
) -> i32 {
    from_result(|| {
        let kind = AclKind::from_raw(kind).ok_or(code::EINVAL)?;
        // SAFETY: the VFS passes a dentry with an inode of ours.
        let raw = unsafe { (*dentry).d_inode };
        // SAFETY: as above.
        let inode = unsafe { Inode::<T>::from_raw(raw) };
        // SAFETY: the VFS has locked it for this call.
        let lock = unsafe { ExclusiveLock::of_vfs(inode) };
        let mut mode = None;
        if kind == AclKind::Access && !acl.is_null() {
            let mut new = 0;
            // A list that says no more than a mode can becomes null here.
            // SAFETY: inode and list are valid, and so are the pointers to what is to be set.
            to_result(unsafe { bindings::posix_acl_update_mode(idmap, raw, &mut new, &mut acl) })?;
            mode = Some(new);
        }
        if !acl.is_null() {
            // SAFETY: the list is valid, and the reference is for the value made next.
            unsafe { bindings::rext4_shim_posix_acl_ref(acl) };
        }
        // SAFETY: the list was checked by the VFS, and a reference to it was just taken.
        let acl = unsafe { PosixAcl::from_raw(acl) };
        inode.initialize_quotas()?;
        set_and_cache(inode, &lock, kind, acl.as_ref(), mode)?;
        Ok(0)
    })
}

/// Sets an ACL and perhaps the mode, and what the VFS keeps of it.
fn set_and_cache<T: FileSystem>(
    inode: &Inode<T>,
    lock: &ExclusiveLock<'_, T>,
    kind: AclKind,
    acl: Option<&PosixAcl>,
    mode: Option<u16>,
) -> Result {
    T::set_acl(inode, lock, kind, acl, mode)?;
    cache_acl(inode, kind, acl);
    Ok(())
}

/// Has the VFS know an ACL of an inode, or that there is none.
pub(super) fn cache_acl<T: FileSystem>(inode: &Inode<T>, kind: AclKind, acl: Option<&PosixAcl>) {
    let acl = acl.map_or(ptr::null_mut(), PosixAcl::as_ptr);
    // SAFETY: inode and list are valid; the function takes a reference of its own.
    unsafe { bindings::set_cached_acl(inode.as_ptr(), kind.to_raw(), acl) };
}
