// SPDX-License-Identifier: GPL-2.0

//! Putting pending blocks into the map, when their data is on the device.

use crate::{
    block_map,
    disk::{block_map::Way, units::LogicalBlock},
    error::{FsError, FsResult},
    extent::Progress,
    group::{ConversionReserve, Rights},
    inode::delayed::{self, Blocks},
    quota::Reserved,
    vfs::{inode::Inode, jbd2::Handle},
    Rext4,
};
use core::ops::Range;
use kernel::error::code;

use super::tables::WriteTables;

/// Puts what is pending in a range into the map, as far as it goes in one step: at most
/// [`SETTLE`](crate::journal::credits::SETTLE) runs that have their numbers in one place.
///
/// The tree's lock is held for writing, with `blocks` behind it. After it the inode is to be stored.
///
/// # Errors
///
/// Damage; what was not put there is pending still.
pub(in crate::inode) fn make_written(
    inode: &Inode<Rext4>,
    handle: &Handle<'_>,
    blocks: &mut Blocks,
    range: Range<LogicalBlock>,
    reserve: &mut ConversionReserve,
) -> FsResult<Progress> {
    let mut left = range.clone();
    for _ in 0..crate::journal::credits::SETTLE {
        match put_first(inode, handle, blocks, &mut left, reserve) {
            Ok(true) => {}
            Ok(false) => return Ok(Progress::Done),
            // What was put there counts. The next step meets the same error.
            Err(_) if left.start > range.start => return Ok(Progress::More(left.start)),
            Err(e) => return Err(e),
        }
    }
    if blocks.pending.first_in(&left).is_none() {
        return Ok(Progress::Done);
    }
    Ok(Progress::More(left.start))
}

/// Puts the first that is pending in a range into the map, which begins behind that then. Returns whether
/// there was anything.
fn put_first(
    inode: &Inode<Rext4>,
    handle: &Handle<'_>,
    blocks: &mut Blocks,
    range: &mut Range<LogicalBlock>,
    reserve: &mut ConversionReserve,
) -> FsResult<bool> {
    let fs = inode.super_block().data();
    let groups = fs.groups()?;
    let size = fs.layout.block_size();
    let Some(run) = blocks.pending.first_in(range) else {
        return Ok(false);
    };
    let first = run.blocks().start;
    let way = Way::to(first, size).ok_or(FsError::Kernel(code::EFBIG))?;
    let end = run
        .blocks()
        .end
        .min(LogicalBlock(first.0.saturating_add(way.in_place())));
    // It begins with the first block of the run.
    let part = run.part(&(first..end)).unwrap_or(run);
    let room = blocks.pending.room_to_take(&part)?;
    groups.settle_staged(handle, part.run())?;
    let Blocks { root, delayed, .. } = &mut *blocks;
    let rights = match delayed.reserve_mut() {
        Some(reserve) => Rights::DelayedNodes(reserve),
        None => Rights::Reserve(reserve),
    };
    let mut tables = WriteTables::new(inode, root, handle, rights);
    if let Err(e) = block_map::insert(&mut tables, first, part.start(), part.run().len) {
        // The map is as it was.
        let freed = tables.freed();
        groups.stage_again(handle, part.run())?;
        delayed::note_tables_freed(inode, blocks, freed);
        return Err(e);
    }
    Reserved::again(inode, part.run().len).claim(part.run().len);
    blocks.pending.take(&part, room);
    delayed::note_pending(inode, blocks);
    range.start = end;
    Ok(true)
}
