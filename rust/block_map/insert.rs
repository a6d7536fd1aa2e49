// SPDX-License-Identifier: GPL-2.0

//! Having blocks mapped.

use super::lookup::{get, with};
use super::TableStoreMut;
use crate::disk::{
    block_map::{self, MapError, Way, MAX_DEPTH},
    units::{LogicalBlock, PhysicalBlock},
};

/// Maps blocks of a hole from `block` on to `len` blocks of the device from `start` on: as many as have
/// their numbers in one place, the inode or a table. Returns how many that were, at least one if `len`
/// is.
///
/// Changes or allocates [`INSERT`](super::credits::INSERT) tables at most.
///
/// # Errors
///
/// There is something already, no map has this block, or the map or the store is at fault. In each case
/// the map is as it was before.
pub fn insert<S: TableStoreMut>(
    store: &mut S,
    block: LogicalBlock,
    start: PhysicalBlock,
    len: u32,
) -> Result<u32, S::Error> {
    let too_far = MapError::TooFar(block);
    let way = Way::to(block, store.size()).ok_or(too_far)?;
    let len = len.min(way.in_place());
    let first = u32::try_from(start.0).map_err(|_| too_far)?;
    if first == 0 || first.checked_add(len).is_none() {
        return Err(too_far.into());
    }

    // What there is of the way, and how many tables it lacks.
    let (mut missing, mut last) = (way.depth(), None::<S::Block>);
    while missing > 0 {
        let index = way.number(missing);
        let number = with(store, last.as_ref(), |bytes| {
            block_map::number_at(bytes, index)
        });
        match number.ok_or(MapError::Short(block))? {
            0 => break,
            number => last = Some(get(store, block, missing, number)?),
        }
        missing -= 1;
    }
    let index = way.number(missing);
    if missing == 0 {
        let taken = with(store, last.as_ref(), |bytes| {
            block_map::last_in(bytes, index..index.saturating_add(len))
        });
        if let Some((taken, _)) = taken {
            let block = LogicalBlock(block.0.saturating_add(taken - index));
            return Err(MapError::Occupied(block).into());
        }
    }
    match &last {
        Some(table) => store.prepare(table)?,
        None => store.prepare_root()?,
    }
    let mut fresh = [const { None::<S::Block> }; MAX_DEPTH as usize];
    if let Err(e) = make(store, &mut fresh, missing, start) {
        for table in fresh.into_iter().flatten() {
            store.free(table)?;
        }
        return Err(e);
    }

    // From the data up. What is new is in nobody's way until the last number is set.
    let (mut number, mut count) = (first, len);
    for (level, table) in (0..).zip(fresh.iter().flatten()) {
        let index = way.number(level);
        store.edit(table, |bytes| {
            block_map::set_run(bytes, index, number, count)
        })?;
        // `make` has looked.
        number = store.location(table).0 as u32;
        count = 1;
    }
    let set = |bytes: &mut [u8]| block_map::set_run(bytes, index, number, count);
    match &last {
        Some(table) => store.edit(table, set)?,
        None => store.edit_root(set)?,
    };
    Ok(len)
}

/// Allocates so many tables.
fn make<S: TableStoreMut>(
    store: &mut S,
    fresh: &mut [Option<S::Block>],
    count: u32,
    near: PhysicalBlock,
) -> Result<(), S::Error> {
    for place in fresh.iter_mut().take(count as usize) {
        let table = store.allocate(near)?;
        let at = store.location(&table);
        *place = Some(table);
        if at >= block_map::PHYSICAL_END {
            return Err(MapError::TooFar(LogicalBlock(0)).into());
        }
    }
    Ok(())
}
