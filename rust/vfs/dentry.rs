// SPDX-License-Identifier: GPL-2.0

//! Directory entry cache entries, as far as a name is looked up.
//!
//! C header: `include/linux/dcache.h`

use crate::bindings;
use kernel::types::Opaque;

/// The kernel's `struct dentry`.
#[repr(transparent)]
pub struct Dentry(Opaque<bindings::dentry>);

impl Dentry {
    /// # Safety
    ///
    /// `ptr` is a valid dentry, whose name does not change during `'a`.
    pub(super) unsafe fn from_raw<'a>(ptr: *mut bindings::dentry) -> &'a Self {
        // SAFETY: the types are transparent over each other; the rest is the caller's promise.
        unsafe { &*ptr.cast() }
    }

    /// The name, without a terminator.
    pub fn name(&self) -> &[u8] {
        // SAFETY: the name does not change while we are borrowed, as `from_raw` was promised.
        unsafe {
            let mut len = 0;
            let name = bindings::rext4_shim_dentry_name(self.0.get(), &mut len);
            core::slice::from_raw_parts(name.cast(), len as usize)
        }
    }
}
