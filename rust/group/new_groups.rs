// SPDX-License-Identifier: GPL-2.0

//! New groups for a file system that is in use.
//!
//! In three steps:
//!
//! 1. [`Groups::prepare`] decides where the bitmaps and inode tables go, and writes what has to be there
//!    from the beginning. All of it lies behind the end of the file system, where nobody looks, so it goes
//!    past the journal.
//! 2. [`Groups::describe`] puts the descriptors into a transaction. It is the one in which the super block
//!    tells of the groups, so that after a crash there are all of them or none.
//! 3. [`Groups::publish`] has them used. Each array gets its new entries, which nobody looks at; then the
//!    number of blocks in the [`Layout`], from which everybody knows which groups there are; then the
//!    counts of what is free, which make somebody look for it.

use super::{
    descriptors::read_block, room::Has, search::length, system::tidy, GroupState, Groups, SHARDS,
};
use crate::{
    disk::{
        allocation::{
            free_in_unused_group, init_block_bitmap, runs_of_group, SystemMap, SystemRun,
        },
        bitmap::{self, BitmapMut},
        group_desc::{GroupDesc, GroupFlags, GroupPart},
        layout::Layout,
        packing::Packing,
        units::{GroupNumber, PhysicalBlock},
        Corrupt,
    },
    error::{FsError, FsResult},
    vfs::{block_device::BlockDevice, buffer::Buffer, jbd2::Handle, no_fs::NoFs},
};
use core::ops::Range;
use kernel::{prelude::*, sync::atomic::Relaxed};

/// One of them.
struct NewGroup {
    number: GroupNumber,
    /// Its block bitmap, inode bitmap and inode table.
    places: [PhysicalBlock; 3],
    free_blocks: u32,
    flags: GroupFlags,
}

/// Groups that are about to be added, with all that is on disk of them but the descriptors.
pub(crate) struct NewGroups {
    /// The geometry of the file system when it has them.
    grown: Layout,
    groups: KVec<NewGroup>,
    /// Their own blocks.
    system: KVVec<SystemRun>,
    /// The block that holds their descriptors, on the device.
    block: Buffer,
    /// What is to be there, where their descriptors are.
    content: KVec<u8>,
    place: Range<usize>,
}

impl NewGroups {
    /// The geometry of the file system when it has them.
    pub(crate) fn grown(&self) -> &Layout {
        &self.grown
    }

    /// Their numbers.
    pub(crate) fn numbers(&self) -> impl Iterator<Item = GroupNumber> + '_ {
        self.groups.iter().map(|group| group.number)
    }

    /// The free blocks in all of them.
    pub(crate) fn free_blocks(&self) -> u64 {
        let free = self.groups.iter().map(|group| u64::from(group.free_blocks));
        free.sum()
    }

    /// The blocks in all of them that can't hold data: those of the file system's own, and what is kept for
    /// more descriptors.
    pub(crate) fn own_blocks(&self) -> u64 {
        SystemMap::new(&self.system[..]).blocks()
    }

    /// The inodes in all of them, which are free.
    pub(crate) fn inodes(&self) -> u32 {
        // So many groups as have descriptors in a block; that the number of all inodes fits was checked.
        self.groups.len() as u32 * self.grown.inodes_per_group()
    }

    /// The number of the block of descriptors that has theirs, if it is a new one.
    pub(crate) fn new_descriptor_block(&self) -> Option<u32> {
        let first = self.numbers().next()?;
        let per_block = self.grown.descriptors_per_block();
        (first.0 % per_block == 0).then_some(first.0 / per_block)
    }

    /// Decides where the parts go.
    fn place_parts(&mut self, numbers: Range<u32>) -> FsResult {
        for number in numbers.clone() {
            self.groups.push(
                NewGroup {
                    number: GroupNumber(number),
                    places: [PhysicalBlock(0); 3],
                    free_blocks: 0,
                    flags: GroupFlags(0),
                },
                GFP_KERNEL,
            )?;
        }
        let together = self.grown.has_flexible_groups() && self.place_together(numbers);
        if !together && !self.place_apart() {
            return Err(FsError::NO_SPACE);
        }
        Ok(())
    }

    /// All block bitmaps, all inode bitmaps, all inode tables. Whether there is room for that.
    fn place_together(&mut self, numbers: Range<u32>) -> bool {
        let mut packing = Packing::new(&self.grown, numbers);
        for (part, count) in [1, 1, self.grown.inode_table_blocks()]
            .into_iter()
            .enumerate()
        {
            for group in &mut self.groups {
                match (packing.take(count), group.places.get_mut(part)) {
                    (Some(at), Some(place)) => *place = at,
                    _ => return false,
                }
            }
        }
        true
    }

    /// Each group's own in that group.
    fn place_apart(&mut self) -> bool {
        let table = self.grown.inode_table_blocks();
        for group in &mut self.groups {
            let number = group.number.0;
            let mut packing = Packing::new(&self.grown, number..number + 1);
            let places = (packing.take(1), packing.take(1), packing.take(table));
            let (Some(block_bitmap), Some(inode_bitmap), Some(table)) = places else {
                return false;
            };
            group.places = [block_bitmap, inode_bitmap, table];
        }
        true
    }

    /// Notes which blocks are in use, and which parts need not be written.
    fn count(&mut self, lazy: bool, zero_tables: bool) -> FsResult {
        let layout = &self.grown;
        let mut system = KVVec::new();
        for group in &self.groups {
            let mut desc = in_block(&mut self.content, layout, group.number)?;
            desc.set_places(group.places);
            desc.check(layout).map_err(Corrupt::from)?;
            for run in runs_of_group(layout, &desc) {
                system.push(run, GFP_KERNEL)?;
            }
        }
        self.system = tidy(system)?;
        let system = SystemMap::new(&self.system[..]);
        let last = self.groups.last().map(|group| group.number);
        for group in &mut self.groups {
            let blocks = layout.blocks_in_group(group.number);
            group.free_blocks = free_in_unused_group(layout, group.number, system);
            let fixed = layout.fixed_blocks(group.number);
            // Who makes a bitmap that was never written may know no more than what the group begins with,
            // and what it has for itself.
            let is_plain = !layout.has_flexible_groups() || blocks - group.free_blocks == fixed;
            // The last group of all has to have its bitmap, and after a crash it may be this one.
            let is_last = last == Some(group.number);
            let mut flags = 0;
            if lazy {
                flags |= GroupFlags::INODE_UNINIT;
            }
            if lazy && is_plain && !is_last {
                flags |= GroupFlags::BLOCK_UNINIT;
            }
            if zero_tables {
                flags |= GroupFlags::INODE_ZEROED;
            }
            group.flags = GroupFlags(flags);
            let inodes = layout.inodes_per_group();
            let mut desc = in_block(&mut self.content, layout, group.number)?;
            desc.set_free_blocks(group.free_blocks);
            desc.set_free_inodes(inodes);
            desc.set_unused_inodes(if lazy { inodes } else { 0 });
            desc.set_flags(group.flags);
        }
        Ok(())
    }
}

fn in_block<'a>(
    content: &'a mut [u8],
    layout: &Layout,
    group: GroupNumber,
) -> FsResult<GroupDesc<&'a mut [u8]>> {
    Ok(GroupDesc::in_block(content, layout, group).map_err(Corrupt::from)?)
}

impl Groups {
    /// Makes the groups up to block `end`, which begin where the file system ends and whose descriptors lie
    /// in one block. With `zero_tables` their inode tables are made zero, else that is left for later. Waits
    /// for the device; when it returns what was written is there, or in its cache.
    ///
    /// Called without locks and without a handle, by one task at a time.
    ///
    /// # Errors
    ///
    /// `EINVAL` if that is not so; `ENOSPC` if there is no room in them for their metadata; `ENOMEM`, `EIO`.
    /// Nothing has changed then that anybody looks at.
    pub(crate) fn prepare(
        &self,
        device: &BlockDevice,
        end: u64,
        zero_tables: bool,
    ) -> FsResult<NewGroups> {
        let grown = Layout::clone(&self.layout);
        let (first, full) = (grown.group_count(), grown.end_of_groups().0);
        if grown.blocks_count() != full || end <= full || !grown.extend(end) {
            return Err(EINVAL.into());
        }
        let numbers = first..grown.group_count();
        let per_block = grown.descriptors_per_block();
        let number = first / per_block;
        if (numbers.end - 1) / per_block != number {
            return Err(EINVAL.into());
        }
        let size = grown.descriptor_size() as usize;
        let start = (first % per_block) as usize * size;
        let mut new = NewGroups {
            block: read_block(device, &grown, number)?,
            content: KVec::from_elem(0, grown.block_size().size(), GFP_KERNEL)?,
            place: start..start + length(&numbers) as usize * size,
            groups: KVec::new(),
            system: KVVec::new(),
            grown,
        };
        new.place_parts(numbers)?;
        new.count(self.descriptors.has_lazy_parts(), zero_tables)?;
        self.write_parts(device, &mut new, zero_tables)?;
        for group in &new.groups {
            let mut desc = in_block(&mut new.content, &new.grown, group.number)?;
            self.descriptors.seal(&mut desc);
        }
        self.make_room(&new)?;
        Ok(new)
    }

    /// Writes the parts that have to be on the device, and notes the checksums of bitmaps.
    fn write_parts(
        &self,
        device: &BlockDevice,
        new: &mut NewGroups,
        zero_tables: bool,
    ) -> FsResult {
        let layout = &new.grown;
        let (size, inodes) = (layout.block_size(), layout.inodes_per_group());
        let mut bits = KVec::from_elem(0, size.size(), GFP_KERNEL)?;
        for group in &new.groups {
            let [block_bitmap, inode_bitmap, table] = group.places;
            if zero_tables {
                let (start, bytes) = (
                    table.0 << size.bits(),
                    u64::from(layout.inode_table_blocks()) << size.bits(),
                );
                device.write_zeroes(start, bytes)?;
                // What is in memory of the device there is older.
                device.drop_cached(start, bytes);
            }
            if !group.flags.has(GroupFlags::BLOCK_UNINIT) {
                let system = SystemMap::new(&new.system[..]);
                init_block_bitmap(&mut bits, layout, group.number, system);
                let part = (GroupPart::BlockBitmap, block_bitmap);
                self.write_bitmap(device, layout, group, &mut new.content, part, &bits)?;
            }
            if !group.flags.has(GroupFlags::INODE_UNINIT) {
                let mut bitmap = BitmapMut::new(&mut bits);
                bitmap.fill(0..inodes, false);
                bitmap.fill(inodes..size.bytes() * 8, true);
                let part = (GroupPart::InodeBitmap, inode_bitmap);
                self.write_bitmap(device, layout, group, &mut new.content, part, &bits)?;
            }
        }
        Ok(())
    }

    fn write_bitmap(
        &self,
        device: &BlockDevice,
        layout: &Layout,
        group: &NewGroup,
        content: &mut [u8],
        (part, at): (GroupPart, PhysicalBlock),
        bits: &[u8],
    ) -> FsResult {
        if let Some(seed) = self.descriptors.bitmap_seed() {
            let mut desc = in_block(content, layout, group.number)?;
            bitmap::update_checksum(seed, layout, &mut desc, part, bits).map_err(Corrupt::from)?;
        }
        let buffer = Buffer::read(device, at.0, layout.block_size().bytes())?;
        Ok(buffer.write_through(|bytes| bytes.copy_from_slice(bits))?)
    }

    /// Sees to it that [`Self::publish`] needs no memory.
    fn make_room(&self, new: &NewGroups) -> FsResult {
        self.descriptors.make_room(1)?;
        self.longest.make_room(new.groups.len())?;
        self.room.make_room(new.groups.len())?;
        self.system.make_room(new.system.len())?;
        for group in new.numbers() {
            let (shard, slot) = (group.0 as usize % SHARDS, group.0 as usize / SHARDS);
            let Some(shard) = self.shards.get(shard) else {
                continue;
            };
            let _no_fs = NoFs::new();
            let mut shard = shard.lock();
            // A try before this one, which came to nothing, may have made it.
            if shard.len() == slot {
                shard.push(GroupState::new(), GFP_KERNEL)?;
            }
        }
        Ok(())
    }

    /// Puts their descriptors into the transaction of the handle. Needs a credit.
    ///
    /// The block that holds them is all theirs if it is new, whatever was in it.
    ///
    /// # Errors
    ///
    /// Those of [`Handle::write`].
    pub(crate) fn describe(&self, handle: &Handle<'_>, new: &NewGroups) -> FsResult {
        let is_new = new.new_descriptor_block().is_some();
        handle.write(&new.block)?.edit(|bytes| {
            if is_new {
                bytes.fill(0);
            }
            let place = bytes.get_mut(new.place.clone());
            let content = new.content.get(new.place.clone());
            if let (Some(place), Some(content)) = (place, content) {
                place.copy_from_slice(content);
            }
        })?;
        Ok(())
    }

    /// Has them used, after they were [described](Self::describe). The super-user has `root` blocks for
    /// himself then.
    ///
    /// # Errors
    ///
    /// None but for what can't be, as there was room made for all.
    pub(crate) fn publish(&self, new: &NewGroups, root: u64) -> FsResult {
        if new.new_descriptor_block().is_some() {
            self.descriptors.add(new.block.clone())?;
        }
        for &run in &new.system {
            self.system.push(run)?;
        }
        for group in &new.groups {
            self.longest.add(group.free_blocks)?;
            self.room.add(Has {
                inodes: new.grown.inodes_per_group(),
                blocks: group.free_blocks,
                directories: 0,
            })?;
        }
        // Before somebody can take one of them.
        self.free_inodes.add(u64::from(new.inodes()), Relaxed);
        let end = new.grown.blocks_count();
        if !self.layout.extend(end) {
            return Err(EINVAL.into());
        }
        self.space.update(|ledger| {
            ledger.add(new.free_blocks(), root);
            ledger.grow(end);
        });
        Ok(())
    }

    /// Copies a block of the descriptors, as it is now, into `out`, which has the size of a block.
    ///
    /// # Errors
    ///
    /// `EINVAL` if there is no such block.
    pub(crate) fn copy_descriptors(&self, number: u32, out: &mut [u8]) -> FsResult {
        self.descriptors.copy(number, out)
    }
}
