// SPDX-License-Identifier: GPL-2.0

//! Inodes: their memory, their life, and what the VFS asks of them.
//!
//! C headers: `include/linux/fs.h`

use super::{
    address_space, change_attributes, create_callback,
    dentry::Dentry,
    file, fileattr, iomap, namespace,
    posix_acl::{AclKind, PosixAcl},
    quota::Counted,
    readdir,
    stat::{Attributes, Timestamp},
    super_block::{FileSystem, SuperBlock},
    writeback, xattr,
};
use crate::bindings;
use core::{
    marker::PhantomData,
    mem::{offset_of, ManuallyDrop, MaybeUninit},
    ptr::{self, NonNull},
    sync::atomic::{AtomicPtr, Ordering},
};
use kernel::{
    error::{code, from_result, to_result},
    ffi,
    prelude::*,
    sync::aref::{ARef, AlwaysRefCounted},
    types::{NotThreadSafe, Opaque},
};

/// What the VFS asks of inodes.
pub trait InodeOperations:
    Sized
    + Send
    + Sync
    + 'static
    + file::FileOperations
    + fileattr::FlagOperations
    + writeback::Writeback
    + readdir::ReadDir
    + namespace::NameSpace
{
    /// Finds `name` in a directory. The directory is locked, at least shared.
    fn lookup(dir: &Inode<Self>, name: &[u8]) -> Result<Option<ARef<Inode<Self>>>>
    where
        Self: FileSystem;

    /// The text of a symbolic link, without a terminator.
    fn read_link(inode: &Inode<Self>) -> Result<KVec<u8>>
    where
        Self: FileSystem;

    /// Sets the size of a regular file, in bytes.
    fn set_size(inode: &Inode<Self>, lock: &ExclusiveLock<'_, Self>, bytes: i64) -> Result<i64>
    where
        Self: FileSystem;

    /// Makes all changes of the inode durable.
    fn make_durable(inode: &Inode<Self>) -> Result
    where
        Self: FileSystem;

    /// What `statx` shows beyond the attributes that every inode has.
    fn attributes(inode: &Inode<Self>) -> Result<Attributes>
    where
        Self: FileSystem;

    /// A POSIX ACL of the inode, or `None`. Called without locks.
    fn get_acl(inode: &Inode<Self>, kind: AclKind) -> Result<Option<PosixAcl>>
    where
        Self: FileSystem;

    /// Sets a POSIX ACL of the inode, or removes it, and with it type and permission bits where
    /// `mode` says so: both or, with an error, nothing.
    fn set_acl(
        inode: &Inode<Self>,
        lock: &ExclusiveLock<'_, Self>,
        kind: AclKind,
        acl: Option<&PosixAcl>,
        mode: Option<u16>,
    ) -> Result
    where
        Self: FileSystem;
}

/// An inode: the kernel's `struct inode`, with a `T::Inode` beside it.
///
/// # Invariants
///
/// The C inode is the `inode` field of a [`Container`], whose `data` is initialised.
#[repr(transparent)]
pub struct Inode<T: FileSystem>(Opaque<bindings::inode>, PhantomData<T>);

// SAFETY: `struct inode` may be used from any thread; our part of it is `Send` and `Sync`.
unsafe impl<T: FileSystem> Send for Inode<T> {}
// SAFETY: see above.
unsafe impl<T: FileSystem> Sync for Inode<T> {}

// SAFETY: the VFS counts references; the inode lives while there is one.
unsafe impl<T: FileSystem> AlwaysRefCounted for Inode<T> {
    fn inc_ref(&self) {
        // SAFETY: the existence of a reference means that the count isn't zero.
        unsafe { bindings::ihold(self.as_ptr()) };
    }

    unsafe fn dec_ref(obj: NonNull<Self>) {
        // SAFETY: the caller gives up a reference.
        unsafe { bindings::iput(obj.as_ptr().cast()) };
    }
}

/// How an inode's memory is laid out.
#[repr(C)]
struct Container<T: FileSystem> {
    inode: Opaque<bindings::inode>,
    /// For [`super::shrinker`].
    entry: Opaque<bindings::list_head>,
    /// For [`super::quota`].
    counted: Opaque<Counted>,
    data: MaybeUninit<T::Inode>,
}

impl<T: FileSystem> Inode<T> {
    /// # Safety
    ///
    /// `ptr` is a valid inode of a super block of type `T` for all of `'a`.
    pub(super) unsafe fn from_raw<'a>(ptr: *mut bindings::inode) -> &'a Self {
        // SAFETY: the types are transparent over each other; the rest is the caller's promise.
        unsafe { &*ptr.cast() }
    }

    /// The C object.
    pub(crate) fn as_ptr(&self) -> *mut bindings::inode {
        self.0.get()
    }

    /// Its place in the list of a shrinker, which has the list's lock.
    pub(super) fn shrinker_entry(&self) -> *mut bindings::list_head {
        // SAFETY: by the type invariant we are in a container.
        unsafe { self.as_ptr().byte_add(offset_of!(Container<T>, entry)) }.cast()
    }

    /// What the quota code keeps of it.
    pub(super) fn counted(&self) -> *mut Counted {
        // SAFETY: by the type invariant we are in a container.
        unsafe { self.as_ptr().byte_add(offset_of!(Container<T>, counted)) }.cast()
    }

    /// The file system's part of the inode that has this place.
    ///
    /// # Safety
    ///
    /// The entry came from [`Self::shrinker_entry`], and the inode is valid for all of `'a`.
    pub(super) unsafe fn data_of_shrinker_entry<'a>(
        entry: *mut bindings::list_head,
    ) -> &'a T::Inode {
        // SAFETY: the caller's promise. The data is initialised, shared by everybody and never moved.
        unsafe {
            let memory = entry.byte_sub(offset_of!(Container<T>, entry));
            &*memory
                .byte_add(offset_of!(Container<T>, data))
                .cast::<T::Inode>()
        }
    }

    /// The file system's part of the inode.
    pub fn data(&self) -> &T::Inode {
        // SAFETY: by the type invariant we are in a container whose data is initialised. The data
        // is shared by everybody and never moved.
        unsafe {
            &*self
                .as_ptr()
                .byte_add(offset_of!(Container<T>, data))
                .cast::<T::Inode>()
        }
    }

    /// The super block that the inode belongs to.
    pub fn super_block(&self) -> &SuperBlock<T> {
        // SAFETY: an inode's super block outlives it, and is of the same type.
        unsafe { SuperBlock::from_raw((*self.as_ptr()).i_sb) }
    }

    /// The inode number.
    pub fn ino(&self) -> u32 {
        // SAFETY: the number never changes. Those of this type come from `SuperBlock::iget`.
        unsafe { (*self.as_ptr()).i_ino as u32 }
    }

    /// Type and permission bits.
    pub fn mode(&self) -> u16 {
        // SAFETY: a plain read, like everywhere in the VFS.
        unsafe { ptr::addr_of!((*self.as_ptr()).i_mode).read_volatile() }
    }

    /// Whether this is a regular file.
    pub fn is_regular(&self) -> bool {
        u32::from(self.mode()) & bindings::S_IFMT == bindings::S_IFREG
    }

    /// Whether somebody has it open for writing, or mapped.
    pub fn is_open_for_write(&self) -> bool {
        // SAFETY: the inode is valid.
        unsafe { bindings::rext4_shim_is_open_for_write(self.as_ptr()) }
    }

    /// Whether this is a directory.
    pub fn is_directory(&self) -> bool {
        u32::from(self.mode()) & bindings::S_IFMT == bindings::S_IFDIR
    }

    /// The size in bytes that readers see.
    pub fn size(&self) -> i64 {
        // SAFETY: the inode is valid.
        unsafe { bindings::rext4_shim_i_size_read(self.as_ptr()) }
    }

    /// Sets the size in bytes that readers see; the exclusive lock shows that nobody else does.
    pub fn set_size(&self, _lock: &ExclusiveLock<'_, T>, bytes: i64) {
        // SAFETY: the inode is valid and its lock is held.
        unsafe { bindings::rext4_shim_i_size_write(self.as_ptr(), bytes) };
    }

    /// Sets a larger size, to `bytes`, of a file into which was written from byte `from` on, past the
    /// page cache. What a mapping has left in cached blocks between the old end and there is cleared.
    pub fn grow(&self, lock: &ExclusiveLock<'_, T>, from: i64, bytes: i64) {
        let old = self.size();
        self.set_size(lock, bytes);
        // SAFETY: the inode is valid, its lock is held, and its size is not less than `from`.
        unsafe { bindings::pagecache_isize_extended(self.as_ptr(), old, from.min(bytes)) };
    }

    /// The number that tells this use of the inode's number from earlier ones.
    pub fn generation(&self) -> u32 {
        // SAFETY: the inode is valid.
        unsafe { ptr::addr_of!((*self.as_ptr()).i_generation).read_volatile() }
    }

    /// Sets the number that tells this use of the inode's number from earlier ones.
    pub fn set_generation(&self, _lock: &ExclusiveLock<'_, T>, generation: u32) {
        // SAFETY: the inode is valid and its lock is held; who reads it meanwhile sees either.
        unsafe { ptr::addr_of_mut!((*self.as_ptr()).i_generation).write_volatile(generation) };
    }

    /// Makes the VFS's flags that a file system's own stand for these: `S_SYNC`, `S_APPEND`,
    /// `S_IMMUTABLE`, `S_NOATIME`, `S_DIRSYNC`.
    pub fn set_vfs_flags(&self, _lock: &ExclusiveLock<'_, T>, flags: u32) {
        let all = bindings::S_SYNC
            | bindings::S_APPEND
            | bindings::S_IMMUTABLE
            | bindings::S_NOATIME
            | bindings::S_DIRSYNC;
        // SAFETY: the inode is valid and its lock is held.
        unsafe { bindings::inode_set_flags(self.as_ptr(), flags & all, all) };
    }

    /// Whether changes of this inode are to be durable when they return.
    pub fn is_sync(&self) -> bool {
        // SAFETY: the inode and its super block are valid.
        unsafe { bindings::rext4_shim_is_sync(self.as_ptr()) }
    }

    /// Sets the number of links; the caller orders changes, by the VFS's locks of directories.
    pub fn set_links(&self, links: u32) {
        // SAFETY: the inode is valid. The function keeps count of the inodes without links.
        unsafe { bindings::set_nlink(self.as_ptr(), links) };
    }

    /// Notes that the inode was changed: its time of change is now, its change counter goes up.
    pub fn note_change(&self) {
        // SAFETY: the inode is valid.
        unsafe { bindings::rext4_shim_inode_changed(self.as_ptr()) };
    }

    /// Notes that the inode's data was changed too.
    pub fn note_data_change(&self) {
        // SAFETY: the inode is valid.
        unsafe { bindings::rext4_shim_inode_touch(self.as_ptr()) };
        self.note_change();
    }

    /// Sets type and permission bits; the exclusive lock shows that nobody else does.
    pub fn set_mode(&self, _lock: &ExclusiveLock<'_, T>, mode: u16) {
        // SAFETY: the inode is valid and its lock is held; readers do without, as in the VFS.
        unsafe { ptr::addr_of_mut!((*self.as_ptr()).i_mode).write_volatile(mode) };
    }

    /// Whether changes of this directory are to be durable when they return.
    pub fn is_dirsync(&self) -> bool {
        // SAFETY: the inode and its super block are valid.
        unsafe { bindings::rext4_shim_is_dirsync(self.as_ptr()) }
    }

    /// Number of links.
    pub fn links(&self) -> u32 {
        // SAFETY: a plain read, like everywhere in the VFS.
        unsafe { (*self.as_ptr()).__bindgen_anon_1.i_nlink }
    }

    /// Space used, in units of 512 bytes.
    pub fn blocks(&self) -> u64 {
        // SAFETY: the inode is valid; reads race with changes as in the VFS's own stat.
        unsafe { ptr::addr_of!((*self.as_ptr()).i_blocks).read_volatile() }
    }

    /// Adds `bytes` to the space used.
    pub fn add_bytes(&self, bytes: u64) {
        // SAFETY: the inode is valid.
        unsafe { bindings::inode_add_bytes(self.as_ptr(), bytes as i64) };
    }

    /// Takes `bytes` from the space used, or what there is of it: on disk it may be wrong.
    pub fn sub_bytes(&self, bytes: u64) {
        // SAFETY: the inode is valid.
        unsafe { bindings::rext4_shim_inode_sub_bytes(self.as_ptr(), bytes) };
    }

    /// Owner and group, as numbers of the initial user name space.
    pub fn owner(&self) -> (u32, u32) {
        // SAFETY: the inode is valid.
        unsafe {
            (
                bindings::rext4_shim_i_uid_read(self.as_ptr()),
                bindings::rext4_shim_i_gid_read(self.as_ptr()),
            )
        }
    }

    /// Device number of a device node.
    pub fn device_number(&self) -> u32 {
        // SAFETY: set once, when the inode was filled.
        unsafe { (*self.as_ptr()).i_rdev }
    }

    /// Time of last access.
    pub fn atime(&self) -> Timestamp {
        // SAFETY: plain reads, like everywhere in the VFS.
        unsafe { Timestamp::new((*self.as_ptr()).i_atime_sec, (*self.as_ptr()).i_atime_nsec) }
    }

    /// Time of last change of the data.
    pub fn mtime(&self) -> Timestamp {
        // SAFETY: plain reads, like everywhere in the VFS.
        unsafe { Timestamp::new((*self.as_ptr()).i_mtime_sec, (*self.as_ptr()).i_mtime_nsec) }
    }

    /// Time of last change of the inode.
    pub fn ctime(&self) -> Timestamp {
        // SAFETY: plain reads, like everywhere in the VFS.
        unsafe {
            Timestamp::new(
                (*self.as_ptr()).i_ctime_sec,
                // The top bit is the VFS's own mark of a time that was asked for.
                (*self.as_ptr()).i_ctime_nsec & !bindings::REXT4_I_CTIME_QUERIED,
            )
        }
    }

    /// The change counter.
    pub fn version(&self) -> u64 {
        // SAFETY: the inode is valid.
        unsafe { bindings::rext4_shim_iversion_peek(self.as_ptr()) }
    }

    /// Whether a write has no privileges to take away (set-user-ID bits, capabilities).
    pub fn has_no_privileges(&self) -> bool {
        // SAFETY: a racy read of the flags, as the VFS does it.
        unsafe { (*self.as_ptr()).i_flags & bindings::REXT4_S_NOSEC != 0 }
    }

    /// Whether somebody swaps to the file.
    pub fn is_swap_file(&self) -> bool {
        // SAFETY: a racy read of the flags, as the VFS does it.
        unsafe { (*self.as_ptr()).i_flags & bindings::S_SWAPFILE != 0 }
    }

    /// Whether the file can be written to at its end only.
    pub fn is_append_only(&self) -> bool {
        // SAFETY: a racy read of the flags, as the VFS does it.
        unsafe { (*self.as_ptr()).i_flags & bindings::S_APPEND != 0 }
    }

    /// Whether the immutable flag is set.
    pub fn is_immutable(&self) -> bool {
        // SAFETY: a racy read of the flags, as the VFS does it.
        unsafe { (*self.as_ptr()).i_flags & bindings::S_IMMUTABLE != 0 }
    }

    /// Marks the inode as changed in memory: it will be written by `write_inode` later.
    pub fn mark_dirty(&self) {
        // SAFETY: the inode is valid.
        unsafe {
            bindings::__mark_inode_dirty(
                self.as_ptr(),
                bindings::inode_state_flags_enum_I_DIRTY_SYNC as i32,
            )
        };
    }

    /// Whether the inode was changed in memory, and [`FileSystem::write_inode`] is to be called for that.
    pub fn has_changed_metadata(&self) -> bool {
        // SAFETY: the inode is valid.
        unsafe { bindings::rext4_shim_has_changed_metadata(self.as_ptr()) }
    }

    /// Has [`FileSystem::write_inode`] called, without `wait`, if the inode was changed in memory, and waits for the call, also
    /// for one that others have begun. The caller sees to it that what was written gets to the device.
    pub fn sync_metadata(&self) -> Result {
        if !self.has_changed_metadata() {
            // The VFS would look for data to write, of all of the file, and wait for it.
            return Ok(());
        }
        // SAFETY: as above.
        kernel::error::to_result(unsafe { bindings::sync_inode_metadata(self.as_ptr(), 1) })
    }

    /// Waits until no direct I/O is outstanding.
    ///
    /// Nobody can start any while the lock is held exclusively, but readers that take no lock.
    pub fn wait_for_direct_io(&self, _lock: &ExclusiveLock<'_, T>) {
        // SAFETY: the inode is valid.
        unsafe { bindings::inode_dio_wait(self.as_ptr()) };
    }

    /// Whether direct I/O is outstanding. Since the lock is held, none begins but a read.
    pub fn has_direct_io(&self, _lock: &ExclusiveLock<'_, T>) -> bool {
        // SAFETY: the inode is valid.
        !unsafe { bindings::inode_dio_finished(self.as_ptr()) }
    }

    /// Whether the file may grow to a size: limits of the process and of the file system.
    pub fn check_new_size(&self, _lock: &ExclusiveLock<'_, T>, bytes: i64) -> Result {
        // SAFETY: the inode is valid and its lock is held.
        to_result(unsafe { bindings::inode_newsize_ok(self.as_ptr(), bytes) })
    }

    /// Takes the inode's lock exclusively; sleeps.
    pub fn lock(&self) -> ExclusiveLock<'_, T> {
        // SAFETY: the inode is valid.
        unsafe { bindings::down_write(&mut (*self.as_ptr()).i_rwsem) };
        ExclusiveLock(self, NotThreadSafe)
    }

    /// Takes the locks of two inodes that are no directories exclusively, in the order that the VFS
    /// has for that; sleeps.
    ///
    /// # Errors
    ///
    /// `EINVAL` if they are one.
    pub fn lock_two<'a>(one: &'a Self, other: &'a Self) -> Result<Two<ExclusiveLock<'a, T>>> {
        if ptr::eq(one, other) {
            return Err(code::EINVAL);
        }
        // SAFETY: the inodes are valid, and not the same.
        unsafe { bindings::lock_two_nondirectories(one.as_ptr(), other.as_ptr()) };
        // INVARIANT: both were locked just now.
        Ok((
            ExclusiveLock(one, NotThreadSafe),
            ExclusiveLock(other, NotThreadSafe),
        ))
    }

    /// Takes the inode's lock shared; sleeps.
    pub fn lock_shared(&self) -> SharedLock<'_, T> {
        // SAFETY: the inode is valid.
        unsafe { bindings::down_read(&mut (*self.as_ptr()).i_rwsem) };
        SharedLock(self, NotThreadSafe)
    }

    /// Takes the inode's lock exclusively if that is possible at once.
    pub fn try_lock(&self) -> Option<ExclusiveLock<'_, T>> {
        // SAFETY: the inode is valid.
        let taken = unsafe { bindings::down_write_trylock(&mut (*self.as_ptr()).i_rwsem) };
        (taken != 0).then(|| ExclusiveLock(self, NotThreadSafe))
    }

    /// Takes the inode's lock shared if that is possible at once.
    pub fn try_lock_shared(&self) -> Option<SharedLock<'_, T>> {
        // SAFETY: the inode is valid.
        let taken = unsafe { bindings::down_read_trylock(&mut (*self.as_ptr()).i_rwsem) };
        (taken != 0).then(|| SharedLock(self, NotThreadSafe))
    }

    /// Whether the inode is being filled.
    pub(super) fn is_new(&self) -> bool {
        // SAFETY: the inode is valid.
        unsafe { bindings::rext4_shim_inode_is_new(self.as_ptr()) }
    }
}

/// One of a kind for each of two inodes.
pub type Two<L> = (L, L);

/// The inode's lock (`i_rwsem`), held exclusively.
///
/// # Invariants
///
/// The lock is held for writing by this task.
#[must_use = "the lock is released when the guard is dropped"]
pub struct ExclusiveLock<'a, T: FileSystem>(pub(super) &'a Inode<T>, NotThreadSafe);

impl<'a, T: FileSystem> ExclusiveLock<'a, T> {
    /// The lock that the VFS has taken and will give back.
    ///
    /// # Safety
    ///
    /// `inode` is locked exclusively by this task for all of `'a`.
    pub(super) unsafe fn of_vfs(inode: &'a Inode<T>) -> ManuallyDrop<Self> {
        // INVARIANT: the caller's promise.
        ManuallyDrop::new(Self(inode, NotThreadSafe))
    }
}

impl<T: FileSystem> Drop for ExclusiveLock<'_, T> {
    fn drop(&mut self) {
        // SAFETY: by the type invariant the lock is held.
        unsafe { bindings::up_write(&mut (*self.0.as_ptr()).i_rwsem) };
    }
}

/// The inode's lock (`i_rwsem`), held shared.
///
/// # Invariants
///
/// The lock is held for reading by this task.
#[must_use = "the lock is released when the guard is dropped"]
pub struct SharedLock<'a, T: FileSystem>(&'a Inode<T>, NotThreadSafe);

impl<T: FileSystem> Drop for SharedLock<'_, T> {
    fn drop(&mut self) {
        // SAFETY: by the type invariant the lock is held.
        unsafe { bindings::up_read(&mut (*self.0.as_ptr()).i_rwsem) };
    }
}

/// The slab cache that inodes of type `T` come from.
pub(super) struct InodeCache<T: FileSystem>(PhantomData<T>);

/// The cache of the one registered file system type of this module.
static CACHE: AtomicPtr<bindings::kmem_cache> = AtomicPtr::new(ptr::null_mut());

impl<T: FileSystem> InodeCache<T> {
    /// Makes the cache. There is one file system type in a module.
    pub(super) fn new(name: &'static CStr) -> Result<Self> {
        // SAFETY: name and constructor are static; size and alignment are those of the container.
        let cache = unsafe {
            bindings::rext4_shim_inode_cache_create(
                name.as_char_ptr(),
                size_of::<Container<T>>() as u32,
                align_of::<Container<T>>() as u32,
                Some(Self::construct),
            )
        };
        if cache.is_null() {
            return Err(code::ENOMEM);
        }
        if CACHE
            .compare_exchange(ptr::null_mut(), cache, Ordering::AcqRel, Ordering::Relaxed)
            .is_err()
        {
            // SAFETY: the cache was just made, and nothing was allocated from it.
            unsafe { bindings::kmem_cache_destroy(cache) };
            return Err(code::EBUSY);
        }
        Ok(Self(PhantomData))
    }

    /// # Safety
    ///
    /// Called by the kernel alone, with what it passes to this callback.
    unsafe extern "C" fn construct(memory: *mut ffi::c_void) {
        // SAFETY: the slab allocator passes the memory of a container.
        unsafe {
            bindings::inode_init_once(Opaque::cast_into(ptr::addr_of!(
                (*memory.cast::<Container<T>>()).inode
            )))
        };
    }
}

impl<T: FileSystem> Drop for InodeCache<T> {
    fn drop(&mut self) {
        // Inodes are freed from RCU callbacks, which use the cache. No mount is left to make more.
        // SAFETY: no precondition.
        unsafe { bindings::rcu_barrier() };
        let cache = CACHE.swap(ptr::null_mut(), Ordering::AcqRel);
        // SAFETY: the cache is empty, and nobody uses it any more.
        unsafe { bindings::kmem_cache_destroy(cache) };
    }
}

/// # Safety
///
/// Called by the VFS with a super block of type `T`.
pub(super) unsafe extern "C" fn alloc_inode<T: FileSystem>(
    sb: *mut bindings::super_block,
) -> *mut bindings::inode {
    // SAFETY: the cache lives while the file system type is registered.
    let memory = unsafe { bindings::rext4_shim_alloc_inode(sb, CACHE.load(Ordering::Acquire)) }
        .cast::<Container<T>>();
    if memory.is_null() {
        return ptr::null_mut();
    }
    // SAFETY: the memory is a container, which does not move.
    unsafe {
        let entry = Opaque::cast_into(ptr::addr_of!((*memory).entry));
        (*entry).next = entry;
        (*entry).prev = entry;
        Opaque::cast_into(ptr::addr_of!((*memory).counted)).write(Counted::none());
    }
    // SAFETY: the memory is a container whose data is not initialised yet, and which does not move.
    // It lives until `free_inode`; this reference to it is not kept.
    let data: &'static mut MaybeUninit<T::Inode> =
        unsafe { &mut *ptr::addr_of_mut!((*memory).data).cast() };
    let ready = data.write_pin_init(T::new_inode_data());
    if ready.is_err() {
        // SAFETY: the memory was just allocated from this cache.
        unsafe { bindings::kmem_cache_free(CACHE.load(Ordering::Acquire), memory.cast()) };
        return ptr::null_mut();
    }
    // SAFETY: the memory is a valid container.
    Opaque::cast_into(unsafe { ptr::addr_of!((*memory).inode) })
}

/// # Safety
///
/// Called by the VFS, after a grace period, with an inode that came from [`alloc_inode`].
pub(super) unsafe extern "C" fn free_inode<T: FileSystem>(inode: *mut bindings::inode) {
    let memory = inode.cast::<Container<T>>();
    // SAFETY: nobody uses the inode any more; its data was initialised in `alloc_inode`.
    unsafe {
        bindings::rext4_shim_free_cached_link(inode);
        ptr::drop_in_place(ptr::addr_of_mut!((*memory).data).cast::<T::Inode>());
        bindings::kmem_cache_free(CACHE.load(Ordering::Acquire), memory.cast());
    }
}

/// The `inode_operations` of each kind of inode.
struct Tables<T: FileSystem>(PhantomData<T>);

/// Sets an inode's callbacks by the type in `mode`, and the number of the device that a node stands
/// for. Fails with `EINVAL` where there is no such type.
///
/// # Safety
///
/// `raw` is a valid inode of a super block of type `T`, which nobody else changes.
pub(super) unsafe fn set_callbacks<T: FileSystem>(
    raw: *mut bindings::inode,
    mode: u16,
    device: u32,
) -> Result {
    // SAFETY: the caller's promise, and the tables are static.
    unsafe {
        match u32::from(mode) & bindings::S_IFMT {
            bindings::S_IFREG => {
                (*raw).i_op = &Tables::<T>::REGULAR;
                (*raw).__bindgen_anon_3.i_fop = file::Table::<T>::regular();
                (*(*raw).i_mapping).a_ops = address_space::Table::<T>::table();
                bindings::rext4_shim_mapping_set_large_folios((*raw).i_mapping);
            }
            bindings::S_IFDIR => {
                (*raw).i_op = &Tables::<T>::DIRECTORY;
                (*raw).__bindgen_anon_3.i_fop = file::Table::<T>::directory();
            }
            bindings::S_IFLNK => {
                (*raw).i_op = &Tables::<T>::SYMLINK;
            }
            bindings::S_IFCHR | bindings::S_IFBLK | bindings::S_IFIFO | bindings::S_IFSOCK => {
                (*raw).i_op = &Tables::<T>::SPECIAL;
                bindings::init_special_inode(raw, mode, device);
            }
            _ => return Err(code::EINVAL),
        }
    }
    Ok(())
}

impl<T: FileSystem> Tables<T> {
    const EMPTY: bindings::inode_operations = {
        // SAFETY: all callbacks may be absent.
        unsafe { MaybeUninit::<bindings::inode_operations>::zeroed().assume_init() }
    };

    const SPECIAL: bindings::inode_operations = bindings::inode_operations {
        getattr: Some(Self::getattr),
        setattr: Some(change_attributes::setattr::<T>),
        listxattr: Some(xattr::listxattr::<T>),
        get_inode_acl: Some(change_attributes::get_inode_acl::<T>),
        set_acl: Some(change_attributes::set_acl::<T>),
        ..Self::EMPTY
    };

    const REGULAR: bindings::inode_operations = bindings::inode_operations {
        update_time: Some(Self::update_time),
        fiemap: Some(iomap::fiemap::<T>),
        fileattr_get: Some(fileattr::get::<T>),
        fileattr_set: Some(fileattr::set::<T>),
        ..Self::SPECIAL
    };

    const SYMLINK: bindings::inode_operations = bindings::inode_operations {
        get_link: Some(Self::get_link),
        get_inode_acl: None,
        set_acl: None,
        ..Self::SPECIAL
    };

    const DIRECTORY: bindings::inode_operations = bindings::inode_operations {
        lookup: Some(Self::lookup),
        create: Some(<_ as create_callback::CreateCallback<T>>::CALLBACK),
        link: Some(namespace::link::<T>),
        unlink: Some(namespace::unlink::<T>),
        symlink: Some(namespace::symlink::<T>),
        mkdir: Some(namespace::mkdir::<T>),
        rmdir: Some(namespace::rmdir::<T>),
        mknod: Some(namespace::mknod::<T>),
        rename: Some(namespace::rename::<T>),
        tmpfile: Some(namespace::tmpfile::<T>),
        fiemap: Some(iomap::fiemap::<T>),
        fileattr_get: Some(fileattr::get::<T>),
        fileattr_set: Some(fileattr::set::<T>),
        ..Self::SPECIAL
    };

    /// The kernel's own way, which would not do it for a request that must not wait: to count the change
    /// can take a transaction in other file systems. Here the inode only becomes dirty in memory.
    ///
    /// # Safety
    ///
    /// Called by the kernel alone, with what it passes to this callback.
    unsafe extern "C" fn update_time(
        inode: *mut bindings::inode,
        which: bindings::fs_update_time,
        _flags: u32,
    ) -> i32 {
        // SAFETY: the VFS passes a valid inode.
        unsafe { bindings::generic_update_time(inode, which, 0) }
    }

    /// # Safety
    ///
    /// Called by the kernel alone, with what it passes to this callback.
    unsafe extern "C" fn lookup(
        dir: *mut bindings::inode,
        dentry: *mut bindings::dentry,
        _flags: u32,
    ) -> *mut bindings::dentry {
        // SAFETY: the VFS passes a locked directory of ours and a fresh dentry.
        let (dir, name) = unsafe { (Inode::<T>::from_raw(dir), Dentry::from_raw(dentry).name()) };
        match T::lookup(dir, name) {
            Ok(found) => {
                let inode = found.map_or(ptr::null_mut(), |i| ARef::into_raw(i).as_ptr().cast());
                // SAFETY: takes over the reference to the inode, which may be null.
                unsafe { bindings::d_splice_alias(inode, dentry) }
            }
            Err(e) => e.to_ptr(),
        }
    }

    /// # Safety
    ///
    /// Called by the kernel alone, with what it passes to this callback.
    unsafe extern "C" fn get_link(
        dentry: *mut bindings::dentry,
        inode: *mut bindings::inode,
        done: *mut bindings::delayed_call,
    ) -> *const ffi::c_char {
        if dentry.is_null() {
            // An RCU walk must not sleep; the VFS asks again.
            return code::ECHILD.to_ptr::<ffi::c_char>();
        }
        let text = || -> Result<*mut ffi::c_char> {
            // SAFETY: the VFS passes an inode of ours.
            let mut text = T::read_link(unsafe { Inode::<T>::from_raw(inode) })?;
            text.push(0, GFP_KERNEL)?;
            let (text, _, _) = text.into_raw_parts();
            // SAFETY: the VFS passes a call to fill; `kfree_link` frees what a `KVec` allocated.
            unsafe { bindings::rext4_shim_set_kfree_link(done, text.cast()) };
            Ok(text.cast())
        };
        text().unwrap_or_else(|e| e.to_ptr())
    }

    /// # Safety
    ///
    /// Called by the kernel alone, with what it passes to this callback.
    unsafe extern "C" fn getattr(
        idmap: *mut bindings::mnt_idmap,
        path: *const bindings::path,
        stat: *mut bindings::kstat,
        mask: u32,
        _flags: u32,
    ) -> i32 {
        from_result(|| {
            // SAFETY: the VFS passes the path of an inode of ours, and a structure to fill.
            unsafe {
                let inode = (*(*path).dentry).d_inode;
                bindings::generic_fillattr(idmap, mask, inode, stat);
                T::attributes(Inode::<T>::from_raw(inode))?.fill(mask, &mut *stat);
            }
            Ok(0)
        })
    }
}
