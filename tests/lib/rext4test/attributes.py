# SPDX-License-Identifier: GPL-2.0
"""Random operations on extended attributes and ACLs, the same for the same seed, and what they leave."""

from __future__ import annotations

import errno
import mmap
import os
import random
import stat
import struct
from pathlib import Path

from . import names
from .operations import Stream

ACCESS, DEFAULT = "system.posix_acl_access", "system.posix_acl_default"
CAPABILITY = "security.capability"
#: CAP_NET_RAW, permitted and effective, in the form of the attribute.
NET_RAW = struct.pack("<5I", 0x02000001, 1 << 13, 0, 0, 0)
_OWNER, _USER, _OWNING_GROUP, _GROUP, _MASK, _OTHER = 1, 2, 4, 8, 16, 32
_NOBODY = 2**32 - 1


def acl(owner: int, group: int, other: int, users: dict[int, int] | None = None,
        groups: dict[int, int] | None = None, mask: int | None = None) -> bytes:
    """An ACL in the form of the system call; with named users or groups it has a mask."""
    entries = [(_OWNER, owner, _NOBODY)]
    entries += [(_USER, bits, uid) for uid, bits in sorted((users or {}).items())]
    entries.append((_OWNING_GROUP, group, _NOBODY))
    entries += [(_GROUP, bits, gid) for gid, bits in sorted((groups or {}).items())]
    if users or groups or mask is not None:
        entries.append((_MASK, 7 if mask is None else mask, _NOBODY))
    entries.append((_OTHER, other, _NOBODY))
    return struct.pack("<I", 2) + b"".join(struct.pack("<HHI", *entry) for entry in entries)


def mask_of(value: bytes) -> int | None:
    """The mask of an ACL, if it has one."""
    for tag, bits, _ in struct.iter_unpack("<HHI", value[4:]):
        if tag == _MASK:
            return bits
    return None


def of(path: Path | str) -> dict[str, bytes]:
    """All attributes of an inode."""
    return {name: os.getxattr(path, name, follow_symlinks=False)
            for name in sorted(os.listxattr(path, follow_symlinks=False))}


class Operations(Stream):
    """Operations on attributes, ACLs, and files that have them."""

    KINDS = (
        ("set", 32), ("remove", 14), ("access", 12), ("default", 8), ("remove_acl", 6), ("chmod", 10),
        ("chown", 4), ("create", 10), ("make_directory", 5), ("node", 2), ("symlink", 2), ("unnamed", 3),
        ("unlink", 5), ("capability", 5), ("write", 5), ("direct_write", 2), ("truncate", 3), ("rename", 2),
    )
    SIZES = (0, 1, 3, 4, 10, 30, 31, 40, 60, 62, 90, 200, 500, 900, 975, 1500, 3000, 3900, 4040, 60_000, 70_000)

    def _directory(self, choice: random.Random) -> str:
        return os.path.join(self._top, *choice.choice(((), ("dir0",), ("dir1",), ("dir0", "dir1"), ("dir2",))))

    def _path(self, choice: random.Random) -> str:
        if choice.random() < 0.25:
            return self._directory(choice)
        return os.path.join(self._directory(choice), f"file{choice.randrange(8)}")

    @staticmethod
    def _name(choice: random.Random) -> str:
        name = choice.choice(("a", "b", "cc", "ddd", "eeee", "long" * 20, "\u00fc"))
        return choice.choice(("user.", "user.", "trusted.", "security.")) + name

    @staticmethod
    def _acl(choice: random.Random) -> bytes:
        bits = lambda: choice.randrange(8)  # pylint: disable=unnecessary-lambda-assignment
        count = choice.choice((0, 0, 1, 2, 5, 60, 130))
        named = {number * 1000 + choice.randrange(1000): bits() for number in range(count)}
        users = {number: value for number, value in named.items() if choice.random() < 0.7}
        groups = {number: value for number, value in named.items() if number not in users}
        return acl(bits(), bits(), bits(), users, groups, bits() if choice.random() < 0.7 else None)

    def _set(self, choice: random.Random) -> None:
        path, name, size = self._path(choice), self._name(choice), choice.choice(self.SIZES)
        flags = choice.choice((0, 0, 0, os.XATTR_CREATE, os.XATTR_REPLACE))
        os.setxattr(path, name, choice.randbytes(1) * size, flags, follow_symlinks=False)

    def _remove(self, choice: random.Random) -> None:
        os.removexattr(self._path(choice), self._name(choice), follow_symlinks=False)

    def _access(self, choice: random.Random) -> None:
        os.setxattr(self._path(choice), ACCESS, self._acl(choice), follow_symlinks=False)

    def _default(self, choice: random.Random) -> None:
        path = self._directory(choice) if choice.random() < 0.9 else self._path(choice)
        os.setxattr(path, DEFAULT, self._acl(choice), follow_symlinks=False)

    def _remove_acl(self, choice: random.Random) -> None:
        os.removexattr(self._path(choice), choice.choice((ACCESS, DEFAULT)), follow_symlinks=False)

    def _chmod(self, choice: random.Random) -> None:
        os.chmod(self._path(choice), choice.choice((0o600, 0o644, 0o755, 0o4711, 0o2770, 0o000, 0o070)))

    def _chown(self, choice: random.Random) -> None:
        os.chown(self._path(choice), choice.choice((0, 5)), choice.choice((0, 7)), follow_symlinks=False)

    def _create(self, choice: random.Random) -> None:
        mode = choice.choice((0o600, 0o644, 0o666, 0o777, 0o4755))
        os.close(os.open(self._path(choice), os.O_CREAT | os.O_EXCL | os.O_WRONLY, mode))

    def _make_directory(self, choice: random.Random) -> None:
        os.mkdir(self._directory(choice), choice.choice((0o755, 0o700, 0o777)))

    def _node(self, choice: random.Random) -> None:
        kind = choice.choice((stat.S_IFIFO, stat.S_IFCHR, stat.S_IFSOCK))
        os.mknod(self._path(choice), kind | 0o666, os.makedev(1, 3) if kind == stat.S_IFCHR else 0)

    def _symlink(self, choice: random.Random) -> None:
        os.symlink("t" * choice.choice((5, 300)), self._path(choice))

    def _unnamed(self, choice: random.Random) -> None:
        descriptor = names.unnamed(self._directory(choice))
        try:
            os.setxattr(descriptor, self._name(choice), b"v" * choice.choice(self.SIZES))
            if choice.random() < 0.8:
                names.link_open_file(descriptor, self._path(choice))
        finally:
            os.close(descriptor)

    def _unlink(self, choice: random.Random) -> None:
        os.unlink(self._path(choice))

    def _capability(self, choice: random.Random) -> None:
        path = self._path(choice)
        if stat.S_ISREG(os.lstat(path).st_mode):
            os.setxattr(path, CAPABILITY, NET_RAW)

    def _open(self, choice: random.Random, flags: int) -> int:
        path = self._path(choice)
        if not stat.S_ISREG(os.lstat(path).st_mode):
            raise OSError(errno.EINVAL, "not a regular file")
        return os.open(path, flags)

    def _write(self, choice: random.Random) -> None:
        descriptor = self._open(choice, os.O_WRONLY)
        with open(descriptor, "wb", buffering=0) as file:
            file.write(b"data")

    def _direct_write(self, choice: random.Random) -> None:
        descriptor = self._open(choice, os.O_WRONLY | os.O_DIRECT)
        with open(descriptor, "wb", buffering=0) as file, mmap.mmap(-1, 4096) as memory:
            file.write(memory)

    def _truncate(self, choice: random.Random) -> None:
        descriptor = self._open(choice, os.O_WRONLY)
        with open(descriptor, "wb", buffering=0) as file:
            os.ftruncate(file.fileno(), choice.choice((0, 2, 5000)))

    def _rename(self, choice: random.Random) -> None:
        flags = choice.choice((0, names.WHITEOUT))
        names.renameat2(self._path(choice), self._path(choice), flags)


def tree(top: Path) -> dict[str, dict[str, object]]:
    """What is below a directory, and the directory itself."""
    # What is to be written later would show in the space that is used.
    os.sync()
    found: dict[str, dict[str, object]] = {}
    paths = [str(top)]
    for directory, directories, files in os.walk(top):
        paths += [os.path.join(directory, name) for name in directories + files if name != "lost+found"]
    for path in paths:
        status = os.lstat(path)
        known: dict[str, object] = {
            "mode": oct(status.st_mode), "owner": (status.st_uid, status.st_gid), "links": status.st_nlink,
            "size": status.st_size, "sectors": status.st_blocks,
        }
        found[os.path.relpath(path, top)] = known | dict(of(path))
    return found
