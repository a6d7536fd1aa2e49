# SPDX-License-Identifier: GPL-2.0
"""Reading KUnit's results (KTAP) out of a kernel log."""

from __future__ import annotations

import dataclasses
import re
from typing import Iterable

_STAMP = re.compile(r"^(?:<\d+>)?\[ *\d+\.\d+\](?:\[ *[TC]\d+\])? ?")
_PLAN = re.compile(r"^( *)1\.\.(\d+)$")
_RESULT = re.compile(r"^( *)(not ok|ok) (\d+)(?: -)? ?([^#]*?) ?(?:# ?(.*))?$")


@dataclasses.dataclass
class Results:
    """Leaf results; a suite is counted by its cases."""

    passed: list[str] = dataclasses.field(default_factory=list)
    failed: list[str] = dataclasses.field(default_factory=list)
    skipped: list[str] = dataclasses.field(default_factory=list)
    #: What is wrong with the report itself: cut short, or not there.
    problems: list[str] = dataclasses.field(default_factory=list)

    @property
    def good(self) -> bool:
        """True if something ran and nothing was wrong."""
        return bool(self.passed) and not self.failed and not self.problems


@dataclasses.dataclass
class _Level:
    plan: int
    seen: int = 0
    leaves: list[tuple[str, str]] = dataclasses.field(default_factory=list)


def parse(log: Iterable[str]) -> Results:
    """Collect the results of all reports in a log."""
    results = Results()
    levels: dict[int, _Level] = {}
    reports = 0

    def finish(depth: int) -> list[tuple[str, str]]:
        """Close the level `depth` and the ones below; returns its leaves."""
        for deeper in sorted((d for d in levels if d > depth), reverse=True):
            results.problems.append(f"a report ends inside a suite (depth {deeper})")
            del levels[deeper]
        level = levels.pop(depth, None)
        if level is None:
            return []
        if level.seen != level.plan:
            results.problems.append(f"{level.plan} results were announced, {level.seen} came")
        return level.leaves

    def count(leaves: list[tuple[str, str]]) -> None:
        for outcome, name in leaves:
            getattr(results, outcome).append(name)

    for raw in log:
        line = _STAMP.sub("", raw.rstrip("\n"))
        if match := _PLAN.match(line):
            depth = len(match[1])
            if depth == 0:
                count(finish(0))
                reports += 1
            levels[depth] = _Level(int(match[2]))
        elif match := _RESULT.match(line):
            depth, name, note = len(match[1]), match[4].strip(), match[5] or ""
            if depth not in levels:
                continue  # not part of a report
            outcome = "failed" if match[2] == "not ok" else "passed"
            if note.upper().startswith("SKIP"):
                outcome = "skipped"
            below = [d for d in levels if d > depth]
            leaves = finish(min(below)) if below else []
            level = levels[depth]
            level.seen += 1
            if leaves:
                level.leaves += [(state, f"{name}.{leaf}") for state, leaf in leaves]
                if outcome == "failed" and all(state != "failed" for state, _ in leaves):
                    level.leaves.append(("failed", name))
            else:
                level.leaves.append((outcome, name))
    count(finish(0))
    if reports == 0:
        results.problems.append("the log has no KUnit report")
    return results
