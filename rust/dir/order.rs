// SPDX-License-Identifier: GPL-2.0

//! In which order a directory is read, and how its names are hashed.

use super::block::{corrupt, Blocks, ROOT};
use crate::{
    disk::{
        directory::{DirectoryError, DirectoryProblem},
        features::Feature,
        htree::{
            hash::{HashVersion, Hasher},
            HtreeProblem, Root,
        },
        Corrupt,
    },
    error::{FsError, FsResult, Shown},
};
use kernel::prelude::*;

/// In which order a directory is read.
pub(super) enum Order {
    /// Block by block, from front to back.
    Linear,
    /// By hash, all entries being in one block without an index.
    ///
    /// That is not needed to find them. But once the directory grows it gets an index, and whoever
    /// has it open then would find that positions mean something else.
    OneBlock(Hasher),
    /// By hash, through the index.
    Indexed(Hasher),
}

impl Order {
    /// The order that a directory is in. With an index of an unknown kind it is linear, and with one that is wrong.
    ///
    /// # Errors
    ///
    /// That the index's root can't be read, or that its checksum is wrong.
    pub(super) fn of(blocks: &Blocks<'_>) -> FsResult<Self> {
        if blocks.is_indexed() && blocks.dir().data().has_bad_index() {
            return Ok(Self::Linear);
        }
        Self::to_find(blocks)
    }

    /// In which order a name is looked for: through an index of which only a part is wrong, too.
    ///
    /// # Errors
    ///
    /// As for [`Self::of`].
    pub(super) fn to_find(blocks: &Blocks<'_>) -> FsResult<Self> {
        if blocks.is_indexed() {
            return Ok(root_hash(blocks)?.map_or(Self::Linear, |version| {
                Self::Indexed(hasher(blocks, version))
            }));
        }
        if is_hashed(blocks) {
            let number = blocks.fs().hash.default_version;
            if let Ok(version) = HashVersion::from_number(number) {
                return Ok(Self::OneBlock(hasher(blocks, version)));
            }
        }
        Ok(Self::Linear)
    }
}

/// Whether a directory's positions are hashes, as far as its inode tells. (Those of a directory
/// whose hashes are of an unknown kind are not, but are smaller than any hash's.)
pub(super) fn is_hashed(blocks: &Blocks<'_>) -> bool {
    if blocks.is_indexed() {
        return !blocks.dir().data().has_bad_index();
    }
    blocks.fs().features.has(Feature::DIR_INDEX) && blocks.count() == 1
}

fn hasher(blocks: &Blocks<'_>, version: HashVersion) -> Hasher {
    let settings = &blocks.fs().hash;
    Hasher::new(version, settings.signedness, settings.seed)
}

/// Whether an error is that of an index which is wrong, though its blocks are not (they have their checksums, where there
/// are any): then names are found without it, from now on, with a warning.
pub(super) fn does_without_index(blocks: &Blocks<'_>, error: &FsError) -> bool {
    let (block, wrong) = match error {
        FsError::Corrupt(Corrupt::Htree(wrong)) => (None, wrong),
        FsError::Corrupt(Corrupt::Directory(DirectoryError {
            problem: DirectoryProblem::Index(wrong),
            block,
        })) => (Some(*block), wrong),
        _ => return false,
    };
    match wrong.problem {
        HtreeProblem::Checksum(_) => return false,
        // Anything may be there in place of the index.
        HtreeProblem::NotAnIndex if block != Some(ROOT) => return false,
        _ => {}
    }
    if blocks.dir().data().note_bad_index() {
        pr_warn!(
            "({}): warning: inode {}: {}; it is not used, running e2fsck is recommended\n",
            blocks.dir().super_block().id(),
            blocks.dir().ino(),
            Shown(wrong)
        );
    }
    true
}

/// How an index hashes names; `None`, with a warning, if it is not known how, or if it is wrong.
fn root_hash(blocks: &Blocks<'_>) -> FsResult<Option<HashVersion>> {
    let version = match blocks.index(ROOT)? {
        Ok(root) => root.with(|bytes| {
            Root::from_checked(bytes, blocks.index_format()).map(|root| root.hash_version)
        }),
        Err(error) => Err(error),
    };
    match version {
        Ok(version) => Ok(Some(version)),
        Err(error) => match error.problem {
            HtreeProblem::HashVersion(_) | HtreeProblem::Flags(_) => {
                blocks.fs().warn_once_per_inode(
                    blocks.dir(),
                    "the directory's index is of an unknown kind, and not used",
                );
                Ok(None)
            }
            _ => {
                let error = corrupt(ROOT, DirectoryProblem::Index(error));
                match does_without_index(blocks, &error) {
                    true => Ok(None),
                    false => Err(error),
                }
            }
        },
    }
}
