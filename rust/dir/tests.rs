// SPDX-License-Identifier: GPL-2.0

//! KUnit suite of what can be tested without a device.

use super::{
    position::{end, of_hash, to_hash, DOT, DOT_DOT},
    sort::{sort_by, AT_ONCE},
};
use crate::{disk::htree::hash::NameHash, vfs::readdir::PositionWidth};
use core::cell::Cell;
use kernel::prelude::*;

const WIDTHS: [PositionWidth; 2] = [PositionWidth::Narrow, PositionWidth::Wide];

#[kunit_tests(rext4_dir)]
mod suite {
    use super::*;

    #[test]
    fn positions_are_in_the_order_of_hashes() {
        let hashes = [
            DOT,
            NameHash { major: 0, minor: 9 },
            DOT_DOT,
            NameHash {
                major: 2,
                minor: u32::MAX,
            },
            NameHash {
                major: 0x8000_0000,
                minor: 1,
            },
            // The largest that there is: 0xffff_fffe stands for the end.
            NameHash {
                major: 0xffff_fffc,
                minor: u32::MAX,
            },
        ];
        for width in WIDTHS {
            let positions = hashes.map(|hash| of_hash(hash, width));
            assert!(positions.is_sorted());
            assert!(positions.iter().all(|&position| position < end(width)));
        }
    }

    #[test]
    fn a_position_leads_back_to_its_hash() {
        let hash = NameHash {
            major: 0xdead_beee,
            minor: 0x1234_5678,
        };
        let wide = of_hash(hash, PositionWidth::Wide);
        assert_eq!(to_hash(wide, PositionWidth::Wide), Some(hash));
        let narrow = of_hash(hash, PositionWidth::Narrow);
        let least = NameHash { minor: 0, ..hash };
        assert_eq!(to_hash(narrow, PositionWidth::Narrow), Some(least));
    }

    #[test]
    fn others_run_while_much_is_sorted() -> Result {
        const MANY: u32 = 20_000;
        // Those of a square come in no order at all, and many of them twice.
        let orders: [fn(u32) -> u32; 4] = [|n| n, |n| MANY - n, |_| 7, |n| n * n % 19_997];
        for order in orders {
            for count in [0, 1, 2, 3, AT_ONCE as u32, AT_ONCE as u32 + 1, MANY] {
                let mut items = KVVec::new();
                for number in 0..count {
                    items.push(order(number), GFP_KERNEL)?;
                }
                let sum: u64 = items.iter().map(|&item| u64::from(item)).sum();
                let (compared, since, most) = (Cell::new(0), Cell::new(0), Cell::new(0));
                let compare = |a: &u32, b: &u32| {
                    compared.set(compared.get() + 1);
                    since.set(since.get() + 1);
                    most.set(most.get().max(since.get()));
                    a.cmp(b)
                };
                sort_by(&mut items, compare, || {
                    since.set(0);
                    Ok::<_, Error>(())
                })?;
                assert!(items.is_sorted());
                assert_eq!(sum, items.iter().map(|&item| u64::from(item)).sum());
                // Twice the logarithm for each, and as many again to make the heap.
                let depth = u64::from(u32::BITS - count.leading_zeros());
                assert!(compared.get() <= 2 * u64::from(count) * (depth + 1));
                assert!(most.get() <= 2 * AT_ONCE as u64 * (depth + 1));
            }
        }
        Ok(())
    }

    #[test]
    fn nothing_is_at_the_end_or_outside() {
        for width in WIDTHS {
            assert_eq!(to_hash(end(width), width), None);
            assert_eq!(to_hash(i64::MAX, width), None);
            assert_eq!(to_hash(-1, width), None);
        }
    }
}
