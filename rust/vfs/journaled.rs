// SPDX-License-Identifier: GPL-2.0

//! Data of files that goes through the journal.
//!
//! Such data is written back into buffers of the device's own page cache, as metadata is, and the journal
//! brings it to the disk with the transaction that it became a part of. From then on, until the journal has
//! written it to its place, the device has older data there, or none: reads take the blocks from these buffers.
//!
//! ```text
//!   page cache of the file ──write_to_journal──▶ buffers of the device ──jbd2──▶ journal, then their place
//!            ▲                                            │                                   │
//!            └──────── as long as they are newer ─────────┴───────────── afterwards ──────────┘
//! ```
//!
//! C headers: `include/linux/iomap.h`, `include/linux/buffer_head.h`

use super::{
    buffer::Buffer,
    inode::Inode,
    iomap::{self, IomapOperations},
    super_block::FileSystem,
    writeback::Writeback,
};
use crate::bindings;
use core::marker::PhantomData;
use kernel::{
    error::{from_result, to_result},
    prelude::*,
};

/// What a folio has to be written: whole blocks in a row.
///
/// # Invariants
///
/// The folio is locked during `'a` and can't be stored to through a mapping, and the range lies in it.
pub struct Source<'a> {
    folio: *mut bindings::folio,
    position: u64,
    len: u32,
    _folio: PhantomData<&'a bindings::folio>,
}

impl Source<'_> {
    /// Where in the file it begins, in bytes.
    pub fn position(&self) -> u64 {
        self.position
    }

    /// How many bytes there are: not zero.
    pub fn len(&self) -> u32 {
        self.len
    }

    /// Copies what is `from` bytes behind the beginning, as much as there is room for. What would lie behind the end is
    /// left as it is. Does not sleep.
    pub fn copy(&self, from: u32, to: &mut [u8]) {
        let len = to.len().min(self.len.saturating_sub(from) as usize);
        // SAFETY: by the invariants the range is a part of the folio; `to` has room for `len` bytes.
        unsafe {
            let at = bindings::rext4_shim_offset_in_folio(self.folio, self.position as i64)
                + from as usize;
            bindings::rext4_shim_copy_from_folio(to.as_mut_ptr().cast(), self.folio, at, len);
        }
    }
}

/// Writes a part of a dirty folio: `writeback_range` for a file whose data goes through the journal. Returns how
/// many bytes are done, or an error.
///
/// # Safety
///
/// Called by iomap, with what it passes to that callback, for an inode of type `T`.
pub(super) unsafe fn write_back<T: FileSystem + Writeback>(
    context: *mut bindings::iomap_writepage_ctx,
    folio: *mut bindings::folio,
    offset: u64,
    len: u32,
) -> isize {
    // SAFETY: iomap passes a valid context for an inode of ours. What it counts as submitted it waits for: nothing
    // is, and a hole is what is not.
    let inode = unsafe {
        (*context).iomap.type_ = bindings::IOMAP_HOLE as u16;
        Inode::<T>::from_raw((*context).inode)
    };
    // INVARIANT: iomap has locked the folio and write-protected it, and the range is a part of it.
    let source = Source {
        folio,
        position: offset,
        len,
        _folio: PhantomData,
    };
    match T::write_to_journal(inode, &source) {
        Ok(done) => done.clamp(1, len) as isize,
        Err(e) => {
            // SAFETY: the folio is locked.
            let end = unsafe { bindings::rext4_shim_folio_end(folio) };
            T::give_back(inode, offset..end);
            e.to_errno() as isize
        }
    }
}

/// Reads a folio.
///
/// # Safety
///
/// `folio` is locked and of an inode of type `T`.
pub(super) unsafe fn read_folio<T: FileSystem + IomapOperations>(folio: *mut bindings::folio) {
    let mut context = bindings::iomap_read_folio_ctx {
        ops: &Table::<T>::READ_OPS,
        cur_folio: folio,
        ..Default::default()
    };
    // SAFETY: as the caller promises; the tables are static.
    unsafe {
        bindings::iomap_read_folio(
            &iomap::Table::<T>::READ,
            &mut context,
            core::ptr::null_mut(),
        )
    };
}

/// Reads folios ahead.
///
/// # Safety
///
/// The VFS passed `request` to `readahead` of an inode of type `T`.
pub(super) unsafe fn readahead<T: FileSystem + IomapOperations>(
    request: *mut bindings::readahead_control,
) {
    let mut context = bindings::iomap_read_folio_ctx {
        ops: &Table::<T>::READ_OPS,
        rac: request,
        ..Default::default()
    };
    // SAFETY: as the caller promises; the tables are static.
    unsafe {
        bindings::iomap_readahead(
            &iomap::Table::<T>::READ,
            &mut context,
            core::ptr::null_mut(),
        )
    };
}

/// The `iomap_read_ops`, and what iomap asks when a part of a block is written.
pub(super) struct Table<T>(PhantomData<T>);

impl<T: FileSystem + IomapOperations> Table<T> {
    const READ_OPS: bindings::iomap_read_ops = bindings::iomap_read_ops {
        read_folio_range: Some(Self::read_range),
        submit_read: Some(submit_read),
        bio_set: core::ptr::null_mut(),
    };

    /// As [`iomap::Table::WRITE_OPS`].
    pub(super) const WRITE_OPS: bindings::iomap_write_ops = bindings::iomap_write_ops {
        read_folio_range: Some(Self::read_before_write),
        ..iomap::Table::<T>::WRITE_OPS
    };

    /// # Safety
    ///
    /// Called by the kernel alone, with what it passes to this callback.
    unsafe extern "C" fn read_range(
        iter: *const bindings::iomap_iter,
        context: *mut bindings::iomap_read_folio_ctx,
        len: usize,
    ) -> i32 {
        // SAFETY: iomap passes a valid iterator over an inode of ours, with a mapping, and a context with a folio that
        // holds the range.
        unsafe {
            let (position, folio) = ((*iter).pos, (*context).cur_folio);
            let range = Range::<T>::new(&(*iter).iomap, (*iter).inode, position, len);
            // Asked in this order: the journal is given up before it lets go of buffers.
            if !range.is_newer_in_memory() && T::is_on_device(range.inode) {
                return bindings::iomap_bio_read_folio_range(iter, context, len);
            }
            let errno = range.read(folio).err().map_or(0, |e| e.to_errno());
            let at = bindings::rext4_shim_offset_in_folio(folio, position);
            bindings::iomap_finish_folio_read(folio, at, len, errno);
        }
        0
    }

    /// # Safety
    ///
    /// Called by the kernel alone, with what it passes to this callback.
    unsafe extern "C" fn read_before_write(
        iter: *const bindings::iomap_iter,
        folio: *mut bindings::folio,
        position: i64,
        len: usize,
    ) -> i32 {
        from_result(|| {
            // SAFETY: iomap passes a valid iterator over an inode of ours, with a mapping, and a locked folio that
            // holds the range.
            unsafe { Range::<T>::new(&(*iter).iomap, (*iter).inode, position, len).read(folio)? };
            Ok(0)
        })
    }
}

/// # Safety
///
/// Called by the kernel alone, with what it passes to this callback.
unsafe extern "C" fn submit_read(
    iter: *const bindings::iomap_iter,
    context: *mut bindings::iomap_read_folio_ctx,
) {
    // SAFETY: what iomap passes is passed on, to what has gathered the bio.
    unsafe {
        if let Some(submit) = bindings::iomap_bio_read_ops.submit_read {
            submit(iter, context);
        }
    }
}

/// A range of a file that lies in one place on the device, of whole blocks.
struct Range<'a, T: FileSystem> {
    inode: &'a Inode<T>,
    /// Bytes in the file, and on the device.
    position: i64,
    start: u64,
    len: usize,
}

impl<T: FileSystem + IomapOperations> Range<'_, T> {
    /// # Safety
    ///
    /// `inode` is valid and of type `T`. The mapping holds the range.
    unsafe fn new(
        map: &bindings::iomap,
        inode: *mut bindings::inode,
        position: i64,
        len: usize,
    ) -> Self {
        Self {
            // SAFETY: as the caller promises.
            inode: unsafe { Inode::from_raw(inode) },
            position,
            start: map.addr.wrapping_add((position - map.offset) as u64),
            len,
        }
    }

    /// The bytes of a block.
    fn block_bytes(&self) -> u32 {
        self.inode.super_block().device().block_bytes()
    }

    /// Where in the range each block begins, and its number on the device.
    fn blocks(&self) -> impl Iterator<Item = (usize, u64)> {
        let (bytes, start) = (self.block_bytes() as usize, self.start);
        (0..self.len)
            .step_by(bytes)
            .map(move |at| (at, (start + at as u64) / bytes as u64))
    }

    /// A block that is newer in memory than on the device.
    fn newer(&self, block: u64) -> Option<Buffer> {
        Buffer::find_newer(self.inode.super_block().device(), block, self.block_bytes())
    }

    /// Whether there is one of these.
    fn is_newer_in_memory(&self) -> bool {
        self.blocks().any(|(_, block)| self.newer(block).is_some())
    }

    /// Reads each block from where it is newest.
    ///
    /// # Safety
    ///
    /// `folio` is locked and holds the range.
    unsafe fn read(&self, folio: *mut bindings::folio) -> Result {
        let bytes = self.block_bytes() as usize;
        // SAFETY: the folio is valid.
        let first = unsafe { bindings::rext4_shim_offset_in_folio(folio, self.position) };
        // Where those begin that are read from the device, in one go.
        let mut pending = None;
        for (at, block) in self.blocks() {
            let Some(buffer) = self.newer(block) else {
                pending.get_or_insert(at);
                continue;
            };
            if let Some(start) = pending.take() {
                // SAFETY: as the caller promises.
                unsafe { self.read_device(folio, first, start..at)? };
            }
            let len = bytes.min(self.len - at);
            // SAFETY: as the caller promises, so that there is room for the bytes, which the buffer has.
            buffer.with(|content| unsafe {
                let from = content.as_ptr().cast();
                bindings::rext4_shim_copy_to_folio(folio, first + at, from, len);
            });
        }
        match pending {
            // SAFETY: as the caller promises.
            Some(start) => unsafe { self.read_device(folio, first, start..self.len) },
            None => Ok(()),
        }
    }

    /// Reads a part of the range from the device; the range begins at byte `first` of the folio.
    ///
    /// # Safety
    ///
    /// As for [`Self::read`].
    unsafe fn read_device(
        &self,
        folio: *mut bindings::folio,
        first: usize,
        part: core::ops::Range<usize>,
    ) -> Result {
        // Asked after the buffers: the journal is given up before it lets go of them.
        if !T::is_on_device(self.inode) {
            return Err(EIO);
        }
        // SAFETY: as the caller promises. What is read lies within the device, as the mapping does.
        to_result(unsafe {
            bindings::rext4_shim_read_into_folio(
                self.inode.super_block().device().as_ptr(),
                (self.start + part.start as u64) >> 9,
                folio,
                first + part.start,
                part.len(),
            )
        })
    }
}
