// SPDX-License-Identifier: GPL-2.0

//! What an inode's data is, and what its 60 bytes of `i_block` hold.

use super::{Inode, InodeError, InodeFlags, BLOCK_AREA_SIZE};
use crate::disk::file_type::FileType;
use crate::disk::layout::Layout;
use zerocopy::SplitByteSlice;

/// The number of a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DeviceNumber {
    /// The kind of device, 12 bits.
    pub major: u32,
    /// Which one of its kind, 20 bits.
    pub minor: u32,
}

impl DeviceNumber {
    /// The older form, 8 bits each.
    const fn from_old(number: u32) -> Self {
        Self {
            major: (number >> 8) & 0xff,
            minor: number & 0xff,
        }
    }

    /// The newer form: 8 bits of the minor number around 12 of the major one.
    const fn from_new(number: u32) -> Self {
        Self {
            major: (number >> 8) & 0xfff,
            minor: (number & 0xff) | ((number >> 12) & 0xf_ff00),
        }
    }

    /// Whether the older form can hold it.
    pub(super) const fn is_old(self) -> bool {
        self.major < 256 && self.minor < 256
    }

    pub(super) const fn to_old(self) -> u32 {
        ((self.major & 0xff) << 8) | (self.minor & 0xff)
    }

    pub(super) const fn to_new(self) -> u32 {
        (self.minor & 0xff) | ((self.major & 0xfff) << 8) | ((self.minor & 0xf_ff00) << 12)
    }
}

/// What an inode's data is and where it lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Content<'a> {
    /// In blocks, found through the extent tree whose root these bytes are.
    Extents(&'a [u8; BLOCK_AREA_SIZE]),
    /// In blocks, found through a block map: the format before extents.
    BlockMap,
    /// In the inode itself: in `i_block`, and what does not fit in an extended attribute.
    Inline,
    /// This text, of a symbolic link.
    Symlink(&'a [u8]),
    /// None: the inode stands for a device.
    Device(DeviceNumber),
    /// None: a pipe or a socket.
    Nothing,
}

impl<B: SplitByteSlice> Inode<B> {
    /// What the inode's data is.
    ///
    /// # Errors
    ///
    /// [`InodeError::Mode`], [`InodeError::SymlinkText`].
    pub fn content(&self, layout: &Layout) -> Result<Content<'_>, InodeError> {
        let flags = self.flags();
        let in_blocks = || {
            if flags.has(InodeFlags::INLINE_DATA) {
                Content::Inline
            } else if flags.has(InodeFlags::EXTENTS) {
                Content::Extents(self.block_area())
            } else {
                Content::BlockMap
            }
        };
        Ok(match self.file_type()? {
            FileType::Regular | FileType::Directory => in_blocks(),
            FileType::Symlink if self.is_fast_symlink(layout) => {
                Content::Symlink(self.symlink_text(layout)?)
            }
            FileType::Symlink => in_blocks(),
            FileType::CharDevice | FileType::BlockDevice => Content::Device(self.device_number()),
            FileType::Fifo | FileType::Socket => Content::Nothing,
        })
    }

    /// Whether the text of this symbolic link lies in `i_block`: no space on disk is used but
    /// perhaps for a block of extended attributes.
    ///
    /// The flag for extents is not asked, as in C ext4: old programs did not care about it here.
    fn is_fast_symlink(&self, layout: &Layout) -> bool {
        if self.flags().has(InodeFlags::INLINE_DATA) {
            return false;
        }
        let xattr_sectors = match self.xattr_block(layout) {
            // A cluster has at most 2^31 bytes.
            Some(_) => u64::from(layout.blocks_per_cluster()) << (layout.block_size().bits() - 9),
            None => 0,
        };
        self.sectors(layout) == xattr_sectors
    }

    fn symlink_text(&self, layout: &Layout) -> Result<&[u8], InodeError> {
        let size = self.size(layout);
        // The text is followed by a zero byte.
        usize::try_from(size)
            .ok()
            .filter(|&size| size > 0)
            .and_then(|size| self.block_area().split_at_checked(size))
            .filter(|(text, rest)| !text.contains(&0) && rest.first() == Some(&0))
            .map(|(text, _)| text)
            .ok_or(InodeError::SymlinkText { size })
    }

    /// The older form lies in the first word, the newer one in the second if the first is zero.
    fn device_number(&self) -> DeviceNumber {
        let word = |start: usize| {
            let bytes = self.block_area().get(start..).unwrap_or_default();
            bytes
                .first_chunk()
                .map_or(0, |word| u32::from_le_bytes(*word))
        };
        match word(0) {
            0 => DeviceNumber::from_new(word(4)),
            old => DeviceNumber::from_old(old),
        }
    }
}
