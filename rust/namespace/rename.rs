// SPDX-License-Identifier: GPL-2.0

//! Names moved and exchanged.
//!
//! What could go wrong is looked at first: that both names are what the VFS takes them for, and that
//! the `..` of a directory that is moved can be read. Then comes what may find no space, and when
//! that is done nothing is left but changes of entries whose blocks are at hand.

use super::{
    add_subdirectory, check_project, check_subdirectories, depth, drop_subdirectory, end, errno,
    remove::{check_removable, lose_link, REMOVE},
    store,
};
use crate::{
    dir::{self, Found},
    error::{euclean, FsError, FsResult},
    inode::{
        self,
        create::{set_attributes, undo, NewContent},
        orphan::Room,
        store::hold,
    },
    journal::credits,
    vfs::{
        buffer::Buffer,
        inode::Inode,
        jbd2::{Credits, Handle, Journal},
        namespace::{Creation, Rename, RenameKind},
        new_inode::NewInode,
    },
    Rext4,
};

/// Does what the VFS asks for.
///
/// # Errors
///
/// `ENOTEMPTY`, `EMLINK`, `EXDEV` where only files of another project may be, `EOPNOTSUPP` where the
/// target could not be freed, `ENOSPC`; nothing was changed then. Damage, errors of the journal.
pub(super) fn rename(rename: &Rename<'_, Rext4>, journal: &Journal) -> FsResult {
    check_project(&rename.to, rename.inode)?;
    match (&rename.kind, rename.target) {
        (RenameKind::Exchange, Some(target)) => exchange(rename, target, journal),
        (RenameKind::Exchange, None) => Err(FsError::Kernel(euclean())),
        // Two names of one inode: both stay.
        (_, Some(target)) if inode::number(target) == inode::number(rename.inode) => Ok(()),
        (RenameKind::Move, _) => relocate(rename, None, journal),
        (RenameKind::Whiteout(wanted), _) => relocate(rename, Some(wanted), journal),
    }
}

/// What is going to change, looked for before anything is.
struct Entries {
    /// The old name.
    from: Found,
    /// The new name, where it is there.
    to: Option<Found>,
    /// `..` of the inode that is moved, where it comes to stand for another directory.
    parent: Option<Found>,
    /// The blocks of the inodes and directories, so that they need not be read any more.
    _held: ([Buffer; 3], Option<Buffer>),
}

/// Checks that the names are what the VFS takes them for.
fn find(rename: &Rename<'_, Rext4>) -> FsResult<Entries> {
    let from = dir::entry(&rename.from, rename.from_name, inode::number(rename.inode))?;
    let to = match rename.target {
        Some(target) => Some(dir::entry(
            &rename.to,
            rename.to_name,
            inode::number(target),
        )?),
        None => None,
    };
    let parent = parent_to_change(rename, rename.inode)?;
    let held = [hold(&rename.from)?, hold(&rename.to)?, hold(rename.inode)?];
    Ok(Entries {
        from,
        to,
        parent,
        _held: (held, rename.target.map(hold).transpose()?),
    })
}

/// The entry `..` of an inode, where it has to change.
fn parent_to_change(rename: &Rename<'_, Rext4>, inode: &Inode<Rext4>) -> FsResult<Option<Found>> {
    if !inode.is_directory() || rename.is_within_directory() {
        return Ok(None);
    }
    dir::parent_entry(inode).map(Some)
}

/// Moves a name, over what is there, and leaves a new inode or nothing in its place.
fn relocate(
    rename: &Rename<'_, Rext4>,
    whiteout: Option<&Creation<'_, Rext4>>,
    journal: &Journal,
) -> FsResult {
    let entries = find(rename)?;
    if rename.target.is_some() && rename.inode.is_regular() {
        inode::delayed::start_writing(rename.inode);
    }
    match rename.target {
        Some(target) => {
            if target.is_directory() && !dir::is_empty(target)? {
                return Err(errno(crate::bindings::ENOTEMPTY));
            }
            check_removable(target)?;
        }
        None if entries.parent.is_some() => check_subdirectories(&rename.to)?,
        None => {}
    }
    // The old name; the target and the new name; the moved inode and its `..`.
    let mut needed = Credits::new(REMOVE + REMOVE + credits::INODE + credits::CHANGE_ENTRY);
    if rename.target.is_none() {
        needed = needed.plus(credits::add_entry(depth(&rename.to)?));
    }
    let group = rename.from.super_block().data().options().new_group;
    let begun = whiteout
        .map(|wanted| Ok::<_, FsError>((wanted, wanted.begin(&rename.from, group)?, Room::new()?)))
        .transpose()?;
    if let Some((_, (unnumbered, _), _)) = &begun {
        inode::create::prepare(&rename.from, unnumbered)?;
        needed = needed.plus(Credits::new(credits::CREATE_INODE));
    }
    let room = rename.target.map(|_| Room::new()).transpose()?;
    let handle = journal.start(needed)?;
    let (mut new, mut labelled) = (None, Ok(()));
    if let Some((wanted, (unnumbered, acls), room)) = begun {
        let content = NewContent {
            links: 1,
            text: None,
            device: 0,
        };
        let made = inode::create::create(&handle, &rename.from, unnumbered, &content)?;
        labelled = set_attributes(&handle, &rename.from, &made, wanted, &acls);
        new = Some((made, room));
    }
    let done = labelled
        .and_then(|()| take_place(rename, entries.to.as_ref().zip(room), &handle))
        .and_then(|()| leave(rename, entries, new.as_ref().map(|(new, _)| new), &handle));
    match (done, new) {
        (Ok(()), new) => {
            end(handle, &[&*rename.from, &*rename.to])?;
            if let Some((new, _)) = new {
                drop(new.unlock());
            }
            Ok(())
        }
        (Err(e), None) => Err(e),
        (Err(e), Some((new, room))) => {
            give_up(new, handle, room)?;
            Err(e)
        }
    }
}

/// Has a whiteout that was not needed freed.
fn give_up(new: NewInode<Rext4>, handle: Handle<'_>, room: Room) -> FsResult {
    undo(&handle, &new, room)?;
    handle.stop()?;
    new.abandon();
    Ok(())
}

/// Has the new name stand for the inode. The only part of it that can find no space comes first. Where
/// the name is there, `over` has its entry, and what [`lose_link`] needs.
fn take_place(
    rename: &Rename<'_, Rext4>,
    over: Option<(&Found, Room)>,
    handle: &Handle<'_>,
) -> FsResult {
    let (Some(target), Some((entry, room))) = (rename.target, over) else {
        return dir::insert(&rename.to, handle, rename.to_name, rename.inode);
    };
    dir::replace(&rename.to, handle, rename.to_name, entry, rename.inode)?;
    lose_link(target, handle, room)?;
    if target.is_directory() {
        drop_subdirectory(&rename.to);
    }
    Ok(())
}

/// Takes the old name away, or gives it to `new`, and sets what has changed with the move.
fn leave(
    rename: &Rename<'_, Rext4>,
    entries: Entries,
    new: Option<&NewInode<Rext4>>,
    handle: &Handle<'_>,
) -> FsResult {
    let Entries {
        mut from, parent, ..
    } = entries;
    if rename.target.is_none() && rename.is_within_directory() {
        // There are two names now.
        from = dir::entry_again(&rename.from, rename.from_name, from)
            .map_err(FsError::in_the_midst)?;
    }
    match new {
        Some(new) => dir::replace(&rename.from, handle, rename.from_name, &from, new.inode())?,
        None => dir::remove(&rename.from, handle, rename.from_name, &from)?,
    }
    if let Some(parent) = parent {
        dir::set_parent(rename.inode, handle, &parent, inode::number(&rename.to))?;
        drop_subdirectory(&rename.from);
        add_subdirectory(&rename.to);
    }
    rename.inode.note_change();
    store(rename.inode, handle)?;
    store_directories(rename, handle)
}

/// Notes that the directories were changed, and writes their inodes.
fn store_directories(rename: &Rename<'_, Rext4>, handle: &Handle<'_>) -> FsResult {
    rename.from.note_data_change();
    store(&rename.from, handle)?;
    if !rename.is_within_directory() {
        rename.to.note_data_change();
        store(&rename.to, handle)?;
    }
    Ok(())
}

/// Exchanges two names. Needs no space.
fn exchange(rename: &Rename<'_, Rext4>, target: &Inode<Rext4>, journal: &Journal) -> FsResult {
    let (one, other) = (rename.inode, target);
    let (from, to) = (&rename.from, &rename.to);
    let Entries {
        from: own,
        to: Some(others),
        parent,
        _held: _blocks,
    } = find(rename)?
    else {
        return Err(FsError::Kernel(euclean()));
    };
    let others_parent = parent_to_change(rename, other)?;
    check_project(from, other)?;
    if !rename.is_within_directory() {
        match (one.is_directory(), other.is_directory()) {
            (true, false) => check_subdirectories(to)?,
            (false, true) => check_subdirectories(from)?,
            _ => {}
        }
    }
    // Two entries, two `..`, two inodes, two directories.
    let entries = 4 * credits::CHANGE_ENTRY;
    let handle = journal.start(Credits::new(entries + 4 * credits::INODE))?;
    dir::replace(from, &handle, rename.from_name, &own, other)?;
    dir::replace(to, &handle, rename.to_name, &others, one)?;
    if let Some(parent) = parent {
        dir::set_parent(one, &handle, &parent, inode::number(to))?;
    }
    if let Some(parent) = others_parent {
        dir::set_parent(other, &handle, &parent, inode::number(from))?;
    }
    // For two directories nothing is counted: a count that is full would not come back.
    if one.is_directory() != other.is_directory() && !rename.is_within_directory() {
        let (loses, gets) = if one.is_directory() {
            (from, to)
        } else {
            (to, from)
        };
        drop_subdirectory(loses);
        add_subdirectory(gets);
    }
    for inode in [one, other] {
        inode.note_change();
        store(inode, &handle)?;
    }
    store_directories(rename, &handle)?;
    end(handle, &[&**from, &**to])
}
