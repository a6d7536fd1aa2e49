// SPDX-License-Identifier: GPL-2.0

//! Allocating memory where the file system must not be called to free some.
//!
//! C header: `include/linux/sched/mm.h`

use crate::bindings;
use kernel::types::NotThreadSafe;

/// As long as it lives, this task's allocations do not call file systems: what frees memory there
/// may want a lock that the task has. A journal handle does the same.
pub(crate) struct NoFs {
    flags: u32,
    _not_send: NotThreadSafe,
}

impl NoFs {
    /// Begins it.
    pub(crate) fn new() -> Self {
        Self {
            // SAFETY: no precondition; the flags are given back by this task.
            flags: unsafe { bindings::rext4_shim_nofs_save() },
            _not_send: NotThreadSafe,
        }
    }
}

impl Drop for NoFs {
    fn drop(&mut self) {
        // SAFETY: the flags are those that this task had.
        unsafe { bindings::rext4_shim_nofs_restore(self.flags) };
    }
}
