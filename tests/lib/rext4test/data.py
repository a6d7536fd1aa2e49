# SPDX-License-Identifier: GPL-2.0
"""Random operations on names, attributes and data, the same for the same seed, and what they leave."""

from __future__ import annotations

import errno
import hashlib
import mmap
import os
import random
import stat
from pathlib import Path

from . import attributes, direct, manifest, names, populate

#: Bytes that a file has at most.
LIMIT = 200 << 10


class Operations(names.Operations, attributes.Operations):
    """Where both have an operation, it is the one on names."""

    KINDS = (
        *names.Operations.KINDS,
        ("set", 8), ("remove", 4), ("access", 4), ("default", 2), ("remove_acl", 2), ("chown", 3), ("capability", 2),
        ("append", 14), ("write", 24), ("write_direct", 14), ("write_mapped", 8), ("truncate", 8), ("allocate", 6),
        ("punch", 6), ("zero", 4), ("collapse", 4), ("insert", 4), ("copy", 5), ("sync", 2), ("write_once", 8),
    )

    @staticmethod
    def _place(choice: random.Random, step: int = 1) -> tuple[int, int]:
        length = choice.choice((1, 1, 2, 8)) * choice.choice((step, step * -(-4096 // step), step * -(-7000 // step)))
        return choice.randrange(0, LIMIT - length, step), length

    def _file(self, choice: random.Random, flags: int = os.O_RDWR) -> int:
        """One of the regular files that there are, nearly always: by chance, a name is rarely one's."""
        if choice.random() < 0.1:
            return self._open(choice, flags)
        found = []
        for directory, directories, files in os.walk(self._top):
            directories.sort()
            found += [path for name in sorted(files)
                      if stat.S_ISREG(os.lstat(path := os.path.join(directory, name)).st_mode)]
        if not found:
            raise OSError(errno.ENOENT, "no file is there")
        return os.open(choice.choice(found), flags)

    def _write(self, choice: random.Random) -> None:
        offset, length = self._place(choice)
        with open(self._file(choice), "wb", buffering=0) as file:
            os.pwrite(file.fileno(), choice.randbytes(length), offset)

    def _append(self, choice: random.Random) -> None:
        with open(self._file(choice, os.O_WRONLY | os.O_APPEND), "wb", buffering=0) as file:
            if os.fstat(file.fileno()).st_size < LIMIT:
                file.write(choice.randbytes(choice.choice((100, 5000, 20_000))))

    def _write_once(self, choice: random.Random) -> None:
        """As editors and compilers do: a new file, and then the name."""
        path = self._path(choice)
        fresh = os.path.join(os.path.dirname(path), "~")
        with open(fresh, "wb") as file:
            file.write(choice.randbytes(choice.randrange(1, 60_000)))
        os.rename(fresh, path)

    def _write_direct(self, choice: random.Random) -> None:
        offset, length = self._place(choice, 512)
        with open(self._file(choice, os.O_WRONLY | os.O_DIRECT), "wb", buffering=0) as file:
            os.pwrite(file.fileno(), direct.aligned(length, choice.randrange(1, 256)), offset)

    def _write_mapped(self, choice: random.Random) -> None:
        with open(self._file(choice), "r+b", buffering=0) as file:
            size = os.fstat(file.fileno()).st_size
            if size:
                # What of a hole gets blocks depends on the size of folios.
                populate.fallocate(file.fileno(), 0, 0, size)
                with mmap.mmap(file.fileno(), size) as mapping:
                    at = choice.randrange(size)
                    data = choice.randbytes(min(size - at, 6000))
                    mapping[at : at + len(data)] = data

    def _truncate(self, choice: random.Random) -> None:
        with open(self._file(choice), "wb", buffering=0) as file:
            os.ftruncate(file.fileno(), choice.choice((0, choice.randrange(LIMIT), 4096, 70_000)))

    def _fallocate(self, choice: random.Random, mode: int) -> None:
        offset, length = self._place(choice)
        with open(self._file(choice), "r+b", buffering=0) as file:
            populate.fallocate(file.fileno(), mode, offset, length)

    def _allocate(self, choice: random.Random) -> None:
        self._fallocate(choice, choice.choice((0, populate.KEEP_SIZE)))

    def _punch(self, choice: random.Random) -> None:
        self._fallocate(choice, populate.PUNCH_HOLE)

    def _zero(self, choice: random.Random) -> None:
        self._fallocate(choice, populate.ZERO_RANGE | choice.choice((0, populate.KEEP_SIZE)))

    def _collapse(self, choice: random.Random) -> None:
        with open(self._file(choice), "r+b", buffering=0) as file:
            offset, length = self._place(choice, 4096)
            # What is refused for going too far changes the times with C ext4.
            if offset + length < os.fstat(file.fileno()).st_size:
                populate.fallocate(file.fileno(), populate.COLLAPSE_RANGE, offset, length)

    def _insert(self, choice: random.Random) -> None:
        with open(self._file(choice), "r+b", buffering=0) as file:
            offset, length = self._place(choice, 4096)
            if offset < os.fstat(file.fileno()).st_size < LIMIT:
                populate.fallocate(file.fileno(), populate.INSERT_RANGE, offset, length)

    def _copy(self, choice: random.Random) -> None:
        offset, length = self._place(choice)
        with open(self._file(choice, os.O_RDONLY), "rb", buffering=0) as source:
            with open(self._file(choice), "r+b", buffering=0) as target:
                os.copy_file_range(source.fileno(), target.fileno(), length, offset, self._place(choice)[0])

    def _sync(self, choice: random.Random) -> None:
        if choice.random() < 0.3:
            os.sync()
        else:
            with open(self._file(choice), "rb", buffering=0) as file:
                os.fsync(file.fileno())


def _mapped(path: str) -> list[tuple[int, int]]:
    """What of a file has blocks: first byte and end of each stretch, whatever extents it is made of."""
    stretches: list[tuple[int, int]] = []
    descriptor = os.open(path, os.O_RDONLY)
    try:
        for logical, _, length, _ in manifest.fiemap(descriptor):
            if stretches and stretches[-1][1] == logical:
                stretches[-1] = (stretches[-1][0], logical + length)
            else:
                stretches.append((logical, logical + length))
    finally:
        os.close(descriptor)
    return stretches


def tree(top: Path) -> dict[str, dict[str, object]]:
    """What is below a directory, without what two file systems may differ in, and the times."""
    found: dict[str, dict[str, object]] = {}
    for path, known in names.tree(top).items():
        whole = os.path.join(top, path)
        status = os.lstat(whole)
        found[path] = {"inode": known, "mtime": status.st_mtime_ns, "ctime": status.st_ctime_ns,
                       **attributes.of(whole)}
        if stat.S_ISREG(status.st_mode):
            # Before it is read, which would show in what is mapped.
            found[path]["mapped"] = _mapped(whole)
            with open(whole, "rb") as file:
                found[path]["data"] = hashlib.file_digest(file, "sha256").hexdigest()
    return found


TIMES = ("mtime", "ctime")


def times_disagree(one: dict[str, dict[str, object]], other: dict[str, dict[str, object]]) -> str:
    """Two times that are in another order in one tree than in the other, if there are any.

    How late the clock is that they are taken from does not matter for that, nor how long an operation took.
    """
    pairs = sorted((one[path][name], other[path][name], f"{path[:60]} ({name})") for path in one for name in TIMES)
    latest = pairs[0]
    for pair in pairs[1:]:
        if latest[0] < pair[0] and latest[1] > pair[1]:
            return f"{latest[2]} is before {pair[2]} in one, after it in the other: {latest[:2]}, {pair[:2]}"
        latest = max(latest, pair, key=lambda known: known[1])
    return ""
