// SPDX-License-Identifier: GPL-2.0

//! Giving blocks to a file: unwritten, so that nobody sees what was in them before.

use super::{
    block_map, delayed, goal,
    map::{self, Found},
    rights,
    staged::{self, Filling},
    tree::{ReadTree, WriteTree},
    window, DataKind,
};
use crate::{
    disk::{
        extent::{Extent, State, LOGICAL_END, ROOT_SIZE},
        units::{LogicalBlock, PhysicalBlock},
    },
    error::{euclean, FsError, FsResult},
    extent::{self, Gap, Mapping, Spot},
    group::{Rights, Run, Wanted},
    journal::credits,
    quota::Reserved,
    vfs::{
        buffer::Buffer,
        inode::Inode,
        jbd2::{Credits, Handle, Journal},
    },
    Rext4,
};

/// Allocates blocks for a hole of which `wanted` blocks from `block` on are to be written, as
/// unwritten; fewer if there is no room for them in a row. Somebody may have been faster; then it
/// gives what is there now, and never a hole.
///
/// `first` is done within the same transaction before anything is allocated, with credits for
/// [`credits::ORPHAN`] and the tree's lock held.
pub(crate) fn fill_hole(
    inode: &Inode<Rext4>,
    journal: &Journal,
    block: LogicalBlock,
    wanted: u32,
    mut first: impl FnMut(&Handle<'_>) -> FsResult,
) -> FsResult<Found> {
    super::check_supported(inode)?;
    let groups = inode.super_block().data().groups()?;
    // Blocks that were freed can be used when that is committed.
    groups.retry(journal, || match inode.data().kind() {
        DataKind::BlockMap => block_map::fill_hole(inode, journal, block, wanted, &mut first),
        _ => try_fill_hole(inode, journal, block, wanted, &mut first),
    })
}

fn try_fill_hole(
    inode: &Inode<Rext4>,
    journal: &Journal,
    block: LogicalBlock,
    wanted: u32,
    first: &mut impl FnMut(&Handle<'_>) -> FsResult,
) -> FsResult<Found> {
    let fs = inode.super_block().data();
    let groups = fs.groups()?;
    loop {
        let depth = extent::depth(&ReadTree::new(inode, &inode.data().tree.read()))?;
        let handle = journal.start(credits::insert(depth).plus(Credits::new(credits::ORPHAN)))?;
        let mut root = inode.data().tree.write();
        let tree = ReadTree::new(inode, &root);
        if extent::depth(&tree)? > depth {
            // It grew meanwhile: the credits may not do.
            continue;
        }
        let gap = match extent::find_gap(&tree, block)? {
            Spot::Gap(gap) => gap,
            Spot::Extent(extent) => return Ok(map::found(Mapping::Extent(extent), block)),
        };
        let hole = gap.hole();
        let blocks = wanted
            .min(hole.end.0.saturating_sub(block.0))
            .min(State::Unwritten.max_len());
        let filling = staged::begin_filling(inode, block..LogicalBlock(block.0 + blocks));
        let (end, was_known) = match filling {
            Filling::Free { end, was_known } => (end, was_known),
            Filling::Staged(run) => {
                let mut none = groups.reserve_conversion(journal, 0)?;
                let rights = Rights::Reserve(&mut none);
                staged::put(inode, &handle, &mut root, &run, State::Unwritten, rights)?;
                delayed::note_allocated(inode, &mut root, run.blocks());
                WriteTree::new(inode, &mut root, &handle, Rights::Root).store_inode()?;
                // It is in the tree now.
                continue;
            }
        };
        let mut quota = Reserved::at_most(inode, end.0 - block.0)?;
        let blocks = quota.blocks();
        first(&handle)?;
        let goal = goal::in_gap(inode, &tree, (block, blocks), &gap);
        let wanted = groups.by_stripes(Wanted::new(goal, blocks), block);
        let wanted = window::wanted(inode, wanted, block, hole.end == LOGICAL_END);
        let mut rights = rights(inode);
        let run = groups.allocate(&handle, wanted, rights.reborrow())?;
        window::note(inode, &wanted, &run);
        let place = Place {
            gap,
            block,
            was_known,
        };
        insert(inode, &handle, &mut root, place, run, rights, &mut quota)?;
        // What is in the page cache there was to be allocated later.
        let end = LogicalBlock(block.0 + run.len);
        delayed::note_allocated(inode, &mut root, block..end);
        drop(root);
        handle.stop()?;
        return Ok(Found::Unwritten {
            start: run.start,
            len: run.len,
        });
    }
}

/// Where in a file blocks are to go.
pub(super) struct Place {
    /// The hole, and the way to it.
    pub(super) gap: Gap<Buffer>,
    /// The first block of the file.
    pub(super) block: LogicalBlock,
    /// What [`staged::begin_filling`] said.
    pub(super) was_known: bool,
}

/// Puts blocks that were just allocated into the tree, unwritten, where the gap is. If that fails
/// they are freed.
///
/// Nodes of the tree are allocated with `rights`; the blocks are claimed of `quota` when they are in the
/// tree. The tree's lock is held, with `root` behind it.
pub(super) fn insert(
    inode: &Inode<Rext4>,
    handle: &Handle<'_>,
    root: &mut [u8; ROOT_SIZE],
    place: Place,
    run: Run,
    rights: Rights<'_>,
    quota: &mut Reserved<'_>,
) -> FsResult {
    let fs = inode.super_block().data();
    let limits = rights.limits();
    let mut tree = WriteTree::new(inode, root, handle, rights);
    tree.heed(limits);
    tree.was_known_before(place.was_known);
    let inserted = Extent::new(place.block, run.start, run.len, State::Unwritten)
        .ok_or(FsError::Kernel(euclean()))
        .and_then(|extent| place.gap.insert(&mut tree, extent));
    if let Err(e) = inserted {
        // The tree is as it was; so is the disk when the blocks are given back.
        fs.groups()?.free(handle, run.start, run.len)?;
        return Err(e);
    }
    quota.claim(run.len);
    tree.store_inode()?;
    inode
        .data()
        .set_goal(PhysicalBlock(run.start.0.saturating_add(run.len.into())));
    Ok(())
}
