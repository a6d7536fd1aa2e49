// SPDX-License-Identifier: GPL-2.0

//! What a mounted file system does by itself, one step after the other, with pauses between them.
//!
//! ```text
//!   start ──▶ pause ──▶ step ──▶ pause ──▶ step … until one says that it was the last
//!       stop: none is running, and none will before it is started again
//! ```
//!
//! While the file system is frozen no step is done, and who freezes it waits for the end of one.
//!
//! C headers: `include/linux/workqueue.h`, `include/linux/fs/super.h`

use super::super_block::{FileSystem, SuperBlock};
use crate::bindings;
use kernel::{
    prelude::*,
    time::{msecs_to_jiffies, Msecs},
    types::Opaque,
};

/// After how long it is tried again if the file system is frozen.
const WHILE_FROZEN: Msecs = 500;

/// What is done.
pub trait BackgroundSteps: Sized {
    /// Where the file system has its work.
    fn background(sb: &SuperBlock<Self>) -> &Background
    where
        Self: FileSystem;

    /// Does a part of it, which should not take long: who ends the mount waits for that. Returns after
    /// how long the next one is to be done, if there is one.
    ///
    /// Called without locks, by one task at a time, with freezes kept out.
    fn step(sb: &SuperBlock<Self>) -> Option<Msecs>
    where
        Self: FileSystem;
}

/// The work of one mounted file system.
#[pin_data]
pub struct Background {
    #[pin]
    work: Opaque<bindings::rext4_background>,
}

// SAFETY: workqueues have their own locks, and the other field is changed while no work is queued.
unsafe impl Send for Background {}
// SAFETY: see above.
unsafe impl Sync for Background {}

impl Background {
    /// Work for a file system of type `T` that is not started.
    pub fn new<T: FileSystem>() -> impl PinInit<Self> {
        pin_init!(Self {
            // SAFETY: the slot is valid for writes and stays where it is.
            work <- Opaque::ffi_init(|slot| unsafe {
                bindings::rext4_shim_background_init(slot, Some(run::<T>))
            }),
        })
    }

    /// Does the first step after `pause`. It must not be started already. The super block's own:
    /// [`Self::stop`] is called before that is gone.
    ///
    /// Called by who mounts, or changes the mount, and so by one task at a time.
    pub(crate) fn start<T: FileSystem>(&self, sb: &SuperBlock<T>, pause: Msecs) {
        let pause = msecs_to_jiffies(pause);
        // SAFETY: both are valid, and stay so until the work was stopped, which is done when the
        // super block is shut down.
        unsafe { bindings::rext4_shim_background_start(self.work.get(), sb.as_ptr(), pause) };
    }

    /// Waits for the end of a step that is running; none is done from now on. Not to be called with
    /// anything that a step waits for.
    pub(crate) fn stop(&self) {
        // SAFETY: it was initialised.
        unsafe { bindings::rext4_shim_background_stop(self.work.get()) };
    }
}

/// # Safety
///
/// Called on a workqueue with the work of a [`Background`] for a file system of type `T`.
unsafe extern "C" fn run<T: FileSystem>(work: *mut bindings::work_struct) {
    // SAFETY: the caller's promise. It was started, so it has a super block, and it was not stopped:
    // who does that waits for the end of this call.
    let sb = unsafe { SuperBlock::<T>::from_raw(bindings::rext4_shim_background_sb(work)) };
    // SAFETY: the super block is valid.
    let pause = if unsafe { bindings::rext4_shim_try_internal_write(sb.as_ptr()) } {
        let pause = T::step(sb);
        // SAFETY: it was begun above.
        unsafe { bindings::rext4_shim_end_internal_write(sb.as_ptr()) };
        pause
    } else {
        Some(WHILE_FROZEN)
    };
    if let Some(pause) = pause {
        // SAFETY: the caller's promise. Who stops the work keeps this from queueing it.
        unsafe { bindings::rext4_shim_background_again(work, msecs_to_jiffies(pause)) };
    }
}
