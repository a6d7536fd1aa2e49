// SPDX-License-Identifier: GPL-2.0

//! POSIX ACLs, which are kept in attributes.

use crate::{
    disk::{
        acl::{self as disk, AclEntries, AclError},
        xattr::{Change, NameIndex},
        Corrupt,
    },
    error::{FsError, FsResult},
    vfs::{
        inode::{ExclusiveLock, Inode},
        jbd2::Handle,
        posix_acl::{AclEntry, AclKind, PosixAcl},
        xattr::{Condition, ValueSink},
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
    let index = index_of(kind);
    let Some(size) = super::get(inode, index, &[], &mut ValueSink::measure())? else {
        return Ok(None);
    };
    let mut value = KVVec::from_elem(0, size, GFP_KERNEL)?;
    match super::get(inode, index, &[], &mut ValueSink::new(&mut value))? {
        Some(size) => parse(value.get(..size).unwrap_or_default()),
        None => Ok(None),
    }
}

fn index_of(kind: AclKind) -> NameIndex {
    match kind {
        AclKind::Access => NameIndex::ACL_ACCESS,
        AclKind::Default => NameIndex::ACL_DEFAULT,
    }
}

/// Sets an ACL or removes it, and sets the mode where there is one to be set, within one
/// transaction.
///
/// # Errors
///
/// `ENOSPC`, damage, errors of the journal. Nothing was changed then.
pub(crate) fn set_acl(
    inode: &Inode<Rext4>,
    lock: &ExclusiveLock<'_, Rext4>,
    kind: AclKind,
    acl: Option<&PosixAcl>,
    mode: Option<u16>,
) -> FsResult {
    let value = acl.map(value_of).transpose()?;
    let change = Change {
        index: index_of(kind),
        name: &[],
        value: value.as_deref(),
    };
    super::change::change(inode, &change, Condition::default(), |handle| {
        let Some(mode) = mode.filter(|mode| *mode != inode.mode()) else {
            return Ok(());
        };
        inode.set_mode(lock, mode);
        inode.note_change();
        super::room::make_within(inode, handle)?;
        super::change::store_fields(inode, handle)
    })
}

/// Gives a new inode an ACL. Needs the part of
/// [`CREATE_INODE`](crate::journal::credits::CREATE_INODE) credits that is for attributes.
///
/// # Errors
///
/// `ENOSPC`, errors of the journal.
pub(crate) fn set_first_acl(
    inode: &Inode<Rext4>,
    handle: &Handle<'_>,
    kind: AclKind,
    acl: &PosixAcl,
) -> FsResult {
    super::set_first(inode, handle, index_of(kind), &[], &value_of(acl)?)
}

/// The value of the attribute that holds an ACL.
pub(super) fn value_of(acl: &PosixAcl) -> FsResult<KVVec<u8>> {
    let entries = acl.entries().map(|entry| disk::AclEntry {
        tag: entry.tag,
        permissions: entry.permissions,
        id: entry.id,
    });
    let mut value = KVVec::from_elem(0, disk::value_size(entries.clone()), GFP_KERNEL)?;
    disk::write_value(entries, &mut value);
    Ok(value)
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
