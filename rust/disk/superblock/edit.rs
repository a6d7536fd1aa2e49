// SPDX-License-Identifier: GPL-2.0

//! The changes that a mounted file system makes to its super block.
//!
//! None of them brings the checksum up to date: that is done once, after the last change and
//! before the block is written, by [`Superblock::update_checksum`].

use super::geometry::{OLD_FIRST_INODE, OLD_INODE_SIZE};
use super::{HashSignedness, State, Superblock, DYNAMIC_REVISION};
use crate::disk::features::{Feature, FeatureSet};
use crate::disk::units::InodeNumber;
use zerocopy::little_endian::U32;

impl Superblock {
    /// Sets the number of free blocks.
    pub fn set_free_blocks_count(&mut self, count: u64) {
        let [lo, hi] = halves(count);
        self.free_blocks_count_lo.set(lo);
        if self.features().has(Feature::SIXTY_FOUR_BIT) {
            self.free_blocks_count_hi.set(hi);
        }
    }

    /// Sets the number of all blocks.
    pub fn set_blocks_count(&mut self, count: u64) {
        let [lo, hi] = halves(count);
        self.blocks_count_lo.set(lo);
        if self.features().has(Feature::SIXTY_FOUR_BIT) {
            self.blocks_count_hi.set(hi);
        }
    }

    /// Sets the number of blocks that only root may use.
    pub fn set_reserved_blocks_count(&mut self, count: u64) {
        let [lo, hi] = halves(count);
        self.r_blocks_count_lo.set(lo);
        if self.features().has(Feature::SIXTY_FOUR_BIT) {
            self.r_blocks_count_hi.set(hi);
        }
    }

    /// Sets the number of free inodes.
    pub fn set_free_inodes_count(&mut self, count: u32) {
        self.free_inodes_count.set(count);
    }

    /// Sets the number of blocks used by metadata.
    pub fn set_overhead_clusters(&mut self, count: u32) {
        self.overhead_clusters.set(count);
    }

    /// Sets the state.
    pub fn set_state(&mut self, state: State) {
        self.state.set(state.0);
    }

    /// Says that there is something for e2fsck to look at.
    pub fn note_errors(&mut self) {
        self.state.set(self.state().0 | State::ERRORS);
    }

    /// Notes a mount at `time` (seconds since 1970).
    pub fn note_mount(&mut self, time: u64) {
        set_time(&mut self.mtime, &mut self.mtime_hi, time);
        self.mnt_count.set(self.mnt_count.get().saturating_add(1));
    }

    /// Sets the path where it was mounted last.
    ///
    /// A path of more than 64 bytes is cut; one of 64 has no zero byte behind it.
    pub fn set_last_mounted(&mut self, path: &[u8]) {
        set_text(&mut self.last_mounted, path);
    }

    /// Sets the time of the last write, in seconds since 1970.
    pub fn set_write_time(&mut self, time: u64) {
        set_time(&mut self.wtime, &mut self.wtime_hi, time);
    }

    /// Sets the kibibytes that were written to the file system in its life.
    pub fn set_kbytes_written(&mut self, kbytes: u64) {
        self.kbytes_written.set(kbytes);
    }

    /// Sets the name of the volume, of which 16 bytes are kept.
    pub fn set_volume_name(&mut self, name: &[u8]) {
        set_text(&mut self.volume_name, name);
    }

    /// Sets the UUID.
    pub fn set_uuid(&mut self, uuid: &[u8; 16]) {
        self.uuid = *uuid;
    }

    /// Sets the head of the list of orphans, or makes the list empty.
    pub fn set_last_orphan(&mut self, inode: Option<InodeNumber>) {
        self.last_orphan.set(inode.map_or(0, |inode| inode.0));
    }

    /// Says how the hashes of directory entries take bytes over 127, where that was not said.
    pub fn set_hash_signedness(&mut self, signedness: HashSignedness) {
        self.flags.set(self.flags.get() | signedness.flag());
    }

    /// Sets or clears a feature. The first one has the first revision of the format become the second, as which
    /// everything stays as it was.
    pub fn set_feature(&mut self, feature: Feature, on: bool) {
        if self.is_old_revision() {
            if !on {
                return;
            }
            self.rev_level.set(DYNAMIC_REVISION);
            self.inode_size.set(OLD_INODE_SIZE);
            self.first_ino.set(OLD_FIRST_INODE);
            // These fields said nothing.
            self.feature_compat.set(0);
            self.feature_incompat.set(0);
            self.feature_ro_compat.set(0);
        }
        let field = match feature.set() {
            FeatureSet::Compat => &mut self.feature_compat,
            FeatureSet::Incompat => &mut self.feature_incompat,
            FeatureSet::RoCompat => &mut self.feature_ro_compat,
        };
        let bits = field.get();
        field.set(if on {
            bits | feature.mask()
        } else {
            bits & !feature.mask()
        });
    }
}

/// Splits a number into its lower and its upper 32 bits.
fn halves(number: u64) -> [u32; 2] {
    [number as u32, (number >> 32) as u32]
}

/// Stores a time in a field of 32 bits and the field of 8 bits that extends it.
pub(super) fn set_time(lo: &mut U32, hi: &mut u8, time: u64) {
    let [low, high] = halves(time);
    lo.set(low);
    *hi = high as u8;
}

/// Stores as much of `text` as the field has room for, and zero bytes behind it.
pub(super) fn set_text(field: &mut [u8], text: &[u8]) {
    for (position, byte) in field.iter_mut().enumerate() {
        *byte = text.get(position).copied().unwrap_or(0);
    }
}
