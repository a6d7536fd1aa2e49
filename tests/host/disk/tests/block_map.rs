// SPDX-License-Identifier: GPL-2.0

//! The way to each logical block through a block map.

use rext4_disk::disk::block_map::{
    direct, is_empty, last_in, last_run_in, max_bytes, most_tables, number_at, run_at, set_run,
    tables, Way,
};
use rext4_disk::disk::units::{BlockSize, LogicalBlock};

/// What the numbers on the way to a block are.
fn way(block: u32, size: u32) -> Option<Vec<u32>> {
    let size = BlockSize::new(size).expect("a block size");
    let way = Way::to(LogicalBlock(block), size)?;
    Some(
        (0..=way.depth())
            .rev()
            .map(|left| way.number(left))
            .collect(),
    )
}

#[test]
fn borders_lie_where_they_have_to() {
    for size in [1024, 2048, 4096] {
        let n = size / 4;
        assert_eq!(way(0, size), Some(vec![0]));
        assert_eq!(way(11, size), Some(vec![11]));
        assert_eq!(way(12, size), Some(vec![12, 0]));
        assert_eq!(way(11 + n, size), Some(vec![12, n - 1]));
        assert_eq!(way(12 + n, size), Some(vec![13, 0, 0]));
        assert_eq!(way(12 + 2 * n + 5, size), Some(vec![13, 1, 5]));
        assert_eq!(way(11 + n + n * n, size), Some(vec![13, n - 1, n - 1]));
        assert_eq!(way(12 + n + n * n, size), Some(vec![14, 0, 0, 0]));
        assert_eq!(way(12 + n + n * n + n + 7, size), Some(vec![14, 0, 1, 7]));
    }
    let n = 256;
    let last = 11 + n + n * n + n * n * n;
    assert_eq!(way(last, 1024), Some(vec![14, n - 1, n - 1, n - 1]));
    assert_eq!(way(last + 1, 1024), None);
    assert!(way(u32::MAX - 1, 8192).is_some());
}

/// The way goes on with the next number of the same block until there is none left.
#[test]
fn neighbours_differ_in_the_last_number() {
    for size in [1024, 4096] {
        for start in [
            0, 11, 12, 267, 268, 1035, 1036, 65_803, 65_804, 1_049_611, 1_049_612,
        ] {
            let of = |block| Way::to(LogicalBlock(block), BlockSize::new(size).expect("a size"));
            let one = of(start).expect("a way");
            for left in 0..one.depth() {
                let rest = u32::try_from(one.rest(left)).expect("not so long");
                let (end, behind) = (of(start + rest - 1).expect("a way"), of(start + rest));
                let above = |way: &Way| -> Vec<u32> {
                    (left..=way.depth()).map(|l| way.number(l)).collect()
                };
                assert_eq!(
                    above(&end),
                    above(&one),
                    "the end of block {start} and what follows"
                );
                assert_ne!(behind.map(|way| above(&way)), Some(above(&one)));
            }
        }
    }
}

#[test]
fn runs_end_where_the_numbers_do() {
    let numbers = [7, 8, 9, 0, 0, 5, 4, u32::MAX, 0];
    let bytes: Vec<u8> = numbers.iter().flat_map(|n| u32::to_le_bytes(*n)).collect();
    let expected = [
        (7, 3),
        (8, 2),
        (9, 1),
        (0, 2),
        (0, 1),
        (5, 1),
        (4, 1),
        (u32::MAX, 1),
        (0, 1),
    ];
    for (index, expected) in (0..).zip(expected) {
        assert_eq!(run_at(&bytes, index), Some(expected));
        assert_eq!(number_at(&bytes, index), Some(expected.0));
    }
    assert_eq!(run_at(&bytes, 9), None);
    assert_eq!(number_at(&bytes, u32::MAX), None);
    assert_eq!(direct(&[1; 60]).len(), 48);
}

/// How many blocks of numbers there are is what counting them gives.
#[test]
fn tables_are_counted() {
    let size = BlockSize::new(1024).expect("a size");
    for (start, end) in [
        (0, 12),
        (0, 13),
        (11, 268),
        (12, 269),
        (267, 700),
        (300, 300),
        (500, 66_000),
        (65_803, 65_805),
        (65_000, 140_000),
        (0, 200_000),
    ] {
        let mut seen = std::collections::BTreeSet::new();
        for block in start..end {
            let way = Way::to(LogicalBlock(block), size).expect("a way");
            for left in 0..way.depth() {
                seen.insert((
                    left,
                    (left + 1..=way.depth())
                        .map(|l| way.number(l))
                        .collect::<Vec<_>>(),
                ));
            }
        }
        let range = u64::from(start)..u64::from(end);
        assert_eq!(tables(&range, size), seen.len() as u64, "{range:?}");
        if start < end {
            assert!(tables(&range, size) <= most_tables(1, u64::from(end - start), size));
        }
    }
}

/// What the kernel's `ext4_max_bitmap_size` gives.
#[test]
fn files_have_an_end() {
    let of =
        |bytes, counts_blocks| max_bytes(BlockSize::new(bytes).expect("a size"), counts_blocks);
    assert_eq!(of(1024, true), 17_247_252_480);
    assert_eq!(of(1024, false), 17_247_252_480);
    assert_eq!(of(2048, true), 275_415_851_008);
    assert_eq!(of(4096, true), 4_402_345_721_856);
    assert_eq!(of(4096, false), 2_196_873_666_560);
}

#[test]
fn runs_are_set_and_found_from_the_end() {
    let mut bytes = [0; 32];
    assert!(is_empty(&bytes));
    assert!(set_run(&mut bytes, 2, 7, 3));
    assert!(set_run(&mut bytes, 5, 20, 2));
    assert_eq!(last_in(&bytes, 0..8), Some((6, 21)));
    assert_eq!(last_run_in(&bytes, 0..8, 100), Some((5..7, 20)));
    assert_eq!(last_run_in(&bytes, 0..5, 100), Some((2..5, 7)));
    assert_eq!(last_run_in(&bytes, 0..5, 2), Some((3..5, 8)));
    assert_eq!(last_run_in(&bytes, 4..5, 100), Some((4..5, 9)));
    assert_eq!(last_run_in(&bytes, 0..2, 100), None);
    assert!(!set_run(&mut bytes, 7, 1, 2));
    assert!(set_run(&mut bytes, 0, 0, 8));
    assert!(is_empty(&bytes));
}
