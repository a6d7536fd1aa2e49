// SPDX-License-Identifier: GPL-2.0

//! A spin lock that may be taken in any context: interrupts are off while it is held.
//!
//! C header: [`include/linux/spinlock.h`](srctree/include/linux/spinlock.h)
//!
//! What [`kernel::sync::SpinLock`] does not have.

use crate::bindings;
use core::cell::UnsafeCell;
use kernel::{prelude::*, types::Opaque};

/// Data of type `T` behind the kernel's `spinlock_t`.
///
/// # Invariants
///
/// `lock` is initialised, and `data` is reached only under it.
#[pin_data]
pub(crate) struct IrqLock<T> {
    #[pin]
    lock: Opaque<bindings::spinlock_t>,
    data: UnsafeCell<T>,
}

// SAFETY: the lock may be moved between threads with its data, as long as nobody is in `with`,
// which the borrow checker sees to.
unsafe impl<T: Send> Send for IrqLock<T> {}
// SAFETY: one at a time has the data, whichever thread it is.
unsafe impl<T: Send> Sync for IrqLock<T> {}

impl<T> IrqLock<T> {
    /// A lock around `data`.
    pub(crate) fn new(data: T) -> impl PinInit<Self> {
        pin_init!(Self {
            // SAFETY: `slot` is valid for writes and stays where it is.
            lock <- Opaque::ffi_init(|slot| unsafe { bindings::rext4_shim_spin_lock_init(slot) }),
            data: UnsafeCell::new(data),
        })
    }

    /// Lets `work` look at the data and change it. It must not sleep, nor take this lock again.
    pub(crate) fn with<R>(&self, work: impl FnOnce(&mut T) -> R) -> R {
        // SAFETY: by the type invariant the lock is initialised.
        let flags = unsafe { bindings::rext4_shim_spin_lock_irqsave(self.lock.get()) };
        // SAFETY: the lock is held, so nobody else has the data.
        let result = work(unsafe { &mut *self.data.get() });
        // SAFETY: the lock was taken above, and `flags` is what that gave.
        unsafe { bindings::rext4_shim_spin_unlock_irqrestore(self.lock.get(), flags) };
        result
    }
}
