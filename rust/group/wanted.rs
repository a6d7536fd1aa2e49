// SPDX-License-Identifier: GPL-2.0

//! What somebody wants who allocates blocks.

use super::stripes::Phase;
use crate::disk::units::{InodeNumber, PhysicalBlock};

/// What somebody wants.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wanted {
    /// The best place.
    pub(super) goal: PhysicalBlock,
    /// The most blocks, at least one.
    pub(super) blocks: u32,
    /// For the data of which file, if it is for data.
    pub(super) owner: Option<InodeNumber>,
    /// How many blocks behind these are left to the file.
    pub(super) ahead: u32,
    /// Whether a block map has to name them.
    pub(super) mapped: bool,
    /// Where it should begin, if not at the goal.
    pub(super) phase: Option<Phase>,
}

impl Wanted {
    /// At most so many blocks, near `goal`.
    pub(crate) fn new(goal: PhysicalBlock, blocks: u32) -> Self {
        Self {
            goal,
            blocks: blocks.max(1),
            owner: None,
            ahead: 0,
            mapped: false,
            phase: None,
        }
    }

    /// The same, in groups whose blocks have numbers of 32 bits.
    pub(crate) fn for_map(self) -> Self {
        Self {
            mapped: true,
            ..self
        }
    }

    /// The same for data of a file, that is going to want `ahead` more: see [`super::windows`].
    pub(crate) fn for_file(self, owner: InodeNumber, ahead: u32) -> Self {
        Self {
            owner: Some(owner),
            ahead,
            ..self
        }
    }

    /// The most blocks.
    pub(crate) fn blocks(&self) -> u32 {
        self.blocks
    }

    /// Whether blocks are left to the file behind these.
    pub(crate) fn has_window(&self) -> bool {
        self.ahead > 0
    }

    /// How long the best run is.
    pub(super) fn run(&self) -> u32 {
        self.blocks.saturating_add(self.ahead)
    }

    /// The lengths of run that are looked for one after the other, each in all groups: all, what is
    /// wanted at once, and then half as much each time.
    pub(super) fn lengths(&self) -> impl Iterator<Item = u32> + '_ {
        let all = self.run();
        core::iter::successors(Some(all), move |&len| match len {
            0 | 1 => None,
            len if len > self.blocks => Some(self.blocks),
            len => Some(len / 2),
        })
    }
}
