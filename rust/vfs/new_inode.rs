// SPDX-License-Identifier: GPL-2.0

//! Inodes that come to be: read from disk, or made by somebody who wants a new file.
//!
//! ```text
//!   SuperBlock::iget ──▶ Iget::New ────┐
//!                                      ├──▶ NewInode ──fill, unlock───▶ everybody's
//!   Creation::begin ──▶ Unnumbered ────┘        └──abandon──▶ evicted
//!                          (number it)
//! ```
//!
//! C headers: `include/linux/fs.h`

use super::{
    change_attributes,
    inode::{self, Inode},
    posix_acl::{AclKind, PosixAcl},
    stat::Timestamp,
    super_block::FileSystem,
};
use crate::bindings;
use core::{mem::ManuallyDrop, ptr};
use kernel::{error::to_result, prelude::*, sync::aref::ARef};

/// What [`iget`](super::super_block::SuperBlock::iget) found.
pub enum Iget<T: FileSystem> {
    /// The inode is in use already.
    Cached(ARef<Inode<T>>),
    /// The inode has to be read; until then everybody else waits for it.
    New(NewInode<T>),
}

/// What everybody knows of an inode, to be set while it is filled.
pub struct Common {
    /// Type and permission bits.
    pub mode: u16,
    /// Owner, as a number of the initial user name space.
    pub uid: u32,
    /// Group, likewise.
    pub gid: u32,
    /// Number of links.
    pub links: u32,
    /// Size in bytes.
    pub size: i64,
    /// Space used, in units of 512 bytes.
    pub blocks: u64,
    /// Time of last access.
    pub atime: Timestamp,
    /// Time of last change of the data.
    pub mtime: Timestamp,
    /// Time of last change of the inode.
    pub ctime: Timestamp,
    /// Generation, for NFS.
    pub generation: u32,
    /// The change counter.
    pub version: u64,
    /// The VFS's `S_` flags.
    pub flags: u32,
    /// Device number of a device node.
    pub device: u32,
}

/// An inode that is being filled.
///
/// Dropped without [`NewInode::unlock`] it becomes a bad inode for those who wait for it.
///
/// # Invariants
///
/// The inode is `I_NEW`, and only the owner of this value changes it.
pub struct NewInode<T: FileSystem>(ARef<Inode<T>>);

impl<T: FileSystem> NewInode<T> {
    pub(super) fn new(inode: ARef<Inode<T>>) -> Self {
        Self(inode)
    }

    /// The inode, for its number and the file system's own data.
    pub fn inode(&self) -> &Inode<T> {
        &self.0
    }

    /// Sets the common fields and, by the type in the mode, the callbacks.
    ///
    /// # Errors
    ///
    /// `EINVAL` where the mode has no known type.
    pub fn fill(&self, common: &Common) -> Result {
        let raw = self.inode().as_ptr();
        // SAFETY: by the type invariant nobody else changes the inode.
        unsafe {
            (*raw).i_mode = common.mode;
            bindings::rext4_shim_i_set_owner(raw, common.uid, common.gid);
            bindings::set_nlink(raw, common.links);
            bindings::rext4_shim_i_size_write(raw, common.size);
            (*raw).i_blocks = common.blocks;
            (*raw).i_atime_sec = common.atime.seconds;
            (*raw).i_atime_nsec = common.atime.nanoseconds;
            (*raw).i_mtime_sec = common.mtime.seconds;
            (*raw).i_mtime_nsec = common.mtime.nanoseconds;
            (*raw).i_ctime_sec = common.ctime.seconds;
            (*raw).i_ctime_nsec = common.ctime.nanoseconds;
            (*raw).i_generation = common.generation;
            (*raw).i_flags = common.flags;
            bindings::rext4_shim_iversion_set(raw, common.version);
        }
        // SAFETY: by the type invariant nobody else changes the inode.
        unsafe { inode::set_callbacks::<T>(raw, common.mode, common.device) }
    }

    /// Lets everybody use the inode.
    pub fn unlock(self) -> ARef<Inode<T>> {
        let inode = self.into_inode();
        // SAFETY: by the type invariant the inode is new, and this is the end of that.
        unsafe { bindings::unlock_new_inode(inode.as_ptr()) };
        inode
    }

    /// The reference to the inode, which is new still.
    pub(super) fn into_inode(self) -> ARef<Inode<T>> {
        let this = ManuallyDrop::new(self);
        // SAFETY: `this` is neither used nor dropped any more.
        unsafe { ptr::read(&this.0) }
    }

    /// Has the VFS know an ACL of the inode, or that it has none.
    pub fn cache_acl(&self, kind: AclKind, acl: Option<&PosixAcl>) {
        change_attributes::cache_acl(self.inode(), kind, acl);
    }

    /// Has the VFS know the text of a symbolic link, which then follows it without asking, and without a reference to
    /// the inode. Where there is no memory for that, it goes on asking.
    ///
    /// There is no zero byte in the text, and it is shorter than a page. The inode is filled, and has no such text yet.
    pub fn cache_link(&self, text: &[u8]) {
        // SAFETY: the text is valid for reading, and by the type invariant nobody else changes the inode, which gives
        // the copy back in `free_inode`.
        unsafe {
            bindings::rext4_shim_cache_link(
                self.inode().as_ptr(),
                text.as_ptr().cast(),
                text.len() as u32,
            )
        };
    }

    /// Sets the size in bytes, of an inode that has got data.
    pub fn set_size(&self, bytes: i64) {
        // SAFETY: by the type invariant nobody else changes the inode.
        unsafe { bindings::rext4_shim_i_size_write(self.inode().as_ptr(), bytes) };
    }

    /// Gives up an inode that was made on disk, where it has no name: it is to have no links, so
    /// that its end frees it there. Not to be called with a handle, as that starts one.
    pub fn abandon(self) {
        drop(self.unlock());
    }
}

impl<T: FileSystem> Drop for NewInode<T> {
    fn drop(&mut self) {
        // One reference is for `iget_failed`, the other is dropped with the field.
        let extra = ARef::into_raw(self.0.clone());
        // SAFETY: the inode is I_NEW; `iget_failed` takes over a reference.
        unsafe { bindings::iget_failed(extra.as_ptr().cast()) };
    }
}

/// An inode in memory that has an owner and a mode, but no number yet.
///
/// # Invariants
///
/// Nobody else knows the inode.
pub struct Unnumbered<T: FileSystem>(ARef<Inode<T>>);

impl<T: FileSystem> Unnumbered<T> {
    pub(super) fn new(inode: ARef<Inode<T>>) -> Self {
        Self(inode)
    }

    /// The inode, for the file system's own data, and for what it is to be counted to.
    pub fn inode(&self) -> &Inode<T> {
        &self.0
    }

    /// Type and permission bits.
    pub fn mode(&self) -> u16 {
        self.0.mode()
    }

    /// The fields that are known already; the others are zero, the links one.
    pub fn common(&self) -> Common {
        let (uid, gid) = self.0.owner();
        Common {
            mode: self.0.mode(),
            uid,
            gid,
            links: 1,
            size: 0,
            blocks: 0,
            atime: self.0.atime(),
            mtime: self.0.mtime(),
            ctime: self.0.ctime(),
            generation: 0,
            version: 1,
            flags: 0,
            device: 0,
        }
    }

    /// Gives it its number.
    ///
    /// # Errors
    ///
    /// `EBUSY` if there is an inode with this number, so that it is in use.
    pub fn number(self, ino: u32) -> Result<NewInode<T>> {
        // SAFETY: the inode is valid, and by the type invariant nobody else knows it.
        to_result(unsafe {
            (*self.0.as_ptr()).i_ino = u64::from(ino);
            bindings::insert_inode_locked(self.0.as_ptr())
        })?;
        // INVARIANT: the inode is I_NEW now, and only we fill it.
        Ok(NewInode::new(self.0))
    }
}
