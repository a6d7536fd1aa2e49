// SPDX-License-Identifier: GPL-2.0

//! rext4: the ext4 file system in Rust, built around its direct I/O.
//!
//! | module | what |
//! |---|---|
//! | [`dio`] | direct reads and writes: the heart |
//! | [`mod@file`] | what an open file does |
//! | [`dir`] | directories: what is in them |
//! | [`namespace`] | names: making, linking, removing, moving |
//! | [`xattr`] | extended attributes and ACLs |
//! | [`inode`] | inodes in memory and in the inode table |
//! | [`extent`] | extent trees |
//! | [`block_map`] | block maps, which files of ext2 and ext3 have in their place |
//! | [`group`] | free blocks and inodes |
//! | [`quota`] | what belongs to users, groups and projects |
//! | [`journal`] | how transactions are used |
//! | [`mount`] | the life of a mounted file system |
//! | [`disk`] | the on-disk format, free of the kernel |
//! | [`vfs`] | safe wrappers over the kernel's C interfaces |
//! | [`bindings`] | those interfaces, as bindgen sees them |
//!
//! `unsafe` code is in [`vfs`] and [`bindings`] alone.

#![deny(unsafe_code)]
// The page is for those who read the code: nothing of a module is public.
#![allow(rustdoc::private_intra_doc_links)]

use kernel::prelude::*;

#[allow(unsafe_code)]
mod bindings;
// As `disk`.
#[allow(dead_code, unreachable_pub, unused_imports)]
mod block_map;
mod dio;
mod dir;
// A library in itself, which the host's tests build too: not all of it is used in the kernel.
#[allow(dead_code, unreachable_pub, unused_imports)]
mod disk;
mod error;
// Likewise.
#[allow(dead_code, unreachable_pub, unused_imports)]
mod extent;
mod file;
mod group;
mod inode;
mod journal;
mod memory;
mod mount;
mod namespace;
mod quota;
// What is `pub` in it is for any file system, so not all of it is used by this one.
#[allow(unsafe_code, dead_code, unreachable_pub)]
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
    params: {
        as_ext4: u8 {
            default: 0,
            description: "1: register as ext4 too, which needs C ext4 not to be loaded",
        },
    },
}

/// The file system type.
pub(crate) struct Rext4;

/// The loaded module.
struct Module {
    _registration: Registration<Rext4>,
}

impl kernel::Module for Module {
    fn init(module: &'static ThisModule) -> Result<Self> {
        let mut registration = Registration::new(c"rext4", module)?;
        if module_parameters::as_ext4.value().ne(&0) {
            registration.add_name(c"ext4", module).inspect_err(|_| {
                pr_err!(
                    "error: as_ext4: the name ext4 is taken; unload C ext4 first (rmmod ext4)\n"
                )
            })?;
        }
        Ok(Self {
            _registration: registration,
        })
    }
}
