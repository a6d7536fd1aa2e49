# SPDX-License-Identifier: GPL-2.0
"""Making a mounted file system larger: the call, and what is to be seen of it."""

from __future__ import annotations

import errno
import os
import re
import struct
import subprocess
from pathlib import Path

from . import control
from .base import want
from .filesystem import Filesystem

MIB = 1 << 20
_HEAD = ("Block count", "Reserved block count", "Overhead clusters", "Inode count", "Free blocks", "Free inodes",
         "Reserved GDT blocks", "First meta block group", "Filesystem features")
_GROUP = r"Group \d+:|  (?:Primary|Backup|Block bitmap|Inode bitmap|Inode table|Reserved|Group desc|\d+ free)"


def resize(top: Path, blocks: int) -> None:
    """The whole way or not at all."""
    control.call(top, control.RESIZE_FS, struct.pack("Q", blocks))


def geometry(filesystem: Filesystem, *options: str) -> list[str]:
    """What dumpe2fs says of sizes, groups and copies of the super block.

    Without checksums and flags of groups: what was written to in between is not the same. With options it may
    be a copy, whose checksums of bitmaps are old.
    """
    words = ["dumpe2fs", *options, filesystem.device]
    text = subprocess.run(words, check=not options, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL).stdout.decode()
    wanted = rf"(?m)^(?:(?:{'|'.join(_HEAD)}):|{_GROUP}).*"
    lines = [re.sub(r",? csum 0x\w+| \[.*|, \d+ unused inodes", "", line) for line in re.findall(wanted, text)]
    # Only a mount has these.
    return [re.sub(r" needs_recovery| orphan_present", "", line) for line in lines]


def settled(lines: list[str]) -> list[str]:
    """Of the geometry what does not change when files do."""
    return [line for line in lines if " free" not in line and "Free" not in line]


def fill(path: Path) -> int:
    """Write until there is no space; how many bytes there are then."""
    chunk = os.urandom(MIB)
    with open(path, "wb", buffering=0) as file:
        try:
            while file.write(chunk) == len(chunk):
                pass
        except OSError as error:
            want(error.errno, errno.ENOSPC, "the error of a full disk")
        os.fsync(file.fileno())
    return path.stat().st_size
