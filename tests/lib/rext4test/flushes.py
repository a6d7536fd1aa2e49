# SPDX-License-Identifier: GPL-2.0
"""A crash at each flush of the device: what was written until then is all there is."""

from __future__ import annotations

from . import durable, writelog
from .base import check, run, say
from .filesystem import Filesystem
from .mapper import Camera
from .recovery import recover_both

#: The device that is worked on, the one that becomes what it was, their log, room for copies.
ORIGINAL, REPLAYED, LOG, STORE = "/dev/vdb", "/dev/vdc", "/dev/vdd", "/dev/vde"


def record(seed: int, count: int, options: str, *make: str) -> durable.Steps:
    """Steps, each followed by a mark in the log of writes."""
    Filesystem(ORIGINAL).make(*make, fill=True)
    # What the replay begins with.
    run("dd", f"if={ORIGINAL}", f"of={REPLAYED}", "bs=4M", "oflag=direct")
    with writelog.Recorder(ORIGINAL, LOG) as recorder:
        with Filesystem(recorder.path).mounted(options) as top:
            steps = durable.Steps(top, seed)
            for number in range(count):
                steps.step()
                recorder.mark(f"step-{number + 1}")
        recorder.remove()
    return steps


def crash(steps: durable.Steps, moments: int) -> None:
    """Recover from crashes at that many of the flushes, with each file system."""
    total = sum(write.settled for write in writelog.read(LOG))
    every = max(1, total // moments)
    done = flushes = tried = 0
    with Camera(REPLAYED, STORE) as camera:
        for write in writelog.replay(writelog.read(LOG), camera.device):
            if write.text.startswith("step-"):
                done = int(write.text.removeprefix("step-"))
            if not write.settled:
                continue
            flushes += 1
            if flushes % every:
                continue
            tried += 1
            say(f"-- flush {flushes} of {total}, {done} of {len(steps.states) - 1} steps were safe")
            recover_both(camera.take(),
                         lambda top, done=done: durable.look(top, done, steps.states, steps.touched))
    check(done == len(steps.states) - 1, f"only {done} steps are in the log")
    check(tried >= min(moments, total), f"only {tried} moments were looked at")
