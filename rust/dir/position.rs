// SPDX-License-Identifier: GPL-2.0

//! Hashes as positions of an open directory.
//!
//! As C ext4 does it, so that an NFS client does not notice which of them serves it: the lowest
//! bit of the major hash, which is always zero, is dropped, and the rest is the position or its
//! upper half. All names of one hash have one position.

use crate::{disk::htree::hash::NameHash, vfs::readdir::PositionWidth};

/// `.` is read first and `..` second, whatever their names hash to.
pub(super) const DOT: NameHash = NameHash { major: 0, minor: 0 };
/// See [`DOT`].
pub(super) const DOT_DOT: NameHash = NameHash { major: 2, minor: 0 };

/// The position of names with `hash`.
pub(super) fn of_hash(hash: NameHash, width: PositionWidth) -> i64 {
    let major = i64::from(hash.major >> 1);
    match width {
        PositionWidth::Narrow => major,
        PositionWidth::Wide => major << 32 | i64::from(hash.minor),
    }
}

/// The least hash of the names at `position`, or `None` if that is behind the end or nowhere.
pub(super) fn to_hash(position: i64, width: PositionWidth) -> Option<NameHash> {
    if position < 0 || position >= end(width) {
        return None;
    }
    let (major, minor) = match width {
        PositionWidth::Narrow => (position, 0),
        PositionWidth::Wide => (position >> 32, position & 0xffff_ffff),
    };
    Some(NameHash {
        // 31 bits, being less than the end.
        major: (major as u32) << 1,
        minor: minor as u32,
    })
}

/// The position behind all names.
pub(super) const fn end(width: PositionWidth) -> i64 {
    match width {
        PositionWidth::Narrow => i32::MAX as i64,
        PositionWidth::Wide => i64::MAX,
    }
}
