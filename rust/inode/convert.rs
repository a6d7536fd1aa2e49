// SPDX-License-Identifier: GPL-2.0

//! Making unwritten blocks written, and the size on disk that follows the data.

use super::{
    block_map,
    delayed::{self, Blocks},
    map::{self, Found},
    staged::{self, StagedRun},
    store,
    tree::{ReadTree, WriteTree},
    DataKind,
};
use crate::{
    dio::claim::Waiting,
    disk::{
        extent::State,
        units::{LogicalBlock, PhysicalBlock},
    },
    error::FsResult,
    extent::{self, credits::CONVERT_NEW_MAX, Progress},
    group::{ConversionReserve, Rights},
    journal::{credits, sync_point::Change},
    memory::insist,
    vfs::{
        inode::Inode,
        jbd2::{Credits, Handle},
    },
    Rext4,
};
use core::ops::Range;
use kernel::error::code;

/// How many nodes of its tree the conversion of one range of a file can need at most. What a block map needs
/// is set aside elsewhere.
pub(crate) fn new_nodes(inode: &Inode<Rext4>) -> u32 {
    match inode.data().kind() {
        DataKind::BlockMap => 0,
        _ => CONVERT_NEW_MAX,
    }
}

/// What is set aside for a conversion by who has folios locked, if anything has to be converted: who has what there would
/// be to wait for may fault one of them in. Without a reserve the conversion uses all that is not promised to others.
///
/// # Errors
///
/// Those of a file system that is not written to any more.
pub(crate) fn reserve_at_once(
    inode: &Inode<Rext4>,
    unwritten: bool,
) -> FsResult<ConversionReserve> {
    let sb = inode.super_block();
    let groups = sb.data().groups()?;
    let nodes = if unwritten { new_nodes(inode) } else { 0 };
    match groups.try_reserve_conversion(nodes) {
        Some(reserve) => Ok(reserve),
        None => groups.reserve_conversion(sb.data().writing(sb)?, 0),
    }
}

/// Extents converted in one transaction at most.
pub(crate) const STEP: u32 = 16;

/// Makes a range of unwritten blocks written, in as many transactions as it takes, and moves the size on
/// disk up to `end`, in bytes, if it is less. What new nodes of the tree need is taken from `reserve`.
pub(crate) fn convert(
    inode: &Inode<Rext4>,
    range: Range<LogicalBlock>,
    reserve: &mut ConversionReserve,
    end: i64,
) -> FsResult {
    let part = Part {
        range,
        end,
        staged: None,
        reserve,
        is_whole: false,
    };
    convert_all(inode, &mut [Some(part)])
}

/// Blocks that are to be made written.
pub(crate) struct Part<'a> {
    /// Which.
    pub(crate) range: Range<LogicalBlock>,
    /// Where what is written ends, in bytes: the size on disk comes after it.
    pub(crate) end: i64,
    /// The run that was [staged] for all of them, and may be in the tree by now.
    pub(crate) staged: Option<StagedRun>,
    /// For the new nodes of the tree that this takes.
    pub(crate) reserve: &'a mut ConversionReserve,
    /// Whether it has to become written as a whole: [`STEP`] blocks at most, which one transaction converts whatever lies
    /// beside them.
    pub(crate) is_whole: bool,
}

/// Up to `N` parts in the order of the file; neighbours become one.
pub(crate) struct Parts<'a, const N: usize> {
    list: [Option<Part<'a>>; N],
    count: usize,
}

impl<'a, const N: usize> Parts<'a, N> {
    /// None yet.
    pub(crate) const fn new() -> Self {
        Self {
            list: [const { None }; N],
            count: 0,
        }
    }

    /// Adds what comes after all that is there; there is room for `N`. With a neighbour it shares that
    /// one's reserve: a range has two ends, whoever wrote what is in it.
    pub(crate) fn add(&mut self, part: Part<'a>) {
        let last = self.count.checked_sub(1);
        match last.and_then(|last| self.list[last].as_mut()) {
            Some(last)
                if last.range.end >= part.range.start
                    && last.staged.is_none()
                    && part.staged.is_none()
                    && !last.is_whole
                    && !part.is_whole =>
            {
                last.range.end = last.range.end.max(part.range.end);
                last.end = last.end.max(part.end);
            }
            _ => {
                self.list[self.count] = Some(part);
                self.count += 1;
            }
        }
    }

    /// Those that are there.
    pub(crate) fn get_mut(&mut self) -> &mut [Option<Part<'a>>] {
        &mut self.list[..self.count]
    }
}

/// Makes ranges of blocks written, as many as fit in each transaction, and moves the size on disk
/// up to their ends, if it is less.
///
/// The size grows in the same transactions: after a crash no written block is beyond it, and no
/// unwritten block below it was acknowledged.
///
/// Before each step the handle has credits for all that one step can change. What the steps before
/// did not use is left for those after; what is missing is asked for, and if it is not to be had, the
/// rest is for another transaction. Revokes can't be counted that way, so they are asked for at once;
/// some hundreds take one block.
pub(crate) fn convert_all(inode: &Inode<Rext4>, parts: &mut [Option<Part<'_>>]) -> FsResult {
    let sb = inode.super_block();
    let size = sb.data().layout.block_size();
    let journal = sb.data().writing(sb)?;
    let mut at = 0;
    while at < parts.len() {
        let step = step_credits(inode)?;
        let mut steps = u32::try_from(parts.len() - at).unwrap_or(u32::MAX);
        let credits = step.credits;
        let credits = credits.with_revokes(credits.revokes.saturating_mul(steps));
        // The data is there already.
        let handle = insist(|| journal.start(credits))?;
        let mut root = inode.data().tree.write();
        // Before the size on disk can be seen to grow.
        inode.data().sync_point.note(&handle, Change::Data);
        let mut result = Ok(());
        while let (Some(part), true) = (parts.get_mut(at), steps > 0) {
            let Some(part) = part else {
                at += 1;
                continue;
            };
            let missing = credits.blocks.saturating_sub(handle.credits_left());
            let fits = || -> FsResult<bool> {
                // If the tree grew meanwhile, the credits may not do.
                Ok(still_fits(inode, &root, step)?
                    && (missing == 0 || handle.extend(Credits::new(missing))?))
            };
            match fits() {
                Ok(true) => steps -= 1,
                Ok(false) => break,
                Err(e) => {
                    result = Err(e);
                    break;
                }
            }
            let end = match write_part(inode, &handle, &mut root, part) {
                Ok(Progress::Done) => {
                    at += 1;
                    part.end
                }
                Ok(Progress::More(start)) => {
                    part.range.start = start;
                    part.end.min(size.byte_of_logical(start) as i64)
                }
                Err(e) => {
                    result = Err(e);
                    break;
                }
            };
            if end > inode.data().disk_size() {
                inode.data().set_disk_size(end);
            }
        }
        // What was converted before an error is converted on disk too.
        WriteTree::new(inode, &mut root, &handle, Rights::Root).store_inode()?;
        drop(root);
        handle.stop()?;
        result?;
    }
    Ok(())
}

/// What one step can change, at the depth that the tree has.
#[derive(Clone, Copy)]
pub(super) struct StepCredits {
    depth: u16,
    /// The credits for it.
    pub(super) credits: Credits,
}

/// What one step will need.
///
/// # Errors
///
/// Those of reading the tree.
pub(super) fn step_credits(inode: &Inode<Rext4>) -> FsResult<StepCredits> {
    if inode.data().kind() == DataKind::BlockMap {
        let credits = credits::settle_mapped();
        return Ok(StepCredits { depth: 0, credits });
    }
    let depth = extent::depth(&ReadTree::new(inode, &inode.data().tree.read()))?;
    // To put something into the tree takes less.
    let credits = credits::convert(depth, STEP);
    Ok(StepCredits { depth, credits })
}

/// Whether the tree is as deep as it was, or less.
fn still_fits(inode: &Inode<Rext4>, root: &Blocks, step: StepCredits) -> FsResult<bool> {
    let is_mapped = inode.data().kind() == DataKind::BlockMap;
    Ok(is_mapped || extent::depth(&ReadTree::new(inode, root))? <= step.depth)
}

/// Whether the blocks are where they were found. If the tree has changed it is looked up, so that who changes other parts of
/// the file does not keep the step from ever being done.
fn still_lie_there(inode: &Inode<Rext4>, root: &Blocks, step: &Step<'_>) -> FsResult<bool> {
    if inode.data().version() == step.version {
        return Ok(true);
    }
    let Range { start: first, end } = step.range;
    let found = map::find_behind(inode, &root.root, &root.pending, first, Waiting::Allowed)?;
    Ok(match found {
        Found::Hole { .. } => false,
        Found::Written { start, len } => {
            start == step.start && !step.is_new && first.0.saturating_add(len) >= end.0
        }
        Found::Unwritten { start, len } => {
            start == step.start && step.is_new && first.0.saturating_add(len) >= end.0
        }
    })
}

/// What [`within`] is to do.
pub(super) struct Step<'a> {
    /// What [`step_credits`] has said, which the handle has.
    pub(super) credits: StepCredits,
    /// What the tree's version was when the blocks were looked up.
    pub(super) version: u64,
    /// The blocks, which lie in a row.
    pub(super) range: Range<LogicalBlock>,
    /// Where the first of them was found.
    pub(super) start: PhysicalBlock,
    /// Whether they are not written yet.
    pub(super) is_new: bool,
    /// Where the data ends, in bytes: the size on disk is not less afterwards.
    pub(super) end: i64,
    /// For new nodes of the tree.
    pub(super) reserve: &'a mut ConversionReserve,
}

/// One step with a handle of the caller's: has `put` put data into its transaction, for so many blocks from the first of
/// the range on, makes these written and moves the size on disk. They are the file's meanwhile: who frees them comes
/// before or after this. Returns how many blocks they are; `None`, with nothing done, if they lie elsewhere than when they were
/// looked up, or the credits do not do any more.
///
/// If that fails no block is written that shows what it had before: unwritten ones keep the data that was put there, and
/// the journal forgets it with them. Those of a block map would be free without that, so they become the file's first.
pub(super) fn within(
    inode: &Inode<Rext4>,
    handle: &Handle<'_>,
    step: Step<'_>,
    put: impl Fn(u32) -> FsResult,
) -> FsResult<Option<u32>> {
    let size = inode.super_block().data().layout.block_size();
    let mut root = inode.data().tree.write();
    if !still_lie_there(inode, &root, &step)? || !still_fits(inode, &root, step.credits)? {
        return Ok(None);
    }
    let first = step.range.start.0;
    let mut count = step.range.end.0.saturating_sub(first);
    let is_mapped = inode.data().kind() == DataKind::BlockMap;
    if !is_mapped {
        put(count)?;
    }
    let mut result = Ok(());
    if step.is_new {
        let mut part = Part {
            range: step.range,
            end: step.end,
            staged: None,
            reserve: step.reserve,
            is_whole: false,
        };
        match write_part(inode, handle, &mut root, &mut part) {
            Ok(Progress::Done) => {}
            Ok(Progress::More(start)) => count = start.0.saturating_sub(first),
            Err(e) => result = Err(e),
        }
    }
    if is_mapped && result.is_ok() {
        put(count).inspect_err(|_| handle.journal().abort(code::EIO))?;
    }
    let behind = LogicalBlock(first.saturating_add(count));
    let end = step.end.min(size.byte_of_logical(behind) as i64);
    let grows = result.is_ok() && end > inode.data().disk_size();
    if grows {
        inode.data().set_disk_size(end);
    }
    if step.is_new || grows {
        // What was converted before an error is converted on disk too.
        WriteTree::new(inode, &mut root, handle, Rights::Root).store_inode()?;
    }
    result.map(|()| Some(count))
}

/// Makes written what can be in one step.
fn write_part(
    inode: &Inode<Rext4>,
    handle: &Handle<'_>,
    blocks: &mut Blocks,
    part: &mut Part<'_>,
) -> FsResult<Progress> {
    if inode.data().kind() == DataKind::BlockMap {
        let range = part.range.clone();
        return block_map::make_written(inode, handle, blocks, range, part.reserve);
    }
    let rights = Rights::Reserve(part.reserve);
    if let Some(own) = part.staged.take() {
        if let Some(run) = staged::left_of(inode, &own).and_then(|run| run.part(&part.range)) {
            staged::put(inode, handle, blocks, &run, State::Written, rights)
                // It is tried again when others were written that failed together with it.
                .inspect_err(|_| part.staged = Some(own))?;
            delayed::note_allocated(inode, blocks, run.blocks());
            return Ok(Progress::Done);
        }
        // Somebody wanted blocks there, and has put it into the tree.
    }
    let mut tree = WriteTree::new(inode, blocks, handle, rights);
    let range = part.range.clone();
    extent::convert(&mut tree, range, State::Written, STEP as usize)
}

/// Makes a range that lies in one written extent unwritten. What new nodes of the tree need is taken
/// from `reserve`, if there is one.
pub(crate) fn unwrite(
    inode: &Inode<Rext4>,
    mut range: Range<LogicalBlock>,
    mut reserve: Option<&mut ConversionReserve>,
) -> FsResult {
    let sb = inode.super_block();
    let journal = sb.data().writing(sb)?;
    loop {
        let depth = extent::depth(&ReadTree::new(inode, &inode.data().tree.read()))?;
        // One extent becomes two, and each of these three where the longest unwritten one is
        // shorter than the longest written one.
        let handle = journal.start(credits::convert(depth, STEP))?;
        let mut root = inode.data().tree.write();
        let rights = Rights::of(reserve.as_deref_mut());
        let mut tree = WriteTree::new(inode, &mut root, &handle, rights);
        if extent::depth(&tree)? > depth {
            continue;
        }
        let progress = extent::convert(&mut tree, range.clone(), State::Unwritten, STEP as usize);
        tree.store_inode()?;
        drop(root);
        handle.stop()?;
        match progress? {
            Progress::Done => return Ok(()),
            Progress::More(start) => range.start = start,
        }
    }
}

/// Moves the size on disk up to `end`, in bytes, if it is less. All data below is on disk and
/// converted.
pub(crate) fn grow_on_disk(inode: &Inode<Rext4>, end: i64) -> FsResult {
    grow_on_disk_to(inode, || end)
}

/// Moves the size on disk up to `end`, in bytes, if it is less and the file has not been cut below that meanwhile:
/// for who does not keep others from cutting it.
///
/// No page below is dirty. If the size on disk is less all the same, writing a page back has failed, which was said
/// then. Who has mended that with a direct write over written blocks has nothing to be converted.
pub(crate) fn catch_up_on_disk(inode: &Inode<Rext4>, end: i64) -> FsResult {
    grow_on_disk_to(inode, || end.min(inode.size()))
}

/// The same, to an end that is asked for again with the tree's lock held.
fn grow_on_disk_to(inode: &Inode<Rext4>, end: impl Fn() -> i64) -> FsResult {
    if end() <= inode.data().disk_size() {
        return Ok(());
    }
    let sb = inode.super_block();
    let journal = sb.data().writing(sb)?;
    let handle = insist(|| journal.start(Credits::new(credits::INODE)))?;
    let root = inode.data().tree.write();
    let (old, end) = (inode.data().disk_size(), end());
    // Before the size on disk can be seen to grow.
    inode.data().sync_point.note(&handle, Change::Data);
    if end > old {
        inode.data().set_disk_size(end);
    }
    store::store(inode, &handle, &root).inspect_err(|_| inode.data().set_disk_size(old))?;
    drop(root);
    Ok(handle.stop()?)
}
