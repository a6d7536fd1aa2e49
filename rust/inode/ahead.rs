// SPDX-License-Identifier: GPL-2.0

//! Blocks behind the end of a file that were allocated for writes that are still to come.
//!
//! Direct writes at the end of a file come in a row ([`crate::vfs::direct_io`]'s chain). One that has to
//! allocate takes more than it needs, the more of them there are, and those behind it find their blocks
//! in the tree, without a transaction of their own:
//!
//! ```text
//!   end of the file ─▶ [ written, under way ][ of writes under way ][ ahead ]
//!                        take: the next write's ◀───────────────────┘  └──▶ give_back: the chain has ended
//! ```
//!
//! As long as there is a chain the file is an orphan, so that a crash takes these blocks too. If they
//! are freed in the transaction that has allocated them, they can be used again at once, so that the
//! next chain goes on where this one ends. They are
//! a part of one run, unwritten. Only a member of the chain takes from them or sets them, with the
//! inode's lock held exclusively; they are freed with the tree's lock held for writing, by who makes
//! sure that there is no member left.
//!
//! A write through the page cache that gets its blocks at once, and beside which there is no chain, has them here as
//! well until it ends: it may not come to all of them.

use super::{
    convert,
    map::{self, Found},
    tree::ReadTree,
    truncate, DataKind,
};
use crate::{
    disk::units::{LogicalBlock, PhysicalBlock},
    error::FsResult,
    group::ConversionReserve,
    quota,
    vfs::{direct_io::ChainLength, inode::Inode, jbd2::Tid},
    Rext4,
};
use core::{
    ops::Range,
    sync::atomic::{AtomicU32, AtomicU64, Ordering},
};

/// How many writes there are in a chain that goes on, most likely.
const LONG: u32 = 8;
/// The most blocks.
const MOST: u32 = 256;
/// At least so many times as many blocks are free on a disk that has some to spare.
const PLENTY: u64 = 64;

/// Which blocks.
pub(super) struct Ahead {
    /// The first and the end, both in one number.
    range: AtomicU64,
    /// The transaction in which they were allocated.
    tid: AtomicU32,
}

impl Ahead {
    /// None.
    pub(super) const fn new() -> Self {
        Self {
            range: AtomicU64::new(0),
            tid: AtomicU32::new(0),
        }
    }

    fn get(&self) -> Range<LogicalBlock> {
        let both = self.range.load(Ordering::Relaxed);
        LogicalBlock((both >> 32) as u32)..LogicalBlock(both as u32)
    }

    fn set(&self, range: Range<LogicalBlock>) {
        let both = u64::from(range.start.0) << 32 | u64::from(range.end.0);
        self.range.store(both, Ordering::Relaxed);
    }
}

/// How many blocks more a write of `blocks` takes that has to allocate.
pub(crate) fn wanted(inode: &Inode<Rext4>, blocks: u32, chain: ChainLength) -> FsResult<u32> {
    // What is behind the end of a block map is not there, and nobody has to free it.
    let is_mapped = inode.data().kind() == DataKind::BlockMap;
    // What the owner has here he would not have for other files.
    let is_limited = quota::heeds_limits(inode);
    if is_mapped || is_limited || chain.added < LONG || chain.under_way < 2 {
        return Ok(0);
    }
    let more = blocks.saturating_mul(chain.under_way).saturating_mul(2);
    let more = more.min(MOST);
    let free = inode.super_block().data().groups()?.free_blocks();
    Ok(if free < PLENTY * u64::from(more) {
        0
    } else {
        more
    })
}

/// Notes blocks that were just allocated, in this transaction, in the place of those that were there.
/// These are returned: they are left over by writes that were not submitted.
pub(crate) fn replace(
    inode: &Inode<Rext4>,
    blocks: Range<LogicalBlock>,
    tid: Tid,
) -> Option<Range<LogicalBlock>> {
    let ahead = &inode.data().ahead;
    let before = ahead.get();
    ahead.set(blocks);
    ahead.tid.store(tid.to_raw(), Ordering::Relaxed);
    (!before.is_empty()).then_some(before)
}

/// Where `block` lies, and how many are in a row with it, up to `max`, if it was allocated ahead; and
/// which blocks are the write's from now on. That may be some before it, left over in the same way.
pub(crate) fn take(
    inode: &Inode<Rext4>,
    block: LogicalBlock,
    max: u32,
) -> FsResult<Option<(PhysicalBlock, u32, Range<LogicalBlock>)>> {
    // Not what was looked up before: they may just have been freed.
    let root = inode.data().tree.read();
    let left = inode.data().ahead.get();
    if !left.contains(&block) {
        return Ok(None);
    }
    let Found::Unwritten { start, len } = map::find_in(&ReadTree::new(inode, &root), block)? else {
        return Ok(None);
    };
    let len = len.min(max).min(left.end.0 - block.0);
    map::check_foreign(inode, start, len)?;
    let end = LogicalBlock(block.0 + len);
    inode.data().ahead.set(end..left.end);
    Ok(Some((start, len, left.start..end)))
}

/// The end of a write through the page cache: frees what was allocated for it behind the end of the file and is there
/// still. The inode's lock is held exclusively, and there is no chain.
pub(crate) fn end_write(inode: &Inode<Rext4>) -> FsResult {
    let range = inode.data().ahead.get();
    let end = end_of_file(inode);
    if range.end <= end {
        // All that was allocated is in the file, if anything was.
        if !range.is_empty() {
            forget(inode);
        }
        return Ok(());
    }
    if inode.data().kind() == DataKind::BlockMap {
        forget(inode);
        return truncate::remove(inode, range.start.max(end)..range.end, None);
    }
    let groups = inode.super_block().data().groups()?;
    let mut reserve = groups.try_reserve_conversion(convert::new_nodes(inode));
    give_back(inode, reserve.as_mut(), || true)
}

/// Leaves them to recovery: the file stays an orphan. For when something failed at the end of a chain.
pub(crate) fn forget(inode: &Inode<Rext4>) {
    inode.data().ahead.set(LogicalBlock(0)..LogicalBlock(0));
}

/// Where the file ends, in memory or on disk.
fn end_of_file(inode: &Inode<Rext4>) -> LogicalBlock {
    let size = inode.super_block().data().layout.block_size();
    let bytes = inode.size().max(inode.data().disk_size());
    let blocks = size.blocks_for(u64::try_from(bytes).unwrap_or(0));
    LogicalBlock(u32::try_from(blocks).unwrap_or(u32::MAX))
}

/// Frees them if the chain `has_ended`, which is asked with the tree's lock held. If that fails they are
/// [forgotten](forget).
pub(crate) fn give_back(
    inode: &Inode<Rext4>,
    reserve: Option<&mut ConversionReserve>,
    has_ended: impl Fn() -> bool,
) -> FsResult {
    let ahead = &inode.data().ahead;
    if ahead.get().is_empty() || !has_ended() {
        return Ok(());
    }
    // Nobody sets others as long as it has ended.
    let tid = Tid::from_raw(ahead.tid.load(Ordering::Relaxed));
    let freed = truncate::remove_by(inode, reserve, Some(tid), |left| {
        // They are one run, so that there is only one step.
        if left.is_some() || !has_ended() {
            return None;
        }
        // Who comes now finds none, and no blocks either, when he gets the tree's lock.
        let mut range = ahead.get();
        forget(inode);
        // Never what is in the file.
        range.start = range.start.max(end_of_file(inode));
        (!range.is_empty()).then_some(range)
    });
    if freed.is_err() {
        forget(inode);
    }
    freed
}
