// SPDX-License-Identifier: GPL-2.0

//! Directory indexes: the input is cut into blocks, which are the blocks of a directory.

#![no_main]

use libfuzzer_sys::fuzz_target;
use rext4_disk::disk::checksum::crc32c_table;
use rext4_disk::disk::htree::hash::{HashVersion, Hasher};
use rext4_disk::disk::htree::search::{NodeReader, Path};
use rext4_disk::disk::htree::{self, HtreeError, HtreeProblem, IndexFormat};
use rext4_disk::disk::superblock::HashSignedness;
use rext4_disk::disk::units::LogicalBlock;

const SIZE: usize = 1024;

struct Blocks<'a>(&'a [u8]);

impl NodeReader for Blocks<'_> {
    type Error = HtreeError;

    fn with_node<R>(
        &self,
        block: LogicalBlock,
        f: impl FnOnce(&[u8]) -> R,
    ) -> Result<R, HtreeError> {
        let mut blocks = self.0.chunks_exact(SIZE);
        let found = blocks.nth(block.0 as usize).ok_or(HtreeError {
            problem: HtreeProblem::Short,
        })?;
        Ok(f(found))
    }
}

fuzz_target!(|data: &[u8]| {
    let Some((choice, bytes)) = data.split_first() else {
        return;
    };
    let format = IndexFormat {
        has_checksums: choice & 1 != 0,
        large_directories: choice & 2 != 0,
    };
    let signedness = if choice & 4 != 0 {
        HashSignedness::Signed
    } else {
        HashSignedness::Unsigned
    };
    let name = bytes.get(..usize::from(*choice)).unwrap_or_default();
    for number in 0..3 {
        let Ok(version) = HashVersion::from_number(number) else {
            unreachable!("all of them are known");
        };
        let hash = Hasher::new(version, signedness, [1, 2, 3, 4]).hash(name);
        assert_eq!(hash.major & 1, 0);

        let blocks = Blocks(bytes);
        if let Ok(mut path) = Path::to_hash(&blocks, format, hash) {
            let leaf = path.leaf();
            if path.next_with_hash(&blocks, hash) == Ok(false) {
                assert_eq!(path.leaf(), leaf);
            }
        }
    }
    let blocks = Blocks(bytes);
    match Path::to_start(&blocks, format) {
        // Two nodes may lead to the same one, so that a damaged index can be long.
        Ok(mut path) => {
            for _ in 0..10_000 {
                if !matches!(path.next(&blocks), Ok(Some(_))) {
                    break;
                }
            }
        }
        Err(error) => assert!(!error.to_string().is_empty()),
    }

    let seed = rext4_fuzz::inode_seed();
    let mut copy = bytes.to_vec();
    if htree::postpone_checksum(&mut copy, seed).is_ok() {
        assert_eq!(htree::complete_checksum(&mut copy, crc32c_table), Ok(()));
        assert_eq!(htree::verify_checksum(&copy, seed), Ok(()));
    }
});
