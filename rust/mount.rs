// SPDX-License-Identifier: GPL-2.0

//! A mounted file system: its state, and its life from mount to unmount.
//!
//! | file | what |
//! |---|---|
//! | [`options`] | the mount options |
//! | [`quota_files`] | those that name quota files |
//! | [`life`] | mount, freeze, sync, unmount |
//! | [`journal`] | what changes are made through |
//! | [`remount`] | other options, read-only or writable |
//! | [`primary`] | the primary super block |
//! | [`geometry`] | where things lie, as that says it |
//! | [`administration`] | what is asked of it by `ioctl` |
//! | [`tuning`] | what of the super block is changed so |
//! | [`grow`] | made larger while it is mounted |
//! | [`down`] | shut down while it is mounted |
//! | [`discard`] | when free space is discarded |
//! | [`tables`] | when inode tables are zeroed |
//! | [`protection`] | that only one machine writes to it |
//! | [`damage`] | what happens when something on disk is wrong |
//! | [`sysfs`] | what is shown of it to people |
//! | [`counters`] | what is counted for people |
//! | [`daily_warning`] | what is said once a day at most |

mod administration;
mod asked;
pub(crate) mod counters;
mod daily_warning;
pub(crate) mod damage;
mod discard;
mod down;
mod geometry;
mod grow;
mod journal;
pub(crate) mod life;
pub(crate) mod options;
pub(crate) mod primary;
mod protection;
mod quota_files;
mod remount;
mod sysfs;
mod tables;
mod tuning;

use crate::{
    dio::claims::Claims,
    disk::{
        checksum::FsSeed,
        features::{Feature, Features},
        group_desc::GroupDescChecksum,
        layout::Layout,
        superblock::{HashSignedness, Superblock},
        units::InodeNumber,
    },
    error::{FsError, FsResult},
    group::{locate_before_recovery, Groups, InodeLocation, Stripes, TablePosition},
    inode::{self, orphan::Orphans},
    vfs::{
        background::Background,
        block_device::BlockDevice,
        commit_work::CommitWork,
        file::OpenFile,
        inode::Inode,
        jbd2::{Handle, Journal, JournalSlot},
        shrinker::Shrinker,
        super_block::SuperBlock,
        sysfs::Slot,
        writeback::IoendWorkers,
    },
    Rext4,
};
use core::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use counters::Counters;
use daily_warning::DailyWarning;
use kernel::{
    error::code,
    prelude::*,
    sync::{Arc, Mutex, SetOnce, SpinLock},
};
use options::{OnDamage, Options};
use primary::Primary;
use protection::Protection;
use quota_files::QuotaFiles;

/// What of a file system a directory's hashes depend on.
#[derive(Clone, Copy)]
pub(crate) struct HashSettings {
    /// `s_hash_seed`.
    pub(crate) seed: [u32; 4],
    /// `s_def_hash_version`.
    pub(crate) default_version: u8,
    /// Whether names are hashed as signed or unsigned characters.
    pub(crate) signedness: HashSignedness,
}

/// The state of a mounted file system.
#[pin_data]
pub(crate) struct Filesystem {
    /// Where things lie.
    pub(crate) layout: Arc<Layout>,
    /// The features that were there when it was mounted.
    pub(crate) features: Features,
    /// What checksums of metadata start from; `None` without `metadata_csum`.
    pub(crate) seed: Option<FsSeed>,
    /// How directories hash names.
    pub(crate) hash: HashSettings,
    /// The journal, or what there is in its place; none on a read-only mount that did not need it.
    pub(crate) journal: JournalSlot,
    /// What is done after each commit.
    #[pin]
    pub(crate) commit_work: CommitWork,
    /// Who completes writeback.
    pub(crate) ioend_workers: IoendWorkers,
    /// What is done meanwhile.
    #[pin]
    background: Background,
    /// How far that has come.
    #[pin]
    zeroing: SpinLock<TablePosition>,
    /// Keeps others from writing to it.
    #[pin]
    protection: Protection,
    /// Free blocks and inodes; there once the journal was recovered.
    groups: SetOnce<Groups>,
    /// Its directory in sysfs.
    sysfs: Slot,
    /// What is counted.
    pub(crate) counters: Counters,
    /// Gives memory of inodes back.
    #[pin]
    pub(crate) shrinker: Shrinker,
    /// What mappings of files are kept in memory.
    pub(crate) extent_cache: inode::Usage,
    /// The inodes that recovery would have to finish.
    #[pin]
    pub(crate) orphans: Orphans,
    primary: Primary,
    /// Whether the super block said that it was left clean when it became writable.
    was_clean: AtomicBool,
    descriptor_checksum: GroupDescChecksum,
    #[pin]
    options: SpinLock<Options>,
    /// Those that name quota files.
    #[pin]
    quota_files: Mutex<QuotaFiles>,
    /// The same as in `options`, for the read path.
    dioread_nolock: AtomicBool,
    /// Whether all data goes through the journal, if there is one; `data=journal`.
    pub(crate) journals_data: bool,
    /// What came of that.
    pub(crate) last_journaled: inode::journaled::LastWrites,
    /// What inodes should have for fields behind the first 128 bytes.
    wanted_extra_size: AtomicU32,
    /// What the super block says about `errors=`.
    default_on_damage: OnDamage,
    /// Set once damage was found and nothing may be written any more.
    stopped: AtomicBool,
    /// Set once it was shut down, and nothing may be read or written any more.
    down: AtomicBool,
    reports: damage::Reports,
    /// How many warnings of inodes there were in this second.
    warnings: damage::Reports,
    /// The blocks that direct writes on their way have to themselves.
    pub(crate) claims: Claims,
    /// Held by who takes an inode off the users of a block of attributes.
    #[pin]
    pub(crate) shared_xattrs: Mutex<()>,
    /// Held by who makes it larger.
    #[pin]
    resizing: Mutex<()>,
    /// When it was last said that unaligned direct writes wait.
    pub(crate) unaligned_warning: DailyWarning,
    /// When it was last said that an inode has no room for its fields.
    pub(crate) room_warning: DailyWarning,
    /// The last inode that was warned of.
    warned: AtomicU64,
    /// Blocks that can't hold data.
    overhead: AtomicU64,
    /// Where it was mounted when the first file was opened, with zero bytes behind it; goes to the
    /// super block at the end.
    mount_point: SetOnce<[u8; MOUNT_POINT_SIZE]>,
    /// The identifier that statfs shows.
    id: [u32; 2],
}

/// The bytes of a mount point that the super block has room for.
const MOUNT_POINT_SIZE: usize = 64;

impl Filesystem {
    /// The options in force.
    pub(crate) fn options(&self) -> Options {
        *self.options.lock()
    }

    /// Whether direct reads go without the inode's lock.
    pub(crate) fn reads_without_lock(&self) -> bool {
        self.dioread_nolock.load(Ordering::Relaxed)
    }

    /// # Errors
    ///
    /// `EOPNOTSUPP` with a feature that forbids writing: bits of a bitmap may stand for something else then.
    fn must_understand_bitmaps(&self) -> FsResult {
        if !self.features.forbid_writing().is_empty() {
            return Err(FsError::unsupported());
        }
        Ok(())
    }

    /// How many bytes behind its first 128 an inode should have for fields.
    pub(crate) fn wanted_extra_size(&self) -> u32 {
        self.wanted_extra_size.load(Ordering::Relaxed)
    }

    /// Whether changes are written in place: there is no journal, or it is left alone.
    pub(crate) fn has_no_journal(&self) -> bool {
        !self.features.has(Feature::HAS_JOURNAL) || self.options().noload
    }

    /// What to do when damage is found: as mounted, or as the super block says.
    pub(crate) fn on_damage(&self) -> OnDamage {
        self.options().errors.unwrap_or(self.default_on_damage)
    }

    fn set_options(&self, options: Options) {
        *self.options.lock() = Options {
            of_journal: None,
            abort: false,
            ..options
        };
        self.dioread_nolock
            .store(options.dioread_nolock, Ordering::Relaxed);
        self.wanted_extra_size
            .store(options.wanted_extra_size(&self.layout), Ordering::Relaxed);
        if let Some(groups) = self.groups.as_ref() {
            self.set_discard(groups, options.discard && !self.is_down());
            self.set_stripes(groups);
        }
    }

    /// Has data begin where stripes do, of an array that the options or the super block tell of.
    fn set_stripes(&self, groups: &Groups) {
        let stripes = match self.options().stripe {
            0 => self.primary.with(Stripes::of).ok(),
            width => Some(Stripes::of_width(width)),
        };
        if let Some(stripes) = stripes {
            groups.set_stripes(stripes);
        }
    }

    /// Notes where the file system is mounted through which a file is opened, if that is the first.
    pub(crate) fn note_mount_point(&self, file: &OpenFile<'_, Rext4>) {
        if self.mount_point.as_ref().is_some() {
            return;
        }
        let (mut buffer, mut path) = ([0; MOUNT_POINT_SIZE], [0; MOUNT_POINT_SIZE]);
        // One that is too long stays unknown.
        for (to, from) in path.iter_mut().zip(file.mount_point(&mut buffer)) {
            *to = *from;
        }
        self.mount_point.populate(path);
    }

    /// The journal, for a change of the file system.
    ///
    /// # Errors
    ///
    /// `EROFS` if nothing may be written, `EIO` if the file system was shut down.
    pub(crate) fn writing(&self, sb: &SuperBlock<Rext4>) -> FsResult<&Journal> {
        self.must_be_up()?;
        if sb.is_read_only() || self.is_stopped() {
            return Err(FsError::Kernel(code::EROFS));
        }
        if let Some(damage) = self.groups().ok().and_then(|groups| groups.take_damage()) {
            self.errno_at(sb, None, "allocate", damage.into());
        }
        let journal = self.journal.get().ok_or(FsError::Kernel(code::EROFS))?;
        if journal.is_aborted() {
            self.journal_is_lost(sb);
            return Err(FsError::Kernel(code::EROFS));
        }
        Ok(journal)
    }

    /// The journal, for changes that have to be left out where nothing can be written; `None`
    /// then.
    ///
    /// # Errors
    ///
    /// `EIO` if changes that were made in memory can't be written any more because the file system
    /// was stopped, or that it was shut down.
    pub(crate) fn journal_for_writing(&self, sb: &SuperBlock<Rext4>) -> FsResult<Option<&Journal>> {
        self.must_be_up()?;
        if self.is_stopped() {
            return Err(FsError::Kernel(code::EIO));
        }
        if sb.is_read_only() {
            return Ok(None);
        }
        if self.journal.get().is_some_and(Journal::is_aborted) {
            self.journal_is_lost(sb);
            return Err(FsError::Kernel(code::EIO));
        }
        Ok(self.journal.get())
    }

    /// Has all delayed data written, so that what is set aside for it beyond what it needs can be
    /// used by others, and looks whether less is kept for the super-user by now. Returns whether there may be more.
    ///
    /// For one who got `ENOSPC`, to try once more; without a handle, a folio's lock, and the reserve of
    /// a conversion, since writeback waits for all of these.
    pub(crate) fn make_room(&self, sb: &SuperBlock<Rext4>) -> bool {
        let less_reserved = self.renew_reserved();
        let delayed = self.groups().map(|groups| groups.delayed_space());
        let written = delayed.is_ok_and(|delayed| !delayed.is_empty())
            && Journal::must_not_have_handle().is_ok()
            && sb.write_all_data();
        written || less_reserved
    }

    /// Keeps as many blocks for the super-user as the super block says now: `tune2fs -m` changes it on the device, whose
    /// cache has it. Returns whether others may use more than before.
    pub(crate) fn renew_reserved(&self) -> bool {
        let Ok(groups) = self.groups() else {
            return false;
        };
        let reserved = self.primary.with(|superblock| {
            let fits = superblock.blocks_count() >= superblock.reserved_blocks_count();
            fits.then(|| superblock.reserved_blocks_count())
        });
        matches!(reserved, Ok(Some(reserved)) if groups.set_reserved(reserved))
    }

    /// Makes a change that may need blocks; if there are none, [again](Groups::retry) after what was freed is committed,
    /// and at last once more after what data in the page cache does not need is given back. It must have left nothing
    /// behind then. To be called as [`Self::make_room`] is.
    ///
    /// # Errors
    ///
    /// Those of `attempt`, of [`Self::writing`] and of [`Groups::reclaim`].
    pub(crate) fn with_reclaim<R>(
        &self,
        sb: &SuperBlock<Rext4>,
        attempt: impl Fn(&Journal) -> FsResult<R>,
    ) -> FsResult<R> {
        let journal = self.writing(sb)?;
        let groups = self.groups()?;
        match groups.retry(journal, || attempt(journal)) {
            Err(e) if e.is(code::ENOSPC) && self.make_room(sb) => {
                groups.retry(journal, || attempt(journal))
            }
            result => result,
        }
    }

    /// Free blocks and inodes.
    ///
    /// # Errors
    ///
    /// `EIO` while the file system is being mounted and its journal was not recovered yet.
    pub(crate) fn groups(&self) -> FsResult<&Groups> {
        self.groups.as_ref().ok_or(FsError::Kernel(code::EIO))
    }

    /// The inodes of the quota files: by owner, by group, by project.
    pub(crate) fn quota_inodes(&self) -> FsResult<[Option<InodeNumber>; 3]> {
        self.primary.with(|superblock| superblock.quota_inodes())
    }

    /// The inode of the orphan file.
    pub(crate) fn orphan_file_inode(&self) -> FsResult<Option<InodeNumber>> {
        self.primary
            .with(|superblock| superblock.orphan_file_inode())
    }

    /// Where an inode lies.
    pub(crate) fn locate_inode(
        &self,
        device: &BlockDevice,
        inode: InodeNumber,
    ) -> FsResult<InodeLocation> {
        match self.groups.as_ref() {
            Some(groups) => groups.locate_inode(inode),
            None => locate_before_recovery(device, &self.layout, &self.descriptor_checksum, inode),
        }
    }

    /// Changes the super block within a transaction. Needs credits for one block.
    pub(crate) fn edit_primary<R>(
        &self,
        handle: &Handle<'_>,
        change: impl FnOnce(&mut Superblock) -> R,
    ) -> FsResult<R> {
        self.primary.edit(handle, change)
    }

    /// Says in the super block that a feature is used, unless it says so already. Needs credits for
    /// one block. What was found at mount is not changed, so this is for compatible features, and for
    /// `large_file`, without which rext4 does the same.
    pub(crate) fn note_feature(&self, handle: &Handle<'_>, feature: Feature) -> FsResult {
        if self.has_noted_feature(feature)? {
            return Ok(());
        }
        self.edit_primary(handle, |superblock| superblock.set_feature(feature, true))
    }

    /// Whether the super block says by now that a feature is used.
    pub(crate) fn has_noted_feature(&self, feature: Feature) -> FsResult<bool> {
        self.primary
            .with(|superblock| superblock.features().has(feature))
    }

    /// Says what of an inode can't be served, once in a row for each inode, and not more often than there is time to read.
    pub(crate) fn warn_once_per_inode(&self, inode: &Inode<Rext4>, why: &str) {
        let ino = u64::from(inode.ino());
        if self.warned.swap(ino, Ordering::Relaxed) != ino && self.warnings.take() {
            pr_warn!(
                "({}): warning: inode {}: {}\n",
                inode.super_block().id(),
                ino,
                why
            );
        }
    }

    /// Whether a number can be one that a directory entry has.
    pub(crate) fn is_plausible_entry(&self, ino: InodeNumber) -> bool {
        self.layout.is_user_inode(ino)
    }
}
