# SPDX-License-Identifier: GPL-2.0
"""From the runs of a benchmark to medians, ratios and aims.

A ratio above 1 always means that rext4 is the better one, also where less is better. It is taken
between the two runs of one round, which came right after each other, and then the median of the
rounds: what slows the machine for a while slows both.
"""

from __future__ import annotations

import dataclasses
import statistics
import sys
from typing import Iterable

from .base import TOP

sys.path.insert(0, str(TOP / "tests" / "lib"))
# pylint: disable=wrong-import-position
from rext4bench.jobs import JOBS, Aim, Figure, Job

OTHER, OURS, RAW = "ext4", "rext4", "raw"


@dataclasses.dataclass(frozen=True)
class Spread:
    """The middle of some numbers, and how far they lie apart."""

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, values: Iterable[float]) -> "Spread | None":
        """None if there are no values."""
        known = sorted(values)
        return cls(statistics.median(known), known[0], known[-1]) if known else None


@dataclasses.dataclass(frozen=True)
class Verdict:
    """An aim, and what came of it."""

    text: str
    reached: float | None  # the multiple that was measured
    wanted: float

    @property
    def met(self) -> bool | None:
        """None if it was not measured."""
        return None if self.reached is None else self.reached >= self.wanted

    def __str__(self) -> str:
        if self.reached is None:
            return f"{self.text}: not measured"
        return f"{self.text}: {'met' if self.met else f'NOT MET ({self.reached:.2f})'}"


@dataclasses.dataclass(frozen=True)
class Line:
    """One figure of one job in one variant."""

    job: Job
    variant: str
    figure: Figure
    values: dict[str, Spread]  # by kind: ext4, rext4, raw
    ratio: Spread | None
    cpu: dict[str, float]  # microseconds in the kernel for each operation, by kind
    verdicts: list[Verdict]

    @property
    def label(self) -> str:
        """The job, its variant if there are others, its figure if there are others."""
        words = [self.job.name]
        if len(self.job.variants) > 1:
            words.append({"csum": "", "plain": "no csum"}[self.variant])
        words.append(self.figure.name)
        return ", ".join(word for word in words if word)


class Runs:
    """All runs of a benchmark; those that failed count for nothing but `failures`."""

    def __init__(self, runs: list[dict]) -> None:
        self.failures = [run for run in runs if "error" in run]
        self._good = [run for run in runs if "error" not in run]

    def _of(self, job: str, variant: str, kind: str) -> dict[int, dict]:
        """By round."""
        wanted = (job, "" if kind == RAW else variant, kind)
        return {run["round"]: run for run in self._good if (run["job"], run["variant"], run["kind"]) == wanted}

    def values(self, job: str, variant: str, kind: str, figure: str) -> Spread | None:
        """One figure over all rounds."""
        return Spread.of(run["figures"][figure] for run in self._of(job, variant, kind).values())

    def ratio(self, job: str, variant: str, figure: Figure) -> Spread | None:
        """rext4 against C ext4, over the rounds that have both."""
        ours, other = (self._of(job, variant, kind) for kind in (OURS, OTHER))
        pairs = [(ours[number]["figures"][figure.name], other[number]["figures"][figure.name])
                 for number in ours.keys() & other.keys()]
        if figure.less_is_better:
            pairs = [(b, a) for a, b in pairs]
        return Spread.of(a / b for a, b in pairs if b)

    def cpu(self, job: str, variant: str, kind: str) -> float | None:
        """Microseconds that processors are in the kernel for an operation, the median of the rounds.

        User space is left out: most of it is the start of the program that measures.
        """
        spread = Spread.of(run["system"] * 1e6 / max(run["ops"], 1)
                           for run in self._of(job, variant, kind).values())
        return spread.median if spread else None

    def covered(self) -> float:
        """How much of its file a run has used up at most, of those that use it up."""
        return max((run.get("covered") or 0 for run in self._good), default=0)

    def _verdict(self, aim: Aim, job: Job, variant: str, figure: Figure, ratio: Spread | None) -> Verdict:
        wanted = aim.multiple(variant)
        if aim.against == OTHER:
            return Verdict(f"≥ {wanted:g}", ratio.median if ratio else None, wanted)
        ours = self.values(job.name, variant, OURS, figure.name)
        if aim.against == RAW:
            base = self.values(job.name, variant, RAW, figure.name)
        else:
            base = self.values(aim.against, variant, OURS, "")
        reached = ours.median / base.median if ours and base and base.median else None
        return Verdict(f"≥ {wanted:g} of {aim.against}", reached, wanted)

    def lines(self) -> list[Line]:
        """What there is to show, in the order of the plan."""
        lines = []
        for job in JOBS:
            for variant in job.variants:
                for number, figure in enumerate(job.figures):
                    spreads = {kind: self.values(job.name, variant, kind, figure.name)
                               for kind in (OTHER, OURS, RAW)}
                    values = {kind: spread for kind, spread in spreads.items() if spread}
                    if not values.keys() - {RAW}:
                        continue
                    ratio = self.ratio(job.name, variant, figure)
                    # What is aimed at against C ext4 holds for all figures, the rest for the first.
                    aims = [aim for aim in job.aims if aim.against == OTHER or number == 0]
                    cpus = {kind: self.cpu(job.name, variant, kind) for kind in values} if number == 0 else {}
                    lines.append(Line(
                        job, variant, figure, values, ratio,
                        {kind: cpu for kind, cpu in cpus.items() if cpu is not None},
                        [self._verdict(aim, job, variant, figure, ratio) for aim in aims],
                    ))
        return lines


def _number(value: float | None) -> str:
    if value is None:
        return ""
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def table(lines: list[Line]) -> str:
    """As text, in columns; also valid Markdown."""
    heads = ("job", "unit", "C ext4", "rext4", "rext4 / C (from–to)", "raw", "kernel µs/op C", "rext4", "aims")
    rows = [heads]
    for line in lines:
        middle = {kind: spread.median for kind, spread in line.values.items()}
        ratio = line.ratio
        rows.append((
            line.label, line.figure.unit, _number(middle.get(OTHER)), _number(middle.get(OURS)),
            f"{ratio.median:.2f} ({ratio.low:.2f}–{ratio.high:.2f})" if ratio else "",
            _number(middle.get(RAW)), _number(line.cpu.get(OTHER)), _number(line.cpu.get(OURS)),
            "; ".join(map(str, line.verdicts)),
        ))
    widths = [max(len(row[column]) for row in rows) for column in range(len(heads))]
    right = range(2, 8)
    text = []
    for row in rows:
        cells = [cell.rjust(width) if column in right else cell.ljust(width)
                 for column, (cell, width) in enumerate(zip(row, widths, strict=True))]
        text.append("| " + " | ".join(cells) + " |")
    rule = ["-" * (width - 1) + (":" if column in right else "-") for column, width in enumerate(widths)]
    text.insert(1, "| " + " | ".join(rule) + " |")
    return "\n".join(text)


def profiles(runs: list[dict]) -> str:
    """Of each job and kind the last profile that was taken, as text."""
    last = {(run["job"], run["variant"], run["kind"]): run["profile"] for run in runs if run.get("profile")}
    parts = []
    for (job, variant, kind), profile in last.items():
        modules = ", ".join(f"{name} {share:.0%}" for name, share in profile["modules"].items())
        parts.append(f"{' '.join(filter(None, (job, variant, kind)))}: {profile['samples']} samples in the kernel: {modules}")
        parts += [f"  {share:6.1%}  {module}: {symbol}" for module, symbol, share in profile["symbols"]]
        parts.append(" with what they call:")
        parts += [f"  {share:6.1%}  {module}: {symbol}" for module, symbol, share in profile["callers"]]
    return "\n".join(parts)
