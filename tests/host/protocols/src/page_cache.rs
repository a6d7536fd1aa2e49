// SPDX-License-Identifier: GPL-2.0

//! The end of a direct write to a part of a new block, and the page cache: what is done in which order
//! by `rust/vfs/direct_io` and by `dio_complete` in `fs/direct-io.c`, with the claims of
//! `rust/dio/claim.rs`.
//!
//! Beside the write, one reads through the page cache, and one writes to another part of the block. A
//! page that was changed must not be found where pages are dropped: that is taken for an error.

use crate::{
    claim::{Claim, Cover, Waiting},
    claims::Buckets,
    disk::units::{InodeNumber, LogicalBlock},
    explore, Model,
};
use loom::{
    sync::{Arc, Mutex, RwLock},
    thread,
};

/// What can be wrong.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Fault {
    None,
    /// The kernel's direct I/O drops pages too, after `end_io`.
    DroppedAgain,
    /// The claim is given back before pages are dropped.
    GivenBackFirst,
    /// Direct I/O is over before the claim is given back: nobody waits for it then.
    CountedOutFirst,
}

const BLOCK: LogicalBlock = LogicalBlock(0);

struct Page {
    sectors: [u8; 2],
    is_dirty: bool,
}

/// A file of one block of two sectors.
struct File {
    lock: RwLock<()>,
    dio_count: Mutex<u32>,
    claims: Buckets,
    /// What the tree says.
    is_written: Mutex<bool>,
    device: Mutex<[u8; 2]>,
    /// Under its lock.
    page: Mutex<Option<Page>>,
    /// What `fsync` would say.
    error: Mutex<bool>,
}

impl File {
    fn new() -> Arc<Self> {
        Arc::new(Self {
            lock: RwLock::new(()),
            dio_count: Mutex::new(0),
            claims: Buckets::new(),
            is_written: Mutex::new(false),
            // What nobody must see.
            device: Mutex::new([0xa5; 2]),
            page: Mutex::new(None),
            error: Mutex::new(false),
        })
    }

    fn claim(&self, cover: Cover) -> Claim<Buckets> {
        let mut claim = Claim::new(self.claims.clone(), InodeNumber(12));
        let blocks = BLOCK..LogicalBlock(BLOCK.0 + 1);
        let claimed = claim.add(blocks, cover, Waiting::Allowed, &mut || {});
        assert!(claimed.is_ok());
        claim
    }

    /// What is in the block, by way of the page cache.
    fn with_page(&self, work: impl FnOnce(&mut Page)) {
        let mut page = self.page.lock().unwrap();
        work(page.get_or_insert_with(|| Page {
            sectors: match *self.is_written.lock().unwrap() {
                true => *self.device.lock().unwrap(),
                false => [0; 2],
            },
            is_dirty: false,
        }));
    }

    fn write_back(&self) {
        if let Some(page) = self.page.lock().unwrap().as_mut() {
            if std::mem::take(&mut page.is_dirty) {
                *self.device.lock().unwrap() = page.sectors;
                *self.is_written.lock().unwrap() = true;
            }
        }
    }

    /// What is left is an error.
    fn drop_pages(&self) {
        let mut page = self.page.lock().unwrap();
        if page.take_if(|page| !page.is_dirty).is_none() && page.is_some() {
            *self.error.lock().unwrap() = true;
        }
    }

    /// A direct write to the first sector, up to where it is on its way; then, perhaps by another task,
    /// what is done when it is on the device.
    fn write_directly(&self, is_async: bool, fault: Fault) {
        let lock = self.lock.read().unwrap();
        let claim = self.claim(Cover::Part);
        *self.dio_count.lock().unwrap() += 1;
        self.write_back();
        self.page.lock().unwrap().take_if(|page| !page.is_dirty);
        if !*self.is_written.lock().unwrap() {
            self.device.lock().unwrap()[1] = 0;
        }
        let lock = (!is_async).then_some(lock);
        self.device.lock().unwrap()[0] = 1;
        *self.is_written.lock().unwrap() = true;
        if !is_async {
            // The kernel's direct I/O drops the pages, and the lock is there.
            drop(claim);
            self.drop_pages();
            self.dio_end();
        } else {
            self.end_async(claim, fault);
        }
        drop(lock);
        // To be durable.
        self.write_back();
        assert!(!*self.error.lock().unwrap(), "an error that did not happen");
    }

    fn end_async(&self, claim: Claim<Buckets>, fault: Fault) {
        let mut claim = Some(claim);
        match fault {
            Fault::GivenBackFirst => drop(claim.take()),
            Fault::CountedOutFirst => self.dio_end(),
            _ => {}
        }
        self.drop_pages();
        drop(claim);
        if fault == Fault::DroppedAgain {
            self.drop_pages();
        }
        if fault != Fault::CountedOutFirst {
            self.dio_end();
        }
    }

    fn dio_end(&self) {
        *self.dio_count.lock().unwrap() -= 1;
    }

    /// A write to the second sector, through the page cache.
    fn write_cached(&self) {
        let lock = self.lock.write().unwrap();
        let is_under_way = *self.dio_count.lock().unwrap() > 0;
        if is_under_way {
            drop(self.claim(Cover::Whole));
        }
        self.with_page(|page| {
            page.sectors[1] = 2;
            page.is_dirty = true;
        });
        drop(lock);
    }

    fn judge(&self) {
        self.write_back();
        assert_eq!(*self.device.lock().unwrap(), [1, 2], "on the device");
        self.with_page(|page| assert_eq!(page.sectors, [1, 2], "in the page cache"));
    }
}

fn beside_page_cache(is_async: bool, fault: Fault) {
    explore(Some(3), move || {
        let file = File::new();
        let others = [File::write_cached, |file: &File| file.with_page(|_| {})].map(|work| {
            let file = file.clone();
            thread::spawn(move || work(&file))
        });
        file.write_directly(is_async, fault);
        for other in others {
            other.join().unwrap();
        }
        file.judge();
    });
}

/// The lock is not held when the write is on the device.
fn asynchronous_beside_page_cache(fault: Fault) {
    beside_page_cache(true, fault);
}

/// The lock is held to the end.
fn synchronous_beside_page_cache(fault: Fault) {
    beside_page_cache(false, fault);
}

/// The models of this file.
pub const MODELS: &[Model] = &[
    model!(asynchronous_beside_page_cache),
    model!(synchronous_beside_page_cache),
    model!(asynchronous_beside_page_cache, DroppedAgain),
    model!(asynchronous_beside_page_cache, GivenBackFirst),
    model!(asynchronous_beside_page_cache, CountedOutFirst),
];
