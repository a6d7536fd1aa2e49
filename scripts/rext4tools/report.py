# SPDX-License-Identifier: GPL-2.0
"""Collecting and showing the results of tests."""

from __future__ import annotations

import dataclasses
import sys
import threading

PASS, FAIL, SKIP = "PASS", "FAIL", "SKIP"


def _indent(text: str) -> str:
    return "".join(f"    | {line}\n" for line in text.rstrip().splitlines())


def _excerpt(output: str) -> str:
    """What of an output says why it failed: each case that did, with what came just before, or else the end."""
    lines = output.rstrip().splitlines()
    ends = [number + 1 for number, line in enumerate(lines) if "FAILED" in line] or [len(lines)]
    chosen = sorted({number for end in ends[:4] for number in range(max(0, end - 12), end)})
    return "\n".join(lines[number] for number in chosen)


@dataclasses.dataclass
class Report:
    """Counts of cases; a group of tests may stand for many cases."""

    passed: int = 0
    failed: int = 0
    skipped: int = 0
    failures: dict[str, str] = dataclasses.field(default_factory=dict)  # by name, with an excerpt
    _lock: threading.Lock = dataclasses.field(default_factory=threading.Lock)

    def add(
        self,
        outcome: str,
        name: str,
        seconds: float,
        note: str = "",
        output: str = "",
        counts: tuple[int, int, int] | None = None,
    ) -> None:
        """Show one line and count it; `counts` are passed, failed and skipped cases.

        A group that failed counts at least one failure. Tests that run side by side call it.
        """
        with self._lock:
            self._add(outcome, name, seconds, note, output, counts)

    def _add(
        self,
        outcome: str,
        name: str,
        seconds: float,
        note: str,
        output: str,
        counts: tuple[int, int, int] | None,
    ) -> None:
        passed, failed, skipped = counts or (0, 0, 0)
        if counts is None:
            passed, failed, skipped = (int(outcome == each) for each in (PASS, FAIL, SKIP))
        if outcome == FAIL:
            failed = max(failed, 1)
            self.failures[name] = _excerpt(output)
        self.passed += passed
        self.failed += failed
        self.skipped += skipped
        text = f"{outcome}  {name}  ({seconds:.1f} s)"
        if counts is not None:
            text += f"  {passed} passed, {failed} failed"
            text += f", {skipped} skipped" if skipped else ""
        if note:
            text += f"  {note}"
        print(text)
        if outcome == FAIL and output:
            sys.stdout.write(_indent(output))
        sys.stdout.flush()

    def finish(self) -> int:
        """The last line, as promised to readers and programs; the exit status."""
        # Once more, where it is found without going through all that came after.
        for name, excerpt in self.failures.items():
            print(f"{name}:")
            sys.stdout.write(_indent(excerpt))
        if self.failures:
            print(f"failed: {' '.join(self.failures)}")
        skipped = f", {self.skipped} skipped" if self.skipped else ""
        print(f"{self.passed} passed, {self.failed} failed{skipped}", flush=True)
        return 0 if self.failed == 0 and self.passed > 0 else 1
