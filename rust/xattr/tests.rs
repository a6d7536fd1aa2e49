// SPDX-License-Identifier: GPL-2.0

//! KUnit suite of what can be tested without a device.

use super::acl::{parse, value_of};
use crate::{
    disk::{acl::AclError, Corrupt},
    error::FsError,
};
use kernel::prelude::*;

/// What `setfacl -m u:1000:r,m:rw,g:7:x` leaves on a file of mode 0640.
const LIST: [u8; 44] = [
    1, 0, 0, 0, // version
    0x01, 0, 6, 0, // owner
    0x02, 0, 4, 0, 0xe8, 3, 0, 0, // user 1000
    0x04, 0, 4, 0, // owning group
    0x08, 0, 1, 0, 7, 0, 0, 0, // group 7
    0x10, 0, 6, 0, // mask
    0x20, 0, 0, 0, // others
    0, 0, 0, 0, 0, 0, 0, 0, // (room for changes)
];
const LEN: usize = 36;

/// What is wrong with the list, after bytes of it were changed.
fn problem(len: usize, changes: &[(usize, u8)]) -> Option<AclError> {
    let mut bytes = LIST;
    for &(at, byte) in changes {
        if let Some(slot) = bytes.get_mut(at) {
            *slot = byte;
        }
    }
    match parse(bytes.get(..len).unwrap_or_default()) {
        Err(FsError::Corrupt(Corrupt::Acl(error))) => Some(error),
        _ => None,
    }
}

#[kunit_tests(rext4_xattr)]
mod suite {
    use super::*;

    #[test]
    fn a_list_becomes_an_acl() {
        assert!(matches!(parse(&LIST[..LEN]), Ok(Some(_))));
    }

    #[test]
    fn an_acl_becomes_the_same_list() {
        let value = match parse(&LIST[..LEN]) {
            Ok(Some(acl)) => value_of(&acl).ok(),
            _ => None,
        };
        assert_eq!(value.as_deref(), Some(&LIST[..LEN]));
    }

    #[test]
    fn no_entries_are_no_acl() {
        assert!(matches!(parse(&LIST[..4]), Ok(None)));
    }

    #[test]
    fn what_is_wrong_with_a_list_is_named() {
        assert_eq!(problem(LEN, &[]), None);
        assert_eq!(problem(3, &[]), Some(AclError::Truncated));
        assert_eq!(problem(LEN, &[(0, 2)]), Some(AclError::Version(2)));
        // In the middle of a number.
        assert_eq!(problem(14, &[]), Some(AclError::Truncated));
        assert_eq!(problem(LEN, &[(4, 0x40)]), Some(AclError::Tag(0x40)));
        // Without the entry of others.
        assert_eq!(problem(LEN - 4, &[]), Some(AclError::Entries));
        // Permissions that there are not.
        assert_eq!(problem(LEN, &[(6, 8)]), Some(AclError::Entries));
        // Bytes behind the list, which are an entry with tag zero.
        assert_eq!(problem(LEN + 4, &[]), Some(AclError::Tag(0)));
    }
}
