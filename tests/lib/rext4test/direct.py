# SPDX-License-Identifier: GPL-2.0
"""Parts of the direct I/O tests: files to write to, and the judgement afterwards."""

from __future__ import annotations

import contextlib
import ctypes
import mmap
import os
import re
from pathlib import Path
from typing import Iterable, Iterator

from . import tool
from .base import check, run
from .filesystem import Filesystem

ENGINES = ("sync", "aio", "uring")
KIB = 1 << 10
MIB = 1 << 20


def sparse(path: Path, size: int) -> None:
    """A file that is one hole."""
    with open(path, "wb") as file:
        file.truncate(size)
    tool.log_of(path).unlink(missing_ok=True)


def preallocated(path: Path, size: int, *, keep_size: bool = False) -> None:
    """A file whose blocks are all unwritten; with `keep_size` all beyond its end."""
    sparse(path, 0)
    run("fallocate", *(["-n"] if keep_size else []), "-l", str(size), path)


def written(path: Path, size: int, options: str = "") -> None:
    """A file full of stamped data."""
    sparse(path, 0)
    tool.write(f"--buffered --sizes 64k --length {size} --fsync {options}", path)


_libc = ctypes.CDLL(None, use_errno=True)
_libc.mmap.restype = ctypes.c_void_p
_libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, *[ctypes.c_int] * 3, ctypes.c_long]


@contextlib.contextmanager
def mapped(descriptor: int, offset: int, length: int, protection: int) -> Iterator[ctypes.c_void_p]:
    """A part of a file in memory; Python's own mapping tells no address, and ends with the file."""
    start = _libc.mmap(None, length, protection, mmap.MAP_SHARED, descriptor, offset)
    if start == ctypes.c_void_p(-1).value:
        raise OSError(ctypes.get_errno(), "mmap")
    try:
        yield ctypes.c_void_p(start)
    finally:
        _libc.munmap(ctypes.c_void_p(start), ctypes.c_size_t(length))


def start_writeback(descriptor: int) -> None:
    """Of all dirty pages of a file, without waiting for the device."""
    if _libc.sync_file_range(descriptor, ctypes.c_long(0), ctypes.c_long(0), 2) != 0:
        raise OSError(ctypes.get_errno(), "sync_file_range")


def write_back(descriptor: int, at: int, length: int) -> None:
    """A part of a file, until it is on the device."""
    if _libc.sync_file_range(descriptor, ctypes.c_long(at), ctypes.c_long(length), 7) != 0:
        raise OSError(ctypes.get_errno(), "sync_file_range")


def under_writeback() -> bool:
    """Whether any page is on its way to a device."""
    return re.search(r"^Writeback: +0 kB$", Path("/proc/meminfo").read_text(encoding="ascii"), re.MULTILINE) is None


def write_every_other(descriptor: int, blocks: int) -> bytes:
    """Write the first of each two blocks of 4 KiB of a file, its number all over it. What the file has then, if it had
    nothing but zeros."""
    def content(block: int) -> bytes:
        return block.to_bytes(4, "little") * 1024

    for block in range(0, blocks, 2):
        os.pwrite(descriptor, content(block), block * 4096)
    return b"".join(content(0 if block % 2 else block) for block in range(blocks))


def cached_pages(path: Path) -> int:
    """Pages of the file in the page cache."""
    size = path.stat().st_size
    if size == 0:
        return 0
    pages = ctypes.create_string_buffer(-(-size // mmap.PAGESIZE))
    with open(path, "rb") as file, mapped(file.fileno(), 0, size, mmap.PROT_READ) as start:
        if _libc.mincore(start, ctypes.c_size_t(size), pages) != 0:
            raise OSError(ctypes.get_errno(), "mincore")
    return sum(byte & 1 for byte in pages.raw)


def spill(descriptor: int) -> None:
    """Store something behind the end of a file, in the page that its end is in."""
    size = os.fstat(descriptor).st_size
    within = size % mmap.PAGESIZE
    if within:
        protection = mmap.PROT_READ | mmap.PROT_WRITE
        with mapped(descriptor, size - within, mmap.PAGESIZE, protection) as start:
            ctypes.memset((start.value or 0) + within, ord("?"), mmap.PAGESIZE - within)


def drop_caches() -> None:
    """So that what is read next comes from the disk."""
    os.sync()
    Path("/proc/sys/vm/drop_caches").write_text("3\n", encoding="ascii")


def judge(filesystem: Filesystem, names: Iterable[str], options: str = "") -> None:
    """On the unmounted file system: e2fsck is content, and C ext4 finds each byte."""
    filesystem.fsck()
    with filesystem.reference() as top:
        for name in names:
            tool.verify(f"--how direct,buffered {options}", top / name)


def judge_sizes(filesystem: Filesystem, sizes: dict[str, int]) -> None:
    """C ext4 finds files of these sizes."""
    with filesystem.reference() as top:
        for name, size in sizes.items():
            found = (top / name).stat().st_size
            check(found == size, f"{name}: C ext4 says {found} bytes, not {size}")


def aligned(length: int, byte: int = 0x42) -> mmap.mmap:
    """Memory for direct I/O, full of one byte."""
    memory = mmap.mmap(-1, length)
    memory.write(bytes([byte]) * length)
    memory.seek(0)
    return memory


def merge_logs(logs: Iterable[Path], target: Path) -> None:
    """One log of writes to disjoint parts of one file, made side by side."""
    target.write_text("".join(log.read_text(encoding="ascii") for log in logs), encoding="ascii")
