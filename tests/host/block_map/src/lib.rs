// SPDX-License-Identifier: GPL-2.0

//! `rust/block_map`, the algorithms on block maps, as a crate for the host.

#![no_std]
#![warn(missing_docs, unreachable_pub, rust_2018_idioms, clippy::all)]

pub use rext4_disk::disk;

/// The folder of the module's sources: `mod block_map` is found there as the module's root finds it.
#[path = "../../../../rust"]
mod sources {
    pub mod block_map;
}

pub use sources::block_map;
