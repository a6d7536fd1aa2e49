// SPDX-License-Identifier: GPL-2.0

//! Flags of inodes that users can see and change, and the project an inode belongs to: what
//! `lsattr`, `chattr` and `file_getattr(2)` show and set.
//!
//! C header: `include/linux/fileattr.h`

use super::{
    inode::{ExclusiveLock, Inode},
    super_block::FileSystem,
};
use crate::bindings;
use kernel::{error::from_result, prelude::*};

/// The flags and the project of an inode.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FileAttributes {
    /// `FS_*_FL` bits, as in `include/uapi/linux/fs.h`.
    pub flags: u32,
    /// The project; zero where there are none.
    pub project: u32,
}

/// What the VFS asks about flags.
pub trait FlagOperations: Sized {
    /// The flags and the project as users see them.
    fn file_attributes(inode: &Inode<Self>) -> Result<FileAttributes>
    where
        Self: FileSystem;

    /// Changes them. The VFS has checked that the caller owns the inode, and what takes a
    /// capability for the immutable and append-only flags.
    ///
    /// # Errors
    ///
    /// `EOPNOTSUPP` for a flag or a project that the inode can't have, `EPERM` for a change that
    /// the inode's flags forbid.
    fn set_file_attributes(
        inode: &Inode<Self>,
        lock: &ExclusiveLock<'_, Self>,
        wanted: FileAttributes,
    ) -> Result
    where
        Self: FileSystem;
}

/// `fileattr_get` of the `inode_operations`.
///
/// # Safety
///
/// Called by the VFS with a dentry of an inode of type `T`, and a structure to fill.
pub(super) unsafe extern "C" fn get<T: FileSystem>(
    dentry: *mut bindings::dentry,
    out: *mut bindings::file_kattr,
) -> i32 {
    from_result(|| {
        // SAFETY: the VFS passes the dentry of an inode of ours.
        let inode = unsafe { Inode::<T>::from_raw((*dentry).d_inode) };
        let attributes = T::file_attributes(inode)?;
        // SAFETY: the VFS passes a structure to fill.
        unsafe {
            bindings::fileattr_fill_flags(out, attributes.flags);
            (*out).fsx_projid = attributes.project;
        }
        Ok(0)
    })
}

/// `fileattr_set` of the `inode_operations`.
///
/// # Safety
///
/// Called by the VFS with a dentry of an inode of type `T`, which is locked, and what to set.
pub(super) unsafe extern "C" fn set<T: FileSystem>(
    _idmap: *mut bindings::mnt_idmap,
    dentry: *mut bindings::dentry,
    wanted: *mut bindings::file_kattr,
) -> i32 {
    from_result(|| {
        // SAFETY: the VFS passes the dentry of an inode of ours, which it has locked.
        let (inode, wanted) = unsafe { (Inode::<T>::from_raw((*dentry).d_inode), &*wanted) };
        // SAFETY: as above. The VFS gives the lock back.
        let lock = unsafe { ExclusiveLock::of_vfs(inode) };
        let wanted = FileAttributes {
            flags: wanted.flags,
            project: wanted.fsx_projid,
        };
        inode.initialize_quotas()?;
        T::set_file_attributes(inode, &lock, wanted)?;
        Ok(0)
    })
}
