// SPDX-License-Identifier: GPL-2.0

//! What is known in memory of where a file lies, as it is asked for by `ioctl`: the [cache] of mappings
//! that were looked up, and what is [delayed](super::delayed). Of block maps nothing is kept.

use super::{
    cache,
    map::{self, Found},
    tree::ReadTree,
    DataKind,
};
use crate::{
    disk::{extent::LOGICAL_END, units::LogicalBlock},
    error::FsResult,
    extent::{self, Mapping},
    mount::Filesystem,
    vfs::{
        inode::{Inode, SharedLock},
        ioctl::{FileState, KnownExtent, KnownExtents},
        iomap::Place,
    },
    Rext4,
};
use kernel::prelude::*;

/// Looks up all of a file's tree, if it has more than what is in the inode.
fn precache(inode: &Inode<Rext4>) -> FsResult {
    let has_tree = || -> FsResult<bool> {
        let root = inode.data().tree.read();
        Ok(extent::depth(&ReadTree::new(inode, &root))? > 0)
    };
    if inode.data().kind() != DataKind::Extents || !has_tree()? {
        return Ok(());
    }
    let mut at = LogicalBlock(0);
    while at < LOGICAL_END {
        // The lock is given back in between: others may wait for it.
        let root = inode.data().tree.read();
        let tree = ReadTree::new(inode, &root);
        let mapping = extent::lookup(&tree, at)?;
        at = match mapping {
            // What is behind all data is found without it.
            Mapping::Hole(hole) if hole.end >= LOGICAL_END => LOGICAL_END,
            Mapping::Hole(hole) => {
                cache::keep(inode, mapping);
                hole.end
            }
            Mapping::Extent(extent) => {
                if map::check_foreign(inode, extent.physical(), extent.len()).is_ok() {
                    cache::keep(inode, mapping);
                }
                extent.end()
            }
        };
    }
    inode.data().cache.set_was_whole(true);
    Ok(())
}

/// What is known of a block: where it and those in a row with it lie, and the next one of which that is known.
fn known(
    inode: &Inode<Rext4>,
    block: LogicalBlock,
) -> Option<(LogicalBlock, LogicalBlock, Place, Option<LogicalBlock>)> {
    let size = inode.super_block().data().layout.block_size();
    let cache = &inode.data().cache;
    let blocks = inode.data().tree.read();
    let delayed = blocks.delayed.at_or_behind(block);
    let (first, end, place) = match delayed {
        Some(range) if range.contains(&block) => {
            (range.start, range.end, Place::Delayed { is_new: false })
        }
        next => match cache.find(block)? {
            Mapping::Hole(hole) => {
                // What is delayed is a part of a hole.
                let first = blocks.delayed.end_before(block);
                let end = next.map_or(hole.end, |next| hole.end.min(next.start));
                let first = first.map_or(hole.first, |first| hole.first.max(first));
                (first, end, Place::Hole)
            }
            mapping @ Mapping::Extent(extent) => {
                let place = |start| size.byte_of_physical(start).unwrap_or(u64::MAX);
                let place = match map::found(mapping, extent.logical()) {
                    Found::Unwritten { start, .. } => Place::Unwritten(place(start)),
                    Found::Written { start, .. } => Place::Written(place(start)),
                    Found::Hole { .. } => Place::Hole,
                };
                (extent.logical(), extent.end(), place)
            }
        },
    };
    let delayed = blocks.delayed.at_or_behind(end);
    let delayed = delayed.map(|range| range.start.max(end));
    let next = [delayed, cache.next(end)].into_iter().flatten().min();
    Some((first, end, place, next))
}

impl KnownExtents for Rext4 {
    fn precache(inode: &Inode<Self>, _lock: &SharedLock<'_, Self>) -> Result {
        precache(inode).map_err(|e| Filesystem::errno(inode, "look up all blocks", e))
    }

    fn forget(inode: &Inode<Self>) {
        cache::forget(inode, LogicalBlock(0)..LogicalBlock(u32::MAX));
        inode.data().cache.set_was_whole(false);
    }

    fn known(inode: &Inode<Self>, offset: u64) -> Option<KnownExtent> {
        let size = inode.super_block().data().layout.block_size();
        let (first, end, place, next) = known(inode, size.logical_of_byte(offset)?)?;
        Some(KnownExtent {
            offset: size.byte_of_logical(first),
            len: size.byte_of_logical(end) - size.byte_of_logical(first),
            place,
            next: next.map(|next| size.byte_of_logical(next)),
        })
    }

    fn state(inode: &Inode<Self>) -> FileState {
        let options = inode.super_block().data().options();
        FileState {
            was_precached: inode.data().cache.was_whole(),
            is_replaced: options.auto_da_alloc && inode.data().is_flushed_at_close(),
        }
    }
}
