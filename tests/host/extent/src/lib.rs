// SPDX-License-Identifier: GPL-2.0

//! `rust/extent`, the algorithms on extent trees, as a crate for the host.

#![no_std]
#![warn(missing_docs, unreachable_pub, rust_2018_idioms, clippy::all)]

pub use rext4_disk::disk;

/// The folder of the module's sources: `mod extent` is found there as the module's root finds it.
#[path = "../../../../rust"]
mod sources {
    pub mod extent;
}

pub use sources::extent;
