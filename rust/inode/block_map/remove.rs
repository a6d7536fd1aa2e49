// SPDX-License-Identifier: GPL-2.0

//! Taking blocks away from a file with a block map, in steps that each fit a transaction.

use super::tables::WriteTables;
use crate::{
    block_map::{self, Limit, Progress},
    disk::{extent::LOGICAL_END, units::LogicalBlock},
    error::FsResult,
    group::Rights,
    inode::{
        self,
        delayed::{self, Blocks},
    },
    journal::credits,
    quota::Reserved,
    vfs::{
        inode::Inode,
        jbd2::{Credits, Journal},
        no_fs::NoFs,
    },
    Rext4,
};
use core::ops::Range;

/// Runs of data and tables removed in one step at most.
const STEPS: u32 = 16;
/// Blocks of metadata removed in one step at most: each is revoked.
const METADATA_STEP: u32 = 256;

/// What is removed in one step, and what that can change.
fn step(inode: &Inode<Rext4>, journal: &Journal) -> (Limit, Credits) {
    let layout = &inode.super_block().data().layout;
    // A step takes no more than a part of a small journal.
    let fits = |credits: &Credits| credits.blocks <= journal.max_credits() / 4;
    let mut steps = STEPS;
    let mut own = credits::remove_mapped(steps, layout);
    while steps > 1 && !fits(&own) {
        steps /= 2;
        own = credits::remove_mapped(steps, layout);
    }
    let holds_metadata = inode::holds_metadata(inode);
    let blocks = if holds_metadata {
        METADATA_STEP
    } else {
        u32::MAX
    };
    let revokes = if holds_metadata { METADATA_STEP } else { 0 };
    (
        Limit { steps, blocks },
        own.plus(Credits::new(0).with_revokes(revokes)),
    )
}

/// Removes and frees what is mapped in a range of logical blocks, and what is pending there. As
/// [`truncate::remove`](crate::inode::truncate::remove), which calls this.
pub(in crate::inode) fn remove(inode: &Inode<Rext4>, mut range: Range<LogicalBlock>) -> FsResult {
    let sb = inode.super_block();
    let journal = sb.data().writing(sb)?;
    loop {
        let groups = sb.data().layout.group_count();
        let (limit, credits) = step(inode, journal);
        let handle = journal.start(credits)?;
        let mut blocks = inode.data().tree.write();
        if sb.data().layout.group_count() > groups {
            // The file system grew meanwhile: the credits may not do.
            continue;
        }
        drop_in(inode, &mut blocks, &range)?;
        let mut tables = WriteTables::new(inode, &mut blocks.root, &handle, Rights::Root);
        let progress = block_map::remove(&mut tables, range.clone(), limit);
        // What was removed before an error is removed on disk too.
        tables.store_inode()?;
        let freed = tables.freed();
        delayed::note_tables_freed(inode, &mut blocks, freed);
        drop(blocks);
        handle.stop()?;
        match progress? {
            Progress::Done => return Ok(()),
            Progress::More(end) => range.end = end,
        }
    }
}

/// Makes what is pending in a range free again.
fn drop_in(inode: &Inode<Rext4>, blocks: &mut Blocks, range: &Range<LogicalBlock>) -> FsResult {
    let groups = inode.super_block().data().groups()?;
    let _no_fs = NoFs::new();
    let mut result = Ok(());
    let mut any = false;
    while let Some(part) = blocks.pending.first_in(range) {
        let room = blocks.pending.room_to_take(&part)?;
        blocks.pending.take(&part, room);
        result = result.and(groups.unstage(part.run()));
        drop(Reserved::again(inode, part.run().len));
        any = true;
    }
    if any {
        inode.data().note_change();
        delayed::note_pending(inode, blocks);
    }
    result
}

/// Makes all that is pending free again: the inode leaves memory.
pub(in crate::inode) fn drop_pending(inode: &Inode<Rext4>) -> FsResult {
    if inode.data().delayed_blocks() == 0 {
        return Ok(());
    }
    let mut blocks = inode.data().tree.write();
    drop_in(inode, &mut blocks, &(LogicalBlock(0)..LOGICAL_END))
}
