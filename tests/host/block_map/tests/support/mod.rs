// SPDX-License-Identifier: GPL-2.0

//! A map in memory, stricter than a real one: it fails where a table is changed that was not prepared, or
//! freed twice, and counts what an operation touches.

use rext4_block_map::block_map::{TableStore, TableStoreMut};
use rext4_block_map::disk::block_map::MapError;
use rext4_block_map::disk::units::{BlockSize, PhysicalBlock};
use std::collections::{BTreeMap, BTreeSet};

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Error {
    Map(MapError),
    /// There is no block left for a table.
    Full,
    /// Freed, but not in use.
    FreedTwice(u64),
    NotPrepared(u64),
}

impl From<MapError> for Error {
    fn from(e: MapError) -> Self {
        Self::Map(e)
    }
}

#[derive(Clone)]
pub struct Memory {
    pub size: BlockSize,
    pub root: [u8; 60],
    /// What is in blocks that are not zero.
    pub tables: BTreeMap<u64, Vec<u8>>,
    /// Blocks in use.
    pub used: BTreeSet<u64>,
    /// The first and the end of what a file can have.
    pub area: std::ops::Range<u64>,
    /// Tables come from here on, as many as this.
    pub next_table: u64,
    pub tables_left: u32,
    pub root_prepared: bool,
    pub prepared: BTreeSet<u64>,
    pub touched: BTreeSet<u64>,
    pub allocated: u32,
    pub freed_tables: u32,
    pub freed_runs: u32,
}

impl Memory {
    pub fn new(size: u32) -> Self {
        Self {
            size: BlockSize::new(size).expect("a size"),
            root: [0; 60],
            tables: BTreeMap::new(),
            used: BTreeSet::new(),
            area: 100..1 << 32,
            next_table: 1 << 31,
            tables_left: u32::MAX,
            root_prepared: false,
            prepared: BTreeSet::new(),
            touched: BTreeSet::new(),
            allocated: 0,
            freed_tables: 0,
            freed_runs: 0,
        }
    }

    /// Another transaction begins.
    pub fn begin(&mut self) {
        self.root_prepared = false;
        self.prepared.clear();
        self.touched.clear();
        self.allocated = 0;
        self.freed_tables = 0;
        self.freed_runs = 0;
    }
}

impl TableStore for Memory {
    type Block = u64;
    type Error = Error;

    fn size(&self) -> BlockSize {
        self.size
    }

    fn with_root<R>(&self, f: impl FnOnce(&[u8]) -> R) -> R {
        f(&self.root)
    }

    fn check(&self, start: PhysicalBlock, len: u32, outside: MapError) -> Result<(), Error> {
        let fits = self.area.start <= start.0 && start.0 + u64::from(len) <= self.area.end;
        fits.then_some(()).ok_or(outside.into())
    }

    fn read(&self, at: PhysicalBlock) -> Result<u64, Error> {
        assert!(self.area.contains(&at.0), "read without a check");
        Ok(at.0)
    }

    fn with_bytes<R>(&self, table: &u64, f: impl FnOnce(&[u8]) -> R) -> R {
        match self.tables.get(table) {
            Some(bytes) => f(bytes),
            None => f(&vec![0; self.size.size()]),
        }
    }

    fn location(&self, table: &u64) -> PhysicalBlock {
        PhysicalBlock(*table)
    }
}

impl TableStoreMut for Memory {
    fn prepare_root(&mut self) -> Result<(), Error> {
        self.root_prepared = true;
        Ok(())
    }

    fn prepare(&mut self, table: &u64) -> Result<(), Error> {
        self.prepared.insert(*table);
        Ok(())
    }

    fn edit_root<R>(&mut self, f: impl FnOnce(&mut [u8]) -> R) -> Result<R, Error> {
        assert!(self.root_prepared);
        Ok(f(&mut self.root))
    }

    fn edit<R>(&mut self, table: &u64, f: impl FnOnce(&mut [u8]) -> R) -> Result<R, Error> {
        if !self.prepared.contains(table) {
            return Err(Error::NotPrepared(*table));
        }
        self.touched.insert(*table);
        let size = self.size.size();
        Ok(f(self
            .tables
            .entry(*table)
            .or_insert_with(|| vec![0; size])))
    }

    fn allocate(&mut self, _near: PhysicalBlock) -> Result<u64, Error> {
        if self.tables_left == 0 {
            return Err(Error::Full);
        }
        self.tables_left -= 1;
        let table = self.next_table;
        self.next_table += 1;
        self.used.insert(table);
        self.tables.insert(table, vec![0; self.size.size()]);
        self.prepared.insert(table);
        self.touched.insert(table);
        self.allocated += 1;
        Ok(table)
    }

    fn free(&mut self, table: u64) -> Result<(), Error> {
        if !self.used.remove(&table) {
            return Err(Error::FreedTwice(table));
        }
        self.tables_left = self.tables_left.saturating_add(1);
        self.touched.insert(table);
        self.freed_tables += 1;
        Ok(())
    }

    fn may_free_data(&mut self, _start: PhysicalBlock, _len: u32) -> Result<(), Error> {
        Ok(())
    }

    fn free_data(&mut self, start: PhysicalBlock, len: u32) -> Result<(), Error> {
        self.freed_runs += 1;
        for block in start.0..start.0 + u64::from(len) {
            if !self.used.remove(&block) {
                return Err(Error::FreedTwice(block));
            }
        }
        Ok(())
    }
}
