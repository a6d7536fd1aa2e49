# SPDX-License-Identifier: GPL-2.0
"""Trees of real files, made through the kernel's own ext4."""

from __future__ import annotations

import ctypes
import os
import random
import socket
import stat
from pathlib import Path

from .base import run

KIB = 1 << 10
MIB = 1 << 20
# fallocate(2): FALLOC_FL_KEEP_SIZE, and PUNCH_HOLE with it
KEEP_SIZE = 1
PUNCH_HOLE = 3
COLLAPSE_RANGE = 0x08
ZERO_RANGE = 0x10
INSERT_RANGE = 0x20

_libc = ctypes.CDLL(None, use_errno=True)


def fallocate(descriptor: int, mode: int, offset: int, length: int) -> None:
    """fallocate(2) with a mode."""
    if _libc.fallocate(descriptor, mode, ctypes.c_long(offset), ctypes.c_long(length)) != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"fallocate: {os.strerror(number)}")


class Tree:
    """Makes files below a directory; the same seed makes the same files."""

    def __init__(self, top: Path, seed: int = 1) -> None:
        self.top = top
        self._random = random.Random(seed)

    def everything(self, *, names: int = 600, depth: int = 30, data: int = 1 * MIB) -> None:
        """All kinds there are. `names`: entries of the large directories, `depth` of the deep
        one; `data`: bytes of each larger file."""
        self.sizes()
        self.sparse(data)
        self.preallocated(data)
        self.fragmented(data)
        self.deep(depth)
        self.wide(names)
        self.links()
        self.special()
        self.xattrs()
        self.acls()
        self.times()
        self.owners()

    def _dir(self, name: str) -> Path:
        path = self.top / name
        path.mkdir()
        return path

    def _bytes(self, count: int) -> bytes:
        return self._random.randbytes(count)

    def sizes(self) -> None:
        """Files that end around the borders of sectors, blocks and pages."""
        where = self._dir("sizes")
        for size in (0, 1, 59, 60, 511, 512, 513, 1023, 1025, 4095, 4096, 4097, 65536, 100_001):
            (where / f"{size}").write_bytes(self._bytes(size))

    def sparse(self, size: int) -> None:
        """Data here and there, holes at both ends, and an end far away."""
        where = self._dir("sparse")
        with open(where / "islands", "wb") as file:
            for at in range(64 * KIB, size, 192 * KIB):
                file.seek(at)
                file.write(self._bytes(self._random.randrange(1, 9000)))
            file.truncate(size + 12345)
        with open(where / "hole", "wb") as file:
            file.truncate(size)
        with open(where / "far", "wb") as file:
            file.seek(1 << 33)
            file.write(b"end")
            # Nobody wants to read 8 GiB of hole: cut to what is quickly read.
            file.truncate(3 * MIB)
            file.seek(3 * MIB - 3)
            file.write(b"end")

    def preallocated(self, size: int) -> None:
        """Unwritten blocks: all, partly written, beyond the end."""
        where = self._dir("preallocated")
        for name, mode in (("whole", 0), ("partly", 0), ("beyond", KEEP_SIZE)):
            with open(where / name, "wb", buffering=0) as file:
                fallocate(file.fileno(), mode, 0, size)
                if name == "partly":
                    for at in range(0, size, 100 * KIB):
                        file.seek(at)
                        file.write(self._bytes(3000))
                if name == "beyond":
                    file.write(self._bytes(5000))

    def fragmented(self, size: int) -> None:
        """Two files that grew in turns, and one with every other block punched out."""
        where = self._dir("fragmented")
        with open(where / "one", "wb", buffering=0) as one, open(where / "two", "wb", buffering=0) as two:
            for _ in range(0, size, 128 * KIB):
                for file in (one, two):
                    file.write(self._bytes(20 * KIB))
                    os.fdatasync(file.fileno())
        self.punched(where / "comb", min(size, 2 * MIB))

    def punched(self, path: Path, size: int) -> None:
        """Every other block is a hole: as many extents as half the blocks."""
        with open(path, "wb", buffering=0) as file:
            file.write(self._bytes(size))
            os.fsync(file.fileno())
            block = os.fstatvfs(file.fileno()).f_bsize
            for at in range(block, size, 2 * block):
                fallocate(file.fileno(), PUNCH_HOLE, at, block)

    def deep(self, depth: int) -> None:
        """Directories in directories."""
        where = self._dir("deep")
        for level in range(depth):
            where = where / f"level-{level}"
            where.mkdir()
            (where / "file").write_bytes(f"level {level}\n".encode())

    def wide(self, names: int) -> None:
        """Large directories, with short, with long and with strange names; one with gaps."""
        for kind, shape in (("short", "{}"), ("long", "{:x>255}"), ("gaps", "entry {} äöü\t€")):
            where = self._dir(f"wide-{kind}")
            made = []
            # Long names fill an index of several levels; the others are about their kind.
            for number in range(names if kind == "long" else min(names, 150)):
                name = os.fsencode(shape.format(number))[:255]
                path = os.path.join(os.fsencode(where), name)
                os.close(os.open(path, os.O_CREAT | os.O_WRONLY, 0o640))
                made.append(path)
            if kind == "gaps":
                for path in made:
                    if self._random.random() < 0.7:
                        os.unlink(path)

    def links(self) -> None:
        """Symbolic links around the length that fits the inode, and hard links."""
        where = self._dir("links")
        for length in (1, 58, 59, 60, 61, 255, 1000):
            os.symlink(("t/" * length)[:length], where / f"to-{length}")
        (where / "dangling").symlink_to("nothing")
        (where / "absolute").symlink_to("/proc/self")
        (where / "first").write_text("one file, three names\n", encoding="ascii")
        for name in ("second", "third"):
            os.link(where / "first", where / name)

    def special(self) -> None:
        """Device nodes with small and large numbers, a fifo and a socket."""
        where = self._dir("special")
        for name, kind, major, minor in (
            ("null", stat.S_IFCHR, 1, 3),
            ("vdz", stat.S_IFBLK, 254, 255),
            ("large", stat.S_IFCHR, 4000, 1_000_000),
        ):
            os.mknod(where / name, kind | 0o660, os.makedev(major, minor))
        os.mkfifo(where / "fifo")
        with socket.socket(socket.AF_UNIX) as made:
            os.chdir(where)  # a socket's address is short
            made.bind("socket")
            os.chdir("/")

    def xattrs(self) -> None:
        """In the inode, in a block of their own, shared, empty, many."""
        where = self._dir("xattrs")
        for name in ("inode", "block", "both", "many", "shared"):
            (where / name).write_text(name, encoding="ascii")
        os.setxattr(where / "inode", "user.small", b"value")
        os.setxattr(where / "inode", "trusted.empty", b"")
        block = os.statvfs(self.top).f_bsize
        os.setxattr(where / "block", "user.large", self._bytes(block * 3 // 5))
        os.setxattr(where / "both", "user.in-inode", b"x" * 20)
        os.setxattr(where / "both", "user.in-block", self._bytes(300))
        os.setxattr(where / "both", "security.label", b"unlabelled\0")
        for number in range(12):
            os.setxattr(where / "many", f"user.attribute-{number}", self._bytes(number))
        # Equal blocks of two inodes are stored once.
        os.setxattr(where / "shared", "user.in-block", b"s" * 400)
        (where / "shared-too").touch()
        os.setxattr(where / "shared-too", "user.in-block", b"s" * 400)
        os.setxattr(where, "user.of-a-directory", b"yes")
        os.symlink("inode", where / "link")
        os.setxattr(where / "link", "trusted.of-a-link", b"itself", follow_symlinks=False)

    def acls(self) -> None:
        """Access and default ACLs."""
        where = self._dir("acls")
        (where / "file").write_text("acl", encoding="ascii")
        run("setfacl", "-m", "u:1000:rw,g:2000:r,m::rwx", where / "file")
        run("setfacl", "-d", "-m", "u:70000:rx", where)
        (where / "inherited").mkdir()
        (where / "inherited" / "file").touch()

    def times(self) -> None:
        """With nanoseconds, before 1970 and beyond 2038."""
        where = self._dir("times")
        for name, seconds in (("past", -1_000_000_000), ("epoch", 0), ("y2038", 1 << 31),
                              ("y2100", 4_102_444_800), ("last", 15_032_385_535)):
            path = where / name
            path.touch()
            nanoseconds = seconds * 10**9
            os.utime(path, ns=(nanoseconds + 123_456_789, nanoseconds + 999_999_999))

    def owners(self) -> None:
        """Owners of more than 16 bits, all mode bits, and inode flags."""
        where = self._dir("owners")
        for name, owner, group, mode in (("large", 100_000, 4_000_000_000, 0o640),
                                         ("bits", 1, 2, 0o7777), ("none", 0, 0, 0)):
            (where / name).touch()
            os.chown(where / name, owner, group)
            os.chmod(where / name, mode)
        for flag in "aid":
            (where / f"flag-{flag}").touch()
            run("chattr", f"+{flag}", where / f"flag-{flag}")
