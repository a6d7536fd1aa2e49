// SPDX-License-Identifier: GPL-2.0

//! Writing through the page cache, and writing the page cache back.
//!
//! A hole gets its blocks when it is written to in memory, as unwritten ones, so that writeback
//! can't meet a full disk. When writeback is complete they are converted, and only then does the
//! size on disk grow: the same rule as for direct writes.

use crate::{
    disk::units::LogicalBlock,
    error::{FsError, FsResult},
    extent::credits::CONVERT_NEW_MAX,
    group::ConversionReserve,
    inode::{
        allocate, convert,
        map::{self, Found},
        size,
    },
    mount::Filesystem,
    vfs::{
        file::{IovIter, Kiocb},
        inode::Inode,
        iomap::{self, Mapping},
        writeback::{IoendQueue, Writeback},
    },
    Rext4,
};
use core::ops::Range;
use kernel::{error::code, prelude::*};

/// Writes through the page cache.
pub(crate) fn write(request: &mut Kiocb<'_, Rext4>, memory: &mut IovIter<'_>) -> Result<usize> {
    let inode = request.inode();
    let lock = inode.lock();
    if request.write_checks(memory)? == 0 {
        return Ok(0);
    }
    request.modified()?;
    if request.position() > inode.size() {
        size::clear_to_block_end(inode, &lock, request.position())
            .map_err(|e| Filesystem::errno(inode, "write", e))?;
    }
    let written = request.write_buffered(memory, &lock)?;
    drop(lock);
    request.sync(written)
}

/// The mapping that holds byte `offset`, with blocks if there were none; for writing `len` bytes.
pub(crate) fn map(inode: &Inode<Rext4>, offset: u64, len: u64) -> FsResult<Mapping> {
    let sb = inode.super_block();
    let fs = sb.data();
    let size = fs.layout.block_size();
    loop {
        let found = map::bytes(inode, offset)?;
        if found.place != iomap::Place::Hole {
            return Ok(found);
        }
        let block = size
            .logical_of_byte(offset)
            .ok_or(FsError::Kernel(code::EFBIG))?;
        let end = size.blocks_for(offset.saturating_add(len.max(1)));
        let wanted = end.saturating_sub(u64::from(block.0)).max(1);
        let journal = fs.writing(sb)?;
        match allocate::fill_hole(
            inode,
            journal,
            block,
            u32::try_from(wanted).unwrap_or(u32::MAX),
            |_| Ok(()),
        )? {
            // Never: see `fill_hole`.
            Found::Hole { .. } => return Err(FsError::Kernel(code::EIO)),
            // Looked up again, so that mapping and version belong together.
            Found::Written { .. } | Found::Unwritten { .. } => {}
        }
    }
}

/// What an ioend takes along: a reserve for its conversion.
pub(crate) struct Completion(ConversionReserve);

impl Writeback for Rext4 {
    type Completion = Completion;

    fn prepare(
        inode: &Inode<Self>,
        bytes: &Range<u64>,
        unwritten: bool,
    ) -> Result<Option<KBox<Completion>>> {
        let grows = bytes.end > u64::try_from(inode.data().disk_size()).unwrap_or(0);
        if !unwritten && !grows {
            return Ok(None);
        }
        let sb = inode.super_block();
        let reserve = || -> FsResult<ConversionReserve> {
            let fs = sb.data();
            let blocks = if unwritten { CONVERT_NEW_MAX } else { 0 };
            let (groups, journal) = (fs.groups()?, fs.writing(sb)?);
            // Data that was acknowledged has to be written, also for a task that is being killed.
            // Without a reserve the conversion uses what is left for the super-user.
            groups
                .reserve_conversion(journal, blocks)
                .or_else(|_| groups.reserve_conversion(journal, 0))
        };
        let reserve = reserve().map_err(|e| Filesystem::errno(inode, "write back", e))?;
        Ok(Some(KBox::new(Completion(reserve), GFP_KERNEL)?))
    }

    fn complete(
        inode: &Inode<Self>,
        bytes: Range<u64>,
        unwritten: bool,
        completion: &mut Completion,
    ) -> Result {
        complete(inode, bytes, unwritten, completion)
            .map_err(|e| Filesystem::errno(inode, "complete writeback", e))
    }

    fn queue(inode: &Inode<Self>) -> &IoendQueue {
        &inode.data().ioends
    }
}

fn complete(
    inode: &Inode<Rext4>,
    bytes: Range<u64>,
    unwritten: bool,
    completion: &mut Completion,
) -> FsResult {
    let size = inode.super_block().data().layout.block_size();
    // The file may have been cut while this was under way.
    let end = i64::try_from(bytes.end)
        .unwrap_or(i64::MAX)
        .min(inode.size());
    if unwritten && !bytes.is_empty() {
        let block = |byte: u64| LogicalBlock(u32::try_from(byte).unwrap_or(u32::MAX));
        let first = block(bytes.start >> size.bits());
        let last = block(size.blocks_for(bytes.end));
        return convert::convert(inode, first..last, &mut completion.0, end);
    }
    convert::grow_on_disk(inode, end)
}
