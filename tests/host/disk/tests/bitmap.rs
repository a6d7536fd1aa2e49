// SPDX-License-Identifier: GPL-2.0

//! Bitmaps against a model: a list of truth values.

use proptest::prelude::*;
use rext4_disk::disk::bitmap::{
    first_clear_in_all, flipped, Bitmap, BitmapError, BitmapMut, LONGEST_SOUGHT,
};
use rext4_disk::disk::checksum::{crc32c_table, Crc32c};
use std::ops::Range;

/// Bytes as bitmaps are: runs of set and of clear bits, and some noise.
fn bytes() -> impl Strategy<Value = Vec<u8>> {
    let byte = prop_oneof![3 => Just(0u8), 3 => Just(0xff), 1 => any::<u8>()];
    let run = (byte, 1usize..20).prop_map(|(byte, count)| vec![byte; count]);
    prop::collection::vec(run, 0..12).prop_map(|runs| runs.concat())
}

/// A range that may be empty, reversed or beyond the end.
fn range() -> impl Strategy<Value = Range<u32>> {
    prop_oneof![
        9 => (0u32..2200, 0u32..2200).prop_map(|(start, end)| start..end),
        1 => (any::<u32>(), any::<u32>()).prop_map(|(start, end)| start..end),
    ]
}

fn bits(bytes: &[u8]) -> Vec<bool> {
    (0..bytes.len() * 8)
        .map(|bit| bytes[bit / 8] >> (bit % 8) & 1 != 0)
        .collect()
}

/// The part of the range that exists.
fn clip(range: &Range<u32>, bits: &[bool]) -> Range<usize> {
    let end = (range.end as usize).min(bits.len());
    (range.start as usize).min(end)..end
}

fn model_runs(range: &Range<u32>, bits: &[bool]) -> Vec<Range<u32>> {
    let mut runs: Vec<Range<u32>> = Vec::new();
    for bit in clip(range, bits).filter(|&bit| !bits[bit]) {
        let bit = bit as u32;
        match runs.last_mut() {
            Some(run) if run.end == bit => run.end += 1,
            _ => runs.push(bit..bit + 1),
        }
    }
    runs
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn the_first_run_that_is_clear_in_all(
        first in bytes(),
        second in bytes(),
        scattered in prop::collection::vec(0u32..2200, 0..200),
        range in range(),
        len in prop_oneof![1..=4u32, 1..=LONGEST_SOUGHT],
    ) {
        let mut second = second;
        for bit in scattered {
            BitmapMut::new(&mut second).fill(bit..bit + 1, true);
        }
        let maps = [&first, &second].map(|bytes| Bitmap::new(bytes));
        let used: Vec<bool> = bits(&first).iter().zip(bits(&second)).map(|(one, two)| *one || two).collect();
        let runs = model_runs(&range, &used);
        let expected = runs.iter().find(|run| run.end - run.start >= len).map(|run| run.start);
        prop_assert_eq!(first_clear_in_all(maps.into_iter(), range, len), expected);
    }

    #[test]
    fn checksums_of_flipped_bits(mut bytes in bytes(), range in range()) {
        let checksum = |bytes: &[u8]| Crc32c::new(crc32c_table).with(bytes);
        let before = checksum(&bytes);
        let range = range.start..range.end.min(bytes.len() as u32 * 8);
        for bit in range.clone() {
            bytes[bit as usize / 8] ^= 1 << (bit % 8);
        }
        let after = flipped(before, bytes.len(), range);
        prop_assert_eq!(after.value(), checksum(&bytes).value());
    }

    #[test]
    fn searching(bytes in bytes(), range in range(), wanted in 0u32..300) {
        let model = bits(&bytes);
        let bitmap = Bitmap::new(&bytes);
        prop_assert_eq!(bitmap.bits() as usize, model.len());

        let inside = clip(&range, &model);
        let set = inside.clone().find(|&bit| model[bit]).map(|bit| bit as u32);
        let clear = inside.clone().find(|&bit| !model[bit]).map(|bit| bit as u32);
        prop_assert_eq!(bitmap.next_set(range.clone()), set);
        prop_assert_eq!(bitmap.next_clear(range.clone()), clear);
        let count = inside.filter(|&bit| !model[bit]).count();
        prop_assert_eq!(bitmap.count_clear(range.clone()) as usize, count);

        let runs = model_runs(&range, &model);
        prop_assert_eq!(bitmap.next_run(range.clone()), runs.first().cloned());
        let best = bitmap.best_run(range.clone(), wanted);
        let fitting = runs.iter().find(|run| run.len() >= wanted as usize);
        let expected = match fitting {
            Some(run) => Some(run.start..run.start + wanted).filter(|run| !run.is_empty()),
            // The first of the longest.
            None => runs.iter().rev().max_by_key(|run| run.len()).cloned(),
        };
        prop_assert_eq!(best, expected);
        prop_assert_eq!(bitmap.runs(range).collect::<Vec<_>>(), runs);
    }

    #[test]
    fn single_bits(bytes in bytes(), bit in 0u32..2200) {
        let model = bits(&bytes);
        let expected = model.get(bit as usize).copied().unwrap_or(true);
        prop_assert_eq!(Bitmap::new(&bytes).is_set(bit), expected);
    }

    #[test]
    fn changing(mut bytes in bytes(), range in range(), used: bool) {
        let before = bytes.clone();
        let mut model = bits(&bytes);
        let inside = clip(&range, &model);
        let already = inside.clone().find(|&bit| model[bit] == used);

        let mut bitmap = BitmapMut::new(&mut bytes);
        let result = if used {
            bitmap.set_range(range.clone())
        } else {
            bitmap.clear_range(range.clone())
        };
        if range.end as usize > model.len() {
            prop_assert_eq!(result, Err(BitmapError::OutOfRange { end: range.end }));
            prop_assert_eq!(&bytes, &before);
        } else if let Some(bit) = already {
            prop_assert_eq!(result, Err(BitmapError::AlreadyDone { bit: bit as u32 }));
            prop_assert_eq!(&bytes, &before);
        } else {
            prop_assert_eq!(result, Ok(()));
            model[inside].fill(used);
            prop_assert_eq!(bits(&bytes), model);
        }
    }

    #[test]
    fn filling(mut bytes in bytes(), range in range(), used: bool) {
        let mut model = bits(&bytes);
        model[clip(&range, &bits(&bytes))].fill(used);
        BitmapMut::new(&mut bytes).fill(range, used);
        prop_assert_eq!(bits(&bytes), model);
    }
}
