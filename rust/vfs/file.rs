// SPDX-License-Identifier: GPL-2.0

//! Open files: reading, writing, seeking, syncing.
//!
//! C header: `include/linux/fs.h`

use super::{
    direct_io,
    inode::{ExclusiveLock, Inode},
    ioctl, iomap, mmap, readdir,
    stat::AtomicUnits,
    super_block::FileSystem,
};
use crate::bindings;
use core::{marker::PhantomData, mem::MaybeUninit, ptr};
use kernel::{
    error::{code, from_result, to_result, Error},
    ffi,
    prelude::*,
};

/// What the VFS asks of open regular files, and of directories as far as syncing goes.
pub trait FileOperations: Sized {
    /// Called before a file is opened; an error refuses it.
    fn open(file: &OpenFile<'_, Self>) -> Result
    where
        Self: FileSystem;

    /// Called when a file is mapped in such a way that it can be stored to.
    fn note_stores(inode: &Inode<Self>)
    where
        Self: FileSystem;

    /// Whether [`Self::note_stores`] was called since the inode came into memory.
    fn has_stores(inode: &Inode<Self>) -> bool
    where
        Self: FileSystem;

    /// Called before a file is mapped into memory or spliced from, which does not come through
    /// [`Self::read`]; an error refuses it.
    fn check_access(inode: &Inode<Self>) -> Result
    where
        Self: FileSystem;

    /// Called before attributes are changed; an error refuses it.
    fn check_writable(inode: &Inode<Self>) -> Result
    where
        Self: FileSystem;

    /// Reads at the request's position; returns the number of bytes, or `EIOCBQUEUED`.
    fn read(request: &mut Kiocb<'_, Self>, memory: &mut IovIter<'_>) -> Result<usize>
    where
        Self: FileSystem;

    /// Writes at the request's position; returns the number of bytes, or `EIOCBQUEUED`.
    fn write(request: &mut Kiocb<'_, Self>, memory: &mut IovIter<'_>) -> Result<usize>
    where
        Self: FileSystem;

    /// Makes what was written durable: data, and what is needed to reach it; without `data_only`
    /// all of the inode.
    fn fsync(file: &OpenFile<'_, Self>, start: i64, end: i64, data_only: bool) -> Result
    where
        Self: FileSystem;

    /// An open file was closed for the last time: its error reaches nobody. `is_last_writer` says
    /// whether there is no other that the inode can be written to through.
    fn release(inode: &Inode<Self>, is_last_writer: bool)
    where
        Self: FileSystem;

    /// Preallocates, punches or zeroes a range of bytes; the file grows to its end unless
    /// `keep_size` says no. Called without locks.
    fn fallocate(
        file: &OpenFile<'_, Self>,
        mode: FallocateMode,
        keep_size: bool,
        offset: i64,
        len: i64,
    ) -> Result
    where
        Self: FileSystem;

    /// Has a range of a file, and as much of another one's, exchange their blocks. The file keeps its
    /// data, the other one reads as zeros there. Counts the blocks in `moved`, with an error too.
    /// Called without locks; both are files of one file system.
    fn move_extents(
        file: &Inode<Self>,
        donor: &Inode<Self>,
        range: &MoveRange,
        moved: &mut u64,
    ) -> Result
    where
        Self: FileSystem;

    /// What can be written to the file as a whole or not at all; `None` if nothing can.
    fn atomic_units(inode: &Inode<Self>) -> Option<AtomicUnits>
    where
        Self: FileSystem;

    /// Largest size that the file can have, in bytes.
    fn max_bytes(inode: &Inode<Self>) -> i64
    where
        Self: FileSystem;
}

/// Which blocks two files are to exchange.
#[derive(Clone, Copy, Debug)]
pub struct MoveRange {
    /// The first logical block.
    pub start: u64,
    /// The first logical block in the other file.
    pub donor_start: u64,
    /// The number of blocks.
    pub len: u64,
}

/// What `fallocate` is to do with a range.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FallocateMode {
    /// Give it blocks where it has none.
    Allocate,
    /// Take its blocks away.
    PunchHole,
    /// Make it read as zeros, with blocks.
    ZeroRange,
    /// The same, written by the device, so that a write to it changes no metadata.
    WriteZeroes,
    /// Remove it, and have what follows move up to it.
    CollapseRange,
    /// Move what is there and what follows behind it, and leave a hole.
    InsertRange,
}

/// An open file.
pub struct OpenFile<'a, T: FileSystem> {
    file: *mut bindings::file,
    inode: &'a Inode<T>,
}

impl<T: FileSystem> OpenFile<'_, T> {
    /// # Safety
    ///
    /// `file` is an open file of an inode of type `T`, for all of `'a`.
    pub(super) unsafe fn from_raw(file: *mut bindings::file) -> Self {
        Self {
            file,
            // SAFETY: the caller's promise. The file keeps the inode alive.
            inode: unsafe { Inode::from_raw(bindings::rext4_shim_file_inode(file)) },
        }
    }

    /// The C object.
    pub(super) fn as_ptr(&self) -> *mut bindings::file {
        self.file
    }

    /// The file's inode.
    pub fn inode(&self) -> &Inode<T> {
        self.inode
    }

    /// Whether what is done through this file is to be durable when it returns: `O_SYNC`, `O_DSYNC`, or
    /// what holds for the inode.
    pub fn is_sync(&self) -> bool {
        // SAFETY: the file is valid while we are borrowed.
        unsafe { bindings::rext4_shim_file_is_sync(self.file) }
    }

    /// Whether it is opened for writing.
    pub fn is_for_writing(&self) -> bool {
        // SAFETY: the file is valid while we are borrowed; the mode was set before it is shown to
        // us.
        unsafe { (*self.file).f_mode & bindings::REXT4_FMODE_WRITE != 0 }
    }

    /// The path where the file system is mounted through which the file was opened; nothing if
    /// `buffer` is too small for it.
    pub fn mount_point<'b>(&self, buffer: &'b mut [u8]) -> &'b [u8] {
        let (start, len) = (buffer.as_mut_ptr(), buffer.len());
        // SAFETY: the file is valid while we are borrowed, and `len` bytes may be written to.
        let at = unsafe { bindings::rext4_shim_mount_point(self.file, start.cast(), len as i32) };
        let at = usize::try_from(at).ok();
        let path = at.and_then(|at| buffer.get(at..)).unwrap_or_default();
        path.split(|&byte| byte == 0).next().unwrap_or_default()
    }

    /// Takes privileges away and updates the times, as a write has to. The inode's lock is held
    /// exclusively.
    pub fn modified(&self) -> Result {
        // SAFETY: the file is valid while we are borrowed.
        to_result(unsafe { bindings::file_modified(self.file) })
    }

    /// Writes the page cache of a range out, waits for it, and reports an error that writeback met
    /// since this file was last told of one.
    pub fn write_and_wait(&self, start: i64, end: i64) -> Result {
        // SAFETY: the file is valid while we are borrowed.
        to_result(unsafe { bindings::file_write_and_wait_range(self.file, start, end) })
    }

    /// Reports an error that writeback met since this file was last told of one.
    pub fn check_writeback_error(&self) -> Result {
        // SAFETY: the file is valid while we are borrowed.
        to_result(unsafe { bindings::file_check_and_advance_wb_err(self.file) })
    }
}

/// A read or write request, `struct kiocb`.
///
/// # Invariants
///
/// `raw` is valid during `'a`, and its file is one of an inode of type `T`.
pub struct Kiocb<'a, T: FileSystem> {
    raw: *mut bindings::kiocb,
    inode: &'a Inode<T>,
}

impl<'a, T: FileSystem> Kiocb<'a, T> {
    /// # Safety
    ///
    /// `raw` is valid during `'a`, and its file is one of an inode of type `T`.
    unsafe fn from_raw(raw: *mut bindings::kiocb) -> Self {
        Self {
            raw,
            // SAFETY: the file keeps the inode alive.
            inode: unsafe { Inode::from_raw(bindings::rext4_shim_file_inode((*raw).ki_filp)) },
        }
    }

    /// The C object.
    pub(super) fn as_ptr(&self) -> *mut bindings::kiocb {
        self.raw
    }

    /// The inode of the file.
    pub fn inode(&self) -> &'a Inode<T> {
        self.inode
    }

    fn has(&self, flag: i32) -> bool {
        // SAFETY: by the type invariant.
        unsafe { (*self.raw).ki_flags & flag != 0 }
    }

    /// The position in the file, in bytes.
    pub fn position(&self) -> i64 {
        // SAFETY: by the type invariant.
        unsafe { (*self.raw).ki_pos }
    }

    /// Where a transfer of so many bytes ends, in bytes.
    pub fn end_of(&self, bytes: usize) -> i64 {
        self.position().saturating_add_unsigned(bytes as u64)
    }

    /// Moves the position on.
    pub fn advance(&mut self, bytes: usize) {
        // SAFETY: by the type invariant.
        unsafe { (*self.raw).ki_pos += bytes as i64 };
    }

    /// Moves the position back over what was written, and is not to count.
    pub fn retreat(&mut self, bytes: usize) {
        // SAFETY: by the type invariant.
        unsafe { (*self.raw).ki_pos -= bytes as i64 };
    }

    /// Whether direct I/O is asked for.
    pub fn is_direct(&self) -> bool {
        self.has(bindings::REXT4_IOCB_DIRECT)
    }

    /// Whether the request writes at the end of the file, wherever that is.
    pub fn is_append(&self) -> bool {
        self.has(bindings::REXT4_IOCB_APPEND)
    }

    /// Whether the request must not wait.
    pub fn is_nowait(&self) -> bool {
        self.has(bindings::REXT4_IOCB_NOWAIT)
    }

    /// Whether the device is to be polled for it.
    pub fn is_polled(&self) -> bool {
        self.has(bindings::REXT4_IOCB_HIPRI)
    }

    /// Whether the write is to be there as a whole or not at all.
    pub fn is_atomic(&self) -> bool {
        self.has(bindings::REXT4_IOCB_ATOMIC)
    }

    /// Whether the write is one that can be atomic, whatever the file and the device are.
    ///
    /// # Errors
    ///
    /// `EINVAL` if the memory is in several pieces, the length no power of two, or the position no multiple of it;
    /// `EOPNOTSUPP` if it goes through the page cache.
    pub fn check_atomic(&self, memory: &mut IovIter<'_>) -> Result {
        // SAFETY: by the type invariants.
        to_result(unsafe { bindings::generic_atomic_write_valid(self.raw, memory.as_ptr()) })
    }

    /// Whether the request may go on by itself after the call.
    pub fn is_async(&self) -> bool {
        // SAFETY: by the type invariant.
        unsafe { (*self.raw).ki_complete.is_some() }
    }

    /// Whether the write is to be durable before it completes.
    pub fn is_dsync(&self) -> bool {
        // SAFETY: by the type invariant.
        unsafe { bindings::rext4_shim_iocb_is_dsync(self.raw) }
    }

    /// Reads through the page cache.
    pub fn read_buffered(&mut self, memory: &mut IovIter<'_>) -> Result<usize> {
        // SAFETY: by the type invariant; the page cache is read even where direct I/O was asked for.
        let n = unsafe {
            (*self.raw).ki_flags &= !bindings::REXT4_IOCB_DIRECT;
            bindings::generic_file_read_iter(self.raw, memory.as_ptr())
        };
        count(n)
    }

    /// Writes through the page cache. The inode's lock is held exclusively. The file grows if the
    /// write goes beyond its end.
    ///
    /// With `has_more`, if direct I/O is under way: it ends where a folio has more than what is written, and
    /// says so there. If that is at the beginning it is `EAGAIN`.
    pub fn write_buffered(
        &mut self,
        memory: &mut IovIter<'_>,
        _lock: &ExclusiveLock<'_, T>,
        has_more: Option<&mut bool>,
    ) -> Result<usize> {
        let has_more = has_more.map_or(ptr::null_mut(), ptr::from_mut);
        // SAFETY: by the type invariant; the tables are static, and the callback of `WRITE_OPS` alone
        // looks at the truth value, during the call.
        count(unsafe {
            bindings::iomap_file_buffered_write(
                self.raw,
                memory.as_ptr(),
                &iomap::Table::<T>::WRITE,
                iomap::Table::<T>::write_ops(self.inode),
                has_more.cast(),
            )
        })
    }

    /// Checks a write against limits and, with `O_APPEND`, moves it to the end of the file; returns
    /// how many bytes may be written. The inode has to be locked, at least shared. `EPERM` if the
    /// file became immutable after it was opened, `EFBIG` behind [`FileOperations::max_bytes`].
    pub fn write_checks(&mut self, memory: &mut IovIter<'_>) -> Result<usize> {
        if self.inode.is_immutable() {
            return Err(code::EPERM);
        }
        // SAFETY: by the type invariant.
        let bytes = count(unsafe { bindings::generic_write_checks(self.raw, memory.as_ptr()) })?;
        // The VFS knows the limit of the file system alone.
        let room = T::max_bytes(self.inode).saturating_sub(self.position());
        match usize::try_from(room) {
            _ if bytes == 0 => Ok(0),
            Ok(room) if room > 0 => {
                memory.truncate(room);
                Ok(bytes.min(room))
            }
            _ => Err(code::EFBIG),
        }
    }

    /// Takes privileges away and updates the times, as a write has to.
    pub fn modified(&mut self) -> Result {
        // SAFETY: by the type invariant.
        to_result(unsafe { bindings::kiocb_modified(self.raw) })
    }

    /// Notes the access time, as a read has to.
    pub fn accessed(&mut self) {
        // SAFETY: by the type invariant.
        unsafe { bindings::rext4_shim_file_accessed((*self.raw).ki_filp) };
    }

    /// Writes the page cache of the next `len` bytes out and drops it.
    pub fn invalidate_cache(&mut self, len: usize) -> Result {
        // SAFETY: by the type invariant.
        to_result(unsafe { bindings::kiocb_invalidate_pages(self.raw, len) })
    }

    /// Makes `bytes` bytes before the position durable if that was asked for.
    pub fn sync(&mut self, bytes: usize) -> Result<usize> {
        // SAFETY: by the type invariant.
        count(unsafe { bindings::rext4_shim_generic_write_sync(self.raw, bytes as isize) })
    }
}

/// The memory of a request, `struct iov_iter`.
///
/// # Invariants
///
/// `raw` is valid during `'a`.
pub struct IovIter<'a> {
    raw: *mut bindings::iov_iter,
    _lifetime: PhantomData<&'a mut bindings::iov_iter>,
}

impl IovIter<'_> {
    /// The C object.
    pub(super) fn as_ptr(&mut self) -> *mut bindings::iov_iter {
        self.raw
    }

    /// Bytes left.
    pub fn len(&self) -> usize {
        // SAFETY: by the type invariant.
        unsafe { bindings::rext4_shim_iov_iter_count(self.raw) }
    }

    /// Leaves only the first `bytes`, if there are more.
    pub fn truncate(&mut self, bytes: usize) {
        // SAFETY: by the type invariant.
        unsafe { bindings::rext4_shim_iov_iter_truncate(self.raw, bytes as u64) };
    }

    /// Has `work` see the first `bytes` alone. What it leaves of them stays, with all behind them.
    pub fn with_first<R>(&mut self, bytes: usize, work: impl FnOnce(&mut Self) -> R) -> R {
        let behind = self.len().saturating_sub(bytes);
        self.truncate(bytes);
        let result = work(self);
        // SAFETY: by the type invariant; the memory has had so much behind where it is now.
        unsafe { bindings::rext4_shim_iov_iter_reexpand(self.raw, self.len() + behind) };
        result
    }

    /// Brings the memory in that the next `bytes` are read from. It may be gone again when it is
    /// used, and direct I/O can't use all that can be read.
    ///
    /// # Errors
    ///
    /// `EFAULT` if a part of it is not there.
    pub fn fault_in(&self, bytes: usize) -> Result {
        // SAFETY: by the type invariant.
        match unsafe { bindings::fault_in_iov_iter_readable(self.raw, bytes) } {
            0 => Ok(()),
            _ => Err(EFAULT),
        }
    }

    /// Moves back by `bytes`, which were moved over before.
    pub fn revert(&mut self, bytes: usize) {
        // SAFETY: by the type invariant.
        unsafe { bindings::iov_iter_revert(self.raw, bytes) };
    }

    /// The bits that are set in any address or length: zero below the alignment.
    pub fn alignment(&self) -> usize {
        // SAFETY: by the type invariant.
        unsafe { bindings::iov_iter_alignment(self.raw) }
    }
}

/// Makes a result of a count or an errno.
pub(super) fn count(n: isize) -> Result<usize> {
    usize::try_from(n).map_err(|_| Error::from_errno(n as i32))
}

/// Makes a count or an errno of a result.
fn uncount(result: Result<usize>) -> isize {
    match result {
        Ok(n) => n as isize,
        Err(e) => e.to_errno() as isize,
    }
}

/// The `file_operations`.
pub(super) struct Table<T: FileSystem>(PhantomData<T>);

impl<T: FileSystem> Table<T> {
    const EMPTY: bindings::file_operations = {
        // SAFETY: all callbacks may be absent.
        unsafe { MaybeUninit::<bindings::file_operations>::zeroed().assume_init() }
    };

    const REGULAR: bindings::file_operations = bindings::file_operations {
        llseek: Some(Self::llseek),
        read_iter: Some(Self::read_iter),
        write_iter: Some(Self::write_iter),
        iopoll: Some(direct_io::poll),
        mmap_prepare: Some(mmap::prepare::<T>),
        // Where a huge page fits, mappings begin at one.
        get_unmapped_area: Some(bindings::thp_get_unmapped_area),
        open: Some(Self::open),
        release: Some(Self::release),
        fsync: Some(Self::fsync),
        splice_read: Some(Self::splice_read),
        splice_write: Some(bindings::iter_file_splice_write),
        setlease: Some(bindings::generic_setlease),
        fallocate: Some(Self::fallocate),
        unlocked_ioctl: Some(ioctl::ioctl::<T>),
        compat_ioctl: Some(ioctl::compat_ioctl::<T>),
        fop_flags: bindings::REXT4_FOP_DIO_PARALLEL_WRITE
            | bindings::REXT4_FOP_DONTCACHE
            | bindings::REXT4_FOP_BUFFER_RASYNC
            | bindings::REXT4_FOP_BUFFER_WASYNC,
        ..Self::EMPTY
    };

    const DIRECTORY: bindings::file_operations = bindings::file_operations {
        llseek: Some(readdir::llseek::<T>),
        read: Some(bindings::generic_read_dir),
        iterate_shared: Some(readdir::iterate_shared::<T>),
        open: Some(readdir::open_dir::<T>),
        release: Some(readdir::release_dir::<T>),
        fsync: Some(Self::fsync),
        setlease: Some(bindings::generic_setlease),
        unlocked_ioctl: Some(ioctl::ioctl::<T>),
        compat_ioctl: Some(ioctl::compat_ioctl::<T>),
        ..Self::EMPTY
    };

    /// For regular files.
    pub(super) fn regular() -> &'static bindings::file_operations {
        &Self::REGULAR
    }

    /// For directories.
    pub(super) fn directory() -> &'static bindings::file_operations {
        &Self::DIRECTORY
    }

    /// # Safety
    ///
    /// Called by the kernel alone, with what it passes to this callback.
    unsafe extern "C" fn open(inode: *mut bindings::inode, file: *mut bindings::file) -> i32 {
        from_result(|| {
            // A program of 32 bits that did not say it knows large files gets none.
            // SAFETY: the VFS passes an inode, and a file of it that is being opened.
            to_result(unsafe { bindings::generic_file_open(inode, file) })?;
            // SAFETY: the VFS passes a file of an inode of ours, which knows its inode by now.
            let open = unsafe { OpenFile::<T>::from_raw(file) };
            T::open(&open)?;
            let inode = open.inode();
            if open.is_for_writing() && inode.needs_quotas() {
                // The VFS lets files be opened while the file system is frozen, and this may write.
                inode
                    .super_block()
                    .while_not_frozen(|| inode.initialize_quotas())?;
            }
            // SAFETY: the VFS passes the file that is being opened.
            unsafe { bindings::rext4_shim_file_can_odirect(file) };
            if T::atomic_units(inode).is_some() {
                // SAFETY: see above.
                unsafe { bindings::rext4_shim_file_can_atomic_write(file) };
            }
            Ok(0)
        })
    }

    /// # Safety
    ///
    /// Called by the kernel alone, with what it passes to this callback.
    unsafe extern "C" fn release(inode: *mut bindings::inode, file: *mut bindings::file) -> i32 {
        // SAFETY: the VFS passes the file that is being closed.
        let is_last_writer = unsafe { bindings::rext4_shim_file_is_last_writer(file) };
        // SAFETY: the VFS passes an inode of ours.
        T::release(unsafe { Inode::<T>::from_raw(inode) }, is_last_writer);
        0
    }

    /// # Safety
    ///
    /// Called by the kernel alone, with what it passes to this callback.
    unsafe extern "C" fn read_iter(
        kiocb: *mut bindings::kiocb,
        iter: *mut bindings::iov_iter,
    ) -> isize {
        // SAFETY: the VFS passes a valid request for an inode of ours.
        let mut kiocb = unsafe { Kiocb::<T>::from_raw(kiocb) };
        let mut iter = IovIter {
            raw: iter,
            _lifetime: PhantomData,
        };
        uncount(T::read(&mut kiocb, &mut iter))
    }

    /// # Safety
    ///
    /// Called by the kernel alone, with what it passes to this callback.
    unsafe extern "C" fn write_iter(
        kiocb: *mut bindings::kiocb,
        iter: *mut bindings::iov_iter,
    ) -> isize {
        // SAFETY: the VFS passes a valid request for an inode of ours.
        let mut kiocb = unsafe { Kiocb::<T>::from_raw(kiocb) };
        let mut iter = IovIter {
            raw: iter,
            _lifetime: PhantomData,
        };
        uncount(T::write(&mut kiocb, &mut iter))
    }

    /// # Safety
    ///
    /// Called by the kernel alone, with what it passes to this callback.
    unsafe extern "C" fn splice_read(
        file: *mut bindings::file,
        position: *mut bindings::loff_t,
        pipe: *mut bindings::pipe_inode_info,
        len: usize,
        flags: u32,
    ) -> isize {
        // SAFETY: the VFS passes a file of an inode of ours.
        let inode = unsafe { Inode::<T>::from_raw(bindings::rext4_shim_file_inode(file)) };
        if let Err(e) = T::check_access(inode) {
            return e.to_errno() as isize;
        }
        // SAFETY: what the VFS passes is passed on.
        unsafe { bindings::filemap_splice_read(file, position, pipe, len, flags) }
    }

    /// # Safety
    ///
    /// Called by the kernel alone, with what it passes to this callback.
    unsafe extern "C" fn llseek(file: *mut bindings::file, offset: i64, whence: i32) -> i64 {
        // SAFETY: the VFS passes a file of an inode of ours.
        let inode = unsafe { bindings::rext4_shim_file_inode(file) };
        // SAFETY: see above.
        let max = T::max_bytes(unsafe { Inode::<T>::from_raw(inode) });
        let data = match whence as u32 {
            bindings::SEEK_DATA => true,
            bindings::SEEK_HOLE => false,
            _ => {
                // SAFETY: the file and its inode are valid.
                return unsafe {
                    bindings::generic_file_llseek_size(
                        file,
                        offset,
                        whence,
                        max,
                        bindings::rext4_shim_i_size_read(inode),
                    )
                };
            }
        };
        // SAFETY: the inode is ours.
        let found = unsafe { iomap::seek::<T>(inode, offset, data) };
        if found < 0 {
            return found;
        }
        // SAFETY: the file is valid.
        unsafe { bindings::vfs_setpos(file, found, max) }
    }

    /// # Safety
    ///
    /// Called by the kernel alone, with what it passes to this callback.
    unsafe extern "C" fn fsync(
        file: *mut bindings::file,
        start: i64,
        end: i64,
        data_only: i32,
    ) -> i32 {
        from_result(|| {
            let open = OpenFile {
                file,
                // SAFETY: the VFS passes a file of an inode of ours.
                inode: unsafe { Inode::<T>::from_raw(bindings::rext4_shim_file_inode(file)) },
            };
            T::fsync(&open, start, end, data_only != 0)?;
            Ok(0)
        })
    }

    /// # Safety
    ///
    /// Called by the kernel alone, with what it passes to this callback.
    unsafe extern "C" fn fallocate(
        file: *mut bindings::file,
        mode: i32,
        offset: i64,
        len: i64,
    ) -> ffi::c_long {
        let run = || -> Result {
            let mode = mode as u32;
            let keep_size = mode & bindings::FALLOC_FL_KEEP_SIZE != 0;
            let what = match mode & !bindings::FALLOC_FL_KEEP_SIZE {
                bindings::FALLOC_FL_ALLOCATE_RANGE => FallocateMode::Allocate,
                bindings::FALLOC_FL_PUNCH_HOLE => FallocateMode::PunchHole,
                bindings::FALLOC_FL_ZERO_RANGE => FallocateMode::ZeroRange,
                // The VFS lets these come alone.
                bindings::FALLOC_FL_COLLAPSE_RANGE => FallocateMode::CollapseRange,
                bindings::FALLOC_FL_INSERT_RANGE => FallocateMode::InsertRange,
                bindings::FALLOC_FL_WRITE_ZEROES => FallocateMode::WriteZeroes,
                _ => return Err(crate::error::eopnotsupp()),
            };
            let open = OpenFile {
                file,
                // SAFETY: the VFS passes a file of an inode of ours.
                inode: unsafe { Inode::<T>::from_raw(bindings::rext4_shim_file_inode(file)) },
            };
            T::fallocate(&open, what, keep_size, offset, len)
        };
        match run() {
            Ok(()) => 0,
            Err(e) => e.to_errno() as ffi::c_long,
        }
    }
}
