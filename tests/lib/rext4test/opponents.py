# SPDX-License-Identifier: GPL-2.0
"""What goes on beside the writers of a race, while the file system stays mounted.

The docstring of each says what comes out, besides what is said in races.py.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import os
import signal
import time
from pathlib import Path
from typing import Callable

from . import tool
from .base import SCRATCH, check, wait_until, want
from .control import move_extents, opened
from .manifest import fiemap
from .populate import COLLAPSE_RANGE, INSERT_RANGE, KEEP_SIZE, PUNCH_HOLE, ZERO_RANGE, fallocate
from .races import SIZE, Race, space, want_space

_libc = ctypes.CDLL(None, use_errno=True)
_FREEZE, _THAW = 0xC0045877, 0xC0045878
#: Of each 64 KiB the writers have the first 16, others 16 more: no page is in both.
_STRIPES = "--stride 64k --within 16k"


def truncate(race: Race) -> None:
    """Down and up. What is beyond the new end is zeros until it is written again."""
    race.sizes = (0, SIZE)

    def step() -> None:
        size = race.dice.choice((SIZE, race.dice.randrange(0, SIZE, 512)))
        with race.history.clearing(size):
            os.truncate(race.file, size)

    race.against(step)


def mixture(race: Race) -> None:
    """Three writers at once, and what takes blocks away, in turns; when all is cut off, no block is left."""
    race.sizes = (0, SIZE)
    writers = [race.writer(), race.writer("--engine uring --depth 16 --sizes 4096,64k"),
               race.writer("--engine sync --depth 1 --sizes 512,4096")]
    with open(race.file, "r+b", buffering=0) as file:
        def step() -> None:
            offset, length = race.place()
            match race.dice.randrange(6):
                case 0:
                    with race.history.clearing(offset):
                        file.truncate(offset)
                case 1:
                    with race.history.clearing(SIZE):
                        file.truncate(SIZE)
                case 2:
                    with race.history.clearing(offset, length):
                        fallocate(file.fileno(), PUNCH_HOLE, offset, length)
                case 3:
                    with race.history.clearing(offset, length):
                        fallocate(file.fileno(), ZERO_RANGE | KEEP_SIZE, offset, length)
                case 4:
                    fallocate(file.fileno(), KEEP_SIZE, offset, length)
                case 5:
                    os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)

        race.beside(step, *writers)
        race.judge()
        with race.history.clearing(0):
            file.truncate(0)
        want(os.fstat(file.fileno()).st_blocks, 0, "sectors that are left in an empty file")


def _on_ranges(race: Race, mode: int) -> None:
    with open(race.file, "r+b", buffering=0) as file:
        def step() -> None:
            offset, length = race.place()
            with race.history.clearing(offset, length):
                fallocate(file.fileno(), mode, offset, length)

        race.against(step)


def punch(race: Race) -> None:
    """The range is zeros, or what was written later."""
    _on_ranges(race, PUNCH_HOLE)


def zero(race: Race) -> None:
    """As a hole, but that the blocks stay, unwritten."""
    _on_ranges(race, ZERO_RANGE | KEEP_SIZE)


def preallocate(race: Race) -> None:
    """Changes nothing that can be read."""
    with open(race.file, "r+b", buffering=0) as file:
        race.against(lambda: fallocate(file.fileno(), KEEP_SIZE, *race.place()))


def collapse(race: Race) -> None:
    """What is behind the range is where the range was: each write is moved, or was made after it."""
    longest = 32 << 10
    race.sizes = (SIZE - longest, SIZE)
    with open(race.file, "r+b", buffering=0) as file:
        def step() -> None:
            offset, length = race.place(race.block, longest)
            with race.history.clearing(SIZE):
                os.truncate(file.fileno(), SIZE)
            with race.history.collapsing(offset, length):
                fallocate(file.fileno(), COLLAPSE_RANGE, offset, length)

        race.against(step)


def insert(race: Race) -> None:
    """The range is zeros, what was there is behind it: each write is moved, or was made after it."""
    race.sizes = (2 * SIZE, 2 * SIZE)
    with open(race.file, "r+b", buffering=0) as file:
        def step() -> None:
            offset, length = race.place(race.block, 32 << 10)
            with race.history.inserting(offset, length):
                fallocate(file.fileno(), INSERT_RANGE, offset, length)
            with race.history.clearing(2 * SIZE):
                os.truncate(file.fileno(), 2 * SIZE)

        race.against(step)


def exchange(race: Race) -> None:
    """Its blocks are exchanged for those of another file, which changes nothing that can be read."""
    with open(race.file, "r+b", buffering=0) as file, open(race.top / f"donor-{race.number}", "w+b", buffering=0) as donor:
        fallocate(donor.fileno(), 0, 0, SIZE)

        def step() -> None:
            first = race.dice.randrange(SIZE // race.block)
            blocks = race.dice.randrange(1, SIZE // race.block - first + 1)
            number, _ = move_extents(file.fileno(), donor.fileno(), first, first, blocks)
            check(number in (0, errno.ENODATA), f"exchanging blocks: {os.strerror(number)}")

        race.against(step)
    (race.top / f"donor-{race.number}").unlink()


def fsync(race: Race) -> None:
    """Changes nothing that can be read; what it makes durable: `shutdown`."""
    with open(race.file, "r+b", buffering=0) as file:
        race.against(lambda: race.dice.choice((os.fsync, os.fdatasync))(file.fileno()))


def sync(race: Race) -> None:
    """Changes nothing that can be read."""
    race.against(os.sync)


def syncfs(race: Race) -> None:
    """Changes nothing that can be read."""
    with open(race.file, "rb", buffering=0) as file:
        race.against(lambda: _libc.syncfs(file.fileno()))


def _still(race: Race, seconds: float = 0) -> None:
    """Frozen for a moment, which waits for all writes that are on their way."""
    with opened(race.top) as directory:
        fcntl.ioctl(directory, _FREEZE, 0)
        try:
            time.sleep(seconds)
        finally:
            fcntl.ioctl(directory, _THAW, 0)


def freeze(race: Race) -> None:
    """The writers stand still and go on; nothing is lost."""
    def step() -> None:
        _still(race, race.dice.random() / 100)
        time.sleep(race.dice.random() / 100)

    race.against(step)


def _watched(race: Race, how: str) -> None:
    """A reader sees zeros or data of this file in this place, and no older data than before."""
    watcher = tool.Watcher(race.file, how, f"--id {race.number}")
    race.against(lambda: time.sleep(0.01))
    check(watcher.finish()["reads"] > 0, "nothing was read")


def read_buffered(race: Race) -> None:
    """What was seen is not gone again; zeros or whole data."""
    _watched(race, "buffered")


def read_direct(race: Race) -> None:
    """The same, around the page cache."""
    _watched(race, "direct")


def read_mapped(race: Race) -> None:
    """The same, through a mapping."""
    _watched(race, "mmap")


def readahead(race: Race) -> None:
    """Nothing old stays in the page cache."""
    with open(race.file, "rb", buffering=0) as file:
        def step() -> None:
            offset, length = race.place(4096, 64 << 10)
            os.posix_fadvise(file.fileno(), offset, length, os.POSIX_FADV_DONTNEED)
            if race.dice.randrange(2):
                os.posix_fadvise(file.fileno(), offset, length, os.POSIX_FADV_WILLNEED)
            else:
                _libc.readahead(file.fileno(), ctypes.c_long(offset), ctypes.c_size_t(length))

        race.against(step)


def _two_writers(race: Race, options: str) -> None:
    writers = [race.writer(_STRIPES), race.writer(f"{options} {_STRIPES} --start 32k --depth 1")]
    with open(race.file, "r+b", buffering=0) as file:
        def step() -> None:
            match race.dice.randrange(3):
                case 0:
                    os.fsync(file.fileno())
                case 1:
                    os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
                case 2:
                    time.sleep(0.01)

        race.beside(step, *writers)
    race.judge()


def write_buffered(race: Race) -> None:
    """Each writer's data is there. They meet in blocks of the tree and in folios, never in a page."""
    _two_writers(race, "--engine sync --buffered")


def write_mapped(race: Race) -> None:
    """The same with stores to a mapping."""
    _two_writers(race, "--engine mmap --buffered")


def map_extents(race: Race) -> None:
    """Extents are in order, and none is in two places."""
    with open(race.file, "rb", buffering=0) as file:
        def step() -> None:
            extents = fiemap(file.fileno(), sync=race.dice.randrange(2) == 0)
            for before, after in zip(extents, extents[1:]):
                check(before[0] + before[2] <= after[0], f"extents {before} and {after}")

        race.against(step)


def unlink(race: Race) -> None:
    """An open file without a name is written to as before; when it is closed its space is free."""
    before = space(race.top)
    file = os.open(race.file, os.O_RDWR)
    writer = race.writer("--passes 4")
    wait_until("the first write", race.begun)
    race.file.unlink()

    def step() -> None:
        # Somebody else takes blocks, and gives them back.
        other = race.top / f"other-{race.number}"
        other.write_bytes(b"other" * 3000)
        other.unlink()

    race.beside(step, writer)
    race.judge(path=Path(f"/proc/{os.getpid()}/fd/{file}"))
    os.close(file)
    want_space(race.top, before)


def close(race: Race) -> None:
    """The I/O has the last reference to the open file; all is there."""
    race.against(lambda: time.sleep(0.01), "--close")


def unlink_and_close(race: Race) -> None:
    """The I/O has the last reference to the file itself, which goes with it; its space is free."""
    race.file.unlink()
    before = space(race.top)
    race.beside(lambda: time.sleep(0.01), race.writer("--close --unlink", log=False))
    want_space(race.top, before)


def exit_process(race: Race) -> None:
    """Killed with its writes in flight: what was acknowledged is there, the others may be."""
    for _ in range(3):
        writer = race.writer("--passes 1000")
        wait_until("the first write", race.begun)
        time.sleep(race.dice.random() / 20)
        writer.kill(signal.SIGKILL)
        race.steps += 1
        # A request may outlive its process, and the next writer writes to the same places.
        _still(race)
    race.death = "--killed"
    race.judge()


_CGROUP = Path("/sys/fs/cgroup")


def memory(race: Race) -> None:
    """Hardly any memory for the writers and their neighbour in the page cache: it is slow, and right."""
    (_CGROUP / "cgroup.subtree_control").write_text("+memory", encoding="ascii")
    group = _CGROUP / f"race-{race.number}"
    group.mkdir()
    neighbour = race.top / f"neighbour-{race.number}"
    neighbour.touch()
    try:
        (group / "memory.max").write_text("8M", encoding="ascii")
        log = SCRATCH / f"neighbour-{race.number}.log"
        # They are born there: what they do before they are moved could be all that they do. The neighbour's file is
        # larger than all of it. It is written out in between: if nearly all of it was dirty, the kernel would kill one.
        (group / "cgroup.procs").write_text("0", encoding="ascii")
        writers = [race.writer(),
                   tool.Background("write", f"--buffered --sizes 64k --length 16m --fsync-every 8 --log {log}", neighbour)]
        (_CGROUP / "cgroup.procs").write_text("0", encoding="ascii")

        # Inodes and what the file system has in memory of them have to go, too.
        race.beside(lambda: Path("/proc/sys/vm/drop_caches").write_text("2\n", encoding="ascii"), *writers)
        events = dict(line.split() for line in (group / "memory.events").read_text(encoding="ascii").splitlines())
        check(int(events["max"]) > 0, f"there was memory enough: {events}")
        tool.verify(f"--how direct,buffered --log {log}", neighbour)
        log.unlink()
        neighbour.unlink()
    finally:
        for process in (group / "cgroup.procs").read_text(encoding="ascii").split():
            (_CGROUP / "cgroup.procs").write_text(process, encoding="ascii")
        group.rmdir()
    race.judge()


#: All of them.
OPPONENTS: dict[str, Callable[[Race], None]] = {
    function.__name__: function for function in (
        mixture, truncate, punch, zero, preallocate, collapse, insert, exchange, fsync, sync, syncfs, freeze, read_buffered, read_direct,
        read_mapped, readahead, write_buffered, write_mapped, map_extents, unlink, close, unlink_and_close,
        exit_process, memory,
    )
}
