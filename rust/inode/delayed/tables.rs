// SPDX-License-Identifier: GPL-2.0

//! What is set aside for the tables of a [block map](crate::inode::block_map).

use super::{
    note_pending,
    shape::{hull, map_shape},
    Blocks,
};
use crate::{
    disk::{block_map as map_format, units::LogicalBlock},
    group::{Groups, Rights},
    vfs::inode::Inode,
    Rext4,
};
use core::ops::Range;

/// Sets aside what `len` blocks more that become pending can need of tables. Returns whether there was as
/// much.
pub(in crate::inode) fn set_tables_aside(
    inode: &Inode<Rext4>,
    blocks: &mut Blocks,
    groups: &Groups,
    rights: &Rights<'_>,
    run: Range<LogicalBlock>,
) -> bool {
    let size = inode.super_block().data().layout.block_size();
    let Blocks {
        delayed, pending, ..
    } = &mut *blocks;
    let len = run.end.0.saturating_sub(run.start.0);
    let span = hull(delayed.ranges.span(), run.start.0..run.end.0);
    let most = map_shape(pending, size).nodes(
        delayed.ranges.count().saturating_add(1),
        delayed.ranges.blocks().saturating_add(len),
        &span,
    );
    let reserve = delayed
        .reserve
        .get_or_insert_with(|| groups.delayed_reserve());
    let own = map_format::tables(&(run.start.0.into()..run.end.0.into()), size);
    let fits = reserve.grow(rights, 0, most.min(reserve.nodes() + own));
    if !fits {
        note_pending(inode, blocks);
    }
    fits
}

/// Notes that so many tables are not there any more. What is delayed or pending may need them again, and counts
/// on those that were there: as many are set aside, if there is as much. Else it takes what there is when its turn
/// comes.
pub(in crate::inode) fn note_tables_freed(inode: &Inode<Rext4>, blocks: &mut Blocks, tables: u32) {
    let Blocks {
        delayed, pending, ..
    } = blocks;
    let size = inode.super_block().data().layout.block_size();
    let most = delayed.nodes(map_shape(pending, size));
    if let Some(reserve) = delayed.reserve.as_mut().filter(|_| tables > 0) {
        let nodes = most.min(reserve.nodes() + u64::from(tables));
        let _ = reserve.grow(&Rights::Root, 0, nodes);
    }
}
