// SPDX-License-Identifier: GPL-2.0

//! The blocks of one directory, read and checked.
//!
//! A block is checked as a whole, checksum and all, when it comes into memory; see
//! [`Buffer::verify_once`].

use crate::{
    disk::{
        checksum::InodeSeed,
        directory::{DirectoryError, DirectoryProblem},
        dirent::{self, DirBlock, DirBlockMut, DirError},
        features::Feature,
        htree::{self, search::NodeReader, HtreeError, IndexFormat, Root},
        inode::InodeFlags,
        units::{BlockSize, LogicalBlock},
        Corrupt,
    },
    error::{FsError, FsResult},
    inode,
    journal::kinds::{DIRECTORY_INDEX, DIRECTORY_INDEX_CHECKSUM, DIRECTORY_LEAF},
    mount::Filesystem,
    vfs::{
        buffer::{Buffer, Kind},
        checksum::crc32c,
        inode::Inode,
        jbd2::{Handle, LateChecksum},
    },
    Rext4,
};

/// The block of the index's root.
pub(super) const ROOT: LogicalBlock = LogicalBlock(0);

/// That something is wrong with a block of a directory.
pub(super) fn corrupt(block: LogicalBlock, problem: DirectoryProblem) -> FsError {
    FsError::Corrupt(Corrupt::Directory(DirectoryError { block, problem }))
}

impl From<HtreeError> for FsError {
    fn from(error: HtreeError) -> Self {
        Self::Corrupt(error.into())
    }
}

/// The checksum of a block of entries, which covers all of it, for each name that comes or goes.
pub(super) struct LeafChecksum;

impl LateChecksum for LeafChecksum {
    const KIND: Kind = DIRECTORY_LEAF;
    type Seed = InodeSeed;

    fn postpone(_block: u64, bytes: &mut [u8], seed: InodeSeed) -> bool {
        dirent::postpone_checksum(bytes, seed).is_ok()
    }

    fn complete(_block: u64, bytes: &mut [u8]) {
        // There was a place for it.
        let _ = dirent::complete_checksum(bytes, crc32c);
    }
}

/// The checksum of a node of the index.
struct IndexChecksum;

impl LateChecksum for IndexChecksum {
    const KIND: Kind = DIRECTORY_INDEX_CHECKSUM;
    type Seed = InodeSeed;

    fn postpone(_block: u64, bytes: &mut [u8], seed: InodeSeed) -> bool {
        htree::postpone_checksum(bytes, seed).is_ok()
    }

    fn complete(_block: u64, bytes: &mut [u8]) {
        // As above.
        let _ = htree::complete_checksum(bytes, crc32c);
    }
}

/// The blocks of one directory.
pub(super) struct Blocks<'a> {
    dir: &'a Inode<Rext4>,
    /// What checksums start from; `None` if there are none.
    seed: Option<InodeSeed>,
    /// How many there are by the size of the directory.
    count: u32,
}

impl<'a> Blocks<'a> {
    /// The blocks of `dir`, whose lock the caller holds.
    ///
    /// # Errors
    ///
    /// `EOPNOTSUPP` if the directory is of a kind that can't be read.
    pub(super) fn new(dir: &'a Inode<Rext4>) -> FsResult<Self> {
        inode::check_readable(dir)?;
        let size = u64::try_from(dir.size()).unwrap_or(0);
        let count = dir
            .super_block()
            .data()
            .layout
            .block_size()
            .blocks_for(size);
        Ok(Self {
            dir,
            seed: inode::seed(dir),
            // Checked when the inode was loaded.
            count: u32::try_from(count).unwrap_or(u32::MAX),
        })
    }

    /// The directory.
    pub(super) fn dir(&self) -> &'a Inode<Rext4> {
        self.dir
    }

    /// The file system.
    pub(super) fn fs(&self) -> &'a Filesystem {
        self.dir.super_block().data()
    }

    /// How many blocks there are.
    pub(super) fn count(&self) -> u32 {
        self.count
    }

    /// The size of a block.
    pub(super) fn size(&self) -> BlockSize {
        self.fs().layout.block_size()
    }

    /// Whether the directory says that it has an index, on a file system that has such.
    pub(super) fn is_indexed(&self) -> bool {
        self.fs().features.has(Feature::DIR_INDEX) && self.dir.data().flags().has(InodeFlags::INDEX)
    }

    /// What nodes of the index are like.
    pub(super) fn index_format(&self) -> IndexFormat {
        IndexFormat {
            has_checksums: self.seed.is_some(),
            large_directories: self.fs().features.has(Feature::LARGE_DIR),
        }
    }

    fn read(&self, block: LogicalBlock) -> FsResult<Buffer> {
        if block.0 >= self.count {
            return Err(corrupt(block, DirectoryProblem::Outside));
        }
        inode::read_block(self.dir, block)?.ok_or(corrupt(block, DirectoryProblem::Hole))
    }

    /// Whether blocks of entries have a place for a checksum.
    pub(super) fn has_tails(&self) -> bool {
        self.seed.is_some()
    }

    /// The entries in `bytes`, which are a block of entries.
    pub(super) fn entries<'b>(&self, bytes: &'b [u8]) -> DirBlock<'b> {
        DirBlock::new(bytes, self.fs().layout.inodes_count(), self.seed.is_some())
    }

    /// The entries in `bytes`, as they are seen by those who know nothing of indexes.
    pub(super) fn entries_if_linear<'b>(
        &self,
        number: LogicalBlock,
        bytes: &'b [u8],
    ) -> DirBlock<'b> {
        if self.looks_like_index(number, bytes) {
            // The checksum of an index is in another place.
            return DirBlock::new(bytes, self.fs().layout.inodes_count(), false);
        }
        self.entries(bytes)
    }

    /// Reads a block of entries.
    pub(super) fn leaf(&self, number: LogicalBlock) -> FsResult<Buffer> {
        let buffer = self.read(number)?;
        buffer
            .verify_once(DIRECTORY_LEAF, |bytes| self.check_leaf(bytes))
            .map_err(|problem| corrupt(number, problem))?;
        Ok(buffer)
    }

    /// Reads a block of a directory that is read from front to back: a block of entries, or, if
    /// there is an index that can't be used, one of the index.
    pub(super) fn linear(&self, number: LogicalBlock) -> FsResult<Buffer> {
        if !self.is_indexed() {
            return self.leaf(number);
        }
        let buffer = self.read(number)?;
        if !buffer.with(|bytes| self.looks_like_index(number, bytes)) {
            drop(buffer);
            return self.leaf(number);
        }
        self.check_index_checksum(&buffer)
            .map_err(|e| corrupt(number, DirectoryProblem::Index(e)))?;
        Ok(buffer)
    }

    /// Reads a node of the index. Inside is what is wrong with a node that could be read.
    pub(super) fn index(&self, number: LogicalBlock) -> FsResult<Result<Buffer, HtreeError>> {
        let buffer = self.read(number)?;
        let checked = self.check_index_checksum(&buffer).and_then(|()| {
            buffer.verify_once(DIRECTORY_INDEX, |bytes| self.check_index(number, bytes))
        });
        Ok(checked.map(|()| buffer))
    }

    /// Changes the entries of a block that [`Self::leaf`] or [`Self::linear`] gave. Needs a credit.
    ///
    /// # Errors
    ///
    /// What is wrong with the block, with nothing changed. Errors of [`Handle::write`].
    pub(super) fn edit_entries<R>(
        &self,
        handle: &Handle<'_>,
        number: LogicalBlock,
        buffer: &Buffer,
        change: impl FnOnce(&mut DirBlockMut<'_>) -> Result<R, DirError>,
    ) -> FsResult<R> {
        let is_index = buffer.with(|bytes| self.looks_like_index(number, bytes));
        let has_tail = self.seed.is_some() && !is_index;
        let inodes = self.fs().layout.inodes_count();
        let change = |bytes: &mut [u8]| change(&mut DirBlockMut::new(bytes, inodes, has_tail));
        let edited = if is_index {
            self.edit_index(handle, buffer, change)
        } else {
            self.edit_leaf(handle, buffer, change)
        };
        edited?.map_err(|e| corrupt(number, DirectoryProblem::Entries(e)))
    }

    /// Changes a block of entries, or makes it one. Needs a credit.
    ///
    /// # Errors
    ///
    /// Those of [`Handle::write`].
    pub(super) fn edit_leaf<R>(
        &self,
        handle: &Handle<'_>,
        buffer: &Buffer,
        edit: impl FnOnce(&mut [u8]) -> R,
    ) -> FsResult<R> {
        let token = handle.write(buffer)?;
        Ok(token.edit_late::<LeafChecksum, _>(self.seed, edit)?)
    }

    /// Changes a node of the index, or makes it one. Needs a credit.
    ///
    /// # Errors
    ///
    /// Those of [`Handle::write`].
    pub(super) fn edit_index<R>(
        &self,
        handle: &Handle<'_>,
        buffer: &Buffer,
        edit: impl FnOnce(&mut [u8]) -> R,
    ) -> FsResult<R> {
        let token = handle.write(buffer)?;
        Ok(token.edit_late::<IndexChecksum, _>(self.seed, edit)?)
    }

    /// The same, with the bytes of another node to look at.
    ///
    /// # Errors
    ///
    /// Those of [`Handle::write`]; `EUCLEAN` if both are the same block.
    pub(super) fn edit_index_from<R>(
        &self,
        handle: &Handle<'_>,
        buffer: &Buffer,
        source: &Buffer,
        edit: impl FnOnce(&mut [u8], &[u8]) -> R,
    ) -> FsResult<R> {
        let token = handle.write(buffer)?;
        Ok(token.edit_from_late::<IndexChecksum, _>(source, self.seed, edit)?)
    }

    fn looks_like_index(&self, number: LogicalBlock, bytes: &[u8]) -> bool {
        self.is_indexed() && (number == ROOT || htree::is_node(bytes))
    }

    fn check_leaf(&self, bytes: &[u8]) -> Result<(), DirectoryProblem> {
        if let Some(seed) = self.seed {
            dirent::verify_checksum(bytes, seed).map_err(DirectoryProblem::Entries)?;
        }
        for entry in self.entries(bytes).records() {
            let entry = entry.map_err(DirectoryProblem::Entries)?;
            let bad = entry.name.iter().any(|&byte| byte == b'/' || byte == 0);
            if let (Some(inode), true) = (entry.inode, bad) {
                return Err(DirectoryProblem::Name(inode));
            }
        }
        Ok(())
    }

    /// Checks the checksum of a node of the index, of whatever sort that is.
    fn check_index_checksum(&self, buffer: &Buffer) -> Result<(), HtreeError> {
        let Some(seed) = self.seed else {
            return Ok(());
        };
        buffer.verify_once(DIRECTORY_INDEX_CHECKSUM, |bytes| {
            htree::verify_checksum(bytes, seed)
        })
    }

    /// Checks a node of the index but for its checksum.
    fn check_index(&self, number: LogicalBlock, bytes: &[u8]) -> Result<(), HtreeError> {
        if number == ROOT {
            Root::from_block(bytes, self.index_format())?;
        } else {
            htree::node_entries(bytes, self.index_format())?;
        }
        Ok(())
    }
}

impl NodeReader for Blocks<'_> {
    type Error = FsError;

    fn with_node<R>(&self, block: LogicalBlock, f: impl FnOnce(&[u8]) -> R) -> FsResult<R> {
        let buffer = self
            .index(block)?
            .map_err(|e| corrupt(block, DirectoryProblem::Index(e)))?;
        Ok(buffer.with(f))
    }
}
