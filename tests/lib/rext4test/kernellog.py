# SPDX-License-Identifier: GPL-2.0
"""What the kernel said since a moment."""

from __future__ import annotations

import os
import time

from .base import Wrong


class KernelLog:
    """The kernel's messages from the making of this object on."""

    def __init__(self) -> None:
        self._descriptor = os.open("/dev/kmsg", os.O_RDONLY | os.O_NONBLOCK)
        os.lseek(self._descriptor, 0, os.SEEK_END)
        self._lines: list[str] = []

    def __del__(self) -> None:
        os.close(self._descriptor)

    def lines(self) -> list[str]:
        """All messages until now, without their time stamps."""
        while True:
            try:
                record = os.read(self._descriptor, 8192).decode(errors="replace")
            except BlockingIOError:
                return self._lines
            except BrokenPipeError:
                continue  # some were overwritten: go on with the oldest left
            head, _, text = record.partition(";")
            if head:
                self._lines.append(text.split("\n")[0])

    def find(self, *parts: str, wait: float = 2) -> str:
        """The first message that has all these parts in it, whatever the case."""
        deadline = time.monotonic() + wait
        while True:
            for line in self.lines():
                if all(part.lower() in line.lower() for part in parts):
                    return line
            if time.monotonic() > deadline:
                said = "\n  ".join(self._lines) or "nothing"
                raise Wrong(f"no kernel message with {' and '.join(map(repr, parts))}; it said:\n  {said}")
            time.sleep(0.05)

    def has(self, *parts: str) -> bool:
        """Whether there is such a message now."""
        return any(all(part.lower() in line.lower() for part in parts) for line in self.lines())
