// SPDX-License-Identifier: GPL-2.0

//! POSIX ACLs, which are kept in attributes.

use crate::{
    disk::{
        acl::{AclEntries, AclError},
        xattr::NameIndex,
        Corrupt,
    },
    error::{FsError, FsResult},
    vfs::{
        inode::Inode,
        posix_acl::{AclEntry, AclKind, PosixAcl},
        xattr::ValueSink,
    },
    Rext4,
};
use kernel::{error::code, prelude::*};

/// An ACL of an inode, or `None` if it has none.
///
/// # Errors
///
/// Those of reading an attribute, and that its value is no ACL.
pub(crate) fn get_acl(inode: &Inode<Rext4>, kind: AclKind) -> FsResult<Option<PosixAcl>> {
    let index = match kind {
        AclKind::Access => NameIndex::ACL_ACCESS,
        AclKind::Default => NameIndex::ACL_DEFAULT,
    };
    let Some(size) = super::get(inode, index, &[], &mut ValueSink::measure())? else {
        return Ok(None);
    };
    let mut value = KVVec::from_elem(0, size, GFP_KERNEL)?;
    match super::get(inode, index, &[], &mut ValueSink::new(&mut value))? {
        Some(size) => parse(value.get(..size).unwrap_or_default()),
        None => Ok(None),
    }
}

/// The ACL in an attribute's value; `None` if it has no entries.
pub(super) fn parse(value: &[u8]) -> FsResult<Option<PosixAcl>> {
    let corrupt = |e: AclError| FsError::Corrupt(Corrupt::Acl(e));
    let mut entries = KVVec::new();
    for entry in AclEntries::new(value).map_err(corrupt)? {
        let entry = entry.map_err(corrupt)?;
        let entry = AclEntry {
            tag: entry.tag,
            permissions: entry.permissions,
            id: entry.id,
        };
        entries.push(entry, GFP_KERNEL)?;
    }
    if entries.is_empty() {
        return Ok(None);
    }
    match PosixAcl::new(&entries) {
        Ok(acl) => Ok(Some(acl)),
        Err(e) if e == code::EINVAL => Err(corrupt(AclError::Entries)),
        Err(e) => Err(e.into()),
    }
}
