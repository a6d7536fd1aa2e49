// SPDX-License-Identifier: GPL-2.0

//! The changes that a mounted file system makes to its super block.
//!
//! None of them brings the checksum up to date: that is done once, after the last change and
//! before the block is written, by [`Superblock::update_checksum`].

use super::{State, Superblock};
use crate::disk::features::{Feature, FeatureSet};
use crate::disk::units::{InodeNumber, PhysicalBlock};
use zerocopy::little_endian::U32;

/// An error as the super block records it for `e2fsck` and the user.
#[derive(Clone, Copy, Debug)]
pub struct ErrorRecord<'a> {
    /// When it was found, in seconds since 1970.
    pub time: u64,
    /// The inode that it has to do with.
    pub inode: Option<InodeNumber>,
    /// The block that it has to do with.
    pub block: Option<PhysicalBlock>,
    /// The function that found it; the first 32 bytes are kept.
    pub function: &'a [u8],
    /// The line that found it.
    pub line: u32,
    /// The kind of error, one of `EXT4_ERR_*` in the kernel's `fs/ext4/ext4.h`.
    pub code: u8,
}

impl Superblock {
    /// Sets the number of free blocks.
    pub fn set_free_blocks_count(&mut self, count: u64) {
        let [lo, hi] = halves(count);
        self.free_blocks_count_lo.set(lo);
        if self.features().has(Feature::SIXTY_FOUR_BIT) {
            self.free_blocks_count_hi.set(hi);
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

    /// Notes a mount at `time` (seconds since 1970), at `path` if it is known.
    ///
    /// A path of more than 64 bytes is cut; one of 64 has no zero byte behind it.
    pub fn note_mount(&mut self, time: u64, path: Option<&[u8]>) {
        set_time(&mut self.mtime, &mut self.mtime_hi, time);
        self.mnt_count.set(self.mnt_count.get().saturating_add(1));
        if let Some(path) = path {
            set_text(&mut self.last_mounted, path);
        }
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

    /// Sets the head of the list of orphans, or makes the list empty.
    pub fn set_last_orphan(&mut self, inode: Option<InodeNumber>) {
        self.last_orphan.set(inode.map_or(0, |inode| inode.0));
    }

    /// Sets or clears a feature.
    pub fn set_feature(&mut self, feature: Feature, on: bool) {
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

    /// Counts an error and records it as the last one, and as the first if none was recorded yet.
    ///
    /// The state is not changed here: see [`Self::set_state`].
    pub fn record_error(&mut self, error: &ErrorRecord<'_>) {
        let inode = error.inode.map_or(0, |inode| inode.0);
        let block = error.block.map_or(0, |block| block.0);

        if self.first_error_time.get() == 0 && self.first_error_time_hi == 0 {
            set_time(
                &mut self.first_error_time,
                &mut self.first_error_time_hi,
                error.time,
            );
            self.first_error_ino.set(inode);
            self.first_error_block.set(block);
            set_text(&mut self.first_error_func, error.function);
            self.first_error_line.set(error.line);
            self.first_error_errcode = error.code;
        }

        set_time(
            &mut self.last_error_time,
            &mut self.last_error_time_hi,
            error.time,
        );
        self.last_error_ino.set(inode);
        self.last_error_block.set(block);
        set_text(&mut self.last_error_func, error.function);
        self.last_error_line.set(error.line);
        self.last_error_errcode = error.code;

        self.error_count
            .set(self.error_count.get().saturating_add(1));
    }
}

/// Splits a number into its lower and its upper 32 bits.
fn halves(number: u64) -> [u32; 2] {
    [number as u32, (number >> 32) as u32]
}

/// Stores a time in a field of 32 bits and the field of 8 bits that extends it.
fn set_time(lo: &mut U32, hi: &mut u8, time: u64) {
    let [low, high] = halves(time);
    lo.set(low);
    *hi = high as u8;
}

/// Stores as much of `text` as the field has room for, and zero bytes behind it.
fn set_text(field: &mut [u8], text: &[u8]) {
    for (position, byte) in field.iter_mut().enumerate() {
        *byte = text.get(position).copied().unwrap_or(0);
    }
}
