// SPDX-License-Identifier: GPL-2.0

//! Quotas: what belongs to users, groups and projects, and what they may have.
//!
//! The kernel counts ([`crate::vfs::quota`]); here is said what. There are few places where the space of an
//! inode changes, and each comes here in place of changing it:
//!
//! | what | how |
//! |---|---|
//! | blocks for a hole | [`Reserved`] before they are looked for, claimed when they are in the tree |
//! | delayed data | reserved when it is written, claimed at writeback |
//! | staged blocks of a direct write | reserved when they are chosen, claimed at its completion |
//! | nodes of trees, blocks of directories, long links and attributes | [`charge`] |
//! | all that is freed | [`free`] |
//!
//! What is reserved is in memory alone and takes no transaction; `EDQUOT` comes from there, so it comes to
//! who writes, and never at writeback or when a direct write is complete. At any time there is reserved for
//! an inode what it has delayed, what it has staged, and what is in a [`Reserved`].
//!
//! A claim, a charge and what is freed write the quota files within the transaction of the caller, under
//! the tree's lock or that of attributes: see `Documentation/locking.md`.
//!
//! All of this goes on whether anything is counted or not, since `quotaon` may come at any time and find files
//! that have something reserved. Where nothing is counted it costs a spin lock of the inode.

mod files;
mod life;
mod named;

pub(crate) use life::{
    begin, can_be_kept, change_limits, resume_or_end, say_why_not, suspend, with_quotas,
};
pub(crate) use named::counting_orphans;

use crate::{
    disk::features::Feature,
    error::FsResult,
    vfs::{inode::Inode, new_inode::Unnumbered, super_block::SuperBlock},
    Rext4,
};
use core::{mem, sync::atomic::Ordering};

/// How many blocks of quota files one handle can change, at most: for three inodes, as a rename with a
/// whiteout has, or for one that changes hands, an entry of each kind and the one from whom it comes.
///
/// Entries are made before, in a transaction of their own.
pub(crate) const CREDITS: u32 = 9;

/// Whether quotas are kept in hidden files, and so at any time.
pub(crate) fn are_hidden(sb: &SuperBlock<Rext4>) -> bool {
    sb.data().features.has(Feature::QUOTA)
}

/// Whether an owner may have a limit, so that nobody is to have more than what is needed.
pub(crate) fn heeds_limits(inode: &Inode<Rext4>) -> bool {
    inode.super_block().heeds_limits()
}

/// Whether the owner of an inode, its group or its project has next to nothing left.
pub(crate) fn is_used_up(inode: &Inode<Rext4>) -> bool {
    // A block, and what has to be allocated beside it.
    heeds_limits(inode) && Reserved::exactly(inode, 4).is_err()
}

fn bytes(inode: &Inode<Rext4>, blocks: u32) -> u64 {
    u64::from(blocks) << inode.super_block().data().layout.block_size().bits()
}

/// Whether limits are heeded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Limits {
    /// By who asks for something.
    Heeded,
    /// Not by what has to be done for what was acknowledged, or to free something.
    Ignored,
}

/// Adds blocks to the space of an inode, within the transaction of the caller.
///
/// # Errors
///
/// `EDQUOT` if limits are heeded; nothing has changed then.
pub(crate) fn charge(inode: &Inode<Rext4>, blocks: u32, limits: Limits) -> FsResult {
    Ok(inode.charge_space(bytes(inode, blocks), limits == Limits::Ignored)?)
}

/// Takes blocks from the space of an inode, within the transaction of the caller.
pub(crate) fn free(inode: &Inode<Rext4>, blocks: u32) {
    inode.free_space(bytes(inode, blocks));
}

/// Blocks that an inode may have. Dropping it gives back what was not claimed.
pub(crate) struct Reserved<'a> {
    inode: &'a Inode<Rext4>,
    blocks: u32,
}

impl<'a> Reserved<'a> {
    /// So many blocks.
    ///
    /// # Errors
    ///
    /// `EDQUOT`.
    pub(crate) fn exactly(inode: &'a Inode<Rext4>, blocks: u32) -> FsResult<Self> {
        inode.reserve_space(bytes(inode, blocks))?;
        Ok(Self { inode, blocks })
    }

    /// As many as can be had of `wanted` blocks, and one at least.
    ///
    /// # Errors
    ///
    /// `EDQUOT`.
    pub(crate) fn at_most(inode: &'a Inode<Rext4>, wanted: u32) -> FsResult<Self> {
        let failed = match Self::exactly(inode, wanted) {
            Err(e) if wanted > 1 => e,
            result => return result,
        };
        let mut own = Self { inode, blocks: 0 };
        // What can be had has a digit for each step.
        let mut step = 1 << wanted.ilog2();
        while step > 0 {
            if own.blocks + step < wanted {
                if let Ok(more) = Self::exactly(inode, step) {
                    more.keep();
                    own.blocks += step;
                }
            }
            step /= 2;
        }
        if own.blocks == 0 {
            return Err(failed);
        }
        Ok(own)
    }

    /// Blocks that were reserved before and [kept](Self::keep).
    pub(crate) fn again(inode: &'a Inode<Rext4>, blocks: u32) -> Self {
        Self { inode, blocks }
    }

    /// How many there are.
    pub(crate) fn blocks(&self) -> u32 {
        self.blocks
    }

    /// Makes so many of them a part of the space of the inode, within the transaction of the caller.
    pub(crate) fn claim(&mut self, blocks: u32) {
        let blocks = blocks.min(self.blocks);
        self.blocks -= blocks;
        self.inode.claim_space(bytes(self.inode, blocks));
    }

    /// Leaves so many of them reserved, which somebody notes, and gives back the rest.
    pub(crate) fn keep_some(mut self, blocks: u32) {
        self.blocks = self.blocks.saturating_sub(blocks);
    }

    /// Leaves them reserved: somebody notes how many.
    pub(crate) fn keep(self) {
        mem::forget(self);
    }
}

impl Drop for Reserved<'_> {
    fn drop(&mut self) {
        if self.blocks > 0 {
            self.inode.unreserve_space(bytes(self.inode, self.blocks));
        }
    }
}

/// Finds out to whom an inode will be counted that is going to be made with this project. Without a
/// handle.
///
/// # Errors
///
/// Those of [`Inode::initialize_quotas`].
pub(crate) fn prepare_new(unnumbered: &Unnumbered<Rext4>, project: u32) -> FsResult {
    let inode = unnumbered.inode();
    inode.data().project.store(project, Ordering::Relaxed);
    Ok(inode.initialize_quotas()?)
}
