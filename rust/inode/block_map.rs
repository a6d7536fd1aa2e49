// SPDX-License-Identifier: GPL-2.0

//! Where the blocks of a file lie that has a block map, as files of ext2 and ext3 have it: to read
//! it and to write over it. Nothing is allocated in one.

use super::map::{check_foreign, Found};
use crate::{
    disk::{
        block_map::{self, Way},
        extent::{LOGICAL_END, ROOT_SIZE},
        units::{LogicalBlock, PhysicalBlock},
    },
    error::{euclean, FsError, FsResult},
    vfs::{buffer::Buffer, inode::Inode},
    Rext4,
};

/// Looks a block up. The tree's lock is held for reading, with `numbers` behind it.
///
/// # Errors
///
/// `EUCLEAN` if the map leads out of the file system; `EIO`.
pub(super) fn find(
    inode: &Inode<Rext4>,
    numbers: &[u8; ROOT_SIZE],
    block: LogicalBlock,
) -> FsResult<Found> {
    let sb = inode.super_block();
    let layout = &sb.data().layout;
    let size = layout.block_size();
    let damaged = FsError::Kernel(euclean());
    let hole = |len: u64| {
        let most = LOGICAL_END.0.saturating_sub(block.0).max(1);
        Found::Hole {
            len: u32::try_from(len).map_or(most, |len| len.clamp(1, most)),
        }
    };
    let Some(way) = Way::to(block, size) else {
        return Ok(hole(u64::MAX));
    };
    let (mut left, mut table) = (way.depth(), None::<Buffer>);
    let (start, len) = loop {
        let index = way.number(left);
        if left == 0 {
            let run = match &table {
                None => block_map::run_at(block_map::direct(numbers), index),
                Some(table) => table.with(|bytes| block_map::run_at(bytes, index)),
            };
            break run.ok_or(damaged)?;
        }
        let number = match &table {
            None => block_map::number_at(numbers, index),
            Some(table) => table.with(|bytes| block_map::number_at(bytes, index)),
        };
        let at = PhysicalBlock(number.ok_or(damaged)?.into());
        if at.0 == 0 {
            return Ok(hole(way.rest(left)));
        }
        check(inode, at, 1)?;
        table = Some(Buffer::read(sb.device(), at.0, size.bytes())?);
        left -= 1;
    };
    if start == 0 {
        return Ok(hole(len.into()));
    }
    let start = PhysicalBlock(start.into());
    check(inode, start, len)?;
    Ok(Found::Written { start, len })
}

/// Checks that blocks are of the file system, and not its own.
fn check(inode: &Inode<Rext4>, start: PhysicalBlock, len: u32) -> FsResult {
    let layout = &inode.super_block().data().layout;
    if !layout.contains(start, len.into()) {
        return Err(FsError::Kernel(euclean()));
    }
    check_foreign(inode, start, len)
}
