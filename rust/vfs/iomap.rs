// SPDX-License-Identifier: GPL-2.0

//! Mappings of file ranges for the iomap library, and what is served with them alone.
//!
//! C header: `include/linux/iomap.h`

use super::{
    inode::{ExclusiveLock, Inode},
    ioctl, journaled,
    super_block::FileSystem,
};
use crate::bindings;
use core::{marker::PhantomData, ops::Range};
use kernel::{
    error::{from_result, to_result},
    prelude::*,
};

/// Where a range of a file lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// Nowhere.
    Hole,
    /// Nowhere yet: it has data in the page cache, and blocks are reserved for it. `is_new` says that
    /// they were reserved just now, for this write, and are to be given back as far as it does not
    /// come to them.
    Delayed {
        /// See above.
        is_new: bool,
    },
    /// At this byte of the device.
    Written(u64),
    /// At this byte of the device, where nothing was written yet: it reads as zeros.
    Unwritten(u64),
    /// At this byte of the device, in a block that holds other things too. For FIEMAP alone.
    Inline(u64),
}

impl Place {
    /// Whether it is [`Self::Delayed`].
    pub fn is_delayed(&self) -> bool {
        matches!(self, Self::Delayed { .. })
    }
}

/// Why the page cache is going to be written to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// A write, with the inode's lock held.
    Write,
    /// The same of one that must not wait: what would have to is `EAGAIN`.
    WriteAtOnce,
    /// A page fault, with the folio's lock held: nothing may be waited for that needs folios.
    Fault,
}

/// A range of a file that is in one place.
#[derive(Clone, Copy, Debug)]
pub struct Mapping {
    /// First byte in the file.
    pub offset: u64,
    /// Number of bytes, not zero.
    pub len: u64,
    /// Where it lies.
    pub place: Place,
    /// What [`IomapOperations::map_version`] was when this was found.
    pub version: u64,
}

/// What was passed to iomap as `private`, for who is asked for a mapping.
///
/// # Safety
///
/// `out` is what iomap passes to an `iomap_begin`.
pub(super) unsafe fn passed<P>(out: *mut bindings::iomap) -> *mut P {
    // SAFETY: iomap has `out` in a part of its own of what goes through the range, and `private` with it.
    unsafe {
        (*kernel::container_of!(out, bindings::iomap_iter, iomap))
            .private
            .cast()
    }
}

/// What iomap asks of a file system.
pub trait IomapOperations: Sized {
    /// The mapping that holds byte `offset`, which is all that is wanted beyond: `len` bytes.
    fn map(inode: &Inode<Self>, offset: u64, len: u64) -> Result<Mapping>
    where
        Self: FileSystem;

    /// The same for a range that is going to be written through the page cache: blocks are reserved
    /// for a hole, or it gets some, which are unwritten until writeback is done with them.
    fn map_for_write(inode: &Inode<Self>, offset: u64, len: u64, reason: Reason) -> Result<Mapping>
    where
        Self: FileSystem;

    /// Gives back what is reserved for the blocks that lie wholly in a range of bytes. May be called
    /// with a folio's lock held.
    fn give_back(inode: &Inode<Self>, bytes: Range<u64>)
    where
        Self: FileSystem;

    /// Makes room after a fault found none; whether there may be more now. Called without a folio's
    /// lock.
    fn make_room(inode: &Inode<Self>) -> bool
    where
        Self: FileSystem;

    /// Whether data of the file goes through the journal, so that it may be newer in buffers of the device than on
    /// it. Changes only while nothing of the file is in the page cache, and nothing can come there.
    fn journals_data(inode: &Inode<Self>) -> bool
    where
        Self: FileSystem;

    /// Whether what the device has of such a file is the newest, where there is nothing newer in its buffers. If not,
    /// that can't be read.
    fn is_on_device(inode: &Inode<Self>) -> bool
    where
        Self: FileSystem;

    /// A number that changes with every change of any mapping of the file.
    fn map_version(inode: &Inode<Self>) -> u64
    where
        Self: FileSystem;

    /// Where extended attributes lie, for FIEMAP: a mapping of which all is wanted that begins at byte
    /// 0; `None` if there are none.
    fn map_xattr(inode: &Inode<Self>) -> Result<Option<Mapping>>
    where
        Self: FileSystem;
}

/// The `iomap_ops`.
pub(super) struct Table<T: FileSystem>(PhantomData<T>);

impl<T: FileSystem> Table<T> {
    /// For reading data.
    pub(super) const READ: bindings::iomap_ops = begin_alone(Self::begin);

    /// For writing through the page cache.
    pub(super) const WRITE: bindings::iomap_ops = bindings::iomap_ops {
        iomap_begin: Some(Self::begin_write),
        iomap_end: Some(Self::end_write),
        iomap_next: None,
    };

    /// What iomap asks while it writes to the page cache of this inode.
    pub(super) fn write_ops(inode: &Inode<T>) -> &'static bindings::iomap_write_ops {
        if T::journals_data(inode) {
            &journaled::Table::<T>::WRITE_OPS
        } else {
            &Self::WRITE_OPS
        }
    }

    /// The same where what is newest is on the device.
    pub(super) const WRITE_OPS: bindings::iomap_write_ops = bindings::iomap_write_ops {
        get_folio: Some(bindings::rext4_shim_iomap_get_folio),
        put_folio: None,
        iomap_valid: Some(Self::is_valid),
        read_folio_range: None,
    };

    const XATTR: bindings::iomap_ops = begin_alone(Self::begin_xattr);

    /// # Safety
    ///
    /// Called by the kernel alone, with what it passes to this callback.
    unsafe extern "C" fn begin(
        inode: *mut bindings::inode,
        offset: i64,
        len: i64,
        _flags: u32,
        out: *mut bindings::iomap,
        _source: *mut bindings::iomap,
    ) -> i32 {
        // SAFETY: iomap passes an inode of ours and a structure to fill.
        unsafe { answer(inode, out, |inode| T::map(inode, offset as u64, len as u64)) }
    }

    /// # Safety
    ///
    /// Called by the kernel alone, with what it passes to this callback.
    unsafe extern "C" fn begin_write(
        inode: *mut bindings::inode,
        offset: i64,
        len: i64,
        flags: u32,
        out: *mut bindings::iomap,
        _source: *mut bindings::iomap,
    ) -> i32 {
        let find = |inode: &Inode<T>| {
            if flags & bindings::REXT4_IOMAP_ZERO != 0 {
                // To fill a hole with zeros nothing has to be done.
                return T::map(inode, offset as u64, len as u64);
            }
            let reason = if flags & bindings::REXT4_IOMAP_FAULT != 0 {
                Reason::Fault
            } else if flags & bindings::REXT4_IOMAP_NOWAIT != 0 {
                Reason::WriteAtOnce
            } else {
                Reason::Write
            };
            T::map_for_write(inode, offset as u64, len as u64, reason)
        };
        // SAFETY: iomap passes an inode of ours and a structure to fill.
        unsafe { answer(inode, out, find) }
    }

    /// # Safety
    ///
    /// Called by the kernel alone, with what it passes to this callback.
    unsafe extern "C" fn end_write(
        inode: *mut bindings::inode,
        offset: i64,
        len: i64,
        written: isize,
        flags: u32,
        map: *mut bindings::iomap,
    ) -> i32 {
        // SAFETY: iomap passes an inode of ours and a mapping that we filled.
        unsafe {
            bindings::rext4_shim_iomap_end_write(
                inode,
                offset,
                len,
                written,
                flags,
                map,
                Some(Self::punch),
            )
        };
        0
    }

    /// # Safety
    ///
    /// Called by the kernel alone, with what it passes to this callback.
    unsafe extern "C" fn punch(
        inode: *mut bindings::inode,
        offset: i64,
        len: i64,
        _map: *mut bindings::iomap,
    ) {
        // SAFETY: iomap passes an inode of ours.
        let inode = unsafe { Inode::<T>::from_raw(inode) };
        T::give_back(inode, offset as u64..offset as u64 + len as u64);
    }

    /// # Safety
    ///
    /// Called by the kernel alone, with what it passes to this callback.
    unsafe extern "C" fn is_valid(
        inode: *mut bindings::inode,
        map: *const bindings::iomap,
    ) -> bool {
        // SAFETY: iomap passes an inode of ours and a mapping that we filled.
        unsafe { (*map).validity_cookie == T::map_version(Inode::<T>::from_raw(inode)) }
    }

    /// # Safety
    ///
    /// Called by the kernel alone, with what it passes to this callback.
    unsafe extern "C" fn begin_xattr(
        inode: *mut bindings::inode,
        offset: i64,
        _len: i64,
        _flags: u32,
        out: *mut bindings::iomap,
        _source: *mut bindings::iomap,
    ) -> i32 {
        // SAFETY: iomap passes an inode of ours and a structure to fill.
        unsafe {
            (*out).flags |= bindings::IOMAP_F_XATTR as u16;
            answer(inode, out, |inode: &Inode<T>| {
                let map = T::map_xattr(inode)?.filter(|map| (offset as u64) < map.len);
                map.ok_or(kernel::error::code::ENOENT)
            })
        }
    }
}

/// What iomap asks for a mapping.
type Begin = unsafe extern "C" fn(
    *mut bindings::inode,
    i64,
    i64,
    u32,
    *mut bindings::iomap,
    *mut bindings::iomap,
) -> i32;

/// The `iomap_ops` of something that has nothing to do after a mapping was used.
pub(super) const fn begin_alone(begin: Begin) -> bindings::iomap_ops {
    bindings::iomap_ops {
        iomap_begin: Some(begin),
        iomap_end: None,
        iomap_next: None,
    }
}

/// Tells iomap what `find` finds: the result of an `iomap_begin`.
///
/// # Safety
///
/// `inode` is an inode of type `T`, and `out` a structure that is to be filled.
pub(super) unsafe fn answer<T: FileSystem>(
    inode: *mut bindings::inode,
    out: *mut bindings::iomap,
    find: impl FnOnce(&Inode<T>) -> Result<Mapping>,
) -> i32 {
    from_result(|| {
        // SAFETY: as the caller promises.
        let (inode, out) = unsafe { (Inode::<T>::from_raw(inode), &mut *out) };
        fill(inode, &find(inode)?, out);
        Ok(0)
    })
}

/// Gives a mapping to iomap.
pub(super) fn fill<T: FileSystem>(inode: &Inode<T>, map: &Mapping, out: &mut bindings::iomap) {
    let (kind, addr) = match map.place {
        Place::Hole => (bindings::IOMAP_HOLE, u64::MAX),
        Place::Delayed { .. } => (bindings::IOMAP_DELALLOC, u64::MAX),
        Place::Written(addr) => (bindings::IOMAP_MAPPED, addr),
        Place::Unwritten(addr) => (bindings::IOMAP_UNWRITTEN, addr),
        Place::Inline(addr) => (bindings::IOMAP_INLINE, addr),
    };
    out.type_ = kind as u16;
    if let Place::Delayed { is_new: true } = map.place {
        out.flags |= bindings::IOMAP_F_NEW as u16;
    }
    out.addr = addr;
    out.offset = map.offset as i64;
    out.length = map.len;
    out.bdev = inode.super_block().device().as_ptr();
    out.validity_cookie = map.version;
}

/// Fills a range of the page cache with zeros, where it is not a hole or unwritten.
///
/// The inode's lock is held exclusively.
pub(crate) fn zero_range<T: FileSystem>(
    inode: &Inode<T>,
    _lock: &ExclusiveLock<'_, T>,
    offset: i64,
    len: i64,
) -> Result {
    // SAFETY: the inode is valid and its lock is held; the tables are static.
    to_result(unsafe {
        bindings::iomap_zero_range(
            inode.as_ptr(),
            offset,
            len,
            core::ptr::null_mut(),
            &Table::<T>::WRITE,
            Table::<T>::write_ops(inode),
            core::ptr::null_mut(),
        )
    })
}

/// FIEMAP.
///
/// # Safety
///
/// Called by the VFS with an inode of type `T`.
pub(super) unsafe extern "C" fn fiemap<T: FileSystem>(
    inode: *mut bindings::inode,
    info: *mut bindings::fiemap_extent_info,
    start: u64,
    len: u64,
) -> i32 {
    // SAFETY: the VFS passes an inode of ours.
    let own = unsafe { Inode::<T>::from_raw(inode) };
    let lock = own.lock_shared();
    // SAFETY: the VFS passes a valid request, which nobody else has.
    let prepared = ioctl::precache_if_asked(own, &lock, unsafe { &mut *info })
        .and_then(|()| ioctl::limited(own, start, len));
    let len = match prepared {
        Ok(len) => len,
        Err(e) => return e.to_errno(),
    };
    // SAFETY: the VFS passes a valid request, and the tables are static.
    unsafe {
        if (*info).fi_flags & bindings::FIEMAP_FLAG_XATTR != 0 {
            (*info).fi_flags &= !bindings::FIEMAP_FLAG_XATTR;
            return bindings::iomap_fiemap(inode, info, start, len, &Table::<T>::XATTR);
        }
        bindings::iomap_fiemap(inode, info, start, len, &Table::<T>::READ)
    }
}

/// The next hole (or, with `data`, the next data) at or after byte `offset`.
///
/// # Safety
///
/// `inode` is an inode of type `T`.
pub(super) unsafe fn seek<T: FileSystem>(
    inode: *mut bindings::inode,
    offset: i64,
    data: bool,
) -> i64 {
    // SAFETY: the caller passes an inode of ours.
    let _lock = unsafe { Inode::<T>::from_raw(inode) }.lock_shared();
    // SAFETY: the inode is valid and the tables are static.
    unsafe {
        if data {
            bindings::iomap_seek_data(inode, offset, &Table::<T>::READ)
        } else {
            bindings::iomap_seek_hole(inode, offset, &Table::<T>::READ)
        }
    }
}
