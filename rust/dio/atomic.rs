// SPDX-License-Identifier: GPL-2.0

//! Writes that are there as a whole or not at all (`RWF_ATOMIC`).
//!
//! Where the device does not tear the data, what the file system has to see to is that it is one request to the device,
//! and one change of the tree: that is so for one block, and for several that are written and lie in a row where the
//! device wants them. Where nothing is written yet the conversion makes it whole, on any device: nobody else may write
//! there meanwhile, not even whole blocks. All else is written beside what is there, see [`super::aside`]. It never goes
//! through the page cache.
//!
//! Until the write is complete a new block reads as zeros, and the size does not cover what was beyond it: a crash or an
//! error leaves nothing of it. Not so one block by the device that begins below the end of the file and ends beyond it:
//! after a crash its data can be there as far as the old size goes.

use super::{alignment::ByteRange, claim::Waiting};
use crate::{
    disk::units::LogicalBlock,
    error::{FsError, FsResult},
    inode::{
        journaled::{has_journal, journals_data},
        map::{self, Found},
        DataKind,
    },
    vfs::{
        direct_io::WholeBy,
        file::{IovIter, Kiocb},
        inode::Inode,
        stat::AtomicUnits,
    },
    Rext4,
};
use kernel::{error::code, prelude::*};

/// The most blocks of one such write: all that may have to change in the tree for them is to fit a transaction.
const MOST_BLOCKS: u32 = 16;

/// What one such write may have in a file, without regard to whether the device does it: up to 16 blocks. Without a
/// journal it is one block, if the device does that. Files with block maps have none, nor have those whose data is in
/// the inode or goes through the journal, as with C ext4.
pub(crate) fn units(inode: &Inode<Rext4>) -> Option<AtomicUnits> {
    let is_possible = inode.data().kind() == DataKind::Extents && !journals_data(inode);
    if !inode.is_regular() || !is_possible {
        return None;
    }
    let fs = inode.super_block().data();
    let block = fs.layout.block_size().bytes();
    let device = inode.super_block().device().atomic_units();
    let most = MOST_BLOCKS * block;
    if has_journal(inode) {
        let own = device.filter(|device| device.min <= most && block <= device.max);
        return Some(AtomicUnits {
            min: block,
            max: most,
            best: own.map_or(0, |device| device.max.min(most)),
        });
    }
    device
        .filter(|device| (device.min..=device.max).contains(&block))
        .map(|_| AtomicUnits {
            min: block,
            max: block,
            best: block,
        })
}

/// How a write can be there as a whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    /// In its place, by one of these.
    InPlace(WholeBy),
    /// [Beside](super::aside) what is there.
    Aside,
}

/// How a write of `bytes` bytes can be done where it goes. The inode's lock is held; who waits for others is to ask again.
///
/// # Errors
///
/// Those of a look-up; `EAGAIN` if it must not wait, and that is not known without.
pub(super) fn way(request: &Kiocb<'_, Rext4>, bytes: usize) -> FsResult<Way> {
    let inode = request.inode();
    let size = inode.super_block().data().layout.block_size();
    let device = inode.super_block().device().atomic_units();
    let by_device =
        device.is_some_and(|device| (device.min as usize..=device.max as usize).contains(&bytes));
    if by_device && bytes == size.bytes() as usize {
        return Ok(Way::InPlace(WholeBy::Device));
    }
    let range = ByteRange::new(request.position(), bytes, size);
    let blocks = range.ok_or(FsError::Kernel(code::EFBIG))?.blocks();
    let waiting = Waiting::unless(request.is_nowait());
    let find = |block| map::find_if(inode, block, waiting);
    if let Found::Written { start, len } = find(blocks.start)? {
        let is_whole = len >= blocks.end.0 - blocks.start.0
            && size.byte_of_physical(start).unwrap_or(1) % bytes as u64 == 0
            && request.end_of(bytes) <= inode.size();
        return Ok(match by_device && is_whole {
            true => Way::InPlace(WholeBy::Device),
            false => Way::Aside,
        });
    }
    // A page that is stored to is written back, and converted, while the rest is on its way.
    if inode.data().has_stores() {
        return Ok(Way::Aside);
    }
    let mut at = blocks.start;
    while at < blocks.end {
        let (Found::Unwritten { len, .. } | Found::Hole { len }) = find(at)? else {
            return Ok(Way::Aside);
        };
        at = LogicalBlock(at.0.saturating_add(len));
    }
    Ok(Way::InPlace(WholeBy::Conversion))
}

/// Whether a write can be one, before anything of the file is looked at.
///
/// # Errors
///
/// `EINVAL`; `EOPNOTSUPP` if it goes through the page cache.
pub(crate) fn check(request: &Kiocb<'_, Rext4>, memory: &mut IovIter<'_>) -> Result {
    let units = units(request.inode()).ok_or(code::EINVAL)?;
    if !(units.min as usize..=units.max as usize).contains(&memory.len()) {
        return Err(code::EINVAL);
    }
    request.check_atomic(memory)
}

/// The same when it is known where it begins (`O_APPEND`) and how much of it may be written: `bytes` of `asked`. The
/// inode's lock is held.
///
/// # Errors
///
/// `EINVAL` if it does not begin with a block, or the file has got a block map meanwhile; `EFBIG` if a limit cuts it.
pub(super) fn check_place(request: &Kiocb<'_, Rext4>, asked: usize, bytes: usize) -> Result {
    units(request.inode()).ok_or(code::EINVAL)?;
    if bytes < asked {
        return Err(code::EFBIG);
    }
    let size = request.inode().super_block().data().layout.block_size();
    let range = ByteRange::new(request.position(), bytes, size).ok_or(code::EFBIG)?;
    match range.partial_blocks() {
        [None, None] => Ok(()),
        _ => Err(code::EINVAL),
    }
}
