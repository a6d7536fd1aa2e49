// SPDX-License-Identifier: GPL-2.0

//! Where things lie: the geometry of a file system.
//!
//! A [`Layout`] is made from a super block whose fields were checked against each other
//! ([`Superblock::layout`](super::superblock::Superblock::layout)). While the file system is mounted
//! one thing can change: it gets more blocks behind its end ([`Layout::extend`]), and what follows from
//! their number changes with it at the same moment: the number of groups, of inodes, of blocks of
//! descriptors. So the arithmetic here cannot overflow, and what is still checked is what comes from
//! outside: the numbers of blocks, groups and inodes.
//!
//! Source: `Documentation/filesystems/ext4/blockgroup.rst`, `bigalloc.rst` and
//! `special_inodes.rst` in the kernel.

mod growth;
mod kept;

use super::mmp::MmpError;
use super::units::{BlockSize, GroupNumber, InodeNumber, PhysicalBlock};
use core::sync::atomic::{AtomicU64, Ordering};

/// Which groups begin with a copy of the super block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Backups {
    /// All of them.
    Everywhere,
    /// 0, 1 and the powers of 3, 5 and 7: `sparse_super`.
    Sparse,
    /// 0 and these two, where zero means none: `sparse_super2`.
    Two([u32; 2]),
}

/// The number of all blocks. It only grows.
#[derive(Debug)]
pub(super) struct BlocksCount(AtomicU64);

impl BlocksCount {
    pub(super) const fn new(count: u64) -> Self {
        Self(AtomicU64::new(count))
    }

    fn get(&self) -> u64 {
        self.0.load(Ordering::Acquire)
    }
}

impl Clone for BlocksCount {
    fn clone(&self) -> Self {
        Self::new(self.get())
    }
}

impl PartialEq for BlocksCount {
    fn eq(&self, other: &Self) -> bool {
        self.get() == other.get()
    }
}

impl Eq for BlocksCount {}

/// The geometry of a file system.
///
/// A clone does not see what becomes of the other: a mount has one, which is shared.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layout {
    pub(super) block_size: BlockSize,
    /// A cluster has `1 << cluster_bits` blocks.
    pub(super) cluster_bits: u32,
    pub(super) blocks_count: BlocksCount,
    pub(super) first_data_block: u32,
    pub(super) blocks_per_group: u32,
    pub(super) inodes_per_group: u32,
    pub(super) first_inode: u32,
    /// The files of the file system's own that are not among the reserved inodes; zero for none.
    pub(super) hidden_files: [u32; 4],
    /// The inode of the journal; zero if there is none.
    pub(super) journal_inode: u32,
    pub(super) inode_size: u16,
    /// What inodes should have behind the first 128 bytes before their attributes.
    pub(super) inode_extra_size: u16,
    /// What they should have at least.
    pub(super) inode_min_extra_size: u16,
    pub(super) descriptor_size: u16,
    /// The first block of descriptors that lies in the groups it describes, with `meta_bg`. Without
    /// that it is the first for which there is no room behind the super block: what is kept for more
    /// of them is used up then.
    pub(super) first_meta_group: u32,
    /// The blocks behind the super block for descriptors, used or kept for more of them.
    pub(super) table_blocks: u32,
    pub(super) has_flexible_groups: bool,
    pub(super) has_long_block_numbers: bool,
    pub(super) has_large_directories: bool,
    pub(super) has_huge_files: bool,
    pub(super) groups_per_flex_bits: u32,
    pub(super) backups: Backups,
    pub(super) superblock_at: PhysicalBlock,
}

/// Where an inode lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InodePlace {
    /// The group that it belongs to.
    pub group: GroupNumber,
    /// Its bit in the group's inode bitmap, and its place in the group's inode table.
    pub index: u32,
    /// The block that holds it, counted from the start of the group's inode table.
    pub block: u32,
    /// Where in that block it starts, in bytes.
    pub offset: u32,
}

/// Where a group descriptor lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DescriptorPlace {
    /// The number of the block among the blocks of descriptors: see
    /// [`Layout::descriptor_block`].
    pub block: u32,
    /// Where in that block it starts, in bytes.
    pub offset: u32,
}

impl Layout {
    /// The size of a block.
    pub const fn block_size(&self) -> BlockSize {
        self.block_size
    }

    /// The number of blocks of a cluster, the unit of the block bitmap: 1 without `bigalloc`.
    pub const fn blocks_per_cluster(&self) -> u32 {
        1 << self.cluster_bits
    }

    /// The number of all blocks, the boot block included.
    pub fn blocks_count(&self) -> u64 {
        self.blocks_count.get()
    }

    /// The first block of the first group: 1 with blocks of 1 KiB, else 0.
    pub const fn first_data_block(&self) -> PhysicalBlock {
        PhysicalBlock(self.first_data_block as u64)
    }

    /// The block that holds the super block.
    pub const fn superblock_at(&self) -> PhysicalBlock {
        self.superblock_at
    }

    /// The number of blocks of every group but the last.
    pub const fn blocks_per_group(&self) -> u32 {
        self.blocks_per_group
    }

    /// The number of bits used of the block bitmap of every group but the last. A multiple of 8.
    pub const fn clusters_per_group(&self) -> u32 {
        self.blocks_per_group >> self.cluster_bits
    }

    /// The number of inodes of every group. A multiple of 8.
    pub const fn inodes_per_group(&self) -> u32 {
        self.inodes_per_group
    }

    /// The number of all inodes, which is also the last inode's number.
    pub fn inodes_count(&self) -> u32 {
        // That it fits was checked.
        self.group_count() * self.inodes_per_group
    }

    /// The first inode that is not reserved.
    pub const fn first_inode(&self) -> InodeNumber {
        InodeNumber(self.first_inode)
    }

    /// The size of an inode in bytes: a power of two, from 128 to the block size.
    pub const fn inode_size(&self) -> u32 {
        self.inode_size as u32
    }

    /// What an inode should keep for fields behind the first 128 bytes, in bytes: what
    /// `s_want_extra_isize` asks for, if it is more than is known; zero if inodes have no room. New
    /// ones do.
    pub const fn inode_extra_size(&self) -> u32 {
        self.inode_extra_size as u32
    }

    /// The same for an inode that has no room for so much: what `s_min_extra_isize` asks for, or zero.
    pub const fn inode_min_extra_size(&self) -> u32 {
        self.inode_min_extra_size as u32
    }

    /// The number of inodes that a block of the inode table holds.
    pub const fn inodes_per_block(&self) -> u32 {
        self.block_size.bytes() / self.inode_size as u32
    }

    /// The number of blocks of a group's inode table.
    pub const fn inode_table_blocks(&self) -> u32 {
        self.inodes_per_group / self.inodes_per_block()
    }

    /// The size of a group descriptor in bytes: 32, or with `64bit` a power of two from 64.
    pub const fn descriptor_size(&self) -> u32 {
        self.descriptor_size as u32
    }

    /// The number of group descriptors that a block holds.
    pub const fn descriptors_per_block(&self) -> u32 {
        self.block_size.bytes() / self.descriptor_size as u32
    }

    /// The number of groups.
    pub fn group_count(&self) -> u32 {
        // That it fits was checked.
        self.groups_before(self.blocks_count()) as u32
    }

    /// All groups.
    pub fn groups(&self) -> impl DoubleEndedIterator<Item = GroupNumber> {
        (0..self.group_count()).map(GroupNumber)
    }

    /// The number of groups whose bitmaps and inode tables lie together, a power of two. It is 1
    /// without `flex_bg`.
    pub const fn groups_per_flex(&self) -> u32 {
        1 << self.groups_per_flex_bits
    }

    /// Whether a group's bitmaps and inode table may lie in another group: `flex_bg`.
    pub const fn has_flexible_groups(&self) -> bool {
        self.has_flexible_groups
    }

    /// Whether block numbers have more than 32 bits: `64bit`.
    pub const fn has_long_block_numbers(&self) -> bool {
        self.has_long_block_numbers
    }

    /// Whether directories may be larger than 4 GiB and an index three levels deep: `large_dir`.
    pub const fn has_large_directories(&self) -> bool {
        self.has_large_directories
    }

    /// Whether the number of blocks of an inode has more than 32 bits: `huge_file`.
    pub const fn has_huge_files(&self) -> bool {
        self.has_huge_files
    }

    /// Whether `group` exists.
    pub fn has_group(&self, group: GroupNumber) -> bool {
        self.first_block(group).0 < self.blocks_count()
    }

    /// The first block of `group`. For a group that does not exist, where it would be.
    pub const fn first_block(&self, group: GroupNumber) -> PhysicalBlock {
        // 32 bits times 32 bits and 32 bits more fit 64 bits.
        PhysicalBlock(group.0 as u64 * self.blocks_per_group as u64 + self.first_data_block as u64)
    }

    /// The number of blocks of `group`: the last one may be short. Zero for a group that does not
    /// exist.
    pub fn blocks_in_group(&self, group: GroupNumber) -> u32 {
        let rest = self
            .blocks_count()
            .saturating_sub(self.first_block(group).0);
        // The minimum fits 32 bits, since one of the two does.
        rest.min(u64::from(self.blocks_per_group)) as u32
    }

    /// The number of bits that the block bitmap of `group` has for clusters that exist. Behind
    /// them its bits are set.
    pub fn clusters_in_group(&self, group: GroupNumber) -> u32 {
        self.blocks_in_group(group)
            .div_ceil(self.blocks_per_cluster())
    }

    /// The group of `block`, and the number of the block in it. `None` for a block that is in no
    /// group.
    pub fn group_of_block(&self, block: PhysicalBlock) -> Option<(GroupNumber, u32)> {
        if block.0 >= self.blocks_count() {
            return None;
        }
        let index = block.distance_from(self.first_data_block())?;
        let size = u64::from(self.blocks_per_group);
        // Less than the number of groups and less than the size of one.
        Some((GroupNumber((index / size) as u32), (index % size) as u32))
    }

    /// How many groups there are all of whose blocks lie before `end`.
    pub fn groups_below(&self, end: PhysicalBlock) -> u32 {
        if self.blocks_count() <= end.0 {
            return self.group_count();
        }
        let groups =
            end.0.saturating_sub(self.first_data_block().0) / u64::from(self.blocks_per_group());
        u32::try_from(groups).map_or(self.group_count(), |groups| groups.min(self.group_count()))
    }

    /// Whether `count` blocks from `first` on are all places for data or metadata of files: in the
    /// file system, behind its super block.
    pub fn contains(&self, first: PhysicalBlock, count: u64) -> bool {
        first > self.superblock_at
            && first
                .checked_add(count)
                .is_some_and(|end| end.0 <= self.blocks_count())
    }

    /// Checks that the block of multiple mount protection can lie at `block`: in the file system, and
    /// not where the super block, its copies and the descriptors are.
    ///
    /// # Errors
    ///
    /// [`MmpError::Place`].
    pub fn check_mmp_block(&self, block: PhysicalBlock) -> Result<(), MmpError> {
        let possible = self.contains(block, 1)
            && self
                .group_of_block(block)
                .is_some_and(|(group, index)| index >= self.fixed_blocks(group));
        if possible {
            Ok(())
        } else {
            Err(MmpError::Place(block))
        }
    }

    /// Where `inode` lies, or `None` if there is no such inode.
    pub fn place_of_inode(&self, inode: InodeNumber) -> Option<InodePlace> {
        let number = inode.0.checked_sub(1)?;
        let index = number % self.inodes_per_group;
        let group = GroupNumber(number / self.inodes_per_group);
        self.has_group(group).then_some(InodePlace {
            group,
            index,
            block: index / self.inodes_per_block(),
            // Less than the block size.
            offset: index % self.inodes_per_block() * self.inode_size(),
        })
    }

    /// The inode with bit `index` in the bitmap of `group`, or `None` if there is no such inode.
    pub fn inode_at(&self, group: GroupNumber, index: u32) -> Option<InodeNumber> {
        if !self.has_group(group) || index >= self.inodes_per_group {
            return None;
        }
        // At most the number of all inodes, which fits.
        Some(InodeNumber(group.0 * self.inodes_per_group + index + 1))
    }

    /// Whether `inode` is the one of the journal. That may be an ordinary one, with a name: what `tune2fs -j` makes
    /// on a file system that is mounted.
    pub const fn is_journal(&self, inode: InodeNumber) -> bool {
        self.journal_inode != 0 && inode.0 == self.journal_inode
    }

    /// Whether `inode` can belong to a file or directory that a user sees: the root directory or
    /// one that is not reserved, and is not the orphan file or one of the quota.
    pub fn is_user_inode(&self, inode: InodeNumber) -> bool {
        let is_reserved = inode < self.first_inode() || self.hidden_files.contains(&inode.0);
        inode == InodeNumber::ROOT || (!is_reserved && self.place_of_inode(inode).is_some())
    }

    /// The number of blocks of group descriptors.
    pub fn descriptor_blocks(&self) -> u32 {
        self.group_count().div_ceil(self.descriptors_per_block())
    }

    /// Where the descriptor of `group` lies, or `None` if there is no such group.
    pub fn place_of_descriptor(&self, group: GroupNumber) -> Option<DescriptorPlace> {
        if !self.has_group(group) {
            return None;
        }
        let per_block = self.descriptors_per_block();
        Some(DescriptorPlace {
            block: group.0 / per_block,
            // Less than the block size.
            offset: group.0 % per_block * self.descriptor_size(),
        })
    }

    /// Where block `number` of the group descriptors lies, or `None` if there are not so many.
    pub fn descriptor_block(&self, number: u32) -> Option<PhysicalBlock> {
        if number >= self.descriptor_blocks() {
            return None;
        }
        if number < self.first_meta_group {
            // The table behind the super block, whose end was checked.
            return Some(PhysicalBlock(self.superblock_at.0 + 1 + u64::from(number)));
        }
        // In the first group that it describes, behind the copy of the super block if it has one.
        // The product is less than the number of groups.
        let group = GroupNumber(number * self.descriptors_per_block());
        let mut behind = u64::from(self.has_superblock(group));
        if number == 0 && self.superblock_at > self.first_data_block() {
            // bigalloc with blocks of 1 KiB: block 0 is the boot block, 1 the super block.
            behind += 1;
        }
        self.first_block(group).checked_add(behind)
    }

    /// The number of blocks at the start of the device's first group that hold the super block
    /// and the descriptors behind it.
    pub fn descriptor_end(&self) -> u32 {
        let boot_block = u32::from(self.superblock_at > self.first_data_block());
        let descriptors = if self.first_meta_group == 0 {
            // With meta_bg from the first group on: its block of descriptors.
            1
        } else {
            self.table_in_use()
        };
        // The end of the table was checked to lie in the first group.
        boot_block + 1 + descriptors
    }

    /// The blocks behind the super block that hold descriptors. Those behind them are kept for more.
    pub fn table_in_use(&self) -> u32 {
        self.descriptor_blocks().min(self.first_meta_group)
    }

    /// The number of blocks that are kept behind the super block for more descriptors.
    pub fn kept_for_descriptors(&self) -> u32 {
        self.table_blocks - self.table_in_use()
    }

    /// The first block of descriptors that lies in the groups it describes, or would if there were so many:
    /// those before it lie behind the super block.
    pub const fn first_meta_group(&self) -> u32 {
        self.first_meta_group
    }

    /// Whether the block of descriptors that has the one of `group` lies in the groups it describes.
    pub const fn is_in_meta_group(&self, group: GroupNumber) -> bool {
        group.0 / self.descriptors_per_block() >= self.first_meta_group
    }

    /// Whether `group` begins with the super block or a copy of it.
    pub fn has_superblock(&self, group: GroupNumber) -> bool {
        match (self.backups, group.0) {
            (_, 0) => true,
            (Backups::Everywhere, _) => true,
            (Backups::Two(groups), group) => groups.contains(&group),
            (Backups::Sparse, 1) => true,
            (Backups::Sparse, group) => [3, 5, 7].iter().any(|&base| is_power_of(group, base)),
        }
    }

    /// The number of blocks at the start of `group` that hold the super block, the descriptors and
    /// what is kept for more of them. Bitmaps and inode tables are not among them.
    ///
    /// Together with these it makes the block bitmap of a group that was never used. It stays the same
    /// when the file system grows.
    pub fn fixed_blocks(&self, group: GroupNumber) -> u32 {
        let parts = self.fixed_parts(group);
        parts.superblock + parts.descriptors + parts.reserved
    }

    /// The same, part by part, in the order in which they lie there.
    pub fn fixed_parts(&self, group: GroupNumber) -> FixedParts {
        let superblock = u32::from(self.has_superblock(group));
        let per_block = self.descriptors_per_block();

        let (descriptors, reserved) = if self.is_in_meta_group(group) {
            // A block of descriptors lies in its first, its second and its last group.
            let position = group.0 % per_block;
            (u32::from(position <= 1 || position == per_block - 1), 0)
        } else if superblock == 0 {
            (0, 0)
        } else {
            // A group's fixed blocks fit in it: the table was checked for the first group.
            (self.table_in_use(), self.kept_for_descriptors())
        };
        FixedParts {
            superblock,
            descriptors,
            reserved,
        }
    }
}

/// Numbers of blocks at the start of a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FixedParts {
    /// One if there is the super block or a copy of it.
    pub superblock: u32,
    /// Group descriptors.
    pub descriptors: u32,
    /// What is kept for more of them.
    pub reserved: u32,
}

/// Whether `number` is `base` or a power of it. `base` is at least 2.
fn is_power_of(mut number: u32, base: u32) -> bool {
    while number > base && number % base == 0 {
        number /= base;
    }
    number == base
}
