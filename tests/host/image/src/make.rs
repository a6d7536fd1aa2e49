// SPDX-License-Identifier: GPL-2.0

//! Making a file system with files of all kinds.

use crate::tools;
use crate::Fs;
use std::fs::{self, File};
use std::io::Write as _;
use std::os::unix::fs::{symlink, FileExt as _};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

/// How to make a file system.
#[derive(Clone, Copy, Debug)]
pub struct Recipe {
    /// What to call it in messages.
    pub name: &'static str,
    /// The options of `mke2fs`.
    pub options: &'static [&'static str],
    /// The size, as `mke2fs` takes it.
    pub size: &'static str,
}

/// What `mke2fs` 1.47.2 takes by default for ext4; written out so that the version at hand does
/// not matter. With `MKE2FS_CONFIG` empty, `-t ext4` alone has fewer.
macro_rules! default_features {
    ($more:literal) => {
        concat!(
            "none,has_journal,ext_attr,resize_inode,dir_index,orphan_file,filetype,extent,64bit,",
            "flex_bg,metadata_csum_seed,sparse_super,large_file,huge_file,dir_nlink,extra_isize,",
            "metadata_csum",
            $more
        )
    };
}

macro_rules! recipe {
    ($name:literal, $block:literal, $more:literal, $size:literal $(, $option:literal)*) => {
        Recipe {
            name: $name,
            options: &[
                "-b", $block, "-I", "256", "-O", default_features!($more)
                $(, $option)*
            ],
            size: $size,
        }
    };
}

/// File systems that differ in what the disk format depends on.
pub const RECIPES: &[Recipe] = &[
    recipe!("4k", "4096", "", "64M"),
    recipe!("2k", "2048", "", "64M"),
    recipe!("1k", "1024", "", "64M"),
    recipe!("1k large_dir", "1024", ",large_dir", "64M"),
    recipe!(
        "4k gdt_csum",
        "4096",
        ",^metadata_csum,^metadata_csum_seed,uninit_bg",
        "64M"
    ),
    recipe!(
        "1k no checksums",
        "1024",
        ",^metadata_csum,^metadata_csum_seed",
        "64M"
    ),
    recipe!("4k 32bit", "4096", ",^64bit", "64M"),
    recipe!(
        "1k 32bit gdt_csum",
        "1024",
        ",^64bit,^metadata_csum,^metadata_csum_seed,uninit_bg",
        "64M"
    ),
    recipe!("4k seed from UUID", "4096", ",^metadata_csum_seed", "64M"),
    recipe!("4k small groups", "4096", "", "256M", "-g", "2048"),
    recipe!("2k no flex_bg", "2048", ",^flex_bg", "128M", "-g", "4096"),
    recipe!(
        "1k meta_bg",
        "1024",
        ",meta_bg,^resize_inode",
        "256M",
        "-g",
        "1024"
    ),
    recipe!(
        "4k meta_bg",
        "4096",
        ",meta_bg,^resize_inode",
        "1G",
        "-g",
        "1024"
    ),
    recipe!(
        "4k sparse_super2",
        "4096",
        ",sparse_super2,^resize_inode",
        "256M",
        "-g",
        "2048"
    ),
    recipe!(
        "4k all backups",
        "4096",
        ",^sparse_super,^resize_inode",
        "128M",
        "-g",
        "4096"
    ),
    recipe!(
        "4k inodes of 128",
        "4096",
        ",^extra_isize",
        "64M",
        "-I",
        "128"
    ),
    recipe!("4k inodes of 1024", "4096", "", "64M", "-I", "1024"),
    recipe!("4k short last group", "4096", "", "131M", "-g", "8192"),
    recipe!("4k no journal", "4096", ",^has_journal,^orphan_file", "64M"),
];

/// An image of a file system, removed when it is dropped.
pub struct Image {
    folder: PathBuf,
}

impl Image {
    /// Makes a file system with nothing in it.
    ///
    /// # Panics
    ///
    /// If it cannot be made.
    pub fn empty(recipe: &Recipe) -> Self {
        let image = Self::new_folder();
        image.mke2fs(recipe, &[]);
        image
    }

    /// Makes a file system with files of all kinds in it. Large directories have an index.
    ///
    /// # Panics
    ///
    /// If it cannot be made.
    pub fn filled(recipe: &Recipe) -> Self {
        let image = Self::new_folder();
        let source = image.folder.join("source");
        populate(&source).expect("cannot write the files to fill an image with");
        image.mke2fs(recipe, &["-d", path_text(&source)]);

        for (name, size) in [("xattr-small", 20), ("xattr-large", 700)] {
            fs::write(image.folder.join(name), vec![b'v'; size]).expect("cannot write");
        }
        let file = |name: &str| path_text(&image.folder.join(name)).to_owned();
        let (small, large) = (file("xattr-small"), file("xattr-large"));
        image.debugfs_write(&[
            "mknod character c 4 65",
            "mknod block b 259 1000",
            "set_inode_field hello uid 100001",
            "set_inode_field hello gid 200002",
            "set_inode_field hello mtime @7000000000",
            "set_inode_field hello generation 0x12345678",
            &format!("ea_set -f {small} hello user.small"),
            "ea_set hello security.label system_u",
            &format!("ea_set -f {large} big/{} user.large", long_name(7)),
            &format!("ea_set -f {small} big/{} trusted.small", long_name(7)),
        ]);
        // Gives large directories their index. 1 means that it did change something.
        let output = tools::try_run("e2fsck", &["-fyD", path_text(&image.path())]);
        assert!(
            matches!(output.status.code(), Some(0 | 1)),
            "e2fsck -fyD: {output:?}"
        );
        image
    }

    fn new_folder() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("rext4-image-{}-{number}", std::process::id());
        let folder = std::env::temp_dir().join(name);
        fs::create_dir_all(&folder).expect("cannot make a temporary folder");
        Self { folder }
    }

    fn mke2fs(&self, recipe: &Recipe, more: &[&str]) {
        let path = self.path();
        let fixed = [
            "-q",
            "-F",
            "-t",
            "ext4",
            "-J",
            "size=4",
            "-E",
            "lazy_itable_init=1,lazy_journal_init=1,nodiscard",
        ];
        let journal = recipe
            .options
            .iter()
            .any(|option| option.contains("^has_journal"));
        let fixed = fixed
            .iter()
            .filter(|option| !journal || !["-J", "size=4"].contains(option));
        let arguments: Vec<&str> = fixed
            .chain(recipe.options)
            .chain(more)
            .copied()
            .chain([path_text(&path), recipe.size])
            .collect();
        tools::run("mke2fs", &arguments);
    }

    /// The file that holds the image.
    pub fn path(&self) -> PathBuf {
        self.folder.join("image")
    }

    /// Opens the file system.
    ///
    /// # Panics
    ///
    /// If its super block is not right.
    pub fn open(&self) -> Fs {
        Fs::open(&self.path()).expect("cannot open the image")
    }

    /// What `debugfs` says to a request.
    ///
    /// # Panics
    ///
    /// If it cannot be started or fails.
    pub fn debugfs(&self, request: &str) -> String {
        tools::run("debugfs", &["-R", request, path_text(&self.path())])
    }

    /// Has `debugfs` change the file system.
    ///
    /// # Panics
    ///
    /// If it cannot be started or complains.
    pub fn debugfs_write(&self, requests: &[&str]) {
        let script = self.folder.join("requests");
        fs::write(&script, requests.join("\n") + "\n").expect("cannot write");
        let path = self.path();
        let arguments = ["-w", "-f", path_text(&script), path_text(&path)];
        let output = tools::try_run("debugfs", &arguments);
        let complaints = String::from_utf8_lossy(&output.stderr).into_owned();
        // The first line is the version.
        assert_eq!(complaints.lines().count(), 1, "debugfs: {complaints}");
    }

    /// What `dumpe2fs` says of the file system.
    ///
    /// # Panics
    ///
    /// If it cannot be started or fails.
    pub fn dumpe2fs(&self) -> String {
        tools::run("dumpe2fs", &[path_text(&self.path())])
    }

    /// Checks that `e2fsck` finds nothing to mend.
    ///
    /// # Panics
    ///
    /// If it does.
    pub fn e2fsck(&self) {
        tools::run("e2fsck", &["-fn", path_text(&self.path())]);
    }

    /// Reads `count` bytes from `offset` on.
    ///
    /// # Panics
    ///
    /// If they cannot be read.
    pub fn read(&self, offset: u64, count: usize) -> Vec<u8> {
        let mut bytes = vec![0; count];
        File::open(self.path())
            .and_then(|file| file.read_exact_at(&mut bytes, offset))
            .expect("cannot read from the image");
        bytes
    }

    /// Overwrites the bytes from `offset` on.
    ///
    /// # Panics
    ///
    /// If they cannot be written.
    pub fn write(&self, offset: u64, bytes: &[u8]) {
        let file = File::options().write(true).open(self.path());
        file.and_then(|file| file.write_all_at(bytes, offset))
            .expect("cannot write to the image");
    }
}

impl Drop for Image {
    fn drop(&mut self) {
        // Nothing can be done about it here, and the system cleans the folder some day.
        let _ = fs::remove_dir_all(&self.folder);
    }
}

fn path_text(path: &Path) -> &str {
    path.to_str()
        .expect("the path of the temporary folder is no text")
}

/// The name of a file in the large directory. They differ in length, and some are not ASCII,
/// which the hashes of names depend on.
fn long_name(number: usize) -> String {
    let start = if number % 10 == 3 {
        "größe-ключ"
    } else {
        "file"
    };
    format!("{start}-{number}-{}", "x".repeat(number * 7 % 200))
}

/// Fills a folder with files of all kinds.
fn populate(folder: &Path) -> std::io::Result<()> {
    fs::create_dir_all(folder.join("deep/one/two/three"))?;
    fs::create_dir(folder.join("few"))?;
    fs::create_dir(folder.join("big"))?;
    for number in 0..2000 {
        File::create(folder.join("big").join(long_name(number)))?;
    }
    for name in ["a", "bb", "ccc"] {
        fs::write(folder.join("few").join(name), name)?;
    }
    fs::write(folder.join("hello"), "hello, world\n")?;
    fs::write(folder.join("deep/one/two/three/end"), vec![0x5a; 10_000])?;
    let made = Command::new("mkfifo").arg(folder.join("pipe")).status()?;
    assert!(made.success(), "mkfifo: {made}");
    symlink("few/a", folder.join("symlink"))?;
    // The longest text that fits an inode, and one more.
    symlink("s".repeat(59), folder.join("symlink-59"))?;
    symlink("s".repeat(60), folder.join("symlink-60"))?;
    symlink("s".repeat(900), folder.join("symlink-900"))?;

    // Holes between all blocks: an extent tree with more than one level.
    let mut fragmented = File::create(folder.join("fragmented"))?;
    for number in 0..1000u64 {
        fragmented.write_all_at(&number.to_le_bytes(), number * 8192)?;
    }
    fragmented.flush()?;
    let sparse = File::create(folder.join("sparse"))?;
    sparse.set_len(5 << 30)?;
    sparse.write_all_at(b"far away", 4 << 30)
}
