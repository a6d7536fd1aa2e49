// SPDX-License-Identifier: GPL-2.0

//! Checksums that are computed once for each transaction, however often it changes the block.
//!
//! C source: `jbd2_journal_set_triggers()` in `fs/jbd2/transaction.c`
//!
//! jbd2 takes a block's content for the disk at one moment: when it writes the block to the journal,
//! or before that when the next transaction is about to change it. At that moment it calls back, and
//! the block gets its checksum; the bytes in memory, which go to the block's place later, are the same.
//!
//! ```text
//!   Handle::write ─▶ edit_late, edit_late, … ─▶ commit, or the next transaction's write
//!                    "late" is noted             late? then the checksum; noted no more
//! ```
//!
//! Without jbd2 a block may be written at any time, so the checksum is computed with each change.
//!
//! Whether it is late is a bit of `b_state`. While it is, the place of the checksum holds what
//! [`LateChecksum::complete`] needs, and the block is known to be of its [kind](Kind), so nobody
//! looks there. Who looks whether it is of that kind is kept from who edits it by a lock of the inode. Such a block is changed and not committed, so it stays in memory, and never gets to the
//! disk: jbd2 writes it after a commit alone. A program that reads the block device of a mounted
//! file system may see it.

use super::BufferMut;
use crate::{
    bindings,
    vfs::buffer::{with_raw, Buffer, Kind},
};
use kernel::{error::Result, ffi};

/// A kind of blocks whose checksum is computed at the end.
pub(crate) trait LateChecksum {
    /// What blocks with a right checksum are.
    const KIND: Kind;
    /// What the checksum starts from.
    type Seed: Copy;

    /// Puts the seed into the place of the checksum of block `block` of the device, which has these
    /// bytes; false if there is no such place. Must not sleep.
    fn postpone(block: u64, bytes: &mut [u8], seed: Self::Seed) -> bool;

    /// Puts the checksum there. Must not sleep.
    fn complete(block: u64, bytes: &mut [u8]);
}

struct Trigger<C>(core::marker::PhantomData<C>);

impl<C: LateChecksum> Trigger<C> {
    const TYPE: &'static bindings::jbd2_buffer_trigger_type = &bindings::jbd2_buffer_trigger_type {
        t_frozen: Some(frozen::<C>),
        t_abort: None,
    };
}

impl BufferMut<'_> {
    /// As [`Self::edit`], but for the checksum, which is left to the end of the transaction. Without a
    /// seed there is none.
    ///
    /// # Errors
    ///
    /// As for [`Self::edit`].
    pub(crate) fn edit_late<C: LateChecksum, R>(
        &self,
        seed: Option<C::Seed>,
        edit: impl FnOnce(&mut [u8]) -> R,
    ) -> Result<R> {
        self.edit(|bytes| {
            let result = edit(bytes);
            self.postpone::<C>(bytes, seed);
            result
        })
    }

    /// The same as [`Self::edit_from`].
    ///
    /// # Errors
    ///
    /// As for [`Self::edit_from`].
    pub(crate) fn edit_from_late<C: LateChecksum, R>(
        &self,
        source: &Buffer,
        seed: Option<C::Seed>,
        edit: impl FnOnce(&mut [u8], &[u8]) -> R,
    ) -> Result<R> {
        self.edit_from(source, |bytes, source| {
            let result = edit(bytes, source);
            self.postpone::<C>(bytes, seed);
            result
        })
    }

    fn postpone<C: LateChecksum>(&self, bytes: &mut [u8], seed: Option<C::Seed>) {
        if !seed.is_some_and(|seed| C::postpone(self.buffer().block(), bytes, seed)) {
            return;
        }
        if self.is_in_place() {
            return C::complete(self.buffer().block(), bytes);
        }
        let trigger = core::ptr::from_ref(Trigger::<C>::TYPE).cast_mut();
        // SAFETY: the buffer is valid, and in the handle's transaction: that is what this token
        // stands for. The trigger lives as long as the module, and nobody writes to it.
        unsafe {
            bindings::rext4_shim_bh_checksum_late(self.buffer().as_ptr(), trigger, C::KIND.number())
        };
    }
}

/// # Safety
///
/// Called by jbd2 alone, when it takes the content of a buffer.
unsafe extern "C" fn frozen<C: LateChecksum>(
    _trigger: *mut bindings::jbd2_buffer_trigger_type,
    head: *mut bindings::buffer_head,
    _data: *mut ffi::c_void,
    _size: usize,
) {
    // SAFETY: jbd2 has a reference to the buffer, which was filled when it came into the transaction.
    unsafe {
        with_raw(head, |buffer| {
            if bindings::rext4_shim_bh_take_late(head) {
                buffer.edit(|bytes| C::complete(buffer.block(), bytes));
            }
        });
    }
}
