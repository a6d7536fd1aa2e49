// SPDX-License-Identifier: GPL-2.0

//! Where things lie in the file system on a device.

use super::primary::Primary;
use crate::{
    disk::{features::Feature, layout::Layout, Corrupt},
    error::FsResult,
    group,
    vfs::block_device::BlockDevice,
};

/// The geometry of a file system.
pub(super) struct Geometry {
    pub(super) layout: Layout,
    /// How many blocks the super block says to be kept for more descriptors though they are not: no resize inode
    /// has them, and other metadata lies there.
    pub(super) not_kept: u32,
}

/// Reads it.
///
/// # Errors
///
/// [`Corrupt`] if the fields of the super block do not go together; `EIO`.
pub(super) fn read(device: &BlockDevice, primary: &Primary) -> FsResult<Geometry> {
    let (layout, has_resize_inode) = primary.with(|superblock| {
        let has_resize_inode = superblock.features().has(Feature::RESIZE_INODE);
        (superblock.layout(), has_resize_inode)
    })?;
    let mut layout = layout.map_err(Corrupt::from)?;
    let mut not_kept = 0;
    if !has_resize_inode
        && layout.kept_for_descriptors() > 0
        && group::is_kept_in_name_only(device, &layout)?
    {
        not_kept = layout.kept_for_descriptors();
        layout.keep_nothing();
    }
    Ok(Geometry { layout, not_kept })
}
