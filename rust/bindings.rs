// SPDX-License-Identifier: GPL-2.0

//! The C side: what bindgen generates from `bindings/bindings_helper.h`, as far
//! as `bindings/allowlist.txt` names it.
//!
//! Types that the kernel's own bindings crate has too are distinct types here
//! with the same layout, since both are generated with the same parameters.

#![allow(
    clippy::all,
    dead_code,
    improper_ctypes,
    missing_docs,
    non_camel_case_types,
    non_snake_case,
    non_upper_case_globals,
    rustdoc::all,
    unknown_lints,
    unnecessary_transmutes,
    unreachable_pub,
    unsafe_op_in_unsafe_fn
)]
#![allow(
    clippy::as_underscore,
    clippy::cast_lossless,
    clippy::ptr_as_ptr,
    clippy::ref_as_ptr,
    clippy::undocumented_unsafe_blocks
)]

use kernel::ffi;
use pin_init::{MaybeZeroable, Zeroable};

// The kernel's bindgen parameters leave these to be defined by hand.
type __kernel_size_t = usize;
type __kernel_ssize_t = isize;
type __kernel_ptrdiff_t = isize;

// SAFETY: a `__BindgenBitfieldUnit` has `Storage` as its only field.
unsafe impl<Storage> Zeroable for __BindgenBitfieldUnit<Storage> where Storage: Zeroable {}

include!(env!("REXT4_BINDINGS"));
