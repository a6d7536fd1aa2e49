// SPDX-License-Identifier: GPL-2.0

//! Direct I/O through the kernel's `__blockdev_direct_IO`.
//!
//! C source: `fs/direct-io.c`
//!
//! A write may need something done when its data is on the device. What is needed for that is a
//! value of the file system's type [`DirectIo::IoEnd`], and it has one owner at any time:
//!
//! ```text
//!   map_write ──makes or extends──▶ the request (b_private, then dio->private) ──▶ end_io
//! ```
//!
//! It is made by the first [`DirectIo::map_write`] of a request that needs it, is lent to the
//! later ones, and is given to [`DirectIo::end_io`] when the last byte of the request is done. The
//! request is all that knows it. For an asynchronous request that has one, a worker of the super block
//! does what there is to do; else the task that made the request: always where it may sleep.
//!
//! What a write has claimed before it was submitted, a [`DirectIo::Claim`], goes another way:
//!
//! ```text
//!   write() ──▶ the request (kiocb->private) ──▶ dropped after the end, and when no page is left in the
//!                                                cache that may have been read before it
//! ```
//!
//! Who waits for a claim may change a page of the range when he has it. That page must not be dropped,
//! nor be found by one who wants to drop it and takes that for an error. So either the inode's lock is
//! held to the end of the request (one that is not asynchronous, or goes beyond the end of the file), or
//! the kernel's direct I/O is kept from dropping pages, which it does after `end_io`: an asynchronous
//! write with a claim is completed together with others of its inode that are ready by then, see
//! [`completion`].
//!
//! Those at the end of a file are, besides, completed in their order: see [`mod@append`].
//!
//! `map_write` has no use for a claim, and could not get at it.
//!
//! Reads and writes over written blocks have neither: see [`mod@plain`]. From memory that is not aligned to sectors
//! new data goes by way of iomap: see [`mod@unaligned`]. So does what is to be there as a whole or not at all: see
//! [`mod@atomic`], and [`mod@placed`] where the device can't do that.

mod append;
mod atomic;
mod completion;
mod placed;
mod plain;
mod unaligned;

pub(crate) use append::{append, Appends, EndOfFile};
pub(crate) use atomic::{write_atomic, WholeBy};
pub(crate) use completion::{DoneQueue, Ended, TOGETHER};
pub(crate) use placed::transfer_to;
pub(crate) use plain::{is_accepted, is_in_sectors, must_go_through_cache, transfer};
pub(crate) use unaligned::write_and_wait;

use super::{
    file::{count, IovIter, Kiocb},
    inode::{ExclusiveLock, Inode, SharedLock},
    iomap::{Mapping, Place},
    super_block::FileSystem,
    writeback::IoendWorkers,
};
use crate::bindings;
use completion::Complete;
use core::{ops::Range, ptr};
use kernel::{
    error::{code, from_result, Error},
    ffi,
    prelude::*,
    sync::rcu,
};

/// More blocks than this are in no extent, so nobody asks for more at once.
const MOST_BLOCKS: u32 = 1 << 20;

/// Where the next blocks of a read are.
pub enum ReadMapping {
    /// So many blocks read as zeros.
    Zeros {
        /// How many blocks, at least one.
        len: u32,
    },
    /// At this block of the device, and so many of them.
    At {
        /// The first block on the device.
        block: u64,
        /// How many blocks, at least one.
        len: u32,
    },
}

/// Where the next blocks of a write go.
pub enum WriteMapping {
    /// There is no place for them: the write ends before them.
    End,
    /// They were written before.
    Written {
        /// The first block on the device.
        block: u64,
        /// How many blocks, at least one.
        len: u32,
    },
    /// They were not written yet: what a request leaves of its first and last block is to be
    /// filled with zeros, and `end_io` has to make them written. There is an `IoEnd`.
    Unwritten {
        /// The first block on the device.
        block: u64,
        /// How many blocks, at least one.
        len: u32,
    },
}

impl WriteMapping {
    /// How many blocks, and where the first of them is for iomap, given the bits of the size of a block; `None` for
    /// [`Self::End`].
    fn place(self, bits: u8) -> Option<(u32, Place)> {
        match self {
            Self::End => None,
            Self::Written { block, len } => Some((len, Place::Written(block << bits))),
            Self::Unwritten { block, len } => Some((len, Place::Unwritten(block << bits))),
        }
    }
}

/// How many writes there are at the end of a file, the one that is asked for included.
#[derive(Clone, Copy)]
pub struct ChainLength {
    /// That have not ended.
    pub under_way: u32,
    /// Since there was none.
    pub added: u32,
}

/// What direct I/O asks of a file system.
pub trait DirectIo: FileSystem {
    /// What a write takes along to its end.
    type IoEnd: Send;

    /// What a write has for itself from before its submission to after its end. It is dropped by a
    /// task, and dropping it must not sleep.
    type Claim: Send;

    /// Where block `block` of the file and up to `max - 1` after it are. For who writes over them too, if they are
    /// written.
    ///
    /// # Errors
    ///
    /// If it has to be `at_once`, `EAGAIN` in place of waiting for anything.
    fn map_read(inode: &Inode<Self>, block: u64, max: u32, at_once: bool) -> Result<ReadMapping>;

    /// Whether all that it takes to read the bytes of a file up to `end` back is on disk, if they are in written
    /// blocks.
    fn is_durable(inode: &Inode<Self>, end: i64) -> bool;

    /// Where block `block` of the file and up to `max - 1` after it are to be written.
    ///
    /// `io_end` is the request's own; it has to be there when `Unwritten` is returned.
    ///
    /// # Errors
    ///
    /// If it has to be `at_once`, `EAGAIN` in place of waiting for anything.
    fn map_write(
        inode: &Inode<Self>,
        block: u64,
        max: u32,
        at_once: bool,
        io_end: &mut Option<KBox<Self::IoEnd>>,
    ) -> Result<WriteMapping>;

    /// The write is to be there as a whole or not at all, which the device does not do.
    fn note_whole(io_end: &mut Self::IoEnd);

    /// The same for a write at the end of the file. The inode's lock is held exclusively.
    fn map_append(
        inode: &Inode<Self>,
        block: u64,
        max: u32,
        chain: ChainLength,
        io_end: &mut Option<KBox<Self::IoEnd>>,
    ) -> Result<WriteMapping>;

    /// A write is done that has an `IoEnd` or that goes beyond the end of the file: `result` bytes
    /// from byte `offset` on are on the device, or it failed. An error becomes the result of the
    /// write. May sleep.
    ///
    /// `growing` is the inode's lock if the write went beyond the end of the file; it is held by
    /// the task that wrote, which is in the middle of [`write()`].
    fn end_io(
        inode: &Inode<Self>,
        io_end: Option<KBox<Self::IoEnd>>,
        growing: Option<&ExclusiveLock<'_, Self>>,
        offset: i64,
        result: Result<usize>,
    ) -> Result;

    /// The same for several asynchronous writes of one inode, none of which goes beyond the end of
    /// the file: each is told how it ended.
    fn end_all(inode: &Inode<Self>, writes: &mut [Option<Ended<Self>>]);

    /// The same for several asynchronous writes at the end of a file, in its order, before which
    /// none is left. It moves the end of the file.
    fn end_appends(
        inode: &Inode<Self>,
        writes: &mut [Option<Ended<Self>>],
        end: &EndOfFile<'_, Self>,
    );

    /// The place of the queue of such writes in an inode.
    fn done_queue(inode: &Inode<Self>) -> &DoneQueue;

    /// Whether blocks were allocated for the write as it was submitted.
    fn has_filled(io_end: &Self::IoEnd) -> bool;

    /// Who completes what is in that queue, on any processor. They wait for no folio.
    fn completion_workers(inode: &Inode<Self>) -> &IoendWorkers;

    /// The place of the chain of those at the end of a file.
    fn appends(inode: &Inode<Self>) -> &Appends<Self>;
}

/// What the kernel tells `end_io`: what the write took along, its first byte, and how it went.
type EndIo<T> = (Option<KBox<<T as DirectIo>::IoEnd>>, i64, Result<usize>);

/// What [`write()`] puts into the request.
#[repr(C)]
struct Carried<'a, T: DirectIo> {
    /// For the queue of those that are on the device.
    node: bindings::llist_node,
    /// For a task that may wait for folios.
    later: bindings::work_struct,
    /// The request.
    kiocb: *mut bindings::kiocb,
    /// Whom to tell that the request is complete, if it is [completed with others](Ended).
    complete: Complete,
    /// What `end_io` was told, then; of an [atomic] write that is under way, what it takes along.
    ended: Option<EndIo<T>>,
    /// The inode's lock if the write goes beyond the end of the file, with [`write()`] waiting for it
    /// to be complete.
    growing: Option<&'a ExclusiveLock<'a, T>>,
    /// The bytes of a write at the end of the file, which is completed after those before it; none of
    /// another.
    appended: Range<i64>,
    /// Of an [atomic] write: its bytes, of which none is there if not all are, and how it comes to be so.
    whole: Option<(usize, WholeBy)>,
    /// There was no block for a part of it.
    lacks_blocks: bool,
    /// What comes after it in a list.
    behind: Option<KBox<Self>>,
    /// Held until it is dropped.
    claim: Option<T::Claim>,
}

impl<'a, T: DirectIo> Carried<'a, T> {
    /// What a request takes along that is completed by itself.
    fn alone(
        request: &Kiocb<'_, T>,
        growing: Option<&'a ExclusiveLock<'a, T>>,
        claim: Option<T::Claim>,
    ) -> Result<KBox<Self>> {
        let carried = Self {
            node: bindings::llist_node::default(),
            later: bindings::work_struct::default(),
            kiocb: request.as_ptr(),
            complete: None,
            ended: None,
            growing,
            appended: 0..0,
            whole: None,
            lacks_blocks: false,
            behind: None,
            claim,
        };
        Ok(KBox::new(carried, GFP_KERNEL)?)
    }

    /// What an asynchronous request takes along that is completed with others.
    fn with_others(
        request: &Kiocb<'_, T>,
        claim: Option<T::Claim>,
        appended: Range<i64>,
    ) -> Result<KBox<Self>> {
        let mut carried = Self::alone(request, None, claim)?;
        // SAFETY: the request is valid.
        carried.complete = unsafe { (*request.as_ptr()).ki_complete };
        carried.appended = appended;
        Ok(carried)
    }

    /// Puts it into a request.
    ///
    /// # Safety
    ///
    /// `kiocb` is one that [`write()`] has prepared, is not completed, has nothing in it, and nobody else looks at it.
    unsafe fn put(self: KBox<Self>, kiocb: *mut bindings::kiocb) {
        const { assert!(align_of::<Self>() > MARK) };
        let marked = KBox::into_raw(self).cast::<u8>().wrapping_add(MARK);
        // SAFETY: the request is valid, by the promise, and this field is the file system's to use.
        unsafe { (*kiocb).private = marked.cast() };
    }

    /// Lends what is in a request; `None` if nothing is.
    ///
    /// # Safety
    ///
    /// As for [`Self::take`], for as long as it is lent.
    unsafe fn lend<'b>(kiocb: *mut bindings::kiocb) -> Option<&'b mut Self> {
        // SAFETY: the request is valid, by the promise.
        let raw = unsafe { (*kiocb).private }.cast::<u8>();
        // SAFETY: `put` has put the box there, marked.
        (!raw.is_null()).then(|| unsafe { &mut *raw.wrapping_sub(MARK).cast::<Self>() })
    }

    /// Takes it out of a request; `None` if it has none, or if it was taken before.
    ///
    /// # Safety
    ///
    /// `kiocb` is one that [`write()`] has prepared, is not completed, and nobody else looks at it.
    unsafe fn take(kiocb: *mut bindings::kiocb) -> Option<KBox<Self>> {
        // SAFETY: the request is valid, by the promise.
        let raw = unsafe { core::mem::replace(&mut (*kiocb).private, core::ptr::null_mut()) };
        let raw = raw.cast::<u8>();
        // SAFETY: `put` has put the box there, marked, and whoever takes it leaves null.
        (!raw.is_null()).then(|| unsafe { KBox::from_raw(raw.wrapping_sub(MARK).cast()) })
    }
}

/// Added to the pointer to what a request carries. iomap has a bio at the same place while the device is to be polled,
/// without anything else that tells them apart.
const MARK: usize = 1;

/// Asks the device whether a request is done, for one who does not want to be interrupted. One that carries something is
/// ended by an interrupt and, mostly, by a worker.
///
/// # Safety
///
/// Called by the kernel alone, with what it passes to `iopoll` of the `file_operations`.
pub(super) unsafe extern "C" fn poll(
    kiocb: *mut bindings::kiocb,
    batch: *mut bindings::io_comp_batch,
    flags: u32,
) -> i32 {
    let _guard = rcu::Guard::new();
    // SAFETY: the kernel passes a request that was submitted and is not freed; who completes it changes the field.
    let carried = unsafe { (&raw const (*kiocb).private).read_volatile() };
    if carried.is_null() || carried.addr() & MARK != 0 {
        return 0;
    }
    // SAFETY: else iomap has put a bio there, which was not freed for another use than as a bio before `_guard` came.
    unsafe { bindings::bio_poll(carried.cast(), batch, flags) }
}

/// The inode's lock, as a writer holds it: it keeps the file's blocks where they are.
pub enum HeldLock<'a, T: FileSystem> {
    /// Together with other writers.
    Shared(SharedLock<'a, T>),
    /// Alone.
    Exclusive(ExclusiveLock<'a, T>),
}

impl<'a, T: FileSystem> HeldLock<'a, T> {
    /// The lock, if a write of so many bytes goes beyond the end of the file; `EINVAL` if it is not held alone then.
    fn growing(
        &self,
        request: &Kiocb<'_, T>,
        bytes: usize,
    ) -> Result<Option<&ExclusiveLock<'a, T>>> {
        let grows = request.end_of(bytes) > request.inode().size();
        match self {
            Self::Exclusive(lock) if grows => Ok(Some(lock)),
            Self::Shared(_) if grows => Err(code::EINVAL),
            _ => Ok(None),
        }
    }
}

/// A direct I/O that was announced, so that [`Inode::wait_for_direct_io`] waits for its end.
pub(crate) struct Announced<'a, T: FileSystem>(&'a Inode<T>);

impl<'a, T: FileSystem> Announced<'a, T> {
    /// Announces it.
    pub(crate) fn new(inode: &'a Inode<T>) -> Self {
        // SAFETY: the inode is valid.
        unsafe { bindings::rext4_shim_dio_begin(inode.as_ptr()) };
        Self(inode)
    }
}

impl<T: FileSystem> Drop for Announced<'_, T> {
    fn drop(&mut self) {
        // SAFETY: the inode is valid, and it was announced by `new`.
        unsafe { bindings::rext4_shim_dio_end(self.0.as_ptr()) };
    }
}

/// Moves the memory of a request that is complete to behind what was transferred: who goes on with
/// the rest goes on there.
fn give_back(memory: &mut IovIter<'_>, asked: usize, result: Result<usize>) {
    let done = match result {
        Ok(done) => done,
        // The request is under way, and the memory not ours any more.
        Err(e) if e == queued() => return,
        Err(_) => 0,
    };
    memory.revert(asked.saturating_sub(done).saturating_sub(memory.len()));
}

/// `EIOCBQUEUED`: the request goes on by itself.
fn queued() -> Error {
    Error::from_errno(-(bindings::EIOCBQUEUED as i32))
}

/// Writes directly; returns the number of bytes or `EIOCBQUEUED`.
///
/// A write beyond the end of the file needs the lock held exclusively, and is done when this
/// returns, also an asynchronous one. `claim` is dropped when the write is complete.
///
/// # Errors
///
/// `EINVAL` if such a write comes with a shared lock, or if it is not [in sectors](is_in_sectors); `ENOMEM`; else what [`DirectIo`] or the device says.
pub(crate) fn write<T: DirectIo>(
    request: &mut Kiocb<'_, T>,
    memory: &mut IovIter<'_>,
    lock: &HeldLock<'_, T>,
    claim: Option<T::Claim>,
) -> Result<usize> {
    let inode = request.inode();
    let asked = memory.len();
    let end = request.end_of(asked);
    let growing = lock.growing(request, asked)?;
    let with_others = growing.is_none() && claim.is_some() && request.is_async();
    let carried = if with_others {
        Some(Carried::with_others(request, claim, 0..0)?)
    } else if growing.is_some() || claim.is_some() {
        Some(Carried::alone(request, growing, claim)?)
    } else {
        None
    };
    let get_block: GetBlock = match (with_others, request.is_nowait()) {
        (true, false) => get_block::<T, false>,
        (true, true) => get_block::<T, true>,
        (false, false) => get_block_and_defer::<T, false>,
        (false, true) => get_block_and_defer::<T, true>,
    };
    // SAFETY: it is the request's own inode. A reference to the lock is in there only if the request
    // ends beyond the end of the file, which does not move while its lock is held;
    // `__blockdev_direct_IO` then completes the request, and calls `end_io`, before it returns.
    let result = match unsafe { submit(request, memory, inode.as_ptr(), carried, get_block) } {
        // The device was faster than the submission, which must not wait for what is to be done then.
        (_, Some(carried)) if with_others && request.is_nowait() && carried.is_whole(asked) => {
            // SAFETY: the request is not submitted any more, nor completed. One with others borrows no lock.
            unsafe {
                let carried = KBox::from_raw(KBox::into_raw(carried).cast());
                completion::queue_early::<T>(carried, end)
            }
        }
        (result, Some(carried)) => completion::at_once(carried, inode, result),
        (result, None) => result,
    };
    give_back(memory, asked, result);
    if result == Err(EIO) {
        report_lost(inode, request.position());
    }
    result
}

/// Tells those who watch the file system (`FAN_FS_ERROR`) of a write that did not get to the device. What goes by way
/// of iomap is told there. May sleep.
fn report_lost<T: FileSystem>(inode: &Inode<T>, position: i64) {
    // SAFETY: the inode is valid.
    unsafe { bindings::rext4_shim_report_lost_write(inode.as_ptr(), position) };
}

/// A function that says where blocks are to be written.
type GetBlock = unsafe extern "C" fn(
    *mut bindings::inode,
    bindings::sector_t,
    *mut bindings::buffer_head,
    i32,
) -> i32;

/// Hands a write to the kernel's direct I/O. Gives back what it was to take along, if it does not go
/// on by itself.
///
/// # Safety
///
/// `inode` is the inode of the request or what stands for it, and is what `get_block` expects. What
/// `carried` borrows is there until the request is complete.
unsafe fn submit<'a, T: DirectIo>(
    request: &mut Kiocb<'_, T>,
    memory: &mut IovIter<'_>,
    inode: *mut bindings::inode,
    carried: Option<KBox<Carried<'a, T>>>,
    get_block: GetBlock,
) -> (Result<usize>, Option<KBox<Carried<'a, T>>>) {
    let kiocb = request.as_ptr();
    if carried
        .as_ref()
        .is_some_and(|carried| carried.complete.is_some())
    {
        // SAFETY: the request is valid, and not submitted.
        unsafe {
            (*kiocb).ki_complete = Some(completion::on_device::<T>);
            bindings::rext4_shim_dio_begin(request.inode().as_ptr());
        }
    }
    // SAFETY: the request is valid, and this field is the file system's to use.
    unsafe { (*kiocb).private = ptr::null_mut() };
    if let Some(carried) = carried {
        // SAFETY: it is not submitted yet.
        unsafe { carried.put(kiocb) };
    }
    // SAFETY: request, device and memory are valid during the call, the inode by the caller's promise,
    // and the request lives until it is completed.
    let result = count(unsafe {
        bindings::__blockdev_direct_IO(
            kiocb,
            inode,
            request.inode().super_block().device().as_ptr(),
            memory.as_ptr(),
            Some(get_block),
            Some(end_io::<T>),
            0,
        )
    });
    if result == Err(queued()) {
        return (result, None);
    }
    // SAFETY: the request does not go on by itself, so it is still ours.
    (result, unsafe { Carried::take(kiocb) })
}

/// The number of blocks that a `get_block` call asks for.
///
/// # Safety
///
/// `inode` and `map` are valid.
unsafe fn wanted(inode: *mut bindings::inode, map: *mut bindings::buffer_head) -> u32 {
    // SAFETY: as the caller promises.
    let blocks = unsafe { (*map).b_size >> (*inode).i_blkbits };
    blocks.clamp(1, MOST_BLOCKS as usize) as u32
}

/// # Safety
///
/// Called by the kernel alone, with what it passes to this callback.
unsafe extern "C" fn get_block_and_defer<T: DirectIo, const AT_ONCE: bool>(
    inode: *mut bindings::inode,
    block: bindings::sector_t,
    map: *mut bindings::buffer_head,
    create: i32,
) -> i32 {
    // SAFETY: as the caller promises.
    let result = unsafe { get_block::<T, AT_ONCE>(inode, block, map, create) };
    // SAFETY: the map is the direct I/O code's own.
    unsafe {
        if !(*map).b_private.is_null() {
            bindings::rext4_shim_defer_completion(map);
        }
    }
    result
}

/// # Safety
///
/// Called by the kernel alone, with what it passes to this callback.
unsafe extern "C" fn get_block<T: DirectIo, const AT_ONCE: bool>(
    inode: *mut bindings::inode,
    block: bindings::sector_t,
    map: *mut bindings::buffer_head,
    _create: i32,
) -> i32 {
    // SAFETY: the map is zeroed before the first call of a request, and the device is set where blocks are mapped
    // and nowhere else.
    let is_first = unsafe { (*map).b_bdev.is_null() };
    // SAFETY: as the caller promises.
    unsafe {
        ask::<T>(inode, map, |inode, max, io_end| {
            match T::map_write(inode, block, max, AT_ONCE, io_end) {
                // What was mapped before is written: the request ends here.
                Err(e) if AT_ONCE && !is_first && e == code::EAGAIN => Ok(WriteMapping::End),
                result => result,
            }
        })
    }
}

/// Answers a `get_block` call with what `find` says, which is told the most blocks.
///
/// # Safety
///
/// `inode` is one of type `T`, and `map` is what the kernel passes to such a call.
unsafe fn ask<T: DirectIo>(
    inode: *mut bindings::inode,
    map: *mut bindings::buffer_head,
    find: impl FnOnce(&Inode<T>, u32, &mut Option<KBox<T::IoEnd>>) -> Result<WriteMapping>,
) -> i32 {
    from_result(|| {
        // SAFETY: the direct I/O code passes an inode of ours and a map of its own.
        let (inode_ref, max) = unsafe { (Inode::<T>::from_raw(inode), wanted(inode, map)) };
        // SAFETY: the map is zeroed before the first call of a request, and only we set the
        // pointer. While it is lent to `find` here, nobody else has it.
        let mut io_end = unsafe {
            let raw = core::mem::replace(&mut (*map).b_private, core::ptr::null_mut());
            (!raw.is_null()).then(|| KBox::from_raw(raw.cast::<T::IoEnd>()))
        };
        let result = find(inode_ref, max, &mut io_end);
        let carries = io_end.is_some();
        if let Some(io_end) = io_end {
            // SAFETY: see above; the direct I/O code copies the pointer after each call, also
            // after one that failed, and passes it to `end_io` once.
            unsafe { (*map).b_private = KBox::into_raw(io_end).cast() };
        }
        // SAFETY: see above.
        unsafe {
            match result? {
                WriteMapping::End => {}
                WriteMapping::Written { block, len } => {
                    bindings::rext4_shim_map_bh(map, inode, block, len, false);
                }
                WriteMapping::Unwritten { block, len } => {
                    debug_assert!(carries);
                    bindings::rext4_shim_map_bh(map, inode, block, len, true);
                }
            }
        }
        Ok(0)
    })
}

/// # Safety
///
/// Called by the kernel alone, with what it passes to this callback.
unsafe extern "C" fn end_io<T: DirectIo>(
    kiocb: *mut bindings::kiocb,
    offset: i64,
    bytes: isize,
    private: *mut ffi::c_void,
) -> i32 {
    let io_end = (!private.is_null()).then(|| {
        // SAFETY: the pointer comes from `get_block` of this request, and is passed once.
        unsafe { KBox::from_raw(private.cast::<T::IoEnd>()) }
    });
    // SAFETY: the request is valid until it is completed, which is after this, and `write` does not
    // look at it before that.
    let mut carried = unsafe { Carried::<T>::take(kiocb) };
    if let Some(mut carried) = carried.take_if(|carried| carried.complete.is_some()) {
        carried.ended = Some((io_end, offset, count(bytes)));
        // SAFETY: as above; it was just taken.
        unsafe { carried.put(kiocb) };
        return completion::NOT_YET;
    }
    let growing = carried.as_ref().and_then(|carried| carried.growing);
    if io_end.is_none() && growing.is_none() {
        // If something is claimed all the same, the task that wrote is here, with the inode's lock.
        return 0;
    }
    // SAFETY: no precondition: complains if this is where one must not sleep.
    unsafe { bindings::rext4_shim_might_sleep() };
    from_result(|| {
        // SAFETY: the request is completed after this, and keeps its file open until then.
        let inode =
            unsafe { Inode::<T>::from_raw(bindings::rext4_shim_file_inode((*kiocb).ki_filp)) };
        let result = T::end_io(inode, io_end, growing, offset, count(bytes));
        // Not before the blocks are converted. Cached pages are dropped after this, but the task that
        // wrote has the inode's lock: what has a claim and no lock was sorted out above.
        drop(carried);
        result.map(|()| 0)
    })
}

/// Whether this runs on a workqueue.
pub(crate) fn is_deferred() -> bool {
    // SAFETY: looks at the current task alone.
    unsafe { bindings::rext4_shim_in_worker() }
}

/// Whether the calling task may use what is reserved for the super-user and for these.
pub(crate) fn may_use_reserved(uid: u32, gid: u32) -> bool {
    // SAFETY: looks at the current task alone.
    unsafe { bindings::rext4_shim_may_use_reserved(uid, gid) }
}

/// What iomap is told of a range of bytes, where `find` knows of blocks: it gets the first one and how many are wanted,
/// and says how many there are in a row and where, in bytes of the device; with the bits of a block's size.
fn map_blocks<T: DirectIo>(
    inode: &Inode<T>,
    (offset, len): (u64, u64),
    find: impl FnOnce(u64, u32, u8) -> Result<(u32, Place)>,
) -> Result<Mapping> {
    // SAFETY: the inode is valid.
    let bits = unsafe { (*inode.as_ptr()).i_blkbits };
    let first = offset >> bits;
    let blocks = (offset.saturating_add(len).saturating_sub(1) >> bits) - first + 1;
    let most = blocks.clamp(1, MOST_BLOCKS.into()) as u32;
    let (len, place) = find(first, most, bits)?;
    Ok(Mapping {
        offset: first << bits,
        len: u64::from(len) << bits,
        place,
        version: 0,
    })
}
