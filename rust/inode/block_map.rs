// SPDX-License-Identifier: GPL-2.0

//! Files with a block map, as those of ext2 and ext3 have it, over buffers and journal.
//!
//! | file | what |
//! |---|---|
//! | [`tables`] | the tables of an inode's map: what [`crate::block_map`] works on |
//! | [`pending`] | blocks that are chosen for data on its way |
//! | [`fill`] | choosing them |
//! | [`settle`] | putting them into the map when the data is there |
//! | [`mod@remove`] | taking blocks away |
//! | [`migrate`] | to extents, and back |
//!
//! # Unwritten blocks
//!
//! A map can't tell that a block was not written yet. So what is unwritten in an extent tree is *pending*
//! here, in memory alone:
//!
//! ```text
//!              fill_hole, allocate                  make_written
//!   a hole ──────────────────────▶ pending ────────────────────────▶ written, in the map
//!      ▲                              │        the data is on the device
//!      └──────────────────────────────┘
//!        remove, the end of the inode in memory
//! ```
//!
//! Its blocks are [chosen](crate::group::Groups::choose): nobody else gets them, and no bitmap says that
//! they are used. For everybody who looks a block up they are [`Found::Unwritten`], so direct I/O, the page
//! cache and writeback do with them what they do with unwritten extents; and who makes blocks written
//! puts them into the map, with bits, tables and size, in one transaction. A crash before that leaves a hole. After
//! an error they stay until they are written to, cut off, or the inode leaves memory.
//!
//! # Tables
//!
//! What pending blocks can need of tables is set aside before they are chosen, together with that of
//! [delayed](super::delayed) ones, in the same reserve of the inode. So to put them into the map can't meet a
//! full disk.
//!
//! # Locks
//!
//! What is pending is under the tree's lock, like the map.

mod fill;
mod migrate;

mod pending;
mod remove;
mod settle;
mod tables;

pub(super) use fill::{allocate, fill_hole, is_too_far};

pub(super) use migrate::{from_extents, to_extents};
pub(super) use pending::Pending;
pub(super) use remove::{drop_pending, remove};
pub(super) use settle::make_written;
pub(crate) use tables::WriteTables;

use super::{delayed::Blocks, map::Found, staged::StagedRun};
use crate::{
    block_map::{self, Place},
    dio::claim::Waiting,
    disk::{
        block_map::PHYSICAL_END,
        extent::ROOT_SIZE,
        units::{LogicalBlock, PhysicalBlock},
    },
    error::FsResult,
    group::Wanted,
    vfs::inode::Inode,
    Rext4,
};
use tables::ReadTables;

/// The depth of an extent tree that takes as many tables to add one block to as a map does at most.
pub(crate) const AS_DEPTH: u16 = 2;

/// Looks a block up. The tree's lock is held, with `root` and `pending` behind it.
///
/// # Errors
///
/// Damage if the map leads out of the file system; `EIO`. If waiting is forbidden, `EAGAIN` where a table
/// is not in memory.
pub(super) fn find(
    inode: &Inode<Rext4>,
    root: &[u8; ROOT_SIZE],
    pending: &Pending,
    block: LogicalBlock,
    waiting: Waiting,
) -> FsResult<Found> {
    let next = pending.at_or_behind(block);
    if let Some(run) = next.and_then(|run| run.part(&(block..LogicalBlock(u32::MAX)))) {
        if run.blocks().start == block {
            return Ok(Found::Unwritten {
                start: run.start(),
                len: run.run().len,
            });
        }
    }
    let tables = ReadTables::new(inode, root, waiting);
    Ok(match block_map::lookup(&tables, block)? {
        Place::Hole(len) => {
            let len = next.map_or(len, |next| len.min(next.blocks().start.0 - block.0));
            Found::Hole { len }
        }
        Place::Data(start, len) => Found::Written { start, len },
    })
}

/// The same with all that the lock protects.
pub(super) fn find_in(
    inode: &Inode<Rext4>,
    blocks: &Blocks,
    block: LogicalBlock,
) -> FsResult<Found> {
    find(
        inode,
        &blocks.root,
        &blocks.pending,
        block,
        Waiting::Allowed,
    )
}

/// Where `block` would go best: in a row with the one before it, or else where the last allocation of
/// the file ended.
fn goal(inode: &Inode<Rext4>, blocks: &Blocks, block: LogicalBlock) -> PhysicalBlock {
    let goal = inode.data().goal();
    let Some(before) = block.checked_sub(1) else {
        return goal;
    };
    match find_in(inode, blocks, before) {
        Ok(Found::Written { start, .. } | Found::Unwritten { start, .. }) => {
            PhysicalBlock(start.0.saturating_add(1))
        }
        // The number may be in another table. If that can't be read others will say so.
        Ok(Found::Hole { .. }) | Err(_) => goal,
    }
}

/// Blocks for a file or a table of a map, near `goal`.
pub(crate) fn wanted(goal: PhysicalBlock, blocks: u32) -> Wanted {
    Wanted::new(goal, blocks).for_map()
}

/// Whether all blocks of a run can be in a map. They were chosen so.
fn is_in_reach(run: &StagedRun) -> bool {
    let run = run.run();
    run.start.0.saturating_add(run.len.into()) <= PHYSICAL_END.0
}
