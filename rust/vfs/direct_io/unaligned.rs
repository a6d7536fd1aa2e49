// SPDX-License-Identifier: GPL-2.0

//! New data from memory that is not aligned to the device's sectors.
//!
//! The kernel's direct I/O by blocks wants memory aligned as it wants the position, to sectors: it counts in
//! them. A device mostly asks for less, and iomap asks for what the device does. So what such a write changes besides
//! data is told to iomap here. It is complete when this returns, also an asynchronous one, so that all of
//! it is on the caller's stack.
//!
//! C source: `fs/iomap/direct-io.c`

use super::{count, map_blocks, DirectIo, HeldLock, WriteMapping, MARK};
use crate::{
    bindings,
    vfs::{
        file::{IovIter, Kiocb},
        inode::{ExclusiveLock, Inode},
        iomap::{answer, begin_alone, passed},
    },
};
use core::{marker::PhantomData, ptr};
use kernel::{
    error::{code, from_result, Error},
    prelude::*,
};

/// A write under way.
struct Writing<'a, T: DirectIo> {
    /// Where it begins, in bytes.
    start: i64,
    /// There was no block for a part of it.
    lacks_blocks: bool,
    /// What it takes along to its end.
    io_end: Option<KBox<T::IoEnd>>,
    /// The inode's lock if it goes beyond the end of the file.
    growing: Option<&'a ExclusiveLock<'a, T>>,
    /// Held until it is dropped.
    claim: Option<T::Claim>,
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
    /// Called by the kernel alone, with what it passes to this callback, for a request of [`write_and_wait`].
    unsafe extern "C" fn begin(
        inode: *mut bindings::inode,
        offset: i64,
        len: i64,
        _flags: u32,
        out: *mut bindings::iomap,
        _source: *mut bindings::iomap,
    ) -> i32 {
        let find = |inode: &Inode<T>| {
            // SAFETY: it is what `write` has passed, which is valid during the request, and only one callback at a
            // time has it.
            let writing = unsafe { &mut *passed::<Writing<'_, T>>(out) };
            map_blocks(inode, (offset as u64, len as u64), |first, most, bits| {
                // Memory can end within a block: it is unmapped meanwhile, or a device's. iomap goes on behind it with
                // nothing, and would clear the block once more, over what is on its way there.
                if offset != writing.start && offset & ((1 << bits) - 1) != 0 {
                    return Err(super::must_go_through_cache());
                }
                let mapping = T::map_write(inode, first, most, false, &mut writing.io_end)?;
                let is_new = matches!(mapping, WriteMapping::Unwritten { .. });
                debug_assert!(!is_new || writing.io_end.is_some());
                let place = mapping.place(bits);
                writing.lacks_blocks |= place.is_none();
                // iomap ends the request here with what it has.
                place.ok_or(super::must_go_through_cache())
            })
        };
        // SAFETY: iomap passes an inode of ours and a structure to fill.
        let result = unsafe { answer(inode, out, find) };
        // To be durable it takes `fsync`, and not just a write that goes past the device's cache.
        // SAFETY: as above.
        unsafe { (*out).flags |= bindings::REXT4_IOMAP_F_DIRTY as u16 };
        result
    }

    /// # Safety
    ///
    /// Called by the kernel alone, with what it passes to this callback, for a request of [`write_and_wait`].
    unsafe extern "C" fn end_io(
        kiocb: *mut bindings::kiocb,
        bytes: isize,
        error: i32,
        _flags: u32,
    ) -> i32 {
        from_result(|| {
            // SAFETY: `write` has put it there and waits for this; the other callback is not called any more.
            let writing = unsafe {
                let marked = (*kiocb).private.cast::<u8>();
                &mut *marked.wrapping_sub(MARK).cast::<Writing<'_, T>>()
            };
            // SAFETY: the request is valid, and its file has an inode of ours.
            let (inode, offset) = unsafe {
                let inode = bindings::rext4_shim_file_inode((*kiocb).ki_filp);
                (Inode::<T>::from_raw(inode), (*kiocb).ki_pos)
            };
            let result = match error {
                0 => count(bytes),
                error => Err(Error::from_errno(error)),
            };
            let io_end = writing.io_end.take();
            let ended = if io_end.is_some() || writing.growing.is_some() {
                T::end_io(inode, io_end, writing.growing, offset, result)
            } else {
                Ok(())
            };
            // Cached pages are dropped after this, with the inode's lock held.
            writing.claim = None;
            ended.and(result).map(|_| 0)
        })
    }
}

/// Writes directly, whatever has to be done besides, and waits for the end: returns the number of bytes.
/// Moves the position of the request on. One that is to be durable is so then.
///
/// Pages of the range are dropped before. A write beyond the end of the file needs the lock held exclusively. The
/// request [is accepted](super::is_accepted), and may wait. `claim` is dropped when the write is complete.
///
/// # Errors
///
/// `EINVAL` if a write beyond the end comes with a shared lock; [`super::must_go_through_cache`]; `ENOMEM`; `EFAULT`; else
/// what [`DirectIo`] or the device says. No bytes are written if there is no block for the first.
pub(crate) fn write_and_wait<T: DirectIo>(
    request: &mut Kiocb<'_, T>,
    memory: &mut IovIter<'_>,
    lock: &HeldLock<'_, T>,
    claim: Option<T::Claim>,
) -> Result<usize> {
    let growing = lock.growing(request, memory.len())?;
    let mut writing = Writing {
        start: request.position(),
        lacks_blocks: false,
        io_end: None,
        growing,
        claim,
    };
    const { assert!(align_of::<Writing<'_, T>>() > MARK) };
    let own = &raw mut writing;
    let kiocb = request.as_ptr();
    // SAFETY: request and memory are valid during the call, which waits for all that it has begun: nobody has
    // `own` after it. The field of the request is the file system's to use, and iomap's if the device is to be
    // polled, which is not for one who waits. The tables are static.
    let written = count(unsafe {
        (*kiocb).ki_flags &= !bindings::REXT4_IOCB_HIPRI;
        (*kiocb).private = own.cast::<u8>().wrapping_add(MARK).cast();
        let result = bindings::iomap_dio_rw(
            kiocb,
            memory.as_ptr(),
            &Table::<T>::OPS,
            &Table::<T>::AT_END,
            bindings::REXT4_IOMAP_DIO_FORCE_WAIT,
            own.cast(),
            0,
        );
        (*kiocb).private = ptr::null_mut();
        result
    })?;
    if written == 0 && !writing.lacks_blocks {
        // iomap forgets that when it has cleared the rest of a block.
        return Err(code::EFAULT);
    }
    Ok(written)
}
