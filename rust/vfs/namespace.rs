// SPDX-License-Identifier: GPL-2.0

//! Names: making, linking, removing and moving them.
//!
//! The VFS has locked the directories, and has checked permissions and that what has to be there
//! is. It looks names up before, so that it knows the inodes already; what is on disk may still tell
//! otherwise.
//!
//! C headers: `include/linux/fs.h`, `include/linux/dcache.h`

use super::{
    dentry::Dentry,
    inode::{ExclusiveLock, Inode},
    new_inode::{NewInode, Unnumbered},
    posix_acl::{InheritedAcls, PosixAcl},
    super_block::FileSystem,
};
use crate::bindings;
use core::{
    marker::PhantomData,
    mem::ManuallyDrop,
    ops::Deref,
    ptr::{self, NonNull},
    slice,
};
use kernel::{
    error::{code, from_err_ptr, from_result, to_result},
    ffi,
    prelude::*,
    str::CStr,
    sync::aref::ARef,
};

/// What the VFS asks of directories that change.
///
/// No method may be left with a journal handle of this thread.
pub trait NameSpace: Sized + 'static {
    /// Makes an inode as `wanted`, with the name `name` in `dir`.
    fn create(
        dir: &Directory<'_, Self>,
        name: &[u8],
        wanted: &Creation<'_, Self>,
    ) -> Result<NewInode<Self>>
    where
        Self: FileSystem;

    /// Makes an inode without a name, near `dir`, which is not locked.
    fn create_unnamed(dir: &Inode<Self>, wanted: &Creation<'_, Self>) -> Result<NewInode<Self>>
    where
        Self: FileSystem;

    /// Gives an inode, which is no directory and is locked, another name.
    fn link(
        inode: &Inode<Self>,
        lock: &ExclusiveLock<'_, Self>,
        dir: &Directory<'_, Self>,
        name: &[u8],
    ) -> Result
    where
        Self: FileSystem;

    /// Removes a name of an inode, which is locked and no directory.
    fn unlink(dir: &Directory<'_, Self>, name: &[u8], inode: &Inode<Self>) -> Result
    where
        Self: FileSystem;

    /// Removes a directory, which is locked: `ENOTEMPTY` if there is anything in it.
    fn remove_directory(
        dir: &Directory<'_, Self>,
        name: &[u8],
        removed: &Directory<'_, Self>,
    ) -> Result
    where
        Self: FileSystem;

    /// Moves or exchanges names.
    fn rename(rename: &Rename<'_, Self>) -> Result
    where
        Self: FileSystem;
}

/// A directory whose lock the VFS holds exclusively during a call.
///
/// # Invariants
///
/// The lock is held by this task as long as this lives.
pub struct Directory<'a, T: FileSystem> {
    inode: &'a Inode<T>,
    lock: ManuallyDrop<ExclusiveLock<'a, T>>,
}

impl<'a, T: FileSystem> Directory<'a, T> {
    /// # Safety
    ///
    /// `ptr` is a valid inode of a super block of type `T`, locked exclusively by this task, for
    /// all of `'a`.
    unsafe fn from_raw(ptr: *mut bindings::inode) -> Self {
        // SAFETY: the caller's promise.
        let inode = unsafe { Inode::from_raw(ptr) };
        Self {
            inode,
            // SAFETY: the caller's promise. The VFS gives the lock back.
            lock: unsafe { ExclusiveLock::of_vfs(inode) },
        }
    }

    /// The lock.
    pub fn lock(&self) -> &ExclusiveLock<'a, T> {
        &self.lock
    }
}

impl<T: FileSystem> Deref for Directory<'_, T> {
    type Target = Inode<T>;

    fn deref(&self) -> &Inode<T> {
        self.inode
    }
}

/// Which group a new inode belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NewGroup {
    /// That of the process, or in a directory with the set-group-ID bit, that of the directory.
    SystemV,
    /// That of the directory.
    Directory,
}

/// What inode is wanted, and who wants it.
pub struct Creation<'a, T: FileSystem> {
    /// The mount's mapping of owners: valid during the call.
    idmap: *mut bindings::mnt_idmap,
    /// The name that the inode will have, valid during the call; null if it gets none.
    name: *const bindings::qstr,
    mode: u16,
    device: u32,
    text: Option<&'a [u8]>,
    _type: PhantomData<T>,
}

impl<T: FileSystem> Creation<'_, T> {
    /// An inode of a type, with no name and with nothing in it.
    fn new(idmap: *mut bindings::mnt_idmap, kind: u32, mode: bindings::umode_t) -> Self {
        Self {
            idmap,
            name: ptr::null(),
            // The bits of the type lie in the upper half of 16.
            mode: mode | kind as u16,
            device: 0,
            text: None,
            _type: PhantomData,
        }
    }

    /// The number of the device that a node is to stand for.
    pub fn device_number(&self) -> u32 {
        self.device
    }

    /// The text of a symbolic link, without a terminator.
    pub fn link_text(&self) -> Option<&[u8]> {
        self.text
    }

    /// Whether a directory is wanted.
    pub fn is_directory(&self) -> bool {
        u32::from(self.mode) & bindings::S_IFMT == bindings::S_IFDIR
    }

    /// Makes the inode in memory, with the owner and mode that it gets in `dir`; and the ACLs, which
    /// it still has to get. `group` says whose group it is.
    ///
    /// # Errors
    ///
    /// `ENOMEM`, those of reading the directory's ACL.
    pub fn begin(&self, dir: &Inode<T>, group: NewGroup) -> Result<(Unnumbered<T>, InheritedAcls)> {
        let (mut access, mut default) = (ptr::null_mut(), ptr::null_mut());
        // SAFETY: the mapping and the directory are valid during the call, and so are the pointers
        // to what is to be set.
        let inode = from_err_ptr(unsafe {
            bindings::rext4_shim_new_inode(
                self.idmap,
                dir.as_ptr(),
                self.mode,
                group == NewGroup::Directory,
                &mut access,
                &mut default,
            )
        })?;
        // SAFETY: the function gives away a reference to each list, or null.
        let acls = unsafe {
            InheritedAcls {
                access: PosixAcl::from_raw(access),
                default: PosixAcl::from_raw(default),
            }
        };
        let inode = NonNull::new(inode).ok_or(code::ENOMEM)?;
        // SAFETY: a reference to an inode of the same super block, which is ours.
        let inode = Unnumbered::new(unsafe { ARef::from_raw(inode.cast()) });
        Ok((inode, acls))
    }

    /// Asks the security modules for the labels of a new inode in `dir`, and calls `put` with each:
    /// the name without `security.`, and the value.
    ///
    /// # Errors
    ///
    /// Those of the modules, and of `put`, which end it.
    pub fn label<F>(&self, new: &NewInode<T>, dir: &Inode<T>, mut put: F) -> Result
    where
        F: FnMut(&[u8], &[u8]) -> Result,
    {
        // SAFETY: both inodes are valid, and so is the name or it is null; `put_label::<F>` is
        // called with `put`, which nobody else uses meanwhile.
        to_result(unsafe {
            bindings::rext4_shim_label_new_inode(
                new.inode().as_ptr(),
                dir.as_ptr(),
                self.name,
                Some(put_label::<F>),
                ptr::from_mut(&mut put).cast(),
            )
        })
    }
}

/// # Safety
///
/// `context` is an `F` that nobody else uses, `name` a terminated string, and `value` valid for `len`
/// bytes.
unsafe extern "C" fn put_label<F: FnMut(&[u8], &[u8]) -> Result>(
    context: *mut ffi::c_void,
    name: *const ffi::c_char,
    value: *const ffi::c_void,
    len: usize,
) -> i32 {
    from_result(|| {
        // SAFETY: the caller's promise.
        let (put, name) = unsafe { (&mut *context.cast::<F>(), CStr::from_char_ptr(name)) };
        let value = if len == 0 {
            &[]
        } else {
            // SAFETY: the caller's promise.
            unsafe { slice::from_raw_parts(value.cast::<u8>(), len) }
        };
        put(name.to_bytes(), value)?;
        Ok(0)
    })
}

/// What becomes of the names of a [`Rename`].
pub enum RenameKind<'a, T: FileSystem> {
    /// The inode gets the new name, and loses the old one.
    Move,
    /// The same, and the old name stands for this new inode from then on.
    Whiteout(Creation<'a, T>),
    /// The two inodes exchange their names.
    Exchange,
}

/// A name to be moved. The directories are locked, which may be one and the same; so are the inodes,
/// but for a directory that stays in its place.
pub struct Rename<'a, T: FileSystem> {
    /// What is done.
    pub kind: RenameKind<'a, T>,
    /// The directory of the old name.
    pub from: Directory<'a, T>,
    /// The old name.
    pub from_name: &'a [u8],
    /// The directory of the new name.
    pub to: Directory<'a, T>,
    /// The new name.
    pub to_name: &'a [u8],
    /// What the old name stands for.
    pub inode: &'a Inode<T>,
    /// What the new name stands for, if it is there.
    pub target: Option<&'a Inode<T>>,
}

impl<T: FileSystem> Rename<'_, T> {
    /// Whether both names are in the same directory.
    pub fn is_within_directory(&self) -> bool {
        ptr::eq::<Inode<T>>(&*self.from, &*self.to)
    }
}

/// Makes an inode and has the dentry stand for it.
///
/// # Safety
///
/// `dir` is a locked directory of a super block of type `T`, `dentry` a negative dentry in it.
unsafe fn create_for<T: FileSystem>(
    dir: *mut bindings::inode,
    dentry: *mut bindings::dentry,
    mut wanted: Creation<'_, T>,
) -> Result {
    // SAFETY: the caller's promise; the name does not change while the directory is locked.
    let (dir, name) = unsafe {
        wanted.name = bindings::rext4_shim_dentry_qstr(dentry);
        (
            Directory::<T>::from_raw(dir),
            Dentry::from_raw(dentry).name(),
        )
    };
    dir.initialize_quotas()?;
    let inode = T::create(&dir, name, &wanted)?.into_inode();
    // SAFETY: the inode is new, and the reference to it is given away. That everybody can use it
    // from now on is a part of this.
    unsafe { bindings::d_instantiate_new(dentry, ARef::into_raw(inode).as_ptr().cast()) };
    Ok(())
}

/// # Safety
///
/// Called by the VFS with a locked directory of a super block of type `T`; so are the others.
pub(super) unsafe extern "C" fn create<T: FileSystem>(
    idmap: *mut bindings::mnt_idmap,
    dir: *mut bindings::inode,
    dentry: *mut bindings::dentry,
    mode: bindings::umode_t,
) -> i32 {
    from_result(|| {
        let wanted = Creation::<T>::new(idmap, bindings::S_IFREG, mode);
        // SAFETY: the VFS passes a locked directory and a negative dentry in it.
        unsafe { create_for(dir, dentry, wanted) }?;
        Ok(0)
    })
}

/// # Safety
///
/// As for [`create`].
pub(super) unsafe extern "C" fn mknod<T: FileSystem>(
    idmap: *mut bindings::mnt_idmap,
    dir: *mut bindings::inode,
    dentry: *mut bindings::dentry,
    mode: bindings::umode_t,
    device: bindings::dev_t,
) -> i32 {
    from_result(|| {
        let mut wanted = Creation::<T>::new(idmap, 0, mode);
        wanted.device = device;
        // SAFETY: the VFS passes a locked directory and a negative dentry in it.
        unsafe { create_for(dir, dentry, wanted) }?;
        Ok(0)
    })
}

/// # Safety
///
/// As for [`create`].
pub(super) unsafe extern "C" fn mkdir<T: FileSystem>(
    idmap: *mut bindings::mnt_idmap,
    dir: *mut bindings::inode,
    dentry: *mut bindings::dentry,
    mode: bindings::umode_t,
) -> *mut bindings::dentry {
    let wanted = Creation::<T>::new(idmap, bindings::S_IFDIR, mode);
    // SAFETY: the VFS passes a locked directory and a negative dentry in it.
    match unsafe { create_for(dir, dentry, wanted) } {
        // The dentry itself.
        Ok(()) => ptr::null_mut(),
        Err(e) => e.to_ptr(),
    }
}

/// # Safety
///
/// As for [`create`]; `text` is a terminated string.
pub(super) unsafe extern "C" fn symlink<T: FileSystem>(
    idmap: *mut bindings::mnt_idmap,
    dir: *mut bindings::inode,
    dentry: *mut bindings::dentry,
    text: *const ffi::c_char,
) -> i32 {
    from_result(|| {
        let mut wanted = Creation::<T>::new(idmap, bindings::S_IFLNK, 0o777);
        // SAFETY: the VFS passes a terminated string, which stays during the call.
        wanted.text = Some(unsafe { CStr::from_char_ptr(text.cast()) }.to_bytes());
        // SAFETY: the VFS passes a locked directory and a negative dentry in it.
        unsafe { create_for(dir, dentry, wanted) }?;
        Ok(0)
    })
}

/// # Safety
///
/// Called by the VFS with a directory of a super block of type `T`, and a file to be opened.
pub(super) unsafe extern "C" fn tmpfile<T: FileSystem>(
    idmap: *mut bindings::mnt_idmap,
    dir: *mut bindings::inode,
    file: *mut bindings::file,
    mode: bindings::umode_t,
) -> i32 {
    from_result(|| {
        let wanted = Creation::<T>::new(idmap, bindings::S_IFREG, mode);
        // SAFETY: the VFS passes a directory of ours.
        let dir = unsafe { Inode::<T>::from_raw(dir) };
        dir.initialize_quotas()?;
        let new = T::create_unnamed(dir, &wanted)?;
        let inode = ARef::into_raw(new.unlock()).as_ptr().cast();
        // SAFETY: the file has a fresh dentry without a name, to which the reference to the inode
        // is given.
        to_result(unsafe { bindings::rext4_shim_finish_tmpfile(file, inode) })?;
        Ok(0)
    })
}

/// # Safety
///
/// As for [`create`]; `old` is a dentry of a locked inode.
pub(super) unsafe extern "C" fn link<T: FileSystem>(
    old: *mut bindings::dentry,
    dir: *mut bindings::inode,
    dentry: *mut bindings::dentry,
) -> i32 {
    from_result(|| {
        // SAFETY: the VFS passes a locked directory, a negative dentry in it, and a positive one.
        let (inode, dir, name) = unsafe {
            (
                Inode::<T>::from_raw((*old).d_inode),
                Directory::<T>::from_raw(dir),
                Dentry::from_raw(dentry).name(),
            )
        };
        // SAFETY: the VFS has locked it.
        let lock = unsafe { ExclusiveLock::of_vfs(inode) };
        // An inode whose fields need more room may get a block for its attributes.
        inode.initialize_quotas()?;
        dir.initialize_quotas()?;
        T::link(inode, &lock, &dir, name)?;
        let inode = ARef::from(inode);
        // SAFETY: the dentry is negative, and the reference is given to it.
        unsafe { bindings::d_instantiate(dentry, ARef::into_raw(inode).as_ptr().cast()) };
        Ok(0)
    })
}

/// # Safety
///
/// As for [`create`]; the dentry is that of a locked inode which is no directory.
pub(super) unsafe extern "C" fn unlink<T: FileSystem>(
    dir: *mut bindings::inode,
    dentry: *mut bindings::dentry,
) -> i32 {
    from_result(|| {
        // SAFETY: the VFS passes a locked directory, and a positive dentry in it.
        let (dir, name, inode) = unsafe {
            (
                Directory::<T>::from_raw(dir),
                Dentry::from_raw(dentry).name(),
                Inode::from_raw((*dentry).d_inode),
            )
        };
        inode.initialize_quotas()?;
        dir.initialize_quotas()?;
        T::unlink(&dir, name, inode)?;
        Ok(0)
    })
}

/// # Safety
///
/// As for [`create`]; the dentry is that of a locked directory.
pub(super) unsafe extern "C" fn rmdir<T: FileSystem>(
    dir: *mut bindings::inode,
    dentry: *mut bindings::dentry,
) -> i32 {
    from_result(|| {
        // SAFETY: the VFS passes a locked directory, and the dentry of another one in it.
        let (dir, name, removed) = unsafe {
            (
                Directory::<T>::from_raw(dir),
                Dentry::from_raw(dentry).name(),
                Directory::from_raw((*dentry).d_inode),
            )
        };
        removed.initialize_quotas()?;
        dir.initialize_quotas()?;
        T::remove_directory(&dir, name, &removed)?;
        Ok(0)
    })
}

/// # Safety
///
/// Called by the VFS with two locked directories of a super block of type `T`, a positive dentry
/// in the first, and one in the second.
pub(super) unsafe extern "C" fn rename<T: FileSystem>(
    idmap: *mut bindings::mnt_idmap,
    from: *mut bindings::inode,
    old: *mut bindings::dentry,
    to: *mut bindings::inode,
    new: *mut bindings::dentry,
    flags: u32,
) -> i32 {
    from_result(|| {
        let known =
            bindings::RENAME_NOREPLACE | bindings::RENAME_EXCHANGE | bindings::RENAME_WHITEOUT;
        if flags & !known != 0 {
            return Err(code::EINVAL);
        }
        // That the new name is not there yet was checked for RENAME_NOREPLACE.
        let kind = if flags & bindings::RENAME_EXCHANGE != 0 {
            RenameKind::Exchange
        } else if flags & bindings::RENAME_WHITEOUT != 0 {
            // A whiteout is a device node with number and permissions zero.
            let mut whiteout = Creation::new(idmap, bindings::S_IFCHR, 0);
            // SAFETY: the VFS passes a dentry whose name does not change now.
            whiteout.name = unsafe { bindings::rext4_shim_dentry_qstr(old) };
            RenameKind::Whiteout(whiteout)
        } else {
            RenameKind::Move
        };
        // SAFETY: the VFS passes locked directories and dentries whose names do not change now.
        let rename = unsafe {
            Rename::<T> {
                kind,
                from: Directory::from_raw(from),
                from_name: Dentry::from_raw(old).name(),
                to: Directory::from_raw(to),
                to_name: Dentry::from_raw(new).name(),
                inode: Inode::from_raw((*old).d_inode),
                target: NonNull::new((*new).d_inode).map(|inode| Inode::from_raw(inode.as_ptr())),
            }
        };
        let changed = [&*rename.from, &*rename.to, rename.inode];
        for inode in changed {
            inode.initialize_quotas()?;
        }
        if let Some(target) = rename.target {
            target.initialize_quotas()?;
        }
        T::rename(&rename)?;
        Ok(0)
    })
}
