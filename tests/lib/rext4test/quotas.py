# SPDX-License-Identifier: GPL-2.0
"""Quotas by quotactl(2), and doing things as somebody else, to whom limits apply."""

from __future__ import annotations

import ctypes
import errno
import os
import struct
from pathlib import Path
from typing import Callable, NamedTuple

from .base import Wrong, check, exit_status
from .filesystem import Filesystem

USER, GROUP, PROJECT = 0, 1, 2
KINDS = (USER, GROUP, PROJECT)

_SYNC, _ON, _OFF, _GETFMT, _GETINFO, _SETINFO, _GETQUOTA, _SETQUOTA, _GETNEXT = range(0x800001, 0x80000A)
_XGETQUOTA = 0x5803
_BLOCK_LIMITS, _INODE_LIMITS = 1, 4
_libc = ctypes.CDLL(None, use_errno=True)

#: Options of mke2fs for all kinds.
ALL_KINDS = ("-O", "quota,project", "-E", "quotatype=usrquota:grpquota:prjquota")
LIMITS = "usrquota,grpquota,prjquota"


class Usage(NamedTuple):
    """What belongs to an ID: bytes, also those set aside, and inodes."""

    space: int
    inodes: int


def _call(command: int, kind: int, device: str, number: int, argument: ctypes.Array | None) -> None:
    code = _libc.quotactl(ctypes.c_int(command << 8 | kind), device.encode(), ctypes.c_int(number), argument)
    if code != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


def _ask(command: int, kind: int, device: str, number: int) -> tuple[int, ...]:
    answer = ctypes.create_string_buffer(80)
    _call(command, kind, device, number, answer)
    return struct.unpack_from("8QII", answer.raw)


def usage(device: str, kind: int, number: int) -> Usage:
    """What belongs to an ID."""
    answer = _ask(_GETQUOTA, kind, device, number)
    return Usage(answer[2], answer[5])


def get_as_xfs(device: str, kind: int, number: int) -> None:
    """Ask for what belongs to an ID with XFS's command, which does not wait for the end of a freeze."""
    _call(_XGETQUOTA, kind, device, number, ctypes.create_string_buffer(112))


def sync_quotas(device: str, kind: int) -> None:
    """Have all entries written, which does not wait for the end of a freeze."""
    _call(_SYNC, kind, device, 0, None)


def next_after(device: str, kind: int, number: int) -> int:
    """The first ID from this one on that has an entry."""
    return _ask(_GETNEXT, kind, device, number)[9]


def everybody(device: str) -> dict[tuple[int, int], Usage]:
    """What belongs to each ID that has something."""
    found = {}
    for kind in KINDS:
        number = 0
        while True:
            try:
                answer = _ask(_GETNEXT, kind, device, number)
            except OSError as error:
                if error.errno not in (errno.ENOENT, errno.ESRCH):
                    raise
                break
            own = Usage(answer[2], answer[5])
            if own != Usage(0, 0):
                found[kind, answer[9]] = own
            number = answer[9] + 1
    return found


def limit(device: str, kind: int, number: int, *, hard: int = 0, soft: int = 0, inodes: int = 0,
          soft_inodes: int = 0) -> None:
    """Set limits, in bytes and inodes; zero is none."""
    argument = struct.pack("8QII", hard >> 10, soft >> 10, 0, inodes, soft_inodes, 0, 0, 0,
                           _BLOCK_LIMITS | _INODE_LIMITS, 0)
    _call(_SETQUOTA, kind, device, number, ctypes.create_string_buffer(argument, 80))


def grace(device: str, kind: int, seconds: int) -> None:
    """For how long a soft limit may be exceeded."""
    argument = struct.pack("QQII", seconds, seconds, 0, 3)
    _call(_SETINFO, kind, device, 0, ctypes.create_string_buffer(argument, 24))


def heed(device: str, kind: int, on: bool) -> None:
    """Have limits heeded, or not."""
    _call(_ON if on else _OFF, kind, device, 4, None)


#: Formats of quota files.
OLD, V0, V1 = 1, 2, 4
_MAGIC = (0xD9C01F11, 0xD9C01927, 0xD9C03F14)


def turn_on(device: str, kind: int, file: Path, form: int = V1) -> None:
    """Have what belongs to IDs counted in a file that has a name."""
    _call(_ON, kind, device, form, ctypes.create_string_buffer(str(file).encode()))


def turn_off(device: str, kind: int) -> None:
    """End that."""
    _call(_OFF, kind, device, 0, None)


def format_of(device: str, kind: int) -> int:
    """The format of the quota file that is used."""
    answer = ctypes.create_string_buffer(4)
    _call(_GETFMT, kind, device, 0, answer)
    return struct.unpack("I", answer.raw[:4])[0]


def empty_file(kind: int, form: int = V1) -> bytes:
    """A quota file in which nothing is counted yet: what it says of itself, and the root of its tree."""
    head = struct.pack("<8I", _MAGIC[kind], int(form == V1), 604800, 604800, 0, 2, 0, 0)
    return head.ljust(2048, b"\0")


def fsck(filesystem: Filesystem) -> None:
    """e2fsck has to find nothing to mend, and counts the same as the quota files say."""
    status, output = exit_status("e2fsck", "-fn", filesystem.device)
    check(status == 0 and "QUOTA" not in output, f"e2fsck -fn {filesystem.device}: exit status {status}\n{output}")


def as_user(uid: int, gid: int, work: Callable[[], None]) -> int:
    """Do something in a process of this user, who has no capabilities; the errno that it failed with, or zero."""
    child = os.fork()
    if child == 0:
        status = 255
        try:
            os.setgroups([])
            os.setresgid(gid, gid, gid)
            os.setresuid(uid, uid, uid)
            work()
            status = 0
        except OSError as error:
            status = error.errno or 254
        finally:
            os._exit(status)
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status):
        return -os.WTERMSIG(status)
    if os.WEXITSTATUS(status) == 255:
        raise Wrong("the process that does something as a user failed in another way")
    return os.WEXITSTATUS(status)


def everything(top: Path) -> None:
    """Who owns something can do all there is to do below."""
    os.chmod(top, 0o777)
