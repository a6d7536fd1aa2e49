// SPDX-License-Identifier: GPL-2.0

//! Which of the options holds where several say something: what was asked for at the mount, then the
//! super block's own options (`tune2fs -E mount_opts=`), then its defaults (`tune2fs -o`), then
//! ours.
//!
//! Options come before it is known what is to be mounted, so they are kept as they were said.

use super::{
    options::{others, DataMode, Options},
    quota_files::{AskedFiles, QuotaFiles},
};
use crate::{
    disk::{
        features::{Feature, Features},
        superblock::Superblock,
    },
    error::FsResult,
    vfs::{
        fs_context::{MountOptions, Refused},
        namespace::NewGroup,
        super_block::{NewSuperBlock, SuperBlock},
    },
    Rext4,
};
use kernel::{alloc::flags::GFP_KERNEL_ACCOUNT, page::PAGE_SIZE, prelude::*, str::BStr};

/// What was asked for.
pub(crate) struct Asked {
    /// At a remount, on top of what is in force; else on top of what holds by itself.
    pub(super) wish: Wish,
    /// Word by word, each with a zero byte behind it. Whoever may make a context is not known yet, so there are not any
    /// number of them, and they are the caller's memory.
    words: KVec<u8>,
}

/// The most bytes of options, as for those that are given to mount(2).
const MOST_BYTES: usize = PAGE_SIZE;

/// Options, one taken after the other.
pub(super) struct Wish {
    /// Those that are short.
    pub(super) options: Options,
    /// Those that are names.
    pub(super) files: AskedFiles,
}

impl Wish {
    /// On top of these options, with nothing asked for yet.
    fn over(options: Options) -> Self {
        Self {
            options,
            files: AskedFiles::NOTHING,
        }
    }

    /// Takes one option.
    fn parse(&mut self, key: &str, value: Option<&str>) -> core::result::Result<(), Refused> {
        match self.files.parse(key, value) {
            Some(taken) => taken,
            None => self.options.parse(key, value),
        }
    }

    /// Takes words like `key` and `key=value` with a separator between them.
    fn parse_words(&mut self, words: &[u8], separator: u8) -> core::result::Result<(), Refused> {
        let words = core::str::from_utf8(words).map_err(|_| Refused::Unknown)?;
        let words = words.split(char::from(separator));
        for word in words.filter(|word| !word.is_empty()) {
            match word.split_once('=') {
                Some((key, value)) => self.parse(key, Some(value))?,
                None => self.parse(word, None)?,
            }
        }
        Ok(())
    }
}

/// Bits of `s_default_mount_opts`, `Documentation/filesystems/ext4/super.rst`.
mod default_bit {
    pub(super) const GROUP_OF_DIRECTORY: u32 = 0x2;
    pub(super) const SHORT_USER_IDS: u32 = 0x10;
    pub(super) const DATA: u32 = 0x60;
    pub(super) const DATA_JOURNAL: u32 = 0x20;
    pub(super) const DATA_WRITEBACK: u32 = 0x60;
    pub(super) const NO_BARRIER: u32 = 0x100;
    pub(super) const DISCARD: u32 = 0x400;
    pub(super) const NO_DELALLOC: u32 = 0x800;
}

/// What a super block says about mounting.
pub(super) struct Defaults {
    bits: u32,
    words: [u8; 64],
    reserved_for: (u32, u32),
    features: Features,
}

impl Defaults {
    /// Reads it.
    pub(super) fn of(superblock: &Superblock) -> Self {
        let mut words = [0; 64];
        for (to, from) in words.iter_mut().zip(superblock.mount_options()) {
            *to = *from;
        }
        Self {
            bits: superblock.default_mount_options(),
            words,
            reserved_for: superblock.reserved_for(),
            features: superblock.features(),
        }
    }

    fn wish(&self, sb: &NewSuperBlock<'_, Rext4>) -> Wish {
        use default_bit as bit;
        let mut options = Options::DEFAULT;
        let has = |bit| self.bits & bit != 0;
        (options.reserved_uid, options.reserved_gid) = self.reserved_for;
        options.barrier = !has(bit::NO_BARRIER);
        options.delalloc = !has(bit::NO_DELALLOC);
        options.discard = has(bit::DISCARD);
        match self.bits & bit::DATA {
            bit::DATA_WRITEBACK => options.data = DataMode::Writeback,
            bit::DATA_JOURNAL => options.data = DataMode::Journal,
            _ => {}
        }
        if has(bit::GROUP_OF_DIRECTORY) {
            options.new_group = NewGroup::Directory;
        }
        if has(bit::SHORT_USER_IDS) {
            warn_of_default(sb, c"uid16", c"user IDs have 32 bits");
        }
        let words = self.words.split(|&byte| byte == 0).next();
        let words = words.unwrap_or_default();
        let mut own = Wish::over(options);
        let is_known = own.parse_words(words, b',').is_ok();
        if is_known && !own.options.abort && own.options.misfit(self.features).is_none() {
            // Nobody asks for it at this mount.
            own.options.of_journal = None;
            return own;
        }
        pr_warn!(
            "({}): warning: the mount options in the super block can't be had, and are left out: \
             \"{}\" (tune2fs -E mount_opts=... changes them)\n",
            sb.id(),
            BStr::from_bytes(words)
        );
        Wish::over(options)
    }
}

fn warn_of_default(sb: &NewSuperBlock<'_, Rext4>, name: &CStr, instead: &CStr) {
    pr_warn!(
        "({}): warning: the default mount option {} in the super block is not supported: {} \
         (tune2fs -o ^{} takes it back)\n",
        sb.id(),
        name,
        instead,
        name
    );
}

impl Asked {
    /// What holds for a file system with these defaults.
    ///
    /// # Errors
    ///
    /// `EINVAL`, with a message: those about quota files do not go together.
    pub(super) fn over(
        &self,
        sb: &NewSuperBlock<'_, Rext4>,
        defaults: &Defaults,
    ) -> FsResult<(Options, QuotaFiles)> {
        let mut wish = defaults.wish(sb);
        wish.parse_words(&self.words, 0)
            .map_err(|_| kernel::error::code::EINVAL)?;
        let Wish { mut options, files } = wish;
        let hidden = defaults.features.has(Feature::QUOTA);
        let files = files.settle(&QuotaFiles::NONE, &mut options, (hidden, false), sb.id())?;
        Ok((options, files))
    }
}

impl MountOptions<Rext4> for Asked {
    fn defaults() -> Self {
        Self {
            wish: Wish::over(Options::DEFAULT),
            words: KVec::new(),
        }
    }

    fn in_force(sb: &SuperBlock<Rext4>) -> Self {
        Self {
            wish: Wish::over(sb.data().options()),
            words: KVec::new(),
        }
    }

    fn parse(&mut self, key: &str, value: Option<&str>) -> core::result::Result<(), Refused> {
        self.wish.parse(key, value)?;
        let bytes = key.len() + value.map_or(0, |value| "=".len() + value.len()) + "\0".len();
        if self.words.len().saturating_add(bytes) > MOST_BYTES {
            return Err(Refused::Because(c"there are too many mount options"));
        }
        if others::is_ignored(key) {
            pr_warn!(
                "warning: mount option \"{}\": it means nothing, and is ignored\n",
                key
            );
        }
        let mut add = |text: &str| {
            self.words
                .extend_from_slice(text.as_bytes(), GFP_KERNEL_ACCOUNT)
        };
        add(key)
            .and_then(|()| value.map_or(Ok(()), |_| add("=")))
            .and_then(|()| value.map_or(Ok(()), &mut add))
            .and_then(|()| add("\0"))
            .map_err(|_| Refused::Because(c"there is no memory"))
    }
}
