// SPDX-License-Identifier: GPL-2.0

//! The life of a mount: what is read and checked before it is used, recovery, freezing, and the end.

use super::{
    asked::{Asked, Defaults},
    counters::Counters,
    daily_warning::DailyWarning,
    geometry::{self, Geometry},
    journal,
    options::{self, DataMode, OnDamage, Options},
    primary::Primary,
    protection::Protection,
    remount, Filesystem, HashSettings, MOUNT_POINT_SIZE,
};
use crate::{
    dio::claims::Claims,
    disk::{
        allocation::SystemRun,
        features::Feature,
        group_desc::GroupDescChecksum,
        superblock::{
            DueCheck, HashSignedness, OnError, State, Superblock, SuperblockError, MAGIC,
        },
        units::InodeNumber,
        Corrupt,
    },
    error::{euclean, FsError, FsResult},
    group::{Groups, TablePosition},
    inode::{
        self,
        journaled::LastWrites,
        orphan::Orphans,
        truncate::{self, Finished},
        InodeData,
    },
    quota,
    vfs::{
        background::{Background, Housekeeping},
        checksum::crc32c,
        commit_work::CommitWork,
        inode::Inode,
        jbd2::{Journal, JournalSlot, Wipe},
        shrinker::Shrinker,
        stat::{StatFs, Timestamp},
        super_block::{FileSystem, NewSuperBlock, SuperBlock},
        sysfs::Slot,
        writeback::IoendWorkers,
    },
    Rext4,
};
use core::{
    iter,
    sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering},
};
use kernel::{
    error::{code, Error},
    new_mutex, new_spinlock,
    prelude::*,
    seq_file::SeqFile,
    sync::{aref::ARef, Arc, SetOnce},
};

/// The longest name, in bytes.
const NAME_LEN: u32 = 255;

/// What is taken out of the super block at mount, besides the geometry.
struct Facts {
    features: crate::disk::features::Features,
    seed: Option<crate::disk::checksum::FsSeed>,
    hash: HashSettings,
    on_damage: OnDamage,
    state: State,
    uuid: [u8; 16],
    external_journal: bool,
    is_of_hurd: bool,
    due: Option<DueCheck>,
    descriptor_checksum: GroupDescChecksum,
}

impl FileSystem for Rext4 {
    const MAGIC: u32 = MAGIC as u32;

    type Super = Filesystem;
    type Inode = InodeData;
    type Options = Asked;

    fn new_inode_data() -> impl PinInit<InodeData, Error> {
        InodeData::new()
    }

    fn fill_super(sb: &NewSuperBlock<'_, Self>, asked: &Asked) -> Result<Pin<KBox<Filesystem>>> {
        fill_super(sb, asked).map_err(|e| mount_errno(sb, e))
    }

    fn activate(sb: &SuperBlock<Self>) -> Result<ARef<Inode<Self>>> {
        let fs = sb.data();
        let failed = |e| fs.errno_at(sb, None, "mount", e);
        if will_write(sb).map_err(failed)? {
            fs.protect(sb)?;
        }
        let root = activate(sb).map_err(failed)?;
        if sb.is_read_only() {
            fs.unprotect(sb);
        }
        Ok(root)
    }

    fn journal(sb: &SuperBlock<Self>) -> &JournalSlot {
        &sb.data().journal
    }

    fn before_close(sb: &SuperBlock<Self>) {
        // What takes long is done while the journal can still be abandoned, should somebody else have the file system by then.
        if sb.data().is_protected() {
            if let Some(journal) = sb.data().journal.get() {
                // What comes of it is told when it is closed.
                let _ = journal
                    .lock_updates()
                    .and_then(|journal| journal.flush(Wipe::Nothing));
            }
        }
    }

    fn shut_down(sb: &SuperBlock<Self>, journal: Option<Result>) {
        if let Some(closed) = journal {
            end(sb, closed);
        }
        sb.data().unprotect(sb);
        if sb.data().is_taken_over() {
            // The VFS writes what is left.
            sb.device().forget_all();
        }
    }

    fn is_stopped(sb: &SuperBlock<Self>) -> bool {
        sb.data().is_stopped()
    }

    fn is_down(sb: &SuperBlock<Self>) -> bool {
        sb.data().is_down()
    }

    fn sync(sb: &SuperBlock<Self>, wait: bool) -> Result {
        let fs = sb.data();
        let sync = || -> FsResult {
            let Some(journal) = fs.journal_for_writing(sb)? else {
                return Ok(());
            };
            match journal.start_commit() {
                Some(tid) if wait => journal.commit_and_flush(tid, sb.device())?,
                None if wait => sb.device().flush()?,
                _ => {}
            }
            Ok(journal.must_not_be_aborted()?)
        };
        sync().map_err(|e| fs.errno_at(sb, None, "sync", e))
    }

    fn freeze(sb: &SuperBlock<Self>) -> Result {
        let fs = sb.data();
        let freeze = || -> FsResult {
            let Some(journal) = fs.journal_for_writing(sb)? else {
                return Ok(());
            };
            // The VFS keeps writers out; the lock waits for what they have begun.
            fs.flush_and_write_clean(journal)?;
            fs.discard_committed(sb);
            Ok(())
        };
        freeze().map_err(|e| fs.errno_at(sb, None, "freeze", e))
    }

    fn thaw(sb: &SuperBlock<Self>) -> Result {
        let fs = sb.data();
        let writes = || !sb.is_read_only() && !fs.is_stopped() && !fs.is_down();
        if !writes() || fs.journal.get().is_none() {
            return Ok(());
        }
        fs.check_protection(sb);
        if !writes() {
            return Ok(());
        }
        // An error would leave it frozen, for ever if the next thaw fails too.
        fs.write_in_use_again(sb, "thaw");
        Ok(())
    }

    fn statfs(sb: &SuperBlock<Self>) -> Result<StatFs> {
        let fs = sb.data();
        let statfs = || -> FsResult<StatFs> {
            let groups = fs.groups()?;
            fs.renew_reserved();
            let free = groups.free_space();
            let per_cluster = u64::from(fs.layout.blocks_per_cluster());
            let overhead = if fs.options().minixdf {
                0
            } else {
                fs.overhead.load(Ordering::Relaxed)
            };
            Ok(StatFs {
                block_size: fs.layout.block_size().bytes(),
                blocks: fs.layout.blocks_count().saturating_sub(overhead),
                free: free.blocks * per_cluster,
                available: free.blocks_for_all * per_cluster,
                inodes: u64::from(fs.layout.inodes_count()),
                free_inodes: free.inodes,
                id: fs.id,
                name_len: NAME_LEN,
            })
        };
        statfs().map_err(|e| fs.errno_at(sb, None, "statfs", e))
    }

    fn show_options(sb: &SuperBlock<Self>, seq: &SeqFile) {
        options::show(sb, seq);
    }

    fn show_stats(sb: &SuperBlock<Self>, seq: &SeqFile) {
        options::show_counters(sb, seq);
    }

    fn reconfigure(sb: &SuperBlock<Self>, asked: &Asked, read_only: bool) -> Result {
        remount::remount(sb, &asked.wish, read_only)
    }

    fn write_inode(inode: &Inode<Self>, wait: bool) -> Result {
        inode::store::write_inode(inode, wait)
            .map_err(|e| Filesystem::errno(inode, "write an inode", e))
    }

    fn evict_inode(inode: &Inode<Self>) {
        truncate::evict(inode);
    }
}

/// Ends what was written to, after its journal was closed with this result.
fn end(sb: &SuperBlock<Rext4>, closed: Result) {
    let fs = sb.data();
    if fs.is_down() {
        return;
    }
    if closed.is_err() {
        pr_err!("({}): error: the journal could not be closed\n", sb.id());
        return;
    }
    if !sb.is_read_only() && !fs.is_stopped() {
        fs.discard_at_end(sb);
        if let Err(e) = fs.write_clean() {
            pr_err!("({}): error: can't write the super block: {}\n", sb.id(), e);
        }
    }
}

/// Says why a mount failed, and gives the errno.
fn mount_errno(sb: &NewSuperBlock<'_, Rext4>, e: FsError) -> Error {
    match e {
        FsError::Kernel(errno) | FsError::Torn(errno) => errno,
        // Not a damaged file system, but none of this kind: whoever tries one after the other has
        // to be able to tell.
        FsError::Corrupt(Corrupt::Superblock(SuperblockError::Magic(_))) => {
            if !sb.is_silent() {
                pr_err!("({}): error: there is no ext4 file system\n", sb.id());
            }
            code::EINVAL
        }
        FsError::Corrupt(corrupt) => {
            if !sb.is_silent() {
                pr_err!(
                    "({}): error: can't mount: {}\n",
                    sb.id(),
                    FsError::Corrupt(corrupt)
                );
            }
            euclean()
        }
    }
}

fn fill_super(sb: &NewSuperBlock<'_, Rext4>, asked: &Asked) -> FsResult<Pin<KBox<Filesystem>>> {
    // Any device can read the super block in units of its sectors, and of 1 KiB at least.
    let first_size = sb.device().logical_block_bytes().max(1024);
    sb.set_block_size(first_size)?;
    // Buffers of an earlier mount may carry marks about contents that were changed since.
    sb.device().reset_cache()?;
    let first = Primary::read(sb.device(), first_size)?;
    let block_size = first.with(|superblock| {
        check_is_ext4(sb, superblock)?;
        Ok::<_, FsError>(superblock.block_size().map_err(Corrupt::from)?)
    })??;
    if block_size.bytes() < sb.device().logical_block_bytes() {
        pr_err!(
            "({}): error: blocks of {} bytes are smaller than the device's sectors of {} bytes\n",
            sb.id(),
            block_size.bytes(),
            sb.device().logical_block_bytes()
        );
        return Err(FsError::Kernel(code::EINVAL));
    }
    drop(first);
    if sb.set_block_size(block_size.bytes()).is_err() {
        pr_err!(
            "({}): error: blocks of {} bytes are not supported by this kernel\n",
            sb.id(),
            block_size.bytes()
        );
        return Err(FsError::Kernel(code::EINVAL));
    }
    let primary = Primary::read(sb.device(), block_size.bytes())?;
    let superblock = primary.with(read_facts)?;
    // First the features: unknown ones may change what other fields mean.
    check_features(sb, &superblock)?;
    let Geometry { layout, not_kept } = geometry::read(sb.device(), &primary)?;
    if not_kept > 0 {
        pr_warn!(
            "({}): warning: {} blocks are said to be kept for more descriptors, but no resize inode has them and \
             other metadata lies there; running e2fsck is recommended\n",
            sb.id(),
            not_kept
        );
    }
    let why = match superblock.state {
        state if state.has_errors() => Some("with errors"),
        state if !state.is_clean() => Some("that was not left clean"),
        _ if sb.is_read_only() => None,
        _ => superblock.due.map(|due| match due {
            DueCheck::Mounts => "that was mounted as often as it may be between two checks",
            DueCheck::Time => "whose next check is due",
        }),
    };
    if let Some(why) = why {
        pr_warn!(
            "({}): warning: mounting a file system {}, running e2fsck is recommended\n",
            sb.id(),
            why
        );
    }
    let defaults = primary.with(Defaults::of)?;
    let (options, quota_files) = asked.over(sb, &defaults)?;
    options.check(sb.id(), &layout, superblock.features)?;
    if options.abort {
        pr_err!(
            "({}): error: abort is an option for a remount, after which nothing is written\n",
            sb.id()
        );
        return Err(FsError::Kernel(code::EINVAL));
    }
    let has_journal = superblock.features.has(Feature::HAS_JOURNAL);
    if let Some(option) = options
        .of_journal
        .filter(|_| options.noload || !has_journal)
    {
        pr_err!(
            "({}): error: {} is an option for a file system with a journal, and is mounted without\n",
            sb.id(),
            option
        );
        return Err(FsError::Kernel(code::EINVAL));
    }
    let device_blocks = sb.device().bytes() >> layout.block_size().bits();
    if layout.blocks_count() > device_blocks {
        pr_err!(
            "({}): error: the file system has {} blocks, its device only {}\n",
            sb.id(),
            layout.blocks_count(),
            device_blocks
        );
        return Err(FsError::Kernel(code::EINVAL));
    }
    sb.set_max_bytes(i64::from(u32::MAX) << layout.block_size().bits());
    use crate::disk::inode::Timestamp as T;
    let (last, step) = if layout.inode_size() > 128 {
        (T::MAX_SECONDS, 1)
    } else {
        (T::MAX_SHORT_SECONDS, 1_000_000_000)
    };
    sb.set_time_range(T::MIN_SECONDS, last, step);
    sb.set_uuid(&superblock.uuid);
    sb.enable_cgroup_writeback();
    sb.allow_filling_on_access();
    if options.acl {
        sb.enable_posix_acl();
    }
    sb.offer_quotas(superblock.features.has(Feature::QUOTA));
    let word = |at: usize| {
        let bytes = superblock
            .uuid
            .get(at..)
            .and_then(|rest| rest.first_chunk());
        bytes.map_or(0, |bytes| u64::from_le_bytes(*bytes))
    };
    // As C ext4 makes it: both halves of the UUID, one over the other.
    let id = word(0) ^ word(8);
    let nolock = options.dioread_nolock;
    let journals_data = options.data == DataMode::Journal;
    let extra_size = options.wanted_extra_size(&layout);
    let fs = KBox::try_pin_init(
        try_pin_init!(Filesystem {
            layout: Arc::new(layout, GFP_KERNEL)?,
            features: superblock.features,
            seed: superblock.seed,
            hash: superblock.hash,
            journal: JournalSlot::new(),
            commit_work <- CommitWork::new::<Rext4>(),
            ioend_workers: IoendWorkers::new(sb.id())?,
            background <- Background::new::<Rext4, Housekeeping>(None),
            zeroing <- new_spinlock!(TablePosition::default(), "rext4_zeroing"),
            protection <- Protection::new(superblock.features.has(Feature::MMP), sb.id()),
            groups: SetOnce::new(),
            sysfs: Slot::new(),
            counters: Counters::default(),
            shrinker <- Shrinker::new(),
            extent_cache: inode::Usage::default(),
            orphans <- Orphans::new(),
            primary,
            was_clean: AtomicBool::new(false),
            descriptor_checksum: superblock.descriptor_checksum,
            options <- new_spinlock!(options, "rext4_options"),
            quota_files <- new_mutex!(quota_files, "rext4_quota_files"),
            dioread_nolock: AtomicBool::new(nolock),
            journals_data,
            last_journaled: LastWrites::new()?,
            wanted_extra_size: AtomicU32::new(extra_size),
            default_on_damage: superblock.on_damage,
            stopped: AtomicBool::new(false),
            down: AtomicBool::new(false),
            reports: super::damage::Reports::default(),
            warnings: super::damage::Reports::default(),
            claims: Claims::new()?,
            shared_xattrs <- new_mutex!((), "rext4_shared_xattrs"),
            resizing <- new_mutex!((), "rext4_resizing"),
            unaligned_warning: DailyWarning::new(),
            room_warning: DailyWarning::new(),
            warned: AtomicU64::new(0),
            overhead: AtomicU64::new(0),
            mount_point: SetOnce::new(),
            id: [id as u32, (id >> 32) as u32],
        }? Error),
        GFP_KERNEL,
    )?;
    Ok(fs)
}

/// Says so if there is no ext4 file system at all, or its super block is damaged.
fn check_is_ext4(sb: &NewSuperBlock<'_, Rext4>, superblock: &Superblock) -> FsResult {
    if let Err(e) = superblock.verify_checksum(crc32c) {
        if !sb.is_silent() {
            pr_err!(
                "({}): error: can't mount: {}; e2fsck can restore it from a copy\n",
                sb.id(),
                FsError::Corrupt(e.into())
            );
        }
        return Err(FsError::Kernel(Error::from_errno(
            -(crate::bindings::EBADMSG as i32),
        )));
    }
    Ok(())
}

fn read_facts(superblock: &Superblock) -> Facts {
    let features = superblock.features();
    let seed = superblock
        .features()
        .has(Feature::METADATA_CSUM)
        .then(|| superblock.checksum_seed(crc32c))
        .flatten();
    let descriptor_checksum = match seed {
        Some(seed) => GroupDescChecksum::Crc32c(seed),
        None if features.has(Feature::GDT_CSUM) => GroupDescChecksum::Crc16 {
            uuid: *superblock.uuid(),
        },
        None => GroupDescChecksum::None,
    };
    Facts {
        features,
        seed,
        hash: HashSettings {
            seed: superblock.hash_seed(),
            default_version: superblock.default_hash_version(),
            // As C ext4 does it: in today's kernels a `char` has no sign.
            signedness: superblock
                .hash_signedness()
                .unwrap_or(HashSignedness::Unsigned),
        },
        on_damage: match superblock.on_error() {
            OnError::Continue => OnDamage::Continue,
            OnError::RemountReadOnly => OnDamage::RemountReadOnly,
            OnError::Panic => OnDamage::Panic,
        },
        state: superblock.state(),
        uuid: *superblock.uuid(),
        external_journal: superblock.journal_device().is_some(),
        is_of_hurd: superblock.is_of_hurd(),
        due: superblock.due_check(u64::try_from(Timestamp::now().seconds).unwrap_or(0)),
        descriptor_checksum,
    }
}

/// Refuses features that rext4 does not support, by name.
fn check_features(sb: &NewSuperBlock<'_, Rext4>, facts: &Facts) -> FsResult {
    let forbidden = facts.features.forbid_mounting();
    if !forbidden.is_empty() {
        pr_err!(
            "({}): error: can't mount: unsupported features: {}\n",
            sb.id(),
            kernel::prelude::fmt!("{}", crate::error::Shown(&forbidden))
        );
        return Err(FsError::Kernel(code::EINVAL));
    }
    let read_only = facts.features.forbid_writing();
    if !read_only.is_empty() && !sb.is_read_only() {
        pr_err!(
            "({}): error: can't mount writable: unsupported features: {}; \
             it can be mounted read-only (-o ro)\n",
            sb.id(),
            kernel::prelude::fmt!("{}", crate::error::Shown(&read_only))
        );
        // mount(8) takes EROFS for a wish to be mounted read-only.
        return Err(FsError::Kernel(code::EINVAL));
    }
    if facts.is_of_hurd && !sb.is_read_only() {
        pr_err!(
            "({}): error: can't mount writable: it was made for the Hurd, in whose inodes some fields mean something \
             else; it can be mounted read-only (-o ro)\n",
            sb.id()
        );
        return Err(FsError::Kernel(code::EROFS));
    }
    if !quota::can_be_kept(facts.features) && !sb.is_read_only() {
        quota::say_why_not(sb.id());
        return Err(FsError::Kernel(code::EROFS));
    }
    if facts.external_journal {
        pr_err!(
            "({}): error: can't mount: its journal is on another device, which is not supported\n",
            sb.id()
        );
        return Err(FsError::Kernel(code::EINVAL));
    }
    Ok(())
}

/// Whether something is written to the device when it is mounted.
fn will_write(sb: &SuperBlock<Rext4>) -> FsResult<bool> {
    let fs = sb.data();
    Ok(!sb.is_read_only() || (journal::needs_recovery(fs)? && !fs.has_no_journal()))
}

/// Recovers, reads what recovery may have changed, and finishes what a crash has left.
fn activate(sb: &SuperBlock<Rext4>) -> FsResult<ARef<Inode<Rext4>>> {
    let fs = sb.data();
    let needs_recovery = journal::needs_recovery(fs)?;
    let recovers = needs_recovery && !fs.has_no_journal();
    if needs_recovery && !recovers && !sb.is_read_only() {
        pr_err!(
            "({}): error: the journal has to be recovered, so noload is possible read-only alone \
             (-o ro)\n",
            sb.id()
        );
        return Err(FsError::Kernel(code::EINVAL));
    }
    if recovers || !sb.is_read_only() {
        journal::set(sb, needs_recovery)?;
    }
    load_groups(sb)?;
    fs.must_not_be_taken_over()?;
    if !sb.is_read_only() {
        begin_writing(sb, &fs.options())?;
    } else if recovers {
        end_recovery(sb)?;
    }
    let root = inode::get(sb, InodeNumber::ROOT)?;
    if !root.is_directory() {
        pr_err!(
            "({}): error: can't mount: the root is no directory\n",
            sb.id()
        );
        return Err(FsError::Kernel(euclean()));
    }
    if !sb.is_read_only() {
        fs.start_zeroing(sb);
    }
    pr_info!(
        "({}): mounted {}\n",
        sb.id(),
        if sb.is_read_only() {
            "read-only"
        } else {
            "writable"
        }
    );
    Ok(root)
}

/// Reads the group descriptors, and notes which blocks are the file system's own.
fn load_groups(sb: &SuperBlock<Rext4>) -> FsResult {
    let fs = sb.data();
    let reserved = fs
        .primary
        .with(|superblock| superblock.reserved_blocks_count())?;
    let mut groups = Groups::load(sb.device(), &fs.layout, fs.descriptor_checksum, reserved)?;
    let number = fs.primary.with(|superblock| superblock.journal_inode())?;
    let left_alone = fs.options().noload && sb.is_read_only();
    if let Some(number) = number.filter(|_| !left_alone) {
        let inode = inode::get(sb, number)?;
        let runs = journal::runs(&inode)?;
        groups.protect(runs.into_iter())?;
    }
    // mke2fs notes it; an older one did not.
    let noted = fs
        .primary
        .with(|superblock| superblock.overhead_clusters())?;
    let overhead = match noted {
        0 => groups.system().blocks(),
        noted => u64::from(noted) * u64::from(fs.layout.blocks_per_cluster()),
    };
    fs.overhead.store(overhead, Ordering::Relaxed);
    // A read-only mount does without a good place for it.
    let place = fs
        .primary
        .with(|superblock| superblock.mmp_block())?
        .filter(|&block| fs.layout.check_mmp_block(block).is_ok());
    if let Some(first) = place {
        if !sb.is_read_only() || groups.system().check_foreign(first, 1).is_ok() {
            groups.protect(iter::once(SystemRun { first, count: 1 }))?;
        }
    }
    fs.set_discard(&groups, fs.options().discard);
    fs.set_stripes(&groups);
    if !fs.groups.populate(groups) {
        return Err(FsError::Kernel(code::EBUSY));
    }
    warn_of_discard(sb, &fs.options());
    Ok(())
}

/// Says so if `discard` was asked for and can't be had.
pub(super) fn warn_of_discard(sb: &SuperBlock<Rext4>, options: &Options) {
    if options.discard && !sb.device().can_discard() {
        pr_warn!(
            "({}): warning: discard was asked for, and the device can't do that\n",
            sb.id()
        );
    }
}

/// Finishes what a crash has left, though the mount is read-only, and says on disk that nothing has
/// to be recovered again. The journal was loaded.
///
/// Orphans stay where rext4 or an earlier mount knows of a reason not to write: for e2fsck, and for
/// who mounts it to see what can be saved.
fn end_recovery(sb: &SuperBlock<Rext4>) -> FsResult {
    let fs = sb.data();
    let has_errors = fs
        .primary
        .with(|superblock| superblock.state().has_errors())?;
    if has_errors || !fs.features.forbid_writing().is_empty() {
        // The journal says that it is empty before the file system says so, and not at the end of the mount.
        if let Some(journal) = fs.journal.get() {
            journal.lock_updates()?.flush(Wipe::Nothing)?;
        }
        fs.primary
            .write_now(|superblock| superblock.set_feature(Feature::NEEDS_RECOVERY, false))?;
        return Ok(());
    }
    sb.while_writable(|| {
        fs.write_in_use(false)?;
        if let Err(e) = quota::with_quotas(sb, || finish_orphans(sb)) {
            pr_warn!(
                "({}): warning: orphans are left: error {}\n",
                sb.id(),
                fs.errno_at(sb, None, "finish orphans", e).to_errno()
            );
        }
        if fs.is_stopped() {
            return Ok(());
        }
        fs.flush_and_write_clean(fs.writing(sb)?)
    })
}

/// Makes the file system writable: says so on disk, and finishes what a crash has left.
pub(super) fn begin_writing(sb: &SuperBlock<Rext4>, options: &Options) -> FsResult {
    let fs = sb.data();
    let was_clean = fs
        .primary
        .with(|superblock| superblock.state().is_clean())?;
    // Or it was, and an earlier try has failed, also to say so again.
    fs.was_clean.fetch_or(was_clean, Ordering::Relaxed);
    // What is freed of orphans is counted, too. If it can't be, nothing is written.
    quota::begin(sb, options)?;
    fs.write_in_use(true)?;
    finish_orphans(sb)
}

/// Finishes what a crash has left of inodes that were being deleted or cut. Nothing of it where errors were
/// found before.
fn finish_orphans(sb: &SuperBlock<Rext4>) -> FsResult {
    let fs = sb.data();
    let (file, head) = fs
        .primary
        .with(|superblock| (superblock.orphan_file_inode(), superblock.last_orphan()))?;
    let file = match file.filter(|_| fs.features.has(Feature::ORPHAN_FILE)) {
        Some(number) => Some(inode::get(sb, number)?),
        None => None,
    };
    if fs.orphans.is_loaded() {
        return Ok(());
    }
    let has_errors = fs
        .primary
        .with(|superblock| superblock.state().has_errors())?;
    let found = fs.orphans.load(sb, file.as_deref(), head)?;
    if has_errors && !found.is_empty() {
        // What they say of their blocks may be wrong.
        pr_warn!(
            "({}): warning: {} orphans are left for e2fsck: there were errors\n",
            sb.id(),
            found.len()
        );
        fs.orphans.note_uncut();
        return Ok(());
    }
    if found.is_empty() {
        return Ok(());
    }
    quota::counting_orphans(sb, || finish(sb, found))
}

/// Finishes orphans, as far as that can be done.
fn finish(sb: &SuperBlock<Rext4>, found: KVVec<InodeNumber>) {
    let fs = sb.data();
    let mut finished = Finished::default();
    for orphan in found {
        // What is stopped by one of them can be mounted all the same, to be looked at.
        if fs.writing(sb).is_err() {
            break;
        }
        // One that can't be finished stays listed, for e2fsck.
        if let Err(e) = truncate::finish_orphan(sb, orphan, &mut finished) {
            fs.orphans.note_uncut();
            let e = fs.errno_at(sb, Some(orphan), "finish an orphan", e);
            pr_warn!(
                "({}): warning: inode {} stays an orphan: error {}\n",
                sb.id(),
                orphan.0,
                e.to_errno()
            );
        }
    }
    if finished.deleted + finished.truncated > 0 {
        pr_info!(
            "({}): orphans: {} deleted, {} truncated\n",
            sb.id(),
            finished.deleted,
            finished.truncated
        );
    }
}

impl Filesystem {
    /// Writes into the super block that the file system is in use: a crash from now on needs
    /// recovery, or e2fsck.
    fn write_in_use(&self, mounted: bool) -> FsResult {
        let now = u64::try_from(Timestamp::now().seconds).unwrap_or(0);
        let orphan_file = self.features.has(Feature::ORPHAN_FILE);
        let has_no_journal = self.has_no_journal();
        let has_indexes = self.features.has(Feature::DIR_INDEX);
        self.primary.write_now(|superblock| {
            if mounted {
                superblock.note_mount(now);
                if has_indexes && superblock.hash_signedness().is_none() {
                    // Who comes later must not choose otherwise.
                    superblock.set_hash_signedness(self.hash.signedness);
                }
            }
            if has_no_journal {
                superblock.set_state(superblock.state().with_clean(false));
                return;
            }
            superblock.set_feature(Feature::NEEDS_RECOVERY, true);
            if orphan_file {
                superblock.set_feature(Feature::ORPHAN_PRESENT, true);
            }
        })
    }

    /// Says once more that it is in use. If that can't be said, nothing may be written that would need recovery.
    pub(super) fn write_in_use_again(&self, sb: &SuperBlock<Rext4>, what: &'static str) {
        if let Err(e) = self.write_in_use(false) {
            let e = self.errno_at(sb, None, what, e);
            pr_err!(
                "({}): error: can't write the super block: {}\n",
                sb.id(),
                e.to_errno()
            );
            self.stop(sb, code::EIO);
        }
    }

    /// Ends what [`begin_writing`] has begun, as the file system becomes read-only again: what it was found to
    /// be is asked anew the next time.
    ///
    /// # Errors
    ///
    /// Those of [`Self::flush_and_write_clean`].
    pub(super) fn end_writing(&self, journal: &Journal) -> FsResult {
        self.flush_and_write_clean(journal)?;
        self.was_clean.store(false, Ordering::Relaxed);
        Ok(())
    }

    /// Brings everything to its place, and says so on disk: see [`Self::write_clean`]. Waits for what
    /// has been begun; the caller keeps others from going on after it.
    pub(super) fn flush_and_write_clean(&self, journal: &Journal) -> FsResult {
        let locked = journal.lock_updates()?;
        locked.flush(Wipe::Nothing)?;
        self.write_clean()
    }

    /// Writes into the super block that everything is in its place: nothing needs recovery. The
    /// journal is empty.
    ///
    /// Without one it is left clean if it was found so, and has no orphans: they are listed nowhere.
    fn write_clean(&self) -> FsResult {
        let counts = self
            .groups
            .as_ref()
            .map(|groups| (groups.free_blocks(), groups.free_inodes()));
        // If they could not be read, nothing was done that would make one.
        let no_orphans = self.orphans.is_empty();
        let has_none_on_disk = self.orphans.is_loaded() && no_orphans;
        let was_clean = self.was_clean.load(Ordering::Relaxed);
        let becomes_clean = self.has_no_journal() && no_orphans && was_clean;
        self.primary.write_now(|superblock| {
            superblock.set_feature(Feature::NEEDS_RECOVERY, false);
            if becomes_clean {
                superblock.set_state(superblock.state().with_clean(true));
            }
            let known = |path: &&[u8; MOUNT_POINT_SIZE]| path.first() != Some(&0);
            if let Some(path) = self.mount_point.as_ref().filter(known) {
                superblock.set_last_mounted(path);
            }
            if has_none_on_disk {
                superblock.set_feature(Feature::ORPHAN_PRESENT, false);
            }
            if let Some((blocks, inodes)) = counts {
                superblock.set_free_blocks_count(blocks);
                superblock.set_free_inodes_count(u32::try_from(inodes).unwrap_or(u32::MAX));
            }
        })
    }
}
