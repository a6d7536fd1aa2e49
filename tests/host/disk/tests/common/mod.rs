// SPDX-License-Identifier: GPL-2.0

//! What several tests need.

/// Writes a little-endian number of `size` bytes.
pub fn put(bytes: &mut [u8], offset: usize, size: usize, value: u64) {
    bytes[offset..offset + size].copy_from_slice(&value.to_le_bytes()[..size]);
}

/// A super block with 4 KiB blocks, eight groups of 32768 blocks and 8192 inodes, the last group
/// short, and the default features. It has no checksum yet.
pub fn superblock() -> Vec<u8> {
    let mut bytes = vec![0; 1024];
    for (offset, size, value) in [
        (0x00, 4, 8 * 8192),         // s_inodes_count
        (0x04, 4, 7 * 32768 + 1000), // s_blocks_count_lo
        (0x18, 4, 2),                // s_log_block_size
        (0x1c, 4, 2),                // s_log_cluster_size
        (0x20, 4, 32768),            // s_blocks_per_group
        (0x24, 4, 32768),            // s_clusters_per_group
        (0x28, 4, 8192),             // s_inodes_per_group
        (0x38, 2, 0xef53),           // s_magic
        (0x3a, 2, 1),                // s_state
        (0x4c, 4, 1),                // s_rev_level
        (0x54, 4, 11),               // s_first_ino
        (0x58, 2, 256),              // s_inode_size
        (0x5c, 4, 0x103c),           // s_feature_compat
        (0x60, 4, 0x22c2),           // s_feature_incompat
        (0x64, 4, 0x046b),           // s_feature_ro_compat
        (0xce, 2, 127),              // s_reserved_gdt_blocks
        (0xe0, 4, 8),                // s_journal_inum
        (0xfe, 2, 64),               // s_desc_size
        (0x15c, 2, 32),              // s_min_extra_isize
        (0x15e, 2, 32),              // s_want_extra_isize
        (0x174, 1, 4),               // s_log_groups_per_flex
        (0x175, 1, 1),               // s_checksum_type
        (0x270, 4, 0x1234_5678),     // s_checksum_seed
        (0x280, 4, 12),              // s_orphan_file_inum
    ] {
        put(&mut bytes, offset, size, value);
    }
    bytes
}
