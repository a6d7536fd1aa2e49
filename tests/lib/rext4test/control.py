# SPDX-License-Identifier: GPL-2.0
"""Calls by ioctl: flags of files, generations, labels, shutting down, trimming, moving blocks."""

from __future__ import annotations

import contextlib
import fcntl
import os
import struct
from pathlib import Path
from typing import Iterator

GETFLAGS, SETFLAGS = 0x80086601, 0x40086602
FSGETXATTR, FSSETXATTR = 0x801C581F, 0x401C5820
GETVERSION, SETVERSION = 0x80087601, 0x40087602
GETFSLABEL, SETFSLABEL = 0x81009431, 0x41009432
GETFSUUID, GETFSSYSFSPATH = 0x80111500, 0x80811501
EXT4_GETFSUUID = 0x8008662C
FITRIM = 0xC0185879
SHUTDOWN = 0x8004587D
MOVE_EXT = 0xC028660F
CHECKPOINT = 0x4004662B
GETFSMAP = 0xC0C0583B
PRECACHE_EXTENTS, CLEAR_ES_CACHE, GETSTATE, GET_ES_CACHE = 0x6612, 0x6628, 0x40046629, 0xC020662A
FIEMAP = 0xC020660B
RESIZE_FS, GROUP_EXTEND, GROUP_ADD = 0x40086610, 0x40086607, 0x40286608
FLUSH, COMMIT_ONLY, NOW = 0, 1, 2  # how to shut down

#: The bits of `chattr`'s letters.
FLAGS = {
    "s": 0x1, "u": 0x2, "c": 0x4, "S": 0x8, "i": 0x10, "a": 0x20, "d": 0x40, "A": 0x80, "E": 0x800, "I": 0x1000,
    "j": 0x4000, "t": 0x8000, "D": 0x10000, "T": 0x20000, "e": 0x80000, "V": 0x100000, "x": 0x2000000,
    "N": 0x10000000, "P": 0x20000000, "F": 0x40000000,
}


@contextlib.contextmanager
def opened(path: Path) -> Iterator[int]:
    """The file or directory, to be asked something."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def call(path: Path, number: int, argument: bytes | int = 0) -> bytes | int:
    """One ioctl."""
    with opened(path) as descriptor:
        return fcntl.ioctl(descriptor, number, argument)


def get_flags(path: Path) -> int:
    """The flags as bits."""
    return struct.unpack("I", call(path, GETFLAGS, bytes(8))[:4])[0]


def set_flags(path: Path, flags: int) -> None:
    """Exactly these flags."""
    call(path, SETFLAGS, struct.pack("Q", flags))


def letters(flags: int) -> str:
    """The flags as `lsattr` shows them."""
    return "".join(sorted(letter for letter, bit in FLAGS.items() if flags & bit))


def get_xattr(path: Path) -> tuple[int, int]:
    """The flags of FS_IOC_FSGETXATTR, and the project."""
    flags, _, _, project, _ = struct.unpack("5I8x", call(path, FSGETXATTR, bytes(28)))
    return flags, project


def set_xattr(path: Path, flags: int, project: int) -> None:
    """Exactly these, by FS_IOC_FSSETXATTR."""
    call(path, FSSETXATTR, struct.pack("5I8x", flags, 0, 0, project, 0))


def shut_down(path: Path, how: int) -> None:
    """As if the power had gone."""
    call(path, SHUTDOWN, struct.pack("I", how))


def trim(path: Path, start: int = 0, length: int = 2**64 - 1, least: int = 0) -> int:
    """Discard free space; how many bytes."""
    answer = call(path, FITRIM, struct.pack("3Q", start, length, least))
    return struct.unpack("3Q", answer)[1]


def move_extents(file: int, donor: int, start: int, donor_start: int, blocks: int) -> tuple[int, int]:
    """Have a file exchange blocks with a donor: the errno or zero, and how many blocks were moved."""
    argument = bytearray(struct.pack("2I4Q", 0, donor, start, donor_start, blocks, 0))
    number = 0
    try:
        fcntl.ioctl(file, MOVE_EXT, argument)
    except OSError as error:
        number = error.errno or 0
    return number, struct.unpack("2I4Q", argument)[5]


def extents(path: Path, number: int = FIEMAP, start: int = 0, length: int = 2**64 - 1, *, flags: int = 0,
            room: int = 64) -> tuple[int, list[tuple[int, int, int, int]]]:
    """What FIEMAP says, or with its structure GET_ES_CACHE: the flags that are left, and where each extent begins in the
    file and on the device, its length and flags."""
    argument = bytearray(struct.pack("2Q4I", start, length, flags, 0, room, 0)) + bytearray(56 * room)
    call(path, number, argument)
    _, _, left, count, _, _ = struct.unpack_from("2Q4I", argument)
    if room == 0:
        return left, [(0, 0, 0, 0)] * count
    found = [struct.unpack_from("3Q16xI12x", argument, 32 + 56 * index) for index in range(count)]
    return left, [(logical, physical, size, bits) for logical, physical, size, bits in found]


def state(path: Path) -> int:
    """What is going on with a file, as EXT4_IOC_GETSTATE has it."""
    return struct.unpack("I", call(path, GETSTATE, bytes(4)))[0]
