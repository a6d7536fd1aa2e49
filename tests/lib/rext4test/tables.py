# SPDX-License-Identifier: GPL-2.0
"""Inode tables on the device: what of them was never used, and whether that is zero."""

from __future__ import annotations

import dataclasses
import os
import re

from . import direct
from .base import check, run
from .filesystem import Filesystem


@dataclasses.dataclass(frozen=True)
class Table:
    """The inode table of one group, with how many of its inodes were ever used; `start` and the others are bytes
    of the device."""

    group: int
    zeroed: bool  # as the descriptor has it
    used: int
    per_group: int
    start: int
    unused: int
    end: int


def tables(device: str) -> list[Table]:
    """Those of all groups, as the descriptors have them now."""
    text = run("dumpe2fs", device)
    head = dict(re.findall(r"^([A-Z][\w ]+): +(\d+)$", text, re.M))
    block, inode, count = (int(head[name]) for name in ("Block size", "Inode size", "Inodes per group"))
    found = []
    for part in re.split(r"^Group (?=\d+:)", text, flags=re.M)[1:]:
        first, last = (int(number) * block for number in
                       re.search(r"Inode table at (\d+)-(\d+)", part).groups())  # type: ignore[union-attr]
        free = re.search(r"(\d+) unused inodes", part)
        used = 0 if "INODE_UNINIT" in part else count - (int(free[1]) if free else 0)
        found.append(Table(int(part.split(":")[0]), "ITABLE_ZEROED" in part, used, count,
                           first, first + used * inode, last + block))
    return found


def zeroed(device: str) -> int:
    """How many of them are said to be zero."""
    return sum(table.zeroed for table in tables(device))


def garbage(filesystem: Filesystem) -> list[int]:
    """The groups that are said to be zero behind what was used, and are not. On an unmounted device or a file."""
    bad = []
    plain = os.path.isfile(filesystem.device)
    descriptor = os.open(filesystem.device, os.O_RDONLY | (0 if plain else os.O_DIRECT))
    with open(descriptor, "rb", buffering=0) as disk:
        for table in tables(filesystem.device):
            memory = direct.aligned(table.end - table.start)
            disk.seek(table.start)
            check(disk.readinto(memory) == len(memory), "a table behind the end of the device")
            unused = bytes(memory[table.unused - table.start:])
            if table.zeroed and unused.count(0) < len(unused):
                bad.append(table.group)
    return bad
