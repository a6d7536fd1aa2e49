// SPDX-License-Identifier: GPL-2.0

//! An array that gets longer while others look at it.
//!
//! What is there at mount is one piece of memory, as in any array. What is added later goes into
//! chunks, each twice as long as the one before. No entry ever moves, so a reference to one stays good,
//! and to look at one takes no lock.

use crate::error::FsResult;
use kernel::{
    prelude::*,
    sync::{
        atomic::{Acquire, Atomic, Release},
        SetOnce,
    },
};

/// The entries of the first chunk.
const FIRST_CHUNK: usize = 64;
/// Chunks for more entries than there can be groups, which have numbers of 32 bits.
const CHUNKS: usize = 27;

type Chunk<T> = KVVec<SetOnce<T>>;

/// The array.
///
/// One task at a time adds entries: who makes the file system larger. An entry is seen by who learned
/// of it from what was published after it was added, as the number of groups is.
pub(super) struct Growing<T> {
    base: KVVec<T>,
    chunks: KVec<SetOnce<Chunk<T>>>,
    /// The number of entries that were added.
    added: Atomic<usize>,
}

impl<T> Growing<T> {
    /// An array with these entries.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    pub(super) fn new(base: KVVec<T>) -> FsResult<Self> {
        // Not within the array itself, which is on the stack when it is made.
        let mut chunks = KVec::with_capacity(CHUNKS, GFP_KERNEL)?;
        for _ in 0..CHUNKS {
            chunks.push(SetOnce::new(), GFP_KERNEL)?;
        }
        Ok(Self {
            base,
            chunks,
            added: Atomic::new(0),
        })
    }

    /// The entries that were there at first.
    pub(super) fn base(&self) -> &[T] {
        &self.base
    }

    /// The number of entries.
    pub(super) fn len(&self) -> usize {
        self.base.len().saturating_add(self.added.load(Acquire))
    }

    /// An entry.
    pub(super) fn get(&self, index: usize) -> Option<&T> {
        match index.checked_sub(self.base.len()) {
            None => self.base.get(index),
            Some(index) => {
                let (chunk, slot) = place(index);
                self.chunks.get(chunk)?.as_ref()?.get(slot)?.as_ref()
            }
        }
    }

    /// Sees to it that `more` entries can be added without memory.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    pub(super) fn make_room(&self, more: usize) -> FsResult {
        let added = self.added.load(Acquire);
        let Some(last) = added.saturating_add(more).checked_sub(1) else {
            return Ok(());
        };
        for number in place(added).0..=place(last).0 {
            let chunk = self.chunks.get(number).ok_or(ENOMEM)?;
            if chunk.as_ref().is_some() {
                continue;
            }
            let len = FIRST_CHUNK << number;
            let mut slots = Chunk::with_capacity(len, GFP_KERNEL)?;
            for _ in 0..len {
                slots.push(SetOnce::new(), GFP_KERNEL)?;
            }
            // Whoever was quicker has made the same.
            chunk.populate(slots);
        }
        Ok(())
    }

    /// Adds an entry behind the others.
    ///
    /// # Errors
    ///
    /// `ENOMEM`, but for what there was made room for; `EBUSY` if somebody else is adding one. Nothing was
    /// added then.
    pub(super) fn push(&self, entry: T) -> FsResult {
        self.make_room(1)?;
        let index = self.added.load(Acquire);
        let (chunk, slot) = place(index);
        let slots = self.chunks.get(chunk).and_then(SetOnce::as_ref);
        if !slots
            .and_then(|slots| slots.get(slot))
            .is_some_and(|slot| slot.populate(entry))
        {
            return Err(EBUSY.into());
        }
        self.added.store(index + 1, Release);
        Ok(())
    }
}

/// The chunk that holds the entry with this index among those that were added, and where in it.
fn place(index: usize) -> (usize, usize) {
    let nth = index / FIRST_CHUNK + 1;
    let chunk = nth.ilog2() as usize;
    (chunk, index - FIRST_CHUNK * ((1 << chunk) - 1))
}
