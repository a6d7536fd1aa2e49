# SPDX-License-Identifier: GPL-2.0
"""Watching a kernel's console for what must never be there."""

from __future__ import annotations

import re
import time
from pathlib import Path

#: What the kernel says when something is wrong with it, whoever caused it.
REPORTS = re.compile(
    "|".join(
        (
            r"\bBUG: ",
            r"\bkernel BUG at\b",
            r"\bWARNING: ",  # WARN(), and all lockdep reports
            r"\bOops\b",
            r"\bKASAN: ",
            r"\bKFENCE: ",
            r"\bUBSAN: ",
            r"\bKernel panic\b",
            r"\bgeneral protection fault\b",
            r"\bunable to handle\b",
            r"\bpossible circular locking\b",
            r"\bpossible recursive locking\b",
            r"\binconsistent lock state\b",
            r"\bsuspicious RCU usage\b",
            r"\bINFO: task .* blocked for more than\b",
            r"\brcu: INFO: .* detected .*stall",
            r"\bsoft lockup\b",
            r"\bsleeping function called from invalid context\b",
            r"\brefcount_t: ",
            r"\bODEBUG: ",
            r"\blist_(add|del) corruption\b",
            r"\brust_kernel: panicked\b",
            r"\bDEBUG_LOCKS_WARN_ON\b",
            r"\bVFS: Busy inodes after unmount\b",
            r"\bpage dumped because\b",
            r"\b(Slab|slab).*(corruption|Objects remaining)\b",
            r"\bStack (corrupted|overflow)\b",
        )
    )
)

#: Lines that look like a report and are none.
HARMLESS = re.compile(r"virtual address .* \(kernel base\)|WARNING: CPU: \d+ PID: 0 .* microcode")


class Watch:
    """Reads a growing console log and finds the first report in it."""

    def __init__(self, path: Path, reports: re.Pattern[str] = REPORTS) -> None:
        self._path = path
        self._reports = reports
        self._offset = 0
        self._rest = b""
        self.report: str | None = None
        self.seen_at = 0.0

    def poll(self) -> bool:
        """Read what is new; true once a report was seen."""
        if self.report is not None:
            return True
        try:
            with open(self._path, "rb") as log:
                log.seek(self._offset)
                data = log.read()
        except FileNotFoundError:
            return False
        self._offset += len(data)
        *lines, self._rest = (self._rest + data).split(b"\n")
        for raw in lines:
            line = raw.decode(errors="replace").rstrip()
            if self._reports.search(line) and not HARMLESS.search(line):
                self.report = line
                self.seen_at = time.monotonic()
                return True
        return False

    def context(self, before: int = 5, after: int = 100) -> str:
        """The report with the lines around it."""
        lines = self._path.read_text(errors="replace").splitlines()
        for number, line in enumerate(lines):
            if line.rstrip() == self.report:
                return "\n".join(lines[max(0, number - before) : number + after])
        return self.report or ""
