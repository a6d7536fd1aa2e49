// SPDX-License-Identifier: GPL-2.0

//! All tables of a map.

use super::lookup::{get, with};
use super::{TableStore, TableStoreMut};
use crate::disk::{
    block_map::{self, DIRECT, MAX_DEPTH},
    units::LogicalBlock,
};

/// How many there are; `None` if there are more than `most`. No more than these are looked at, though a damaged
/// map may lead to one any number of times.
///
/// # Errors
///
/// The map leads to where no file's blocks can be, or the store's error.
pub fn count_tables<S: TableStore>(store: &S, most: u32) -> Result<Option<u32>, S::Error> {
    let mut count = 0;
    for slot in DIRECT..DIRECT + MAX_DEPTH {
        let (start, levels) = block_map::slot_start(slot, store.size());
        let number = with(store, None, |root| block_map::number_at(root, slot));
        if let Some(number) = number.filter(|number| *number != 0) {
            if count >= most {
                return Ok(None);
            }
            count += 1;
            let table = get(store, block(start), levels, number)?;
            if !count_below(store, &table, levels - 1, start, most, &mut count)? {
                return Ok(None);
            }
        }
    }
    Ok(Some(count))
}

fn block(start: u64) -> LogicalBlock {
    LogicalBlock(u32::try_from(start).unwrap_or(u32::MAX))
}

/// Adds those below a table. Returns whether there are not more than `most`.
fn count_below<S: TableStore>(
    store: &S,
    table: &S::Block,
    left: u32,
    start: u64,
    most: u32,
    count: &mut u32,
) -> Result<bool, S::Error> {
    if left == 0 {
        // What it has are blocks of data.
        return Ok(true);
    }
    let mut end = block_map::numbers_in_block(store.size());
    while let Some((index, number)) = last_before(store, table, end) {
        end = index;
        let at = start + u64::from(index) * block_map::covered(left, store.size());
        if *count >= most {
            return Ok(false);
        }
        *count += 1;
        let child = get(store, block(at), left, number)?;
        if !count_below(store, &child, left - 1, at, most, count)? {
            return Ok(false);
        }
    }
    Ok(true)
}

/// The last number of a table before an index, and where it is.
fn last_before<S: TableStore>(store: &S, table: &S::Block, end: u32) -> Option<(u32, u32)> {
    with(store, Some(table), |bytes| {
        block_map::last_in(bytes, 0..end)
    })
}

/// Frees all tables, whose map is in use no more: nothing in them changes.
///
/// # Errors
///
/// As of [`count_tables`].
pub fn free_tables<S: TableStoreMut>(store: &mut S) -> Result<(), S::Error> {
    for slot in DIRECT..DIRECT + MAX_DEPTH {
        let (start, levels) = block_map::slot_start(slot, store.size());
        let number = with(store, None, |root| block_map::number_at(root, slot));
        if let Some(number) = number.filter(|number| *number != 0) {
            let table = get(store, block(start), levels, number)?;
            free_below(store, &table, levels - 1, start)?;
            store.free(table)?;
        }
    }
    Ok(())
}

fn free_below<S: TableStoreMut>(
    store: &mut S,
    table: &S::Block,
    left: u32,
    start: u64,
) -> Result<(), S::Error> {
    if left == 0 {
        return Ok(());
    }
    let mut end = block_map::numbers_in_block(store.size());
    while let Some((index, number)) = last_before(store, table, end) {
        end = index;
        let at = start + u64::from(index) * block_map::covered(left, store.size());
        let child = get(store, block(at), left, number)?;
        free_below(store, &child, left - 1, at)?;
        store.free(child)?;
    }
    Ok(())
}
