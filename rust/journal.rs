// SPDX-License-Identifier: GPL-2.0

//! How the file system uses the journal.
//!
//! The journal itself is wrapped in [`crate::vfs::jbd2`]. Here is what ext4 does with it:
//!
//! - [`credits`]: how many blocks each kind of change can touch;
//! - [`sync_point`]: which transaction an inode's `fsync` has to wait for;
//! - [`kinds`]: what kinds of metadata blocks are told apart in memory.
//!
//! # Rules
//!
//! - A handle is started before any lock of the file system below the inode lock is taken: the lock
//!   of an extent tree, a group's lock, a buffer's. To start one can wait for a commit, and the
//!   commit waits for every thread that has a handle, so whoever has one must never wait for a lock
//!   under which another is started.
//! - Whoever has a handle does not wait for I/O on data, for free space to appear, or for a commit.
//! - A change that does not fit one transaction is cut into steps, each of which leaves the disk
//!   consistent and has a transaction of its own.

pub(crate) mod credits;
pub(crate) mod kinds;
pub(crate) mod sync_point;
