// SPDX-License-Identifier: GPL-2.0

//! Writing the page cache back through iomap, and what is done when that is complete.
//!
//! C headers: `include/linux/iomap.h`, `include/linux/writeback.h`
//!
//! iomap gathers what lies in a row into *ioends*. One that needs something done when it is on
//! the device takes a value along for it, [`Writeback::Completion`], and is completed on a
//! workqueue, by one worker for an inode, which takes all that are ready: neighbours become one, with
//! the values of all of them, and as many as [`TOGETHER`] are completed by one call, in the order of
//! their places in the file.
//!
//! ```text
//!   writepages ──map──▶ ioend ──prepare (if it has to be completed)──▶ device
//!                                                                        │ any context
//!                              complete, in a task that may sleep ◀── queue of the inode
//! ```
//!
//! A device in memory is done before the submission returns. Then the task that submits completes
//! the first few of what it has submitted, when all of it is.

use super::{
    inode::Inode,
    iomap::{self, IomapOperations},
    journaled::{self, Source},
    super_block::{FileSystem, SuperBlock},
};
use crate::bindings;
use core::{
    marker::PhantomData,
    ops::Range,
    ptr::{self, NonNull},
};
use kernel::{
    error::{from_result, to_result, Error},
    prelude::*,
    types::Opaque,
};

impl<T: FileSystem> Inode<T> {
    /// Has `fsync` say `EIO`, to all who have the file open.
    pub fn note_lost_data(&self) {
        // SAFETY: the inode and its mapping are valid; the field may be changed by anybody at any time.
        unsafe {
            bindings::errseq_set(
                &raw mut (*(*self.as_ptr()).i_mapping).wb_err,
                EIO.to_errno(),
            )
        };
    }
}

/// What a file system does about writeback.
pub trait Writeback: IomapOperations {
    /// What an ioend takes along that has to be completed.
    type Completion: Send;

    /// Where byte `offset`, of which there is something to be written, lies: never
    /// [`Place::Delayed`](iomap::Place::Delayed). Called with the folio's lock held.
    ///
    /// With an error the data is lost: it is noted for `fsync`, the folio becomes clean, and what is
    /// reserved for the rest of it is given back ([`IomapOperations::give_back`]).
    fn map_for_writeback(inode: &Inode<Self>, offset: u64) -> Result<iomap::Mapping>
    where
        Self: FileSystem;

    /// Makes what a folio has, or a part of it from its beginning on, a part of the running transaction, for a file of
    /// which [`IomapOperations::journals_data`] says so. Returns how many bytes that are: whole blocks, at least
    /// one. Called with the folio's lock held; as for errors, see [`Self::map_for_writeback`].
    fn write_to_journal(inode: &Inode<Self>, source: &Source<'_>) -> Result<u32>
    where
        Self: FileSystem;

    /// What the completion of a range of bytes will need; `None` if there is nothing to be done.
    /// `unwritten` says whether the blocks were not written before. Called before each ioend is
    /// submitted, without a transaction; with an error it is not, and `fsync` is told.
    fn prepare(
        inode: &Inode<Self>,
        bytes: &Range<u64>,
        unwritten: bool,
    ) -> Result<Option<KBox<Self::Completion>>>
    where
        Self: FileSystem;

    /// Two ranges, one right behind the other, are completed as one: takes over what the second of
    /// them took along.
    fn merge(completion: &mut Self::Completion, other: KBox<Self::Completion>);

    /// Ranges of bytes are on the device, at least one and at most [`TOGETHER`], in the order of the
    /// file. An error is noted for `fsync`.
    fn complete(inode: &Inode<Self>, ranges: &mut [Option<Completed<Self::Completion>>]) -> Result
    where
        Self: FileSystem;

    /// The device has failed to write something that had to be completed. Called where [`Self::complete`] is.
    fn has_failed(inode: &Inode<Self>)
    where
        Self: FileSystem;

    /// The place of the file system's queue in an inode.
    fn queue(inode: &Inode<Self>) -> &IoendQueue
    where
        Self: FileSystem;

    /// Who works on these queues: a part of the super block's state.
    fn workers(sb: &SuperBlock<Self>) -> &IoendWorkers
    where
        Self: FileSystem;
}

/// How many ranges are completed by one call at most.
pub const TOGETHER: usize = 16;

/// A range that is on the device.
pub struct Completed<C> {
    /// Which.
    pub bytes: Range<u64>,
    /// Whether its blocks were not written before.
    pub unwritten: bool,
    /// What it took along.
    pub completion: KBox<C>,
}

/// The ioends of an inode that are on the device and have to be completed.
#[pin_data]
pub struct IoendQueue {
    #[pin]
    queue: Opaque<bindings::rext4_ioend_queue>,
}

// SAFETY: the queue has its own lock.
unsafe impl Send for IoendQueue {}
// SAFETY: see above.
unsafe impl Sync for IoendQueue {}

impl IoendQueue {
    /// An empty queue, for inodes of type `T`.
    pub fn new<T: FileSystem + Writeback>() -> impl PinInit<Self> {
        pin_init!(Self {
            // SAFETY: the slot is valid for writes and stays where it is.
            queue <- Opaque::ffi_init(|slot| unsafe {
                bindings::rext4_shim_ioend_queue_init(slot, Some(work::<T>))
            }),
        })
    }
}

/// The workqueue on which the ioends of a file system are completed, and direct writes with others. It
/// has one of its own: an image in a file of another one must be able to wait for that.
///
/// # Invariants
///
/// It is a valid workqueue, owned by this value.
pub struct IoendWorkers(NonNull<bindings::workqueue_struct>);

// SAFETY: a workqueue belongs to no thread.
unsafe impl Send for IoendWorkers {}
// SAFETY: workqueues have their own locks.
unsafe impl Sync for IoendWorkers {}

impl IoendWorkers {
    /// Makes the workqueue of the file system with this name.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    pub fn new(name: &CStr) -> Result<Self> {
        // SAFETY: the name is valid, and copied.
        let workers = unsafe { bindings::rext4_shim_ioend_workers(name.as_char_ptr().cast()) };
        // INVARIANT: it was just made, for us.
        NonNull::new(workers).map(Self).ok_or(ENOMEM)
    }

    /// The workqueue.
    pub(super) fn as_ptr(&self) -> *mut bindings::workqueue_struct {
        self.0.as_ptr()
    }
}

impl Drop for IoendWorkers {
    fn drop(&mut self) {
        // SAFETY: by the invariant it is ours. It goes with the state of the super block, all inodes
        // of which are gone then, so nothing is queued any more.
        unsafe { bindings::destroy_workqueue(self.0.as_ptr()) };
    }
}

/// Completes what is in an inode's queue.
///
/// # Safety
///
/// Called on a workqueue with the work of a queue that is in use.
unsafe extern "C" fn work<T: FileSystem + Writeback>(work: *mut bindings::work_struct) {
    let mut ready = bindings::list_head::default();
    // SAFETY: the work is a part of a queue, and the list is ours.
    unsafe { bindings::rext4_shim_ioend_queue_take(work, &mut ready) };
    // SAFETY: the list was filled with ioends of one inode that are ours to complete.
    while unsafe { complete_some::<T>(&mut ready) } {}
}

/// The task that writes an inode back. What the device completes while it is submitted, as one in
/// memory does, is completed by this task at the end, if it is little: to wake a worker takes longer.
///
/// # Invariants
///
/// The queue is the one of `inode`, which is kept by whoever writes it back, and this task is its
/// submitter.
struct Submitter<'a, T: FileSystem + Writeback>(&'a Inode<T>);

impl<'a, T: FileSystem + Writeback> Submitter<'a, T> {
    /// `None` if another task writes the inode back; then the workers have all to do.
    fn new(inode: &'a Inode<T>) -> Option<Self> {
        // SAFETY: the queue was initialised.
        let first = unsafe { bindings::rext4_shim_ioend_queue_begin(T::queue(inode).queue.get()) };
        // INVARIANT: the function says so.
        first.then_some(Self(inode))
    }
}

impl<T: FileSystem + Writeback> Drop for Submitter<'_, T> {
    fn drop(&mut self) {
        let mut ready = bindings::list_head::default();
        // SAFETY: by the invariant this task is the submitter, and the list is ours.
        unsafe {
            bindings::rext4_shim_ioend_queue_end(T::queue(self.0).queue.get(), &mut ready);
        }
        // SAFETY: the list was filled with ioends of one inode that are ours to complete.
        while unsafe { complete_some::<T>(&mut ready) } {}
    }
}

/// Completes some ioends. Returns whether there were any.
///
/// # Safety
///
/// What is in `ready` is ours to complete, and all of one inode.
unsafe fn complete_some<T: FileSystem + Writeback>(ready: &mut bindings::list_head) -> bool {
    let mut ioends = [ptr::null_mut(); TOGETHER];
    let mut ranges: [Option<Completed<T::Completion>>; TOGETHER] = [const { None }; TOGETHER];
    for (place, range) in ioends.iter_mut().zip(&mut ranges) {
        // SAFETY: as the caller promises.
        *place = unsafe { bindings::rext4_shim_ioend_next(ready) };
        if place.is_null() {
            break;
        }
        // SAFETY: it is valid, and ours.
        *range = unsafe { take_range::<T>(*place) };
    }
    if ioends[0].is_null() {
        return false;
    }
    let mut errnos = [0; TOGETHER];
    if ranges.iter().any(Option::is_some) {
        // SAFETY: the ioend is on the device and not completed, so its inode is in use.
        let inode = unsafe { Inode::<T>::from_raw((*ioends[0]).io_inode) };
        if T::complete(inode, &mut ranges).is_err() {
            // Whose fault it was comes out one by one. To convert what is converted does no harm.
            for (errno, range) in errnos.iter_mut().zip(ranges.chunks_mut(1)) {
                if range.iter().any(Option::is_some) {
                    *errno = T::complete(inode, range).err().map_or(0, Error::to_errno);
                }
            }
        }
    }
    for ((ioend, range), errno) in ioends.into_iter().zip(ranges).zip(errnos) {
        if ioend.is_null() {
            break;
        }
        // SAFETY: the ioend is valid.
        let own = unsafe { bindings::rext4_shim_ioend_error(ioend) };
        let errno = if range.is_some() { errno } else { own };
        if range.is_none() && own != 0 {
            // SAFETY: the ioend is not completed, so its inode is in use.
            T::has_failed(unsafe { Inode::<T>::from_raw((*ioend).io_inode) });
        }
        // What it took along may be in the inode's way, which may be gone after the next call.
        drop(range);
        // SAFETY: the ioend is ours; it is not used after this.
        unsafe { bindings::iomap_finish_ioends(ioend, errno) };
    }
    true
}

/// What an ioend and those that were merged into it took along, with their range; `None` if there is
/// nothing, or they failed.
///
/// # Safety
///
/// `ioend` is valid and ours to complete.
unsafe fn take_range<T: FileSystem + Writeback>(
    ioend: *mut bindings::iomap_ioend,
) -> Option<Completed<T::Completion>> {
    let mut all: Option<KBox<T::Completion>> = None;
    loop {
        // SAFETY: the ioend is valid.
        let value = unsafe { bindings::rext4_shim_ioend_take_value(ioend) };
        if value.is_null() {
            break;
        }
        // SAFETY: `submit` put it there, and it is taken out once.
        let value = unsafe { KBox::from_raw(value.cast::<T::Completion>()) };
        match &mut all {
            Some(all) => T::merge(all, value),
            none => *none = Some(value),
        }
    }
    // SAFETY: the ioend is valid.
    let (start, len, flags, errno) = unsafe {
        (
            (*ioend).io_offset as u64,
            (*ioend).io_size as u64,
            u32::from((*ioend).io_flags),
            bindings::rext4_shim_ioend_error(ioend),
        )
    };
    Some(Completed {
        bytes: start..start + len,
        unwritten: flags & bindings::REXT4_IOEND_UNWRITTEN != 0,
        completion: all.filter(|_| errno == 0)?,
    })
}

/// The `iomap_writeback_ops`.
struct Table<T>(PhantomData<T>);

impl<T: FileSystem + Writeback> Table<T> {
    const TABLE: bindings::iomap_writeback_ops = bindings::iomap_writeback_ops {
        writeback_range: Some(Self::range),
        writeback_submit: Some(Self::submit),
    };

    /// # Safety
    ///
    /// Called by the kernel alone, with what it passes to this callback.
    unsafe extern "C" fn range(
        context: *mut bindings::iomap_writepage_ctx,
        folio: *mut bindings::folio,
        offset: u64,
        len: u32,
        end: u64,
    ) -> isize {
        // SAFETY: iomap passes a valid context for an inode of ours.
        if T::journals_data(unsafe { Inode::<T>::from_raw((*context).inode) }) {
            // SAFETY: what iomap passes is passed on.
            return unsafe { journaled::write_back::<T>(context, folio, offset, len) };
        }
        let map = || -> Result {
            // SAFETY: iomap passes a valid context for an inode of ours.
            let (inode, map) = unsafe {
                (
                    Inode::<T>::from_raw((*context).inode),
                    &mut (*context).iomap,
                )
            };
            let cached = map.offset as u64..map.offset as u64 + map.length;
            if cached.contains(&offset) && map.validity_cookie == T::map_version(inode) {
                return Ok(());
            }
            // SAFETY: the folio is locked.
            let end = unsafe { bindings::rext4_shim_folio_end(folio) };
            let found = T::map_for_writeback(inode, offset)
                .inspect_err(|_| T::give_back(inode, offset..end))?;
            iomap::fill(inode, &found, map);
            Ok(())
        };
        match map() {
            // SAFETY: the context has a mapping that holds the offset.
            Ok(()) => unsafe {
                bindings::iomap_add_to_ioend(context, folio, offset as i64, end as i64, len)
            },
            Err(e) => e.to_errno() as isize,
        }
    }

    /// # Safety
    ///
    /// Called by the kernel alone, with what it passes to this callback.
    unsafe extern "C" fn submit(context: *mut bindings::iomap_writepage_ctx, error: i32) -> i32 {
        // SAFETY: iomap passes a context with an ioend to be submitted.
        let ioend = unsafe { (*context).wb_ctx.cast::<bindings::iomap_ioend>() };
        // What is told here is that some other folio could not be mapped. What is in the ioend could.
        let told = error;
        let mut error = 0;
        // SAFETY: the ioend is valid, and so is its inode.
        let (inode, start, len, flags) = unsafe {
            (
                Inode::<T>::from_raw((*ioend).io_inode),
                (*ioend).io_offset as u64,
                (*ioend).io_size as u64,
                u32::from((*ioend).io_flags),
            )
        };
        let unwritten = flags & bindings::REXT4_IOEND_UNWRITTEN != 0;
        // Pages can be dropped only by a task.
        let mut queued = flags & bindings::REXT4_IOEND_DONTCACHE != 0;
        match T::prepare(inode, &(start..start + len), unwritten) {
            Ok(None) => {}
            Ok(Some(completion)) => {
                // SAFETY: the ioend is ours until it is submitted.
                unsafe { (*ioend).io_private = KBox::into_raw(completion).cast() };
                queued = true;
            }
            Err(e) => error = e.to_errno(),
        }
        if queued && error == 0 {
            let queue = T::queue(inode).queue.get();
            let workers = T::workers(inode.super_block()).0.as_ptr();
            // SAFETY: the ioend is ours until it is submitted. The queue is in the inode, which
            // is in use until the ioend is completed, and the workers are there longer.
            unsafe { bindings::rext4_shim_ioend_complete_on(ioend, queue, workers) };
        }
        // SAFETY: the context is valid. With an error the ioend is completed with it.
        let error = unsafe { bindings::iomap_ioend_writeback_submit(context, error) };
        if error != 0 {
            // iomap would add the next folio to it, or complete it once more, and it is gone.
            // SAFETY: the context is valid.
            unsafe { (*context).wb_ctx = ptr::null_mut() };
        }
        match told {
            0 => error,
            told => told,
        }
    }
}

/// `writepages` of the `address_space_operations`.
///
/// # Safety
///
/// Called by the VFS with the mapping of an inode of type `T`.
pub(super) unsafe extern "C" fn writepages<T: FileSystem + Writeback>(
    mapping: *mut bindings::address_space,
    control: *mut bindings::writeback_control,
) -> i32 {
    from_result(|| {
        // SAFETY: the VFS passes a valid mapping, and keeps its inode.
        let (host, inode) = unsafe { ((*mapping).host, Inode::<T>::from_raw((*mapping).host)) };
        // Without a folio's lock or a handle when it is dropped, as a worker.
        let _submitter = Submitter::new(inode);
        let mut context = bindings::iomap_writepage_ctx {
            inode: host,
            wbc: control,
            ops: &Table::<T>::TABLE,
            ..Default::default()
        };
        // SAFETY: the context is complete.
        to_result(unsafe { bindings::iomap_writepages(&mut context) })?;
        Ok(0)
    })
}
