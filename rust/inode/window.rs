// SPDX-License-Identifier: GPL-2.0

//! How much room is left free behind a file that grows: see [`crate::group::Wanted::for_file`].

use super::number;
use crate::{
    disk::units::{GroupNumber, LogicalBlock},
    group::{Run, Wanted},
    vfs::inode::Inode,
    Rext4,
};

/// The largest window, in blocks.
const MOST: u32 = 2048;

/// Stands for no group.
pub(super) const NONE: u32 = u32::MAX;

/// What is wanted for `block` of a file and those behind it, with a window if the file grows there.
///
/// The window is four times as long as the file is, so that a file that is written to bit by bit
/// among others is in few pieces, each five times as long as the one before, and small ones
/// stay together. A file that nobody has open for writing is not going to grow.
pub(super) fn wanted(
    inode: &Inode<Rext4>,
    wanted: Wanted,
    block: LogicalBlock,
    at_end: bool,
) -> Wanted {
    let grows = at_end && inode.is_regular() && inode.is_open_for_write();
    if !grows {
        return wanted.for_file(number(inode), 0);
    }
    let layout = &inode.super_block().data().layout;
    let most = MOST.min(layout.blocks_per_group() / 8);
    let end = block.0.saturating_add(wanted.blocks());
    let window = end.saturating_mul(4).min(most);
    // Who wants much at once gets it in one piece anyway.
    wanted.for_file(number(inode), window.saturating_sub(wanted.blocks()))
}

/// Notes where the file's window is now, and ends the one that it had elsewhere.
///
/// The tree's lock is held.
pub(super) fn note(inode: &Inode<Rext4>, wanted: &Wanted, run: &Run) {
    if !wanted.has_window() {
        return;
    }
    let layout = &inode.super_block().data().layout;
    if let Some((group, _)) = layout.group_of_block(run.start) {
        let before = inode.data().swap_window(group.0);
        if before != group.0 {
            end_in(inode, before);
        }
    }
}

/// Ends the file's window: nobody is going to write to it.
pub(crate) fn end(inode: &Inode<Rext4>) {
    end_in(inode, inode.data().swap_window(NONE));
}

fn end_in(inode: &Inode<Rext4>, group: u32) {
    if group == NONE {
        return;
    }
    if let Ok(groups) = inode.super_block().data().groups() {
        groups.end_window(GroupNumber(group), number(inode));
    }
}
