# SPDX-License-Identifier: GPL-2.0
"""Jobs on names, on the ram disk: many files in one directory, small files, a tree.

The tasks are forked Python: its own time is part of what is measured, on both sides alike, so the
ratios are nearer to 1 than those of the file systems alone. The kernel's share is what counts.
"""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Callable

from . import device
from .clock import Clock

_TREE = ("usr/lib/python3.13", "usr/share/perl", "usr/share/zoneinfo", "usr/lib/python3")
_ARCHIVE = Path("/tmp/bench-tree.tar")


def _create(names: list[str], directory: int) -> None:
    flags = os.O_CREAT | os.O_EXCL | os.O_WRONLY
    for name in names:
        os.close(os.open(name, flags, 0o644, dir_fd=directory))


def _stat(names: list[str], directory: int) -> None:
    for name in names:
        os.stat(name, dir_fd=directory)


def _unlink(names: list[str], directory: int) -> None:
    for name in names:
        os.unlink(name, dir_fd=directory)


def _small(names: list[str], directory: int) -> None:
    data = bytes(4096)
    flags = os.O_CREAT | os.O_EXCL | os.O_WRONLY
    for name in names:
        file = os.open(name, flags, 0o644, dir_fd=directory)
        os.write(file, data)
        os.fsync(file)
        os.close(file)


def _by_tasks(work: Callable[[list[str], int], None], shares: list[list[str]], top: Path) -> float:
    """Each task does its share; the seconds until the last has ended."""
    begin = time.monotonic()
    directory = os.open(top, os.O_RDONLY)
    children = []
    for share in shares:
        child = os.fork()
        if child == 0:
            status = 1
            try:
                work(share, directory)
                status = 0
            finally:
                os._exit(status)
        children.append(child)
    failed = [child for child in children if os.waitpid(child, 0)[1]]
    os.close(directory)
    if failed:
        raise RuntimeError(f"{len(failed)} of {len(shares)} tasks failed")
    return time.monotonic() - begin


def _shares(count: int, tasks: int) -> list[list[str]]:
    each = count // tasks
    return [[f"file-{task}-{number:06}" for number in range(each)] for task in range(tasks)]


def _result(clock: Clock, ops: int, figures: dict[str, float]) -> dict:
    return {"figures": figures, "ops": ops, "seconds": clock.seconds, "user": clock.user, "system": clock.system}


def names(fstype: str, count: int, tasks: int) -> dict:
    """Create, look at cold, remove."""
    shares = _shares(count, tasks)
    total = sum(map(len, shares))
    figures = {}
    user = system = 0.0
    with device.mounted(device.RAM, fstype) as top:
        for name, work in (("create", _create), ("stat", _stat), ("unlink", _unlink)):
            with Clock() as clock:
                figures[name] = total / _by_tasks(work, shares, top)
            user, system = user + clock.user, system + clock.system
            # What is looked at, and removed, comes from the disk.
            device.forget()
    return {"figures": figures, "ops": 3 * total, "seconds": total * sum(1 / rate for rate in figures.values()),
            "user": user, "system": system}


def small_files(fstype: str, count: int) -> dict:
    """Files of one block, each safe on the disk before the next is made."""
    shares = _shares(count, 1)
    with device.mounted(device.RAM, fstype) as top:
        with Clock() as clock:
            took = _by_tasks(_small, shares, top)
    return _result(clock, count, {"": count / took})


def archive() -> str:
    """Pack a tree of real files; what is in it."""
    there = [name for name in _TREE if Path("/", name).is_dir()]
    device.run("tar", "-C", "/", "-cf", _ARCHIVE, *there)
    entries = device.run("tar", "-tf", _ARCHIVE).count("\n")
    return f"{entries} entries, {_ARCHIVE.stat().st_size >> 20} MiB"


def tree(fstype: str) -> dict:
    """Unpack and remove it, each until it is on the disk."""
    entries = device.run("tar", "-tf", _ARCHIVE).count("\n")
    with device.mounted(device.RAM, fstype) as top, Clock() as clock:
        begin = time.monotonic()
        device.run("tar", "-C", top, "-xf", _ARCHIVE)
        os.sync()
        middle = time.monotonic()
        device.run("rm", "-rf", top / "usr")
        os.sync()
        end = time.monotonic()
    return _result(clock, 2 * entries, {"untar": middle - begin, "rm -rf": end - middle})


def jobs(count: int) -> dict[str, Callable[[str, float], dict]]:
    """The jobs, with this many files in a directory."""
    return {
        "names-1": lambda fstype, _: names(fstype, count, 1),
        "names-4": lambda fstype, _: names(fstype, count, 4),
        "small-files": lambda fstype, _: small_files(fstype, max(count // 10, 1)),
        "tree": lambda fstype, _: tree(fstype),
    }
