// SPDX-License-Identifier: GPL-2.0

//! Block maps: where the blocks of a file lie that has no extents, as in ext2 and ext3, and how that is
//! changed.
//!
//! The format is [`crate::disk::block_map`]; here are the algorithms on whole maps. They reach blocks of
//! numbers, *tables*, only through [`TableStore`] and [`TableStoreMut`], so that the same code runs over
//! the kernel's buffers and journal, and over plain memory in tests.
//!
//! | operation | what it does |
//! |---|---|
//! | [`lookup()`] | where a block lies, or how long the hole is |
//! | [`insert()`] | has blocks of a hole mapped |
//! | [`remove()`] | removes what is mapped in a range, from its end on, with tables that nothing is left in |
//! | [`count_tables`], [`free_tables`] | all tables, when extents take their place |
//!
//! # What a map can be
//!
//! Anything: a table has no checksum and no mark that tells what it is. Each number is checked when it
//! is used ([`TableStore::check`]). A way has three tables at most, so none is followed for ever,
//! wherever it leads; and what is in a map twice is found when it is freed for the second time.
//!
//! # Locks
//!
//! None here, as with [`crate::extent`].

mod all;
pub mod credits;
mod insert;
mod lookup;
mod remove;
mod store;

pub use all::{count_tables, free_tables};
pub use insert::insert;
pub use lookup::{lookup, Place};
pub use remove::{remove, Limit, Progress};
pub use store::{TableStore, TableStoreMut};
