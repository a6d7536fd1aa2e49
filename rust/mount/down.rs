// SPDX-License-Identifier: GPL-2.0

//! A file system that was shut down while it is mounted: by its administrator, for a test, or
//! because its device is gone.
//!
//! From then on it is as if the machine had lost power: nothing is written any more, and what is
//! asked of its files answers `EIO`. It can be unmounted, and the next mount recovers.

use super::Filesystem;
use crate::{
    error::{FsError, FsResult},
    vfs::{ioctl::Shutdown, super_block::SuperBlock},
    Rext4,
};
use core::sync::atomic::Ordering;
use kernel::{
    error::{code, Error},
    prelude::*,
};

impl Filesystem {
    /// Whether it was shut down.
    pub(crate) fn is_down(&self) -> bool {
        self.down.load(Ordering::Acquire)
    }

    /// # Errors
    ///
    /// `EIO` if it was shut down.
    pub(crate) fn must_be_up(&self) -> FsResult {
        if self.is_down() {
            return Err(FsError::Kernel(code::EIO));
        }
        Ok(())
    }

    /// Shuts it down. Called without locks and without a handle.
    ///
    /// # Errors
    ///
    /// With [`Shutdown::Flush`] those of freezing it; then it goes on.
    pub(crate) fn go_down(&self, sb: &SuperBlock<Rext4>, how: Shutdown) -> FsResult {
        if self.is_down() {
            return Ok(());
        }
        pr_alert!(
            "({}): shut down ({})\n",
            sb.id(),
            match how {
                Shutdown::Flush => "everything is written",
                Shutdown::CommitOnly => "the journal is committed",
                Shutdown::Now => "at once",
            }
        );
        let go_down = || {
            self.down.store(true, Ordering::Release);
            if let Ok(groups) = self.groups() {
                self.set_discard(groups, false);
            }
        };
        match how {
            // Whoever writes is kept out until it is down, and looks whether it is after that.
            Shutdown::Flush => sb.while_frozen(go_down)?,
            Shutdown::CommitOnly | Shutdown::Now => {
                // Read-only, it may be another machine's, with all that is in its journal.
                let may_write = self.must_be_protected().is_ok();
                if let (Shutdown::CommitOnly, Some(journal), true) =
                    (how, self.journal.get(), may_write)
                {
                    // An error is one more reason to end here.
                    let _ = journal.force_commit();
                }
                go_down();
                match self.journal.get() {
                    Some(journal) if may_write => journal.lose_power(),
                    Some(journal) => journal.abandon(),
                    None => {}
                }
                if self.is_protected() {
                    // What was committed is on its way to its place, where others may have something else soon. Recovery
                    // has it.
                    sb.device().forget_all();
                }
            }
        }
        self.background.stop();
        self.stop_updates();
        let why = Error::from_errno(-(crate::bindings::ESHUTDOWN as i32));
        crate::vfs::super_block::report_error(sb, None, why);
        Ok(())
    }
}
