// SPDX-License-Identifier: GPL-2.0

//! Blocks of the orphan file.

#![no_main]

use libfuzzer_sys::fuzz_target;
use rext4_disk::disk::checksum::crc32c_table;
use rext4_disk::disk::orphan_file::OrphanBlock;
use rext4_disk::disk::units::{InodeNumber, PhysicalBlock};

fuzz_target!(|data: &[u8]| {
    let (at, seed) = (PhysicalBlock(99), rext4_fuzz::inode_seed());
    match OrphanBlock::from_bytes(data) {
        Ok(orphans) => {
            let _ = orphans
                .verify_checksum(seed, at)
                .map_err(|error| error.to_string());
            assert!(orphans
                .orphans()
                .all(|(slot, inode)| slot < orphans.slots() && inode.0 != 0));
        }
        Err(error) => {
            assert!(!error.to_string().is_empty());
            return;
        }
    }
    let mut copy = data.to_vec();
    let Ok(mut orphans) = OrphanBlock::from_bytes(&mut copy[..]) else {
        unreachable!("it was one before");
    };
    let count = orphans.orphans().count();
    if let Some(slot) = orphans.empty_slot() {
        assert_eq!(orphans.fill(slot, InodeNumber(7)), Ok(()));
        assert!(orphans.fill(slot, InodeNumber(8)).is_err());
        assert_eq!(orphans.orphans().count(), count + 1);
        assert_eq!(orphans.clear(slot), Ok(()));
    }
    assert!(orphans.fill(orphans.slots(), InodeNumber(7)).is_err());
    orphans.update_checksum(seed, at);
    assert_eq!(orphans.verify_checksum(seed, at), Ok(()));
    orphans.postpone_checksum(seed);
    orphans.complete_checksum(at, crc32c_table);
    assert_eq!(orphans.verify_checksum(seed, at), Ok(()));
});
