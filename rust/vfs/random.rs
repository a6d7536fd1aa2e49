// SPDX-License-Identifier: GPL-2.0

//! Random numbers.
//!
//! C header: `include/linux/random.h`

use crate::bindings;

/// A number that nobody can guess.
pub fn number() -> u32 {
    // SAFETY: no preconditions.
    unsafe { bindings::get_random_u32() }
}
