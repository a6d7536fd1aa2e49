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
use core::ptr::{self, NonNull};
use kernel::{
    prelude::*,
    time::{msecs_to_jiffies, Msecs},
    types::Opaque,
};

/// After how long it is tried again if the file system is frozen.
const WHILE_FROZEN: Msecs = 500;

/// Work that ends before the journal is closed.
pub enum Housekeeping {}

/// Work that goes on until nothing of the file system is written any more: also while the journal is
/// closed, which it can't use then.
pub enum Presence {}

/// What is done, of one of the two kinds.
pub trait BackgroundSteps<Kind>: Sized {
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

/// Workers for one kind of work of one file system, that get on when memory is short as well.
///
/// # Invariants
///
/// It is a valid workqueue, owned by this value.
pub struct Workers(NonNull<bindings::workqueue_struct>);

// SAFETY: a workqueue belongs to no thread.
unsafe impl Send for Workers {}
// SAFETY: workqueues have their own locks.
unsafe impl Sync for Workers {}

impl Workers {
    /// Makes them, for this work of the file system with this name.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    pub fn new(what: &CStr, name: &CStr) -> Result<Self> {
        // SAFETY: both names are valid, and copied.
        let workers = unsafe {
            bindings::rext4_shim_background_workers(
                what.as_char_ptr().cast(),
                name.as_char_ptr().cast(),
            )
        };
        // INVARIANT: it was just made, for us.
        NonNull::new(workers).map(Self).ok_or(ENOMEM)
    }
}

impl Drop for Workers {
    fn drop(&mut self) {
        // SAFETY: by the invariant it is ours. It goes with the work, which was stopped.
        unsafe { bindings::destroy_workqueue(self.0.as_ptr()) };
    }
}

/// The work of one mounted file system.
#[pin_data]
pub struct Background {
    #[pin]
    work: Opaque<bindings::rext4_background>,
    _workers: Option<Workers>,
}

// SAFETY: workqueues have their own locks, and the other field is changed while no work is queued.
unsafe impl Send for Background {}
// SAFETY: see above.
unsafe impl Sync for Background {}

impl Background {
    /// Work of this kind for a file system of type `T` that is not started. Without workers of its own
    /// it is done by those of all, when they have time.
    pub fn new<T, Kind>(workers: Option<Workers>) -> impl PinInit<Self>
    where
        T: FileSystem + BackgroundSteps<Kind>,
    {
        let queue = workers
            .as_ref()
            .map_or(ptr::null_mut(), |workers| workers.0.as_ptr());
        pin_init!(Self {
            // SAFETY: the slot is valid for writes and stays where it is. The workers live as long.
            work <- Opaque::ffi_init(move |slot| unsafe {
                bindings::rext4_shim_background_init(slot, queue, Some(run::<T, Kind>))
            }),
            _workers: workers,
        })
    }

    /// Does the first step after `pause`; one that is on its way already comes when it comes. The super
    /// block's own: [`Self::stop`] is called before that is gone.
    ///
    /// Called by who mounts, changes the mount, or keeps others from that.
    pub(crate) fn start<T: FileSystem>(&self, sb: &SuperBlock<T>, pause: Msecs) {
        let pause = msecs_to_jiffies(pause);
        // SAFETY: both are valid, and stay so until the work was stopped, which is done when the
        // super block is shut down.
        unsafe { bindings::rext4_shim_background_start(self.work.get(), sb.as_ptr(), pause) };
    }

    /// Goes on after [`Self::stop`], if it was ever started.
    pub(super) fn restart(&self) {
        // SAFETY: it was initialised. The super block that it was started for is still there, as this
        // is called while that is shut down alone.
        unsafe { bindings::rext4_shim_background_restart(self.work.get()) };
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
unsafe extern "C" fn run<T, Kind>(work: *mut bindings::work_struct)
where
    T: FileSystem + BackgroundSteps<Kind>,
{
    // SAFETY: the caller's promise. It was started, so it has a super block, and it was not stopped:
    // who does that waits for the end of this call.
    let sb = unsafe { SuperBlock::<T>::from_raw(bindings::rext4_shim_background_sb(work)) };
    // SAFETY: the super block is valid.
    let pause = if unsafe { bindings::rext4_shim_try_internal_write(sb.as_ptr()) } {
        let pause = <T as BackgroundSteps<Kind>>::step(sb);
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
