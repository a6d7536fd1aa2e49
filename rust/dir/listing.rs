// SPDX-License-Identifier: GPL-2.0

//! The names of a stretch of hashes, sorted.
//!
//! A leaf holds the names of a range of hashes, in any order. Here they are collected, and those of
//! the leaves that go on with the same hash, and sorted. This is done anew whenever somebody reads
//! on, so that nothing has to be remembered that a change of the directory would make wrong; but for
//! several leaves, see [`Listing::is_long`], it would take too long.

use super::{
    block::{corrupt, Blocks, ROOT},
    position::{DOT, DOT_DOT},
    sort::{sort_by, AT_ONCE},
};
use crate::{
    disk::{
        directory::DirectoryProblem,
        dirent::Entry,
        features::Feature,
        file_type::FileType,
        htree::{
            hash::{Hasher, NameHash},
            search::Path,
        },
        units::{InodeNumber, LogicalBlock},
    },
    error::{FsError, FsResult},
    mount::Filesystem,
    vfs::readdir::{pause, EntryType},
};
use core::ops::Range;
use kernel::prelude::*;

/// What entries are sorted by: as there may be many names with one hash, by name in the end.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Key<'a> {
    /// The hash of the name, or what stands for it: see [`DOT`].
    pub(super) hash: NameHash,
    /// The name.
    pub(super) name: &'a [u8],
}

/// An entry, without its name.
struct Item {
    hash: NameHash,
    /// Where the name lies in [`Listing::names`].
    name: Range<usize>,
    inode: InodeNumber,
    kind: EntryType,
}

/// The type of an entry as the VFS calls it.
pub(super) fn entry_type(blocks: &Blocks<'_>, entry: &Entry<'_>) -> EntryType {
    if !blocks.fs().features.has(Feature::FILETYPE) {
        return EntryType::Unknown;
    }
    match entry.file_type() {
        None => EntryType::Unknown,
        Some(FileType::Regular) => EntryType::Regular,
        Some(FileType::Directory) => EntryType::Directory,
        Some(FileType::CharDevice) => EntryType::CharacterDevice,
        Some(FileType::BlockDevice) => EntryType::BlockDevice,
        Some(FileType::Fifo) => EntryType::Fifo,
        Some(FileType::Socket) => EntryType::Socket,
        Some(FileType::Symlink) => EntryType::Symlink,
    }
}

/// Reports damage of a directory, of which the rest is read. Returns whether there was none.
pub(super) fn go_on(blocks: &Blocks<'_>, result: FsResult) -> FsResult<bool> {
    match result {
        Err(e @ FsError::Corrupt(_)) => {
            Filesystem::errno(blocks.dir(), "read a directory", e);
            blocks.dir().data().note_lack_of_names();
            Ok(false)
        }
        result => result.map(|()| true),
    }
}

/// A copy of one block of a directory, for work that sleeps.
#[derive(Default)]
pub(super) struct BlockCopy(KVVec<u8>);

impl BlockCopy {
    /// No copy yet.
    pub(super) const fn new() -> Self {
        Self(KVVec::new())
    }

    /// What was copied last.
    pub(super) fn bytes(&self) -> &[u8] {
        &self.0
    }

    /// Copies `buffer`.
    pub(super) fn take(&mut self, buffer: &crate::vfs::buffer::Buffer) -> FsResult<&[u8]> {
        self.0.resize(buffer.size(), 0, GFP_KERNEL)?;
        buffer.with(|bytes| {
            for (to, from) in self.0.iter_mut().zip(bytes) {
                *to = *from;
            }
        });
        Ok(&self.0)
    }
}

/// The entries of a stretch of hashes.
pub(super) struct Listing {
    items: KVVec<Item>,
    /// All names, one behind the other.
    names: KVVec<u8>,
    /// How many leaves they are from.
    leaves: u32,
    /// Whether something that is damaged was left out.
    is_partial: bool,
    copy: BlockCopy,
}

impl Listing {
    /// No entries yet.
    pub(super) const fn new() -> Self {
        Self {
            items: KVVec::new(),
            names: KVVec::new(),
            leaves: 0,
            is_partial: false,
            copy: BlockCopy::new(),
        }
    }

    /// Whether this is from several leaves, and worth keeping: that can be as much as the whole directory.
    pub(super) fn is_long(&self) -> bool {
        self.leaves > 1
    }

    /// Whether something that is damaged was left out.
    pub(super) fn is_partial(&self) -> bool {
        self.is_partial
    }

    /// The entries from hash `from` on that are behind `last`: key, inode and type.
    pub(super) fn behind(
        &self,
        from: NameHash,
        last: Option<Key<'_>>,
    ) -> impl Iterator<Item = (Key<'_>, InodeNumber, EntryType)> {
        let start = self.items.partition_point(|item| {
            item.hash < from || last.is_some_and(|last| key(&self.names, item) <= last)
        });
        let rest = self.items.get(start..).unwrap_or_default();
        rest.iter()
            .map(|item| (key(&self.names, item), item.inode, item.kind))
    }

    /// Collects all entries of a directory of one block, from hash `from` on.
    pub(super) fn read_block(
        &mut self,
        blocks: &Blocks<'_>,
        hasher: &Hasher,
        from: NameHash,
    ) -> FsResult {
        self.clear();
        let added = self.add_leaf(blocks, hasher, ROOT, (0, None), from);
        self.or_without(blocks, added)?;
        self.sort(blocks, ROOT)
    }

    /// Goes on without what is damaged, which is reported.
    fn or_without(&mut self, blocks: &Blocks<'_>, result: FsResult) -> FsResult {
        go_on(blocks, result).map(|whole| self.is_partial |= !whole)
    }

    /// Collects the entries from hash `from` on that lie in the leaf that `path` leads to, and in
    /// those behind it that go on with the leaf's last hash. Moves `path` on to the next leaf and
    /// returns the least hash that names there can have; `None` behind the last leaf.
    pub(super) fn read_stretch(
        &mut self,
        blocks: &Blocks<'_>,
        hasher: &Hasher,
        path: &mut Path,
        from: NameHash,
    ) -> FsResult<Option<NameHash>> {
        self.clear();
        let next = loop {
            let leaf = path.leaf();
            // A damaged index may lead to the same leaves for ever.
            self.leaves += 1;
            if self.leaves > blocks.count() {
                return Err(corrupt(leaf, DirectoryProblem::Twice));
            }
            let start = path.start() & !1;
            let next = path.next(blocks)?;
            let added = self.add_leaf(blocks, hasher, leaf, (start, next), from);
            self.or_without(blocks, added)?;
            // Its lowest bit says that the next leaf goes on with the hash.
            if next.is_none_or(|hash| hash & 1 == 0) {
                break next;
            }
            pause()?;
        };
        let next = next.map(|major| NameHash { major, minor: 0 });
        self.add_dots(blocks, from, next)?;
        self.sort(blocks, path.leaf())?;
        Ok(next)
    }

    fn clear(&mut self) {
        self.items.clear();
        self.names.clear();
        self.leaves = 0;
        self.is_partial = false;
    }

    /// Adds an entry if its hash is not less than `from`.
    fn add(
        &mut self,
        hash: NameHash,
        from: NameHash,
        entry: &Entry<'_>,
        kind: EntryType,
    ) -> FsResult {
        let Some(inode) = entry.inode.filter(|_| hash >= from) else {
            return Ok(());
        };
        let start = self.names.len();
        self.names.extend_from_slice(entry.name, GFP_KERNEL)?;
        let item = Item {
            hash,
            name: start..self.names.len(),
            inode,
            kind,
        };
        Ok(self.items.push(item, GFP_KERNEL)?)
    }

    /// Adds the entries of a leaf, in which the index has the hashes from `start` to `end`.
    ///
    /// Where a name lies in another leaf a lookup would not find it, and reading would meet it at
    /// the wrong position.
    fn add_leaf(
        &mut self,
        blocks: &Blocks<'_>,
        hasher: &Hasher,
        number: LogicalBlock,
        (start, end): (u32, Option<u32>),
        from: NameHash,
    ) -> FsResult {
        let mut copy = core::mem::take(&mut self.copy);
        let bytes = copy.take(&blocks.leaf(number)?)?;
        for entry in blocks.entries(bytes).entries() {
            let entry = entry.map_err(|e| corrupt(number, DirectoryProblem::Entries(e)))?;
            let hash = match entry.name {
                b"." => DOT,
                b".." => DOT_DOT,
                name => hasher.hash(name),
            };
            let major = hash.major;
            if major < start || end.is_some_and(|end| major >= end) {
                let problem = DirectoryProblem::Misplaced {
                    hash: major,
                    start,
                    end,
                };
                return Err(corrupt(number, problem));
            }
            self.add(hash, from, &entry, entry_type(blocks, &entry))?;
        }
        self.copy = copy;
        Ok(())
    }

    /// Adds `.` and `..`, which in a directory with an index lie in the index's root, if their
    /// hashes lie within `from` and `next`.
    fn add_dots(
        &mut self,
        blocks: &Blocks<'_>,
        from: NameHash,
        next: Option<NameHash>,
    ) -> FsResult {
        if from > DOT_DOT {
            return Ok(());
        }
        let mut copy = core::mem::take(&mut self.copy);
        let bytes = copy.take(&blocks.linear(ROOT)?)?;
        let entries = blocks.entries_if_linear(ROOT, bytes).entries();
        for (entry, hash) in entries.zip([DOT, DOT_DOT]) {
            let entry = entry.map_err(|e| corrupt(ROOT, DirectoryProblem::Entries(e)))?;
            if next.is_none_or(|next| hash < next) {
                self.add(hash, from, &entry, EntryType::Directory)?;
            }
        }
        self.copy = copy;
        Ok(())
    }

    /// Sorts the entries. If two of them are the same, which is noticed in `leaf`, that is reported.
    fn sort(&mut self, blocks: &Blocks<'_>, leaf: LogicalBlock) -> FsResult {
        let names = &self.names;
        sort_by(
            &mut self.items,
            |a, b| key(names, a).cmp(&key(names, b)),
            pause,
        )?;
        let neighbours = self.items.iter().zip(self.items.iter().skip(1));
        for (number, (a, b)) in neighbours.enumerate() {
            if key(names, a) == key(names, b) {
                go_on(blocks, Err(corrupt(leaf, DirectoryProblem::Twice)))?;
                self.is_partial = true;
                break;
            }
            if number % AT_ONCE == AT_ONCE - 1 {
                pause()?;
            }
        }
        Ok(())
    }
}

fn key<'a>(names: &'a [u8], item: &Item) -> Key<'a> {
    Key {
        hash: item.hash,
        // The range is that of a name that was added.
        name: names.get(item.name.clone()).unwrap_or_default(),
    }
}
