// SPDX-License-Identifier: GPL-2.0

//! The calling task, and the time.
//!
//! C headers: `include/linux/sched.h`, `include/linux/timekeeping.h`

use crate::bindings;
use kernel::{
    current,
    error::{Error, Result},
    fmt,
    str::BStr,
};

/// The name of a task.
pub(crate) struct Name([u8; bindings::REXT4_TASK_COMM_LEN as usize]);

impl Name {
    /// The name of the calling task.
    pub(crate) fn of_current() -> Self {
        let mut name = [0; bindings::REXT4_TASK_COMM_LEN as usize];
        // SAFETY: there is room for a name.
        unsafe { bindings::rext4_shim_task_name(name.as_mut_ptr().cast()) };
        Self(name)
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = self.0.split(|byte| *byte == 0).next().unwrap_or_default();
        fmt::Display::fmt(BStr::from_bytes(text), f)
    }
}

/// The number of the calling task.
pub(crate) fn current_id() -> i32 {
    current!().pid()
}

/// Whether the calling task is the kernel's own, as that of a loop device is.
pub(crate) fn is_kernel_thread() -> bool {
    // SAFETY: looks at the current task alone.
    unsafe { bindings::rext4_shim_is_kernel_thread() }
}

/// Whether the calling task is to stand still, since the machine is being suspended. What takes long has to end
/// early then.
pub(crate) fn is_freezing() -> bool {
    // SAFETY: no preconditions.
    unsafe { bindings::rext4_shim_freezing() }
}

/// Sleeps for so many seconds.
///
/// # Errors
///
/// `EINTR` if the process is being killed, or the machine suspended.
pub(crate) fn sleep_killable(seconds: u32) -> Result {
    // SAFETY: no preconditions but that the task may sleep.
    if unsafe { bindings::rext4_shim_sleep_killable(seconds) } {
        Ok(())
    } else {
        Err(Error::from_errno(-(bindings::EINTR as i32)))
    }
}

/// Seconds since the machine was started.
pub(crate) fn seconds_since_boot() -> i64 {
    // SAFETY: no preconditions.
    unsafe { bindings::ktime_get_seconds() }
}

/// Whether the calling task may have more of what there is than others (`CAP_SYS_RESOURCE`).
pub(crate) fn has_resource_rights() -> bool {
    // SAFETY: no precondition.
    unsafe { bindings::rext4_shim_may_resize() }
}
