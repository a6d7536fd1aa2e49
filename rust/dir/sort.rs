// SPDX-License-Identifier: GPL-2.0

//! Sorting that lets others run.
//!
//! The names of a leaf are sorted in no time. But a damaged index can have a whole directory sorted at once.

use core::cmp::Ordering;

/// So many steps, each of a few comparisons, take no time to speak of.
pub(super) const AT_ONCE: usize = 1024;

/// Sorts `items`, calling `pause` now and then if there are many. Needs no memory. Takes no more
/// comparisons than the logarithm of their number for each, whatever order they are in.
///
/// # Errors
///
/// That of `pause`; all items are there then, in any order.
pub(super) fn sort_by<T, E>(
    items: &mut [T],
    mut compare: impl FnMut(&T, &T) -> Ordering,
    mut pause: impl FnMut() -> Result<(), E>,
) -> Result<(), E> {
    if items.len() <= AT_ONCE {
        items.sort_unstable_by(compare);
        return Ok(());
    }
    // A heap, whose largest item goes behind it, again and again.
    for (step, root) in (0..items.len() / 2).rev().enumerate() {
        sink(items, root, &mut compare);
        if step % AT_ONCE == 0 {
            pause()?;
        }
    }
    let mut heap = items;
    while let [_, .., _] = heap {
        let last = heap.len() - 1;
        heap.swap(0, last);
        let (rest, _) = heap.split_at_mut(last);
        heap = rest;
        sink(heap, 0, &mut compare);
        if last % AT_ONCE == 0 {
            pause()?;
        }
    }
    Ok(())
}

/// Makes the items from `at` on, which are a heap but for the first, one.
fn sink<T>(heap: &mut [T], mut at: usize, compare: &mut impl FnMut(&T, &T) -> Ordering) {
    loop {
        let left = 2 * at + 1;
        let (Some(item), Some(first)) = (heap.get(at), heap.get(left)) else {
            return;
        };
        let (child, larger) = match heap.get(left + 1) {
            Some(second) if compare(second, first).is_gt() => (left + 1, second),
            _ => (left, first),
        };
        if compare(larger, item).is_le() {
            return;
        }
        heap.swap(at, child);
        at = child;
    }
}
