// SPDX-License-Identifier: GPL-2.0

//! The file system's own blocks, which are never given out: those of its groups, its journal, and its block
//! of multiple mount protection.

use super::{growing::Growing, Groups};
use crate::{
    disk::{
        allocation::{Runs, SystemMap, SystemRun},
        units::PhysicalBlock,
        Corrupt,
    },
    error::FsResult,
};
use kernel::prelude::*;

impl Groups {
    /// Adds runs of blocks to the file system's own: those of its journal. To be called before anybody else
    /// has the groups.
    ///
    /// # Errors
    ///
    /// [`Corrupt`] if they lie over other metadata.
    pub(crate) fn protect(&mut self, more: impl Iterator<Item = SystemRun>) -> FsResult {
        let mut runs = KVVec::new();
        for &run in self.system.base() {
            runs.push(run, GFP_KERNEL)?;
        }
        for run in more {
            runs.push(run, GFP_KERNEL)?;
        }
        self.system = Growing::new(tidy(runs)?)?;
        Ok(())
    }

    /// The file system's own blocks.
    pub(crate) fn system(&self) -> SystemMap<'_, impl Runs> {
        SystemMap::new(&self.system)
    }
}

/// Sorts runs of the file system's own blocks, and joins those that touch.
pub(crate) fn tidy(mut runs: KVVec<SystemRun>) -> FsResult<KVVec<SystemRun>> {
    let kept = SystemMap::tidy(&mut runs).map_err(Corrupt::from)?;
    runs.truncate(kept);
    Ok(runs)
}

impl Runs for Growing<SystemRun> {
    fn run(&self, index: usize) -> Option<SystemRun> {
        self.get(index).copied()
    }

    /// What was added lies behind all that was there at mount, as new groups do.
    fn first_behind(&self, at: PhysicalBlock) -> usize {
        let base = self.base();
        if base.last().is_some_and(|last| last.end() > at.0) {
            return base.first_behind(at);
        }
        let (mut low, mut high) = (base.len(), self.len());
        while low < high {
            let middle = low + (high - low) / 2;
            match self.run(middle) {
                Some(run) if run.end() <= at.0 => low = middle + 1,
                _ => high = middle,
            }
        }
        low
    }
}
