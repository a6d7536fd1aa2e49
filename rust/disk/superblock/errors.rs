// SPDX-License-Identifier: GPL-2.0

//! The errors that a super block remembers: how many there were, the first and the last of them.

use super::edit::{set_text, set_time};
use super::{until_zero, State, Superblock};
use crate::disk::units::{InodeNumber, PhysicalBlock};

/// An error as the super block records it for `e2fsck` and the user.
#[derive(Clone, Copy, Debug)]
pub struct ErrorRecord<'a> {
    /// When it was found, in seconds since 1970.
    pub time: u64,
    /// The inode that it has to do with.
    pub inode: Option<InodeNumber>,
    /// The block that it has to do with.
    pub block: Option<PhysicalBlock>,
    /// The function that found it; the first 32 bytes are kept.
    pub function: &'a [u8],
    /// The line that found it.
    pub line: u32,
    /// The kind of error, one of `EXT4_ERR_*` in the kernel's `fs/ext4/ext4.h`.
    pub code: u8,
}

/// One error, as it is stored.
#[derive(Clone, Copy)]
struct StoredError {
    time: u32,
    time_hi: u8,
    ino: u32,
    block: u64,
    func: [u8; 32],
    line: u32,
    errcode: u8,
}

/// All that a super block says of errors.
#[derive(Clone, Copy)]
pub struct ErrorHistory {
    count: u32,
    state: State,
    first: StoredError,
    last: StoredError,
}

impl Superblock {
    /// How many errors were recorded.
    pub fn error_count(&self) -> u32 {
        self.error_count.get()
    }

    /// The first error that was recorded since the file system was checked; all zero if there was
    /// none.
    pub fn first_error(&self) -> ErrorRecord<'_> {
        ErrorRecord {
            time: join_time(self.first_error_time.get(), self.first_error_time_hi),
            inode: inode(self.first_error_ino.get()),
            block: block(self.first_error_block.get()),
            function: until_zero(&self.first_error_func),
            line: self.first_error_line.get(),
            code: self.first_error_errcode,
        }
    }

    /// The last one, likewise.
    pub fn last_error(&self) -> ErrorRecord<'_> {
        ErrorRecord {
            time: join_time(self.last_error_time.get(), self.last_error_time_hi),
            inode: inode(self.last_error_ino.get()),
            block: block(self.last_error_block.get()),
            function: until_zero(&self.last_error_func),
            line: self.last_error_line.get(),
            code: self.last_error_errcode,
        }
    }

    /// Counts an error and records it as the last one, and as the first if none was recorded yet.
    ///
    /// The state is not changed here: see [`Self::set_state`].
    pub fn record_error(&mut self, error: &ErrorRecord<'_>) {
        let inode = error.inode.map_or(0, |inode| inode.0);
        let block = error.block.map_or(0, |block| block.0);

        if self.first_error_time.get() == 0 && self.first_error_time_hi == 0 {
            set_time(
                &mut self.first_error_time,
                &mut self.first_error_time_hi,
                error.time,
            );
            self.first_error_ino.set(inode);
            self.first_error_block.set(block);
            set_text(&mut self.first_error_func, error.function);
            self.first_error_line.set(error.line);
            self.first_error_errcode = error.code;
        }

        set_time(
            &mut self.last_error_time,
            &mut self.last_error_time_hi,
            error.time,
        );
        self.last_error_ino.set(inode);
        self.last_error_block.set(block);
        set_text(&mut self.last_error_func, error.function);
        self.last_error_line.set(error.line);
        self.last_error_errcode = error.code;

        self.error_count
            .set(self.error_count.get().saturating_add(1));
    }

    /// All of it, to be kept over a recovery, whose copy of the super block may be older, or newer.
    pub fn error_history(&self) -> ErrorHistory {
        ErrorHistory {
            count: self.error_count.get(),
            state: self.state(),
            first: StoredError {
                time: self.first_error_time.get(),
                time_hi: self.first_error_time_hi,
                ino: self.first_error_ino.get(),
                block: self.first_error_block.get(),
                func: self.first_error_func,
                line: self.first_error_line.get(),
                errcode: self.first_error_errcode,
            },
            last: StoredError {
                time: self.last_error_time.get(),
                time_hi: self.last_error_time_hi,
                ino: self.last_error_ino.get(),
                block: self.last_error_block.get(),
                func: self.last_error_func,
                line: self.last_error_line.get(),
                errcode: self.last_error_errcode,
            },
        }
    }

    /// Brings back what was kept, unless there are more errors here; of the state, that there are
    /// some.
    pub fn set_error_history(&mut self, kept: &ErrorHistory) {
        if kept.state.has_errors() {
            self.note_errors();
        }
        if kept.count <= self.error_count.get() {
            return;
        }
        self.error_count.set(kept.count);
        let ErrorHistory { first, last, .. } = kept;
        self.first_error_time.set(first.time);
        self.first_error_time_hi = first.time_hi;
        self.first_error_ino.set(first.ino);
        self.first_error_block.set(first.block);
        self.first_error_func = first.func;
        self.first_error_line.set(first.line);
        self.first_error_errcode = first.errcode;
        self.last_error_time.set(last.time);
        self.last_error_time_hi = last.time_hi;
        self.last_error_ino.set(last.ino);
        self.last_error_block.set(last.block);
        self.last_error_func = last.func;
        self.last_error_line.set(last.line);
        self.last_error_errcode = last.errcode;
    }
}

fn join_time(lo: u32, hi: u8) -> u64 {
    u64::from(lo) | u64::from(hi) << 32
}

fn inode(number: u32) -> Option<InodeNumber> {
    (number != 0).then_some(InodeNumber(number))
}

fn block(number: u64) -> Option<PhysicalBlock> {
    (number != 0).then_some(PhysicalBlock(number))
}
