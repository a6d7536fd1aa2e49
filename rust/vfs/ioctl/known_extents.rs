// SPDX-License-Identifier: GPL-2.0

//! What is known in memory of where files lie: `EXT4_IOC_PRECACHE_EXTENTS`, `EXT4_IOC_CLEAR_ES_CACHE`,
//! `EXT4_IOC_GETSTATE`, `EXT4_IOC_GET_ES_CACHE`, and `FIEMAP_FLAG_CACHE`.
//!
//! C headers: `include/uapi/linux/ext4.h`, `include/linux/fiemap.h`

use super::{
    space_map::{half, number, put},
    Administration, Call,
};
use crate::{
    bindings,
    vfs::{inode::Inode, inode::SharedLock, iomap::Place, super_block::FileSystem},
};
use core::mem::offset_of;
use kernel::{
    error::{code, to_result, Error},
    prelude::*,
};

/// A range of a file of which it is known where it lies.
#[derive(Clone, Copy, Debug)]
pub struct KnownExtent {
    /// The first byte in the file.
    pub offset: u64,
    /// The number of bytes, not zero.
    pub len: u64,
    /// Where it lies.
    pub place: Place,
    /// The first byte behind it of which that is known, too.
    pub next: Option<u64>,
}

/// What is going on with a file, as it is told to people.
#[derive(Clone, Copy, Debug, Default)]
pub struct FileState {
    /// It was asked that all be known, and not that it be forgotten since.
    pub was_precached: bool,
    /// It was cut to nothing, and is written back when it is closed.
    pub is_replaced: bool,
}

/// What a file system does about it. Permissions were checked.
pub trait KnownExtents: Sized {
    /// Sees to it that all is known, as far as there is memory.
    fn precache(inode: &Inode<Self>, lock: &SharedLock<'_, Self>) -> Result
    where
        Self: FileSystem;

    /// Forgets what can be found out again.
    fn forget(inode: &Inode<Self>)
    where
        Self: FileSystem;

    /// What is known of the place of byte `offset`, if anything is.
    fn known(inode: &Inode<Self>, offset: u64) -> Option<KnownExtent>
    where
        Self: FileSystem;

    /// What is going on with the file.
    fn state(inode: &Inode<Self>) -> FileState
    where
        Self: FileSystem;
}

/// The bytes of `struct fiemap` without extents.
const HEAD: usize = offset_of!(bindings::fiemap, fm_extents);
/// The most extents that are asked for at once: `FIEMAP_MAX_EXTENTS`.
const MOST: u32 = u32::MAX / size_of::<bindings::fiemap_extent>() as u32;

/// Does what the flag for it in `info` asks for, and takes the flag away.
///
/// # Errors
///
/// Those of [`KnownExtents::precache`].
pub(in super::super) fn precache_if_asked<T: FileSystem>(
    inode: &Inode<T>,
    lock: &SharedLock<'_, T>,
    info: &mut bindings::fiemap_extent_info,
) -> Result {
    if info.fi_flags & bindings::FIEMAP_FLAG_CACHE != 0 {
        T::precache(inode, lock)?;
        info.fi_flags &= !bindings::FIEMAP_FLAG_CACHE;
    }
    Ok(())
}

/// How much of `len` bytes from `start` on a file can have.
///
/// # Errors
///
/// `EINVAL` for none at all, `EFBIG` where no file reaches.
pub(in super::super) fn limited<T: FileSystem>(
    inode: &Inode<T>,
    start: u64,
    len: u64,
) -> Result<u64> {
    let most = u64::try_from(T::max_bytes(inode)).unwrap_or(0);
    if len == 0 {
        return Err(code::EINVAL);
    }
    match most.checked_sub(start) {
        Some(left) => Ok(len.min(left)),
        None => Err(code::EFBIG),
    }
}

impl<T: FileSystem + Administration> Call<'_, T> {
    pub(super) fn precache(&self) -> Result {
        let inode = self.file.inode();
        let lock = inode.lock_shared();
        T::precache(inode, &lock)
    }

    pub(super) fn forget(&self) -> Result {
        // SAFETY: the file is valid during the call.
        if !unsafe { bindings::rext4_shim_file_is_own(self.file.as_ptr()) } {
            return Err(code::EACCES);
        }
        T::forget(self.file.inode());
        Ok(())
    }

    pub(super) fn state(&self) -> Result {
        let state = T::state(self.file.inode());
        let bits = [
            (state.was_precached, bindings::EXT4_STATE_FLAG_EXT_PRECACHED),
            (state.is_replaced, bindings::EXT4_STATE_FLAG_DA_ALLOC_CLOSE),
        ];
        let bits = bits.iter().filter(|(is_so, _)| *is_so);
        let bits = bits.fold(0_u32, |all, (_, bit)| all | bit);
        self.write(&bits.to_ne_bytes())
    }

    /// As FIEMAP, of what is known.
    pub(super) fn known(&self) -> Result {
        let mut head: [u8; HEAD] = self.read()?;
        let room = half(&head, offset_of!(bindings::fiemap, fm_extent_count));
        if room > MOST {
            return Err(code::EINVAL);
        }
        let mut info = bindings::fiemap_extent_info {
            fi_flags: half(&head, offset_of!(bindings::fiemap, fm_flags)),
            fi_extents_mapped: 0,
            fi_extents_max: room,
            fi_extents_start: self.argument.wrapping_byte_add(HEAD).as_mut_ptr().cast(),
        };
        let start = number(&head, offset_of!(bindings::fiemap, fm_start));
        let len = number(&head, offset_of!(bindings::fiemap, fm_length));
        let result = self.fill(&mut info, start, len);
        let flags = info.fi_flags.to_ne_bytes();
        put(&mut head, offset_of!(bindings::fiemap, fm_flags), &flags);
        put(
            &mut head,
            offset_of!(bindings::fiemap, fm_mapped_extents),
            &info.fi_extents_mapped.to_ne_bytes(),
        );
        self.write(&head)?;
        result
    }

    fn fill(&self, info: &mut bindings::fiemap_extent_info, start: u64, len: u64) -> Result {
        let inode = self.file.inode();
        precache_if_asked(inode, &inode.lock_shared(), info)?;
        let mut len = len;
        // SAFETY: the inode is valid, and so is the request.
        to_result(unsafe { bindings::fiemap_prep(inode.as_ptr(), info, start, &mut len, 0) })?;
        let end = start.saturating_add(limited(inode, start, len)?);
        let mut at = Some(start);
        while let Some(known) = at.filter(|at| *at < end).and_then(|at| T::known(inode, at)) {
            use bindings as b;
            let (place, mut flags) = match known.place {
                Place::Written(place) | Place::Inline(place) => (place, 0),
                Place::Unwritten(place) => (place, b::FIEMAP_EXTENT_UNWRITTEN),
                Place::Delayed { .. } => (0, b::FIEMAP_EXTENT_DELALLOC | b::FIEMAP_EXTENT_UNKNOWN),
                Place::Hole => (0, b::EXT4_FIEMAP_EXTENT_HOLE),
            };
            if known.next.is_none() {
                flags |= b::FIEMAP_EXTENT_LAST;
            }
            // SAFETY: the request is valid, and its memory that of the caller, which this looks at.
            match unsafe { b::fiemap_fill_next_extent(info, known.offset, place, known.len, flags) }
            {
                0 => at = known.next,
                1 => break,
                errno => return Err(Error::from_errno(errno)),
            }
        }
        Ok(())
    }
}
