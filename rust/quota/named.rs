// SPDX-License-Identifier: GPL-2.0

//! Quota files that have names, where there is no feature `quota`: `quotacheck` makes them, `quotaon` has them
//! used.
//!
//! As long as it is used such a file is immutable, and read and written as metadata. Before, what is cached of
//! it is written, and it gets holes where it has blocks that are not written yet, since metadata has none of
//! these. After, the journal is emptied, so that recovery does not write over what others have done with the
//! blocks since.

use crate::{
    dir,
    disk::{
        inode::InodeFlags,
        units::{InodeNumber, LogicalBlock},
    },
    error::{FsError, FsResult},
    inode::{
        self, flags,
        map::{self, Found},
        truncate, Alone,
    },
    vfs::{
        inode::{ExclusiveLock, Inode},
        jbd2::{Journal, Wipe},
        quota::Kind,
        super_block::SuperBlock,
    },
    Rext4,
};
use kernel::{error::code, prelude::*, sync::aref::ARef};

/// What a quota file has as long as it is used, for those who come by its name.
const KEPT: u32 = InodeFlags::IMMUTABLE | InodeFlags::NOATIME;

/// Keeps a file from others. From now on each handle has credits for what is counted.
///
/// # Errors
///
/// `EOPNOTSUPP` for a file without blocks; those of writing it.
pub(super) fn take(file: &Inode<Rext4>) -> FsResult {
    let sb = file.super_block();
    let journal = sb.data().writing(sb)?;
    expect_changes(journal)?;
    let lock = file.lock();
    let alone = Alone::new(file, &lock);
    let old = file.data().flags();
    flags::set_in_memory(file, &lock, old.with(KEPT));
    let prepared = prepare(file, &lock);
    drop(alone);
    if prepared.is_err() {
        flags::set_in_memory(file, &lock, old);
    } else {
        // The quota code writes to it with the locks of other inodes held.
        file.data().tree.set_inner(true);
    }
    prepared
}

/// Has all handles that are begun from now on have credits for what is counted, and waits for those before.
fn expect_changes(journal: &Journal) -> FsResult {
    journal.set_spare_credits(super::CREDITS);
    drop(journal.lock_updates()?);
    Ok(())
}

/// Makes all blocks of a file written ones. No direct I/O on it is outstanding, and nobody can write to it.
fn prepare(file: &Inode<Rext4>, lock: &ExclusiveLock<'_, Rext4>) -> FsResult {
    if !file.data().kind().has_blocks() {
        return Err(FsError::unsupported());
    }
    file.data().appends.wait(lock)?;
    let _page_cache = file.lock_page_cache();
    file.write_back(0, i64::MAX)?;
    // What was cached there is not to stay when blocks go.
    file.drop_page_cache(lock, 0, i64::MAX);
    truncate::beyond_end(file)?;
    let size = file.super_block().data().layout.block_size();
    let blocks = size.blocks_for(u64::try_from(file.size()).unwrap_or(0));
    let end = LogicalBlock(u32::try_from(blocks).unwrap_or(u32::MAX));
    let mut at = LogicalBlock(0);
    while at < end {
        let found = map::find(file, at)?;
        let (Found::Hole { len } | Found::Written { len, .. } | Found::Unwritten { len, .. }) =
            found;
        let next = LogicalBlock(at.0.saturating_add(len.max(1)));
        if matches!(found, Found::Unwritten { .. }) {
            truncate::remove(file, at..next.min(end), None)?;
        }
        at = next;
    }
    Ok(())
}

/// Says on disk that a file is a quota file.
pub(super) fn note(file: &Inode<Rext4>) -> FsResult {
    let lock = file.lock();
    // Somebody may have changed them until the quota code had it.
    flags::set_in_memory(file, &lock, file.data().flags().with(KEPT));
    flags::store_in_memory(file, &lock)
}

/// Gives a file back, if it has a name; with the flags that it had if it [was not noted](note).
///
/// # Errors
///
/// Those of the journal.
pub(super) fn give_back(file: &Inode<Rext4>, was_noted: bool) -> FsResult {
    let sb = file.super_block();
    if super::are_hidden(sb) {
        return Ok(());
    }
    file.data().tree.set_inner(false);
    // As with C ext4, it stays immutable if that can't be written.
    if sb.is_read_only() {
        return Ok(());
    }
    let fs = sb.data();
    empty_journal(fs.writing(sb)?)?;
    let lock = file.lock();
    if !was_noted {
        return flags::restore(file, &lock);
    }
    flags::set_in_memory(file, &lock, file.data().flags().without(KEPT));
    file.note_data_change();
    flags::store_in_memory(file, &lock)
}

/// Has recovery write nothing of what was changed so far.
fn empty_journal(journal: &Journal) -> FsResult {
    Ok(journal.lock_updates()?.flush(Wipe::Nothing)?)
}

/// Counts, in the files that mount options name (`usrjquota=`, `grpjquota=`), what `action` frees of orphans at
/// mount: `quotaon` comes after it. Before anybody can use the file system.
///
/// # Errors
///
/// Those of the journal. What can't be counted is not, with a message.
pub(crate) fn counting_orphans(sb: &SuperBlock<Rext4>, action: impl FnOnce()) -> FsResult {
    let fs = sb.data();
    let kinds = [Kind::User, Kind::Group];
    let names = [
        fs.named_quota_file(kinds[0])?,
        fs.named_quota_file(kinds[1])?,
    ];
    let mut files = [const { None }; 2];
    for ((kind, name), file) in kinds.into_iter().zip(names).zip(&mut files) {
        let Some((name, format)) = name else {
            continue;
        };
        match load(sb, kind, &name, format) {
            Ok(loaded) => *file = Some((kind, loaded)),
            Err(e) => pr_err!(
                "({}): error: can't count what is freed of orphans by {}: error {}; quotacheck counts anew\n",
                sb.id(),
                super::life::name(kind),
                fs.errno_at(sb, None, "load a quota file", e).to_errno()
            ),
        }
    }
    action();
    let mut was_any = false;
    for (kind, file) in files.iter().flatten() {
        // It is off, whatever it says.
        let _ = sb.disable_quota(*kind);
        file.data().tree.set_inner(false);
        was_any = true;
    }
    if let (true, Ok(journal)) = (was_any, fs.writing(sb)) {
        empty_journal(journal)?;
    }
    // What an orphan has stopped writes nothing any more, and can be mounted all the same.
    Ok(())
}

/// Begins to count in a file of this name in the root directory.
fn load(
    sb: &SuperBlock<Rext4>,
    kind: Kind,
    name: &[u8],
    format: i32,
) -> FsResult<ARef<Inode<Rext4>>> {
    let journal = sb.data().writing(sb)?;
    expect_changes(journal)?;
    let root = inode::get(sb, InodeNumber::ROOT)?;
    let file = dir::lookup(&root, name)?.ok_or(FsError::Kernel(code::ENOENT))?;
    if file.is_exempt_from_quotas() {
        // It is that of another kind.
        return Err(FsError::Kernel(code::EBUSY));
    }
    let lock = file.lock();
    prepare(&file, &lock)?;
    drop(lock);
    file.data().tree.set_inner(true);
    let loaded = sb.load_named_quota(kind, &file, format);
    if loaded.is_err() {
        file.data().tree.set_inner(false);
    }
    loaded?;
    Ok(file)
}
