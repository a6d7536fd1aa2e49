// SPDX-License-Identifier: GPL-2.0

//! Reading directories: one open directory, its position, and the entries handed out.
//!
//! A position is a number that the file system gives to each entry. It has to mean the same entry
//! as long as the directory is open, and for network file systems even longer, whatever was added
//! or removed in between. Whether the reader can take positions of 64 bits or of 31 is known by
//! [`DirContext::width`].
//!
//! C header: `include/linux/fs.h`

use super::{inode::Inode, super_block::FileSystem};
use crate::bindings;
use core::{marker::PhantomData, pin::Pin, ptr::NonNull};
use kernel::{
    error::{from_result, Error},
    new_mutex,
    prelude::*,
    sync::Mutex,
    types::ForeignOwnable,
};

/// What the VFS asks of open directories.
pub trait ReadDir: Sized + 'static {
    /// What one open directory remembers beside its position, between two calls of
    /// [`ReadDir::read_dir`]. Forgotten when somebody sets the position.
    type Cursor: Default + Send + Unpin;

    /// Hands out entries from the position on, until there is no room or there are no more.
    ///
    /// The directory is locked shared, and nobody else uses the cursor meanwhile.
    fn read_dir(
        dir: &Inode<Self>,
        cursor: &mut Self::Cursor,
        context: &mut DirContext<'_>,
    ) -> Result
    where
        Self: FileSystem;

    /// The largest position, which is also the one behind all entries; `None` where positions are
    /// offsets in the directory's data, which are bounded by its size.
    fn last_position(dir: &Inode<Self>, width: PositionWidth) -> Option<i64>
    where
        Self: FileSystem;
}

/// How large a position the reader of a directory can take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PositionWidth {
    /// 31 bits: a process of a 32-bit architecture, or an old NFS client.
    Narrow,
    /// 63 bits.
    Wide,
}

impl PositionWidth {
    /// # Safety
    ///
    /// `file` is a valid open file.
    unsafe fn of(file: *mut bindings::file) -> Self {
        // SAFETY: the caller's promise.
        if unsafe { bindings::rext4_shim_dir_positions_are_narrow(file) } {
            Self::Narrow
        } else {
            Self::Wide
        }
    }
}

/// The type of a directory entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum EntryType {
    /// Not known from the directory alone.
    Unknown = bindings::DT_UNKNOWN,
    /// A named pipe.
    Fifo = bindings::DT_FIFO,
    /// A character device.
    CharacterDevice = bindings::DT_CHR,
    /// A directory.
    Directory = bindings::DT_DIR,
    /// A block device.
    BlockDevice = bindings::DT_BLK,
    /// A regular file.
    Regular = bindings::DT_REG,
    /// A symbolic link.
    Symlink = bindings::DT_LNK,
    /// A socket.
    Socket = bindings::DT_SOCK,
}

/// One call's worth of reading a directory: where to begin, and where entries go.
///
/// # Invariants
///
/// `context` is the VFS's `struct dir_context` of this call, and nobody else uses it.
pub struct DirContext<'a> {
    context: NonNull<bindings::dir_context>,
    width: PositionWidth,
    _call: PhantomData<&'a mut bindings::dir_context>,
}

impl DirContext<'_> {
    /// The position: that of the first entry to hand out.
    pub fn position(&self) -> i64 {
        // SAFETY: by the type invariant the context is valid and ours.
        unsafe { (*self.context.as_ptr()).pos }
    }

    /// Sets the position of the next entry.
    pub fn set_position(&mut self, position: i64) {
        // SAFETY: by the type invariant the context is valid and ours.
        unsafe { (*self.context.as_ptr()).pos = position };
    }

    /// How large positions may be.
    pub fn width(&self) -> PositionWidth {
        self.width
    }

    /// Hands out an entry at `position`, which becomes the position of this call.
    ///
    /// Returns whether there was room for it. If not, the call is over, and the entry comes again
    /// in the next. May fault on the reader's memory, so sleeps.
    #[must_use]
    pub fn emit(&mut self, position: i64, name: &[u8], ino: u32, kind: EntryType) -> bool {
        self.set_position(position);
        let Ok(len) = i32::try_from(name.len()) else {
            return false;
        };
        // SAFETY: by the type invariant the context is valid and ours; `name` has `len` bytes.
        unsafe {
            bindings::rext4_shim_dir_emit(
                self.context.as_ptr(),
                name.as_ptr().cast(),
                len,
                u64::from(ino),
                kind as u32,
            )
        }
    }
}

/// What `private_data` of an open directory points to.
type OpenDir<T> = Pin<KBox<Mutex<<T as ReadDir>::Cursor>>>;

/// Runs `work` with the cursor of an open directory.
///
/// # Safety
///
/// `file` was opened with [`open_dir::<T>`] and is not released meanwhile.
unsafe fn with_cursor<T: FileSystem, R>(
    file: *mut bindings::file,
    work: impl FnOnce(&mut T::Cursor) -> R,
) -> R {
    // SAFETY: `open_dir` stored the pointer, which stays until `release_dir`.
    let cursor = unsafe { OpenDir::<T>::borrow((*file).private_data.cast()) };
    // The VFS keeps system calls on one open file apart, but not everything in the kernel that
    // reads directories comes through system calls.
    let mut guard = cursor.lock();
    work(&mut guard)
}

/// `open` of directories.
///
/// # Safety
///
/// Called by the VFS with a directory of a file system of type `T`.
pub(super) unsafe extern "C" fn open_dir<T: FileSystem>(
    _inode: *mut bindings::inode,
    file: *mut bindings::file,
) -> i32 {
    from_result(|| {
        let cursor: OpenDir<T> = KBox::pin_init(new_mutex!(T::Cursor::default()), GFP_KERNEL)?;
        // SAFETY: the VFS passes a file that is being opened and that nobody else uses.
        unsafe { (*file).private_data = cursor.into_foreign().cast() };
        Ok(0)
    })
}

/// `release` of directories.
///
/// # Safety
///
/// Called by the VFS once, with a file that [`open_dir::<T>`] opened.
pub(super) unsafe extern "C" fn release_dir<T: FileSystem>(
    _inode: *mut bindings::inode,
    file: *mut bindings::file,
) -> i32 {
    // SAFETY: `open_dir` stored the pointer, and nobody uses the file any more.
    drop(unsafe { OpenDir::<T>::from_foreign((*file).private_data.cast()) });
    0
}

/// `iterate_shared` of directories.
///
/// # Safety
///
/// Called by the VFS with a file that [`open_dir::<T>`] opened, its directory locked.
pub(super) unsafe extern "C" fn iterate_shared<T: FileSystem>(
    file: *mut bindings::file,
    context: *mut bindings::dir_context,
) -> i32 {
    from_result(|| {
        // SAFETY: the VFS passes an open file of an inode of ours.
        let (dir, width) = unsafe {
            (
                Inode::<T>::from_raw((*file).f_inode),
                PositionWidth::of(file),
            )
        };
        // INVARIANT: the VFS passes a context for this call alone.
        let mut context = DirContext {
            context: NonNull::new(context).ok_or(kernel::error::code::EINVAL)?,
            width,
            _call: PhantomData,
        };
        // SAFETY: `open_dir::<T>` opened the file, which is open during the call.
        unsafe { with_cursor::<T, _>(file, |cursor| T::read_dir(dir, cursor, &mut context)) }?;
        Ok(0)
    })
}

/// `llseek` of directories.
///
/// # Safety
///
/// Called by the VFS with a file that [`open_dir::<T>`] opened.
pub(super) unsafe extern "C" fn llseek<T: FileSystem>(
    file: *mut bindings::file,
    offset: bindings::loff_t,
    whence: i32,
) -> bindings::loff_t {
    // SAFETY: the VFS passes an open file of an inode of ours.
    let (dir, width) = unsafe {
        (
            Inode::<T>::from_raw((*file).f_inode),
            PositionWidth::of(file),
        )
    };
    let (max, end) = match T::last_position(dir, width) {
        Some(last) => (last, last),
        None => {
            // SAFETY: the super block of an inode is valid.
            let max = unsafe { (*dir.super_block().as_ptr()).s_maxbytes };
            (max, dir.size())
        }
    };
    // To ask for the position does not set it.
    if whence != bindings::SEEK_CUR as i32 || offset != 0 {
        // SAFETY: `open_dir::<T>` opened the file, which is open during the call.
        unsafe { with_cursor::<T, _>(file, |cursor| *cursor = T::Cursor::default()) };
    }
    // SAFETY: the VFS passes an open file.
    unsafe { bindings::generic_file_llseek_size(file, offset, whence, max, end) }
}

/// Lets others run, in work that is long. Sleeps.
///
/// # Errors
///
/// `EINTR` when the task is being killed, so that it need not wait for the end of the work.
pub fn pause() -> Result {
    // SAFETY: the callers may sleep, as documented.
    if unsafe { bindings::rext4_shim_pause() } {
        return Err(Error::from_errno(-(bindings::EINTR as i32)));
    }
    Ok(())
}
