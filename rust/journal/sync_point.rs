// SPDX-License-Identifier: GPL-2.0

//! Which transaction has to be committed before a file's `fsync` may return.

use crate::{
    error::FsResult,
    vfs::{
        block_device::BlockDevice,
        jbd2::{Handle, Journal, Tid},
    },
};
use kernel::sync::atomic::{Atomic, Relaxed};

/// What a change of an inode means to `fdatasync`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Change {
    /// Data can't be read back without it: where it lies, and the size.
    Data,
    /// It can: times, permissions, …
    Other,
}

/// The last transactions that changed an inode.
///
/// Relaxed atomics: whoever notes a change and whoever waits for it are ordered by what makes the
/// one come before the other, the completion of the write for example.
pub(crate) struct SyncPoint {
    any: Atomic<u32>,
    data: Atomic<u32>,
}

impl SyncPoint {
    /// Of an inode that is not read yet.
    pub(crate) const fn new() -> Self {
        Self {
            any: Atomic::new(0),
            data: Atomic::new(0),
        }
    }

    /// Of an inode that was just read: it was changed by the latest transaction, for all that is
    /// known. Without a journal nothing is changed, and any number will do.
    pub(crate) fn reset(&self, journal: Option<&Journal>) {
        let latest = journal.map_or(0, |journal| journal.latest().to_raw());
        self.any.store(latest, Relaxed);
        self.data.store(latest, Relaxed);
    }

    /// Notes that the inode is changed by the transaction that `handle` takes part in.
    pub(crate) fn note(&self, handle: &Handle<'_>, change: Change) {
        if let Some(tid) = handle.tid() {
            self.any.store(tid.to_raw(), Relaxed);
            if change == Change::Data {
                self.data.store(tid.to_raw(), Relaxed);
            }
        }
    }

    fn tid(&self, data_only: bool) -> Tid {
        let tid = if data_only { &self.data } else { &self.any };
        Tid::from_raw(tid.load(Relaxed))
    }

    /// Whether data can be read back without a commit: all that it takes is on disk.
    pub(crate) fn is_reached(&self, journal: &Journal) -> bool {
        journal.is_committed(self.tid(true))
    }

    /// Makes the inode's changes durable, and all data that the device had acknowledged before.
    ///
    /// With `data_only` as for `fdatasync`. See [`Journal::commit_and_flush`] for errors.
    pub(crate) fn wait(
        &self,
        journal: &Journal,
        device: &BlockDevice,
        data_only: bool,
    ) -> FsResult {
        Ok(journal.commit_and_flush(self.tid(data_only), device)?)
    }

    /// Makes the inode's changes durable, whatever becomes of its data. See [`Journal::commit`] for errors.
    pub(crate) fn commit(&self, journal: &Journal) -> FsResult {
        Ok(journal.commit(self.tid(false))?)
    }
}
