// SPDX-License-Identifier: GPL-2.0

//! Mappings of file ranges for the iomap library, and what is served with them alone.
//!
//! C header: `include/linux/iomap.h`

use super::{
    inode::Inode,
    super_block::FileSystem,
};
use crate::bindings;
use core::marker::PhantomData;
use kernel::{error::from_result, prelude::*};

/// Where a range of a file lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// Nowhere.
    Hole,
    /// At this byte of the device.
    Written(u64),
    /// At this byte of the device, where nothing was written yet: it reads as zeros.
    Unwritten(u64),
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
}

/// What iomap asks of a file system.
pub trait IomapOperations: Sized {
    /// The mapping that holds byte `offset`, which is all that is wanted beyond: `len` bytes.
    fn map(inode: &Inode<Self>, offset: u64, len: u64) -> Result<Mapping>
    where
        Self: FileSystem;

    /// The same for extended attributes instead of data, for FIEMAP; `None` if there are none.
    fn map_xattr(inode: &Inode<Self>, offset: u64) -> Result<Option<Mapping>>
    where
        Self: FileSystem;
}

/// The `iomap_ops`.
pub(super) struct Table<T: FileSystem>(PhantomData<T>);

impl<T: FileSystem> Table<T> {
    /// For reading data.
    pub(super) const READ: bindings::iomap_ops = bindings::iomap_ops {
        iomap_begin: Some(Self::begin),
        iomap_end: None,
        iomap_next: None,
    };

    const XATTR: bindings::iomap_ops = bindings::iomap_ops {
        iomap_begin: Some(Self::begin_xattr),
        iomap_end: None,
        iomap_next: None,
    };

    unsafe extern "C" fn begin(
        inode: *mut bindings::inode,
        offset: i64,
        len: i64,
        _flags: u32,
        out: *mut bindings::iomap,
        _source: *mut bindings::iomap,
    ) -> i32 {
        from_result(|| {
            // SAFETY: iomap passes an inode of ours.
            let inode = unsafe { Inode::<T>::from_raw(inode) };
            let map = T::map(inode, offset as u64, len as u64)?;
            // SAFETY: iomap passes a structure to fill.
            Self::fill(inode, &map, unsafe { &mut *out });
            Ok(0)
        })
    }

    unsafe extern "C" fn begin_xattr(
        inode: *mut bindings::inode,
        offset: i64,
        _len: i64,
        _flags: u32,
        out: *mut bindings::iomap,
        _source: *mut bindings::iomap,
    ) -> i32 {
        from_result(|| {
            // SAFETY: iomap passes an inode of ours.
            let inode = unsafe { Inode::<T>::from_raw(inode) };
            let map = T::map_xattr(inode, offset as u64)?
                .ok_or(kernel::error::code::ENOENT)?;
            // SAFETY: iomap passes a structure to fill.
            let out = unsafe { &mut *out };
            Self::fill(inode, &map, out);
            out.flags |= bindings::IOMAP_F_XATTR as u16;
            Ok(0)
        })
    }

    fn fill(inode: &Inode<T>, map: &Mapping, out: &mut bindings::iomap) {
        let (kind, addr) = match map.place {
            Place::Hole => (bindings::IOMAP_HOLE, u64::MAX),
            Place::Written(addr) => (bindings::IOMAP_MAPPED, addr),
            Place::Unwritten(addr) => (bindings::IOMAP_UNWRITTEN, addr),
        };
        out.type_ = kind as u16;
        out.addr = addr;
        out.offset = map.offset as i64;
        out.length = map.len;
        out.bdev = inode.super_block().device().as_ptr();
    }
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
    let _lock = unsafe { Inode::<T>::from_raw(inode) }.lock_shared();
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
