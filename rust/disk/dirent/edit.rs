// SPDX-License-Identifier: GPL-2.0

//! Changes to a directory block: making one, adding, replacing and removing entries.
//!
//! None of them brings the checksum up to date: see [`postpone_checksum`](super::postpone_checksum).

use super::{record_for, DirBlock, DirError, Entry, Header, Tail, Walk, HEADER_SIZE, MAX_NAME};
use crate::disk::file_type::FileType;
use crate::disk::units::InodeNumber;
use zerocopy::little_endian::{U16, U32};
use zerocopy::{FromBytes as _, IntoBytes as _};

/// A block of directory entries, to change it.
pub struct DirBlockMut<'a> {
    block: &'a mut [u8],
    inodes_count: u32,
    has_tail: bool,
}

/// Where in a block there is room for an entry.
#[derive(Default)]
struct Room {
    /// Where it starts, in bytes.
    offset: usize,
    /// How long it is, in bytes.
    length: usize,
    /// The entry that loses its end to it, and the length it keeps.
    shortened: Option<(usize, usize)>,
}

impl Room {
    /// The room up to the end of an entry, if this is the room up to the end of the one before it.
    fn behind(self, entry: &Entry<'_>) -> Self {
        match entry.inode {
            Some(_) => {
                let used = record_for(entry.name.len());
                Self {
                    offset: entry.offset.saturating_add(used),
                    // The length was checked to be enough for the name.
                    length: entry.record_length.saturating_sub(used),
                    shortened: Some((entry.offset, used)),
                }
            }
            None => Self {
                length: self.length.saturating_add(entry.record_length),
                ..self
            },
        }
    }
}

impl DirBlock<'_> {
    /// Whether there is room for an entry with a name of `name` bytes.
    ///
    /// # Errors
    ///
    /// The first thing found wrong before the room was found.
    pub fn has_room(&self, name: usize) -> Result<bool, DirError> {
        Ok(self.find_room(record_for(name))?.is_some())
    }

    /// The first room of at least `wanted` bytes: the end of a used entry, with the unused ones behind it.
    ///
    /// There are several in a row where e2fsck has removed names. Each may be too short for a name though
    /// nothing else is in the block.
    fn find_room(&self, wanted: usize) -> Result<Option<Room>, DirError> {
        let is_full = |header: &Header, _: &[u8]| {
            let used = record_for(header.name_length.into());
            let length = usize::from(header.record_length.get());
            header.inode.get() != 0 && length.saturating_sub(used) < wanted
        };
        let mut before = Room::default();
        let mut walk = Walk::default();
        loop {
            let known = walk.offset;
            self.pass(&mut walk, is_full);
            if walk.offset >= self.entries.len() {
                return Ok(None);
            }
            if let (true, Some(last)) = (walk.offset > known, walk.before) {
                before = Room::default().behind(&self.entry_at(last)?);
            }
            let entry = self.entry_at(walk.offset)?;
            let room = before.behind(&entry);
            if room.length >= wanted {
                return Ok(Some(room));
            }
            before = room;
            walk.before = Some(walk.offset);
            walk.offset = entry.end();
        }
    }
}

impl<'a> DirBlockMut<'a> {
    /// The entries of `block`, all of it. See [`DirBlock::new`].
    pub fn new(block: &'a mut [u8], inodes_count: u32, has_tail: bool) -> Self {
        Self {
            block,
            inodes_count,
            has_tail,
        }
    }

    /// Makes `block` a block without entries: one unused entry, and the tail if it is to have one.
    pub fn create(block: &'a mut [u8], inodes_count: u32, has_tail: bool) -> Self {
        block.fill(0);
        if has_tail {
            if let Ok((_, tail)) = Tail::mut_from_suffix(block) {
                *tail = Tail::EMPTY;
            }
        }
        let mut this = Self::new(block, inodes_count, has_tail);
        let length = this.as_block().entries.len();
        this.write(0, length, None, b"", 0);
        this
    }

    /// Makes `block` the first one of a new directory: with `.`, which is `directory` itself, and
    /// `..`, which is `parent`. The two always come first and together.
    ///
    /// `has_file_types` says whether there is the feature `filetype`.
    pub fn create_first(
        block: &'a mut [u8],
        inodes_count: u32,
        has_tail: bool,
        directory: InodeNumber,
        parent: InodeNumber,
        has_file_types: bool,
    ) -> Self {
        let mut this = Self::create(block, inodes_count, has_tail);
        let file_type = if has_file_types {
            FileType::Directory.entry_number()
        } else {
            0
        };
        let dot = record_for(1);
        let rest = this.as_block().entries.len().saturating_sub(dot);
        this.write(0, dot, Some(directory), b".", file_type);
        this.write(dot, rest, Some(parent), b"..", file_type);
        this
    }

    /// The block, to look at.
    pub fn as_block(&self) -> DirBlock<'_> {
        DirBlock::new(self.block, self.inodes_count, self.has_tail)
    }

    /// Adds an entry and says whether there was room. The name must not be in the directory yet.
    ///
    /// `file_type` is `None` without the feature `filetype`. A name that is empty or longer than
    /// [`MAX_NAME`] never has room.
    ///
    /// # Errors
    ///
    /// The first thing found wrong in the block, with nothing changed.
    pub fn insert(
        &mut self,
        name: &[u8],
        inode: InodeNumber,
        file_type: Option<FileType>,
    ) -> Result<bool, DirError> {
        if name.is_empty() || name.len() > MAX_NAME {
            return Ok(false);
        }
        let Some(room) = self.as_block().find_room(record_for(name.len()))? else {
            return Ok(false);
        };
        if let Some((offset, length)) = room.shortened {
            self.set_length(offset, length);
        }
        let file_type = file_type.map_or(0, FileType::entry_number);
        self.write(room.offset, room.length, Some(inode), name, file_type);
        Ok(true)
    }

    /// Makes the entry with this name stand for another inode, and says whether there is one.
    ///
    /// # Errors
    ///
    /// The first thing found wrong in the block, with nothing changed.
    pub fn replace(
        &mut self,
        name: &[u8],
        inode: InodeNumber,
        file_type: Option<FileType>,
    ) -> Result<bool, DirError> {
        let Some(Entry { offset, .. }) = self.as_block().find(name)? else {
            return Ok(false);
        };
        if let Some(header) = self.header(offset) {
            header.inode.set(inode.0);
            header.file_type = file_type.map_or(0, FileType::entry_number);
        }
        Ok(true)
    }

    /// Removes the entry with this name, and says whether there was one. It is looked for at `place` first:
    /// where it was found, if nothing was added or removed since, or at the first entry.
    ///
    /// Header and name become zero, and its space the end of the entry before it. The first entry of a
    /// block becomes an unused one.
    ///
    /// # Errors
    ///
    /// The first thing found wrong in the block, with nothing changed.
    pub fn remove(&mut self, name: &[u8], place: Walk) -> Result<bool, DirError> {
        let block = self.as_block();
        let mut walk = place;
        let is_there = block.is_at_an_entry(&walk)
            && block
                .entry_at(walk.offset)
                .is_ok_and(|entry| entry.inode.is_some() && entry.name == name);
        if !is_there {
            walk = Walk::default();
        }
        let Some(Entry {
            offset,
            record_length: length,
            ..
        }) = block.find_from(&mut walk, name)?
        else {
            return Ok(false);
        };
        let before = walk.before.map(|before| block.entry_at(before));
        let before = before.transpose()?.map(|entry| entry.record_length);

        // What lies behind the name was zero, or was left there by others.
        let used = record_for(name.len()).min(length);
        self.write(offset, used, None, b"", 0);
        match walk.before.zip(before) {
            None => self.set_length(offset, length),
            Some((previous, before)) => {
                if let Some(header) = self
                    .block
                    .get_mut(offset..)
                    .and_then(|b| b.get_mut(..HEADER_SIZE))
                {
                    header.fill(0);
                }
                // Both lie in the block.
                self.set_length(previous, before.saturating_add(length));
            }
        }
        Ok(true)
    }

    fn header(&mut self, offset: usize) -> Option<&mut Header> {
        let bytes = self.block.get_mut(offset..)?;
        Header::mut_from_prefix(bytes)
            .ok()
            .map(|(header, _)| header)
    }

    fn set_length(&mut self, offset: usize, length: usize) {
        if let Some(header) = self.header(offset) {
            header.record_length.set(encode_length(length));
        }
    }

    /// Writes a whole entry, with zeros behind the name.
    pub(super) fn write(
        &mut self,
        offset: usize,
        length: usize,
        inode: Option<InodeNumber>,
        name: &[u8],
        file_type: u8,
    ) {
        let header = Header {
            inode: U32::new(inode.map_or(0, |inode| inode.0)),
            record_length: U16::new(encode_length(length)),
            // At most `MAX_NAME`.
            name_length: name.len() as u8,
            file_type,
        };
        let Some(bytes) = self
            .block
            .get_mut(offset..)
            .and_then(|bytes| bytes.get_mut(..length))
        else {
            return;
        };
        bytes.fill(0);
        let content = header.as_bytes().iter().chain(name);
        for (to, from) in bytes.iter_mut().zip(content) {
            *to = *from;
        }
    }
}

/// A length as an entry holds it: 65536, which does not fit, as 65535.
fn encode_length(length: usize) -> u16 {
    u16::try_from(length).unwrap_or(u16::MAX)
}
