// SPDX-License-Identifier: GPL-2.0

//! Asynchronous direct writes at the end of a file, many under way at once.
//!
//! Each begins where the one before ends. They are a chain:
//!
//! ```text
//!   end of the file ─┬─ next ── on the device? ── wait for it ── … ─┬─ end: here the next one begins
//!                    └── is complete as soon as it is on the device └
//! ```
//!
//! A write ends when all before it have. So what is acknowledged is in the file, the file has no holes
//! that nobody made, and its size grows from the front, in memory and on disk. What is on the device
//! too early is held back. (Who asked for it is told afterwards, and later if there are cached pages to
//! be dropped first.)
//!
//! A chain gets longer with the inode's lock held exclusively, and its writes end in the worker of the
//! [`super::DoneQueue`], which has no lock. Who has the lock and changes the size, or has to know it,
//! waits for the end of the chain: [`Appends::wait`].
//!
//! # The stand-in
//!
//! The kernel's direct I/O waits for a write that ends beyond the size of the inode that it is given,
//! also for an asynchronous one. So it is given another inode that is as large as can be, and that has
//! besides what direct I/O looks at, see `rext4_shim_stand_in_init`. Nobody else ever sees it.

use super::{ask, completion, submit, Carried, ChainLength, DirectIo, Ended};
use crate::{
    bindings,
    vfs::{
        file::{IovIter, Kiocb},
        inode::{ExclusiveLock, Inode},
        wait::WaitQueue,
    },
};
use core::{
    ops::Range,
    pin::Pin,
    ptr::{self, NonNull},
    sync::atomic::{AtomicPtr, Ordering},
};
use kernel::{
    error::{code, Result},
    new_spinlock,
    prelude::*,
    sync::SpinLock,
    types::Opaque,
};

/// The chain of an inode. It is made for the first write that needs one, and stays as long as the
/// inode does.
///
/// It is used from any thread: what is in it belongs to none, and what changes is behind a lock.
pub struct Appends<T: DirectIo>(AtomicPtr<Chain<T>>);

/// Writes, in the order of the file.
type List<T> = Option<KBox<Carried<'static, T>>>;

struct State<T: DirectIo> {
    /// How many writes.
    length: ChainLength,
    /// Writes of which nobody was told yet that they are complete.
    untold: u32,
    /// Where the first of them begins that no worker has taken.
    next: i64,
    /// Where the last of them ends.
    end: i64,
    /// What is on the device, behind writes that are not.
    held: List<T>,
}

#[pin_data]
struct Chain<T: DirectIo> {
    #[pin]
    stand_in: Opaque<bindings::inode>,
    /// The inode that it stands for, which has this.
    inode: NonNull<bindings::inode>,
    #[pin]
    state: SpinLock<State<T>>,
    /// Woken when at most one is untold.
    #[pin]
    told: WaitQueue,
}

impl<T: DirectIo> Chain<T> {
    fn new(inode: &Inode<T>) -> Result<Pin<KBox<Self>>> {
        let raw = NonNull::new(inode.as_ptr()).ok_or(code::EINVAL)?;
        let init = pin_init!(Self {
            // SAFETY: the slot is valid for writes and stays where it is; the inode is valid.
            stand_in <- Opaque::ffi_init(|slot| unsafe {
                bindings::rext4_shim_stand_in_init(slot, raw.as_ptr())
            }),
            inode: raw,
            state <- new_spinlock!(
                State {
                    length: ChainLength { under_way: 0, added: 0 },
                    untold: 0,
                    next: 0,
                    end: 0,
                    held: None,
                },
                "rext4_appends"
            ),
            told <- WaitQueue::new(),
        });
        KBox::pin_init(init, GFP_KERNEL)
    }
}

impl<T: DirectIo> Chain<T> {
    /// A write of these bytes goes to the end; the inode is locked exclusively.
    fn add(&self, bytes: &Range<i64>) {
        let mut state = self.state.lock();
        if state.length.under_way == 0 {
            state.next = bytes.start;
            state.length.added = 0;
        }
        state.length.under_way += 1;
        state.length.added = state.length.added.saturating_add(1);
        state.untold += 1;
        state.end = bytes.end;
    }

    /// Keeps a write that is on the device until those before it are.
    fn hold(&self, mut write: KBox<Carried<'static, T>>) {
        let start = write.appended.start;
        let mut state = self.state.lock();
        let mut at = &mut state.held;
        while at
            .as_ref()
            .is_some_and(|other| other.appended.start < start)
        {
            match at {
                Some(other) => at = &mut other.behind,
                None => break,
            }
        }
        write.behind = at.take();
        *at = Some(write);
    }

    /// Takes those that are on the device, with all before them.
    fn take_ready(&self) -> List<T> {
        let mut guard = self.state.lock();
        let state = &mut *guard;
        let mut at = &mut state.held;
        while at
            .as_ref()
            .is_some_and(|write| write.appended.start == state.next)
        {
            match at {
                Some(write) => {
                    state.next = write.appended.end;
                    at = &mut write.behind;
                }
                None => break,
            }
        }
        let early = at.take();
        core::mem::replace(&mut state.held, early)
    }

    /// Some of those that were taken have ended.
    fn end(&self, count: u32) {
        self.state.lock().length.under_way -= count;
    }

    /// Whoever asked for a write that has ended is about to be told.
    fn tell(&self) {
        let mut state = self.state.lock();
        state.untold -= 1;
        let few = state.untold <= 1;
        drop(state);
        if few {
            self.told.wake_all();
        }
    }

    fn untold(&self) -> u32 {
        self.state.lock().untold
    }
}

impl<T: DirectIo> Appends<T> {
    /// No chain yet.
    pub const fn new() -> Self {
        Self(AtomicPtr::new(ptr::null_mut()))
    }

    fn chain(&self) -> Option<&Chain<T>> {
        // SAFETY: it is null, or a chain that was leaked by `make` and lives as long as this does.
        unsafe { self.0.load(Ordering::Acquire).as_ref() }
    }

    fn make(&self, inode: &Inode<T>, _lock: &ExclusiveLock<'_, T>) -> Result<&Chain<T>> {
        if let Some(chain) = self.chain() {
            return Ok(chain);
        }
        // SAFETY: it stays where it is until `drop`.
        let chain = KBox::into_raw(unsafe { Pin::into_inner_unchecked(Chain::new(inode)?) });
        // Nobody else is here: the inode is locked.
        self.0.store(chain, Ordering::Release);
        // SAFETY: as in `chain`.
        Ok(unsafe { &*chain })
    }

    /// Where a write has to begin to go behind all that are under way, or else to the end of the file.
    pub fn end(&self, inode: &Inode<T>, _lock: &ExclusiveLock<'_, T>) -> i64 {
        let end = self.chain().and_then(|chain| {
            let state = chain.state.lock();
            (state.length.under_way != 0).then_some(state.end)
        });
        end.unwrap_or(inode.size())
    }

    /// Whether none is under way: then [`Self::wait`] has nothing to wait for.
    pub fn is_idle(&self, _lock: &ExclusiveLock<'_, T>) -> bool {
        self.chain().is_none_or(|chain| chain.untold() == 0)
    }

    /// Waits until none is under way, so that the size stays what it is as long as the lock is held.
    ///
    /// # Errors
    ///
    /// `ERESTARTSYS` if the process is being killed.
    pub fn wait(&self, _lock: &ExclusiveLock<'_, T>) -> Result {
        let Some(chain) = self.chain() else {
            return Ok(());
        };
        chain
            .told
            .wait_killable(|| (chain.untold() == 0).then_some(()))
    }
}

impl<T: DirectIo> Drop for Appends<T> {
    fn drop(&mut self) {
        let chain = *self.0.get_mut();
        if !chain.is_null() {
            // SAFETY: `make` has leaked it, and nobody has it any more: each write kept the inode.
            drop(unsafe { Pin::new_unchecked(KBox::from_raw(chain)) });
        }
    }
}

/// The end of a file, in the hands of the worker that ends its chain: the size is nobody else's to
/// change.
pub struct EndOfFile<'a, T: DirectIo> {
    inode: &'a Inode<T>,
    chain: &'a Chain<T>,
    /// Writes that are being ended.
    ending: u32,
}

impl<T: DirectIo> EndOfFile<'_, T> {
    /// Moves it on to this many bytes.
    pub fn grow(&self, bytes: i64) {
        // SAFETY: the inode is valid. Whoever has its lock and changes the size waits for the chain.
        unsafe { bindings::rext4_shim_i_size_write(self.inode.as_ptr(), bytes) };
    }

    /// Whether no write is under way but those that are being ended.
    pub fn is_alone(&self) -> bool {
        self.chain.state.lock().length.under_way == self.ending
    }
}

/// Writes directly at the end of a file; returns the number of bytes or, mostly, `EIOCBQUEUED`.
///
/// The request is asynchronous and need not be durable when it is complete. It begins at
/// [`Appends::end`], and that and its length are multiples of the block size.
///
/// # Errors
///
/// `ENOMEM`; else what [`DirectIo`] or the device says.
pub(crate) fn append<T: DirectIo>(
    request: &mut Kiocb<'_, T>,
    memory: &mut IovIter<'_>,
    lock: &ExclusiveLock<'_, T>,
    claim: T::Claim,
) -> Result<usize> {
    let inode = request.inode();
    let chain = T::appends(inode).make(inode, lock)?;
    let asked = memory.len();
    let start = request.position();
    let bytes = start..start.saturating_add_unsigned(asked as u64);
    let carried = Carried::with_others(request, Some(claim), bytes.clone())?;
    chain.add(&bytes);
    // SAFETY: the stand-in is what the chain's inode has in its place.
    let result = unsafe {
        submit(
            request,
            memory,
            chain.stand_in.get(),
            Some(carried),
            get_block_of_stand_in::<T>,
        )
    };
    let result = match result {
        // The device was faster than the submission: it waits for its turn as others do.
        (_, Some(carried)) if carried.is_whole(asked) => {
            // SAFETY: the request is not submitted any more, nor completed.
            unsafe { completion::queue_early(carried, bytes.end) }
        }
        (result, Some(carried)) => at_once(carried, chain, lock, result),
        (result, None) => result,
    };
    super::give_back(memory, asked, result);
    result
}

/// # Safety
///
/// Called by the kernel alone, with the stand-in of a chain.
unsafe extern "C" fn get_block_of_stand_in<T: DirectIo>(
    stand_in: *mut bindings::inode,
    block: bindings::sector_t,
    map: *mut bindings::buffer_head,
    _create: i32,
) -> i32 {
    // SAFETY: it is that field of a chain, which lives as long as the inode; that is kept by the
    // request.
    unsafe {
        let chain = kernel::container_of!(
            stand_in.cast::<Opaque<bindings::inode>>(),
            Chain<T>,
            stand_in
        );
        let length = (*chain).state.lock().length;
        ask::<T>((*chain).inode.as_ptr(), map, |inode, max, io_end| {
            T::map_append(inode, block, max, length, io_end)
        })
    }
}

/// A request that is complete, or was refused, before the kernel's direct I/O comes back: some of it
/// could not be submitted, so it was not asynchronous. It ends under the lock, when its turn has come.
fn at_once<T: DirectIo>(
    mut carried: KBox<Carried<'_, T>>,
    chain: &Chain<T>,
    lock: &ExclusiveLock<'_, T>,
    result: Result<usize>,
) -> Result<usize> {
    // SAFETY: the request is the caller's again.
    unsafe { (*carried.kiocb).ki_complete = carried.complete.take() };
    // Those before it need no lock to end.
    chain.told.wait_until(|| chain.untold() == 1);
    // SAFETY: the inode has the chain.
    let inode = unsafe { Inode::<T>::from_raw(chain.inode.as_ptr()) };
    let refused = (None, carried.appended.start, result);
    let (io_end, offset, ended) = carried.ended.take().unwrap_or(refused);
    let result = T::end_io(inode, io_end, Some(lock), offset, ended).and(ended);
    completion::invalidate(inode, offset, result);
    drop(carried);
    chain.end(1);
    chain.tell();
    // SAFETY: it was counted when it was submitted.
    unsafe { bindings::rext4_shim_dio_end(inode.as_ptr()) };
    result
}

/// Whoever asked for a write, which has ended, is about to be told.
pub(super) fn tell<T: DirectIo>(write: &Carried<'_, T>) {
    let chain = T::appends(write.inode()).chain();
    if let (false, Some(chain)) = (write.appended.is_empty(), chain) {
        chain.tell();
    }
}

/// Notes that a write is on the device; a worker has it.
pub(super) fn on_device<T: DirectIo>(write: KBox<Carried<'static, T>>) {
    // Without a chain it would not be here.
    if let Some(chain) = T::appends(write.inode()).chain() {
        // SAFETY: the inode, and with it the chain, is kept by the request, which is not completed.
        let chain = unsafe { &*ptr::from_ref(chain) };
        chain.hold(write);
    }
}

/// Ends those writes at the end of a file whose turn it is. A worker does that, one at a time for each
/// inode.
///
/// # Safety
///
/// The inode is valid as long as there is a write in its chain that is not complete.
pub(super) unsafe fn end_all<T: DirectIo>(inode: *const Inode<T>) {
    let chain = {
        // SAFETY: the caller has just put a write into its chain.
        let inode = unsafe { &*inode };
        let Some(chain) = T::appends(inode).chain() else {
            return;
        };
        ptr::from_ref(chain)
    };
    // SAFETY: the chain is the inode's.
    let mut ready = unsafe { (*chain).take_ready() };
    while ready.is_some() {
        let mut writes: [Option<Ended<T>>; completion::TOGETHER] =
            [const { None }; completion::TOGETHER];
        let mut taken = 0;
        for write in &mut writes {
            let Some(mut first) = ready.take() else {
                break;
            };
            ready = first.behind.take();
            *write = Some(Ended(first));
            taken += 1;
        }
        {
            // SAFETY: what was just taken keeps both.
            let (inode, chain) = unsafe { (&*inode, &*chain) };
            let ending = taken as u32;
            let end = EndOfFile {
                inode,
                chain,
                ending,
            };
            T::end_appends(inode, &mut writes[..taken], &end);
            chain.end(ending);
        }
        // The last one of all may take the inode along; if there are others left, they keep it.
        for write in writes.into_iter().flatten() {
            write.complete();
        }
    }
}
