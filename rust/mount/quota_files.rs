// SPDX-License-Identifier: GPL-2.0

//! The mount options that name quota files: `usrjquota=`, `grpjquota=`, `jqfmt=`.
//!
//! Such files are counted in while a mount finishes orphans. Everything else is `quotaon`'s, which is told where
//! they are by what `/proc/mounts` shows.

use super::{options::Options, Filesystem};
use crate::{
    error::{FsError, FsResult, Shown},
    vfs::{fs_context::Refused, quota::Kind},
};
use core::fmt::{self, Write};
use kernel::{error::code, prelude::*, seq_file::SeqFile, seq_print};

/// A name in the root directory.
type Name = KVec<u8>;

/// The format of quota files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Format {
    Old,
    V0,
    V1,
}

impl Format {
    const ALL: [Self; 3] = [Self::Old, Self::V0, Self::V1];

    fn name(self) -> &'static str {
        match self {
            Self::Old => "vfsold",
            Self::V0 => "vfsv0",
            Self::V1 => "vfsv1",
        }
    }

    /// The kernel's number, `QFMT_VFS_...`.
    fn to_raw(self) -> i32 {
        match self {
            Self::Old => 1,
            Self::V0 => 2,
            Self::V1 => 4,
        }
    }
}

/// The kinds that a file can be named for, with the option that does it.
const KINDS: [(Kind, &str); 2] = [(Kind::User, "usrjquota"), (Kind::Group, "grpjquota")];

/// What is in force.
pub(crate) struct QuotaFiles {
    /// By user, by group.
    names: [Option<Name>; 2],
    format: Option<Format>,
}

/// What was asked for, option by option.
pub(super) struct AskedFiles {
    /// `None` if nothing was said, `Some(None)` for no file any more.
    names: [Option<Option<Name>>; 2],
    format: Option<Format>,
}

fn copy(name: &Name) -> FsResult<Name> {
    let mut copy = KVec::new();
    copy.extend_from_slice(name, GFP_KERNEL)?;
    Ok(copy)
}

impl QuotaFiles {
    /// None.
    pub(super) const NONE: Self = Self {
        names: [None, None],
        format: None,
    };

    /// Shows them, in a form that `mount` takes.
    pub(super) fn show(&self, seq: &SeqFile) {
        if let Some(format) = self.format {
            seq_print!(seq, ",jqfmt={}", format.name());
        }
        for ((_, option), name) in KINDS.iter().zip(&self.names) {
            if let Some(name) = name {
                seq_print!(seq, ",{}={}", *option, Shown(&Escaped(name)));
            }
        }
    }
}

/// A name as it is shown in a line of `/proc/mounts`.
struct Escaped<'a>(&'a [u8]);

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for &byte in self.0 {
            match byte {
                b',' | b'=' | b' ' | b'\t' | b'\n' | b'\\' => write!(f, "\\{byte:03o}")?,
                // Names are text, byte by byte.
                _ if byte.is_ascii() => f.write_char(char::from(byte))?,
                _ => write!(f, "\\{byte:03o}")?,
            }
        }
        Ok(())
    }
}

impl AskedFiles {
    /// Nothing was said.
    pub(super) const NOTHING: Self = Self {
        names: [None, None],
        format: None,
    };

    /// Takes one option, if it is one of these.
    pub(super) fn parse(&mut self, key: &str, value: Option<&str>) -> Option<Result<(), Refused>> {
        if key == "jqfmt" {
            let named = |format: &Format| value == Some(format.name());
            self.format = Format::ALL.into_iter().find(named);
            let why = Refused::Because(c"wants vfsold, vfsv0 or vfsv1");
            return Some(self.format.map(drop).ok_or(why));
        }
        let kind = KINDS.iter().position(|(_, option)| *option == key)?;
        self.names.get_mut(kind).map(|own| name(own, value))
    }

    /// What holds from now on: what was asked for on top of what is in force. Takes the limits that go without
    /// saying from `options`. With `hidden` quota files these are not used, and with quotas turned on (`loaded`)
    /// they can't be changed.
    ///
    /// # Errors
    ///
    /// `EINVAL`, with a message.
    pub(super) fn settle(
        &self,
        now: &QuotaFiles,
        options: &mut Options,
        (hidden, loaded): (bool, bool),
        id: &CStr,
    ) -> FsResult<QuotaFiles> {
        match self.misfit(now, options, hidden, loaded) {
            Some(why) => {
                pr_err!("({}): error: {}\n", id, why);
                Err(FsError::Kernel(code::EINVAL))
            }
            None if hidden => {
                let nothing = self.names.iter().all(Option::is_none) && self.format.is_none();
                if !nothing {
                    pr_info!(
                        "({}): usrjquota, grpjquota and jqfmt are ignored: quotas are kept in hidden files\n",
                        id
                    );
                }
                Ok(QuotaFiles::NONE)
            }
            None => {
                let mut files = QuotaFiles {
                    names: [None, None],
                    format: self.format.or(now.format),
                };
                for (to, (asked, now)) in files
                    .names
                    .iter_mut()
                    .zip(self.names.iter().zip(&now.names))
                {
                    options.quota |= matches!(asked, Some(Some(_)));
                    let name = asked.as_ref().unwrap_or(now);
                    *to = name.as_ref().map(copy).transpose()?;
                }
                Ok(files)
            }
        }
    }

    /// Why they can't be had. As C ext4 has it (`ext4_check_quota_consistency`).
    fn misfit(
        &self,
        now: &QuotaFiles,
        options: &mut Options,
        hidden: bool,
        loaded: bool,
    ) -> Option<&'static CStr> {
        let both = || self.names.iter().zip(&now.names);
        for (asked, now) in both() {
            match (asked, now) {
                (Some(asked), now) if loaded && asked.is_some() != now.is_some() => {
                    return Some(
                        c"usrjquota and grpjquota can't be changed while quotas are turned on",
                    );
                }
                (Some(Some(asked)), Some(now)) if asked != now => {
                    return Some(c"another quota file was named before");
                }
                _ => {}
            }
        }
        if self.format.is_some() && self.format != now.format && loaded {
            return Some(c"jqfmt can't be changed while quotas are turned on");
        }
        if hidden {
            return None;
        }
        let mut named = both().map(|(asked, now)| now.is_some() || matches!(asked, Some(Some(_))));
        let (user, group) = (named.next()?, named.next()?);
        options.quota_limits.user &= !user;
        options.quota_limits.group &= !group;
        if !user && !group {
            return None;
        }
        if options.quota_limits.user || options.quota_limits.group {
            return Some(
                c"usrquota and grpquota can't be had together with usrjquota or grpjquota",
            );
        }
        if self.format.or(now.format).is_none() {
            return Some(c"usrjquota and grpjquota want jqfmt, too");
        }
        None
    }
}

/// Takes the name of a file, which is none if it is empty.
fn name(own: &mut Option<Option<Name>>, value: Option<&str>) -> Result<(), Refused> {
    let value = match value {
        None => return Err(Refused::Because(c"wants the name of a file")),
        Some("") => {
            *own = Some(None);
            return Ok(());
        }
        Some(value) if value.contains('/') => {
            return Err(Refused::Because(
                c"wants the name of a file in the root directory",
            ));
        }
        Some(value) => value.as_bytes(),
    };
    if let Some(Some(before)) = own {
        if before.as_slice() == value {
            return Ok(());
        }
        return Err(Refused::Because(c"another quota file was named before"));
    }
    let mut name = KVec::new();
    name.extend_from_slice(value, GFP_KERNEL)
        .map_err(|_| Refused::Because(c"there is no memory"))?;
    *own = Some(Some(name));
    Ok(())
}

impl Filesystem {
    /// The name of the file in the root directory in which is counted by a kind, and the kernel's number of its
    /// format, if mount options say so.
    pub(crate) fn named_quota_file(&self, kind: Kind) -> FsResult<Option<(Name, i32)>> {
        let files = self.quota_files.lock();
        let named = KINDS.iter().position(|(own, _)| *own == kind);
        let name = named.and_then(|at| files.names.get(at)?.as_ref());
        match (name, files.format) {
            (Some(name), Some(format)) => Ok(Some((copy(name)?, format.to_raw()))),
            _ => Ok(None),
        }
    }
}
