// SPDX-License-Identifier: GPL-2.0

//! Inodes.

#![no_main]

use libfuzzer_sys::fuzz_target;
use rext4_disk::disk::inode::{Content, Inode, Timestamp};
use rext4_disk::disk::layout::Layout;
use rext4_disk::disk::units::PhysicalBlock;
use rext4_disk::disk::xattr::Xattrs;

fn read(layout: &Layout, inode: &Inode<&[u8]>) {
    let _ = (
        inode.uid(),
        inode.gid(),
        inode.sectors(layout),
        inode.version(),
    );
    for time in [
        Some(inode.atime()),
        Some(inode.ctime()),
        Some(inode.mtime()),
        inode.crtime(),
    ] {
        let time = time.unwrap_or_default();
        assert!((Timestamp::MIN_SECONDS..=Timestamp::MAX_SECONDS).contains(&time.seconds));
        assert!(time.nanoseconds < 1_000_000_000);
    }
    match inode.check(layout) {
        Ok(()) => {
            assert!(layout.block_size().blocks_for(inode.size(layout)) < 1 << 32);
            if let Some(block) = inode.xattr_block(layout) {
                assert!(layout.contains(block, 1));
            }
        }
        Err(error) => assert!(!error.to_string().is_empty()),
    }
    if let Ok(Content::Symlink(text)) = inode.content(layout) {
        assert_eq!(text.len() as u64, inode.size(layout));
    }
    if let Ok(Some(xattrs)) = Xattrs::in_inode(inode.xattr_area().unwrap_or_default()) {
        let _ = xattrs.iter().count();
    }
}

fuzz_target!(|data: &[u8]| {
    let Some((layout, bytes)) = rext4_fuzz::choose_layout(data) else {
        return;
    };
    let Ok(inode) = Inode::from_bytes(bytes) else {
        return;
    };
    read(&layout, &inode);
    let seed = rext4_fuzz::inode_seed();
    let _ = inode
        .verify_checksum(seed)
        .map_err(|error| error.to_string());

    let mut copy = bytes.to_vec();
    let Ok(mut inode) = Inode::from_bytes(&mut copy[..]) else {
        unreachable!("it was one before");
    };
    let wanted = inode.uid() % 256;
    if inode.set_extra_size(wanted) {
        assert_eq!(inode.extra_size(), wanted as usize);
        let area = inode.xattr_area_mut().unwrap_or_default();
        assert!(area.iter().all(|&byte| byte == 0));
    }
    let time = Timestamp {
        seconds: i64::MIN,
        nanoseconds: u32::MAX,
    };
    inode.set_mtime(time);
    inode.set_crtime(time);
    inode.set_version(u64::MAX);
    inode.set_uid(u32::MAX);
    inode.set_xattr_block(Some(PhysicalBlock(u64::MAX)));
    let before = inode.sectors(&layout);
    if inode.set_sectors(&layout, before).is_ok() {
        assert!(inode.sectors(&layout) <= before);
    }
    assert_eq!(inode.mtime().seconds, Timestamp::MIN_SECONDS);
    inode.update_checksum(seed);
    assert_eq!(inode.verify_checksum(seed), Ok(()));
    read(
        &layout,
        &Inode::from_bytes(&copy[..]).unwrap_or_else(|_| unreachable!()),
    );
});
