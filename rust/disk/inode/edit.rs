// SPDX-License-Identifier: GPL-2.0

//! Changes to an inode.
//!
//! None of them brings the checksum up to date: that is done once, after the last change, by
//! [`Inode::update_checksum`].

use super::{
    DeviceNumber, ExtraField, Inode, InodeError, InodeFlags, Timestamp, BASE_SIZE, BLOCK_AREA_SIZE,
    EXTRA_SIZE,
};
use crate::disk::checksum::InodeSeed;
use crate::disk::layout::Layout;
use crate::disk::units::{InodeNumber, PhysicalBlock};
use zerocopy::SplitByteSliceMut;

impl<'a> Inode<&'a mut [u8]> {
    /// Makes `bytes`, all of them, an inode with all fields zero and room for all known fields,
    /// as far as it is large enough.
    ///
    /// # Errors
    ///
    /// [`InodeError::Short`].
    pub fn create(bytes: &'a mut [u8]) -> Result<Self, InodeError> {
        bytes.fill(0);
        let mut inode = Self::from_bytes(bytes)?;
        inode.set_extra_size(EXTRA_SIZE as u32);
        Ok(inode)
    }
}

impl<B: SplitByteSliceMut> Inode<B> {
    /// Has the fields behind the first 128 bytes take `size` bytes, and says whether the inode can: the
    /// size is a multiple of 4, not zero, and the inode is large enough.
    ///
    /// New fields, and all that lies behind the fields, become zero: attributes have to be written anew.
    pub fn set_extra_size(&mut self, size: u32) -> bool {
        let size = size as usize;
        if size == 0 || size > self.extra.len() || size % 4 != 0 {
            return false;
        }
        let kept = self.extra_size.min(size);
        self.extra.get_mut(kept..).unwrap_or_default().fill(0);
        self.extra_size = size;
        // An inode is not larger than a block.
        self.set_field(ExtraField::EXTRA_ISIZE, &(size as u16).to_le_bytes())
    }

    /// Makes the checksum that of the present content. `seed` is that of [`Inode::seed`].
    pub fn update_checksum(&mut self, seed: InodeSeed) {
        let checksum = self.compute_checksum(seed);
        // Each half has 16 bits.
        self.base.checksum.set(checksum as u16);
        let high = (checksum >> 16) as u16;
        self.set_field(ExtraField::CHECKSUM_HIGH, &high.to_le_bytes());
    }

    /// Sets a later field if the inode has it, and says whether it does.
    fn set_field(&mut self, field: ExtraField, value: &[u8]) -> bool {
        let Some(bytes) = self
            .extra
            .get_mut(..self.extra_size)
            .and_then(|fields| fields.get_mut(field.range()))
        else {
            return false;
        };
        for (to, from) in bytes.iter_mut().zip(value) {
            *to = *from;
        }
        true
    }

    /// Sets type and permissions.
    pub fn set_mode(&mut self, mode: u16) {
        self.base.mode.set(mode);
    }

    /// Sets the owner.
    pub fn set_uid(&mut self, uid: u32) {
        self.base.uid.set(uid as u16);
        self.base.uid_high.set((uid >> 16) as u16);
    }

    /// Sets the group of users.
    pub fn set_gid(&mut self, gid: u32) {
        self.base.gid.set(gid as u16);
        self.base.gid_high.set((gid >> 16) as u16);
    }

    /// Sets the number of links.
    pub fn set_links_count(&mut self, count: u16) {
        self.base.links_count.set(count);
    }

    /// Sets the size in bytes.
    pub fn set_size(&mut self, size: u64) {
        self.base.size.set(size as u32);
        self.base.size_high.set((size >> 32) as u32);
    }

    /// Sets the space that the inode uses on disk, in units of 512 bytes, and with it the flag
    /// [`InodeFlags::HUGE_FILE`].
    ///
    /// # Errors
    ///
    /// [`InodeError::TooManySectors`], with nothing changed.
    pub fn set_sectors(&mut self, layout: &Layout, sectors: u64) -> Result<(), InodeError> {
        let too_many = InodeError::TooManySectors(sectors);
        let (count, in_blocks) = if sectors >> 48 == 0 {
            (sectors, false)
        } else {
            (sectors >> (layout.block_size().bits() - 9), true)
        };
        let high = u16::try_from(count >> 32).map_err(|_| too_many)?;
        if high != 0 && !layout.has_huge_files() {
            return Err(too_many);
        }
        self.base.blocks.set(count as u32);
        self.base.blocks_high.set(high);
        let flags = self.flags();
        self.set_flags(if in_blocks {
            flags.with(InodeFlags::HUGE_FILE)
        } else {
            flags.without(InodeFlags::HUGE_FILE)
        });
        Ok(())
    }

    /// Sets the flags.
    pub fn set_flags(&mut self, flags: InodeFlags) {
        self.base.flags.set(flags.0);
    }

    /// Sets the number that tells this use of the inode from earlier ones. It is part of what all
    /// checksums that belong to the inode start from.
    pub fn set_generation(&mut self, generation: u32) {
        self.base.generation.set(generation);
    }

    /// Sets the number that grows with each change, as many bits of it as the inode holds.
    pub fn set_version(&mut self, version: u64) {
        self.base.version.set(version as u32);
        let high = (version >> 32) as u32;
        self.set_field(ExtraField::VERSION_HIGH, &high.to_le_bytes());
    }

    /// Sets the project, and says whether the inode has room for it.
    pub fn set_project(&mut self, project: u32) -> bool {
        self.set_field(ExtraField::PROJECT, &project.to_le_bytes())
    }

    /// Sets the block that holds extended attributes.
    pub fn set_xattr_block(&mut self, block: Option<PhysicalBlock>) {
        let block = block.map_or(0, |block| block.0);
        self.base.file_acl.set(block as u32);
        // 48 bits in all.
        self.base.file_acl_high.set((block >> 32) as u16);
    }

    /// Sets the time of the last access.
    pub fn set_atime(&mut self, time: Timestamp) {
        let seconds = self.set_extra_time(ExtraField::ATIME, time);
        self.base.atime.set(seconds);
    }

    /// Sets the time of the last change of the inode.
    pub fn set_ctime(&mut self, time: Timestamp) {
        let seconds = self.set_extra_time(ExtraField::CTIME, time);
        self.base.ctime.set(seconds);
    }

    /// Sets the time of the last change of the data.
    pub fn set_mtime(&mut self, time: Timestamp) {
        let seconds = self.set_extra_time(ExtraField::MTIME, time);
        self.base.mtime.set(seconds);
    }

    /// Sets the time of creation if the inode has room for it.
    pub fn set_crtime(&mut self, time: Timestamp) {
        let seconds = self.set_extra_time(ExtraField::CRTIME, time);
        self.set_field(ExtraField::CRTIME_SECONDS, &seconds.to_le_bytes());
    }

    /// Sets the later field of a time if the inode has it, and returns what belongs in the other.
    fn set_extra_time(&mut self, field: ExtraField, time: Timestamp) -> u32 {
        let (seconds, extra) = time.encode();
        if self.set_field(field, &extra.to_le_bytes()) {
            seconds
        } else {
            time.encode_short()
        }
    }

    /// Sets the time of deletion, in seconds since 1970.
    pub fn set_deletion_time(&mut self, time: u32) {
        self.base.dtime.set(time);
    }

    /// Sets the next inode in the list of orphans.
    pub fn set_next_orphan(&mut self, inode: Option<InodeNumber>) {
        self.base.dtime.set(inode.map_or(0, |inode| inode.0));
    }

    /// The 60 bytes of `i_block`, to change them.
    pub fn block_area_mut(&mut self) -> &mut [u8; BLOCK_AREA_SIZE] {
        &mut self.base.block
    }

    /// Stores the number of a device in `i_block`: in the older form where it fits that.
    pub fn set_device_number(&mut self, number: DeviceNumber) {
        let words = if number.is_old() && number.to_old() != 0 {
            [number.to_old(), 0]
        } else {
            [0, number.to_new()]
        };
        let area = self.block_area_mut();
        area.fill(0);
        for (to, from) in area.chunks_exact_mut(4).zip(words) {
            to.copy_from_slice(&from.to_le_bytes());
        }
    }

    /// Stores the text of a symbolic link in `i_block`, and its size.
    ///
    /// # Errors
    ///
    /// [`InodeError::SymlinkText`], with nothing changed, if it is empty, does not fit with a
    /// zero byte behind it, or has one in it.
    pub fn set_symlink_text(&mut self, text: &[u8]) -> Result<(), InodeError> {
        let bad = text.is_empty() || text.len() >= BLOCK_AREA_SIZE || text.contains(&0);
        if bad {
            return Err(InodeError::SymlinkText {
                size: text.len() as u64,
            });
        }
        let area = self.block_area_mut();
        area.fill(0);
        for (to, from) in area.iter_mut().zip(text) {
            *to = *from;
        }
        self.set_size(text.len() as u64);
        Ok(())
    }

    /// The bytes behind the fields, which hold extended attributes, to change them. `None` where
    /// [`Inode::xattr_area`] is.
    pub fn xattr_area_mut(&mut self) -> Option<&mut [u8]> {
        if self.extra_size == 0 {
            return None;
        }
        self.extra.get_mut(self.extra_size..)
    }
}

// A new inode's extra size is the size of the known fields, and they end where they should.
const _: () = assert!(ExtraField::PROJECT.range().end == EXTRA_SIZE && BASE_SIZE % 4 == 0);
