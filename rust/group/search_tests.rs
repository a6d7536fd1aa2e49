// SPDX-License-Identifier: GPL-2.0

//! KUnit suite of the search for short runs, beside one that looks at each block.

use super::{
    room_tests::Numbers,
    search::{begin_later, FreeBits},
    staged::Staged,
    windows::Windows,
};
use crate::disk::{
    bitmap::{Bitmap, BitmapMut},
    units::InodeNumber,
};
use core::ops::Range;
use kernel::prelude::*;

const BITS: u32 = 1024;
const BYTES: usize = BITS as usize / 8;

/// The place for `wanted` blocks, if a run of them is free.
fn expected(is_free: &dyn Fn(u32) -> bool, goal: u32, wanted: u32) -> Option<Range<u32>> {
    let run = |start: u32| {
        let end = (start..BITS.min(start + wanted)).find(|&bit| !is_free(bit));
        start..end.unwrap_or(BITS.min(start + wanted))
    };
    let is_long = |start: &u32| run(*start).len() == wanted as usize;
    if goal > 0 && is_free(goal) {
        return Some(run(goal));
    }
    Iterator::chain(goal..BITS, 0..goal).find(is_long).map(run)
}

#[kunit_tests(rext4_group_search)]
mod suite {
    use super::*;

    #[test]
    fn a_short_run_is_the_first_there_is() -> Result {
        let mut numbers = Numbers(0x9e37_79b9_7f4a_7c15);
        let mut found = 0;
        for _ in 0..600 {
            let mut bytes = KVec::from_elem(0u8, BYTES, GFP_KERNEL)?;
            let mut pinned = KVec::from_elem(0u8, BYTES, GFP_KERNEL)?;
            // More and more single blocks between those in use.
            for _ in 0..numbers.below(BITS) {
                let at = numbers.below(BITS);
                BitmapMut::new(&mut bytes).fill(at..at + 1 + numbers.below(2), true);
            }
            let at = numbers.below(BITS);
            BitmapMut::new(&mut pinned).fill(at..at + numbers.below(100), true);
            let mut staged = Staged::default();
            let mut windows = Windows::default();
            let mut at = 0;
            for owner in 0..numbers.below(12) {
                at += numbers.below(100);
                let end = at + 1 + numbers.below(9);
                if numbers.below(2) == 0 {
                    windows.set(InodeNumber(owner % 3 + 12), at..end)?;
                } else {
                    staged.make_room()?;
                    staged.add(at..end);
                }
                at = end + 1;
            }
            let own = Some(InodeNumber(12));
            let maps = [Some(Bitmap::new(&pinned)), None, None];
            let bits = FreeBits::new(Bitmap::new(&bytes), maps, BITS)
                .but_for(staged.ranges())
                .outside(windows.of_others(own));
            let is_free = |bit: u32| {
                let around = bit..bit + 1;
                !Bitmap::new(&bytes).is_set(bit)
                    && !Bitmap::new(&pinned).is_set(bit)
                    && !staged.ranges().iter().any(|own| own.contains(&bit))
                    && windows.of_others(own).end_of_first(&around).is_none()
            };
            let goal = numbers.below(BITS);
            let wanted = match numbers.below(3) {
                0 => 1 + numbers.below(64),
                _ => 1 + numbers.below(4),
            };
            let place = bits.place(Some(goal), wanted);
            match expected(&is_free, goal, wanted) {
                Some(run) => {
                    found += 1;
                    assert_eq!(place, Some(run));
                }
                // The longest, which is too short.
                None => {
                    let len = place.map_or(0, |run| run.len() as u32);
                    assert!(len < wanted);
                    assert_eq!(len, bits.longest());
                }
            }
        }
        assert!(found > 300);
        Ok(())
    }

    #[test]
    fn a_run_that_does_not_begin_at_a_stripe_loses_its_beginning() {
        assert_eq!(begin_later(1..4096, None), 1..4096);
        assert_eq!(begin_later(1..4096, Some((0, 8))), 8..4096);
        assert_eq!(begin_later(8..4096, Some((0, 8))), 8..4096);
        assert_eq!(begin_later(1..4096, Some((5, 8))), 5..4096);
        assert_eq!(begin_later(6..4096, Some((5, 8))), 13..4096);
        assert_eq!(begin_later(1..16, Some((0, 8))), 8..16);
        // Not even a stripe would be left.
        assert_eq!(begin_later(1..15, Some((0, 8))), 1..15);
        assert_eq!(begin_later(1..3, Some((0, 8))), 1..3);
    }

    #[test]
    fn a_run_that_begins_at_a_stripe_is_the_first_there_is() -> Result {
        let mut numbers = Numbers(5);
        let mut found = 0;
        for _ in 0..400 {
            let mut bytes = KVec::from_elem(0u8, BYTES, GFP_KERNEL)?;
            for _ in 0..numbers.below(40) {
                let at = numbers.below(BITS);
                BitmapMut::new(&mut bytes).fill(at..BITS.min(at + 1 + numbers.below(20)), true);
            }
            let bits = FreeBits::new(Bitmap::new(&bytes), [None; 3], BITS);
            let unit = 2 + numbers.below(60);
            let (first, goal) = (numbers.below(unit), numbers.below(BITS));
            let (wanted, ahead) = (unit + numbers.below(40), numbers.below(30));
            let is_free = |bit: u32| bit < BITS && !Bitmap::new(&bytes).is_set(bit);
            let is_place =
                |start: &u32| start % unit == first && (*start..*start + wanted).all(is_free);
            let expected = Iterator::chain(goal..BITS, 0..BITS).find(is_place);
            let place = bits.place_that_begins(Some(goal), (wanted, ahead), (first, unit));
            assert_eq!(place.as_ref().map(|run| run.start), expected);
            if let Some(run) = place {
                found += 1;
                let end = (run.start..run.start + wanted + ahead).find(|&bit| !is_free(bit));
                assert_eq!(run.end, end.unwrap_or(run.start + wanted + ahead));
            }
        }
        assert!(found > 50);
        Ok(())
    }
}
