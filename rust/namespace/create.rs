// SPDX-License-Identifier: GPL-2.0

//! New names: of new inodes, and of such that have one or none already.

use super::{
    add_subdirectory, check_project, check_subdirectories, depth, end, errno, store, MOST_LINKS,
};
use crate::{
    dir,
    disk::units::LogicalBlock,
    error::{euclean, FsError, FsResult},
    inode::{
        self,
        create::{is_short_link, prepare, set_attributes, undo, NewContent},
        orphan::{self, Room},
        store::hold,
    },
    journal::credits,
    vfs::{
        inode::Inode,
        jbd2::{Credits, Handle, Journal},
        namespace::{Creation, Directory},
        new_inode::NewInode,
    },
    Rext4,
};
use kernel::error::code;

/// What a new inode has beside what `wanted` says, given its number of links.
fn content<'a>(wanted: &'a Creation<'_, Rext4>, links: u32) -> NewContent<'a> {
    NewContent {
        links,
        text: wanted.link_text(),
        device: wanted.device_number(),
    }
}

/// Makes an inode with a name.
///
/// # Errors
///
/// `ENOSPC`, `EMLINK`, `ENAMETOOLONG` for the text of a link; damage, errors of the journal. No name
/// was made then.
pub(super) fn create(
    dir: &Directory<'_, Rext4>,
    name: &[u8],
    wanted: &Creation<'_, Rext4>,
    journal: &Journal,
) -> FsResult<NewInode<Rext4>> {
    let size = dir.super_block().data().layout.block_size().size();
    let long_text = wanted.link_text().filter(|text| !is_short_link(text));
    // A zero byte follows it.
    if long_text.is_some_and(|text| text.len() >= size) {
        return Err(errno(crate::bindings::ENAMETOOLONG));
    }
    let is_directory = wanted.is_directory();
    if is_directory {
        check_subdirectories(dir)?;
    }
    let (unnumbered, acls) = wanted.begin(dir, dir.super_block().data().options().new_group)?;
    prepare(dir, &unnumbered)?;
    let mut needed = credits::add_entry(depth(dir)?).plus(Credits::new(credits::CREATE_INODE));
    if is_directory || long_text.is_some() {
        needed = needed.plus(credits::add_block(0));
    }
    let room = Room::new()?;
    let _held = hold(dir)?;
    let handle = journal.start(needed)?;
    let content = content(wanted, if is_directory { 2 } else { 1 });
    let new = inode::create::create(&handle, dir, unnumbered, &content)?;
    let named = || -> FsResult {
        set_attributes(&handle, dir, &new, wanted, &acls)?;
        if is_directory {
            dir::make_first(&new, &handle, inode::number(dir))?;
        } else if let Some(text) = long_text {
            write_text(&new, &handle, text)?;
        }
        dir::insert(dir, &handle, name, new.inode())?;
        if is_directory {
            add_subdirectory(dir);
        }
        dir.note_data_change();
        store(dir, &handle)
    };
    match named() {
        Ok(()) => {
            end(handle, &[&**dir])?;
            Ok(new)
        }
        Err(e) => {
            give_up(new, handle, room)?;
            Err(e)
        }
    }
}

/// Has an inode that did not get its name freed.
fn give_up(new: NewInode<Rext4>, handle: Handle<'_>, room: Room) -> FsResult {
    undo(&handle, &new, room)?;
    handle.stop()?;
    new.abandon();
    Ok(())
}

/// Puts the text of a symbolic link into a block.
fn write_text(new: &NewInode<Rext4>, handle: &Handle<'_>, text: &[u8]) -> FsResult {
    let buffer = dir::add_block(new.inode(), handle, LogicalBlock(0), || {
        new.set_size(text.len() as i64);
    })?;
    // All zeros until now.
    handle.write(&buffer)?.edit(|bytes| {
        for (to, from) in bytes.iter_mut().zip(text) {
            *to = *from;
        }
    })?;
    Ok(())
}

/// Makes a file without a name, which is an orphan until it gets one.
///
/// # Errors
///
/// `EPERM` if the directory was removed meanwhile, which the VFS does not ask about here. Else as for
/// [`create`].
pub(super) fn create_unnamed(
    dir: &Inode<Rext4>,
    wanted: &Creation<'_, Rext4>,
    journal: &Journal,
) -> FsResult<NewInode<Rext4>> {
    if dir.links() == 0 {
        return Err(FsError::Kernel(code::EPERM));
    }
    let (unnumbered, acls) = wanted.begin(dir, dir.super_block().data().options().new_group)?;
    prepare(dir, &unnumbered)?;
    // Before there is an inode that would be lost.
    let room = Room::new()?;
    let handle = journal.start(Credits::new(credits::CREATE_INODE))?;
    let new = inode::create::create(&handle, dir, unnumbered, &content(wanted, 0))?;
    orphan::add_within(new.inode(), &handle, room)?;
    let done = set_attributes(&handle, dir, &new, wanted, &acls);
    handle.stop()?;
    match done {
        Ok(()) => Ok(new),
        Err(e) => {
            new.abandon();
            Err(e)
        }
    }
}

/// Gives an inode another name, or its first one.
///
/// # Errors
///
/// `EMLINK`, `EXDEV` where only files of another project may be, `ENOSPC`; damage, errors of the
/// journal. Nothing was changed then, unless it is [`FsError::Torn`]: the orphan before one in the list can't be read.
pub(super) fn link(
    inode: &Inode<Rext4>,
    dir: &Directory<'_, Rext4>,
    name: &[u8],
    journal: &Journal,
) -> FsResult {
    if inode.links() >= MOST_LINKS {
        return Err(errno(crate::bindings::EMLINK));
    }
    if inode.is_directory() {
        return Err(FsError::Kernel(euclean()));
    }
    check_project(dir, inode)?;
    let _held = (hold(dir)?, hold(inode)?);
    let own = Credits::new(credits::INODE + credits::ORPHAN);
    let handle = journal.start(credits::add_entry(depth(dir)?).plus(own))?;
    dir::insert(dir, &handle, name, inode)?;
    let is_first = inode.links() == 0;
    inode.set_links(inode.links() + 1);
    inode.note_change();
    store(inode, &handle)?;
    if is_first && !inode.data().is_uncut() {
        // Else it stays an orphan for what is left to be cut behind its end.
        orphan::remove(inode, &handle)?;
    }
    dir.note_data_change();
    store(dir, &handle)?;
    end(handle, &[&**dir])
}
