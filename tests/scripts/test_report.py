# SPDX-License-Identifier: GPL-2.0
"""Tests of the report: why something failed is at its end."""

import contextlib
import io
import sys
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "scripts"))
# pylint: disable=wrong-import-position
from rext4tools.report import FAIL, PASS, Report


class Excerpts(unittest.TestCase):
    """A long output, in the middle of which a case fails."""

    def test_the_end_says_why(self) -> None:
        lines = [f"line {number}" for number in range(50)]
        lines[20:20] = ["it is wrong", "-- case: FAILED (1.0 s)"]
        report = Report()
        shown = io.StringIO()
        with contextlib.redirect_stdout(shown):
            report.add(FAIL, "guest/one", 1, output="\n".join(lines))
            report.add(PASS, "guest/other", 1)
            status = report.finish()
        end = shown.getvalue().partition("guest/other")[2]
        self.assertIn("    | it is wrong\n    | -- case: FAILED", end)
        self.assertNotIn("line 49", end)
        self.assertTrue(end.endswith("failed: guest/one\n1 passed, 1 failed\n"))
        self.assertEqual(status, 1)

    def test_without_cases_it_is_what_came_last(self) -> None:
        report = Report()
        shown = io.StringIO()
        with contextlib.redirect_stdout(shown):
            report.add(FAIL, "check/one", 1, output="first\n" * 40 + "last")
            shown.truncate(0)
            report.finish()
        self.assertIn("    | last\n", shown.getvalue())
        self.assertLess(shown.getvalue().count("first"), 20)
