// SPDX-License-Identifier: GPL-2.0

//! The blocks that belong to the file system itself, and what block bitmaps must say about them.
//!
//! Super blocks, descriptors, bitmaps, inode tables and the journal are in use for ever. A bitmap
//! that shows one of them as free is damaged, and to believe it would let data overwrite them. With
//! `flex_bg` a group's bitmaps lie in other groups, so all groups' together make up a map.

use super::bitmap::{Bitmap, BitmapMut};
use super::group_desc::GroupDesc;
use super::layout::Layout;
use super::units::{GroupNumber, InodeNumber, PhysicalBlock};
use core::fmt;
use core::ops::Range;
use zerocopy::SplitByteSlice;

/// What is wrong with what is in use and what is not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AllocationError {
    /// Two parts of the file system's own lie over each other.
    Overlap {
        /// The first block that both claim.
        block: PhysicalBlock,
    },
    /// A block of the file system's own is free in the bitmap, or was about to be used or freed.
    SystemBlock {
        /// The block.
        block: PhysicalBlock,
    },
    /// A block bitmap has clear bits behind the end of its group.
    Padding {
        /// The group.
        group: GroupNumber,
    },
    /// A block bitmap has more or fewer free blocks than the descriptor says.
    FreeCount {
        /// The group.
        group: GroupNumber,
        /// As the bitmap has it.
        bitmap: u32,
        /// As the descriptor has it.
        descriptor: u32,
    },
    /// Blocks that were to be freed do not exist.
    NoSuchBlocks {
        /// The first block.
        first: PhysicalBlock,
        /// Their number.
        count: u64,
    },
    /// A block that was to be freed is free.
    FreedTwice {
        /// The block.
        block: PhysicalBlock,
    },
    /// An inode that was to be freed is free, or reserved.
    InodeNotInUse {
        /// The inode.
        inode: InodeNumber,
    },
    /// An inode that was to be read does not exist, or was never used.
    NoSuchInode {
        /// The inode.
        inode: InodeNumber,
    },
    /// An inode is in use that was never used, as its group's descriptor has it.
    UsedBehindEnd {
        /// The inode.
        inode: InodeNumber,
    },
    /// The bitmap of a group was found damaged before, so nothing of it can be used.
    BadGroup {
        /// The group.
        group: GroupNumber,
    },
}

impl fmt::Display for AllocationError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Overlap { block } => {
                write!(
                    f,
                    "block {block} belongs to two parts of the file system's metadata"
                )
            }
            Self::SystemBlock { block } => write!(
                f,
                "block {block} holds metadata of the file system but is taken for free"
            ),
            Self::Padding { group } => {
                write!(f, "block bitmap of group {group}: free bits behind its end")
            }
            Self::FreeCount {
                group,
                bitmap,
                descriptor,
            } => write!(
                f,
                "block bitmap of group {group}: {bitmap} free, but {descriptor} in the descriptor"
            ),
            Self::NoSuchBlocks { first, count } => {
                write!(
                    f,
                    "{count} blocks from {first} on were freed but do not exist"
                )
            }
            Self::FreedTwice { block } => write!(f, "block {block} was freed but is free"),
            Self::InodeNotInUse { inode } => {
                write!(f, "inode {inode} was freed but is not in use")
            }
            Self::NoSuchInode { inode } => write!(f, "inode {inode} was never used"),
            Self::UsedBehindEnd { inode } => write!(
                f,
                "inode {inode} is in use in the inode bitmap, but was never used in the descriptor"
            ),
            Self::BadGroup { group } => {
                write!(
                    f,
                    "group {group} has a bitmap that was found damaged before"
                )
            }
        }
    }
}

/// A run of blocks of the file system's own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SystemRun {
    /// The first block.
    pub first: PhysicalBlock,
    /// The number of blocks.
    pub count: u32,
}

impl SystemRun {
    /// The block behind the last. Blocks have numbers below 2^63, see [`Layout`].
    pub fn end(&self) -> u64 {
        self.first.0.saturating_add(u64::from(self.count))
    }
}

/// The runs that a group accounts for: what it begins with, its bitmaps, and its inode table.
pub fn runs_of_group<B: SplitByteSlice>(layout: &Layout, desc: &GroupDesc<B>) -> [SystemRun; 4] {
    let run = |first, count| SystemRun { first, count };
    [
        run(
            layout.first_block(desc.group()),
            layout.fixed_blocks(desc.group()),
        ),
        run(desc.block_bitmap(), 1),
        run(desc.inode_bitmap(), 1),
        run(desc.inode_table(), layout.inode_table_blocks()),
    ]
}

/// Runs in some kind of array, sorted by their first block and without overlap.
pub trait Runs {
    /// The run with this index.
    fn run(&self, index: usize) -> Option<SystemRun>;

    /// The index of the first run that ends behind block `at`, or the number of runs.
    fn first_behind(&self, at: PhysicalBlock) -> usize;
}

impl Runs for [SystemRun] {
    fn run(&self, index: usize) -> Option<SystemRun> {
        self.get(index).copied()
    }

    fn first_behind(&self, at: PhysicalBlock) -> usize {
        self.partition_point(|run| run.end() <= at.0)
    }
}

/// All blocks of the file system's own, over runs sorted by their first block.
pub struct SystemMap<'a, R: Runs + ?Sized = [SystemRun]>(&'a R);

impl<R: Runs + ?Sized> Clone for SystemMap<'_, R> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<R: Runs + ?Sized> Copy for SystemMap<'_, R> {}

impl SystemMap<'_> {
    /// Sorts `runs` and joins those that touch. Returns how many are left, at the start.
    ///
    /// # Errors
    ///
    /// [`AllocationError::Overlap`].
    pub fn tidy(runs: &mut [SystemRun]) -> Result<usize, AllocationError> {
        sort(runs);
        let mut kept = 0usize;
        for at in 0..runs.len() {
            let Some(run) = runs.get(at).copied().filter(|run| run.count > 0) else {
                continue;
            };
            let last = kept.checked_sub(1).and_then(|last| runs.get_mut(last));
            if let Some(last) = last {
                if run.first.0 < last.end() {
                    return Err(AllocationError::Overlap { block: run.first });
                }
                if let (true, Some(count)) =
                    (run.first.0 == last.end(), last.count.checked_add(run.count))
                {
                    last.count = count;
                    continue;
                }
            }
            if let Some(place) = runs.get_mut(kept) {
                *place = run;
                kept += 1;
            }
        }
        Ok(kept)
    }
}

impl<'a, R: Runs + ?Sized> SystemMap<'a, R> {
    /// The map of `runs`, which are sorted and without overlap: see [`SystemMap::tidy`].
    pub const fn new(runs: &'a R) -> Self {
        Self(runs)
    }

    /// The number of blocks in all of them.
    pub fn blocks(&self) -> u64 {
        let runs = (0..).map_while(|index| self.0.run(index));
        runs.fold(0, |sum, run| sum.saturating_add(run.count.into()))
    }

    /// The parts of the blocks `first..first + count` that are the file system's own, in order.
    pub fn within(self, first: PhysicalBlock, count: u64) -> impl Iterator<Item = Range<u64>> + 'a {
        let end = first.0.saturating_add(count);
        (self.0.first_behind(first)..)
            .map_while(move |index| self.0.run(index))
            .take_while(move |run| run.first.0 < end)
            .map(move |run| run.first.0.max(first.0)..run.end().min(end))
            // No part of no blocks.
            .filter(|own| !own.is_empty())
    }

    /// Checks that none of the blocks `first..first + count` is the file system's own.
    ///
    /// # Errors
    ///
    /// [`AllocationError::SystemBlock`].
    pub fn check_foreign(self, first: PhysicalBlock, count: u64) -> Result<(), AllocationError> {
        match self.within(first, count).next() {
            Some(own) => Err(AllocationError::SystemBlock {
                block: PhysicalBlock(own.start),
            }),
            None => Ok(()),
        }
    }

    /// The same within a group, as bits of its block bitmap.
    fn bits_of_group(
        self,
        layout: &Layout,
        group: GroupNumber,
    ) -> impl Iterator<Item = Range<u32>> + 'a {
        let first = layout.first_block(group);
        self.within(first, layout.blocks_in_group(group).into())
            // Less than the number of blocks of a group, which has 32 bits.
            .map(move |own| (own.start - first.0) as u32..(own.end - first.0) as u32)
    }
}

/// Sorts runs by their first block, in place: a heap sort, which no order of them makes slow.
fn sort(runs: &mut [SystemRun]) {
    let len = runs.len();
    for root in (0..len / 2).rev() {
        sift_down(runs, root);
    }
    for end in (1..len).rev() {
        let Some(heap) = runs.get_mut(..=end) else {
            return;
        };
        // The largest goes behind the rest, and the rest becomes a heap again.
        if let [largest, .., last] = heap {
            core::mem::swap(largest, last);
        }
        if let Some(heap) = heap.get_mut(..end) {
            sift_down(heap, 0);
        }
    }
}

/// Moves what is at `root` down until neither of the two below it is larger.
fn sift_down(heap: &mut [SystemRun], mut root: usize) {
    let first = |heap: &[SystemRun], at: usize| heap.get(at).map(|run| run.first);
    // Half the length of a slice of these is less than the largest number, so there is no overflow.
    while root < heap.len() / 2 {
        let (left, right) = (2 * root + 1, 2 * root + 2);
        let larger = if first(heap, right) > first(heap, left) {
            right
        } else {
            left
        };
        if first(heap, larger) <= first(heap, root) {
            return;
        }
        let Some((upper, lower)) = heap.split_at_mut_checked(larger) else {
            return;
        };
        if let (Some(upper), Some(lower)) = (upper.get_mut(root), lower.first_mut()) {
            core::mem::swap(upper, lower);
        }
        root = larger;
    }
}

/// Fills `block` with the block bitmap of a group that was never used: `BLOCK_UNINIT`.
///
/// In use are the file system's own blocks and what lies behind the group's end.
pub fn init_block_bitmap<R: Runs + ?Sized>(
    block: &mut [u8],
    layout: &Layout,
    group: GroupNumber,
    system: SystemMap<'_, R>,
) {
    let mut bitmap = BitmapMut::new(block);
    let bits = bitmap.as_bitmap().bits();
    let end = layout.blocks_in_group(group);
    bitmap.fill(0..end, false);
    bitmap.fill(end..bits, true);
    for own in system.bits_of_group(layout, group) {
        bitmap.fill(own, true);
    }
}

/// The number of free blocks in the bitmap that [`init_block_bitmap`] makes.
pub fn free_in_unused_group<R: Runs + ?Sized>(
    layout: &Layout,
    group: GroupNumber,
    system: SystemMap<'_, R>,
) -> u32 {
    let own: u32 = system
        .bits_of_group(layout, group)
        // Parts of one group without overlap: together not more than it has.
        .map(|own| own.end.saturating_sub(own.start))
        .sum();
    layout.blocks_in_group(group).saturating_sub(own)
}

/// Checks a block bitmap against all that is known of its group but the checksum.
///
/// # Errors
///
/// [`AllocationError::SystemBlock`], [`AllocationError::Padding`], [`AllocationError::FreeCount`].
pub fn check_block_bitmap<B: SplitByteSlice, R: Runs + ?Sized>(
    block: &[u8],
    layout: &Layout,
    desc: &GroupDesc<B>,
    system: SystemMap<'_, R>,
) -> Result<(), AllocationError> {
    let bitmap = Bitmap::new(block);
    let group = desc.group();
    for own in system.bits_of_group(layout, group) {
        if let Some(bit) = bitmap.next_clear(own) {
            return Err(AllocationError::SystemBlock {
                // A block of the group, whose numbers fit.
                block: PhysicalBlock(layout.first_block(group).0 + u64::from(bit)),
            });
        }
    }
    let end = layout.blocks_in_group(group);
    if bitmap.next_clear(end..bitmap.bits()).is_some() {
        return Err(AllocationError::Padding { group });
    }
    let (free, descriptor) = (bitmap.count_clear(0..end), desc.free_blocks());
    if free != descriptor {
        return Err(AllocationError::FreeCount {
            group,
            bitmap: free,
            descriptor,
        });
    }
    Ok(())
}
