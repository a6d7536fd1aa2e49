// SPDX-License-Identifier: GPL-2.0

//! Memory that inodes hold and can do without, given back when the kernel is short of it.
//!
//! ```text
//!   Inode::list_for_shrinker ──▶ on the list ──▶ InodeMemory::free_some, in turn
//!                                    │
//!              inode is evicted: off the list, InodeMemory::free_all
//! ```
//!
//! What is given back comes in parts, all of about the same size. The kernel says how many of them
//! are to be looked at; an inode whose turn ended goes to the end of the list. No call goes round more
//! than once, so that what was used since its last turn is kept until the next one.
//!
//! The list is the kernel's `list_lru`, and its lock is held while an inode has its turn, which is how
//! the inode is known to be there. So [`InodeMemory::free_some`] is called in whatever context somebody
//! allocates memory, and under a spin lock.
//!
//! C headers: `include/linux/shrinker.h`, `include/linux/list_lru.h`

use super::{
    inode::Inode,
    super_block::{FileSystem, SuperBlock},
};
use crate::bindings;
use kernel::{
    error::{to_result, Error},
    ffi::c_void,
    prelude::*,
    types::Opaque,
};

/// How an inode's turn ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turn {
    /// It holds nothing any more: it is taken off the list.
    Empty,
    /// All of it was looked at.
    Over,
    /// It has more to look at.
    GoesOn,
}

/// What a file system keeps in memory with its inodes and can do without.
pub trait InodeMemory: Sized {
    /// Where the file system has its shrinker.
    fn shrinker(sb: &SuperBlock<Self>) -> &Shrinker
    where
        Self: FileSystem;

    /// How many parts all inodes hold.
    fn parts(sb: &SuperBlock<Self>) -> usize
    where
        Self: FileSystem;

    /// Gives back parts of what an inode holds that were not used since its last turn. Looks at no
    /// more than `looks`, and takes from that what it looked at. Returns how many it gave back.
    ///
    /// Called under a spin lock, which is also held where inodes are listed, and where memory is
    /// allocated: it must not sleep, nor allocate any.
    fn free_some(
        sb: &SuperBlock<Self>,
        inode: &<Self as FileSystem>::Inode,
        looks: &mut usize,
    ) -> (usize, Turn)
    where
        Self: FileSystem;

    /// Gives back all that an inode holds: it is evicted, and has had its last turn.
    fn free_all(inode: &Inode<Self>)
    where
        Self: FileSystem;
}

/// The shrinker of one mounted file system, with the list of inodes that hold something.
#[pin_data(PinnedDrop)]
pub struct Shrinker {
    #[pin]
    inner: Opaque<bindings::rext4_shrinker>,
}

// SAFETY: the list has its own lock, and the other fields change while the super block is mounted or
// shut down, by one task.
unsafe impl Send for Shrinker {}
// SAFETY: see above.
unsafe impl Sync for Shrinker {}

impl Shrinker {
    /// One that is not started, with no inodes.
    pub fn new() -> impl PinInit<Self, Error> {
        try_pin_init!(Self {
            // SAFETY: the slot is valid for writes and stays where it is.
            inner <- Opaque::try_ffi_init(|slot| to_result(unsafe {
                bindings::rext4_shim_shrinker_init(slot)
            })),
        }? Error)
    }

    /// Lets the kernel ask for memory from now on, until [`Self::stop`]. The super block's own.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    pub(super) fn start<T: FileSystem>(&self, sb: &SuperBlock<T>) -> Result {
        // SAFETY: both are valid, and stay so until it was stopped, which is done when the super block
        // is shut down.
        to_result(unsafe {
            bindings::rext4_shim_shrinker_start(
                self.inner.get(),
                sb.as_ptr(),
                Some(count::<T>),
                Some(scan::<T>),
            )
        })
    }

    /// Waits until nobody is in it; nobody will be any more. Does nothing if it was not started.
    pub(super) fn stop(&self) {
        // SAFETY: it was initialised.
        unsafe { bindings::rext4_shim_shrinker_stop(self.inner.get()) };
    }
}

#[pinned_drop]
impl PinnedDrop for Shrinker {
    fn drop(self: Pin<&mut Self>) {
        self.stop();
        // SAFETY: it was initialised, and the list is empty: it goes with the super block's state, whose
        // inodes were all evicted.
        unsafe { bindings::rext4_shim_shrinker_destroy(self.inner.get()) };
    }
}

impl<T: FileSystem> Inode<T> {
    /// Has the inode asked for memory: it holds something that it can do without. Does nothing if it
    /// is on the list already.
    ///
    /// Takes the lock that [`InodeMemory::free_some`] is called under.
    pub fn list_for_shrinker(&self) {
        let shrinker = T::shrinker(self.super_block());
        // SAFETY: the inode is valid, its entry was initialised with it, and is in this list or in none.
        // It is taken out before the inode is gone, in `forget_inode`, which comes after all others
        // have given up the inode.
        unsafe { bindings::rext4_shim_shrinker_add(shrinker.inner.get(), self.shrinker_entry()) };
    }
}

/// Takes an inode that is evicted off the list, and gives back what it holds.
pub(super) fn forget_inode<T: FileSystem>(inode: &Inode<T>) {
    let shrinker = T::shrinker(inode.super_block());
    // SAFETY: as in `list_for_shrinker`.
    unsafe { bindings::rext4_shim_shrinker_remove(shrinker.inner.get(), inode.shrinker_entry()) };
    T::free_all(inode);
}

/// # Safety
///
/// Called by the kernel with the super block of a shrinker that was started and not stopped.
unsafe extern "C" fn count<T: FileSystem>(sb: *mut bindings::super_block) -> usize {
    // SAFETY: the caller's promise.
    T::parts(unsafe { SuperBlock::<T>::from_raw(sb) })
}

/// How far a call of the kernel has come.
struct Scan<'a, T: FileSystem> {
    sb: &'a SuperBlock<T>,
    /// Parts that are still to be looked at.
    looks: usize,
    given_back: usize,
}

/// Looks at `*looks` parts at most, and sets that to how many it did look at. Returns how many were
/// given back.
///
/// # Safety
///
/// As for [`count`]; `looks` is valid.
unsafe extern "C" fn scan<T: FileSystem>(
    sb: *mut bindings::super_block,
    looks: *mut usize,
) -> usize {
    // SAFETY: the caller's promise.
    let (sb, wanted) = unsafe { (SuperBlock::<T>::from_raw(sb), *looks) };
    let mut scan = Scan {
        sb,
        looks: wanted,
        given_back: 0,
    };
    let shrinker = T::shrinker(sb);
    // SAFETY: the callback is given entries of the list, and the scan, which lives as long as the call.
    unsafe {
        bindings::rext4_shim_shrinker_walk(
            shrinker.inner.get(),
            Some(visit::<T>),
            core::ptr::from_mut(&mut scan).cast(),
        );
        *looks = wanted - scan.looks;
    }
    scan.given_back
}

/// An inode has its turn.
///
/// # Safety
///
/// Called by the kernel, under the list's lock, with an entry of the list and a [`Scan`].
unsafe extern "C" fn visit<T: FileSystem>(
    entry: *mut bindings::list_head,
    scan: *mut c_void,
) -> bindings::rext4_turn {
    // SAFETY: the caller's promise.
    let scan = unsafe { &mut *scan.cast::<Scan<'_, T>>() };
    if scan.looks == 0 {
        return bindings::rext4_turn_REXT4_TURN_GOES_ON;
    }
    // SAFETY: entries are those of inodes, and are taken out, under the list's lock, before these are
    // gone. The reference is not kept.
    let data = unsafe { Inode::<T>::data_of_shrinker_entry(entry) };
    let (given_back, turn) = T::free_some(scan.sb, data, &mut scan.looks);
    scan.given_back += given_back;
    match turn {
        Turn::Empty => bindings::rext4_turn_REXT4_TURN_EMPTY,
        Turn::Over => bindings::rext4_turn_REXT4_TURN_OVER,
        Turn::GoesOn => bindings::rext4_turn_REXT4_TURN_GOES_ON,
    }
}
