// SPDX-License-Identifier: GPL-2.0

//! Stripes: where data should begin on an array of disks.
//!
//! A run that is as long as what the array writes at once, or as long as what lies on one of its disks, begins at a
//! multiple of that if it does not go on with what the file has; runs in the midst of a file as far behind one as
//! they are in the file. So whole stripes of a file are whole stripes of the array, for which it need not read
//! anything when they are written. How the array is made says the mount option `stripe=`, or else the super
//! block (`mke2fs -E stride=…,stripe-width=…`).

use super::{wanted::Wanted, Groups};
use crate::disk::{
    superblock::Superblock,
    units::{GroupNumber, LogicalBlock, PhysicalBlock},
};
use kernel::sync::atomic::Relaxed;

/// How an array is made, in blocks; 0 for what is not known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stripes {
    /// What lies on one disk before the next one.
    stride: u32,
    /// What lies on all disks that have data.
    width: u32,
}

impl Stripes {
    /// Those that the super block names.
    pub(crate) fn of(superblock: &Superblock) -> Self {
        Self {
            stride: superblock.raid_stride().into(),
            width: superblock.raid_stripe_width(),
        }
    }

    /// Those of a mount option.
    pub(crate) fn of_width(width: u32) -> Self {
        Self { stride: 0, width }
    }

    /// At a multiple of what a run of so many blocks should begin; 1 if it does not matter.
    fn unit(self, blocks: u32) -> u32 {
        [self.width, self.stride]
            .into_iter()
            .find(|&unit| unit > 1 && unit <= blocks)
            .unwrap_or(1)
    }
}

/// Where a run should begin: as far behind a multiple of `unit` as the first of its blocks is in the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Phase {
    unit: u32,
    within: u32,
}

impl Phase {
    /// The first bit of a group, whose first block is this, where it would be so.
    pub(super) fn first_bit(self, first_block: PhysicalBlock) -> u32 {
        // Less than `unit`, which is a number of 32 bits.
        let begins = (first_block.0 % u64::from(self.unit)) as u32;
        let bit = u64::from(self.within) + u64::from(self.unit) - u64::from(begins);
        (bit % u64::from(self.unit)) as u32
    }

    /// How far it is from one such place to the next.
    pub(super) fn unit(self) -> u32 {
        self.unit
    }
}

impl Wanted {
    /// The same, beginning at a multiple of the number of blocks if there is such a place.
    pub(crate) fn aligned(self) -> Self {
        let unit = self.blocks();
        let phase = (unit > 1).then_some(Phase { unit, within: 0 });
        Self { phase, ..self }
    }
}

impl Groups {
    /// Has runs of data begin where these stripes do. What is longer than a group is no stripe.
    pub(crate) fn set_stripes(&self, stripes: Stripes) {
        let most = self.layout.blocks_per_group();
        let known = |blocks: u32| if blocks > most { 0 } else { blocks };
        let word = u64::from(known(stripes.width)) << 32 | u64::from(known(stripes.stride));
        self.stripes.store(word, Relaxed);
    }

    fn stripes(&self) -> Stripes {
        let word = self.stripes.load(Relaxed);
        Stripes {
            stride: word as u32,
            width: (word >> 32) as u32,
        }
    }

    /// Where data of a file that has none yet begins best, at `place` or behind it, if it is so many blocks.
    pub(crate) fn begin_of_stripe(&self, place: PhysicalBlock, blocks: u32) -> PhysicalBlock {
        let unit = u64::from(self.stripes().unit(blocks));
        let begin = place.0.checked_next_multiple_of(unit);
        PhysicalBlock(begin.unwrap_or(place.0))
    }

    /// What is wanted for the blocks of a file from `block` on, beginning as stripes do.
    pub(crate) fn by_stripes(&self, wanted: Wanted, block: LogicalBlock) -> Wanted {
        let unit = self.stripes().unit(wanted.blocks());
        let phase = (unit > 1).then_some(Phase {
            unit,
            within: block.0 % unit,
        });
        Wanted { phase, ..wanted }
    }

    /// Where in a group that would be: the first bit, and how far it is to the next one. `None` if it does not matter.
    pub(super) fn begins(&self, wanted: &Wanted, group: GroupNumber) -> Option<(u32, u32)> {
        let phase = wanted.phase?;
        Some((
            phase.first_bit(self.layout.first_block(group)),
            phase.unit(),
        ))
    }
}
