// SPDX-License-Identifier: GPL-2.0

//! What may be in a file after what the log tells, where much went on at the same time.
//!
//! Each write, and each call that clears or moves something, took effect at one moment between its
//! begin and its end, for each sector by itself. So a sector may hold what any of them left there, but
//! for those that were over when another, which is sure to have been done, began.
//!
//! Calls that move data came one after the other. A write that one of these met was done before or
//! after it, so that its data may be in either place; it is sure in neither.

use std::collections::{HashMap, HashSet};

use crate::journal::{Event, Record, Span};
use crate::plan::Piece;
use crate::stamp::{State, SECTOR};

/// What of the log has to be there, and what else may be.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// All that was done, and nothing else.
    Complete,
    /// All that was done, and what the writer had no time to log before it was killed.
    Killed,
    /// The machine died: what is durable; anything later may be.
    Crashed,
}

/// A stretch of the file, in bytes. One that reaches to [`FOREVER`] has no end, wherever it is moved.
#[derive(Clone, Copy)]
struct Stretch {
    start: u64,
    end: u64,
    /// Where its first byte was when it was written.
    origin: u64,
}

const FOREVER: u64 = u64::MAX;

/// A call that moved what is behind it.
struct Move {
    at: u64,
    length: u64,
    inserts: bool,
    span: Span,
}

impl Move {
    /// Where it has a stretch, in up to two parts.
    fn apply(&self, stretch: Stretch) -> impl Iterator<Item = Stretch> {
        let Stretch { start, end, origin } = stretch;
        let gone = if self.inserts { 0 } else { self.length };
        let before = Stretch {
            end: end.min(self.at),
            ..stretch
        };
        let first = start.max(self.at + gone);
        let place = |byte: u64| match byte {
            FOREVER => FOREVER,
            _ if self.inserts => byte + self.length,
            _ => byte.saturating_sub(self.length),
        };
        let behind = Stretch {
            start: place(first),
            end: if first < end { place(end) } else { 0 },
            origin: origin + (first - start),
        };
        [before, behind]
            .into_iter()
            .filter(|part| part.start < part.end)
    }
}

/// What was left in a stretch.
struct Trace {
    stretch: Stretch,
    /// The write; `None`: zeros.
    generation: Option<u32>,
    span: Span,
    /// It was done, and done here.
    sure: bool,
}

/// What a log says about each sector of the file.
pub struct Expectation {
    /// What was written.
    writes: Vec<Trace>,
    /// The writes by sector.
    by_sector: HashMap<u64, Vec<usize>>,
    /// What was cleared, and the zeros that were there before all.
    zeros: Vec<Trace>,
    /// Writes that the log has, by any name.
    known: HashSet<u32>,
    /// The file, in the stamps.
    id: u32,
    mode: Mode,
    /// The size that the file has at least, in bytes.
    pub end: u64,
}

impl Expectation {
    /// Reads a log of file `id`.
    pub fn new(records: &[Record], id: u32, mode: Mode) -> Self {
        let durable = records
            .iter()
            .filter(|record| record.event == Event::Fsync)
            .map(|record| record.span.begin)
            .max()
            .unwrap_or(0);
        let mut moves: Vec<Move> = records.iter().filter_map(moved).collect();
        moves.sort_by_key(|one| one.span.begin);
        let mut expectation = Expectation {
            writes: Vec::new(),
            by_sector: HashMap::new(),
            zeros: Vec::new(),
            known: HashSet::new(),
            id,
            mode,
            end: 0,
        };
        let always = Piece {
            offset: 0,
            length: FOREVER,
        };
        let before_all = Span { begin: 0, end: 0 };
        expectation.note(None, always, before_all, true, &moves, 0..=0);
        for record in records {
            let span = record.span;
            let counts = mode != Mode::Crashed || span.end <= durable;
            let (generation, piece, sure) = match record.event {
                Event::Acknowledged(generation, piece) => (Some(generation), piece, counts),
                Event::Synced(generation, piece) => (Some(generation), piece, true),
                Event::Failed(generation, piece) => (Some(generation), piece, false),
                Event::Cleared(piece) => (None, piece, counts),
                Event::Inserted(_) | Event::Collapsed(_) | Event::Fsync => continue,
            };
            expectation.known.extend(generation);
            // How many moves were over, and how many may have been, when this was done.
            let least = moves
                .iter()
                .filter(|one| one.span.end <= span.begin)
                .count();
            let most = moves.iter().filter(|one| one.span.begin < span.end).count();
            expectation.note(generation, piece, span, sure, &moves, least..=most);
        }
        for (number, one) in moves.iter().enumerate().filter(|(_, one)| one.inserts) {
            let piece = Piece {
                offset: one.at,
                length: one.length,
            };
            let after = number + 1..=number + 1;
            expectation.note(None, piece, one.span, mode != Mode::Crashed, &moves, after);
        }
        expectation.find_end();
        expectation
    }

    /// Something was left in a piece, when one of so many moves had been done.
    fn note(
        &mut self,
        generation: Option<u32>,
        piece: Piece,
        span: Span,
        sure: bool,
        moves: &[Move],
        when: std::ops::RangeInclusive<usize>,
    ) {
        let sure = sure && when.start() == when.end();
        for done in when {
            let mut stretches = vec![Stretch {
                start: piece.offset,
                end: piece.offset.saturating_add(piece.length),
                origin: piece.offset,
            }];
            for one in &moves[done..] {
                stretches = stretches.into_iter().flat_map(|s| one.apply(s)).collect();
            }
            for stretch in stretches {
                let trace = Trace {
                    stretch,
                    generation,
                    span,
                    sure,
                };
                if generation.is_none() {
                    self.zeros.push(trace);
                    continue;
                }
                let sector = SECTOR as u64;
                for number in stretch.start / sector..stretch.end / sector {
                    let here = self.by_sector.entry(number).or_default();
                    here.push(self.writes.len());
                }
                self.writes.push(trace);
            }
        }
    }

    /// The end of what is sure, unless the file may have been cut after it.
    fn find_end(&mut self) {
        let cut = self
            .zeros
            .iter()
            .filter(|trace| trace.stretch.end == FOREVER)
            .map(|trace| trace.span.end)
            .max()
            .unwrap_or(0);
        let stays = |trace: &&Trace| trace.sure && trace.span.begin > cut;
        let ends = self.writes.iter().filter(stays);
        self.end = ends.map(|trace| trace.stretch.end).max().unwrap_or(0);
    }

    /// `None` if a sector may be in this state, else what it should have been.
    pub fn objection(&self, sector: u64, state: State) -> Option<String> {
        let at = sector * SECTOR as u64;
        let cleared = |trace: &&Trace| trace.stretch.start <= at && at < trace.stretch.end;
        let written = self.by_sector.get(&sector).into_iter().flatten();
        let here: Vec<&Trace> = written
            .map(|&number| &self.writes[number])
            .chain(self.zeros.iter().filter(cleared))
            .collect();
        let sure = here.iter().filter(|trace| trace.sure);
        let last = sure.map(|trace| trace.span.begin).max().unwrap_or(0);
        let possible = |trace: &&&Trace| trace.span.end >= last;
        let (generation, origin) = match state {
            State::Zeros => (None, at),
            State::Data(generation) => (Some(generation), at),
            State::Misplaced(id, offset, generation) if id == self.id => (Some(generation), offset),
            State::Misplaced(..) | State::Poison | State::Garbage => (Some(u32::MAX), 0),
        };
        let found = here.iter().filter(possible).any(|trace| {
            let came_from = trace.stretch.origin + (at - trace.stretch.start);
            trace.generation == generation && (generation.is_none() || came_from == origin)
        });
        // What is not in the log came after all that is, if one process has written it.
        let newest = here
            .iter()
            .filter(|trace| trace.sure)
            .filter_map(|trace| trace.generation);
        let unlogged = self.mode != Mode::Complete
            && matches!(state, State::Data(generation)
                if !self.known.contains(&generation) && generation > newest.max().unwrap_or(0));
        if found || unlogged {
            return None;
        }
        let mut wanted: Vec<String> = here
            .iter()
            .filter(possible)
            .map(|trace| match trace.generation {
                None => "zeros".into(),
                Some(generation) => format!("write {generation}"),
            })
            .collect();
        wanted.dedup();
        Some(wanted.join(" or "))
    }
}

fn moved(record: &Record) -> Option<Move> {
    let (piece, inserts) = match record.event {
        Event::Inserted(piece) => (piece, true),
        Event::Collapsed(piece) => (piece, false),
        _ => return None,
    };
    Some(Move {
        at: piece.offset,
        length: piece.length,
        inserts,
        span: record.span,
    })
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

    fn at(begin: u64, end: u64, event: Event) -> Record {
        let span = Span { begin, end };
        Record { event, span }
    }

    fn may(records: &[Record], mode: Mode, sector: u64, state: State) -> bool {
        Expectation::new(records, 1, mode)
            .objection(sector, state)
            .is_none()
    }

    #[test]
    fn a_crash_forgives_what_was_not_synced() {
        let records = [
            at(1, 2, Event::Acknowledged(1, piece(0))),
            at(3, 4, Event::Fsync),
            at(5, 6, Event::Acknowledged(2, piece(0))),
            at(7, 8, Event::Acknowledged(3, piece(1))),
        ];
        let crashed = |sector, state| may(&records, Mode::Crashed, sector, state);
        assert!(crashed(0, State::Data(1)));
        assert!(crashed(0, State::Data(2)));
        assert!(!crashed(0, State::Zeros));
        assert!(crashed(1, State::Zeros));
        assert!(crashed(1, State::Data(9)));
        assert!(!crashed(1, State::Poison));
        let complete = |sector, state| may(&records, Mode::Complete, sector, state);
        assert!(!complete(0, State::Data(1)));
        assert!(!complete(1, State::Zeros));
        assert!(complete(2, State::Zeros));
        assert!(!complete(2, State::Data(9)));
        assert!(may(&records, Mode::Killed, 1, State::Data(9)));
        assert!(!may(&records, Mode::Killed, 1, State::Zeros));
        assert_eq!(Expectation::new(&records, 1, Mode::Complete).end, 1024);
        assert_eq!(Expectation::new(&records, 1, Mode::Crashed).end, 512);
    }

    #[test]
    fn what_met_may_have_come_in_either_order() {
        let records = [
            at(1, 9, Event::Acknowledged(1, piece(0))),
            at(8, 12, Event::Cleared(piece(0))),
            at(2, 3, Event::Failed(2, piece(0))),
        ];
        let may_be = |state| may(&records, Mode::Complete, 0, state);
        assert!(may_be(State::Data(1)));
        assert!(may_be(State::Zeros));
        assert!(!may_be(State::Data(2)));
        let later = [
            records[0],
            records[1],
            at(13, 14, Event::Failed(3, piece(0))),
        ];
        assert!(may(&later, Mode::Complete, 0, State::Data(3)));
    }

    #[test]
    fn moved_data_is_found_again() {
        let two = Piece {
            offset: 1024,
            length: 1024,
        };
        let records = [
            at(1, 2, Event::Acknowledged(1, piece(4))),
            at(3, 6, Event::Inserted(two)),
            at(5, 7, Event::Acknowledged(2, piece(4))),
            at(8, 9, Event::Collapsed(piece(0))),
        ];
        let may_be = |sector, state| may(&records, Mode::Complete, sector, state);
        assert!(may_be(5, State::Misplaced(1, 4 * 512, 1)));
        assert!(may_be(5, State::Misplaced(1, 4 * 512, 2)));
        assert!(may_be(3, State::Misplaced(1, 4 * 512, 2)));
        assert!(!may_be(3, State::Misplaced(1, 4 * 512, 1)));
        assert!(!may_be(5, State::Zeros));
        assert!(!may_be(5, State::Data(1)));
        assert!(!may_be(5, State::Misplaced(2, 4 * 512, 1)));
        assert!(may_be(2, State::Zeros));
        assert!(may_be(100, State::Zeros));
        // What was removed is gone, and so is a file's size.
        let removed = [
            at(1, 2, Event::Acknowledged(1, piece(4))),
            at(3, 4, Event::Collapsed(piece(4))),
        ];
        assert!(may(&removed, Mode::Complete, 4, State::Zeros));
        assert!(!may(&removed, Mode::Complete, 4, State::Data(1)));
        assert_eq!(Expectation::new(&removed, 1, Mode::Complete).end, 0);
    }
}
