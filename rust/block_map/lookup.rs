// SPDX-License-Identifier: GPL-2.0

//! Finding what is mapped where.

use super::TableStore;
use crate::disk::{
    block_map::{self, MapError, Way},
    extent::LOGICAL_END,
    units::{LogicalBlock, PhysicalBlock},
};

/// What is at a logical block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// Nothing, in so many blocks from it on, at least one. It may be more.
    Hole(u32),
    /// So many blocks of the device in a row, at least one, from this one on.
    Data(PhysicalBlock, u32),
}

/// Where a block lies.
///
/// # Errors
///
/// The map leads to where no file's blocks can be, or the store's error.
pub fn lookup<S: TableStore>(store: &S, block: LogicalBlock) -> Result<Place, S::Error> {
    let hole = |len: u64| {
        let most = LOGICAL_END.0.saturating_sub(block.0).max(1);
        Place::Hole(u32::try_from(len).map_or(most, |len| len.clamp(1, most)))
    };
    let Some(way) = Way::to(block, store.size()) else {
        return Ok(hole(u64::MAX));
    };
    let short = MapError::Short(block);
    let (mut left, mut table) = (way.depth(), None::<S::Block>);
    while left > 0 {
        let index = way.number(left);
        let number = with(store, table.as_ref(), |bytes| {
            block_map::number_at(bytes, index)
        });
        let number = number.ok_or(short)?;
        if number == 0 {
            return Ok(hole(way.rest(left)));
        }
        table = Some(get(store, block, left, number)?);
        left -= 1;
    }
    let index = way.number(0);
    let run = with(store, table.as_ref(), |bytes| match way.depth() {
        // In the inode, numbers of tables come after those of data.
        0 => block_map::run_at(block_map::direct(bytes), index),
        _ => block_map::run_at(bytes, index),
    });
    let (first, len) = run.ok_or(short)?;
    if first == 0 {
        return Ok(hole(len.into()));
    }
    let (start, outside) = (PhysicalBlock(first.into()), outside(block, 0, first));
    if store.check_data(start, len, outside).is_ok() {
        return Ok(Place::Data(start, len));
    }
    // What is asked for may be good.
    store.check_data(start, 1, outside)?;
    Ok(Place::Data(start, 1))
}

fn outside(block: LogicalBlock, left: u32, number: u32) -> MapError {
    MapError::Outside {
        block,
        left,
        number,
    }
}

/// Calls `f` with the numbers of a table, or with those in the inode.
pub(super) fn with<S: TableStore, R>(
    store: &S,
    table: Option<&S::Block>,
    f: impl FnOnce(&[u8]) -> R,
) -> R {
    match table {
        Some(table) => store.with_bytes(table, f),
        None => store.with_root(f),
    }
}

/// The table that a number leads to, on the way to `block`.
pub(super) fn get<S: TableStore>(
    store: &S,
    block: LogicalBlock,
    left: u32,
    number: u32,
) -> Result<S::Block, S::Error> {
    let at = PhysicalBlock(number.into());
    store.check(at, 1, outside(block, left, number))?;
    store.read(at)
}

/// Checks blocks of data that the map has from `block` on.
pub(super) fn check_data<S: TableStore>(
    store: &S,
    block: LogicalBlock,
    first: u32,
    len: u32,
) -> Result<(), S::Error> {
    store.check(PhysicalBlock(first.into()), len, outside(block, 0, first))
}
