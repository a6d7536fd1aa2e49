// SPDX-License-Identifier: GPL-2.0

//! Choosing blocks for holes of a file with a block map.

use super::{find_in, goal, is_in_reach, pending::Room, wanted};
use crate::{
    disk::{
        block_map,
        extent::LOGICAL_END,
        units::{LogicalBlock, PhysicalBlock},
    },
    error::{euclean, FsError, FsResult},
    group::{Rights, Run},
    inode::{
        delayed::{self, Blocks},
        map::Found,
        rights,
        staged::StagedRun,
        window,
    },
    journal::credits,
    memory::insist,
    quota::Reserved,
    vfs::{
        inode::Inode,
        jbd2::{Credits, Handle, Journal},
    },
    Rext4,
};
use kernel::error::code;

/// Whether no map has this block.
pub(in crate::inode) fn is_too_far(inode: &Inode<Rext4>, block: LogicalBlock) -> bool {
    block >= block_map::end(inode.super_block().data().layout.block_size())
}

/// As [`allocate::fill_hole`](crate::inode::allocate::fill_hole), which calls this: what it gives is
/// pending, not in the map.
///
/// # Errors
///
/// `ENOSPC`, also for want of tables; damage; `EFBIG` where no map has the block.
pub(in crate::inode) fn fill_hole(
    inode: &Inode<Rext4>,
    journal: &Journal,
    block: LogicalBlock,
    most: u32,
    first: &mut impl FnMut(&Handle<'_>) -> FsResult,
) -> FsResult<Found> {
    let groups = inode.super_block().data().groups()?;
    if is_too_far(inode, block) {
        return Err(FsError::Kernel(code::EFBIG));
    }
    // To make a bitmap takes a transaction.
    let handle = journal.start(Credits::new(credits::ALLOCATE + credits::ORPHAN))?;
    let mut blocks = inode.data().tree.write();
    let hole = match find_in(inode, &blocks, block)? {
        Found::Hole { len } => len,
        found => return Ok(found),
    };
    let quota = Reserved::at_most(inode, most.min(hole))?;
    first(&handle)?;
    let mut own = rights(inode);
    let room = Room::new()?;
    let goal = goal(inode, &blocks, block);
    // What they need of tables is set aside for all; for one block it may be there where it is not for more.
    let len = [quota.blocks(), 1]
        .into_iter()
        .find(|len| {
            let run = block..LogicalBlock(block.0 + len);
            delayed::set_tables_aside(inode, &mut blocks, groups, &own, run)
        })
        .ok_or(FsError::NO_SPACE)?;
    let at_end = u64::from(block.0) + u64::from(hole) >= LOGICAL_END.0.into();
    let wanted = window::wanted(inode, wanted(goal, len), block, at_end);
    let chosen = groups
        .choose(&handle, wanted, own.reborrow())
        .and_then(|run| {
            window::note(inode, &wanted, &run);
            add(inode, &mut blocks, block, run, room)?;
            Ok(run)
        });
    // What was set aside and is not needed goes back, also after an error.
    delayed::note_pending(inode, &mut blocks);
    let run = chosen?;
    quota.keep_some(run.len);
    // What is in the page cache there was to get blocks later.
    let end = LogicalBlock(block.0 + run.len);
    delayed::note_allocated(inode, &mut blocks, block..end);
    drop(blocks);
    handle.stop()?;
    Ok(Found::Unwritten {
        start: run.start,
        len: run.len,
    })
}

/// Notes blocks that were just chosen.
fn add(
    inode: &Inode<Rext4>,
    blocks: &mut Blocks,
    first: LogicalBlock,
    run: Run,
    room: Room,
) -> FsResult {
    let own = StagedRun::new(first, run);
    if !is_in_reach(&own) {
        inode.super_block().data().groups()?.unstage(run)?;
        return Err(FsError::Kernel(euclean()));
    }
    let layout = &inode.super_block().data().layout;
    blocks.pending.add(own, room, |block| {
        let place = layout.group_of_block(block);
        place.is_none_or(|(_, index)| index == 0)
    });
    inode.data().note_change();
    inode
        .data()
        .set_goal(PhysicalBlock(run.start.0.saturating_add(run.len.into())));
    Ok(())
}

/// As [`delayed::allocate`], which calls this.
pub(in crate::inode) fn allocate(
    inode: &Inode<Rext4>,
    journal: &Journal,
    block: LogicalBlock,
) -> FsResult {
    let groups = inode.super_block().data().groups()?;
    loop {
        // Without it the data is lost.
        let handle = insist(|| journal.start(Credits::new(credits::ALLOCATE)))?;
        let mut blocks = inode.data().tree.write();
        let Some(range) = blocks.delayed.holding(block) else {
            // Another writeback was faster.
            drop(blocks);
            return Ok(handle.stop()?);
        };
        let end_of_file = delayed::end_of_file(inode);
        let most = delayed::to_write(&range, block, end_of_file);
        let len = match find_in(inode, &blocks, range.start)? {
            Found::Hole { len } => len.min(most),
            Found::Written { len, .. } | Found::Unwritten { len, .. } => {
                // Somebody else chose blocks when there was no memory to cut it out of the range.
                let end = LogicalBlock(range.start.0.saturating_add(len)).min(range.end);
                delayed::note_allocated(inode, &mut blocks, range.start..end);
                drop(blocks);
                handle.stop()?;
                continue;
            }
        };
        let goal = goal(inode, &blocks, range.start);
        let at_end = u64::from(range.start.0) + u64::from(len) >= end_of_file;
        let wanted = window::wanted(inode, wanted(goal, len), range.start, at_end);
        let room = Room::new()?;
        let reserve = blocks.delayed.reserve_mut();
        let rights = reserve.map_or(Rights::Root, Rights::Delayed);
        let run = groups.choose(&handle, wanted, rights)?;
        window::note(inode, &wanted, &run);
        let done = range.start..LogicalBlock(range.start.0 + run.len);
        let added = add(inode, &mut blocks, range.start, run, room);
        delayed::note_chosen(inode, &mut blocks, done.clone(), run.len);
        drop(blocks);
        handle.stop()?;
        if added.is_err() {
            drop(Reserved::again(inode, run.len));
        }
        added?;
        if done.contains(&block) {
            return Ok(());
        }
    }
}
