// SPDX-License-Identifier: GPL-2.0

//! What happens when something on disk is wrong: it is reported with its place, recorded in the
//! super block, and the `errors=` policy is applied.

use super::{options::OnDamage, Filesystem};
use crate::{
    disk::{
        superblock::{ErrorRecord, Superblock},
        units::InodeNumber,
    },
    error::{euclean, FsError, FsResult},
    journal::credits,
    vfs::{
        inode::Inode,
        jbd2::{Credits, Journal},
        stat::Timestamp,
        super_block::SuperBlock,
    },
    Rext4,
};
use core::sync::atomic::{AtomicI64, AtomicU32, Ordering};
use kernel::{
    error::{code, Error},
    fmt,
    prelude::*,
};

/// The kind of error that is recorded, as a number of `EXT4_ERR_*` in the kernel's `fs/ext4/ext4.h`.
#[derive(Clone, Copy)]
#[repr(u8)]
enum Code {
    /// `EXT4_ERR_EIO`: the journal, or other metadata, could not be written.
    Io = 2,
    /// `EXT4_ERR_EFSCORRUPTED`.
    Corrupted = 5,
    /// `EXT4_ERR_ESHUTDOWN`: somebody wanted it so.
    Shutdown = 16,
}

/// How much is reported: a damaged directory may be looked at a thousand times a second.
#[derive(Default)]
pub(super) struct Reports {
    second: AtomicI64,
    count: AtomicU32,
}

impl Reports {
    const PER_SECOND: u32 = 10;

    /// Whether there may be one more in this second.
    pub(super) fn take(&self) -> bool {
        let second = Timestamp::now().seconds;
        if self.second.swap(second, Ordering::Relaxed) != second {
            self.count.store(0, Ordering::Relaxed);
        }
        self.count.fetch_add(1, Ordering::Relaxed) < Self::PER_SECOND
    }
}

/// What an error has to do with.
#[derive(Clone, Copy)]
enum Where<'a> {
    /// No inode.
    Elsewhere,
    /// An inode that could not be read.
    Number(InodeNumber),
    /// An inode.
    Inode(&'a Inode<Rext4>),
}

impl<'a> Where<'a> {
    fn inode(self) -> Option<&'a Inode<Rext4>> {
        match self {
            Self::Inode(inode) => Some(inode),
            _ => None,
        }
    }

    fn number(self) -> Option<InodeNumber> {
        match self {
            Self::Elsewhere => None,
            Self::Number(number) => Some(number),
            Self::Inode(inode) => Some(crate::inode::number(inode)),
        }
    }
}

/// What is recorded of an error that is found now.
fn error_record(
    inode: Option<InodeNumber>,
    what: &'static str,
    code: Code,
) -> ErrorRecord<'static> {
    ErrorRecord {
        time: u64::try_from(Timestamp::now().seconds).unwrap_or(0),
        inode,
        block: None,
        function: what.as_bytes(),
        line: 0,
        code: code as u8,
    }
}

impl Filesystem {
    /// Turns an error of an operation on `inode`, which was to do `what`, into an errno.
    ///
    /// This is the only way out of the file system for an error, and so no damage goes unreported.
    pub(crate) fn errno(inode: &Inode<Rext4>, what: &'static str, error: FsError) -> Error {
        let sb = inode.super_block();
        sb.data().told(sb, Where::Inode(inode), what, error)
    }

    /// The same, for an operation that has to do with no inode, or with one that could not be read.
    pub(crate) fn errno_at(
        &self,
        sb: &SuperBlock<Rext4>,
        inode: Option<InodeNumber>,
        what: &'static str,
        error: FsError,
    ) -> Error {
        let place = inode.map_or(Where::Elsewhere, Where::Number);
        self.told(sb, place, what, error)
    }

    fn told(
        &self,
        sb: &SuperBlock<Rext4>,
        place: Where<'_>,
        what: &'static str,
        error: FsError,
    ) -> Error {
        match error {
            FsError::Kernel(errno) | FsError::Torn(errno) if errno == euclean() => {
                self.corrupt(sb, place, what, fmt!("inconsistent metadata"));
                errno
            }
            FsError::Kernel(errno) => errno,
            FsError::Torn(errno) => {
                // Where nothing is written any more it was told before why, or somebody wanted it so.
                if errno != code::EROFS && !self.is_stopped() {
                    self.damaged(
                        sb,
                        place,
                        what,
                        fmt!("error {}", errno.to_errno()),
                        (Code::Io, errno),
                    );
                }
                errno
            }
            FsError::Corrupt(corrupt) => {
                self.corrupt(sb, place, what, fmt!("{}", FsError::Corrupt(corrupt)));
                euclean()
            }
        }
    }

    /// The same where any error leaves metadata on disk that is wrong, though nothing was damaged before:
    /// what had to be written was not, and the operation goes on.
    pub(crate) fn errno_of_metadata(
        inode: &Inode<Rext4>,
        what: &'static str,
        error: FsError,
    ) -> Error {
        Self::errno(inode, what, error.in_the_midst())
    }

    fn corrupt(
        &self,
        sb: &SuperBlock<Rext4>,
        place: Where<'_>,
        what: &'static str,
        text: fmt::Arguments<'_>,
    ) {
        self.damaged(sb, place, what, text, (Code::Corrupted, euclean()));
    }

    fn damaged(
        &self,
        sb: &SuperBlock<Rext4>,
        place: Where<'_>,
        what: &'static str,
        text: fmt::Arguments<'_>,
        (code, errno): (Code, Error),
    ) {
        if self.is_down() {
            // What a power cut leaves in memory says nothing about the disk.
            return;
        }
        let policy = self.on_damage();
        if !self.reports.take() {
            return self.apply(sb, policy, None);
        }
        match place.number() {
            Some(inode) => pr_err!(
                "({}): error: {}: inode {}: {}\n",
                sb.id(),
                what,
                inode.0,
                text
            ),
            None => pr_err!("({}): error: {}: {}\n", sb.id(), what, text),
        }
        crate::vfs::super_block::report_error(sb, place.inode(), errno);
        self.apply(sb, policy, Some(&error_record(place.number(), what, code)));
    }

    /// Has an error happen because an administrator wants to see what comes of it.
    pub(super) fn triggered(&self, sb: &SuperBlock<Rext4>, text: &str) {
        self.corrupt(sb, Where::Elsewhere, "trigger_fs_error", fmt!("{}", text));
    }

    /// What follows from a journal that was given up, or from metadata that could not be written: whatever
    /// `errors=` says, nothing can be written any more.
    pub(super) fn journal_is_lost(&self, sb: &SuperBlock<Rext4>) {
        if self.is_down() || self.is_stopped() {
            return;
        }
        let what = match self.has_no_journal() {
            true => "metadata",
            false => "the journal",
        };
        pr_err!("({}): error: {} can't be written\n", sb.id(), what);
        self.give_up(sb, "journal", (Code::Io, code::EIO));
    }

    /// Whether `data_err=abort` is in force, which means nothing without a journal.
    pub(crate) fn stops_without_data(&self) -> bool {
        self.options().data_err_abort && !self.has_no_journal()
    }

    /// What follows with `data_err=abort` if data in the page cache could not be written: the same.
    pub(crate) fn data_is_lost(&self, sb: &SuperBlock<Rext4>) {
        if !self.stops_without_data() || self.is_down() || self.is_stopped() {
            return;
        }
        pr_err!(
            "({}): error: data can't be written, and data_err=abort was asked for\n",
            sb.id()
        );
        self.give_up(sb, "write data", (Code::Io, code::EIO));
    }

    /// What follows from a remount with `abort`: the same.
    pub(super) fn abort_was_asked_for(&self, sb: &SuperBlock<Rext4>) {
        if self.is_down() || self.is_stopped() {
            return;
        }
        pr_err!("({}): error: a remount has asked for abort\n", sb.id());
        let shutdown = Error::from_errno(-(crate::bindings::ESHUTDOWN as i32));
        self.give_up(sb, "abort", (Code::Shutdown, shutdown));
    }

    /// Has nothing written any more, whatever `errors=` says.
    fn give_up(&self, sb: &SuperBlock<Rext4>, what: &'static str, (code, errno): (Code, Error)) {
        crate::vfs::super_block::report_error(sb, None, errno);
        let policy = match self.on_damage() {
            OnDamage::Continue => OnDamage::RemountReadOnly,
            policy => policy,
        };
        self.apply(sb, policy, Some(&error_record(None, what, code)));
    }

    /// What follows if what is changed can't be counted any more.
    pub(crate) fn quotas_are_lost(&self, sb: &SuperBlock<Rext4>, why: FsError) {
        self.damaged(
            sb,
            Where::Elsewhere,
            "count quotas",
            fmt!("{}", why),
            (Code::Io, code::EIO),
        );
    }

    /// What follows from the block of the protection against other mounts, if it can't be read or
    /// written.
    pub(super) fn not_updated(&self, sb: &SuperBlock<Rext4>, why: Error) {
        pr_err!(
            "({}): error: multiple mount protection: can't be updated: error {}\n",
            sb.id(),
            why.to_errno()
        );
        if self.journal.get().is_none() {
            // At the end, or before the beginning.
            return;
        }
        crate::vfs::super_block::report_error(sb, None, why);
        self.apply(
            sb,
            self.on_damage(),
            Some(&error_record(None, "mmp", Code::Io)),
        );
    }

    /// What follows if somebody else has the file system now: whatever `errors=` says, nothing of ours
    /// may get to the device any more, not even a note of that.
    pub(super) fn taken_over(&self, sb: &SuperBlock<Rext4>, by: fmt::Arguments<'_>) {
        pr_err!(
            "({}): error: multiple mount protection: somebody else has the file system now ({}); nothing \
             is written any more\n",
            sb.id(),
            by
        );
        crate::vfs::super_block::report_error(sb, None, code::EBUSY);
        self.stopped.store(true, Ordering::Release);
        match self.journal.get() {
            Some(journal) => journal.abandon(),
            // It is being closed.
            None => sb.device().forget_all(),
        }
        if self.on_damage() == OnDamage::Panic {
            crate::vfs::super_block::panic_after_error(sb);
        }
    }

    /// Does what a policy says, and notes in the super block that there is something for e2fsck to do.
    fn apply(&self, sb: &SuperBlock<Rext4>, policy: OnDamage, record: Option<&ErrorRecord<'_>>) {
        let can_write = !sb.is_read_only() && !sb.device().is_read_only() && !self.is_taken_over();
        let record = record.filter(|_| can_write);
        // Before a panic, too: what is written to the super block is not to meet the journal there.
        if policy != OnDamage::Continue {
            self.stop(sb, code::EIO);
        }
        let written = record.map_or(Ok(()), |record| self.record(policy, record));
        if written.is_err() {
            pr_err!("({}): error: can't record the damage\n", sb.id());
        }
        if policy == OnDamage::Panic {
            crate::vfs::super_block::panic_after_error(sb);
        }
    }

    /// Notes an error in the super block; it is on disk when this returns.
    ///
    /// Past the journal only if that is given up, or about to be: jbd2 may be writing the block to its
    /// log, and what it has taken the checksum of must not change before it is there. Who has a
    /// handle can't wait for the journal, and takes the risk; nor can the journal's own thread, which looks for the log's
    /// blocks.
    fn record(&self, policy: OnDamage, record: &ErrorRecord<'_>) -> FsResult {
        let change = |superblock: &mut Superblock| {
            superblock.record_error(record);
            superblock.note_errors();
        };
        let through = |journal: &Journal| -> FsResult {
            let handle = journal.start(Credits::new(credits::SUPER_BLOCK))?;
            self.edit_primary(&handle, change)?;
            handle.set_sync();
            Ok(handle.stop()?)
        };
        let may_wait = policy == OnDamage::Continue && !Journal::in_transaction();
        let journal = self.journal.get();
        let journal = journal.filter(|journal| may_wait && !journal.is_committer());
        match journal.map(through) {
            Some(Ok(())) => Ok(()),
            _ => self.primary.write_alone(change),
        }
    }

    /// Whether nothing may be written any more because of damage.
    pub(crate) fn is_stopped(&self) -> bool {
        self.stopped.load(Ordering::Acquire)
    }

    /// Lets nothing be written any more. Reads go on.
    ///
    /// The VFS is not told: it makes a super block read-only with `s_umount` held, which who meets
    /// damage can't take, and would not end a freeze of one that became so meanwhile.
    pub(crate) fn stop(&self, sb: &SuperBlock<Rext4>, why: Error) {
        if sb.is_read_only() || self.is_down() || self.stopped.swap(true, Ordering::AcqRel) {
            return;
        }
        pr_err!("({}): error: nothing is written any more\n", sb.id());
        if let Some(journal) = self.journal.get() {
            journal.abort(why);
        }
    }
}
