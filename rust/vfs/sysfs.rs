// SPDX-License-Identifier: GPL-2.0

//! Files for people in `/sys/fs/<type>/<device>/`, one value each, and `/sys/fs/<type>/features/`.
//!
//! ```text
//!   /sys/fs/<type>/            Root, with the name of the file system type
//!     features/<name>          "supported"
//!     <device>/<name>          Slot::add ──▶ SysfsFiles::show ──▶ Slot::remove
//! ```
//!
//! Removing a directory waits for those who are in [`SysfsFiles::show`], so they have a super block, and then
//! until nobody has a reference to it, so that the module with its `release` is still there.
//!
//! C headers: `include/linux/kobject.h`, `include/linux/sysfs.h`

use super::super_block::{FileSystem, SuperBlock};
use crate::bindings;
use core::{
    fmt,
    marker::PhantomData,
    mem::offset_of,
    ptr, slice,
    sync::atomic::{AtomicPtr, Ordering},
};
use kernel::{
    error::{code, to_result},
    ffi::c_char,
    prelude::*,
    sync::Completion,
    types::Opaque,
};

/// A file in a file system's directory.
#[derive(Clone, Copy)]
pub struct File {
    /// Its name.
    pub name: &'static CStr,
    /// Whether it can be written to, instead of read.
    pub write_only: bool,
}

/// The files that a file system shows.
pub trait SysfsFiles: Sized {
    /// Those in the directory of each mounted file system.
    const FILES: &'static [File];

    /// What the file system type can do that not all of its versions can, in `features/`.
    const FEATURES: &'static [File];

    /// Where the file system has its directory.
    fn sysfs(sb: &SuperBlock<Self>) -> &Slot
    where
        Self: FileSystem;

    /// Writes the value of a file, without a newline.
    fn show(sb: &SuperBlock<Self>, name: &CStr, page: &mut Page<'_>) -> fmt::Result
    where
        Self: FileSystem;

    /// Takes what was written to a file.
    fn store(sb: &SuperBlock<Self>, name: &CStr, text: &[u8]) -> Result
    where
        Self: FileSystem;
}

/// The memory for a value: a page. What does not fit is an error.
pub struct Page<'a> {
    bytes: &'a mut [u8],
    len: usize,
}

impl fmt::Write for Page<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let end = self.len + text.len();
        let place = self.bytes.get_mut(self.len..end).ok_or(fmt::Error)?;
        place.copy_from_slice(text.as_bytes());
        self.len = end;
        Ok(())
    }
}

/// A directory, with all that the kernel keeps pointers to.
#[pin_data]
#[repr(C)]
struct Directory {
    #[pin]
    kobject: Opaque<bindings::kobject>,
    /// Nobody has a reference to the kobject any more.
    #[pin]
    released: Completion,
    /// Null for `features/`.
    sb: *mut bindings::super_block,
    files: &'static [File],
    attributes: KVec<bindings::attribute>,
    /// To each of them, and null at the end.
    pointers: KVec<*mut bindings::attribute>,
    group: bindings::attribute_group,
}

/// A directory that is there; dropping it removes it.
///
/// # Invariants
///
/// It was added, and its kobject's first reference is owned.
struct Added(ptr::NonNull<Directory>);

impl Added {
    fn new<T: FileSystem>(
        parent: *mut bindings::kobject,
        name: *const c_char,
        sb: *mut bindings::super_block,
        files: &'static [File],
    ) -> Result<Self> {
        let mut attributes = KVec::with_capacity(files.len(), GFP_KERNEL)?;
        let mut pointers = KVec::with_capacity(files.len() + 1, GFP_KERNEL)?;
        for file in files {
            let mut attribute = bindings::attribute::default();
            let mode = if file.write_only { 0o200 } else { 0o444 };
            // SAFETY: the name is static.
            unsafe {
                bindings::rext4_shim_attribute_init(&mut attribute, file.name.as_char_ptr(), mode)
            };
            attributes.push(attribute, GFP_KERNEL)?;
        }
        for attribute in attributes.iter_mut() {
            pointers.push(ptr::from_mut(attribute), GFP_KERNEL)?;
        }
        pointers.push(ptr::null_mut(), GFP_KERNEL)?;
        let mut group = bindings::attribute_group::default();
        // Moving the vector does not move what is in it.
        group.__bindgen_anon_2.attrs = pointers.as_mut_ptr();
        let directory = KBox::pin_init(
            pin_init!(Directory {
                kobject: Opaque::zeroed(),
                released <- Completion::new(),
                sb,
                files,
                attributes,
                pointers,
                group,
            }),
            GFP_KERNEL,
        )?;
        // SAFETY: it stays where it is until it is freed.
        let directory = unsafe { Pin::into_inner_unchecked(directory) };
        let directory = ptr::NonNull::from(KBox::leak(directory));
        // SAFETY: the directory is ours, and in memory that does not move, until `added` is dropped.
        unsafe {
            let kobject = Opaque::cast_into(ptr::addr_of!((*directory.as_ptr()).kobject));
            bindings::kobject_init(kobject, &Table::<T>::TYPE);
            // INVARIANT: if adding it fails, dropping `added` only gives up the reference.
            let added = Self(directory);
            to_result(bindings::rext4_shim_kobject_add(kobject, parent, name))?;
            to_result(bindings::sysfs_create_group(
                kobject,
                &(*directory.as_ptr()).group,
            ))?;
            Ok(added)
        }
    }

    fn kobject(&self) -> *mut bindings::kobject {
        // SAFETY: the directory is valid as long as our reference is.
        Opaque::cast_into(unsafe { ptr::addr_of!((*self.0.as_ptr()).kobject) })
    }
}

impl Drop for Added {
    fn drop(&mut self) {
        // SAFETY: the reference is ours. Removing a kobject that was not added does nothing. The directory was
        // leaked for this value, and after `release` nobody else has it.
        unsafe {
            bindings::kobject_del(self.kobject());
            bindings::kobject_put(self.kobject());
            (*self.0.as_ptr()).released.wait_for_completion();
            drop(KBox::from_raw(self.0.as_ptr()));
        }
    }
}

/// Where a mounted file system has its directory.
pub struct Slot(AtomicPtr<Directory>);

impl Slot {
    /// Without one.
    pub const fn new() -> Self {
        Self(AtomicPtr::new(ptr::null_mut()))
    }

    /// Adds the directory of a super block below the root of its type.
    ///
    /// # Safety
    ///
    /// `root` is that of a [`Root`], which lives until [`Self::remove`].
    pub(super) unsafe fn add<T: FileSystem>(
        &self,
        root: *mut bindings::kobject,
        sb: &SuperBlock<T>,
    ) -> Result {
        let added = Added::new::<T>(root, sb.id().as_char_ptr(), sb.as_ptr(), T::FILES)?;
        let added = core::mem::ManuallyDrop::new(added);
        self.0.store(added.0.as_ptr(), Ordering::Release);
        Ok(())
    }

    /// Removes it, if there is one, and waits for those who look at its files.
    pub(super) fn remove(&self) {
        let directory = self.0.swap(ptr::null_mut(), Ordering::AcqRel);
        if let Some(directory) = ptr::NonNull::new(directory) {
            // INVARIANT: `add` gave it to the slot, and it was taken out once.
            drop(Added(directory));
        }
    }
}

/// The directory of a file system type, `/sys/fs/<type>/`, with its features.
///
/// # Invariants
///
/// The kobject was added, and a reference to it is owned.
pub(super) struct Root {
    // Dropped first.
    features: Option<Added>,
    kobject: ptr::NonNull<bindings::kobject>,
}

// SAFETY: kobjects belong to no thread.
unsafe impl Send for Root {}
// SAFETY: see above.
unsafe impl Sync for Root {}

impl Root {
    /// Makes it.
    pub(super) fn new<T: FileSystem>(name: &'static CStr) -> Result<Self> {
        // SAFETY: the name is terminated, and `/sys/fs` is there as long as the kernel runs.
        let kobject =
            unsafe { bindings::kobject_create_and_add(name.as_char_ptr(), bindings::fs_kobj) };
        let kobject = ptr::NonNull::new(kobject).ok_or(code::ENOMEM)?;
        // INVARIANT: it was just added.
        let mut root = Self {
            features: None,
            kobject,
        };
        root.features = Some(Added::new::<T>(
            root.kobject(),
            c"features".as_char_ptr(),
            ptr::null_mut(),
            T::FEATURES,
        )?);
        Ok(root)
    }

    /// The C object.
    pub(super) fn kobject(&self) -> *mut bindings::kobject {
        self.kobject.as_ptr()
    }
}

impl Drop for Root {
    fn drop(&mut self) {
        drop(self.features.take());
        // SAFETY: the reference is ours; no mount is left.
        unsafe { bindings::kobject_put(self.kobject()) };
    }
}

/// What the kernel calls.
struct Table<T: FileSystem>(PhantomData<T>);

impl<T: FileSystem> Table<T> {
    const OPERATIONS: bindings::sysfs_ops = bindings::sysfs_ops {
        show: Some(Self::show),
        store: Some(Self::store),
    };

    const TYPE: bindings::kobj_type = bindings::kobj_type {
        release: Some(release),
        sysfs_ops: &Self::OPERATIONS,
        // SAFETY: all other fields may be absent.
        ..unsafe { core::mem::MaybeUninit::<bindings::kobj_type>::zeroed().assume_init() }
    };

    /// The super block of a directory, and the name of a file in it.
    ///
    /// # Safety
    ///
    /// Both are of a [`Directory`] that was added and not removed.
    unsafe fn find<'a>(
        kobject: *mut bindings::kobject,
        attribute: *mut bindings::attribute,
    ) -> Result<(Option<&'a SuperBlock<T>>, &'a CStr)> {
        // SAFETY: the caller's promise.
        unsafe {
            let directory: *mut Directory = kobject.byte_sub(offset_of!(Directory, kobject)).cast();
            let first = (*directory).attributes.as_ptr();
            let index = attribute.cast_const().offset_from(first);
            let index = usize::try_from(index).map_err(|_| code::EIO)?;
            let file = (*directory).files.get(index).ok_or(code::EIO)?;
            let sb = (*directory).sb;
            let sb = (!sb.is_null()).then(|| SuperBlock::from_raw(sb));
            Ok((sb, file.name))
        }
    }

    /// # Safety
    ///
    /// Called by the kernel alone, with what it passes to this callback.
    unsafe extern "C" fn show(
        kobject: *mut bindings::kobject,
        attribute: *mut bindings::attribute,
        buffer: *mut c_char,
    ) -> isize {
        let show = || -> Result<usize> {
            // SAFETY: the kernel passes an attribute of a directory, and removes it after this.
            let (sb, name) = unsafe { Self::find(kobject, attribute) }?;
            let mut page = Page {
                // SAFETY: the kernel passes a page, filled with zeros.
                bytes: unsafe { slice::from_raw_parts_mut(buffer.cast(), kernel::page::PAGE_SIZE) },
                len: 0,
            };
            let written = match sb {
                Some(sb) => T::show(sb, name, &mut page),
                None => fmt::Write::write_str(&mut page, "supported"),
            };
            written
                .and_then(|()| fmt::Write::write_str(&mut page, "\n"))
                .map_err(|_| code::EIO)?;
            Ok(page.len)
        };
        match show() {
            Ok(len) => len as isize,
            Err(e) => e.to_errno() as isize,
        }
    }

    /// # Safety
    ///
    /// Called by the kernel alone, with what it passes to this callback.
    unsafe extern "C" fn store(
        kobject: *mut bindings::kobject,
        attribute: *mut bindings::attribute,
        text: *const c_char,
        len: usize,
    ) -> isize {
        let store = || -> Result {
            // SAFETY: the kernel passes an attribute of a directory, and removes it after this.
            let (sb, name) = unsafe { Self::find(kobject, attribute) }?;
            // SAFETY: the kernel passes so many bytes.
            let text = unsafe { slice::from_raw_parts(text.cast::<u8>(), len) };
            T::store(sb.ok_or(code::EIO)?, name, text)
        };
        match store() {
            Ok(()) => len as isize,
            Err(e) => e.to_errno() as isize,
        }
    }
}

/// # Safety
///
/// Called by the kernel when the last reference to a [`Directory`]'s kobject is gone.
unsafe extern "C" fn release(kobject: *mut bindings::kobject) {
    // SAFETY: the kobject is a part of a directory, which is there until this is told.
    unsafe {
        let directory = kobject.byte_sub(offset_of!(Directory, kobject));
        (*directory.cast::<Directory>()).released.complete_all();
    }
}
