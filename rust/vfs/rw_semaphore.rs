// SPDX-License-Identifier: GPL-2.0

//! A lock that many readers or one writer hold, and that may sleep.
//!
//! C header: `include/linux/rwsem.h`

use crate::bindings;
use core::{
    cell::UnsafeCell,
    ops::{Deref, DerefMut},
};
use kernel::{
    prelude::*,
    sync::LockClassKey,
    types::{NotThreadSafe, Opaque},
};

/// Data of type `T` behind the kernel's `struct rw_semaphore`.
///
/// # Invariants
///
/// `sem` is initialised, and `data` is reached only through a guard.
#[pin_data]
pub struct RwSemaphore<T> {
    #[pin]
    sem: Opaque<bindings::rw_semaphore>,
    data: UnsafeCell<T>,
}

// SAFETY: the semaphore may be moved between threads with its data, as long as no guard exists,
// which the borrow checker sees to.
unsafe impl<T: Send> Send for RwSemaphore<T> {}
// SAFETY: readers share the data (`T: Sync`), a writer may take it (`T: Send`).
unsafe impl<T: Send + Sync> Sync for RwSemaphore<T> {}

impl<T> RwSemaphore<T> {
    /// A semaphore around `data`; `key` and `name` are its lock class for lockdep.
    pub fn new(
        data: T,
        name: &'static CStr,
        key: Pin<&'static LockClassKey>,
    ) -> impl PinInit<Self> {
        pin_init!(Self {
            // SAFETY: `slot` is valid for writes and stays where it is; name and key are static.
            sem <- Opaque::ffi_init(|slot| unsafe {
                bindings::__init_rwsem(slot, name.as_char_ptr(), key.as_ptr().cast())
            }),
            data: UnsafeCell::new(data),
        })
    }

    /// From now on it is taken by those who have another one of its class, and never the other way
    /// round; or, if not `inner`, it is as all others again. Nobody has it.
    pub fn set_inner(&self, inner: bool) {
        // SAFETY: by the type invariant the semaphore is initialised.
        unsafe { bindings::rext4_shim_rwsem_is_inner(self.sem.get(), inner) };
    }

    /// Takes the lock for reading; sleeps.
    pub fn read(&self) -> ReadGuard<'_, T> {
        // SAFETY: by the type invariant the semaphore is initialised.
        unsafe { bindings::down_read(self.sem.get()) };
        ReadGuard {
            lock: self,
            _not_send: NotThreadSafe,
        }
    }

    /// Takes the lock for reading if that is possible at once.
    pub fn try_read(&self) -> Option<ReadGuard<'_, T>> {
        // SAFETY: by the type invariant the semaphore is initialised.
        let taken = unsafe { bindings::down_read_trylock(self.sem.get()) };
        (taken != 0).then(|| ReadGuard {
            lock: self,
            _not_send: NotThreadSafe,
        })
    }

    /// Takes the lock for writing; sleeps.
    pub fn write(&self) -> WriteGuard<'_, T> {
        // SAFETY: by the type invariant the semaphore is initialised.
        unsafe { bindings::down_write(self.sem.get()) };
        WriteGuard {
            lock: self,
            _not_send: NotThreadSafe,
        }
    }

    /// Takes the lock for writing if that is possible at once.
    pub fn try_write(&self) -> Option<WriteGuard<'_, T>> {
        // SAFETY: by the type invariant the semaphore is initialised.
        let taken = unsafe { bindings::down_write_trylock(self.sem.get()) };
        (taken != 0).then(|| WriteGuard {
            lock: self,
            _not_send: NotThreadSafe,
        })
    }
}

/// Shared access to what an [`RwSemaphore`] holds.
///
/// # Invariants
///
/// The semaphore is held for reading by this task.
#[must_use = "the lock is released when the guard is dropped"]
pub struct ReadGuard<'a, T> {
    lock: &'a RwSemaphore<T>,
    _not_send: NotThreadSafe,
}

impl<T> Deref for ReadGuard<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        // SAFETY: the semaphore is held for reading, so nobody writes.
        unsafe { &*self.lock.data.get() }
    }
}

impl<T> Drop for ReadGuard<'_, T> {
    fn drop(&mut self) {
        // SAFETY: by the type invariant the semaphore is held for reading.
        unsafe { bindings::up_read(self.lock.sem.get()) };
    }
}

/// Exclusive access to what an [`RwSemaphore`] holds.
///
/// # Invariants
///
/// The semaphore is held for writing by this task.
#[must_use = "the lock is released when the guard is dropped"]
pub struct WriteGuard<'a, T> {
    lock: &'a RwSemaphore<T>,
    _not_send: NotThreadSafe,
}

impl<T> Deref for WriteGuard<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        // SAFETY: the semaphore is held for writing.
        unsafe { &*self.lock.data.get() }
    }
}

impl<T> DerefMut for WriteGuard<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: the semaphore is held for writing, and `self` is borrowed mutably.
        unsafe { &mut *self.lock.data.get() }
    }
}

impl<T> Drop for WriteGuard<'_, T> {
    fn drop(&mut self) {
        // SAFETY: by the type invariant the semaphore is held for writing.
        unsafe { bindings::up_write(self.lock.sem.get()) };
    }
}

/// Initialises an [`RwSemaphore`] with a lock class of its own.
macro_rules! new_rw_semaphore {
    ($data:expr, $name:expr) => {
        $crate::vfs::rw_semaphore::RwSemaphore::new($data, $name, ::kernel::static_lock_class!())
    };
}
pub(crate) use new_rw_semaphore;
