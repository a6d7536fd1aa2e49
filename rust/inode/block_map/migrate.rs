// SPDX-License-Identifier: GPL-2.0

//! From a block map to extents, and back: `chattr +e` and `chattr -e`.
//!
//! The data stays where it is. All is one transaction, so there is no moment at which a crash would lose a
//! table or a node.

use super::tables::{ReadTables, WriteTables};
use crate::{
    block_map::{self, Place, TableStore},
    dio::claim::Waiting,
    disk::{
        block_map::{self as format, DIRECT, PHYSICAL_END},
        extent::{self as tree_format, DataArea, Extent, Node, State, ROOT_SIZE},
        features::Feature,
        inode::InodeFlags,
        layout::Layout,
        units::{LogicalBlock, PhysicalBlock},
    },
    error::{euclean, FsError, FsResult},
    extent::{self, TreeError},
    group::Rights,
    inode::{self, cache, delayed, store, tree::WriteTree, Alone, DataKind},
    journal::{credits, sync_point::Change},
    vfs::{
        inode::{ExclusiveLock, Inode},
        jbd2::{Credits, Handle, Journal},
    },
    Rext4,
};
use core::sync::atomic::Ordering;
use kernel::error::code;

/// The most tables that a map may have that gets extents: they are read under locks, and freed at once.
const TABLES: u32 = 1 << 14;

/// Whether that is not too much for one transaction.
fn fits(needed: &Credits, journal: &Journal, layout: &Layout) -> bool {
    // At the very least so many are revoked in a block.
    let per_block = layout.block_size().bytes() / 32;
    let blocks = needed
        .blocks
        .saturating_add(needed.revokes.div_ceil(per_block));
    blocks <= journal.max_credits() / 2
}

/// Gives a file extents in the place of its block map.
///
/// # Errors
///
/// `EINVAL` if it has no block map, or the file system no extents; `EOPNOTSUPP` if it does not fit a
/// transaction; `ENOSPC` for want of nodes; damage.
pub(in crate::inode) fn to_extents(
    inode: &Inode<Rext4>,
    lock: &ExclusiveLock<'_, Rext4>,
) -> FsResult {
    match inode.data().kind() {
        DataKind::ShortSymlink => return Ok(()),
        DataKind::BlockMap => {}
        _ => return Err(FsError::Kernel(code::EINVAL)),
    }
    settled(inode, lock, || {
        let sb = inode.super_block();
        let fs = sb.data();
        let journal = fs.writing(sb)?;
        let blocks = inode.data().tree.read();
        let map = ReadTables::new(inode, &blocks.root, Waiting::Allowed);
        let too_much = FsError::unsupported();
        // It may lead to the same tables again and again, so nothing is looked at for longer than it can matter.
        let tables = block_map::count_tables(&map, TABLES)?.ok_or(too_much)?;
        let needed = |runs| {
            let nodes = most_nodes(inode, runs);
            let credits = credits::migrate(nodes, tables, &fs.layout);
            fits(&credits, journal, &fs.layout).then_some((nodes, credits))
        };
        let mut runs = 0;
        each_run(&map, |_| {
            runs += 1;
            needed(runs).map(|_| ()).ok_or(too_much)
        })?;
        drop(blocks);
        let (nodes, needed) = needed(runs).ok_or(too_much)?;
        // Not one that is waited for: who has what there is to wait for may fault a page of this file in.
        let reserve = fs.groups()?.try_reserve_conversion(nodes);
        let mut reserve = reserve.ok_or(FsError::NO_SPACE)?;
        let handle = journal.start(needed)?;
        let mut blocks = inode.data().tree.write();
        // Nobody has changed it: see `settled`.
        let mut old = blocks.root;
        let mut root = [0; ROOT_SIZE];
        extent::format_root(&mut root);
        // What fails in here is a journal that is given up, or memory: a node is lost then until the next e2fsck.
        let mut tree = WriteTree::new(inode, &mut root, &handle, Rights::Reserve(&mut reserve));
        each_run(&ReadTables::new(inode, &old, Waiting::Allowed), |extent| {
            extent::insert(&mut tree, extent)
        })?;
        switch(inode, &handle, DataKind::Extents, &mut blocks.root, root)?;
        let mut map = WriteTables::new(inode, &mut old, &handle, Rights::Root);
        let freed = block_map::free_tables(&mut map);
        store::store(inode, &handle, &blocks.root)?;
        drop(blocks);
        handle.stop()?;
        freed
    })
}

/// Gives a file a block map in the place of its extents, of which it has one at most, where the numbers of blocks
/// are in the inode.
///
/// # Errors
///
/// `EINVAL` if it has no extents, `EOPNOTSUPP` if it has others, or if it is longer than a map; damage.
pub(in crate::inode) fn from_extents(
    inode: &Inode<Rext4>,
    lock: &ExclusiveLock<'_, Rext4>,
) -> FsResult {
    if inode.data().kind() != DataKind::Extents {
        return Err(FsError::Kernel(code::EINVAL));
    }
    settled(inode, lock, || {
        let sb = inode.super_block();
        let layout = &sb.data().layout;
        let counts_blocks = sb.data().features.has(Feature::HUGE_FILE);
        let most = format::max_bytes(layout.block_size(), counts_blocks);
        let is_longer = u64::try_from(inode.size()).is_ok_and(|size| size > most);
        if is_longer || layout.blocks_count() > PHYSICAL_END.0 {
            return Err(FsError::unsupported());
        }
        let journal = sb.data().writing(sb)?;
        let handle = journal.start(Credits::new(credits::INODE))?;
        let mut blocks = inode.data().tree.write();
        let mut root = [0; ROOT_SIZE];
        if let Some(extent) = only_extent(inode, &blocks.root)? {
            let first = u32::try_from(extent.physical().0).ok();
            let first = first.ok_or(FsError::Kernel(euclean()))?;
            format::set_run(&mut root, extent.logical().0, first, extent.len());
        }
        switch(inode, &handle, DataKind::BlockMap, &mut blocks.root, root)?;
        store::store(inode, &handle, &blocks.root)?;
        drop(blocks);
        Ok(handle.stop()?)
    })
}

/// Does something while nothing of a file is in the page cache alone, on its way, or being looked up without its
/// lock, and nobody can change that.
fn settled(
    inode: &Inode<Rext4>,
    lock: &ExclusiveLock<'_, Rext4>,
    work: impl FnOnce() -> FsResult,
) -> FsResult {
    if !inode.super_block().data().features.has(Feature::EXTENT) {
        return Err(FsError::Kernel(code::EINVAL));
    }
    if !inode.is_regular() {
        return work();
    }
    inode.data().appends.wait(lock)?;
    let _alone = Alone::new(inode, lock);
    let _page_cache = inode.lock_page_cache();
    inode.write_back(0, i64::MAX)?;
    // What is left of these has no data.
    delayed::give_all_back(inode);
    super::drop_pending(inode)?;
    work()
}

/// Has an inode mapped in another way, in memory, and says so on disk, but for the root itself.
fn switch(
    inode: &Inode<Rext4>,
    handle: &Handle<'_>,
    kind: DataKind,
    place: &mut [u8; ROOT_SIZE],
    root: [u8; ROOT_SIZE],
) -> FsResult {
    match kind {
        DataKind::Extents => store::set_flag(inode, handle, InodeFlags::EXTENTS)?,
        _ => store::clear_flag(inode, handle, InodeFlags::EXTENTS)?,
    }
    inode.data().sync_point.note(handle, Change::Data);
    cache::forget(inode, LogicalBlock(0)..LogicalBlock(u32::MAX));
    *place = root;
    inode.data().kind.store(kind as u8, Ordering::Relaxed);
    inode.data().note_change();
    Ok(())
}

/// Calls `f` with all that a map has, in order.
fn each_run(map: &ReadTables<'_>, mut f: impl FnMut(Extent) -> FsResult) -> FsResult {
    let end = format::end(map.size());
    let mut at = LogicalBlock(0);
    while at < end {
        let len = match block_map::lookup(map, at)? {
            Place::Hole(len) => len,
            Place::Data(start, len) => {
                let extent = Extent::new(at, start, len, State::Written);
                f(extent.ok_or(FsError::Kernel(euclean()))?)?;
                len
            }
        };
        at = LogicalBlock(at.0.saturating_add(len));
    }
    Ok(())
}

/// How many nodes the tree of so many extents has at most, that are added in order.
fn most_nodes(inode: &Inode<Rext4>, extents: u32) -> u32 {
    if extents as usize <= tree_format::ROOT_ENTRIES {
        return 0;
    }
    let size = inode.super_block().data().layout.block_size();
    // Each split leaves a node at least half full; those above are fewer than these.
    let half = size.bytes().saturating_sub(16) / 12 / 2;
    2 * (extents / half.max(1) + 3)
}

/// The extent of a tree that has no other, if that can be one of a map.
fn only_extent(inode: &Inode<Rext4>, root: &[u8; ROOT_SIZE]) -> FsResult<Option<Extent>> {
    let layout = &inode.super_block().data().layout;
    let area = DataArea {
        first: PhysicalBlock(layout.first_data_block().0.saturating_add(1)),
        end: PhysicalBlock(layout.blocks_count()),
    };
    let node = Node::parse(root, tree_format::Place::Root).map_err(TreeError::from)?;
    if node.depth() != 0 || node.len() > 1 {
        return Err(FsError::unsupported());
    }
    if node.is_empty() {
        return Ok(None);
    }
    let extent = node.extent(0, area).map_err(TreeError::from)?;
    if extent.end().0 > DIRECT || extent.state() != State::Written {
        return Err(FsError::unsupported());
    }
    inode::map::check_foreign(inode, extent.physical(), extent.len())?;
    Ok(Some(extent))
}
