// SPDX-License-Identifier: GPL-2.0

//! The table of claims of a mounted file system, and what a direct write claims in it: see
//! [`super::claim`].

use super::{
    alignment::ByteRange,
    claim::{self, Bucket, Cover, Entries, Entry, List, Waiting},
};
use crate::{
    disk::units::LogicalBlock,
    error::{FsError, FsResult},
    inode::{
        self,
        map::{self, Found},
    },
    mount::counters::Count,
    vfs::{inode::Inode, task, wait::WaitQueue},
    Rext4,
};
use core::ops::Range;
use kernel::{
    error::code,
    new_spinlock,
    prelude::*,
    sync::{Arc, SpinLock},
};

/// How many buckets there are.
const BUCKETS: usize = 64;
/// The room in a list to begin with; it grows to what was in it at once.
const ROOM: usize = 8;

/// A list whose memory is allocated beforehand.
#[derive(Default)]
pub(crate) struct Listed(KVec<Entry>);

impl List for Listed {
    fn entries(&self) -> &[Entry] {
        &self.0
    }

    fn push(&mut self, entry: Entry) -> bool {
        self.0.push_within_capacity(entry).is_ok()
    }

    fn swap_remove(&mut self, index: usize) {
        let last = self.0.len().saturating_sub(1);
        self.0.swap(index, last);
        self.0.truncate(last);
    }
}

/// A bucket over the kernel's locks and wait queues.
#[pin_data]
pub(crate) struct KernelBucket {
    #[pin]
    entries: SpinLock<Entries<Listed>>,
    #[pin]
    given_back: WaitQueue,
}

impl KernelBucket {
    fn new() -> impl PinInit<Self> {
        pin_init!(Self {
            entries <- new_spinlock!(Entries::new(Listed::default()), "rext4_claims"),
            given_back <- WaitQueue::new(),
        })
    }
}

impl Bucket for KernelBucket {
    type List = Listed;
    type Error = FsError;

    fn with<R>(&self, work: impl FnOnce(&mut Entries<Listed>) -> R) -> R {
        work(&mut self.entries.lock())
    }

    fn make_room(&self) -> FsResult {
        let capacity = self.with(|entries| entries.list_mut().0.capacity());
        let mut larger = KVec::with_capacity((2 * capacity).max(ROOM), GFP_KERNEL)?;
        self.with(|entries| {
            let list = &mut entries.list_mut().0;
            if list.capacity() < larger.capacity() {
                for entry in list.drain_all() {
                    // There is room: it was less before.
                    drop(larger.push_within_capacity(entry));
                }
                core::mem::swap(list, &mut larger);
            }
        });
        Ok(())
    }

    fn wait<R>(&self, attempt: impl FnMut() -> Option<R>) -> FsResult<R> {
        Ok(self.given_back.wait_killable(attempt)?)
    }

    fn wake_all(&self) {
        self.given_back.wake_all();
    }

    fn would_wait() -> FsError {
        FsError::Kernel(code::EAGAIN)
    }
}

#[pin_data]
struct Buckets {
    #[pin]
    all: [KernelBucket; BUCKETS],
}

/// All claims of a mounted file system.
#[derive(Clone)]
pub(crate) struct Claims(Arc<Buckets>);

impl Claims {
    /// No claims.
    pub(crate) fn new() -> Result<Self> {
        Ok(Self(Arc::pin_init(
            pin_init!(Buckets {
                all <- pin_init::pin_init_array_from_fn(|_| KernelBucket::new()),
            }),
            GFP_KERNEL,
        )?))
    }
}

impl claim::Table for Claims {
    type Bucket = KernelBucket;

    fn buckets(&self) -> &[KernelBucket] {
        &self.0.all
    }
}

/// What one request has claimed.
pub(crate) type Claim = claim::Claim<Claims>;

/// Claims what a direct write to these bytes has to claim, all of it or nothing. `None` if that is
/// nothing: all its blocks are written. Where it `has_all` nobody else may write to whole blocks of it, either.
///
/// The inode's lock is held, so that no block becomes unwritten meanwhile. A block that becomes
/// written meanwhile is claimed for nothing.
///
/// # Errors
///
/// `EAGAIN` if it would have to wait and must not; `ERESTARTSYS` if the process is being killed;
/// `ENOMEM`; those of looking blocks up.
pub(super) fn claim(
    inode: &Inode<Rext4>,
    range: ByteRange,
    has_all: bool,
    waiting: Waiting,
) -> FsResult<Option<Claim>> {
    let all = range.blocks();
    if is_written(inode, &all, waiting)? {
        return Ok(None);
    }
    let fs = inode.super_block().data();
    let mut claim = None;
    for (blocks, cover) in covered(range) {
        let cover = if has_all { Cover::Part } else { cover };
        if blocks != all && is_written(inode, &blocks, waiting)? {
            continue;
        }
        let claim =
            claim.get_or_insert_with(|| claim::Claim::new(fs.claims.clone(), inode::number(inode)));
        let waited = claim.add(blocks.clone(), cover, waiting, &mut || {
            note_wait(inode, cover);
        })?;
        if waited && is_written(inode, &blocks, waiting)? {
            // By the one that it waited for: nothing is left to be protected.
            claim.give_back_last();
        }
    }
    Ok(claim.filter(|claim| !claim.is_empty()))
}

/// Waits until no direct write is on its way that fills a block of these bytes with zeros, or that is to make
/// a block written of which they are a part: for one who writes to them through the page cache. `EAGAIN` if
/// there is one, and waiting is forbidden.
///
/// The inode's lock is held exclusively, so that none begins. Those over written blocks have claimed nothing.
pub(crate) fn wait_for_others(
    inode: &Inode<Rext4>,
    range: ByteRange,
    waiting: Waiting,
) -> FsResult {
    let fs = inode.super_block().data();
    let mut claim = claim::Claim::new(fs.claims.clone(), inode::number(inode));
    for (blocks, cover) in covered(range) {
        claim.add(blocks, cover, waiting, &mut || {
            note_wait(inode, Cover::Whole);
        })?;
    }
    Ok(())
}

/// What a request to these bytes touches, in ascending order, and how.
fn covered(range: ByteRange) -> impl Iterator<Item = (Range<LogicalBlock>, Cover)> {
    let one = |block: LogicalBlock| block..LogicalBlock(block.0 + 1);
    let [first, last] = range.partial_blocks();
    [
        (first.map(one), Cover::Part),
        (Some(range.whole_blocks()), Cover::Whole),
        (last.map(one), Cover::Part),
    ]
    .into_iter()
    .filter_map(|(blocks, cover)| Some((blocks.filter(|blocks| blocks.start < blocks.end)?, cover)))
}

/// Whether blocks are all written. If waiting is forbidden, `EAGAIN` where that is not known without.
pub(super) fn is_written(
    inode: &Inode<Rext4>,
    blocks: &Range<LogicalBlock>,
    waiting: Waiting,
) -> FsResult<bool> {
    let mut start = blocks.start;
    while start < blocks.end {
        match map::find_if(inode, start, waiting)? {
            Found::Written { len, .. } => start = LogicalBlock(start.0.saturating_add(len)),
            Found::Unwritten { .. } | Found::Hole { .. } => return Ok(false),
        }
    }
    Ok(true)
}

/// A request is about to wait for another.
fn note_wait(inode: &Inode<Rext4>, cover: Cover) {
    let sb = inode.super_block();
    let fs = sb.data();
    fs.counters.add(Count::BlockWait, 1);
    if cover == Cover::Part && fs.unaligned_warning.is_due(task::seconds_since_boot()) {
        let name = task::Name::of_current();
        pr_warn!(
            "({}): warning: inode {}: direct writes of {} ({}) that do not cover whole blocks wait for \
             each other in new blocks; align them to {} bytes\n",
            sb.id(),
            inode.ino(),
            name,
            task::current_id(),
            fs.layout.block_size().bytes()
        );
    }
}
