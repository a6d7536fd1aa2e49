# SPDX-License-Identifier: GPL-2.0
"""Writers side by side that fill a file system, each of which knows what its files have to hold."""

from __future__ import annotations

import contextlib
import errno
import mmap
import multiprocessing
import os
import random
import shutil
import signal
import stat
import time
import traceback
from multiprocessing.sharedctypes import Synchronized
from pathlib import Path
from typing import Callable, Iterator, Sequence

from . import direct, names
from .base import FSTYPE, OURS, SCRATCH, check, say, want
from .filesystem import Filesystem
from .populate import KEEP_SIZE, PUNCH_HOLE, fallocate

#: Bytes that a file has at most; several of them are more than there is room for.
LIMIT = 6 << 20
#: How often each writer has to have been refused.
LEAST = 3


def blocks_kept(top: Path) -> int:
    """How many free blocks there are that not everybody may use."""
    space = os.statvfs(top)
    return space.f_bfree - space.f_bavail


def fill_up(top: Path) -> None:
    """Take every free block there is, reserved ones too: this is root."""
    with open(top / "filler", "wb", buffering=0) as file:
        for chunk in (1 << 20, 65536, 4096, 1024):
            try:
                while True:
                    file.write(b"\xa5" * chunk)
            except OSError as error:
                check(error.errno == errno.ENOSPC, f"filling up: {error}")
            os.fsync(file.fileno())


class Writer:
    """Works until the time is over, and gives something back now and then when it was refused."""

    def __init__(self, top: Path, number: int, seed: int) -> None:
        self.path = top / f"{type(self).__name__.lower()}-{number}"
        self.dice = random.Random(f"{seed} {self.path.name}")
        self.block = os.statvfs(top).f_bsize
        self.refused = self.done = 0

    @contextlib.contextmanager
    def may_be_full(self) -> Iterator[None]:
        """ENOSPC is counted; nothing else may happen."""
        try:
            yield
            self.done += 1
        except OSError as error:
            if error.errno != errno.ENOSPC:
                raise
            self.refused += 1

    def step(self) -> None:
        """Write something."""
        raise NotImplementedError

    def give_back(self) -> None:
        """Free something."""
        raise NotImplementedError

    def expected(self) -> dict[str, bytes]:
        """What has to be there, by path below the top."""
        raise NotImplementedError

    def close(self) -> None:
        """In the process that made it and does not write."""

    def run(self, seconds: float, waiting: Synchronized, results: multiprocessing.Queue) -> None:
        """In a process of its own; what has to be there is left in a file.

        All go on until none of them is `waiting` to be refused.
        """
        failure = ""
        try:
            end = time.monotonic() + seconds
            while time.monotonic() < end or (waiting.value > 0 and time.monotonic() < end + 200):
                before = self.refused
                self.step()
                if self.refused > before:
                    if before < LEAST <= self.refused:
                        with waiting.get_lock():
                            waiting.value -= 1
                    # If all is to end soon, the disk has to stay full.
                    ends = time.monotonic() > end and self.refused >= LEAST
                    if self.dice.random() < (0.01 if ends else 0.6):
                        self.give_back()
                elif self.refused < LEAST and time.monotonic() > end and self.dice.random() < 0.02:
                    # Nobody refuses anything to who has all of his file.
                    self.give_back()
            check(self.refused >= LEAST, f"only {self.refused} times no space")
            for name, content in self.expected().items():
                (SCRATCH / "full" / name).write_bytes(content)
        except BaseException:  # pylint: disable=broad-except
            failure = traceback.format_exc()
            if self.refused < LEAST:
                # Nobody is to wait for it.
                with waiting.get_lock():
                    waiting.value -= 1
        results.put((self.path.name, self.done, self.refused, failure))


class _OneFile(Writer):
    """One file, with its content in memory."""

    def __init__(self, top: Path, number: int, seed: int) -> None:
        super().__init__(top, number, seed)
        self.model = bytearray()
        self.descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)

    def close(self) -> None:
        os.close(self.descriptor)

    def range(self, unit: int) -> tuple[int, bytes]:
        """Somewhere, something to write there."""
        length = unit * -(-self.dice.choice((1, self.block, 3 * self.block, 64 << 10)) // unit)
        return unit * self.dice.randrange((LIMIT - length) // unit), bytes([self.dice.randrange(1, 160)]) * length

    def store(self, offset: int, data: bytes) -> None:
        """It is in the file."""
        self.model.extend(bytes(max(0, offset + len(data) - len(self.model))))
        self.model[offset : offset + len(data)] = data

    def sync(self) -> None:
        """There may be no error: all that was taken has its place."""
        self.dice.choice((os.fsync, os.fdatasync))(self.descriptor)

    def give_back(self) -> None:
        what = self.dice.random()
        if what < 0.6:
            offset, length = self.dice.randrange(LIMIT), self.dice.randrange(1, LIMIT // 2)
            fallocate(self.descriptor, PUNCH_HOLE | KEEP_SIZE, offset, length)
            end = min(offset + length, len(self.model))
            if offset < end:
                self.model[offset:end] = bytes(end - offset)
        elif what < 0.9:
            del self.model[self.dice.randrange(LIMIT) :]
            os.ftruncate(self.descriptor, len(self.model))
        else:
            os.unlink(self.path)
            os.close(self.descriptor)
            self.model.clear()
            # Inodes are not what there is too few of, but the name may need a block.
            while True:
                with contextlib.suppress(OSError):
                    self.descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
                    return

    def expected(self) -> dict[str, bytes]:
        self.sync()
        return {self.path.name: bytes(self.model)}


class Buffered(_OneFile):
    """Through the page cache; syncs now and then."""

    def step(self) -> None:
        offset, data = self.range(1)
        with self.may_be_full():
            self.store(offset, data[: os.pwrite(self.descriptor, data, offset)])
        if self.dice.random() < 0.05:
            self.sync()


class Direct(_OneFile):
    """Around the page cache. When there is no space for all of a write, some of it may be there."""

    def step(self) -> None:
        offset, data = self.range(self.block)
        memory = direct.aligned(len(data), data[0])
        around = os.open(self.path, os.O_WRONLY | os.O_DIRECT)
        count, before = 0, self.refused
        with self.may_be_full():
            count = os.pwrite(around, memory, offset)
        os.close(around)
        if count:
            self.store(offset, data[:count])
        if count < len(data):
            check(count or self.refused > before, "a write of nothing")
            self._part(offset + count, data[count:])

    def _part(self, offset: int, data: bytes) -> None:
        """Each sector is what it was, or what was written."""
        want(os.fstat(self.descriptor).st_size, len(self.model), "size after a write that failed")
        seen = os.pread(self.descriptor, len(data), offset)
        for at in range(0, len(seen), 512):
            old, new = self.model[offset + at : offset + at + 512], data[at : at + 512]
            check(seen[at : at + 512] in (old, new), f"something else at byte {offset + at} after a write that failed")
        self.model[offset : offset + len(seen)] = seen


class Preallocating(_OneFile):
    """What was allocated can be written to, however full the disk is."""

    def step(self) -> None:
        offset, data = self.range(self.block)
        before = self.refused
        with self.may_be_full():
            fallocate(self.descriptor, 0, offset, len(data))
        if self.refused > before:
            # A part of it may have been allocated.
            size = os.fstat(self.descriptor).st_size
            check(len(self.model) <= size <= max(len(self.model), offset + len(data)), f"{size} bytes after ENOSPC")
            self.model.extend(bytes(size - len(self.model)))
            return
        self.model.extend(bytes(max(0, offset + len(data) - len(self.model))))
        if self.dice.random() < 0.5:
            around = os.open(self.path, os.O_WRONLY | os.O_DIRECT)
            want(os.pwrite(around, direct.aligned(len(data), data[0]), offset), len(data), "bytes written directly")
            os.close(around)
        else:
            want(os.pwrite(self.descriptor, data, offset), len(data), "bytes written")
        self.store(offset, data)


class Mapped(_OneFile):
    """Through a mapping, in processes that die of SIGBUS when a page can't have a block."""

    def step(self) -> None:
        if len(self.model) < LIMIT:
            os.ftruncate(self.descriptor, LIMIT)
            self.model.extend(bytes(LIMIT - len(self.model)))
        pages = self.dice.sample(range(LIMIT // mmap.PAGESIZE), 100)
        stamp = self.dice.randrange(1, 160)
        with mmap.mmap(-1, mmap.PAGESIZE) as shared:
            child = os.fork()
            if child == 0:
                try:
                    memory = mmap.mmap(self.descriptor, LIMIT)
                    for number, page in enumerate(pages, 1):
                        memory[page * mmap.PAGESIZE + 100] = stamp
                        shared[:2] = number.to_bytes(2, "little")
                    os._exit(0)
                finally:
                    os._exit(1)
            _, status = os.waitpid(child, 0)
            done = int.from_bytes(shared[:2], "little")
        for page in pages[:done]:
            self.model[page * mmap.PAGESIZE + 100] = stamp
        self.done += done
        if os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGBUS:
            self.refused += 1
        else:
            want((status, done), (0, len(pages)), "status of the process, pages")
        if self.dice.random() < 0.2:
            self.sync()


class Creating(Writer):
    """Many small files, removed again when there is no space."""

    def __init__(self, top: Path, number: int, seed: int) -> None:
        super().__init__(top, number, seed)
        self.path.mkdir()
        self._files: dict[str, bytes] = {}
        self._count = 0

    def step(self) -> None:
        self._count += 1
        name = f"{self.path.name}/{self._count}-{'x' * self.dice.randrange(200)}"
        path = self.path.parent / name
        data = bytes([self.dice.randrange(1, 160)]) * self.dice.randrange(4 * self.block)
        descriptor = -1
        with self.may_be_full():
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        if descriptor < 0:
            check(not path.exists(), f"{name} is there after ENOSPC")
            return
        self._files[name] = b""
        with self.may_be_full():
            self._files[name] = data[: os.write(descriptor, data)]
        if self.dice.random() < 0.1:
            os.fsync(descriptor)
        os.close(descriptor)

    def give_back(self) -> None:
        for name in self.dice.sample(sorted(self._files), len(self._files) // 3):
            os.unlink(self.path.parent / name)
            del self._files[name]

    def expected(self) -> dict[str, bytes]:
        os.sync()
        (SCRATCH / "full" / self.path.name).mkdir()
        return self._files


class Naming(Writer):
    """Inodes of all kinds in a directory, removed again when there are no more."""

    _SHORT, _LONG = "target", "t" * 200

    def __init__(self, top: Path, number: int, seed: int) -> None:
        super().__init__(top, number, seed)
        self.path.mkdir()
        self._names: dict[str, str] = {}
        self._count = 0

    def _unnamed(self, path: Path) -> None:
        descriptor = names.unnamed(self.path)
        try:
            names.link_open_file(descriptor, path)
        finally:
            os.close(descriptor)

    def step(self) -> None:
        self._count += 1
        path = self.path / f"{self._count}"
        kinds: dict[str, Callable[[], object]] = {
            "file": lambda: os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)),
            "unnamed": lambda: self._unnamed(path),
            "directory": path.mkdir,
            "link": lambda: path.symlink_to(self.dice.choice((self._SHORT, self._LONG))),
            "pipe": lambda: os.mkfifo(path),
        }
        kind = self.dice.choice(sorted(kinds))
        before = self.refused
        with self.may_be_full():
            kinds[kind]()
        if self.refused > before:
            check(not os.path.lexists(path), f"a {kind} is there after ENOSPC")
            # One more name of what is there takes no inode.
            files = [name for name, known in self._names.items() if known in ("file", "unnamed")]
            if files:
                other = self.path / f"{self._count}-link"
                os.link(self.path / self.dice.choice(files), other)
                self._names[other.name] = "file"
        else:
            self._names[path.name] = kind

    def give_back(self) -> None:
        for name in self.dice.sample(sorted(self._names), len(self._names) // 4):
            (os.rmdir if self._names.pop(name) == "directory" else os.unlink)(self.path / name)

    def expected(self) -> dict[str, bytes]:
        kinds = {"unnamed": "file"}
        lines = sorted(f"{name} {kinds.get(kind, kind)}" for name, kind in self._names.items())
        return {self.path.name: "\n".join(lines).encode()}


_KINDS = {stat.S_IFREG: "file", stat.S_IFDIR: "directory", stat.S_IFLNK: "link", stat.S_IFIFO: "pipe"}


def _seen(path: Path) -> bytes:
    """What `expected` says of it."""
    if path.name.startswith("naming"):
        found = ((entry.name, stat.S_IFMT(entry.lstat().st_mode)) for entry in path.iterdir())
        return "\n".join(sorted(f"{name} {_KINDS[kind]}" for name, kind in found)).encode()
    return path.read_bytes()


def _all_there(top: Path, when: str) -> None:
    """Each file holds what was written to it and not refused; no other file is there."""
    wanted = {str(path.relative_to(SCRATCH / "full")): path for path in (SCRATCH / "full").rglob("*") if path.is_file()}
    there = {str(path.relative_to(top)) for path in top.rglob("*") if "naming" not in path.parent.name}
    other = {name for name in there - wanted.keys() if not name.startswith("filler") and not (top / name).is_dir()}
    check(not other and wanted.keys() <= there, f"{when}: {sorted(other)[:5]} too much, "
          f"{sorted(wanted.keys() - there)[:5]} missing")
    for name, content in wanted.items():
        seen, taken = _seen(top / name), content.read_bytes()
        if seen != taken:
            at = next((at for at, (one, two) in enumerate(zip(seen, taken)) if one != two), min(len(seen), len(taken)))
            check(False, f"{when}: {name}: {len(seen)} bytes, wanted {len(taken)}, first difference at {at}: "
                  f"{seen[at : at + 8]!r}, wanted {taken[at : at + 8]!r}")


def _fill(top: Path, writer: type[Writer]) -> None:
    """The last blocks, or inodes."""
    try:
        if writer is Naming:
            (top / "filler").mkdir(exist_ok=True)
            for number in range(1 << 20):
                (top / "filler" / f"{number}").touch()
        with open(top / "filler", "wb", buffering=0) as file:
            while file.write(b"f" * os.statvfs(top).f_bsize):
                pass
    except OSError as error:
        want(error.errno, errno.ENOSPC, "errno of filling up")


def fill(filesystem: Filesystem, writers: Sequence[type[Writer]], seconds: float, seed: int, options: str = "") -> None:
    """Let them work side by side until the disk is full and for some seconds more; then everybody looks."""
    expected = SCRATCH / "full"
    shutil.rmtree(expected, ignore_errors=True)
    expected.mkdir()
    results: multiprocessing.Queue = multiprocessing.Queue()
    waiting = multiprocessing.Value("i", len(writers))
    with filesystem.mounted(options) as top:
        made = [kind(top, number, seed) for number, kind in enumerate(writers)]
        running = [multiprocessing.Process(target=writer.run, args=(seconds, waiting, results)) for writer in made]
        for writer, process in zip(made, running):
            process.start()
            writer.close()
        found = [results.get() for _ in running]
        for process in running:
            process.join()
        for name, done, refused, failure in sorted(found):
            say(f"   {name}: {done} done, {refused} times no space")
            check(not failure, f"{name}: {failure}")
        _fill(top, writers[0])
        os.sync()
        figures = os.statvfs(top)
        if writers[0] is Naming:
            want(figures.f_ffree, 0, "free inodes when there is no inode")
        else:
            check(figures.f_bavail <= 8, f"no space with {figures.f_bavail} blocks left")
        if OURS:
            counters = filesystem.counters()
            want((counters["delayed_blocks"], counters["delayed_nodes"]), (0, 0), "blocks set aside after sync")
        _all_there(top, "at once")
        direct.drop_caches()
        _all_there(top, "from the disk")
    filesystem.fsck()
    want(int(filesystem.super_block()["Free inodes"]), figures.f_ffree, "free inodes in the super block")
    has_extents = "extent" in filesystem.super_block()["Filesystem features"].split()
    for fstype in (FSTYPE, "ext4"):
        with filesystem.mounted(options if fstype == FSTYPE else "ro", fstype) as top:
            _all_there(top, "mounted again")
            now = os.statvfs(top)
            want(now.f_ffree, figures.f_ffree, "free inodes")
            # Not f_bfree: blocks kept back for conversions show there or don't. Without extents C ext4 keeps none back.
            if fstype == FSTYPE or has_extents:
                want(now.f_bavail, figures.f_bavail, "available blocks")
