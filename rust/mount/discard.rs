// SPDX-License-Identifier: GPL-2.0

//! When free space is discarded: after commits, with the mount option `discard`, and when an
//! administrator asks for it. How is in [`crate::group`].

use super::Filesystem;
use crate::{
    disk::{features::Feature, units::PhysicalBlock},
    error::{FsError, FsResult},
    group::Groups,
    vfs::{
        commit_work::{CommitCallback, CommitWork},
        ioctl::TrimRange,
        super_block::SuperBlock,
    },
    Rext4,
};
use kernel::{error::code, prelude::*};

impl CommitCallback for Rext4 {
    fn commit_work(sb: &SuperBlock<Self>) -> &CommitWork {
        &sb.data().commit_work
    }

    fn committed(sb: &SuperBlock<Self>) {
        sb.data().discard_committed(sb);
    }
}

impl Filesystem {
    /// Whether freed blocks are discarded before they can be used again.
    pub(super) fn set_discard(&self, groups: &Groups, on: bool) {
        groups.set_discard(on);
        self.commit_work.want(on);
    }

    /// Discards what was freed by transactions that are committed, if that is asked for.
    pub(super) fn discard_committed(&self, sb: &SuperBlock<Rext4>) {
        let (Ok(groups), Some(journal)) = (self.groups(), self.journal.get()) else {
            return;
        };
        if !self.options().discard || self.is_down() {
            return;
        }
        let result = groups.discard_committed(sb.device(), |tid| journal.is_committed(tid));
        self.warn_of_discard(sb, result);
    }

    /// The same at the end, when the journal was closed and so all transactions are committed.
    pub(super) fn discard_at_end(&self, sb: &SuperBlock<Rext4>) {
        if let (true, Ok(groups)) = (self.options().discard, self.groups()) {
            let result = groups.discard_committed(sb.device(), |_| true);
            self.warn_of_discard(sb, result);
        }
    }

    fn warn_of_discard(&self, sb: &SuperBlock<Rext4>, result: FsResult) {
        if let Err(e) = result {
            pr_warn!(
                "({}): warning: can't discard freed blocks: {}\n",
                sb.id(),
                e
            );
        }
    }
}

/// Discards free space, see [`Administration::trim`](crate::vfs::ioctl::Administration::trim).
/// Returns how many bytes.
///
/// # Errors
///
/// As C ext4: `EINVAL` for a range that begins behind the end or is shorter than a block, and for a
/// shortest run that is longer than a group; `EROFS` with `noload` where there is a journal, as
/// bitmaps may be out of date, and where somebody else may have the file system (`mmp`). `EOPNOTSUPP` with a feature that
/// forbids writing: their bits may stand for something else.
pub(super) fn trim(sb: &SuperBlock<Rext4>, range: &TrimRange) -> FsResult<u64> {
    let fs = sb.data();
    fs.must_be_up()?;
    if fs.options().noload && fs.features.has(Feature::HAS_JOURNAL) {
        return Err(FsError::Kernel(code::EROFS));
    }
    fs.must_understand_bitmaps()?;
    fs.must_be_protected()?;
    let layout = &fs.layout;
    let size = layout.block_size();
    let start = range.start >> size.bits();
    let invalid = FsError::Kernel(code::EINVAL);
    if start >= layout.blocks_count() || range.len < u64::from(size.bytes()) {
        return Err(invalid);
    }
    let in_group = u64::from(layout.blocks_per_group());
    if range.min_len >> size.bits() > in_group {
        return Err(invalid);
    }
    // The device passes over what is shorter than it can discard.
    let granularity = u64::from(sb.device().discard_granularity());
    let least = range.min_len.max(granularity) >> size.bits();
    let Some(least) = u32::try_from(least)
        .ok()
        .filter(|&least| u64::from(least) <= in_group)
    else {
        return Ok(0);
    };
    let end = start.saturating_add(range.len >> size.bits());
    let first = PhysicalBlock(start).max(layout.first_data_block());
    let end = PhysicalBlock(end.min(layout.blocks_count()));
    let blocks = fs
        .groups()?
        .trim(sb.device(), fs.journal.get(), first..end, least)?;
    Ok(blocks << size.bits())
}
