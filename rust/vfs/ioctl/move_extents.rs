// SPDX-License-Identifier: GPL-2.0

//! `EXT4_IOC_MOVE_EXT`, which `e4defrag` uses: a file exchanges blocks with another one.
//!
//! C header: `include/uapi/linux/ext4.h`

use super::{Administration, Call};
use crate::{
    bindings,
    vfs::{
        file::{MoveRange, OpenFile},
        super_block::FileSystem,
    },
};
use core::ptr::NonNull;
use kernel::{error::code, prelude::*};

/// The bytes of `struct move_extent`.
const BYTES: usize = size_of::<bindings::move_extent>();
/// Where in it the number of blocks comes that were moved, eight bytes.
const MOVED: usize = core::mem::offset_of!(bindings::move_extent, moved_len);

/// A reference to an open file, of any file system.
///
/// # Invariants
///
/// The file is valid, and a reference to it is ours.
struct Descriptor(NonNull<bindings::file>);

impl Descriptor {
    /// The file behind a descriptor of the calling process.
    fn get(number: u32) -> Result<Self> {
        // SAFETY: no precondition.
        let file = unsafe { bindings::fget(number) };
        // INVARIANT: `fget` gives a reference.
        NonNull::new(file).map(Self).ok_or(code::EBADF)
    }
}

impl Drop for Descriptor {
    fn drop(&mut self) {
        // SAFETY: by the type invariant; the reference is given back here.
        unsafe { bindings::fput(self.0.as_ptr()) };
    }
}

/// Checks that a file was opened in a way that has all these bits.
///
/// # Safety
///
/// `file` is valid.
unsafe fn must_be_open_for(file: *mut bindings::file, bits: u32) -> Result {
    // SAFETY: the caller's promise; these bits do not change.
    if unsafe { (*file).f_mode } & bits == bits {
        Ok(())
    } else {
        Err(code::EBADF)
    }
}

impl<T: FileSystem + Administration> Call<'_, T> {
    pub(super) fn move_extents(&self) -> Result {
        let (read, write) = (bindings::REXT4_FMODE_READ, bindings::REXT4_FMODE_WRITE);
        // SAFETY: the file is valid during the call.
        unsafe { must_be_open_for(self.file.as_ptr(), read | write) }?;
        let mut bytes: [u8; BYTES] = self.read()?;
        let half = |at: usize| {
            let field = bytes.get(at..).and_then(|rest| rest.first_chunk());
            field.map_or(0, |field| u32::from_ne_bytes(*field))
        };
        let number = |at: usize| {
            let field = bytes.get(at..).and_then(|rest| rest.first_chunk());
            field.map_or(0, |field| u64::from_ne_bytes(*field))
        };
        let range = MoveRange {
            start: number(core::mem::offset_of!(bindings::move_extent, orig_start)),
            donor_start: number(core::mem::offset_of!(bindings::move_extent, donor_start)),
            len: number(core::mem::offset_of!(bindings::move_extent, len)),
        };
        let donor = half(core::mem::offset_of!(bindings::move_extent, donor_fd));
        let donor = Descriptor::get(donor)?;
        // SAFETY: by its type invariant the file is valid.
        unsafe { must_be_open_for(donor.0.as_ptr(), write) }?;
        // SAFETY: as above; a file has an inode, and that a super block.
        let sb = unsafe { (*bindings::rext4_shim_file_inode(donor.0.as_ptr())).i_sb };
        if sb != self.sb().as_ptr() {
            return Err(code::EXDEV);
        }
        // SAFETY: the file is valid as long as `donor` is; its inode is one of our super block.
        let other = unsafe { OpenFile::<T>::from_raw(donor.0.as_ptr()) };
        self.changing(|| {
            let mut moved = 0;
            let result = T::move_extents(self.file.inode(), other.inode(), &range, &mut moved);
            if let Some(field) = bytes.get_mut(MOVED..MOVED + 8) {
                field.copy_from_slice(&u64::to_ne_bytes(moved));
            }
            self.write(&bytes)?;
            result
        })
    }
}
