// SPDX-License-Identifier: GPL-2.0

//! The check of the super block's fields against each other, which makes a [`Layout`] of them.

use super::{Superblock, SuperblockError as Error, DYNAMIC_REVISION, SUPERBLOCK_OFFSET};
use crate::disk::features::Feature;
use crate::disk::inode::EXTRA_SIZE;
use crate::disk::layout::{Backups, BlocksCount, Layout};
use crate::disk::units::{BlockSize, InodeNumber, PhysicalBlock};

/// Inodes of the first revision.
pub(super) const OLD_INODE_SIZE: u16 = 128;
/// The first inode that is not reserved, in the first revision and at least in later ones.
pub(super) const OLD_FIRST_INODE: u32 = 11;
/// Group descriptors without `64bit`.
const SHORT_DESCRIPTOR: u16 = 32;
/// Group descriptors with `64bit`, at least and at most.
const LONG_DESCRIPTOR: core::ops::RangeInclusive<u16> = 64..=1024;
/// The largest `s_log_cluster_size`: clusters of 1 GiB.
const MAX_LOG_CLUSTER_SIZE: u32 = 20;

impl Superblock {
    /// Checks all fields that the place of anything follows from, and returns what follows.
    ///
    /// Features that rext4 does not know must have been looked at before: they may change what
    /// the fields mean. The size of the device is not known here and is left to the caller.
    ///
    /// # Errors
    ///
    /// The first thing found wrong, by the field's name.
    pub fn layout(&self) -> Result<Layout, Error> {
        let features = self.features();
        if self.rev_level.get() > DYNAMIC_REVISION {
            return Err(Error::Revision(self.rev_level.get()));
        }

        let block_size = self.block_size()?;
        let cluster_bits = self.cluster_bits(block_size)?;
        let first_data_block = self.checked_first_data_block(block_size, cluster_bits)?;
        let blocks_count = self.checked_blocks_count(block_size, first_data_block)?;
        let (inode_size, first_inode) = self.checked_inode_size(block_size)?;
        let blocks_per_group = self.checked_blocks_per_group(block_size, cluster_bits)?;
        let inodes_per_group = self.checked_inodes_per_group(block_size, inode_size)?;
        let descriptor_size = self.checked_descriptor_size()?;
        // The size is a power of two not larger than the smallest block.
        let descriptors_per_block = block_size.bytes() / u32::from(descriptor_size);

        // The first data block is less than the number of blocks.
        let group_count =
            (blocks_count - u64::from(first_data_block)).div_ceil(u64::from(blocks_per_group));
        // Small enough that rounding up to whole blocks of descriptors fits 32 bits.
        let group_count = u32::try_from(group_count)
            .ok()
            .filter(|&count| count <= u32::MAX - descriptors_per_block)
            .ok_or(Error::GroupCount(group_count))?;

        let expected = u64::from(group_count) * u64::from(inodes_per_group);
        let inodes_count = self.inodes_count.get();
        if u64::from(inodes_count) != expected {
            return Err(Error::InodesCount {
                stored: inodes_count,
                expected,
            });
        }
        if first_inode > inodes_count {
            return Err(Error::FirstInode(first_inode));
        }

        let reserved_gdt_blocks = self.reserved_gdt_blocks.get();
        if u32::from(reserved_gdt_blocks) > block_size.bytes() / 4 {
            return Err(Error::ReservedGdtBlocks(reserved_gdt_blocks));
        }

        let descriptor_blocks = group_count.div_ceil(descriptors_per_block);
        let reserved = u32::from(reserved_gdt_blocks);
        // What was kept for more descriptors becomes descriptors when the file system grows, and they
        // lie elsewhere from then on.
        let (first_meta_group, table_blocks) = if features.has(Feature::META_BG) {
            let first = self.first_meta_bg.get();
            if first > descriptor_blocks {
                return Err(Error::FirstMetaGroup(first));
            }
            (first, first.saturating_add(reserved))
        } else {
            let all = descriptor_blocks.saturating_add(reserved);
            (all, all)
        };

        let superblock_at = PhysicalBlock(SUPERBLOCK_OFFSET >> block_size.bits());
        // The table that starts behind the super block must end within the first group. What
        // meta_bg spreads over the groups does not count.
        let first_group_end = u64::from(first_data_block) + u64::from(blocks_per_group);
        let table_end = superblock_at.0 + 1 + u64::from(table_blocks);
        if table_end > first_group_end.min(blocks_count) {
            return Err(Error::DescriptorBlocks(table_blocks.into()));
        }

        if self.reserved_blocks_count() > blocks_count {
            return Err(Error::ReservedBlocks(self.reserved_blocks_count()));
        }
        self.check_special_inodes(inodes_count)?;

        let backups = if features.has(Feature::SPARSE_SUPER2) {
            Backups::Two(self.backup_bgs.map(|group| group.get()))
        } else if features.has(Feature::SPARSE_SUPER) {
            Backups::Sparse
        } else {
            Backups::Everywhere
        };

        Ok(Layout {
            block_size,
            cluster_bits,
            blocks_count: BlocksCount::new(blocks_count),
            first_data_block,
            blocks_per_group,
            inodes_per_group,
            first_inode,
            journal_inode: self.journal_inode().map_or(0, |inode| inode.0),
            hidden_files: [
                self.usr_quota_inum.get(),
                self.grp_quota_inum.get(),
                self.prj_quota_inum.get(),
                self.orphan_file_inum.get(),
            ],
            inode_size,
            inode_extra_size: self.inode_extra_size(inode_size),
            inode_min_extra_size: self.inode_min_extra_size(inode_size),
            descriptor_size,
            first_meta_group,
            table_blocks,
            has_flexible_groups: features.has(Feature::FLEX_BG),
            has_long_block_numbers: features.has(Feature::SIXTY_FOUR_BIT),
            has_large_directories: features.has(Feature::LARGE_DIR),
            has_huge_files: features.has(Feature::HUGE_FILE),
            groups_per_flex_bits: self.groups_per_flex_bits(),
            backups,
            superblock_at,
        })
    }

    /// How many bits a cluster's number has less than a block's: zero without `bigalloc`.
    fn cluster_bits(&self, block_size: BlockSize) -> Result<u32, Error> {
        let log = self.log_cluster_size.get();
        let bad = Error::LogClusterSize(log);
        // The block size was checked, so its logarithm is small.
        let bits = log.checked_sub(self.log_block_size.get()).ok_or(bad)?;
        let bigalloc = self.features().has(Feature::BIGALLOC);
        if log > MAX_LOG_CLUSTER_SIZE || (bits != 0 && !bigalloc) {
            return Err(bad);
        }
        // Also what keeps a group of clusters of blocks within 32 bits of blocks.
        if bits + block_size.bits() + 3 > 31 {
            return Err(bad);
        }
        Ok(bits)
    }

    fn checked_first_data_block(&self, size: BlockSize, cluster_bits: u32) -> Result<u32, Error> {
        // With blocks of 1 KiB the boot block lies before the first group, but for bigalloc.
        let expected = u32::from(size == BlockSize::MIN && cluster_bits == 0);
        match self.first_data_block.get() {
            block if block == expected => Ok(block),
            block => Err(Error::FirstDataBlock(block)),
        }
    }

    fn checked_blocks_count(&self, size: BlockSize, first_data_block: u32) -> Result<u64, Error> {
        let count = self.blocks_count();
        // All of it must be addressable with signed offsets, as the kernel's are.
        let addressable = size
            .byte_of_physical(PhysicalBlock(count))
            .is_some_and(|bytes| i64::try_from(bytes).is_ok());
        if !addressable || count <= u64::from(first_data_block) {
            return Err(Error::BlocksCount(count));
        }
        Ok(count)
    }

    fn checked_inode_size(&self, block_size: BlockSize) -> Result<(u16, u32), Error> {
        if self.is_old_revision() {
            return Ok((OLD_INODE_SIZE, OLD_FIRST_INODE));
        }
        let size = self.inode_size.get();
        let fits = size >= OLD_INODE_SIZE && u32::from(size) <= block_size.bytes();
        if !fits || !size.is_power_of_two() {
            return Err(Error::InodeSize(size));
        }
        if self.features().has(Feature::EXTRA_ISIZE) {
            let room = size - OLD_INODE_SIZE;
            for extra in [self.min_extra_isize.get(), self.want_extra_isize.get()] {
                if extra > room {
                    return Err(Error::ExtraInodeSize(extra));
                }
            }
        }
        let first = self.first_ino.get();
        if first < OLD_FIRST_INODE {
            return Err(Error::FirstInode(first));
        }
        Ok((size, first))
    }

    /// What inodes should keep for fields behind the first 128 bytes. The sizes were checked.
    fn inode_extra_size(&self, inode_size: u16) -> u16 {
        if inode_size == OLD_INODE_SIZE {
            return 0;
        }
        let known = EXTRA_SIZE as u16;
        if !self.features().has(Feature::EXTRA_ISIZE) {
            return known;
        }
        let asked = self.want_extra_isize.get().max(self.min_extra_isize.get());
        // Attributes begin at a multiple of 4.
        known.max(asked & !3)
    }

    /// What they should keep at least.
    fn inode_min_extra_size(&self, inode_size: u16) -> u16 {
        if inode_size == OLD_INODE_SIZE || !self.features().has(Feature::EXTRA_ISIZE) {
            return 0;
        }
        self.min_extra_isize.get() & !3
    }

    fn checked_blocks_per_group(&self, size: BlockSize, cluster_bits: u32) -> Result<u32, Error> {
        let blocks = self.blocks_per_group.get();
        // One block is the bitmap of a group, with a bit for each cluster.
        let bits = size.bytes() * 8;
        let clusters = blocks >> cluster_bits;
        if clusters == 0
            || clusters > bits
            || clusters % 8 != 0
            || clusters << cluster_bits != blocks
        {
            return Err(Error::BlocksPerGroup(blocks));
        }
        match self.clusters_per_group.get() {
            stored if stored == clusters => Ok(blocks),
            stored => Err(Error::ClustersPerGroup(stored)),
        }
    }

    fn checked_inodes_per_group(&self, size: BlockSize, inode_size: u16) -> Result<u32, Error> {
        let inodes = self.inodes_per_group.get();
        let per_block = size.bytes() / u32::from(inode_size);
        let bits = size.bytes() * 8;
        if inodes == 0 || inodes > bits || inodes % 8 != 0 || inodes % per_block != 0 {
            return Err(Error::InodesPerGroup(inodes));
        }
        Ok(inodes)
    }

    fn checked_descriptor_size(&self) -> Result<u16, Error> {
        if !self.features().has(Feature::SIXTY_FOUR_BIT) {
            return Ok(SHORT_DESCRIPTOR);
        }
        let size = self.desc_size.get();
        if !LONG_DESCRIPTOR.contains(&size) || !size.is_power_of_two() {
            return Err(Error::DescriptorSize(size));
        }
        Ok(size)
    }

    fn check_special_inodes(&self, inodes_count: u32) -> Result<(), Error> {
        let features = self.features();
        let exists = |inode: InodeNumber| (1..=inodes_count).contains(&inode.0);
        if features.has(Feature::HAS_JOURNAL) {
            match (self.journal_inode(), self.journal_device()) {
                (None, None) => return Err(Error::NoJournal),
                (Some(_), Some(_)) => return Err(Error::TwoJournals),
                (Some(inode), None) if !exists(inode) => return Err(Error::JournalInode(inode.0)),
                _ => {}
            }
        }
        if features.has(Feature::ORPHAN_FILE) {
            let inode = InodeNumber(self.orphan_file_inum.get());
            if !exists(inode) {
                return Err(Error::OrphanFileInode(inode.0));
            }
        }
        Ok(())
    }

    /// A size that is out of range means no flexible groups, as in C ext4.
    fn groups_per_flex_bits(&self) -> u32 {
        let bits = u32::from(self.log_groups_per_flex);
        if self.features().has(Feature::FLEX_BG) && bits < u32::BITS {
            bits
        } else {
            0
        }
    }
}
