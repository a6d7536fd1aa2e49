# SPDX-License-Identifier: GPL-2.0
"""Asynchronous direct writers on a sparse file, and what goes on beside them.

All that is done to a file is logged with its begin and its end, by the writers (`diotool write`) and by who
disturbs them (`History`). What the file may hold after it follows from that, for each 512 bytes: what any
of them left, but for what was over when another began (tests/tools/diotool/src/history.rs). So nothing
is ever allowed only because much went on: data that was acknowledged is there unless it was overwritten, cleared or
moved since, or at that moment; what was cleared is zeros or what was written later; what the device had in it
before (poison), data of another file or place, and parts of a sector are wrong always.
"""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
import os
import random
import time
from pathlib import Path
from typing import Callable, Iterator

from . import tool
from .base import OURS, SCRATCH, Wrong, check, exit_status, wait_until, want
from .filesystem import Filesystem

#: What is written of each file, from the shape's first byte on; the file is a little longer.
LENGTH = 2 << 20
SIZE = LENGTH + (64 << 10)
_FOREVER = (1 << 64) - 1

_SHAPES = {
    "aligned": "--sizes 4096,8192",
    "512": "--sizes 512,1536,5632",
    "sector-63": "--shift 32256 --sizes 4096,8192",
    "whole": "--atomic --sizes 16384",
}


@dataclasses.dataclass(frozen=True)
class Kind:
    """A kind of writer."""

    engine: str
    depth: int
    shape: str

    def __str__(self) -> str:
        return f"{self.engine}, {self.depth} in flight, {self.shape}"

    @property
    def options(self) -> str:
        """For `diotool write`."""
        return f"--engine {self.engine} --depth {self.depth} --pattern random --length {LENGTH} {_SHAPES[self.shape]}"


KINDS = [Kind(*parts) for parts in itertools.product(("aio", "uring"), (1, 8, 128), _SHAPES)]


class History:
    """The log of what is done to a file by others than the writers."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._path.write_text("", encoding="ascii")

    @contextlib.contextmanager
    def _during(self, letter: str, offset: int = 0, length: int = 0) -> Iterator[None]:
        begin = time.monotonic_ns()
        yield
        end = time.monotonic_ns()
        with open(self._path, "a", encoding="ascii") as log:
            log.write(f"{letter} 0 {offset} {length} {begin} {end}\n")

    def clearing(self, offset: int, length: int = _FOREVER) -> contextlib.AbstractContextManager[None]:
        """The block makes zeros of this; if it raises nothing was done."""
        return self._during("C", offset, length)

    def inserting(self, offset: int, length: int) -> contextlib.AbstractContextManager[None]:
        """The block inserts as many bytes there."""
        return self._during("I", offset, length)

    def collapsing(self, offset: int, length: int) -> contextlib.AbstractContextManager[None]:
        """The block removes these bytes."""
        return self._during("X", offset, length)

    def syncing(self) -> contextlib.AbstractContextManager[None]:
        """The block makes durable what was done before it."""
        return self._during("F")


class Race:
    """One round: a new sparse file, its writers, and somebody else."""

    _number = 0

    def __init__(self, top: Path, kind: Kind, seed: int, count: int) -> None:
        Race._number += 1
        self.number = Race._number
        self.top = top
        self.kind = kind
        self.count = count
        self.block = os.statvfs(top).f_bsize
        self.dice = random.Random(seed)
        self.file = top / f"file-{self.number}"
        self.file.touch()
        os.truncate(self.file, SIZE)
        #: What its size may be in the end.
        self.sizes = (SIZE, SIZE)
        self._logs = [SCRATCH / f"race-{self.number}.0"]
        self.history = History(self._logs[0])
        self.steps = 0
        #: For `diotool verify`: whether the writer, or the machine, died.
        self.death = ""

    def writer(self, options: str = "", *, log: bool = True) -> tool.Background:
        """A writer of the round's kind; each has generations of its own."""
        words = (f"{self.kind.options} --id {self.number} --seed {self.dice.randrange(1 << 30)} "
                 f"--generation {len(self._logs) * 1_000_000} --count {self.count + self.kind.depth} {options}")
        if log:
            self._logs.append(SCRATCH / f"race-{self.number}.{len(self._logs)}")
            words += f" --log {self._logs[-1]}"
        return tool.Background("write", words, self.file)

    def begun(self) -> bool:
        """Whether the last writer has had something acknowledged."""
        return self._logs[-1].exists() and self._logs[-1].stat().st_size > 0

    def fsync_some(self, file: int, most: int) -> None:
        """A few times, with pauses."""
        for _ in range(self.dice.randrange(1, most + 1)):
            time.sleep(self.dice.random() / 20)
            with self.history.syncing():
                os.fsync(file)

    def beside(self, step: Callable[[], object], *writers: tool.Background) -> list[dict]:
        """Do it again and again until the writers have ended; what they say."""
        while any(writer.running() for writer in writers):
            step()
            self.steps += 1
        return [writer.finish() for writer in writers]

    def against(self, step: Callable[[], object], options: str = "") -> None:
        """A writer, a step beside it again and again, and what has to be there then."""
        self.beside(step, self.writer(options))
        self.judge()

    def judge(self, how: str = "direct,buffered,mmap", path: Path | None = None) -> None:
        """What is in the file has to come from what was done."""
        log = SCRATCH / f"race-{self.number}.log"
        log.write_text("".join(part.read_text(encoding="ascii") for part in self._logs if part.exists()),
                       encoding="ascii")
        least, most = self.sizes
        tool.verify(f"--how {how} --id {self.number} --log {log} --min-size {least} --max-size {most} {self.death}",
                    path or self.file)

    def forget(self) -> None:
        """The logs are not needed any more."""
        for log in [*self._logs, SCRATCH / f"race-{self.number}.log"]:
            log.unlink(missing_ok=True)

    def place(self, step: int = 512, longest: int = 128 << 10) -> tuple[int, int]:
        """Where to do something: first byte and length, multiples of `step`."""
        offset = self.dice.randrange(0, SIZE - longest, step)
        return offset, self.dice.randrange(step, longest, step)


def settled(filesystem: Filesystem) -> None:
    """Nobody writes any more: no conversion is outstanding, and nothing of what was set aside is kept."""
    if not OURS:
        return
    os.sync()
    for name in ("promised_blocks", "staged_blocks", "delayed_blocks", "delayed_nodes"):
        wait_until(f"{name} back to 0", lambda name=name: filesystem.gauge(name) == 0, 10)


def umount_soon(filesystem: Filesystem) -> None:
    """Unmount as soon as the last I/O lets go of it."""
    deadline = time.monotonic() + 30
    while True:
        status, text = exit_status("umount", filesystem.path)
        if status == 0:
            return
        if time.monotonic() > deadline:
            raise Wrong(f"it can't be unmounted: {text}")


class Stage:
    """A file system on a poisoned device, mounted for some rounds."""

    options = "dioread_nolock"

    def __init__(self, *make: str, size: str | None = None) -> None:
        self.filesystem = Filesystem("/dev/vdb").make(*make, size=size, fill=True)

    @contextlib.contextmanager
    def rounds(self) -> Iterator[list[Race]]:
        """Mounted; what is in the list at the end is read by C ext4 afterwards."""
        races: list[Race] = []
        with self.filesystem.mounted(self.options):
            yield races
            settled(self.filesystem)
        self.judge(races)

    def judge(self, races: list[Race]) -> None:
        """Unmounted: e2fsck is content, and C ext4 finds what has to be there."""
        self.filesystem.fsck()
        with self.filesystem.reference():
            for race in races:
                race.judge("direct")
        for race in races:
            race.forget()


def space(top: Path) -> int:
    """Free bytes, when what was freed is committed."""
    os.sync()
    status = os.statvfs(top)
    return status.f_bfree * status.f_bsize


def want_space(top: Path, before: int) -> None:
    """All that was allocated since is free again."""
    with contextlib.suppress(Wrong):
        wait_until("space", lambda: space(top) == before, 10)
    want(space(top), before, "free bytes")
    check(before > 0, "the disk was full from the beginning")
