// SPDX-License-Identifier: GPL-2.0

//! Directories: finding one name, reading all of them, and changing them.
//!
//! | file | what |
//! |---|---|
//! | [`block`] | the blocks of a directory, read and checked |
//! | [`order`] | whether there is an index, and how names are hashed |
//! | [`mod@lookup`] | one name |
//! | [`listing`] | the names of a stretch of hashes, sorted |
//! | [`position`] | hashes as positions of an open directory |
//! | [`read`] | all names, from a position on |
//! | [`change`] | one name removed, or standing for another inode |
//! | [`mod@insert`] | a new name |
//! | [`split`] | the index: made, and grown where it is full |
//! | [`grow`] | a new block |
//!
//! # Locks
//!
//! The VFS holds the directory's inode lock, at least shared, so a directory does not change while
//! it is looked at; and exclusively where it changes, which is what a
//! [`Directory`](crate::vfs::namespace::Directory) stands for. The bytes of each block are looked at under the buffer's byte lock; what has
//! to sleep with them (to hand out an entry faults on a process' memory) works on a copy.

mod block;
mod change;
mod grow;
mod insert;
mod listing;
mod lookup;
mod order;
mod position;
mod read;
mod sort;
mod split;
// What `kunit_tests` makes is not safe code.
#[cfg(CONFIG_KUNIT = "y")]
#[allow(unsafe_code)]
mod tests;

pub(crate) use change::{
    entry, entry_again, is_empty, parent_entry, parent_unlocked, remove, replace, set_parent,
};
pub(crate) use grow::{add_block, make_first};
pub(crate) use insert::insert;
pub(crate) use lookup::{lookup, Found};
