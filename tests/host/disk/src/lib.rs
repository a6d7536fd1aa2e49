// SPDX-License-Identifier: GPL-2.0

//! `rust/disk`, the on-disk format, as a crate for the host.

#![no_std]
#![warn(missing_docs, unreachable_pub, rust_2018_idioms, clippy::all)]

/// The folder of the module's sources: `mod disk` is found there as the module's root finds it.
#[path = "../../../../rust"]
mod sources {
    pub mod disk;
}

pub use sources::disk;
