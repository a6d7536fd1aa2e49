// SPDX-License-Identifier: GPL-2.0

//! The super block: 1024 bytes at byte 1024 of the device.
//!
//! This file has the layout of the structure, its checksum and the reading of single fields.
//! What follows from several fields together, the geometry, is checked and computed in
//! [`layout`](super::layout); what a mounted file system changes is in [`edit`].
//! Source: `Documentation/filesystems/ext4/super.rst` and `struct ext4_super_block` in the
//! kernel's `fs/ext4/ext4.h`.

mod edit;
mod errors;
mod geometry;
mod size;
mod tune;

use super::checksum::{Crc32c, Crc32cFn, FsSeed};
use super::error::ChecksumMismatch;
use super::features::{Feature, Features};
use super::units::{BlockSize, InodeNumber, PhysicalBlock};
use core::fmt;
use zerocopy::little_endian::{U16, U32, U64};
use zerocopy::{FromBytes as _, IntoBytes as _};
use zerocopy_derive::{FromBytes, Immutable, IntoBytes, KnownLayout};

pub use errors::ErrorRecord;
pub use size::Size;
pub use tune::DueCheck;

/// The size of the structure, in bytes.
pub const SUPERBLOCK_SIZE: usize = 1024;
/// The most bytes that the name of a volume has.
pub const VOLUME_NAME_SIZE: usize = 16;
/// Where on the device it lies, in bytes.
pub const SUPERBLOCK_OFFSET: u64 = 1024;
/// The number that says that this is ext2, ext3 or ext4.
pub const MAGIC: u16 = 0xef53;
/// `s_checksum_type` for crc32c, the only one there is.
const CHECKSUM_CRC32C: u8 = 1;
/// `s_creator_os` for the Hurd (`EXT4_OS_HURD`).
const CREATOR_HURD: u32 = 1;
/// The last revision of the format: inodes of any size, feature bits.
const DYNAMIC_REVISION: u32 = 1;

/// The super block as it lies on disk.
#[derive(FromBytes, IntoBytes, KnownLayout, Immutable)]
#[repr(C)]
pub struct Superblock {
    inodes_count: U32,
    blocks_count_lo: U32,
    r_blocks_count_lo: U32,
    free_blocks_count_lo: U32,
    free_inodes_count: U32,
    first_data_block: U32,
    log_block_size: U32,
    log_cluster_size: U32,
    blocks_per_group: U32,
    clusters_per_group: U32,
    inodes_per_group: U32,
    mtime: U32,
    wtime: U32,
    mnt_count: U16,
    max_mnt_count: U16,
    magic: U16,
    state: U16,
    errors: U16,
    minor_rev_level: U16,
    lastcheck: U32,
    checkinterval: U32,
    creator_os: U32,
    rev_level: U32,
    def_resuid: U16,
    def_resgid: U16,
    first_ino: U32,
    inode_size: U16,
    block_group_nr: U16,
    feature_compat: U32,
    feature_incompat: U32,
    feature_ro_compat: U32,
    uuid: [u8; 16],
    volume_name: [u8; VOLUME_NAME_SIZE],
    last_mounted: [u8; 64],
    algorithm_usage_bitmap: U32,
    prealloc_blocks: u8,
    prealloc_dir_blocks: u8,
    reserved_gdt_blocks: U16,
    journal_uuid: [u8; 16],
    journal_inum: U32,
    journal_dev: U32,
    last_orphan: U32,
    hash_seed: [U32; 4],
    def_hash_version: u8,
    jnl_backup_type: u8,
    desc_size: U16,
    default_mount_opts: U32,
    first_meta_bg: U32,
    mkfs_time: U32,
    jnl_blocks: [U32; 17],
    blocks_count_hi: U32,
    r_blocks_count_hi: U32,
    free_blocks_count_hi: U32,
    min_extra_isize: U16,
    want_extra_isize: U16,
    flags: U32,
    raid_stride: U16,
    mmp_update_interval: U16,
    mmp_block: U64,
    raid_stripe_width: U32,
    log_groups_per_flex: u8,
    checksum_type: u8,
    encryption_level: u8,
    reserved_pad: u8,
    kbytes_written: U64,
    snapshot_inum: U32,
    snapshot_id: U32,
    snapshot_r_blocks_count: U64,
    snapshot_list: U32,
    error_count: U32,
    first_error_time: U32,
    first_error_ino: U32,
    first_error_block: U64,
    first_error_func: [u8; 32],
    first_error_line: U32,
    last_error_time: U32,
    last_error_ino: U32,
    last_error_line: U32,
    last_error_block: U64,
    last_error_func: [u8; 32],
    mount_opts: [u8; 64],
    usr_quota_inum: U32,
    grp_quota_inum: U32,
    overhead_clusters: U32,
    backup_bgs: [U32; 2],
    encrypt_algos: [u8; 4],
    encrypt_pw_salt: [u8; 16],
    lpf_ino: U32,
    prj_quota_inum: U32,
    checksum_seed: U32,
    wtime_hi: u8,
    mtime_hi: u8,
    mkfs_time_hi: u8,
    lastcheck_hi: u8,
    first_error_time_hi: u8,
    last_error_time_hi: u8,
    first_error_errcode: u8,
    last_error_errcode: u8,
    encoding: U16,
    encoding_flags: U16,
    orphan_file_inum: U32,
    def_resuid_hi: U16,
    def_resgid_hi: U16,
    reserved: [U32; 93],
    checksum: U32,
}

const _: () = assert!(size_of::<Superblock>() == SUPERBLOCK_SIZE);

/// What is wrong with a super block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SuperblockError {
    /// Fewer bytes than a super block has.
    Short {
        /// The number of bytes.
        bytes: usize,
    },
    /// `s_magic` is not [`MAGIC`]: this is no ext file system.
    Magic(u16),
    /// `s_checksum_type` is not crc32c.
    ChecksumType(u8),
    /// `s_checksum`.
    Checksum(ChecksumMismatch),
    /// `s_rev_level` is newer than what is known.
    Revision(u32),
    /// `s_log_block_size` stands for no block size of the format.
    LogBlockSize(u32),
    /// `s_log_cluster_size` is not that of the block size, or without `bigalloc` not equal to it.
    LogClusterSize(u32),
    /// `s_clusters_per_group` does not fit `s_blocks_per_group`.
    ClustersPerGroup(u32),
    /// `s_blocks_per_group` is zero, no multiple of 8 or more than a bitmap has bits.
    BlocksPerGroup(u32),
    /// `s_inodes_per_group` is zero, no multiple of 8, more than a bitmap has bits, or does not
    /// fill whole blocks.
    InodesPerGroup(u32),
    /// `s_inode_size` is less than 128, more than a block or no power of two.
    InodeSize(u16),
    /// `s_first_ino` lies among the reserved inodes or beyond all inodes.
    FirstInode(u32),
    /// `s_want_extra_isize` or `s_min_extra_isize` is larger than the inode has room for.
    ExtraInodeSize(u16),
    /// `s_desc_size` is less than 64, more than a block or no power of two.
    DescriptorSize(u16),
    /// `s_first_data_block` is not 1 with blocks of 1 KiB or not 0 with larger ones.
    FirstDataBlock(u32),
    /// `s_blocks_count` leaves nothing behind the first data block, or is larger than what the
    /// format can address.
    BlocksCount(u64),
    /// More groups than their numbers have bits for.
    GroupCount(u64),
    /// `s_inodes_count` is not the number of groups times the inodes of a group.
    InodesCount {
        /// `s_inodes_count`.
        stored: u32,
        /// What it must be.
        expected: u64,
    },
    /// `s_r_blocks_count` is more than all blocks.
    ReservedBlocks(u64),
    /// `s_reserved_gdt_blocks` is more than the resize inode can hold, a quarter of the block
    /// size.
    ReservedGdtBlocks(u16),
    /// The group descriptors do not fit the first group.
    DescriptorBlocks(u64),
    /// `s_first_meta_bg` is more than there are blocks of group descriptors.
    FirstMetaGroup(u32),
    /// `has_journal`, but neither `s_journal_inum` nor `s_journal_dev` names one.
    NoJournal,
    /// `s_journal_inum` and `s_journal_dev` name one each.
    TwoJournals,
    /// `s_journal_inum` is not among the inodes.
    JournalInode(u32),
    /// `orphan_file`, but `s_orphan_file_inum` is not among the inodes that files can have.
    OrphanFileInode(u32),
}

impl fmt::Display for SuperblockError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("super block: ")?;
        match self {
            Self::Short { bytes } => write!(f, "only {bytes} bytes"),
            Self::Magic(magic) => write!(f, "magic number is {magic:#06x}, not {MAGIC:#06x}"),
            Self::ChecksumType(kind) => write!(f, "checksum type {kind} is not crc32c"),
            Self::Checksum(mismatch) => fmt::Display::fmt(mismatch, f),
            Self::Revision(revision) => write!(f, "revision {revision} is not known"),
            Self::LogBlockSize(log) => write!(f, "bad block size: 2^(10 + {log})"),
            Self::LogClusterSize(log) => write!(f, "bad cluster size: 2^(10 + {log})"),
            Self::ClustersPerGroup(count) => write!(f, "bad number of clusters per group: {count}"),
            Self::BlocksPerGroup(count) => write!(f, "bad number of blocks per group: {count}"),
            Self::InodesPerGroup(count) => write!(f, "bad number of inodes per group: {count}"),
            Self::InodeSize(bytes) => write!(f, "bad inode size: {bytes}"),
            Self::FirstInode(inode) => write!(f, "bad first inode: {inode}"),
            Self::ExtraInodeSize(bytes) => write!(f, "extra inode size {bytes} does not fit"),
            Self::DescriptorSize(bytes) => write!(f, "bad group descriptor size: {bytes}"),
            Self::FirstDataBlock(block) => write!(f, "bad first data block: {block}"),
            Self::BlocksCount(count) => write!(f, "bad number of blocks: {count}"),
            Self::GroupCount(count) => write!(f, "too many groups: {count}"),
            Self::InodesCount { stored, expected } => {
                write!(f, "number of inodes is {stored}, not {expected}")
            }
            Self::ReservedBlocks(count) => write!(f, "too many reserved blocks: {count}"),
            Self::ReservedGdtBlocks(count) => {
                write!(f, "too many blocks reserved for descriptors: {count}")
            }
            Self::DescriptorBlocks(count) => {
                write!(
                    f,
                    "{count} blocks of descriptors do not fit the first group"
                )
            }
            Self::FirstMetaGroup(group) => write!(f, "bad first meta block group: {group}"),
            Self::NoJournal => f.write_str("feature has_journal without a journal"),
            Self::TwoJournals => f.write_str("both a journal inode and a journal device"),
            Self::JournalInode(inode) => write!(f, "bad journal inode: {inode}"),
            Self::OrphanFileInode(inode) => write!(f, "bad inode of the orphan file: {inode}"),
        }
    }
}

/// What to do when corruption is found, `s_errors`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnError {
    /// Go on.
    Continue,
    /// Make the file system read-only.
    RemountReadOnly,
    /// Stop the machine.
    Panic,
}

/// The bits of `s_state`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct State(pub u16);

impl State {
    /// Cleanly unmounted.
    pub const CLEAN: u16 = 1;
    /// An error was found.
    pub const ERRORS: u16 = 2;
    /// Orphans are being dealt with.
    pub const ORPHANS: u16 = 4;

    /// Whether the file system was unmounted cleanly.
    pub const fn is_clean(self) -> bool {
        self.0 & Self::CLEAN != 0
    }

    /// The same, and cleanly unmounted or not.
    #[must_use]
    pub const fn with_clean(self, clean: bool) -> Self {
        match clean {
            true => Self(self.0 | Self::CLEAN),
            false => Self(self.0 & !Self::CLEAN),
        }
    }

    /// Whether an error was found and not yet mended.
    pub const fn has_errors(self) -> bool {
        self.0 & Self::ERRORS != 0
    }
}

impl Superblock {
    /// Takes the first bytes of `bytes` for a super block, if its magic number is there.
    ///
    /// Nothing else is checked: see [`Self::verify_checksum`] and [`Self::layout`].
    ///
    /// # Errors
    ///
    /// [`SuperblockError::Short`] and [`SuperblockError::Magic`].
    pub fn from_bytes(bytes: &[u8]) -> Result<&Self, SuperblockError> {
        let (superblock, _) = Self::ref_from_prefix(bytes)
            .map_err(|_| SuperblockError::Short { bytes: bytes.len() })?;
        superblock.check_magic()?;
        Ok(superblock)
    }

    /// The same for bytes that are to be changed.
    ///
    /// # Errors
    ///
    /// [`SuperblockError::Short`] and [`SuperblockError::Magic`].
    pub fn from_bytes_mut(bytes: &mut [u8]) -> Result<&mut Self, SuperblockError> {
        let count = bytes.len();
        let (superblock, _) =
            Self::mut_from_prefix(bytes).map_err(|_| SuperblockError::Short { bytes: count })?;
        superblock.check_magic()?;
        Ok(superblock)
    }

    fn check_magic(&self) -> Result<(), SuperblockError> {
        match self.magic.get() {
            MAGIC => Ok(()),
            magic => Err(SuperblockError::Magic(magic)),
        }
    }

    /// The features.
    ///
    /// A file system of the first revision has none, whatever the fields hold.
    pub fn features(&self) -> Features {
        if self.is_old_revision() {
            return Features::default();
        }
        Features {
            compat: self.feature_compat.get(),
            incompat: self.feature_incompat.get(),
            ro_compat: self.feature_ro_compat.get(),
        }
    }

    /// Checks the super block's own checksum, if the file system has checksums.
    ///
    /// It covers all bytes before itself and starts with all ones, not with the seed.
    ///
    /// # Errors
    ///
    /// [`SuperblockError::ChecksumType`] and [`SuperblockError::Checksum`].
    pub fn verify_checksum(&self, update: Crc32cFn) -> Result<(), SuperblockError> {
        if !self.features().has(Feature::METADATA_CSUM) {
            return Ok(());
        }
        if self.checksum_type != CHECKSUM_CRC32C {
            return Err(SuperblockError::ChecksumType(self.checksum_type));
        }
        ChecksumMismatch::check(self.checksum.get(), self.compute_checksum(update))
            .map_err(SuperblockError::Checksum)
    }

    /// Makes the checksum that of the present content, if the file system has checksums.
    pub fn update_checksum(&mut self, update: Crc32cFn) {
        if self.features().has(Feature::METADATA_CSUM) {
            self.checksum.set(self.compute_checksum(update));
        }
    }

    fn compute_checksum(&self, update: Crc32cFn) -> u32 {
        let covered = SUPERBLOCK_SIZE - size_of::<U32>();
        let bytes = self.as_bytes().get(..covered).unwrap_or_default();
        Crc32c::new(update).with(bytes).value()
    }

    /// What all other checksums start from, or `None` if the file system has no crc32c checksums.
    pub fn checksum_seed(&self, update: Crc32cFn) -> Option<FsSeed> {
        let features = self.features();
        if !features.has(Feature::METADATA_CSUM) {
            None
        } else if features.has(Feature::METADATA_CSUM_SEED) {
            Some(FsSeed::stored(update, self.checksum_seed.get()))
        } else {
            Some(FsSeed::of_uuid(update, &self.uuid))
        }
    }

    /// The size of a block.
    ///
    /// # Errors
    ///
    /// [`SuperblockError::LogBlockSize`].
    pub fn block_size(&self) -> Result<BlockSize, SuperblockError> {
        let log = self.log_block_size.get();
        log.checked_add(BlockSize::MIN.bits())
            .and_then(BlockSize::from_bits)
            .ok_or(SuperblockError::LogBlockSize(log))
    }

    /// Whether it was made for the Hurd, in whose inodes some fields mean something else.
    pub fn is_of_hurd(&self) -> bool {
        self.creator_os.get() == CREATOR_HURD
    }

    /// All blocks of the file system.
    pub fn blocks_count(&self) -> u64 {
        self.join(self.blocks_count_lo, self.blocks_count_hi)
    }

    /// The blocks that only root may use.
    pub fn reserved_blocks_count(&self) -> u64 {
        self.join(self.r_blocks_count_lo, self.r_blocks_count_hi)
    }

    /// The free blocks, as of the last time that somebody brought this up to date: at unmount. The
    /// truth is in the group descriptors.
    pub fn free_blocks_count(&self) -> u64 {
        self.join(self.free_blocks_count_lo, self.free_blocks_count_hi)
    }

    /// Joins a count's halves. The upper one has a meaning only with `64bit`.
    fn join(&self, lo: U32, hi: U32) -> u64 {
        let lo = u64::from(lo.get());
        if self.features().has(Feature::SIXTY_FOUR_BIT) {
            lo | (u64::from(hi.get()) << 32)
        } else {
            lo
        }
    }

    /// All inodes of the file system.
    pub fn inodes_count(&self) -> u32 {
        self.inodes_count.get()
    }

    /// The free inodes, as of the last time that somebody brought this up to date.
    pub fn free_inodes_count(&self) -> u32 {
        self.free_inodes_count.get()
    }

    /// The blocks used by metadata that `mke2fs` or `resize2fs` counted, or zero if nobody did.
    pub fn overhead_clusters(&self) -> u32 {
        self.overhead_clusters.get()
    }

    /// Whether the format is of the first revision, with inodes of 128 bytes and no features.
    fn is_old_revision(&self) -> bool {
        self.rev_level.get() < DYNAMIC_REVISION
    }

    /// The state: clean, with errors, with orphans.
    pub fn state(&self) -> State {
        State(self.state.get())
    }

    /// What to do when corruption is found. An unknown value means to write nothing more, as in
    /// C ext4.
    pub fn on_error(&self) -> OnError {
        match self.errors.get() {
            1 => OnError::Continue,
            3 => OnError::Panic,
            _ => OnError::RemountReadOnly,
        }
    }

    /// How often the file system was mounted since the last check.
    pub fn mount_count(&self) -> u16 {
        self.mnt_count.get()
    }

    /// After how many mounts it should be checked, or `None` for never.
    pub fn max_mount_count(&self) -> Option<u16> {
        // A signed field: zero and negative values mean never.
        match self.max_mnt_count.get() {
            0 | 0x8000.. => None,
            count => Some(count),
        }
    }

    /// The identity of the file system.
    pub fn uuid(&self) -> &[u8; 16] {
        &self.uuid
    }

    /// The name of the volume, up to the first zero byte.
    pub fn volume_name(&self) -> &[u8] {
        until_zero(&self.volume_name)
    }

    /// Where the file system was mounted last, up to the first zero byte.
    pub fn last_mounted(&self) -> &[u8] {
        until_zero(&self.last_mounted)
    }

    /// The mount options that the super block asks for, as text, up to the first zero byte.
    pub fn mount_options(&self) -> &[u8] {
        until_zero(&self.mount_opts)
    }

    /// The mount options that the super block asks for, as bits (`EXT4_DEFM_*`).
    pub fn default_mount_options(&self) -> u32 {
        self.default_mount_opts.get()
    }

    /// The user and the group that may use the reserved blocks.
    pub fn reserved_for(&self) -> (u32, u32) {
        let join = |lo: U16, hi: U16| u32::from(lo.get()) | (u32::from(hi.get()) << 16);
        (
            join(self.def_resuid, self.def_resuid_hi),
            join(self.def_resgid, self.def_resgid_hi),
        )
    }

    /// The inode of the internal journal, or `None` if there is none.
    pub fn journal_inode(&self) -> Option<InodeNumber> {
        self.named_inode(Feature::HAS_JOURNAL, self.journal_inum)
    }

    /// The number of the device that holds the journal, or `None` if it is internal.
    pub fn journal_device(&self) -> Option<u32> {
        let device = self.journal_dev.get();
        (self.features().has(Feature::HAS_JOURNAL) && device != 0).then_some(device)
    }

    /// The UUID of an external journal.
    pub fn journal_uuid(&self) -> &[u8; 16] {
        &self.journal_uuid
    }

    /// The inode of the orphan file, or `None` if there is none.
    pub fn orphan_file_inode(&self) -> Option<InodeNumber> {
        self.named_inode(Feature::ORPHAN_FILE, self.orphan_file_inum)
    }

    /// The inodes of the quota files: by owner, by group, by project; `None` where there is none.
    pub fn quota_inodes(&self) -> [Option<InodeNumber>; 3] {
        [
            self.usr_quota_inum,
            self.grp_quota_inum,
            self.prj_quota_inum,
        ]
        .map(|inode| self.named_inode(Feature::QUOTA, inode))
    }

    fn named_inode(&self, feature: Feature, inode: U32) -> Option<InodeNumber> {
        let inode = inode.get();
        (self.features().has(feature) && inode != 0).then_some(InodeNumber(inode))
    }

    /// The block of multiple mount protection, or `None` without that. Whether it can lie there is not
    /// checked: see [`Layout::check_mmp_block`](super::layout::Layout::check_mmp_block).
    pub fn mmp_block(&self) -> Option<PhysicalBlock> {
        let block = PhysicalBlock(self.mmp_block.get());
        self.features().has(Feature::MMP).then_some(block)
    }

    /// How often it is updated, in seconds: at least once a second.
    pub fn mmp_update_interval(&self) -> u16 {
        self.mmp_update_interval.get().max(1)
    }

    /// How many blocks lie on one disk of an array before the next one; 0 if that is not known.
    pub fn raid_stride(&self) -> u16 {
        self.raid_stride.get()
    }

    /// How many blocks an array writes at once, on all its disks; 0 if that is not known.
    pub fn raid_stripe_width(&self) -> u32 {
        self.raid_stripe_width.get()
    }

    /// The head of the list of orphans, or `None` if it is empty.
    pub fn last_orphan(&self) -> Option<InodeNumber> {
        let inode = self.last_orphan.get();
        (inode != 0).then_some(InodeNumber(inode))
    }

    /// What the hashes of directory entries start from. All zero means the default of the hash.
    pub fn hash_seed(&self) -> [u32; 4] {
        self.hash_seed.map(U32::get)
    }

    /// The hash that a new directory index gets, `s_def_hash_version`.
    pub fn default_hash_version(&self) -> u8 {
        self.def_hash_version
    }

    /// Whether the hashes of directory entries take bytes as unsigned.
    ///
    /// With neither of the two flags set the file system was last written by a program that did
    /// not know of the difference, on a machine that is not known; the kernel then takes its own
    /// (`s_flags` in `Documentation/filesystems/ext4/super.rst`).
    pub fn hash_signedness(&self) -> Option<HashSignedness> {
        let flags = self.flags.get();
        if flags & HashSignedness::Unsigned.flag() != 0 {
            Some(HashSignedness::Unsigned)
        } else if flags & HashSignedness::Signed.flag() != 0 {
            Some(HashSignedness::Signed)
        } else {
            None
        }
    }

    /// The kibibytes that were written to the file system in its life.
    pub fn kbytes_written(&self) -> u64 {
        self.kbytes_written.get()
    }
}

/// How a hash of directory entries takes a byte over 127.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HashSignedness {
    /// As a negative number.
    Signed,
    /// As it is.
    Unsigned,
}

impl HashSignedness {
    /// Its bit in the super block's flags.
    pub(super) const fn flag(self) -> u32 {
        match self {
            Self::Signed => 1,
            Self::Unsigned => 2,
        }
    }
}

/// The bytes before the first zero byte, or all of them.
pub(super) fn until_zero(bytes: &[u8]) -> &[u8] {
    bytes.split(|&byte| byte == 0).next().unwrap_or_default()
}
