# SPDX-License-Identifier: GPL-2.0
"""A device that holds data back, so that writes are on their way for as long as a test likes."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Iterator

from .base import run
from .filesystem import Filesystem
from .mapper import SECTOR, Mapped, linear, need, sectors
from .slow import journal_places, slowly

#: For ever, in ms.
_NEVER = 3_600_000


class Held(Mapped):
    """A device with a new file system, that can hold back data; the journal goes on."""

    def __init__(self, disk: str, *options: str) -> None:
        need("delay")
        self._disk = disk
        # Inode tables that are zeroed later would be held back, too.
        options = (*options, "-E", "nodiscard,lazy_itable_init=0")
        self._journal = journal_places(Filesystem(disk).make(*options, fill=True))
        super().__init__("held", linear(disk, 0, sectors(disk)))
        self.filesystem = Filesystem(self.path)

    @contextlib.contextmanager
    def mounted(self, options: str = "") -> Iterator[Path]:
        """Mounted for the block; nothing is held back any more when it is unmounted, also if the block fails."""
        with self.filesystem.mounted(options) as top:
            try:
                yield top
            except BaseException:
                self.let_go()
                raise

    def hold(self, *but: tuple[int, int]) -> None:
        """No data comes to the device from now on, but to these sectors: starts and ends."""
        self.load(*slowly(self._disk, sorted([*self._journal, *but]), _NEVER))

    def hold_reads(self, start: int, length: int) -> None:
        """Nothing is read from these bytes from now on."""
        first, count, size = start // SECTOR, length // SECTOR, sectors(self._disk)
        place = f"{self._disk} {first}"
        self.load(linear(self._disk, 0, first), f"{first} {count} delay {place} {_NEVER} {place} 0",
                  linear(self._disk, first + count, size - first - count, first + count))

    def held_back(self) -> int:
        """How many writes to it are held back now."""
        parts = [line.split() for line in run("dmsetup", "status", self.name).splitlines()]
        # Where it begins, its length, its kind, and how many reads, writes and flushes.
        return sum(int(part[4]) for part in parts if part[2] == "delay")

    def let_go(self) -> None:
        """What was held back is written, and all that comes."""
        self.load(linear(self._disk, 0, sectors(self._disk)))
