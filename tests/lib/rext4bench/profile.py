# SPDX-License-Identifier: GPL-2.0
"""Where the kernel spends its time: samples of what is running and who called it, without a tool.

perf_event_open(2) with the kernel's own clock as the event, one for each processor, idle and user
space left out. With interrupts off there are no samples: their time shows where they go on again.
"""

from __future__ import annotations

import bisect
import collections
import contextlib
import ctypes
import mmap
import os
import re
import struct
from typing import Iterator

_SYSCALL = 298  # of x86_64
_SOFTWARE, _CPU_CLOCK = 1, 0
_SAMPLE_CALLCHAIN, _RECORD_SAMPLE = 1 << 5, 9
_DISABLED, _EXCLUDE_USER, _EXCLUDE_IDLE, _FREQUENCY = 1 << 0, 1 << 4, 1 << 7, 1 << 10
_EXCLUDE_USER_CHAIN = 1 << 22
# Addresses from here on say of which kind those after them are.
_CONTEXT_MAX = (1 << 64) - 4095
_ENABLE, _DISABLE = 0x2400, 0x2401
_HERTZ = 997  # not in step with anything
_PAGE = mmap.PAGESIZE
_DATA = 4096 * _PAGE  # 16 MiB: a minute, with chains of 30
_HEAD = 1024  # where the first page says how much there is
_TOP = 30
_TOP_CALLERS = 80

_libc = ctypes.CDLL(None, use_errno=True)


class _Processor:
    """The samples of one processor."""

    def __init__(self, number: int) -> None:
        flags = _DISABLED | _EXCLUDE_USER | _EXCLUDE_IDLE | _FREQUENCY | _EXCLUDE_USER_CHAIN
        attributes = struct.pack("IIQQQQQIIQ", _SOFTWARE, 64, _CPU_CLOCK, _HERTZ, _SAMPLE_CALLCHAIN, 0, flags, 0, 0, 0)
        self._file = _libc.syscall(_SYSCALL, attributes, -1, number, -1, 0)
        if self._file < 0:
            raise OSError(ctypes.get_errno(), "perf_event_open")
        self._ring = mmap.mmap(self._file, _PAGE + _DATA)

    def switch(self, request: int) -> None:
        """Begin or end."""
        if _libc.ioctl(self._file, request, 0):
            raise OSError(ctypes.get_errno(), "perf: ioctl")

    def chains(self) -> Iterator[list[int]]:
        """What was running, who called that, and so on; then it is closed."""
        (head,) = struct.unpack_from("Q", self._ring, _HEAD)
        at = 0
        # The ring is never emptied meanwhile, so it has not gone round.
        while at + 8 <= min(head, _DATA):
            kind, _, size = struct.unpack_from("IHH", self._ring, _PAGE + at)
            if kind == _RECORD_SAMPLE:
                (depth,) = struct.unpack_from("Q", self._ring, _PAGE + at + 8)
                chain = struct.unpack_from(f"{depth}Q", self._ring, _PAGE + at + 16)
                yield [address for address in chain if address < _CONTEXT_MAX]
            at += size
        self._ring.close()
        os.close(self._file)


def readable(symbol: str) -> str:
    """A path from a mangled name of Rust, near enough: what is generic comes last."""
    if not symbol.startswith("_R"):
        return symbol
    names = []
    at = 2
    while at < len(symbol):
        if match := re.compile(r"(\d+)_?").match(symbol, at):
            # A name, after its length.
            start, at = match.end(), match.end() + int(match[1])
            names.append(symbol[start:at])
        elif match := re.compile(r"[sB][0-9A-Za-z]*_").match(symbol, at):
            # What tells names of the same text apart, and what points back.
            at = match.end()
        else:
            at += 1
    return "::".join(name for name in names if name) or symbol


def _symbols() -> tuple[list[int], list[tuple[str, str]]]:
    """Addresses in order, and for each the name and the module."""
    found = []
    with open("/proc/kallsyms", encoding="ascii", errors="replace") as lines:
        for line in lines:
            address, kind, name, *module = line.split()
            if kind in "tTwW":
                found.append((int(address, 16), name, module[0].strip("[]") if module else "vmlinux"))
    found.sort()
    return [address for address, _, _ in found], [(name, module) for _, name, module in found]


class Profile:
    """Empty until the block of `sampled` has ended."""

    def __init__(self) -> None:
        self.result: dict = {}

    def count(self, samples: list[list[int]]) -> None:
        """Give each sample its symbols."""
        addresses, names = _symbols()

        def symbol(at: int) -> tuple[str, str]:
            return names[max(bisect.bisect_right(addresses, at) - 1, 0)]

        symbols = collections.Counter(symbol(chain[0]) for chain in samples)
        # A function that calls itself counts once.
        callers = collections.Counter(name for chain in samples for name in {symbol(at) for at in chain})
        modules: collections.Counter[str] = collections.Counter()
        for (_, module), number in symbols.items():
            modules[module] += number
        total = max(len(samples), 1)
        self.result = {
            "samples": len(samples),
            "modules": {name: round(number / total, 4) for name, number in modules.most_common(12)},
            "symbols": [[module, readable(name), round(number / total, 4)]
                        for (name, module), number in symbols.most_common(_TOP)],
            "callers": [[module, readable(name), round(number / total, 4)]
                        for (name, module), number in callers.most_common(_TOP_CALLERS)],
        }


@contextlib.contextmanager
def sampled(wanted: bool) -> Iterator[Profile]:
    """Sample all processors while the block runs."""
    profile = Profile()
    if not wanted:
        yield profile
        return
    processors = [_Processor(number) for number in sorted(os.sched_getaffinity(0))]
    for processor in processors:
        processor.switch(_ENABLE)
    yield profile
    for processor in processors:
        processor.switch(_DISABLE)
    profile.count([chain for processor in processors for chain in processor.chains() if chain])
