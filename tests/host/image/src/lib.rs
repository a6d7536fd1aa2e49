// SPDX-License-Identifier: GPL-2.0

//! Real file systems for tests: made by `mke2fs` when a test runs, and read through `rext4-disk`.
//!
//! [`Image`] makes them, with files of all kinds in them. [`Fs`] reads one, checking whatever it
//! meets, and [`check::everything`] reads all of one. What e2fsprogs says of the same image is
//! asked with [`Image::debugfs`] and [`tools`].

#![warn(missing_docs, unreachable_pub, rust_2018_idioms, clippy::all)]
#![forbid(unsafe_code)]

pub mod check;
mod fs;
mod make;
pub mod tools;

pub use fs::{DirectoryBlock, Fs};
pub use make::{Image, Recipe, RECIPES};
