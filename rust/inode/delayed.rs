// SPDX-License-Identifier: GPL-2.0

//! Delayed allocation: data in the page cache whose blocks are chosen when it is written back.
//!
//! A write to a hole takes a reserve of free blocks, so that writeback can't meet a full disk, and
//! notes the blocks of the file in [`Delayed`]. Writeback allocates all of a range that was noted, in
//! as few runs as the disk has. What is dropped before (truncated, punched, unlinked) never gets
//! blocks at all.
//!
//! ```text
//!             reserve                     allocate
//!   a hole ─────────────▶ delayed ─────────────────────▶ unwritten ──▶ written
//!      ▲                     │      writeback, fallocate,   (when it is on the device)
//!      └─────────────────────┘      a direct write
//!             give_back
//! ```
//!
//! # Invariants
//!
//! Under the tree's lock held for writing, all of these change together, with what is reserved of quotas
//! ([`crate::quota`]), which is a block for each that is delayed:
//!
//! 1. A block that is delayed is a hole of the extent tree. A direct write may be filling it: see
//!    [`super::staged`].
//! 2. The reserve has a block for each that is delayed; fewer if an insertion into the tree failed,
//!    and what was set aside for that could not be had back.
//! 3. With every change [`InodeData::version`](super::InodeData::version) changes: a mapping that
//!    iomap keeps may say "hole" where there is something to be written back now.
//!
//! And under folio locks, with the inode's lock or `invalidate_lock`:
//!
//! 4. A block of the file that is dirty in the page cache is delayed or in the tree. So the record is
//!    made before a folio is made dirty ([`reserve`], in `iomap_begin`), and goes when the folios are
//!    gone and none can come back ([`give_back`] after `truncate_pagecache`). Where a write ends early,
//!    `iomap_end` gives back what no dirty folio covers.
//!
//! A block that is delayed without a dirty folio over it does no harm: it reads as zeros. It keeps
//! a free block from others until it is written to, cut off, or the inode is evicted.

mod ranges;
mod shape;
mod tables;
#[cfg(CONFIG_KUNIT = "y")]
#[allow(unsafe_code)]
mod tests;

use super::{
    allocate,
    block_map::{self, Pending},
    goal, map, rights,
    staged::{self, Filling},
    tree::{ReadTree, WriteTree},
    window, DataKind,
};
use crate::{
    dio::claim::Waiting,
    disk::{
        extent::{State, LOGICAL_END, MAX_DEPTH, ROOT_SIZE},
        units::LogicalBlock,
    },
    error::{euclean, FsError, FsResult},
    extent::{self, Mapping, Spot},
    group::{DelayedReserve, Groups, Rights, Wanted},
    journal::credits,
    memory::insist,
    quota::Reserved as Quota,
    vfs::{inode::Inode, jbd2::Journal, no_fs::NoFs},
    Rext4,
};
use core::ops::{Deref, DerefMut, Range};
use kernel::{error::code, prelude::*};
use ranges::Ranges;
use shape::{hull, shape, Shape};
pub(super) use tables::{note_tables_freed, set_tables_aside};

/// Where a file's blocks are: what its tree's lock protects.
///
/// Stands for the tree's root where nothing is said.
pub(crate) struct Blocks {
    /// The 60 bytes of `i_block`: the root of the extent tree, the numbers of a block map, or the text of a
    /// short symbolic link.
    pub(crate) root: [u8; ROOT_SIZE],
    /// What is in the page cache only.
    pub(super) delayed: Delayed,
    /// What is going to be in the block map.
    pub(super) pending: Pending,
}

impl Blocks {
    /// Those of an inode that is not loaded yet.
    pub(super) fn new() -> Self {
        Self {
            root: [0; ROOT_SIZE],
            delayed: Delayed {
                ranges: Ranges::new(),
                reserve: None,
            },
            pending: Pending::new(),
        }
    }
}

impl Deref for Blocks {
    type Target = [u8; ROOT_SIZE];

    fn deref(&self) -> &Self::Target {
        &self.root
    }
}

impl DerefMut for Blocks {
    fn deref_mut(&mut self) -> &mut Self::Target {
        &mut self.root
    }
}

/// The blocks of a file that are in the page cache and not allocated yet.
pub(super) struct Delayed {
    ranges: Ranges,
    /// There is one if there are ranges, or pending blocks.
    reserve: Option<DelayedReserve>,
}

impl Delayed {
    /// The delayed range that holds `block`, or else the next one.
    pub(super) fn at_or_behind(&self, block: LogicalBlock) -> Option<Range<LogicalBlock>> {
        self.ranges.at_or_behind(block)
    }

    /// The end of the last delayed range that ends at or before `block`.
    pub(super) fn end_before(&self, block: LogicalBlock) -> Option<LogicalBlock> {
        self.ranges.end_before(block)
    }

    /// The delayed range that holds `block`.
    pub(super) fn holding(&self, block: LogicalBlock) -> Option<Range<LogicalBlock>> {
        self.ranges.holding(block)
    }

    /// What is set aside.
    pub(super) fn reserve_mut(&mut self) -> Option<&mut DelayedReserve> {
        self.reserve.as_mut()
    }

    /// Adds a range of a hole of the tree. Returns whether there is space for it.
    fn add(
        &mut self,
        groups: &Groups,
        rights: &Rights<'_>,
        range: Range<LogicalBlock>,
        shape: Shape,
    ) -> Result<bool> {
        let reserve = self.reserve.get_or_insert_with(|| groups.delayed_reserve());
        let data = range.end.0 - range.start.0;
        let count = self.ranges.count_with(&range);
        let span = hull(self.ranges.span(), range.start.0..range.end.0);
        let nodes = shape.nodes(count, self.ranges.blocks() + data, &span);
        let fits = reserve.grow(rights, data.into(), nodes);
        let added = if fits { self.ranges.add(range) } else { Ok(()) };
        if !fits || added.is_err() {
            let given_back = if fits { data } else { 0 };
            self.settle(given_back, shape);
        }
        added.map(|()| fits)
    }

    /// How many nodes there are to be for all that is delayed, with what is pending.
    fn nodes(&self, shape: Shape) -> u64 {
        let ranges = &self.ranges;
        shape.nodes(ranges.count(), ranges.blocks(), &ranges.span())
    }

    /// Takes a range out. Its blocks go back to the free ones, but for `used` of them that were
    /// taken out of the reserve before. Returns how many go back.
    fn remove(&mut self, range: Range<LogicalBlock>, used: u32, shape: Shape) -> u32 {
        let left = self.ranges.remove(range).saturating_sub(used);
        self.settle(left, shape);
        left
    }

    /// Sets `data` blocks aside in the place of those that were taken out of the reserve in vain. If
    /// there are none, those that are delayed take what there is when their turn comes.
    fn refill(&mut self, data: u32, shape: Shape) {
        let nodes = self.nodes(shape);
        if let Some(reserve) = &mut self.reserve {
            let _ = reserve.grow(&Rights::Normal, data.into(), nodes);
        }
    }

    /// Gives `data` blocks of the reserve back, and what is not needed for nodes any more.
    fn settle(&mut self, data: u32, shape: Shape) {
        let nodes = self.nodes(shape);
        if self.ranges.count() == 0 && !shape.has_pending() {
            self.reserve = None;
        } else if let Some(reserve) = &mut self.reserve {
            reserve.shrink(data.into(), nodes);
        }
    }
}

/// What came of [`reserve`].
pub(crate) enum Reserved {
    /// So many blocks are delayed now that were a hole, from the one asked for on. The tree has
    /// this version.
    New(u32, u64),
    /// Somebody was faster: there is no hole any more.
    Changed,
    /// There is not enough space for it, at least not with all that it might need.
    NoRoom,
}

/// Notes up to `wanted` blocks of a hole from `block` on as delayed, before they are written to in
/// the page cache.
///
/// # Errors
///
/// `ENOMEM`; errors of the tree; `EFBIG` where no block map has the block. If waiting is forbidden, `EAGAIN` if somebody has the tree, or if
/// not all of it that is needed is in memory.
pub(crate) fn reserve(
    inode: &Inode<Rext4>,
    block: LogicalBlock,
    wanted: u32,
    waiting: Waiting,
) -> FsResult<Reserved> {
    super::check_supported(inode)?;
    if inode.data().kind() == DataKind::BlockMap && block_map::is_too_far(inode, block) {
        // A damaged inode may be longer. It is not to get what can't be written back.
        return Err(FsError::Kernel(code::EFBIG));
    }
    let groups = inode.super_block().data().groups()?;
    let rights = rights(inode);
    let _no_fs = NoFs::new();
    let mut blocks = match waiting {
        Waiting::Allowed => inode.data().tree.write(),
        Waiting::Forbidden => {
            let tree = inode.data().tree.try_write();
            tree.ok_or(FsError::Kernel(code::EAGAIN))?
        }
    };
    let Blocks {
        root,
        delayed,
        pending,
    } = &mut *blocks;
    let found = map::find_behind(inode, root, pending, block, waiting)?;
    let map::Found::Hole { len } = found else {
        return Ok(Reserved::Changed);
    };
    let mut end = block.0.saturating_add(len.min(wanted));
    if let Some(next) = delayed.at_or_behind(block) {
        end = end.min(next.start.0);
    }
    if end <= block.0 {
        return Ok(Reserved::Changed);
    }
    let shape = shape(inode, root, pending)?;
    let quota = Quota::at_most(inode, end - block.0)?;
    end = block.0 + quota.blocks();
    if !delayed.add(groups, &rights, block..LogicalBlock(end), shape)? {
        return Ok(Reserved::NoRoom);
    }
    quota.keep();
    inode.data().note_change();
    note_blocks(inode, delayed, pending);
    Ok(Reserved::New(end - block.0, inode.data().version()))
}

/// Forgets what is delayed in a range: nothing in the page cache needs it any more, nor can
/// anything come there.
pub(crate) fn give_back(inode: &Inode<Rext4>, range: Range<LogicalBlock>) {
    if inode.data().delayed_blocks() == 0 {
        // Nobody can add any: the caller keeps writers away from the range.
        return;
    }
    let _no_fs = NoFs::new();
    let mut blocks = inode.data().tree.write();
    drop_range(inode, &mut blocks, range, 0);
}

/// The same for all of a file.
pub(crate) fn give_all_back(inode: &Inode<Rext4>) {
    give_back(inode, LogicalBlock(0)..LOGICAL_END);
}

/// Forgets what is delayed in a range, of which `used` blocks were taken out of the reserve before.
fn drop_range(inode: &Inode<Rext4>, blocks: &mut Blocks, range: Range<LogicalBlock>, used: u32) {
    let Blocks {
        root,
        delayed,
        pending,
    } = blocks;
    let touches = delayed
        .at_or_behind(range.start)
        .is_some_and(|own| own.start < range.end);
    if !touches {
        return;
    }
    // If its depth can't be read the tree won't get blocks either.
    let shape = shape(inode, root, pending).unwrap_or(Shape::Tree {
        depth: MAX_DEPTH,
        room: 0,
        size: inode.super_block().data().layout.block_size(),
    });
    let left = delayed.remove(range, used, shape);
    drop(Quota::again(inode, left));
    inode.data().note_change();
    note_blocks(inode, delayed, pending);
}

/// Notes how many blocks have no place on the device yet.
fn note_blocks(inode: &Inode<Rext4>, delayed: &Delayed, pending: &Pending) {
    let blocks = delayed.ranges.blocks().saturating_add(pending.blocks());
    inode.data().note_delayed(blocks);
}

/// Notes that what is pending has changed: gives back what is set aside for tables and not needed.
pub(super) fn note_pending(inode: &Inode<Rext4>, blocks: &mut Blocks) {
    let Blocks {
        root,
        delayed,
        pending,
    } = blocks;
    if let Ok(shape) = shape(inode, root, pending) {
        delayed.settle(0, shape);
    }
    note_blocks(inode, delayed, pending);
}

/// Notes that delayed blocks are pending now, for which `used` blocks were taken out of the reserve.
pub(super) fn note_chosen(
    inode: &Inode<Rext4>,
    blocks: &mut Blocks,
    range: Range<LogicalBlock>,
    used: u32,
) {
    drop_range(inode, blocks, range, used);
    note_pending(inode, blocks);
}

/// Notes that blocks of a range are in the tree now that somebody else allocated: what was set
/// aside for them is given back.
pub(super) fn note_allocated(
    inode: &Inode<Rext4>,
    blocks: &mut Blocks,
    range: Range<LogicalBlock>,
) {
    drop_range(inode, blocks, range, 0);
}

/// The number of blocks to the end of the file.
pub(crate) fn end_of_file(inode: &Inode<Rext4>) -> u64 {
    let size = inode.super_block().data().layout.block_size();
    size.blocks_for(u64::try_from(inode.size()).unwrap_or(0))
}

/// How many blocks of a delayed range are to be written, from its start on, with `block` among them: a write under way
/// may have reserved more than it will write.
pub(super) fn to_write(range: &Range<LogicalBlock>, block: LogicalBlock, end_of_file: u64) -> u32 {
    let end = u64::from(range.end.0)
        .min(end_of_file)
        .max(u64::from(block.0) + 1);
    u32::try_from(end - u64::from(range.start.0)).unwrap_or(u32::MAX)
}

/// Gives blocks to what is delayed around `block`: to its range, from the start of that to the end
/// of the file, in as few runs as there are. When this returns, `block` is not delayed any more.
///
/// The folio that holds the block is locked, so nobody cuts it off.
pub(crate) fn allocate(inode: &Inode<Rext4>, journal: &Journal, block: LogicalBlock) -> FsResult {
    if inode.data().kind() == DataKind::BlockMap {
        return block_map::allocate(inode, journal, block);
    }
    let groups = inode.super_block().data().groups()?;
    loop {
        let depth = extent::depth(&ReadTree::new(inode, &inode.data().tree.read()))?;
        // Without it the data is lost.
        let handle = insist(|| journal.start(credits::insert(depth)))?;
        let mut blocks = inode.data().tree.write();
        let Blocks {
            root,
            delayed,
            pending,
        } = &mut *blocks;
        let tree = ReadTree::new(inode, root);
        if extent::depth(&tree)? > depth {
            // It grew meanwhile: the credits may not do.
            continue;
        }
        let (Some(range), Some(reserve)) =
            (delayed.ranges.holding(block), delayed.reserve.as_mut())
        else {
            // Another writeback was faster.
            drop(blocks);
            return Ok(handle.stop()?);
        };
        let end_of_file = end_of_file(inode);
        let wanted = to_write(&range, block, end_of_file).min(State::Unwritten.max_len());
        let gap = match extent::find_gap(&tree, range.start)? {
            Spot::Gap(gap) => gap,
            Spot::Extent(extent) => {
                // Somebody else allocated it when there was no memory to cut it out of the range.
                let own = range.start..range.end.min(extent.end());
                drop_range(inode, &mut blocks, own, 0);
                drop(blocks);
                handle.stop()?;
                continue;
            }
        };
        // For the same reason, or because the tree has a leaf without extents.
        let wanted = wanted.min(gap.hole().end.0 - range.start.0);
        let filling =
            staged::begin_filling(inode, range.start..LogicalBlock(range.start.0 + wanted));
        let (end, was_known) = match filling {
            Filling::Free { end, was_known } => (end, was_known),
            Filling::Staged(run) => {
                let rights = Rights::DelayedNodes(reserve);
                staged::put(inode, &handle, root, &run, State::Unwritten, rights)?;
                // It has a place, and needs no other.
                drop_range(inode, &mut blocks, run.blocks(), 0);
                WriteTree::new(inode, &mut blocks, &handle, Rights::Root).store_inode()?;
                continue;
            }
        };
        let wanted = end.0 - range.start.0;
        let goal = goal::in_gap(inode, &tree, (range.start, wanted), &gap);
        let at_end = gap.hole().end == LOGICAL_END
            && u64::from(range.start.0) + u64::from(wanted) >= end_of_file;
        let wanted = groups.by_stripes(Wanted::new(goal, wanted), range.start);
        let wanted = window::wanted(inode, wanted, range.start, at_end);
        let run = groups.allocate(&handle, wanted, Rights::Delayed(reserve))?;
        let mut quota = Quota::again(inode, run.len);
        window::note(inode, &wanted, &run);
        let done = range.start..LogicalBlock(range.start.0 + run.len);
        let inserted = allocate::insert(
            inode,
            &handle,
            root,
            allocate::Place {
                gap,
                block: range.start,
                was_known,
            },
            run,
            Rights::DelayedNodes(reserve),
            &mut quota,
        );
        // What failed may have done so after the tree was changed.
        let hole = || {
            matches!(
                extent::lookup(&ReadTree::new(inode, root), range.start),
                Ok(Mapping::Hole(_))
            )
        };
        if inserted.is_err() && hole() {
            // Each folio of the run is to meet the error, and to note it, and not a hole.
            quota.keep();
            delayed.refill(run.len, shape(inode, root, pending)?);
        } else {
            drop_range(inode, &mut blocks, done.clone(), run.len);
        }
        drop(blocks);
        handle.stop()?;
        inserted?;
        if done.contains(&block) {
            return Ok(());
        }
    }
}

/// Where a byte lies for which there is something to be written back: what is delayed gets its
/// blocks now.
pub(crate) fn map_for_writeback(
    inode: &Inode<Rext4>,
    offset: u64,
) -> FsResult<crate::vfs::iomap::Mapping> {
    let sb = inode.super_block();
    let fs = sb.data();
    loop {
        let found = map::bytes(inode, offset, Waiting::Allowed)?;
        if !found.place.is_delayed() {
            return Ok(found);
        }
        let journal = fs.writing(sb)?;
        let block = fs.layout.block_size().logical_of_byte(offset);
        allocate(inode, journal, block.ok_or(FsError::Kernel(euclean()))?)?;
    }
}

/// Has data written that is delayed, without waiting for it: for a file that takes the place of
/// another one, or of what it held before. Many programs do so without `fsync`.
pub(crate) fn start_writing(inode: &Inode<Rext4>) {
    if inode.data().delayed_blocks() > 0 && inode.super_block().data().options().auto_da_alloc {
        // An error is noted for `fsync`.
        let _ = inode.start_write_back();
    }
}
