# SPDX-License-Identifier: GPL-2.0
"""Changing bytes of an unmounted file system, with and without making checksums fit."""

from __future__ import annotations

import errno
import os
import re
import struct
from pathlib import Path

from .base import Wrong, run
from .filesystem import Filesystem

#: What reading damaged structures may answer: EFSCORRUPTED, EFSBADCRC, EIO.
DAMAGED = (errno.EUCLEAN, errno.EBADMSG, errno.EIO)

SUPER = 1024  # bytes from the start of the device

_TABLE = []
for _value in range(256):
    for _ in range(8):
        _value = _value >> 1 ^ (0x82F63B78 if _value & 1 else 0)
    _TABLE.append(_value)


def crc32c(data: bytes, crc: int = 0xFFFFFFFF) -> int:
    """CRC-32C, not inverted at the end, as ext4 uses it."""
    for byte in data:
        crc = crc >> 8 ^ _TABLE[(crc ^ byte) & 0xFF]
    return crc


class Disk:
    """The bytes of a file system that is not mounted."""

    def __init__(self, filesystem: Filesystem) -> None:
        self._device = filesystem.device
        self._filesystem = filesystem
        self.block_size = 1024 << self.number(SUPER + 0x18, "<I")

    def read(self, at: int, length: int) -> bytes:
        """Bytes from a place."""
        with open(self._device, "rb") as disk:
            disk.seek(at)
            return disk.read(length)

    def write(self, at: int, data: bytes) -> None:
        """Change bytes at a place."""
        with open(self._device, "r+b") as disk:
            disk.seek(at)
            disk.write(data)
            disk.flush()
            os.fsync(disk.fileno())

    def number(self, at: int, form: str) -> int:
        """A number, in struct's notation."""
        return struct.unpack(form, self.read(at, struct.calcsize(form)))[0]

    def flip(self, at: int, mask: int = 0x5A) -> None:
        """Spoil one byte."""
        self.write(at, bytes([self.read(at, 1)[0] ^ mask]))

    def set_super(self, offset: int, form: str, value: int, *, fix: bool = True) -> None:
        """Change a field of the super block, and its checksum with it."""
        self.write(SUPER + offset, struct.pack(form, value))
        has_checksum = self.number(SUPER + 0x64, "<I") & 0x400
        if fix and has_checksum:
            self.write(SUPER + 0x3FC, struct.pack("<I", crc32c(self.read(SUPER, 0x3FC))))

    def _ask(self, what: str) -> str:
        return run("debugfs", "-R", what, self._device)

    def inode(self, path: str) -> int:
        """Where the inode of a path is, in bytes."""
        text = self._ask(f"imap {path}")
        match = re.search(r"located at block (\d+), offset 0x([0-9a-f]+)", text)
        if not match:
            raise Wrong(f"debugfs imap {path}: {text}")
        return int(match[1]) * self.block_size + int(match[2], 16)

    def inode_number(self, path: str) -> int:
        """The number of an inode."""
        match = re.search(r"Inode: (\d+)", self._ask(f"stat {path}"))
        if not match:
            raise Wrong(f"debugfs stat {path}")
        return int(match[1])

    def block(self, path: str, number: int = 0) -> int:
        """Where a block of a file or directory is, in bytes."""
        return int(self._ask(f"bmap {path} {number}").split()[-1]) * self.block_size

    def extent_node(self, path: str) -> int:
        """Where the first node of the extent tree below the inode is, in bytes."""
        for line in self._ask(f"dump_extents {path}").splitlines():
            match = re.match(r"\s*(\d+)/\s*(\d+)\s+\d+/\s*\d+\s+\d+ -\s+\d+\s+(\d+)", line)
            if match and int(match[1]) < int(match[2]):
                return int(match[3]) * self.block_size
        raise Wrong(f"{path} has no extent tree outside its inode")

    def group_field(self, group: int, name: str) -> int:
        """Where a group has its `Block bitmap` and so on, in bytes."""
        found = False
        # Its exit status tells of damage that is there already.
        for line in run("dumpe2fs", self._device, status=None).splitlines():
            if line.startswith("Group "):
                found = line.startswith(f"Group {group}:")
            match = re.search(rf"{name} at (\d+)", line)
            if found and match:
                return int(match[1]) * self.block_size
        raise Wrong(f"dumpe2fs: no `{name}` of group {group}")

    def descriptor(self, group: int) -> int:
        """Where a group descriptor is, in bytes."""
        size = self.number(SUPER + 0xFE, "<H") if self.number(SUPER + 0x60, "<I") & 0x80 else 32
        first = self.number(SUPER + 0x14, "<I") + 1
        return first * self.block_size + group * size


def damaged_mark(filesystem: Filesystem) -> bool:
    """Whether the super block says that there were errors."""
    return "with errors" in filesystem.super_block()["Filesystem state"]


def walk(top: Path) -> int:
    """Look at and read all there is, whatever fails; the number of failures."""
    failures = 0

    def failed(_: OSError) -> None:
        nonlocal failures
        failures += 1

    for directory, _, names in os.walk(top, onerror=failed):
        for name in [".", *names]:
            path = os.path.join(directory, name)
            try:
                os.lstat(path)
                for attribute in os.listxattr(path, follow_symlinks=False):
                    os.getxattr(path, attribute, follow_symlinks=False)
                if os.path.islink(path):
                    os.readlink(path)
                elif os.path.isfile(path):
                    with open(path, "rb") as file:
                        while file.read(1 << 20):
                            pass
            except (OSError, ValueError):
                failures += 1
    return failures
