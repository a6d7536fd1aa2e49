// SPDX-License-Identifier: GPL-2.0

//! Warnings that are not worth more than one line a day.

use core::sync::atomic::{AtomicI64, Ordering};
use kernel::prelude::*;

/// At most one warning in so many seconds.
const DAY: i64 = 24 * 60 * 60;

/// Says at most once a day that it is time to warn.
pub(crate) struct DailyWarning(AtomicI64);

impl DailyWarning {
    const NEVER: i64 = i64::MIN;

    /// There was no warning yet.
    pub(crate) fn new() -> Self {
        Self(AtomicI64::new(Self::NEVER))
    }

    /// Whether a warning is due at this time, in seconds. If so, it is counted as given.
    pub(crate) fn is_due(&self, now: i64) -> bool {
        let last = self.0.load(Ordering::Relaxed);
        (last == Self::NEVER || now - last >= DAY)
            && self
                .0
                .compare_exchange(last, now, Ordering::Relaxed, Ordering::Relaxed)
                .is_ok()
    }
}

#[kunit_tests(rext4_daily_warning)]
mod tests {
    use super::*;

    #[test]
    fn one_warning_a_day() {
        let warning = DailyWarning::new();
        assert!(warning.is_due(5));
        assert!(!warning.is_due(6));
        assert!(!warning.is_due(4 + DAY));
        assert!(warning.is_due(5 + DAY));
        assert!(!warning.is_due(6 + DAY));
    }
}
