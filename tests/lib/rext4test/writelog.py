# SPDX-License-Identifier: GPL-2.0
"""A log of all that was written to a device, by the device-mapper target log-writes, and its replay.

The format is in the kernel's Documentation/admin-guide/device-mapper/log-writes.rst: a super block, then each
write with its data behind it, in the order in which they were safe: what was not flushed comes after the flush.
"""

from __future__ import annotations

import dataclasses
import os
import struct
from pathlib import Path
from typing import Iterator

from .base import Wrong, check, run
from .filesystem import POISON
from .mapper import Mapped, need, sectors

FLUSH, FUA, DISCARD, MARK = 1, 2, 4, 8
_MAGIC = 0x6A736677736872
_SUPER = struct.Struct("<QQQI")
_ENTRY = struct.Struct("<QQQQ")


@dataclasses.dataclass(frozen=True)
class Write:
    """One entry. `offset` and `length` are bytes of the device."""

    flags: int
    offset: int
    length: int
    text: str  # of a mark
    data: bytes

    @property
    def settled(self) -> bool:
        """Whether the device has promised to keep all that was written until here."""
        return bool(self.flags & (FLUSH | FUA))


class Recorder(Mapped):
    """A device whose writes are logged on another one."""

    def __init__(self, device: str, log: str) -> None:
        need("log-writes")
        self._log = log
        super().__init__("logged", f"0 {sectors(device)} log-writes {device} {log}")

    def mark(self, text: str) -> None:
        """A word in the log."""
        run("dmsetup", "message", self.name, "0", "mark", text)


def read(log: str | Path) -> Iterator[Write]:
    """What is in a log, whose device is removed by now."""
    with open(log, "rb", buffering=0) as file:
        magic, version, count, sector = _SUPER.unpack_from(os.pread(file.fileno(), 4096, 0))
        if (magic, version) != (_MAGIC, 1):
            raise Wrong(f"{log} has no log of writes")
        check(count > 0, "the log is empty")
        at = sector
        for _ in range(count):
            head = os.pread(file.fileno(), sector, at)
            where, length, flags, text = _ENTRY.unpack_from(head)
            at += sector
            data = b""
            if length and not flags & DISCARD:
                data = os.pread(file.fileno(), length * sector, at)
                at += length * sector
            word = head[_ENTRY.size : _ENTRY.size + text].rstrip(b"\0").decode() if flags & MARK else ""
            yield Write(flags, where * sector, length * sector, word, data)


def replay(writes: Iterator[Write], device: str) -> Iterator[Write]:
    """Do the writes; each is yielded when it is done. What was discarded is poison then."""
    descriptor = os.open(device, os.O_RDWR)
    try:
        for write in writes:
            data = bytes([POISON]) * write.length if write.flags & DISCARD else write.data
            os.pwrite(descriptor, data, write.offset)
            if write.settled:
                os.fsync(descriptor)
            yield write
    finally:
        os.close(descriptor)
