# SPDX-License-Identifier: GPL-2.0
"""Two result sets beside each other: what changed, and rext4 against C ext4."""

from __future__ import annotations

import re
from collections import Counter, defaultdict

from .output import FAIL, NOT_RUN, PASS
from .results import ERROR, EXCLUDED, Result, ResultSet

BAD = (FAIL, ERROR)


def changes(old: ResultSet, new: ResultSet) -> str:
    """What changed, worst first, a test a line; empty if nothing did."""
    lines = []
    for config in dict.fromkeys([*old.configs(), *new.configs()]):
        before, after = old.verdicts(config), new.verdicts(config)
        for test in sorted(before.keys() | after.keys()):
            was = before[test].outcome if test in before else "no result"
            now = after[test].outcome if test in after else "no result"
            if was != now:
                reason = after[test].reason if test in after else ""
                rank = 0 if now in BAD else 1 if now != PASS else 2
                lines.append((rank, f"{config:16} {test:14} {was} -> {now}"
                              f"{f'  {reason}' if reason else ''}"))
    return "".join(f"{line}\n" for _, line in sorted(lines))


def _merged(sets: list[ResultSet]) -> dict[str, dict[str, Result]]:
    """By configuration and test; what a later set says counts."""
    found: dict[str, dict[str, Result]] = defaultdict(dict)
    for each in sorted(sets, key=lambda one: one.about["date"]):
        for config in each.configs():
            found[config].update(each.verdicts(config))
    return found


def _escape(text: str) -> str:
    return text.replace("|", "\\|").replace("<", "&lt;")


def _table(title: str, head: tuple[str, ...], rows: list[tuple[str, ...]]) -> list[str]:
    if not rows:
        return []
    lines = ["", f"### {title}", "", f"| {' | '.join(head)} |", "|---" * len(head) + "|"]
    return lines + [f"| {' | '.join(_escape(cell) for cell in row)} |" for row in rows]


def _takes(gaps: list[tuple[str, str]], result: Result) -> str:
    for pattern, text in gaps:
        if re.search(pattern, result.reason) or re.search(pattern, result.item.test):
            return text
    return "not looked at yet"


def _said(sets: list[ResultSet], key: str) -> str:
    words = [word for each in sets for word in each.about[key].split(", ")]
    return ", ".join(dict.fromkeys(words)) or "-"


def parity(sets: list[ResultSet], gaps: list[tuple[str, str]]) -> str:
    """The table of rext4 against C ext4, a page of Markdown.

    `gaps` says what a test would take: pairs of a pattern and a text.
    """
    ours = [each for each in sets if each.about["fs"] == "rext4"]
    theirs = [each for each in sets if each.about["fs"] == "ext4"]
    lines = [
        "<!-- SPDX-License-Identifier: GPL-2.0 -->",
        "# rext4 against C ext4 in xfstests",
        "",
        "Made by `scripts/kvm-xfstests --parity` from results of both, in the same guest; see",
        "[kvm-xfstests.md](kvm-xfstests.md).",
        "",
        f"Kernel {_said(sets, 'release')}; xfstests {_said(sets, 'xfstests')}; "
        f"rext4 {_said(ours, 'rext4')}.",
    ]
    mine, other = _merged(ours), _merged(theirs)
    for config in dict.fromkeys([*mine, *other]):
        lines += ["", f"## {config}", *_config(mine[config], other[config], gaps)]
    return "\n".join(lines) + "\n"


def _config(
    mine: dict[str, Result], other: dict[str, Result], gaps: list[tuple[str, str]]
) -> list[str]:
    lines = ["", "| | passed | failed | not run | excluded |", "|---|---|---|---|---|"]
    for name, results in (("rext4", mine), ("C ext4", other)):
        counts = Counter(result.outcome for result in results.values())
        bad = sum(counts[outcome] for outcome in BAD)
        lines.append(f"| {name} | {counts[PASS]} | {bad} | {counts[NOT_RUN]} | {counts[EXCLUDED]} |")
    regressions, gap_rows, both_bad, better, alone = [], [], [], [], []
    for test, result in sorted(mine.items()):
        there = other.get(test)
        theirs = there.outcome if there else None
        if result.outcome in BAD:
            if theirs == PASS:
                regressions.append((test, result.reason, _takes(gaps, result)))
            elif there and theirs in BAD:
                both_bad.append((test, result.reason, there.reason))
            else:
                why = f"{theirs}: {there.reason}" if there else "no result"
                alone.append((test, result.reason, why))
        elif result.outcome == NOT_RUN and there and theirs != NOT_RUN and theirs != EXCLUDED:
            gap_rows.append((test, result.reason, _takes(gaps, result)))
        elif result.outcome == PASS and there and theirs != PASS:
            better.append((test, f"{theirs}: {there.reason}"))
    head = ("test", "rext4", "what it would take")
    lines += _table("C ext4 passes, rext4 fails", head, regressions)
    ran = (PASS, *BAD)
    both = [t for t in mine if mine[t].outcome in ran and t in other and other[t].outcome in ran]
    if not both:
        lines += ["", "No test ran on both."]
    elif not regressions:
        lines += ["", f"Of the {len(both)} tests that ran on both, none passes on C ext4 and fails on "
                  "rext4."]
    lines += _table("Runs on C ext4, not on rext4", head, gap_rows)
    lines += _table("Both fail", ("test", "rext4", "C ext4"), both_bad)
    lines += _table("rext4 fails, C ext4 did not run it", ("test", "rext4", "C ext4"), alone)
    lines += _table("rext4 passes, C ext4 does not", ("test", "C ext4"), better)
    reasons = Counter(
        result.reason for test, result in mine.items()
        if result.outcome == NOT_RUN and test in other and other[test].outcome == NOT_RUN
    )
    rows = [(reason, str(count)) for reason, count in sorted(reasons.items())]
    lines += _table("Not run on either", ("reason", "tests"), rows)
    unknown = sorted(
        test for test, result in mine.items()
        if result.outcome in (PASS, NOT_RUN) and test not in other
    )
    if unknown:
        lines += ["", f"{len(unknown)} tests that passed or did not run on rext4 were not tried on C ext4."]
    return lines
