// SPDX-License-Identifier: GPL-2.0

//! `EXT4_IOC_MOVE_EXT`: a file gets other blocks for its data, those of a donor, which gets the
//! file's old ones. That is how a file is defragmented while it is in use.
//!
//! What is written of the file is copied to the donor's blocks, then the two trees exchange the
//! blocks. The file's extents keep their state; what the donor gets is unwritten, so that it reads as
//! zeros there. Where one of the two has a hole, nothing is done.
//!
//! # Who is kept away
//!
//! Both inodes' locks are held, all direct I/O on them has ended, faults are kept away and no page is
//! dirty: nobody but this changes either tree, and nobody has a page of the range, or a request for
//! one of its blocks under way.
//!
//! # A crash
//!
//! Both trees change in one transaction, for one run of blocks after the other. Before that:
//!
//! - the copy is acknowledged by the device. The commit that makes the exchange durable flushes the
//!   device's cache first;
//! - it went to blocks that are unwritten in the donor, on disk too: if they were written, they are
//!   made unwritten first, and that is committed. So the donor never has the file's data.
//!
//! Afterwards, before anybody is let to the donor, the exchange is committed: what is written to it
//! then goes to blocks that a crash would otherwise give back to the file.

use crate::{
    disk::{
        extent::{Extent, State, LOGICAL_END},
        inode::InodeFlags,
        units::{BlockSize, LogicalBlock, PhysicalBlock},
    },
    error::{euclean, FsError, FsResult},
    extent,
    inode::{
        convert,
        journaled::journals_data,
        map::{self, Found},
        rights,
        tree::{ReadTree, WriteTree},
        whole_pages, Alone, DataKind,
    },
    journal::credits,
    vfs::{
        file::MoveRange,
        inode::Inode,
        jbd2::{Handle, Journal},
        transfer::{Memory, Run},
    },
    Rext4,
};
use kernel::{error::code, page::PAGE_SIZE, prelude::*};

/// The most bytes that are copied at once.
const COPY_BYTES: usize = 1 << 20;
/// The most runs of blocks that are looked up at once.
const COPY_RUNS: usize = 256;

/// Moves the data of a range of `file` to the blocks that `donor` has. Adds to `moved` how many they
/// were, with an error too.
///
/// # Errors
///
/// Those of C ext4 for what can't be done; `ENOSPC` if there is no space for the nodes of a tree. The
/// file is whole then, and what was not moved of the donor may be zeros already.
pub(crate) fn move_extents(
    file: &Inode<Rext4>,
    donor: &Inode<Rext4>,
    range: &MoveRange,
    moved: &mut u64,
) -> FsResult {
    let sb = file.super_block();
    let journal = sb.data().writing(sb)?;
    let size = sb.data().layout.block_size();
    let mut mover = Mover {
        file,
        donor,
        journal,
        size,
        memory: Memory::new(COPY_BYTES)?,
        committed: false,
        runs: KVec::with_capacity(COPY_RUNS, GFP_KERNEL)?,
    };
    let locks = Inode::lock_two(file, donor)?;
    check_files(file, donor)?;
    let _alone = (Alone::new(file, &locks.0), Alone::new(donor, &locks.1));
    let (start, donor_start, len) = check_range(file, donor, range, size)?;
    let _page_caches = Inode::lock_two_page_caches(&locks);
    for inode in [file, donor] {
        // All of it: writeback of other parts would change the tree.
        inode.write_back(0, i64::MAX)?;
    }
    let pages = |first: LogicalBlock| whole_pages(size, first..LogicalBlock(first.0 + len));
    // Readers that have a page of the file already must find its data there.
    let (from, to) = pages(start);
    file.release_page_cache(&locks.0, from, to - 1)?;
    let (from, to) = pages(donor_start);
    donor.drop_page_cache(&locks.1, from, to - 1);
    let mut done = 0;
    let mut result = Ok(());
    while done < len && result.is_ok() {
        let (at, donor_at) = (start.0 + done, donor_start.0 + done);
        let rest = Rest {
            at: LogicalBlock(at),
            donor_at: LogicalBlock(donor_at),
            len: len - done,
        };
        result = mover.step(rest, moved).map(|blocks| done += blocks);
    }
    if *moved > 0 {
        let narrowed = narrow(file, journal).and(narrow(donor, journal));
        journal.force_commit()?;
        result = result.and(narrowed);
    }
    result
}

/// Checks that blocks can be exchanged between these files.
fn check_files(file: &Inode<Rext4>, donor: &Inode<Rext4>) -> FsResult {
    let refuse = |errno| Err(FsError::Kernel(errno));
    if !file.is_regular() || !donor.is_regular() {
        return refuse(code::EINVAL);
    }
    for inode in [file, donor] {
        let data = inode.data();
        let special = data.flags().has(InodeFlags::ENCRYPT) || journals_data(inode);
        if special || data.kind() != DataKind::Extents {
            return Err(FsError::unsupported());
        }
    }
    if u32::from(donor.mode()) & (crate::bindings::S_ISUID | crate::bindings::S_ISGID) != 0 {
        return refuse(code::EINVAL);
    }
    if donor.is_immutable() || donor.is_append_only() {
        return refuse(code::EPERM);
    }
    if file.is_swap_file() || donor.is_swap_file() {
        return refuse(code::ETXTBSY);
    }
    // It may have been opened before it became one.
    if file.is_exempt_from_quotas() || donor.is_exempt_from_quotas() {
        return Err(FsError::unsupported());
    }
    if file.size() == 0 || donor.size() == 0 {
        return refuse(code::EINVAL);
    }
    Ok(())
}

/// The first logical blocks of a range in both files, and how many there are within both.
///
/// # Errors
///
/// `EINVAL` if the starts lie at different places of a page, if it is out of range, or if there is
/// nothing of it in a file.
fn check_range(
    file: &Inode<Rext4>,
    donor: &Inode<Rext4>,
    range: &MoveRange,
    size: BlockSize,
) -> FsResult<(LogicalBlock, LogicalBlock, u32)> {
    let in_page = (PAGE_SIZE as u64 >> size.bits()).max(1) - 1;
    let invalid = FsError::Kernel(code::EINVAL);
    if (range.start ^ range.donor_start) & in_page != 0 {
        return Err(invalid);
    }
    let mut len = range.len;
    for (inode, start) in [(file, range.start), (donor, range.donor_start)] {
        start
            .checked_add(range.len)
            .filter(|&end| end < LOGICAL_END.0.into())
            .ok_or(invalid)?;
        let end_of_file = size.blocks_for(u64::try_from(inode.size()).unwrap_or(0));
        len = len.min(end_of_file.saturating_sub(start));
    }
    let block = |block: u64| u32::try_from(block).map(LogicalBlock).map_err(|_| invalid);
    let len = u32::try_from(len).ok().filter(|&len| len > 0);
    Ok((
        block(range.start)?,
        block(range.donor_start)?,
        len.ok_or(invalid)?,
    ))
}

/// What is left to do.
#[derive(Clone, Copy)]
struct Rest {
    at: LogicalBlock,
    donor_at: LogicalBlock,
    len: u32,
}

/// Blocks that lie in a row in both files.
#[derive(Clone, Copy)]
struct Pair {
    /// What the file has.
    own: Extent,
    /// What the donor has.
    other: Extent,
}

impl Pair {
    /// What the file is to have, and the donor.
    fn exchanged(&self) -> FsResult<(Extent, Extent)> {
        let extent = |at: Extent, to: Extent, state| {
            Extent::new(at.logical(), to.physical(), at.len(), state)
                .ok_or(FsError::Kernel(euclean()))
        };
        Ok((
            extent(self.own, self.other, self.own.state())?,
            extent(self.other, self.own, State::Unwritten)?,
        ))
    }

    /// Whether there is something to copy.
    fn has_data(&self) -> bool {
        self.own.state() == State::Written
    }
}

/// Two files that exchange blocks: locked, without direct I/O or anything in the page cache.
struct Mover<'a> {
    file: &'a Inode<Rext4>,
    donor: &'a Inode<Rext4>,
    journal: &'a Journal,
    size: BlockSize,
    memory: Memory,
    /// Whether all that the donor had unwritten at the start is so on disk.
    committed: bool,
    runs: KVec<Pair>,
}

impl Mover<'_> {
    /// Does as much as there is memory for, and gives how many blocks are done or were left out.
    fn step(&mut self, rest: Rest, moved: &mut u64) -> FsResult<u32> {
        let mut done = self.look(rest)?;
        if self.with_room(|| self.clear_donor())? {
            // It may be in other pieces now, and no more than was looked at is unwritten.
            done = self.look(Rest { len: done, ..rest })?;
        }
        if !self.committed {
            // What was unwritten before is perhaps not so on disk.
            let sync_point = &self.donor.data().sync_point;
            sync_point.wait(self.journal, self.donor.super_block().device(), false)?;
            self.committed = true;
        }
        self.copy()?;
        if self.runs.iter().any(Pair::has_data) {
            // What points to the copy must not be on disk before it.
            self.journal.settle()?;
        }
        for pair in &self.runs {
            self.with_room(|| self.exchange(pair))?;
            *moved += u64::from(pair.own.len());
        }
        Ok(done)
    }

    /// Looks up what is to be exchanged at the start of `rest`, and gives how many blocks it looked
    /// at.
    fn look(&mut self, rest: Rest) -> FsResult<u32> {
        self.runs.clear();
        let mut done = 0;
        let mut room = (COPY_BYTES >> self.size.bits()) as u32;
        while done < rest.len && room > 0 && self.runs.len() < COPY_RUNS {
            let left = rest.len - done;
            let at = LogicalBlock(rest.at.0 + done);
            let donor_at = LogicalBlock(rest.donor_at.0 + done);
            let own = map::find(self.file, at)?;
            let other = map::find(self.donor, donor_at)?;
            let (Some((to, len, state)), Some((donor_to, donor_len, donor_state))) =
                (placed(own), placed(other))
            else {
                // The hole that is the longer one, if both have one.
                let hole = |found| match found {
                    Found::Hole { len } => len,
                    _ => 0,
                };
                done += hole(own).max(hole(other)).min(left);
                continue;
            };
            let len = len.min(donor_len).min(left).min(room);
            let invalid = FsError::Kernel(euclean());
            let pair = Pair {
                own: Extent::new(at, to, len, state).ok_or(invalid)?,
                other: Extent::new(donor_at, donor_to, len, donor_state).ok_or(invalid)?,
            };
            self.runs.push(pair, GFP_KERNEL)?;
            done += len;
            room -= len;
        }
        Ok(done)
    }

    /// Makes those of the donor's blocks unwritten that are to be copied to. Returns whether there
    /// were any.
    fn clear_donor(&self) -> FsResult<bool> {
        let mut found = false;
        for pair in self.runs.iter().filter(|pair| pair.has_data()) {
            if pair.other.state() == State::Written {
                convert::unwrite(self.donor, pair.other.logical()..pair.other.end(), None)?;
                found = true;
            }
        }
        if found {
            self.journal.force_commit()?;
        }
        Ok(found)
    }

    /// Copies the file's data to the donor's blocks.
    fn copy(&mut self) -> FsResult {
        let size = self.size;
        let run = |extent: Extent| Run {
            // Lies on the device, whose bytes can be counted.
            start: size.byte_of_physical(extent.physical()).unwrap_or(u64::MAX),
            len: (extent.len() as usize) << size.bits(),
        };
        let device = self.file.super_block().device();
        let data = || self.runs.iter().filter(|pair| pair.has_data());
        self.memory.read(device, data().map(|pair| run(pair.own)))?;
        self.memory
            .write(device, data().map(|pair| run(pair.other)))?;
        Ok(())
    }

    /// Has two runs of blocks change places in the trees, or neither.
    fn exchange(&self, pair: &Pair) -> FsResult {
        let (own, other) = pair.exchanged()?;
        let credits = credits::replace(depth(self.file)?);
        let credits = credits.plus(credits::replace(depth(self.donor)?));
        let handle = self.journal.start(credits)?;
        let old = replace(self.file, &handle, own)?;
        if let Err(e) = replace(self.donor, &handle, other) {
            // It takes no node to put it back, so what can fail is the journal or a damaged node.
            // Then this must not be committed: blocks would be in both files.
            if replace(self.file, &handle, old).is_err() {
                self.journal.abort(code::EIO);
            }
            return Err(e);
        }
        Ok(handle.stop()?)
    }

    /// Does something, and again if the disk was full and may not be any more.
    fn with_room<R>(&self, work: impl Fn() -> FsResult<R>) -> FsResult<R> {
        let sb = self.file.super_block();
        sb.data().with_reclaim(sb, |_| work())
    }
}

/// Where blocks lie, how many, and in what state; `None` for a hole.
fn placed(found: Found) -> Option<(PhysicalBlock, u32, State)> {
    match found {
        Found::Hole { .. } => None,
        Found::Written { start, len } => Some((start, len, State::Written)),
        Found::Unwritten { start, len } => Some((start, len, State::Unwritten)),
    }
}

/// The depth of a tree, which does not change: nobody else has the file.
fn depth(inode: &Inode<Rext4>) -> FsResult<u16> {
    extent::depth(&ReadTree::new(inode, &inode.data().tree.read()))
}

/// [`extent::replace`] within a transaction.
fn replace(inode: &Inode<Rext4>, handle: &Handle<'_>, new: Extent) -> FsResult<Extent> {
    let mut root = inode.data().tree.write();
    let mut tree = WriteTree::new(inode, &mut root, handle, rights(inode));
    let old = extent::replace(&mut tree, new)?;
    tree.store_inode()?;
    Ok(old)
}

/// Makes a tree less deep if there is not much left in it.
fn narrow(inode: &Inode<Rext4>, journal: &Journal) -> FsResult {
    let handle = journal.start(credits::replace(depth(inode)?))?;
    let mut root = inode.data().tree.write();
    let mut tree = WriteTree::new(inode, &mut root, &handle, rights(inode));
    let narrowed = extent::narrow(&mut tree);
    tree.store_inode()?;
    drop(root);
    handle.stop()?;
    narrowed
}
