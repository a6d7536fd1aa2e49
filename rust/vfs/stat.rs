// SPDX-License-Identifier: GPL-2.0

//! What `stat`, `statx` and `statfs` show.
//!
//! C headers: `include/linux/stat.h`, `include/linux/statfs.h`

use crate::bindings;

/// A point in time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Timestamp {
    /// Seconds since 1970, negative before.
    pub seconds: i64,
    /// Nanoseconds, below 1,000,000,000.
    pub nanoseconds: u32,
}

impl Timestamp {
    /// A point in time.
    pub fn new(seconds: i64, nanoseconds: u32) -> Self {
        Self {
            seconds,
            nanoseconds,
        }
    }

    /// Now, in whole seconds.
    pub fn now() -> Self {
        // SAFETY: no precondition.
        Self::new(unsafe { bindings::ktime_get_real_seconds() }, 0)
    }
}

/// What direct I/O asks of addresses and offsets, in bytes.
#[derive(Clone, Copy, Debug)]
pub struct DirectIoAlignment {
    /// Alignment of the memory.
    pub memory: u32,
    /// Alignment of the offset in the file, and of the length.
    pub offset: u32,
}

/// What one write may have that is there as a whole or not at all (`RWF_ATOMIC`), in bytes: powers of two.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AtomicUnits {
    /// At least.
    pub min: u32,
    /// At most.
    pub max: u32,
    /// The most that the device does by itself, which is quicker; 0 if it does nothing of it.
    pub best: u32,
}

/// What `statx` shows of an inode beyond what the VFS knows.
#[derive(Clone, Copy, Debug, Default)]
pub struct Attributes {
    /// Time of creation.
    pub birth: Option<Timestamp>,
    /// Direct I/O alignment; `None` where direct I/O is not possible.
    pub direct_io: Option<DirectIoAlignment>,
    /// For such writes; `None` where there are none.
    pub atomic: Option<AtomicUnits>,
    /// Space that the data takes up elsewhere than in blocks, in units of 512 bytes.
    pub more_blocks: u64,
    /// `STATX_ATTR_` bits that are set.
    pub set: u64,
    /// `STATX_ATTR_` bits that the file system knows.
    pub known: u64,
}

impl Attributes {
    /// Adds what is known, as far as `mask` asks for it.
    pub(super) fn fill(&self, mask: u32, out: &mut bindings::kstat) {
        if let Some(birth) = self.birth {
            if mask & bindings::STATX_BTIME != 0 {
                out.result_mask |= bindings::STATX_BTIME;
                out.btime.tv_sec = birth.seconds;
                out.btime.tv_nsec = birth.nanoseconds as isize;
            }
        }
        if mask & bindings::STATX_DIOALIGN != 0 {
            if let Some(align) = self.direct_io {
                out.result_mask |= bindings::STATX_DIOALIGN;
                out.dio_mem_align = align.memory;
                out.dio_offset_align = align.offset;
            }
        }
        let is_regular = u32::from(out.mode) & bindings::S_IFMT == bindings::S_IFREG;
        if mask & bindings::STATX_WRITE_ATOMIC != 0 && is_regular {
            let (min, max, best) = self
                .atomic
                .map_or((0, 0, 0), |units| (units.min, units.max, units.best));
            // SAFETY: the structure is to be filled.
            unsafe { bindings::generic_fill_statx_atomic_writes(out, min, max, best) };
        }
        out.blocks += self.more_blocks;
        out.attributes |= self.set;
        out.attributes_mask |= self.known;
    }
}

/// What `statfs` shows.
#[derive(Clone, Copy, Debug)]
pub struct StatFs {
    /// Bytes in a block.
    pub block_size: u32,
    /// Blocks that can hold data.
    pub blocks: u64,
    /// Free blocks.
    pub free: u64,
    /// Free blocks that an ordinary user can have.
    pub available: u64,
    /// Inodes.
    pub inodes: u64,
    /// Free inodes.
    pub free_inodes: u64,
    /// The file system's identifier.
    pub id: [u32; 2],
    /// Longest name, in bytes.
    pub name_len: u32,
}

impl StatFs {
    pub(super) fn fill(&self, magic: u32, out: &mut bindings::kstatfs) {
        out.f_type = magic as isize;
        out.f_bsize = self.block_size as isize;
        out.f_frsize = self.block_size as isize;
        out.f_blocks = self.blocks;
        out.f_bfree = self.free;
        out.f_bavail = self.available;
        out.f_files = self.inodes;
        out.f_ffree = self.free_inodes;
        out.f_fsid.val = self.id.map(|half| half as i32);
        out.f_namelen = self.name_len as isize;
    }
}
