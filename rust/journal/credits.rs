// SPDX-License-Identifier: GPL-2.0

//! How many blocks of metadata each kind of change can touch at most.
//!
//! A handle asks for that many credits before it starts; a change that touches more fails with a
//! warning from jbd2, in the middle. So each number here is an upper bound, with its reason. What
//! is not used goes back when the handle stops.

use crate::{
    block_map,
    disk::{extent::State, layout::Layout},
    extent,
    vfs::jbd2::Credits,
};

/// The block of the inode table that holds an inode.
pub(crate) const INODE: u32 = 1;

/// The block that holds the primary super block.
pub(crate) const SUPER_BLOCK: u32 = 1;

/// A change of one group's blocks or inodes: the bitmap, and the block that holds the descriptor.
const GROUP: u32 = 2;

/// One call of [`Groups::allocate`](crate::group::Groups::allocate): a run lies in one group. The
/// bitmap of another one may be made for the first time while a place is looked for.
pub(crate) const ALLOCATE: u32 = 2 * GROUP;

/// One call of [`Groups::free_inode`](crate::group::Groups::free_inode).
pub(crate) const FREE_INODE: u32 = GROUP;

/// One call of [`Groups::allocate_inode`](crate::group::Groups::allocate_inode): the group's inode
/// bitmap, its block bitmap if it was never used, the block that holds its descriptor, and that of
/// its inode table which holds the inode, if none of that was ever used.
pub(crate) const ALLOCATE_INODE: u32 = 3 + INODE;

/// Noting that a group's inode table is zero: the block that holds its descriptor.
pub(crate) const NOTE_ZEROED: u32 = 1;

/// Giving the last group more blocks: its bitmap and descriptor, and the super block.
pub(crate) const EXTEND_LAST_GROUP: u32 = GROUP + SUPER_BLOCK;

/// Adding groups whose descriptors lie in one block: that, and the super block.
pub(crate) const ADD_GROUPS: u32 = 1 + SUPER_BLOCK;

/// Having descriptors lie in the groups they describe: the super block; the resize inode and its block,
/// which is freed.
pub(crate) const BEGIN_META_GROUPS: Credits =
    Credits::new(SUPER_BLOCK + INODE + 1 + GROUP).with_revokes(1);

/// Removing one entry of a directory, or having it stand for another inode: the block that it is in.
pub(crate) const CHANGE_ENTRY: u32 = 1;

/// Making an inode: its number, its place in the table (the block that is counted with the number), its
/// first attributes, and the list of orphans, which it comes on if it can't get its name.
pub(crate) const CREATE_INODE: u32 = ALLOCATE_INODE + FIRST_XATTRS + ORPHAN;

/// The attributes that an inode has from the beginning, as many as there are: beside the inode, they
/// lie in one block at most, which is allocated for the first that does not fit the inode and is the
/// inode's own; the super block says that there are attributes.
const FIRST_XATTRS: u32 = ALLOCATE + 1 + 1;

/// One call of [`Groups::free`](crate::group::Groups::free) for one block.
const FREE_BLOCK: u32 = GROUP;

/// Giving up an inode's block of attributes: the block changes if others use it, else it is freed;
/// the inode.
pub(crate) const RELEASE_XATTRS: Credits = Credits::new(1 + FREE_BLOCK + INODE).with_revokes(1);

/// Changing one attribute, or moving some from the inode to the block.
///
/// At worst it is in a block that others use, or used a moment ago: that is given up, and a new one
/// is allocated and filled. Beside that there are the inode, which holds the attributes that are
/// not in a block, and the super block, which says that there are any.
pub(crate) const CHANGE_XATTR: Credits = RELEASE_XATTRS.plus(Credits::new(ALLOCATE + 1 + 1));

/// Adding an inode to the orphans, or taking it off: the block of the orphan file, or else the
/// super block and the inode before it in the list. The inode itself is not counted.
pub(crate) const ORPHAN: u32 = 2;

/// Allocating one run for a file and putting it into its extent tree of this depth.
///
/// The run; each new node, with an allocation of its own; the nodes on the path; the inode.
pub(crate) const fn insert(depth: u16) -> Credits {
    let nodes = extent::credits::splice_new(depth);
    Credits::new(
        ALLOCATE
            .saturating_add(nodes.saturating_mul(ALLOCATE))
            .saturating_add(extent::credits::splice(depth))
            .saturating_add(INODE),
    )
    // If the disk is full after some of the nodes, these are given back.
    .with_revokes(nodes)
}

/// One call of [`extent::convert()`] with this `limit`, and the inode with its size after it.
///
/// Each new node, with an allocation of its own; nodes that are no longer needed, which are
/// forgotten and given back to their group; the nodes that change; the inode.
pub(crate) const fn convert(depth: u16, limit: u32) -> Credits {
    let new = extent::credits::convert_new(depth);
    let touched = extent::credits::convert(depth, limit);
    Credits::new(
        new.saturating_mul(ALLOCATE)
            .saturating_add(touched)
            .saturating_add(touched.saturating_mul(GROUP))
            .saturating_add(INODE),
    )
    .with_revokes(touched)
}

/// One call of [`extent::replace()`], another one that puts back what was there, and
/// [`extent::narrow`], and the inode.
///
/// As for converting one extent, which is one splice too. To put back what was there changes nodes
/// of the same path and allocates none; nor does narrowing, which frees nodes on all paths.
pub(crate) const fn replace(depth: u16) -> Credits {
    convert(depth, 1)
}

/// Putting so many pieces in the place of what is mapped, or into holes: each as [`replace`], with a run that becomes used
/// and one that is freed, which is shorter than a group and so lies in two at most; the inode.
pub(crate) const fn replace_all(depth: u16, pieces: u32) -> Credits {
    let each = replace(depth).plus(Credits::new(ALLOCATE + 2 * GROUP));
    Credits::new(each.blocks.saturating_mul(pieces).saturating_add(INODE))
        .with_revokes(each.revokes.saturating_mul(pieces))
}

/// In how many groups one extent can lie, at most.
const fn groups_per_extent(layout: &Layout) -> u32 {
    // It begins somewhere in the first.
    State::Written.max_len().div_ceil(layout.blocks_per_group()) + 1
}

/// One call of [`extent::remove()`] with this `limit`, which frees at most as
/// many runs of data. There are no more bitmaps than groups, and no more blocks of descriptors than
/// there are.
pub(crate) fn remove(depth: u16, limit: u32, layout: &Layout) -> Credits {
    let touched = extent::credits::remove(depth, limit);
    let groups = limit
        .saturating_mul(groups_per_extent(layout))
        .saturating_add(touched);
    Credits::new(
        touched
            .saturating_add(groups.min(layout.group_count()))
            .saturating_add(groups.min(layout.descriptor_blocks()))
            .saturating_add(INODE)
            .saturating_add(ORPHAN),
    )
    .with_revokes(touched)
}

/// How many runs that have their numbers in one place are put into a block map in one step, at most.
pub(crate) const SETTLE: u32 = 4;

/// Putting so many staged runs into a block map, and the inode with its size: tables, each new one with an
/// allocation of its own, and the bitmap of each run, which lies in one group.
pub(crate) const fn settle_mapped() -> Credits {
    let new = block_map::credits::INSERT_NEW * SETTLE;
    Credits::new(block_map::credits::INSERT * SETTLE + new * ALLOCATE + SETTLE * GROUP + INODE)
        // If the disk is full after some of the tables, these are given back.
        .with_revokes(new)
}

/// One call of [`block_map::remove()`] with this limit of steps, and the inode. Of metadata, blocks of data
/// are revoked besides.
pub(crate) fn remove_mapped(steps: u32, layout: &Layout) -> Credits {
    let freed = block_map::credits::remove_freed(steps);
    // A run of data has its numbers in one table.
    let numbers = crate::disk::block_map::numbers_in_block(layout.block_size());
    let groups_per_run = numbers.div_ceil(layout.blocks_per_group()) + 1;
    let groups = steps.saturating_mul(groups_per_run).saturating_add(freed);
    Credits::new(
        block_map::credits::remove(steps)
            .saturating_add(groups.min(layout.group_count()))
            .saturating_add(groups.min(layout.descriptor_blocks()))
            .saturating_add(INODE)
            .saturating_add(ORPHAN),
    )
    .with_revokes(freed)
}

/// Giving a file a tree of extents with so many nodes in the place of a block map with so many tables, or the
/// other way round: nodes with an allocation of their own, tables that are freed, the inode.
pub(crate) fn migrate(nodes: u32, tables: u32, layout: &Layout) -> Credits {
    Credits::new(
        nodes
            .saturating_mul(ALLOCATE + 1)
            .saturating_add(tables.min(layout.group_count()))
            .saturating_add(tables.min(layout.descriptor_blocks()))
            .saturating_add(INODE),
    )
    .with_revokes(nodes.saturating_add(tables))
}

/// One call of [`extent::shift_down`] or [`extent::shift_up`] with this `limit`, and the inode.
/// Leaves that are empty, which none of ours is, are given back to their group.
pub(crate) const fn shift(depth: u16, limit: u32) -> Credits {
    let touched = extent::credits::shift(depth, limit);
    Credits::new(
        touched
            .saturating_add(touched.saturating_mul(GROUP))
            .saturating_add(INODE),
    )
    .with_revokes(touched)
}

/// Adding a block to a directory or symbolic link whose extent tree has this depth: as
/// [`insert`], and the block, which is given back if there is no place for it in the tree.
pub(crate) const fn add_block(depth: u16) -> Credits {
    insert(depth).plus(Credits::new(1).with_revokes(1))
}

/// Adding a name to a directory whose extent tree has this depth.
///
/// At worst the directory is a full index two levels deep below its root (`large_dir`) with no room
/// anywhere on the path: a new node each for the root's entries and for half of those of the two
/// nodes below it, and a new leaf. (An index that is just made needs a leaf, and when that is full
/// another one, which is less.) The extent tree gets one level deeper at most: a new root has room
/// for three more. What changes beside that is the path, the leaf and the inode, which is in
/// [`insert`].
pub(crate) const fn add_entry(depth: u16) -> Credits {
    let block = add_block(depth.saturating_add(1));
    let path = crate::disk::htree::MAX_LEVELS as u32;
    block
        .plus(block)
        .plus(block)
        .plus(block)
        .plus(Credits::new(path + 1))
}
