// SPDX-License-Identifier: GPL-2.0

//! KUnit suite of what can be tested without a device.

use super::{
    ledger::{Claimant, Ledger},
    longest::Longest,
    pinned::Pinned,
    search::FreeBits,
    space::{Claim, ConversionReserve, DelayedReserve, Rights, Space},
    staged::Staged,
    windows::Windows,
};
use crate::{
    disk::{
        bitmap::{Bitmap, BitmapMut},
        units::{GroupNumber, InodeNumber},
    },
    vfs::jbd2::Tid,
};
use core::ops::Range;
use kernel::prelude::*;

/// The blocks in the groups of these tests.
const BITS: u32 = 256;
const BYTES: usize = BITS as usize / 8;

/// A bitmap in which all is used but these runs.
fn free_runs<const N: usize>(runs: [Range<u32>; N]) -> [u8; BYTES] {
    let mut bytes = [0xff; BYTES];
    let mut bitmap = BitmapMut::new(&mut bytes);
    for run in runs {
        bitmap.fill(run, false);
    }
    bytes
}

fn place(bytes: &[u8], goal: Option<u32>, wanted: u32) -> Option<Range<u32>> {
    FreeBits::new(Bitmap::new(bytes), [None; 3], BITS).place(goal, wanted)
}

fn tid(number: u32) -> Tid {
    Tid::from_raw(number)
}

#[kunit_tests(rext4_group)]
mod suite {
    use super::*;

    #[test]
    fn search_takes_the_goal_even_if_the_run_is_short() {
        let bytes = free_runs([8..100, 120..123]);
        assert_eq!(place(&bytes, Some(120), 16), Some(120..123));
        assert_eq!(place(&bytes, Some(50), 16), Some(50..66));
    }

    #[test]
    fn search_prefers_behind_the_goal_then_before_it() {
        let bytes = free_runs([10..30, 60..80, 200..256]);
        assert_eq!(place(&bytes, Some(50), 16), Some(60..76));
        assert_eq!(place(&bytes, Some(100), 20), Some(200..220));
        assert_eq!(place(&bytes, Some(250), 4), Some(250..254));
        // Only at the start of the group: the goal itself is no more than a hint.
        let bytes = free_runs([10..30, 250..252]);
        assert_eq!(place(&bytes, Some(40), 16), Some(10..26));
    }

    #[test]
    fn search_gives_the_longest_if_none_is_long_enough() {
        let bytes = free_runs([10..14, 60..69, 200..203]);
        assert_eq!(place(&bytes, Some(100), 64), Some(60..69));
        assert_eq!(place(&bytes, None, 64), Some(60..69));
        assert_eq!(place(&free_runs([]), Some(3), 1), None);
    }

    #[test]
    fn search_stays_within_the_group() {
        let bytes = [0; BYTES];
        let bits = FreeBits::new(Bitmap::new(&bytes), [None; 3], 100);
        assert_eq!(bits.place(Some(90), 64), Some(90..100));
        assert_eq!(bits.place(Some(100), 64), Some(0..64));
        assert_eq!(bits.place(Some(u32::MAX), 64), Some(0..64));
    }

    #[test]
    fn search_passes_over_pinned_blocks() {
        let bytes = free_runs([10..30, 30..50]);
        let mut first = [0; BYTES];
        BitmapMut::new(&mut first).fill(10..20, true);
        let mut second = [0; BYTES];
        BitmapMut::new(&mut second).fill(18..30, true);
        let pinned = [Some(Bitmap::new(&first)), Some(Bitmap::new(&second)), None];
        let bits = FreeBits::new(Bitmap::new(&bytes), pinned, BITS);
        assert_eq!(bits.place(Some(10), 100), Some(30..50));
        let mut third = [0; BYTES];
        BitmapMut::new(&mut third).fill(40..41, true);
        let pinned = [Some(Bitmap::new(&third)), None, Some(Bitmap::new(&second))];
        let bits = FreeBits::new(Bitmap::new(&bytes), pinned, BITS);
        assert_eq!(bits.place(Some(10), 100), Some(10..18));
        assert_eq!(bits.place(None, 100), Some(30..40));
    }

    #[test]
    fn search_leaves_the_windows_of_others_alone() -> Result {
        let bytes = free_runs([10..50, 50..100]);
        let all = FreeBits::new(Bitmap::new(&bytes), [None; 3], BITS);
        let (one, two, other) = (InodeNumber(12), InodeNumber(13), InodeNumber(14));
        let mut windows = Windows::default();
        windows.set(two, 60..80)?;
        windows.set(one, 10..30)?;
        let place = |windows: &Windows, who, goal, wanted| {
            let bits = all.outside(windows.of_others(who));
            bits.place(goal, wanted)
        };
        assert_eq!(place(&windows, Some(other), Some(10), 8), Some(30..38));
        assert_eq!(place(&windows, None, Some(70), 64), Some(30..60));
        assert_eq!(place(&windows, Some(one), Some(10), 64), Some(10..60));
        assert_eq!(place(&windows, Some(two), Some(60), 64), Some(60..100));
        assert_eq!(all.place(Some(70), 8), Some(70..78));
        // It moves on, and ends.
        windows.set(one, 20..40)?;
        assert_eq!(place(&windows, None, Some(10), 64), Some(10..20));
        windows.set(two, 80..80)?;
        assert_eq!(place(&windows, None, Some(40), 64), Some(40..100));
        windows.remove(one);
        assert!(windows.is_empty());
        Ok(())
    }

    #[test]
    fn staged_blocks_are_not_free() -> Result {
        let bytes = free_runs([10..30, 30..60]);
        let mut staged = Staged::default();
        for range in [40..50, 20..30, 10..12] {
            staged.make_room()?;
            staged.add(range);
        }
        assert_eq!(staged.count(), 22);
        let all = FreeBits::new(Bitmap::new(&bytes), [None; 3], BITS);
        let bits = all.but_for(staged.ranges());
        assert_eq!(bits.place(Some(20), 8), Some(30..38));
        assert_eq!(bits.place(Some(10), 20), Some(30..40));
        assert_eq!(bits.next_run(0..BITS, 1), Some(12..20));
        assert_eq!((bits.longest(), all.longest()), (10, 50));
        Ok(())
    }

    #[test]
    fn staged_blocks_become_one_range() -> Result {
        let mut staged = Staged::default();
        for (range, count) in [
            (10..12, 1),
            (14..16, 2),
            (8..10, 2),
            (16..17, 2),
            (12..14, 1),
        ] {
            staged.make_room()?;
            staged.add(range);
            assert_eq!(staged.ranges().len(), count);
        }
        assert_eq!(staged.ranges().first(), Some(&(8..17)));
        assert_eq!((staged.ranges().len(), staged.count()), (1, 9));
        Ok(())
    }

    #[test]
    fn staged_blocks_go_in_parts_of_their_ranges() -> Result {
        let mut staged = Staged::default();
        staged.make_room()?;
        staged.add(20..30);
        staged.make_room()?;
        staged.add(30..40);
        // What is not there.
        for range in [10..20, 38..44, 25..25] {
            assert!(!staged.remove(&range));
        }
        for range in [20..22, 28..40] {
            assert!(staged.remove(&range));
        }
        assert_eq!(staged.ranges().first(), Some(&(22..28)));
        assert_eq!((staged.ranges().len(), staged.count()), (1, 6));
        staged.make_room()?;
        assert!(staged.remove(&(24..25)));
        assert_eq!(staged.ranges(), [22..24, 25..28]);
        assert_eq!(staged.count(), 5);
        assert!(staged.remove(&(22..24)));
        assert!(staged.remove(&(25..28)));
        assert_eq!((staged.ranges().len(), staged.count()), (0, 0));
        Ok(())
    }

    #[test]
    fn of_too_many_windows_the_oldest_ends() -> Result {
        let bytes = free_runs([0..128, 128..256]);
        let all = FreeBits::new(Bitmap::new(&bytes), [None; 3], BITS);
        let mut windows = Windows::default();
        for number in 0..40u32 {
            windows.set(InodeNumber(number), number * 4..number * 4 + 4)?;
        }
        // 32 are left, the first of which begins at 32.
        let bits = all.outside(windows.of_others(None));
        assert_eq!(bits.place(Some(1), 64), Some(1..32));
        assert_eq!(bits.place(Some(32), 64), Some(160..224));
        Ok(())
    }

    #[test]
    fn what_can_be_long_enough_is_not_passed_over() -> Result {
        const GROUPS: u32 = 1000;
        let longest = Longest::new((0..GROUPS).map(|_| 0)).map_err(|_| ENOMEM)?;
        let next = |from, least| longest.next(from..GROUPS, least).map(|group| group.0);
        assert_eq!(next(0, 1), None);
        longest.lift(GroupNumber(700), 10, 1);
        longest.lift(GroupNumber(701), 20, 2);
        assert_eq!(
            (next(0, 1), next(0, 11), next(0, 21)),
            (Some(700), Some(701), None)
        );
        assert_eq!((next(701, 5), next(702, 1)), (Some(701), None));
        // Two pieces may join the old run three times.
        longest.lift(GroupNumber(700), 2, 2);
        assert_eq!(longest.of(GroupNumber(700)), 32);
        assert_eq!(next(0, 32), Some(700));
        longest.lower(GroupNumber(700), 40);
        assert_eq!(longest.of(GroupNumber(700)), 32);
        longest.lower(GroupNumber(700), 3);
        longest.lower(GroupNumber(701), 0);
        assert_eq!((next(0, 4), next(0, 3)), (None, Some(700)));
        // A row whose bound was lowered is lifted again.
        longest.lift(GroupNumber(703), 9, 1);
        assert_eq!(next(0, 4), Some(703));
        Ok(())
    }

    #[test]
    fn pinned_blocks_come_back_with_their_own_commit() -> Result {
        let mut pinned = Pinned::default();
        pinned.prepare(tid(7), BYTES)?;
        pinned.add(0..10);
        pinned.prepare(tid(7), BYTES)?;
        pinned.add(20..25);
        pinned.prepare(tid(8), BYTES)?;
        pinned.add(100..103);
        assert_eq!(pinned.count(), 18);
        let is_pinned = |pinned: &Pinned, bit| {
            let maps = pinned.bitmaps();
            maps.iter().flatten().any(|map| map.is_set(bit))
        };
        for bit in [0, 9, 20, 24, 100, 102] {
            assert!(is_pinned(&pinned, bit));
        }
        assert!(!is_pinned(&pinned, 10) && !is_pinned(&pinned, 103));

        assert_eq!(pinned.release(|_| false).blocks, 0);
        let released = pinned.release(|own| own == tid(7));
        assert_eq!((released.blocks, released.pieces), (15, 2));
        assert!(!is_pinned(&pinned, 0) && is_pinned(&pinned, 100));
        assert_eq!(pinned.release(|_| true).blocks, 3);
        assert_eq!(pinned.count(), 0);
        Ok(())
    }

    #[test]
    fn a_third_generation_loses_nothing() -> Result {
        let mut pinned = Pinned::default();
        for number in 1..=3u32 {
            pinned.prepare(tid(number), BYTES)?;
            pinned.add(number * 10..number * 10 + 5);
        }
        assert_eq!(pinned.count(), 15);
        // What the first freed is now kept until the second is committed.
        assert_eq!(pinned.release(|own| own == tid(1)).blocks, 0);
        assert_eq!(pinned.release(|own| own == tid(2)).blocks, 10);
        assert_eq!(pinned.release(|own| own == tid(3)).blocks, 5);
        Ok(())
    }

    #[test]
    fn what_is_discarded_stays_pinned_until_the_end() -> Result {
        let mut pinned = Pinned::default();
        pinned.prepare(tid(1), BYTES)?;
        pinned.add(10..20);
        pinned.prepare(tid(2), BYTES)?;
        pinned.add(20..25);
        pinned.prepare(tid(3), BYTES)?;
        pinned.add(50..51);
        assert!(!pinned.begin_discard(|_| false));
        assert!(pinned.begin_discard(|own| own == tid(2)));
        assert_eq!(pinned.next_to_discard(0), Some(10..25));
        assert_eq!(pinned.next_to_discard(25), None);
        assert_eq!(pinned.count(), 16);
        assert_eq!(pinned.release(|_| true).blocks, 1);
        let released = pinned.end_discard();
        assert_eq!((released.blocks, released.pieces), (15, 2));
        assert_eq!(pinned.count(), 0);
        assert!(!pinned.begin_discard(|_| true));
        Ok(())
    }

    /// 10 000 blocks, of which `free` are free: a pool of 200, and 500 for the super-user.
    fn ledger(free: u64) -> Ledger {
        Ledger::new(10_000, free, 500)
    }

    #[test]
    fn a_normal_claim_leaves_pool_and_reserve_alone() {
        let mut counts = ledger(1000);
        assert_eq!((counts.visible(), counts.visible_to_all()), (800, 300));
        assert_eq!(counts.claim(Claimant::Normal, 1000), 300);
        assert_eq!(counts.claim(Claimant::Normal, 1), 0);
        assert_eq!(counts.claim(Claimant::Root, 1000), 500);
        assert_eq!(counts.claim(Claimant::Root, 1), 0);
        assert_eq!(counts.available(), 200);
    }

    #[test]
    fn the_pool_has_an_upper_bound() {
        assert_eq!(Ledger::new(u64::MAX, 0, 0).pool, 4096);
        assert_eq!(Ledger::new(100_000, 0, 0).pool, 2000);
    }

    #[test]
    fn promises_are_kept_against_any_claim() {
        let mut counts = ledger(1000);
        // More than the pool, while there is room.
        assert!(counts.promise(700));
        assert_eq!(counts.claim(Claimant::Root, 1000), 300);
        assert_eq!(counts.available(), 700);
        assert!(!counts.promise(1));
        counts.claim_promised(10);
        counts.settle_promised(10, 4);
        assert_eq!((counts.promised, counts.available()), (696, 696));
        counts.unpromise(696);
        counts.settle(300, 300);
        assert_eq!((counts.free, counts.available()), (696, 696));
    }

    #[test]
    fn promises_leave_others_most_of_what_is_free() {
        let mut counts = ledger(16_000);
        // One is given in any case.
        assert!(counts.promise(5000));
        assert!(!counts.promise(1) && counts.covers(1));
        counts.unpromise(5000);
        assert!(counts.promise(990) && counts.promise(10));
        assert!(!counts.promise(10));
        assert_eq!(counts.claim(Claimant::Normal, 16_000), 14_500);
        counts.unpromise(10);
        // Little is free by now, so the pool is all there is.
        assert!(!counts.promise(10));
        counts.unpromise(990);
        assert!(counts.promise(175) && !counts.promise(26) && counts.promise(25));
    }

    #[test]
    fn what_is_delayed_is_kept_from_all_others() {
        let mut counts = ledger(1000);
        // A normal writer leaves pool and reserve alone, for data and nodes together.
        assert!(!counts.delay(Claimant::Normal, 290, 11));
        assert!(counts.delay(Claimant::Normal, 290, 10));
        assert!(!counts.delay(Claimant::Normal, 1, 0));
        assert!(counts.delay(Claimant::Root, 500, 0));
        assert_eq!(counts.claim(Claimant::Root, 1000), 0);
        // What is set aside for nodes is not shown as used.
        assert_eq!((counts.visible(), counts.available()), (10, 200));
        counts.claim_delayed(100);
        counts.settle_delayed(100, 60);
        assert_eq!((counts.free, counts.delayed, counts.claimed), (940, 730, 0));
        counts.claim_delayed_nodes(10);
        counts.settle_delayed_nodes(10, 1);
        assert_eq!((counts.free, counts.delayed_nodes), (939, 9));
        counts.undelay(730, 9);
        assert_eq!((counts.available(), counts.visible()), (939, 739));
    }

    #[test]
    fn what_is_staged_is_free_on_disk_alone() {
        let mut counts = ledger(1000);
        // All or nothing.
        assert!(!counts.claim_whole(Claimant::Normal, 301));
        assert!(counts.claim_whole(Claimant::Normal, 300));
        counts.stage(300);
        assert_eq!((counts.free, counts.claimed, counts.staged), (1000, 0, 300));
        assert_eq!((counts.available(), counts.visible()), (700, 500));
        assert_eq!(counts.claim(Claimant::Normal, 1), 0);
        counts.settle_staged(100);
        assert_eq!((counts.free, counts.available()), (900, 700));
        counts.stage_again(100);
        assert_eq!((counts.free, counts.available()), (1000, 700));
        let before = (counts.risen, counts.unpinned);
        counts.unstage(300);
        assert_eq!((counts.staged, counts.available()), (0, 1000));
        assert!(counts.risen > before.0 && counts.unpinned > before.1);
    }

    #[test]
    fn a_delayed_reserve_is_spent_and_given_back() -> Result {
        let space = Space::new(ledger(1000))?;
        let mut reserve = DelayedReserve::new(&space);
        assert!(reserve.grow(&Rights::Root, 100, 5));
        // Fewer nodes are enough when ranges grow together.
        assert!(reserve.grow(&Rights::Root, 20, 3));
        assert!(!reserve.grow(&Rights::Root, 800, 3));
        let counts = space.ledger();
        assert_eq!((counts.delayed, counts.delayed_nodes), (120, 3));

        let mut rights = Rights::Delayed(&mut reserve);
        let claim = Claim::new(&space, 70, &mut rights, || ()).ok_or(ENOSPC)?;
        assert_eq!(claim.blocks(), 70);
        claim.spend(50);
        let mut rights = Rights::DelayedNodes(&mut reserve);
        let claim = Claim::new(&space, 1, &mut rights, || ()).ok_or(ENOSPC)?;
        claim.spend(1);
        let counts = space.ledger();
        assert_eq!(
            (counts.free, counts.delayed, counts.delayed_nodes),
            (949, 70, 2)
        );
        reserve.shrink(30, 0);
        let counts = space.ledger();
        assert_eq!((counts.delayed, counts.delayed_nodes), (40, 0));
        drop(reserve);
        assert_eq!(space.ledger().available(), 949);
        Ok(())
    }

    #[test]
    fn writeback_may_use_what_is_not_promised() -> Result {
        let space = Space::new(ledger(200))?;
        let promise = ConversionReserve::try_new(&space, 150).ok_or(ENOSPC)?;
        let mut reserve = DelayedReserve::new(&space);
        let mut rights = Rights::DelayedNodes(&mut reserve);
        let claim = Claim::new(&space, 100, &mut rights, || ()).ok_or(ENOSPC)?;
        assert_eq!(claim.blocks(), 50);
        drop(claim);
        drop(promise);
        Ok(())
    }

    #[test]
    fn pinned_blocks_are_free_but_not_available() {
        let mut counts = ledger(200);
        assert!(!counts.promise(176));
        counts.freed(50);
        assert_eq!((counts.free, counts.available()), (250, 200));
        assert!(!counts.promise(176));
        let unpinned = counts.unpinned;
        counts.unpin(50);
        assert_ne!(counts.unpinned, unpinned);
        assert!(counts.promise(225));
    }

    #[test]
    fn a_full_disk_still_has_room_for_conversions() -> Result {
        let space = Space::new(ledger(700))?;
        assert_eq!(space.ledger().visible_to_all(), 0);
        assert!(Claim::new(&space, 1, &mut Rights::Normal, || ()).is_none());

        let mut reserve = ConversionReserve::try_new(&space, 11).ok_or(ENOSPC)?;
        let mut rights = Rights::Reserve(&mut reserve);
        let claim = Claim::new(&space, 20, &mut rights, || ()).ok_or(ENOSPC)?;
        assert_eq!(claim.blocks(), 11);
        claim.spend(3);
        let counts = space.ledger();
        assert_eq!((counts.free, counts.claimed, counts.promised), (697, 0, 8));
        drop(reserve);
        assert_eq!(space.ledger().promised, 0);
        Ok(())
    }

    #[test]
    fn a_claim_that_finds_nothing_costs_nothing() -> Result {
        let space = Space::new(ledger(1000))?;
        let before = space.ledger();
        drop(Claim::new(&space, 5, &mut Rights::Normal, || ()).ok_or(ENOSPC)?);
        let after = space.ledger();
        assert_eq!((after.free, after.claimed), (before.free, before.claimed));
        Ok(())
    }

    #[test]
    fn a_used_up_reserve_may_use_what_is_not_promised_to_others() -> Result {
        // All of it is in the pool of 200, of which 25 are never promised.
        let space = Space::new(ledger(100))?;
        let others = ConversionReserve::try_new(&space, 74).ok_or(ENOSPC)?;
        let mut reserve = ConversionReserve::try_new(&space, 1).ok_or(ENOSPC)?;
        assert!(ConversionReserve::try_new(&space, 1).is_none());
        // One that was promised, and all besides what is promised to others, which stays.
        for round in 0..27 {
            let expected = (round < 26).then_some(1);
            let mut rights = Rights::Reserve(&mut reserve);
            let claim = Claim::new(&space, 1, &mut rights, || ());
            assert_eq!(claim.as_ref().map(|claim| claim.blocks()), expected);
            if let Some(claim) = claim {
                claim.spend(1);
            }
        }
        assert_eq!(space.ledger().free, 74);
        drop(others);
        Ok(())
    }

    #[test]
    fn nobody_waits_for_what_will_not_come() -> Result {
        let space = Space::new(ledger(35))?;
        assert!(ConversionReserve::wait(&space, 11)?.is_none());
        assert!(ConversionReserve::wait(&space, 10)?.is_some());
        assert_eq!(space.ledger().promised, 0);
        Ok(())
    }
}
