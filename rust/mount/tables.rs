// SPDX-License-Identifier: GPL-2.0

//! When inode tables that mke2fs left as they were are filled with zeros: while the file system is
//! mounted writable and nothing else keeps the device busy, or less of its time at least. How is in
//! [`crate::group`].

use super::Filesystem;
use crate::{
    error::{FsError, FsResult},
    group::TablePosition,
    vfs::{
        background::{Background, BackgroundSteps, Housekeeping},
        random,
        super_block::SuperBlock,
    },
    Rext4,
};
use kernel::{
    prelude::*,
    time::{Instant, Monotonic, Msecs},
};

/// The longest time that passes before the first step: file systems that are mounted at the same time
/// should not begin at the same time.
const LONGEST_DELAY: Msecs = 5000;

/// How soon it is looked again, when a remount that makes the file system writable is about to end.
const BEFORE_WRITABLE: Msecs = 20;

impl BackgroundSteps<Housekeeping> for Rext4 {
    fn background(sb: &SuperBlock<Self>) -> &Background {
        &sb.data().background
    }

    fn step(sb: &SuperBlock<Self>) -> Option<Msecs> {
        sb.data().zero_tables(sb)
    }
}

impl Filesystem {
    /// Has inode tables zeroed after a mount, if that is wanted.
    pub(super) fn start_zeroing(&self, sb: &SuperBlock<Rext4>) {
        match self.options().init_itable {
            None => {}
            // Who asks for no pauses does not want this one either.
            Some(0) => self.background.start(sb, 0),
            Some(_) => self.background.start(sb, random::number() % LONGEST_DELAY),
        }
    }

    /// The same after a remount that has stopped it.
    pub(super) fn restart_zeroing(&self, sb: &SuperBlock<Rext4>) {
        // While it was read-only anybody may have changed the device.
        *self.zeroing.lock() = TablePosition::default();
        if self.options().init_itable.is_some() {
            self.background.start(sb, 0);
        }
    }

    /// Whether inode tables are zeroed some time after they came into use.
    pub(super) fn leaves_tables_for_later(&self) -> bool {
        self.descriptor_checksum.has_lazy_parts() && self.options().init_itable.is_some()
    }

    /// The same after new groups were added, with their tables left for later.
    pub(super) fn continue_zeroing(&self, sb: &SuperBlock<Rext4>) {
        if self.leaves_tables_for_later() {
            self.background.start(sb, 0);
        }
    }

    /// One step. Returns after how many milliseconds the next one is to be done.
    fn zero_tables(&self, sb: &SuperBlock<Rext4>) -> Option<Msecs> {
        let times = self.options().init_itable?;
        let begin = Instant::<Monotonic>::now();
        let more = || -> FsResult<Option<bool>> {
            match self.journal_for_writing(sb)? {
                None => Ok(None),
                Some(journal) => {
                    let mut at = *self.zeroing.lock();
                    let result = self.groups()?.zero_tables(journal, &mut at);
                    *self.zeroing.lock() = at;
                    Ok(Some(result?))
                }
            }
        };
        match more() {
            Ok(Some(false)) => None,
            Ok(Some(true)) => {
                let took = u64::try_from(begin.elapsed().as_micros_ceil()).unwrap_or(0);
                let pause = took.saturating_mul(times.into()).div_ceil(1000);
                Some(Msecs::try_from(pause).unwrap_or(Msecs::MAX))
            }
            // A remount stops this before it makes the file system read-only, and starts it again
            // when it is about to make it writable.
            Ok(None) => Some(BEFORE_WRITABLE),
            Err(e @ FsError::Corrupt(_)) => {
                self.errno_at(sb, None, "zero inode tables", e);
                Some(0)
            }
            Err(_) if self.journal_for_writing(sb).is_err() => None,
            Err(e) => {
                pr_warn!(
                    "({}): warning: can't zero the inode tables: {}; the next mount tries it again\n",
                    sb.id(),
                    e
                );
                None
            }
        }
    }
}
