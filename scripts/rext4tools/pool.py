# SPDX-License-Identifier: GPL-2.0
"""Doing several long things side by side, one for each processor."""

from __future__ import annotations

import dataclasses
import os
import threading
from typing import Callable, Sequence

from .base import cpus, stopping

#: What a guest and what is around it take at most, in bytes.
_MEMORY = 3 << 30


@dataclasses.dataclass(frozen=True)
class Job:
    """Something to do, when all that it needs has been made."""

    run: Callable[[], None]
    needs: frozenset[str] = frozenset()
    makes: str = ""


def _workers() -> int:
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return max(1, min(cpus(), memory // _MEMORY))


class _Queue:
    """The jobs that nobody has begun, and what of their needs is there."""

    def __init__(self, jobs: Sequence[Job]) -> None:
        self._waiting = list(jobs)
        self._missing = {job.makes for job in jobs if job.makes}
        self._change = threading.Condition()
        self.failure: BaseException | None = None

    def take(self) -> Job | None:
        """The first job that has all it needs; none when all have been begun."""
        with self._change:
            while self._waiting and not stopping.is_set():
                for job in self._waiting:
                    if not job.needs & self._missing:
                        self._waiting.remove(job)
                        return job
                # Not for good: nobody notifies when all is to end.
                self._change.wait(1)
            return None

    def end(self, job: Job, failure: BaseException | None) -> None:
        """A job has ended; when it failed, no other begins."""
        with self._change:
            if failure is None:
                self._missing.discard(job.makes)
            else:
                self.failure = self.failure or failure
                stopping.set()
            self._change.notify_all()

    def work(self) -> None:
        """Do jobs until there are none."""
        while job := self.take():
            try:
                job.run()
            except BaseException as failure:  # pylint: disable=broad-exception-caught
                self.end(job, failure)
            else:
                self.end(job, None)


def run(jobs: Sequence[Job]) -> None:
    """Do all jobs, begun in this order as far as their needs allow.

    When one raises, the others are told to end, and it is raised here.
    """
    made = {job.makes for job in jobs}
    assert all(job.needs <= made for job in jobs), "a job needs what no job makes"
    queue = _Queue(jobs)
    threads = [threading.Thread(target=queue.work) for _ in range(min(_workers(), len(jobs)))]
    for thread in threads:
        thread.start()
    try:
        for thread in threads:
            thread.join()
    except BaseException:
        # Interrupted, or ended by a signal.
        stopping.set()
        raise
    if queue.failure is not None:
        raise queue.failure
