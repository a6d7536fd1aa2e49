// SPDX-License-Identifier: GPL-2.0

//! A file system type and its mounted super blocks.
//!
//! C headers: `include/linux/fs.h`, `include/linux/fs/super_types.h`

use super::{
    background::{BackgroundSteps, Housekeeping, Presence},
    block_device::BlockDevice,
    fs_context::{self, MountOptions},
    inode::{self, Inode, InodeCache},
    ioctl::Shutdown,
    jbd2::JournalSlot,
    new_inode::{Iget, NewInode},
    quota, shrinker,
    stat::StatFs,
    sysfs,
};
use crate::bindings;
use core::{
    marker::PhantomData,
    ptr,
    sync::atomic::{AtomicBool, AtomicPtr, Ordering},
};
use kernel::{
    error::{code, from_result, to_result, Error},
    prelude::*,
    seq_file::SeqFile,
    sync::aref::ARef,
    types::{Opaque, ScopeGuard},
};

/// A file system on a block device.
///
/// Implemented by a type without values; the state of a mount is [`FileSystem::Super`].
pub trait FileSystem:
    inode::InodeOperations
    + super::xattr::XattrOperations
    + super::export::Export
    + quota::QuotaOperations
    + super::ioctl::Administration
    + super::ioctl::KnownExtents
    + super::commit_work::CommitCallback
    + BackgroundSteps<Housekeeping>
    + BackgroundSteps<Presence>
    + shrinker::InodeMemory
    + sysfs::SysfsFiles
{
    /// What `s_magic` and `statfs` show.
    const MAGIC: u32;

    /// The state of one mounted file system, `s_fs_info`.
    type Super: Send + Sync;

    /// The file system's own part of each inode.
    type Inode: Send + Sync;

    /// What `mount` was given.
    type Options: MountOptions<Self>;

    /// The file system's part of an inode that was just allocated and has no number yet.
    fn new_inode_data() -> impl PinInit<Self::Inode, Error>;

    /// Reads what is needed to know the file system on the device, and makes its state.
    ///
    /// Inodes can't be reached yet: that is for [`FileSystem::activate`].
    fn fill_super(
        sb: &NewSuperBlock<'_, Self>,
        options: &Self::Options,
    ) -> Result<Pin<KBox<Self::Super>>>;

    /// Makes the file system ready for use, and gives its root directory.
    ///
    /// After an error [`FileSystem::shut_down`] is called.
    fn activate(sb: &SuperBlock<Self>) -> Result<ARef<Inode<Self>>>;

    /// Where the journal is kept. It is destroyed when the super block is shut down.
    fn journal(sb: &SuperBlock<Self>) -> &JournalSlot;

    /// No inode is left but those that the journal has, which is closed after this.
    fn before_close(sb: &SuperBlock<Self>);

    /// Ends the file system's life, at unmount or after [`FileSystem::activate`] failed: its inodes
    /// are gone and its journal was destroyed, with this result if there was one.
    fn shut_down(sb: &SuperBlock<Self>, journal: Option<Result>);

    /// Whether nothing can be written any more because of damage, though the super block is not
    /// read-only.
    fn is_stopped(sb: &SuperBlock<Self>) -> bool;

    /// Whether nothing can be written any more because somebody wanted it so.
    fn is_down(sb: &SuperBlock<Self>) -> bool;

    /// Writes what is not on disk yet; with `wait` returns after it is there.
    fn sync(sb: &SuperBlock<Self>, wait: bool) -> Result;

    /// Makes what is on disk consistent by itself, and keeps it so until [`FileSystem::thaw`].
    /// Called with all writers kept out.
    fn freeze(sb: &SuperBlock<Self>) -> Result;

    /// Ends [`FileSystem::freeze`]. After an error it stays frozen.
    fn thaw(sb: &SuperBlock<Self>) -> Result;

    /// Sizes and free counts.
    fn statfs(sb: &SuperBlock<Self>) -> Result<StatFs>;

    /// Appends `,option` for each option to a line of `/proc/mounts`.
    fn show_options(sb: &SuperBlock<Self>, seq: &SeqFile);

    /// Appends counters to a line of `/proc/self/mountstats`.
    fn show_stats(sb: &SuperBlock<Self>, seq: &SeqFile);

    /// Applies changed options, and goes to read-only or back as `read_only` says. Called with
    /// the super block's `s_umount` held for writing.
    fn reconfigure(sb: &SuperBlock<Self>, options: &Self::Options, read_only: bool) -> Result;

    /// Writes the inode itself to where it is stored; with `wait` returns after it is on disk.
    fn write_inode(inode: &Inode<Self>, wait: bool) -> Result;

    /// Called when the last reference to an inode is gone, its page cache is empty and nothing
    /// reaches it any more. An inode without links is to be freed on disk.
    fn evict_inode(inode: &Inode<Self>);
}

/// A mounted super block: the kernel's `struct super_block`, whose state is a `T::Super`.
///
/// # Invariants
///
/// The super block belongs to file system type `T` and `s_fs_info` is a valid `T::Super`.
#[repr(transparent)]
pub struct SuperBlock<T: FileSystem>(Opaque<bindings::super_block>, PhantomData<T>);

// SAFETY: `struct super_block` may be used from any thread; its state is `Send` and `Sync`.
unsafe impl<T: FileSystem> Send for SuperBlock<T> {}
// SAFETY: see above.
unsafe impl<T: FileSystem> Sync for SuperBlock<T> {}

impl<T: FileSystem> SuperBlock<T> {
    /// # Safety
    ///
    /// `ptr` is a super block of type `T` with its `s_fs_info` set, for all of `'a`.
    pub(super) unsafe fn from_raw<'a>(ptr: *mut bindings::super_block) -> &'a Self {
        // SAFETY: the types are transparent over each other; the rest is the caller's promise.
        unsafe { &*ptr.cast() }
    }

    /// The bytes of a block.
    pub fn block_bytes(&self) -> u32 {
        // SAFETY: the super block is valid; the size does not change while it is mounted.
        unsafe { (*self.as_ptr()).s_blocksize as u32 }
    }

    /// The C object.
    pub(super) fn as_ptr(&self) -> *mut bindings::super_block {
        self.0.get()
    }

    /// The state of this mount.
    pub fn data(&self) -> &T::Super {
        // SAFETY: by the type invariant `s_fs_info` is a valid `T::Super`, shared by everybody.
        unsafe { &*(*self.as_ptr()).s_fs_info.cast::<T::Super>() }
    }

    /// The device the file system is on.
    pub fn device(&self) -> &BlockDevice {
        // SAFETY: a mounted super block of a file system that requires a device has one.
        unsafe { BlockDevice::from_raw((*self.as_ptr()).s_bdev) }
    }

    /// Whether the super block is read-only now.
    pub fn is_read_only(&self) -> bool {
        // SAFETY: reading the flags races at worst with a remount, like everywhere in the VFS.
        unsafe {
            ptr::addr_of!((*self.as_ptr()).s_flags).read_volatile()
                & bindings::REXT4_SB_RDONLY as usize
                != 0
        }
    }

    /// Does something while the file system is frozen: after everything was written, and with all
    /// who write kept out.
    ///
    /// # Errors
    ///
    /// Those of freezing; then nothing is done.
    pub fn while_frozen<R>(&self, action: impl FnOnce() -> R) -> Result<R> {
        let device = self.device().as_ptr();
        // SAFETY: a mounted super block's device is open.
        to_result(unsafe { bindings::bdev_freeze(device) })?;
        let result = action();
        // SAFETY: it was frozen above.
        to_result(unsafe { bindings::bdev_thaw(device) })?;
        Ok(result)
    }

    /// Does something that may write, and keeps the file system from being frozen meanwhile; waits for the end of a
    /// freeze. With nothing held but the freeze protection of writers, or with a handle.
    pub fn while_not_frozen<R>(&self, action: impl FnOnce() -> R) -> R {
        // SAFETY: the super block is valid.
        let started = unsafe { bindings::rext4_shim_start_internal_write(self.as_ptr()) };
        let result = action();
        if started {
            // SAFETY: it was started above.
            unsafe { bindings::rext4_shim_end_internal_write(self.as_ptr()) };
        }
        result
    }

    /// Does something that has to be written while a remount makes the super block writable, before
    /// the VFS lets others write; or while a read-only mount is made, before anybody can have it.
    pub fn while_writable<R>(&self, action: impl FnOnce() -> R) -> R {
        // SAFETY: the super block is valid. A mount or remount has it locked, and a remount sets the
        // flag for good when it succeeds; until then nobody else may write, as their mounts are
        // read-only.
        let flags = unsafe { ptr::addr_of_mut!((*self.as_ptr()).s_flags) };
        let read_only = bindings::REXT4_SB_RDONLY as usize;
        // SAFETY: see above.
        unsafe { flags.write_volatile(flags.read_volatile() & !read_only) };
        let result = action();
        // SAFETY: see above.
        unsafe { flags.write_volatile(flags.read_volatile() | read_only) };
        result
    }

    /// Writes out all dirty data and waits for it. Not to be called with a folio's lock, nor with
    /// anything that a completion of writeback waits for.
    ///
    /// Returns false, with nothing written, if the mount is being changed or ended.
    pub fn write_all_data(&self) -> bool {
        // SAFETY: the super block is valid.
        unsafe { bindings::rext4_shim_write_all_data(self.as_ptr()) }
    }

    /// The name of the device, for messages.
    pub fn id(&self) -> &CStr {
        // SAFETY: `s_id` is a terminated string that lives as long as the super block.
        unsafe { CStr::from_char_ptr(ptr::addr_of!((*self.as_ptr()).s_id).cast()) }
    }

    /// Looks an inode up in the inode cache, or makes a new one for the caller to fill.
    pub fn iget(&self, ino: u32) -> Result<Iget<T>> {
        // SAFETY: the super block is valid and its `alloc_inode` is ours.
        let raw = unsafe { bindings::iget_locked(self.as_ptr(), u64::from(ino)) };
        let inode = ptr::NonNull::new(raw).ok_or(code::ENOMEM)?;
        // SAFETY: `iget_locked` gave us a reference to an inode of this super block.
        let inode: ARef<Inode<T>> = unsafe { ARef::from_raw(inode.cast()) };
        if inode.is_new() {
            // INVARIANT: the inode is I_NEW and only we fill it.
            return Ok(Iget::New(NewInode::new(inode)));
        }
        // SAFETY: the inode is valid.
        if unsafe { bindings::is_bad_inode(inode.as_ptr()) } {
            return Err(code::EIO);
        }
        Ok(Iget::Cached(inode))
    }
}

/// Stops the machine because of damage in a file system, as its administrator asked for.
pub(crate) fn panic_after_error<T: FileSystem>(sb: &SuperBlock<T>) {
    // SAFETY: the name is a terminated string that lives as long as the super block.
    unsafe { bindings::rext4_shim_panic(sb.id().as_char_ptr().cast()) };
}

/// Tells those who watch the file system (`FAN_FS_ERROR`) of an error, of an inode if it is known which. Does not sleep.
pub(crate) fn report_error<T: FileSystem>(
    sb: &SuperBlock<T>,
    inode: Option<&Inode<T>>,
    error: Error,
) {
    let inode = inode.map_or(ptr::null_mut(), Inode::as_ptr);
    // SAFETY: the super block and its inode are valid, and errors are negative numbers.
    unsafe { bindings::rext4_shim_report_error(sb.as_ptr(), inode, error.to_errno()) };
}

/// A super block that is being filled: it has a device, but no state.
pub struct NewSuperBlock<'a, T: FileSystem> {
    sb: &'a Opaque<bindings::super_block>,
    silent: bool,
    _type: PhantomData<T>,
}

impl<T: FileSystem> NewSuperBlock<'_, T> {
    pub(super) fn as_ptr(&self) -> *mut bindings::super_block {
        self.sb.get()
    }

    /// The device the file system is on.
    pub fn device(&self) -> &BlockDevice {
        // SAFETY: `get_tree_bdev` has opened the device before it calls us.
        unsafe { BlockDevice::from_raw((*self.as_ptr()).s_bdev) }
    }

    /// The name of the device, for messages.
    pub fn id(&self) -> &CStr {
        // SAFETY: `s_id` is a terminated string that lives as long as the super block.
        unsafe { CStr::from_char_ptr(ptr::addr_of!((*self.as_ptr()).s_id).cast()) }
    }

    /// Whether the mount is to be read-only.
    pub fn is_read_only(&self) -> bool {
        // SAFETY: nobody else has the super block yet.
        unsafe { (*self.as_ptr()).s_flags & bindings::REXT4_SB_RDONLY as usize != 0 }
    }

    /// Whether the caller only tries whether this is our file system (`MS_SILENT`).
    pub fn is_silent(&self) -> bool {
        self.silent
    }

    /// Makes the mount read-only although it was asked for otherwise.
    pub fn set_read_only(&self) {
        // SAFETY: nobody else has the super block yet.
        unsafe { (*self.as_ptr()).s_flags |= bindings::REXT4_SB_RDONLY as usize };
    }

    /// Sets the block size of the file system and of its device's cache, in bytes.
    pub fn set_block_size(&self, bytes: u32) -> Result {
        // SAFETY: nobody else has the super block yet.
        if unsafe { bindings::sb_set_blocksize(self.as_ptr(), bytes as i32) } == 0 {
            return Err(code::EINVAL);
        }
        Ok(())
    }

    /// Sets the largest size of a file, in bytes.
    pub fn set_max_bytes(&self, bytes: i64) {
        // SAFETY: nobody else has the super block yet.
        unsafe { (*self.as_ptr()).s_maxbytes = bytes };
    }

    /// Sets the range and the step of time stamps: first and last second, nanoseconds.
    pub fn set_time_range(&self, first: i64, last: i64, step: u32) {
        // SAFETY: nobody else has the super block yet.
        unsafe {
            (*self.as_ptr()).s_time_min = first;
            (*self.as_ptr()).s_time_max = last;
            (*self.as_ptr()).s_time_gran = step;
        }
    }

    /// Sets the UUID that the VFS shows for the file system.
    pub fn set_uuid(&self, uuid: &[u8; 16]) {
        // SAFETY: nobody else has the super block yet.
        unsafe {
            (*self.as_ptr()).s_uuid.b = *uuid;
            (*self.as_ptr()).s_uuid_len = 16;
        }
    }

    /// Makes writeback count, and be limited, for the control group that wrote the data.
    ///
    /// For file systems whose journal waits for no data: the slowest group would hold up all others.
    pub fn enable_cgroup_writeback(&self) {
        // SAFETY: nobody else has the super block yet.
        unsafe { (*self.as_ptr()).s_iflags |= bindings::SB_I_CGROUPWB as usize };
    }

    /// Lets somebody fill a file with what is about to be read of it (`FAN_PRE_ACCESS`): reads, writes and faults
    /// are the VFS's and iomap's own, which ask.
    pub fn allow_filling_on_access(&self) {
        // SAFETY: nobody else has the super block yet.
        unsafe { (*self.as_ptr()).s_iflags |= bindings::SB_I_ALLOW_HSM as usize };
    }

    /// Makes permission checks use POSIX ACLs.
    pub fn enable_posix_acl(&self) {
        // SAFETY: nobody else has the super block yet.
        unsafe { (*self.as_ptr()).s_flags |= bindings::REXT4_SB_POSIXACL as usize };
    }
}

/// Where a `struct file_system_type` is while it is registered.
///
/// In static memory, since lockdep takes the keys in it for lock classes, which live for ever.
struct TypeSlot {
    taken: AtomicBool,
    fs: Opaque<bindings::file_system_type>,
    /// Its directory in sysfs, as long as it is registered.
    sysfs: AtomicPtr<bindings::kobject>,
}

// SAFETY: `fs` is only used by the owner of the slot, which is whoever set `taken`, and by the VFS.
unsafe impl Sync for TypeSlot {}

impl TypeSlot {
    const fn new() -> Self {
        Self {
            taken: AtomicBool::new(false),
            fs: Opaque::uninit(),
            sysfs: AtomicPtr::new(ptr::null_mut()),
        }
    }
}

/// As many names as one module can register.
static TYPES: [TypeSlot; 2] = [TypeSlot::new(), TypeSlot::new()];

/// A name under which a file system type is registered; dropping it ends that.
///
/// # Invariants
///
/// The slot is taken by this value, and what is in it is registered.
struct RegisteredName {
    slot: &'static TypeSlot,
    /// `/sys/fs/<name>`.
    sysfs: Option<sysfs::Root>,
}

impl Drop for RegisteredName {
    fn drop(&mut self) {
        // SAFETY: by the invariant the type is registered. The module is not unloaded while a mount
        // exists, so nobody uses it any more.
        unsafe { bindings::unregister_filesystem(self.slot.fs.get()) };
        self.slot.sysfs.store(ptr::null_mut(), Ordering::Release);
        drop(self.sysfs.take());
        self.slot.taken.store(false, Ordering::Release);
    }
}

/// A registered file system type; dropping it ends the registration. There is one in a module.
pub struct Registration<T: FileSystem> {
    // Dropped first: what is below must outlive all mounts.
    names: KVec<RegisteredName>,
    _cache: InodeCache<T>,
}

impl<T: FileSystem> Registration<T> {
    /// Registers the file system under `name`. It must be the only registration of `T`.
    pub fn new(name: &'static CStr, module: &'static ThisModule) -> Result<Self> {
        let mut registration = Self {
            names: KVec::new(),
            _cache: InodeCache::new(name)?,
        };
        registration.add_name(name, module)?;
        Ok(registration)
    }

    /// Registers it under one more name.
    ///
    /// # Errors
    ///
    /// `EBUSY` if the name is taken, or there are too many; those of making `/sys/fs/<name>`.
    pub fn add_name(&mut self, name: &'static CStr, module: &'static ThisModule) -> Result {
        self.names.reserve(1, GFP_KERNEL)?;
        let free = |slot: &&TypeSlot| !slot.taken.swap(true, Ordering::Acquire);
        let slot = TYPES.iter().find(free).ok_or(code::EBUSY)?;
        let free = ScopeGuard::new(|| slot.taken.store(false, Ordering::Release));
        // SAFETY: the slot is ours, and static.
        to_result(unsafe {
            slot.fs.get().write(bindings::file_system_type {
                name: name.as_char_ptr(),
                // Multigrain times: whoever has looked at a change time sees the next change in
                // it. They rest on `generic_fillattr`, `setattr_copy` and times from
                // `inode_set_ctime_current`.
                fs_flags: (bindings::FS_REQUIRES_DEV
                    | bindings::FS_ALLOW_IDMAP
                    | bindings::FS_MGTIME) as i32,
                init_fs_context: Some(fs_context::init_fs_context::<T>),
                kill_sb: Some(kill_sb::<T>),
                owner: module.as_ptr().cast(),
                ..Default::default()
            });
            bindings::register_filesystem(slot.fs.get())
        })?;
        free.dismiss();
        // INVARIANT: it was just registered.
        let mut registered = RegisteredName { slot, sysfs: None };
        // Who has the name has this directory, too, and the kernel prints a stack for one that is there already.
        let root = sysfs::Root::new::<T>(name)?;
        slot.sysfs.store(root.kobject(), Ordering::Release);
        registered.sysfs = Some(root);
        // There is room for it.
        let _ = self.names.push_within_capacity(registered);
        Ok(())
    }
}

/// `fill_super` of `get_tree_bdev`.
///
/// # Safety
///
/// Called by the VFS with a fresh super block and the context of `init_fs_context::<T>`.
pub(super) unsafe extern "C" fn fill_super<T: FileSystem>(
    sb: *mut bindings::super_block,
    fc: *mut bindings::fs_context,
) -> i32 {
    from_result(|| {
        // SAFETY: `init_fs_context::<T>` put the options there.
        let options = unsafe { &*(*fc).fs_private.cast::<T::Options>() };
        // SAFETY: the VFS gave us exclusive use of the super block.
        unsafe {
            (*sb).s_op = &SuperTable::<T>::TABLE;
            (*sb).s_export_op = super::export::Table::<T>::table();
            (*sb).s_xattr = super::xattr::Table::<T>::handlers();
            (*sb).s_magic = T::MAGIC as usize;
            bindings::rext4_shim_set_sysfs_name(sb);
        }
        let new = NewSuperBlock::<T> {
            // SAFETY: the super block is valid during this call.
            sb: unsafe { &*sb.cast() },
            // SAFETY: the context is valid during this call.
            silent: unsafe { (*fc).sb_flags } & bindings::REXT4_SB_SILENT != 0,
            _type: PhantomData,
        };
        let state = T::fill_super(&new, options)?;
        // SAFETY: nobody moves the state out; `kill_sb` takes it back as the pinned box it is.
        let state = KBox::into_raw(unsafe { Pin::into_inner_unchecked(state) });
        // SAFETY: exclusive use of the super block, as above.
        unsafe { (*sb).s_fs_info = state.cast() };
        // SAFETY: the state is in place now.
        let sb = unsafe { SuperBlock::<T>::from_raw(sb) };
        let root = T::activate(sb).and_then(|root| {
            T::shrinker(sb).start(sb)?;
            add_to_sysfs(sb)?;
            // SAFETY: `d_make_root` takes over the reference.
            let dentry = unsafe { bindings::d_make_root(ARef::into_raw(root).as_ptr().cast()) };
            if dentry.is_null() {
                Err(code::ENOMEM)
            } else {
                Ok(dentry)
            }
        });
        match root {
            Ok(root) => {
                // SAFETY: exclusive use of the super block, as above.
                unsafe { (*sb.as_ptr()).s_root = root };
                Ok(0)
            }
            Err(e) => {
                // SAFETY: nobody but us has the super block yet, and no inode of it is left: while
                // `SB_ACTIVE` is not set, the last `iput` evicts.
                unsafe { shut_down(sb) };
                Err(e)
            }
        }
    })
}

/// # Safety
///
/// Called by the VFS once, for a super block of this type.
unsafe extern "C" fn kill_sb<T: FileSystem>(sb: *mut bindings::super_block) {
    // SAFETY: the super block is valid. It has a device unless that could not be opened.
    let device = unsafe { (*sb).s_bdev };
    // SAFETY: the VFS gives the super block up.
    unsafe { bindings::generic_shutdown_super(sb) };
    // SAFETY: nothing uses the super block's state any more.
    let state = unsafe { core::mem::replace(&mut (*sb).s_fs_info, ptr::null_mut()) };
    if !state.is_null() {
        // SAFETY: the pointer comes from `KBox::into_raw` in `fill_super`.
        drop(unsafe { Pin::new_unchecked(KBox::from_raw(state.cast::<T::Super>())) });
    }
    // Not earlier: the state has buffers of the device. This is what `kill_block_super()` does.
    if !device.is_null() {
        // SAFETY: the device is open until the second call, which is the only one to close it.
        unsafe {
            bindings::sync_blockdev(device);
            bindings::bdev_fput((*sb).s_bdev_file);
        }
    }
}

/// Gives a super block its directory in sysfs, below that of its type.
fn add_to_sysfs<T: FileSystem>(sb: &SuperBlock<T>) -> Result {
    // SAFETY: the super block is valid, and has its type.
    let fs = unsafe { (*sb.as_ptr()).s_type };
    let slot = TYPES.iter().find(|slot| slot.fs.get() == fs);
    let root = slot.ok_or(code::EINVAL)?.sysfs.load(Ordering::Acquire);
    if root.is_null() {
        // While the name is being registered.
        return Err(code::EBUSY);
    }
    // SAFETY: the type is registered as long as a super block of it exists, and so is its
    // directory there.
    unsafe { T::sysfs(sb).add(root, sb) }
}

/// # Safety
///
/// Nobody else uses the super block.
unsafe fn shut_down<T: FileSystem>(sb: &SuperBlock<T>) {
    // Its last changes are written to the journal. Then its files are evicted.
    sb.end_quotas();
    // Nobody looks at its files any more.
    T::sysfs(sb).remove();
    // All inodes but those that the journal has are gone.
    T::shrinker(sb).stop();
    <T as BackgroundSteps<Housekeeping>>::background(sb).stop();
    T::commit_work(sb).stop();
    // What goes on has the journal for the last time.
    let presence = <T as BackgroundSteps<Presence>>::background(sb);
    T::before_close(sb);
    presence.stop();
    T::journal(sb).hide();
    presence.restart();
    // SAFETY: as the caller promises, nobody uses the journal. The work after commits does not any
    // more either, and what goes on finds none.
    let result = unsafe { T::journal(sb).close() };
    // The last commit may have queued it once more.
    T::commit_work(sb).stop();
    T::shut_down(sb, result);
    presence.stop();
}

/// The `super_operations`.
struct SuperTable<T: FileSystem>(PhantomData<T>);

impl<T: FileSystem> SuperTable<T> {
    const TABLE: bindings::super_operations = bindings::super_operations {
        alloc_inode: Some(inode::alloc_inode::<T>),
        free_inode: Some(inode::free_inode::<T>),
        write_inode: Some(Self::write_inode),
        evict_inode: Some(Self::evict_inode),
        put_super: Some(Self::put_super),
        sync_fs: Some(Self::sync_fs),
        freeze_fs: Some(Self::freeze_fs),
        unfreeze_fs: Some(Self::unfreeze_fs),
        statfs: Some(Self::statfs),
        show_options: Some(Self::show_options),
        show_stats: Some(Self::show_stats),
        shutdown: Some(Self::shutdown),
        #[cfg(CONFIG_QUOTA)]
        quota_read: Some(quota::Table::<T>::read),
        #[cfg(CONFIG_QUOTA)]
        quota_write: Some(quota::Table::<T>::write),
        #[cfg(CONFIG_QUOTA)]
        get_dquots: Some(quota::Table::<T>::dquots),
        // SAFETY: all callbacks may be absent.
        ..unsafe { core::mem::MaybeUninit::<bindings::super_operations>::zeroed().assume_init() }
    };

    /// # Safety
    ///
    /// Called by the kernel alone, with what it passes to this callback.
    unsafe extern "C" fn write_inode(
        inode: *mut bindings::inode,
        wbc: *mut bindings::writeback_control,
    ) -> i32 {
        from_result(|| {
            // Who syncs metadata alone, and none of the data, is `Inode::sync_metadata`.
            // SAFETY: the VFS passes a valid control block.
            let wait = unsafe {
                (*wbc).sync_mode == bindings::writeback_sync_modes_WB_SYNC_ALL
                    && !bindings::rext4_shim_wbc_for_sync(wbc)
                    && (*wbc).nr_to_write != 0
            };
            // SAFETY: the VFS passes an inode of this file system.
            T::write_inode(unsafe { Inode::from_raw(inode) }, wait)?;
            Ok(0)
        })
    }

    /// # Safety
    ///
    /// Called by the kernel alone, with what it passes to this callback.
    unsafe extern "C" fn evict_inode(inode: *mut bindings::inode) {
        // SAFETY: the VFS passes an inode of this file system that nobody else can reach; its
        // page cache has to be emptied before `clear_inode`, which has to come last.
        unsafe {
            bindings::truncate_inode_pages_final(&mut (*inode).i_data);
            if !bindings::is_bad_inode(inode) {
                let sb = (*inode).i_sb;
                // The last reference may be given up by somebody who keeps no freeze away.
                let started = (*inode).__bindgen_anon_1.i_nlink == 0
                    && bindings::rext4_shim_start_internal_write(sb);
                T::evict_inode(Inode::from_raw(inode));
                if started {
                    bindings::rext4_shim_end_internal_write(sb);
                }
            }
            shrinker::forget_inode(Inode::<T>::from_raw(inode));
            Inode::<T>::from_raw(inode).drop_quotas();
            bindings::clear_inode(inode);
        }
    }

    /// # Safety
    ///
    /// Called by the kernel alone, with what it passes to this callback.
    unsafe extern "C" fn put_super(sb: *mut bindings::super_block) {
        // SAFETY: the VFS passes a filled super block, whose inodes were all evicted; nobody else
        // can reach it any more.
        unsafe { shut_down(SuperBlock::<T>::from_raw(sb)) };
    }

    /// # Safety
    ///
    /// Called by the kernel alone, with what it passes to this callback.
    unsafe extern "C" fn sync_fs(sb: *mut bindings::super_block, wait: i32) -> i32 {
        from_result(|| {
            // SAFETY: the VFS passes a filled super block.
            T::sync(unsafe { SuperBlock::from_raw(sb) }, wait != 0)?;
            Ok(0)
        })
    }

    /// # Safety
    ///
    /// Called by the kernel alone, with what it passes to this callback.
    unsafe extern "C" fn freeze_fs(sb: *mut bindings::super_block) -> i32 {
        from_result(|| {
            // SAFETY: the VFS passes a filled super block.
            T::freeze(unsafe { SuperBlock::from_raw(sb) })?;
            Ok(0)
        })
    }

    /// # Safety
    ///
    /// Called by the kernel alone, with what it passes to this callback.
    unsafe extern "C" fn unfreeze_fs(sb: *mut bindings::super_block) -> i32 {
        from_result(|| {
            // SAFETY: the VFS passes a filled super block.
            T::thaw(unsafe { SuperBlock::from_raw(sb) })?;
            Ok(0)
        })
    }

    /// The device is gone.
    ///
    /// # Safety
    ///
    /// Called by the kernel alone, with what it passes to this callback.
    unsafe extern "C" fn shutdown(sb: *mut bindings::super_block) {
        // SAFETY: the VFS passes a filled super block. There is nobody to tell of an error.
        let _ = T::go_down(unsafe { SuperBlock::from_raw(sb) }, Shutdown::Now);
    }

    /// # Safety
    ///
    /// Called by the kernel alone, with what it passes to this callback.
    unsafe extern "C" fn statfs(dentry: *mut bindings::dentry, out: *mut bindings::kstatfs) -> i32 {
        from_result(|| {
            // SAFETY: the VFS passes a dentry of a filled super block.
            let stat = T::statfs(unsafe { SuperBlock::<T>::from_raw((*dentry).d_sb) })?;
            // SAFETY: the VFS passes a structure to fill, and a dentry with an inode.
            unsafe {
                stat.fill(T::MAGIC, &mut *out);
                quota::limit_statfs(Inode::<T>::from_raw((*dentry).d_inode), out);
            }
            Ok(0)
        })
    }

    /// # Safety
    ///
    /// Called by the kernel alone, with what it passes to this callback.
    unsafe extern "C" fn show_options(
        seq: *mut bindings::seq_file,
        root: *mut bindings::dentry,
    ) -> i32 {
        // SAFETY: the VFS passes a valid seq file and a dentry of a filled super block.
        unsafe {
            T::show_options(
                SuperBlock::from_raw((*root).d_sb),
                SeqFile::from_raw(seq.cast()),
            );
        }
        0
    }

    /// # Safety
    ///
    /// Called by the kernel alone, with what it passes to this callback.
    unsafe extern "C" fn show_stats(
        seq: *mut bindings::seq_file,
        root: *mut bindings::dentry,
    ) -> i32 {
        // SAFETY: the VFS passes a valid seq file and a dentry of a filled super block.
        unsafe {
            T::show_stats(
                SuperBlock::from_raw((*root).d_sb),
                SeqFile::from_raw(seq.cast()),
            );
        }
        0
    }
}
