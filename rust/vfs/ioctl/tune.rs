// SPDX-License-Identifier: GPL-2.0

//! `EXT4_IOC_GET_TUNE_SB_PARAM` and `EXT4_IOC_SET_TUNE_SB_PARAM`, by which `tune2fs` changes the super block of a file
//! system that is mounted, also where nobody may write to its device; and `EXT4_IOC_SETFSUUID`.
//!
//! C header: `include/uapi/linux/ext4.h`

use super::{must_be_administrator, Administration, Call, UUID_BYTES};
use crate::{bindings, vfs::super_block::FileSystem};
use core::mem::transmute;
use kernel::{error::code, prelude::*};

/// What there is to be set, in the form of the call.
pub use bindings::ext4_tune_sb_params as Tuning;

const BYTES: usize = size_of::<Tuning>();

/// The bits of [`Tuning`] that say which of its fields count.
#[derive(Clone, Copy)]
pub struct Tuned(u32);

impl Tuned {
    /// All but features, and what comes with these.
    pub const SUPPORTED: u32 = bindings::EXT4_TUNE_FL_ERRORS_BEHAVIOR
        | bindings::EXT4_TUNE_FL_MNT_COUNT
        | bindings::EXT4_TUNE_FL_MAX_MNT_COUNT
        | bindings::EXT4_TUNE_FL_CHECKINTRVAL
        | bindings::EXT4_TUNE_FL_LAST_CHECK_TIME
        | bindings::EXT4_TUNE_FL_RESERVED_BLOCKS
        | bindings::EXT4_TUNE_FL_RESERVED_UID
        | bindings::EXT4_TUNE_FL_RESERVED_GID
        | bindings::EXT4_TUNE_FL_DEFAULT_MNT_OPTS
        | bindings::EXT4_TUNE_FL_DEF_HASH_ALG
        | bindings::EXT4_TUNE_FL_RAID_STRIDE
        | bindings::EXT4_TUNE_FL_RAID_STRIPE_WIDTH
        | bindings::EXT4_TUNE_FL_MOUNT_OPTS
        | bindings::EXT4_TUNE_FL_FORCE_FSCK;

    /// Those of the call.
    pub fn of(tuning: &Tuning) -> Self {
        Self(tuning.set_flags)
    }

    /// Whether one of these bits is set.
    pub fn has(self, bits: u32) -> bool {
        self.0 & bits != 0
    }
}

impl<T: FileSystem + Administration> Call<'_, T> {
    pub(super) fn get_tuning(&self) -> Result {
        // SAFETY: the structure has numbers alone, for which zero is a value.
        let mut tuning: Tuning = unsafe { transmute([0u8; BYTES]) };
        T::tuning(self.sb(), &mut tuning)?;
        tuning.set_flags = Tuned::SUPPORTED;
        // SAFETY: the structure has no bytes between its fields, and all are numbers.
        let bytes: [u8; BYTES] = unsafe { transmute(tuning) };
        self.write(&bytes)
    }

    pub(super) fn set_tuning(&self) -> Result {
        must_be_administrator()?;
        let bytes: [u8; BYTES] = self.read()?;
        // SAFETY: any bytes are numbers.
        let tuning: Tuning = unsafe { transmute(bytes) };
        if !tuning.mount_opts.contains(&0) {
            return Err(code::E2BIG);
        }
        if Tuned::of(&tuning).has(!Tuned::SUPPORTED) {
            return Err(crate::error::eopnotsupp());
        }
        self.changing(|| T::tune(self.sb(), &tuning))
    }

    /// `struct fsuuid` of ext4, as for the call that reads it.
    pub(super) fn set_uuid(&self) -> Result {
        must_be_administrator()?;
        let bytes: [u8; 8 + UUID_BYTES] = self.read()?;
        let mut wanted = [0; 8];
        let (head, uuid) = bytes.split_first_chunk().ok_or(code::EINVAL)?;
        // Then the flags, of which there are none.
        if let Some(len) = wanted.first_chunk_mut() {
            *len = (UUID_BYTES as u32).to_ne_bytes();
        }
        if *head != wanted {
            return Err(code::EINVAL);
        }
        let uuid = uuid.first_chunk().ok_or(code::EINVAL)?;
        self.changing(|| T::set_uuid(self.sb(), uuid))
    }
}
