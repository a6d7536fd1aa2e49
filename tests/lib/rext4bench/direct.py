# SPDX-License-Identifier: GPL-2.0
"""Direct jobs: prepare a file as C ext4 leaves it, then let fio at it."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path

from . import device
from .clock import Clock
from .fio import fio, latency, operations, rate, seconds
from .jobs import MIB, Direct, Job
from .profile import sampled

# Room behind a file's jobs, for those that do not begin at its start.
_MORE = 64 << 10
#: How many requests are submitted together.
BATCH = 8
#: What is written of the file that is read beside a writer.
_READABLE = 64 * MIB


def _lay_out(path: Path, plan: Direct) -> None:
    length = plan.size + _MORE
    if plan.layout == "written":
        device.fill(path, length)
        return
    if plan.layout == "beside":
        device.fill(path, _READABLE)
    path.touch()
    if plan.layout == "preallocated":
        with open(path, "r+b") as file:
            os.posix_fallocate(file.fileno(), 0, length)
    elif plan.layout != "empty":
        os.truncate(path, length)


def _words(plan: Direct) -> list[str]:
    words = ["--direct=1", f"--bs={plan.block}", f"--ioengine={plan.engine}", f"--iodepth={plan.depth}"]
    if plan.depth > 1:
        # As databases do, some at a time. One at a time, most of what is measured are system calls and
        # the device's timer: the bare device then does a third of what it does so.
        words += [f"--iodepth_batch_submit={BATCH}", f"--iodepth_batch_complete_max={plan.depth}"]
    if plan.layout != "beside":
        words += [f"--rw={plan.order}", f"--offset={plan.offset}", f"--size={plan.size // plan.tasks}",
                  # Reading the clock for each request costs an emulated machine dearly.
                  "--gtod_reduce=1", "--name=job"]
    if plan.tasks > 1:
        words += [f"--numjobs={plan.tasks}", f"--offset_increment={plan.size // plan.tasks}"]
    if plan.repeats:
        words += ["--time_based=1", "--norandommap=1"]
    return words


def _start_up(plan: Direct) -> Clock:
    """What fio takes until its first request."""
    # The first time what fio needs is read from the disk, which it is not when it is measured.
    for _ in range(2):
        with Clock() as clock:
            fio(*_words(dataclasses.replace(plan, layout="empty", engine="null")), "--number_ios=1")
    return clock


def _measure(plan: Direct, path: str | Path, limit: float, profile: bool) -> dict:
    time = f"--runtime={round(limit * 1000)}ms"
    start = _start_up(plan)
    with sampled(profile) as samples, Clock() as clock:
        if plan.layout == "beside":
            # A job's options follow its name.
            pace = [f"--rate_iops={plan.pace}"] if plan.pace else []
            done = fio(*_words(plan), f"--filename={path}", time,
                       "--name=writer", *pace, "--rw=randwrite", f"--offset={_READABLE}", f"--size={plan.size - _READABLE}",
                       "--name=reader", "--rw=randread", "--iodepth=1", "--offset=0", f"--size={_READABLE}",
                       "--time_based=1", "--norandommap=1", "--new_group")
        else:
            done = fio(f"--filename={path}", time, *_words(plan))
    if plan.layout == "beside":
        reader, main = done["reader"], done["writer"]
        figures = {"p50": latency(reader, 50), "p99": latency(reader, 99), "writer": rate(main)}
    else:
        main = done["job"]
        figures = {"": rate(main)}
    return {
        "figures": figures,
        "ops": sum(operations(job) for job in done.values()),
        "seconds": seconds(main),
        "user": max(clock.user - start.user, 0),
        "system": max(clock.system - start.system, 0),
        "covered": None if plan.repeats else operations(main) * plan.block / plan.size,
        "profile": samples.result,
    }


def bare(job: Job, limit: float, profile: bool) -> dict:
    """The job on the device itself."""
    assert job.direct
    return _measure(job.direct, device.DELAYED, limit, profile)


def through(job: Job, variant: str, fstype: str, limit: float, profile: bool) -> dict:
    """The job on a file."""
    assert job.direct
    device.make(device.DELAYED, variant)
    with device.mounted(device.DELAYED, "ext4") as top:
        _lay_out(top / "file", job.direct)
    device.forget()
    with device.mounted(device.DELAYED, fstype) as top:
        result = _measure(job.direct, top / "file", limit, profile)
        return result | {"counters": device.counters(device.DELAYED)}
