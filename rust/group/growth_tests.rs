// SPDX-License-Identifier: GPL-2.0

//! KUnit suite of what is kept in memory about groups that are added.

use super::{growing::Growing, ledger::Ledger, longest::Longest};
use crate::disk::{
    allocation::{SystemMap, SystemRun},
    units::{GroupNumber, PhysicalBlock},
};
use kernel::prelude::*;

#[kunit_tests(rext4_group_growth)]
mod suite {
    use super::*;

    #[test]
    fn what_grows_stays_where_it_is() -> Result {
        let mut base = KVVec::new();
        for entry in 0..3 {
            base.push(entry, GFP_KERNEL)?;
        }
        let all = Growing::new(base).map_err(|_| ENOMEM)?;
        assert_eq!(
            (all.len(), all.base(), all.get(3)),
            (3, &[0, 1, 2][..], None)
        );
        let first = all.get(1).map(core::ptr::from_ref);
        let mut added = None;
        // Several chunks of them.
        for entry in 3..1000 {
            all.push(entry).map_err(|_| ENOMEM)?;
            added = added.or(all.get(3).map(core::ptr::from_ref));
        }
        assert_eq!((all.len(), all.get(1000)), (1000, None));
        for index in 0..1000 {
            assert_eq!(all.get(index), Some(&index));
        }
        assert_eq!(all.get(1).map(core::ptr::from_ref), first);
        assert_eq!(all.get(3).map(core::ptr::from_ref), added);
        // Room is not entries.
        all.make_room(5000).map_err(|_| ENOMEM)?;
        assert_eq!((all.len(), all.get(1000)), (1000, None));
        Ok(())
    }

    #[test]
    fn own_blocks_are_found_among_those_that_were_added() -> Result {
        let run = |first| SystemRun {
            first: PhysicalBlock(first),
            count: 2,
        };
        let mut base = KVVec::new();
        for first in [10, 20] {
            base.push(run(first), GFP_KERNEL)?;
        }
        let all = Growing::new(base).map_err(|_| ENOMEM)?;
        // The second touches the first.
        for first in [30, 32, 40] {
            all.push(run(first)).map_err(|_| ENOMEM)?;
        }
        let map = SystemMap::new(&all);
        assert_eq!(map.blocks(), 10);
        for block in 0..50 {
            let own = [10, 11, 20, 21, 30, 31, 32, 33, 40, 41].contains(&block);
            let foreign = map.check_foreign(PhysicalBlock(block), 1).is_ok();
            assert_eq!(foreign, !own);
        }
        let mut parts = map.within(PhysicalBlock(11), 22);
        for part in [11..12, 20..22, 30..32, 32..33] {
            assert_eq!(parts.next(), Some(part));
        }
        assert_eq!(parts.next(), None);
        Ok(())
    }

    #[test]
    fn groups_that_were_added_have_bounds() -> Result {
        let longest = Longest::new((0..60).map(|_| 5)).map_err(|_| ENOMEM)?;
        let next = |groups, least| longest.next(0..groups, least);
        // In the same row as the others, and in one of their own.
        for group in 60..130 {
            longest.add(group).map_err(|_| ENOMEM)?;
        }
        assert_eq!(next(60, 6), None);
        assert_eq!(next(130, 6), Some(GroupNumber(60)));
        assert_eq!(next(130, 129), Some(GroupNumber(129)));
        assert_eq!(next(130, 130), None);
        longest.lower(GroupNumber(129), 0);
        assert_eq!(next(130, 129), None);
        Ok(())
    }

    #[test]
    fn what_is_added_is_free() {
        let mut counts = Ledger::new(1000, 1000, 0);
        let before = (counts.risen, counts.unpinned);
        counts.add(500, 7);
        assert_eq!(
            (counts.free, counts.root, counts.available()),
            (1500, 7, 1500)
        );
        assert!(counts.risen > before.0 && counts.unpinned > before.1);
    }
}
