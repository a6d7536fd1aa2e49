// SPDX-License-Identifier: GPL-2.0

//! What administrators change of the super block of a mounted file system (`tune2fs`), and what of it holds at once: the
//! reserved blocks. The rest holds from the next mount on.

use super::{administration::edit_copies, Filesystem};
use crate::{
    bindings,
    disk::{features::Feature, htree::hash::HashVersion, superblock::Superblock},
    error::{FsError, FsResult},
    journal::credits,
    vfs::{
        ioctl::tune::{Tuned, Tuning},
        jbd2::Credits,
        super_block::SuperBlock,
    },
    Rext4,
};
use kernel::error::code;

/// Tells what is set now.
pub(super) fn get(fs: &Filesystem, out: &mut Tuning) -> FsResult {
    fs.primary.with(|superblock| {
        out.errors_behavior = superblock.errors_behavior();
        out.mnt_count = superblock.mount_count();
        out.max_mnt_count = superblock.max_mount_count_as_stored();
        out.checkinterval = superblock.check_interval();
        out.last_check_time = superblock.last_check();
        out.reserved_blocks = superblock.reserved_blocks_count();
        out.blocks_count = superblock.blocks_count();
        (out.reserved_uid, out.reserved_gid) = superblock.reserved_for();
        out.default_mnt_opts = superblock.default_mount_options();
        out.def_hash_alg = superblock.default_hash_version();
        out.raid_stride = superblock.raid_stride();
        out.raid_stripe_width = superblock.raid_stripe_width();
        for (to, from) in out.mount_opts.iter_mut().zip(superblock.mount_options()) {
            *to = *from;
        }
        [
            out.feature_compat,
            out.feature_incompat,
            out.feature_ro_compat,
        ] = superblock.feature_words();
    })
}

/// A bit of the call, and how its field is set.
type Setter = (u32, fn(&mut Superblock, &Tuning));

const SETTERS: &[Setter] = &[
    (
        bindings::EXT4_TUNE_FL_ERRORS_BEHAVIOR,
        |superblock, wanted| superblock.set_errors_behavior(wanted.errors_behavior),
    ),
    (bindings::EXT4_TUNE_FL_MNT_COUNT, |superblock, wanted| {
        superblock.set_mount_count(wanted.mnt_count)
    }),
    (
        bindings::EXT4_TUNE_FL_MAX_MNT_COUNT,
        |superblock, wanted| superblock.set_max_mount_count(wanted.max_mnt_count),
    ),
    (bindings::EXT4_TUNE_FL_CHECKINTRVAL, |superblock, wanted| {
        superblock.set_check_interval(wanted.checkinterval)
    }),
    (
        bindings::EXT4_TUNE_FL_LAST_CHECK_TIME,
        |superblock, wanted| superblock.set_last_check(wanted.last_check_time),
    ),
    (
        bindings::EXT4_TUNE_FL_RESERVED_BLOCKS,
        |superblock, wanted| superblock.set_reserved_blocks_count(wanted.reserved_blocks),
    ),
    (bindings::EXT4_TUNE_FL_RESERVED_UID, |superblock, wanted| {
        superblock.set_reserved_user(wanted.reserved_uid)
    }),
    (bindings::EXT4_TUNE_FL_RESERVED_GID, |superblock, wanted| {
        superblock.set_reserved_group(wanted.reserved_gid)
    }),
    (
        bindings::EXT4_TUNE_FL_DEFAULT_MNT_OPTS,
        |superblock, wanted| superblock.set_default_mount_options(wanted.default_mnt_opts),
    ),
    (bindings::EXT4_TUNE_FL_MOUNT_OPTS, |superblock, wanted| {
        superblock.set_mount_options(&wanted.mount_opts)
    }),
    (bindings::EXT4_TUNE_FL_DEF_HASH_ALG, |superblock, wanted| {
        superblock.set_default_hash_version(wanted.def_hash_alg)
    }),
    (bindings::EXT4_TUNE_FL_RAID_STRIDE, |superblock, wanted| {
        superblock.set_raid_stride(wanted.raid_stride)
    }),
    (
        bindings::EXT4_TUNE_FL_RAID_STRIPE_WIDTH,
        |superblock, wanted| superblock.set_raid_stripe_width(wanted.raid_stripe_width),
    ),
    (bindings::EXT4_TUNE_FL_FORCE_FSCK, |superblock, _| {
        superblock.note_errors()
    }),
];

/// Sets what is asked for, in a transaction that is committed at the end, and then in the copies.
///
/// # Errors
///
/// `EINVAL` for a value that can't be.
pub(super) fn set(sb: &SuperBlock<Rext4>, wanted: &Tuning) -> FsResult {
    let fs = sb.data();
    let is_set = Tuned::of(wanted);
    if is_set.has(bindings::EXT4_TUNE_FL_ERRORS_BEHAVIOR)
        && !(1..=3).contains(&wanted.errors_behavior)
    {
        return Err(FsError::Kernel(code::EINVAL));
    }
    let most = fs.layout.blocks_count() / 2;
    if is_set.has(bindings::EXT4_TUNE_FL_RESERVED_BLOCKS) && wanted.reserved_blocks > most {
        return Err(FsError::Kernel(code::EINVAL));
    }
    if is_set.has(bindings::EXT4_TUNE_FL_DEF_HASH_ALG)
        && HashVersion::from_number(wanted.def_hash_alg).is_err()
    {
        return Err(FsError::Kernel(code::EINVAL));
    }
    everywhere(sb, |superblock| {
        for (bit, set) in SETTERS {
            if is_set.has(*bit) {
                set(superblock, wanted);
            }
        }
    })?;
    fs.renew_reserved();
    Ok(())
}

/// Sets the UUID. The VFS shows the old one until the next mount.
///
/// # Errors
///
/// `EOPNOTSUPP` where checksums start from it, or inode numbers are to stay what they are together with it.
pub(super) fn set_uuid(sb: &SuperBlock<Rext4>, uuid: &[u8; 16]) -> FsResult {
    let fs = sb.data();
    // Administrators may have changed them since it was mounted.
    let now = fs.primary.with(|superblock| superblock.features())?;
    for features in [fs.features, now] {
        // With a seed only those of metadata_csum do not start from it.
        let has_seed = features.has(Feature::METADATA_CSUM_SEED);
        let is_free = match features.has(Feature::METADATA_CSUM) {
            true => has_seed,
            false => !features.has(Feature::GDT_CSUM),
        };
        if !is_free || features.has(Feature::STABLE_INODES) {
            return Err(FsError::unsupported());
        }
    }
    everywhere(sb, |superblock| superblock.set_uuid(uuid))
}

/// Makes a change of the super block durable, and then of its copies.
///
/// # Errors
///
/// `EBUSY` while it is being made larger, which stores what it has read at the beginning.
pub(super) fn everywhere(sb: &SuperBlock<Rext4>, change: impl Fn(&mut Superblock)) -> FsResult {
    let fs = sb.data();
    let _alone = fs.resizing.try_lock().ok_or(FsError::Kernel(code::EBUSY))?;
    let handle = fs.writing(sb)?.start(Credits::new(credits::SUPER_BLOCK))?;
    fs.edit_primary(&handle, &change)?;
    handle.set_sync();
    handle.stop()?;
    edit_copies(sb, change)
}
