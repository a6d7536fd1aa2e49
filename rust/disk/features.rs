// SPDX-License-Identifier: GPL-2.0

//! The feature bits of the super block, and which of them rext4 can handle.
//!
//! There are three sets, and what an unknown bit means depends on the set
//! (`Documentation/filesystems/ext4/super.rst`): in *compat* it can be ignored, in *ro_compat* it
//! forbids writing, in *incompat* it forbids mounting. The names are those that `mke2fs -O` takes
//! and `dumpe2fs` prints, so that a message names a feature as the user knows it.

use core::fmt;

/// One of the three sets of feature bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FeatureSet {
    /// `s_feature_compat`: unknown features can be ignored.
    Compat,
    /// `s_feature_incompat`: unknown features forbid mounting.
    Incompat,
    /// `s_feature_ro_compat`: unknown features forbid writing.
    RoCompat,
}

/// One feature: a bit in one of the sets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Feature {
    set: FeatureSet,
    /// The number of the bit, 0 to 31.
    bit: u8,
}

/// Declares the known features: constant, set, bit, name, and what it says.
macro_rules! features {
    ($($(#[$doc:meta])* $constant:ident = $set:ident $bit:literal $name:literal;)*) => {
        impl Feature {
            $($(#[$doc])* pub const $constant: Self = Self { set: FeatureSet::$set, bit: $bit };)*
        }

        /// All known features with their names.
        const NAMES: &[(Feature, &str)] = &[$((Feature::$constant, $name),)*];
    };
}

features! {
    /// Blocks are preallocated to directories.
    DIR_PREALLOC = Compat 0 "dir_prealloc";
    /// AFS server inodes.
    IMAGIC_INODES = Compat 1 "imagic_inodes";
    /// There is a journal.
    HAS_JOURNAL = Compat 2 "has_journal";
    /// Inodes have extended attributes.
    EXT_ATTR = Compat 3 "ext_attr";
    /// Blocks are kept for the growth of the group descriptor table.
    RESIZE_INODE = Compat 4 "resize_inode";
    /// Directories may have a hash index.
    DIR_INDEX = Compat 5 "dir_index";
    /// An idea of uninitialized groups that was given up.
    LAZY_BG = Compat 6 "lazy_bg";
    /// A snapshot's bitmap of blocks not to keep; never in mainline Linux.
    EXCLUDE_BITMAP = Compat 8 "snapshot_bitmap";
    /// Super block backups lie in at most two groups, `s_backup_bgs`.
    SPARSE_SUPER2 = Compat 9 "sparse_super2";
    /// The journal has room for fast commits.
    FAST_COMMIT = Compat 10 "fast_commit";
    /// Inode numbers and the UUID must not change.
    STABLE_INODES = Compat 11 "stable_inodes";
    /// There is an orphan file.
    ORPHAN_FILE = Compat 12 "orphan_file";

    /// Files may be compressed.
    COMPRESSION = Incompat 0 "compression";
    /// Directory entries hold the type of file.
    FILETYPE = Incompat 1 "filetype";
    /// The journal has to be replayed.
    NEEDS_RECOVERY = Incompat 2 "needs_recovery";
    /// This is a device that holds another file system's journal.
    JOURNAL_DEV = Incompat 3 "journal_dev";
    /// Group descriptors lie in the groups that they describe.
    META_BG = Incompat 4 "meta_bg";
    /// Files may use extents.
    EXTENT = Incompat 6 "extent";
    /// Block numbers have 64 bits.
    SIXTY_FOUR_BIT = Incompat 7 "64bit";
    /// Multiple mount protection.
    MMP = Incompat 8 "mmp";
    /// A group's bitmaps and inode table may lie in another group.
    FLEX_BG = Incompat 9 "flex_bg";
    /// Large extended attribute values lie in inodes of their own.
    EA_INODE = Incompat 10 "ea_inode";
    /// Directory entries hold more data than the name.
    DIRDATA = Incompat 12 "dirdata";
    /// The seed of the checksums is in the super block.
    METADATA_CSUM_SEED = Incompat 13 "metadata_csum_seed";
    /// Directories may be larger than 2 GiB, an index three levels deep.
    LARGE_DIR = Incompat 14 "large_dir";
    /// Small files may lie in their inode.
    INLINE_DATA = Incompat 15 "inline_data";
    /// There may be encrypted files.
    ENCRYPT = Incompat 16 "encrypt";
    /// There may be directories that ignore case.
    CASEFOLD = Incompat 17 "casefold";

    /// Super block backups lie in groups 0, 1 and powers of 3, 5 and 7.
    SPARSE_SUPER = RoCompat 0 "sparse_super";
    /// Files may be larger than 2 GiB.
    LARGE_FILE = RoCompat 1 "large_file";
    /// Directories as trees; never used.
    BTREE_DIR = RoCompat 2 "btree_dir";
    /// The number of blocks of a file may count file system blocks.
    HUGE_FILE = RoCompat 3 "huge_file";
    /// Group descriptors have a crc16, and groups may be uninitialized.
    GDT_CSUM = RoCompat 4 "uninit_bg";
    /// A directory may have more than 65000 subdirectories.
    DIR_NLINK = RoCompat 5 "dir_nlink";
    /// Large inodes have room for more fields.
    EXTRA_ISIZE = RoCompat 6 "extra_isize";
    /// Snapshots; never in mainline Linux.
    HAS_SNAPSHOT = RoCompat 7 "snapshot";
    /// Quota is kept in hidden inodes.
    QUOTA = RoCompat 8 "quota";
    /// Blocks are allocated in clusters.
    BIGALLOC = RoCompat 9 "bigalloc";
    /// All metadata has crc32c checksums.
    METADATA_CSUM = RoCompat 10 "metadata_csum";
    /// Replicas; never in mainline Linux.
    REPLICA = RoCompat 11 "replica";
    /// Must not be written to.
    READ_ONLY = RoCompat 12 "read-only";
    /// Quota is kept by project.
    PROJECT = RoCompat 13 "project";
    /// Files may share blocks.
    SHARED_BLOCKS = RoCompat 14 "shared_blocks";
    /// There may be files with fs-verity.
    VERITY = RoCompat 15 "verity";
    /// The orphan file may hold orphans.
    ORPHAN_PRESENT = RoCompat 16 "orphan_present";
}

impl Feature {
    /// The set that the feature's bit is in.
    pub const fn set(self) -> FeatureSet {
        self.set
    }

    /// The feature's bit, as a mask.
    pub const fn mask(self) -> u32 {
        // The constants above and `Features::iter` have no bit over 31.
        1 << (self.bit & 31)
    }

    /// The feature's name, or `None` for a bit that is not known.
    pub fn name(self) -> Option<&'static str> {
        NAMES
            .iter()
            .find(|(feature, _)| *feature == self)
            .map(|(_, name)| *name)
    }
}

impl fmt::Display for Feature {
    /// The name, or what `dumpe2fs` prints for an unknown bit, as in `FEATURE_I31`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(name) = self.name() {
            return f.write_str(name);
        }
        let letter = match self.set {
            FeatureSet::Compat => 'C',
            FeatureSet::Incompat => 'I',
            FeatureSet::RoCompat => 'R',
        };
        write!(f, "FEATURE_{letter}{}", self.bit)
    }
}

/// What rext4 can mount at all. `inline_data` is here although such files are refused one by
/// one: all others can be used.
const SUPPORTED_INCOMPAT: u32 = Feature::FILETYPE.mask()
    | Feature::NEEDS_RECOVERY.mask()
    | Feature::META_BG.mask()
    | Feature::EXTENT.mask()
    | Feature::SIXTY_FOUR_BIT.mask()
    | Feature::MMP.mask()
    | Feature::FLEX_BG.mask()
    | Feature::METADATA_CSUM_SEED.mask()
    | Feature::LARGE_DIR.mask()
    | Feature::INLINE_DATA.mask();

/// What rext4 can write to.
const SUPPORTED_RO_COMPAT: u32 = Feature::SPARSE_SUPER.mask()
    | Feature::LARGE_FILE.mask()
    | Feature::HUGE_FILE.mask()
    | Feature::GDT_CSUM.mask()
    | Feature::DIR_NLINK.mask()
    | Feature::EXTRA_ISIZE.mask()
    | Feature::QUOTA.mask()
    | Feature::METADATA_CSUM.mask()
    | Feature::PROJECT.mask()
    | Feature::ORPHAN_PRESENT.mask();

/// All features of a file system, or any other selection of features.
///
/// `Display` writes their names, with a comma and a space between them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Features {
    /// The bits of `s_feature_compat`.
    pub compat: u32,
    /// The bits of `s_feature_incompat`.
    pub incompat: u32,
    /// The bits of `s_feature_ro_compat`.
    pub ro_compat: u32,
}

impl Features {
    /// Whether `feature` is among them.
    pub const fn has(self, feature: Feature) -> bool {
        self.bits(feature.set) & feature.mask() != 0
    }

    /// Whether there are none.
    pub const fn is_empty(self) -> bool {
        self.compat == 0 && self.incompat == 0 && self.ro_compat == 0
    }

    /// The features that forbid rext4 to mount the file system.
    pub const fn forbid_mounting(self) -> Self {
        Self {
            compat: 0,
            incompat: self.incompat & !SUPPORTED_INCOMPAT,
            ro_compat: 0,
        }
    }

    /// The features that forbid rext4 to write to the file system.
    pub const fn forbid_writing(self) -> Self {
        Self {
            compat: 0,
            incompat: 0,
            ro_compat: self.ro_compat & !SUPPORTED_RO_COMPAT,
        }
    }

    /// The features one by one, the compatible ones first, each set from bit 0 up.
    pub fn iter(self) -> impl Iterator<Item = Feature> {
        let of_set = move |set| {
            (0..32)
                .map(move |bit| Feature { set, bit })
                .filter(move |&feature| self.has(feature))
        };
        of_set(FeatureSet::Compat)
            .chain(of_set(FeatureSet::Incompat))
            .chain(of_set(FeatureSet::RoCompat))
    }

    const fn bits(self, set: FeatureSet) -> u32 {
        match set {
            FeatureSet::Compat => self.compat,
            FeatureSet::Incompat => self.incompat,
            FeatureSet::RoCompat => self.ro_compat,
        }
    }
}

impl fmt::Display for Features {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (position, feature) in self.iter().enumerate() {
            if position > 0 {
                f.write_str(", ")?;
            }
            fmt::Display::fmt(&feature, f)?;
        }
        Ok(())
    }
}
