// SPDX-License-Identifier: GPL-2.0

//! What goes on at the same time in rext4's direct I/O, tried in all interleavings.
//!
//! | module | what |
//! |---|---|
//! | [`claims`] | `rust/dio/claim.rs`, the code itself, over loom's locks |
//! | [`extent_cache`] | `rust/extent` and its cache, the code itself, with the locks around it |
//! | [`io_end`] | the life of an `IoEnd` from `get_block` to `end_io`, a model of `fs/direct-io.c` and of `rust/vfs/direct_io.rs` |
//! | [`page_cache`] | the end of a write with a claim beside who uses the page cache |
//! | [`staged`] | who gives blocks to a hole, and that it is done once |
//!
//! Each model can be run with a fault put into it; it has to find that.

#![warn(missing_docs, unreachable_pub, rust_2018_idioms, clippy::all)]

use std::sync::atomic::{AtomicU64, Ordering};

pub use rext4_disk::disk;

/// The model that a function of this name runs, without a fault or with one.
macro_rules! model {
    ($name:ident) => {
        Model {
            name: stringify!($name),
            fault: None,
            run: || $name(Fault::None),
        }
    };
    ($name:ident, $fault:ident) => {
        Model {
            name: stringify!($name),
            fault: Some(stringify!($fault)),
            run: || $name(Fault::$fault),
        }
    };
}

// What a model does not use is used by the module.
#[allow(dead_code)]
#[path = "../../../../rust/dio/claim.rs"]
mod claim;
pub mod claims;
pub mod extent_cache;
pub mod io_end;
pub mod page_cache;
pub mod staged;

/// A model, or a model with a fault in it.
#[derive(Clone, Copy)]
pub struct Model {
    /// What happens in it.
    pub name: &'static str,
    /// What is wrong in it, if anything: then it has to fail.
    pub fault: Option<&'static str>,
    /// Runs it through all its interleavings; panics if one goes wrong.
    pub run: fn(),
}

/// Interleavings that were tried in this process.
pub static TRIED: AtomicU64 = AtomicU64::new(0);

/// All models, those without faults first.
pub fn all() -> Vec<Model> {
    let mut all: Vec<Model> = [
        claims::MODELS,
        extent_cache::MODELS,
        io_end::MODELS,
        page_cache::MODELS,
        staged::MODELS,
    ]
    .concat();
    all.sort_by_key(|model| model.fault.is_some());
    all
}

/// Tries `model` in all interleavings in which no more than `preemptions` threads are interrupted
/// where they need not be; `None`: in all.
fn explore(preemptions: Option<usize>, model: impl Fn() + Send + Sync + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = preemptions;
    builder.max_branches = 100_000;
    builder.check(move || {
        TRIED.fetch_add(1, Ordering::Relaxed);
        model();
    });
}
