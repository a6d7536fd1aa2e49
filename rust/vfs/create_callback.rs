// SPDX-License-Identifier: GPL-2.0

//! The callback `create`, whose signature depends on the kernel.
//!
//! Since Linux 7.3 it is not told any more whether the file may exist: it must not, which is what
//! we rely on before too. The field of the table says which of the two is wanted.
//!
//! C headers: `include/linux/fs.h`

use super::{namespace, super_block::FileSystem};
use crate::bindings;

/// A type of the field `create` of `struct inode_operations`.
pub(super) trait CreateCallback<T: FileSystem> {
    /// The function for the table.
    const CALLBACK: Self;
}

/// As Linux 7.3 has it.
type Plain = unsafe extern "C" fn(
    *mut bindings::mnt_idmap,
    *mut bindings::inode,
    *mut bindings::dentry,
    bindings::umode_t,
) -> i32;

/// As Linux 7.2 has it.
type WithExclusive = unsafe extern "C" fn(
    *mut bindings::mnt_idmap,
    *mut bindings::inode,
    *mut bindings::dentry,
    bindings::umode_t,
    bool,
) -> i32;

impl<T: FileSystem> CreateCallback<T> for Plain {
    const CALLBACK: Self = namespace::create::<T>;
}

impl<T: FileSystem> CreateCallback<T> for WithExclusive {
    const CALLBACK: Self = create_exclusive::<T>;
}

/// # Safety
///
/// As for [`namespace::create`].
unsafe extern "C" fn create_exclusive<T: FileSystem>(
    idmap: *mut bindings::mnt_idmap,
    dir: *mut bindings::inode,
    dentry: *mut bindings::dentry,
    mode: bindings::umode_t,
    _exclusive: bool,
) -> i32 {
    // SAFETY: the caller's promise.
    unsafe { namespace::create::<T>(idmap, dir, dentry, mode) }
}
