# SPDX-License-Identifier: GPL-2.0
"""Tests of what the benchmark makes of its runs."""

import sys
import unittest
import xml.etree.ElementTree
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "scripts"))
# pylint: disable=wrong-import-position
from rext4tools import benchchart, benchresults
from rext4bench import jobs, profile


def run(job: str, kind: str, number: int, figures: dict[str, float], **more: object) -> dict:
    variant = "" if kind == "raw" else more.pop("variant", "csum")
    return {"job": job, "variant": variant, "kind": kind, "round": number, "figures": figures, "ops": 1000,
            "seconds": 1.0, "user": 0.01, "system": 0.03} | more


def pair(job: str, number: int, other: float, ours: float, name: str = "") -> list[dict]:
    return [run(job, "ext4", number, {name: other}), run(job, "rext4", number, {name: ours})]


def lines(runs: list[dict]) -> dict[str, benchresults.Line]:
    return {line.label: line for line in benchresults.Runs(runs).lines()}


class Results(unittest.TestCase):
    def test_the_median_of_ratios_is_not_the_ratio_of_medians(self) -> None:
        # The machine was slow in the second round, for both.
        runs = pair("append", 0, 100, 300) + pair("append", 1, 10, 20) + pair("append", 2, 200, 500)
        line = lines(runs)["append"]
        self.assertEqual(line.values["ext4"], benchresults.Spread(100, 10, 200))
        self.assertEqual(line.ratio, benchresults.Spread(2.5, 2, 3))

    def test_a_round_without_its_pair_gives_no_ratio(self) -> None:
        runs = pair("append", 0, 100, 200) + [run("append", "rext4", 1, {"": 9000.0})]
        self.assertEqual(lines(runs)["append"].ratio, benchresults.Spread(2, 2, 2))

    def test_a_failed_run_is_a_failure_and_no_figure(self) -> None:
        failed = {"job": "append", "variant": "csum", "kind": "rext4", "round": 0, "error": "no"}
        summary = benchresults.Runs([run("append", "ext4", 0, {"": 5.0}), failed])
        self.assertEqual(summary.failures, [failed])
        (line,) = summary.lines()
        self.assertIsNone(line.ratio)
        self.assertIsNone(line.verdicts[0].met)
        self.assertIn("not measured", benchresults.table([line]))

    def test_less_time_is_better(self) -> None:
        runs = [run("tree", kind, 0, {"untar": a, "rm -rf": b})
                for kind, a, b in (("ext4", 4.0, 1.0), ("rext4", 2.0, 2.0))]
        found = lines(runs)
        self.assertEqual(found["tree, untar"].ratio.median, 2)
        self.assertEqual(found["tree, rm -rf"].ratio.median, 0.5)
        self.assertEqual([str(verdict) for verdict in found["tree, untar"].verdicts], ["≥ 1: met"])
        self.assertEqual([str(verdict) for verdict in found["tree, rm -rf"].verdicts], ["≥ 1: NOT MET (0.50)"])

    def test_variants_do_not_mix(self) -> None:
        runs = pair("preallocated", 0, 100, 290)
        runs += [row | {"variant": "plain"} for row in pair("preallocated", 0, 100, 150)]
        found = lines(runs)
        self.assertEqual(found["preallocated"].ratio.median, 2.9)
        self.assertFalse(found["preallocated"].verdicts[0].met)
        self.assertTrue(found["preallocated, no csum"].verdicts[0].met)

    def test_aims_against_raw_and_own_jobs(self) -> None:
        runs = pair("overwrite", 0, 100, 90) + [run("overwrite", "raw", 0, {"": 100.0})]
        runs += pair("preallocated", 0, 10, 46)
        found = lines(runs)
        raw = found["overwrite"].verdicts[1]
        self.assertAlmostEqual(raw.reached or 0, 0.9)
        self.assertFalse(raw.met)
        own = found["preallocated"].verdicts[1]
        self.assertAlmostEqual(own.reached or 0, 46 / 90)
        self.assertTrue(own.met)

    def test_processor_time_of_an_operation(self) -> None:
        self.assertAlmostEqual(lines(pair("append", 0, 1, 1))["append"].cpu["ext4"], 30)

    def test_the_last_profile_is_shown(self) -> None:
        samples = [{"samples": n, "modules": {"jbd2": 0.75}, "symbols": [["jbd2", "add", 0.5]],
                    "callers": [["jbd2", "start", 0.6]]} for n in (1, 8)]
        text = benchresults.profiles([run("append", "ext4", n, {"": 1.0}, profile=samples[n]) for n in (0, 1)]
                                     + [run("append", "rext4", 0, {"": 1.0}, profile={})])
        self.assertEqual(text, "append csum ext4: 8 samples in the kernel: jbd2 75%\n   50.0%  jbd2: add\n"
                         " with what they call:\n   60.0%  jbd2: start")

    def test_names_of_rust_become_readable(self) -> None:
        for symbol, wanted in (
            ("_RNvMs1_NtNtCs4MWO0zH6Tyr_5rext45inode7delayedNtB5_7Delayed6settle",
             "rext4::inode::delayed::Delayed::settle"),
            ("_RNvNtCsaB_4core3ptr13drop_in_place", "core::ptr::drop_in_place"),
            ("jbd2_journal_start", "jbd2_journal_start"),
        ):
            self.assertEqual(profile.readable(symbol), wanted)

    def test_aims_name_jobs_that_are_there(self) -> None:
        names = {job.name for job in jobs.JOBS}
        self.assertEqual(len(names), len(jobs.JOBS))
        for job in jobs.JOBS:
            for aim in job.aims:
                self.assertIn(aim.against, names | {"ext4", "raw"})
                self.assertTrue(job.raw or aim.against != "raw", job.name)

    def test_jobs_are_found_by_name_and_group(self) -> None:
        self.assertEqual([job.name for job in jobs.named(["tree", "append"])], ["append", "tree"])
        self.assertEqual(tuple(jobs.named(["cached"])), jobs.CACHED)
        self.assertEqual(tuple(jobs.named([])), jobs.JOBS)
        with self.assertRaises(KeyError):
            jobs.named(["nothing"])


class Chart(unittest.TestCase):
    def chart(self, ratio: float) -> xml.etree.ElementTree.Element:
        found = benchresults.Runs(pair("append", 0, 1, ratio)).lines()
        return xml.etree.ElementTree.fromstring(benchchart.svg(found, "a < b & c"))

    def bar(self, ratio: float) -> tuple[float, float]:
        bar = [each for each in self.chart(ratio).iter("{http://www.w3.org/2000/svg}rect")][1]
        return float(bar.get("x") or "nan"), float(bar.get("width") or "nan")

    def test_bars_grow_from_one_to_both_sides(self) -> None:
        (worse, length), (one, none), (better, same) = self.bar(0.5), self.bar(1), self.bar(2)
        self.assertEqual(none, 0)
        self.assertAlmostEqual(worse + length, one, delta=0.2)
        self.assertAlmostEqual(better, one, delta=0.2)
        self.assertAlmostEqual(length, same, delta=0.2)

    def test_what_is_off_the_scale_stays_in_the_picture(self) -> None:
        for ratio in (0.0001, 100000):
            start, length = self.bar(ratio)
            self.assertGreaterEqual(start, benchchart.LEFT)
            self.assertLessEqual(start + length, benchchart.LEFT + benchchart.WIDTH + 0.2)

    def test_text_is_escaped(self) -> None:
        texts = [each.text for each in self.chart(2).iter("{http://www.w3.org/2000/svg}text")]
        self.assertIn("a < b & c", texts)

    def test_nothing_measured_is_an_empty_chart(self) -> None:
        xml.etree.ElementTree.fromstring(benchchart.svg([], "nothing"))


if __name__ == "__main__":
    unittest.main()
