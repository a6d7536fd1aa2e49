// SPDX-License-Identifier: GPL-2.0

//! The search for free blocks within one group.
//!
//! Pure: it looks at bitmaps and knows neither locks nor buffers.

use super::windows::OthersWindows;
use crate::disk::bitmap::{first_clear_in_all, Bitmap, LONGEST_SOUGHT};
use core::ops::Range;

/// After so many runs that are too short a search for a long one goes on elsewhere,
const SHORT: u32 = 16;
/// so many blocks behind them, and twice as many the next time.
const LEAP: u32 = 64;

/// What is free in a group: the bits that are clear in its bitmap and in none of `pinned`, and that
/// are neither staged nor in a window to be left alone.
#[derive(Clone, Copy)]
pub(super) struct FreeBits<'a> {
    bitmap: Bitmap<'a>,
    /// Blocks that were freed, but not for good yet: see [`super::pinned`].
    pinned: [Option<Bitmap<'a>>; 3],
    /// Blocks that were chosen, in order: see [`super::staged`].
    staged: &'a [Range<u32>],
    windows: OthersWindows<'a>,
    /// The number of blocks in the group.
    end: u32,
}

impl<'a> FreeBits<'a> {
    /// The free ones of the first `end` bits.
    pub(super) fn new(bitmap: Bitmap<'a>, pinned: [Option<Bitmap<'a>>; 3], end: u32) -> Self {
        Self {
            bitmap,
            pinned,
            staged: &[],
            windows: OthersWindows::NONE,
            end,
        }
    }

    /// Those of them that are in none of these ranges, which are in order.
    pub(super) fn but_for(self, staged: &'a [Range<u32>]) -> Self {
        Self { staged, ..self }
    }

    /// Those of them that are not in these windows.
    pub(super) fn outside(self, windows: OthersWindows<'a>) -> Self {
        Self { windows, ..self }
    }

    fn maps(self) -> impl Iterator<Item = Bitmap<'a>> + Clone {
        core::iter::once(self.bitmap).chain(self.pinned.into_iter().flatten())
    }

    /// The staged range that holds `bit`, or else the next one.
    fn next_staged(self, bit: u32) -> Option<&'a Range<u32>> {
        let first = self.staged.partition_point(|own| own.end <= bit);
        self.staged.get(first)
    }

    /// The first free bit in `range`.
    fn next_free(self, range: Range<u32>) -> Option<u32> {
        let mut at = range.start;
        loop {
            let before = at;
            for map in self.maps() {
                at = map.next_clear(at..range.end)?;
            }
            let staged = self.next_staged(at).filter(|next| next.start <= at);
            at = staged.map_or(at, |own| own.end);
            let around = at..at.saturating_add(1);
            at = self.windows.end_of_first(&around).unwrap_or(at);
            // Nothing has moved on, so all maps have this bit clear, and neither a window nor a staged
            // range holds it.
            if at == before && at < range.end {
                return Some(at);
            }
        }
    }

    /// The run of free bits that begins at `start`, which is free, up to `limit`.
    fn run_from(self, start: u32, limit: u32) -> Range<u32> {
        let end = self
            .maps()
            .filter_map(|map| map.next_set(start..limit))
            .chain(self.next_staged(start).map(|next| next.start))
            .chain(self.windows.next_start(start))
            .fold(limit, u32::min);
        start..end
    }

    /// The first run in `range` of at least `least` bits, all of it.
    pub(super) fn next_run(self, range: Range<u32>, least: u32) -> Option<Range<u32>> {
        let mut at = range.start;
        while let Some(start) = self.next_free(at..range.end) {
            let run = self.run_from(start, range.end);
            if length(&run) >= least {
                return Some(run);
            }
            at = run.end;
        }
        None
    }

    /// The first run in `range` of at least `wanted` bits, cut to that, or else the longest.
    fn best_run(self, range: Range<u32>, wanted: u32) -> Option<Range<u32>> {
        let mut best: Option<Range<u32>> = None;
        let mut at = range.start;
        while let Some(start) = self.next_free(at..range.end) {
            let run = self.run_from(start, range.end.min(start.saturating_add(wanted)));
            at = run.end;
            if length(&run) == wanted {
                return Some(run);
            }
            if best.as_ref().is_none_or(|best| length(&run) > length(best)) {
                best = Some(run);
            }
        }
        best
    }

    /// The first run in `range` of `wanted` bits, which are at most [`LONGEST_SOUGHT`].
    fn first_run(self, range: Range<u32>, wanted: u32) -> Option<Range<u32>> {
        if wanted == 1 {
            return self.next_free(range).map(|start| start..start + 1);
        }
        let has_pinned = self.pinned.iter().any(Option::is_some);
        let mut at = range.start;
        loop {
            let rest = at..range.end;
            let start = if has_pinned {
                first_clear_in_all(self.maps(), rest, wanted)?
            } else {
                first_clear_in_all(core::iter::once(self.bitmap), rest, wanted)?
            };
            // It ends within the range.
            let run = start..start + wanted;
            let staged = self.next_staged(start).filter(|own| own.start < run.end);
            let window = || self.windows.end_of_first(&run);
            match staged.map(|own| own.end).or_else(window) {
                Some(end) => at = end,
                None => return Some(run),
            }
        }
    }

    /// A run in `range` of `wanted` bits: a short one if there is any, a long one if it is found without looking
    /// at many that are shorter. After some of these it goes on farther away.
    fn near_run(self, range: Range<u32>, wanted: u32) -> Option<Range<u32>> {
        if wanted <= LONGEST_SOUGHT {
            return self.first_run(range, wanted);
        }
        let (mut at, mut leap) = (range.start, LEAP);
        for number in 1.. {
            let start = self.next_free(at..range.end)?;
            let run = self.run_from(start, range.end.min(start.saturating_add(wanted)));
            if length(&run) == wanted {
                return Some(run);
            }
            at = run.end;
            if number % SHORT == 0 {
                at = at.saturating_add(leap).min(range.end);
                leap = leap.saturating_mul(2);
            }
        }
        None
    }

    /// The length of the longest run.
    pub(super) fn longest(self) -> u32 {
        let longest = self.best_run(0..self.end, u32::MAX);
        longest.as_ref().map_or(0, length)
    }

    /// The run at a goal, of at most `wanted` blocks. At the start of a group none is a goal.
    pub(super) fn at_goal(self, goal: u32, wanted: u32) -> Option<Range<u32>> {
        let end = self.end.min(goal.saturating_add(wanted));
        let is_free = goal > 0 && goal < end && self.next_free(goal..goal + 1).is_some();
        is_free.then(|| self.run_from(goal, end))
    }

    /// The first run in `range` of `wanted` bits that begins at one of the bits `first`, `first + unit` and so on.
    fn run_that_begins(
        self,
        range: Range<u32>,
        wanted: u32,
        first: u32,
        unit: u32,
    ) -> Option<Range<u32>> {
        let next = |bit: u32| {
            let steps = bit.saturating_sub(first).div_ceil(unit);
            first.checked_add(steps.checked_mul(unit)?)
        };
        let mut at = next(range.start)?;
        loop {
            let end = at.checked_add(wanted).filter(|&end| end <= range.end)?;
            let free = self.next_free(at..range.end)?;
            if free != at {
                at = next(free)?;
                continue;
            }
            let run = self.run_from(at, end);
            if run.end == end {
                return Some(run);
            }
            at = next(run.end)?;
        }
    }

    /// A place for `wanted` blocks that begins at one of the bits `first`, `first + unit` and so on, as near behind `goal`
    /// as can be, or else before it. It has up to `ahead` more blocks that are free behind these.
    pub(super) fn place_that_begins(
        self,
        goal: Option<u32>,
        (wanted, ahead): (u32, u32),
        (first, unit): (u32, u32),
    ) -> Option<Range<u32>> {
        let goal = goal.unwrap_or(0).min(self.end);
        let run = self
            .run_that_begins(goal..self.end, wanted, first, unit)
            .or_else(|| self.run_that_begins(0..self.end, wanted, first, unit))?;
        let end = run.end.saturating_add(ahead).min(self.end);
        Some(self.run_from(run.start, end))
    }

    /// The best place for `wanted` blocks, with 1 at least, near `goal`.
    ///
    /// At the goal exactly, if that is free, since what lies in one piece is worth more than what
    /// is long. Else a run behind the goal that is long enough, near it if there are not many shorter ones in
    /// between; then one before it, and if there is none the longest. The run has at most `wanted` blocks.
    pub(super) fn place(self, goal: Option<u32>, wanted: u32) -> Option<Range<u32>> {
        let goal = goal.unwrap_or(0).min(self.end);
        if let Some(run) = self.at_goal(goal, wanted) {
            return Some(run);
        }
        // Where many are too short, who wants such a run again and again must not look at all of them each time.
        let near = self.near_run(goal..self.end, wanted);
        if let Some(run) = near.or_else(|| self.near_run(0..goal, wanted)) {
            return Some(run);
        }
        let behind = self.best_run(goal..self.end, wanted);
        if behind.as_ref().is_some_and(|run| length(run) == wanted) {
            return behind;
        }
        let before = self.best_run(0..goal, wanted);
        match (behind, before) {
            (Some(behind), Some(before)) if length(&before) > length(&behind) => Some(before),
            (None, before) => before,
            (behind, _) => behind,
        }
    }
}

/// What is left of a run that begins at one of the bits `first`, `first + unit` and so on; all of it if that would be less
/// than one unit.
pub(super) fn begin_later(run: Range<u32>, begins: Option<(u32, u32)>) -> Range<u32> {
    let Some((first, unit)) = begins else {
        return run;
    };
    let steps = run.start.saturating_sub(first).div_ceil(unit);
    let start = first.saturating_add(steps.saturating_mul(unit));
    if run.end.saturating_sub(start) < unit {
        return run;
    }
    start..run.end
}

/// The number of bits in a run.
pub(super) fn length(run: &Range<u32>) -> u32 {
    run.end.saturating_sub(run.start)
}
