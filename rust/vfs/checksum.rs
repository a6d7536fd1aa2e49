// SPDX-License-Identifier: GPL-2.0

//! Checksums that the kernel computes with the processor's help.
//!
//! C header: `include/linux/crc32.h`

use crate::bindings;

/// The CRC-32C of `bytes`, going on from `value`, neither inverted before nor after.
pub(crate) fn crc32c(value: u32, bytes: &[u8]) -> u32 {
    // SAFETY: the slice is valid for reads of its length.
    unsafe { bindings::rext4_shim_crc32c(value, bytes.as_ptr().cast(), bytes.len()) }
}
