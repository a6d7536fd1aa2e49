// SPDX-License-Identifier: GPL-2.0

//! Damage to a real file system: each flipped bit is found, and called by its name.

use rext4_disk::disk::bitmap::BitmapError;
use rext4_disk::disk::dirent::DirProblem;
use rext4_disk::disk::error::Corrupt;
use rext4_disk::disk::extent::Fault;
use rext4_disk::disk::group_desc::{GroupDesc, GroupDescProblem, GroupPart};
use rext4_disk::disk::htree::HtreeProblem;
use rext4_disk::disk::inode::{Inode, InodeError};
use rext4_disk::disk::orphan_file::OrphanFileError;
use rext4_disk::disk::superblock::SuperblockError;
use rext4_disk::disk::units::{GroupNumber, PhysicalBlock};
use rext4_disk::disk::xattr::XattrProblem;
use rext4_image::{check, Fs, Image, RECIPES};

/// A place on the device to flip a bit at, and whether an error is the one that this must give.
struct Case {
    name: &'static str,
    /// In bytes from the start of the device.
    offset: u64,
    is_right: fn(&Corrupt) -> bool,
}

/// A place in each kind of structure. All of these have a checksum.
fn cases(fs: &Fs) -> Vec<Case> {
    let bits = fs.layout().block_size().bits();
    let size = u64::from(fs.layout().block_size().bytes());
    let (descriptors, block) = fs.descriptor_block(GroupNumber(0));
    let desc = GroupDesc::in_block(&block[..], fs.layout(), GroupNumber(0)).unwrap();
    let (hello, _) = fs.inode_bytes(fs.find("hello")).unwrap();
    let few = fs.directory(fs.find("few")).unwrap()[0].physical;
    let big = fs.directory(fs.find("big")).unwrap();
    let index = big.iter().rfind(|block| block.is_index).unwrap().physical;
    let leaf = big.iter().rfind(|block| !block.is_index).unwrap().physical;
    let node = *fs.extents(fs.find("fragmented")).unwrap().1.last().unwrap();
    let orphans = fs.superblock().orphan_file_inode().unwrap();
    let orphans = fs.extents(orphans).unwrap().0[0].physical();
    let xattrs = fs
        .list(fs.find("big"))
        .unwrap()
        .into_iter()
        .find_map(|(_, number, _)| {
            let bytes = fs.inode(number).ok()?;
            Inode::from_bytes(&bytes[..]).ok()?.xattr_block(fs.layout())
        });
    let byte = |block: PhysicalBlock| block.0 << bits;
    let case = |name, offset, is_right| Case {
        name,
        offset,
        is_right,
    };

    vec![
        case("super block", 1024 + 0x88, |error| {
            matches!(error, Corrupt::Superblock(SuperblockError::Checksum(_)))
        }),
        case(
            "group descriptor",
            byte(descriptors) + 0x10,
            |error| match error {
                Corrupt::GroupDesc(error) => {
                    error.group == GroupNumber(0)
                        && matches!(error.problem, GroupDescProblem::Checksum(_))
                }
                _ => false,
            },
        ),
        case(
            "block bitmap",
            byte(desc.block_bitmap()) + 100,
            |error| match error {
                Corrupt::Bitmap(BitmapError::Checksum { part, .. }) => {
                    *part == GroupPart::BlockBitmap
                }
                _ => false,
            },
        ),
        case(
            "inode bitmap",
            byte(desc.inode_bitmap()) + 100,
            |error| match error {
                Corrupt::Bitmap(BitmapError::Checksum { part, .. }) => {
                    *part == GroupPart::InodeBitmap
                }
                _ => false,
            },
        ),
        case("inode", hello + 0x2a, is_inode_checksum),
        case("end of an inode", hello + 0xfe, is_inode_checksum),
        case("extent node", byte(node) + 40, |error| match error {
            Corrupt::Extent(error) => matches!(error.fault, Fault::Checksum(_)),
            _ => false,
        }),
        case("directory", byte(few) + 10, is_directory_checksum),
        case(
            "end of a directory",
            byte(few) + size - 1,
            is_directory_checksum,
        ),
        case("leaf of an index", byte(leaf) + 30, is_directory_checksum),
        case("node of an index", byte(index) + 60, |error| match error {
            Corrupt::Htree(error) => matches!(error.problem, HtreeProblem::Checksum(_)),
            _ => false,
        }),
        case(
            "attributes",
            byte(xattrs.unwrap()) + size - 4,
            |error| match error {
                Corrupt::Xattr(error) => matches!(error.problem, XattrProblem::Checksum(_)),
                _ => false,
            },
        ),
        case("orphan file", byte(orphans) + 8, |error| {
            matches!(error, Corrupt::OrphanFile(OrphanFileError::Checksum(_)))
        }),
    ]
}

fn is_inode_checksum(error: &Corrupt) -> bool {
    matches!(error, Corrupt::Inode(InodeError::Checksum(_)))
}

fn is_directory_checksum(error: &Corrupt) -> bool {
    match error {
        Corrupt::Dir(error) => matches!(error.problem, DirProblem::Checksum(_)),
        _ => false,
    }
}

#[test]
fn flipped_bits() {
    for recipe in &RECIPES[..3] {
        let image = Image::filled(recipe);
        let fs = image.open();
        for case in cases(&fs) {
            let byte = image.read(case.offset, 1)[0];
            for bit in [0, 5] {
                image.write(case.offset, &[byte ^ 1 << bit]);
                let error = Fs::open(&image.path())
                    .and_then(|fs| check::everything(&fs))
                    .expect_err(case.name);
                println!("{}: {}: {error}", recipe.name, case.name);
                assert!((case.is_right)(&error), "{}: {error:?}", case.name);
            }
            image.write(case.offset, &[byte]);
        }
        // All was put right again.
        check::everything(&image.open()).unwrap();
    }
}
