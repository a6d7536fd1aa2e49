// SPDX-License-Identifier: GPL-2.0

//! What a direct write takes along from its submission to its completion, and what is done then.
//!
//! An [`IoEnd`] is made in [`super::get_block`] when the first block turns up that is not written
//! yet, travels with the request, and is consumed here. Nothing else refers to it: see
//! [`crate::vfs::direct_io`].

use super::alignment::ByteRange;
use crate::{
    disk::units::LogicalBlock,
    error::FsResult,
    extent::credits::CONVERT_NEW_MAX,
    group::ConversionReserve,
    inode::{convert, truncate},
    mount::counters::Count,
    vfs::{
        direct_io,
        inode::{ExclusiveLock, Inode},
        jbd2::Journal,
    },
    Rext4,
};
use core::ops::Range;
use kernel::prelude::*;

/// What a write needs when its data is on the device.
pub(crate) struct IoEnd {
    /// For what the conversion may have to allocate: it can't meet a full disk.
    reserve: ConversionReserve,
    /// What was allocated beyond the end of the file for this write, in order.
    beyond_end: KVec<Range<LogicalBlock>>,
}

impl IoEnd {
    /// Reserves what a conversion can need. Waits if others have it; to be called without a handle.
    ///
    /// # Errors
    ///
    /// `ENOSPC`, `ERESTARTSYS`: see [`crate::group::Groups::reserve_conversion`].
    pub(crate) fn new(inode: &Inode<Rext4>, journal: &Journal) -> FsResult<Self> {
        let groups = inode.super_block().data().groups()?;
        Ok(Self {
            reserve: groups.reserve_conversion(journal, CONVERT_NEW_MAX)?,
            beyond_end: KVec::new(),
        })
    }

    /// Makes room for one more call of [`Self::note_beyond_end`], which comes when it is too late
    /// to fail.
    pub(super) fn make_room(&mut self) -> FsResult {
        Ok(self.beyond_end.reserve(1, GFP_KERNEL)?)
    }

    /// Notes that blocks were allocated that are beyond the end of the file, at least in part.
    pub(super) fn note_beyond_end(&mut self, new: Range<LogicalBlock>) {
        match self.beyond_end.last_mut() {
            Some(last) if last.end == new.start => last.end = new.end,
            // There is room, see `make_room`.
            _ => drop(self.beyond_end.push_within_capacity(new)),
        }
    }
}

/// A write is done: `result` bytes from byte `offset` on are on the device.
pub(crate) fn end_io(
    inode: &Inode<Rext4>,
    io_end: Option<KBox<IoEnd>>,
    growing: Option<&ExclusiveLock<'_, Rext4>>,
    offset: i64,
    result: Result<usize>,
) -> FsResult {
    let fs = inode.super_block().data();
    let size = fs.layout.block_size();
    let written = result.unwrap_or(0);
    if result.is_err() {
        // What failed is not converted: it reads as zeros, as before.
        fs.counters.add(Count::FailedWrite, 1);
    }
    let range = ByteRange::new(offset, written, size);
    let mut io_end = io_end.map(KBox::into_inner);
    let new_size = match (growing, range) {
        (Some(lock), Some(range)) if range.end() as i64 > inode.size() => {
            Some((lock, range.end() as i64))
        }
        _ => None,
    };
    match (&mut io_end, range) {
        (Some(io_end), Some(range)) => {
            let blocks = range.blocks();
            fs.counters.add(Count::Conversion, 1);
            fs.counters
                .add(Count::ConvertedBlock, u64::from(blocks.end.0 - blocks.start.0));
            if growing.is_none() && direct_io::is_deferred() {
                fs.counters.add(Count::Deferred, 1);
            }
            convert::convert(inode, blocks, &mut io_end.reserve)?;
        }
        (Some(_), None) | (None, _) => {}
    }
    if growing.is_some() {
        finish_growing(inode, new_size, io_end)?;
    }
    Ok(())
}

/// The end of a write beyond the end of the file: the file grows over what was written, and loses
/// what was allocated but not written.
fn finish_growing(
    inode: &Inode<Rext4>,
    new_size: Option<(&ExclusiveLock<'_, Rext4>, i64)>,
    io_end: Option<IoEnd>,
) -> FsResult {
    let sb = inode.super_block();
    let fs = sb.data();
    let bytes = new_size.as_ref().map_or(inode.size(), |(_, bytes)| *bytes);
    let used = fs
        .layout
        .block_size()
        .blocks_for(u64::try_from(bytes).unwrap_or(0));
    let used = LogicalBlock(u32::try_from(used).unwrap_or(u32::MAX));
    for range in io_end.iter().flat_map(|io_end| &io_end.beyond_end) {
        let unused = range.start.max(used)..range.end;
        if unused.start < unused.end {
            truncate::remove(inode, unused)?;
        }
    }
    if let Some((lock, bytes)) = new_size {
        inode.set_size(lock, bytes);
        return convert::grow_on_disk(inode, bytes, true);
    }
    truncate::release_orphan(inode)
}
