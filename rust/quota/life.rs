// SPDX-License-Identifier: GPL-2.0

//! From when to when is counted: at each writable mount, from before anything is changed until nothing is.

use crate::{
    disk::{
        features::{Feature, Features},
        units::InodeNumber,
    },
    error::{euclean, FsError, FsResult},
    inode,
    mount::options::{Options, QuotaLimits},
    vfs::{
        quota::{Kind, SUPPORTED},
        super_block::SuperBlock,
    },
    Rext4,
};
use kernel::{error::code, prelude::*};

/// Whether a file system with these features can be written to: what is changed has to be counted.
pub(crate) fn can_be_kept(features: Features) -> bool {
    SUPPORTED || !features.has(Feature::QUOTA)
}

/// Says why not.
pub(crate) fn say_why_not(id: &CStr) {
    pr_err!(
        "({}): error: can't be written to: it has the feature quota, and the kernel was built without \
         CONFIG_QUOTA; it can be mounted read-only (-o ro)\n",
        id
    );
}

/// Begins to count, or goes on with it after [`suspend`]. The file system can be written to. The options say which
/// limits are heeded; after a suspension the same as before.
///
/// # Errors
///
/// Damage in a quota file, or no such file; `ESRCH` if the kernel does not have the format.
pub(crate) fn begin(sb: &SuperBlock<Rext4>, options: &Options) -> FsResult {
    let fs = sb.data();
    if !super::are_hidden(sb) {
        if resume(sb).is_err() {
            pr_warn!(
                "({}): warning: quotas that were turned on can't be counted any more\n",
                sb.id()
            );
        }
        return Ok(());
    }
    // Those that can't be resumed are loaded anew.
    let _ = resume(sb);
    let numbers = fs.quota_inodes()?;
    let limits = options.quota_limits;
    for (kind, number) in Kind::ALL.into_iter().zip(numbers) {
        // One that could not be resumed is not there any more.
        let Some(number) = number.filter(|_| !sb.has_quota_loaded(kind)) else {
            continue;
        };
        if let Err(e) = load(sb, kind, number, limits.has(kind)) {
            pr_err!(
                "({}): error: can't count by {}, in inode {}: error {}; e2fsck can mend the file{}\n",
                sb.id(),
                name(kind),
                number.0,
                fs.errno_at(sb, Some(number), "load a quota file", e).to_errno(),
                // What `find_quota_format` says, in the kernel.
                if e.is(code::ESRCH) {
                    ", but the kernel has no module quota_v2"
                } else {
                    ""
                }
            );
            sb.end_quotas();
            return Err(e);
        }
    }
    Ok(())
}

/// Has limits heeded that a remount asks for, and others not any more. Those of whom the options say the same as
/// before stay as they are: `quotaon` and `quotaoff` may have had the last word.
///
/// # Errors
///
/// None that is known: what is counted by was loaded.
pub(crate) fn change_limits(
    sb: &SuperBlock<Rext4>,
    old: QuotaLimits,
    new: QuotaLimits,
) -> FsResult {
    if !super::are_hidden(sb) {
        // There, all is heeded that is counted.
        return Ok(());
    }
    for kind in Kind::ALL {
        let wanted = new.has(kind);
        let is_change = old.has(kind) != wanted && sb.heeds_limits_of(kind) != wanted;
        // What is not loaded yet will be with what is asked for then; what is suspended is loaded.
        if is_change && sb.has_quota_loaded(kind) {
            sb.heed_limits(kind, wanted)?;
        }
    }
    Ok(())
}

pub(super) fn name(kind: Kind) -> &'static str {
    match kind {
        Kind::User => "user",
        Kind::Group => "group",
        Kind::Project => "project",
    }
}

/// Begins to count by one kind.
fn load(sb: &SuperBlock<Rext4>, kind: Kind, number: InodeNumber, limits: bool) -> FsResult {
    let fs = sb.data();
    let is_plausible = match kind {
        Kind::User => number == InodeNumber::USER_QUOTA,
        Kind::Group => number == InodeNumber::GROUP_QUOTA,
        // Of the other hidden files, this alone has a number of that kind.
        Kind::Project => {
            number.0 >= fs.layout.first_inode().0 && fs.orphan_file_inode()? != Some(number)
        }
    };
    if !is_plausible {
        return Err(FsError::Kernel(euclean()));
    }
    let file = inode::get(sb, number)?;
    if !file.is_regular() || file.links() == 0 || !file.data().kind().has_blocks() {
        return Err(FsError::Kernel(euclean()));
    }
    // The quota code writes to it with the locks of other inodes held.
    file.data().tree.set_inner(true);
    Ok(sb.load_quota(kind, &file, limits)?)
}

/// Stops counting, since nothing is going to be changed.
pub(crate) fn suspend(sb: &SuperBlock<Rext4>) -> FsResult {
    if sb.has_quotas_loaded() {
        sb.suspend_quotas()?;
    }
    Ok(())
}

/// Goes on with it, if it was suspended.
fn resume(sb: &SuperBlock<Rext4>) -> FsResult {
    if !sb.has_quotas_suspended() {
        return Ok(());
    }
    let had = Kind::ALL.map(|kind| sb.has_quota_loaded(kind));
    // It tells of the last kind alone.
    let last = sb.resume_quotas();
    let mut all = Kind::ALL.into_iter().zip(had);
    if all.any(|(kind, had)| had && !sb.has_quota_loaded(kind)) {
        return Err(last.err().unwrap_or(code::EIO).into());
    }
    Ok(())
}

/// Goes on with it as far as that is possible, where what is changed has to go on all the same. If it is not, the
/// quota files are left for e2fsck to mend, which is told so.
pub(crate) fn resume_or_end(sb: &SuperBlock<Rext4>) {
    if let Err(e) = resume(sb) {
        sb.data().quotas_are_lost(sb, e);
        sb.end_quotas();
    }
}

/// Stops counting, for good.
fn end(sb: &SuperBlock<Rext4>) {
    sb.end_quotas();
}

/// Counts during `action` alone: for a mount that is read-only after it.
///
/// # Errors
///
/// Those of [`begin`] and of `action`.
pub(crate) fn with_quotas(sb: &SuperBlock<Rext4>, action: impl FnOnce() -> FsResult) -> FsResult {
    begin(sb, &sb.data().options())?;
    let result = action();
    end(sb);
    result
}
