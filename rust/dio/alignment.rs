// SPDX-License-Identifier: GPL-2.0

//! What of a request covers whole blocks, and which blocks it touches.

use crate::disk::{
    extent::LOGICAL_END,
    units::{BlockSize, LogicalBlock},
};
use core::ops::Range;
use kernel::prelude::*;

/// A range of bytes in a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ByteRange {
    start: u64,
    end: u64,
    size: BlockSize,
}

impl ByteRange {
    /// `len` bytes from byte `start` on, in a file system with this block size. `None` if the range
    /// can't be in a file, or is empty.
    pub(crate) fn new(start: i64, len: usize, size: BlockSize) -> Option<Self> {
        let start = u64::try_from(start).ok()?;
        let end = start.checked_add(u64::try_from(len).ok()?)?;
        (start < end && end <= size.byte_of_logical(LOGICAL_END)).then_some(Self {
            start,
            end,
            size,
        })
    }

    /// The blocks that it touches, wholly or in part.
    pub(crate) fn blocks(self) -> Range<LogicalBlock> {
        // In range, as was checked in `new`.
        let block = |byte: u64| LogicalBlock((byte >> self.size.bits()) as u32);
        block(self.start)..LogicalBlock(block(self.end - 1).0 + 1)
    }

    /// The blocks that it touches in part: the first, the last, or both, which may be one and the
    /// same.
    pub(crate) fn partial_blocks(self) -> [Option<LogicalBlock>; 2] {
        let Range { start, end } = self.blocks();
        let first = (self.size.within_block(self.start) != 0).then_some(start);
        let last = (self.size.within_block(self.end) != 0).then(|| LogicalBlock(end.0 - 1));
        [first, last.filter(|last| first != Some(*last))]
    }

    /// The blocks that it covers wholly; an empty range if there are none.
    pub(crate) fn whole_blocks(self) -> Range<LogicalBlock> {
        let first = LogicalBlock(self.size.blocks_for(self.start) as u32);
        let end = LogicalBlock((self.end >> self.size.bits()) as u32);
        first..end.max(first)
    }

    /// The byte behind the last one.
    pub(crate) fn end(self) -> u64 {
        self.end
    }
}

#[kunit_tests(rext4_alignment)]
mod tests {
    use super::*;

    const SIZE: BlockSize = match BlockSize::new(4096) {
        Some(size) => size,
        None => panic!(),
    };

    fn partial(start: i64, len: usize) -> [Option<u32>; 2] {
        match ByteRange::new(start, len, SIZE) {
            Some(range) => range
                .partial_blocks()
                .map(|block| block.map(|block| block.0)),
            None => panic!("no range"),
        }
    }

    #[test]
    fn whole_blocks_have_no_partial_ones() {
        assert_eq!(partial(0, 4096), [None, None]);
        assert_eq!(partial(8192, 12288), [None, None]);
    }

    #[test]
    fn a_part_of_one_block_is_one_partial_block() {
        assert_eq!(partial(512, 512), [Some(0), None]);
        assert_eq!(partial(0, 512), [None, Some(0)]);
        assert_eq!(partial(4096 + 3584, 512), [Some(1), None]);
    }

    #[test]
    fn both_ends_can_be_partial() {
        assert_eq!(partial(512, 4096), [Some(0), Some(1)]);
        assert_eq!(partial(63 * 512, 65536), [Some(7), Some(23)]);
        assert_eq!(partial(512, 3584), [Some(0), None]);
    }

    #[test]
    fn touched_blocks_are_rounded_out() {
        let blocks = |start, len| ByteRange::new(start, len, SIZE).map(ByteRange::blocks);
        assert_eq!(blocks(0, 1), Some(LogicalBlock(0)..LogicalBlock(1)));
        assert_eq!(blocks(4095, 2), Some(LogicalBlock(0)..LogicalBlock(2)));
        assert_eq!(blocks(4096, 4096), Some(LogicalBlock(1)..LogicalBlock(2)));
    }

    #[test]
    fn wholly_covered_blocks_are_rounded_in() {
        let blocks = |start, len| ByteRange::new(start, len, SIZE).map(ByteRange::whole_blocks);
        assert_eq!(blocks(1, 4095), Some(LogicalBlock(1)..LogicalBlock(1)));
        assert_eq!(blocks(1, 8191), Some(LogicalBlock(1)..LogicalBlock(2)));
        assert_eq!(blocks(4096, 8192), Some(LogicalBlock(1)..LogicalBlock(3)));
        assert_eq!(blocks(10, 20), Some(LogicalBlock(1)..LogicalBlock(1)));
    }

    #[test]
    fn what_is_in_no_file_is_no_range() {
        assert!(ByteRange::new(-1, 10, SIZE).is_none());
        assert!(ByteRange::new(0, 0, SIZE).is_none());
        let last = i64::from(u32::MAX) << 12;
        assert!(ByteRange::new(last - 4096, 4096, SIZE).is_some());
        assert!(ByteRange::new(last - 4096, 4097, SIZE).is_none());
        assert!(ByteRange::new(i64::MAX, usize::MAX, SIZE).is_none());
    }
}
