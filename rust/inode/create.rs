// SPDX-License-Identifier: GPL-2.0

//! A new inode, in memory and in the inode table.

use super::{flags, journaled, load, project, store, DataKind};
use crate::{
    disk::{
        extent::{NodeMut, Place, ROOT_SIZE},
        features::Feature,
        file_type::FileType,
        inode::{self as format, DeviceNumber, InodeFlags},
    },
    error::{euclean, FsError, FsResult},
    group::Siting,
    journal::sync_point::Change,
    quota,
    vfs::{
        inode::Inode,
        jbd2::Handle,
        namespace::Creation,
        new_inode::{Common, NewInode, Unnumbered},
        posix_acl::{AclKind, InheritedAcls},
    },
    xattr, Rext4,
};
use core::sync::atomic::Ordering;
use kernel::error::code;

/// What a new inode has beside its owner, mode and times.
pub(crate) struct NewContent<'a> {
    /// The number of links.
    pub(crate) links: u32,
    /// The text of a symbolic link.
    pub(crate) text: Option<&'a [u8]>,
    /// The number of the device of a node, as the kernel has it.
    pub(crate) device: u32,
}

/// Whether a symbolic link with this text has it in the inode itself, with a zero byte behind it.
pub(crate) fn is_short_link(text: &[u8]) -> bool {
    text.len() < ROOT_SIZE
}

/// Where in the inode table a new inode should lie.
fn siting(parent: &Inode<Rext4>, kind: FileType) -> Siting {
    use crate::disk::units::{GroupNumber, InodeNumber};
    let layout = &parent.super_block().data().layout;
    let own = super::number(parent);
    let group = layout
        .place_of_inode(own)
        .map_or(GroupNumber(0), |place| place.group);
    if kind != FileType::Directory {
        Siting::Near(group)
    } else if own == InodeNumber::ROOT || parent.data().flags().has(InodeFlags::TOPDIR) {
        Siting::Apart(GroupNumber(crate::vfs::random::number()))
    } else {
        Siting::Directory(group)
    }
}

/// Finds out in which project a new inode will be, and to whom it is counted: before [`create`], without a
/// handle.
///
/// # Errors
///
/// Damage; those of [`Inode::initialize_quotas`].
pub(crate) fn prepare(parent: &Inode<Rext4>, unnumbered: &Unnumbered<Rext4>) -> FsResult {
    let fs = parent.super_block().data();
    let inherits = parent.data().flags().has(InodeFlags::PROJECT_INHERIT);
    let project = if inherits && fs.features.has(Feature::PROJECT) {
        project(parent)?
    } else {
        0
    };
    quota::prepare_new(unnumbered, project)
}

/// Makes an inode with a number and no data, near `parent`, and stores it. Needs
/// [`CREATE_INODE`](crate::journal::credits::CREATE_INODE) credits, part of which is for
/// [`set_attributes`] and [`undo`]. It was [prepared](prepare).
///
/// # Errors
///
/// `ENOSPC` if there are no inodes left, `EDQUOT`, with nothing changed; damage; errors of the journal.
pub(crate) fn create(
    handle: &Handle<'_>,
    parent: &Inode<Rext4>,
    unnumbered: Unnumbered<Rext4>,
    content: &NewContent<'_>,
) -> FsResult<NewInode<Rext4>> {
    let sb = parent.super_block();
    let fs = sb.data();
    let groups = fs.groups()?;
    let kind = FileType::of_mode(unnumbered.mode()).ok_or(FsError::Kernel(code::EINVAL))?;
    let number = groups.allocate_inode(handle, siting(parent, kind))?;
    let mut common = unnumbered.common();
    let new = match unnumbered.number(number.0) {
        Ok(new) => new,
        Err(_) => {
            // Somebody uses an inode that is free on disk. The bit stays set, which is true.
            return Err(FsError::Kernel(euclean()));
        }
    };
    let made = new.inode().count_inode().map_err(FsError::from);
    let made = made.and_then(|()| {
        fill(handle, parent, &new, &mut common, kind, content)
            .inspect_err(|_| new.inode().uncount_inode())
    });
    if let Err(e) = made {
        drop(new);
        groups.free_inode(handle, number, kind == FileType::Directory)?;
        return Err(e);
    }
    Ok(new)
}

/// Sets all of a new inode, in memory and on disk.
fn fill(
    handle: &Handle<'_>,
    parent: &Inode<Rext4>,
    new: &NewInode<Rext4>,
    common: &mut Common,
    kind: FileType,
    content: &NewContent<'_>,
) -> FsResult {
    let inode = new.inode();
    let data = inode.data();
    let mut flags = flags::inherited(parent.data().flags(), kind, journaled::has_journal(parent));
    let mut area = [0; ROOT_SIZE];
    let holds = match (kind, content.text) {
        (FileType::Symlink, Some(text)) if is_short_link(text) => {
            for (to, from) in area.iter_mut().zip(text) {
                *to = *from;
            }
            common.size = text.len() as i64;
            DataKind::ShortSymlink
        }
        (FileType::Symlink | FileType::Regular | FileType::Directory, _)
            if !inode.super_block().data().features.has(Feature::EXTENT) =>
        {
            // All numbers are zero.
            DataKind::BlockMap
        }
        (FileType::Symlink | FileType::Regular | FileType::Directory, _) => {
            NodeMut::format(&mut area, Place::Root, 0).map_err(crate::extent::TreeError::from)?;
            flags = flags.with(InodeFlags::EXTENTS);
            DataKind::Extents
        }
        _ => DataKind::Nothing,
    };
    common.links = content.links;
    common.device = content.device;
    common.generation = crate::vfs::random::number();
    common.flags = load::vfs_flags(flags);
    let birth = common.ctime;
    new.fill(common)?;
    if let (DataKind::ShortSymlink, Some(text)) = (holds, content.text) {
        new.cache_link(text);
    }

    data.kind.store(holds as u8, Ordering::Relaxed);
    data.flags.store(flags.0, Ordering::Relaxed);
    data.note_birth(Some(store::to_disk(birth)));
    let root = {
        let mut root = data.tree.write();
        root.root = area;
        area
    };
    store_new(inode, handle, flags, kind, content.device, &root)?;
    let (_, place) = load::own_table_block(inode)?;
    data.set_goal(load::first_goal(inode.super_block(), place));
    data.sync_point.note(handle, Change::Data);
    Ok(())
}

/// Writes an inode over whatever its place in the table holds.
fn store_new(
    inode: &Inode<Rext4>,
    handle: &Handle<'_>,
    flags: InodeFlags,
    kind: FileType,
    device: u32,
    area: &[u8; ROOT_SIZE],
) -> FsResult {
    let sb = inode.super_block();
    let layout = &sb.data().layout;
    let wanted = sb.data().wanted_extra_size();
    let (buffer, place) = load::own_table_block(inode)?;
    let start = place.offset as usize;
    let end = start + layout.inode_size() as usize;
    let birth = inode.data().birth();
    let project = inode.data().project.load(Ordering::Relaxed);
    handle.write(&buffer)?.edit(|block| -> FsResult {
        let bytes = block.get_mut(start..end).unwrap_or_default();
        let mut raw = format::Inode::create(bytes).map_err(|e| FsError::Corrupt(e.into()))?;
        if raw.set_extra_size(wanted) {
            inode.data().note_extra_size(wanted);
        }
        raw.set_generation(inode.generation());
        raw.set_flags(flags);
        if let Some(birth) = birth {
            raw.set_crtime(store::to_disk(birth));
        }
        raw.set_project(project);
        raw.set_mode(inode.mode());
        if matches!(kind, FileType::CharDevice | FileType::BlockDevice) {
            // The kernel's own form: 12 bits of the kind, 20 bits of which one.
            raw.set_device_number(DeviceNumber {
                major: device >> 20,
                minor: device & 0xf_ffff,
            });
        } else {
            *raw.block_area_mut() = *area;
        }
        Ok(())
    })??;
    // The rest, and the checksum.
    store::store(inode, handle, area)
}

/// Gives a new inode the attributes that it has from the beginning: ACLs of its directory, and labels
/// of security modules. What has failed is not undone: see [`undo`].
///
/// # Errors
///
/// `ENOSPC`, what a security module says, errors of the journal.
pub(crate) fn set_attributes(
    handle: &Handle<'_>,
    parent: &Inode<Rext4>,
    new: &NewInode<Rext4>,
    wanted: &Creation<'_, Rext4>,
    acls: &InheritedAcls,
) -> FsResult {
    for (kind, acl) in [
        (AclKind::Default, &acls.default),
        (AclKind::Access, &acls.access),
    ] {
        if let Some(acl) = acl {
            xattr::set_first_acl(new.inode(), handle, kind, acl)?;
        }
        new.cache_acl(kind, acl.as_ref());
    }
    // What goes through the security module comes back as an errno.
    let mut failed = Ok(());
    let labelled = wanted.label(new, parent, |name, value| {
        failed = xattr::set_first_label(new.inode(), handle, name, value);
        failed.map_err(|_| code::EIO)
    });
    failed?;
    Ok(labelled?)
}

/// Has an inode that was just made freed when it is [abandoned](NewInode::abandon): it has no links,
/// and is on the list of orphans. `room` is made before the inode, which would be lost without.
pub(crate) fn undo(
    handle: &Handle<'_>,
    new: &NewInode<Rext4>,
    room: super::orphan::Room,
) -> FsResult {
    let inode = new.inode();
    inode.set_links(0);
    super::orphan::add_within(inode, handle, room)?;
    let root = inode.data().tree.read();
    store::store(inode, handle, &root)
}
