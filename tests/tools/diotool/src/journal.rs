// SPDX-License-Identifier: GPL-2.0

//! The log of what was written: which writes were acknowledged, which failed,
//! and up to where an fsync has made them durable. It is kept where a crash of
//! the machine under test does not reach, and tells afterwards what has to be
//! in the file.

use std::collections::{HashMap, HashSet};
use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::path::Path;

use crate::plan::Piece;
use crate::stamp::{State, SECTOR};

/// One line of a log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Record {
    /// A write was acknowledged.
    Acknowledged(u32, Piece),
    /// A write to an O_SYNC file was acknowledged: it is durable.
    Synced(u32, Piece),
    /// A write failed: none, some or all of it may be there.
    Failed(u32, Piece),
    /// An fsync came back: all that was acknowledged before is durable.
    Fsync,
}

impl Record {
    fn line(&self) -> String {
        let write = |kind: char, generation: &u32, piece: &Piece| {
            format!("{kind} {generation} {} {}\n", piece.offset, piece.length)
        };
        match self {
            Record::Acknowledged(generation, piece) => write('A', generation, piece),
            Record::Synced(generation, piece) => write('S', generation, piece),
            Record::Failed(generation, piece) => write('E', generation, piece),
            Record::Fsync => "F\n".into(),
        }
    }

    fn parse(line: &str) -> Option<Record> {
        if line == "F" {
            return Some(Record::Fsync);
        }
        let mut words = line.split(' ');
        let kind = words.next()?;
        let generation = words.next()?.parse().ok()?;
        let piece = Piece {
            offset: words.next()?.parse().ok()?,
            length: words.next()?.parse().ok()?,
        };
        match kind {
            "A" => Some(Record::Acknowledged(generation, piece)),
            "S" => Some(Record::Synced(generation, piece)),
            "E" => Some(Record::Failed(generation, piece)),
            _ => None,
        }
    }
}

/// Reads a log; a cut last line, as a crash leaves it, is no record.
pub fn read(path: &Path) -> Result<Vec<Record>, String> {
    let text = std::fs::read_to_string(path).map_err(|e| format!("{}: {e}", path.display()))?;
    let whole = text.rfind('\n').map_or("", |end| &text[..end]);
    whole
        .lines()
        .map(|line| Record::parse(line).ok_or(format!("{}: bad line `{line}`", path.display())))
        .collect()
}

/// A log that is being written; or none, where nobody wants it.
pub struct Writer(Option<File>);

impl Writer {
    /// Appends to the log at `path`; returns the first generation to use, too.
    pub fn append(path: Option<&Path>) -> Result<(Self, u32), String> {
        let Some(path) = path else {
            return Ok((Writer(None), 1));
        };
        let mut next = 1;
        if path.exists() {
            for record in read(path)? {
                if let Record::Acknowledged(generation, _)
                | Record::Synced(generation, _)
                | Record::Failed(generation, _) = record
                {
                    next = next.max(generation + 1);
                }
            }
        }
        let file = OpenOptions::new().append(true).create(true).open(path);
        let file = file.map_err(|e| format!("{}: {e}", path.display()))?;
        Ok((Writer(Some(file)), next))
    }

    /// One system call a record: it counts from the moment this returns.
    pub fn record(&mut self, record: Record) -> Result<(), String> {
        let Some(file) = &mut self.0 else {
            return Ok(());
        };
        file.write_all(record.line().as_bytes())
            .map_err(|e| format!("writing the log: {e}"))
    }
}

/// What a log says about each sector of the file.
pub struct Expectation {
    /// By sector number: the write that has to be there.
    required: HashMap<u64, u32>,
    /// Writes that failed and that may be there, by sector.
    possible: HashSet<(u64, u32)>,
    /// Whether writes that the log does not know may be there.
    crashed: bool,
    /// The end of the last write that has to be there, in bytes.
    pub end: u64,
}

impl Expectation {
    /// After a crash only durable writes have to be there; else all acknowledged ones.
    pub fn new(records: &[Record], crashed: bool) -> Self {
        let fsynced = records
            .iter()
            .rposition(|record| *record == Record::Fsync)
            .unwrap_or(0);
        let mut expectation = Expectation {
            required: HashMap::new(),
            possible: HashSet::new(),
            crashed,
            end: 0,
        };
        for (number, record) in records.iter().enumerate() {
            match *record {
                Record::Acknowledged(generation, piece) if !crashed || number < fsynced => {
                    expectation.require(generation, piece);
                }
                Record::Synced(generation, piece) => expectation.require(generation, piece),
                Record::Failed(generation, piece) => {
                    let sectors = sectors(piece).map(|sector| (sector, generation));
                    expectation.possible.extend(sectors);
                }
                Record::Acknowledged(..) | Record::Fsync => {}
            }
        }
        expectation
    }

    fn require(&mut self, generation: u32, piece: Piece) {
        for sector in sectors(piece) {
            let required = self.required.entry(sector).or_insert(0);
            *required = (*required).max(generation);
        }
        self.end = self.end.max(piece.offset + piece.length);
    }

    /// `None` if a sector may be in this state, else what it should have been.
    pub fn objection(&self, sector: u64, state: State) -> Option<String> {
        let required = self.required.get(&sector).copied().unwrap_or(0);
        let found = match state {
            State::Zeros => 0,
            State::Data(generation) => generation,
            State::Poison | State::Misplaced(..) | State::Garbage => u32::MAX,
        };
        let right = found == required
            || found > required
                && found != u32::MAX
                && (self.crashed || self.possible.contains(&(sector, found)));
        if right {
            return None;
        }
        Some(match required {
            0 => "zeros".into(),
            generation => format!("write {generation}"),
        })
    }
}

fn sectors(piece: Piece) -> std::ops::Range<u64> {
    let sector = SECTOR as u64;
    piece.offset / sector..(piece.offset + piece.length) / sector
}

#[cfg(test)]
mod tests {
    use super::*;

    fn piece(sector: u64) -> Piece {
        Piece {
            offset: sector * 512,
            length: 512,
        }
    }

    #[test]
    fn records_survive_the_log() {
        for record in [
            Record::Acknowledged(3, piece(1)),
            Record::Synced(4, piece(2)),
            Record::Failed(5, piece(3)),
            Record::Fsync,
        ] {
            assert_eq!(Record::parse(record.line().trim_end()), Some(record));
        }
        assert_eq!(Record::parse("A 1 2"), None);
    }

    #[test]
    fn a_crash_forgives_what_was_not_synced() {
        let records = [
            Record::Acknowledged(1, piece(0)),
            Record::Fsync,
            Record::Acknowledged(2, piece(0)),
            Record::Acknowledged(3, piece(1)),
        ];
        let crashed = Expectation::new(&records, true);
        assert_eq!(crashed.objection(0, State::Data(1)), None);
        assert_eq!(crashed.objection(0, State::Data(2)), None);
        assert!(crashed.objection(0, State::Zeros).is_some());
        assert_eq!(crashed.objection(1, State::Zeros), None);
        assert!(crashed.objection(1, State::Poison).is_some());
        let whole = Expectation::new(&records, false);
        assert!(whole.objection(0, State::Data(1)).is_some());
        assert!(whole.objection(1, State::Zeros).is_some());
        assert_eq!(whole.objection(2, State::Zeros), None);
        assert!(whole.objection(2, State::Data(9)).is_some());
    }
}
