// SPDX-License-Identifier: GPL-2.0

//! Writes that are there as a whole or not at all, and that change more than data.
//!
//! The device does it, for one request of its own that is marked (`REQ_ATOMIC`); or none of the blocks is written before,
//! and they become so in one transaction. The kernel's direct I/O by blocks does not mark any request, nor does it tell of
//! one that ends early, so these go by way of iomap, which makes one bio of a marked write or refuses it. What they take
//! along, and how they are completed, is as with [`super::write()`]:
//!
//! ```text
//!   bio done ─▶ a worker: end_io notes what it is told, and says NOT_YET
//!                     └─▶ ki_complete, ours: into the queue of the inode, and on from there
//! ```
//!
//! C source: `fs/iomap/direct-io.c`

use super::{
    completion::{self, NOT_YET},
    count, give_back, map_blocks, queued, Announced, Carried, DirectIo, HeldLock, WriteMapping,
};
use crate::{
    bindings,
    vfs::{
        file::{IovIter, Kiocb},
        inode::Inode,
        iomap::{answer, begin_alone, passed},
    },
};
use core::{marker::PhantomData, ptr};
use kernel::{
    error::{code, Error},
    ffi,
    prelude::*,
};

/// What makes a write a whole one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WholeBy {
    /// The device, of one marked request.
    Device,
    /// One conversion of blocks that are not written before, which nobody else has claimed.
    Conversion,
}

/// The `iomap_ops` and `iomap_dio_ops`.
struct Table<T: DirectIo>(PhantomData<T>);

impl<T: DirectIo> Table<T> {
    const OPS: bindings::iomap_ops = begin_alone(Self::begin);

    const AT_END: bindings::iomap_dio_ops = bindings::iomap_dio_ops {
        end_io: Some(Self::end_io),
        submit_io: None,
        bio_set: ptr::null_mut(),
    };

    /// # Safety
    ///
    /// Called by the kernel alone, with what it passes to this callback, for a request of [`write_atomic`].
    unsafe extern "C" fn begin(
        inode: *mut bindings::inode,
        offset: i64,
        len: i64,
        flags: u32,
        out: *mut bindings::iomap,
        _source: *mut bindings::iomap,
    ) -> i32 {
        let at_once = flags & bindings::REXT4_IOMAP_NOWAIT != 0;
        // SAFETY: it is the request that `write_atomic` has passed, which is not completed before this has come back for
        // the last time.
        let carried = unsafe { Carried::<T>::lend(passed(out)) };
        let whole = carried.as_ref().and_then(|carried| carried.whole);
        let by = whole.map_or(WholeBy::Device, |(_, by)| by);
        let find = |inode: &Inode<T>| {
            let carried = carried.ok_or(EIO)?;
            let lacks_blocks = &mut carried.lacks_blocks;
            let (io_end, ..) = carried.ended.get_or_insert((None, offset, Err(EIO)));
            map_blocks(inode, (offset as u64, len as u64), |first, most, bits| {
                let mapping = T::map_write(inode, first, most, at_once, io_end)?;
                if let (Some(io_end), true) = (io_end, by == WholeBy::Conversion) {
                    T::note_whole(io_end);
                }
                if let (WriteMapping::Written { .. }, WholeBy::Conversion) = (&mapping, by) {
                    // A mapping was stored to meanwhile, and that was written back: no conversion has all of it any more.
                    return Err(code::EAGAIN);
                }
                let place = mapping.place(bits);
                *lacks_blocks |= place.is_none();
                // iomap ends the request here, with what it has.
                place.ok_or(super::must_go_through_cache())
            })
        };
        // SAFETY: iomap passes an inode of ours and a structure to fill.
        let result = unsafe { answer(inode, out, find) };
        // As new, so that it is ended by a task in any case. That would have the rest of a block filled with
        // zeros, if there were any.
        let mut own = bindings::IOMAP_F_NEW;
        if by == WholeBy::Device {
            own |= bindings::REXT4_IOMAP_F_ATOMIC_BIO;
        }
        // SAFETY: as above.
        unsafe { (*out).flags |= own as u16 };
        result
    }

    /// # Safety
    ///
    /// Called by the kernel alone, with what it passes to this callback, for a request of [`write_atomic`].
    unsafe extern "C" fn end_io(
        kiocb: *mut bindings::kiocb,
        bytes: isize,
        error: i32,
        _flags: u32,
    ) -> i32 {
        // SAFETY: `write_atomic` has put it there, and `begin` is not called any more.
        let Some(carried) = (unsafe { Carried::<T>::lend(kiocb) }) else {
            return NOT_YET;
        };
        // SAFETY: the request is valid.
        let offset = unsafe { (*kiocb).ki_pos };
        let (_, _, result) = carried.ended.get_or_insert((None, offset, Err(EIO)));
        *result = match (error, carried.whole) {
            // Not all of it.
            (0, Some((asked, _))) if bytes > 0 && bytes.unsigned_abs() < asked => {
                Err(if carried.lacks_blocks {
                    code::ENOSPC
                } else {
                    code::EFAULT
                })
            }
            (0, _) => count(bytes),
            (error, _) => Err(Error::from_errno(error)),
        };
        let result = *result;
        // iomap drops cached pages after this, and takes one that is dirty for lost. This writes them first; it comes
        // once more after the conversion.
        completion::invalidate(carried.inode(), offset, result);
        NOT_YET
    }
}

/// iomap has done its part: what it takes for the request's own completion.
///
/// # Safety
///
/// Called by the kernel alone, with a request of [`write_atomic`].
unsafe extern "C" fn on_device<T: DirectIo>(kiocb: *mut bindings::kiocb, _not_yet: ffi::c_long) {
    // SAFETY: the request is not completed, and nobody looks at it after `end_io`.
    let Some(carried) = (unsafe { Carried::<T>::take(kiocb) }) else {
        return;
    };
    if let Some((_, _, Ok(bytes))) = &carried.ended {
        // iomap does not, after NOT_YET, and who syncs goes by it.
        // SAFETY: the request is valid.
        unsafe { (*kiocb).ki_pos += *bytes as i64 };
    }
    // SAFETY: the kernel is done with the request, which is not completed.
    unsafe { completion::queue(carried) };
}

/// Writes directly, as a whole or not at all; returns the number of bytes or `EIOCBQUEUED`.
///
/// The request is one of which `by` is true, of whole blocks, [is accepted](super::is_accepted), and is not all over
/// blocks that are written: for these there is [`super::transfer`]. A write beyond the end of the file needs the lock held
/// exclusively, and is done when this returns, also an asynchronous one. `claim` is dropped when the write is complete.
///
/// # Errors
///
/// `EINVAL` if a write beyond the end comes with a shared lock, or if its blocks are not in a row; `EAGAIN` if a page can't
/// be dropped; `ENOMEM`; `EFAULT`; else what [`DirectIo`] or the device says. No bytes are written if there is no block.
pub(crate) fn write_atomic<T: DirectIo>(
    request: &mut Kiocb<'_, T>,
    memory: &mut IovIter<'_>,
    lock: &HeldLock<'_, T>,
    claim: Option<T::Claim>,
    by: WholeBy,
) -> Result<usize> {
    let inode = request.inode();
    let asked = memory.len();
    let growing = lock.growing(request, asked)?;
    let goes_on = growing.is_none() && request.is_async();
    let mut carried = if goes_on {
        Carried::with_others(request, claim, 0..0)?
    } else {
        Carried::alone(request, growing, claim)?
    };
    carried.whole = Some((asked, by));
    // iomap does not count it any more when it is to be converted.
    let _announced = (!goes_on).then(|| Announced::new(inode));
    let kiocb = request.as_ptr();
    // SAFETY: the request is valid and not submitted, the memory is valid during the call, and the request lives until
    // it is completed; so does what it carries, which refers to the lock only if the call waits for the end. The field
    // is the file system's to use, and iomap's if the device is to be polled. The tables are static.
    let result = count(unsafe {
        (*kiocb).ki_flags &= !bindings::REXT4_IOCB_HIPRI;
        carried.put(kiocb);
        let mut flags = bindings::REXT4_IOMAP_DIO_FORCE_WAIT;
        if goes_on {
            flags = 0;
            (*kiocb).ki_complete = Some(on_device::<T>);
            // As long as the claim is held, see `completion`.
            bindings::rext4_shim_dio_begin(inode.as_ptr());
        }
        bindings::iomap_dio_rw(
            kiocb,
            memory.as_ptr(),
            &Table::<T>::OPS,
            &Table::<T>::AT_END,
            flags,
            kiocb.cast(),
            0,
        )
    });
    if result == Err(queued()) {
        return result;
    }
    // SAFETY: the request does not go on by itself, so it is still ours.
    let result = match unsafe { Carried::take(kiocb) } {
        Some(carried) => completion::at_once(carried, inode, result),
        None => Err(EIO),
    };
    give_back(memory, asked, result);
    result
}
