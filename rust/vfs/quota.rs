// SPDX-License-Identifier: GPL-2.0

//! Quotas: how much space and how many inodes belong to a user, a group or a project, and may.
//!
//! The kernel's own code counts, compares with the limits, and keeps the numbers in files whose formats it
//! knows (`fs/quota`). The file system says what belongs to an inode, and reads and writes these files. They
//! are not counted themselves. Either they have no name, and are loaded at mount, or they are ordinary files that
//! `quotaon` makes quota files until `quotaoff` ([`control`]).
//!
//! ```text
//!   Inode::initialize_quotas ── who is it counted to ───▶ struct dquot ◀── limits (quotactl)
//!   Inode::{reserve,claim,charge,free}_space, count_inode ──▶ │
//!                                                            ▼ each change, at once
//!                            QuotaOperations::within_transaction ── write_quota_file
//! ```
//!
//! What an inode is counted to has to be known before anything of it is counted, and is looked for
//! without a transaction, since that may take a large one. It is forgotten when the inode is evicted.
//! Each change is written within the transaction that the task has, so that is begun with credits for
//! it.
//!
//! Without `CONFIG_QUOTA` all of this does nothing, and a file system that needs it is not written to.
//!
//! C headers: `include/linux/quota.h`, `include/linux/quotaops.h`

mod control;

use super::{
    inode::{ExclusiveLock, Inode},
    super_block::{FileSystem, SuperBlock},
};
use crate::bindings;
use core::{
    cell::Cell,
    marker::PhantomData,
    mem::{self, MaybeUninit},
    slice,
};
use kernel::{
    error::{code, from_result, to_result},
    ffi,
    prelude::*,
};

/// Whether the kernel can count at all.
pub const SUPPORTED: bool = cfg!(CONFIG_QUOTA);

/// By what is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// By owner.
    User,
    /// By group.
    Group,
    /// By project.
    Project,
}

impl Kind {
    /// All, in the order of the kernel's numbers for them.
    pub const ALL: [Self; 3] = [Self::User, Self::Group, Self::Project];

    fn to_raw(self) -> i32 {
        let kind = match self {
            Self::User => bindings::quota_type_USRQUOTA,
            Self::Group => bindings::quota_type_GRPQUOTA,
            Self::Project => bindings::quota_type_PRJQUOTA,
        };
        kind as i32
    }
}

/// What is done with a quota file in a transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// An entry that is there is written.
    Write,
    /// An entry is read, and made if it is not there.
    Acquire,
    /// An entry that says nothing any more is removed.
    Release,
    /// What the file says of itself is written.
    Info,
}

/// What quotas ask of a file system.
pub trait QuotaOperations: Sized {
    /// Calls `act` within a transaction: the one that the task has, or one of its own with credits for
    /// `change`. Returns what it returns. If there can't be one `act` is not called.
    fn within_transaction(
        file: &Inode<Self>,
        change: Change,
        act: impl FnOnce() -> Result,
    ) -> Result
    where
        Self: FileSystem;

    /// Fills `bytes` from the quota file, from byte `offset` on, as far as it goes. Returns how many
    /// bytes that are. `is_loaded` says whether it was [loaded](SuperBlock::load_quota) before.
    ///
    /// The kernel's lock of quota files (`dqio_sem`) is held. Once they are loaded others have handles and wait for
    /// it, so who has no handle must not wait for theirs, as to record damage: see [`Self::search_has_failed`].
    fn read_quota_file(
        file: &Inode<Self>,
        is_loaded: bool,
        offset: u64,
        bytes: &mut [u8],
    ) -> Result<usize>
    where
        Self: FileSystem;

    /// Tells of damage that was found in a quota file by who looks for an entry without a transaction. Called
    /// without locks. Returns the error that it has got.
    fn search_has_failed(file: &Inode<Self>, error: Error) -> Error
    where
        Self: FileSystem;

    /// Writes `bytes`, which lie in one block, to the quota file, within the transaction that the task has.
    fn write_quota_file(file: &Inode<Self>, offset: u64, bytes: &[u8]) -> Result
    where
        Self: FileSystem;

    /// Calls `change`, which changes owner or mode of a locked inode in memory, and stores the inode, in one
    /// transaction; after an error of `change` nothing is to be stored.
    fn change_attributes(inode: &Inode<Self>, change: impl FnOnce() -> Result) -> Result
    where
        Self: FileSystem;

    /// The project of an inode, which may not be on disk yet; `None` if the file system has none. Does not
    /// sleep.
    fn project_of(inode: &Inode<Self>) -> Option<u32>
    where
        Self: FileSystem;

    /// Whether files with names can become quota files: a mount option says so.
    fn may_turn_quotas_on(sb: &SuperBlock<Self>) -> bool
    where
        Self: FileSystem;

    /// Keeps a regular file, which is not locked, from all others, since it is going to be read and written past
    /// its page cache, with the locks of other inodes held.
    fn take_quota_file(file: &Inode<Self>) -> Result
    where
        Self: FileSystem;

    /// The file that was taken is a quota file now: says so to who looks at it, also after a crash.
    fn note_quota_file(file: &Inode<Self>) -> Result
    where
        Self: FileSystem;

    /// A file is no quota file any more, or has not become one after it was taken: it was not noted. If it has a
    /// name, it is given back to those who use it as a file.
    fn give_quota_file_back(file: &Inode<Self>, was_noted: bool) -> Result
    where
        Self: FileSystem;

    /// The project whose limits `statfs` is to show as the size of the file system below a directory.
    fn project_below(inode: &Inode<Self>) -> Option<u32>
    where
        Self: FileSystem;
}

/// What the quota code keeps of an inode. All zeros is an inode that is counted to nobody.
#[repr(C)]
pub(super) struct Counted {
    dquots: [*mut bindings::dquot; bindings::MAXQUOTAS as usize],
    reserved: bindings::qsize_t,
}

/// What the kernel calls for a super block of type `T`.
pub(super) struct Table<T: FileSystem>(PhantomData<T>);

impl<T: FileSystem> Table<T> {
    const OPERATIONS: bindings::dquot_operations = bindings::dquot_operations {
        write_dquot: Some(Self::write_dquot),
        acquire_dquot: Some(Self::acquire_dquot),
        release_dquot: Some(Self::release_dquot),
        mark_dirty: Some(Self::mark_dirty),
        write_info: Some(Self::write_info),
        get_reserved_space: Some(Self::reserved_space),
        get_projid: Some(Self::project),
        alloc_dquot: Some(bindings::rext4_shim_dquot_alloc),
        destroy_dquot: Some(bindings::rext4_shim_dquot_destroy),
        get_next_id: Some(Self::next_id),
        // SAFETY: all callbacks may be absent.
        ..unsafe { MaybeUninit::<bindings::dquot_operations>::zeroed().assume_init() }
    };

    /// The file that a kind of quota is kept in.
    ///
    /// # Safety
    ///
    /// `sb` is a filled super block of type `T`, and quotas of this kind are used during `'a`.
    unsafe fn file<'a>(sb: *mut bindings::super_block, kind: i32) -> Result<&'a Inode<T>> {
        // SAFETY: the caller's promise.
        let file = unsafe { bindings::rext4_shim_quota_file(sb, kind) };
        if file.is_null() {
            return Err(code::EIO);
        }
        // SAFETY: it stays there as long as quotas of this kind are used.
        Ok(unsafe { Inode::from_raw(file) })
    }

    /// # Safety
    ///
    /// `dquot` is one of a super block of type `T`, and in use during `'a`.
    unsafe fn file_of<'a>(dquot: *mut bindings::dquot) -> Result<&'a Inode<T>> {
        // SAFETY: the caller's promise; neither changes.
        unsafe { Self::file((*dquot).dq_sb, (*dquot).dq_id.type_ as i32) }
    }

    /// # Safety
    ///
    /// Called by the kernel alone, with what it passes to this callback.
    unsafe extern "C" fn write_dquot(dquot: *mut bindings::dquot) -> i32 {
        from_result(|| {
            // SAFETY: the kernel passes a dquot of ours that is in use.
            let file = unsafe { Self::file_of(dquot) }?;
            // SAFETY: as above. The task has a transaction then.
            let commit = || to_result(unsafe { bindings::rext4_shim_dquot_commit(dquot) });
            T::within_transaction(file, Change::Write, commit)?;
            Ok(0)
        })
    }

    /// # Safety
    ///
    /// Called by the kernel alone, with what it passes to this callback.
    unsafe extern "C" fn acquire_dquot(dquot: *mut bindings::dquot) -> i32 {
        from_result(|| {
            // SAFETY: the kernel passes a dquot of ours that is in use.
            let file = unsafe { Self::file_of(dquot) }?;
            // Who asks by `Q_XGETQUOTA` does not keep it from being frozen, as all others do.
            // SAFETY: as above; the super block is that of the dquot.
            if unsafe { bindings::rext4_shim_is_frozen((*dquot).dq_sb) } {
                return Err(code::EBUSY);
            }
            // SAFETY: as above. The task has a transaction then.
            let acquire = || to_result(unsafe { bindings::rext4_shim_dquot_acquire(dquot) });
            T::within_transaction(file, Change::Acquire, acquire)?;
            Ok(0)
        })
    }

    /// # Safety
    ///
    /// Called by the kernel alone, with what it passes to this callback.
    unsafe extern "C" fn release_dquot(dquot: *mut bindings::dquot) -> i32 {
        from_result(|| {
            // SAFETY: the kernel passes a dquot of ours.
            let sb = unsafe { (*dquot).dq_sb };
            // It is done by a worker of the kernel's, whom no freeze waits for, and who must not wait for its end:
            // others wait for him with the super block's lock (`Q_SYNC`), which ends it. So an entry that says
            // nothing stays in the file then, which does no harm.
            // SAFETY: the super block is valid.
            if !unsafe { bindings::rext4_shim_try_internal_write(sb) } {
                // SAFETY: the kernel passes a dquot that is to be released.
                unsafe { bindings::rext4_shim_dquot_forget(dquot) };
                return Ok(0);
            }
            let is_released = Cell::new(false);
            let release = || {
                is_released.set(true);
                // SAFETY: the kernel passes a dquot that is to be released.
                to_result(unsafe { bindings::rext4_shim_dquot_release(dquot) })
            };
            // SAFETY: as above.
            let file = unsafe { Self::file_of(dquot) };
            let result =
                file.and_then(|file| T::within_transaction(file, Change::Release, release));
            if !is_released.get() {
                // Else the kernel would try it again and again. It can't be written.
                let _ = release();
            }
            // SAFETY: it was started above.
            unsafe { bindings::rext4_shim_end_internal_write(sb) };
            result?;
            Ok(0)
        })
    }

    /// # Safety
    ///
    /// Called by the kernel alone, with what it passes to this callback.
    unsafe extern "C" fn mark_dirty(dquot: *mut bindings::dquot) -> i32 {
        // SAFETY: the kernel passes a dquot of ours that is in use.
        unsafe {
            bindings::rext4_shim_dquot_mark_dirty(dquot);
            Self::write_dquot(dquot)
        }
    }

    /// # Safety
    ///
    /// Called by the kernel alone, with what it passes to this callback.
    unsafe extern "C" fn write_info(sb: *mut bindings::super_block, kind: i32) -> i32 {
        from_result(|| {
            // SAFETY: the kernel passes a super block of ours, and a kind that is in use.
            let file = unsafe { Self::file(sb, kind) }?;
            // SAFETY: as above. The task has a transaction then.
            let commit = || to_result(unsafe { bindings::rext4_shim_dquot_commit_info(sb, kind) });
            T::within_transaction(file, Change::Info, commit)?;
            Ok(0)
        })
    }

    /// # Safety
    ///
    /// Called by the kernel alone, with what it passes to this callback.
    unsafe extern "C" fn next_id(sb: *mut bindings::super_block, id: *mut bindings::kqid) -> i32 {
        from_result(|| {
            // SAFETY: the kernel passes a super block of ours, and an ID.
            let file = unsafe { Self::file(sb, (*id).type_ as i32) };
            // Anybody may ask for a kind that is not in use.
            let file = file.map_err(|_| code::ESRCH)?;
            // SAFETY: as above.
            to_result(unsafe { bindings::rext4_shim_dquot_get_next_id(sb, id) })
                .map_err(|e| T::search_has_failed(file, e))?;
            Ok(0)
        })
    }

    /// # Safety
    ///
    /// Called by the kernel alone, with what it passes to this callback.
    unsafe extern "C" fn reserved_space(inode: *mut bindings::inode) -> *mut bindings::qsize_t {
        // SAFETY: the kernel passes an inode of ours, and has the lock that covers the number.
        unsafe { &raw mut (*Inode::<T>::from_raw(inode).counted()).reserved }
    }

    /// # Safety
    ///
    /// Called by the kernel alone, with what it passes to this callback.
    unsafe extern "C" fn project(
        inode: *mut bindings::inode,
        project: *mut bindings::kprojid_t,
    ) -> i32 {
        from_result(|| {
            // SAFETY: the kernel passes an inode of ours.
            let own = T::project_of(unsafe { Inode::from_raw(inode) });
            // It is counted to none then.
            let own = own.ok_or(crate::error::eopnotsupp())?;
            // SAFETY: the kernel passes a place for the number.
            unsafe { (*project).val = own };
            Ok(0)
        })
    }

    /// `get_dquots` of the `super_operations`.
    ///
    /// # Safety
    ///
    /// Called by the kernel alone, with what it passes to this callback.
    pub(super) unsafe extern "C" fn dquots(
        inode: *mut bindings::inode,
    ) -> *mut *mut bindings::dquot {
        // SAFETY: the kernel passes an inode of ours.
        unsafe { (&raw mut (*Inode::<T>::from_raw(inode).counted()).dquots).cast() }
    }

    /// `quota_read` of the `super_operations`.
    ///
    /// # Safety
    ///
    /// Called by the kernel alone, with what it passes to this callback.
    pub(super) unsafe extern "C" fn read(
        sb: *mut bindings::super_block,
        kind: i32,
        bytes: *mut ffi::c_char,
        len: usize,
        offset: bindings::loff_t,
    ) -> isize {
        from_result(|| {
            // SAFETY: the kernel passes a super block of ours, a kind that is in use, and `len` bytes to
            // fill.
            let (file, bytes) = unsafe {
                (
                    Self::file(sb, kind)?,
                    slice::from_raw_parts_mut(bytes.cast::<u8>(), len),
                )
            };
            // SAFETY: as above.
            let is_loaded = unsafe { bindings::rext4_shim_quota_kind_loaded(sb, kind) };
            let read = T::read_quota_file(file, is_loaded, offset as u64, bytes)?;
            isize::try_from(read).map_err(|_| code::EIO)
        })
    }

    /// `quota_write` of the `super_operations`.
    ///
    /// # Safety
    ///
    /// Called by the kernel alone, with what it passes to this callback.
    pub(super) unsafe extern "C" fn write(
        sb: *mut bindings::super_block,
        kind: i32,
        bytes: *const ffi::c_char,
        len: usize,
        offset: bindings::loff_t,
    ) -> isize {
        from_result(|| {
            // SAFETY: the kernel passes a super block of ours, a kind that is in use, and `len` bytes.
            let (file, bytes) = unsafe {
                (
                    Self::file(sb, kind)?,
                    slice::from_raw_parts(bytes.cast::<u8>(), len),
                )
            };
            T::write_quota_file(file, offset as u64, bytes)?;
            isize::try_from(len).map_err(|_| code::EIO)
        })
    }
}

/// All of these are called while the super block is mounted, remounted or shut down, with `s_umount` held
/// for writing.
impl<T: FileSystem> SuperBlock<T> {
    /// Counts by a kind from now on, in this file, and heeds `limits` if so asked.
    ///
    /// # Errors
    ///
    /// Damage in the file; `ESRCH` if the kernel does not have the format (`CONFIG_QFMT_V2`).
    pub fn load_quota(&self, kind: Kind, file: &Inode<T>, limits: bool) -> Result {
        // SAFETY: the inode is valid, and of this super block.
        to_result(unsafe { bindings::rext4_shim_quota_load(file.as_ptr(), kind.to_raw(), limits) })
    }

    /// Whether anything is counted, or would be if that was not [suspended](Self::suspend_quotas).
    pub fn has_quotas_loaded(&self) -> bool {
        // SAFETY: the super block is valid.
        unsafe { bindings::rext4_shim_quota_loaded(self.as_ptr()) }
    }

    /// The same for one kind.
    pub fn has_quota_loaded(&self, kind: Kind) -> bool {
        // SAFETY: the super block is valid.
        unsafe { bindings::rext4_shim_quota_kind_loaded(self.as_ptr(), kind.to_raw()) }
    }

    /// Whether that is suspended.
    pub fn has_quotas_suspended(&self) -> bool {
        // SAFETY: the super block is valid.
        unsafe { bindings::rext4_shim_quota_suspended(self.as_ptr()) }
    }

    /// Stops counting, as nothing will be changed: who counts what is forgotten.
    pub fn suspend_quotas(&self) -> Result {
        // SAFETY: the super block is valid.
        to_result(unsafe { bindings::rext4_shim_quota_suspend(self.as_ptr()) })
    }

    /// Goes on counting.
    pub fn resume_quotas(&self) -> Result {
        // SAFETY: the super block is valid.
        to_result(unsafe { bindings::rext4_shim_quota_resume(self.as_ptr()) })
    }

    /// Whether limits of a kind that is loaded are heeded.
    pub fn heeds_limits_of(&self, kind: Kind) -> bool {
        // SAFETY: the super block is valid.
        unsafe { bindings::rext4_shim_quota_kind_has_limits(self.as_ptr(), kind.to_raw()) }
    }

    /// Has limits of a kind heeded from now on, or not.
    ///
    /// # Errors
    ///
    /// `EINVAL` if nothing is counted by that kind, `EEXIST` if it is so already.
    pub fn heed_limits(&self, kind: Kind, heeded: bool) -> Result {
        // SAFETY: the super block is valid, and `s_umount` is held.
        to_result(unsafe { bindings::rext4_shim_quota_heed(self.as_ptr(), kind.to_raw(), heeded) })
    }

    /// Whether limits are heeded for anything.
    pub fn heeds_limits(&self) -> bool {
        // SAFETY: the super block is valid.
        unsafe { bindings::rext4_shim_quota_has_limits(self.as_ptr()) }
    }
}

impl<T: FileSystem> Inode<T> {
    /// Finds out to whom the inode is counted, before anything of it changes. Without a transaction, and
    /// without the locks below one.
    ///
    /// # Errors
    ///
    /// `ENOSPC` where an entry has to be made; damage, errors of the journal.
    pub fn initialize_quotas(&self) -> Result {
        // SAFETY: the inode is valid.
        to_result(unsafe { bindings::rext4_shim_quota_initialize(self.as_ptr()) })
    }

    /// Whether that was not done yet, though the inode is counted.
    pub fn needs_quotas(&self) -> bool {
        // SAFETY: the inode is valid.
        unsafe { bindings::rext4_shim_quota_initialize_needed(self.as_ptr()) }
    }

    /// Whether the inode is not counted: the quota files are not.
    pub fn is_exempt_from_quotas(&self) -> bool {
        // SAFETY: the inode is valid.
        unsafe { bindings::rext4_shim_quota_is_exempt(self.as_ptr()) }
    }

    /// Counts so many bytes as going to be used. Does not sleep.
    ///
    /// # Errors
    ///
    /// `EDQUOT`, and nothing is counted.
    pub fn reserve_space(&self, bytes: u64) -> Result {
        // SAFETY: the inode is valid.
        to_result(unsafe { bindings::rext4_shim_quota_reserve(self.as_ptr(), bytes) })
    }

    /// So many of them are not going to be used. Does not sleep.
    pub fn unreserve_space(&self, bytes: u64) {
        // SAFETY: the inode is valid.
        unsafe { bindings::rext4_shim_quota_unreserve(self.as_ptr(), bytes) };
    }

    /// So many of them are used, within the transaction that the task has. They become a part of the
    /// space that the inode uses.
    pub fn claim_space(&self, bytes: u64) {
        // SAFETY: the inode is valid.
        unsafe { bindings::rext4_shim_quota_claim(self.as_ptr(), bytes) };
    }

    /// Counts so many bytes as used, within the transaction that the task has, and adds them to the space that
    /// the inode uses; `always` whatever the limits are.
    ///
    /// # Errors
    ///
    /// `EDQUOT` alone, and nothing is counted. A quota file that can't be written is told of, and is no error
    /// here: what was counted in memory is right.
    pub fn charge_space(&self, bytes: u64, always: bool) -> Result {
        // SAFETY: the inode is valid.
        to_result(unsafe { bindings::rext4_shim_quota_charge(self.as_ptr(), bytes, always) })
    }

    /// So many bytes are not used any more: the reverse of [`Self::charge_space`].
    pub fn free_space(&self, bytes: u64) {
        // SAFETY: the inode is valid.
        unsafe { bindings::rext4_shim_quota_free(self.as_ptr(), bytes) };
    }

    /// Counts the inode itself, within the transaction that the task has.
    ///
    /// # Errors
    ///
    /// `EDQUOT` alone, and it is not counted.
    pub fn count_inode(&self) -> Result {
        // SAFETY: the inode is valid.
        to_result(unsafe { bindings::rext4_shim_quota_count_inode(self.as_ptr()) })
    }

    /// The reverse of [`Self::count_inode`].
    pub fn uncount_inode(&self) {
        // SAFETY: the inode is valid.
        unsafe { bindings::rext4_shim_quota_uncount_inode(self.as_ptr()) };
    }

    /// Sets the size in bytes of a quota file that is written to: its writer is alone with it, by the kernel's
    /// lock of that kind of quota (`dqio_sem`).
    pub fn set_quota_file_size(&self, bytes: i64) {
        // SAFETY: the inode is valid, and nobody else changes the size.
        unsafe { bindings::rext4_shim_i_size_write(self.as_ptr(), bytes) };
    }

    /// The inode is counted to nobody any more: nobody can reach it.
    ///
    /// # Safety
    ///
    /// Nobody else uses the inode, or will use it again.
    pub(super) unsafe fn drop_quotas(&self) {
        // SAFETY: the caller's promise.
        unsafe { bindings::rext4_shim_quota_drop(self.as_ptr()) };
    }
}

/// To whom an inode is to be counted from now on. Made without a transaction, carried out within one.
pub struct Transfer<'a, T: FileSystem> {
    inode: &'a Inode<T>,
    raw: bindings::rext4_transfer,
}

impl<'a, T: FileSystem> Transfer<'a, T> {
    /// To the owner and the group that `change` has.
    ///
    /// # Errors
    ///
    /// Those of [`Inode::initialize_quotas`].
    ///
    /// # Safety
    ///
    /// `idmap` and `change` are what the VFS has passed for this inode.
    pub(super) unsafe fn to_owner(
        inode: &'a Inode<T>,
        idmap: *mut bindings::mnt_idmap,
        change: *mut bindings::iattr,
    ) -> Result<Self> {
        let mut raw = bindings::rext4_transfer::default();
        // SAFETY: the inode is valid; the rest is the caller's promise.
        to_result(unsafe {
            bindings::rext4_shim_transfer_to_owner(&mut raw, idmap, inode.as_ptr(), change)
        })?;
        Ok(Self { inode, raw })
    }

    /// To a project.
    ///
    /// # Errors
    ///
    /// Those of [`Inode::initialize_quotas`].
    pub fn to_project(
        inode: &'a Inode<T>,
        _lock: &ExclusiveLock<'_, T>,
        project: u32,
    ) -> Result<Self> {
        let mut raw = bindings::rext4_transfer::default();
        // SAFETY: the inode is valid.
        to_result(unsafe {
            bindings::rext4_shim_transfer_to_project(&mut raw, inode.as_ptr(), project)
        })?;
        Ok(Self { inode, raw })
    }

    /// Carries it out, within the transaction that the task has.
    ///
    /// # Errors
    ///
    /// `EDQUOT` alone, and nothing has changed.
    pub fn carry_out(&mut self) -> Result {
        // SAFETY: the inode is valid, and so is what was prepared for it.
        to_result(unsafe {
            bindings::rext4_shim_transfer_carry_out(&mut self.raw, self.inode.as_ptr())
        })
    }
}

impl<T: FileSystem> Drop for Transfer<'_, T> {
    fn drop(&mut self) {
        // SAFETY: what is in there was prepared, or comes from having been carried out.
        unsafe { bindings::rext4_shim_transfer_end(&mut self.raw) };
    }
}

/// Has `statfs` of a directory tell what its project may still have. Not while the file system is frozen: to find it
/// out can mean to make an entry.
///
/// # Safety
///
/// `stat` was filled, for an inode of type `T`.
pub(super) unsafe fn limit_statfs<T: FileSystem>(inode: &Inode<T>, stat: *mut bindings::kstatfs) {
    if let Some(project) = T::project_below(inode) {
        let sb = inode.super_block().as_ptr();
        // SAFETY: the super block is valid.
        if !unsafe { bindings::rext4_shim_try_internal_write(sb) } {
            return;
        }
        // Where that is not known, as on a read-only mount, the file system is as large as it is.
        // SAFETY: the super block is valid; the rest is the caller's promise. The write was started above.
        unsafe {
            let _ = bindings::rext4_shim_quota_statfs(sb, project, stat);
            bindings::rext4_shim_end_internal_write(sb);
        }
    }
}

impl Counted {
    /// An inode that is counted to nobody.
    pub(super) fn none() -> Self {
        // SAFETY: pointers may be null, and numbers zero.
        unsafe { mem::zeroed() }
    }
}
