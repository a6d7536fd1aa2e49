// SPDX-License-Identifier: GPL-2.0

//! More blocks for the last group, while the file system is in use.
//!
//! What lies behind the end of the last group is set in its bitmap. So to extend it is to free these
//! blocks, but for two things: they may be used at once, since after a crash nobody has them; and who
//! looks at the bitmap has to know where the group ends now. Everybody does so with the group locked,
//! and all others meet a new block only after it was allocated.

use super::{search::length, Groups};
use crate::{
    disk::units::GroupNumber,
    error::{FsError, FsResult},
    vfs::jbd2::Handle,
};
use kernel::{error::code, prelude::*};

impl Groups {
    /// Has the last group end at block `end`, which is behind its present end and no further than a
    /// group can reach.
    ///
    /// Needs [`EXTEND_LAST_GROUP`](crate::journal::credits::EXTEND_LAST_GROUP) credits, of which one is
    /// for the super block: the caller has access to that before, and stores the size in it after this.
    ///
    /// # Errors
    ///
    /// `EINVAL` if `end` lies elsewhere; `EUCLEAN` if the group's bitmap was found damaged before;
    /// [`Corrupt`](crate::disk::Corrupt) if it is. Errors of [`Handle::write`]. Nothing has changed then.
    pub(crate) fn extend_last(&self, handle: &Handle<'_>, end: u64) -> FsResult {
        let layout = &self.layout;
        let last = layout.group_count().checked_sub(1).map(GroupNumber);
        let last = last.ok_or(FsError::from(EINVAL))?;
        let mut state = self.lock(last)?;
        if state.bad_blocks {
            return Err(FsError::Kernel(crate::error::euclean()));
        }
        if end <= layout.blocks_count() || end > layout.end_of_groups().0 {
            return Err(FsError::Kernel(code::EINVAL));
        }
        let summary = self.summary(last)?;
        let bitmap = self.needed_block_bitmap(handle, last, &mut state, &summary)?;
        // Less than a group has, whose numbers fit.
        let new = layout.blocks_in_group(last)..(end - layout.first_block(last).0) as u32;
        let count = length(&new);
        self.set_blocks(handle, last, &bitmap, new, false)?;
        layout.extend(end);
        self.release_at_once(last, &mut state, count);
        self.space.update(|ledger| ledger.grow(end));
        Ok(())
    }
}
