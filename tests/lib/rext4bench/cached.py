# SPDX-License-Identifier: GPL-2.0
"""Jobs through the page cache, on the ram disk."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Callable

from . import device
from .clock import Clock
from .fio import fio, operations, rate, seconds
from .jobs import MIB

_SIZE = 256 * MIB
_PIECE = 64 << 10
_TASKS = 4
#: Of the file that is written with fsync.
_SYNCED = 64 * MIB


def _result(job: dict, clock: Clock, figures: dict[str, float]) -> dict:
    return {"figures": figures, "ops": operations(job), "seconds": seconds(job), "user": clock.user,
            "system": clock.system}


def _words(order: str) -> list[str]:
    return ["--ioengine=psync", f"--bs={_PIECE}", f"--rw={order}", "--gtod_reduce=1", "--name=job"]


def _per_second(job: dict, length: int) -> dict[str, float]:
    """MiB/s; the time of fio's job includes the last fsync, but not fio's own start."""
    return {"": length / MIB / seconds(job)}


def write(fstype: str, _: float) -> dict:
    """Write one file in order."""
    with device.mounted(device.RAM, fstype) as top:
        with Clock() as clock:
            job = fio(*_words("write"), f"--size={_SIZE}", f"--filename={top / 'file'}", "--end_fsync=1")["job"]
    return _result(job, clock, _per_second(job, _SIZE))


def read(fstype: str, _: float) -> dict:
    """Read what C ext4 wrote."""
    with device.mounted(device.RAM, "ext4") as top:
        fio(*_words("write"), f"--size={_SIZE}", f"--filename={top / 'file'}")
    device.forget()
    with device.mounted(device.RAM, fstype) as top:
        with Clock() as clock:
            job = fio(*_words("read"), f"--size={_SIZE}", f"--filename={top / 'file'}")["job"]
    return _result(job, clock, _per_second(job, _SIZE))


def fsync(fstype: str, limit: float) -> dict:
    """Overwrite blocks at random, fsync after each."""
    with device.mounted(device.RAM, "ext4") as top:
        fio(*_words("write"), f"--size={_SYNCED}", f"--filename={top / 'file'}")
    device.forget()
    with device.mounted(device.RAM, fstype) as top:
        with Clock() as clock:
            job = fio("--ioengine=psync", "--bs=4k", "--rw=randwrite", "--fsync=1", f"--size={_SYNCED}", "--name=job",
                      "--time_based=1", f"--runtime={round(limit * 1000)}ms", f"--filename={top / 'file'}")["job"]
    return _result(job, clock, {"": rate(job)})


def _extents(path: Path) -> int:
    match = re.search(r": (\d+) extents? found", device.run("filefrag", path))
    if not match:
        raise RuntimeError(f"filefrag {path}: no number of extents")
    return int(match[1])


def writers(fstype: str, _: float) -> dict:
    """Files side by side, and in how many pieces each is."""
    with device.mounted(device.RAM, fstype) as top:
        with Clock() as clock:
            job = fio(*_words("write"), f"--size={_SIZE // _TASKS}", f"--numjobs={_TASKS}", f"--directory={top}",
                      "--filename_format=file$jobnum", "--end_fsync=1")["job"]
        os.sync()
        files = sorted(top.glob("file*"))
        if len(files) != _TASKS:
            raise RuntimeError(f"{len(files)} files, not {_TASKS}")
        figures = _per_second(job, _SIZE)
        figures["a file"] = sum(_extents(file) for file in files) / _TASKS
    return _result(job, clock, figures)


JOBS: dict[str, Callable[[str, float], dict]] = {
    "cached-write": write, "cached-read": read, "cached-fsync": fsync, "cached-4": writers,
}
