// SPDX-License-Identifier: GPL-2.0

//! Work that is to be done after each commit of a journal: in a task that may sleep and wait for
//! anything, which the commit itself must not.
//!
//! ```text
//!   attach, want ──▶ each commit queues the work ──▶ CommitCallback::committed   (on a workqueue)
//!                            stop: none is running, none will
//! ```
//!
//! C headers: `include/linux/jbd2.h`, `include/linux/workqueue.h`

use super::{
    jbd2::{Journal, Tid},
    super_block::{FileSystem, SuperBlock},
};
use crate::bindings;
use kernel::{prelude::*, types::Opaque};

/// What is done after commits.
pub trait CommitCallback: Sized {
    /// Where the file system has its work.
    fn commit_work(sb: &SuperBlock<Self>) -> &CommitWork
    where
        Self: FileSystem;

    /// Called some time after one or more commits, without locks, by one task at a time.
    fn committed(sb: &SuperBlock<Self>)
    where
        Self: FileSystem;
}

/// The work of one mounted file system.
#[pin_data]
pub struct CommitWork {
    #[pin]
    work: Opaque<bindings::rext4_commit_work>,
}

// SAFETY: workqueues have their own locks, and the other fields are changed by atomic stores.
unsafe impl Send for CommitWork {}
// SAFETY: see above.
unsafe impl Sync for CommitWork {}

impl CommitWork {
    /// Work for a file system of type `T`, which nothing queues yet.
    pub fn new<T: FileSystem>() -> impl PinInit<Self> {
        pin_init!(Self {
            // SAFETY: the slot is valid for writes and stays where it is.
            work <- Opaque::ffi_init(|slot| unsafe {
                bindings::rext4_shim_commit_work_init(slot, Some(run::<T>))
            }),
        })
    }

    /// Has each commit of the journal from now on queue the work, while it is [wanted](Self::want). The super block's own journal:
    /// [`CommitWork::stop`] is called before it is gone, and before this is.
    pub(crate) fn attach<T: FileSystem>(&self, journal: &Journal, sb: &SuperBlock<T>) {
        let log = match journal {
            Journal::Log(log) => log.as_ptr(),
            Journal::InPlace(_) => core::ptr::null_mut(),
        };
        // SAFETY: all three are valid, and stay so until the work was stopped, which is done when
        // the super block is shut down. The journal may be none.
        unsafe { bindings::rext4_shim_commit_work_attach(self.work.get(), log, sb.as_ptr()) };
        if let Journal::InPlace(in_place) = journal {
            // SAFETY: the work was initialised, and the journal is gone before it.
            unsafe { in_place.set_work_after(self.work.get()) };
        }
    }

    /// Whether commits are to queue the work from now on: a worker that is woken by each `fsync` for
    /// nothing is not to be had for nothing.
    pub(crate) fn want(&self, wanted: bool) {
        // SAFETY: it was initialised.
        unsafe { bindings::rext4_shim_commit_work_want(self.work.get(), wanted) };
    }

    /// Whether a transaction of the journal that this is attached to was on disk as a whole, also if the journal was
    /// given up since.
    pub(crate) fn has_seen(&self, tid: Tid) -> bool {
        // SAFETY: it was initialised.
        unsafe { bindings::rext4_shim_commit_work_has(self.work.get(), tid.to_raw()) }
    }

    /// Waits until it is not running, and lets it do nothing from now on.
    pub(super) fn stop(&self) {
        // SAFETY: it was initialised.
        unsafe { bindings::rext4_shim_commit_work_stop(self.work.get()) };
    }
}

/// # Safety
///
/// Called on a workqueue with the work of a [`CommitWork`] for a file system of type `T`.
unsafe extern "C" fn run<T: FileSystem>(work: *mut bindings::work_struct) {
    // SAFETY: the caller's promise.
    let sb = unsafe { bindings::rext4_shim_commit_work_sb(work) };
    if !sb.is_null() {
        // SAFETY: the super block was attached and the work was not stopped. Who stops it waits
        // for the end of this call.
        T::committed(unsafe { SuperBlock::from_raw(sb) });
    }
}
