// SPDX-License-Identifier: GPL-2.0

//! What becomes of the resize inode when groups are added. How it is built is in
//! [`crate::disk::resize_inode`].
//!
//! It is changed in the inode table: nobody has it in memory.

use super::refuse;
use crate::{
    disk::{
        inode::{Inode, InodeFlags},
        layout::{InodePlace, Layout},
        resize_inode::{
            check_number, copies, index_in_top, numbers_per_block, set_number, top,
            ResizeInodeError,
        },
        units::{GroupNumber, InodeNumber, PhysicalBlock},
        Corrupt,
    },
    error::{FsError, FsResult, Shown},
    group::NewGroups,
    inode::load,
    mount::Filesystem,
    vfs::{buffer::Buffer, jbd2::Handle, super_block::SuperBlock},
    Rext4,
};
use kernel::{error::code, prelude::*};

/// The inode itself.
pub(super) struct OnDisk {
    /// The block of the inode table that holds it.
    table: Buffer,
    place: InodePlace,
    /// The block of blocks of numbers.
    pub(super) top: Buffer,
    /// The space that it uses, in units of 512 bytes.
    pub(super) sectors: u64,
}

impl OnDisk {
    /// Reads it.
    ///
    /// # Errors
    ///
    /// `EINVAL`, said in the log, if it is not as it should be; `EIO`.
    pub(super) fn read(sb: &SuperBlock<Rext4>) -> FsResult<Self> {
        let fs = sb.data();
        let (table, place) = load::table_block(sb, InodeNumber::RESIZE)?;
        let (sectors, top) = table.with(|block| -> FsResult<_> {
            let raw = Inode::in_block(block, &fs.layout, place).map_err(Corrupt::from)?;
            if let Some(seed) = fs.seed {
                raw.verify_checksum(raw.seed(seed, InodeNumber::RESIZE))
                    .map_err(Corrupt::from)?;
            }
            let top = match raw.flags().has(InodeFlags::EXTENTS) {
                true => Err(ResizeInodeError::Map),
                false => top(raw.block_area()),
            };
            Ok((raw.sectors(&fs.layout), top))
        })?;
        let system = fs.groups()?.system();
        let is_possible = |at| fs.layout.contains(at, 1) && system.check_foreign(at, 1).is_ok();
        let top = top.and_then(|at| match is_possible(at) {
            true => Ok(at),
            false => Err(ResizeInodeError::Map),
        });
        let top = top.map_err(|error| bad(sb, error))?;
        Ok(Self {
            table,
            place,
            top: Buffer::read(sb.device(), top.0, fs.layout.block_size().bytes())?,
            sectors,
        })
    }

    /// Asks for access to it, so that [`Self::edit`] has nothing left that can fail.
    pub(super) fn prepare(&self, handle: &Handle<'_>) -> FsResult {
        handle.write(&self.table)?;
        Ok(())
    }

    /// Changes it within a transaction. Needs a credit.
    pub(super) fn edit(
        &self,
        fs: &Filesystem,
        handle: &Handle<'_>,
        sectors: u64,
        change: impl FnOnce(&mut Inode<&mut [u8]>),
    ) -> FsResult {
        handle.write(&self.table)?.edit(|block| -> FsResult {
            let mut raw = Inode::in_block(block, &fs.layout, self.place).map_err(Corrupt::from)?;
            raw.set_sectors(&fs.layout, sectors)
                .map_err(Corrupt::from)?;
            change(&mut raw);
            if let Some(seed) = fs.seed {
                let seed = raw.seed(seed, InodeNumber::RESIZE);
                raw.update_checksum(seed);
            }
            Ok(())
        })?
    }
}

/// Says what is wrong with it, and gives the errno.
pub(super) fn bad(sb: &SuperBlock<Rext4>, error: ResizeInodeError) -> FsError {
    pr_warn!("({}): warning: {}; run e2fsck\n", sb.id(), Shown(&error));
    refuse(sb, code::EINVAL, "its resize inode is not as it should be")
}

/// The resize inode, and what of it changes when some groups are added.
pub(super) struct ResizeInode {
    inode: OnDisk,
    /// The block of the descriptors, by its number, that it gives away.
    given: Option<u32>,
    /// The blocks of numbers that it keeps, if they get more of these.
    kept: KVec<Buffer>,
    /// The copies that each of them has.
    copies: usize,
    /// The new groups with copies.
    new: KVec<GroupNumber>,
    /// The space that it uses after that.
    sectors: u64,
}

impl ResizeInode {
    /// Reads it, and checks all that is going to be changed.
    ///
    /// # Errors
    ///
    /// `EINVAL`, said in the log, if it is not as it should be; `ENOMEM`, `EIO`.
    pub(super) fn read(sb: &SuperBlock<Rext4>, groups: &NewGroups) -> FsResult<Self> {
        let (before, grown) = (&sb.data().layout, groups.grown());
        let mut this = Self {
            inode: OnDisk::read(sb)?,
            given: groups.new_descriptor_block(),
            kept: KVec::new(),
            copies: copies(before, before.group_count()).count(),
            new: KVec::new(),
            sectors: 0,
        };
        for group in groups
            .numbers()
            .filter(|&group| grown.has_superblock(group))
        {
            this.new.push(group, GFP_KERNEL)?;
        }
        if let Some(number) = this.given {
            this.numbers_of(sb, number)?;
        }
        let kept = grown.table_in_use()..grown.table_in_use() + grown.kept_for_descriptors();
        if !this.new.is_empty() {
            for number in kept.clone() {
                let block = this.numbers_of(sb, number)?;
                this.kept.push(block, GFP_KERNEL)?;
            }
        }
        let in_block = u64::from(grown.block_size().bytes() / 512);
        let given = this.given.map_or(0, |_| 1 + this.copies as u64) * in_block;
        let added = this.kept.len() as u64 * this.new.len() as u64 * in_block;
        let sectors = this.inode.sectors;
        this.sectors = sectors
            .checked_sub(given)
            .map(|rest| rest + added)
            .ok_or_else(|| bad(sb, ResizeInodeError::Sectors(sectors)))?;
        Ok(this)
    }

    /// The block that is kept for this block of descriptors, which has the numbers of its copies.
    fn numbers_of(&self, sb: &SuperBlock<Rext4>, number: u32) -> FsResult<Buffer> {
        let layout = &sb.data().layout;
        let at = in_table(layout, GroupNumber(0), number);
        let index = index_in_top(layout, number);
        self.inode
            .top
            .with(|numbers| check_number(numbers, index, at))
            .map_err(|error| bad(sb, error))?;
        let block = Buffer::read(sb.device(), at.0, layout.block_size().bytes())?;
        let check = |numbers: &[u8]| {
            let copies = copies(layout, layout.group_count());
            for (index, group) in copies.enumerate() {
                check_number(numbers, index, in_table(layout, group, number))?;
            }
            Ok(())
        };
        block.with(check).map_err(|error| bad(sb, error))?;
        if self.copies + self.new.len() > numbers_per_block(layout) {
            return Err(refuse(
                sb,
                code::EFBIG,
                "too many copies of the descriptors",
            ));
        }
        Ok(block)
    }

    /// The number of blocks that [`Self::change`] changes.
    pub(super) fn credits(&self) -> u32 {
        // As many as can be kept, which has 16 bits; the inode, and the block of all.
        self.kept.len() as u32 + 2
    }

    /// Gives away what it has for a new block of descriptors, and takes what is kept in new groups.
    ///
    /// The block that is given away is not changed here: it becomes one of descriptors.
    pub(super) fn change(
        &self,
        fs: &Filesystem,
        handle: &Handle<'_>,
        groups: &NewGroups,
    ) -> FsResult {
        let grown = groups.grown();
        if let Some(number) = self.given {
            let index = index_in_top(grown, number);
            handle
                .write(&self.inode.top)?
                .edit(|numbers| set_number(numbers, index, PhysicalBlock(0)))?;
        }
        for (number, block) in (grown.table_in_use()..).zip(&self.kept) {
            handle.write(block)?.edit(|numbers| {
                for (index, &group) in (self.copies..).zip(&self.new) {
                    set_number(numbers, index, in_table(grown, group, number));
                }
            })?;
        }
        self.inode.edit(fs, handle, self.sectors, |_| ())
    }
}

/// Where a group with a copy of the super block has the one of this block of descriptors.
fn in_table(layout: &Layout, group: GroupNumber, number: u32) -> PhysicalBlock {
    let first = match group.0 {
        0 => layout.superblock_at(),
        _ => layout.first_block(group),
    };
    PhysicalBlock(first.0 + 1 + u64::from(number))
}
