# SPDX-License-Identifier: GPL-2.0
"""Memory that is not there until a test says so: who uses it waits, in the midst of what he does."""

from __future__ import annotations

import mmap
import os

from .mapper import SECTOR, Mapped, need


class Late(Mapped):
    """A page of zeros, mapped from a device that can be stopped."""

    def __init__(self, name: str) -> None:
        need("zero")
        super().__init__(name, f"0 {mmap.PAGESIZE // SECTOR} zero")
        self._device = os.open(self.path, os.O_RDONLY)
        self.memory = mmap.mmap(self._device, mmap.PAGESIZE, mmap.MAP_SHARED, mmap.PROT_READ)

    def go(self) -> None:
        """It is not there any more, until it is told to come."""
        self.memory.madvise(mmap.MADV_DONTNEED)
        os.posix_fadvise(self._device, 0, 0, os.POSIX_FADV_DONTNEED)
        self.suspend()

    def come(self) -> None:
        """Who waits for it goes on."""
        self.resume()

    def __exit__(self, *error: object) -> None:
        self.resume()
        self.memory.close()
        os.close(self._device)
        super().__exit__(*error)
