// SPDX-License-Identifier: GPL-2.0

//! What `/sys/fs/rext4/<device>/` shows: counters, what was written, and the errors that the super
//! block remembers. Files that C ext4 has too have the names and the form that they have there.

use super::counters::Count;
use crate::{
    disk::superblock::ErrorRecord,
    error::FsResult,
    vfs::{
        super_block::SuperBlock,
        sysfs::{File, Page, Slot, SysfsFiles},
    },
    Rext4,
};
use core::fmt::Write as _;
use kernel::{error::code, prelude::*};

const fn file(name: &'static CStr) -> File {
    File {
        name,
        write_only: false,
    }
}

/// What is shown beside the [counters](Count).
const OTHERS: [File; 24] = [
    file(c"delayed_blocks"),
    file(c"delayed_nodes"),
    file(c"extent_cache_bytes"),
    file(c"delayed_allocation_blocks"),
    file(c"session_write_kbytes"),
    file(c"lifetime_write_kbytes"),
    file(c"reserved_clusters"),
    file(c"promised_blocks"),
    file(c"staged_blocks"),
    file(c"freed_blocks_not_committed"),
    file(c"errors_count"),
    file(c"first_error_time"),
    file(c"first_error_errcode"),
    file(c"first_error_ino"),
    file(c"first_error_block"),
    file(c"first_error_line"),
    file(c"first_error_func"),
    file(c"last_error_time"),
    file(c"last_error_errcode"),
    file(c"last_error_ino"),
    file(c"last_error_block"),
    file(c"last_error_line"),
    file(c"last_error_func"),
    File {
        name: c"trigger_fs_error",
        write_only: true,
    },
];

const FILES: [File; Count::NAMES.len() + OTHERS.len()] = {
    let mut all = [file(c""); Count::NAMES.len() + OTHERS.len()];
    let mut at = 0;
    while at < all.len() {
        all[at] = if at < Count::NAMES.len() {
            file(Count::NAMES[at])
        } else {
            OTHERS[at - Count::NAMES.len()]
        };
        at += 1;
    }
    all
};

impl SysfsFiles for Rext4 {
    const FILES: &'static [File] = &FILES;

    // What programs ask for before they rely on it.
    const FEATURES: &'static [File] = &[
        file(c"batched_discard"),
        file(c"lazy_itable_init"),
        file(c"meta_bg_resize"),
        file(c"metadata_csum_seed"),
    ];

    fn sysfs(sb: &SuperBlock<Self>) -> &Slot {
        &sb.data().sysfs
    }

    fn show(sb: &SuperBlock<Self>, name: &CStr, page: &mut Page<'_>) -> core::fmt::Result {
        match show(sb, name, page) {
            Ok(result) => result,
            Err(_) => Err(core::fmt::Error),
        }
    }

    fn store(sb: &SuperBlock<Self>, name: &CStr, text: &[u8]) -> Result {
        if name.to_bytes() != b"trigger_fs_error" {
            return Err(code::EINVAL);
        }
        crate::vfs::ioctl::must_be_administrator()?;
        let text = text.trim_ascii_end();
        if !text.is_empty() {
            sb.data()
                .triggered(sb, core::str::from_utf8(text).unwrap_or("?"));
        }
        Ok(())
    }
}

fn show(sb: &SuperBlock<Rext4>, name: &CStr, page: &mut Page<'_>) -> FsResult<core::fmt::Result> {
    let fs = sb.data();
    if let Some((_, count)) = fs.counters.all().find(|(own, _)| *own == name) {
        return Ok(write!(page, "{count}"));
    }
    let name = name.to_bytes();
    if let Some(field) = name.strip_prefix(b"first_error_") {
        return fs
            .primary
            .with(|superblock| show_error(&superblock.first_error(), field, page));
    }
    if let Some(field) = name.strip_prefix(b"last_error_") {
        return fs
            .primary
            .with(|superblock| show_error(&superblock.last_error(), field, page));
    }
    let number = match name {
        b"errors_count" => u64::from(fs.primary.with(|superblock| superblock.error_count())?),
        b"session_write_kbytes" => fs.primary.kbytes_since_mount(),
        b"lifetime_write_kbytes" => fs.primary.kbytes_in_life(),
        b"reserved_clusters" => fs.groups()?.kept_for_conversions(),
        b"promised_blocks" => fs.groups()?.promised(),
        b"staged_blocks" => fs.groups()?.staged(),
        b"freed_blocks_not_committed" => fs.groups()?.pinned(),
        b"delayed_allocation_blocks" | b"delayed_blocks" => fs.groups()?.delayed_space().data,
        b"extent_cache_bytes" => fs.extent_cache.bytes(),
        b"delayed_nodes" => fs.groups()?.delayed_space().nodes,
        _ => return Ok(Err(core::fmt::Error)),
    };
    Ok(write!(page, "{number}"))
}

/// One field of an error that the super block remembers.
fn show_error(error: &ErrorRecord<'_>, field: &[u8], page: &mut Page<'_>) -> core::fmt::Result {
    match field {
        b"time" => write!(page, "{}", error.time),
        b"errcode" => write!(page, "{}", error.code),
        b"ino" => write!(page, "{}", error.inode.map_or(0, |inode| inode.0)),
        b"block" => write!(page, "{}", error.block.map_or(0, |block| block.0)),
        b"line" => write!(page, "{}", error.line),
        b"func" => {
            // It may be damaged.
            let mut letters = error.function.iter().take_while(|&&byte| byte != 0);
            letters.try_for_each(|&byte| {
                page.write_char(if byte.is_ascii_graphic() || byte == b' ' {
                    char::from(byte)
                } else {
                    '?'
                })
            })
        }
        _ => Err(core::fmt::Error),
    }
}
