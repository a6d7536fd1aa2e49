// SPDX-License-Identifier: GPL-2.0

//! Extended attributes: found by name, listed, set.
//!
//! An inode has them in two places: behind its own fields in the inode table, and in a block,
//! which inodes with the same attributes may share. The former is looked at first. The format is
//! in [`crate::disk::xattr`], ACLs are in [`acl`], changes in [`mod@change`] and [`release`], and in [`room`]
//! how they make room for the inode's fields.
//!
//! Both places of an inode are covered by [`InodeData::xattr_block`](inode::InodeData::xattr_block).

mod acl;
mod change;
mod release;
pub(crate) mod room;
// What `kunit_tests` makes is not safe code.
#[cfg(CONFIG_KUNIT = "y")]
#[allow(unsafe_code)]
mod tests;

use crate::{
    disk::{
        inode as format,
        units::PhysicalBlock,
        xattr::{self as disk, Change, NameIndex, Value, Xattrs},
        Corrupt,
    },
    error::{eopnotsupp, FsError, FsResult},
    inode::{self, map},
    journal::kinds::XATTR_BLOCK,
    mount::Filesystem,
    vfs::{
        buffer::Buffer,
        file::FileOperations as _,
        inode::Inode,
        iomap::{Mapping, Place},
        jbd2::Handle,
        posix_acl::AclKind,
        xattr::{Condition, Name, NameList, Namespace, ValueSink, XattrOperations},
    },
    Rext4,
};
use kernel::{error::Error, prelude::*};

pub(crate) use acl::{get_acl, set_acl, set_first_acl};
pub(crate) use release::release_block;

impl XattrOperations for Rext4 {
    fn get_xattr(
        inode: &Inode<Self>,
        namespace: Namespace,
        name: &[u8],
        value: &mut ValueSink<'_>,
    ) -> Result<usize> {
        Self::check_access(inode)?;
        let index = index_of(inode, namespace)?;
        match get(inode, index, name, value) {
            Ok(Some(len)) => Ok(len),
            Ok(None) => Err(Error::from_errno(-(crate::bindings::ENODATA as i32))),
            Err(e) => Err(Filesystem::errno(inode, "read an attribute", e)),
        }
    }

    fn set_xattr(
        inode: &Inode<Self>,
        namespace: Namespace,
        name: &[u8],
        value: Option<&[u8]>,
        condition: Condition,
    ) -> Result {
        let index = index_of(inode, namespace)?;
        let change = Change { index, name, value };
        change::change(inode, &change, condition, |_| Ok(()))
            .map_err(|e| Filesystem::errno(inode, "set an attribute", e))
    }

    fn list_xattrs(inode: &Inode<Self>, list: &mut NameList<'_>) -> Result {
        let users = serves_users(inode);
        let listed = look(inode, |xattrs| match add_names(&xattrs, users, list) {
            Ok(()) => Looked::GoOn,
            Err(e) => Looked::Done(e),
        });
        match listed {
            Ok(None) => Ok(()),
            Ok(Some(e)) => Err(e),
            Err(e) => Err(Filesystem::errno(inode, "list attributes", e)),
        }
    }
}

/// The number of a name space, unless the mount does not serve it.
fn index_of(inode: &Inode<Rext4>, namespace: Namespace) -> Result<NameIndex> {
    Ok(match namespace {
        Namespace::User if !serves_users(inode) => return Err(eopnotsupp()),
        Namespace::User => NameIndex::USER,
        Namespace::Trusted => NameIndex::TRUSTED,
        Namespace::Security => NameIndex::SECURITY,
    })
}

/// Gives a new inode a label of a security module, `name` being what follows `security.`. Needs the
/// part of [`CREATE_INODE`](crate::journal::credits::CREATE_INODE) credits that is for attributes.
///
/// # Errors
///
/// `ENOSPC`, errors of the journal.
pub(crate) fn set_first_label(
    inode: &Inode<Rext4>,
    handle: &Handle<'_>,
    name: &[u8],
    value: &[u8],
) -> FsResult {
    set_first(inode, handle, NameIndex::SECURITY, name, value)
}

/// Sets an attribute of a new inode.
fn set_first(
    inode: &Inode<Rext4>,
    handle: &Handle<'_>,
    index: NameIndex,
    name: &[u8],
    value: &[u8],
) -> FsResult {
    let change = Change {
        index,
        name,
        value: Some(value),
    };
    change::change_within(inode, handle, &change, Condition::default())?.check()
}

/// Gives the value of an attribute to `sink`, and returns its size in bytes; `None` if there is no
/// such attribute.
///
/// # Errors
///
/// `ERANGE` from the sink, `EOPNOTSUPP` for a value in an inode of its own, damage.
fn get(
    inode: &Inode<Rext4>,
    index: NameIndex,
    name: &[u8],
    sink: &mut ValueSink<'_>,
) -> FsResult<Option<usize>> {
    let found = look(inode, |xattrs| match xattrs.find(index, name) {
        None => Looked::GoOn,
        Some(xattr) => Looked::Done(match xattr.value {
            Value::Bytes(bytes) => Some(sink.put(bytes)),
            Value::Inode { .. } => None,
        }),
    })?;
    match found {
        None => Ok(None),
        Some(Some(len)) => Ok(Some(len?)),
        Some(None) => {
            inode.super_block().data().warn_once_per_inode(
                inode,
                "an attribute can't be read, it is in an inode of its own (ea_inode)",
            );
            Err(FsError::unsupported())
        }
    }
}

/// What came of looking at the attributes in one place.
enum Looked<R> {
    /// The result.
    Done(R),
    /// Look in the next place.
    GoOn,
}

/// Calls `visit` with the attributes of each place, until it is done. It must not sleep.
fn look<R>(
    inode: &Inode<Rext4>,
    mut visit: impl FnMut(Xattrs<'_>) -> Looked<R>,
) -> FsResult<Option<R>> {
    let place = inode.data().xattr_block.read();
    let looked = inode::with_raw(inode, |bytes| -> Result<_, Corrupt> {
        let raw = format::Inode::from_bytes(bytes)?;
        Ok(match raw.xattr_area().map(Xattrs::in_inode).transpose()? {
            Some(Some(xattrs)) => visit(xattrs),
            _ => Looked::GoOn,
        })
    })??;
    if let Looked::Done(result) = looked {
        return Ok(Some(result));
    }
    let Some(buffer) = read_block(inode, *place)? else {
        return Ok(None);
    };
    let looked = buffer.with(|bytes| Xattrs::in_block(bytes).map(visit));
    match looked.map_err(Corrupt::from)? {
        Looked::Done(result) => Ok(Some(result)),
        Looked::GoOn => Ok(None),
    }
}

/// Where the attributes lie on the device: those in the inode, or if it has none there, the block.
///
/// # Errors
///
/// Damage.
pub(crate) fn map(inode: &Inode<Rext4>) -> FsResult<Option<Mapping>> {
    let fs = inode.super_block().data();
    let size = fs.layout.block_size();
    let mapping = |place, len| Mapping {
        offset: 0,
        len,
        place,
        version: 0,
    };
    let block = inode.data().xattr_block.read();
    let inside = inode::with_raw(inode, |bytes| -> Result<_, Corrupt> {
        let raw = format::Inode::from_bytes(bytes)?;
        let area = raw.xattr_area().unwrap_or_default();
        let len = area.len() as u64;
        Ok(Xattrs::in_inode(area)?.map(|_| (bytes.len() as u64 - len, len)))
    })??;
    if let Some((start, len)) = inside {
        let location = fs.groups()?.locate_inode(inode::number(inode))?;
        let table = size.byte_of_physical(location.block);
        return Ok(table.map(|byte| {
            let byte = byte + u64::from(location.offset) + start;
            mapping(Place::Inline(byte), len)
        }));
    }
    let byte = block.and_then(|block| size.byte_of_physical(block));
    Ok(byte.map(|byte| mapping(Place::Written(byte), size.bytes().into())))
}

/// The block at `place`, which holds attributes of the inode, if there is one.
fn read_block(inode: &Inode<Rext4>, place: Option<PhysicalBlock>) -> FsResult<Option<Buffer>> {
    let Some(block) = place else {
        return Ok(None);
    };
    map::check_foreign(inode, block, 1)?;
    let sb = inode.super_block();
    let fs = sb.data();
    let buffer = Buffer::read(sb.device(), block.0, fs.layout.block_size().bytes())?;
    buffer.verify_once(XATTR_BLOCK, |bytes| -> Result<(), Corrupt> {
        if let Some(seed) = fs.seed {
            disk::verify_checksum(bytes, block, seed)?;
        }
        Xattrs::in_block(bytes)?;
        Ok(())
    })?;
    Ok(Some(buffer))
}

/// Whether attributes of the name space `user` are served: `nouser_xattr` says no.
fn serves_users(inode: &Inode<Rext4>) -> bool {
    inode.super_block().data().options().user_xattr
}

fn add_names(xattrs: &Xattrs<'_>, users: bool, list: &mut NameList<'_>) -> Result {
    for xattr in xattrs.iter() {
        list.add(match xattr.index {
            NameIndex::USER if !users => continue,
            NameIndex::USER => Name::Attribute(Namespace::User, xattr.name),
            NameIndex::TRUSTED => Name::Attribute(Namespace::Trusted, xattr.name),
            NameIndex::SECURITY => Name::Attribute(Namespace::Security, xattr.name),
            NameIndex::ACL_ACCESS => Name::Acl(AclKind::Access),
            NameIndex::ACL_DEFAULT => Name::Acl(AclKind::Default),
            // Nobody could read it.
            _ => continue,
        })?;
    }
    Ok(())
}
