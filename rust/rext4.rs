// SPDX-License-Identifier: GPL-2.0

//! rext4: the ext4 file system in Rust, built around its direct I/O.
//!
//! | module | what |
//! |---|---|
//! | [`dio`] | direct reads and writes: the heart |
//! | [`file`] | what an open file does |
//! | [`dir`] | directories |
//! | [`xattr`] | extended attributes and ACLs |
//! | [`inode`] | inodes in memory and in the inode table |
//! | [`extent`] | extent trees |
//! | [`group`] | free blocks and inodes |
//! | [`journal`] | how transactions are used |
//! | [`mount`] | the life of a mounted file system |
//! | [`disk`] | the on-disk format, free of the kernel |
//! | [`vfs`] | safe wrappers over the kernel's C interfaces |
//! | [`bindings`] | those interfaces, as bindgen sees them |
//!
//! `unsafe` code is in [`vfs`] and [`bindings`] alone.

#![deny(unsafe_code)]

use kernel::prelude::*;

#[allow(unsafe_code)]
mod bindings;
mod dio;
mod dir;
mod disk;
mod error;
mod extent;
mod file;
mod group;
mod inode;
mod journal;
mod mount;
#[allow(unsafe_code)]
mod vfs;
mod xattr;

use vfs::super_block::Registration;

module! {
    type: Module,
    name: "rext4",
    authors: ["The rext4 developers"],
    description: "The ext4 file system in Rust",
    license: "GPL",
    alias: ["fs-rext4"],
}

/// The file system type.
pub(crate) struct Rext4;

/// The loaded module.
struct Module {
    _registration: Pin<KBox<Registration<Rext4>>>,
}

impl kernel::Module for Module {
    fn init(module: &'static ThisModule) -> Result<Self> {
        Ok(Self {
            _registration: KBox::pin_init(Registration::new(c"rext4", module), GFP_KERNEL)?,
        })
    }
}
