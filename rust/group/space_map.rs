// SPDX-License-Identifier: GPL-2.0

//! What the blocks of the device are used for, as far as the groups know: `FS_IOC_GETFSMAP`.

use super::{search::length, Groups};
use crate::{
    disk::units::{GroupNumber, PhysicalBlock},
    error::FsResult,
    vfs::{block_device::BlockDevice, jbd2::Journal, readdir::pause},
};
use core::ops::Range;
use kernel::prelude::*;

/// What a run of blocks is used for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Use {
    /// A super block.
    SuperBlock,
    /// Group descriptors.
    Descriptors,
    /// Kept for more of them.
    MoreDescriptors,
    /// A block bitmap.
    BlockBitmap,
    /// An inode bitmap.
    InodeBitmap,
    /// An inode table.
    Inodes,
    /// Nothing.
    Free,
    /// Files, directories, the journal.
    Other,
}

/// Blocks that have the same use.
#[derive(Clone, Copy)]
pub(crate) struct Part {
    /// The first block.
    pub(crate) start: u64,
    /// The block behind the last.
    pub(crate) end: u64,
    /// What for.
    pub(crate) what: Use,
}

/// Calls a function for one part after the other, joins those that belong together, and fills what
/// is between them.
struct Parts<'a> {
    /// Up to where all was told, or is in `last`.
    at: u64,
    last: Option<Part>,
    give: &'a mut dyn FnMut(Part) -> FsResult<bool>,
}

impl Parts<'_> {
    /// Takes the next part; whether to go on.
    fn push(&mut self, part: Part) -> FsResult<bool> {
        if let Some(last) = self.last.as_mut() {
            if last.what == part.what && last.end == part.start {
                last.end = part.end;
                self.at = self.at.max(part.end);
                return Ok(true);
            }
        }
        if !self.flush()? || !self.fill_to(part.start)? {
            return Ok(false);
        }
        self.at = self.at.max(part.end);
        self.last = Some(part);
        Ok(true)
    }

    fn flush(&mut self) -> FsResult<bool> {
        match self.last.take() {
            Some(part) => (self.give)(part),
            None => Ok(true),
        }
    }

    /// Tells what lies before `to` and was not told, which nobody else knows.
    fn fill_to(&mut self, to: u64) -> FsResult<bool> {
        let (start, what) = (self.at, Use::Other);
        if start >= to {
            return Ok(true);
        }
        self.at = to;
        (self.give)(Part {
            start,
            end: to,
            what,
        })
    }
}

impl Groups {
    /// Calls `give` for all parts of `blocks`, in order, until it says that it is enough. Parts of
    /// the file system's own come whole, also where only a part of them lies in `blocks`.
    ///
    /// Blocks that were freed count as used until that is committed. Called without locks and
    /// without a handle, as `give` is.
    ///
    /// # Errors
    ///
    /// Those of reading bitmaps and of `give`; `EINTR` if the process is being killed.
    pub(crate) fn space_map(
        &self,
        device: &BlockDevice,
        journal: Option<&Journal>,
        blocks: Range<PhysicalBlock>,
        give: &mut dyn FnMut(Part) -> FsResult<bool>,
    ) -> FsResult {
        if let Some(journal) = journal {
            self.release_freed(journal)?;
        }
        let own = self.own_parts()?;
        let mut own = own
            .iter()
            .copied()
            .filter(|part| part.end > blocks.start.0 && part.start < blocks.end.0)
            .peekable();
        let mut unused = KVec::from_elem(0, self.layout.block_size().size(), GFP_KERNEL)?;
        let mut parts = Parts {
            at: blocks.start.0,
            last: None,
            give,
        };
        // Block 0 belongs to no group where blocks have 1 KiB.
        let mut at = blocks.start.max(self.layout.first_data_block());
        while at < blocks.end {
            let (group, first) = self.layout.group_of_block(at).ok_or(EINVAL)?;
            let start = self.layout.first_block(group).0;
            let in_group = self.layout.blocks_in_group(group);
            let left = u32::try_from(blocks.end.0 - start).unwrap_or(u32::MAX);
            let mut rest = first..in_group.min(left);
            while let Some(run) = self.free_run(device, group, rest.clone(), &mut unused)? {
                let free = Part {
                    start: start + u64::from(run.start),
                    end: start + u64::from(run.end),
                    what: Use::Free,
                };
                while let Some(part) = own.next_if(|part| part.start < free.start) {
                    if !parts.push(part)? {
                        return Ok(());
                    }
                }
                if !parts.push(free)? {
                    return Ok(());
                }
                rest.start = run.end;
                pause()?;
            }
            at = PhysicalBlock(start + u64::from(in_group));
            pause()?;
        }
        for part in own {
            if !parts.push(part)? {
                return Ok(());
            }
        }
        if parts.flush()? {
            parts.fill_to(blocks.end.0)?;
        }
        Ok(())
    }

    /// The next free run in a range of a group.
    fn free_run(
        &self,
        device: &BlockDevice,
        group: GroupNumber,
        range: Range<u32>,
        unused: &mut [u8],
    ) -> FsResult<Option<Range<u32>>> {
        if length(&range) == 0 {
            return Ok(None);
        }
        let state = self.lock(group)?;
        self.next_free(device, &state, group, range, 1, unused)
    }

    /// The file system's own blocks, in order.
    fn own_parts(&self) -> FsResult<KVVec<Part>> {
        let mut parts = KVVec::new();
        for group in self.layout.groups() {
            let summary = self.summary(group)?;
            let mut start = self.layout.first_block(group).0;
            let mut add = |start: u64, count: u32, what| {
                let end = start + u64::from(count);
                if end == start {
                    return Ok(end);
                }
                parts.push(Part { start, end, what }, GFP_KERNEL)?;
                Ok::<_, Error>(end)
            };
            let fixed = self.layout.fixed_parts(group);
            start = add(start, fixed.superblock, Use::SuperBlock)?;
            start = add(start, fixed.descriptors, Use::Descriptors)?;
            add(start, fixed.reserved, Use::MoreDescriptors)?;
            add(summary.block_bitmap.0, 1, Use::BlockBitmap)?;
            add(summary.inode_bitmap.0, 1, Use::InodeBitmap)?;
            let table = self.layout.inode_table_blocks();
            add(summary.inode_table.0, table, Use::Inodes)?;
        }
        parts.sort_unstable_by_key(|part| part.start);
        // Joined as they are shown, before any is left out.
        let mut kept = 0;
        for index in 1..parts.len() {
            let next = parts.get(index).copied();
            let (Some(next), Some(last)) = (next, parts.get_mut(kept)) else {
                break;
            };
            if last.what == next.what && last.end == next.start {
                last.end = next.end;
                continue;
            }
            kept += 1;
            if let Some(place) = parts.get_mut(kept) {
                *place = next;
            }
        }
        parts.truncate(kept + 1);
        Ok(parts)
    }
}
