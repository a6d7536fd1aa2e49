// SPDX-License-Identifier: GPL-2.0

//! Reading a directory from a position on.

use super::{
    block::{corrupt, Blocks},
    listing::{entry_type, go_on, BlockCopy, Key, Listing},
    order::{does_without_index, is_hashed, Order},
    position,
};
use crate::{
    disk::{
        directory::DirectoryProblem,
        dirent::MAX_NAME,
        htree::{
            hash::{Hasher, NameHash},
            search::Path,
        },
        units::LogicalBlock,
    },
    error::{FsError, FsResult},
    mount::Filesystem,
    vfs::{
        inode::Inode,
        readdir::{pause, DirContext, PositionWidth, ReadDir},
    },
    Rext4,
};
use kernel::prelude::*;

/// What an open directory remembers.
#[derive(Default)]
pub(crate) struct Cursor {
    resume: Option<Resume>,
    kept: Option<Kept>,
    /// Whether something that is damaged was left out.
    is_partial: bool,
    /// Whether it was read from the beginning on.
    has_begun: bool,
    /// Whether the position is a hash.
    is_hash: bool,
}

impl Cursor {
    /// What is said behind the last name.
    ///
    /// # Errors
    ///
    /// `EIO` if something was left out, perhaps by who has read the beginning, which was reported where it was found: who
    /// copies or removes all that there is must not take it for all.
    fn end(&self, dir: &Inode<Rext4>) -> FsResult {
        if self.is_partial || (!self.has_begun && dir.data().lacks_names()) {
            return Err(FsError::Kernel(EIO));
        }
        if self.has_begun {
            dir.data().note_all_names();
        }
        Ok(())
    }
}

/// What was collected of several leaves, when the reader's memory ended before it did.
struct Kept {
    listing: Listing,
    /// It has the names from this hash on,
    from: NameHash,
    /// up to this one, or all that there are.
    next: Option<NameHash>,
    /// The directory's change counter then.
    version: u64,
}

impl Kept {
    /// Whether it has the names from `from` on, as they are now.
    fn has(&self, dir: &Inode<Rext4>, from: NameHash) -> bool {
        self.version == dir.version()
            && self.from <= from
            && self.next.is_none_or(|next| from < next)
    }
}

/// Where among names with the same position to go on.
///
/// Most of the time a position is enough. But where several names share one and the reader's
/// memory ends between them, the rest is still to come, and would come behind those that it has
/// already. The name tells more than a count would: it does not matter what is added or removed.
struct Resume {
    position: i64,
    /// The last name that was handed out,
    name: [u8; MAX_NAME],
    /// its length,
    len: usize,
    /// and its hash.
    hash: NameHash,
}

impl Resume {
    fn after(position: i64, key: Key<'_>) -> Self {
        let mut name = [0; MAX_NAME];
        for (to, from) in name.iter_mut().zip(key.name) {
            *to = *from;
        }
        Self {
            position,
            name,
            len: key.name.len(),
            hash: key.hash,
        }
    }

    fn key(&self) -> Key<'_> {
        Key {
            hash: self.hash,
            name: self.name.get(..self.len).unwrap_or_default(),
        }
    }
}

impl ReadDir for Rext4 {
    type Cursor = Cursor;

    fn read_dir(dir: &Inode<Self>, cursor: &mut Cursor, context: &mut DirContext<'_>) -> Result {
        read(dir, cursor, context).map_err(|e| Filesystem::errno(dir, "read a directory", e))
    }

    fn last_position(dir: &Inode<Self>, width: PositionWidth) -> Option<i64> {
        // What can't be read has no positions either.
        let blocks = Blocks::new(dir).ok()?;
        is_hashed(&blocks).then_some(position::end(width))
    }
}

fn read(dir: &Inode<Rext4>, cursor: &mut Cursor, context: &mut DirContext<'_>) -> FsResult {
    let blocks = Blocks::new(dir)?;
    if context.position() == 0 {
        cursor.has_begun = true;
        cursor.is_hash = false;
    }
    let order = Order::of(&blocks)?;
    if matches!(order, Order::Linear) && is_lost(&blocks, cursor, context) {
        return Err(FsError::Kernel(EIO));
    }
    cursor.is_hash = !matches!(order, Order::Linear);
    match order {
        Order::Linear => read_linear(&blocks, cursor, context),
        Order::OneBlock(hasher) => read_hashed(&blocks, &hasher, false, cursor, context),
        Order::Indexed(hasher) => match read_hashed(&blocks, &hasher, true, cursor, context) {
            Err(e) if does_without_index(&blocks, &e) && context.position() == 0 => {
                cursor.is_hash = false;
                read_linear(&blocks, cursor, context)
            }
            result => result,
        },
    }
}

/// Whether the position is a hash of an index that is not used any more: who has read a part of the directory by that has
/// to begin anew.
fn is_lost(blocks: &Blocks<'_>, cursor: &Cursor, context: &DirContext<'_>) -> bool {
    let position = context.position();
    if position == 0 || position == position::end(context.width()) {
        return false;
    }
    let end = blocks.size().byte_of_logical(LogicalBlock(blocks.count()));
    let is_outside = u64::try_from(position).is_ok_and(|position| position > end);
    cursor.is_hash || (is_outside && blocks.dir().data().has_bad_index())
}

/// Reads block by block; positions are bytes from the directory's start.
fn read_linear(blocks: &Blocks<'_>, cursor: &mut Cursor, context: &mut DirContext<'_>) -> FsResult {
    let size = blocks.size();
    let mut copy = BlockCopy::new();
    while let Ok(position) = u64::try_from(context.position()) {
        let Some(number) = size.logical_of_byte(position) else {
            break;
        };
        if number.0 >= blocks.count() {
            break;
        }
        // At most 2^48.
        let start = size.byte_of_logical(number) as i64;
        let within = size.within_block(position) as usize;
        let read = blocks.linear(number).and_then(|buffer| copy.take(&buffer));
        let bytes = match read {
            Ok(bytes) => bytes,
            Err(e) => {
                cursor.is_partial |= !go_on(blocks, Err(e))?;
                context.set_position(start + i64::from(size.bytes()));
                pause()?;
                continue;
            }
        };
        for entry in blocks.entries_if_linear(number, bytes).entries() {
            let entry = match entry {
                Ok(entry) => entry,
                Err(e) => {
                    let e = corrupt(number, DirectoryProblem::Entries(e));
                    cursor.is_partial |= !go_on(blocks, Err(e))?;
                    break;
                }
            };
            // The position may have been an entry that is gone since: go on behind it.
            let Some(inode) = entry.inode.filter(|_| entry.offset >= within) else {
                continue;
            };
            let position = start + entry.offset as i64;
            if !context.emit(position, entry.name, inode.0, entry_type(blocks, &entry)) {
                return Ok(());
            }
            context.set_position(start + entry.end() as i64);
        }
        context.set_position(start + i64::from(size.bytes()));
        pause()?;
    }
    cursor.end(blocks.dir())
}

/// Reads by hash, one stretch of hashes after the other.
fn read_hashed(
    blocks: &Blocks<'_>,
    hasher: &Hasher,
    indexed: bool,
    cursor: &mut Cursor,
    context: &mut DirContext<'_>,
) -> FsResult {
    let width = context.width();
    let resume = cursor
        .resume
        .take()
        .filter(|resume| resume.position == context.position());
    let kept = cursor.kept.take();
    let Some(mut from) = position::to_hash(context.position(), width) else {
        return cursor.end(blocks.dir());
    };
    let mut kept = kept.filter(|kept| kept.has(blocks.dir(), from));
    let mut path = None;
    let mut listing = Listing::new();
    loop {
        let (start, next) = match kept.take() {
            Some(kept) => {
                listing = kept.listing;
                (kept.from, kept.next)
            }
            None if indexed => {
                let path = match &mut path {
                    Some(path) => path,
                    none => none.insert(Path::to_hash(blocks, blocks.index_format(), from)?),
                };
                (from, listing.read_stretch(blocks, hasher, path, from)?)
            }
            None => {
                listing.read_block(blocks, hasher, from)?;
                (from, None)
            }
        };
        cursor.is_partial |= listing.is_partial();
        if !emit(&listing, from, resume.as_ref(), cursor, context) {
            cursor.kept = listing.is_long().then(|| Kept {
                listing,
                from: start,
                next,
                version: blocks.dir().version(),
            });
            return Ok(());
        }
        let Some(next) = next else {
            context.set_position(position::end(width));
            return cursor.end(blocks.dir());
        };
        context.set_position(position::of_hash(next, width));
        from = next;
        pause()?;
    }
}

/// Hands out the entries of a stretch from hash `from` on, those behind `resume` only; returns whether
/// there was room for all.
fn emit(
    listing: &Listing,
    from: NameHash,
    resume: Option<&Resume>,
    cursor: &mut Cursor,
    context: &mut DirContext<'_>,
) -> bool {
    let width = context.width();
    let mut last: Option<(i64, Key<'_>)> = resume.map(|resume| (resume.position, resume.key()));
    for (key, inode, kind) in listing.behind(from, resume.map(Resume::key)) {
        let position = position::of_hash(key.hash, width);
        if !context.emit(position, key.name, inode.0, kind) {
            cursor.resume = last
                .filter(|(before, _)| *before == position)
                .map(|(_, key)| Resume::after(position, key));
            return false;
        }
        last = Some((position, key));
    }
    true
}
