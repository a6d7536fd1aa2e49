# SPDX-License-Identifier: GPL-2.0
"""Which folios a file has in the page cache, as `/proc/kpageflags` shows them."""

from __future__ import annotations

import ctypes
import mmap
import os
import struct
from pathlib import Path

from .direct import mapped

_PRESENT, _FRAME = 1 << 63, (1 << 55) - 1
_TAIL = 1 << 16


def folios(path: Path) -> list[tuple[int, int]]:
    """Those that are in the page cache: where each begins in the file, and its length, in bytes."""
    size = path.stat().st_size
    pages = -(-size // mmap.PAGESIZE)
    # Opened to be read alone: so the kernel counts nobody who may store to the file.
    with open(path, "rb") as file, mapped(file.fileno(), 0, size, mmap.PROT_READ) as start:
        address = start.value or 0
        cached = _mincore(address, size, pages)
        for page in cached:
            ctypes.string_at(address + page * mmap.PAGESIZE, 1)
        with open("/proc/self/pagemap", "rb", buffering=0) as table:
            entries = struct.unpack(f"{pages}Q", os.pread(table.fileno(), 8 * pages, address // mmap.PAGESIZE * 8))
    found: list[tuple[int, int]] = []
    with open("/proc/kpageflags", "rb", buffering=0) as table:
        for page in cached:
            if not entries[page] & _PRESENT:
                continue
            flags = struct.unpack("Q", os.pread(table.fileno(), 8, (entries[page] & _FRAME) * 8))[0]
            if flags & _TAIL and found:
                first, length = found[-1]
                found[-1] = (first, length + mmap.PAGESIZE)
            else:
                found.append((page * mmap.PAGESIZE, mmap.PAGESIZE))
    return found


def _mincore(address: int, size: int, pages: int) -> list[int]:
    """The pages that are in the page cache, by their number."""
    there = ctypes.create_string_buffer(pages)
    if ctypes.CDLL(None, use_errno=True).mincore(ctypes.c_void_p(address), ctypes.c_size_t(size), there) != 0:
        raise OSError(ctypes.get_errno(), "mincore")
    return [page for page in range(pages) if there.raw[page] & 1]
