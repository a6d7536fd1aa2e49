// SPDX-License-Identifier: GPL-2.0

//! Numbers of block maps: in the inode, and in blocks of any size.

#![no_main]

use libfuzzer_sys::fuzz_target;
use rext4_disk::disk::block_map::{
    direct, is_empty, last_in, last_run_in, number_at, run_at, set_run, tables, Way,
};
use rext4_disk::disk::units::{BlockSize, LogicalBlock};

fuzz_target!(|data: &[u8]| {
    let Some((head, rest)) = data.split_at_checked(17) else {
        return;
    };
    let number = |at: u32| number_at(head, at).expect("it is there");
    let [index, len, first, block] = [0, 1, 2, 3].map(number);
    let (bits, mut bytes) = (head[16], rest.to_vec());
    let size = BlockSize::from_bits(10 + u32::from(bits % 7)).expect("a size");
    if let Some(way) = Way::to(LogicalBlock(block), size) {
        for left in 0..=way.depth() {
            assert!(left == way.depth() || way.number(left) < size.bytes() / 4);
            assert!(way.rest(left) > 0);
        }
        let end = u64::from(block) + u64::from(way.in_place());
        // All in one place are on the same way.
        assert_eq!(
            tables(&(u64::from(block)..end), size),
            u64::from(way.depth())
        );
    }
    let _ = direct(&bytes);
    match run_at(&bytes, index) {
        Some((number, run)) => {
            assert_eq!(number_at(&bytes, index), Some(number));
            assert!(run > 0 && number_at(&bytes, index + run - 1).is_some());
        }
        None => assert_eq!(number_at(&bytes, index), None),
    }
    let end = index.saturating_add(len % 5000);
    if let Some((run, number)) = last_run_in(&bytes, index..end, first) {
        assert_eq!(number_at(&bytes, run.start), Some(number));
        assert_eq!(
            last_in(&bytes, index..end).map(|(last, _)| last + 1),
            Some(run.end)
        );
    }
    let len = len % 5000;
    if set_run(&mut bytes, index, first, len) && len > 0 {
        assert_eq!(number_at(&bytes, index), Some(first));
        assert!(run_at(&bytes, index).is_some_and(|(number, run)| number == first && run >= len));
    }
    let _ = is_empty(&bytes);
});
