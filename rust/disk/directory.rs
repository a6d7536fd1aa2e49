// SPDX-License-Identifier: GPL-2.0

//! What can be wrong with a directory as a whole: what none of its blocks shows alone.

use super::dirent::DirError;
use super::htree::HtreeError;
use super::units::{InodeNumber, LogicalBlock};
use core::fmt;

/// What is wrong with a directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DirectoryProblem {
    /// A block lies nowhere: directories have no holes.
    Hole,
    /// A block of the index or a leaf lies behind the directory's end.
    Outside,
    /// A block of entries.
    Entries(DirError),
    /// A block of the index.
    Index(HtreeError),
    /// A name with a slash or a zero byte in it, in the entry with this inode.
    Name(InodeNumber),
    /// An entry leads to an inode that no directory can hold.
    Inode(InodeNumber),
    /// An entry leads to an inode that is not in use.
    Unused(InodeNumber),
    /// A name lies in a leaf where the index has no names with its hash.
    Misplaced {
        /// The hash of the name.
        hash: u32,
        /// The lowest hash that the index has in this leaf.
        start: u32,
        /// The lowest hash that it has in the next leaf.
        end: Option<u32>,
    },
    /// A name is there twice.
    Twice,
}

/// What is wrong with a directory, and in which of its blocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DirectoryError {
    /// The block of the directory.
    pub block: LogicalBlock,
    /// What is wrong.
    pub problem: DirectoryProblem,
}

impl fmt::Display for DirectoryError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "directory, block {}: ", self.block)?;
        match &self.problem {
            DirectoryProblem::Hole => f.write_str("is a hole"),
            DirectoryProblem::Outside => f.write_str("lies behind the end"),
            DirectoryProblem::Entries(error) => fmt::Display::fmt(error, f),
            DirectoryProblem::Index(error) => fmt::Display::fmt(error, f),
            DirectoryProblem::Name(inode) => {
                write!(f, "bad character in the name of inode {inode}")
            }
            DirectoryProblem::Inode(inode) => write!(f, "inode {inode} can't be in a directory"),
            DirectoryProblem::Unused(inode) => write!(f, "inode {inode} is not in use"),
            DirectoryProblem::Misplaced {
                hash,
                start,
                end: Some(end),
            } => write!(
                f,
                "hash {hash:#010x} is not within {start:#010x} and {end:#010x}"
            ),
            DirectoryProblem::Misplaced { hash, start, .. } => {
                write!(f, "hash {hash:#010x} is less than {start:#010x}")
            }
            DirectoryProblem::Twice => f.write_str("a name is there twice"),
        }
    }
}
