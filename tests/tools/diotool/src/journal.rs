// SPDX-License-Identifier: GPL-2.0

//! The log of what was done to a file: which writes were acknowledged, which failed, what was cleared
//! or moved by others, up to where an fsync has made all of it durable, and when. It is kept where a
//! crash of the machine under test does not reach; [`crate::history`] says what it means.

use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::path::Path;

use crate::plan::Piece;

/// From when until when something was done: nanoseconds of the monotonic clock, which all processes share.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// It had not begun before this.
    pub begin: u64,
    /// It was over by then.
    pub end: u64,
}

/// The monotonic clock.
pub fn now() -> u64 {
    let mut time = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: `time` is there to be filled in.
    unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &mut time) };
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}

/// What was done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// A write was acknowledged.
    Acknowledged(u32, Piece),
    /// A write to an O_SYNC file was acknowledged: it is durable.
    Synced(u32, Piece),
    /// A write failed: none, some or all of it may be there.
    Failed(u32, Piece),
    /// A part of the file became zeros.
    Cleared(Piece),
    /// What was from this byte on is so many bytes further on; before it are zeros.
    Inserted(Piece),
    /// These bytes are gone, and what was behind them took their place.
    Collapsed(Piece),
    /// An fsync came back: all that was over before it began is durable.
    Fsync,
}

/// One line of a log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Record {
    /// What was done.
    pub event: Event,
    /// And when.
    pub span: Span,
}

impl Record {
    fn line(&self) -> String {
        let (kind, generation, piece) = match self.event {
            Event::Acknowledged(generation, piece) => ('A', generation, piece),
            Event::Synced(generation, piece) => ('S', generation, piece),
            Event::Failed(generation, piece) => ('E', generation, piece),
            Event::Cleared(piece) => ('C', 0, piece),
            Event::Inserted(piece) => ('I', 0, piece),
            Event::Collapsed(piece) => ('X', 0, piece),
            Event::Fsync => ('F', 0, Piece::default()),
        };
        let Span { begin, end } = self.span;
        let Piece { offset, length } = piece;
        format!("{kind} {generation} {offset} {length} {begin} {end}\n")
    }

    fn parse(line: &str) -> Option<Record> {
        let mut words = line.split(' ');
        let kind = words.next()?;
        let generation = words.next()?.parse().ok()?;
        let mut number = || words.next()?.parse::<u64>().ok();
        let piece = Piece {
            offset: number()?,
            length: number()?,
        };
        let span = Span {
            begin: number()?,
            end: number()?,
        };
        let event = match kind {
            "A" => Event::Acknowledged(generation, piece),
            "S" => Event::Synced(generation, piece),
            "E" => Event::Failed(generation, piece),
            "C" => Event::Cleared(piece),
            "I" => Event::Inserted(piece),
            "X" => Event::Collapsed(piece),
            "F" => Event::Fsync,
            _ => return None,
        };
        Some(Record { event, span })
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
                if let Event::Acknowledged(generation, _)
                | Event::Synced(generation, _)
                | Event::Failed(generation, _) = record.event
                {
                    next = next.max(generation + 1);
                }
            }
        }
        let file = OpenOptions::new().append(true).create(true).open(path);
        let file = file.map_err(|e| format!("{}: {e}", path.display()))?;
        Ok((Writer(Some(file)), next))
    }

    /// Notes what began at `begin` and is over; one system call a record: it counts from the moment
    /// this returns.
    pub fn record(&mut self, event: Event, begin: u64) -> Result<(), String> {
        let Some(file) = &mut self.0 else {
            return Ok(());
        };
        let record = Record {
            event,
            span: Span { begin, end: now() },
        };
        file.write_all(record.line().as_bytes())
            .map_err(|e| format!("writing the log: {e}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_survive_the_log() {
        let piece = Piece {
            offset: 512,
            length: 1024,
        };
        for event in [
            Event::Acknowledged(3, piece),
            Event::Synced(4, piece),
            Event::Failed(5, piece),
            Event::Cleared(piece),
            Event::Inserted(piece),
            Event::Collapsed(piece),
            Event::Fsync,
        ] {
            let span = Span { begin: 6, end: 7 };
            let record = Record { event, span };
            assert_eq!(Record::parse(record.line().trim_end()), Some(record));
        }
        assert_eq!(Record::parse("A 1 2"), None);
    }
}
