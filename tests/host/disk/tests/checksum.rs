// SPDX-License-Identifier: GPL-2.0

//! Checksums against known values.

use rext4_disk::disk::checksum::{crc16, crc32c_table, Crc32c, FsSeed};
use rext4_disk::disk::units::InodeNumber;

/// The text that catalogues of checksums give the value of.
const CHECK: &[u8] = b"123456789";

#[test]
fn crc32c_of_the_check_text() {
    // The catalogue's value is inverted at the end, which ext4 does not do.
    assert_eq!(!crc32c_table(!0, CHECK), 0xe306_9283);
}

/// The examples of RFC 3720, appendix B.4, whose values are inverted too.
#[test]
fn crc32c_of_the_iscsi_examples() {
    let up: Vec<u8> = (0..32).collect();
    let down: Vec<u8> = (0..32).rev().collect();
    for (bytes, value) in [
        (vec![0; 32], 0x8a91_36aa),
        (vec![0xff; 32], 0x62a8_ab43),
        (up, 0x46dd_794e),
        (down, 0x113f_db5c),
    ] {
        assert_eq!(!crc32c_table(!0, &bytes), value);
    }
}

#[test]
fn crc16_of_the_check_text() {
    assert_eq!(crc16(0, CHECK), 0xbb3d);
}

#[test]
fn in_steps_as_at_once() {
    for cut in 0..=CHECK.len() {
        let (first, second) = CHECK.split_at(cut);
        assert_eq!(crc16(crc16(!0, first), second), crc16(!0, CHECK));
        let steps = Crc32c::new(crc32c_table).with(first).with(second);
        assert_eq!(steps.value(), crc32c_table(!0, CHECK));
    }
}

#[test]
fn zeros_and_numbers_are_bytes() {
    let start = Crc32c::new(crc32c_table).with(CHECK);
    for count in [
        0,
        1,
        2,
        63,
        64,
        65,
        200,
        1023,
        1024,
        4095,
        4096,
        65_536,
        1 << 20,
    ] {
        let zeros = vec![0; count];
        assert_eq!(start.with_zeros(count).value(), start.with(&zeros).value());
    }
    let bytes = start.with(&[0x78, 0x56, 0x34, 0x12]);
    assert_eq!(start.with_u32(0x1234_5678).value(), bytes.value());
}

#[test]
fn seeds() {
    let uuid = *b"0123456789abcdef";
    let seed = FsSeed::of_uuid(crc32c_table, &uuid);
    assert_eq!(seed.value(), crc32c_table(!0, &uuid));
    let stored = FsSeed::stored(crc32c_table, seed.value());
    let inode = stored.inode(InodeNumber(12), 0x0102_0304);
    let bytes = [&uuid[..], &[12, 0, 0, 0, 4, 3, 2, 1], CHECK].concat();
    assert_eq!(inode.checksum(CHECK), crc32c_table(!0, &bytes));
}
