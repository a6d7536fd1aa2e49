// SPDX-License-Identifier: GPL-2.0

//! Safe wrappers over the kernel's file system interfaces.
//!
//! A file system is a type that implements [`super_block::FileSystem`] and, beside it, a trait for
//! each table of callbacks it wants to serve: [`inode::InodeOperations`],
//! [`file::FileOperations`], [`iomap::IomapOperations`], [`direct_io::DirectIo`],
//! [`namespace::NameSpace`], [`export::Export`], [`writeback::Writeback`], [`xattr::XattrOperations`],
//! [`fileattr::FlagOperations`], [`ioctl::Administration`],
//! [`commit_work::CommitCallback`], [`background::BackgroundSteps`], [`shrinker::InodeMemory`],
//! [`sysfs::SysfsFiles`], [`quota::QuotaOperations`]. Nothing here knows
//! ext4: another file system could be written over it. All `unsafe` code of the crate is here and in [`crate::bindings`].

pub(crate) mod address_space;
pub(crate) mod background;
pub(crate) mod block_device;
pub(crate) mod buffer;
mod change_attributes;
pub(crate) mod checksum;
pub(crate) mod commit_work;
mod create_callback;
pub(crate) mod dentry;
pub(crate) mod device_block;
pub(crate) mod direct_io;
pub(crate) mod export;
pub(crate) mod file;
pub(crate) mod fileattr;
pub(crate) mod fs_context;
pub(crate) mod inode;
pub(crate) mod ioctl;
pub(crate) mod iomap;
pub(crate) mod jbd2;
pub(crate) mod journaled;
mod mmap;
pub(crate) mod namespace;
pub(crate) mod new_inode;
pub(crate) mod no_fs;
pub(crate) mod node;
pub(crate) mod page_cache;
pub(crate) mod posix_acl;
pub(crate) mod quota;
pub(crate) mod random;
pub(crate) mod readdir;
pub(crate) mod rw_semaphore;
pub(crate) mod shrinker;
pub(crate) mod stat;
pub(crate) mod super_block;
pub(crate) mod sysfs;
pub(crate) mod task;
pub(crate) mod transfer;
pub(crate) mod wait;
mod write_through;
pub(crate) mod writeback;
pub(crate) mod xattr;
