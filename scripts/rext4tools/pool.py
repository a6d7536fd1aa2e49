# SPDX-License-Identifier: GPL-2.0
"""Doing several long things side by side, one for each processor."""

from __future__ import annotations

import concurrent.futures
import os
import threading
from typing import Callable, Sequence

from .base import cpus

#: Set when all is to end: who waits for long looks at it now and then.
stopping = threading.Event()
#: What a guest and what is around it take at most, in bytes.
_MEMORY = 3 << 30


def _workers() -> int:
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return max(1, min(cpus(), memory // _MEMORY))


def run(jobs: Sequence[Callable[[], None]]) -> None:
    """Do all jobs, begun in this order. When one raises, the others end and it is raised here."""
    with concurrent.futures.ThreadPoolExecutor(_workers()) as executor:
        futures = [executor.submit(job) for job in jobs]
        try:
            for future in concurrent.futures.as_completed(futures):
                future.result()
        except BaseException:
            stopping.set()
            executor.shutdown(wait=False, cancel_futures=True)
            raise
