// SPDX-License-Identifier: GPL-2.0

//! The machine.
//!
//! C header: `include/linux/utsname.h`

use crate::bindings;

/// The name of the machine in the network, as much as there is room for, and zero bytes behind it.
pub fn name<const SIZE: usize>() -> [u8; SIZE] {
    let mut name = [0; SIZE];
    // SAFETY: there is room for so many bytes.
    unsafe { bindings::rext4_shim_node_name(name.as_mut_ptr().cast(), SIZE) };
    name
}
