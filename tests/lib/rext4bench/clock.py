# SPDX-License-Identifier: GPL-2.0
"""Time, and the processors' time, while something runs."""

from __future__ import annotations

import os
import time
from pathlib import Path

_TICK = os.sysconf("SC_CLK_TCK")


def _busy() -> tuple[float, float]:
    """Seconds of all processors since the boot: in user space, and in the kernel."""
    line = Path("/proc/stat").read_text(encoding="ascii").splitlines()[0]
    user, nice, system, _idle, _iowait, irq, softirq, *_ = (int(word) for word in line.split()[1:])
    return (user + nice) / _TICK, (system + irq + softirq) / _TICK


class Clock:
    """`with Clock() as clock:`, and the figures are there after the block."""

    seconds = user = system = 0.0

    def __enter__(self) -> "Clock":
        self._at = time.monotonic()
        self._before = _busy()
        return self

    def __exit__(self, *_: object) -> None:
        after = _busy()
        self.seconds = time.monotonic() - self._at
        self.user, self.system = (b - a for a, b in zip(self._before, after, strict=True))
