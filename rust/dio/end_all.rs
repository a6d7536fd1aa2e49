// SPDX-License-Identifier: GPL-2.0

//! The end of several direct writes to one file that are ready together: their blocks are converted in
//! one transaction if they fit, and neighbours as one range.

use super::{alignment::ByteRange, io_end};
use crate::{
    error::FsResult,
    inode::{
        ahead,
        convert::{self, Parts},
        truncate,
    },
    mount::{counters::Count, Filesystem},
    vfs::{
        direct_io::{self, EndOfFile, Ended, TOGETHER},
        inode::Inode,
    },
    Rext4,
};

type Write = Option<Ended<Rext4>>;

/// Ends writes that are complete on the device, each with its own result.
pub(super) fn end_all(inode: &Inode<Rext4>, writes: &mut [Write]) {
    writes.sort_unstable_by_key(|write| write.as_ref().map(Ended::offset));
    count(inode, writes);
    convert(inode, writes);
    give_back_staged(inode, writes);
}

/// The same for writes at the end of a file, one behind the other. The file ends behind each that did
/// not fail, and loses what was allocated for one that did.
pub(super) fn end_appends(
    inode: &Inode<Rext4>,
    writes: &mut [Write],
    end_of_file: &EndOfFile<'_, Rext4>,
) {
    count(inode, writes);
    convert(inode, writes);
    give_back_staged(inode, writes);
    let mut all_whole = true;
    for write in writes.iter_mut().flatten() {
        let end = write.offset() + write.result().map_or(0, |bytes| bytes as i64);
        if write.result().is_ok() && write.io_end().is_none() {
            // All its blocks were written ones.
            if let Err(e) = convert::grow_on_disk(inode, end) {
                write.fail(Filesystem::errno(inode, "complete a direct write", e));
            }
        }
        if write.result().is_ok() && end > inode.size() {
            end_of_file.grow(end);
        }
        if end < write.asked_end() || write.result().is_err() {
            let lost = write
                .io_end()
                .map_or(Ok(()), |io_end| io_end::give_back(inode, io_end));
            // It is told that it failed, or how little was written. Recovery would take the blocks.
            all_whole &= lost.is_ok();
        }
    }
    // One that failed may have been converted in part, with a size on disk that covers it: a hole by now.
    let on_disk = inode.data().disk_size();
    if on_disk > inode.size() {
        end_of_file.grow(on_disk);
    }
    let has_ended = || end_of_file.is_alone();
    if !all_whole && has_ended() {
        ahead::forget(inode);
    }
    if all_whole {
        let reserve = writes.iter_mut().flatten().find_map(Ended::io_end);
        let reserve = reserve.map(io_end::IoEnd::reserve);
        let released = ahead::give_back(inode, reserve, has_ended)
            .and_then(|()| truncate::release_orphan_if(inode, has_ended));
        if let Err(e) = released {
            // The data is where it should be. Recovery would take what is behind it.
            let _ = Filesystem::errno(inode, "end the writes at the end of a file", e);
        }
    }
}

/// Frees what was staged for writes that have failed.
fn give_back_staged(inode: &Inode<Rext4>, writes: &mut [Write]) {
    for write in writes.iter_mut().flatten() {
        let given_back = write
            .io_end()
            .map_or(Ok(()), |io_end| io_end.give_back_staged(inode));
        if let Err(e) = given_back {
            write.fail(Filesystem::errno(inode, "complete a direct write", e));
        }
    }
}

fn convert(inode: &Inode<Rext4>, writes: &mut [Write]) {
    let Err(e) = convert_together(inode, writes) else {
        return;
    };
    if writes.len() > 1 {
        // Whose fault it was comes out one by one. To convert what is converted does no harm.
        writes.chunks_mut(1).for_each(|one| convert(inode, one));
        return;
    }
    let errno = Filesystem::errno(inode, "complete a direct write", e);
    writes
        .iter_mut()
        .flatten()
        .for_each(|write| write.fail(errno));
}

/// What a write has written, if it has to be converted.
fn written(inode: &Inode<Rext4>, write: &mut Ended<Rext4>) -> Option<ByteRange> {
    let size = inode.super_block().data().layout.block_size();
    write.io_end()?;
    // What failed is not converted: it reads as zeros, as before.
    ByteRange::new(write.offset(), write.result().ok()?, size)
}

fn count(inode: &Inode<Rext4>, writes: &mut [Write]) {
    let (mut failed, mut conversions, mut blocks) = (0, 0, 0);
    for write in writes.iter_mut().flatten() {
        failed += u64::from(write.result().is_err());
        if let Some(range) = written(inode, write) {
            conversions += 1;
            blocks += u64::from(range.blocks().end.0 - range.blocks().start.0);
        }
    }
    let counters = &inode.super_block().data().counters;
    counters.add(Count::FailedWrite, failed);
    counters.add(Count::Conversion, conversions);
    counters.add(Count::ConvertedBlock, blocks);
    if direct_io::is_deferred() {
        counters.add(Count::Deferred, conversions);
    }
    if conversions > 1 {
        counters.add(Count::Combined, conversions);
    }
}

/// Converts what writes, in the order of the file, have written.
fn convert_together(inode: &Inode<Rext4>, writes: &mut [Write]) -> FsResult {
    let mut parts = Parts::<TOGETHER>::new();
    for write in writes.iter_mut().flatten() {
        let (Some(bytes), Some(io_end)) = (written(inode, write), write.io_end()) else {
            continue;
        };
        if let Some(part) = io_end.part(bytes) {
            parts.add(part);
        }
    }
    match parts.get_mut() {
        // All is said by the device, even if the file system is down by now.
        [] => Ok(()),
        parts => convert::convert_all(inode, parts),
    }
}
