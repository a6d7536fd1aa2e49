// SPDX-License-Identifier: GPL-2.0

//! Multiple mount protection: the block that says who writes to the file system, or checks it.
//!
//! Who writes to the file system changes a number in the block every few seconds. Who wants to write
//! to it, on whichever machine, waits and looks whether the number changes. Names and time are there
//! for people. Source: `Documentation/filesystems/ext4/mmp.rst`, `struct mmp_struct` and the constants
//! around it in the kernel's `fs/ext4/ext4.h`, and the waits of `fs/ext4/mmp.c`.

use super::checksum::FsSeed;
use super::error::ChecksumMismatch;
use super::superblock::until_zero;
use super::units::PhysicalBlock;
use core::fmt;
use zerocopy::little_endian::{U16, U32, U64};
use zerocopy::{FromBytes as _, IntoBytes as _};
use zerocopy_derive::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// What the block begins with.
const MAGIC: u32 = 0x004d_4d50;
/// `mmp_seq` after a clean unmount.
const CLEAN: u32 = 0xff4d_4d50;
/// `mmp_seq` while e2fsck works on the file system.
const CHECKED: u32 = 0xe24d_4d50;
/// The most bytes of the name of a machine.
pub const NODE_NAME_SIZE: usize = 64;
/// The most bytes of the name of a device.
pub const DEVICE_NAME_SIZE: usize = 32;
/// The shortest and the longest check interval, in seconds.
const CHECK_INTERVALS: core::ops::RangeInclusive<u64> = 5..=300;

/// The start of the block, 1024 bytes.
#[derive(FromBytes, IntoBytes, KnownLayout, Immutable)]
#[repr(C)]
struct Raw {
    magic: U32,
    seq: U32,
    time: U64,
    node_name: [u8; NODE_NAME_SIZE],
    device_name: [u8; DEVICE_NAME_SIZE],
    check_interval: U16,
    pad1: U16,
    pad2: [U32; 226],
    checksum: U32,
}

const _: () = assert!(size_of::<Raw>() == 1024);

/// What is wrong with the block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MmpError {
    /// `s_mmp_block` is not in the file system, or is where the super block and the descriptors are.
    Place(PhysicalBlock),
    /// Fewer bytes than the structure has.
    Short {
        /// The number of bytes.
        bytes: usize,
    },
    /// `mmp_magic`.
    Magic(u32),
    /// `mmp_checksum`.
    Checksum(ChecksumMismatch),
}

impl fmt::Display for MmpError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("multiple mount protection: ")?;
        match self {
            Self::Place(block) => write!(f, "it can't be in block {block}"),
            Self::Short { bytes } => write!(f, "block of {bytes} bytes"),
            Self::Magic(magic) => write!(f, "magic number is {magic:#010x}, not {MAGIC:#010x}"),
            Self::Checksum(mismatch) => fmt::Display::fmt(mismatch, f),
        }
    }
}

/// The number that who has the file system counts up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sequence(u32);

impl Sequence {
    /// The last one before it begins again.
    const MAX: u32 = 0xe24d_4d4f;

    /// One to begin with, made of a random number, so that no two begin with the same.
    pub const fn from_random(number: u32) -> Self {
        Self(number % (Self::MAX + 1))
    }

    /// The next one.
    #[must_use]
    pub const fn next(self) -> Self {
        if self.0 < Self::MAX {
            Self(self.0 + 1)
        } else {
            Self(1)
        }
    }
}

/// What `mmp_seq` says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MmpState {
    /// Nobody has the file system, and who had it last has said so.
    Clean,
    /// e2fsck works on it, or was interrupted.
    Checked,
    /// Somebody has it, if the number changes; or had it, and could not say that it was the end.
    InUse(Sequence),
}

impl MmpState {
    const fn of(seq: u32) -> Self {
        match seq {
            CLEAN => Self::Clean,
            CHECKED => Self::Checked,
            seq => Self::InUse(Sequence(seq)),
        }
    }

    const fn value(self) -> u32 {
        match self {
            Self::Clean => CLEAN,
            Self::Checked => CHECKED,
            Self::InUse(Sequence(seq)) => seq,
        }
    }
}

/// Who wrote the block last.
///
/// `Display` names both for a message, with what is not printable escaped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Owner {
    /// The name of the machine, with zero bytes behind it if there is room.
    pub node: [u8; NODE_NAME_SIZE],
    /// The name that the device has there, likewise.
    pub device: [u8; DEVICE_NAME_SIZE],
}

impl Owner {
    /// The names of a machine and of a device, cut if they are too long.
    pub fn new(node: &[u8], device: &[u8]) -> Self {
        let mut owner = Self {
            node: [0; NODE_NAME_SIZE],
            device: [0; DEVICE_NAME_SIZE],
        };
        for (to, from) in owner.node.iter_mut().zip(until_zero(node)) {
            *to = *from;
        }
        for (to, from) in owner.device.iter_mut().zip(until_zero(device)) {
            *to = *from;
        }
        owner
    }
}

impl fmt::Display for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let node = until_zero(&self.node).escape_ascii();
        let device = until_zero(&self.device).escape_ascii();
        write!(f, "node {node}, device {device}")
    }
}

/// What the block says.
///
/// `Display` says when it was updated last, and by whom.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mmp {
    /// Whether somebody has the file system.
    pub state: MmpState,
    /// Who wrote that.
    pub owner: Owner,
    /// When, in seconds since 1970 as that machine's clock has it.
    pub time: u64,
    /// How long it may take until the number changes, in seconds.
    pub check_interval: u16,
}

impl fmt::Display for Mmp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "last update time {}, {}", self.time, self.owner)
    }
}

impl Mmp {
    /// Reads the block. `seed` is what checksums start from, if the file system has them.
    ///
    /// # Errors
    ///
    /// All of [`MmpError`] but the first.
    pub fn parse(block: &[u8], seed: Option<FsSeed>) -> Result<Self, MmpError> {
        let (raw, _) = Raw::ref_from_prefix(block).map_err(|_| short(block))?;
        if raw.magic.get() != MAGIC {
            return Err(MmpError::Magic(raw.magic.get()));
        }
        if let Some(seed) = seed {
            ChecksumMismatch::check(raw.checksum.get(), raw.compute_checksum(seed))
                .map_err(MmpError::Checksum)?;
        }
        Ok(Self {
            state: MmpState::of(raw.seq.get()),
            owner: Owner {
                node: raw.node_name,
                device: raw.device_name,
            },
            time: raw.time.get(),
            check_interval: raw.check_interval.get(),
        })
    }

    /// Writes this into the block, and the checksum that belongs to it. What else is there stays.
    ///
    /// # Errors
    ///
    /// [`MmpError::Short`].
    pub fn store(&self, block: &mut [u8], seed: Option<FsSeed>) -> Result<(), MmpError> {
        let short = short(block);
        let (raw, _) = Raw::mut_from_prefix(block).map_err(|_| short)?;
        raw.magic.set(MAGIC);
        raw.seq.set(self.state.value());
        raw.time.set(self.time);
        raw.node_name = self.owner.node;
        raw.device_name = self.owner.device;
        raw.check_interval.set(self.check_interval);
        if let Some(seed) = seed {
            raw.checksum.set(raw.compute_checksum(seed));
        }
        Ok(())
    }

    /// Whether `self` was written by who wrote `other`, and nothing was in between.
    pub fn is_still(&self, other: &Self) -> bool {
        self.state == other.state && self.owner == other.owner
    }

    /// How long to wait until the number must have changed if somebody has the file system, in seconds.
    /// `update_interval` is the super block's.
    pub fn wait_seconds(&self, update_interval: u16) -> u32 {
        let interval = update_interval
            .max(self.check_interval)
            .max(*CHECK_INTERVALS.start() as u16);
        let interval = u32::from(interval);
        (2 * interval + 1).min(interval + 60)
    }
}

impl Raw {
    /// The checksum of all that is before it.
    fn compute_checksum(&self, seed: FsSeed) -> u32 {
        let covered = size_of::<Self>() - size_of::<U32>();
        let bytes = self.as_bytes().get(..covered).unwrap_or_default();
        seed.start().with(bytes).value()
    }
}

fn short(block: &[u8]) -> MmpError {
    MmpError::Short { bytes: block.len() }
}

/// How long it may take until the number changes, in seconds, for who updates it every
/// `update_interval` seconds and took `elapsed` seconds the last time.
pub fn check_interval(update_interval: u16, elapsed: u64) -> u16 {
    let twice = elapsed.max(update_interval.into()).saturating_mul(2);
    // At most 300.
    twice.clamp(*CHECK_INTERVALS.start(), *CHECK_INTERVALS.end()) as u16
}
