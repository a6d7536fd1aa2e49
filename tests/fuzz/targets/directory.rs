// SPDX-License-Identifier: GPL-2.0

//! Blocks of directory entries.

#![no_main]

use libfuzzer_sys::fuzz_target;
use rext4_disk::disk::checksum::crc32c_table;
use rext4_disk::disk::dirent::{self, DirBlock, DirBlockMut, Walk};
use rext4_disk::disk::file_type::FileType;
use rext4_disk::disk::units::InodeNumber;

const INODES: u32 = 65536;
const NEW: &[u8] = b"a name that is not there yet";

/// The names in a block, or `None` if it is damaged.
fn names(block: DirBlock<'_>) -> Option<Vec<Vec<u8>>> {
    let names = block
        .entries()
        .map(|entry| entry.map(|entry| entry.name.to_vec()));
    names.collect::<Result<_, _>>().ok()
}

fuzz_target!(|data: &[u8]| {
    let Some((choice, bytes)) = data.split_first() else {
        return;
    };
    let has_tail = choice & 1 != 0;
    let block = DirBlock::new(bytes, INODES, has_tail);
    for entry in block.records() {
        match entry {
            Ok(entry) => assert!(entry.end() <= bytes.len() && entry.name.len() <= 255),
            Err(error) => assert!(!error.to_string().is_empty()),
        }
    }
    let seed = rext4_fuzz::inode_seed();
    let _ = dirent::verify_checksum(bytes, seed).map_err(|error| error.to_string());

    let before = names(block);
    let mut copy = bytes.to_vec();
    let mut changed = DirBlockMut::new(&mut copy, INODES, has_tail);
    let done = changed.insert(NEW, InodeNumber(INODES), Some(FileType::Fifo));
    let Some(before) = before else {
        // Whatever was done, nothing lies outside of the block.
        let _ = changed.remove(NEW, Walk::default());
        return;
    };
    // A whole block stays whole, and has one name more if there was room.
    let after = names(changed.as_block()).expect("insertion damaged the block");
    assert_eq!(after.len(), before.len() + usize::from(done == Ok(true)));
    for name in before.iter().step_by(2) {
        let (_, place) = changed
            .as_block()
            .find_place(name)
            .unwrap()
            .expect("it is there");
        assert_eq!(changed.remove(name, place), Ok(true));
        assert!(names(changed.as_block()).is_some() || is_dot_last(changed.as_block()));
        if is_dot_last(changed.as_block()) {
            return;
        }
    }
    if let Some(name) = before.get(1) {
        let _ = changed.replace(name, InodeNumber(1), None);
    }
    if dirent::postpone_checksum(&mut copy, seed).is_ok() {
        assert_eq!(dirent::complete_checksum(&mut copy, crc32c_table), Ok(()));
        assert_eq!(dirent::verify_checksum(&copy, seed), Ok(()));
    }
});

/// The removal of `..` leaves `.` at the end, which callers never ask for and is damage.
fn is_dot_last(block: DirBlock<'_>) -> bool {
    block.records().any(|entry| entry.is_err())
}
