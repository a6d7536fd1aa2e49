# SPDX-License-Identifier: GPL-2.0
"""Devices that hold back data, but for what the journal writes."""

from __future__ import annotations

import re
from typing import Sequence

from .base import check
from .filesystem import Filesystem
from .mapper import SECTOR, linear, sectors


def slowly(device: str, quick: list[tuple[int, int]], delay: int,
           others: Sequence[tuple[int, int, int]] = ()) -> list[str]:
    """A table for a device whose writes take so many ms, but for those to some sectors (starts and ends, in order),
    such as the journal's. `others` have delays of their own."""
    def slow(start: int, end: int, delay: int) -> str:
        place = f"{device} {start}"
        return f"{start} {end - start} delay {place} 0 {place} {delay} {place} 0"

    table, at = [], 0
    for start, end, own in sorted([*((*place, 0) for place in quick), *others, (sectors(device), 0, 0)]):
        if at < start:
            table.append(slow(at, start, delay))
        if start < end:
            table.append(slow(start, end, own) if own else linear(device, start, end - start, start))
        at = end
    return table


def journal_places(filesystem: Filesystem) -> list[tuple[int, int]]:
    """Where the journal is, in sectors: starts and ends, in order."""
    extents = re.findall(r"(\d+) -\s*(\d+)\s+\d+\s*$", filesystem.dump("dump_extents <8>"), re.MULTILINE)
    check(extents, "the journal has no blocks")
    in_block = int(filesystem.super_block()["Block size"]) // SECTOR
    return sorted((int(first) * in_block, (int(last) + 1) * in_block) for first, last in extents)
