// SPDX-License-Identifier: GPL-2.0

//! What can go wrong inside the file system, before it becomes an errno.

use crate::{
    disk::{block_map::MapError, Corrupt},
    extent::TreeError,
};
use kernel::{
    error::{code, Error},
    fmt,
};

/// Why an operation failed.
///
/// Code below the VFS entry points passes this on with `?`. The entry point
/// turns it into an errno with [`crate::mount::Filesystem::errno`], which is the
/// one place where damage is reported and the `errors=` policy is applied.
#[derive(Clone, Copy)]
pub(crate) enum FsError {
    /// The kernel said no: out of memory, out of space, an I/O error …
    Kernel(Error),
    /// What is on the disk can't be right.
    Corrupt(Corrupt),
    /// The kernel said no in the midst of a change: what was done of it gets to the disk without the rest.
    Torn(Error),
}

/// The result of an operation inside the file system.
pub(crate) type FsResult<T = ()> = core::result::Result<T, FsError>;

impl From<Error> for FsError {
    fn from(e: Error) -> Self {
        Self::Kernel(e)
    }
}

impl From<Corrupt> for FsError {
    fn from(c: Corrupt) -> Self {
        Self::Corrupt(c)
    }
}

impl From<TreeError> for FsError {
    fn from(e: TreeError) -> Self {
        match e {
            TreeError::Corrupt(node) => Self::Corrupt(node.into()),
            TreeError::OutOfRange(_) | TreeError::TooDeep => Self::Kernel(code::EFBIG),
            // The tree is not what its own lookup said a moment ago, under the same lock.
            TreeError::Occupied(_) | TreeError::Hole(_) => Self::Kernel(euclean()),
        }
    }
}

impl From<MapError> for FsError {
    fn from(e: MapError) -> Self {
        match e {
            MapError::Outside { .. } | MapError::Short(_) => Self::Corrupt(e.into()),
            MapError::TooFar(_) => Self::Kernel(code::EFBIG),
            // The map is not what its own lookup said a moment ago, under the same lock.
            MapError::Occupied(_) => Self::Kernel(euclean()),
        }
    }
}

impl From<kernel::alloc::AllocError> for FsError {
    fn from(_: kernel::alloc::AllocError) -> Self {
        Self::Kernel(code::ENOMEM)
    }
}

/// `EOPNOTSUPP`, which the kernel crate does not name.
pub(crate) fn eopnotsupp() -> Error {
    Error::from_errno(-(crate::bindings::EOPNOTSUPP as i32))
}

/// `EDQUOT`: the owner, the group or the project has no more.
pub(crate) fn edquot() -> Error {
    Error::from_errno(-(crate::bindings::EDQUOT as i32))
}

/// `EUCLEAN`, "structure needs cleaning": what a damaged file system answers.
pub(crate) fn euclean() -> Error {
    Error::from_errno(-(crate::bindings::EUCLEAN as i32))
}

impl FsError {
    /// The file system is full.
    pub(crate) const NO_SPACE: Self = Self::Kernel(code::ENOSPC);

    /// The file system can't do that (yet).
    pub(crate) fn unsupported() -> Self {
        Self::Kernel(eopnotsupp())
    }

    /// The same error, met in the midst of a change.
    pub(crate) fn in_the_midst(self) -> Self {
        match self {
            Self::Kernel(e) => Self::Torn(e),
            other => other,
        }
    }

    /// Whether this is exactly the errno `e`.
    pub(crate) fn is(&self, e: Error) -> bool {
        matches!(self, Self::Kernel(own) if *own == e)
    }
}

impl fmt::Display for FsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Kernel(e) | Self::Torn(e) => write!(f, "error {}", e.to_errno()),
            Self::Corrupt(c) => core::fmt::Display::fmt(c, f),
        }
    }
}

/// Anything that the on-disk format library can show, for the kernel's own formatting.
pub(crate) struct Shown<'a, T>(pub(crate) &'a T);

impl<T: core::fmt::Display> fmt::Display for Shown<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        core::fmt::Display::fmt(self.0, f)
    }
}
