// SPDX-License-Identifier: GPL-2.0

//! Wait queues: `struct wait_queue_head`.
//!
//! C header: [`include/linux/wait.h`](srctree/include/linux/wait.h)
//!
//! What [`kernel::sync::CondVar`] does not have: a wait that only a fatal signal ends. A write to a
//! file must not be cut short by any other.

use crate::bindings;
use kernel::{prelude::*, types::Opaque};

/// A queue of threads that wait for something to become true.
#[pin_data]
pub(crate) struct WaitQueue {
    #[pin]
    head: Opaque<bindings::wait_queue_head>,
}

// SAFETY: a wait queue belongs to no thread.
unsafe impl Send for WaitQueue {}

// SAFETY: a wait queue has a lock of its own, which all functions called here take.
unsafe impl Sync for WaitQueue {}

impl WaitQueue {
    /// A queue in which nobody waits.
    pub(crate) fn new() -> impl PinInit<Self> {
        pin_init!(Self {
            // SAFETY: `slot` is valid for the time of the call.
            head <- Opaque::ffi_init(|slot| unsafe {
                bindings::rext4_shim_init_waitqueue(slot)
            }),
        })
    }

    /// Wakes everybody, to look whether what they wait for is true.
    ///
    /// To be called after it was made so.
    pub(crate) fn wake_all(&self) {
        // SAFETY: the queue is initialized.
        unsafe { bindings::rext4_shim_wake_up_all(self.head.get()) };
    }

    /// Calls `attempt` until it gives something, and sleeps in between, until woken.
    ///
    /// `attempt` must not sleep, so it takes no lock but spin locks.
    ///
    /// # Errors
    ///
    /// `ERESTARTSYS` if the process is being killed.
    pub(crate) fn wait_killable<T>(&self, attempt: impl FnMut() -> Option<T>) -> Result<T> {
        self.wait(true, attempt)
    }

    /// The same until `condition` holds, whatever happens to the process.
    pub(crate) fn wait_until(&self, mut condition: impl FnMut() -> bool) {
        // It never fails.
        let _ = self.wait(false, || condition().then_some(()));
    }

    fn wait<T>(&self, killable: bool, mut attempt: impl FnMut() -> Option<T>) -> Result<T> {
        if let Some(result) = attempt() {
            return Ok(result);
        }
        let entry = Opaque::<bindings::wait_queue_entry>::uninit();
        // SAFETY: `entry` is valid memory, and does not move until `finish_wait`.
        unsafe { bindings::init_wait_entry(entry.get(), 0) };
        let result = loop {
            // Enters the queue before `attempt` is asked, so that no wake-up in between is lost.
            // SAFETY: the queue and the entry are initialized.
            let killed = unsafe {
                bindings::rext4_shim_prepare_to_wait(self.head.get(), entry.get(), killable)
            };
            if let Some(result) = attempt() {
                break Ok(result);
            }
            if killed {
                break Err(ERESTARTSYS);
            }
            // SAFETY: no spin lock is held; somebody wakes this thread.
            unsafe { bindings::schedule() };
        };
        // SAFETY: the entry was put into this queue, or taken out of it when the signal was seen.
        unsafe { bindings::finish_wait(self.head.get(), entry.get()) };
        result
    }
}
