// SPDX-License-Identifier: GPL-2.0

//! Where the blocks of a direct read or write are: what the kernel's direct I/O asks for, run by
//! run, before it submits anything.

use super::io_end::IoEnd;
use crate::{
    disk::{
        extent::{Extent, State, LOGICAL_END},
        units::{LogicalBlock, PhysicalBlock},
    },
    error::{euclean, FsError, FsResult},
    extent::{self, Mapping, NodeStore},
    group::Rights,
    inode::{
        map::{self, Found},
        orphan,
        tree::{ReadTree, WriteTree},
    },
    journal::credits,
    vfs::{
        direct_io::{self, ReadMapping, WriteMapping},
        inode::Inode,
        jbd2::{Credits, Journal},
    },
    Rext4,
};
use kernel::{error::code, prelude::*};

fn logical(block: u64) -> FsResult<LogicalBlock> {
    u32::try_from(block)
        .map(LogicalBlock)
        .ok()
        .filter(|block| *block < LOGICAL_END)
        .ok_or(FsError::Kernel(code::EFBIG))
}

/// Where a block and up to `max - 1` after it are to be read from.
pub(crate) fn map_read(inode: &Inode<Rext4>, block: u64, max: u32) -> FsResult<ReadMapping> {
    let Ok(block) = logical(block) else {
        return Ok(ReadMapping::Zeros);
    };
    Ok(match map::find(inode, block)? {
        Found::Written { start, len } => ReadMapping::At {
            block: start.0,
            len: len.min(max),
        },
        Found::Hole { .. } | Found::Unwritten { .. } => ReadMapping::Zeros,
    })
}

/// Where a block and up to `max - 1` after it are to be written to. Allocates them if need be.
///
/// The inode's lock is held, exclusively if the blocks are beyond the end of the file.
pub(crate) fn map_write(
    inode: &Inode<Rext4>,
    block: u64,
    max: u32,
    io_end: &mut Option<KBox<IoEnd>>,
) -> FsResult<WriteMapping> {
    let block = logical(block)?;
    let found = map::find(inode, block)?;
    if let Found::Written { start, len } = found {
        return Ok(WriteMapping::Written {
            block: start.0,
            len: len.min(max),
        });
    }
    let journal = inode.super_block().data().writing(inode.super_block())?;
    let io_end = match io_end {
        Some(io_end) => io_end,
        // Waits for others' completions if there are too many, so it comes before anything of this
        // request is allocated or submitted that they could wait for.
        None => io_end.insert(KBox::new(IoEnd::new(inode, journal)?, GFP_KERNEL)?),
    };
    let found = match found {
        Found::Hole { len } => fill_hole(inode, journal, block, len.min(max), io_end)?,
        found => found,
    };
    Ok(match found {
        Found::Written { start, len } => WriteMapping::Written {
            block: start.0,
            len: len.min(max),
        },
        Found::Unwritten { start, len } => WriteMapping::Unwritten {
            block: start.0,
            len: len.min(max),
        },
        // `fill_hole` returns no hole.
        Found::Hole { .. } => return Err(FsError::Kernel(euclean())),
    })
}

/// Allocates blocks for a hole of which `wanted` blocks from `block` on are to be written, as
/// unwritten; fewer if there is no room for them in a row. Somebody may have been faster; then it
/// gives what is there now.
fn fill_hole(
    inode: &Inode<Rext4>,
    journal: &Journal,
    block: LogicalBlock,
    wanted: u32,
    io_end: &mut IoEnd,
) -> FsResult<Found> {
    let fs = inode.super_block().data();
    match try_fill_hole(inode, journal, block, wanted, io_end) {
        // Blocks that were freed can be used when that is committed.
        Err(e) if e.is(code::ENOSPC) && fs.groups()?.reclaim(journal)? => {
            try_fill_hole(inode, journal, block, wanted, io_end)
        }
        result => result,
    }
}

fn try_fill_hole(
    inode: &Inode<Rext4>,
    journal: &Journal,
    block: LogicalBlock,
    wanted: u32,
    io_end: &mut IoEnd,
) -> FsResult<Found> {
    let fs = inode.super_block().data();
    let groups = fs.groups()?;
    let block_size = fs.layout.block_size();
    let options = fs.options();
    let may_use_reserved =
        direct_io::may_use_reserved(options.reserved_uid, options.reserved_gid);
    let rights = || {
        if may_use_reserved {
            Rights::Root
        } else {
            Rights::Normal
        }
    };
    io_end.make_room()?;
    loop {
        let depth = extent::depth(&ReadTree::new(inode, &inode.data().tree.read()))?;
        let handle =
            journal.start(credits::insert(depth).plus(Credits::new(credits::ORPHAN)))?;
        let mut root = inode.data().tree.write();
        let mut tree = WriteTree::new(inode, &mut root, &handle, rights());
        if extent::depth(&tree)? > depth {
            // It grew meanwhile: the credits may not do.
            continue;
        }
        let hole = match extent::lookup(&tree, block)? {
            Mapping::Hole(hole) => hole,
            Mapping::Extent(_) => return map::find_in(&tree, block),
        };
        let wanted = wanted
            .min(hole.end.0.saturating_sub(block.0))
            .min(State::Unwritten.max_len());
        let goal = goal(inode, &tree, block, hole.first)?;
        let run = groups.allocate(&handle, goal, wanted, rights())?;
        let inserted = Extent::new(block, run.start, run.len, State::Unwritten)
            .ok_or(FsError::Kernel(euclean()))
            .and_then(|extent| extent::insert(&mut tree, extent));
        if let Err(e) = inserted {
            // The tree is as it was; so is the disk when the blocks are given back.
            groups.free(&handle, run.start, run.len)?;
            return Err(e);
        }
        inode.add_bytes(u64::from(run.len) << block_size.bits());
        tree.store_inode()?;
        let end_of_file =
            block_size.blocks_for(u64::try_from(inode.data().disk_size()).unwrap_or(0));
        if u64::from(block.0) + u64::from(run.len) > end_of_file {
            // A crash must not leave blocks there that nobody asked for.
            orphan::add(inode, &handle)?;
            io_end.note_beyond_end(block, run.len);
        }
        drop(root);
        inode
            .data()
            .set_goal(PhysicalBlock(run.start.0.saturating_add(run.len.into())));
        handle.stop()?;
        return Ok(Found::Unwritten {
            start: run.start,
            len: run.len,
        });
    }
}

/// Where a block in a hole that starts at `hole` would go best: in a row with what is before the
/// hole, or else where the last allocation of the file ended.
fn goal<S: NodeStore<Error = FsError>>(
    inode: &Inode<Rext4>,
    tree: &S,
    block: LogicalBlock,
    hole: LogicalBlock,
) -> FsResult<PhysicalBlock> {
    let Some(before) = hole.checked_sub(1) else {
        return Ok(inode.data().goal());
    };
    Ok(match extent::lookup(tree, before)? {
        Mapping::Extent(extent) => extent
            .map(before)
            .and_then(|at| at.checked_add(1 + u64::from(block.0 - hole.0)))
            .unwrap_or(inode.data().goal()),
        Mapping::Hole(_) => inode.data().goal(),
    })
}
