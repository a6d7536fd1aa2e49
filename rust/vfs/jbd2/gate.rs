// SPDX-License-Identifier: GPL-2.0

//! Whether handles can be started at all.
//!
//! To [lock the updates](super::Journal::lock_updates) keeps handles away for a while, and who waits for one
//! meanwhile gets it afterwards. That does not do for what becomes read-only while somebody still writes, as when an
//! administrator [insists](https://docs.kernel.org/admin-guide/sysrq.html) on it: after the file system has
//! said that nothing is left to recover, there must be no handle at all. So who wants one goes through a gate. To
//! close it means to wait for those who are in it; when it is closed they have their handles, which can be
//! waited for, and nobody else gets one.

use super::Journal;
use crate::vfs::rw_semaphore::{new_rw_semaphore, RwSemaphore};
use kernel::{error::code, prelude::*};

/// What all go through who want a handle of a journal.
#[pin_data]
pub(super) struct Gate {
    /// Whether it is closed. Held for reading by who is in it.
    #[pin]
    is_closed: RwSemaphore<bool>,
}

impl Gate {
    /// One that is open.
    pub(super) fn new() -> impl PinInit<Self> {
        pin_init!(Self {
            is_closed <- new_rw_semaphore!(false, c"rext4_gate"),
        })
    }

    /// Starts a handle by `start`. Who has one already is in the midst of a change, and goes on.
    ///
    /// # Errors
    ///
    /// `EROFS` if the gate is closed; those of `start`.
    pub(super) fn pass<H>(&self, start: impl FnOnce() -> Result<H>) -> Result<H> {
        if Journal::in_transaction() {
            return start();
        }
        let is_closed = self.is_closed.read();
        if *is_closed {
            return Err(code::EROFS);
        }
        start()
    }

    /// Lets nobody through any more, or everybody. Waits for those who are in it, so not to be called with a handle,
    /// or with what keeps others from getting theirs.
    pub(super) fn set_closed(&self, closed: bool) {
        *self.is_closed.write() = closed;
    }
}
