// SPDX-License-Identifier: GPL-2.0

//! Memory that direct I/O can use.

use std::alloc::{alloc_zeroed, dealloc, handle_alloc_error, Layout};
use std::ops::{Deref, DerefMut};

/// A piece of memory that begins at a page, or so many bytes behind where one does.
pub struct Buffer {
    start: *mut u8,
    layout: Layout,
    behind: usize,
}

// SAFETY: the memory is owned by the buffer alone.
unsafe impl Send for Buffer {}

impl Buffer {
    /// `length` bytes of zeros; `length` is not 0.
    pub fn new(length: usize) -> Self {
        Self::behind(length, 0)
    }

    /// The same, `behind` bytes behind the begin of a page.
    pub fn behind(length: usize, behind: usize) -> Self {
        assert!(length > 0);
        let layout = Layout::from_size_align(length + behind, 4096).expect("a sensible length");
        // SAFETY: the layout's size is not 0.
        let start = unsafe { alloc_zeroed(layout) };
        if start.is_null() {
            handle_alloc_error(layout);
        }
        Buffer {
            start,
            layout,
            behind,
        }
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        // SAFETY: `start` was allocated with this layout.
        unsafe { dealloc(self.start, self.layout) };
    }
}

impl Deref for Buffer {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        // SAFETY: `start` is valid for the layout's size, and initialised.
        let all = unsafe { std::slice::from_raw_parts(self.start, self.layout.size()) };
        &all[self.behind..]
    }
}

impl DerefMut for Buffer {
    fn deref_mut(&mut self) -> &mut [u8] {
        // SAFETY: as above, and `self` is borrowed mutably.
        let all = unsafe { std::slice::from_raw_parts_mut(self.start, self.layout.size()) };
        &mut all[self.behind..]
    }
}
