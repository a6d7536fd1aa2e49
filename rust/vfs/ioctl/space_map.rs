// SPDX-License-Identifier: GPL-2.0

//! `FS_IOC_GETFSMAP`: what the bytes of the device are used for.
//!
//! C header: `include/uapi/linux/fsmap.h`

use super::{Administration, Call};
use crate::{
    bindings,
    vfs::{block_device::BlockDevice, super_block::FileSystem},
};
use core::{mem::offset_of, ops::Range};
use kernel::{error::code, prelude::*, uaccess::UserSlice};

/// A run of bytes of the device, whole blocks.
#[derive(Clone, Copy, Debug)]
pub struct SpaceRecord {
    /// The first byte.
    pub start: u64,
    /// The number of bytes.
    pub len: u64,
    /// Who has it: one of the values of [`owner`], or [`SpaceRecord::FREE`] or
    /// [`SpaceRecord::UNKNOWN`].
    pub owner: u64,
}

impl SpaceRecord {
    /// Nobody has it.
    pub const FREE: u64 = owner(0, 1);
    /// Somebody has it.
    pub const UNKNOWN: u64 = owner(0, 2);
}

/// The number of an owner that is no file: of a kind, and which of them.
pub const fn owner(kind: u8, code: u32) -> u64 {
    (kind as u64) << 32 | code as u64
}

/// The bytes of `struct fsmap_head` without records.
const HEAD: usize = size_of::<bindings::fsmap_head>();
/// The bytes of `struct fsmap`, a record.
const RECORD: usize = size_of::<bindings::fsmap>();
/// Where the keys are in the head.
const KEYS: usize = offset_of!(bindings::fsmap_head, fmh_keys);

pub(super) fn half(bytes: &[u8], at: usize) -> u32 {
    let field = bytes.get(at..).and_then(|rest| rest.first_chunk());
    field.map_or(0, |field| u32::from_ne_bytes(*field))
}

pub(super) fn number(bytes: &[u8], at: usize) -> u64 {
    let field = bytes.get(at..).and_then(|rest| rest.first_chunk());
    field.map_or(0, |field| u64::from_ne_bytes(*field))
}

pub(super) fn put(bytes: &mut [u8], at: usize, field: &[u8]) {
    if let Some(place) = bytes.get_mut(at..at + field.len()) {
        place.copy_from_slice(field);
    }
}

/// Where a search begins or ends.
#[derive(Clone, Copy)]
struct Key {
    device: u32,
    physical: u64,
    owner: u64,
    len: u64,
}

impl Key {
    /// Reads the key that starts at `at` of the head.
    fn parse(head: &[u8], at: usize, block_bytes: u64, offsets: &[u64]) -> Result<Self> {
        let reserved = at + offset_of!(bindings::fsmap, fmr_reserved)..at + RECORD;
        let offset = number(head, at + offset_of!(bindings::fsmap, fmr_offset));
        let is_zero = |bytes: &[u8]| bytes.iter().all(|&byte| byte == 0);
        if !head.get(reserved).is_some_and(is_zero) || !offsets.contains(&offset) {
            return Err(code::EINVAL);
        }
        let whole = |bytes: u64| bytes - bytes % block_bytes;
        Ok(Self {
            device: half(head, at + offset_of!(bindings::fsmap, fmr_device)),
            physical: whole(number(head, at + offset_of!(bindings::fsmap, fmr_physical))),
            owner: number(head, at + offset_of!(bindings::fsmap, fmr_owner)),
            len: whole(number(head, at + offset_of!(bindings::fsmap, fmr_length))),
        })
    }

    /// By what keys are ordered.
    fn rank(&self) -> (u32, u64, u64) {
        (self.device, self.physical, self.owner)
    }
}

/// What is asked for.
struct Query {
    /// The bytes of the device; none if it is another one that is asked about.
    bytes: Range<u64>,
    /// How many records there is room for; zero to count them.
    room: u32,
}

impl Query {
    fn parse(head: &[u8; HEAD], device: &BlockDevice, block_bytes: u64) -> Result<Self> {
        let reserved = offset_of!(bindings::fsmap_head, fmh_reserved)..KEYS;
        let is_zero = |bytes: &[u8]| bytes.iter().all(|&byte| byte == 0);
        if !head.get(reserved).is_some_and(is_zero)
            || half(head, offset_of!(bindings::fsmap_head, fmh_iflags)) != 0
        {
            return Err(code::EINVAL);
        }
        let mut low = Key::parse(head, KEYS, block_bytes, &[0])?;
        let high = Key::parse(head, KEYS + RECORD, block_bytes, &[0, u64::MAX])?;
        let own = device.number();
        if [low, high]
            .iter()
            .any(|key| ![0, own, u32::MAX].contains(&key.device))
        {
            return Err(code::EINVAL);
        }
        // The last record of the call before this one can be given as the lower key.
        low.physical = low.physical.wrapping_add(low.len);
        low.owner = 0;
        if low.rank() >= high.rank() {
            return Err(code::EINVAL);
        }
        let end = if high.device == own {
            high.physical.saturating_add(block_bytes)
        } else {
            u64::MAX
        };
        let bytes = if low.device > own || high.device < own {
            0..0
        } else {
            low.physical..end
        };
        Ok(Self {
            bytes,
            room: half(head, offset_of!(bindings::fsmap_head, fmh_count)),
        })
    }
}

impl<T: FileSystem + Administration> Call<'_, T> {
    pub(super) fn space_map(&self) -> Result {
        let mut head: [u8; HEAD] = self.read()?;
        let device = self.sb().device();
        let query = Query::parse(&head, device, u64::from(self.sb().block_bytes()))?;
        let mut count = 0_u32;
        let mut last = None;
        let mut is_whole = true;
        let most = if query.room == 0 {
            u32::MAX
        } else {
            query.room
        };
        T::space_map(self.sb(), query.bytes, &mut |record| {
            if count == most {
                is_whole = false;
                return Ok(false);
            }
            if query.room > 0 {
                let flags = bindings::FMR_OF_SPECIAL_OWNER;
                last = Some((count, record));
                self.write_record(count, &record, flags)?;
            }
            count += 1;
            Ok(true)
        })?;
        if let (true, Some((index, record))) = (is_whole, last) {
            let flags = bindings::FMR_OF_SPECIAL_OWNER | bindings::FMR_OF_LAST;
            self.write_record(index, &record, flags)?;
        }
        let entries = offset_of!(bindings::fsmap_head, fmh_entries);
        put(&mut head, entries, &count.to_ne_bytes());
        let flags = bindings::FMH_OF_DEV_T.to_ne_bytes();
        put(
            &mut head,
            offset_of!(bindings::fsmap_head, fmh_oflags),
            &flags,
        );
        self.write(&head)
    }

    fn write_record(&self, index: u32, record: &SpaceRecord, flags: u32) -> Result {
        let mut bytes = [0; RECORD];
        let device = self.sb().device().number().to_ne_bytes();
        put(&mut bytes, offset_of!(bindings::fsmap, fmr_device), &device);
        put(
            &mut bytes,
            offset_of!(bindings::fsmap, fmr_flags),
            &flags.to_ne_bytes(),
        );
        let start = record.start.to_ne_bytes();
        put(
            &mut bytes,
            offset_of!(bindings::fsmap, fmr_physical),
            &start,
        );
        put(
            &mut bytes,
            offset_of!(bindings::fsmap, fmr_owner),
            &record.owner.to_ne_bytes(),
        );
        put(
            &mut bytes,
            offset_of!(bindings::fsmap, fmr_length),
            &record.len.to_ne_bytes(),
        );
        let at = self
            .argument
            .wrapping_byte_add(HEAD + index as usize * RECORD);
        UserSlice::new(at, RECORD).writer().write_slice(&bytes)
    }
}
