// SPDX-License-Identifier: GPL-2.0

//! The mappings of a file that were looked up last.
//!
//! A direct write asks twice where its blocks are, first to claim them and then to write to them, and
//! one who reads or overwrites mostly stays within a few extents. What was found holds as long as the
//! tree is what it was, which its version says, so it can be believed without the tree's lock: an
//! answer from here is one that the tree would have given at the moment at which the versions were
//! compared.

use crate::disk::units::LogicalBlock;
use crate::extent::Mapping;
use kernel::{new_spinlock, prelude::*, sync::SpinLock};

/// How many are kept of each inode.
const KEPT: usize = 4;

#[derive(Clone, Copy)]
struct Kept {
    mapping: Mapping,
    version: u64,
}

impl Kept {
    fn holds(&self, block: LogicalBlock) -> bool {
        match self.mapping {
            Mapping::Extent(extent) => extent.map(block).is_some(),
            Mapping::Hole(hole) => hole.first <= block && block < hole.end,
        }
    }
}

struct Slots {
    kept: [Option<Kept>; KEPT],
    /// The one that is given up next.
    next: usize,
}

/// The last mappings of one inode. Its lock is innermost.
#[pin_data]
pub(crate) struct Recent {
    #[pin]
    slots: SpinLock<Slots>,
}

impl Recent {
    /// None.
    pub(super) fn new() -> impl PinInit<Self> {
        pin_init!(Self {
            slots <- new_spinlock!(Slots { kept: [None; KEPT], next: 0 }, "rext4_recent"),
        })
    }

    /// The mapping of `block` in the tree of this version, if it is known.
    pub(super) fn find(&self, block: LogicalBlock, version: u64) -> Option<Mapping> {
        let slots = self.slots.lock();
        let mut kept = slots.kept.iter().flatten();
        kept.find(|kept| kept.version == version && kept.holds(block))
            .map(|kept| kept.mapping)
    }

    /// Keeps a mapping that was found in the tree of this version.
    pub(super) fn keep(&self, mapping: Mapping, version: u64) {
        let mut slots = self.slots.lock();
        let outdated = |kept: &Option<Kept>| kept.is_none_or(|kept| kept.version != version);
        let slot = slots.kept.iter().position(outdated).unwrap_or(slots.next);
        slots.next = (slot + 1) % KEPT;
        if let Some(kept) = slots.kept.get_mut(slot) {
            *kept = Some(Kept { mapping, version });
        }
    }
}

#[kunit_tests(rext4_recent)]
mod tests {
    use super::*;
    use crate::{
        disk::{
            extent::{Extent, State},
            units::PhysicalBlock,
        },
        extent::Hole,
    };

    fn extent(logical: u32) -> Mapping {
        let at = PhysicalBlock(1000 + u64::from(logical));
        match Extent::new(LogicalBlock(logical), at, 10, State::Written) {
            Some(extent) => Mapping::Extent(extent),
            None => panic!("no extent"),
        }
    }

    #[test]
    fn what_is_known_of_a_version() -> Result {
        let recent = KBox::pin_init(Recent::new(), GFP_KERNEL)?;
        let find = |block, version| recent.find(LogicalBlock(block), version);
        recent.keep(extent(20), 1);
        let hole = Mapping::Hole(Hole {
            first: LogicalBlock(30),
            end: LogicalBlock(40),
        });
        recent.keep(hole, 1);
        assert_eq!(find(20, 1), Some(extent(20)));
        assert_eq!(find(29, 1), Some(extent(20)));
        assert_eq!(find(30, 1), Some(hole));
        assert_eq!(find(39, 1), Some(hole));
        assert_eq!(find(19, 1), None);
        assert_eq!(find(40, 1), None);
        assert_eq!(find(20, 2), None);

        // What is outdated makes room, then what has been there longest.
        for number in 0..4 {
            recent.keep(extent(100 * number), 2);
        }
        assert_eq!(find(0, 2), Some(extent(0)));
        recent.keep(extent(400), 2);
        let known = (0..5).filter(|number| find(100 * number, 2).is_some());
        assert_eq!(known.count(), KEPT);
        assert_eq!(find(400, 2), Some(extent(400)));
        Ok(())
    }
}
