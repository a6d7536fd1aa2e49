// SPDX-License-Identifier: GPL-2.0

//! Buffers: one block of a device in memory, `struct buffer_head`.
//!
//! C header: [`include/linux/buffer_head.h`](srctree/include/linux/buffer_head.h)
//!
//! A block of metadata is shared: sixteen inodes may lie in one block of the inode table, and
//! sixteen threads change them at a time. In C this is a matter of convention, each thread keeps to
//! its own bytes. In Rust a `&mut [u8]` says that nobody else looks at these bytes, so here
//!
//! - bytes are reached only inside a closure, under a spin lock that each buffer has for this alone
//!   (a bit of `b_state`). **The closure must not sleep** and must not look at the same buffer
//!   again. It is short: it parses or edits a block in memory;
//! - bytes are changed only through [`super::jbd2::BufferMut`], which is given out by the journal.
//!
//! ```text
//!   FreshBuffer ──Handle::create──▶ BufferMut ──edit──▶ in the transaction
//!   (of a block just allocated)       ▲
//!   Buffer ───────Handle::write───────┘
//!     └──with, verify_once: look at it
//! ```
//!
//! The lock orders nothing but accesses to bytes. It is innermost: no lock is taken under it, but for
//! that of one other buffer in [`super::jbd2::BufferMut::edit_from`].

use super::block_device::BlockDevice;
use crate::bindings;
use core::{cmp::Ordering, ptr::NonNull, slice};
use kernel::{
    error::{code, to_result, Error, Result},
    fmt,
};

/// What a buffer's contents were found to be, see [`Buffer::verify_once`].
///
/// A file system numbers the kinds of blocks that it has. One that was checked to be a block of one
/// kind is not trusted as a block of another: on a damaged disk both may claim it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Kind(u32);

impl Kind {
    /// The kind with a number below `REXT4_BH_KINDS`, for use in a constant.
    pub(crate) const fn new(number: u32) -> Self {
        assert!(number < bindings::REXT4_BH_KINDS);
        Self(number)
    }

    /// Its number.
    pub(super) const fn number(self) -> u32 {
        self.0
    }
}

/// Where a buffer's memory comes from.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Placement {
    /// Where it can be moved when memory is compacted. For buffers held for a short time.
    Movable,
    /// Where it is not in the way. For buffers that are held as long as the file system is mounted.
    Pinned,
}

/// A reference to one block of a device in memory, with its contents.
///
/// # Invariants
///
/// - `head` points to a `struct buffer_head` of a block device's page cache, and a reference to it
///   is owned. As long as one is, the C code neither frees it nor moves its memory
///   (`drop_buffers()` and `buffer_migrate_folio_norefs()` leave buffers with references alone), and
///   `b_data`, `b_size` and `b_blocknr` do not change.
/// - Its memory was filled, by a read or with zeros. Block devices' pages are never in high memory,
///   so `b_data` is a valid pointer to `b_size` bytes.
pub(crate) struct Buffer {
    head: NonNull<bindings::buffer_head>,
}

// SAFETY: a buffer head belongs to no thread; its reference count is atomic.
unsafe impl Send for Buffer {}

// SAFETY: as for `Send`; its bytes are only reached under its byte lock.
unsafe impl Sync for Buffer {}

impl Buffer {
    /// Reads a block of `size` bytes, `block` counted in this unit from the start of the device.
    ///
    /// Comes from memory if it is there. `size` must be the block size that the device was set to.
    ///
    /// # Errors
    ///
    /// `EIO` if the block lies beyond the end of the device or can't be read.
    pub(crate) fn read(device: &BlockDevice, block: u64, size: u32) -> Result<Self> {
        Self::read_placed(device, block, size, Placement::Movable)
    }

    /// As [`Self::read`], with a choice of where the memory lies.
    pub(crate) fn read_placed(
        device: &BlockDevice,
        block: u64,
        size: u32,
        placement: Placement,
    ) -> Result<Self> {
        let fresh = FreshBuffer::get_placed(device, block, size, placement)?;
        // SAFETY: `fresh` owns a reference to a valid buffer head.
        to_result(unsafe { bindings::rext4_shim_bh_read(fresh.0.head.as_ptr()) })?;
        // INVARIANT: the read has filled it.
        Ok(fresh.0)
    }

    /// A block that is in memory and filled; as [`Self::read`], but without waiting for anything.
    pub(crate) fn find(device: &BlockDevice, block: u64, size: u32) -> Option<Self> {
        // SAFETY: `device` is valid.
        let head = unsafe { bindings::rext4_shim_bh_find(device.as_ptr(), block, size) };
        // INVARIANT: the function gives a reference to a buffer that is filled, or null.
        NonNull::new(head).map(|head| Self { head })
    }

    /// The same, if what the device has may be older. Sleeps.
    pub(crate) fn find_newer(device: &BlockDevice, block: u64, size: u32) -> Option<Self> {
        // SAFETY: `device` is valid.
        let head = unsafe { bindings::rext4_shim_bh_find_newer(device.as_ptr(), block, size) };
        // INVARIANT: the function gives a reference to a buffer that is filled, or null.
        NonNull::new(head).map(|head| Self { head })
    }

    /// Starts to read a block, without waiting, if that is possible and not done yet. Not one that could not be written:
    /// what is in memory of that is newer.
    pub(crate) fn read_ahead(device: &BlockDevice, block: u64, size: u32) {
        if block < device.bytes() / u64::from(size.max(1)) {
            // SAFETY: `device` is valid, and `block` lies within it.
            unsafe { bindings::rext4_shim_bh_read_ahead(device.as_ptr(), block, size) };
        }
    }

    /// The block's number, counted in blocks of [`Self::size`] from the start of the device.
    pub(crate) fn block(&self) -> u64 {
        // SAFETY: by the invariant `head` is valid and its `b_blocknr` does not change.
        unsafe { (*self.head.as_ptr()).b_blocknr }
    }

    /// The device that the block is on.
    pub(crate) fn device(&self) -> &BlockDevice {
        // SAFETY: by the invariant `head` is valid. Whoever has buffers of a device keeps it open.
        unsafe { BlockDevice::from_raw((*self.head.as_ptr()).b_bdev) }
    }

    /// The size in bytes.
    pub(crate) fn size(&self) -> usize {
        // SAFETY: by the invariant `head` is valid and its `b_size` does not change.
        unsafe { (*self.head.as_ptr()).b_size }
    }

    /// Looks at the bytes. `look` must not sleep, nor look at this buffer again.
    pub(crate) fn with<R>(&self, look: impl FnOnce(&[u8]) -> R) -> R {
        look(ByteLock::take(self).bytes())
    }

    /// Checks the contents with `check`, unless that was done before, and remembers it.
    ///
    /// What fails is not remembered, so that the error comes each time. A buffer that leaves
    /// memory is checked again when it comes back. `check` must not sleep.
    pub(crate) fn verify_once<E>(
        &self,
        kind: Kind,
        check: impl FnOnce(&[u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        if self.is_verified(kind) {
            return Ok(());
        }
        self.with(check)?;
        // SAFETY: by the invariant `head` is valid.
        unsafe { bindings::rext4_shim_bh_set_kind(self.as_ptr(), kind.0) };
        Ok(())
    }

    /// Whether the contents were checked and found to be of this kind, see [`Self::verify_once`].
    pub(crate) fn is_verified(&self, kind: Kind) -> bool {
        // SAFETY: by the invariant `head` is valid.
        unsafe { bindings::rext4_shim_bh_is_kind(self.as_ptr(), kind.0) }
    }

    /// The C buffer head, for other wrappers.
    pub(super) fn as_ptr(&self) -> *mut bindings::buffer_head {
        self.head.as_ptr()
    }

    /// Gives the reference away, for functions of C that consume one.
    pub(super) fn into_raw(self) -> *mut bindings::buffer_head {
        core::mem::ManuallyDrop::new(self).head.as_ptr()
    }

    /// Changes the bytes. `edit` must not sleep, nor look at this buffer again.
    ///
    /// Only for the journal's token: it is the one that has to make the change known.
    pub(super) fn edit<R>(&self, edit: impl FnOnce(&mut [u8]) -> R) -> R {
        edit(ByteLock::take(self).bytes_mut())
    }

    /// Changes the bytes, with those of another buffer to look at. See [`Self::edit`].
    ///
    /// The locks are taken in the order of addresses, so that nobody who does the same waits for
    /// ever.
    ///
    /// # Errors
    ///
    /// `EUCLEAN` if both are the same: then something on disk claims one block twice.
    pub(super) fn edit_from<R>(
        &self,
        source: &Self,
        edit: impl FnOnce(&mut [u8], &[u8]) -> R,
    ) -> Result<R> {
        let (mut own, other);
        match self.head.cmp(&source.head) {
            Ordering::Less => {
                own = ByteLock::take(self);
                other = ByteLock::take(source);
            }
            Ordering::Greater => {
                other = ByteLock::take(source);
                own = ByteLock::take(self);
            }
            Ordering::Equal => {
                return Err(Error::from_errno(-(kernel::bindings::EUCLEAN as i32)));
            }
        }
        Ok(edit(own.bytes_mut(), other.bytes()))
    }
}

impl Clone for Buffer {
    fn clone(&self) -> Self {
        // SAFETY: by the invariant `head` is valid.
        unsafe { bindings::rext4_shim_bh_ref(self.as_ptr()) };
        // INVARIANT: the new reference was just taken.
        Self { head: self.head }
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        // SAFETY: by the invariant a reference is owned, and this is its end.
        unsafe { bindings::__brelse(self.as_ptr()) };
    }
}

impl fmt::Debug for Buffer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Buffer").field(&self.block()).finish()
    }
}

/// Looks at a buffer that the kernel hands to a callback.
///
/// # Safety
///
/// The buffer is valid during the call, filled, and in a block device's page cache.
pub(super) unsafe fn with_raw<R>(
    head: *mut bindings::buffer_head,
    look: impl FnOnce(&Buffer) -> R,
) -> Option<R> {
    // INVARIANT: as the caller promises; the reference is the caller's, and not given up here.
    let buffer = NonNull::new(head).map(|head| core::mem::ManuallyDrop::new(Buffer { head }));
    buffer.map(|buffer| look(&buffer))
}

/// A buffer whose contents do not matter: that of a block which was allocated just now.
///
/// There is nothing to be done with it but to hand it to [`super::jbd2::Handle::create`], so that
/// memory which was never filled can't be looked at.
pub(crate) struct FreshBuffer(
    /// Keeps all of [`Buffer`]'s invariants but the last.
    Buffer,
);

impl FreshBuffer {
    /// The buffer of a block that was just allocated. See [`Buffer::read`] for `block` and `size`.
    ///
    /// # Errors
    ///
    /// `EIO` if the block lies beyond the end of the device, `ENOMEM`.
    pub(crate) fn get(device: &BlockDevice, block: u64, size: u32) -> Result<Self> {
        Self::get_placed(device, block, size, Placement::Movable)
    }

    /// The buffer of a block if there is one in memory. Sleeps.
    pub(crate) fn find(device: &BlockDevice, block: u64, size: u32) -> Option<Self> {
        // SAFETY: `device` is valid.
        let head = unsafe { bindings::rext4_shim_bh_find_any(device.as_ptr(), block, size) };
        // INVARIANT: the function gives a reference to a buffer of the device's page cache, or null.
        NonNull::new(head).map(|head| Self(Buffer { head }))
    }

    fn get_placed(
        device: &BlockDevice,
        block: u64,
        size: u32,
        placement: Placement,
    ) -> Result<Self> {
        // The C code would look for such a block for ever.
        if size == 0 || block >= device.bytes() / u64::from(size) {
            return Err(code::EIO);
        }
        let movable = placement == Placement::Movable;
        // SAFETY: `device` is valid and open, and the block lies within it.
        let head = unsafe { bindings::rext4_shim_bh_get(device.as_ptr(), block, size, movable) };
        // INVARIANT: the function returns a reference to a buffer of the device's page cache.
        NonNull::new(head)
            .map(|head| Self(Buffer { head }))
            .ok_or(code::ENOMEM)
    }

    /// The same with its contents, if it has any in memory.
    pub(crate) fn filled(self) -> core::result::Result<Buffer, Self> {
        // SAFETY: the buffer head is valid.
        match unsafe { bindings::rext4_shim_bh_is_filled(self.0.as_ptr()) } {
            // INVARIANT: it is filled, as was just asked.
            true => Ok(self.0),
            false => Err(self),
        }
    }

    /// The buffer as it is, for functions of C that do not look at its contents.
    pub(super) fn into_unread(self) -> Buffer {
        self.0
    }

    /// Fills the block with zeros and forgets what was known of its former contents.
    ///
    /// `join` takes it into a transaction before that: a buffer must not be filled before the
    /// journal knows that its former contents are void.
    pub(super) fn zeroed(
        self,
        join: impl FnOnce(*mut bindings::buffer_head) -> Result,
    ) -> Result<Buffer> {
        let head = self.0.as_ptr();
        // SAFETY: `head` is valid. The lock keeps reads and writes of the block away.
        unsafe { bindings::rext4_shim_bh_lock(head) };
        let joined = join(head);
        if joined.is_ok() {
            // SAFETY: `head` is valid and locked. It takes the byte lock, and fills `b_size` bytes.
            unsafe { bindings::rext4_shim_bh_zero(head) };
        }
        // SAFETY: it was locked above.
        unsafe { bindings::unlock_buffer(head) };
        // INVARIANT: it is filled now.
        joined.map(|()| self.0)
    }
}

/// The right to a buffer's bytes, while its byte lock is held.
///
/// # Invariants
///
/// The buffer's byte lock is held by this value.
struct ByteLock<'b>(&'b Buffer);

impl<'b> ByteLock<'b> {
    fn take(buffer: &'b Buffer) -> Self {
        // SAFETY: the buffer head is valid. Spins until the lock is free.
        unsafe { bindings::rext4_shim_bh_lock_bytes(buffer.as_ptr()) };
        // INVARIANT: it was just taken.
        Self(buffer)
    }

    fn data(&self) -> *mut u8 {
        // SAFETY: the buffer head is valid, and its `b_data` does not change.
        unsafe { (*self.0.as_ptr()).b_data.cast() }
    }

    fn bytes(&self) -> &[u8] {
        // SAFETY: by the invariants of `Buffer` these bytes are valid and initialized. Whoever
        // changes them in Rust holds the byte lock, which is ours for the life of the slice. The
        // kernel changes them only while it reads the block, which it does once, before there is a
        // `Buffer`. (A process that writes to the device of a mounted file system can change them
        // too; CONFIG_BLK_DEV_WRITE_MOUNTED=n forbids it. Parsers here take any bytes, and none
        // relies on reading the same twice for memory safety.)
        unsafe { slice::from_raw_parts(self.data(), self.0.size()) }
    }

    fn bytes_mut(&mut self) -> &mut [u8] {
        // SAFETY: as for `bytes`. Nobody else in Rust sees the bytes, since the lock is ours. The
        // kernel copies them for a commit only when no transaction that may change them is open,
        // and writes them to their place only when they are in no transaction: see
        // `do_get_write_access()` in fs/jbd2/transaction.c.
        unsafe { slice::from_raw_parts_mut(self.data(), self.0.size()) }
    }
}

impl Drop for ByteLock<'_> {
    fn drop(&mut self) {
        // SAFETY: by the invariant it is held by this value.
        unsafe { bindings::rext4_shim_bh_unlock_bytes(self.0.as_ptr()) };
    }
}
