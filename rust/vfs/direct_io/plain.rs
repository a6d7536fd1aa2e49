// SPDX-License-Identifier: GPL-2.0

//! Direct I/O that changes nothing but data: reads, and writes over blocks that are written.
//!
//! Such a request takes nothing along and has nothing to be done at its end, so it goes by way of
//! `iomap_dio_rw`, which costs less than the kernel's direct I/O by blocks.
//!
//! C source: `fs/iomap/direct-io.c`

use super::{count, map_blocks, DirectIo, ReadMapping};
use crate::{
    bindings,
    vfs::{
        file::{IovIter, Kiocb},
        inode::Inode,
        iomap::{answer, begin_alone, passed, Place},
    },
};
use core::{marker::PhantomData, ptr};
use kernel::{error::code, prelude::*};

/// The `iomap_ops`.
struct Table<T: DirectIo>(PhantomData<T>);

impl<T: DirectIo> Table<T> {
    const OPS: bindings::iomap_ops = begin_alone(Self::begin);

    /// # Safety
    ///
    /// Called by the kernel alone, with what it passes to this callback.
    unsafe extern "C" fn begin(
        inode: *mut bindings::inode,
        offset: i64,
        len: i64,
        flags: u32,
        out: *mut bindings::iomap,
        _source: *mut bindings::iomap,
    ) -> i32 {
        let at_once = flags & bindings::REXT4_IOMAP_NOWAIT != 0;
        // SAFETY: it is what `transfer` has passed, which is valid as long as the range is gone through.
        let begun = unsafe { &*passed::<Begun>(out) };
        // To be polled, what it has is not to be waited for here: the error is told when that is complete.
        let may_end_here = at_once && begun.start != offset && !begun.is_polled;
        let find = |inode: &Inode<T>| {
            map_blocks(inode, (offset as u64, len as u64), |first, most, bits| {
                let found = match T::map_read(inode, first, most, at_once) {
                    // iomap ends the request here, and waits for what it has.
                    Err(e) if may_end_here && e == code::EAGAIN => {
                        return Err(must_go_through_cache())
                    }
                    found => found?,
                };
                Ok(match found {
                    ReadMapping::At { block, len } => (len, Place::Written(block << bits)),
                    // The caller has seen to it that all is written.
                    ReadMapping::Zeros { .. } if flags & bindings::REXT4_IOMAP_WRITE != 0 => {
                        return Err(EIO)
                    }
                    ReadMapping::Zeros { len } => (len, Place::Hole),
                })
            })
        };
        // SAFETY: iomap passes an inode of ours and a structure to fill.
        let result = unsafe { answer(inode, out, find) };
        // SAFETY: as above.
        let (inode, out) = unsafe { (Inode::<T>::from_raw(inode), &mut *out) };
        if flags & bindings::REXT4_IOMAP_WRITE != 0 && !T::is_durable(inode, offset + len) {
            // To be durable it takes `fsync`, and not just a write that goes past the device's cache.
            out.flags |= bindings::REXT4_IOMAP_F_DIRTY as u16;
        }
        if flags & bindings::REXT4_IOMAP_ATOMIC != 0 {
            out.flags |= bindings::REXT4_IOMAP_F_ATOMIC_BIO as u16;
        }
        result
    }
}

/// What is known of a request where its mappings are asked for.
struct Begun {
    /// The byte where it begins.
    start: i64,
    /// Whether the device is polled for it, by who submits it: nobody does while that sleeps.
    is_polled: bool,
}

/// Whether position, memory and the length of each piece of it are whole sectors of the device.
pub(crate) fn is_in_sectors<T: DirectIo>(request: &Kiocb<'_, T>, memory: &IovIter<'_>) -> bool {
    let sector = u64::from(request.inode().super_block().device().logical_block_bytes());
    let bits = request.position() as u64 | memory.alignment() as u64;
    bits & (sector - 1) == 0
}

/// Whether the device can do it: position and length are whole sectors, and each piece of memory is aligned
/// as the device wants it. iomap finds out when it comes to it, with what is before that already done.
pub(crate) fn is_accepted<T: DirectIo>(request: &Kiocb<'_, T>, memory: &IovIter<'_>) -> bool {
    // Few devices want more of memory, and iomap knows.
    if is_in_sectors(request, memory) {
        return true;
    }
    let device = request.inode().super_block().device();
    let range = request.position() as u64 | memory.len() as u64;
    range & u64::from(device.logical_block_bytes() - 1) == 0
        && memory.alignment() & (device.memory_alignment() as usize - 1) == 0
}

/// Reads directly, or writes directly over blocks that are all written; returns the number of bytes or
/// `EIOCBQUEUED`. Moves the position of the request on.
///
/// Pages of the range are written back before, and dropped if it is a write: who writes holds the
/// inode's lock, so that no block becomes unwritten before this has counted itself as direct I/O. It takes no lock.
/// The request [is accepted](is_accepted). One that is to be durable is so when it is complete. A write does not end
/// within a block at the end of the file, whose rest would be filled with zeros.
///
/// # Errors
///
/// `EINVAL` if it is not accepted all the same; `ENOMEM`; `EAGAIN` for one that
/// must not wait, or fewer bytes if it has begun before it would have to and is not polled; [`must_go_through_cache`]; else what [`DirectIo::map_read`] or the device says.
pub(crate) fn transfer<T: DirectIo>(
    request: &mut Kiocb<'_, T>,
    memory: &mut IovIter<'_>,
) -> Result<usize> {
    let mut begun = Begun {
        start: request.position(),
        is_polled: request.is_polled(),
    };
    // SAFETY: request and memory are valid during the call, the request lives until it is completed, and
    // the table is static. `begun` is looked at by its callback alone, which is called during the call.
    count(unsafe {
        bindings::iomap_dio_rw(
            request.as_ptr(),
            memory.as_ptr(),
            &Table::<T>::OPS,
            ptr::null(),
            0,
            (&raw mut begun).cast(),
            0,
        )
    })
}

/// What [`transfer`] says if a page that a mapping stores to can't be dropped: nothing is written yet.
pub(crate) fn must_go_through_cache() -> Error {
    Error::from_errno(-(bindings::ENOTBLK as i32))
}
