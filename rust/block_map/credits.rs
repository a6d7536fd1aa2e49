// SPDX-License-Identifier: GPL-2.0

//! How much of a map one operation can change. The inode, bitmaps and descriptors are not counted.

use crate::disk::block_map::MAX_DEPTH;

/// The most tables that [`insert`](super::insert()) allocates.
pub const INSERT_NEW: u32 = MAX_DEPTH;

/// The most tables that [`insert`](super::insert()) changes or allocates: the lowest that there is, and
/// those below it.
pub const INSERT: u32 = MAX_DEPTH;

/// The most tables that [`remove`](super::remove()) changes or frees if it takes so many `steps`.
///
/// A run of data or a table that is freed is a step, and changes one table, or the inode. When the last
/// step is done, tables above that have nothing left are freed too.
pub const fn remove(steps: u32) -> u32 {
    remove_freed(steps).saturating_add(steps)
}

/// The most tables that it frees.
pub const fn remove_freed(steps: u32) -> u32 {
    steps.saturating_add(MAX_DEPTH)
}
