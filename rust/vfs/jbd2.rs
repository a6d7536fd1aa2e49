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
//! A file system without a journal has its changes written [in place](in_place), where the same
//! words mean something weaker: transactions are *epochs*, which are on disk as a whole when they
//! are committed, but before that in any part.
//!
//! What C says in comments is said by types here:
//!
//! - a buffer can be changed only through a [`BufferMut`], and there is none without a handle
//!   and write access;
//! - a `BufferMut` borrows its handle, so it does not outlive [`Handle::stop`], after which the
//!   buffer may belong to a transaction that is being written;
//! - a handle belongs to its thread (it is kept in `current->journal_info`): it is not `Send`;
//! - a journal can't be destroyed while a handle borrows it.

mod epochs;
mod gate;
mod handle;
mod in_place;
mod late;
mod life;
mod log;
mod log_handle;

pub(crate) use handle::{BufferMut, Credits, Handle};
pub(crate) use late::LateChecksum;
pub(crate) use life::{Checksums, Features, JournalSlot, Settings, UnloadedJournal};
pub(crate) use log::Log;

use super::block_device::BlockDevice;
use crate::bindings;
use core::sync::atomic::Ordering;
use epochs::Ended;
use gate::Gate;
use in_place::InPlace;
use kernel::{
    error::{code, Error, Result},
    prelude::*,
};

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

/// What changes are made through.
///
/// See [`Self::destroy`] for its end.
pub(crate) enum Journal {
    /// jbd2, loaded.
    Log(Log),
    /// None: changes are written in place, at any time.
    InPlace(Pin<KBox<InPlace>>),
}

impl From<Log> for Journal {
    fn from(log: Log) -> Self {
        Self::Log(log)
    }
}

impl Journal {
    /// One that has changes written in place.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    pub(crate) fn in_place(device: &BlockDevice) -> Result<Self> {
        Ok(Self::InPlace(InPlace::new(device)?))
    }

    /// The device of the file system that is changed.
    pub(crate) fn device(&self) -> &BlockDevice {
        match self {
            Self::Log(log) => log.device(),
            Self::InPlace(in_place) => in_place.device(),
        }
    }

    /// Whether the changes of a transaction are all on disk after a crash, or none. If not, each may
    /// be there, from the moment when it is made.
    pub(crate) fn is_atomic(&self) -> bool {
        matches!(self, Self::Log(_))
    }

    /// Whether the calling thread has a handle, of any journal.
    ///
    /// One that has must not wait for a commit, nor for anything that needs one.
    pub(crate) fn in_transaction() -> bool {
        // SAFETY: looks at the current task alone.
        unsafe { bindings::rext4_shim_in_transaction() }
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

    /// The most blocks that one transaction may change, and so the limit of a handle's credits.
    pub(crate) fn max_credits(&self) -> u32 {
        match self {
            Self::Log(log) => log.max_credits().saturating_sub(self.spare_credits()),
            Self::InPlace(_) => InPlace::MAX_CREDITS,
        }
    }

    /// Changes the settings, at any time.
    pub(crate) fn configure(&self, settings: Settings) {
        match self {
            Self::Log(log) => log.configure(settings),
            Self::InPlace(in_place) => in_place.configure(settings),
        }
    }

    /// Whether the journal has given up. Nothing can be changed through it any more.
    pub(crate) fn is_aborted(&self) -> bool {
        match self {
            Self::Log(log) => log.is_aborted(),
            Self::InPlace(in_place) => in_place.is_aborted(),
        }
    }

    /// Whether the calling thread is the one that commits, which must not wait for that.
    pub(crate) fn is_committer(&self) -> bool {
        match self {
            Self::Log(log) => log.is_committer(),
            Self::InPlace(_) => false,
        }
    }

    /// From now on each handle has so many credits beyond those that it is started with: for what goes
    /// along with any change.
    pub(crate) fn set_spare_credits(&self, blocks: u32) {
        if let Self::Log(log) = self {
            log.spare.store(blocks, Ordering::Relaxed);
        }
    }

    /// How many these are.
    pub(super) fn spare_credits(&self) -> u32 {
        match self {
            Self::Log(log) => log.spare.load(Ordering::Relaxed),
            Self::InPlace(_) => 0,
        }
    }

    /// Gives the journal up because of `error`, which is written into its super block.
    ///
    /// What is not committed yet never will be; in place, what was changed may still be written.
    pub(crate) fn abort(&self, error: Error) {
        match self {
            Self::Log(log) => log.abort(error),
            Self::InPlace(in_place) => in_place.abort(),
        }
    }

    /// The same without a note of it on the device, which is somebody else's by now, and without
    /// anything else that is not there yet. To be called without a handle and the locks under one.
    pub(crate) fn abandon(&self) {
        match self {
            Self::Log(log) => log.abandon(),
            Self::InPlace(in_place) => in_place.abandon(),
        }
    }

    /// Ends as if the machine had lost power: what is not on the device yet does not get there. To be
    /// called as [`Self::abandon`] is.
    pub(crate) fn lose_power(&self) {
        match self {
            // jbd2 does not take this for an error that e2fsck has to look at.
            Self::Log(log) => log.abort(Error::from_errno(-(bindings::ESHUTDOWN as i32))),
            Self::InPlace(in_place) => in_place.abandon(),
        }
    }

    /// The transaction that holds the latest changes: the running one, or else the last one.
    ///
    /// What an inode whose history is not known has to wait for.
    pub(crate) fn latest(&self) -> Tid {
        match self {
            Self::Log(log) => log.latest(),
            Self::InPlace(in_place) => in_place.latest(),
        }
    }

    /// Whether a transaction is on disk as a whole. Of a journal that was given up, nobody knows.
    pub(crate) fn is_committed(&self, tid: Tid) -> bool {
        match self {
            Self::Log(log) => log.is_committed(tid),
            Self::InPlace(in_place) => in_place.is_committed(tid),
        }
    }

    /// Has what was written to the device past the journal be durable before any change that is made
    /// from now on. With jbd2 it is: a commit flushes the device's cache before it is valid.
    ///
    /// # Errors
    ///
    /// The device's.
    pub(crate) fn settle(&self) -> Result {
        match self {
            Self::Log(_) => Ok(()),
            Self::InPlace(in_place) => in_place.flush_device(),
        }
    }

    /// Commits a transaction unless that is done, and makes sure that what was written to `device`
    /// before, as data, is durable too: all that `fsync` needs.
    ///
    /// # Errors
    ///
    /// `EDEADLK` if the calling thread has a handle: it would wait for itself. `EIO` if the journal
    /// was given up or the device fails.
    pub(crate) fn commit_and_flush(&self, tid: Tid, device: &BlockDevice) -> Result {
        Self::must_not_have_handle()?;
        match self {
            Self::Log(log) => log.commit_and_flush(tid, device),
            Self::InPlace(in_place) => {
                let was_open = in_place.is_open(tid);
                match in_place.commit(Some(tid))? {
                    Ended::Now => Ok(()),
                    Ended::Before if was_open && in_place.is_committed(tid) => Ok(()),
                    // Perhaps with a flush that was before the data.
                    Ended::Before => in_place.flush_device(),
                }
            }
        }
    }

    /// Commits a transaction unless that is done, and waits for it.
    ///
    /// # Errors
    ///
    /// As for [`Self::commit_and_flush`].
    pub(crate) fn commit(&self, tid: Tid) -> Result {
        Self::must_not_have_handle()?;
        match self {
            Self::Log(log) => log.commit(tid),
            Self::InPlace(in_place) => in_place.commit(Some(tid)).map(drop),
        }
    }

    /// After a wait: a transaction whose commit failed counts as committed for jbd2.
    ///
    /// # Errors
    ///
    /// `EIO` if the journal was given up.
    pub(crate) fn must_not_be_aborted(&self) -> Result {
        if self.is_aborted() {
            return Err(code::EIO);
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
        match self {
            Self::Log(log) => log.force_commit(),
            Self::InPlace(in_place) => in_place.commit(None).map(drop),
        }
    }

    /// Starts to commit what was changed so far, and says which transaction that is.
    ///
    /// `None` if nothing was changed since the last commit. Does not wait.
    pub(crate) fn start_commit(&self) -> Option<Tid> {
        match self {
            Self::Log(log) => log.start_commit(),
            // To write it takes a while, which who waits for it has.
            Self::InPlace(in_place) => Some(in_place.latest()),
        }
    }

    /// Lets no handle be started from now on, until they are [let](Self::allow_handles) again: those who want one get
    /// `EROFS`. Those that there are go on, and can be [waited for](Self::lock_updates).
    ///
    /// # Errors
    ///
    /// `EDEADLK` if the calling thread has a handle.
    pub(crate) fn refuse_handles(&self) -> Result {
        Self::must_not_have_handle()?;
        self.gate().set_closed(true);
        Ok(())
    }

    /// Ends what [`Self::refuse_handles`] began.
    pub(crate) fn allow_handles(&self) {
        self.gate().set_closed(false);
    }

    fn gate(&self) -> &Gate {
        match self {
            Self::Log(log) => &log.gate,
            Self::InPlace(in_place) => in_place.gate(),
        }
    }

    /// Waits for every handle to be stopped, and lets none be started until the result is dropped.
    ///
    /// # Errors
    ///
    /// `EDEADLK` if the calling thread has a handle.
    pub(crate) fn lock_updates(&self) -> Result<UpdatesLocked<'_>> {
        Self::must_not_have_handle()?;
        Ok(match self {
            Self::Log(log) => {
                log.lock_updates();
                UpdatesLocked::Log(LogLocked(log))
            }
            Self::InPlace(in_place) => UpdatesLocked::InPlace(in_place.lock_updates()),
        })
    }

    /// Commits what is left, brings all of it to its place, and ends the journal.
    ///
    /// To drop it does the same with jbd2, but for saying whether it worked; in place, what is left is
    /// written some time.
    ///
    /// # Errors
    ///
    /// `EIO` if not all of it could be written; then the journal needs recovery.
    pub(crate) fn destroy(self) -> Result {
        match self {
            Self::Log(log) => log.destroy(),
            Self::InPlace(in_place) => in_place.commit(None).map(drop),
        }
    }
}

/// No handle can be started while this lives. See [`Journal::lock_updates`].
pub(crate) enum UpdatesLocked<'j> {
    /// With jbd2.
    Log(LogLocked<'j>),
    /// Without.
    InPlace(in_place::Locked<'j>),
}

impl UpdatesLocked<'_> {
    /// Commits all that was changed, writes it to its place, and marks the journal as empty. What it
    /// held is got rid of as `wipe` says.
    ///
    /// # Errors
    ///
    /// As for [`Journal::commit_and_flush`]; `EOPNOTSUPP` if the device can't do what `wipe` says.
    pub(crate) fn flush(&self, wipe: Wipe) -> Result {
        match self {
            Self::Log(locked) => locked.0.flush(wipe),
            Self::InPlace(locked) => locked.flush(),
        }
    }
}

/// The updates of a journal of jbd2 are locked while this lives.
pub(crate) struct LogLocked<'j>(&'j Log);

impl Drop for LogLocked<'_> {
    fn drop(&mut self) {
        self.0.unlock_updates();
    }
}
