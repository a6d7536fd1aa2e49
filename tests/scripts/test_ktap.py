# SPDX-License-Identifier: GPL-2.0
"""Tests of the KTAP reader: what must not pass, does not."""

import sys
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "scripts"))
# pylint: disable=wrong-import-position
from rext4tools import ktap

GOOD = """\
[    3.1] KTAP version 1
[    3.1] 1..2
[    3.1]     KTAP version 1
[    3.1]     # Subtest: rext4_extent
[    3.1]     1..2
[    3.1]     ok 1 insert_front
[    3.1] rext4: some message
[    3.1]     ok 2 insert_back # SKIP not here
[    3.1] ok 1 rext4_extent
[    3.1]     KTAP version 1
[    3.1]     # Subtest: rext4_crc
[    3.1]     1..1
[    3.1]     ok 1 vectors
[    3.1] ok 2 rext4_crc
"""


def parse(text: str) -> ktap.Results:
    return ktap.parse(text.splitlines())


class Ktap(unittest.TestCase):
    def test_counts_cases(self) -> None:
        results = parse(GOOD)
        self.assertEqual(results.passed, ["rext4_extent.insert_front", "rext4_crc.vectors"])
        self.assertEqual(results.skipped, ["rext4_extent.insert_back"])
        self.assertTrue(results.good)

    def test_no_report_is_a_problem(self) -> None:
        self.assertFalse(parse("[ 1.0] rext4: loaded\n").good)

    def test_a_failed_case_fails(self) -> None:
        text = GOOD.replace("ok 1 vectors", "not ok 1 vectors").replace("ok 2 rext4_crc", "not ok 2 rext4_crc")
        results = parse(text)
        self.assertEqual(results.failed, ["rext4_crc.vectors"])
        self.assertFalse(results.good)

    def test_a_suite_that_fails_by_itself_fails(self) -> None:
        self.assertFalse(parse(GOOD.replace("] ok 2 rext4_crc", "] not ok 2 rext4_crc")).good)

    def test_a_case_that_is_missing_is_a_problem(self) -> None:
        self.assertFalse(parse(GOOD.replace("[    3.1]     ok 1 vectors\n", "")).good)

    def test_a_report_cut_short_is_a_problem(self) -> None:
        lines = GOOD.splitlines()
        for length in range(2, len(lines)):
            self.assertFalse(ktap.parse(lines[:length]).good, f"{length} lines")


if __name__ == "__main__":
    unittest.main()
