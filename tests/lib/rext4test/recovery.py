# SPDX-License-Identifier: GPL-2.0
"""After a crash: both file systems recover, and both judges look."""

from __future__ import annotations

from pathlib import Path
from typing import Callable

from . import manifest
from .base import FSTYPE, check, say
from .filesystem import Filesystem
from .mapper import Copy

#: Where recovered copies are mounted.
MOUNTPOINT = Path("/mnt/recovered")


def no_stray_blocks(path: Path, block_size: int) -> None:
    """Nothing is allocated beyond the end of the file."""
    with open(path, "rb") as file:
        extents = manifest.fiemap(file.fileno())
    if extents:
        logical, _, length, _ = extents[-1]
        end = -(-path.stat().st_size // block_size) * block_size
        check(logical + length <= end,
              f"{path.name}: blocks up to byte {logical + length}, {path.stat().st_size} bytes long")


def recover(device: str, look: Callable[[Path], None], fstype: str) -> None:
    """Mount (which recovers), look, unmount, e2fsck, look once more with C ext4."""
    filesystem = Filesystem(device, MOUNTPOINT)
    with filesystem.mounted(fstype=fstype) as top:
        look(top)
    filesystem.fsck()
    if fstype != "ext4":
        with filesystem.reference() as top:
            look(top)


def recover_both(copies: list[Copy], look: Callable[[Path], None]) -> None:
    """One copy recovers with the file system under test, the other with C ext4."""
    one, other = copies
    with one, other:
        for copy, fstype in ((one, FSTYPE), (other, "ext4")):
            say(f"   recovery with {fstype}")
            recover(copy.device, look, fstype)
