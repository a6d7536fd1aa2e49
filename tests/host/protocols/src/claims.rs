// SPDX-License-Identifier: GPL-2.0

//! Direct writes to new blocks, with the claims of `rust/dio/claim.rs`.
//!
//! The file is two blocks of two sectors, on both sides of the border between two regions. A write
//! is what `rust/dio` and the kernel's direct I/O make of it: look up and claim, look up again when it
//! is submitted, the device's work sector by sector, conversion. Each sector is written by one
//! request alone, or by several whole writes with the same data; so in the end each has to hold
//! what its writer wrote.

use crate::{
    claim::{Bucket, Claim, Cover, Entries, Entry, List, Table, Waiting, REGION},
    disk::units::{InodeNumber, LogicalBlock},
    explore, Model,
};
use loom::{
    sync::{Arc, Condvar, Mutex},
    thread,
};

/// What can be wrong.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Fault {
    None,
    /// Nothing is claimed.
    NoClaims,
    /// Whole writes claim nothing, as with the lock of history.
    OnlyParts,
    /// One of the requests claims its last block before its first.
    Descending,
    /// The claim is given back before the conversion.
    GivenBackEarly,
    /// Whether to fill a block with zeros is what the look before the claim said.
    OldLook,
    /// Nobody is woken.
    NoWaking,
    /// Who waits looks first, and then gets in line.
    LateInLine,
}

pub(crate) struct Listed(Vec<Entry>);

impl List for Listed {
    fn entries(&self) -> &[Entry] {
        &self.0
    }

    fn push(&mut self, entry: Entry) -> bool {
        // As in the kernel: there is no room unless it was made.
        let room = self.0.len() < self.0.capacity();
        if room {
            self.0.push(entry);
        }
        room
    }

    fn swap_remove(&mut self, index: usize) {
        self.0.swap_remove(index);
    }
}

pub(crate) struct ModelBucket {
    fault: Fault,
    entries: Mutex<Entries<Listed>>,
    /// How often all were woken: who is in line is who knows the number before.
    woken: Mutex<u32>,
    queue: Condvar,
}

impl ModelBucket {
    fn new(fault: Fault) -> Self {
        Self {
            fault,
            entries: Mutex::new(Entries::new(Listed(Vec::with_capacity(4)))),
            woken: Mutex::new(0),
            queue: Condvar::new(),
        }
    }

    fn sleep_since(&self, before: u32) {
        let mut woken = self.woken.lock().unwrap();
        while *woken == before {
            woken = self.queue.wait(woken).unwrap();
        }
    }
}

impl Bucket for ModelBucket {
    type List = Listed;
    type Error = ();

    fn with<R>(&self, work: impl FnOnce(&mut Entries<Listed>) -> R) -> R {
        work(&mut self.entries.lock().unwrap())
    }

    fn make_room(&self) -> Result<(), ()> {
        self.with(|entries| entries.list_mut().0.reserve(1));
        Ok(())
    }

    fn wait<R>(&self, mut attempt: impl FnMut() -> Option<R>) -> Result<R, ()> {
        loop {
            let mut before = *self.woken.lock().unwrap();
            if let Some(result) = attempt() {
                return Ok(result);
            }
            if self.fault == Fault::LateInLine {
                before = *self.woken.lock().unwrap();
            }
            self.sleep_since(before);
        }
    }

    fn wake_all(&self) {
        if self.fault != Fault::NoWaking {
            *self.woken.lock().unwrap() += 1;
            self.queue.notify_all();
        }
    }

    fn would_wait() {}
}

/// All buckets of a file system.
#[derive(Clone)]
pub(crate) struct Buckets(Arc<[ModelBucket; 2]>);

impl Buckets {
    /// Without faults.
    pub(crate) fn new() -> Self {
        Self::with_fault(Fault::None)
    }

    fn with_fault(fault: Fault) -> Self {
        let buckets = [ModelBucket::new(fault), ModelBucket::new(fault)];
        Self(Arc::new(buckets))
    }
}

impl Table for Buckets {
    type Bucket = ModelBucket;

    fn buckets(&self) -> &[ModelBucket] {
        &*self.0
    }

    fn bucket(&self, _file: InodeNumber, region: u32) -> &ModelBucket {
        &self.0[region as usize % 2]
    }
}

/// Sectors of a block.
const SECTORS: usize = 2;
/// The first of the two blocks: the last one of a region.
const FIRST: u32 = REGION - 1;

/// A block on the device, and what the tree says about it.
struct Block {
    written: Mutex<bool>,
    sectors: Mutex<[u8; SECTORS]>,
}

struct File {
    fault: Fault,
    table: Buckets,
    blocks: [Block; 2],
}

impl File {
    fn new(fault: Fault) -> Arc<Self> {
        let block = || Block {
            written: Mutex::new(false),
            // What nobody must see.
            sectors: Mutex::new([0xa5; SECTORS]),
        };
        Arc::new(Self {
            fault,
            table: Buckets::with_fault(fault),
            blocks: [block(), block()],
        })
    }

    fn is_written(&self, block: usize) -> bool {
        *self.blocks[block].written.lock().unwrap()
    }

    /// Writes to the sectors of each block that `data` has something for; both blocks for a range
    /// over the border. `false` if it had to wait and must not.
    fn write(&self, data: [[Option<u8>; SECTORS]; 2], waiting: Waiting) -> bool {
        let touched: Vec<usize> = (0..2)
            .filter(|block| data[*block] != [None; SECTORS])
            .collect();
        let mut claim = Claim::new(self.table.clone(), InodeNumber(12));
        let mut wanted = touched.clone();
        if self.fault == Fault::Descending && data[0][0].is_some() {
            wanted.reverse();
        }
        let mut looked = [false; 2];
        for block in wanted {
            let cover = match data[block].contains(&None) {
                true => Cover::Part,
                false => Cover::Whole,
            };
            looked[block] = self.is_written(block);
            let is_claimed = match self.fault {
                Fault::NoClaims => false,
                Fault::OnlyParts => cover == Cover::Part,
                _ => true,
            };
            if looked[block] || !is_claimed {
                continue;
            }
            let start = LogicalBlock(FIRST + block as u32);
            match claim.add(start..LogicalBlock(start.0 + 1), cover, waiting, &mut || {}) {
                Ok(true) if self.is_written(block) => claim.give_back_last(),
                Ok(_) => {}
                Err(()) => return false,
            }
        }
        // get_block, block by block, and then the device.
        let fills: Vec<bool> = touched
            .iter()
            .map(|block| match self.fault {
                Fault::OldLook => !looked[*block],
                _ => !self.is_written(*block),
            })
            .collect();
        for (block, fills) in touched.iter().zip(&fills) {
            for (sector, byte) in data[*block].iter().enumerate() {
                let byte = byte.or(fills.then_some(0));
                if let Some(byte) = byte {
                    self.blocks[*block].sectors.lock().unwrap()[sector] = byte;
                }
            }
        }
        if self.fault == Fault::GivenBackEarly {
            drop(claim);
            self.convert(&touched);
        } else {
            self.convert(&touched);
            drop(claim);
        }
        true
    }

    fn convert(&self, touched: &[usize]) {
        for block in touched {
            *self.blocks[*block].written.lock().unwrap() = true;
        }
    }

    /// All is done: what is in the file, and nothing is claimed any more.
    fn judge(&self, expected: [Option<[u8; SECTORS]>; 2]) {
        for (block, expected) in expected.iter().enumerate() {
            if let Some(expected) = expected {
                assert!(self.is_written(block), "block {block} is not converted");
                let found = *self.blocks[block].sectors.lock().unwrap();
                assert_eq!(found, *expected, "block {block}");
            }
        }
        for bucket in self.table.buckets() {
            bucket.with(|entries| assert!(entries.list_mut().0.is_empty(), "still claimed"));
        }
    }
}

type Data = [[Option<u8>; SECTORS]; 2];
const NO: [Option<u8>; SECTORS] = [None, None];

/// Runs writers side by side, the last one in the thread that waits for the others.
fn side_by_side(
    fault: Fault,
    preemptions: Option<usize>,
    writes: &'static [Data],
    expected: [Option<[u8; SECTORS]>; 2],
) {
    explore(preemptions, move || {
        let file = File::new(fault);
        let (last, others) = writes.split_last().expect("a write");
        let threads: Vec<_> = others
            .iter()
            .map(|data| {
                let file = file.clone();
                thread::spawn(move || assert!(file.write(*data, Waiting::Allowed)))
            })
            .collect();
        assert!(file.write(*last, Waiting::Allowed));
        for thread in threads {
            thread.join().unwrap();
        }
        file.judge(expected);
    });
}

fn two_parts(fault: Fault) {
    const WRITES: &[Data] = &[[[Some(1), None], NO], [[None, Some(2)], NO]];
    side_by_side(fault, None, WRITES, [Some([1, 2]), None]);
}

fn three_parts(fault: Fault) {
    const WRITES: &[Data] = &[
        [[Some(1), None], NO],
        [[None, Some(2)], NO],
        [[None, Some(2)], NO],
    ];
    side_by_side(fault, Some(3), WRITES, [Some([1, 2]), None]);
}

fn part_and_whole(fault: Fault) {
    const WRITES: &[Data] = &[[[Some(1), None], NO], [[Some(1), Some(2)], NO]];
    side_by_side(fault, None, WRITES, [Some([1, 2]), None]);
}

fn two_edges(fault: Fault) {
    // Sector 1 of the first block and sector 0 of the second, beside the two others.
    const WRITES: &[Data] = &[
        [[None, Some(2)], [Some(3), None]],
        [[Some(1), None], [None, Some(4)]],
    ];
    side_by_side(fault, None, WRITES, [Some([1, 2]), Some([3, 4])]);
}

fn edges_in_a_ring(fault: Fault) {
    const WRITES: &[Data] = &[
        [[None, Some(2)], [Some(3), None]],
        [[Some(1), None], NO],
        [NO, [None, Some(4)]],
    ];
    side_by_side(fault, Some(3), WRITES, [Some([1, 2]), Some([3, 4])]);
}

fn must_not_wait(fault: Fault) {
    explore(None, move || {
        let file = File::new(fault);
        let other = file.clone();
        let thread = thread::spawn(move || {
            assert!(other.write([[Some(1), None], NO], Waiting::Allowed));
        });
        let done = file.write([[None, Some(2)], [Some(3), Some(3)]], Waiting::Forbidden);
        thread.join().unwrap();
        let second = if done { 2 } else { 0 };
        file.judge([Some([1, second]), done.then_some([3, 3])]);
    });
}

/// The models of this file.
pub const MODELS: &[Model] = &[
    model!(two_parts),
    model!(three_parts),
    model!(part_and_whole),
    model!(two_edges),
    model!(edges_in_a_ring),
    model!(must_not_wait),
    model!(two_parts, NoClaims),
    model!(two_parts, GivenBackEarly),
    model!(two_parts, OldLook),
    model!(two_parts, NoWaking),
    model!(two_parts, LateInLine),
    model!(part_and_whole, OnlyParts),
    model!(two_edges, Descending),
];
