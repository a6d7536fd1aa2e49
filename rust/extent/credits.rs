// SPDX-License-Identifier: GPL-2.0

//! How much of a tree one operation can change.
//!
//! For the credits of a transaction and for what is kept back so that a conversion cannot meet a
//! full disk. All functions take the depth of the tree when the operation starts: see
//! [`depth`](super::depth). The inode, which holds the root, is not counted, and neither are the
//! bitmap and the group descriptor of each node that is allocated or freed, nor those of data.
//!
//! # Proof
//!
//! *One splice at depth `d`* replaces entries in one leaf. The new entries are at most two more
//! than the old ones, and a node has room for at least 84 (six would do), so a leaf with too little
//! room becomes two. That adds one entry to the level above, where it is the same again. So each of
//! the `d` nodes on the path below the root is split at most once. If the root has no room for one
//! entry more, its entries, at most 4, move to a new node, which has room for all that can be
//! added: it is not split, and the root has one entry then. So there are at most `d + 1` new nodes:
//! [`splice_new`]. At the greatest depth the root cannot be moved, the splice is refused, and there
//! are at most `d`. No node changes that is neither on the path nor new: [`splice`]. ∎
//!
//! *Which splices add entries.* To insert adds at most one. To convert to written replaces an
//! extent that lies wholly in the range by one, or by none if it is joined to a neighbour. Only
//! an extent that reaches across an end of the range leaves a rest, and a range has two ends. So
//! however long the range is, at most two splices add entries: one of two or two of one.
//!
//! *Two such splices one after the other.* If the first moves the root, it makes at most `d + 1`
//! nodes. The root then has at most two entries, and the node with its old ones at most five. So
//! the second ends at the latest in that node, and splits at most the `d` levels below it. If the
//! first does not move the root, it makes at most `d` nodes and leaves the depth as it is, so that
//! the second makes at most `d + 1`. Either way there are at most `2d + 1`; if the root cannot be
//! moved, at most `2d`: [`convert_new`]. ∎
//!
//! The depth can grow between the moment at which something is kept back and the conversion. Who
//! keeps back [`CONVERT_NEW_MAX`] for each conversion need not care.

use crate::disk::extent::MAX_DEPTH;

/// What [`convert_new`] gives at most, whatever the depth.
pub const CONVERT_NEW_MAX: u32 = convert_new(MAX_DEPTH);

/// The most nodes that [`insert`](super::insert()) allocates, and any other single splice.
pub const fn splice_new(depth: u16) -> u32 {
    if depth < MAX_DEPTH {
        depth as u32 + 1
    } else {
        MAX_DEPTH as u32
    }
}

/// The most nodes that [`insert`](super::insert()) changes or allocates, and any other single
/// splice.
pub const fn splice(depth: u16) -> u32 {
    depth as u32 + splice_new(depth)
}

/// The most nodes that a conversion of one range to written allocates, in however many calls of
/// [`convert`](super::convert()), if nothing else changes the tree in between.
pub const fn convert_new(depth: u16) -> u32 {
    if depth < MAX_DEPTH {
        2 * depth as u32 + 1
    } else {
        2 * MAX_DEPTH as u32
    }
}

/// The most nodes that one call of [`convert`](super::convert()) to written with this `limit`
/// changes or allocates.
///
/// The new ones, the paths of the two splices that can change index nodes, and the leaf of each
/// other extent. The second path can be one longer than the first.
pub const fn convert(depth: u16, limit: u32) -> u32 {
    let paths = if limit < 2 { limit } else { 2 };
    let first = splice(depth);
    if paths < 2 {
        return first;
    }
    let longer = if depth < MAX_DEPTH { depth + 1 } else { depth };
    let new = convert_new(depth);
    new.saturating_add(depth as u32)
        .saturating_add(longer as u32)
        .saturating_add(limit - paths)
}

/// The most nodes that one call of [`remove`](super::remove()) with this `limit` changes,
/// allocates or frees.
///
/// Each extent is in a leaf, and each leaf on a path of its own at worst: what the path has below
/// the root changes or is freed. A splice that adds an entry can happen once, if one extent loses
/// its middle.
pub const fn remove(depth: u16, limit: u32) -> u32 {
    (depth as u32)
        .saturating_mul(limit)
        .saturating_add(splice_new(depth))
}

/// The most nodes that one call of [`shift_down`](super::shift_down) or
/// [`shift_up`](super::shift_up) with this `limit` changes or frees: the paths of as many leaves.
pub const fn shift(depth: u16, limit: u32) -> u32 {
    (depth as u32).saturating_mul(limit)
}
