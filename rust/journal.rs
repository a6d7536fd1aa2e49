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
//!   consistent, with [`make_room`] between them.

pub(crate) mod credits;
pub(crate) mod kinds;
pub(crate) mod sync_point;

use crate::{
    error::FsResult,
    vfs::jbd2::{Credits, Handle},
};

/// What [`make_room`] found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Room {
    /// There are enough credits for the next step, in the same transaction.
    Enough,
    /// There are not. The caller brings what is on disk into a consistent state, gives up the locks
    /// that are taken under a handle, and calls [`Handle::restart`].
    Restart,
}

/// Makes sure that a handle has credits for the next step, without leaving its transaction.
///
/// # Errors
///
/// `EROFS` if the journal was given up.
pub(crate) fn make_room(handle: &Handle<'_>, step: Credits) -> FsResult<Room> {
    let missing = step.blocks.saturating_sub(handle.credits_left());
    if missing == 0 && step.revokes == 0 {
        return Ok(Room::Enough);
    }
    let more = Credits::new(missing).with_revokes(step.revokes);
    Ok(if handle.extend(more)? {
        Room::Enough
    } else {
        Room::Restart
    })
}
