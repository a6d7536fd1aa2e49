// SPDX-License-Identifier: GPL-2.0

//! Room for the fields of an inode that has less than it should (`i_extra_isize`): it was made when
//! fewer fields were known, or less room for later ones was asked for.
//!
//! It gets that room within the transaction of a change of its own, as in C ext4: its attributes are
//! written anew behind the fields, and those that find no room there go to the block. Where that can't
//! be done it gets what `s_min_extra_isize` asks for, or stays as it is, and the change is made all the
//! same. It is not tried again until its attributes change.
//!
//! What changes data changes times too, and those are written by
//! [`write_inode`](crate::inode::store::write_inode). So nothing is done here where blocks are
//! allocated, converted or freed, under the locks of the tree.

use super::{
    change::{area, bytes_of, copy, replace_block, store_fields},
    read_block,
};
use crate::{
    disk::{
        features::Feature,
        inode::BASE_SIZE,
        units::PhysicalBlock,
        xattr::{fits, shrink, ComposeError, GrowError},
        Corrupt,
    },
    error::{edquot, FsError, FsResult},
    inode::store,
    journal::credits,
    vfs::{
        buffer::Buffer,
        inode::Inode,
        jbd2::{Credits, Handle, Journal},
        task,
    },
    Rext4,
};
use kernel::{error::code, prelude::*};

/// Starts a handle with `own` credits for a change of an inode, and first gives the inode the room that
/// it should have. Nothing below a handle is held.
///
/// # Errors
///
/// Errors of the journal; damage in a block of attributes that was to be given up.
pub(crate) fn start<'j>(
    inode: &Inode<Rext4>,
    journal: &'j Journal,
    own: Credits,
) -> FsResult<Handle<'j>> {
    if !is_short(inode) {
        return Ok(journal.start(own)?);
    }
    let handle = journal.start(own.plus(credits::CHANGE_XATTR))?;
    make(inode, &handle)?;
    Ok(handle)
}

/// The same within a handle that has no credits for it, if they can be had: else it is left for the
/// next change.
///
/// # Errors
///
/// As for [`start`].
pub(crate) fn make_within(inode: &Inode<Rext4>, handle: &Handle<'_>) -> FsResult {
    if is_short(inode) && handle.extend(credits::CHANGE_XATTR)? {
        make(inode, handle)?;
    }
    Ok(())
}

/// Whether an inode has less room than it should, and may get it. What is going to be freed does not
/// need it.
fn is_short(inode: &Inode<Rext4>) -> bool {
    let data = inode.data();
    data.extra_size() < inode.super_block().data().wanted_extra_size()
        && !data.has_no_more_room()
        && inode.links() != 0
        // Attributes may get a block, which would have to be counted: times may have changed by reading.
        && !inode.needs_quotas()
}

/// Gives an inode as much room as can be had. Needs [`credits::CHANGE_XATTR`].
fn make(inode: &Inode<Rext4>, handle: &Handle<'_>) -> FsResult {
    let sb = inode.super_block();
    let fs = sb.data();
    let data = inode.data();
    let mut place = data.xattr_block.write();
    let wanted = fs.wanted_extra_size();
    let mut disk_is_full = false;
    for size in [wanted, fs.layout.inode_min_extra_size()] {
        if data.extra_size() >= size {
            continue;
        }
        // Whatever is wrong with the attributes, it is not for this change to fail.
        let Ok(new) = compose(inode, *place, size) else {
            continue;
        };
        if new.block.is_some() && disk_is_full {
            continue;
        }
        match put(inode, handle, &mut place, size, new) {
            // Nothing was changed.
            Err(e) if e.is(code::ENOSPC) || e.is(edquot()) => disk_is_full = true,
            result => result?,
        }
    }
    if data.extra_size() < wanted {
        data.note_no_more_room(true);
        if fs.room_warning.is_due(task::seconds_since_boot()) {
            pr_warn!(
                "({}): warning: inode {} has no room for {} bytes of fields (i_extra_isize); it gets \
                 them when some of its attributes are removed\n",
                sb.id(),
                inode.ino(),
                wanted
            );
        }
    }
    Ok(())
}

/// The attributes of an inode whose fields have got more room.
struct New {
    /// What lies behind the fields.
    area: KVec<u8>,
    /// The block as it was and its new bytes, if attributes were moved there.
    block: Option<(Option<Buffer>, KVec<u8>)>,
}

/// Writes the attributes in memory as they will be behind `size` bytes of fields.
///
/// # Errors
///
/// `ENOSPC` if there is no room for them; damage, `EOPNOTSUPP` for values in inodes of their own.
fn compose(inode: &Inode<Rext4>, place: Option<PhysicalBlock>, size: u32) -> FsResult<New> {
    let layout = &inode.super_block().data().layout;
    let mut area = area(inode)?;
    let room = (layout.inode_size() as usize).saturating_sub(BASE_SIZE + size as usize);
    let (mut block, mut buffer) = (KVec::new(), None);
    if !fits(&area, room).map_err(Corrupt::from)? {
        buffer = read_block(inode, place)?;
        block = match &buffer {
            Some(buffer) => bytes_of(buffer)?,
            None => KVec::from_elem(0, layout.block_size().size(), GFP_KERNEL)?,
        };
    }
    // Without any attributes the area may be smaller than it will be: the fields were not used at all.
    let mut moved = 0;
    if !area.is_empty() {
        let mut scratch = KVec::from_elem(0, area.len().max(block.len()), GFP_KERNEL)?;
        moved = shrink(&mut area, room, &mut block, &mut scratch).map_err(|e| match e {
            GrowError::Damaged(e) => FsError::Corrupt(e.into()),
            GrowError::Compose(ComposeError::NoRoom) => FsError::NO_SPACE,
            GrowError::Compose(_) => FsError::unsupported(),
        })?;
    }
    Ok(New {
        area,
        block: (moved != 0).then_some((buffer, block)),
    })
}

/// Carries it out.
fn put(
    inode: &Inode<Rext4>,
    handle: &Handle<'_>,
    place: &mut Option<PhysicalBlock>,
    size: u32,
    new: New,
) -> FsResult {
    if let Some((old, bytes)) = new.block {
        let fs = inode.super_block().data();
        fs.note_feature(handle, Feature::EXT_ATTR)?;
        replace_block(inode, handle, place, old, Some(&bytes))?;
    }
    let birth = store::edit(inode, handle, |raw| {
        raw.set_extra_size(size);
        copy(&new.area, raw.xattr_area_mut().unwrap_or_default());
        raw.set_xattr_block(*place);
        raw.crtime()
    })?;
    inode.data().note_extra_size(size);
    inode.data().note_birth(birth);
    // The fields that are new, and the space that a new block takes: whatever becomes of the change.
    store_fields(inode, handle)
}
