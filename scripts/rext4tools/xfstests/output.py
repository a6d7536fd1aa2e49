# SPDX-License-Identifier: GPL-2.0
"""Reading what xfstests' `check` prints, while it does.

`check` prints the name of a test when it begins and the rest of the line, or
more lines, when it ends:

    generic/001        5s
    generic/002 3s ...  4s
    generic/003       [not run] reason
    generic/004       - output mismatch (see /results/generic/004.out.bad)
        --- tests/generic/004.out ...
    generic/005       [failed, exit status 1]- output mismatch (see …)
    _check_dmesg: something found in dmesg (see /results/generic/005.dmesg)

So a test has ended when the next begins, or when the list of what was run comes. Before each
`check`, the guest's script prints `@@iteration N@@`.
"""

from __future__ import annotations

import io
import re
import time
from typing import Callable, Mapping, Sequence

PASS, FAIL, NOT_RUN = "pass", "fail", "notrun"

_PASSED = re.compile(r"(?:\d+s \.\.\. )?\s*(\d+)s\s*")
_NOT_RUN = re.compile(r"(?:\d+s \.\.\. )?\s*\[not run\] ?(.*)", re.S)
_END = re.compile(r"(Ran: |Not run: |Interrupted!|Failures: |Passed all )")
_CHANGED = re.compile(r"    ([-+])(?!\1|\(see )")
_ITERATION = re.compile(r"@@iteration (\d+)@@")
# What names the failure best, first.
_REASONS = (
    re.compile(r"_check_dmesg: .*"),
    re.compile(r"\S*filesystem.* is inconsistent.*"),
    re.compile(r"\[dumped core\]"),
    re.compile(r"\[failed, exit status \d+\]"),
    re.compile(r"- output mismatch"),
)


def judge(text: str) -> tuple[str, float | None, str]:
    """The outcome, the seconds if they are said, and the reason, from what follows a test's name."""
    first, _, rest = text.strip("\n").partition("\n")
    if match := _PASSED.fullmatch(first.strip()):
        # More after it would be the complaint of a check that `check` made at the end.
        if not rest.strip():
            return PASS, float(match[1]), ""
    if match := _NOT_RUN.fullmatch(text.strip()):
        return NOT_RUN, None, " ".join(match[1].split())
    for pattern in _REASONS:
        if match := pattern.search(text):
            reason = match[0].split(" (see ")[0].strip("- ")
            changed = [line.strip() for line in rest.splitlines() if _CHANGED.match(line)]
            # What is there too much says more than what is missing.
            changed.sort(key=lambda line: line[0] != "+")
            shown = "; ".join(" ".join(line.split()) for line in changed[:2])
            return FAIL, None, f"{reason}: {shown}" if shown else reason
    return FAIL, None, " ".join(text.split())[:200] or "no result"


class Stream(io.RawIOBase):
    """Takes the output bit by bit and reports the tests in it.

    `tests` are those that may come, for each iteration; anything else at the
    start of a line is text. `ended` gets iteration, test, outcome, seconds, reason.
    """

    def __init__(
        self,
        tests: Mapping[int, Sequence[str]],
        ended: Callable[[int, str, str, float, str], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        super().__init__()
        self._tests = tests
        self._waiting: set[str] = set()
        self._ended = ended
        self._clock = clock
        self._rest = ""
        self._text = ""
        self.iteration = 0
        self.current: str | None = None
        self.since = clock()
        #: What came before the first test, and after the last.
        self.around = ""

    def writable(self) -> bool:
        return True

    def write(self, data) -> int:
        """Take some output."""
        raw = bytes(data)
        *lines, self._rest = (self._rest + raw.decode(errors="replace")).split("\n")
        for line in lines:
            self._line(line)
        # The name comes long before the end of its line.
        if test := self._begin(self._rest):
            self._start(test)
            self._rest = self._rest[len(test) :]
        return len(raw)

    def _begin(self, line: str) -> str | None:
        word, space, _ = line.partition(" ")
        return word if space and word in self._waiting else None

    def _start(self, test: str) -> None:
        self._finish()
        self._waiting.discard(test)
        self.current = test
        self.since = self._clock()
        self._text = ""

    def _finish(self) -> None:
        if self.current is not None:
            outcome, said, reason = judge(self._text)
            seconds = self._clock() - self.since if said is None else said
            self._ended(self.iteration, self.current, outcome, seconds, reason)
        self.current = None
        self.since = self._clock()

    def _line(self, line: str) -> None:
        if test := self._begin(line):
            self._start(test)
            line = line[len(test) :]
        elif match := _ITERATION.fullmatch(line):
            self._finish()
            self.iteration = int(match[1])
            self._waiting = set(self._tests[self.iteration])
        elif _END.match(line):
            self._finish()
        if self.current is None:
            self.around += line + "\n"
        else:
            self._text += line + "\n"
