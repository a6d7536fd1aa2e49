// SPDX-License-Identifier: GPL-2.0

//! `diotool random`: operations of all kinds on one file, against a model of it in memory.
//! It begins with what is in the file.

use std::collections::VecDeque;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{FileExt, OpenOptionsExt};

use crate::args::Args;
use crate::buffer::Buffer;
use crate::mapping::Mapping;
use crate::plan::Random;

const PAGE: usize = 4096;
/// Operations that are shown when something is wrong.
const SHOWN: usize = 40;
/// Most bytes of one operation, but for those that move the rest of the file.
const LONGEST: usize = 48 << 10;
const MOVED: usize = 12 << 10;

/// What an operation did, in words, or why it failed.
type Outcome = Result<String, String>;
type Operation = fn(&mut Exerciser) -> Outcome;

/// All operations; one that is named twice comes twice as often.
const OPERATIONS: [(&str, Operation); 16] = [
    ("write", Exerciser::write),
    ("write direct", Exerciser::write_direct),
    ("write direct", Exerciser::write_direct),
    ("write mapped", Exerciser::write_mapped),
    ("truncate", Exerciser::truncate),
    ("preallocate", Exerciser::preallocate),
    ("punch", Exerciser::punch),
    ("zero", Exerciser::zero),
    ("collapse", Exerciser::collapse),
    ("insert", Exerciser::insert),
    ("read", Exerciser::read),
    ("read direct", Exerciser::read_direct),
    ("read mapped", Exerciser::read_mapped),
    ("append direct", Exerciser::append_direct),
    ("drop the cache", Exerciser::drop_cache),
    ("sync", Exerciser::sync),
];

/// Those that a file without extents refuses.
const FOR_EXTENTS: [&str; 4] = ["preallocate", "zero", "collapse", "insert"];

/// A file and what has to be in it.
struct Exerciser {
    cached: File,
    direct: File,
    model: Vec<u8>,
    /// Bytes that the file may have.
    limit: usize,
    /// The block size: what is moved is a multiple of it.
    unit: usize,
    /// The file has no extents, so that holes can be punched, and nothing else can be done to ranges.
    without_extents: bool,
    dice: Random,
    buffer: Buffer,
    done: VecDeque<String>,
}

fn failed(error: io::Error) -> String {
    error.to_string()
}

impl Exerciser {
    fn below(&mut self, limit: usize) -> usize {
        self.dice.below(limit as u64) as usize
    }

    /// Where to do something: first byte and length, both multiples of `step`.
    fn range(&mut self, step: usize, longest: usize) -> (usize, usize) {
        let length = step * (1 + self.below(longest / step));
        let offset = step * self.below((self.limit - length) / step + 1);
        (offset, length)
    }

    /// Bytes that no other place and no other operation has, in the buffer.
    fn fresh(&mut self, length: usize) {
        let mut stamp = self.dice.below(1 << 48) | 1;
        for piece in self.buffer[..length].chunks_mut(8) {
            stamp = stamp.wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(23);
            piece.copy_from_slice(&stamp.to_le_bytes()[..piece.len()]);
        }
    }

    fn grow(&mut self, size: usize) {
        if self.model.len() < size {
            self.model.resize(size, 0);
        }
    }

    fn remember(&mut self, offset: usize, length: usize) {
        self.grow(offset + length);
        self.model[offset..offset + length].copy_from_slice(&self.buffer[..length]);
    }

    fn write(&mut self) -> Outcome {
        let (offset, length) = self.range(1, LONGEST);
        self.fresh(length);
        let data = &self.buffer[..length];
        self.cached
            .write_all_at(data, offset as u64)
            .map_err(failed)?;
        self.remember(offset, length);
        Ok(format!("{offset}+{length}"))
    }

    fn direct_at(&mut self, offset: usize, length: usize) -> Outcome {
        self.fresh(length);
        let data = &self.buffer[..length];
        let done = self.direct.write_at(data, offset as u64).map_err(failed)?;
        if done != length {
            return Err(format!("{offset}+{length}: only {done} bytes"));
        }
        self.remember(offset, length);
        Ok(format!("{offset}+{length}"))
    }

    fn write_direct(&mut self) -> Outcome {
        let step = [512, self.unit, PAGE][self.below(3)];
        let (offset, length) = self.range(step, LONGEST);
        self.direct_at(offset, length)
    }

    /// From the last whole sector on: within the last block, or beyond it.
    fn append_direct(&mut self) -> Outcome {
        let offset = self.model.len() / 512 * 512;
        let (_, length) = self.range(512, LONGEST);
        if offset + length > self.limit {
            return Ok("too far".into());
        }
        self.direct_at(offset, length)
    }

    fn write_mapped(&mut self) -> Outcome {
        let size = self.model.len();
        if size == 0 {
            return Ok("empty".into());
        }
        let offset = self.below(size);
        let length = (1 + self.below(3 * PAGE)).min(size - offset);
        self.fresh(length);
        let start = offset / PAGE * PAGE;
        // To the end of the page, which is more than the file has.
        let whole = (offset + length - start).next_multiple_of(PAGE);
        let mapping = Mapping::new(&self.cached, start as u64, whole, true).map_err(failed)?;
        mapping.store(offset - start, &self.buffer[..length]);
        if start + whole > size {
            // Nobody is to see that, whichever way the file grows.
            mapping.store(size - start, &vec![b'?'; start + whole - size]);
        }
        self.remember(offset, length);
        Ok(format!("{offset}+{length}"))
    }

    fn truncate(&mut self) -> Outcome {
        let size = match self.below(2) {
            0 => self.below(self.limit),
            _ => self.model.len() / PAGE * PAGE,
        };
        self.cached.set_len(size as u64).map_err(failed)?;
        self.model.resize(size, 0);
        Ok(size.to_string())
    }

    fn fallocate(&self, mode: i32, offset: usize, length: usize) -> Result<(), String> {
        let descriptor = self.cached.as_raw_fd();
        // SAFETY: no memory is handed over.
        match unsafe { libc::fallocate(descriptor, mode, offset as i64, length as i64) } {
            0 => Ok(()),
            _ => Err(format!("{offset}+{length}: {}", io::Error::last_os_error())),
        }
    }

    fn preallocate(&mut self) -> Outcome {
        let (offset, length) = self.range(1, LONGEST);
        let keep = self.below(2) == 0;
        self.fallocate(
            if keep { libc::FALLOC_FL_KEEP_SIZE } else { 0 },
            offset,
            length,
        )?;
        if !keep {
            self.grow(offset + length);
        }
        Ok(format!(
            "{offset}+{length}{}",
            if keep { " keep" } else { "" }
        ))
    }

    fn clear(&mut self, mode: i32) -> Outcome {
        let (offset, length) = self.range(1, LONGEST);
        self.fallocate(mode | libc::FALLOC_FL_KEEP_SIZE, offset, length)?;
        let end = (offset + length).min(self.model.len());
        if offset < end {
            self.model[offset..end].fill(0);
        }
        Ok(format!("{offset}+{length}"))
    }

    fn punch(&mut self) -> Outcome {
        self.clear(libc::FALLOC_FL_PUNCH_HOLE)
    }

    fn zero(&mut self) -> Outcome {
        self.clear(libc::FALLOC_FL_ZERO_RANGE)
    }

    fn collapse(&mut self) -> Outcome {
        let (offset, length) = self.range(self.unit, MOVED);
        if offset + length >= self.model.len() {
            return Ok("too far".into());
        }
        self.fallocate(libc::FALLOC_FL_COLLAPSE_RANGE, offset, length)?;
        self.model.drain(offset..offset + length);
        Ok(format!("{offset}+{length}"))
    }

    fn insert(&mut self) -> Outcome {
        let (offset, length) = self.range(self.unit, MOVED);
        if offset >= self.model.len() || self.model.len() + length > self.limit {
            return Ok("too far".into());
        }
        self.fallocate(libc::FALLOC_FL_INSERT_RANGE, offset, length)?;
        let zeros = std::iter::repeat_n(0, length);
        self.model.splice(offset..offset, zeros);
        Ok(format!("{offset}+{length}"))
    }

    fn read(&mut self) -> Outcome {
        let (offset, length) = self.range(1, LONGEST);
        self.compare(offset, length, false)
    }

    fn read_direct(&mut self) -> Outcome {
        let (offset, length) = self.range(512, LONGEST);
        self.compare(offset, length, true)
    }

    fn read_mapped(&mut self) -> Outcome {
        let size = self.model.len();
        if size == 0 {
            return Ok("empty".into());
        }
        let start = self.below(size) / PAGE * PAGE;
        let length = (1 + self.below(LONGEST)).min(size - start);
        let whole = length.next_multiple_of(PAGE);
        let mapping = Mapping::new(&self.cached, start as u64, whole, false).map_err(failed)?;
        mapping.load(0, &mut self.buffer[..length]);
        self.judge(start, length, length)
    }

    /// `POSIX_FADV_DONTNEED`, so that what is read next comes from the disk.
    fn drop_cache(&mut self) -> Outcome {
        let descriptor = self.cached.as_raw_fd();
        // SAFETY: no memory is handed over.
        unsafe { libc::posix_fadvise(descriptor, 0, 0, libc::POSIX_FADV_DONTNEED) };
        Ok(String::new())
    }

    fn sync(&mut self) -> Outcome {
        match self.below(2) {
            0 => self.cached.sync_all().map_err(failed)?,
            _ => self.cached.sync_data().map_err(failed)?,
        }
        Ok(String::new())
    }

    /// Reads, and compares; there may be less than that in the file.
    fn compare(&mut self, offset: usize, length: usize, direct: bool) -> Outcome {
        let file = if direct { &self.direct } else { &self.cached };
        let seen = file
            .read_at(&mut self.buffer[..length], offset as u64)
            .map_err(failed)?;
        self.judge(offset, length, seen)
    }

    /// `seen` bytes were read to the buffer, when asked for `length`.
    fn judge(&self, offset: usize, length: usize, seen: usize) -> Outcome {
        let wanted = self.model.get(offset..).unwrap_or(&[]);
        let wanted = &wanted[..wanted.len().min(length)];
        let found = &self.buffer[..seen];
        if wanted == found {
            return Ok(format!("{offset}+{length}"));
        }
        let same = wanted.iter().zip(found).take_while(|(a, b)| a == b).count();
        let some = |bytes: &[u8]| format!("{:02x?}", &bytes[same..bytes.len().min(same + 8)]);
        Err(format!(
            "{offset}+{length}: {seen} bytes, {} expected; first difference at byte {}: {}, not {}",
            wanted.len(),
            offset + same,
            some(found),
            some(wanted)
        ))
    }

    /// All of it, through the page cache and around it.
    fn check(&mut self) -> Result<(), String> {
        for direct in [false, true] {
            self.compare(0, self.limit, direct).map_err(|e| {
                format!(
                    "all of it, {}: {e}",
                    if direct { "direct" } else { "cached" }
                )
            })?;
        }
        Ok(())
    }

    fn step(&mut self, number: u64, check_every: u64) -> Result<(), String> {
        let (name, operation) = loop {
            let chosen = OPERATIONS[self.below(OPERATIONS.len())];
            if !self.without_extents || !FOR_EXTENTS.contains(&chosen.0) {
                break chosen;
            }
        };
        let outcome = operation(self).map_err(|e| format!("operation {number}, {name} {e}"))?;
        if self.done.len() == SHOWN {
            self.done.pop_front();
        }
        self.done.push_back(format!("{number} {name} {outcome}"));
        if number % check_every == check_every - 1 {
            self.check()
                .map_err(|e| format!("after operation {number}: {e}"))?;
        }
        Ok(())
    }
}

/// Does what the command line says.
pub fn run(words: impl Iterator<Item = String>) -> Result<(), String> {
    let args = Args::parse(
        words,
        &["seed", "count", "limit", "unit", "check-every"],
        &["without-extents"],
    )?;
    let [path] = args.words.as_slice() else {
        return Err("give one FILE".into());
    };
    let open = |flags| {
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .custom_flags(flags)
            .open(path);
        file.map_err(|e| format!("{path}: open: {e}"))
    };
    let limit = args.number("limit", 512 << 10)? as usize;
    let unit = args.number("unit", 4096)? as usize;
    if !unit.is_power_of_two()
        || !(512..=MOVED).contains(&unit)
        || limit < 2 * LONGEST
        || limit % PAGE != 0
    {
        return Err(format!(
            "--unit is a block size, --limit a multiple of {PAGE}, at least {}",
            2 * LONGEST
        ));
    }
    let mut exerciser = Exerciser {
        cached: open(0)?,
        direct: open(libc::O_DIRECT)?,
        model: fs::read(path).map_err(|e| format!("{path}: {e}"))?,
        limit,
        unit,
        without_extents: args.has("without-extents"),
        dice: Random::new(args.number("seed", 1)?),
        buffer: Buffer::new(limit),
        done: VecDeque::new(),
    };
    let check_every = args.number("check-every", 25)?.max(1);
    let count = args.number("count", 1000)?;
    exerciser
        .check()
        .map_err(|e| format!("{path}: before the first operation: {e}"))?;
    for number in 0..count {
        exerciser.step(number, check_every).map_err(|e| {
            let last: Vec<&str> = exerciser.done.iter().map(String::as_str).collect();
            format!(
                "{path}: {e}; the last operations were:\n  {}",
                last.join("\n  ")
            )
        })?;
    }
    exerciser
        .check()
        .map_err(|e| format!("{path}: at the end: {e}"))?;
    println!(
        "{{\"operations\": {count}, \"size\": {}}}",
        exerciser.model.len()
    );
    Ok(())
}
