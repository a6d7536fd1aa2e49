// SPDX-License-Identifier: GPL-2.0

//! When there is no room behind the super block for more descriptors, those of new groups lie in these
//! groups: the feature `meta_bg`. The resize inode has nothing left to keep then, and goes.

use super::{
    refuse,
    resize_inode::{bad, OnDisk},
};
use crate::{
    disk::{
        resize_inode::{clear_top, ResizeInodeError},
        superblock::Size,
        units::PhysicalBlock,
    },
    error::FsResult,
    journal::credits,
    mount::Filesystem,
    vfs::{
        jbd2::{Handle, Journal},
        super_block::SuperBlock,
    },
    Rext4,
};
use kernel::prelude::*;

/// Has new blocks of descriptors lie in the groups that they describe, in a transaction of its own.
///
/// # Errors
///
/// `EINVAL`, said in the log, if the resize inode is not as it should be. Those of the journal.
pub(super) fn begin(
    sb: &SuperBlock<Rext4>,
    fs: &Filesystem,
    journal: &Journal,
    size: &Size,
) -> FsResult {
    if size.kept_for_descriptors != 0 {
        let why = "blocks are kept for more descriptors that nobody has";
        return Err(refuse(sb, EINVAL, why));
    }
    let inode = match size.has_resize_inode {
        true => Some(OnDisk::read(sb)?),
        false => None,
    };
    if let Some(inode) = &inode {
        // It has the block of blocks of numbers, and no numbers in there.
        let in_use = inode
            .top
            .with(|numbers| numbers.iter().any(|&byte| byte != 0));
        let block = u64::from(fs.layout.block_size().bytes() / 512);
        if in_use || inode.sectors != block {
            return Err(bad(sb, ResizeInodeError::Sectors(inode.sectors)));
        }
    }
    let handle = journal.start(credits::BEGIN_META_GROUPS)?;
    let mut size = *size;
    size.first_meta_group = Some(fs.layout.first_meta_group());
    size.has_resize_inode = false;
    // What can fail comes before anything is changed.
    fs.edit_primary(&handle, |_| ())?;
    if let Some(inode) = inode {
        give_up(fs, &handle, inode)?;
    }
    fs.edit_primary(&handle, |superblock| superblock.set_size(&size))?;
    handle.stop()?;
    pr_info!("({}): new groups have their own descriptors\n", sb.id());
    Ok(())
}

/// Frees what the resize inode has.
///
/// # Errors
///
/// Damage, `EIO`, with nothing changed. Those of the journal.
fn give_up(fs: &Filesystem, handle: &Handle<'_>, inode: OnDisk) -> FsResult {
    inode.prepare(handle)?;
    let at = PhysicalBlock(inode.top.block());
    fs.groups()?.free(handle, at, 1)?;
    inode.edit(fs, handle, 0, |raw| clear_top(raw.block_area_mut()))?;
    Ok(handle.forget(inode.top)?)
}
