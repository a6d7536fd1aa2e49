// SPDX-License-Identifier: GPL-2.0

//! Direct reads.
//!
//! With `dioread_nolock` no lock is taken: a block that is being written for the first time is
//! unwritten until its data is on the device, so a reader sees zeros or the data, and never what
//! was there before. Who takes blocks away from a file (truncation, a punched hole) keeps such readers
//! out meanwhile: see [`crate::inode::Alone`]. With `dioread_lock` the inode's lock is taken shared, and a reader waits for a
//! writer that has it for itself.

use super::{alignment::ByteRange, nowait};
use crate::{
    inode::journaled::journals_data,
    mount::Filesystem,
    vfs::{
        direct_io,
        file::{IovIter, Kiocb},
    },
    Rext4,
};
use kernel::{error::code, prelude::*};

/// Reads directly; returns the number of bytes or `EIOCBQUEUED`.
pub(crate) fn read(request: &mut Kiocb<'_, Rext4>, memory: &mut IovIter<'_>) -> Result<usize> {
    let inode = request.inode();
    let range = || {
        let size = inode.super_block().data().layout.block_size();
        ByteRange::new(request.position(), memory.len(), size)
    };
    if let Some(range) = request.is_nowait().then(range).flatten() {
        nowait::check_read(inode, range.blocks())
            .map_err(|e| Filesystem::errno(inode, "direct read", e))?;
    }
    if request.position() < inode.size() && !direct_io::is_accepted(request, memory) {
        // Before any of it is done.
        return Err(code::EINVAL);
    }
    // Not after the read: a request that goes on by itself may be gone by then.
    request.accessed();
    if inode.super_block().data().reads_without_lock() {
        let reader = direct_io::Announced::new(inode);
        // If somebody needs the file for himself he may be waiting for us.
        if !inode.data().are_readers_out() {
            return transfer(request, memory);
        }
        drop(reader);
    }
    let _lock = nowait::lock_shared(request)?;
    transfer(request, memory)
}

/// Reads, if the data does not go through the journal by now.
fn transfer(request: &mut Kiocb<'_, Rext4>, memory: &mut IovIter<'_>) -> Result<usize> {
    match journals_data(request.inode()) {
        true => request.read_buffered(memory),
        false => direct_io::transfer(request, memory),
    }
}
