// SPDX-License-Identifier: GPL-2.0

//! Ways to read a file: through the page cache, around it, through a mapping.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;

use crate::buffer::Buffer;
use crate::mapping::Mapping;

/// Reads are done in pieces of this many bytes, at multiples of it.
pub const CHUNK: u64 = 64 << 10;

/// An open file, read one [`CHUNK`] at a time.
pub struct Source {
    file: File,
    mapped: bool,
    buffer: Buffer,
}

impl Source {
    /// `how` is `buffered`, `direct` or `mmap`.
    pub fn open(path: &Path, how: &str) -> Result<Self, String> {
        let flags = match how {
            "direct" => libc::O_DIRECT,
            "buffered" | "mmap" => 0,
            _ => return Err(format!("--how {how}: buffered, direct or mmap")),
        };
        let file = OpenOptions::new().read(true).custom_flags(flags).open(path);
        Ok(Source {
            file: file.map_err(|e| format!("{}: open: {e}", path.display()))?,
            mapped: how == "mmap",
            buffer: Buffer::new(CHUNK as usize),
        })
    }

    /// The file's size in bytes, now.
    pub fn size(&self) -> io::Result<u64> {
        Ok(self.file.metadata()?.len())
    }

    /// The bytes at `offset`, a multiple of [`CHUNK`], up to the end of the file.
    pub fn read(&mut self, offset: u64) -> io::Result<&[u8]> {
        let length = if self.mapped {
            self.copy_mapping(offset)?
        } else {
            let mut done = 0;
            // A direct read stops early only at the end of the file: going on
            // from there would be unaligned.
            while done < self.buffer.len() && done % 4096 == 0 {
                let rest = &mut self.buffer[done..];
                match self.file.read_at(rest, offset + done as u64) {
                    Ok(0) => break,
                    Ok(bytes) => done += bytes,
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                    Err(error) => return Err(error),
                }
            }
            done
        };
        Ok(&self.buffer[..length])
    }

    fn copy_mapping(&mut self, offset: u64) -> io::Result<usize> {
        let length = self.size()?.saturating_sub(offset).min(CHUNK) as usize;
        if length == 0 {
            return Ok(0);
        }
        // The file may change meanwhile.
        Mapping::new(&self.file, offset, length, false)?.load(0, &mut self.buffer[..length]);
        Ok(length)
    }
}
