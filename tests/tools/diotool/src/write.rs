// SPDX-License-Identifier: GPL-2.0

//! `diotool write`: stamped direct writes, many in flight, logged.

use std::collections::VecDeque;
use std::fs::{File, OpenOptions};
use std::os::fd::AsRawFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::args::Args;
use crate::buffer::Buffer;
use crate::engine::{self, Engine};
use crate::journal::{now, Event, Writer};
use crate::plan::{self, Piece};
use crate::stamp::{self, SECTOR};

const VALUED: [&str; 11] = [
    "engine",
    "depth",
    "id",
    "log",
    "fsync-every",
    "passes",
    "pause-ms",
    "seconds",
    "errors",
    "generation",
    "memory",
];
const SWITCHES: [&str; 11] = [
    "osync",
    "odsync",
    "fsync",
    "fdatasync",
    "buffered",
    "overlap",
    "close",
    "unlink",
    "until-error",
    "fixed",
    "atomic",
];

/// What was done to one file.
#[derive(Default)]
struct Summary {
    writes: u64,
    bytes: u64,
    errors: u64,
    fsyncs: u64,
    first_error: String,
}

/// A write that was handed to the kernel.
#[derive(Clone, Copy)]
struct InFlight {
    generation: u32,
    piece: Piece,
    /// When it was submitted.
    begin: u64,
}

/// Writes that were handed to the kernel, by slot.
struct Slots {
    buffers: Vec<Buffer>,
    pieces: Vec<Option<InFlight>>,
}

impl Slots {
    /// A slot, and the first of these writes that can be made now; `None` as long as there is no slot
    /// free, or as long as writes to the same bytes are in flight, of which any may be the last, unless
    /// `overlap`.
    fn next<'p>(
        &self,
        mut pieces: impl Iterator<Item = &'p Piece>,
        overlap: bool,
    ) -> Option<(usize, usize)> {
        let slot = self.pieces.iter().position(Option::is_none)?;
        let meets = |piece: &Piece| {
            let mut others = self.pieces.iter().flatten();
            others.any(|other| other.piece.overlaps(piece))
        };
        Some((slot, pieces.position(|piece| overlap || !meets(piece))?))
    }

    fn is_empty(&self) -> bool {
        self.pieces.iter().all(Option::is_none)
    }
}

/// The state of the writes to one file.
struct Job<'a> {
    args: &'a Args,
    path: &'a Path,
    id: u32,
    /// `None` while it is closed.
    file: Option<File>,
    engine: Box<dyn Engine>,
    slots: Slots,
    log: Writer,
    summary: Summary,
    since_fsync: u64,
    fsync_every: u64,
    /// Of what was not done at all since a page was in its way, and can be tried again.
    again: Vec<Piece>,
}

impl Job<'_> {
    fn fail(&self, what: &str, error: impl std::fmt::Display) -> String {
        format!("{}: {what}: {error}", self.path.display())
    }

    /// Opened, if it is not.
    fn file(&mut self) -> Result<&File, String> {
        if self.file.is_none() {
            self.file = Some(open(self.args, self.path)?);
        }
        Ok(self.file.as_ref().expect("it was opened"))
    }

    /// Waits for what can be waited for; with `--close` for all, without having the file.
    fn make_room(&mut self) -> Result<(), String> {
        if !self.args.has("close") {
            return self.reap();
        }
        self.file = None;
        while !self.slots.is_empty() {
            self.reap()?;
        }
        Ok(())
    }

    fn reap(&mut self) -> Result<(), String> {
        let ended = self.engine.wait().map_err(|e| self.fail("waiting", e))?;
        for (slot, result) in ended {
            let ended = self.slots.pieces[slot].take().expect("a write in flight");
            let InFlight {
                generation,
                piece,
                begin,
            } = ended;
            let is_again = |error: &std::io::Error| error.raw_os_error() == Some(libc::EAGAIN);
            if self.args.has("atomic") && result.as_ref().is_err_and(is_again) {
                self.again.push(piece);
                continue;
            }
            let done = match &result {
                Ok(bytes) => (*bytes as u64).min(piece.length) / SECTOR as u64 * SECTOR as u64,
                Err(_) => 0,
            };
            if done > 0 {
                let piece = Piece {
                    length: done,
                    ..piece
                };
                let durable = self.args.has("osync") || self.args.has("odsync");
                let event = match durable {
                    true => Event::Synced(generation, piece),
                    false => Event::Acknowledged(generation, piece),
                };
                self.log.record(event, begin)?;
                self.summary.writes += 1;
                self.summary.bytes += done;
                self.since_fsync += 1;
            }
            if done < piece.length {
                let rest = Piece {
                    offset: piece.offset + done,
                    length: piece.length - done,
                };
                self.log.record(Event::Failed(generation, rest), begin)?;
                let why = match result {
                    Ok(bytes) => format!("short write: {bytes} of {}", piece.length),
                    Err(error) => error.to_string(),
                };
                let text = format!("write of {} bytes at {}: {why}", piece.length, piece.offset);
                if self.summary.errors == 0 {
                    self.summary.first_error.clone_from(&text);
                }
                self.summary.errors += 1;
                let allowed = match self.args.has("until-error") {
                    true => u64::MAX,
                    false => self.args.number("errors", 0)?,
                };
                if self.summary.errors > allowed {
                    return Err(self.fail("error", text));
                }
            }
        }
        if self.fsync_every > 0 && self.since_fsync >= self.fsync_every {
            self.sync()?;
        }
        Ok(())
    }

    fn sync(&mut self) -> Result<(), String> {
        let data_only = self.args.has("fdatasync");
        let begin = now();
        let file = self.file()?;
        let result = if data_only {
            file.sync_data()
        } else {
            file.sync_all()
        };
        result.map_err(|e| self.fail("fsync", e))?;
        self.since_fsync = 0;
        self.summary.fsyncs += 1;
        self.log.record(Event::Fsync, begin)
    }

    fn run(&mut self, mut generation: u32, salt: u64) -> Result<(), String> {
        let begin = Instant::now();
        let limit = self.args.number("seconds", u64::MAX)?;
        let pause = Duration::from_millis(self.args.number("pause-ms", 0)?);
        'all: for pass in 0..self.args.number("passes", 1)? {
            let mut pieces = VecDeque::from(plan::plan(self.args, salt + pass * 7919)?);
            // Where there is an order it is kept.
            let choice = match self.args.text("pattern") {
                Some("random") => usize::MAX,
                _ => 1,
            };
            loop {
                pieces.extend(self.again.drain(..));
                if pieces.is_empty() {
                    if self.slots.is_empty() || !self.args.has("atomic") {
                        break;
                    }
                    self.make_room()?;
                    continue;
                }
                let failed = self.summary.errors > 0 && self.args.has("until-error");
                if failed || begin.elapsed().as_secs() >= limit {
                    break 'all;
                }
                let overlap = self.args.has("overlap");
                let (slot, chosen) = loop {
                    match self.slots.next(pieces.iter().take(choice), overlap) {
                        Some(found) => break found,
                        None => self.make_room()?,
                    }
                };
                let Some(piece) = pieces.remove(chosen) else {
                    break;
                };
                let buffer = &mut self.slots.buffers[slot][..piece.length as usize];
                stamp::fill(buffer, self.id, generation, piece.offset);
                let fd = self.file()?.as_raw_fd();
                self.slots.pieces[slot] = Some(InFlight {
                    generation,
                    piece,
                    begin: now(),
                });
                generation += 1;
                let data = &self.slots.buffers[slot][..piece.length as usize];
                if let Err(error) = self.engine.submit(slot, fd, data, piece) {
                    return Err(
                        self.fail(&format!("submitting a write at {}", piece.offset), error)
                    );
                }
                if !pause.is_zero() {
                    std::thread::sleep(pause);
                }
            }
        }
        while !self.slots.is_empty() {
            self.make_room()?;
        }
        if self.args.has("fsync") || self.args.has("fdatasync") {
            self.sync()?;
        }
        Ok(())
    }
}

fn open(args: &Args, path: &Path) -> Result<File, String> {
    let mut flags = 0;
    if !args.has("buffered") {
        flags |= libc::O_DIRECT;
    }
    if args.has("osync") {
        flags |= libc::O_SYNC;
    }
    if args.has("odsync") {
        flags |= libc::O_DSYNC;
    }
    let file = OpenOptions::new()
        // A mapping has to be read as well.
        .read(args.text("engine") == Some("mmap"))
        .write(true)
        .create(args.has("unlink"))
        .custom_flags(flags)
        .open(path);
    let file = file.map_err(|e| format!("{}: open: {e}", path.display()))?;
    if args.has("unlink") {
        // A new one each time, which nobody else finds.
        let size =
            args.number("start", 0)? + args.number("shift", 0)? + args.number("length", 1 << 20)?;
        file.set_len(size)
            .and_then(|()| std::fs::remove_file(path))
            .map_err(|e| format!("{}: set_len, unlink: {e}", path.display()))?;
    }
    Ok(file)
}

fn write_file(args: &Args, path: &Path, number: u64, several: bool) -> Result<Summary, String> {
    let depth = args.number("depth", 1)?.max(1) as usize;
    let largest = args
        .numbers("sizes", &[4096])?
        .into_iter()
        .max()
        .unwrap_or(4096) as usize;
    let behind = args.number("memory", 0)? as usize;
    let log = args.text("log").map(|name| match several {
        true => PathBuf::from(format!("{name}.{number}")),
        false => PathBuf::from(name),
    });
    let (log, generation) = Writer::append(log.as_deref())?;
    let generation = args.number("generation", generation.into())? as u32;
    let mut job = Job {
        args,
        path,
        id: (args.number("id", 1)? + number) as u32,
        file: None,
        engine: engine::new(
            args.text("engine").unwrap_or("sync"),
            depth,
            match args.has("atomic") {
                true => engine::ATOMIC,
                false => 0,
            },
        )?,
        slots: Slots {
            buffers: (0..depth)
                .map(|_| Buffer::behind(largest, behind))
                .collect(),
            pieces: vec![None; depth],
        },
        log,
        summary: Summary::default(),
        since_fsync: 0,
        fsync_every: args.number("fsync-every", 0)?,
        again: Vec::new(),
    };
    if args.has("fixed") {
        let registered = job.engine.register(&job.slots.buffers);
        registered.map_err(|e| job.fail("registering the memory", e))?;
    }
    let outcome = job.run(generation, number);
    if outcome.is_err() {
        // The kernel still owns the buffers in flight.
        while !job.slots.is_empty() {
            let Ok(ended) = job.engine.wait() else {
                std::process::exit(1)
            };
            if ended.is_empty() {
                break;
            }
            for (slot, _) in ended {
                job.slots.pieces[slot] = None;
            }
        }
    }
    outcome.map(|()| job.summary)
}

/// Runs the command; one thread a file.
pub fn run(words: impl Iterator<Item = String>) -> Result<(), String> {
    let valued: Vec<&str> = VALUED.into_iter().chain(plan::OPTIONS).collect();
    let args = Args::parse(words, &valued, &SWITCHES)?;
    if args.words.is_empty() {
        return Err("write: which FILE?".into());
    }
    let several = args.words.len() > 1;
    let begin = Instant::now();
    let results: Vec<_> = std::thread::scope(|scope| {
        let threads: Vec<_> = args
            .words
            .iter()
            .enumerate()
            .map(|(number, path)| {
                let args = &args;
                scope.spawn(move || write_file(args, Path::new(path), number as u64, several))
            })
            .collect();
        let results = threads.into_iter().map(|thread| thread.join());
        results.map(|result| result.expect("no panic")).collect()
    });
    let mut total = Summary::default();
    let mut failures = Vec::new();
    for result in results {
        match result {
            Ok(summary) => {
                total.writes += summary.writes;
                total.bytes += summary.bytes;
                total.errors += summary.errors;
                total.fsyncs += summary.fsyncs;
                if total.first_error.is_empty() {
                    total.first_error = summary.first_error;
                }
            }
            Err(text) => failures.push(text),
        }
    }
    println!(
        "{{\"writes\": {}, \"bytes\": {}, \"errors\": {}, \"fsyncs\": {}, \"first_error\": {:?}, \
         \"seconds\": {:.3}}}",
        total.writes,
        total.bytes,
        total.errors,
        total.fsyncs,
        total.first_error,
        begin.elapsed().as_secs_f64()
    );
    if failures.is_empty() {
        Ok(())
    } else {
        Err(failures.join("\n"))
    }
}
