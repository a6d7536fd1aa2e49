// SPDX-License-Identifier: GPL-2.0

//! The journal: jbd2, by way of `journal_t` and `handle_t`.
//!
//! C header: [`include/linux/jbd2.h`](srctree/include/linux/jbd2.h)
//!
//! jbd2 gathers the changes of many threads in one running *transaction*, and commits it as a
//! whole, every few seconds or when somebody asks. A thread takes part by way of a *handle*.
//!
//! ```text
//!   UnloadedJournal ──load (recovery)──▶ Journal ──start(credits)──▶ Handle ──write──▶ BufferMut
//!                                          │                           │      create
//!                                  lock_updates                       stop
//! ```
//!
//! What C says in comments is said by types here:
//!
//! - a buffer can be changed only through a [`BufferMut`], and there is none without a handle
//!   and write access;
//! - a `BufferMut` borrows its handle, so it does not outlive [`Handle::stop`], after which the
//!   buffer may belong to a transaction that is being written;
//! - a handle belongs to its thread (jbd2 keeps it in `current->journal_info`): it is not `Send`;
//! - a journal can't be destroyed while a handle borrows it.

mod handle;
mod late;
mod life;

pub(crate) use handle::{BufferMut, Credits, Handle};
pub(crate) use late::LateChecksum;
pub(crate) use life::{Features, JournalSlot, Settings, UnloadedJournal};

use super::block_device::BlockDevice;
use crate::bindings;
use core::{
    ptr::NonNull,
    sync::atomic::{fence, Ordering},
};
use kernel::error::{to_result, Error, Result};

/// The number of a transaction. Numbers wrap, so they have no order; the journal compares them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Tid(bindings::tid_t);

impl Tid {
    /// For a place that keeps a transaction's number in an atomic.
    pub(crate) fn to_raw(self) -> u32 {
        self.0
    }

    /// The reverse of [`Self::to_raw`].
    pub(crate) fn from_raw(tid: u32) -> Self {
        Self(tid)
    }
}

/// What is done with what a journal held when it is emptied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wipe {
    /// It stays there, and means nothing.
    Nothing,
    /// The device is told that it is not needed.
    Discard,
    /// Zeros are written over it.
    Zeros,
}

/// A journal that has been loaded, so that changes can be made through it.
///
/// Dropping it commits and checkpoints what is left, see [`Self::destroy`].
///
/// # Invariants
///
/// `journal` is valid, owned by this value, and loaded, except within an [`UnloadedJournal`].
pub(crate) struct Journal {
    journal: NonNull<bindings::journal_t>,
}

// SAFETY: a journal belongs to no thread.
unsafe impl Send for Journal {}

// SAFETY: the functions of jbd2 that are called through `&Journal` do their own locking.
unsafe impl Sync for Journal {}

impl Journal {
    /// The C object, for other wrappers.
    pub(super) fn as_ptr(&self) -> *mut bindings::journal_t {
        self.journal.as_ptr()
    }

    /// The device of the file system that the journal protects.
    pub(crate) fn device(&self) -> &BlockDevice {
        // SAFETY: the journal is valid, and was made under the condition that it is dropped before
        // the device is closed.
        unsafe { BlockDevice::from_raw((*self.as_ptr()).j_fs_dev) }
    }

    /// Whether the calling thread has a handle, of any journal.
    ///
    /// One that has must not wait for a commit, nor for anything that needs one.
    pub(crate) fn in_transaction() -> bool {
        // SAFETY: looks at the current task alone.
        unsafe { bindings::rext4_shim_in_transaction() }
    }

    /// The most blocks that one transaction may change, and so the limit of a handle's credits.
    pub(crate) fn max_credits(&self) -> u32 {
        // SAFETY: the journal is valid; the number changes only while features are set.
        let max = unsafe { (*self.as_ptr()).j_max_transaction_buffers };
        u32::try_from(max).unwrap_or(0)
    }

    /// Whether the journal has given up. Nothing can be changed through it any more.
    pub(crate) fn is_aborted(&self) -> bool {
        // SAFETY: the journal is valid.
        unsafe { bindings::rext4_shim_journal_is_aborted(self.as_ptr()) }
    }

    /// Gives the journal up because of `error`, which is written into its super block.
    ///
    /// What is not committed yet never will be.
    pub(crate) fn abort(&self, error: Error) {
        // SAFETY: the journal is valid.
        unsafe { bindings::jbd2_journal_abort(self.as_ptr(), error.to_errno()) };
    }

    /// The same without a note of it on the device, which is somebody else's by now.
    pub(crate) fn abandon(&self) {
        // SAFETY: the journal is valid.
        unsafe { bindings::rext4_shim_journal_abandon(self.as_ptr()) };
    }

    /// The error that was recorded in the journal when it was given up, in this mount or before.
    ///
    /// # Errors
    ///
    /// That error; `EROFS` if the journal was given up in this mount.
    pub(crate) fn recorded_error(&self) -> Result {
        // SAFETY: the journal is valid.
        to_result(unsafe { bindings::jbd2_journal_errno(self.as_ptr()) })
    }

    /// Forgets the recorded error, once the file system has made its own note of it.
    pub(crate) fn clear_error(&self) -> Result {
        // SAFETY: the journal is valid.
        to_result(unsafe { bindings::jbd2_journal_clear_err(self.as_ptr()) })?;
        // SAFETY: as above. Writes the journal's super block.
        unsafe { bindings::jbd2_journal_update_sb_errno(self.as_ptr()) };
        Ok(())
    }

    /// The transaction that holds the latest changes: the running one, or else the last one.
    ///
    /// What an inode whose history is not known has to wait for.
    pub(crate) fn latest(&self) -> Tid {
        // SAFETY: the journal is valid.
        Tid(unsafe { bindings::rext4_shim_journal_latest_tid(self.as_ptr()) })
    }

    /// Whether a transaction is on disk as a whole. Of a journal that was given up, nobody knows.
    pub(crate) fn is_committed(&self, tid: Tid) -> bool {
        // SAFETY: the journal is valid.
        let ended = unsafe { bindings::jbd2_transaction_committed(self.as_ptr(), tid.0) != 0 };
        // What a journal that was given up ends was not written. It is given up before that, so it
        // is asked about in this order.
        fence(Ordering::Acquire);
        ended && !self.is_aborted()
    }

    /// Commits a transaction unless that is done, and makes sure that what was written to `device`
    /// before, as data, is durable too: all that `fsync` needs.
    ///
    /// The commit flushes the device's cache. If it may have done so before the caller's data was
    /// written, or does not do it at all, the cache is flushed here.
    ///
    /// # Errors
    ///
    /// `EDEADLK` if the calling thread has a handle: it would wait for itself. `EIO` if the journal
    /// was given up or the device fails.
    pub(crate) fn commit_and_flush(&self, tid: Tid, device: &BlockDevice) -> Result {
        Self::must_not_have_handle()?;
        // SAFETY: the journal is valid.
        let open = unsafe { bindings::rext4_shim_journal_has_open(self.as_ptr(), tid.0) };
        // A number that is older may compare as younger, after numbers have wrapped.
        let flushes = open && {
            // SAFETY: as above. The function wants a transaction that is open, or was just now.
            unsafe { bindings::jbd2_trans_will_send_data_barrier(self.as_ptr(), tid.0) != 0 }
        };
        let committed = self.commit(tid);
        // SAFETY: the journal is valid.
        let barriers = unsafe { bindings::rext4_shim_journal_has_barriers(self.as_ptr()) };
        if barriers && !flushes {
            device.flush()?;
        }
        committed?;
        self.must_not_be_aborted()
    }

    /// Commits a transaction unless that is done, and waits for it.
    ///
    /// # Errors
    ///
    /// As for [`Self::commit_and_flush`].
    pub(crate) fn commit(&self, tid: Tid) -> Result {
        Self::must_not_have_handle()?;
        // SAFETY: the journal is valid, and this thread has no handle.
        to_result(unsafe { bindings::jbd2_complete_transaction(self.as_ptr(), tid.0) })?;
        self.must_not_be_aborted()
    }

    /// After a wait: a transaction whose commit failed counts as committed for jbd2.
    ///
    /// # Errors
    ///
    /// `EIO` if the journal was given up.
    pub(crate) fn must_not_be_aborted(&self) -> Result {
        if self.is_aborted() {
            return Err(kernel::error::code::EIO);
        }
        Ok(())
    }

    /// Commits all that was changed so far, and waits for it.
    ///
    /// # Errors
    ///
    /// As for [`Self::commit_and_flush`].
    pub(crate) fn force_commit(&self) -> Result {
        Self::must_not_have_handle()?;
        // SAFETY: the journal is valid, and this thread has no handle.
        to_result(unsafe { bindings::jbd2_journal_force_commit(self.as_ptr()) })
    }

    /// Starts to commit what was changed so far, and says which transaction that is.
    ///
    /// `None` if nothing was changed since the last commit. Does not wait.
    pub(crate) fn start_commit(&self) -> Option<Tid> {
        let mut tid = 0;
        // SAFETY: the journal is valid, and so is the pointer to `tid`.
        let started = unsafe { bindings::jbd2_journal_start_commit(self.as_ptr(), &mut tid) };
        (started != 0).then_some(Tid(tid))
    }

    /// Commits all that was changed, writes it to its place, and marks the journal as empty. What it
    /// held is got rid of as `wipe` says.
    ///
    /// The caller keeps others from making changes, by [`Self::lock_updates`] for one.
    ///
    /// # Errors
    ///
    /// As for [`Self::commit_and_flush`]; `EOPNOTSUPP` if the device can't do what `wipe` says.
    pub(crate) fn flush(&self, wipe: Wipe) -> Result {
        Self::must_not_have_handle()?;
        let flags = match wipe {
            Wipe::Nothing => 0,
            Wipe::Discard => bindings::JBD2_JOURNAL_FLUSH_DISCARD,
            Wipe::Zeros => bindings::JBD2_JOURNAL_FLUSH_ZEROOUT,
        };
        // SAFETY: the journal is valid, and this thread has no handle.
        to_result(unsafe { bindings::jbd2_journal_flush(self.as_ptr(), flags) })
    }

    /// Waits for every handle to be stopped, and lets none be started until the result is dropped.
    ///
    /// The calling thread must not have a handle.
    pub(crate) fn lock_updates(&self) -> Result<UpdatesLocked<'_>> {
        Self::must_not_have_handle()?;
        // SAFETY: the journal is valid, and this thread has no handle.
        unsafe { bindings::jbd2_journal_lock_updates(self.as_ptr()) };
        Ok(UpdatesLocked(self))
    }

    /// Checks that the calling thread has no handle, as one must that waits for others' handles.
    ///
    /// # Errors
    ///
    /// `EDEADLK`, and a warning in the log: it would wait for itself.
    pub(crate) fn must_not_have_handle() -> Result {
        if Self::in_transaction() {
            kernel::warn_on!(true);
            return Err(Error::from_errno(-(kernel::bindings::EDEADLK as i32)));
        }
        Ok(())
    }
}

/// No handle can be started while this lives. See [`Journal::lock_updates`].
pub(crate) struct UpdatesLocked<'j>(&'j Journal);

impl Drop for UpdatesLocked<'_> {
    fn drop(&mut self) {
        // SAFETY: the journal is valid, and its updates are locked for this value.
        unsafe { bindings::jbd2_journal_unlock_updates(self.0.as_ptr()) };
    }
}
