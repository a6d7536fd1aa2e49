// SPDX-License-Identifier: GPL-2.0

//! rext4: the ext4 file system in Rust.

use kernel::prelude::*;

mod bindings;

module! {
    type: Rext4,
    name: "rext4",
    authors: ["The rext4 developers"],
    description: "The ext4 file system in Rust",
    license: "GPL",
}

/// The loaded module.
struct Rext4;

impl kernel::Module for Rext4 {
    fn init(_module: &'static ThisModule) -> Result<Self> {
        // SAFETY: the shim takes no pointer and has no precondition.
        let bits = unsafe { bindings::rext4_shim_page_shift() };
        pr_info!("loaded, pages of {} bytes\n", 1u32 << bits);
        Ok(Rext4)
    }
}

impl Drop for Rext4 {
    fn drop(&mut self) {
        pr_info!("unloaded\n");
    }
}

#[kunit_tests(rext4_bindings)]
mod tests {
    use super::*;

    #[test]
    fn page_shift_agrees_with_the_kernel_crate() {
        // SAFETY: the shim takes no pointer and has no precondition.
        let bits = unsafe { bindings::rext4_shim_page_shift() };
        assert_eq!(bits as usize, kernel::page::PAGE_SHIFT);
    }
}
