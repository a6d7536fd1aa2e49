// SPDX-License-Identifier: GPL-2.0

//! Writing a block in place, past the journal.
//!
//! For the super block alone: it says whether there is a journal to be recovered, so it has to be
//! on disk before the first transaction, and is written once more after the last. While there are
//! transactions it must not be in one that is being written: jbd2 has taken its checksum by then.

use super::{buffer::Buffer, device_block::DeviceBlock};
use crate::bindings;
use kernel::error::{to_result, Result};

impl Buffer {
    /// Changes the bytes and writes the block to its place now; returns when it is durable.
    ///
    /// `edit` must not sleep, nor look at this buffer again. If the block is a part of a
    /// transaction, the change goes to its place before the others of the transaction do: what is
    /// changed must make sense by itself.
    ///
    /// # Errors
    ///
    /// `EIO` if the device can't write it.
    pub(crate) fn write_through<R>(&self, edit: impl FnOnce(&mut [u8]) -> R) -> Result<R> {
        let head = self.as_ptr();
        // SAFETY: the buffer head is valid. From the change to the end of the write nobody else
        // writes the block, and jbd2 does not take it into a transaction: it would not let what is
        // dirty then be written, and who comes second would not know how the write ended.
        unsafe { bindings::rext4_shim_bh_lock(head) };
        let result = self.edit(edit);
        // SAFETY: the buffer head is valid, and was locked above.
        to_result(unsafe { bindings::rext4_shim_bh_write_and_unlock(head) })?;
        Ok(result)
    }

    /// Makes one change to what the device has of the block, and to the bytes; returns when it is durable there.
    /// What else was changed stays where it is: it may be in a transaction that is not committed, and with a journal
    /// that was given up never will be.
    ///
    /// `edit` must not sleep, nor look at this buffer again; it is called for either.
    ///
    /// # Errors
    ///
    /// `ENOMEM`; `EIO` if the device can't read or write it.
    pub(crate) fn write_through_alone<R>(&self, edit: impl Fn(&mut [u8]) -> R) -> Result<R> {
        let mut block = DeviceBlock::new(self.block(), self.size() as u32)?;
        let head = self.as_ptr();
        // SAFETY: the buffer head is valid. Nobody else writes the block meanwhile.
        unsafe { bindings::rext4_shim_bh_lock(head) };
        let written = block.read(self.device()).and_then(|()| {
            edit(block.bytes());
            block.write(self.device())
        });
        let result = self.edit(edit);
        // SAFETY: it was locked above.
        unsafe { bindings::unlock_buffer(head) };
        written?;
        self.device().flush()?;
        Ok(result)
    }
}
