// SPDX-License-Identifier: GPL-2.0

//! Changing the size of a file: truncation, both ways.
//!
//! The order matters for a crash in between. To shrink: first the size is smaller and the inode is on the list of
//! orphans, in one transaction; when that is committed the rest of the last block becomes zeros on disk, not before, since
//! after a crash the file would have its old size, and zeros in its midst; blocks are freed, in as many transactions as it
//! takes; then the inode is taken off the list. What a crash leaves undone of it is done by recovery. To grow: the rest
//! of the old last block is zeros in the page cache, and on disk if a mapping may have left something there;
//! then the size is larger. Before either, and before whatever else stores a larger size at once (`fallocate`, a direct write
//! past the end), data that stays and is behind the end on disk is written: the size that is stored covers it.

use super::{
    check_supported, delayed, has_direct_writes,
    map::{self, Found},
    orphan, store, truncate, Alone,
};
use crate::{
    disk::{extent::LOGICAL_END, features::Feature, units::LogicalBlock},
    error::{FsError, FsResult},
    file::max_bytes,
    journal::{credits, sync_point::Change},
    memory::insist,
    vfs::{
        inode::{ExclusiveLock, Inode},
        iomap,
        jbd2::Credits,
    },
    Rext4,
};
use kernel::{error::code, page::PAGE_SIZE};

/// What comes before a file gets longer, up to `end` bytes: what was to be cut off before goes, and the super
/// block says that there are files of 2 GiB and more, if this is going to be one.
pub(crate) fn before_growing(
    inode: &Inode<Rext4>,
    lock: &ExclusiveLock<'_, Rext4>,
    end: i64,
) -> FsResult {
    truncate::finish_cut(inode, lock)?;
    let sb = inode.super_block();
    let fs = sb.data();
    let feature = Feature::LARGE_FILE;
    if end <= i64::from(i32::MAX) || fs.features.has(feature) || fs.has_noted_feature(feature)? {
        return Ok(());
    }
    let handle = fs.writing(sb)?.start(Credits::new(credits::SUPER_BLOCK))?;
    fs.note_feature(&handle, feature)?;
    Ok(handle.stop()?)
}

/// Sets the size of a file, in bytes. Returns what it was before, when all writes had ended.
pub(crate) fn set_size(
    inode: &Inode<Rext4>,
    lock: &ExclusiveLock<'_, Rext4>,
    new: i64,
) -> FsResult<i64> {
    check_supported(inode)?;
    let sb = inode.super_block();
    sb.data().writing(sb)?;
    if !inode.data().kind().has_blocks() {
        return Err(FsError::unsupported());
    }
    if new > max_bytes(inode) {
        return Err(FsError::Kernel(code::EFBIG));
    }
    // Once the smaller size is stored, recovery has to know of it.
    let room = orphan::Room::new()?;
    let alone = Alone::new(inode, lock);
    let old = inode.size();
    write_new_data(inode, old.min(new));
    if new > old {
        before_growing(inode, lock, new)?;
    }
    let has_tail = new < old && has_tail(inode, new)?;
    if has_tail {
        // If the block can't be read the file stays as it was.
        inode.read_page(new)?;
    }
    // Keeps page faults from bringing pages back that are beyond the new end.
    let page_cache = inode.lock_page_cache();
    // A mapping may have stored something to a hole there before.
    let has_tail = has_tail || (new < old && self::has_tail(inode, new)?);
    if new > old {
        clear_behind_end(inode, lock, new)?;
        inode.truncate_page_cache(lock, new);
    } else {
        if has_tail {
            // As it is: what is dirty gets zeros behind the new end, and may be written back at any time.
            let _ = inode.write_back(new, new);
        }
        inode.truncate_page_cache(lock, new);
        let size = sb.data().layout.block_size();
        // Within the limit that was checked above.
        let first = u32::try_from(size.blocks_for(new as u64)).unwrap_or(u32::MAX);
        delayed::give_back(inode, LogicalBlock(first)..LOGICAL_END);
        if new == 0 && old > 0 {
            inode.data().flush_at_close();
        }
    }
    // What was cut off is not there any more.
    let stored = store_size(inode, new, (new < old).then_some(room));
    if new < old && stored.is_err() {
        truncate::note_uncut(inode);
    }
    stored?;
    // Who is killed does not get there. What is behind is freed all the same: nobody may ask for it again.
    let cleared = match has_tail {
        true => clear_cut_end(inode, lock),
        false => Ok(()),
    };
    if new <= old {
        // Blocks beyond the end that were preallocated go too, as with other file systems.
        truncate::cut(inode)?;
    }
    cleared.inspect_err(|_| truncate::note_uncut(inode))?;
    drop(page_cache);
    drop(alone);
    truncate::release_orphan(inode)?;
    Ok(old)
}

/// Stores a new size, and with `room` also that recovery has to cut the file there.
pub(crate) fn store_size(inode: &Inode<Rext4>, new: i64, room: Option<orphan::Room>) -> FsResult {
    let sb = inode.super_block();
    let journal = sb.data().writing(sb)?;
    let handle = insist(|| journal.start(Credits::new(credits::INODE + credits::ORPHAN)))?;
    let root = inode.data().tree.write();
    inode.data().set_disk_size(new);
    store::store(inode, &handle, &root)?;
    inode.data().sync_point.note(&handle, Change::Data);
    drop(root);
    if let Some(room) = room {
        orphan::add_within(inode, &handle, room)?;
    }
    Ok(handle.stop()?)
}

/// Whether the block that a file of `new` bytes ends in has something behind that which is not to come to light.
fn has_tail(inode: &Inode<Rext4>, new: i64) -> FsResult<bool> {
    let rest = rest_of_block(inode, new);
    if rest == 0 {
        return Ok(false);
    }
    let size = inode.super_block().data().layout.block_size();
    let block = size.logical_of_byte(new as u64);
    let block = block.ok_or(FsError::Kernel(code::EFBIG))?;
    let is_hole = matches!(map::find(inode, block)?, Found::Hole { .. });
    Ok(!is_hole || inode.is_cached(new, new + rest - 1))
}

/// Fills the last block of a file that was cut with zeros behind its end, on disk, when it is sure that recovery knows
/// of the end. The file is on the list of orphans.
pub(super) fn clear_cut_end(inode: &Inode<Rext4>, lock: &ExclusiveLock<'_, Rext4>) -> FsResult {
    let (end, rest) = (inode.size(), rest_of_block(inode, inode.size()));
    if rest == 0 {
        return Ok(());
    }
    let sb = inode.super_block();
    let journal = sb.data().writing(sb)?;
    inode.data().sync_point.wait(journal, sb.device(), true)?;
    iomap::zero_range(inode, lock, end, rest)?;
    // Writeback has zeros for what a mapping stores behind the end, too. The file has lost its end already, so an error is
    // for `fsync` to tell; it may be another page's.
    let _ = inode.write_back(end, end + rest - 1);
    Ok(())
}

/// Writes what is below byte `end` in the page cache alone, and behind the end on disk, before a size is stored that covers
/// it: a crash must not leave zeros in its place. An error is for `fsync` to tell.
pub(crate) fn write_new_data(inode: &Inode<Rext4>, end: i64) {
    let on_disk = inode.data().disk_size();
    if on_disk < end {
        let _ = inode.write_back(on_disk, end - 1);
    }
}

/// Fills the last block of a file behind its end with zeros before the file grows to `new` bytes: what a
/// mapping has left there must not come to light, nor may it after a crash.
///
/// Waits for direct writes: what is on its way to that block would be written over with what was there before.
pub(crate) fn clear_to_block_end(
    inode: &Inode<Rext4>,
    lock: &ExclusiveLock<'_, Rext4>,
    new: i64,
) -> FsResult {
    if rest_behind_end(inode, new) > 0 && has_direct_writes(inode, lock) {
        drop(Alone::new(inode, lock));
    }
    clear_behind_end(inode, lock, new)
}

/// The same for one who is [`Alone`], or is direct I/O himself and can't wait for that.
pub(crate) fn clear_behind_end(
    inode: &Inode<Rext4>,
    lock: &ExclusiveLock<'_, Rext4>,
    new: i64,
) -> FsResult {
    let (end, rest) = (inode.size(), rest_behind_end(inode, new));
    if rest > 0 {
        iomap::zero_range(inode, lock, end, rest)?;
    }
    if end % PAGE_SIZE as i64 != 0 && inode.data().has_stores() {
        // Writeback writes zeros behind the end, also in the page's other blocks, but what is stored while it does may get
        // there; and the larger size may be on disk before what is dirty. Once it is larger it makes no zeros any more.
        inode.write_back(end, end + rest.max(1) - 1)?;
    }
    Ok(())
}

/// Makes a file longer, to `end` bytes, into which was written from byte `from` on past the page cache.
///
/// A page that has blocks on both sides of the old end may have been stored to while that was under way. All of its
/// blocks are dirty then, and with the larger size those behind the old end would be written back over what was
/// written there. So it is written back once more with the old size, and dropped.
pub(crate) fn grow_written(
    inode: &Inode<Rext4>,
    lock: &ExclusiveLock<'_, Rext4>,
    from: i64,
    end: i64,
) {
    let old = inode.size();
    let next_block = old + rest_of_block(inode, old);
    let next_page = old | (PAGE_SIZE as i64 - 1);
    // The last block itself is written back in one piece anyway.
    let is_shared = from <= next_page && next_block <= next_page && end > next_block;
    // Keeps page faults away, which would make the page dirty, or bring one in.
    let page_cache = is_shared.then(|| inode.lock_page_cache());
    if is_shared && inode.is_cached(old, old) {
        // `fsync` tells errors of writeback.
        let _ = inode.write_back(old, old);
        if inode.release_page_cache(lock, old, old).is_err() {
            inode.note_lost_data();
        }
    }
    inode.grow(lock, from, end);
    drop(page_cache);
}

/// The number of bytes from the end of the file to the end of its block or, if that is nearer, to byte `new`.
fn rest_behind_end(inode: &Inode<Rext4>, new: i64) -> i64 {
    let end = inode.size();
    rest_of_block(inode, end).min(new - end)
}

/// The number of bytes from byte `at` to the end of its block; none if it is the start of one.
fn rest_of_block(inode: &Inode<Rext4>, at: i64) -> i64 {
    let size = inode.super_block().data().layout.block_size();
    let within = i64::from(size.within_block(u64::try_from(at).unwrap_or(0)));
    if within == 0 {
        0
    } else {
        i64::from(size.bytes()) - within
    }
}
