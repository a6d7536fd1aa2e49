// SPDX-License-Identifier: GPL-2.0

//! Making unwritten blocks written, and the size on disk that follows the data.

use super::{
    store,
    tree::{ReadTree, WriteTree},
};
use crate::{
    disk::{extent::State, units::LogicalBlock},
    error::FsResult,
    extent::{self, Progress},
    group::{ConversionReserve, Rights},
    journal::{credits, sync_point::Change},
    vfs::{inode::Inode, jbd2::Credits},
    Rext4,
};
use core::ops::Range;

/// Extents converted in one transaction at most.
pub(crate) const STEP: u32 = 16;

/// Makes a range of blocks written, in as many transactions as it takes, and moves the size on disk
/// up to `end`, in bytes, if it is less. What new nodes of the tree need is taken from `reserve`.
///
/// The size grows in the same transactions: after a crash no written block is beyond it, and no
/// unwritten block below it was acknowledged.
pub(crate) fn convert(
    inode: &Inode<Rext4>,
    mut range: Range<LogicalBlock>,
    reserve: &mut ConversionReserve,
    end: i64,
) -> FsResult {
    let sb = inode.super_block();
    let size = sb.data().layout.block_size();
    let journal = sb.data().writing(sb)?;
    loop {
        let depth = extent::depth(&ReadTree::new(inode, &inode.data().tree.read()))?;
        let handle = journal.start(credits::convert(depth, STEP))?;
        let mut root = inode.data().tree.write();
        let mut tree = WriteTree::new(inode, &mut root, &handle, Rights::Reserve(reserve));
        if extent::depth(&tree)? > depth {
            // It grew meanwhile: the credits may not do.
            continue;
        }
        let progress = extent::convert(&mut tree, range.clone(), State::Written, STEP as usize);
        let done = match &progress {
            Ok(Progress::Done) => end,
            Ok(Progress::More(start)) => end.min(size.byte_of_logical(*start) as i64),
            Err(_) => 0,
        };
        if done > inode.data().disk_size() {
            inode.data().set_disk_size(done);
        }
        // What was converted before an error is converted on disk too.
        tree.store_inode()?;
        drop(root);
        handle.stop()?;
        match progress? {
            Progress::Done => return Ok(()),
            Progress::More(start) => range.start = start,
        }
    }
}

/// Moves the size on disk up to `end`, in bytes, if it is less. All data below is on disk and
/// converted.
pub(crate) fn grow_on_disk(inode: &Inode<Rext4>, end: i64) -> FsResult {
    if end <= inode.data().disk_size() {
        return Ok(());
    }
    let sb = inode.super_block();
    let journal = sb.data().writing(sb)?;
    let handle = journal.start(Credits::new(credits::INODE))?;
    let root = inode.data().tree.write();
    if end > inode.data().disk_size() {
        inode.data().set_disk_size(end);
    }
    store::store(inode, &handle, &root)?;
    inode.data().sync_point.note(&handle, Change::Data);
    drop(root);
    Ok(handle.stop()?)
}
