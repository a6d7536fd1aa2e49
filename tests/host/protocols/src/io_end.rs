// SPDX-License-Identifier: GPL-2.0

//! The life of an `IoEnd`, as `fs/direct-io.c` and `rust/vfs/direct_io.rs` give it: made by
//! `get_block`, carried by the request, used up by `end_io`.
//!
//! A request has a few bios, each with a block of its own. It is complete when the last of those that
//! have a reference to it is done: a bio, in an interrupt, or the submitter. One that is
//! synchronous, or has failed, waits for its bios. Beside it, somebody truncates the file: takes the
//! inode's lock, waits until no direct I/O is outstanding, and frees the blocks.
//!
//! The faults are those of history: an io_end that two parties process, one whose flags are set
//! without a lock, one that is found by way of the inode; and some of what the kernel's direct I/O and
//! the module promise each other.

use crate::{explore, Model};
use loom::{
    sync::{
        atomic::{AtomicU32, Ordering},
        Arc, Condvar, Mutex, RwLock,
    },
    thread,
};

/// What can be wrong.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Fault {
    None,
    /// The completion and `fsync` both process what they find in a list of the inode.
    TwoProcessors,
    /// "Unwritten" and "done" are bits of one word, set without a lock.
    FlagsOutsideLock,
    /// `get_block` finds the request's io_end in the inode, where another writer puts his.
    PointerInInode,
    /// The submitter does not keep a reference while it maps and submits.
    NoReference,
    /// The completion is not deferred to where one may sleep.
    NotDeferred,
    /// Direct I/O is over before the conversion.
    CountedOutEarly,
    /// Completed for the user before the conversion.
    AnsweredEarly,
    /// What has failed is converted.
    ConvertsFailed,
    /// Who is completed with others is not counted as outstanding until then.
    NotCounted,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Unwritten,
    Written,
    Freed,
}

/// A block of the file, and whether its data is on the device.
struct Block {
    state: State,
    on_device: bool,
}

struct Inode {
    lock: RwLock<()>,
    blocks: Mutex<Vec<Block>>,
    dio_count: Mutex<u32>,
    dio_ended: Condvar,
    /// Requests that are on the device, to be completed together; and the worker, one at a time.
    done: Mutex<Vec<Arc<Request>>>,
    worker: Mutex<()>,
    /// Where history kept io_ends: what is outstanding, and "the" current one.
    list: Mutex<Vec<Arc<Flags>>>,
    current: Mutex<Option<Arc<Flags>>>,
}

impl Inode {
    fn new(blocks: usize) -> Arc<Self> {
        let block = || Block {
            state: State::Unwritten,
            on_device: false,
        };
        Arc::new(Self {
            lock: RwLock::new(()),
            blocks: Mutex::new((0..blocks).map(|_| block()).collect()),
            dio_count: Mutex::new(0),
            dio_ended: Condvar::new(),
            done: Mutex::new(Vec::new()),
            worker: Mutex::new(()),
            list: Mutex::new(Vec::new()),
            current: Mutex::new(None),
        })
    }

    fn convert(&self, blocks: &[usize]) {
        for block in blocks {
            let mut all = self.blocks.lock().unwrap();
            let block = &mut all[*block];
            assert!(block.state != State::Freed, "a freed block is converted");
            assert!(
                block.on_device,
                "a block is converted before its data is there"
            );
            block.state = State::Written;
        }
    }

    fn dio_end(&self) {
        let mut count = self.dio_count.lock().unwrap();
        *count -= 1;
        self.dio_ended.notify_all();
    }

    /// Truncation, or what unmounting does: nobody may come after it.
    fn truncate(&self) {
        let lock = self.lock.write().unwrap();
        let mut count = self.dio_count.lock().unwrap();
        while *count > 0 {
            count = self.dio_ended.wait(count).unwrap();
        }
        drop(count);
        for block in self.blocks.lock().unwrap().iter_mut() {
            block.state = State::Freed;
        }
        drop(lock);
    }
}

/// How often a thing was done that has to be done once.
#[derive(Default)]
struct Times {
    made: AtomicU32,
    used_up: AtomicU32,
    answered: AtomicU32,
}

/// What a write takes along: it can be moved, not shared.
struct IoEnd {
    times: Arc<Times>,
}

impl Drop for IoEnd {
    fn drop(&mut self) {
        self.times.used_up.fetch_add(1, Ordering::SeqCst);
    }
}

/// An io_end as it was once.
struct Flags {
    word: AtomicU32,
    processed: AtomicU32,
}

impl Flags {
    const UNWRITTEN: u32 = 1;
    const DONE: u32 = 2;

    fn new() -> Arc<Self> {
        Arc::new(Self {
            word: AtomicU32::new(0),
            processed: AtomicU32::new(0),
        })
    }

    /// As `flags |= bit` does it.
    fn set(&self, bit: u32) {
        let word = self.word.load(Ordering::SeqCst);
        self.word.store(word | bit, Ordering::SeqCst);
    }
}

/// What happens to a request.
#[derive(Clone, Copy)]
struct Plan {
    /// What `get_block` says: a block, or an error.
    blocks: &'static [Result<usize, ()>],
    is_async: bool,
    /// Completed with others that are ready by then.
    together: bool,
}

struct Request {
    inode: Arc<Inode>,
    fault: Fault,
    plan: Plan,
    times: Arc<Times>,
    dio: Mutex<Dio>,
    bio_ended: Condvar,
}

/// `struct dio`.
struct Dio {
    references: u32,
    private: Option<Box<IoEnd>>,
    defer: bool,
    failed: bool,
    mapped: Vec<usize>,
}

/// Where something runs.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Context {
    Interrupt,
    Task,
}

impl Request {
    fn new(inode: &Arc<Inode>, fault: Fault, plan: Plan) -> Arc<Self> {
        Arc::new(Self {
            inode: inode.clone(),
            fault,
            plan,
            times: Arc::new(Times::default()),
            dio: Mutex::new(Dio {
                references: u32::from(fault != Fault::NoReference),
                private: None,
                defer: false,
                failed: false,
                mapped: Vec::new(),
            }),
            bio_ended: Condvar::new(),
        })
    }

    /// `__blockdev_direct_IO`, with its bios in threads of their own.
    fn submit(this: &Arc<Self>) -> Vec<thread::JoinHandle<()>> {
        let lock = this.inode.lock.read().unwrap();
        let counted_twice = this.plan.together && this.fault != Fault::NotCounted;
        *this.inode.dio_count.lock().unwrap() += 1 + u32::from(counted_twice);
        let mut bios = Vec::new();
        for block in this.plan.blocks {
            if this.get_block(*block).is_err() {
                this.dio.lock().unwrap().failed = true;
                break;
            }
            this.dio.lock().unwrap().references += 1;
            let (request, block) = (this.clone(), block.unwrap_or(0));
            bios.push(thread::spawn(move || Self::end_bio(&request, block)));
        }
        let mut dio = this.dio.lock().unwrap();
        if !this.plan.is_async || dio.failed {
            while dio.references > 1 {
                dio = this.bio_ended.wait(dio).unwrap();
            }
        }
        if this.fault != Fault::NoReference {
            dio.references -= 1;
            let is_last = dio.references == 0;
            drop(dio);
            if is_last {
                this.complete_now(Context::Task);
            }
        } else {
            drop(dio);
        }
        drop(lock);
        bios
    }

    /// The request's own `IoEnd` is lent to the mapping of each block.
    fn get_block(&self, block: Result<usize, ()>) -> Result<(), ()> {
        let mut io_end = self.dio.lock().unwrap().private.take();
        let result = block.map(|block| {
            let mut blocks = self.inode.blocks.lock().unwrap();
            if blocks[block].state == State::Freed {
                // The truncation came first: it is a hole, which is filled.
                blocks[block].state = State::Unwritten;
            }
            io_end.get_or_insert_with(|| {
                self.times.made.fetch_add(1, Ordering::SeqCst);
                Box::new(IoEnd {
                    times: self.times.clone(),
                })
            });
            block
        });
        let mut dio = self.dio.lock().unwrap();
        dio.defer |= io_end.is_some() && self.fault != Fault::NotDeferred;
        dio.private = io_end;
        dio.mapped.extend(result);
        result.map(|_| ())
    }

    /// A bio is done; then, if that is to be, the work on the workqueue.
    fn end_bio(this: &Arc<Self>, block: usize) {
        this.inode.blocks.lock().unwrap()[block].on_device = true;
        let mut dio = this.dio.lock().unwrap();
        dio.references -= 1;
        let (is_last, defer) = (dio.references == 0, dio.defer);
        this.bio_ended.notify_all();
        drop(dio);
        if !is_last {
            return;
        }
        if this.plan.together {
            this.inode.dio_end();
            let mut done = this.inode.done.lock().unwrap();
            done.push(this.clone());
            let is_first = done.len() == 1;
            drop(done);
            if is_first {
                Self::work(&this.inode);
            }
        } else if defer {
            this.complete(Context::Task);
        } else {
            this.complete(Context::Interrupt);
        }
    }

    /// Before the submission comes back.
    fn complete_now(&self, context: Context) {
        if self.plan.together {
            self.inode.dio_end();
        }
        self.complete(context);
    }

    /// The worker of an inode.
    fn work(inode: &Arc<Inode>) {
        let running = inode.worker.lock().unwrap();
        let ready = std::mem::take(&mut *inode.done.lock().unwrap());
        for request in ready {
            request.complete(Context::Task);
        }
        drop(running);
    }

    /// `dio_complete`, or `end_all` and what follows it.
    fn complete(&self, context: Context) {
        let (io_end, failed, mapped) = {
            let mut dio = self.dio.lock().unwrap();
            (dio.private.take(), dio.failed, dio.mapped.clone())
        };
        if self.fault == Fault::AnsweredEarly {
            self.answer(failed, &mapped);
        }
        if self.fault == Fault::CountedOutEarly {
            self.inode.dio_end();
        }
        if let Some(io_end) = io_end {
            assert!(context == Context::Task, "a conversion in an interrupt");
            if !failed || self.fault == Fault::ConvertsFailed {
                self.inode.convert(&mapped);
            }
            drop(io_end);
        }
        // Of what was freed later nothing can be said.
        if self.fault != Fault::AnsweredEarly {
            self.answer(failed, &mapped);
        }
        if self.fault != Fault::CountedOutEarly && self.fault != Fault::NotCounted {
            self.inode.dio_end();
        }
    }

    /// The user is told.
    fn answer(&self, failed: bool, mapped: &[usize]) {
        self.times.answered.fetch_add(1, Ordering::SeqCst);
        let blocks = self.inode.blocks.lock().unwrap();
        for block in mapped {
            let state = blocks[*block].state;
            if failed {
                assert_eq!(state, State::Unwritten, "what has failed was converted");
            } else {
                assert_ne!(state, State::Unwritten, "acknowledged, and not converted");
            }
        }
    }

    /// All threads are done.
    fn judge(&self) {
        let count = |times: &AtomicU32| times.load(Ordering::SeqCst);
        assert_eq!(
            count(&self.times.made),
            count(&self.times.used_up),
            "io_ends used up"
        );
        assert_eq!(count(&self.times.answered), 1, "answers");
        assert_eq!(
            *self.inode.dio_count.lock().unwrap(),
            0,
            "direct I/O outstanding"
        );
    }
}

/// Three preemptions are more than any of the faults takes; all are too many to be tried.
const BOUND: Option<usize> = Some(3);

/// A request beside a truncation, which may come before it, or has to wait for it.
fn with_truncation(fault: Fault, plan: Plan) {
    explore(BOUND, move || {
        let inode = Inode::new(plan.blocks.len());
        let request = Request::new(&inode, fault, plan);
        let truncation = {
            let inode = inode.clone();
            thread::spawn(move || inode.truncate())
        };
        for bio in Request::submit(&request) {
            bio.join().unwrap();
        }
        truncation.join().unwrap();
        request.judge();
    });
}

/// Completion before the submission returns, or after it, on the workqueue.
fn asynchronous(fault: Fault) {
    const BLOCKS: &[Result<usize, ()>] = &[Ok(0)];
    with_truncation(
        fault,
        Plan {
            blocks: BLOCKS,
            is_async: true,
            together: false,
        },
    );
}

fn two_bios(fault: Fault) {
    const BLOCKS: &[Result<usize, ()>] = &[Ok(0), Ok(1)];
    with_truncation(
        fault,
        Plan {
            blocks: BLOCKS,
            is_async: true,
            together: false,
        },
    );
}

fn synchronous(fault: Fault) {
    const BLOCKS: &[Result<usize, ()>] = &[Ok(0), Ok(1)];
    with_truncation(
        fault,
        Plan {
            blocks: BLOCKS,
            is_async: false,
            together: false,
        },
    );
}

/// The second `get_block` fails, with the first block on its way.
fn error_after_some(fault: Fault) {
    const BLOCKS: &[Result<usize, ()>] = &[Ok(0), Err(())];
    with_truncation(
        fault,
        Plan {
            blocks: BLOCKS,
            is_async: true,
            together: false,
        },
    );
}

/// Two requests that are completed together if they are ready together, and a truncation.
fn together(fault: Fault) {
    const BLOCKS: [&[Result<usize, ()>]; 2] = [&[Ok(0)], &[Ok(1)]];
    explore(Some(2), move || {
        let inode = Inode::new(2);
        let requests = BLOCKS.map(|blocks| {
            let plan = Plan {
                blocks,
                is_async: true,
                together: true,
            };
            Request::new(&inode, fault, plan)
        });
        let truncation = {
            let inode = inode.clone();
            thread::spawn(move || inode.truncate())
        };
        let bios: Vec<_> = requests.iter().flat_map(Request::submit).collect();
        for bio in bios {
            bio.join().unwrap();
        }
        truncation.join().unwrap();
        requests.iter().for_each(|request| request.judge());
    });
}

/// The completion of an io_end that is in a list of the inode, with an `fsync` beside it.
fn shared_with_fsync(_fault: Fault) {
    fn process(inode: &Inode) {
        let found = inode.list.lock().unwrap().first().cloned();
        if let Some(io_end) = found {
            let times = io_end.processed.fetch_add(1, Ordering::SeqCst) + 1;
            assert_eq!(times, 1, "an io_end is processed and freed twice");
            inode.convert(&[0]);
            inode
                .list
                .lock()
                .unwrap()
                .retain(|other| !Arc::ptr_eq(other, &io_end));
        }
    }
    explore(None, || {
        let inode = Inode::new(1);
        inode.list.lock().unwrap().push(Flags::new());
        inode.blocks.lock().unwrap()[0].on_device = true;
        let worker = {
            let inode = inode.clone();
            thread::spawn(move || process(&inode))
        };
        process(&inode);
        worker.join().unwrap();
    });
}

/// The second `get_block` notes "unwritten" while the bio of the first notes "done".
fn shared_flags(_fault: Fault) {
    explore(None, || {
        let io_end = Flags::new();
        let bio = {
            let io_end = io_end.clone();
            thread::spawn(move || io_end.set(Flags::DONE))
        };
        io_end.set(Flags::UNWRITTEN);
        bio.join().unwrap();
        let word = io_end.word.load(Ordering::SeqCst);
        assert_eq!(word, Flags::DONE | Flags::UNWRITTEN, "a flag is lost");
    });
}

/// Two writers that share the inode's lock, of which each puts its io_end where `get_block` looks.
fn shared_pointer(_fault: Fault) {
    fn write(inode: &Inode, block: usize) {
        let lock = inode.lock.read().unwrap();
        let own = Flags::new();
        *inode.current.lock().unwrap() = Some(own.clone());
        // get_block
        if let Some(found) = inode.current.lock().unwrap().as_ref() {
            found.set(Flags::UNWRITTEN);
        }
        inode.blocks.lock().unwrap()[block].on_device = true;
        // end_io
        if own.word.load(Ordering::SeqCst) & Flags::UNWRITTEN != 0 {
            inode.convert(&[block]);
        }
        let state = inode.blocks.lock().unwrap()[block].state;
        assert_eq!(state, State::Written, "acknowledged, and not converted");
        drop(lock);
    }
    explore(None, || {
        let inode = Inode::new(2);
        let other = {
            let inode = inode.clone();
            thread::spawn(move || write(&inode, 1))
        };
        write(&inode, 0);
        other.join().unwrap();
    });
}

/// The models of this file.
pub const MODELS: &[Model] = &[
    model!(asynchronous),
    model!(two_bios),
    model!(synchronous),
    model!(error_after_some),
    model!(together),
    model!(together, NotCounted),
    model!(shared_with_fsync, TwoProcessors),
    model!(shared_flags, FlagsOutsideLock),
    model!(shared_pointer, PointerInInode),
    model!(two_bios, NoReference),
    model!(asynchronous, NotDeferred),
    model!(asynchronous, CountedOutEarly),
    model!(asynchronous, AnsweredEarly),
    model!(error_after_some, ConvertsFailed),
];
