// SPDX-License-Identifier: GPL-2.0

//! What a mount makes changes through: the journal, which is found and recovered, or none.

use super::{geometry, options::Options, Filesystem};
use crate::{
    disk::{allocation::SystemRun, features::Feature, units::LogicalBlock, Corrupt},
    error::{eopnotsupp, euclean, FsError, FsResult},
    group::tidy,
    inode::{
        self,
        map::{self, Found},
    },
    quota,
    vfs::{
        checksum::crc32c,
        inode::Inode,
        jbd2::{Checksums, Features, Journal, Settings, UnloadedJournal, Wipe},
        readdir::pause,
        super_block::SuperBlock,
    },
    Rext4,
};
use kernel::{
    error::{code, Error},
    prelude::*,
};

/// Whether there is a journal with something in it.
pub(super) fn needs_recovery(fs: &Filesystem) -> FsResult<bool> {
    fs.primary.with(|superblock| {
        let features = superblock.features();
        features.has(Feature::HAS_JOURNAL) && features.has(Feature::NEEDS_RECOVERY)
    })
}

/// Finds the journal and recovers what is in it; or has changes written in place.
pub(super) fn set(sb: &SuperBlock<Rext4>, needs_recovery: bool) -> FsResult {
    let fs = sb.data();
    if !fs.has_no_journal() {
        return load(sb, needs_recovery);
    }
    let journal = Journal::in_place(sb.device())?;
    journal.configure(settings(&fs.options()));
    fs.commit_work.attach(&journal, sb);
    Ok(fs.journal.set(journal)?)
}

/// Finds the journal and recovers what is in it.
fn load(sb: &SuperBlock<Rext4>, needs_recovery: bool) -> FsResult {
    let fs = sb.data();
    let number = fs
        .primary
        .with(|superblock| superblock.journal_inode())?
        .ok_or(FsError::Kernel(code::EINVAL))?;
    if needs_recovery {
        if sb.device().is_read_only() {
            pr_err!(
                "({}): error: the journal has to be recovered, but the device is read-only; \
                 noload mounts without that, and may show an inconsistent state\n",
                sb.id()
            );
            return Err(FsError::Kernel(code::EROFS));
        }
        pr_info!("({}): recovering the journal\n", sb.id());
    }
    let inode = inode::get(sb, number)?;
    if !inode.is_regular() || inode.links() == 0 {
        return Err(FsError::Kernel(euclean()));
    }
    let failed = |e: Error| {
        pr_err!(
            "({}): error: the journal can't be used: error {}; e2fsck can make it anew\n",
            sb.id(),
            e.to_errno()
        );
        FsError::Kernel(e)
    };
    let errors = fs.primary.with(|superblock| superblock.error_history())?;
    let mut unloaded = UnloadedJournal::of(inode).map_err(failed)?;
    // Before anything is recovered.
    unloaded.configure(settings(&fs.options()));
    if !needs_recovery {
        // What is in it is older than the file system, which says that it was left clean.
        unloaded.wipe(!sb.is_read_only()).map_err(failed)?;
    }
    let mut log = unloaded.load().map_err(|e| {
        if e == eopnotsupp() {
            pr_err!(
                "({}): error: the journal has fast commits, which can't be recovered; \
                 e2fsck can do it\n",
                sb.id()
            );
            return FsError::Kernel(e);
        }
        failed(e)
    })?;
    let failed_before = log.recorded_error();
    let features = Features {
        checksums: match (fs.options().journal_checksum, fs.seed) {
            (Some(false), _) | (None, None) => Checksums::None,
            (Some(true), None) => Checksums::OfTransactions,
            (_, Some(_)) => Checksums::OfBlocks,
        },
        wide_blocks: fs.features.has(Feature::SIXTY_FOUR_BIT),
    };
    log.set_features(features).inspect_err(|_| {
        pr_err!(
            "({}): error: the journal has an old format; when it is unmounted, \"tune2fs -O ^has_journal\" and \
             \"tune2fs -j\" make it anew\n",
            sb.id()
        );
    })?;
    if failed_before.is_err() {
        pr_warn!(
            "({}): warning: the journal was given up in an earlier mount, running e2fsck is \
             recommended\n",
            sb.id()
        );
        fs.primary.write_now(|superblock| {
            superblock.note_errors();
        })?;
        log.clear_error()?;
    }
    let journal = Journal::from(log);
    // Now it has a thread, too.
    journal.configure(settings(&fs.options()));
    if fs.features.has(Feature::QUOTA) || fs.options().quota {
        journal.set_spare_credits(quota::CREDITS);
    }
    fs.commit_work.attach(&journal, sb);
    fs.journal.set(journal)?;
    if needs_recovery {
        // What comes next would be written in the format that is set by now, under a super block of the journal that
        // says what it was in: after recovery jbd2 has written that already.
        if let Some(journal) = fs.journal.get() {
            journal.lock_updates()?.flush(Wipe::Nothing)?;
        }
        // Recovery may have brought back an older or newer super block and other metadata.
        let checked = fs
            .primary
            .with(|superblock| superblock.verify_checksum(crc32c))?;
        checked.map_err(Corrupt::from)?;
        let after = geometry::read(sb.device(), &fs.primary)?.layout;
        // Errors may have been recorded past the journal, which then has an older copy.
        fs.primary
            .write_now(|superblock| superblock.set_error_history(&errors))?;
        // It may have grown before the crash.
        let device_blocks = sb.device().bytes() >> after.block_size().bits();
        if after.blocks_count() <= device_blocks {
            fs.layout.extend(after.blocks_count());
        }
        if after != *fs.layout {
            pr_err!(
                "({}): error: recovery has changed the geometry of the file system, mount it \
                 again\n",
                sb.id()
            );
            return Err(FsError::Kernel(code::EAGAIN));
        }
    }
    Ok(())
}

pub(super) fn settings(options: &Options) -> Settings {
    Settings {
        commit_interval_seconds: options.commit_seconds,
        barriers: options.barrier,
        min_batch_micros: options.min_batch_micros,
        max_batch_micros: options.max_batch_micros,
        priority: options.journal_ioprio,
    }
}

/// Runs that are kept before it is looked whether two of them overlap.
const UNTIDY: usize = 4096;

/// The runs of blocks that the journal lies in.
///
/// # Errors
///
/// `EUCLEAN` if it has more blocks than the file system; damage if it has one twice. A block map can lead to the same
/// ones again and again, and that has to be found before memory is full of them.
pub(super) fn runs(inode: &Inode<Rext4>) -> FsResult<KVVec<SystemRun>> {
    let mut runs = KVVec::new();
    let layout = &inode.super_block().data().layout;
    let size = layout.block_size();
    let blocks = size.blocks_for(u64::try_from(inode.size()).unwrap_or(0));
    if blocks > layout.blocks_count() {
        return Err(FsError::Kernel(euclean()));
    }
    // Checked when the inode was loaded.
    let end = LogicalBlock(u32::try_from(blocks).unwrap_or(u32::MAX));
    let mut at = LogicalBlock(0);
    let mut untidy = UNTIDY;
    while at < end {
        pause()?;
        let len = match map::find(inode, at)? {
            Found::Hole { len } => len,
            Found::Written { start, len } | Found::Unwritten { start, len } => {
                let count = len;
                if runs.len() >= untidy {
                    runs = tidy(runs)?;
                    untidy = UNTIDY.max(runs.len().saturating_mul(2));
                }
                runs.push(
                    SystemRun {
                        first: start,
                        count,
                    },
                    GFP_KERNEL,
                )?;
                len
            }
        };
        at = LogicalBlock(at.0.saturating_add(len));
    }
    Ok(runs)
}
