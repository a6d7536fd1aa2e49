// SPDX-License-Identifier: GPL-2.0

//! What administrators set of a super block (`tune2fs`).

use super::{edit, Superblock};
use zerocopy::little_endian::{U16, U32};

impl Superblock {
    /// `s_errors`: what to do when corruption is found, as a number.
    pub fn errors_behavior(&self) -> u16 {
        self.errors.get()
    }

    /// Sets it.
    pub fn set_errors_behavior(&mut self, number: u16) {
        self.errors.set(number);
    }

    /// Sets how often it was mounted since the last check.
    pub fn set_mount_count(&mut self, count: u16) {
        self.mnt_count.set(count);
    }

    /// `s_max_mnt_count`, which is [a limit](Self::max_mount_count) or none.
    pub fn max_mount_count_as_stored(&self) -> u16 {
        self.max_mnt_count.get()
    }

    /// Sets it.
    pub fn set_max_mount_count(&mut self, count: u16) {
        self.max_mnt_count.set(count);
    }

    /// When it was checked last, in seconds since 1970.
    pub fn last_check(&self) -> u64 {
        u64::from(self.lastcheck.get()) | u64::from(self.lastcheck_hi) << 32
    }

    /// Sets that.
    pub fn set_last_check(&mut self, time: u64) {
        edit::set_time(&mut self.lastcheck, &mut self.lastcheck_hi, time);
    }

    /// After how many seconds the next check is due; 0 for no such time.
    pub fn check_interval(&self) -> u32 {
        self.checkinterval.get()
    }

    /// Sets that.
    pub fn set_check_interval(&mut self, seconds: u32) {
        self.checkinterval.set(seconds);
    }

    /// Sets the user who may use the reserved blocks.
    pub fn set_reserved_user(&mut self, uid: u32) {
        set_owner(&mut self.def_resuid, &mut self.def_resuid_hi, uid);
    }

    /// Sets the group that may use them.
    pub fn set_reserved_group(&mut self, gid: u32) {
        set_owner(&mut self.def_resgid, &mut self.def_resgid_hi, gid);
    }

    /// Sets the mount options that it asks for, as bits.
    pub fn set_default_mount_options(&mut self, bits: u32) {
        self.default_mount_opts.set(bits);
    }

    /// Sets the mount options that it asks for, as text of less than 64 bytes.
    pub fn set_mount_options(&mut self, text: &[u8]) {
        edit::set_text(&mut self.mount_opts, text);
    }

    /// Sets the hash that a new directory index gets.
    pub fn set_default_hash_version(&mut self, version: u8) {
        self.def_hash_version = version;
    }

    /// Sets how many blocks lie on one disk of an array.
    pub fn set_raid_stride(&mut self, blocks: u16) {
        self.raid_stride.set(blocks);
    }

    /// Sets how many blocks an array writes at once.
    pub fn set_raid_stripe_width(&mut self, blocks: u32) {
        self.raid_stripe_width.set(blocks);
    }

    /// The words of features: compatible, incompatible, compatible for who reads.
    pub fn feature_words(&self) -> [u32; 3] {
        [
            self.feature_compat,
            self.feature_incompat,
            self.feature_ro_compat,
        ]
        .map(U32::get)
    }

    /// Why a check is due at `now`, in seconds since 1970, if nobody has found anything wrong.
    pub fn due_check(&self, now: u64) -> Option<DueCheck> {
        let most = self.max_mount_count();
        if most.is_some_and(|most| self.mount_count() >= most) {
            return Some(DueCheck::Mounts);
        }
        let interval = u64::from(self.check_interval());
        (interval != 0 && self.last_check().saturating_add(interval) <= now)
            .then_some(DueCheck::Time)
    }
}

/// Why a file system should be checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DueCheck {
    /// It was mounted as often as it may be without.
    Mounts,
    /// The last check was long ago.
    Time,
}

fn set_owner(lo: &mut U16, hi: &mut U16, id: u32) {
    // The lower and the upper half.
    lo.set(id as u16);
    hi.set((id >> 16) as u16);
}
