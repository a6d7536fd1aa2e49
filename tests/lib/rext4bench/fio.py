# SPDX-License-Identifier: GPL-2.0
"""Running fio, and its answer."""

from __future__ import annotations

import json
from pathlib import Path

from .device import run

# A thread is cheaper to start than a process.
_ALWAYS = ("--thread", "--group_reporting", "--randrepeat=1", "--fallocate=none", "--create_on_open=1",
           # The data does not matter, and changing it for each request costs processor time.
           "--scramble_buffers=0",
           "--output-format=json")


def fio(*words: str | Path) -> dict[str, dict]:
    """The answer's jobs by their names."""
    output = run("fio", *_ALWAYS, *words)
    jobs = json.loads(output[output.index("{") :])["jobs"]
    for job in jobs:
        if job["error"]:
            raise RuntimeError(f"fio: job {job['jobname']}: error {job['error']}")
    return {job["jobname"]: job for job in jobs}


def operations(job: dict) -> int:
    """Reads and writes."""
    return job["read"]["total_ios"] + job["write"]["total_ios"]


def seconds(job: dict) -> float:
    """How long the job itself ran."""
    return max(job["read"]["runtime"], job["write"]["runtime"], 1) / 1000


def rate(job: dict) -> float:
    """Operations per second."""
    return operations(job) / seconds(job)


def latency(job: dict, percent: int) -> float:
    """A percentile of a read's completion, in microseconds."""
    return job["read"]["clat_ns"]["percentile"][f"{percent}.000000"] / 1000
