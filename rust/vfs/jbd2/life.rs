// SPDX-License-Identifier: GPL-2.0

//! The life of a journal: found, recovered, set up, destroyed.

use super::{gate::Gate, Journal, Log};
use crate::{
    bindings,
    vfs::{inode::Inode, super_block::FileSystem},
};
use core::{
    cell::UnsafeCell,
    mem::ManuallyDrop,
    ptr::{self, NonNull},
    sync::atomic::{AtomicBool, AtomicU32, Ordering},
};
use kernel::{
    error::{from_err_ptr, to_result},
    prelude::*,
    sync::aref::ARef,
};

/// A journal that was found but not loaded: nothing of it is trusted yet but its super block.
pub(crate) struct UnloadedJournal(
    /// Keeps [`Log`]'s invariants but for being loaded.
    Log,
);

impl UnloadedJournal {
    /// Finds the journal that is the contents of a file.
    ///
    /// Its reference to the inode passes to the journal if this succeeds.
    ///
    /// # Safety
    ///
    /// - `inode` must be a valid inode of a mounted or mounting super block, with a reference that
    ///   the caller owns. Its `a_ops->bmap` must work.
    /// - The journal must be dropped before the super block's device is closed.
    pub(crate) unsafe fn from_inode(inode: NonNull<bindings::inode>) -> Result<Self> {
        let gate = KBox::pin_init(Gate::new(), GFP_KERNEL)?;
        // SAFETY: the caller gives a valid inode.
        let journal = from_err_ptr(unsafe { bindings::jbd2_journal_init_inode(inode.as_ptr()) })?;
        // INVARIANT: it was just made, for us.
        NonNull::new(journal)
            .map(|journal| {
                Self(Log {
                    journal,
                    spare: AtomicU32::new(0),
                    gate,
                })
            })
            .ok_or(EINVAL)
    }

    /// Finds the journal that is the contents of a file of a file system that is being mounted.
    ///
    /// # Errors
    ///
    /// What makes it no journal; `EINVAL` if it is not mapped whole.
    pub(crate) fn of<T: FileSystem>(inode: ARef<Inode<T>>) -> Result<Self> {
        let raw = ARef::into_raw(inode).cast();
        // SAFETY: the reference is ours to give. Regular files have the operation `bmap`, and a
        // `JournalSlot` is emptied when the super block is shut down.
        let found = unsafe { Self::from_inode(raw) };
        if found.is_err() {
            // SAFETY: the reference was not taken over.
            drop(unsafe { ARef::<Inode<T>>::from_raw(raw.cast()) });
        }
        found
    }

    /// Whether there are transactions in it that are not all in their places yet.
    pub(crate) fn needs_recovery(&self) -> bool {
        // SAFETY: the journal is valid, and nobody else knows it yet.
        unsafe { (*self.0.as_ptr()).j_tail != 0 }
    }

    /// Whether it may hold fast commits, which this wrapper's recovery would leave out.
    ///
    /// jbd2 leaves their meaning to the file system, and skips them if that has none. Changes that
    /// were acknowledged would be lost, so such a journal must not be loaded.
    pub(crate) fn has_fast_commits(&self) -> bool {
        // SAFETY: the journal is valid.
        let feature = unsafe { bindings::rext4_shim_journal_has_fast_commit(self.0.as_ptr()) };
        feature && self.needs_recovery()
    }

    /// Forgets what is in the journal; on disk too if `on_disk`.
    pub(crate) fn wipe(&mut self, on_disk: bool) -> Result {
        // SAFETY: the journal is valid and not loaded.
        to_result(unsafe { bindings::jbd2_journal_wipe(self.0.as_ptr(), on_disk.into()) })
    }

    /// Changes the settings. Recovery heeds them: without barriers it may forget the log before what was in it is
    /// durable in its place.
    pub(crate) fn configure(&self, settings: Settings) {
        self.0.configure(settings);
    }

    /// Recovers: writes the blocks of committed transactions to their places; then starts up.
    ///
    /// Every buffer that was read before may be out of date after this.
    ///
    /// # Errors
    ///
    /// `EOPNOTSUPP` if there are fast commits. What recovery ran into otherwise; the kernel log has
    /// the details.
    pub(crate) fn load(self) -> Result<Log> {
        if self.has_fast_commits() {
            return Err(unsupported());
        }
        // SAFETY: the journal is valid and not loaded.
        to_result(unsafe { bindings::jbd2_journal_load(self.0.as_ptr()) })?;
        // INVARIANT: it is loaded now.
        Ok(self.0)
    }
}

/// What a journal has checksums of.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Checksums {
    /// Nothing.
    None,
    /// All of a transaction, in its commit block (version 1).
    OfTransactions,
    /// Each block (version 3).
    OfBlocks,
}

/// What the transactions of a journal look like on disk.
#[derive(Clone, Copy)]
pub(crate) struct Features {
    /// How they are protected.
    pub(crate) checksums: Checksums,
    /// Whether block numbers have 64 bits.
    pub(crate) wide_blocks: bool,
}

/// How a journal goes about its work.
#[derive(Clone, Copy)]
pub(crate) struct Settings {
    /// The most seconds that pass before a change is committed; zero for jbd2's default.
    pub(crate) commit_interval_seconds: u32,
    /// Whether the device's cache is flushed where order matters.
    pub(crate) barriers: bool,
    /// The least microseconds that a synchronous handle waits for others to join.
    pub(crate) min_batch_micros: u32,
    /// The most microseconds that a synchronous handle waits for others to join.
    pub(crate) max_batch_micros: u32,
    /// The priority of the I/O of the journal's thread, from 0, the first, to 7, of the class "best effort"; as it is if
    /// nothing is said. Without effect before the journal is loaded.
    pub(crate) priority: Option<u8>,
}

impl Settings {
    /// What jbd2 starts with, except for barriers, which are on.
    pub(crate) const DEFAULT: Self = Self {
        commit_interval_seconds: 0,
        barriers: true,
        min_batch_micros: 0,
        max_batch_micros: 15_000,
        priority: None,
    };
}

impl Log {
    /// Sets the features that the file system wants, and clears those it does not.
    ///
    /// To be called before the first handle is started. They reach the disk with the first commit; if the journal was
    /// recovered, with the first flush, which has to come before that.
    ///
    /// # Errors
    ///
    /// `EOPNOTSUPP` if the journal's format is too old for one, or for revokes: jbd2 takes it for a bug if a block
    /// is revoked then.
    pub(crate) fn set_features(&mut self, features: Features) -> Result {
        let of_blocks = features.checksums == Checksums::OfBlocks;
        let compat = match features.checksums {
            Checksums::OfTransactions => bindings::JBD2_FEATURE_COMPAT_CHECKSUM,
            Checksums::None | Checksums::OfBlocks => 0,
        };
        let wanted = [
            (of_blocks, bindings::JBD2_FEATURE_INCOMPAT_CSUM_V3),
            (features.wide_blocks, bindings::JBD2_FEATURE_INCOMPAT_64BIT),
        ];
        // SAFETY: the journal is valid.
        let can_revoke = unsafe {
            bindings::jbd2_journal_check_available_features(
                self.as_ptr(),
                0,
                0,
                bindings::JBD2_FEATURE_INCOMPAT_REVOKE as c_ulong,
            )
        };
        if can_revoke == 0 {
            return Err(unsupported());
        }
        let set = wanted.iter().filter(|(on, _)| *on).map(|(_, bit)| bit);
        let incompat = set.fold(0, |all, bit| all | *bit);
        // Version 2, which kernels before 3.18 wrote, is not to be there beside version 3.
        let clear = bindings::JBD2_FEATURE_INCOMPAT_ASYNC_COMMIT
            | bindings::JBD2_FEATURE_INCOMPAT_CSUM_V2
            | match of_blocks {
                true => 0,
                false => bindings::JBD2_FEATURE_INCOMPAT_CSUM_V3,
            };
        // SAFETY: the journal is valid, and as it is borrowed mutably there is no handle.
        unsafe {
            bindings::jbd2_journal_clear_features(
                self.as_ptr(),
                bindings::JBD2_FEATURE_COMPAT_CHECKSUM as c_ulong,
                0,
                clear as c_ulong,
            )
        };
        // SAFETY: as above.
        let done = unsafe {
            bindings::jbd2_journal_set_features(
                self.as_ptr(),
                compat as c_ulong,
                0,
                incompat as c_ulong,
            )
        };
        if done == 0 {
            return Err(unsupported());
        }
        Ok(())
    }

    /// Changes the settings, at any time.
    pub(super) fn configure(&self, settings: Settings) {
        // SAFETY: the journal is valid. The function takes the lock of these fields.
        unsafe {
            bindings::rext4_shim_journal_configure(
                self.as_ptr(),
                settings.commit_interval_seconds,
                settings.barriers,
                settings.min_batch_micros,
                settings.max_batch_micros,
            )
        };
        if let Some(priority) = settings.priority {
            // SAFETY: the journal is valid. Its thread ends when it is destroyed, which needs it whole.
            unsafe { bindings::rext4_shim_journal_set_priority(self.as_ptr(), priority) };
        }
    }

    /// Commits what is left, writes all of it to its place, and ends the journal.
    ///
    /// Dropping it does the same, but for saying whether it worked.
    ///
    /// # Errors
    ///
    /// `EIO` if not all of it could be written; then the journal needs recovery.
    pub(super) fn destroy(self) -> Result {
        let journal = ManuallyDrop::new(self);
        // SAFETY: the journal is valid and owned. No handle borrows it, and it is not used again.
        let result = to_result(unsafe { bindings::jbd2_journal_destroy(journal.as_ptr()) });
        // SAFETY: it is not dropped elsewhere, nor used again.
        drop(unsafe { ptr::read(&journal.gate) });
        result
    }
}

impl Drop for Log {
    fn drop(&mut self) {
        // SAFETY: the journal is valid and owned. No handle borrows it, and it is not used again.
        let result = to_result(unsafe { bindings::jbd2_journal_destroy(self.as_ptr()) });
        if let Err(error) = result {
            pr_debug!("journal not cleanly closed: {error:?}\n");
        }
    }
}

/// `EOPNOTSUPP`, which the kernel crate does not name.
fn unsupported() -> Error {
    Error::from_errno(-(kernel::bindings::EOPNOTSUPP as i32))
}

/// The place for a file system's journal in its state: empty until the journal is loaded, and
/// emptied when the super block is shut down.
pub(crate) struct JournalSlot {
    journal: UnsafeCell<Option<Journal>>,
    /// Whether `journal` can be looked at. Set and cleared once.
    open: AtomicBool,
    /// Whether `journal` was ever given a value.
    used: AtomicBool,
}

// SAFETY: a `Journal` is `Send` and `Sync`; who may write to the cell is said at the functions.
unsafe impl Sync for JournalSlot {}

impl JournalSlot {
    /// An empty place.
    pub(crate) const fn new() -> Self {
        Self {
            journal: UnsafeCell::new(None),
            open: AtomicBool::new(false),
            used: AtomicBool::new(false),
        }
    }

    /// Puts the journal in, once.
    ///
    /// # Errors
    ///
    /// `EBUSY` if there was one before.
    pub(crate) fn set(&self, journal: Journal) -> Result {
        if self.used.swap(true, Ordering::AcqRel) {
            return Err(EBUSY);
        }
        // SAFETY: only the first caller comes here, and until `open` is set nobody looks.
        unsafe { *self.journal.get() = Some(journal) };
        self.open.store(true, Ordering::Release);
        Ok(())
    }

    /// The journal, while it is there.
    pub(crate) fn get(&self) -> Option<&Journal> {
        if !self.open.load(Ordering::Acquire) {
            return None;
        }
        // SAFETY: `open` was seen set, and after that only `close` writes to the cell.
        unsafe { (*self.journal.get()).as_ref() }
    }

    /// Has [`Self::get`] find no journal any more.
    pub(in crate::vfs) fn hide(&self) {
        self.open.store(false, Ordering::Release);
    }

    /// Takes the journal out and destroys it, see [`Journal::destroy`].
    ///
    /// # Safety
    ///
    /// It is [hidden](Self::hide), and no reference that [`Self::get`] gave out before is used any
    /// more, by any thread. No journal is put in during this call.
    pub(in crate::vfs) unsafe fn close(&self) -> Option<Result> {
        // SAFETY: as the caller promises, nobody has a reference.
        let journal = unsafe { (*self.journal.get()).take() };
        journal.map(Journal::destroy)
    }
}
