// SPDX-License-Identifier: GPL-2.0

//! What a direct write takes along from its submission to its completion, and what is done then.
//!
//! An [`IoEnd`] is made in [`super::get_block`] when the first block turns up that is not written
//! yet, travels with the request, and is consumed here. Nothing else refers to it: see
//! [`crate::vfs::direct_io`].

use super::{alignment::ByteRange, claim::Waiting};
use crate::{
    disk::units::LogicalBlock,
    error::{FsError, FsResult},
    group::ConversionReserve,
    inode::{
        ahead,
        convert::{self, Part},
        size,
        staged::{self, StagedRun},
        truncate,
    },
    mount::{counters::Count, Filesystem},
    vfs::{
        direct_io,
        inode::{ExclusiveLock, Inode},
        jbd2::Journal,
    },
    Rext4,
};
use core::ops::Range;
use kernel::{error::code, prelude::*};

/// What a write needs when its data is on the device.
pub(crate) struct IoEnd {
    /// For what the conversion may have to allocate: it can't meet a full disk.
    reserve: ConversionReserve,
    /// What was allocated beyond the end of the file for this write, in order.
    beyond_end: KVec<Range<LogicalBlock>>,
    /// Whether a hole was filled for this write.
    has_filled: bool,
    /// Whether it writes to blocks that are unwritten in the tree, if that is of interest.
    has_unwritten: bool,
    /// Whether it is to be there as a whole or not at all.
    is_whole: bool,
    /// The run that was [staged] for this write. If there is one, nothing else of it is to be made written.
    staged: Option<StagedRun>,
}

impl IoEnd {
    /// Reserves what a conversion can need. Waits if others have it; to be called without a handle.
    ///
    /// # Errors
    ///
    /// `ENOSPC`, `ERESTARTSYS`: see [`crate::group::Groups::reserve_conversion`]. If waiting is forbidden, `EAGAIN`
    /// if there is not as much.
    pub(crate) fn new(inode: &Inode<Rext4>, journal: &Journal, waiting: Waiting) -> FsResult<Self> {
        let groups = inode.super_block().data().groups()?;
        let nodes = convert::new_nodes(inode);
        let reserve = match waiting {
            Waiting::Allowed => groups.reserve_conversion(journal, nodes)?,
            Waiting::Forbidden => {
                let reserve = groups.try_reserve_conversion(nodes);
                reserve.ok_or(FsError::Kernel(code::EAGAIN))?
            }
        };
        Ok(Self {
            reserve,
            beyond_end: KVec::new(),
            has_filled: false,
            has_unwritten: false,
            is_whole: false,
            staged: None,
        })
    }

    /// For what the conversion may have to allocate.
    pub(super) fn reserve(&mut self) -> &mut ConversionReserve {
        &mut self.reserve
    }

    /// Notes that a hole was filled.
    pub(super) fn note_filled(&mut self) {
        self.has_filled = true;
    }

    /// Whether one was.
    pub(super) fn has_filled(&self) -> bool {
        self.has_filled
    }

    /// Notes that it writes to unwritten blocks, so that nothing can be staged for it any more.
    pub(super) fn note_unwritten(&mut self) {
        self.has_unwritten = true;
    }

    /// Whether blocks can be staged for it.
    pub(super) fn may_stage(&self) -> bool {
        !self.has_filled && !self.has_unwritten && self.staged.is_none()
    }

    /// Notes what was staged for it: all that it writes to that is not written yet.
    pub(super) fn note_staged(&mut self, run: StagedRun) {
        self.staged = Some(run);
    }

    /// What was staged for it.
    pub(super) fn staged(&self) -> Option<&StagedRun> {
        self.staged.as_ref()
    }

    /// Notes that this is in the tree, like all else that it is to make written.
    pub(super) fn forget_staged(&mut self) {
        self.staged = None;
    }

    /// Notes that it is to be there as a whole or not at all: it is not converted together with others.
    pub(super) fn note_whole(&mut self) {
        self.is_whole = true;
    }

    /// What has to become written, when these bytes are on the device.
    pub(super) fn part(&mut self, bytes: ByteRange) -> Option<Part<'_>> {
        let mut range = bytes.blocks();
        if let Some(run) = &self.staged {
            range = run.part(&range)?.blocks();
        }
        Some(Part {
            range,
            end: bytes.end() as i64,
            staged: self.staged,
            reserve: &mut self.reserve,
            is_whole: self.is_whole,
        })
    }

    /// Frees what was staged and did not become written.
    pub(super) fn give_back_staged(&mut self, inode: &Inode<Rext4>) -> FsResult {
        let staged = self.staged.take();
        staged.map_or(Ok(()), |run| staged::give_back(inode, &run))
    }

    /// Makes room for so many more calls of [`Self::note_beyond_end`], which come when it is too late
    /// to fail.
    pub(super) fn make_room(&mut self, calls: usize) -> FsResult {
        Ok(self.beyond_end.reserve(calls, GFP_KERNEL)?)
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
    let block_size = fs.layout.block_size();
    let written = result.unwrap_or(0);
    // What failed is not converted: it reads as zeros, as before. What must not wait is tried again.
    if result.is_err_and(|e| e != code::EAGAIN) {
        fs.counters.add(Count::FailedWrite, 1);
    }
    let range = ByteRange::new(offset, written, block_size);
    let mut io_end = io_end.map(KBox::into_inner);
    // Only a growing write ends beyond the end of the file, and truncation waits for all.
    let end = range.map_or(0, |range| range.end() as i64);
    let converted = match (&mut io_end, range) {
        (Some(io_end), Some(range)) => {
            let blocks = range.blocks();
            fs.counters.add(Count::Conversion, 1);
            fs.counters.add(
                Count::ConvertedBlock,
                u64::from(blocks.end.0 - blocks.start.0),
            );
            if growing.is_none() && direct_io::is_deferred() {
                fs.counters.add(Count::Deferred, 1);
            }
            // The size on disk can be behind the file's, when what makes the difference is in the
            // page cache; what is acknowledged here must not be beyond it.
            match io_end.part(range) {
                Some(part) => convert::convert_all(inode, &mut [Some(part)]),
                None => Ok(()),
            }
        }
        // Over written blocks beyond the end there is the size alone to be changed.
        (None, Some(_)) if growing.is_some() => convert::grow_on_disk(inode, end),
        _ => Ok(()),
    };
    let unstaged = io_end
        .as_mut()
        .map_or(Ok(()), |io_end| io_end.give_back_staged(inode));
    let converted = converted.and(unstaged);
    let Some(lock) = growing else {
        return converted;
    };
    let cleared = if result.is_err() && inode.size() > offset - i64::from(block_size.bytes()) {
        // Some of it may be on the device, in a block that was written before: behind the end there are
        // to be zeros.
        size::clear_behind_end(inode, lock, i64::MAX)
    } else {
        Ok(())
    };
    // An error may have come after a part was converted, with the size on disk that covers it.
    let end = match converted {
        Ok(()) => end,
        Err(_) => inode.data().disk_size(),
    };
    if end > inode.size() {
        size::grow_written(inode, lock, offset, end);
    }
    let given_back = io_end
        .as_mut()
        .map_or(Ok(()), |io_end| give_back(inode, io_end))
        // Nobody else can be at the end of the file.
        .and_then(|()| {
            let reserve = io_end.as_mut().map(|io_end| &mut io_end.reserve);
            ahead::give_back(inode, reserve, || true)
        })
        .and_then(|()| truncate::release_orphan(inode));
    if let Err(e) = given_back {
        ahead::forget(inode);
        if converted.is_ok() && written > 0 {
            // The data is in the file. Recovery would take what is behind it.
            let _ = Filesystem::errno(inode, "end a write at the end of a file", e);
            return cleared;
        }
        return converted.and(cleared).and(Err(e));
    }
    converted.and(cleared)
}

/// The end of a write beyond the end of the file: it loses what was allocated but not written.
pub(super) fn give_back(inode: &Inode<Rext4>, io_end: &mut IoEnd) -> FsResult {
    let size = inode.super_block().data().layout.block_size();
    let used = size.blocks_for(u64::try_from(inode.size()).unwrap_or(0));
    let used = LogicalBlock(u32::try_from(used).unwrap_or(u32::MAX));
    for range in &io_end.beyond_end {
        let unused = range.start.max(used)..range.end;
        if unused.start < unused.end {
            truncate::remove(inode, unused, Some(&mut io_end.reserve))?;
        }
    }
    Ok(())
}
