// SPDX-License-Identifier: GPL-2.0

//! Zeros that the device writes by itself, so that later writes of the range change no metadata.
//!
//! The blocks are unwritten until they hold zeros, so a crash in between shows nothing old.

use crate::{
    disk::units::{LogicalBlock, PhysicalBlock},
    error::{eopnotsupp, FsError, FsResult},
    group::ConversionReserve,
    inode::{
        convert,
        journaled::journals_data,
        map::{self, Found},
    },
    vfs::{inode::Inode, readdir::pause},
    Rext4,
};
use core::ops::Range;

/// Whether the device can write zeros faster than by transferring them.
///
/// # Errors
///
/// `EOPNOTSUPP` if it can't, or may not since data goes through the journal: then the call is no better than a write.
pub(super) fn check_supported(inode: &Inode<Rext4>) -> FsResult {
    if journals_data(inode) || !inode.super_block().device().can_write_zeroes() {
        return Err(FsError::Kernel(eopnotsupp()));
    }
    Ok(())
}

/// Writes zeros to all unwritten blocks in a range, which ends at byte `end` at most, and makes them written. None is
/// a hole, and the file reaches to the end of the range at least.
///
/// The inode's lock and that of the page cache are held exclusively, nothing is in the page cache,
/// and no direct I/O is outstanding: nobody else writes to the blocks.
pub(super) fn write_zeroes(
    inode: &Inode<Rext4>,
    range: Range<LogicalBlock>,
    end: i64,
    kept: Option<ConversionReserve>,
) -> FsResult {
    let sb = inode.super_block();
    let fs = sb.data();
    let mut at = range.start;
    while at < range.end {
        let left = range.end.0 - at.0;
        let len = match map::find(inode, at)? {
            Found::Unwritten { start, len } => {
                let len = len.min(left);
                zero(inode, start, len)?;
                len
            }
            Found::Written { len, .. } | Found::Hole { len } => len.min(left),
        };
        at = LogicalBlock(at.0.saturating_add(len));
        pause()?;
    }
    let mut kept = match kept {
        Some(kept) => kept,
        None => fs.groups()?.reserve_conversion(fs.writing(sb)?, 0)?,
    };
    // The size on disk may be behind that of the file still.
    convert::convert(inode, range, &mut kept, end.min(inode.size()))
}

fn zero(inode: &Inode<Rext4>, start: PhysicalBlock, len: u32) -> FsResult {
    let sb = inode.super_block();
    let bits = sb.data().layout.block_size().bits();
    let device = sb.device();
    device.forget_aliases(start.0, len.into());
    Ok(device.write_zeroes(start.0 << bits, u64::from(len) << bits)?)
}
