// SPDX-License-Identifier: GPL-2.0

//! KUnit suite of the search for a group for a new inode, beside one that looks at each group.

use super::room::{Has, Needs, Room};
use crate::{disk::units::GroupNumber, error::FsResult};
use core::{
    cell::{Cell, RefCell},
    ops::Range,
};
use kernel::prelude::*;

/// Numbers that look random, the same each time.
pub(super) struct Numbers(pub(super) u64);

impl Numbers {
    pub(super) fn below(&mut self, end: u32) -> u32 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % u64::from(end)) as u32
    }
}

/// What groups have, and their bounds.
struct Model {
    groups: RefCell<KVVec<Has>>,
    room: Room,
    looks: Cell<u32>,
}

impl Model {
    fn new(groups: u32, numbers: &mut Numbers) -> Result<Self> {
        let mut all = KVVec::new();
        for _ in 0..groups {
            let has = Has {
                inodes: numbers.below(20).saturating_sub(4),
                blocks: numbers.below(20).saturating_sub(4),
                directories: numbers.below(3),
            };
            all.push(has, GFP_KERNEL)?;
        }
        // The last ones come later.
        let (base, later) = all.split_at(all.len() / 2);
        let room = Room::new(base.iter().map(|has| Ok(*has))).map_err(|_| ENOMEM)?;
        for has in later {
            room.add(*has).map_err(|_| ENOMEM)?;
        }
        Ok(Self {
            groups: RefCell::new(all),
            room,
            looks: Cell::new(0),
        })
    }

    fn look(&self, group: GroupNumber, needs: &Needs) -> FsResult<Option<Has>> {
        self.looks.set(self.looks.get() + 1);
        let has = *self.groups.borrow().get(group.0 as usize).ok_or(EINVAL)?;
        if needs.are_met_by(&has) {
            return Ok(Some(has));
        }
        self.room.lower(group, has);
        Ok(None)
    }

    fn first(&self, range: Range<u32>, needs: &Needs) -> Result<Option<u32>> {
        let look = |group, needs: &Needs| self.look(group, needs);
        let found = self.room.first(range, needs, &look).map_err(|_| EINVAL)?;
        Ok(found.map(|(group, _)| group.0))
    }

    fn emptiest(&self, start: u32, needs: &Needs) -> Result<Option<u32>> {
        let end = self.groups.borrow().len() as u32;
        let look = |group, needs: &Needs| self.look(group, needs);
        let found = self
            .room
            .emptiest([start..end, 0..start], needs, &look)
            .map_err(|_| EINVAL)?;
        Ok(found.map(|group| group.0))
    }

    /// The groups of a range that have what is needed, with their directories.
    fn those_with(&self, range: Range<u32>, needs: &Needs, each: &mut dyn FnMut(u32, u32)) {
        let groups = self.groups.borrow();
        for group in range {
            let has = groups.get(group as usize).copied().unwrap_or_default();
            if needs.are_met_by(&has) {
                each(group, has.directories);
            }
        }
    }

    /// Somebody takes or gives back something.
    fn change(&self, group: u32, numbers: &mut Numbers) {
        let mut groups = self.groups.borrow_mut();
        let Some(has) = groups.get_mut(group as usize) else {
            return;
        };
        match numbers.below(5) {
            0 => has.inodes += 1 + numbers.below(9),
            1 => has.blocks += 1 + numbers.below(9),
            2 => has.blocks = has.blocks.saturating_sub(1 + numbers.below(9)),
            3 => has.directories = has.directories.saturating_sub(1),
            _ => {
                has.inodes = has.inodes.saturating_sub(1 + numbers.below(9));
                has.directories += 1;
                // Nobody is told.
                return;
            }
        }
        self.room.raise(GroupNumber(group), *has);
    }
}

#[kunit_tests(rext4_group_room)]
mod suite {
    use super::*;

    #[test]
    fn the_same_group_is_found_as_by_looking_at_each() -> Result {
        let mut numbers = Numbers(0x9e37_79b9_7f4a_7c15);
        // Within a row, in some, and in more than have a bound in common.
        for groups in [40, 700, 9000] {
            let model = Model::new(groups, &mut numbers)?;
            for _ in 0..150 {
                for _ in 0..groups / 20 {
                    model.change(numbers.below(groups), &mut numbers);
                }
                let needs = Needs {
                    inodes: numbers.below(22),
                    blocks: numbers.below(22),
                    directories: numbers.below(3),
                };
                let start = numbers.below(groups);
                let range = start..start + 1 + numbers.below(groups - start);
                let mut expected = None;
                model.those_with(range.clone(), &needs, &mut |group, _| {
                    expected = expected.or(Some(group));
                });
                assert_eq!(model.first(range, &needs)?, expected);

                let mut fewest: Option<(u32, u32)> = None;
                let mut choose = |group, directories| {
                    if fewest.is_none_or(|(_, fewest)| directories < fewest) {
                        fewest = Some((group, directories));
                    }
                };
                model.those_with(start..groups, &needs, &mut choose);
                model.those_with(0..start, &needs, &mut choose);
                let expected = fewest.map(|(group, _)| group);
                assert_eq!(model.emptiest(start, &needs)?, expected);
            }
        }
        Ok(())
    }

    #[test]
    fn what_was_looked_at_in_vain_is_not_looked_at_again() -> Result {
        const GROUPS: u32 = 5000;
        let mut numbers = Numbers(7);
        let model = Model::new(GROUPS, &mut numbers)?;
        {
            let mut groups = model.groups.borrow_mut();
            for has in groups.iter_mut() {
                has.inodes = 0;
            }
        }
        let needs = Needs {
            inodes: 1,
            blocks: 0,
            directories: u32::MAX,
        };
        assert_eq!(model.first(0..GROUPS, &needs)?, None);
        assert!(model.looks.replace(0) > GROUPS / 2);
        assert_eq!(model.first(0..GROUPS, &needs)?, None);
        assert_eq!(model.looks.get(), 0);
        // One gets something back.
        if let Some(has) = model.groups.borrow_mut().get_mut(4321) {
            has.inodes = 1;
            model.room.raise(GroupNumber(4321), *has);
        }
        assert_eq!(model.first(0..GROUPS, &needs)?, Some(4321));
        assert_eq!(model.looks.get(), 1);
        Ok(())
    }
}
