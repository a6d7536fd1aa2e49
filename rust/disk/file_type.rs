// SPDX-License-Identifier: GPL-2.0

//! The types of files, as an inode and as a directory entry hold them.
//!
//! Sources: `i_mode` in `Documentation/filesystems/ext4/inodes.rst` and `file_type` in
//! `Documentation/filesystems/ext4/directory.rst`.

/// The type of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileType {
    /// A regular file.
    Regular,
    /// A directory.
    Directory,
    /// A character device.
    CharDevice,
    /// A block device.
    BlockDevice,
    /// A named pipe.
    Fifo,
    /// A socket.
    Socket,
    /// A symbolic link.
    Symlink,
}

/// All types, with the upper four bits of the mode.
const TYPES: [(FileType, u16); 7] = [
    (FileType::Regular, 0o100_000),
    (FileType::Directory, 0o040_000),
    (FileType::CharDevice, 0o020_000),
    (FileType::BlockDevice, 0o060_000),
    (FileType::Fifo, 0o010_000),
    (FileType::Socket, 0o140_000),
    (FileType::Symlink, 0o120_000),
];

/// The bits of the mode that hold the type.
const MODE_MASK: u16 = 0o170_000;

impl FileType {
    /// The type that the upper four bits of a mode stand for, or `None`.
    pub fn of_mode(mode: u16) -> Option<Self> {
        TYPES
            .iter()
            .find(|(_, bits)| *bits == mode & MODE_MASK)
            .map(|(kind, _)| *kind)
    }

    /// The type that a number in a directory entry stands for, or `None` for "unknown".
    pub fn of_entry(number: u8) -> Option<Self> {
        TYPES
            .iter()
            .map(|(kind, _)| *kind)
            .find(|kind| kind.entry_number() == number)
    }

    /// The number that stands for it in a directory entry.
    pub const fn entry_number(self) -> u8 {
        match self {
            Self::Regular => 1,
            Self::Directory => 2,
            Self::CharDevice => 3,
            Self::BlockDevice => 4,
            Self::Fifo => 5,
            Self::Socket => 6,
            Self::Symlink => 7,
        }
    }
}
