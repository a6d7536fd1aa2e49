// SPDX-License-Identifier: GPL-2.0

//! Reading a file system through `rext4-disk`.

use rext4_disk::disk::checksum::{crc32c_table, FsSeed, InodeSeed};
use rext4_disk::disk::dirent::{self, DirBlock};
use rext4_disk::disk::error::Corrupt;
use rext4_disk::disk::extent::{self, DataArea, Extent, Node, Place};
use rext4_disk::disk::group_desc::{GroupDesc, GroupDescChecksum};
use rext4_disk::disk::htree;
use rext4_disk::disk::inode::{Content, Inode, InodeFlags};
use rext4_disk::disk::layout::Layout;
use rext4_disk::disk::superblock::{Superblock, SUPERBLOCK_OFFSET, SUPERBLOCK_SIZE};
use rext4_disk::disk::units::{GroupNumber, InodeNumber, LogicalBlock, PhysicalBlock};
use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::path::Path;

/// A block of a directory.
pub struct DirectoryBlock {
    /// Where in the directory it is.
    pub logical: LogicalBlock,
    /// Where on the device it is.
    pub physical: PhysicalBlock,
    /// Its content.
    pub bytes: Vec<u8>,
    /// Whether it is a node of the directory's index.
    pub is_index: bool,
}

/// A file system in an image. Methods panic where the image itself cannot be read.
pub struct Fs {
    file: File,
    superblock: Vec<u8>,
    layout: Layout,
    seed: Option<FsSeed>,
}

impl Fs {
    /// Opens the file system in an image, and checks its super block.
    ///
    /// # Errors
    ///
    /// What is wrong with the super block.
    pub fn open(path: &Path) -> Result<Self, Corrupt> {
        let file = File::open(path).expect("cannot open the image");
        let mut bytes = vec![0; SUPERBLOCK_SIZE];
        file.read_exact_at(&mut bytes, SUPERBLOCK_OFFSET)
            .expect("cannot read the super block");
        let superblock = Superblock::from_bytes(&bytes)?;
        superblock.verify_checksum(crc32c_table)?;
        let layout = superblock.layout()?;
        let seed = superblock.checksum_seed(crc32c_table);
        Ok(Self {
            file,
            superblock: bytes,
            layout,
            seed,
        })
    }

    /// The super block.
    pub fn superblock(&self) -> &Superblock {
        Superblock::from_bytes(&self.superblock).expect("checked when the image was opened")
    }

    /// The geometry.
    pub fn layout(&self) -> &Layout {
        &self.layout
    }

    /// What checksums start from, if there are any.
    pub fn seed(&self) -> Option<FsSeed> {
        self.seed
    }

    /// How group descriptors are checksummed.
    pub fn descriptor_checksum(&self) -> GroupDescChecksum {
        use rext4_disk::disk::features::Feature;
        match self.seed {
            Some(seed) => GroupDescChecksum::Crc32c(seed),
            None if self.superblock().features().has(Feature::GDT_CSUM) => {
                GroupDescChecksum::Crc16 {
                    uuid: *self.superblock().uuid(),
                }
            }
            None => GroupDescChecksum::None,
        }
    }

    /// The content of a block.
    pub fn block(&self, at: PhysicalBlock) -> Vec<u8> {
        let size = self.layout.block_size();
        let mut bytes = vec![0; size.size()];
        let offset = size.byte_of_physical(at).expect("no such block");
        self.file
            .read_exact_at(&mut bytes, offset)
            .unwrap_or_else(|error| panic!("cannot read block {at}: {error}"));
        bytes
    }

    /// The block that holds the descriptor of `group`.
    pub fn descriptor_block(&self, group: GroupNumber) -> (PhysicalBlock, Vec<u8>) {
        let place = self.layout.place_of_descriptor(group).expect("no group");
        let at = self.layout.descriptor_block(place.block).expect("no block");
        (at, self.block(at))
    }

    /// The bytes of an inode, and where on the device they are.
    pub fn inode_bytes(&self, number: InodeNumber) -> Result<(u64, Vec<u8>), Corrupt> {
        let place = self.layout.place_of_inode(number).expect("no such inode");
        let (_, block) = self.descriptor_block(place.group);
        let desc = GroupDesc::in_block(&block[..], &self.layout, place.group)?;
        let at = PhysicalBlock(desc.inode_table().0 + u64::from(place.block));
        let start = place.offset as usize;
        let end = start + self.layout.inode_size() as usize;
        let offset = (at.0 << self.layout.block_size().bits()) + u64::from(place.offset);
        Ok((offset, self.block(at)[start..end].to_vec()))
    }

    /// The bytes of an inode that is in use, checked.
    ///
    /// # Errors
    ///
    /// What is wrong with it.
    pub fn inode(&self, number: InodeNumber) -> Result<Vec<u8>, Corrupt> {
        let (_, bytes) = self.inode_bytes(number)?;
        let inode = Inode::from_bytes(&bytes[..])?;
        if let Some(seed) = self.seed {
            inode.verify_checksum(inode.seed(seed, number))?;
        }
        inode.check(&self.layout)?;
        Ok(bytes)
    }

    /// What the checksums of an inode's blocks start from, if there are any.
    pub fn inode_seed(&self, number: InodeNumber, inode: &Inode<&[u8]>) -> Option<InodeSeed> {
        self.seed.map(|seed| inode.seed(seed, number))
    }

    /// All extents of an inode, and the nodes of the tree that are blocks.
    ///
    /// # Errors
    ///
    /// What is wrong with a node.
    pub fn extents(
        &self,
        number: InodeNumber,
    ) -> Result<(Vec<Extent>, Vec<PhysicalBlock>), Corrupt> {
        let bytes = self.inode(number)?;
        let inode = Inode::from_bytes(&bytes[..])?;
        let (mut extents, mut nodes) = (Vec::new(), Vec::new());
        if let Content::Extents(root) = inode.content(&self.layout)? {
            let seed = self.inode_seed(number, &inode);
            let node = Node::parse(root, Place::Root)?;
            self.collect(node, seed, &mut extents, &mut nodes)?;
        }
        Ok((extents, nodes))
    }

    fn collect(
        &self,
        node: Node<'_>,
        seed: Option<InodeSeed>,
        extents: &mut Vec<Extent>,
        nodes: &mut Vec<PhysicalBlock>,
    ) -> Result<(), Corrupt> {
        let area = DataArea {
            first: PhysicalBlock(self.layout.superblock_at().0 + 1),
            end: PhysicalBlock(self.layout.blocks_count()),
        };
        node.check(area)?;
        for slot in 0..node.len() {
            if node.depth() == 0 {
                extents.push(node.extent(slot, area)?);
                continue;
            }
            let (_, at) = node.child(slot, area)?;
            let block = self.block(at);
            if let Some(seed) = seed {
                extent::verify_checksum(&block, at, seed)?;
            }
            nodes.push(at);
            self.collect(Node::parse(&block, Place::Block(at))?, seed, extents, nodes)?;
        }
        Ok(())
    }

    /// The content of a file, for sizes that fit memory. Symbolic links are files here.
    ///
    /// # Errors
    ///
    /// What is wrong with the inode or its extents.
    pub fn read(&self, number: InodeNumber) -> Result<Vec<u8>, Corrupt> {
        let bytes = self.inode(number)?;
        let inode = Inode::from_bytes(&bytes[..])?;
        let mut content = vec![0; inode.size(&self.layout) as usize];
        match inode.content(&self.layout)? {
            Content::Symlink(text) => content.copy_from_slice(text),
            Content::Extents(_) => {
                let size = self.layout.block_size().size();
                for extent in self.extents(number)?.0 {
                    for step in 0..extent.len() {
                        let start = (extent.logical().0 + step) as usize * size;
                        let at = PhysicalBlock(extent.physical().0 + u64::from(step));
                        let Some(to) = content.get_mut(start..) else {
                            continue;
                        };
                        let length = to.len().min(size);
                        to[..length].copy_from_slice(&self.block(at)[..length]);
                    }
                }
            }
            other => panic!("inode {number} has {other:?}"),
        }
        Ok(content)
    }

    /// All blocks of a directory, checksums checked.
    ///
    /// # Errors
    ///
    /// What is wrong with the inode, its extents or a block.
    pub fn directory(&self, number: InodeNumber) -> Result<Vec<DirectoryBlock>, Corrupt> {
        let bytes = self.inode(number)?;
        let inode = Inode::from_bytes(&bytes[..])?;
        let has_index = inode.flags().has(InodeFlags::INDEX);
        let mut blocks = Vec::new();
        for extent in self.extents(number)?.0 {
            for step in 0..extent.len() {
                let logical = LogicalBlock(extent.logical().0 + step);
                let physical = PhysicalBlock(extent.physical().0 + u64::from(step));
                let bytes = self.block(physical);
                let is_index = has_index && (logical.0 == 0 || htree::is_node(&bytes));
                if let Some(seed) = self.inode_seed(number, &inode) {
                    if is_index {
                        htree::verify_checksum(&bytes, seed)?;
                    } else {
                        dirent::verify_checksum(&bytes, seed)?;
                    }
                }
                blocks.push(DirectoryBlock {
                    logical,
                    physical,
                    bytes,
                    is_index,
                });
            }
        }
        Ok(blocks)
    }

    /// The entries of a directory's block.
    pub fn entries<'a>(&self, block: &'a DirectoryBlock) -> DirBlock<'a> {
        let has_tail = self.seed.is_some() && !block.is_index;
        DirBlock::new(&block.bytes, self.layout.inodes_count(), has_tail)
    }

    /// All entries of a directory: name, inode and the type of the file as a number.
    ///
    /// # Errors
    ///
    /// What is wrong with the directory.
    pub fn list(&self, number: InodeNumber) -> Result<Vec<(Vec<u8>, InodeNumber, u8)>, Corrupt> {
        let mut list = Vec::new();
        for block in self.directory(number)? {
            for entry in self.entries(&block).entries() {
                let entry = entry?;
                let inode = entry.inode.expect("an entry in use has an inode");
                list.push((entry.name.to_vec(), inode, entry.file_type));
            }
        }
        Ok(list)
    }

    /// The inode at a path from the root directory on.
    ///
    /// # Panics
    ///
    /// If there is none, or a directory on the way is not right.
    pub fn find(&self, path: &str) -> InodeNumber {
        let parts = path.split('/').filter(|part| !part.is_empty());
        parts.fold(InodeNumber::ROOT, |folder, part| {
            let list = self.list(folder).expect("bad directory");
            list.iter()
                .find(|(name, _, _)| name == part.as_bytes())
                .unwrap_or_else(|| panic!("no {part:?} of {path:?}"))
                .1
        })
    }
}
