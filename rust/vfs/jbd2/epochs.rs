// SPDX-License-Identifier: GPL-2.0

//! Epochs: what there is of transactions where changes are written in place.
//!
//! ```text
//!   epoch   ──── 1 ────┬──── 2 ────┬──── 3 ───▶
//!   shares   ├─┤ ├──┤  │ ├┤ ├────┤ │  ├──
//!                      └─ 1 is written ─┘└─ 2 is written …
//! ```
//!
//! Who changes something has a [`Share`] of the current epoch meanwhile. To end an epoch means to wait
//! until nobody has a share of it, so that all its changes are in buffers that are known to be dirty;
//! the next one begins at once, and then all dirty buffers are written and waited for. After that the
//! epoch is *written*: all that was changed in it is on disk. Of an epoch that is not, any part may be.
//!
//! One epoch is written at a time, in order.

use super::Tid;
use crate::{
    bindings,
    vfs::{
        no_fs::NoFs,
        rw_semaphore::{new_rw_semaphore, ReadGuard, RwSemaphore, WriteGuard},
    },
};
use core::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use kernel::{
    error::code,
    new_mutex,
    prelude::*,
    sync::{Mutex, MutexGuard},
    types::NotThreadSafe,
};

/// Whether somebody who wanted an epoch to end has ended it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ended {
    /// He has: it was written by this call.
    Now,
    /// It was written before, or there was nothing to write.
    Before,
}

/// The epochs of a file system.
#[pin_data]
pub(super) struct Epochs {
    /// Held for reading by who has a share, for writing by who ends the epoch.
    #[pin]
    open: RwSemaphore<()>,
    /// Held by who has an epoch written. Taken before `open`.
    #[pin]
    closing: Mutex<()>,
    /// The epoch that takes changes. Changed with `open` for writing.
    current: AtomicU32,
    /// Whether somebody has had a share of it. Cleared with `open` for writing.
    changed: AtomicBool,
    /// The last epoch that is written, and so are all before it. Changed with `closing`.
    written: AtomicU32,
    /// Set when nothing may be changed any more.
    failed: AtomicBool,
}

/// No share can be had, and no epoch is being written, while this lives. Memory is allocated without
/// calling file systems, which may want a share.
pub(super) struct Locked<'e> {
    epochs: &'e Epochs,
    // In this order they are given back.
    nobody: WriteGuard<'e, ()>,
    _alone: MutexGuard<'e, ()>,
    _no_fs: NoFs,
}

impl Epochs {
    /// The first epoch, in which nothing was changed yet.
    pub(super) fn new() -> impl PinInit<Self> {
        pin_init!(Self {
            open <- new_rw_semaphore!((), c"rext4_epoch"),
            closing <- new_mutex!((), "rext4_closing"),
            current: AtomicU32::new(1),
            changed: AtomicBool::new(false),
            written: AtomicU32::new(0),
            failed: AtomicBool::new(false),
        })
    }

    /// A share of the current epoch.
    ///
    /// # Errors
    ///
    /// `EROFS` if nothing may be changed any more. `EDEADLK`, and a warning in the log, if this task has
    /// a handle of another journal.
    pub(super) fn share(&self) -> Result<Share<'_>> {
        self.must_work()?;
        let own = core::ptr::from_ref(self).cast_mut().cast();
        // SAFETY: looks at the current task alone.
        let outermost = match unsafe { bindings::rext4_shim_share_of_task() } {
            shared if shared.is_null() => {
                let nobody_ends_it = self.open.read();
                // SAFETY: the task has no share, and the pointer is aligned to more than two bytes.
                unsafe { bindings::rext4_shim_share_begin(own) };
                if !self.changed.load(Ordering::Relaxed) {
                    self.changed.store(true, Ordering::Relaxed);
                }
                Some((NoFs::new(), nobody_ends_it))
            }
            shared if shared == own => None,
            _ => {
                kernel::warn_on!(true);
                return Err(Error::from_errno(-(kernel::bindings::EDEADLK as i32)));
            }
        };
        Ok(Share {
            tid: Tid(self.current.load(Ordering::Relaxed)),
            outermost,
            _not_send: NotThreadSafe,
        })
    }

    /// The epoch of the latest changes.
    pub(super) fn latest(&self) -> Tid {
        // In this order: if nothing was changed in the current one, the one before it is at least as old as
        // what is seen.
        let changed = self.changed.load(Ordering::Acquire);
        let current = self.current.load(Ordering::Relaxed);
        Tid(match changed {
            true => current,
            false => current.wrapping_sub(1),
        })
    }

    /// Whether all that was changed in an epoch, and before it, is on disk.
    pub(super) fn is_written(&self, tid: Tid) -> bool {
        let written = self.written.load(Ordering::Acquire);
        written.wrapping_sub(tid.0) as i32 >= 0 && !self.has_failed()
    }

    /// Whether an epoch takes changes.
    pub(super) fn is_open(&self, tid: Tid) -> bool {
        self.current.load(Ordering::Acquire) == tid.0
    }

    /// Has an epoch written by `write` unless it is, and all before it; the current one if none is named.
    ///
    /// # Errors
    ///
    /// `EIO` if nothing may be changed any more, as it is after `write` failed.
    pub(super) fn end(&self, tid: Option<Tid>, write: impl FnOnce() -> Result) -> Result<Ended> {
        let is_written = || tid.is_some_and(|tid| self.is_written(tid));
        // Who needs no more does not wait for a later one that is being written.
        if is_written() {
            return Ok(Ended::Before);
        }
        let alone = self.closing.lock();
        if is_written() {
            return Ok(Ended::Before);
        }
        let locked = self.lock_all(alone);
        let ended = locked.begin_next();
        let Locked {
            nobody,
            _alone,
            _no_fs,
            ..
        } = locked;
        // The next epoch takes changes while this one is written.
        drop(nobody);
        self.finish(ended, write)
    }

    /// Waits until nobody has a share or writes an epoch, and keeps others from it.
    pub(super) fn lock(&self) -> Locked<'_> {
        self.lock_all(self.closing.lock())
    }

    fn lock_all<'e>(&'e self, alone: MutexGuard<'e, ()>) -> Locked<'e> {
        Locked {
            epochs: self,
            nobody: self.open.write(),
            _alone: alone,
            _no_fs: NoFs::new(),
        }
    }

    fn finish(&self, ended: Option<u32>, write: impl FnOnce() -> Result) -> Result<Ended> {
        if self.has_failed() {
            return Err(code::EIO);
        }
        let Some(epoch) = ended else {
            return Ok(Ended::Before);
        };
        if write().is_err() {
            self.fail();
        }
        if self.has_failed() {
            return Err(code::EIO);
        }
        self.written.store(epoch, Ordering::Release);
        Ok(Ended::Now)
    }

    /// Lets nothing be changed any more.
    pub(super) fn fail(&self) {
        self.failed.store(true, Ordering::Release);
    }

    /// Whether nothing may be changed any more.
    pub(super) fn has_failed(&self) -> bool {
        self.failed.load(Ordering::Acquire)
    }

    /// # Errors
    ///
    /// `EROFS` if nothing may be changed any more.
    pub(super) fn must_work(&self) -> Result {
        match self.has_failed() {
            true => Err(code::EROFS),
            false => Ok(()),
        }
    }
}

impl Locked<'_> {
    /// Begins the next epoch. Returns the one that has ended, if something was changed in it.
    fn begin_next(&self) -> Option<u32> {
        if !self.epochs.changed.load(Ordering::Relaxed) {
            return None;
        }
        let ended = self.epochs.current.load(Ordering::Relaxed);
        let next = ended.wrapping_add(1);
        self.epochs.current.store(next, Ordering::Release);
        self.epochs.changed.store(false, Ordering::Release);
        Some(ended)
    }

    /// Has the current epoch written, as [`Epochs::end`] does.
    pub(super) fn end(&self, write: impl FnOnce() -> Result) -> Result<Ended> {
        self.epochs.finish(self.begin_next(), write)
    }
}

/// A task's share of the current epoch, which is not ended while this lives.
///
/// Memory is allocated without calling file systems meanwhile: to free some, one could want to change
/// something. Who has a share and takes another one has the same once more.
pub(super) struct Share<'e> {
    tid: Tid,
    /// Of the first share that a task has.
    outermost: Option<(NoFs, ReadGuard<'e, ()>)>,
    _not_send: NotThreadSafe,
}

impl Share<'_> {
    /// The epoch.
    pub(super) fn tid(&self) -> Tid {
        self.tid
    }

    /// Notes that the epoch is to be written when the task's last share ends.
    pub(super) fn want_written(&self) {
        // SAFETY: the task has a share.
        unsafe { bindings::rext4_shim_share_want_written() };
    }

    /// Ends it. Returns whether the epoch is to be written now.
    pub(super) fn end(mut self) -> bool {
        self.give_back()
    }

    fn give_back(&mut self) -> bool {
        let Some(outermost) = self.outermost.take() else {
            return false;
        };
        // SAFETY: the task has a share, and this is the first.
        let wanted = unsafe { bindings::rext4_shim_share_end() };
        drop(outermost);
        wanted
    }
}

impl Drop for Share<'_> {
    fn drop(&mut self) {
        self.give_back();
    }
}

#[kunit_tests(rext4_epochs)]
mod suite {
    use super::*;
    use core::cell::Cell;
    use kernel::sync::Arc;

    fn epochs() -> Result<Arc<Epochs>> {
        Arc::pin_init(Epochs::new(), GFP_KERNEL)
    }

    #[test]
    fn what_was_changed_is_written_when_its_epoch_is() -> Result {
        let epochs = epochs()?;
        let share = epochs.share()?;
        let first = share.tid();
        assert!(!share.end());
        assert!(!epochs.is_written(first));
        assert_eq!(epochs.latest(), first);
        assert_eq!(epochs.end(Some(first), || Ok(()))?, Ended::Now);
        assert!(epochs.is_written(first));
        let second = epochs.share()?.tid();
        assert!(second != first && !epochs.is_written(second));
        Ok(())
    }

    #[test]
    fn nothing_is_written_twice_or_for_nothing() -> Result {
        let epochs = epochs()?;
        let count = Cell::new(0);
        let write = || {
            count.set(count.get() + 1);
            Ok(())
        };
        assert_eq!(epochs.end(None, write)?, Ended::Before);
        let first = epochs.share()?.tid();
        assert_eq!(epochs.end(Some(first), write)?, Ended::Now);
        assert_eq!(epochs.end(Some(first), write)?, Ended::Before);
        assert_eq!(epochs.end(Some(epochs.latest()), write)?, Ended::Before);
        drop(epochs.share()?);
        assert_eq!(epochs.lock().end(write)?, Ended::Now);
        assert_eq!(epochs.lock().end(write)?, Ended::Before);
        assert_eq!(count.get(), 2);
        Ok(())
    }

    #[test]
    fn an_epoch_takes_changes_while_the_one_before_is_written() -> Result {
        let epochs = epochs()?;
        let first = epochs.share()?.tid();
        let mut second = first;
        epochs.end(None, || {
            second = epochs.share()?.tid();
            Ok(())
        })?;
        assert!(epochs.is_written(first) && !epochs.is_written(second));
        assert_eq!(epochs.latest(), second);
        assert_eq!(epochs.end(Some(second), || Ok(()))?, Ended::Now);
        Ok(())
    }

    #[test]
    fn who_needs_one_that_is_written_does_not_wait_for_the_next() -> Result {
        let epochs = epochs()?;
        let first = epochs.share()?.tid();
        epochs.end(None, || Ok(()))?;
        drop(epochs.share()?);
        // Of the same task: to wait would be for good.
        let ended = epochs.end(None, || {
            assert_eq!(epochs.end(Some(first), || Err(code::EIO))?, Ended::Before);
            Ok(())
        })?;
        assert_eq!(ended, Ended::Now);
        Ok(())
    }

    #[test]
    fn a_share_of_a_share_is_the_same() -> Result {
        let epochs = epochs()?;
        let outer = epochs.share()?;
        let inner = epochs.share()?;
        assert_eq!(inner.tid(), outer.tid());
        inner.want_written();
        assert!(!inner.end());
        assert!(outer.end());
        assert!(!epochs.share()?.end());
        Ok(())
    }

    #[test]
    fn after_a_failure_nothing_counts_as_written() -> Result {
        let epochs = epochs()?;
        let first = epochs.share()?.tid();
        epochs.end(None, || Ok(()))?;
        drop(epochs.share()?);
        assert!(epochs.end(None, || Err(code::EIO)).is_err());
        assert!(epochs.has_failed() && !epochs.is_written(first));
        assert!(epochs.share().is_err());
        assert!(epochs.end(None, || Ok(())).is_err());
        Ok(())
    }

    #[test]
    fn numbers_wrap() -> Result {
        let epochs = epochs()?;
        epochs.current.store(u32::MAX, Ordering::Relaxed);
        epochs.written.store(u32::MAX - 1, Ordering::Relaxed);
        let last = epochs.share()?.tid();
        assert!(!epochs.is_written(last) && epochs.is_written(Tid(u32::MAX - 1)));
        epochs.end(None, || Ok(()))?;
        let next = epochs.share()?.tid();
        assert!(epochs.is_written(last) && !epochs.is_written(next));
        epochs.end(None, || Ok(()))?;
        assert!(epochs.is_written(next) && epochs.is_written(last));
        Ok(())
    }
}
