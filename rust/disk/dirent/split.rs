// SPDX-License-Identifier: GPL-2.0

//! Making two blocks of one, by the hashes of names: what a full leaf of an index needs.
//!
//! The caller collects a [`Piece`] for each entry, since only it can get memory for them.

use super::{record_for, DirBlock, DirBlockMut, DirError};

/// An entry in use, as a piece to be moved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Piece {
    /// The hash of its name, as the index is sorted.
    pub hash: u32,
    /// Where it starts in its block, in bytes.
    pub offset: usize,
    /// What it needs in a block, in bytes.
    pub length: usize,
}

/// How a block is split.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Split {
    /// The number of the first piece that moves to the new block.
    pub at: usize,
    /// The least hash in the new block. The lowest bit is set if the old one has names with the same
    /// hash.
    pub hash: u32,
}

impl Split {
    /// Sorts the pieces of a block by hash, and cuts them where both parts need about the same
    /// space. `None` if there are less than two.
    pub fn plan(pieces: &mut [Piece]) -> Option<Self> {
        pieces.sort_unstable_by_key(|piece| (piece.hash, piece.offset));
        let total: usize = pieces.iter().map(|piece| piece.length).sum();
        let mut before = 0;
        let at = pieces.iter().position(|piece| {
            // The piece in the middle goes where more of it lies.
            let middle = before + piece.length / 2;
            before += piece.length;
            middle >= total / 2
        })?;
        let at = at.clamp(1, pieces.len().checked_sub(1).filter(|&last| last > 0)?);
        let (hash, last) = (pieces.get(at)?.hash, pieces.get(at - 1)?.hash);
        Some(Self {
            at,
            hash: if hash == last { hash | 1 } else { hash },
        })
    }
}

impl<'a> DirBlock<'a> {
    /// The pieces of a block, each with the hash that `hash` gives its name. Ends behind the first
    /// error.
    pub fn pieces<F: Fn(&[u8]) -> u32>(
        &self,
        hash: F,
    ) -> impl Iterator<Item = Result<Piece, DirError>> + use<'a, F> {
        self.entries().map(move |entry| {
            entry.map(|entry| Piece {
                hash: hash(entry.name),
                offset: entry.offset,
                length: record_for(entry.name.len()),
            })
        })
    }
}

impl<'a> DirBlockMut<'a> {
    /// Makes `block` one with the entries of `source` that `pieces` name, one behind the other; what
    /// is left is the end of the last one. Says whether there was room for all of them: there is if
    /// they come from one block of the same size.
    #[must_use = "entries without room are lost"]
    pub fn create_from(
        block: &'a mut [u8],
        inodes_count: u32,
        has_tail: bool,
        source: DirBlock<'_>,
        pieces: &[Piece],
    ) -> bool {
        let mut this = Self::create(block, inodes_count, has_tail);
        let end = this.as_block().entries.len();
        let needed: usize = pieces.iter().map(|piece| piece.length).sum();
        if needed > end {
            return false;
        }
        let mut at = 0;
        for (number, piece) in pieces.iter().enumerate() {
            let Ok(entry) = source.entry_at(piece.offset) else {
                return false;
            };
            let is_last = number + 1 == pieces.len();
            let length = if is_last { end - at } else { piece.length };
            this.write(at, length, entry.inode, entry.name, entry.file_type);
            at += piece.length;
        }
        true
    }
}
