// SPDX-License-Identifier: GPL-2.0

//! Bitmaps: the first bytes are a range and a length, the rest is the bitmap.

#![no_main]

use libfuzzer_sys::fuzz_target;
use rext4_disk::disk::bitmap::{Bitmap, BitmapMut};

fuzz_target!(|data: &[u8]| {
    let Some((head, bytes)) = data.split_first_chunk::<12>() else {
        return;
    };
    let word = |at: usize| u32::from_le_bytes([head[at], head[at + 1], head[at + 2], head[at + 3]]);
    let (range, wanted) = (word(0)..word(4), word(8));

    let bitmap = Bitmap::new(bytes);
    let mut clear = 0;
    let mut last = range.start;
    for run in bitmap.runs(range.clone()) {
        assert!(run.start >= last && run.start < run.end && run.end <= range.end);
        assert!(!bitmap.is_set(run.start) && !bitmap.is_set(run.end - 1));
        assert_eq!(bitmap.next_set(run.clone()), None);
        clear += run.end - run.start;
        last = run.end;
    }
    assert_eq!(bitmap.count_clear(range.clone()), clear);
    let best = bitmap.best_run(range.clone(), wanted);
    if let Some(run) = &best {
        assert!(run.end - run.start <= wanted && !run.is_empty());
    }

    let mut copy = bytes.to_vec();
    let mut changed = BitmapMut::new(&mut copy);
    if let Some(run) = best {
        assert_eq!(changed.set_range(run.clone()), Ok(()));
        assert!(changed.set_range(run.clone()).is_err());
        assert_eq!(changed.clear_range(run), Ok(()));
        assert!(copy == bytes);
    }
    let mut changed = BitmapMut::new(&mut copy);
    if changed.set_range(range.clone()).is_err() {
        assert!(copy == bytes);
    }
    let mut changed = BitmapMut::new(&mut copy);
    changed.fill(range.clone(), false);
    assert_eq!(changed.as_bitmap().next_set(range), None);
});
