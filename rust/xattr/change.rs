// SPDX-License-Identifier: GPL-2.0

//! Setting and removing attributes.
//!
//! An attribute goes into the inode if there is room, else into the block, which is made if there is
//! none; an inode has one block at most. The new bytes of both are made in memory first, so that
//! what does not fit is found before anything is changed.
//!
//! A block that other inodes use too is never changed: the inode gets one of its own. Nothing here
//! makes inodes share a block, so a block with one user has no other one a moment later.

use super::{read_block, release::drop_user};
use crate::{
    disk::{
        features::Feature,
        inode as format,
        units::PhysicalBlock,
        xattr::{self as disk, Change, ComposeError, Value, Xattrs},
        Corrupt,
    },
    error::{FsError, FsResult},
    group::Wanted,
    inode::{self, load, store},
    journal::{credits, sync_point},
    quota::{self, Limits},
    vfs::{
        buffer::{Buffer, FreshBuffer},
        inode::Inode,
        jbd2::{Handle, Journal},
        xattr::Condition,
    },
    Rext4,
};
use kernel::{
    error::{code, Error},
    prelude::*,
};

/// What came of a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// It was made.
    Changed,
    /// All is as it should be already.
    Unchanged,
    /// There is no room for the attribute beside the others, however empty the disk is. Nothing was
    /// changed.
    NoRoom,
}

impl Outcome {
    /// `ENOSPC` if there was no room.
    pub(super) fn check(self) -> FsResult {
        match self {
            Self::Changed | Self::Unchanged => Ok(()),
            Self::NoRoom => Err(FsError::NO_SPACE),
        }
    }
}

/// Makes a change within a transaction of its own, and `also` within the same if it was made or if
/// there is nothing to change.
///
/// # Errors
///
/// `ENODATA` and `EEXIST` as `condition` says, `ENOSPC`, `EOPNOTSUPP` for what has to do with values
/// in inodes of their own; damage, errors of the journal. Nothing was changed then.
pub(super) fn change(
    inode: &Inode<Rext4>,
    change: &Change<'_>,
    condition: Condition,
    also: impl Fn(&Handle<'_>) -> FsResult,
) -> FsResult {
    let sb = inode.super_block();
    let attempt = |journal: &Journal| -> FsResult<Outcome> {
        let handle = journal.start(credits::CHANGE_XATTR)?;
        let outcome = change_within(inode, &handle, change, condition)?;
        if outcome != Outcome::NoRoom {
            also(&handle)?;
        }
        if inode.is_sync() {
            handle.set_sync();
        }
        handle.stop()?;
        Ok(outcome)
    };
    sb.data().with_reclaim(sb, attempt)?.check()
}

/// Makes a change within the transaction of `handle`, which needs [`credits::CHANGE_XATTR`].
///
/// # Errors
///
/// As for [`change`].
pub(super) fn change_within(
    inode: &Inode<Rext4>,
    handle: &Handle<'_>,
    change: &Change<'_>,
    condition: Condition,
) -> FsResult<Outcome> {
    let fs = inode.super_block().data();
    let mut place = inode.data().xattr_block.write();
    use_area(inode, handle)?;
    let area = area(inode)?;
    let in_inode = Xattrs::in_inode(&area).map_err(Corrupt::from)?;
    let buffer = read_block(inode, *place)?;
    let block = buffer.as_ref().map(bytes_of).transpose()?;
    let in_block = block
        .as_ref()
        .map(|block| Xattrs::in_block(block))
        .transpose()
        .map_err(Corrupt::from)?;

    let old = Old {
        in_inode,
        in_block,
        area_size: area.len(),
        block_size: fs.layout.block_size().size(),
    };
    if old.is_already(change, condition)? {
        return Ok(Outcome::Unchanged);
    }
    let Some((new_area, new_block)) = old.compose(change)? else {
        return Ok(Outcome::NoRoom);
    };

    if change.value.is_some() {
        fs.note_feature(handle, Feature::EXT_ATTR)?;
    }
    if let Some(new) = &new_block {
        let bytes = (new.count != 0).then_some(&*new.bytes);
        replace_block(inode, handle, &mut place, buffer, bytes)?;
    }
    store::edit(inode, handle, |raw| {
        let area = raw.xattr_area_mut().unwrap_or_default();
        if let Some(new) = &new_area {
            copy(&new.bytes, area);
        }
        raw.set_xattr_block(*place);
    })?;
    inode.note_change();
    inode.data().note_no_more_room(false);
    store_fields(inode, handle)?;
    Ok(Outcome::Changed)
}

/// The attributes of an inode as they are.
struct Old<'a> {
    in_inode: Option<Xattrs<'a>>,
    in_block: Option<Xattrs<'a>>,
    /// The room that there is in the inode, and in a block, in bytes.
    area_size: usize,
    block_size: usize,
}

impl Old<'_> {
    /// Whether there is nothing to change.
    fn is_already(&self, change: &Change<'_>, condition: Condition) -> FsResult<bool> {
        let find = |xattrs: Option<Xattrs<'_>>| {
            let found = xattrs?.find(change.index, change.name)?;
            Some(change.value.map(Value::Bytes) == Some(found.value))
        };
        match find(self.in_inode).or_else(|| find(self.in_block)) {
            None if condition.present => Err(FsError::Kernel(Error::from_errno(
                -(crate::bindings::ENODATA as i32),
            ))),
            None => Ok(change.value.is_none()),
            Some(_) if condition.absent => Err(FsError::Kernel(code::EEXIST)),
            Some(is_same) => Ok(is_same),
        }
    }

    /// What the inode and the block will hold, `None` for one that stays as it is; or nothing at all
    /// if there is no room.
    fn compose(
        &self,
        change: &Change<'_>,
    ) -> FsResult<Option<(Option<Composed>, Option<Composed>)>> {
        let area = |change: &Change<'_>| {
            compose(self.area_size, |bytes| {
                disk::compose_in_inode(self.in_inode, change, bytes)
            })
        };
        let block = |change: &Change<'_>| {
            compose(self.block_size, |bytes| {
                disk::compose_block(self.in_block, change, bytes)
            })
        };
        let is_in = |xattrs: Option<Xattrs<'_>>| {
            xattrs.is_some_and(|xattrs| xattrs.find(change.index, change.name).is_some())
        };
        let removal = Change {
            value: None,
            ..*change
        };
        let mut new_area = match change.value {
            Some(_) => area(change)?,
            None => None,
        };
        let goes_into_block = new_area.is_none() && change.value.is_some();
        let mut new_block = None;
        if goes_into_block || is_in(self.in_block) {
            new_block = block(if goes_into_block { change } else { &removal })?;
            if new_block.is_none() {
                return Ok(None);
            }
        }
        if new_area.is_none() && is_in(self.in_inode) {
            new_area = area(&removal)?;
            if new_area.is_none() {
                return Ok(None);
            }
        }
        Ok(Some((new_area, new_block)))
    }
}

/// Writes the inode's fields, after a change of mode or times. Needs credits for the inode.
pub(super) fn store_fields(inode: &Inode<Rext4>, handle: &Handle<'_>) -> FsResult {
    store::store(inode, handle, &inode.data().tree.read())?;
    inode
        .data()
        .sync_point
        .note(handle, sync_point::Change::Other);
    Ok(())
}

pub(super) fn copy(from: &[u8], to: &mut [u8]) {
    for (to, from) in to.iter_mut().zip(from) {
        *to = *from;
    }
}

/// Has an inode that was made by a file system that knew of no fields behind the first 128 bytes use
/// these, as far as it has them.
fn use_area(inode: &Inode<Rext4>, handle: &Handle<'_>) -> FsResult {
    let wanted = inode.super_block().data().wanted_extra_size();
    if inode.data().extra_size() == 0
        && store::edit(inode, handle, |raw| raw.set_extra_size(wanted))?
    {
        inode.data().note_extra_size(wanted);
    }
    Ok(())
}

/// The bytes of the inode that hold attributes, or can; none if it is too small for that, or does not
/// use them.
pub(super) fn area(inode: &Inode<Rext4>) -> FsResult<KVec<u8>> {
    // Allocated first: under the byte lock nothing can be.
    let size = inode.super_block().data().layout.inode_size();
    let mut area = KVec::with_capacity(size as usize, GFP_KERNEL)?;
    inode::with_raw(inode, |bytes| -> core::result::Result<(), _> {
        let raw = format::Inode::from_bytes(bytes)?;
        for &byte in raw.xattr_area().unwrap_or_default() {
            let _ = area.push_within_capacity(byte);
        }
        Ok(())
    })?
    .map_err(|e: format::InodeError| FsError::Corrupt(e.into()))?;
    Ok(area)
}

/// A copy of a block.
pub(super) fn bytes_of(buffer: &Buffer) -> FsResult<KVec<u8>> {
    let mut block = KVec::from_elem(0, buffer.size(), GFP_KERNEL)?;
    buffer.with(|bytes| copy(bytes, &mut block));
    Ok(block)
}

/// What one of the two places will hold.
struct Composed {
    bytes: KVec<u8>,
    /// The number of attributes.
    count: usize,
}

/// Has `write` fill `size` bytes; `None` if there is no room for what it has to write.
fn compose(
    size: usize,
    write: impl FnOnce(&mut [u8]) -> core::result::Result<usize, ComposeError>,
) -> FsResult<Option<Composed>> {
    let mut bytes = KVec::from_elem(0, size, GFP_KERNEL)?;
    match write(&mut bytes) {
        Ok(count) => Ok(Some(Composed { bytes, count })),
        Err(ComposeError::NoRoom) => Ok(None),
        Err(ComposeError::Name) => Err(FsError::Kernel(code::ERANGE)),
        Err(ComposeError::ValueInInode) => Err(FsError::unsupported()),
    }
}

/// Has the inode's block hold `new`, or the inode have no block if that is nothing. Needs
/// [`credits::CHANGE_XATTR`], but for those for the inode, which the caller stores.
///
/// # Errors
///
/// `ENOSPC`, with nothing changed; damage, errors of the journal.
pub(super) fn replace_block(
    inode: &Inode<Rext4>,
    handle: &Handle<'_>,
    place: &mut Option<PhysicalBlock>,
    old: Option<Buffer>,
    new: Option<&[u8]>,
) -> FsResult {
    if let (Some(old), Some(new)) = (&old, new) {
        let users = old.with(disk::block_references).map_err(Corrupt::from)?;
        if users == 1 {
            return write_block(inode, handle, old, new);
        }
    }
    let made = new.map(|new| make_block(inode, handle, new)).transpose()?;
    if let Some(Err(e)) = old.map(|old| drop_user(inode, handle, old)) {
        if let Some(made) = made {
            uncharge(inode);
            unmake_block(inode, handle, made)?;
        }
        return Err(e);
    }
    *place = made;
    Ok(())
}

/// Allocates a block and fills it.
fn make_block(inode: &Inode<Rext4>, handle: &Handle<'_>, new: &[u8]) -> FsResult<PhysicalBlock> {
    let sb = inode.super_block();
    let fs = sb.data();
    let size = fs.layout.block_size().bytes();
    let groups = fs.groups()?;
    let goal = load::group_start(inode);
    quota::charge(inode, 1, Limits::Heeded)?;
    let run = groups
        .allocate(handle, Wanted::new(goal, 1), inode::rights(inode))
        .inspect_err(|_| uncharge(inode))?;
    let filled = FreshBuffer::get(sb.device(), run.start.0, size)
        .and_then(|fresh| handle.create(fresh))
        .map_err(FsError::from)
        .and_then(|buffer| write_block(inode, handle, &buffer, new));
    if let Err(e) = filled {
        uncharge(inode);
        unmake_block(inode, handle, run.start)?;
        return Err(e);
    }
    Ok(run.start)
}

/// Counts a block no more that was counted in vain. The inode may have been stored with it meanwhile.
fn uncharge(inode: &Inode<Rext4>) {
    quota::free(inode, 1);
    inode.mark_dirty();
}

/// Frees a block that was allocated within the transaction, and filled or not.
fn unmake_block(inode: &Inode<Rext4>, handle: &Handle<'_>, block: PhysicalBlock) -> FsResult {
    let sb = inode.super_block();
    let size = sb.data().layout.block_size().bytes();
    sb.data().groups()?.free(handle, block, 1)?;
    Ok(handle.forget_block(block.0, size)?)
}

fn write_block(inode: &Inode<Rext4>, handle: &Handle<'_>, buffer: &Buffer, new: &[u8]) -> FsResult {
    let seed = inode.super_block().data().seed;
    let at = PhysicalBlock(buffer.block());
    handle
        .write(buffer)?
        .edit(|bytes| {
            copy(new, bytes);
            seed.map_or(Ok(()), |seed| disk::update_checksum(bytes, at, seed))
        })?
        .map_err(|e| FsError::Corrupt(e.into()))
}
