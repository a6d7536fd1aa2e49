// SPDX-License-Identifier: GPL-2.0

//! POSIX access control lists.
//!
//! C header: `include/linux/posix_acl.h`

use crate::bindings;
use core::{mem::ManuallyDrop, ptr::NonNull};
use kernel::{
    error::{code, to_result},
    prelude::*,
};

/// Which of an inode's ACLs is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AclKind {
    /// The one that says who may access the inode.
    Access,
    /// The one that is given to what is created in a directory.
    Default,
}

impl AclKind {
    /// The `ACL_TYPE_` number that the VFS uses.
    pub(super) fn to_raw(self) -> i32 {
        match self {
            Self::Access => bindings::ACL_TYPE_ACCESS as i32,
            Self::Default => bindings::ACL_TYPE_DEFAULT as i32,
        }
    }

    /// The reverse of [`Self::to_raw`].
    pub(super) fn from_raw(kind: i32) -> Option<Self> {
        match u32::try_from(kind).ok()? {
            bindings::ACL_TYPE_ACCESS => Some(Self::Access),
            bindings::ACL_TYPE_DEFAULT => Some(Self::Default),
            _ => None,
        }
    }
}

/// An entry of an ACL.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AclEntry {
    /// To whom it applies: one of the `ACL_` numbers of `include/uapi/linux/posix_acl.h`.
    pub tag: u16,
    /// Read, write and execute permission as bits 4, 2 and 1.
    pub permissions: u16,
    /// The user or group, as a number of the initial user name space, where the tag asks for one.
    pub id: Option<u32>,
}

/// An access control list: the kernel's `struct posix_acl`.
///
/// # Invariants
///
/// The pointer is valid, a reference to the list is owned, and the kernel found the list valid.
pub struct PosixAcl(NonNull<bindings::posix_acl>);

// SAFETY: a list belongs to no thread, and its reference count is atomic.
unsafe impl Send for PosixAcl {}
// SAFETY: a list does not change once it was made.
unsafe impl Sync for PosixAcl {}

impl PosixAcl {
    /// A list of `entries`.
    ///
    /// `EINVAL` where they make no valid list: the kernel wants them ordered by tag, each of the
    /// owner, the owning group and others once, and a mask where there is any user or group.
    pub fn new(entries: &[AclEntry]) -> Result<Self> {
        let count = u32::try_from(entries.len()).map_err(|_| code::EINVAL)?;
        // SAFETY: no preconditions.
        let acl = unsafe { bindings::rext4_shim_posix_acl_alloc(count) };
        // INVARIANT: what was just allocated is ours. It leaves this function only if it is valid.
        let acl = Self(NonNull::new(acl).ok_or(code::ENOMEM)?);
        for (index, entry) in (0..count).zip(entries) {
            // SAFETY: nobody else knows the list yet, and it has `count` entries.
            unsafe {
                bindings::rext4_shim_posix_acl_set_entry(
                    acl.0.as_ptr(),
                    index,
                    u32::from(entry.tag),
                    entry.permissions,
                    // No user or group has this number.
                    entry.id.unwrap_or(u32::MAX),
                );
            }
        }
        // SAFETY: all entries of the list were set.
        to_result(unsafe { bindings::rext4_shim_posix_acl_valid(acl.0.as_ptr()) })?;
        Ok(acl)
    }

    /// The entries.
    pub fn entries(&self) -> impl Iterator<Item = AclEntry> + Clone + '_ {
        // SAFETY: by the type invariant the list is valid.
        let count = unsafe { bindings::rext4_shim_posix_acl_count(self.0.as_ptr()) };
        (0..count).map(|index| {
            let (mut tag, mut permissions, mut id) = (0, 0, 0);
            // SAFETY: the list is valid and has more entries than `index`.
            unsafe {
                bindings::rext4_shim_posix_acl_get_entry(
                    self.0.as_ptr(),
                    index,
                    &mut tag,
                    &mut permissions,
                    &mut id,
                );
            }
            let has_id = matches!(u32::from(tag), bindings::ACL_USER | bindings::ACL_GROUP);
            AclEntry {
                tag,
                permissions,
                id: has_id.then_some(id),
            }
        })
    }

    /// Takes over a reference that C code gives away; `None` for a null pointer.
    ///
    /// # Safety
    ///
    /// `acl` is null, or a valid list that the kernel has checked, and a reference to it that nobody
    /// else gives up.
    pub(super) unsafe fn from_raw(acl: *mut bindings::posix_acl) -> Option<Self> {
        // INVARIANT: the caller's promise.
        NonNull::new(acl).map(Self)
    }

    /// The list, for functions of C that take a reference of their own.
    pub(super) fn as_ptr(&self) -> *mut bindings::posix_acl {
        self.0.as_ptr()
    }

    /// Gives the reference away.
    pub(super) fn into_raw(self) -> *mut bindings::posix_acl {
        ManuallyDrop::new(self).0.as_ptr()
    }
}

impl Clone for PosixAcl {
    fn clone(&self) -> Self {
        // SAFETY: by the type invariant the list is valid.
        unsafe { bindings::rext4_shim_posix_acl_ref(self.0.as_ptr()) };
        // INVARIANT: the new reference was just taken.
        Self(self.0)
    }
}

impl Drop for PosixAcl {
    fn drop(&mut self) {
        // SAFETY: by the type invariant a reference is owned, and this is its end.
        unsafe { bindings::rext4_shim_posix_acl_release(self.0.as_ptr()) };
    }
}

/// The ACLs that a new inode gets from its directory.
#[derive(Default)]
pub struct InheritedAcls {
    /// Who may access it; without one its mode says all.
    pub access: Option<PosixAcl>,
    /// What is given on to what is made in it.
    pub default: Option<PosixAcl>,
}

#[kunit_tests(rext4_posix_acl)]
mod tests {
    use super::*;

    fn entry(tag: u32, id: Option<u32>, permissions: u16) -> AclEntry {
        AclEntry {
            tag: tag as u16,
            permissions,
            id,
        }
    }

    #[test]
    fn the_kernel_takes_a_valid_list() {
        let entries = [
            entry(bindings::ACL_USER_OBJ, None, 7),
            entry(bindings::ACL_USER, Some(1000), 6),
            entry(bindings::ACL_USER, Some(1001), 0),
            entry(bindings::ACL_GROUP_OBJ, None, 5),
            entry(bindings::ACL_GROUP, Some(u32::MAX - 1), 4),
            entry(bindings::ACL_MASK, None, 7),
            entry(bindings::ACL_OTHER, None, 0),
        ];
        let acl = PosixAcl::new(&entries);
        assert!(acl.is_ok_and(|acl| acl.clone().entries().eq(entries)));
    }

    #[test]
    fn the_kernel_refuses_invalid_lists() {
        let owner = entry(bindings::ACL_USER_OBJ, None, 7);
        let user = entry(bindings::ACL_USER, Some(1000), 6);
        let group = entry(bindings::ACL_GROUP_OBJ, None, 5);
        let mask = entry(bindings::ACL_MASK, None, 7);
        let other = entry(bindings::ACL_OTHER, None, 0);
        let nobody = entry(bindings::ACL_USER, None, 6);
        let odd = entry(bindings::ACL_USER_OBJ, None, 8);
        let unknown = entry(0x40, None, 7);

        let refused = |entries: &[AclEntry]| PosixAcl::new(entries).err() == Some(code::EINVAL);
        assert!(refused(&[owner, group]));
        assert!(refused(&[group, owner, other]));
        assert!(refused(&[owner, user, group, other]));
        assert!(refused(&[owner, owner, group, other]));
        assert!(refused(&[owner, nobody, group, mask, other]));
        assert!(refused(&[odd, group, other]));
        assert!(refused(&[owner, group, other, unknown]));
    }
}
