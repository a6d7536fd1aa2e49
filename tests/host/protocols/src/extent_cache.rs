// SPDX-License-Identifier: GPL-2.0

//! What is known of a tree in memory, beside who changes the tree: `rust/extent` and its cache, the code
//! itself, with the locks of `rust/inode/map.rs`, `rust/inode/cache.rs` and `rust/inode/tree.rs` as a model.
//!
//! There is a file of a few blocks, whose tree is in its inode. Each answer has to be one that the tree
//! gave between question and answer; in the end all that is known is what the tree says. Who is told that a
//! block is written has to find noted which transaction made it so: an overwrite that is to be durable waits
//! for that.

use crate::{
    disk::{
        extent::{DataArea, Extent, State, ROOT_SIZE},
        units::{LogicalBlock, PhysicalBlock},
    },
    explore, Model,
};
use loom::{
    sync::{
        atomic::{AtomicBool, Ordering},
        Arc, Mutex, RwLock,
    },
    thread,
};
use rext4_extent::extent::{
    self,
    cache::{self, Cache},
    memory::{Memory, Watch},
    Mapping, Progress,
};
use std::{ops::Range, sync};

/// What can be wrong.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Fault {
    None,
    /// What was found in the tree is kept when the tree's lock was given back.
    KeptWithoutLock,
    /// The lock is given back and taken once more for that, and nobody looks again.
    KeptWithNewLock,
    /// What a change has made is kept when the tree's lock was given back.
    LearnedWithoutLock,
    /// What was known before a change is not forgotten.
    NotForgotten,
    /// It is forgotten when the tree's lock was given back.
    ForgottenLate,
    /// The transaction of a change is noted when the tree's lock was given back.
    NotedLate,
}

/// Lists in memory that can always be had.
struct Plain;

#[derive(Debug)]
struct Items<T>(Vec<T>);

impl cache::Memory for Plain {
    type List<T> = Items<T>;
}

impl<T> Default for Items<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<T> cache::List<T> for Items<T> {
    fn items(&self) -> &[T] {
        &self.0
    }

    fn items_mut(&mut self) -> &mut [T] {
        &mut self.0
    }

    fn capacity(&self) -> usize {
        self.0.capacity()
    }

    fn reserve(&mut self, more: usize) -> bool {
        self.0.reserve(more);
        true
    }

    fn insert(&mut self, at: usize, item: T) {
        self.0.insert(at, item);
    }

    fn truncate(&mut self, len: usize) {
        self.0.truncate(len);
    }
}

/// How many blocks the file has.
const BLOCKS: u32 = 3;
const ALL: Range<LogicalBlock> = LogicalBlock(0)..LogicalBlock(BLOCKS);

/// Where a block is, and whether it is written; none for a hole.
type Place = Option<(u64, State)>;

/// What the tree says of each block.
type Truth = [Place; BLOCKS as usize];

fn place_of(mapping: Mapping, block: u32) -> Place {
    let Mapping::Extent(extent) = mapping else {
        return None;
    };
    let start = extent.map(LogicalBlock(block)).expect("it holds the block");
    Some((start.0, extent.state()))
}

/// Calls `f` with the tree that has this root. It never needs another node.
fn with_tree<R>(
    root: &mut [u8; ROOT_SIZE],
    watch: Option<&mut dyn Watch>,
    f: impl FnOnce(&mut Memory<'_>) -> R,
) -> R {
    let area = DataArea {
        first: PhysicalBlock(1),
        end: PhysicalBlock(10_000),
    };
    let (mut arena, mut states) = ([], []);
    let mut tree = Memory::new(&mut arena, &mut states, 1024, PhysicalBlock(20_000), area);
    tree.root = *root;
    if let Some(watch) = watch {
        tree.watch = Some(watch);
        let result = f(&mut tree);
        *root = tree.root;
        return result;
    }
    f(&mut tree)
}

/// One change of the tree: what it does, and what the tree says after it.
#[derive(Clone, Copy)]
struct Change {
    blocks: (u32, u32),
    /// Where a block is then, and where it was.
    place: fn(u32, Place) -> Place,
    work: fn(&mut Memory<'_>, Range<LogicalBlock>),
}

impl Change {
    fn range(&self) -> Range<LogicalBlock> {
        LogicalBlock(self.blocks.0)..LogicalBlock(self.blocks.1)
    }
}

struct File {
    tree: RwLock<[u8; ROOT_SIZE]>,
    cache: Mutex<Cache<Plain>>,
    /// Whether the transaction that makes blocks written is noted.
    noted: AtomicBool,
    /// All that the tree has ever said. Nobody is interrupted who has this.
    truths: sync::Mutex<Vec<Truth>>,
    fault: Fault,
}

impl File {
    /// All blocks are unwritten, in one extent.
    fn new(fault: Fault) -> Arc<Self> {
        let mut root = [0; ROOT_SIZE];
        extent::format_root(&mut root);
        with_tree(&mut root, Some(&mut Nobody), |tree| fill(tree, ALL));
        Arc::new(Self {
            tree: RwLock::new(root),
            cache: Mutex::new(Cache::default()),
            noted: AtomicBool::new(false),
            truths: sync::Mutex::new(vec![core::array::from_fn(|block| unwritten(block as u32))]),
            fault,
        })
    }

    fn keep(&self, mapping: Mapping) {
        self.cache.lock().unwrap().keep(mapping);
    }

    fn forget(&self, blocks: Range<LogicalBlock>) -> bool {
        let forgotten = self.cache.lock().unwrap().forget(blocks);
        assert!(!forgotten.more, "there is not as much");
        forgotten.any
    }

    /// As `map::find` does.
    fn find(&self, block: u32) -> Place {
        if let Some(known) = self.cache.lock().unwrap().find(LogicalBlock(block)) {
            return place_of(known, block);
        }
        let mut root = self.tree.read().unwrap();
        let mapping = with_tree(&mut root.clone(), None, |tree| {
            extent::lookup(tree, LogicalBlock(block)).expect("the tree is good")
        });
        if matches!(self.fault, Fault::KeptWithoutLock | Fault::KeptWithNewLock) {
            drop(root);
            if self.fault == Fault::KeptWithoutLock {
                self.keep(mapping);
                return place_of(mapping, block);
            }
            root = self.tree.read().unwrap();
        }
        self.keep(mapping);
        drop(root);
        place_of(mapping, block)
    }

    /// Asks where a block is, and judges the answer.
    fn ask(&self, block: u32) {
        // Somebody else may come before the question.
        self.noted.load(Ordering::SeqCst);
        let so_far = self.truths.lock().unwrap().len();
        let place = self.find(block);
        let truths = self.truths.lock().unwrap();
        let given = truths[so_far - 1..].iter();
        assert!(
            given
                .map(|truth| truth[block as usize])
                .any(|truth| truth == place),
            "block {block}: {place:?} is not what the tree said then"
        );
        drop(truths);
        if matches!(place, Some((_, State::Written))) {
            let noted = self.noted.load(Ordering::SeqCst);
            assert!(
                noted,
                "block {block} is written, and by which transaction is not known"
            );
        }
    }

    /// As `WriteTree` and those who use it.
    fn change(&self, change: Change) {
        let mut root = self.tree.write().unwrap();
        let mut told = Told {
            file: self,
            change: Some(change),
            late: Vec::new(),
        };
        with_tree(&mut root, Some(&mut told), |tree| {
            (change.work)(tree, change.range())
        });
        told.has_changed();
        let late = told.late;
        drop(root);
        late.into_iter().for_each(|late| match late {
            Late::Forget(blocks) => {
                self.forget(blocks);
            }
            Late::Learn(extent) => self.keep(Mapping::Extent(extent)),
            Late::Note => self.noted.store(true, Ordering::SeqCst),
        });
    }

    /// Memory is short.
    fn give_back(&self) {
        // What was used of late stays the first time.
        for _ in 0..2 {
            let _ = self.cache.lock().unwrap().give_back(&mut 8);
        }
    }

    /// The tree is what it has to be, and all that is known is what it says.
    fn judge(&self) {
        let truth = *self.truths.lock().unwrap().last().expect("there is one");
        let mut root = *self.tree.read().unwrap();
        for block in 0..BLOCKS {
            let mapping = with_tree(&mut root, None, |tree| {
                extent::lookup(tree, LogicalBlock(block)).expect("the tree is good")
            });
            assert_eq!(
                place_of(mapping, block),
                truth[block as usize],
                "block {block} of the tree"
            );
            let known = self.cache.lock().unwrap().find(LogicalBlock(block));
            if let Some(known) = known {
                assert_eq!(
                    place_of(known, block),
                    truth[block as usize],
                    "what is known of block {block}"
                );
            }
        }
    }
}

/// What a fault puts off until the tree's lock was given back.
enum Late {
    Forget(Range<LogicalBlock>),
    Learn(Extent),
    Note,
}

/// Who is told what a change does to the tree.
struct Told<'a> {
    file: &'a File,
    /// Until the tree is changed.
    change: Option<Change>,
    late: Vec<Late>,
}

impl Told<'_> {
    /// Now. What is changed is not known, and who asks the tree waits for its lock: no answer that is old comes
    /// after this, and none that is new before it.
    fn has_changed(&mut self) {
        let Some(change) = self.change.take() else {
            return;
        };
        let mut truths = self.file.truths.lock().unwrap();
        let mut truth = *truths.last().expect("there is one");
        for block in change.blocks.0..change.blocks.1 {
            let place = &mut truth[block as usize];
            *place = (change.place)(block, *place);
        }
        truths.push(truth);
    }
}

impl Watch for Told<'_> {
    fn forget(&mut self, blocks: Range<LogicalBlock>) -> bool {
        match self.file.fault {
            Fault::NotedLate => self.late.push(Late::Note),
            _ => self.file.noted.store(true, Ordering::SeqCst),
        }
        match self.file.fault {
            Fault::NotForgotten => false,
            Fault::ForgottenLate => {
                self.late.push(Late::Forget(blocks));
                false
            }
            _ => self.file.forget(blocks),
        }
    }

    fn learn(&mut self, extent: Extent) {
        if self.file.fault == Fault::LearnedWithoutLock {
            self.late.push(Late::Learn(extent));
            return;
        }
        self.has_changed();
        self.file.keep(Mapping::Extent(extent));
    }
}

/// Who is told while there is nothing known yet.
struct Nobody;

impl Watch for Nobody {
    fn forget(&mut self, _: Range<LogicalBlock>) -> bool {
        false
    }

    fn learn(&mut self, _: Extent) {}
}

fn unwritten(block: u32) -> Place {
    Some((100 + u64::from(block), State::Unwritten))
}

fn fill(tree: &mut Memory<'_>, blocks: Range<LogicalBlock>) {
    let (start, len) = (PhysicalBlock(100), blocks.end.0 - blocks.start.0);
    let new = Extent::new(blocks.start, start, len, State::Unwritten).expect("a valid extent");
    extent::insert(tree, new).expect("there is a hole");
}

/// The completion of a direct write of some blocks.
const fn conversion(from: u32, to: u32) -> Change {
    Change {
        blocks: (from, to),
        place: |_, old| old.map(|(start, _)| (start, State::Written)),
        work: |tree, blocks| {
            let done = extent::convert(tree, blocks, State::Written, 8);
            assert_eq!(done, Ok(Progress::Done));
        },
    }
}

/// A hole is punched, or the end cut off.
const fn removal(from: u32, to: u32) -> Change {
    Change {
        blocks: (from, to),
        place: |_, _| None,
        work: |tree, blocks| {
            assert_eq!(extent::remove(tree, blocks, 8), Ok(Progress::Done));
        },
    }
}

/// The first block is exchanged for another one.
const MOVE: Change = Change {
    blocks: (0, 1),
    place: |_, old| old.map(|(_, state)| (500, state)),
    work: |tree, blocks| {
        let old = extent::lookup(tree, blocks.start).expect("the tree is good");
        let (_, state) = place_of(old, blocks.start.0).expect("it is mapped");
        let new = Extent::new(blocks.start, PhysicalBlock(500), 1, state);
        extent::replace(tree, new.expect("a valid extent")).expect("it is mapped");
    },
};

/// Another place for the first block, which is a hole then.
const REUSE: Change = Change {
    blocks: (0, 1),
    place: |_, _| Some((500, State::Unwritten)),
    work: |tree, blocks| {
        let new = Extent::new(blocks.start, PhysicalBlock(500), 1, State::Unwritten);
        extent::insert(tree, new.expect("a valid extent")).expect("there is a hole");
    },
};

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

fn asks(file: &File) {
    file.ask(0);
    file.ask(0);
}

fn asks_for_others(file: &File) {
    file.ask(1);
    file.ask(0);
}

fn converts(file: &File) {
    file.change(conversion(0, 1));
}

/// Two who look up beside a conversion.
fn asked_beside_a_conversion(fault: Fault) {
    side_by_side(fault, &[asks, asks_for_others, converts]);
}

/// Two conversions within one extent.
fn two_conversions(fault: Fault) {
    side_by_side(
        fault,
        &[asks_for_others, converts, |file| {
            file.change(conversion(1, 2));
        }],
    );
}

/// A conversion, and a block that is exchanged.
fn moved_beside_a_conversion(fault: Fault) {
    side_by_side(fault, &[asks, converts, |file| file.change(MOVE)]);
}

/// A block is removed, and another one comes in its place.
fn removed_and_filled(fault: Fault) {
    side_by_side(
        fault,
        &[asks, |file| {
            file.change(removal(0, 2));
            file.change(REUSE);
        }],
    );
}

/// What is known is given back meanwhile.
fn given_back(fault: Fault) {
    side_by_side(fault, &[asks, converts, File::give_back]);
}

/// The models of this file.
pub const MODELS: &[Model] = &[
    model!(asked_beside_a_conversion),
    model!(two_conversions),
    model!(moved_beside_a_conversion),
    model!(removed_and_filled),
    model!(given_back),
    model!(asked_beside_a_conversion, KeptWithoutLock),
    model!(removed_and_filled, KeptWithoutLock),
    model!(removed_and_filled, KeptWithNewLock),
    model!(moved_beside_a_conversion, LearnedWithoutLock),
    model!(removed_and_filled, NotForgotten),
    model!(removed_and_filled, ForgottenLate),
    model!(asked_beside_a_conversion, NotedLate),
];
