// SPDX-License-Identifier: GPL-2.0

//! Extended attributes, in a block and in an inode.

#![no_main]

use libfuzzer_sys::fuzz_target;
use rext4_disk::disk::units::PhysicalBlock;
use rext4_disk::disk::xattr::{self, Value, XattrError, Xattrs};

fn read(xattrs: Result<Option<Xattrs<'_>>, XattrError>, bytes: usize) {
    let xattrs = match xattrs {
        Ok(Some(xattrs)) => xattrs,
        Ok(None) => return,
        Err(error) => {
            assert!(!error.to_string().is_empty());
            return;
        }
    };
    for xattr in xattrs.iter() {
        if let Value::Bytes(value) = xattr.value {
            assert!(value.len() < bytes);
        }
        let _ = xattr.verify_hash().map_err(|error| error.to_string());
        let found = xattrs.find(xattr.index, xattr.name).expect("it is there");
        assert_eq!((found.index, found.name), (xattr.index, xattr.name));
    }
}

fuzz_target!(|data: &[u8]| {
    read(Xattrs::in_inode(data), data.len());
    read(Xattrs::in_block(data).map(Some), data.len());

    let (at, seed) = (PhysicalBlock(99), rext4_fuzz::fs_seed());
    let mut copy = data.to_vec();
    if xattr::update_checksum(&mut copy, at, seed).is_ok() {
        assert_eq!(xattr::verify_checksum(&copy, at, seed), Ok(()));
        assert!(xattr::block_references(&copy).is_ok());
    }
});
