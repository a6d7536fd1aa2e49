// SPDX-License-Identifier: GPL-2.0

//! The journal of jbd2, `journal_t`. What is called here where a commit is waited for is called
//! without a handle, which [`Journal`](super::Journal) sees to.

use super::{gate::Gate, Tid, Wipe};
use crate::{bindings, vfs::block_device::BlockDevice};
use core::{
    ptr::NonNull,
    sync::atomic::{fence, AtomicU32, Ordering},
};
use kernel::{
    error::{to_result, Error},
    prelude::*,
};

/// A journal of jbd2.
///
/// Dropping it commits and checkpoints what is left, see [`Self::destroy`].
///
/// # Invariants
///
/// `journal` is valid, owned by this value, and loaded, except within an
/// [`UnloadedJournal`](super::UnloadedJournal).
pub(crate) struct Log {
    pub(super) journal: NonNull<bindings::journal_t>,
    /// Credits that each handle has beyond those that it was started with.
    pub(super) spare: AtomicU32,
    /// What its handles come through.
    pub(super) gate: Pin<KBox<Gate>>,
}

// SAFETY: a journal belongs to no thread.
unsafe impl Send for Log {}

// SAFETY: the functions of jbd2 that are called through `&Log` do their own locking.
unsafe impl Sync for Log {}

impl Log {
    /// The C object, for other wrappers.
    pub(in crate::vfs) fn as_ptr(&self) -> *mut bindings::journal_t {
        self.journal.as_ptr()
    }

    /// The device of the file system that the journal protects.
    pub(super) fn device(&self) -> &BlockDevice {
        // SAFETY: the journal is valid, and was made under the condition that it is dropped before
        // the device is closed.
        unsafe { BlockDevice::from_raw((*self.as_ptr()).j_fs_dev) }
    }

    /// The most blocks that one transaction may change, and so the limit of a handle's credits.
    pub(super) fn max_credits(&self) -> u32 {
        // SAFETY: the journal is valid; the numbers change only while features are set.
        let max = unsafe { bindings::rext4_shim_journal_max_credits(self.as_ptr()) };
        u32::try_from(max).unwrap_or(0)
    }

    /// Whether the journal has given up. Nothing can be changed through it any more.
    pub(super) fn is_aborted(&self) -> bool {
        // SAFETY: the journal is valid.
        unsafe { bindings::rext4_shim_journal_is_aborted(self.as_ptr()) }
    }

    /// Whether the calling thread is the one that commits: to wait for a commit it would wait for itself.
    pub(super) fn is_committer(&self) -> bool {
        // SAFETY: the journal is valid.
        unsafe { bindings::rext4_shim_is_journal_thread(self.as_ptr()) }
    }

    /// Gives the journal up because of `error`, which is written into its super block.
    ///
    /// What is not committed yet never will be.
    pub(super) fn abort(&self, error: Error) {
        // SAFETY: the journal is valid.
        unsafe { bindings::jbd2_journal_abort(self.as_ptr(), error.to_errno()) };
    }

    /// The same without a note of it on the device, which is somebody else's by now: nothing is written any more that
    /// is not being written already. Waits for the transaction that is running; without a handle.
    pub(super) fn abandon(&self) {
        // SAFETY: the journal is valid.
        unsafe { bindings::rext4_shim_journal_abandon(self.as_ptr()) };
        // What was committed is on its way to its place.
        self.device().forget_all();
        // A commit that looked before it was given up makes more dirty. What comes of it is known.
        let _ = self.commit(self.latest());
        self.device().forget_all();
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
    pub(super) fn latest(&self) -> Tid {
        // SAFETY: the journal is valid.
        Tid(unsafe { bindings::rext4_shim_journal_latest_tid(self.as_ptr()) })
    }

    /// Whether a transaction is on disk as a whole. Of a journal that was given up, nobody knows.
    pub(super) fn is_committed(&self, tid: Tid) -> bool {
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
    /// `EIO` if the journal was given up or the device fails.
    pub(super) fn commit_and_flush(&self, tid: Tid, device: &BlockDevice) -> Result {
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
    pub(super) fn commit(&self, tid: Tid) -> Result {
        // SAFETY: the journal is valid, and this thread has no handle.
        to_result(unsafe { bindings::jbd2_complete_transaction(self.as_ptr(), tid.0) })?;
        self.must_not_be_aborted()
    }

    /// After a wait: a transaction whose commit failed counts as committed for jbd2.
    ///
    /// # Errors
    ///
    /// `EIO` if the journal was given up.
    pub(super) fn must_not_be_aborted(&self) -> Result {
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
    pub(super) fn force_commit(&self) -> Result {
        // SAFETY: the journal is valid, and this thread has no handle.
        to_result(unsafe { bindings::jbd2_journal_force_commit(self.as_ptr()) })
    }

    /// Starts to commit what was changed so far, and says which transaction that is.
    ///
    /// `None` if nothing was changed since the last commit. Does not wait.
    pub(super) fn start_commit(&self) -> Option<Tid> {
        let mut tid = 0;
        // SAFETY: the journal is valid, and so is the pointer to `tid`.
        let started = unsafe { bindings::jbd2_journal_start_commit(self.as_ptr(), &mut tid) };
        (started != 0).then_some(Tid(tid))
    }

    /// Commits all that was changed, writes it to its place, and marks the journal as empty. What it
    /// held is got rid of as `wipe` says.
    ///
    /// The caller keeps others from making changes.
    ///
    /// # Errors
    ///
    /// As for [`Self::commit_and_flush`]; `EOPNOTSUPP` if the device can't do what `wipe` says.
    pub(super) fn flush(&self, wipe: Wipe) -> Result {
        let flags = match wipe {
            Wipe::Nothing => 0,
            Wipe::Discard => bindings::JBD2_JOURNAL_FLUSH_DISCARD,
            Wipe::Zeros => bindings::JBD2_JOURNAL_FLUSH_ZEROOUT,
        };
        // SAFETY: the journal is valid, and this thread has no handle.
        to_result(unsafe { bindings::jbd2_journal_flush(self.as_ptr(), flags) })
    }

    /// Waits for every handle to be stopped, and lets none be started until the updates are
    /// [unlocked](Self::unlock_updates).
    pub(super) fn lock_updates(&self) {
        // SAFETY: the journal is valid, and this thread has no handle.
        unsafe { bindings::jbd2_journal_lock_updates(self.as_ptr()) };
    }

    /// Ends what [`Self::lock_updates`] began.
    pub(super) fn unlock_updates(&self) {
        // SAFETY: the journal is valid, and its updates are locked for the caller.
        unsafe { bindings::jbd2_journal_unlock_updates(self.as_ptr()) };
    }
}
