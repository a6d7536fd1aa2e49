// SPDX-License-Identifier: GPL-2.0

//! Handles, and the tokens to change buffers that they give out.

use super::{Journal, Tid};
use crate::{
    bindings,
    vfs::buffer::{Buffer, FreshBuffer},
};
use core::ptr::NonNull;
use kernel::{
    error::{code, from_err_ptr, to_result, Error, Result},
    types::NotThreadSafe,
};

/// How much a handle may change: what is asked of the journal before it starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Credits {
    /// The number of different blocks that may be changed.
    pub(crate) blocks: u32,
    /// The number of blocks that may be revoked, see [`Handle::forget`].
    pub(crate) revokes: u32,
}

impl Credits {
    /// Credits to change `blocks` blocks.
    pub(crate) const fn new(blocks: u32) -> Self {
        Self { blocks, revokes: 0 }
    }

    /// The same, and to revoke `revokes` blocks.
    pub(crate) const fn with_revokes(self, revokes: u32) -> Self {
        Self { revokes, ..self }
    }

    /// Both together.
    pub(crate) const fn plus(self, other: Self) -> Self {
        Self {
            blocks: self.blocks.saturating_add(other.blocks),
            revokes: self.revokes.saturating_add(other.revokes),
        }
    }

    fn to_c(self) -> Result<(i32, i32)> {
        Ok((i32::try_from(self.blocks)?, i32::try_from(self.revokes)?))
    }
}

/// A thread's part in the running transaction.
///
/// The transaction is not committed while this lives, so it should be short, and must not wait for
/// anything that needs a commit. Memory allocated meanwhile is allocated as with `GFP_NOFS`; jbd2
/// sees to that. Dropping it ends it.
///
/// A thread that has a handle and starts another one of the same journal gets the same one once
/// more, without new credits: jbd2's rule.
///
/// # Invariants
///
/// `handle` is valid, belongs to this thread, and one of its references is owned.
pub(crate) struct Handle<'j> {
    handle: NonNull<bindings::handle_t>,
    journal: &'j Journal,
    not_thread_safe: NotThreadSafe,
}

impl Journal {
    /// Takes part in the running transaction, or starts one, with the right to change
    /// `credits.blocks` blocks. Sleeps until the journal has room for them.
    ///
    /// # Errors
    ///
    /// `ENOSPC` if the journal is too small for that many credits at all, `EROFS` if it was given
    /// up, `ENOMEM`.
    pub(crate) fn start(&self, credits: Credits) -> Result<Handle<'_>> {
        let (blocks, revokes) = credits.to_c()?;
        // SAFETY: the journal is valid. The last two arguments are for statistics.
        let handle = from_err_ptr(unsafe {
            bindings::rext4_shim_journal_start(self.as_ptr(), blocks, revokes)
        })?;
        // INVARIANT: it was just started by this thread, or one more reference was taken.
        Ok(Handle {
            handle: NonNull::new(handle).ok_or(code::EIO)?,
            journal: self,
            not_thread_safe: NotThreadSafe,
        })
    }
}

impl<'j> Handle<'j> {
    fn as_ptr(&self) -> *mut bindings::handle_t {
        self.handle.as_ptr()
    }

    /// The journal that this is a handle of.
    pub(crate) fn journal(&self) -> &'j Journal {
        self.journal
    }

    /// The transaction that this takes part in; `None` if jbd2 has taken it away.
    pub(crate) fn tid(&self) -> Option<Tid> {
        let mut tid = 0;
        // SAFETY: the handle is valid, and so is the pointer to `tid`.
        let running = unsafe { bindings::rext4_shim_handle_tid(self.as_ptr(), &mut tid) };
        running.then_some(Tid::from_raw(tid))
    }

    /// How many more blocks may be changed.
    pub(crate) fn credits_left(&self) -> u32 {
        // SAFETY: the handle is valid.
        let left = unsafe { bindings::rext4_shim_handle_credits(self.as_ptr()) };
        u32::try_from(left).unwrap_or(0)
    }

    /// Makes the end of the handle wait for its transaction to be committed.
    pub(crate) fn set_sync(&self) {
        // SAFETY: the handle is valid and belongs to this thread.
        unsafe { bindings::rext4_shim_handle_set_sync(self.as_ptr()) };
    }

    /// Asks for more credits, without giving up the transaction.
    ///
    /// Returns whether they were given. If not, another handle has them, in a new transaction.
    ///
    /// # Errors
    ///
    /// `EROFS` if the journal was given up.
    pub(crate) fn extend(&self, credits: Credits) -> Result<bool> {
        let (blocks, revokes) = credits.to_c()?;
        // SAFETY: the handle is valid and belongs to this thread.
        match unsafe { bindings::jbd2_journal_extend(self.as_ptr(), blocks, revokes) } {
            0 => Ok(true),
            refused if refused > 0 => Ok(false),
            error => Err(Error::from_errno(error)),
        }
    }

    /// Ends the handle. Dropping it does the same, but for saying whether it worked.
    ///
    /// # Errors
    ///
    /// `EIO` if the journal was given up, so that the changes are lost; what the commit ran into, if
    /// [`Self::set_sync`] was called.
    pub(crate) fn stop(self) -> Result {
        let handle = core::mem::ManuallyDrop::new(self);
        // SAFETY: the handle is valid, belongs to this thread, and the reference is ours.
        to_result(unsafe { bindings::jbd2_journal_stop(handle.as_ptr()) })
    }

    /// Asks for write access to a buffer: after that it may be changed, within this transaction.
    ///
    /// Sleeps while the buffer is being written out.
    ///
    /// # Errors
    ///
    /// `EROFS` if the journal was given up, `EIO` if it is given up now because metadata could not
    /// be written before.
    pub(crate) fn write<'a>(&'a self, buffer: &'a Buffer) -> Result<BufferMut<'a>> {
        self.must_work()?;
        // SAFETY: the handle is valid and belongs to this thread; the buffer is valid.
        to_result(unsafe {
            bindings::jbd2_journal_get_write_access(self.as_ptr(), buffer.as_ptr())
        })?;
        Ok(BufferMut {
            handle: self,
            buffer,
        })
    }

    /// Takes the block that was just allocated for metadata into the transaction, all zeros.
    ///
    /// It is not changed until [`Self::write`] and [`BufferMut::edit`] were called for it.
    ///
    /// # Errors
    ///
    /// `EROFS` if the journal was given up, or is given up now because the block still belongs to
    /// a transaction: it was in use.
    pub(crate) fn create(&self, fresh: FreshBuffer) -> Result<Buffer> {
        self.must_work()?;
        fresh.zeroed(|head| {
            // SAFETY: the handle is valid and belongs to this thread; the buffer is valid, and
            // locked by the caller of this closure.
            to_result(unsafe { bindings::jbd2_journal_get_create_access(self.as_ptr(), head) })
        })
    }

    /// Forgets a block of metadata that was freed in this transaction.
    ///
    /// Its changes are not written any more, and it is revoked: recovery will not write an older
    /// version of it over what the block is used for next. Needs a credit to revoke. Other
    /// references to the buffer keep its bytes, which mean nothing from now on.
    ///
    /// # Errors
    ///
    /// `EROFS` if the journal was given up.
    pub(crate) fn forget(&self, buffer: Buffer) -> Result {
        self.must_work()?;
        // SAFETY: the buffer is valid.
        unsafe { bindings::rext4_shim_bh_clear_kinds(buffer.as_ptr()) };
        let none = core::ptr::null_mut();
        // Not given the buffer, this function finds it by its number, and leaves the reference
        // alone. Given it, whether the reference is consumed would depend on the error.
        // SAFETY: the handle is valid, works, and belongs to this thread.
        to_result(unsafe { bindings::jbd2_journal_revoke(self.as_ptr(), buffer.block(), none) })?;
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

    /// The same for a block that need not be in memory: of one that was not changed of late, only
    /// older versions in the journal matter.
    ///
    /// # Errors
    ///
    /// As for [`Self::forget`].
    pub(crate) fn forget_block(&self, fresh: FreshBuffer) -> Result {
        self.forget(fresh.into_unread())
    }

    fn must_work(&self) -> Result {
        // SAFETY: the handle is valid.
        if unsafe { bindings::rext4_shim_handle_is_aborted(self.as_ptr()) } {
            return Err(code::EROFS);
        }
        Ok(())
    }
}

impl Drop for Handle<'_> {
    fn drop(&mut self) {
        // SAFETY: the handle is valid, belongs to this thread, and the reference is ours.
        // An error means that the journal was given up, which the next handle will hear of.
        unsafe { bindings::jbd2_journal_stop(self.as_ptr()) };
    }
}

/// The right to change a buffer, within a transaction.
pub(crate) struct BufferMut<'a> {
    handle: &'a Handle<'a>,
    buffer: &'a Buffer,
}

impl BufferMut<'_> {
    /// Forgets what the contents were found to be, as they become something else.
    pub(crate) fn forget_kinds(&self) {
        // SAFETY: the buffer is valid.
        unsafe { bindings::rext4_shim_bh_clear_kinds(self.buffer.as_ptr()) };
    }

    /// The buffer, to look at.
    pub(crate) fn buffer(&self) -> &Buffer {
        self.buffer
    }

    /// Changes the bytes, and has the change written with the transaction.
    ///
    /// `edit` must not sleep, nor look at this buffer again, and leaves the block's checksum right,
    /// unless that is [late](Self::edit_late).
    /// Needs a credit the first time that a block is changed in a transaction.
    ///
    /// # Errors
    ///
    /// `EROFS` if the journal was given up, `ENOSPC` (and a warning in the log) if the handle has
    /// no credits left. The bytes were changed then, but will not be written.
    pub(crate) fn edit<R>(&self, edit: impl FnOnce(&mut [u8]) -> R) -> Result<R> {
        let result = self.buffer.edit(edit);
        self.make_known()?;
        Ok(result)
    }

    /// As [`Self::edit`], with the bytes of another buffer to look at.
    ///
    /// To nest [`Self::edit`] and [`Buffer::with`] instead would wait for ever if a damaged disk made
    /// both the same buffer.
    ///
    /// # Errors
    ///
    /// `EUCLEAN`, with nothing changed, if both are the same buffer.
    pub(crate) fn edit_from<R>(
        &self,
        source: &Buffer,
        edit: impl FnOnce(&mut [u8], &[u8]) -> R,
    ) -> Result<R> {
        let result = self.buffer.edit_from(source, edit)?;
        self.make_known()?;
        Ok(result)
    }

    fn make_known(&self) -> Result {
        // SAFETY: handle and buffer are valid, and the handle has write access to the buffer: that
        // is what this token stands for.
        to_result(unsafe {
            bindings::jbd2_journal_dirty_metadata(self.handle.as_ptr(), self.buffer.as_ptr())
        })
    }
}
