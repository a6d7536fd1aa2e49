# SPDX-License-Identifier: GPL-2.0
"""Everything that can be seen of a tree of files, to compare two file systems by it."""

from __future__ import annotations

import ctypes
import dataclasses
import errno
import fcntl
import hashlib
import mmap
import os
import stat
import struct
from pathlib import Path

from .base import Wrong, check, want

CHUNK = 1 << 20
# For direct reads.
_aligned = mmap.mmap(-1, CHUNK)
_FIEMAP = 0xC020660B  # FS_IOC_FIEMAP
_GETDENTS64 = 217
_DT_DIR = 4
_libc = ctypes.CDLL(None, use_errno=True)


class _Statx(ctypes.Structure):
    """struct statx, include/uapi/linux/stat.h."""

    _fields_ = [
        ("mask", ctypes.c_uint32), ("blksize", ctypes.c_uint32), ("attributes", ctypes.c_uint64),
        ("nlink", ctypes.c_uint32), ("uid", ctypes.c_uint32), ("gid", ctypes.c_uint32),
        ("mode", ctypes.c_uint16), ("pad0", ctypes.c_uint16), ("ino", ctypes.c_uint64),
        ("size", ctypes.c_uint64), ("blocks", ctypes.c_uint64),
        ("attributes_mask", ctypes.c_uint64),
        *[(name, ctypes.c_int64 * 2) for name in ("atime", "btime", "ctime", "mtime")],
        ("rdev", ctypes.c_uint32 * 2), ("dev", ctypes.c_uint32 * 2),
        ("mnt_id", ctypes.c_uint64), ("dio_mem_align", ctypes.c_uint32),
        ("dio_offset_align", ctypes.c_uint32), ("subvol", ctypes.c_uint64),
        *[(f"atomic_write_{name}", ctypes.c_uint32) for name in ("unit_min", "unit_max", "segments_max")],
        ("dio_read_offset_align", ctypes.c_uint32), ("atomic_write_unit_max_opt", ctypes.c_uint32),
        ("spare", ctypes.c_uint32 * 17),
    ]


STATX_BTIME = 0x800
STATX_DIOALIGN = 0x2000
STATX_WRITE_ATOMIC = 0x10000
# STATX_ATTR_COMPRESSED, IMMUTABLE, APPEND, NODUMP, ENCRYPTED, VERITY
_ATTRIBUTES = 0x4 | 0x10 | 0x20 | 0x40 | 0x800 | 0x100000


def statx(path: Path | str) -> _Statx:
    """statx(2) of the path itself, with all that can be asked for."""
    result = _Statx()
    code = _libc.statx(-100, os.fsencode(path), 0x100, 0x7FF | STATX_BTIME | STATX_DIOALIGN | STATX_WRITE_ATOMIC,
                       ctypes.byref(result))
    if code != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"statx: {os.strerror(number)}", str(path))
    return result


@dataclasses.dataclass(frozen=True)
class Entry:
    """One entry of a directory, as getdents64(2) gives it."""

    name: bytes
    inode: int
    kind: int
    cookie: int  # where to go on after it


def read_directory(path: Path | str, start: int = 0, buffer_size: int = 32768) -> list[Entry]:
    """The entries of a directory, in order, from a position on."""
    entries = []
    buffer = ctypes.create_string_buffer(buffer_size)
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.lseek(descriptor, start, os.SEEK_SET)
        while True:
            done = _libc.syscall(_GETDENTS64, descriptor, buffer, len(buffer))
            if done < 0:
                number = ctypes.get_errno()
                raise OSError(number, f"getdents64: {os.strerror(number)}", str(path))
            if done == 0:
                return entries
            at = 0
            while at < done:
                inode, cookie, length, kind = struct.unpack_from("<QqHB", buffer, at)
                name = buffer[at + 19 : at + length].split(b"\0")[0]
                entries.append(Entry(name, inode, kind, cookie))
                at += length
    finally:
        os.close(descriptor)


def fiemap(descriptor: int, *, sync: bool = True, xattr: bool = False) -> list[tuple[int, int, int, int]]:
    """The extents of a file: (logical, physical, length in bytes, flags); by default it is written back first.
    With `xattr` those of its attributes."""
    extents: list[tuple[int, int, int, int]] = []
    room = 512
    start = 0
    while True:
        request = bytearray(struct.pack("<QQIIII", start, (1 << 64) - 1 - start, int(sync) + 2 * xattr, 0, room, 0))
        request += bytes(56 * room)
        fcntl.ioctl(descriptor, _FIEMAP, request)
        mapped = struct.unpack_from("<I", request, 20)[0]
        for number in range(mapped):
            logical, physical, length, _, _, flags = struct.unpack_from("<QQQQQI", request, 32 + 56 * number)
            extents.append((logical, physical, length, flags))
        if mapped < room or extents[-1][3] & 1:
            return extents
        start = extents[-1][0] + extents[-1][2]


def seek_map(descriptor: int, size: int) -> list[tuple[str, int]]:
    """Where data and holes begin, by SEEK_DATA and SEEK_HOLE."""
    result: list[tuple[str, int]] = []
    at = 0
    while at < size:
        try:
            at = os.lseek(descriptor, at, os.SEEK_DATA)
        except OSError as error:
            if error.errno != errno.ENXIO:
                raise
            break
        result.append(("data", at))
        at = os.lseek(descriptor, at, os.SEEK_HOLE)
        result.append(("hole", at))
    return result


def _contents(path: str, size: int) -> dict[str, bytes]:
    """Content, read in three ways: around the page cache, by mapping, through it."""
    contents = {}
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECT)
    with os.fdopen(descriptor, "rb", buffering=0) as file:
        pieces = []
        while done := file.readinto(_aligned):
            pieces.append(_aligned[:done])
            if done % 512:
                break  # the end of the file; from there a read would be unaligned
        contents["direct"] = b"".join(pieces)
    with open(path, "rb", buffering=0) as file:
        with mmap.mmap(file.fileno(), size, prot=mmap.PROT_READ) as mapping:
            contents["mmap"] = mapping[:]
        contents["read"] = file.readall()
    return contents


def _xattrs(path: str) -> dict[str, str]:
    names = os.listxattr(path, follow_symlinks=False)
    return {name: os.getxattr(path, name, follow_symlinks=False).hex() for name in sorted(names)}


def _describe(path: str, *, extents: bool) -> dict:
    """All about one file."""
    status = statx(path)
    kind = stat.S_IFMT(status.mode)
    known: dict = {
        name: getattr(status, name)
        for name in ("mode", "nlink", "uid", "gid", "ino", "size", "blocks", "blksize")
    }
    known["rdev"] = tuple(status.rdev)
    for name in ("atime", "btime", "ctime", "mtime"):
        seconds, rest = getattr(status, name)
        known[name] = (seconds, rest & 0xFFFFFFFF)
    known["attributes"] = status.attributes & _ATTRIBUTES
    known["xattrs"] = _xattrs(path)
    if kind == stat.S_IFLNK:
        known["target"] = os.readlink(path)
    elif kind == stat.S_IFDIR:
        entries = [(os.fsdecode(entry.name), entry.inode, entry.kind) for entry in read_directory(path)]
        # Where these two stand among the others is nobody's business; what
        # `..` of the root is, is another file system's.
        known["dot"] = [entry for entry in entries if entry[0] == "."]
        want(sum(entry[0] == ".." for entry in entries), 1, f"{path}: entries named ..")
        known["entries"] = [entry for entry in entries if entry[0] not in (".", "..")]
    elif kind == stat.S_IFREG:
        descriptor = os.open(path, os.O_RDONLY)
        try:
            # Before any data is read: pages in the cache count as data.
            known["seek"] = seek_map(descriptor, status.size)
            if extents and (status.size or status.blocks):
                known["fiemap"] = fiemap(descriptor)
        finally:
            os.close(descriptor)
        if status.size:
            contents = _contents(path, status.size)
            for how in ("mmap", "direct"):
                check(contents[how] == contents["read"], f"{path}: content by {how} is not what read gives")
            known["content"] = hashlib.sha256(contents["read"]).hexdigest()
    return known


def take(top: Path, *, extents: bool = True, space: bool = True) -> dict[str, dict]:
    """A description of all there is below `top`, by relative path; `top` itself is "".

    Take it on a file system just mounted, with no atime updates.
    """
    result: dict[str, dict] = {}
    if space:
        figures = os.statvfs(top)
        # Not f_bfree: blocks kept back for conversions show there or don't.
        names = ("f_bsize", "f_frsize", "f_blocks", "f_bavail", "f_files", "f_ffree", "f_namemax", "f_fsid")
        result["statfs"] = {name: getattr(figures, name) for name in names}
    base = str(top)
    waiting = [base]
    while waiting:
        directory = waiting.pop()
        known = result[directory[len(base) + 1 :]] = _describe(directory, extents=extents)
        for name, _, kind in known["entries"]:
            path = f"{directory}/{name}"
            if kind == _DT_DIR:
                waiting.append(path)
            else:
                result[path[len(base) + 1 :]] = _describe(path, extents=extents)
    return result


def take_file(path: Path) -> dict:
    """A description of one file."""
    return _describe(str(path), extents=True)


def compare(reference: dict[str, dict], seen: dict[str, dict], who: str) -> None:
    """Both descriptions have to be the same; says where they are not."""
    differences = []
    for path in sorted(reference.keys() | seen.keys()):
        one, other = reference.get(path), seen.get(path)
        if one is None or other is None:
            differences.append(f"{path}: only in {'the reference' if other is None else who}")
            continue
        for name in sorted(one.keys() | other.keys()):
            if one.get(name) != other.get(name):
                differences.append(_shown(path, name, one.get(name), other.get(name)))
    if differences:
        more = len(differences) - 12
        text = "\n  ".join(differences[:12])
        raise Wrong(f"{who} differs from the reference:\n  {text}" + (f"\n  and {more} more" if more > 0 else ""))


def _shown(path: str, name: str, one: object, other: object) -> str:
    """A difference, as short as it can be told."""
    if isinstance(one, list) and isinstance(other, list):
        for number, (left, right) in enumerate(zip(one, other)):
            if left != right:
                return f"{path}: {name}[{number}]: {left} against {right}"
        return f"{path}: {name}: {len(one)} against {len(other)} elements"
    return f"{path}: {name}: {str(one)[:200]} against {str(other)[:200]}"


def check_cookies(path: Path) -> None:
    """A directory can be read on from every position it has given."""
    entries = read_directory(path)
    names = [entry.name for entry in entries]
    check(len(set(names)) == len(names), f"{path}: a name twice")
    for small in (280, 1024):
        want([entry.name for entry in read_directory(path, buffer_size=small)], names,
             f"{path}: read with a buffer of {small} bytes")
    step = max(1, len(entries) // 40)
    for number in range(0, len(entries), step):
        rest = [entry.name for entry in read_directory(path, start=entries[number].cookie)]
        # Names with one hash can come again, never be left out.
        check(set(names[number + 1 :]) <= set(rest) and len(rest) - (len(names) - number - 1) < 8,
              f"{path}: going on after entry {number}: {len(rest)} entries, not {len(names) - number - 1}")
