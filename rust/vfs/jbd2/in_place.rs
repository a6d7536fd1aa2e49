// SPDX-License-Identifier: GPL-2.0

//! Changes without a journal: they are made in the device's page cache, whose writeback brings them
//! to their places at any time, in any order.
//!
//! What is kept all the same:
//!
//! - **Each block is whole.** A buffer is locked while its bytes change, and while it is written; so no
//!   block gets to the disk half changed, or with the checksum of other content.
//! - **What was committed is there.** [`InPlace::commit`] ends the [epoch](super::epochs), writes all
//!   that is dirty, waits for it, and flushes the device's cache.
//!
//! What is not: that changes which belong together are on disk together. After a crash e2fsck has to
//! look.

use super::{
    epochs::{self, Ended, Epochs, Share},
    gate::Gate,
    Settings, Tid,
};
use crate::{
    bindings,
    vfs::{block_device::BlockDevice, buffer::Buffer},
};
use core::{
    ptr::{self, NonNull},
    sync::atomic::{AtomicBool, AtomicPtr, Ordering},
};
use kernel::{error::code, prelude::*};

/// What there is in place of a journal.
///
/// # Invariants
///
/// `device` is open as long as this is there.
#[pin_data]
pub(crate) struct InPlace {
    #[pin]
    epochs: Epochs,
    /// What its handles come through.
    #[pin]
    gate: Gate,
    device: NonNull<bindings::block_device>,
    /// What errors of writing the device had before.
    errors_before: u32,
    /// Whether the device's cache is flushed.
    barriers: AtomicBool,
    /// What is queued after each epoch; null if nothing is.
    after: AtomicPtr<bindings::rext4_commit_work>,
}

// SAFETY: a block device belongs to no thread, and the work is only given to functions of C that do
// their own locking.
unsafe impl Send for InPlace {}
// SAFETY: see above.
unsafe impl Sync for InPlace {}

impl InPlace {
    /// What counts as the most that a transaction can change: steps are made as for a large journal.
    pub(super) const MAX_CREDITS: u32 = 8192;

    /// For a device that stays open until this is dropped: see [`super::JournalSlot`].
    pub(super) fn new(device: &BlockDevice) -> Result<Pin<KBox<Self>>> {
        // SAFETY: the device is valid.
        let errors_before = unsafe { bindings::rext4_shim_bdev_write_errors(device.as_ptr()) };
        let device = NonNull::new(device.as_ptr()).ok_or(code::EINVAL)?;
        // INVARIANT: as the caller promises.
        KBox::pin_init(
            pin_init!(Self {
                epochs <- Epochs::new(),
                gate <- Gate::new(),
                device,
                errors_before,
                barriers: AtomicBool::new(true),
                after: AtomicPtr::new(ptr::null_mut()),
            }),
            GFP_KERNEL,
        )
    }

    pub(super) fn device(&self) -> &BlockDevice {
        // SAFETY: by the invariant it is open.
        unsafe { BlockDevice::from_raw(self.device.as_ptr()) }
    }

    pub(super) fn gate(&self) -> &Gate {
        &self.gate
    }

    pub(super) fn configure(&self, settings: Settings) {
        self.barriers.store(settings.barriers, Ordering::Relaxed);
    }

    /// Has work queued after each epoch from now on.
    ///
    /// # Safety
    ///
    /// The work is initialised, and there until this is dropped.
    pub(in crate::vfs) unsafe fn set_work_after(&self, work: *mut bindings::rext4_commit_work) {
        self.after.store(work, Ordering::Release);
    }

    pub(super) fn start(&self) -> Result<InPlaceHandle<'_>> {
        let share = self.epochs.share()?;
        if self.has_lost_writes() {
            // What could not be written may have left memory, and what is on disk there is older.
            self.epochs.fail();
            return Err(code::EROFS);
        }
        Ok(InPlaceHandle {
            share,
            in_place: self,
        })
    }

    /// Whether something could not be written since the mount, by whoever wrote it.
    fn has_lost_writes(&self) -> bool {
        // SAFETY: the device is valid.
        unsafe { bindings::rext4_shim_bdev_write_failed(self.device.as_ptr(), self.errors_before) }
    }

    pub(super) fn latest(&self) -> Tid {
        self.epochs.latest()
    }

    pub(super) fn is_committed(&self, tid: Tid) -> bool {
        self.epochs.is_written(tid)
    }

    /// Whether an epoch takes changes: when it is written, what was on the device before this is durable.
    pub(super) fn is_open(&self, tid: Tid) -> bool {
        self.epochs.is_open(tid)
    }

    pub(super) fn is_aborted(&self) -> bool {
        self.epochs.has_failed()
    }

    pub(super) fn abort(&self) {
        self.epochs.fail();
    }

    /// Gives up, and has nothing written any more that is not being written already. Without a share.
    pub(super) fn abandon(&self) {
        self.epochs.fail();
        self.device().forget_all();
        // Who was in the midst of a change has ended it when this is had.
        let _nobody = self.epochs.lock();
        self.device().forget_all();
    }

    /// Has the epoch written that is named, or the current one, and what it holds be durable.
    pub(super) fn commit(&self, tid: Option<Tid>) -> Result<Ended> {
        let ended = self.epochs.end(tid, || self.write())?;
        self.queue_work(ended);
        Ok(ended)
    }

    fn write(&self) -> Result {
        self.device().write_cache()?;
        if self.has_lost_writes() {
            // By writeback, before somebody asked.
            return Err(code::EIO);
        }
        self.flush_device()
    }

    /// Makes what was written so far durable.
    pub(super) fn flush_device(&self) -> Result {
        match self.barriers.load(Ordering::Relaxed) {
            true => self.device().flush(),
            false => Ok(()),
        }
    }

    fn queue_work(&self, ended: Ended) {
        let work = self.after.load(Ordering::Acquire);
        if ended == Ended::Now && !work.is_null() {
            // SAFETY: it is there and was initialised, as `set_work_after` wants.
            unsafe { bindings::rext4_shim_commit_work_queue(work) };
        }
    }

    pub(super) fn lock_updates(&self) -> Locked<'_> {
        Locked {
            epochs: self.epochs.lock(),
            in_place: self,
        }
    }
}

/// No handle can be started while this lives.
pub(crate) struct Locked<'j> {
    epochs: epochs::Locked<'j>,
    in_place: &'j InPlace,
}

impl Locked<'_> {
    /// Has all that was changed be durable.
    pub(super) fn flush(&self) -> Result {
        let ended = self.epochs.end(|| self.in_place.write())?;
        self.in_place.queue_work(ended);
        Ok(())
    }
}

/// A task's part in the current epoch.
pub(super) struct InPlaceHandle<'j> {
    share: Share<'j>,
    in_place: &'j InPlace,
}

impl InPlaceHandle<'_> {
    pub(super) fn tid(&self) -> Tid {
        self.share.tid()
    }

    pub(super) fn set_sync(&self) {
        self.share.want_written();
    }

    pub(super) fn must_work(&self) -> Result {
        self.in_place.epochs.must_work()
    }

    pub(super) fn stop(self) -> Result {
        let tid = self.tid();
        if self.share.end() {
            self.in_place.commit(Some(tid))?;
        }
        match self.in_place.is_aborted() {
            true => Err(code::EIO),
            false => Ok(()),
        }
    }

    /// Has a buffer's bytes changed by `change`, and written some time. Sleeps while it is being written.
    pub(super) fn change<R>(
        &self,
        buffer: &Buffer,
        change: impl FnOnce() -> Result<R>,
    ) -> Result<R> {
        let head = buffer.as_ptr();
        // SAFETY: the buffer is valid. Nothing that may wait for another buffer is done with the lock.
        unsafe { bindings::rext4_shim_bh_lock(head) };
        let result = change();
        if result.is_ok() && !self.in_place.is_aborted() {
            // SAFETY: the buffer is valid, filled and locked.
            unsafe { bindings::rext4_shim_bh_mark_dirty(head) };
        }
        // SAFETY: it was locked above.
        unsafe { bindings::unlock_buffer(head) };
        self.must_work()?;
        result
    }

    /// Has a buffer's changes not be written any more.
    pub(super) fn forget(&self, buffer: Buffer) -> Result {
        self.must_work()?;
        // SAFETY: the buffer is valid, and the reference is ours to give away.
        unsafe { bindings::__bforget(buffer.into_raw()) };
        Ok(())
    }
}
