// SPDX-License-Identifier: GPL-2.0

//! Extent trees: where the blocks of a file lie on the device, and how that is changed.
//!
//! The format of a node is [`crate::disk::extent`]; here are the algorithms on whole trees. They
//! reach nodes only through [`NodeStore`] and [`NodeStoreMut`], so that the same code runs over
//! the kernel's buffers and journal, and over plain memory in tests.
//!
//! | operation | what it does |
//! |---|---|
//! | [`lookup()`] | the extent that holds a block, or the hole around it |
//! | [`next_extent`] | the first extent that ends behind a block |
//! | [`insert()`] | adds an extent in a hole |
//! | [`find_gap`] | the same in two steps: what is there, and then to add something there |
//! | [`convert()`] | makes unwritten blocks written, or the other way round |
//! | [`replace()`] | has blocks mapped to other ones |
//! | [`remove()`] | removes what is mapped in a range, from its end on |
//! | [`shift_down`], [`shift_up`] | move what is behind a place to other logical blocks |
//!
//! [`cache`] keeps what was looked up. It is right because each operation tells the store what it is
//! about to change ([`NodeStoreMut::forget`]).
//!
//! # What a tree must be
//!
//! What is in the format, and more: an operation finds and leaves a tree in which each node's
//! first entry starts where its parent's entry says, and in which no node but the root is empty.
//! (Empty leaves are accepted where they are found, since the kernel accepts them as well.)
//!
//! # How a tree is changed
//!
//! All goes through one primitive in `splice.rs`: a few neighbouring entries of one leaf are
//! replaced by a few others. Each call of it has three phases, and only the last one changes the
//! tree:
//!
//! 1. it looks along the path which nodes are full, and so how many blocks are needed;
//! 2. it allocates all of them and asks for the right to change each node that will change;
//! 3. it changes nodes, for which nothing is left that can fail but a journal that is broken
//!    already.
//!
//! So a full disk leaves the tree as it was. [`credits`] says how many nodes that can be.
//!
//! # Locks
//!
//! None here. The caller has the inode's tree for itself while it changes it, and keeps writers
//! out while it reads: a reader-writer semaphore in the inode.

pub mod cache;
#[cfg(any(CONFIG_KUNIT = "y", feature = "testing"))]
pub mod check;
mod convert;
pub mod credits;
mod insert;
// What `kunit_tests` makes is not safe code.
#[cfg(CONFIG_KUNIT = "y")]
#[allow(unsafe_code)]
mod kunit;
mod lookup;
#[cfg(any(CONFIG_KUNIT = "y", feature = "testing"))]
pub mod memory;
mod narrow;
mod path;
mod remove;
mod replace;
mod shift;
mod splice;
mod store;

pub use convert::convert;
pub use insert::{find_gap, insert, Gap, Spot};
pub use lookup::{lookup, next_extent, Hole, Mapping};
pub use narrow::narrow;
pub use remove::remove;
pub use replace::replace;
pub use shift::{shift_down, shift_up, split};
pub use store::{NodeStore, NodeStoreMut};

use core::fmt;

use crate::disk::extent::{Extent, Node, NodeError, NodeMut, Place, ROOT_SIZE};
use crate::disk::units::LogicalBlock;

/// Why an operation on a tree failed, apart from the errors of its store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TreeError {
    /// A node is damaged.
    Corrupt(NodeError),
    /// A block or a range was given that is not below the last logical block.
    OutOfRange(LogicalBlock),
    /// There was to be a hole, and there is this extent.
    Occupied(Extent),
    /// There was to be an extent, and there is a hole at this block.
    Hole(LogicalBlock),
    /// The tree would need more levels than the format has. Nothing was changed.
    TooDeep,
}

impl From<NodeError> for TreeError {
    fn from(error: NodeError) -> Self {
        Self::Corrupt(error)
    }
}

impl fmt::Display for TreeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Corrupt(error) => fmt::Display::fmt(error, f),
            Self::OutOfRange(block) => write!(f, "logical block {block} is out of range"),
            Self::Occupied(extent) => write!(
                f,
                "logical blocks {}+{} are mapped already",
                extent.logical(),
                extent.len()
            ),
            Self::Hole(block) => write!(f, "logical block {block} is not mapped"),
            Self::TooDeep => f.write_str("the extent tree has all the levels it can have"),
        }
    }
}

/// How far an operation came that is done in steps.
///
/// Each step leaves a valid tree, so that the caller can close its transaction in between.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Progress {
    /// There is nothing left to do.
    Done,
    /// The limit was reached. What [`convert()`] and [`shift_down`] have left to do starts here,
    /// what [`remove()`] and [`shift_up`] have left to do ends here.
    More(LogicalBlock),
}

/// Makes `root`, the [`ROOT_SIZE`] bytes of an inode's `i_block`, an empty tree.
pub fn format_root(root: &mut [u8; ROOT_SIZE]) {
    // Cannot fail: there is room for four entries.
    let _ = NodeMut::format(root, Place::Root, 0);
}

/// The number of levels below the root, which [`credits`] depends on.
///
/// # Errors
///
/// The root is damaged.
pub fn depth<S: NodeStore>(store: &S) -> Result<u16, S::Error> {
    store
        .with_root(|root| Node::parse(root, Place::Root).map(|node| node.depth()))
        .map_err(|error| TreeError::from(error).into())
}
