// SPDX-License-Identifier: GPL-2.0

//! Data for blocks that the caller has chosen, and that are not the file's yet.
//!
//! C source: `fs/iomap/direct-io.c`

use super::{count, map_blocks, DirectIo};
use crate::{
    bindings,
    vfs::{
        file::{IovIter, Kiocb},
        inode::{ExclusiveLock, Inode},
        iomap::{answer, begin_alone, passed, Place},
    },
};
use core::{marker::PhantomData, ptr};
use kernel::prelude::*;

/// Says where a block of the file goes, of so many that are wanted: the block of the device, and how many lie in a row.
pub(crate) type Placing<'a> = &'a dyn Fn(u64, u32) -> Option<(u64, u32)>;

/// The `iomap_ops`.
struct Table<T: DirectIo>(PhantomData<T>);

impl<T: DirectIo> Table<T> {
    const OPS: bindings::iomap_ops = begin_alone(Self::begin);

    /// # Safety
    ///
    /// Called by the kernel alone, with what it passes to this callback, for a request of [`transfer_to`].
    unsafe extern "C" fn begin(
        inode: *mut bindings::inode,
        offset: i64,
        len: i64,
        _flags: u32,
        out: *mut bindings::iomap,
        _source: *mut bindings::iomap,
    ) -> i32 {
        // SAFETY: it is what `transfer_to` has passed, which is valid during the call.
        let placing = unsafe { *passed::<Placing<'_>>(out) };
        let find = |inode: &Inode<T>| {
            map_blocks(inode, (offset as u64, len as u64), |first, most, bits| {
                let (block, len) = placing(first, most).ok_or(EIO)?;
                Ok((len.min(most), Place::Written(block << bits)))
            })
        };
        // SAFETY: iomap passes an inode of ours and a structure to fill.
        unsafe { answer(inode, out, find) }
    }
}

/// Transfers the data of a write to where `placing` says, and waits for it: returns the number of bytes that are on the
/// device. Nothing else of the write is done, nor is the position of the request moved.
///
/// It is of whole blocks, [is accepted](super::is_accepted), and may wait. Nobody else knows these blocks. Pages of the
/// range are written back and dropped before and after it.
///
/// # Errors
///
/// `EAGAIN` if a page can't be dropped; `EFAULT`; `ENOMEM`; those of the device. Some of it may be on the device then.
pub(crate) fn transfer_to<T: DirectIo>(
    request: &Kiocb<'_, T>,
    memory: &mut IovIter<'_>,
    _lock: &ExclusiveLock<'_, T>,
    placing: Placing<'_>,
) -> Result<usize> {
    // A request of its own, which is not asynchronous, and not durable: it is not the file's data yet.
    // SAFETY: the request is valid, not submitted, and what is in it is no resource of its own.
    let mut own = unsafe { ptr::read(request.as_ptr()) };
    own.ki_complete = None;
    own.private = ptr::null_mut();
    own.ki_flags &= !(bindings::REXT4_IOCB_SYNC | bindings::REXT4_IOCB_HIPRI);
    let mut placing = placing;
    // SAFETY: `own` and the memory are valid during the call, which waits for all that it has begun, and the table is
    // static. `placing` is looked at by its callback alone.
    count(unsafe {
        bindings::iomap_dio_rw(
            &raw mut own,
            memory.as_ptr(),
            &Table::<T>::OPS,
            ptr::null(),
            bindings::REXT4_IOMAP_DIO_FORCE_WAIT,
            (&raw mut placing).cast(),
            0,
        )
    })
}
