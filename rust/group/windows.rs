// SPDX-License-Identifier: GPL-2.0

//! Windows: the free blocks behind the end of a file that is being written to, left to it.
//!
//! Without them, files that are written to at the same time in one group would get their blocks in
//! turns. A window is in memory alone, and a hint: the blocks in it are free, for the bitmap and for
//! all counts. Others look for room beside it, and take it when there is none (see
//! [`super::allocate`]). So nothing has to be given back before the disk may be called full, and
//! a crash knows nothing of it.
//!
//! A file has one window in a group. It moves on with each allocation, and goes when nobody has the
//! file open for writing any more.

use crate::disk::units::InodeNumber;
use core::ops::Range;
use kernel::alloc::{flags::GFP_KERNEL, AllocError, KVec};

/// The most windows of a group. When there are more, the one goes that was not used for the longest
/// time.
const MOST: usize = 32;

struct Window {
    owner: InodeNumber,
    range: Range<u32>,
    /// When it was last moved, by [`Windows::clock`].
    moved: u64,
}

/// The windows of one group, by their place. No two overlap.
#[derive(Default)]
pub(super) struct Windows {
    list: KVec<Window>,
    clock: u64,
}

impl Windows {
    /// Leaves `range` to `owner`, and nothing else in this group. It must not touch a window of
    /// another owner. An empty range is none.
    pub(super) fn set(&mut self, owner: InodeNumber, range: Range<u32>) -> Result<(), AllocError> {
        self.remove(owner);
        if range.is_empty() {
            return Ok(());
        }
        if self.list.capacity() < MOST {
            self.list.reserve(MOST, GFP_KERNEL)?;
        }
        if self.list.len() >= MOST {
            let oldest = self
                .list
                .iter()
                .enumerate()
                .min_by_key(|(_, own)| own.moved);
            if let Some((index, _)) = oldest {
                let _ = self.list.remove(index);
            }
        }
        self.clock += 1;
        let window = Window {
            owner,
            range,
            moved: self.clock,
        };
        let at = self
            .list
            .partition_point(|own| own.range.start < window.range.start);
        // There is capacity for it.
        self.list
            .insert_within_capacity(at, window)
            .map_err(|_| AllocError)
    }

    /// Ends the window of `owner`.
    pub(super) fn remove(&mut self, owner: InodeNumber) {
        self.list.retain(|own| own.owner != owner);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// Those that `who` has to leave alone.
    pub(super) fn of_others(&self, who: Option<InodeNumber>) -> OthersWindows<'_> {
        OthersWindows {
            list: &self.list,
            who,
        }
    }
}

/// Windows that somebody has to leave alone.
#[derive(Clone, Copy)]
pub(super) struct OthersWindows<'a> {
    list: &'a [Window],
    who: Option<InodeNumber>,
}

impl OthersWindows<'_> {
    /// None.
    pub(super) const NONE: OthersWindows<'static> = OthersWindows {
        list: &[],
        who: None,
    };

    /// The windows from the first on that ends behind `bit`.
    fn from(&self, bit: u32) -> impl Iterator<Item = &Window> {
        let first = self.list.partition_point(|own| own.range.end <= bit);
        let rest = self.list.get(first..).unwrap_or_default();
        rest.iter().filter(|own| Some(own.owner) != self.who)
    }

    /// The end of the first window that has a bit of `bits`.
    pub(super) fn end_of_first(&self, bits: &Range<u32>) -> Option<u32> {
        let next = self.from(bits.start).next()?;
        (next.range.start < bits.end).then_some(next.range.end)
    }

    /// The start of the first window behind `bit`.
    pub(super) fn next_start(&self, bit: u32) -> Option<u32> {
        let mut starts = self.from(bit).map(|own| own.range.start);
        starts.find(|&start| start > bit)
    }
}
