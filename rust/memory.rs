// SPDX-License-Identifier: GPL-2.0

//! Memory that there has to be.
//!
//! The kernel gives a few bytes to nearly everybody who waits for them, but not to a task that is being killed
//! for want of memory, and that has used up what is kept for such. It frees blocks too, and writes back. C has
//! `__GFP_NOFAIL` for that, which Rust has not.

use kernel::{
    error::code::ENOMEM,
    prelude::*,
    time::{delay::fsleep, Delta},
};

/// Tries until there is memory for it: for what comes too late to fail, after something was changed that can't be
/// changed back, or with data that is lost if it can't go on. Sleeps.
///
/// # Errors
///
/// Those of `attempt` but for `ENOMEM`.
pub(crate) fn insist<T>(mut attempt: impl FnMut() -> Result<T>) -> Result<T> {
    loop {
        match attempt() {
            // What could be reclaimed was. Somebody else has to end.
            Err(e) if e == ENOMEM => fsleep(Delta::from_millis(1)),
            result => return result,
        }
    }
}

#[kunit_tests(rext4_memory)]
mod tests {
    use super::*;
    use kernel::error::code::EIO;

    #[test]
    fn only_a_want_of_memory_is_waited_for() {
        let mut answers = [Err(ENOMEM), Err(ENOMEM), Ok(3), Err(EIO)].into_iter();
        let mut attempt = || answers.next().unwrap_or(Err(EINVAL));
        assert_eq!(insist(&mut attempt), Ok(3));
        assert_eq!(insist(&mut attempt), Err(EIO));
    }
}
