# SPDX-License-Identifier: GPL-2.0
"""A benchmark as a chart: one bar a figure, on a logarithmic scale around 1."""

from __future__ import annotations

import math
from xml.sax.saxutils import escape

from .benchresults import OTHER, Line

ROW, TOP, LEFT, WIDTH, RIGHT = 20, 56, 250, 560, 90  # pixels
_BETTER, _WORSE, _INK, _FAINT = "#2a7f62", "#b5482f", "#222222", "#cccccc"
_STEPS = (0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50, 100)


def _scale(lines: list[Line]) -> tuple[float, float]:
    """The steps between which all bars lie, with 0.5 and 2 at least."""
    values = [0.5, 2.0]
    for line in lines:
        if line.ratio:
            values += [line.ratio.low, line.ratio.high]
        values += [verdict.wanted for verdict in line.verdicts]
    low = max((step for step in _STEPS if step <= min(values)), default=_STEPS[0])
    high = min((step for step in _STEPS if step >= max(values)), default=_STEPS[-1])
    return low, high


def svg(lines: list[Line], title: str) -> str:
    """The chart, as the text of an SVG file."""
    lines = [line for line in lines if line.ratio]
    low, high = _scale(lines)
    bottom = TOP + ROW * len(lines)

    def across(value: float) -> float:
        held = min(max(value, low), high)
        return LEFT + WIDTH * math.log(held / low) / math.log(high / low)

    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{LEFT + WIDTH + RIGHT}" height="{bottom + 40}" '
        'font-family="sans-serif" font-size="12">',
        "<!-- SPDX-License-Identifier: GPL-2.0 -->",
        '<rect width="100%" height="100%" fill="white"/>',
        f'<text x="12" y="20" font-size="14" fill="{_INK}">{escape(title)}</text>',
        f'<text x="12" y="38" fill="{_INK}">rext4 against C ext4: right of 1 is better; whiskers from the '
        "lowest to the highest round, ◆ the aim</text>",
    ]
    for step in _STEPS:
        if low <= step <= high:
            colour = _INK if step == 1 else _FAINT
            parts.append(f'<line x1="{across(step):.1f}" x2="{across(step):.1f}" y1="{TOP - 4}" y2="{bottom}" '
                         f'stroke="{colour}"/>')
            parts.append(f'<text x="{across(step):.1f}" y="{bottom + 16}" text-anchor="middle" '
                         f'fill="{_INK}">{step:g}</text>')
    for number, line in enumerate(lines):
        assert line.ratio
        top = TOP + ROW * number
        middle = top + ROW / 2
        value, one = across(line.ratio.median), across(1)
        colour = _BETTER if line.ratio.median >= 1 else _WORSE
        parts += [
            f'<text x="{LEFT - 8}" y="{middle + 4}" text-anchor="end" fill="{_INK}">{escape(line.label)}</text>',
            f'<rect x="{min(value, one):.1f}" y="{top + 4}" width="{abs(value - one):.1f}" height="{ROW - 8}" '
            f'fill="{colour}"/>',
            f'<line x1="{across(line.ratio.low):.1f}" x2="{across(line.ratio.high):.1f}" y1="{middle}" '
            f'y2="{middle}" stroke="{_INK}"/>',
            f'<text x="{LEFT + WIDTH + 8}" y="{middle + 4}" fill="{_INK}">{line.ratio.median:.2f}</text>',
        ]
        for aim, verdict in zip(line.job.aims, line.verdicts):
            if aim.against == OTHER:
                at = across(verdict.wanted)
                parts.append(f'<path d="M{at:.1f} {middle - 5}l4 5l-4 5l-4 -5z" fill="none" stroke="{_INK}"/>')
    parts.append("</svg>")
    return "\n".join(parts) + "\n"
