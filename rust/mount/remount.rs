// SPDX-License-Identifier: GPL-2.0

//! Other options for a mounted file system, and the changes between read-only and writable.

use super::{
    asked::Wish,
    journal,
    life::{begin_writing, warn_of_discard},
    options::{DataMode, Options},
    quota_files::QuotaFiles,
};
use crate::{
    disk::features::Feature,
    error::{FsError, FsResult},
    quota,
    vfs::super_block::SuperBlock,
    Rext4,
};
use kernel::{error::code, prelude::*};

/// Carries out a remount. Called with the super block's `s_umount` held for writing.
///
/// # Errors
///
/// For an option that can't be changed, and where the file system can't become writable. Then all is as
/// it was.
pub(super) fn remount(sb: &SuperBlock<Rext4>, wish: &Wish, read_only: bool) -> Result {
    let fs = sb.data();
    let mut options = wish.options;
    let checksums = fs.options().journal_checksum;
    let has_checksums = |asked: Option<bool>| asked.unwrap_or(fs.seed.is_some());
    if has_checksums(options.journal_checksum) != has_checksums(checksums) {
        pr_warn!(
            "({}): warning: whether the journal has checksums can't be changed by a remount, and stays as it is\n",
            sb.id()
        );
        options.journal_checksum = checksums;
    }
    // It must not write once the mount is read-only, and goes on with the new options.
    fs.background.stop();
    let failed = |e| fs.errno_at(sb, None, "remount", e);
    let result = may_reconfigure(sb, &options, read_only)
        .and_then(|()| settle_quota_files(sb, wish, &mut options))
        .map_err(failed)
        .and_then(|files| match sb.is_read_only() && !read_only {
            true => fs.protect(sb).map(|()| files),
            false => Ok(files),
        })
        .and_then(|files| {
            // Orphans that are finished when it becomes writable are counted there.
            let old = core::mem::replace(&mut *fs.quota_files.lock(), files);
            let done = reconfigure(sb, &options, read_only).map_err(failed);
            if done.is_err() {
                *fs.quota_files.lock() = old;
            }
            done
        });
    // If it is to be read-only and that has failed, the VFS may insist on it.
    if (!read_only && result.is_ok()) || (result.is_err() && !sb.is_read_only()) {
        fs.restart_zeroing(sb);
    }
    if result.is_ok() && options.abort {
        // At last, so that the rest of what was asked for is not in its way.
        let abort = || fs.abort_was_asked_for(sb);
        match sb.is_read_only() && !read_only {
            true => sb.while_writable(abort),
            false => abort(),
        }
    }
    // The VFS sets the flag after this.
    if (read_only && result.is_ok()) || (sb.is_read_only() && result.is_err()) {
        fs.unprotect(sb);
    }
    result
}

/// Which quota files have names from now on.
fn settle_quota_files(
    sb: &SuperBlock<Rext4>,
    wish: &Wish,
    options: &mut Options,
) -> FsResult<QuotaFiles> {
    let state = (quota::are_hidden(sb), sb.has_quotas_loaded());
    let now = sb.data().quota_files.lock();
    wish.files.settle(&now, options, state, sb.id())
}

/// Whether a remount with these options can be tried.
fn may_reconfigure(sb: &SuperBlock<Rext4>, options: &Options, read_only: bool) -> FsResult {
    let fs = sb.data();
    let old = fs.options();
    if old.noload != options.noload {
        pr_err!(
            "({}): error: noload can't be changed by a remount\n",
            sb.id()
        );
        return Err(FsError::Kernel(code::EINVAL));
    }
    if old.acl != options.acl {
        pr_err!("({}): error: acl can't be changed by a remount\n", sb.id());
        return Err(FsError::Kernel(code::EINVAL));
    }
    if (old.data == DataMode::Journal) != (options.data == DataMode::Journal) {
        pr_err!(
            "({}): error: data=journal can't be changed by a remount\n",
            sb.id()
        );
        return Err(FsError::Kernel(code::EINVAL));
    }
    options.check(sb.id(), &fs.layout, fs.features)?;
    if !quota::are_hidden(sb) {
        if old.quota && !options.quota && sb.has_quotas_loaded() {
            pr_err!(
                "({}): error: noquota can't be had while quotas are turned on, which \"quotaoff\" ends\n",
                sb.id()
            );
            return Err(FsError::Kernel(code::EINVAL));
        }
    } else if !sb.is_read_only() && options.quota_limits.lacks(old.quota_limits) {
        pr_err!(
            "({}): error: noquota can't be had by a remount; \"quotaoff\" has limits not heeded any more\n",
            sb.id()
        );
        return Err(FsError::Kernel(code::EINVAL));
    }
    if let Some(option) = options.of_journal.filter(|_| fs.has_no_journal()) {
        pr_warn!(
            "({}): warning: {} means nothing without a journal\n",
            sb.id(),
            option
        );
    }
    if fs.is_down() && read_only != sb.is_read_only() {
        return Err(FsError::Kernel(code::EROFS));
    }
    if fs.is_stopped() && !read_only {
        pr_err!(
            "({}): error: it was stopped because of damage; unmount it and run e2fsck\n",
            sb.id()
        );
        return Err(FsError::Kernel(code::EROFS));
    }
    if sb.is_read_only() && !read_only {
        let forbidden = fs.features.forbid_writing();
        if !forbidden.is_empty() {
            pr_err!(
                "({}): error: can't become writable: unsupported features: {}\n",
                sb.id(),
                kernel::prelude::fmt!("{}", crate::error::Shown(&forbidden))
            );
            return Err(FsError::Kernel(code::EROFS));
        }
        if fs.primary.with(|superblock| superblock.is_of_hurd())? {
            pr_err!(
                "({}): error: can't become writable: it was made for the Hurd\n",
                sb.id()
            );
            return Err(FsError::Kernel(code::EROFS));
        }
        if !quota::can_be_kept(fs.features) {
            quota::say_why_not(sb.id());
            return Err(FsError::Kernel(code::EROFS));
        }
        if fs.features.has(Feature::HAS_JOURNAL) && fs.journal.get().is_none() && old.noload {
            pr_err!(
                "({}): error: it was mounted with noload; unmount it and mount it again\n",
                sb.id()
            );
            return Err(FsError::Kernel(code::EINVAL));
        }
    }
    Ok(())
}

fn reconfigure(sb: &SuperBlock<Rext4>, options: &Options, read_only: bool) -> FsResult {
    let fs = sb.data();
    let old = fs.options();
    match (sb.is_read_only(), read_only) {
        (false, true) => become_read_only(sb).inspect_err(|_| stay_writable(sb))?,
        (true, false) => become_writable(sb, options)?,
        _ => {}
    }
    quota::change_limits(sb, old.quota_limits, options.quota_limits)?;
    if options.discard && !old.discard {
        warn_of_discard(sb, options);
    }
    fs.set_options(*options);
    fs.renew_reserved();
    if let Some(journal) = fs.journal.get() {
        journal.configure(journal::settings(options));
        if options.quota {
            journal.set_spare_credits(quota::CREDITS);
        }
    }
    Ok(())
}

/// From writable to read-only.
fn become_read_only(sb: &SuperBlock<Rext4>) -> FsResult {
    let fs = sb.data();
    // It may write what was released just now.
    quota::suspend(sb)?;
    if fs.is_stopped() {
        // Nothing has to be written, nor can be.
        return Ok(());
    }
    if let Some(journal) = fs.journal_for_writing(sb)? {
        // The VFS has seen to it that nobody writes any more, unless it is forced (sysrq). It makes the super block
        // read-only after this, and until then nothing may need recovery again.
        journal.refuse_handles()?;
        fs.end_writing(journal)?;
        // All is committed now. Also waits for what is being discarded.
        fs.discard_committed(sb);
    }
    Ok(())
}

/// It could not become read-only, and goes on.
fn stay_writable(sb: &SuperBlock<Rext4>) {
    let fs = sb.data();
    // Else nothing is written any more.
    if let Ok(journal) = fs.writing(sb) {
        // The last that was tried may have been to say that it is not in use.
        fs.write_in_use_again(sb, "remount");
        journal.allow_handles();
        quota::resume_or_end(sb);
    }
}

/// From read-only to writable. If that fails, it is left as it was found: the end of a read-only mount says
/// nothing.
fn become_writable(sb: &SuperBlock<Rext4>, options: &Options) -> FsResult {
    let fs = sb.data();
    if fs.journal.get().is_none() {
        journal::set(sb, false)?;
    }
    let journal = fs.journal.get().ok_or(FsError::Kernel(code::EROFS))?;
    journal.allow_handles();
    let begun = sb.while_writable(|| {
        begin_writing(sb, options).inspect_err(|_| {
            let _ = quota::suspend(sb);
            if let Err(e) = fs.writing(sb).and_then(|journal| fs.end_writing(journal)) {
                pr_err!("({}): error: can't write the super block: {}\n", sb.id(), e);
            }
        })
    });
    if begun.is_err() {
        journal.refuse_handles()?;
    }
    begun
}
