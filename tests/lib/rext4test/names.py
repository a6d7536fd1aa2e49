# SPDX-License-Identifier: GPL-2.0
"""Random operations on names, the same for the same seed, and what they leave."""

from __future__ import annotations

import ctypes
import os
import random
import stat
import struct
from pathlib import Path

from .operations import Stream

NOREPLACE, EXCHANGE, WHITEOUT = 1, 2, 4
_AT_FDCWD = -100
_AT_EMPTY_PATH = 0x1000
_AT_SYMLINK_FOLLOW = 0x400
_libc = ctypes.CDLL(None, use_errno=True)


def _checked(code: int, what: str) -> None:
    if code != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")


def renameat2(old: Path | str, new: Path | str, flags: int) -> None:
    """rename(2) with flags."""
    _checked(_libc.renameat2(_AT_FDCWD, os.fsencode(old), _AT_FDCWD, os.fsencode(new), flags), "renameat2")


def link_open_file(descriptor: int, name: Path | str) -> None:
    """Give a file that is open a name, also if it has none."""
    source = f"/proc/self/fd/{descriptor}".encode()
    _checked(_libc.linkat(_AT_FDCWD, source, _AT_FDCWD, os.fsencode(name), _AT_SYMLINK_FOLLOW), "linkat")


def unnamed(directory: Path | str) -> int:
    """A file without a name, open."""
    return os.open(directory, os.O_TMPFILE | os.O_RDWR, 0o640)


def handle(path: Path) -> bytes:
    """The handle of a file, as name_to_handle_at(2) gives it."""
    buffer = ctypes.create_string_buffer(struct.pack("Ii", 128, 0) + bytes(128))
    mount = ctypes.c_int()
    code = _libc.name_to_handle_at(_AT_FDCWD, os.fsencode(path), buffer, ctypes.byref(mount), 0)
    _checked(code, "name_to_handle_at")
    return buffer.raw


def handle_of(number: int, generation: int = 0) -> bytes:
    """A handle made up: of an inode with this number, and if it is not 0, with this generation."""
    return struct.pack("IiII", 8, 1, number, generation) + bytes(120)


def open_handle(top: Path, wanted: bytes) -> int:
    """Open a file of a mounted file system by its handle."""
    mount = os.open(top, os.O_RDONLY)
    try:
        descriptor = _libc.open_by_handle_at(mount, ctypes.create_string_buffer(wanted), os.O_RDONLY)
        _checked(min(descriptor, 0), "open_by_handle_at")
        return descriptor
    finally:
        os.close(mount)


class Operations(Stream):
    """Operations on names."""

    DIRECTORIES = 6
    KINDS = (
        ("create", 24), ("make_directory", 12), ("symlink", 8), ("node", 5), ("link", 10),
        ("unlink", 14), ("remove_directory", 6), ("rename", 16), ("exchange", 4), ("noreplace", 4),
        ("whiteout", 2), ("unnamed_file", 4), ("chmod", 3),
    )

    def __init__(self, top: Path, seed: int, names: int = 40) -> None:
        super().__init__(top, seed)
        pool = random.Random(0)
        lengths = [pool.choice((1, 3, 8, 12, 30, 100, 200, 255)) for _ in range(names)]
        self._names = [f"{number}".ljust(length, "n") for number, length in enumerate(lengths)]

    def _path(self, choice: random.Random) -> str:
        depth = choice.choice((0, 0, 1, 1, 1, 2, 3))
        parts = [f"dir{choice.randrange(self.DIRECTORIES)}" for _ in range(depth)]
        if choice.random() < 0.12:
            parts.append(f"dir{choice.randrange(self.DIRECTORIES)}")
        else:
            parts.append(choice.choice(self._names))
        return os.path.join(self._top, *parts)

    def _directory(self, choice: random.Random) -> str:
        depth = choice.choice((1, 1, 1, 2, 3))
        return os.path.join(self._top, *(f"dir{choice.randrange(self.DIRECTORIES)}" for _ in range(depth)))

    def _create(self, choice: random.Random) -> None:
        mode = choice.choice((0o600, 0o644, 0o4755, 0o2755))
        os.close(os.open(self._path(choice), os.O_CREAT | os.O_EXCL | os.O_WRONLY, mode))

    def _make_directory(self, choice: random.Random) -> None:
        os.mkdir(self._directory(choice), choice.choice((0o755, 0o700)))

    def _symlink(self, choice: random.Random) -> None:
        os.symlink("t" * choice.choice((1, 58, 59, 60, 61, 500, 1000, 1023, 1024)), self._path(choice))

    def _node(self, choice: random.Random) -> None:
        kind = choice.choice((stat.S_IFIFO, stat.S_IFCHR, stat.S_IFBLK, stat.S_IFSOCK))
        device = os.makedev(choice.choice((1, 259, 4095)), choice.choice((0, 3, 255, 256, 1048575)))
        os.mknod(self._path(choice), kind | 0o640, device if kind in (stat.S_IFCHR, stat.S_IFBLK) else 0)

    def _link(self, choice: random.Random) -> None:
        os.link(self._path(choice), self._path(choice), follow_symlinks=False)

    def _unlink(self, choice: random.Random) -> None:
        os.unlink(self._path(choice))

    def _remove_directory(self, choice: random.Random) -> None:
        os.rmdir(self._directory(choice))

    def _rename(self, choice: random.Random) -> None:
        if choice.random() < 0.25:
            os.rename(self._directory(choice), self._directory(choice))
        else:
            os.rename(self._path(choice), self._path(choice))

    def _exchange(self, choice: random.Random) -> None:
        if choice.random() < 0.4:
            renameat2(self._directory(choice), self._path(choice), EXCHANGE)
        else:
            renameat2(self._path(choice), self._path(choice), EXCHANGE)

    def _noreplace(self, choice: random.Random) -> None:
        renameat2(self._path(choice), self._path(choice), NOREPLACE)

    def _whiteout(self, choice: random.Random) -> None:
        renameat2(self._path(choice), self._path(choice), WHITEOUT)

    def _unnamed_file(self, choice: random.Random) -> None:
        descriptor = unnamed(self._top)
        try:
            if choice.random() < 0.8:
                link_open_file(descriptor, self._path(choice))
        finally:
            os.close(descriptor)

    def _chmod(self, choice: random.Random) -> None:
        # What is made in such a directory gets its group.
        os.chmod(self._directory(choice), choice.choice((0o755, 0o2755, 0o3777)))


def tree(top: Path) -> dict[str, tuple]:
    """What is below a directory, without what two file systems may differ in."""
    found: dict[str, tuple] = {}
    first_name: dict[int, str] = {}
    for directory, directories, files in os.walk(top):
        directories.sort()
        for name in sorted(directories + files):
            path = os.path.join(directory, name)
            short = os.path.relpath(path, top)
            status = os.lstat(path)
            kind = stat.S_IFMT(status.st_mode)
            known = [status.st_mode, status.st_nlink, status.st_uid, status.st_gid]
            if kind == stat.S_IFLNK:
                known.append(os.readlink(path))
            if kind in (stat.S_IFCHR, stat.S_IFBLK):
                known.append(status.st_rdev)
            if kind != stat.S_IFDIR:
                known += [status.st_size, first_name.setdefault(status.st_ino, short)]
            found[short] = tuple(known)
    return found
