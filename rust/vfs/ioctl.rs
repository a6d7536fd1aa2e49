// SPDX-License-Identifier: GPL-2.0

//! What is asked by `ioctl`: by administrators of a mounted file system, on any of its files (its
//! label and UUID, generations of inodes, to be trimmed, to be shut down), of two files to
//! exchange blocks, and of a file what is known of its blocks.
//!
//! Flags of inodes are not here but in [`super::fileattr`], and the VFS answers some by itself
//! (`FIFREEZE`, `FS_IOC_GETFSUUID`, `FS_IOC_GETFSSYSFSPATH`).
//!
//! C headers: `include/uapi/linux/fs.h`, `include/uapi/linux/ext4.h`

mod known_extents;
mod move_extents;
mod space_map;
pub mod tune;

pub(super) use known_extents::{limited, precache_if_asked};
pub use known_extents::{FileState, KnownExtent, KnownExtents};
pub use space_map::{owner, SpaceRecord};

use super::{
    file::OpenFile,
    inode::{ExclusiveLock, Inode},
    jbd2::Wipe,
    super_block::{FileSystem, SuperBlock},
    task,
};
use crate::bindings;
use core::ops::Range;
use kernel::{
    error::{code, to_result, Error},
    ffi,
    prelude::*,
    uaccess::{UserPtr, UserSlice},
};
use tune::Tuning;

/// How a file system is shut down, as if the power went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shutdown {
    /// After everything was written.
    Flush,
    /// After what the journal has was committed; data in memory is lost.
    CommitOnly,
    /// Now.
    Now,
}

/// How far a file system is to be made larger.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Resize {
    /// As far as it is asked for, or not at all.
    Whole,
    /// As far as its last group can reach.
    LastGroup,
    /// By the next group, whose places the caller has chosen.
    AddGroup,
}

/// Which free space is to be trimmed.
#[derive(Clone, Copy, Debug)]
pub struct TrimRange {
    /// The first byte on the device.
    pub start: u64,
    /// The number of bytes.
    pub len: u64,
    /// The shortest run that is worth it, in bytes.
    pub min_len: u64,
}

/// What a file system does about it. Permissions were checked, and nobody freezes the file system
/// or makes it read-only during a change.
pub trait Administration: Sized {
    /// The most bytes of a label, below `FSLABEL_MAX`.
    const LABEL_MAX: usize;

    /// Sets the generation of an inode. `ENOTTY` if that can't be changed.
    fn set_generation(
        inode: &Inode<Self>,
        lock: &ExclusiveLock<'_, Self>,
        generation: u32,
    ) -> Result
    where
        Self: FileSystem;

    /// Gives a file extents in the place of a block map. `EINVAL` if it has none.
    fn migrate(inode: &Inode<Self>, lock: &ExclusiveLock<'_, Self>) -> Result
    where
        Self: FileSystem;

    /// Copies the label into `out`, which has [`Self::LABEL_MAX`] bytes, all zero.
    fn label(sb: &SuperBlock<Self>, out: &mut [u8]) -> Result
    where
        Self: FileSystem;

    /// Sets the label, durably.
    fn set_label(sb: &SuperBlock<Self>, label: &[u8]) -> Result
    where
        Self: FileSystem;

    /// Discards free space; returns how many bytes.
    fn trim(sb: &SuperBlock<Self>, range: &TrimRange) -> Result<u64>
    where
        Self: FileSystem;

    /// Writes all that the journal holds to its place and empties it. With `dry_run` only says whether
    /// that can be done.
    fn empty_journal(sb: &SuperBlock<Self>, wipe: Wipe, dry_run: bool) -> Result
    where
        Self: FileSystem;

    /// Calls `give` for all runs of a range of bytes of the device, in order and without a gap, until
    /// it says that it is enough.
    fn space_map(
        sb: &SuperBlock<Self>,
        bytes: Range<u64>,
        give: &mut dyn FnMut(SpaceRecord) -> Result<bool>,
    ) -> Result
    where
        Self: FileSystem;

    /// Makes the file system larger, so that it has `blocks` blocks, durably.
    fn resize(sb: &SuperBlock<Self>, how: Resize, blocks: u64) -> Result
    where
        Self: FileSystem;

    /// The UUID in the super block.
    fn uuid(sb: &SuperBlock<Self>) -> Result<[u8; UUID_BYTES]>
    where
        Self: FileSystem;

    /// Sets it.
    fn set_uuid(sb: &SuperBlock<Self>, uuid: &[u8; UUID_BYTES]) -> Result
    where
        Self: FileSystem;

    /// Tells what administrators have set of the super block.
    fn tuning(sb: &SuperBlock<Self>, out: &mut Tuning) -> Result
    where
        Self: FileSystem;

    /// Sets what [`tune::Tuned`] says of it, which is [supported](tune::Tuned::SUPPORTED).
    fn tune(sb: &SuperBlock<Self>, wanted: &Tuning) -> Result
    where
        Self: FileSystem;

    /// Lets nothing be read or written any more.
    fn go_down(sb: &SuperBlock<Self>, how: Shutdown) -> Result
    where
        Self: FileSystem;
}

/// The bytes of `struct fstrim_range`: three numbers of 64 bits.
const TRIM_BYTES: usize = 24;
/// The bytes of a UUID.
const UUID_BYTES: usize = 16;

/// A call, with who made it and where its argument is.
struct Call<'a, T: FileSystem> {
    file: OpenFile<'a, T>,
    argument: UserPtr,
}

impl<T: FileSystem + Administration> Call<'_, T> {
    fn sb(&self) -> &SuperBlock<T> {
        self.file.inode().super_block()
    }

    fn read<const N: usize>(&self) -> Result<[u8; N]> {
        let mut bytes = [0; N];
        UserSlice::new(self.argument, N)
            .reader()
            .read_slice(&mut bytes)?;
        Ok(bytes)
    }

    fn write(&self, bytes: &[u8]) -> Result {
        UserSlice::new(self.argument, bytes.len())
            .writer()
            .write_slice(bytes)
    }

    /// Does something with nobody freezing the file system or making the mount read-only.
    fn changing<R>(&self, change: impl FnOnce() -> Result<R>) -> Result<R> {
        // SAFETY: the file is valid during the call.
        to_result(unsafe { bindings::mnt_want_write_file(self.file.as_ptr()) })?;
        let result = change();
        // SAFETY: as above, and the right was given.
        unsafe { bindings::mnt_drop_write_file(self.file.as_ptr()) };
        result
    }

    fn get_generation(&self) -> Result {
        self.write(&self.file.inode().generation().to_ne_bytes())
    }

    fn set_generation(&self) -> Result {
        // SAFETY: the file is valid during the call.
        if !unsafe { bindings::rext4_shim_file_is_own(self.file.as_ptr()) } {
            return Err(code::EPERM);
        }
        self.changing(|| {
            let generation = u32::from_ne_bytes(self.read()?);
            let inode = self.file.inode();
            let lock = inode.lock();
            T::set_generation(inode, &lock, generation)
        })
    }

    fn migrate(&self) -> Result {
        // SAFETY: the file is valid during the call.
        if !unsafe { bindings::rext4_shim_file_is_own(self.file.as_ptr()) } {
            return Err(code::EACCES);
        }
        self.changing(|| {
            let inode = self.file.inode();
            let lock = inode.lock();
            T::migrate(inode, &lock)
        })
    }

    fn get_label(&self) -> Result {
        let mut label = [0; bindings::FSLABEL_MAX as usize];
        let out = label.get_mut(..T::LABEL_MAX).ok_or(code::EINVAL)?;
        T::label(self.sb(), out)?;
        // With a zero byte behind the longest; what is behind that is not ours to fill.
        self.write(label.get(..=T::LABEL_MAX).ok_or(code::EINVAL)?)
    }

    fn set_label(&self) -> Result {
        must_be_administrator()?;
        let mut bytes = [0; bindings::FSLABEL_MAX as usize];
        let given = bytes.get_mut(..=T::LABEL_MAX).ok_or(code::EINVAL)?;
        UserSlice::new(self.argument, given.len())
            .reader()
            .read_slice(given)?;
        let len = given.iter().position(|&byte| byte == 0);
        let label = given.get(..len.ok_or(code::EINVAL)?).ok_or(code::EINVAL)?;
        self.changing(|| T::set_label(self.sb(), label))
    }

    /// `struct fsuuid` of ext4: a length, flags, and the UUID behind them.
    fn get_uuid(&self) -> Result {
        let mut head = [0; 8];
        UserSlice::new(self.argument, head.len())
            .reader()
            .read_slice(&mut head)?;
        let [l0, l1, l2, l3, flags @ ..] = head;
        let len = u32::from_ne_bytes([l0, l1, l2, l3]) as usize;
        let own = (UUID_BYTES as u32).to_ne_bytes();
        if len == 0 {
            // The caller asks how long it is.
            return self.write(&own);
        }
        if len < UUID_BYTES || flags != [0; 4] {
            return Err(code::EINVAL);
        }
        let mut out = [0; 8 + UUID_BYTES];
        let (length, rest) = out.split_at_mut(4);
        length.copy_from_slice(&own);
        let (_, uuid) = rest.split_at_mut(4);
        uuid.copy_from_slice(&T::uuid(self.sb())?);
        self.write(&out)
    }

    fn trim(&self) -> Result {
        must_be_administrator()?;
        if !self.sb().device().can_discard() {
            return Err(crate::error::eopnotsupp());
        }
        let bytes: [u8; TRIM_BYTES] = self.read()?;
        let number = |at: usize| {
            let field = bytes.get(at..).and_then(|rest| rest.first_chunk());
            field.map_or(0, |field| u64::from_ne_bytes(*field))
        };
        let range = TrimRange {
            start: number(0),
            len: number(8),
            min_len: number(16),
        };
        let trimmed = T::trim(self.sb(), &range)?;
        let mut out = bytes;
        if let Some(len) = out.get_mut(8..16) {
            len.copy_from_slice(&trimmed.to_ne_bytes());
        }
        self.write(&out)
    }

    fn empty_journal(&self) -> Result {
        use bindings as b;
        let flags = u32::from_ne_bytes(self.read()?);
        must_be_administrator()?;
        let wipe = match flags & !b::EXT4_IOC_CHECKPOINT_FLAG_DRY_RUN {
            0 => Wipe::Nothing,
            b::EXT4_IOC_CHECKPOINT_FLAG_DISCARD => Wipe::Discard,
            b::EXT4_IOC_CHECKPOINT_FLAG_ZEROOUT => Wipe::Zeros,
            _ => return Err(code::EINVAL),
        };
        let dry_run = flags & b::EXT4_IOC_CHECKPOINT_FLAG_DRY_RUN != 0;
        T::empty_journal(self.sb(), wipe, dry_run)
    }

    /// `read` gets the number of blocks that is asked for.
    fn resize(&self, how: Resize, read: impl FnOnce() -> Result<u64>) -> Result {
        if !task::has_resource_rights() {
            return Err(code::EPERM);
        }
        let blocks = read()?;
        self.changing(|| T::resize(self.sb(), how, blocks))
    }

    fn shut_down(&self) -> Result {
        must_be_administrator()?;
        let how = match u32::from_ne_bytes(self.read()?) {
            0 => Shutdown::Flush,
            1 => Shutdown::CommitOnly,
            2 => Shutdown::Now,
            _ => return Err(code::EINVAL),
        };
        T::go_down(self.sb(), how)
    }

    fn run(&self, command: u32) -> Result {
        use bindings as b;
        match command {
            b::REXT4_GETVERSION | b::REXT4_EXT4_GETVERSION => self.get_generation(),
            b::REXT4_SETVERSION | b::REXT4_EXT4_SETVERSION => self.set_generation(),
            b::REXT4_GETFSLABEL => self.get_label(),
            b::REXT4_SETFSLABEL => self.set_label(),
            b::REXT4_EXT4_GETFSUUID => self.get_uuid(),
            b::REXT4_EXT4_SETFSUUID => self.set_uuid(),
            b::REXT4_GET_TUNE => self.get_tuning(),
            b::REXT4_SET_TUNE => self.set_tuning(),
            b::REXT4_FITRIM => self.trim(),
            b::REXT4_SHUTDOWN => self.shut_down(),
            b::REXT4_CHECKPOINT => self.empty_journal(),
            b::REXT4_RESIZE_FS => {
                self.resize(Resize::Whole, || Ok(u64::from_ne_bytes(self.read()?)))
            }
            b::REXT4_GROUP_EXTEND => self.resize(Resize::LastGroup, || {
                Ok(u64::from(u32::from_ne_bytes(self.read()?)))
            }),
            b::REXT4_GROUP_ADD => self.resize(Resize::AddGroup, || Ok(0)),
            b::REXT4_GETFSMAP => self.space_map(),
            b::REXT4_MIGRATE => self.migrate(),
            b::REXT4_MOVE_EXT => self.move_extents(),
            b::REXT4_PRECACHE_EXTENTS => self.precache(),
            b::REXT4_CLEAR_ES_CACHE => self.forget(),
            b::REXT4_GETSTATE => self.state(),
            b::REXT4_GET_ES_CACHE => self.known(),
            _ => Err(Error::from_errno(-(b::REXT4_ENOIOCTLCMD as i32))),
        }
    }
}

/// Checks that the calling process has the rights of an administrator.
///
/// # Errors
///
/// `EPERM` if not.
pub fn must_be_administrator() -> Result {
    // SAFETY: no precondition.
    if unsafe { bindings::rext4_shim_is_administrator() } {
        Ok(())
    } else {
        Err(code::EPERM)
    }
}

fn answer(result: Result) -> ffi::c_long {
    match result {
        Ok(()) => 0,
        Err(e) => e.to_errno() as ffi::c_long,
    }
}

/// `unlocked_ioctl` of the `file_operations`.
///
/// # Safety
///
/// Called by the VFS with a file of an inode of type `T`.
pub(super) unsafe extern "C" fn ioctl<T: FileSystem>(
    file: *mut bindings::file,
    command: u32,
    argument: usize,
) -> ffi::c_long {
    let call = Call::<T> {
        // SAFETY: the VFS passes a file of an inode of ours, which is open during the call.
        file: unsafe { OpenFile::from_raw(file) },
        argument: UserPtr::from_addr(argument),
    };
    answer(call.run(command))
}

/// `compat_ioctl` of the `file_operations`: for processes whose numbers are narrower.
///
/// # Safety
///
/// As for [`ioctl`].
pub(super) unsafe extern "C" fn compat_ioctl<T: FileSystem>(
    file: *mut bindings::file,
    command: u32,
    argument: usize,
) -> ffi::c_long {
    // These carry the size of a long integer in their number, though it is a short one.
    let command = match command {
        bindings::REXT4_GETVERSION32 => bindings::REXT4_GETVERSION,
        bindings::REXT4_SETVERSION32 => bindings::REXT4_SETVERSION,
        bindings::REXT4_EXT4_GETVERSION32 => bindings::REXT4_EXT4_GETVERSION,
        bindings::REXT4_EXT4_SETVERSION32 => bindings::REXT4_EXT4_SETVERSION,
        other => other,
    };
    // Only 32 bits are the caller's.
    // SAFETY: the caller's promise.
    unsafe { ioctl::<T>(file, command, argument & u32::MAX as usize) }
}
