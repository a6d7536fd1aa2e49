# SPDX-License-Identifier: GPL-2.0
"""Tests of scripts/kvm-xfstests: reading results, choosing tests, comparing."""

import sys
import tempfile
import unittest
import xml.etree.ElementTree as xml
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "scripts"))
# pylint: disable=wrong-import-position
from rext4tools.base import Failure
from rext4tools.xfstests import compare, config, kept, session, summary
from rext4tools.xfstests.output import FAIL, NOT_RUN, PASS, Stream
from rext4tools.xfstests.results import ERROR, EXCLUDED, Item, Result, ResultSet
from rext4tools.xfstests.tree import Tree

OUTPUT = """\
FSTYP         -- ext4
generic/001 is only mentioned here
@@iteration 1@@
MKFS_OPTIONS  -- -F -q /dev/vdc

generic/001        48s
generic/002 3s ...  4s
generic/003       [not run] no quota
        in this kernel
generic/004       - output mismatch (see /results/generic/004.out.bad)
    --- tests/generic/004.out\t2025-12-23 16:31:21
    +++ /results/generic/004.out.bad\t2026-01-01 00:00:00
    @@ -1,2 +1,3 @@
     QA output created by 004
    -Silence is golden
    +generic/002 said:   5s
    +(see /results/generic/004.full for details)
    ...
generic/005       [failed, exit status 1]
generic/006        7s
_check_dmesg: something found in dmesg (see /results/generic/006.dmesg)
generic/007       _check_generic_filesystem: filesystem on /dev/vdb is inconsistent
(see /results/generic/007.full for details)

Ran: generic/001 generic/002
Failures: generic/004
@@iteration 2@@
generic/001 48s ...  50s
generic/002 """

TESTS = [f"generic/{number:03}" for number in range(1, 8)]


class Output(unittest.TestCase):
    def read(self, step: int) -> tuple[list[tuple], Stream]:
        got: list[tuple] = []
        stream = Stream({1: TESTS, 2: TESTS[:2]}, lambda *words: got.append(words), lambda: 100.0)
        data = OUTPUT.encode()
        for start in range(0, len(data), step):
            stream.write(data[start : start + step])
        return got, stream

    def test_outcomes(self) -> None:
        for step in (1, 7, 100000):
            got, stream = self.read(step)
            self.assertEqual(
                [(iteration, test, outcome) for iteration, test, outcome, _, _ in got],
                [
                    (1, "generic/001", PASS), (1, "generic/002", PASS), (1, "generic/003", NOT_RUN),
                    (1, "generic/004", FAIL), (1, "generic/005", FAIL), (1, "generic/006", FAIL),
                    (1, "generic/007", FAIL), (2, "generic/001", PASS),
                ],
            )
            self.assertEqual([words[3] for words in got[:3]], [48, 4, 0])
            self.assertEqual(got[2][4], "no quota in this kernel")
            self.assertEqual(
                got[3][4], "output mismatch: +generic/002 said: 5s; -Silence is golden"
            )
            self.assertEqual(got[4][4], "[failed, exit status 1]")
            self.assertEqual(got[5][4], "_check_dmesg: something found in dmesg")
            self.assertIn("inconsistent", got[6][4])
            # The guest died, or hangs, in this one.
            self.assertEqual((stream.iteration, stream.current), (2, "generic/002"))
            self.assertIn("FSTYP", stream.around)

    def test_no_test_is_taken_from_other_text(self) -> None:
        got: list[tuple] = []
        stream = Stream({1: ["generic/001"]}, lambda *words: got.append(words))
        stream.write(b"generic/001   5s\n@@iteration 1@@\ngeneric/002   5s\nx generic/001  5s\n")
        self.assertEqual((got, stream.current), ([], None))


def made(fs: str, outcomes: dict[str, str], date: str = "1", name: str = "4k") -> ResultSet:
    about = dict.fromkeys(("release", "kernel", "xfstests", "rext4", "command", "cpus", "memory"), "x")
    results = ResultSet(Path("/nowhere"), {**about, "fs": fs, "date": date})
    for test, outcome in outcomes.items():
        item = Item(name, 1, test)
        results.plan.append(item)
        results.results[item] = Result(item, outcome, 1, f"reason of {fs} <{outcome}>")
    return results


class Comparing(unittest.TestCase):
    def test_changes(self) -> None:
        old = made("rext4", {"a": PASS, "b": PASS, "c": FAIL, "d": NOT_RUN})
        new = made("rext4", {"a": PASS, "b": ERROR, "c": PASS, "d": NOT_RUN})
        lines = compare.changes(old, new).splitlines()
        self.assertEqual(len(lines), 2)
        self.assertRegex(lines[0], "b +pass -> error")
        self.assertRegex(lines[1], "c +fail -> pass")
        self.assertEqual(compare.changes(old, old), "")

    def test_the_worst_of_several_times_counts(self) -> None:
        results = made("rext4", {"a": PASS})
        item = Item("4k", 2, "a")
        results.results[item] = Result(item, FAIL, 1, "now and then")
        self.assertEqual(results.verdicts("4k")["a"].outcome, FAIL)

    def test_parity(self) -> None:
        ours = made("rext4", {"a": FAIL, "b": NOT_RUN, "c": FAIL, "d": PASS, "e": PASS})
        again = made("rext4", {"e": FAIL}, date="2")
        theirs = made("ext4", {"a": PASS, "b": PASS, "c": FAIL, "d": FAIL, "e": PASS})
        text = compare.parity([again, ours, theirs], [("rext4 .notrun", "a lot of work")])
        part = {
            piece.partition("\n")[0]: piece for piece in text.split("### ")
        }
        self.assertIn("| a |", part["C ext4 passes, rext4 fails"])
        self.assertIn("| e |", part["C ext4 passes, rext4 fails"])
        self.assertIn("| b | reason of rext4 &lt;notrun> | a lot of work |",
                      part["Runs on C ext4, not on rext4"])
        self.assertIn("| c |", part["Both fail"])
        self.assertIn("| d |", part["rext4 passes, C ext4 does not"])
        self.assertIn("| rext4 | 1 | 3 | 1 | 0 |", text)
        self.assertNotIn("none passes", text)
        self.assertIn("Of the 1 tests that ran on both, none passes on C ext4 and fails on rext4",
                      compare.parity([theirs, made("rext4", {"a": PASS, "z": PASS})], []))


class Keeping(unittest.TestCase):
    def test_results_survive(self) -> None:
        with tempfile.TemporaryDirectory() as name:
            results = made("rext4", {"generic/001": PASS, "generic/002": FAIL, "generic/003": EXCLUDED})
            results.directory = Path(name)
            results.plan.append(Item("4k", 1, "generic/004"))
            kept = results.kept(Item("4k", 1, "generic/002"))
            kept.parent.mkdir(parents=True)
            kept.with_name("002.out.bad").write_text("bad\0 output", encoding="utf-8")
            session.finish(results)
            again = ResultSet.load(Path(name))
            self.assertEqual((again.plan, again.results), (results.plan, results.results))
            self.assertEqual(again.missing(), [Item("4k", 1, "generic/004")])
            suite = xml.parse(Path(name) / "results.xml").getroot()[0]
            self.assertEqual((suite.get("tests"), suite.get("failures"), suite.get("skipped")),
                             ("3", "1", "1"))
            self.assertEqual(suite.findtext("testcase/system-out"), "bad output")
            self.assertIn("1 tests have no result", summary.text(again))
            self.assertIn("Failures: generic/002", summary.text(again))

    def test_what_is_no_result_is_refused(self) -> None:
        with tempfile.TemporaryDirectory() as name:
            with self.assertRaisesRegex(Failure, "no results there"):
                ResultSet.load(Path(name))


    def test_of_many_runs_the_newest_result_of_a_test_is_kept(self) -> None:
        with tempfile.TemporaryDirectory() as name:
            place = Path(name)
            kept.keep(made("rext4", {"a": PASS, "b": PASS}, date="2"), place)
            kept.keep(made("rext4", {"b": FAIL, "c": PASS}, date="3"), place)
            kept.keep(made("rext4", {"a": FAIL, "d": PASS}, date="1"), place)
            kept.keep(made("ext4", {"a": PASS}, date="1"), place)
            sets = kept.load(place)
            outcomes = {
                (one.about["fs"], test): (result.outcome, one.about["date"])
                for one in sets for test, result in one.verdicts("4k").items()
            }
            self.assertEqual(outcomes, {
                ("ext4", "a"): (PASS, "1"), ("rext4", "a"): (PASS, "2"), ("rext4", "b"): (FAIL, "3"),
                ("rext4", "c"): (PASS, "3"), ("rext4", "d"): (PASS, "1"),
            })
            known = kept.known("rext4", "x", place)
            self.assertEqual(known, {("4k", test) for test in "abcd"})
            more = made("rext4", {"a": PASS, "e": PASS})
            more.leave_out(known)
            self.assertEqual([item.test for item in more.plan], ["e"])
            with self.assertRaisesRegex(Failure, "have a result"):
                more.leave_out({("4k", "e")})

    def test_results_of_no_commit_are_not_kept(self) -> None:
        results = made("rext4", {"a": PASS})
        results.about["rext4"] += " and changes"
        with tempfile.TemporaryDirectory() as name, self.assertRaisesRegex(Failure, "only results of a commit"):
            kept.keep(results, Path(name))

    def test_the_page_is_of_what_is_kept(self) -> None:
        self.assertEqual(kept.PAGE.read_text(encoding="utf-8"), compare.parity(kept.load(), config.gaps()),
                         "make it with scripts/kvm-xfstests --parity")


class Choosing(unittest.TestCase):
    def tree(self, path: Path) -> Tree:
        for name, text in (
            ("generic", "# header\n\n001 auto quick\n002 auto aio\n003-name auto quick dangerous\n"),
            ("ext4", "001 auto quick\n"),
        ):
            (path / "tests" / name).mkdir(parents=True)
            (path / "tests" / name / "group.list").write_text(text, encoding="utf-8")
        return Tree(path)

    def test_groups_and_patterns(self) -> None:
        with tempfile.TemporaryDirectory() as name:
            tree = self.tree(Path(name))
            self.assertEqual(tree.select(["quick"], [], []),
                             ["ext4/001", "generic/001", "generic/003-name"])
            self.assertEqual(tree.select(["ext4/quick"], ["generic/002"], []),
                             ["ext4/001", "generic/002"])
            self.assertEqual(tree.select(["auto"], [], ["dangerous", "ext4/all"]),
                             ["generic/001", "generic/002"])
            self.assertEqual(tree.matching("generic/00[12]"), ["generic/001", "generic/002"])
            for wrong in ("nothing", "xfs/quick"):
                with self.assertRaisesRegex(Failure, "no such test"):
                    tree.group(wrong)
            with self.assertRaisesRegex(Failure, "no such test"):
                tree.matching("generic/999")


class Configurations(unittest.TestCase):
    def test_all_can_be_read(self) -> None:
        for name in config.names():
            self.assertIn("-b", config.load(name).mkfs_options)
            config.excluded(name)
        self.assertEqual(config.load("dioread_nolock").mount_options, "dioread_nolock")
        self.assertEqual(config.load("ext4/default").name, "4k")
        config.pairs(config.DIRECTORY / "gaps")

    def test_refused_by_name(self) -> None:
        for name, why in (("logdev", "journal"), ("bigalloc_1k", "clusters"), ("../4k", "no such")):
            with self.assertRaisesRegex(Failure, why):
                config.load(name)


if __name__ == "__main__":
    unittest.main()
