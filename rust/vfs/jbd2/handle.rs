// SPDX-License-Identifier: GPL-2.0

//! Handles, and the tokens to change buffers that they give out.

use super::{in_place::InPlaceHandle, log_handle::LogHandle, Journal, Tid};
use crate::{
    bindings,
    vfs::buffer::{Buffer, FreshBuffer},
};
use kernel::error::Result;

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
}

/// A thread's part in the running transaction.
///
/// The transaction is not committed while this lives, so it should be short, and must not wait for
/// anything that needs a commit. Memory allocated meanwhile is allocated as with `GFP_NOFS`. Dropping
/// it ends it, as [`Self::stop`] does but for saying whether it worked.
///
/// A thread that has a handle and starts another one of the same journal gets the same one once
/// more, without new credits: jbd2's rule.
pub(crate) struct Handle<'j> {
    part: Part<'j>,
    journal: &'j Journal,
}

enum Part<'j> {
    Log(LogHandle<'j>),
    InPlace(InPlaceHandle<'j>),
}

impl Journal {
    /// Takes part in the running transaction, or starts one, with the right to change
    /// `credits.blocks` blocks. Sleeps until the journal has room for them.
    ///
    /// # Errors
    ///
    /// `ENOSPC` if the journal is too small for that many credits at all, `EROFS` if it was given
    /// up or [refuses](Self::refuse_handles) handles, `ENOMEM`.
    pub(crate) fn start(&self, credits: Credits) -> Result<Handle<'_>> {
        let part = self.gate().pass(|| {
            Ok(match self {
                Self::Log(log) => Part::Log(log.start(credits)?),
                Self::InPlace(in_place) => Part::InPlace(in_place.start()?),
            })
        })?;
        Ok(Handle {
            part,
            journal: self,
        })
    }
}

impl<'j> Handle<'j> {
    /// The journal that this is a handle of.
    pub(crate) fn journal(&self) -> &'j Journal {
        self.journal
    }

    /// The transaction that this takes part in; `None` if jbd2 has taken it away.
    pub(crate) fn tid(&self) -> Option<Tid> {
        match &self.part {
            Part::Log(handle) => handle.tid(),
            Part::InPlace(handle) => Some(handle.tid()),
        }
    }

    /// How many more blocks may be changed, but for [spare](Journal::set_spare_credits) ones.
    pub(crate) fn credits_left(&self) -> u32 {
        match &self.part {
            Part::Log(handle) => {
                let spare = self.journal.spare_credits();
                handle.credits_left().saturating_sub(spare)
            }
            Part::InPlace(_) => u32::MAX,
        }
    }

    /// Makes the end of the handle wait for its transaction to be committed.
    pub(crate) fn set_sync(&self) {
        match &self.part {
            Part::Log(handle) => handle.set_sync(),
            Part::InPlace(handle) => handle.set_sync(),
        }
    }

    /// Asks for more credits, without giving up the transaction.
    ///
    /// Returns whether they were given. If not, another handle has them, in a new transaction.
    ///
    /// # Errors
    ///
    /// `EROFS` if the journal was given up.
    pub(crate) fn extend(&self, credits: Credits) -> Result<bool> {
        match &self.part {
            Part::Log(handle) => handle.extend(credits),
            Part::InPlace(_) => Ok(true),
        }
    }

    /// Ends the handle.
    ///
    /// # Errors
    ///
    /// `EIO` if the journal was given up, so that the changes are lost; what the commit ran into, if
    /// [`Self::set_sync`] was called.
    pub(crate) fn stop(self) -> Result {
        match self.part {
            Part::Log(handle) => handle.stop(),
            Part::InPlace(handle) => handle.stop(),
        }
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
        match &self.part {
            Part::Log(handle) => handle.write(buffer)?,
            Part::InPlace(handle) => handle.must_work()?,
        }
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
        match &self.part {
            Part::Log(handle) => handle.create(fresh),
            Part::InPlace(handle) => {
                handle.must_work()?;
                fresh.zeroed(|_| Ok(()))
            }
        }
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
        // SAFETY: the buffer is valid.
        unsafe { bindings::rext4_shim_bh_clear_kinds(buffer.as_ptr()) };
        match &self.part {
            Part::Log(handle) => handle.forget(buffer),
            Part::InPlace(handle) => handle.forget(buffer),
        }
    }

    /// The same for a block that need not be in memory: of one that was not changed of late, only
    /// older versions in the journal matter. `size` is the device's block size, in bytes.
    ///
    /// # Errors
    ///
    /// As for [`Self::forget`].
    pub(crate) fn forget_block(&self, block: u64, size: u32) -> Result {
        match (
            FreshBuffer::find(self.journal.device(), block, size),
            &self.part,
        ) {
            (Some(fresh), _) => self.forget(fresh.into_unread()),
            (None, Part::Log(handle)) => handle.revoke(block),
            (None, Part::InPlace(_)) => Ok(()),
        }
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
        self.change(|| Ok(self.buffer.edit(edit)))
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
        self.change(|| self.buffer.edit_from(source, edit))
    }

    /// Has the bytes changed, and the change written.
    fn change<R>(&self, change: impl FnOnce() -> Result<R>) -> Result<R> {
        match &self.handle.part {
            Part::Log(handle) => {
                let result = change()?;
                // SAFETY: this token stands for write access.
                unsafe { handle.make_known(self.buffer)? };
                Ok(result)
            }
            Part::InPlace(handle) => handle.change(self.buffer, change),
        }
    }

    /// Whether the content gets to the disk as it is now, and not as it is at the end of the
    /// transaction.
    pub(super) fn is_in_place(&self) -> bool {
        matches!(self.handle.part, Part::InPlace(_))
    }
}
