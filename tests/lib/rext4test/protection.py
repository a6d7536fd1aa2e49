# SPDX-License-Identifier: GPL-2.0
"""Multiple mount protection: its block, as another machine sees and writes it."""

from __future__ import annotations

import contextlib
import mmap
import os
import struct
import threading
import time
import traceback
from dataclasses import dataclass
from typing import Callable, Iterator

from .base import Wrong, check
from .damage import SUPER, crc32c

#: What the number says after a clean unmount, and while e2fsck works.
CLEAN, CHECKED = 0xFF4D4D50, 0xE24D4D50
#: The name of a machine that is none.
OTHER = "other-node"


@dataclass
class State:
    """What is in the block."""

    sequence: int
    time: int
    node: str
    device: str
    check_interval: int


class Block:
    """The block of a file system on a device, read and written past the cache."""

    def __init__(self, device: str) -> None:
        self._device = device
        head = self._read(0, 8192)

        def field(at: int, form: str) -> int:
            return struct.unpack_from(form, head, SUPER + at)[0]

        self.size = 1024 << field(0x18, "<I")
        self.number = field(0x168, "<Q")
        self._seed = None
        if field(0x64, "<I") & 0x400:
            stored = field(0x60, "<I") & 0x2000
            self._seed = field(0x270, "<I") if stored else crc32c(head[SUPER + 0x68:SUPER + 0x78])

    def _read(self, at: int, length: int) -> bytes:
        with mmap.mmap(-1, length) as memory, \
                open(os.open(self._device, os.O_RDONLY | os.O_DIRECT), "rb", buffering=0) as disk:
            disk.seek(at)
            disk.readinto(memory)
            return memory[:]

    def bytes(self) -> bytes:
        """All of the block."""
        return self._read(self.number * self.size, self.size)

    def put(self, data: bytes) -> None:
        """Replace all of the block."""
        with mmap.mmap(-1, self.size) as memory, \
                open(os.open(self._device, os.O_RDWR | os.O_DIRECT), "r+b", buffering=0) as disk:
            memory[:] = data
            disk.seek(self.number * self.size)
            disk.write(memory)

    def state(self) -> State:
        """What is in it."""
        data = self.bytes()
        sequence, seconds, node, device, interval = struct.unpack_from("<IQ64s32sH", data, 4)
        text = [name.partition(b"\0")[0].decode() for name in (node, device)]
        return State(sequence, seconds, *text, interval)

    def is_clean(self) -> bool:
        """Whether nobody has the file system."""
        return self.state().sequence == CLEAN

    def claim(self, sequence: int, node: str = OTHER) -> None:
        """Write what another machine would, with the right checksum."""
        data = bytearray(self.bytes())
        struct.pack_into("<IQ64s32sH", data, 4, sequence, int(time.time()), node.encode(), b"sdz9", 10)
        if self._seed is not None:
            struct.pack_into("<I", data, 1020, crc32c(data[:1020], self._seed))
        self.put(bytes(data))

    @contextlib.contextmanager
    def claimed_again(self, every: float) -> Iterator[None]:
        """Another machine counts up, every so many seconds, during the block."""
        end = threading.Event()

        def count() -> None:
            sequence = 1000
            while not end.is_set():
                sequence += 1
                self.claim(sequence)
                end.wait(every)

        counter = threading.Thread(target=count)
        counter.start()
        try:
            yield
        finally:
            end.set()
            counter.join()


def at_once(*jobs: Callable[[], None]) -> None:
    """Do several things side by side; what has failed is raised when all are done."""
    failures: list[str] = []

    def guarded(job: Callable[[], None]) -> None:
        try:
            job()
        except Wrong as error:
            failures.append(str(error))
        except Exception:  # pylint: disable=broad-except
            failures.append(traceback.format_exc())

    threads = [threading.Thread(target=guarded, args=(job,)) for job in jobs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failures:
        raise Wrong("\n".join(failures))


@contextlib.contextmanager
def took(least: float, most: float, what: str) -> Iterator[None]:
    """The block takes a time between these, in seconds."""
    begin = time.monotonic()
    yield
    seconds = time.monotonic() - begin
    check(least <= seconds <= most, f"{what}: took {seconds:.1f} s, not {least:g} to {most:g}")
