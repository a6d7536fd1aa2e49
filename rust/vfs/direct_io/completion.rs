// SPDX-License-Identifier: GPL-2.0

//! Completing asynchronous direct writes, as many at a time as are ready.
//!
//! What a write needs at its end (a transaction) is about as much for many writes of a file as for
//! one. The kernel's direct I/O ends them one by one. So the file system puts itself between it and
//! whoever made the request:
//!
//! ```text
//!   bio done ─▶ dio_complete ─▶ end_io: notes what it is told, and says NOT_YET
//!     (interrupt)            └▶ ki_complete, ours: into the queue of the inode
//!                                                    │
//!     (worker)                          end_all, for all that are there; reserves go back
//!                                                    │
//!                                   cached pages, or O_DSYNC? (another worker) drop them
//!                                                    │
//!                                         the claim goes back; i_dio_count
//!                                                    │
//!                                   O_DSYNC? (that worker) sync
//!                                                    │
//!                                   the request's own ki_complete
//! ```
//!
//! The first worker waits for no folio and no commit, which would hold up all writes that are queued
//! behind. It runs on any processor, as a rule beside the one that submits more: see [`queue`]. All
//! workers are the super block's own. `NOT_YET` keeps the kernel's direct I/O from both,
//! before, and from dropping pages after the claim went back: one of them could be changed by then.
//!
//! `i_dio_count` is raised once more until the claim goes back, so who waits for direct I/O waits for
//! this too.

use super::{append, queued, report_lost, Carried, DirectIo};
use crate::{
    bindings,
    vfs::{file::count, inode::Inode},
};
use core::ptr;
use kernel::{ffi, prelude::*, types::Opaque};

/// The most that are ended together: what there is room for on a worker's stack.
pub(crate) const TOGETHER: usize = 16;

/// `kiocb->ki_complete`.
pub(super) type Complete = Option<unsafe extern "C" fn(*mut bindings::kiocb, ffi::c_long)>;

/// The direct writes of an inode that are on the device and have to be completed. Each of the two queues
/// has one worker at a time.
#[pin_data]
pub struct DoneQueue {
    /// For a worker on any processor: beside the task that goes on submitting. All writes at the end of
    /// the file are here.
    #[pin]
    beside: Opaque<bindings::rext4_done_queue>,
    /// For a worker on the processor that ended the write.
    #[pin]
    here: Opaque<bindings::rext4_done_queue>,
}

// SAFETY: the queues' lists are such that are used without locks.
unsafe impl Send for DoneQueue {}
// SAFETY: see above.
unsafe impl Sync for DoneQueue {}

impl DoneQueue {
    /// An empty queue, for inodes of type `T`.
    pub fn new<T: DirectIo>() -> impl PinInit<Self> {
        let queue = || {
            // SAFETY: the slot is valid for writes and stays where it is.
            Opaque::ffi_init(|slot| unsafe {
                bindings::rext4_shim_done_queue_init(slot, Some(work::<T>))
            })
        };
        pin_init!(Self {
            beside <- queue(),
            here <- queue(),
        })
    }
}

/// A write that is on the device, or has failed, and is not completed yet.
pub struct Ended<T: DirectIo>(pub(super) KBox<Carried<'static, T>>);

impl<T: DirectIo> Ended<T> {
    /// What the write took along to its end.
    pub fn io_end(&mut self) -> Option<&mut T::IoEnd> {
        let (io_end, ..) = self.0.ended.as_mut()?;
        io_end.as_deref_mut()
    }

    /// Its first byte in the file.
    pub fn offset(&self) -> i64 {
        self.0.ended.as_ref().map_or(0, |(_, offset, _)| *offset)
    }

    /// Where it was to end in the file, if it is one at the end.
    pub fn asked_end(&self) -> i64 {
        self.0.appended.end
    }

    /// How many bytes are on the device; what the user is told.
    pub fn result(&self) -> Result<usize> {
        let (_, _, result) = self.0.ended.as_ref().ok_or(EIO)?;
        *result
    }

    /// Makes an error of the result.
    pub fn fail(&mut self, error: Error) {
        if let Some((_, _, result)) = &mut self.0.ended {
            *result = Err(error);
        }
    }

    /// The write is over: whoever made the request is told, perhaps by another worker. Then he may
    /// forget it, and everybody its inode if nothing else keeps that.
    pub(super) fn complete(mut self) {
        // What is left of the reserve can be had by others. The claim is held until the page cache
        // was looked at: who waits for it may put a page there, and change it.
        if let Some((io_end, ..)) = &mut self.0.ended {
            *io_end = None;
        }
        let cached = cached(self.0.inode(), self.offset(), self.result()).is_some();
        // SAFETY: the request is not completed.
        if !cached && !unsafe { bindings::rext4_shim_iocb_is_dsync(self.0.kiocb) } {
            return self.let_go().tell();
        }
        let carried = KBox::into_raw(self.0);
        // SAFETY: the box is owned by the work from here on. The request keeps the inode.
        unsafe {
            bindings::rext4_shim_complete_later(
                bindings::rext4_shim_file_inode((*(*carried).kiocb).ki_filp),
                &raw mut (*carried).later,
                Some(complete_later::<T>),
            );
        }
    }

    /// Lets go of what others wait for: what the write had claimed, and that it is under way.
    fn let_go(mut self) -> Over {
        append::tell(&self.0);
        if self.result() == Err(EIO) {
            report_lost(self.0.inode(), self.offset());
        }
        let over = Over {
            kiocb: self.0.kiocb,
            complete: self.0.complete.take(),
            result: self.result(),
        };
        drop(self);
        // SAFETY: the request keeps its file open until it is completed. It was counted in `write`.
        unsafe {
            bindings::rext4_shim_dio_end(bindings::rext4_shim_file_inode((*over.kiocb).ki_filp));
        }
        over
    }
}

/// A write that nobody waits for any more but whoever made the request.
struct Over {
    kiocb: *mut bindings::kiocb,
    complete: Complete,
    result: Result<usize>,
}

impl Over {
    /// Makes it durable if that was asked for. Waits for folios and for a commit.
    fn sync(mut self) -> Self {
        if let Ok(bytes @ 1..) = self.result {
            // SAFETY: the request is not completed, and its position is behind what was written.
            self.result = count(unsafe {
                bindings::rext4_shim_generic_write_sync(self.kiocb, bytes as isize)
            });
        }
        self
    }

    /// Tells whoever made the request.
    fn tell(self) {
        let result = self.result;
        let told = result.map_or_else(|e| e.to_errno() as ffi::c_long, |n| n as ffi::c_long);
        // SAFETY: the request is valid until it is completed, which is done here and nowhere else.
        unsafe {
            (*self.kiocb).ki_complete = self.complete;
            if let Some(complete) = self.complete {
                complete(self.kiocb, told);
            }
        }
    }
}

impl<T: DirectIo> Carried<'_, T> {
    /// The inode that is written to.
    pub(super) fn inode(&self) -> &Inode<T> {
        // SAFETY: the request is not completed while this is there, and keeps its file open.
        unsafe { Inode::from_raw(bindings::rext4_shim_file_inode((*self.kiocb).ki_filp)) }
    }

    /// Whether all of the `asked` bytes are on the device.
    pub(super) fn is_whole(&self, asked: usize) -> bool {
        matches!(self.ended, Some((_, _, Ok(bytes))) if bytes == asked)
    }
}

/// First and last byte of what was written, if some of it is in the page cache.
fn cached<T: DirectIo>(
    inode: &Inode<T>,
    offset: i64,
    result: Result<usize>,
) -> Option<(i64, usize)> {
    let bytes = result.ok().filter(|bytes| *bytes > 0)?;
    let last = offset.saturating_add_unsigned(bytes as u64) - 1;
    inode.is_cached(offset, last).then_some((offset, bytes))
}

/// Drops cached pages of what was written: they may have been read before it was.
pub(super) fn invalidate<T: DirectIo>(inode: &Inode<T>, offset: i64, result: Result<usize>) {
    if let Some((offset, bytes)) = cached(inode, offset, result) {
        let (raw, stored_to) = (inode.as_ptr(), T::has_stores(inode));
        // SAFETY: the inode is valid.
        unsafe { bindings::rext4_shim_invalidate_after_write(raw, offset, bytes, stored_to) };
        if !stored_to && T::has_stores(inode) {
            // Somebody may have done so just now, to a page that was to be written back.
            inode.note_lost_data();
        }
    }
}

/// Completes a write that has pages in the cache, or has to be durable before.
///
/// # Safety
///
/// Called on a workqueue with the work of a `Carried` that is the work's own.
unsafe extern "C" fn complete_later<T: DirectIo>(work: *mut bindings::work_struct) {
    // SAFETY: the work is that field of a box that `complete` has given away.
    let carried =
        unsafe { KBox::from_raw(kernel::container_of!(work, Carried<'static, T>, later)) };
    let write = Ended(carried);
    invalidate(write.0.inode(), write.offset(), write.result());
    write.let_go().sync().tell();
}

/// What `end_io` says of a request that is completed with others: an error, so that the kernel's direct
/// I/O neither drops pages nor syncs. It is told to nobody.
pub(super) const NOT_YET: ffi::c_int = -(kernel::bindings::EINPROGRESS as ffi::c_int);

/// The kernel's direct I/O has done its part: what it takes for the request's own completion.
///
/// # Safety
///
/// Called by the kernel alone, with a request that [`super::write()`] has prepared.
pub(super) unsafe extern "C" fn on_device<T: DirectIo>(
    kiocb: *mut bindings::kiocb,
    _not_yet: ffi::c_long,
) {
    // SAFETY: the request is not completed, and after `end_io`, which has left it there, nobody
    // looks at it.
    let Some(carried) = (unsafe { Carried::<T>::take(kiocb) }) else {
        return;
    };
    // SAFETY: the kernel is done with the request, which is not completed.
    unsafe { queue(carried) };
}

/// Puts a write that is on the device into a queue of its inode.
///
/// As a rule it is completed beside whoever submits more. Not so if it is alone, since there is nothing
/// beside it, and a worker here is faster; nor if it has changed the tree at its submission: those behind
/// it are likely to do so too, and would be in the way of the worker, and it in theirs.
///
/// # Safety
///
/// The request is not completed, and nobody looks at it any more but who completes it.
pub(super) unsafe fn queue<T: DirectIo>(carried: KBox<Carried<'static, T>>) {
    let io_end = carried
        .ended
        .as_ref()
        .and_then(|(io_end, ..)| io_end.as_deref());
    let has_filled = io_end.is_some_and(T::has_filled);
    let is_at_end = !carried.appended.is_empty();
    let carried = KBox::into_raw(carried);
    // SAFETY: the box is owned by the queue from here on, until a worker takes it out. The request keeps
    // the inode, which has the queue.
    unsafe {
        let inode = (*carried).inode();
        let queue = T::done_queue(inode);
        let node = &raw mut (*carried).node;
        // One is its own.
        let is_alone = bindings::rext4_shim_dio_count(inode.as_ptr()) <= 1;
        if is_at_end || !(is_alone || has_filled) {
            let workers = T::completion_workers(inode).as_ptr();
            bindings::rext4_shim_done_queue_add(queue.beside.get(), node, workers);
        } else {
            let workers = bindings::rext4_shim_dio_workers(inode.as_ptr());
            bindings::rext4_shim_done_queue_add(queue.here.get(), node, workers);
        }
    }
}

/// A write of which all is on the device before its submission comes back: it is completed as others are, behind whoever
/// submits. Its end in the file is at byte `end`; a request that goes on by itself has its position moved by then.
///
/// # Safety
///
/// As for [`queue`].
pub(super) unsafe fn queue_early<T: DirectIo>(
    carried: KBox<Carried<'static, T>>,
    end: i64,
) -> Result<usize> {
    let kiocb = carried.kiocb;
    // SAFETY: the request is valid, and the caller's until it is in the queue.
    unsafe {
        (*kiocb).ki_pos = end;
        queue(carried);
    }
    Err(queued())
}

/// Completes what is in an inode's queue.
///
/// # Safety
///
/// Called on a workqueue with the work of a queue that is in use.
unsafe extern "C" fn work<T: DirectIo>(work: *mut bindings::work_struct) {
    // SAFETY: the work is a part of a queue.
    let mut next = unsafe { bindings::rext4_shim_done_queue_take(work) };
    let mut appended = None;
    let mut others: Option<KBox<Carried<'static, T>>> = None;
    while !next.is_null() {
        // SAFETY: what is in the queue are the nodes, the first field, of boxes that `on_device` has
        // put there; they are ours now.
        let mut carried = unsafe { KBox::from_raw(next.cast::<Carried<'static, T>>()) };
        next = carried.node.next;
        if carried.appended.is_empty() {
            // The queue gives the last one first.
            carried.behind = others.take();
            others = Some(carried);
        } else {
            appended = Some(ptr::from_ref(carried.inode()));
            append::on_device(carried);
        }
    }
    if let Some(inode) = appended {
        // SAFETY: one of its writes was just put there, and no other worker takes any out: all writes at
        // the end of a file are in one queue.
        unsafe { append::end_all(inode) };
    }
    while others.is_some() {
        let mut writes: [Option<Ended<T>>; TOGETHER] = [const { None }; TOGETHER];
        let mut taken = 0;
        for write in &mut writes {
            let Some(mut first) = others.take() else {
                break;
            };
            others = first.behind.take();
            *write = Some(Ended(first));
            taken += 1;
        }
        if let Some(Some(first)) = writes.first() {
            let inode = ptr::from_ref(first.0.inode());
            // SAFETY: all are requests for the inode that the queue belongs to, and keep it.
            T::end_all(unsafe { &*inode }, &mut writes[..taken]);
        }
        // The last one of all may take the inode along: nothing is looked at after it.
        for write in writes.into_iter().flatten() {
            write.complete();
        }
    }
}

/// A request is complete, or was refused, before [`super::write()`] or [`super::write_atomic`] comes back: `end_io` may
/// have been called, and the request's own completion, if it is asynchronous, will be by whoever called that.
pub(super) fn at_once<T: DirectIo>(
    mut carried: KBox<Carried<'_, T>>,
    inode: &Inode<T>,
    result: Result<usize>,
) -> Result<usize> {
    let complete = carried.complete.take();
    if complete.is_some() {
        // SAFETY: the request is the caller's again.
        unsafe { (*carried.kiocb).ki_complete = complete };
    }
    let mut result = result;
    if let Some((io_end, offset, ended)) = carried.ended.take() {
        result = ended;
        if io_end.is_some() || carried.growing.is_some() {
            if let Err(e) = T::end_io(inode, io_end, carried.growing, offset, ended) {
                result = Err(e);
            }
        }
        invalidate(inode, offset, result);
    }
    drop(carried);
    if complete.is_some() {
        // SAFETY: it was counted by who has put `complete` there.
        unsafe { bindings::rext4_shim_dio_end(inode.as_ptr()) };
    }
    result
}
