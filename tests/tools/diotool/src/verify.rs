// SPDX-License-Identifier: GPL-2.0

//! `diotool verify` and `diotool watch`: is in the file what has to be there,
//! afterwards and all the time?

use std::cmp::Ordering;
use std::collections::HashMap;
use std::path::Path;
use std::time::Instant;

use crate::args::Args;
use crate::history::{Expectation, Mode};
use crate::journal;
use crate::plan::Random;
use crate::source::{Source, CHUNK};
use crate::stamp::{classify, State, SECTOR};

/// Mismatches that are printed; the others are counted.
const SHOWN: u64 = 8;

/// Counts of what was found, and complaints.
#[derive(Default)]
struct Findings {
    zeros: u64,
    data: u64,
    bad: u64,
}

impl Findings {
    fn count(&mut self, state: State) {
        match state {
            State::Zeros => self.zeros += 1,
            State::Data(_) => self.data += 1,
            State::Poison | State::Misplaced(..) | State::Garbage => {}
        }
    }

    fn complain(&mut self, path: &Path, offset: u64, wanted: &str, found: State) {
        self.bad += 1;
        if self.bad <= SHOWN {
            eprintln!(
                "{}: byte {offset} (sector {}): expected {wanted}, found {found:?}",
                path.display(),
                offset / SECTOR as u64
            );
        }
    }

    fn end(self, more: &str) -> Result<(), String> {
        println!(
            "{{\"zeros\": {}, \"data\": {}, \"bad\": {}{more}}}",
            self.zeros, self.data, self.bad
        );
        match self.bad {
            0 => Ok(()),
            bad => Err(format!("{bad} sectors are not as they have to be")),
        }
    }
}

/// A read that meets an overwrite on the device may get a sector that is partly
/// old and partly new: no file system can prevent that. Reading again can.
const TORN_TRIES: u32 = 20;

fn torn(bytes: &[u8], id: u32, at: u64) -> bool {
    let mut sectors = bytes.chunks(SECTOR).zip((at..).step_by(SECTOR));
    sectors.any(|(sector, offset)| classify(sector, id, offset) == State::Garbage)
}

fn only_file(args: &Args) -> Result<&Path, String> {
    match args.words.as_slice() {
        [path] => Ok(Path::new(path)),
        _ => Err("give one FILE".into()),
    }
}

/// Compares a file with the log of the writes to it, read in one way or in several in turn.
pub fn verify(words: impl Iterator<Item = String>) -> Result<(), String> {
    let args = Args::parse(
        words,
        &["how", "id", "log", "dense-from", "min-size", "max-size"],
        &["crash", "killed"],
    )?;
    let path = only_file(&args)?;
    let id = args.number("id", 1)? as u32;
    let dense_from = args.number("dense-from", u64::MAX)?;
    let min_size = args.number("min-size", 0)?;
    let max_size = args.number("max-size", u64::MAX)?;
    let log = args.text("log").ok_or("verify needs --log")?;
    let mode = match (args.has("crash"), args.has("killed")) {
        (false, false) => Mode::Complete,
        (false, true) => Mode::Killed,
        (true, _) => Mode::Crashed,
    };
    let expectation = Expectation::new(&journal::read(Path::new(log))?, id, mode);
    for how in args.text("how").unwrap_or("buffered").split(',') {
        let mut source = Source::open(path, how)?;
        let size = source.size().map_err(|e| e.to_string())?;
        if size < expectation.end {
            return Err(format!(
                "{}: {size} bytes long, but data up to {} was acknowledged",
                path.display(),
                expectation.end
            ));
        }
        if !(min_size..=max_size).contains(&size) {
            return Err(format!(
                "{}: {size} bytes long, not from {min_size} to {max_size}",
                path.display()
            ));
        }
        compare(path, id, &mut source, size, dense_from, &expectation)?
            .end(&format!(", \"size\": {size}, \"how\": \"{how}\""))?;
    }
    Ok(())
}

/// Compares all that `source` reads of a file of `size` bytes.
fn compare(
    path: &Path,
    id: u32,
    source: &mut Source,
    size: u64,
    dense_from: u64,
    expectation: &Expectation,
) -> Result<Findings, String> {
    let mut findings = Findings::default();
    let mut at = 0;
    while at < size {
        let bytes = source
            .read(at)
            .map_err(|e| format!("{}: read at {at}: {e}", path.display()))?;
        if (bytes.len() as u64) < CHUNK.min(size - at) {
            return Err(format!(
                "{}: short read at {at}: {}",
                path.display(),
                bytes.len()
            ));
        }
        for (sector, offset) in bytes.chunks(SECTOR).zip((at..).step_by(SECTOR)) {
            let state = classify(sector, id, offset);
            findings.count(state);
            if let Some(wanted) = expectation.objection(offset / SECTOR as u64, state) {
                findings.complain(path, offset, &wanted, state);
            } else if state == State::Zeros && offset >= dense_from {
                findings.complain(path, offset, "data (below the file's size)", state);
            }
        }
        at += CHUNK;
    }
    Ok(findings)
}

/// Reads a file that is being written, until --stop is there: zeros or data of
/// this file, and nothing that was once seen is gone again.
pub fn watch(words: impl Iterator<Item = String>) -> Result<(), String> {
    let args = Args::parse(words, &["how", "id", "stop", "seconds", "seed"], &[])?;
    let path = only_file(&args)?;
    let id = args.number("id", 1)? as u32;
    let stop = Path::new(args.text("stop").ok_or("watch needs --stop")?);
    let limit = args.number("seconds", 60)?;
    let mut random = Random::new(args.number("seed", 1)?);
    let mut source = Source::open(path, args.text("how").unwrap_or("buffered"))?;
    let mut seen: HashMap<u64, u32> = HashMap::new();
    let mut findings = Findings::default();
    let (mut reads, mut changes) = (0u64, 0u64);
    let begin = Instant::now();
    while !stop.exists() {
        if begin.elapsed().as_secs() >= limit {
            return Err(format!("{} did not come within {limit} s", stop.display()));
        }
        let size = source.size().map_err(|e| e.to_string())?;
        if size == 0 {
            std::thread::yield_now();
            continue;
        }
        let at = random.below(size.div_ceil(CHUNK)) * CHUNK;
        let mut bytes = source
            .read(at)
            .map_err(|e| format!("{}: read at {at}: {e}", path.display()))?;
        for _ in 0..TORN_TRIES {
            if !torn(bytes, id, at) {
                break;
            }
            bytes = source
                .read(at)
                .map_err(|e| format!("{}: read at {at}: {e}", path.display()))?;
        }
        reads += 1;
        for (sector, offset) in bytes.chunks(SECTOR).zip((at..).step_by(SECTOR)) {
            let state = classify(sector, id, offset);
            findings.count(state);
            let found = match state {
                State::Zeros => 0,
                State::Data(generation) => generation,
                _ => {
                    findings.complain(path, offset, "zeros or data", state);
                    continue;
                }
            };
            let before = seen.insert(offset, found).unwrap_or(0);
            match found.cmp(&before) {
                Ordering::Less => {
                    let wanted = format!("write {before} or a later one");
                    findings.complain(path, offset, &wanted, state);
                }
                Ordering::Equal => {}
                Ordering::Greater => changes += 1,
            }
        }
    }
    findings.end(&format!(", \"reads\": {reads}, \"changes\": {changes}"))
}
