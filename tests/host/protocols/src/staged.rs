// SPDX-License-Identifier: GPL-2.0

//! Who fills a hole: a model of `rust/inode/staged.rs`, with what is known of the tree in memory
//! (`rust/inode/cache.rs`), and those who give blocks to a hole with the tree's lock held
//! (`rust/inode/allocate.rs`, `rust/inode/delayed.rs`).
//!
//! There is a file of one block. Whoever fills it may take a block of the device that nobody has. In the end the
//! file has one, nobody has any other, and what was acknowledged is in it.

use crate::{explore, Model};
use loom::{
    sync::{Arc, Mutex, RwLock},
    thread,
};

/// What can be wrong.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Fault {
    None,
    /// Who fills the hole with the tree's lock held does not ask what is staged.
    NotAsked,
    /// He asks, but the hole stays known.
    NotForgotten,
    /// Who stages does not look again when he has his block.
    NoSecondLook,
    /// What is staged is no more so before it is in the tree.
    RemovedFirst,
    /// A block that was staged stays so when its data did not come to the device.
    NotGivenBack,
    /// All that is staged is given back, until there is nothing left.
    OthersGivenBack,
}

/// What the tree says of the block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Hole,
    Unwritten(usize),
    Written(usize),
}

/// Under the inode's spin lock.
struct Memory {
    known: Option<Place>,
    staged: Option<usize>,
}

/// How many blocks the device has.
const BLOCKS: usize = 4;

struct File {
    tree: RwLock<Place>,
    memory: Mutex<Memory>,
    /// Which blocks of the device somebody has.
    taken: Mutex<[bool; BLOCKS]>,
    /// Whether there is data of a direct write in a block.
    data: Mutex<[bool; BLOCKS]>,
    fault: Fault,
}

impl File {
    fn new(fault: Fault) -> Arc<Self> {
        Arc::new(Self {
            tree: RwLock::new(Place::Hole),
            memory: Mutex::new(Memory {
                known: None,
                staged: None,
            }),
            taken: Mutex::new([false; BLOCKS]),
            data: Mutex::new([false; BLOCKS]),
            fault,
        })
    }

    fn take(&self) -> usize {
        let mut taken = self.taken.lock().unwrap();
        let free = taken.iter().position(|taken| !taken);
        let free = free.expect("there are more blocks than anybody needs");
        taken[free] = true;
        free
    }

    fn free(&self, block: usize) {
        self.taken.lock().unwrap()[block] = false;
    }

    fn find(&self) -> Place {
        if let Some(known) = self.memory.lock().unwrap().known {
            return known;
        }
        let tree = self.tree.read().unwrap();
        self.memory.lock().unwrap().known = Some(*tree);
        *tree
    }

    fn stage(&self) -> Option<usize> {
        let is_hole =
            |memory: &Memory| memory.known == Some(Place::Hole) && memory.staged.is_none();
        if !is_hole(&self.memory.lock().unwrap()) {
            return None;
        }
        let block = self.take();
        let mut memory = self.memory.lock().unwrap();
        if is_hole(&memory) || self.fault == Fault::NoSecondLook {
            memory.staged = Some(block);
            return Some(block);
        }
        drop(memory);
        self.free(block);
        None
    }

    /// Changes the tree, as `Gap::insert` does: what was known is forgotten before, and what is new kept.
    fn insert(&self, tree: &mut Place, new: Place) {
        let was_known = self.memory.lock().unwrap().known.take().is_some();
        *tree = new;
        if was_known {
            self.memory.lock().unwrap().known = Some(new);
        }
    }

    /// Puts what is staged into the tree.
    fn put(&self, tree: &mut Place, new: Place) {
        assert_eq!(*tree, Place::Hole, "the block has another place already");
        if self.fault == Fault::RemovedFirst {
            self.memory.lock().unwrap().staged = None;
        }
        self.insert(tree, new);
        self.memory.lock().unwrap().staged = None;
    }

    /// Gives the block a place if it has none; returns that.
    fn fill(&self) -> usize {
        let mut tree = self.tree.write().unwrap();
        match *tree {
            Place::Unwritten(at) | Place::Written(at) => return at,
            Place::Hole => {}
        }
        let mut memory = self.memory.lock().unwrap();
        if let (Some(staged), true) = (memory.staged, self.fault != Fault::NotAsked) {
            drop(memory);
            self.put(&mut tree, Place::Unwritten(staged));
            return staged;
        }
        if self.fault != Fault::NotForgotten {
            memory.known = None;
        }
        drop(memory);
        let block = self.take();
        self.insert(&mut tree, Place::Unwritten(block));
        block
    }

    /// A direct write of the block, to its end.
    fn write(&self, works: bool) {
        let (block, is_staged) = match self.find() {
            Place::Written(at) | Place::Unwritten(at) => (at, false),
            Place::Hole => match self.stage() {
                Some(block) => (block, true),
                None => (self.fill(), false),
            },
        };
        thread::yield_now();
        let mut tree = self.tree.write().unwrap();
        let staged = self.memory.lock().unwrap().staged;
        if !works {
            if is_staged && staged == Some(block) && self.fault != Fault::NotGivenBack {
                self.memory.lock().unwrap().staged = None;
                self.free(block);
                if self.fault == Fault::OthersGivenBack {
                    thread::yield_now();
                    let staged = self.memory.lock().unwrap().staged.take();
                    staged.into_iter().for_each(|other| self.free(other));
                }
            }
            return;
        }
        self.data.lock().unwrap()[block] = true;
        if is_staged && staged == Some(block) {
            self.put(&mut tree, Place::Written(block));
        } else {
            match *tree {
                Place::Unwritten(at) => self.insert(&mut tree, Place::Written(at)),
                Place::Written(_) => {}
                Place::Hole => panic!("there is nothing to be converted"),
            }
        }
        assert_eq!(*tree, Place::Written(block), "the data is elsewhere");
    }

    /// What is known in memory is what the tree says, and all blocks but that of the file are free.
    fn judge(&self) {
        let tree = *self.tree.read().unwrap();
        let memory = self.memory.lock().unwrap();
        assert!(
            memory.known.is_none_or(|known| known == tree),
            "something else is known"
        );
        assert_eq!(memory.staged, None, "something is still staged");
        let own = match tree {
            Place::Hole => None,
            Place::Unwritten(at) | Place::Written(at) => Some(at),
        };
        let taken = self.taken.lock().unwrap();
        for (block, taken) in taken.iter().enumerate() {
            assert_eq!(*taken, Some(block) == own, "block {block} of the device");
        }
    }
}

fn side_by_side(fault: Fault, works: &[fn(&File)]) {
    let works = works.to_vec();
    explore(Some(3), move || {
        let file = File::new(fault);
        let others: Vec<_> = works[1..]
            .iter()
            .map(|work| {
                let (file, work) = (file.clone(), *work);
                thread::spawn(move || work(&file))
            })
            .collect();
        works[0](&file);
        for other in others {
            other.join().unwrap();
        }
        file.judge();
    });
}

fn written(file: &File) {
    file.write(true);
}

fn failed(file: &File) {
    file.write(false);
}

fn filled(file: &File) {
    file.fill();
}

/// Two direct writes, and one who fills the hole otherwise.
fn two_writes_and_a_filler(fault: Fault) {
    side_by_side(fault, &[written, written, filled]);
}

/// The data of one write does not come to the device.
fn one_fails(fault: Fault) {
    side_by_side(fault, &[written, failed, filled]);
}

/// There is only one, and its data does not come to the device.
fn the_only_one_fails(fault: Fault) {
    side_by_side(fault, &[failed]);
}

/// The models of this file.
pub const MODELS: &[Model] = &[
    model!(two_writes_and_a_filler),
    model!(one_fails),
    model!(the_only_one_fails),
    model!(two_writes_and_a_filler, NotAsked),
    model!(two_writes_and_a_filler, NotForgotten),
    model!(two_writes_and_a_filler, NoSecondLook),
    model!(two_writes_and_a_filler, RemovedFirst),
    model!(one_fails, OthersGivenBack),
    model!(the_only_one_fails, NotGivenBack),
];
