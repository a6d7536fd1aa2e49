// SPDX-License-Identifier: GPL-2.0

//! Mount options: which there are, what they mean here, how they are shown.
//!
//! An option that C ext4 knows is carried out, or is in a table of [`others`]: accepted because what it
//! asks for holds anyway, accepted and ignored, as C ext4 does with options that lost their meaning,
//! or refused with the reason. None is silently unknown.

pub(super) mod others;

use crate::{
    disk::{
        features::{Feature, Features},
        inode::BASE_SIZE,
        layout::Layout,
    },
    error::{FsError, FsResult},
    vfs::{
        fs_context::Refused, jbd2::Settings, namespace::NewGroup, quota::Kind,
        super_block::SuperBlock,
    },
    Rext4,
};
use kernel::{error::code, prelude::*, seq_file::SeqFile, seq_print};

/// What to do when damage is found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum OnDamage {
    /// Report it and go on with what is not damaged.
    Continue,
    /// Write nothing any more.
    RemountReadOnly,
    /// Stop the machine.
    Panic,
}

/// What is done with data. The first two are names of one behaviour: see decision 5 of the design, data is never
/// exposed before it is written, whatever the mode is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum DataMode {
    /// `data=ordered`.
    Ordered,
    /// `data=writeback`.
    Writeback,
    /// `data=journal`: see [`crate::inode::journaled`].
    Journal,
}

/// The options of a mount.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Options {
    /// Whether direct reads go without the inode's lock.
    pub(crate) dioread_nolock: bool,
    /// `errors=`; what the super block says if it was not given.
    pub(crate) errors: Option<OnDamage>,
    /// `data=`.
    pub(crate) data: DataMode,
    /// Whether the journal flushes the device's cache.
    pub(crate) barrier: bool,
    /// Whether blocks are chosen at writeback, not when data is copied to the page cache.
    pub(crate) delalloc: bool,
    /// Whether a file that replaces what was there is written back at once.
    pub(crate) auto_da_alloc: bool,
    /// `commit=`, in seconds; zero is jbd2's default.
    pub(crate) commit_seconds: u32,
    /// `data_err=abort`: whether nothing is written any more after data in the page cache could not be.
    pub(crate) data_err_abort: bool,
    /// `journal_checksum`, `nojournal_checksum`; if neither, there are checksums if metadata has them.
    pub(crate) journal_checksum: Option<bool>,
    /// `journal_ioprio=`: the priority of what the journal's thread does, among the best-effort ones.
    pub(crate) journal_ioprio: Option<u8>,
    /// `min_batch_time=` and `max_batch_time=`: for how many microseconds a synchronous change waits for others to join
    /// it, at least and at most.
    pub(crate) min_batch_micros: u32,
    /// See above.
    pub(crate) max_batch_micros: u32,
    /// `inode_readahead_blks=`: how many blocks of an inode table are read together.
    pub(crate) inode_readahead: u32,
    /// `max_dir_size_kb=`: directories of so many KiB get no more blocks; zero for no such limit.
    pub(crate) max_dir_kib: u32,
    /// `abort`: have nothing written any more, as if the journal was lost. For a remount alone, and for once.
    pub(crate) abort: bool,
    /// Whether POSIX ACLs are used.
    pub(crate) acl: bool,
    /// Whether user extended attributes are served.
    pub(crate) user_xattr: bool,
    /// Whether statfs leaves out what metadata takes.
    pub(crate) minixdf: bool,
    /// Whose group new inodes get.
    pub(crate) new_group: NewGroup,
    /// Whether data of files is looked for among the file system's own blocks, and not served from there.
    pub(crate) block_validity: bool,
    /// `noload`: mount without looking at the journal; writable if it has nothing that is needed.
    pub(crate) noload: bool,
    /// An option among those asked for that only makes sense with a journal.
    pub(crate) of_journal: Option<&'static str>,
    /// Whether freed blocks are discarded.
    pub(crate) discard: bool,
    /// `init_itable=`: after a part of an inode table was zeroed, so many times as long as that took
    /// nothing is done; `None` if they are not zeroed.
    pub(crate) init_itable: Option<u32>,
    /// `debug_want_extra_isize=`: what inodes should have for fields behind the first 128 bytes, if not
    /// what the super block asks for. Not zero.
    pub(crate) want_extra_isize: Option<u32>,
    /// `usrquota`, `grpquota`, `prjquota`: which limits are heeded from the mount on, where quotas are kept in hidden
    /// files. Elsewhere they tell `quotaon` what to do.
    pub(crate) quota_limits: QuotaLimits,
    /// `stripe=`: how many blocks an array writes at once; 0 for what the super block says.
    pub(crate) stripe: u32,
    /// Whether there was any option of quotas, without which `quotaon` can't turn on any.
    pub(crate) quota: bool,
    /// `resuid=`: who may use the reserved blocks, besides root.
    pub(crate) reserved_uid: u32,
    /// `resgid=`.
    pub(crate) reserved_gid: u32,
}

/// Which limits of quotas are heeded; what is used is counted in any case.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct QuotaLimits {
    pub(crate) user: bool,
    pub(crate) group: bool,
    pub(crate) project: bool,
}

impl QuotaLimits {
    /// None.
    pub(crate) const NONE: Self = Self {
        user: false,
        group: false,
        project: false,
    };

    /// Whether those of one kind are.
    pub(crate) fn has(self, kind: Kind) -> bool {
        match kind {
            Kind::User => self.user,
            Kind::Group => self.group,
            Kind::Project => self.project,
        }
    }

    /// Whether these are not heeded by `self` any more, or not all of them.
    pub(super) fn lacks(self, others: Self) -> bool {
        Kind::ALL
            .into_iter()
            .any(|kind| others.has(kind) && !self.has(kind))
    }
}

fn number(value: Option<&str>) -> core::result::Result<u32, Refused> {
    value
        .and_then(|text| text.parse().ok())
        .ok_or(Refused::Because(c"wants a number"))
}

/// A flag that can also be given as a number, zero for no.
fn switch(value: Option<&str>) -> core::result::Result<bool, Refused> {
    match value {
        None => Ok(true),
        value => Ok(number(value)? != 0),
    }
}

/// The seconds that jbd2 waits before it commits if nobody says anything else.
const JBD2_DEFAULT_SECONDS: u32 = 5;

/// How many blocks of an inode table are read together if nobody says anything else.
const INODE_READAHEAD: u32 = 32;

/// The value of `init_itable` if none is given.
const INIT_ITABLE: u32 = 10;

impl Options {
    /// What holds when nobody says anything.
    pub(super) const DEFAULT: Self = Self {
        dioread_nolock: true,
        errors: None,
        data: DataMode::Ordered,
        barrier: true,
        delalloc: true,
        auto_da_alloc: true,
        commit_seconds: 0,
        data_err_abort: false,
        journal_checksum: None,
        journal_ioprio: None,
        min_batch_micros: Settings::DEFAULT.min_batch_micros,
        max_batch_micros: Settings::DEFAULT.max_batch_micros,
        inode_readahead: INODE_READAHEAD,
        max_dir_kib: 0,
        abort: false,
        acl: true,
        user_xattr: true,
        minixdf: false,
        new_group: NewGroup::SystemV,
        block_validity: true,
        noload: false,
        of_journal: None,
        discard: false,
        init_itable: Some(INIT_ITABLE),
        want_extra_isize: None,
        quota_limits: QuotaLimits::NONE,
        stripe: 0,
        quota: false,
        reserved_uid: 0,
        reserved_gid: 0,
    };

    /// What inodes should have for fields behind the first 128 bytes.
    pub(super) fn wanted_extra_size(&self, layout: &Layout) -> u32 {
        self.want_extra_isize.unwrap_or(layout.inode_extra_size())
    }

    /// Refuses, with a message, what does not fit the file system.
    ///
    /// # Errors
    ///
    /// `EINVAL`.
    pub(super) fn check(&self, id: &CStr, layout: &Layout, features: Features) -> FsResult {
        if let Some(why) = self.misfit(features) {
            pr_err!("({}): error: {}\n", id, why);
            return Err(FsError::Kernel(code::EINVAL));
        }
        let most = layout.inode_size() - BASE_SIZE as u32;
        if self.wanted_extra_size(layout) <= most {
            return Ok(());
        }
        pr_err!(
            "({}): error: debug_want_extra_isize can be {} at most, which is what inodes have behind \
             their first 128 bytes\n",
            id,
            most
        );
        Err(FsError::Kernel(code::EINVAL))
    }

    /// Why options can't be had with these features; `None` if they can.
    pub(super) fn misfit(&self, features: Features) -> Option<&'static CStr> {
        let no_projects = self.quota_limits.project && !features.has(Feature::PROJECT);
        no_projects.then_some(c"prjquota is for a file system with the feature project, which \"tune2fs -O project\" gives it")
    }

    /// Whether an option that means nothing without a journal is asked for, as it was said last.
    fn note_of_journal(&mut self, option: &'static str, wanted: bool) {
        if wanted {
            self.of_journal = Some(option);
        } else if self.of_journal == Some(option) {
            self.of_journal = None;
        }
    }

    fn set_data(&mut self, mode: DataMode) {
        self.data = mode;
        self.of_journal = Some("data=");
    }

    /// Takes one option.
    pub(super) fn parse(
        &mut self,
        key: &str,
        value: Option<&str>,
    ) -> core::result::Result<(), Refused> {
        match (key, value) {
            ("dioread_nolock", None) => self.dioread_nolock = true,
            ("dioread_lock" | "nodioread_nolock", None) => self.dioread_nolock = false,
            ("errors", Some("continue")) => self.errors = Some(OnDamage::Continue),
            ("errors", Some("remount-ro")) => self.errors = Some(OnDamage::RemountReadOnly),
            ("errors", Some("panic")) => self.errors = Some(OnDamage::Panic),
            ("errors", _) => {
                return Err(Refused::Because(c"wants continue, remount-ro or panic"));
            }
            ("data", Some("ordered")) => self.set_data(DataMode::Ordered),
            ("data", Some("writeback")) => self.set_data(DataMode::Writeback),
            ("data", Some("journal")) => self.set_data(DataMode::Journal),
            ("data", _) => return Err(Refused::Because(c"wants ordered, writeback or journal")),
            ("data_err", Some(value @ ("ignore" | "abort"))) => {
                self.data_err_abort = value == "abort";
                self.note_of_journal("data_err=abort", self.data_err_abort);
            }
            ("data_err", _) => return Err(Refused::Because(c"wants abort or ignore")),
            ("barrier", value) => self.barrier = switch(value)?,
            ("nobarrier", None) => self.barrier = false,
            ("delalloc", None) => self.delalloc = true,
            ("nodelalloc", None) => self.delalloc = false,
            ("auto_da_alloc", value) => self.auto_da_alloc = switch(value)?,
            ("noauto_da_alloc", None) => self.auto_da_alloc = false,
            ("commit", value) => {
                let seconds = number(value)?;
                if seconds > 21_474_836 {
                    return Err(Refused::Because(c"wants at most 21474836 seconds"));
                }
                self.commit_seconds = seconds;
                self.note_of_journal("commit=", ![0, JBD2_DEFAULT_SECONDS].contains(&seconds));
            }
            ("journal_checksum", None) => {
                self.journal_checksum = Some(true);
                self.of_journal = Some("journal_checksum");
            }
            ("nojournal_checksum", None) => self.journal_checksum = Some(false),
            ("journal_ioprio", value) => match number(value)? {
                priority @ 0..=7 => self.journal_ioprio = Some(priority as u8),
                _ => return Err(Refused::Because(c"wants 0 to 7")),
            },
            ("min_batch_time", value) => self.min_batch_micros = number(value)?,
            ("max_batch_time", value) => self.max_batch_micros = number(value)?,
            ("acl", None) => self.acl = true,
            ("noacl", None) => self.acl = false,
            ("user_xattr", None) => self.user_xattr = true,
            ("nouser_xattr", None) => self.user_xattr = false,
            ("minixdf", None) => self.minixdf = true,
            ("bsddf", None) => self.minixdf = false,
            ("grpid" | "bsdgroups", None) => self.new_group = NewGroup::Directory,
            ("nogrpid" | "sysvgroups", None) => self.new_group = NewGroup::SystemV,
            ("block_validity", None) => self.block_validity = true,
            ("noblock_validity", None) => self.block_validity = false,
            ("noload" | "norecovery", None) => self.noload = true,
            ("inode_readahead_blks", value) => match number(value)? {
                blocks if blocks == 0 || blocks.is_power_of_two() && blocks <= 1 << 30 => {
                    self.inode_readahead = blocks;
                }
                _ => return Err(Refused::Because(c"wants 0 or a power of 2 below 2^31")),
            },
            ("max_dir_size_kb", value) => self.max_dir_kib = number(value)?,
            ("abort", None) => self.abort = true,
            ("discard", None) => self.discard = true,
            ("nodiscard", None) => self.discard = false,
            ("init_itable", None) => self.init_itable = Some(INIT_ITABLE),
            ("init_itable", value) => self.init_itable = Some(number(value)?),
            ("noinit_itable", None) => self.init_itable = None,
            ("debug_want_extra_isize", value) => {
                let size = number(value)?;
                if size < 4 || size % 2 != 0 {
                    return Err(Refused::Because(
                        c"wants an even number of bytes, at least 4",
                    ));
                }
                // Attributes begin at a multiple of 4.
                self.want_extra_isize = Some(size & !3);
            }
            // As in C ext4.
            ("quota" | "usrquota", None) => {
                self.quota_limits.user = true;
                self.quota = true;
            }
            ("grpquota", None) => {
                self.quota_limits.group = true;
                self.quota = true;
            }
            ("prjquota", None) => {
                self.quota_limits.project = true;
                self.quota = true;
            }
            ("noquota", None) => {
                self.quota_limits = QuotaLimits::NONE;
                self.quota = false;
            }
            ("stripe", value) => self.stripe = number(value)?,
            ("resuid", value) => self.reserved_uid = number(value)?,
            ("resgid", value) => self.reserved_gid = number(value)?,
            _ => return others::parse(key, value),
        }
        Ok(())
    }
}

/// Shows what is in force, in a form that `mount` takes.
pub(crate) fn show(sb: &SuperBlock<Rext4>, seq: &SeqFile) {
    let options = sb.data().options();
    seq_print!(
        seq,
        ",{}",
        if options.dioread_nolock {
            "dioread_nolock"
        } else {
            "dioread_lock"
        }
    );
    seq_print!(
        seq,
        ",errors={}",
        match sb.data().on_damage() {
            OnDamage::Continue => "continue",
            OnDamage::RemountReadOnly => "remount-ro",
            OnDamage::Panic => "panic",
        }
    );
    let data = match options.data {
        DataMode::Ordered => "ordered",
        DataMode::Writeback => "writeback",
        DataMode::Journal => "journal",
    };
    let has_journal = !sb.data().has_no_journal();
    if has_journal {
        seq_print!(seq, ",data={}", data);
    }
    let checksums = options.journal_checksum.filter(|_| has_journal);
    let metadata_has_checksums = sb.data().seed.is_some();
    let flags = [
        (
            checksums == Some(true) && !metadata_has_checksums,
            "journal_checksum",
        ),
        (
            checksums == Some(false) && metadata_has_checksums,
            "nojournal_checksum",
        ),
        (has_journal && options.data_err_abort, "data_err=abort"),
        (!options.barrier, "nobarrier"),
        (!options.delalloc, "nodelalloc"),
        (!options.auto_da_alloc, "noauto_da_alloc"),
        (!options.acl, "noacl"),
        (!options.user_xattr, "nouser_xattr"),
        (options.minixdf, "minixdf"),
        (options.new_group == NewGroup::Directory, "grpid"),
        (!options.block_validity, "noblock_validity"),
        (options.noload, "norecovery"),
        (options.discard, "discard"),
        // As C ext4 shows it: the tools look for these.
        (options.quota_limits.user, "quota"),
        (options.quota_limits.user, "usrquota"),
        (options.quota_limits.group, "grpquota"),
        (options.quota_limits.project, "prjquota"),
        (options.init_itable.is_none(), "noinit_itable"),
        // As C ext4 says that it was stopped because of damage.
        (sb.data().is_stopped(), "emergency_ro"),
    ];
    for (_, name) in flags.iter().filter(|(shown, _)| *shown) {
        seq_print!(seq, ",{}", *name);
    }
    if let Some(times) = options.init_itable.filter(|times| *times != INIT_ITABLE) {
        seq_print!(seq, ",init_itable={}", times);
    }
    let default = Options::DEFAULT;
    for (name, value, default) in [
        (
            "min_batch_time",
            options.min_batch_micros,
            default.min_batch_micros,
        ),
        (
            "max_batch_time",
            options.max_batch_micros,
            default.max_batch_micros,
        ),
        (
            "inode_readahead_blks",
            options.inode_readahead,
            default.inode_readahead,
        ),
    ] {
        if value != default {
            seq_print!(seq, ",{}={}", name, value);
        }
    }
    let numbers = [
        (
            "commit",
            if has_journal {
                options.commit_seconds
            } else {
                0
            },
        ),
        (
            "debug_want_extra_isize",
            options.want_extra_isize.unwrap_or(0),
        ),
        ("max_dir_size_kb", options.max_dir_kib),
        ("stripe", options.stripe),
        ("resuid", options.reserved_uid),
        ("resgid", options.reserved_gid),
    ];
    for (name, value) in numbers.iter().filter(|(_, value)| *value != 0) {
        seq_print!(seq, ",{}={}", *name, *value);
    }
    sb.data().quota_files.lock().show(seq);
}

/// Shows the counters: what `/proc/self/mountstats` has behind the mount's line.
pub(crate) fn show_counters(sb: &SuperBlock<Rext4>, seq: &SeqFile) {
    for (name, count) in sb.data().counters.all() {
        seq_print!(seq, " {}={}", name, count);
    }
    if let Ok(groups) = sb.data().groups() {
        let delayed = groups.delayed_space();
        seq_print!(
            seq,
            " delayed_blocks={} delayed_nodes={}",
            delayed.data,
            delayed.nodes
        );
    }
}
