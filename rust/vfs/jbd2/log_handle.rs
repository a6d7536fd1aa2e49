// SPDX-License-Identifier: GPL-2.0

//! Handles of jbd2, `handle_t`.

use super::{Credits, Log, Tid};
use crate::{
    bindings,
    vfs::buffer::{Buffer, FreshBuffer},
};
use core::{marker::PhantomData, ptr::NonNull, sync::atomic::Ordering};
use kernel::{
    error::{code, from_err_ptr, to_result, Error, Result},
    types::NotThreadSafe,
};

/// A thread's part in the running transaction. Dropping it ends it.
///
/// # Invariants
///
/// `handle` is valid, belongs to this thread, and one of its references is owned.
pub(super) struct LogHandle<'j> {
    handle: NonNull<bindings::handle_t>,
    log: PhantomData<&'j Log>,
    not_thread_safe: NotThreadSafe,
}

impl Log {
    /// See [`super::Journal::start`].
    pub(super) fn start(&self, credits: Credits) -> Result<LogHandle<'_>> {
        let spare = Credits::new(self.spare.load(Ordering::Relaxed));
        let (blocks, revokes) = to_c(credits.plus(spare))?;
        // SAFETY: the journal is valid. The last two arguments are for statistics.
        let handle = from_err_ptr(unsafe {
            bindings::rext4_shim_journal_start(self.as_ptr(), blocks, revokes)
        })?;
        // INVARIANT: it was just started by this thread, or one more reference was taken.
        Ok(LogHandle {
            handle: NonNull::new(handle).ok_or(code::EIO)?,
            log: PhantomData,
            not_thread_safe: NotThreadSafe,
        })
    }
}

fn to_c(credits: Credits) -> Result<(i32, i32)> {
    let Credits { blocks, revokes } = credits;
    Ok((i32::try_from(blocks)?, i32::try_from(revokes)?))
}

impl LogHandle<'_> {
    fn as_ptr(&self) -> *mut bindings::handle_t {
        self.handle.as_ptr()
    }

    pub(super) fn tid(&self) -> Option<Tid> {
        let mut tid = 0;
        // SAFETY: the handle is valid, and so is the pointer to `tid`.
        let running = unsafe { bindings::rext4_shim_handle_tid(self.as_ptr(), &mut tid) };
        running.then_some(Tid::from_raw(tid))
    }

    pub(super) fn credits_left(&self) -> u32 {
        // SAFETY: the handle is valid.
        let left = unsafe { bindings::rext4_shim_handle_credits(self.as_ptr()) };
        u32::try_from(left).unwrap_or(0)
    }

    pub(super) fn set_sync(&self) {
        // SAFETY: the handle is valid and belongs to this thread.
        unsafe { bindings::rext4_shim_handle_set_sync(self.as_ptr()) };
    }

    pub(super) fn extend(&self, credits: Credits) -> Result<bool> {
        let (blocks, revokes) = to_c(credits)?;
        // SAFETY: the handle is valid and belongs to this thread.
        match unsafe { bindings::jbd2_journal_extend(self.as_ptr(), blocks, revokes) } {
            0 => Ok(true),
            refused if refused > 0 => Ok(false),
            error => Err(Error::from_errno(error)),
        }
    }

    pub(super) fn stop(self) -> Result {
        let handle = core::mem::ManuallyDrop::new(self);
        // SAFETY: the handle is valid, belongs to this thread, and the reference is ours.
        to_result(unsafe { bindings::jbd2_journal_stop(handle.as_ptr()) })
    }

    fn must_work(&self) -> Result {
        // SAFETY: the handle is valid.
        if unsafe { bindings::rext4_shim_handle_is_aborted(self.as_ptr()) } {
            return Err(code::EROFS);
        }
        Ok(())
    }

    /// Asks for write access to a buffer.
    pub(super) fn write(&self, buffer: &Buffer) -> Result {
        self.must_work()?;
        // SAFETY: the handle is valid and belongs to this thread; the buffer is valid.
        to_result(unsafe {
            bindings::jbd2_journal_get_write_access(self.as_ptr(), buffer.as_ptr())
        })
    }

    /// Takes a new block into the transaction.
    pub(super) fn create(&self, fresh: FreshBuffer) -> Result<Buffer> {
        self.must_work()?;
        fresh.zeroed(|head| {
            // SAFETY: the handle is valid and belongs to this thread; the buffer is valid, and
            // locked by the caller of this closure.
            to_result(unsafe { bindings::jbd2_journal_get_create_access(self.as_ptr(), head) })
        })
    }

    /// Has a change written.
    ///
    /// # Safety
    ///
    /// The handle has [write access](Self::write) to the buffer.
    pub(super) unsafe fn make_known(&self, buffer: &Buffer) -> Result {
        // SAFETY: handle and buffer are valid, and the handle has write access, as the caller says.
        to_result(unsafe { bindings::jbd2_journal_dirty_metadata(self.as_ptr(), buffer.as_ptr()) })
    }

    /// Revokes a block.
    pub(super) fn revoke(&self, block: u64) -> Result {
        self.must_work()?;
        let none = core::ptr::null_mut();
        // Not given the buffer, this function finds it by its number, and leaves the reference
        // alone. Given it, whether the reference is consumed would depend on the error.
        // SAFETY: the handle is valid, works, and belongs to this thread.
        to_result(unsafe { bindings::jbd2_journal_revoke(self.as_ptr(), block, none) })
    }

    /// Forgets and revokes a block.
    pub(super) fn forget(&self, buffer: Buffer) -> Result {
        self.revoke(buffer.block())?;
        let head = buffer.into_raw();
        // SAFETY: as above. `head` is a reference that is ours to give away.
        let result = to_result(unsafe { bindings::jbd2_journal_forget(self.as_ptr(), head) });
        if result == Err(code::EROFS) {
            // SAFETY: the journal was given up at this moment; with this error, and no other, the
            // reference was not consumed.
            unsafe { bindings::__brelse(head) };
        }
        result
    }
}

impl Drop for LogHandle<'_> {
    fn drop(&mut self) {
        // SAFETY: the handle is valid, belongs to this thread, and the reference is ours.
        // An error means that the journal was given up, which the next handle will hear of.
        unsafe { bindings::jbd2_journal_stop(self.as_ptr()) };
    }
}
