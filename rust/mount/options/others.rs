// SPDX-License-Identifier: GPL-2.0

//! Options that change nothing: what they ask for holds anyway, they have lost their meaning, or they can't be had.

use super::{number, Refused};
use kernel::prelude::*;

/// What an option has behind its name.
#[derive(Clone, Copy)]
enum Value {
    Nothing,
    Number,
    ZeroOrOne,
    Text,
}

/// Options that ask for what holds anyway, or choose between ways of doing things which can't be told apart here.
const NO_DIFFERENCE: &[(&str, Value)] = &[
    ("nojournal_async_commit", Value::Nothing),
    ("nolazytime", Value::Nothing),
    ("debug", Value::Nothing),
    ("nodebug", Value::Nothing),
    ("nowarn_on_error", Value::Nothing),
    // Inodes do not come to share blocks of attributes.
    ("nombcache", Value::Nothing),
    ("no_mbcache", Value::Nothing),
    // Bitmaps are read when they are needed.
    ("no_prefetch_block_bitmaps", Value::Nothing),
    // There is one way to look for room.
    ("mb_optimize_scan", Value::ZeroOrOne),
    // It is shown, and so mount(8) gives it back at a remount.
    ("emergency_ro", Value::Nothing),
];

/// Options that have no meaning, here or any more; people are told.
const IGNORED: &[(&str, Value)] = &[
    ("oldalloc", Value::Nothing),
    ("orlov", Value::Nothing),
    ("bh", Value::Nothing),
    ("nobh", Value::Nothing),
    ("i_version", Value::Nothing),
    ("mblk_io_submit", Value::Nothing),
    ("nomblk_io_submit", Value::Nothing),
    ("prefetch_block_bitmaps", Value::Nothing),
    ("check", Value::Text),
    ("nocheck", Value::Nothing),
    ("reservation", Value::Nothing),
    ("noreservation", Value::Nothing),
    ("journal", Value::Number),
    // Its commit block waits for the blocks before it all the same.
    ("journal_async_commit", Value::Nothing),
    // There is no encryption.
    ("inlinecrypt", Value::Nothing),
    // Damage is told with its place on disk, not in the code.
    ("warn_on_error", Value::Nothing),
];

/// Options of C ext4 that can't be had, and why.
const REFUSED: &[(&str, &CStr)] = &[
    (
        "dax",
        c"DAX is not supported, so there are dax=never and dax=inode alone",
    ),
    ("nouid32", c"user IDs always have 32 bits"),
    ("journal_dev", c"external journals are not supported"),
    ("journal_path", c"external journals are not supported"),
    (
        "sb",
        c"only the primary super block, sb=1, can be used; e2fsck restores it from a copy",
    ),
    ("test_dummy_encryption", c"encryption is not supported"),
    ("fc_debug_force", c"fast commits are not supported"),
    ("fc_debug_max_replay", c"fast commits are not supported"),
];

/// Whether an option means nothing.
pub(in crate::mount) fn is_ignored(key: &str) -> bool {
    IGNORED.iter().any(|(name, _)| *name == key)
}

/// Takes one of these options.
pub(super) fn parse(key: &str, value: Option<&str>) -> core::result::Result<(), Refused> {
    match (key, value) {
        // With dax=inode a file has DAX if its flag says so and the device has it.
        ("dax", Some("never" | "inode")) | ("sb", Some("1")) => return Ok(()),
        _ => {}
    }
    if let Some((_, why)) = REFUSED.iter().find(|(name, _)| *name == key) {
        return Err(Refused::Because(why));
    }
    let mut known = [NO_DIFFERENCE, IGNORED].into_iter().flatten();
    let Some((_, wanted)) = known.find(|(name, _)| *name == key) else {
        return Err(Refused::Unknown);
    };
    match (wanted, value) {
        (Value::Nothing, None) | (Value::Text, Some(_)) => Ok(()),
        (Value::Nothing, Some(_)) => Err(Refused::Because(c"wants no value")),
        (Value::Text, None) => Err(Refused::Because(c"wants a value")),
        (Value::ZeroOrOne, Some("0" | "1")) => Ok(()),
        (Value::ZeroOrOne, _) => Err(Refused::Because(c"wants 0 or 1")),
        (Value::Number, value) => number(value).map(drop),
    }
}
