# SPDX-License-Identifier: GPL-2.0
"""What a run ends with: a summary for people, JUnit XML for programs."""

from __future__ import annotations

import textwrap
import xml.etree.ElementTree as xml
from collections import Counter
from pathlib import Path

from .output import FAIL, NOT_RUN
from .results import ERROR, EXCLUDED, Result, ResultSet

# Characters that XML 1.0 can't have.
_NOT_XML = {code: None for code in range(32) if code not in (9, 10)}
_MOST = 20000  # characters of a file in the XML


def _counts(results: list[Result]) -> tuple[Counter[str], float]:
    return Counter(result.outcome for result in results), sum(r.seconds for r in results)


def line(result: Result) -> str:
    """One result, as it is shown while the tests run."""
    test = result.item.test
    reason = f"  {result.reason}" if result.reason else ""
    return f"{result.outcome:8} {test:14} {result.seconds:6.0f} s{reason}"


def _listed(title: str, results: list[Result], with_reason: bool) -> list[str]:
    if not results:
        return []
    if with_reason:
        return [f"  {title}:", *(f"    {r.item.test}: {r.reason}" for r in results)]
    times = Counter(result.item.test for result in results)
    words = " ".join(test if count == 1 else f"{test} ({count} times)" for test, count in times.items())
    return textwrap.wrap(words, 98, initial_indent=f"  {title}: ", subsequent_indent="    ",
                         break_on_hyphens=False)


def text(results: ResultSet) -> str:
    """The summary."""
    about = results.about
    lines = [
        "-------------------- Summary report",
        f"KERNEL:    {about['release']} ({about['kernel']})",
        f"XFSTESTS:  {about['xfstests']}",
        *([f"REXT4:     {about['rext4']}"] if about["fs"] == "rext4" else []),
        f"CMDLINE:   {about['command']}",
        f"CPUS:      {about['cpus']}",
        f"MEM:       {about['memory']} MiB",
        "",
    ]
    for config in results.configs():
        found = results.of(config)
        counts, seconds = _counts(found)
        lines.append(
            f"{about['fs']}/{config}: {len(found)} tests, {counts[FAIL]} failures, "
            f"{counts[ERROR]} errors, {counts[NOT_RUN]} not run, {counts[EXCLUDED]} excluded, "
            f"{seconds:.0f} seconds"
        )
        for title, outcome, reason in (
            ("Failures", FAIL, False), ("Errors", ERROR, True), ("Excluded", EXCLUDED, True),
        ):
            lines += _listed(title, [r for r in found if r.outcome == outcome], reason)
        missing = sum(item.config == config for item in results.missing())
        if missing:
            lines.append(f"  {missing} tests have no result: go on with --resume {results.directory}")
    counts, seconds = _counts(list(results.results.values()))
    lines.append(
        f"Totals: {sum(counts.values())} tests, {counts[NOT_RUN]} not run, {counts[FAIL]} failures, "
        f"{counts[ERROR]} errors, {seconds:.0f}s"
    )
    return "\n".join(lines) + "\n"


def _clean(message: str) -> str:
    return message.translate(_NOT_XML)


def _end_of(path: Path) -> str:
    data = path.read_text(encoding="utf-8", errors="replace")
    return data if len(data) <= _MOST else "…" + data[-_MOST:]


def write_junit(results: ResultSet, path: Path) -> None:
    """JUnit XML, with a suite for each configuration."""
    suites = xml.Element("testsuites")
    for config in results.configs():
        found = results.of(config)
        counts, seconds = _counts(found)
        suite = xml.SubElement(suites, "testsuite", {
            "name": f"{results.about['fs']}/{config}",
            "tests": str(len(found)),
            "failures": str(counts[FAIL]),
            "errors": str(counts[ERROR]),
            "skipped": str(counts[NOT_RUN] + counts[EXCLUDED]),
            "time": f"{seconds:.0f}",
        })
        properties = xml.SubElement(suite, "properties")
        for name, value in results.about.items():
            xml.SubElement(properties, "property", {"name": name, "value": _clean(value)})
        for result in found:
            _junit_case(results, suite, result)
    xml.ElementTree(suites).write(path, encoding="utf-8", xml_declaration=True)


def _junit_case(results: ResultSet, suite: xml.Element, result: Result) -> None:
    case = xml.SubElement(suite, "testcase", {
        "classname": f"xfstests.{result.item.config}",
        "name": result.item.test,
        "time": f"{result.seconds:.0f}",
    })
    message = {"message": _clean(result.reason)}
    if result.outcome in (NOT_RUN, EXCLUDED):
        xml.SubElement(case, "skipped", message)
    elif result.outcome in (FAIL, ERROR):
        xml.SubElement(case, "failure" if result.outcome == FAIL else "error", message)
        kept = results.kept(result.item)
        for suffix in (".out.bad", ".dmesg", ".console"):
            file = kept.with_name(kept.name + suffix)
            if file.is_file():
                xml.SubElement(case, "system-out").text = _clean(_end_of(file))
