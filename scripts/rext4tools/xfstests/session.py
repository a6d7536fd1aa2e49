# SPDX-License-Identifier: GPL-2.0
"""Beginning and ending a run: what is to be run, with what, and what is written at its end."""

from __future__ import annotations

import shlex
import subprocess
import time
from pathlib import Path

from .. import kernel
from ..base import TOP, Failure
from . import config, summary
from .results import EXCLUDED, Item, Result, ResultSet
from .tree import Tree

# Options of `check` that change what it prints, or repeat tests behind our back.
_NOT_OURS = {"-d", "-T", "-b", "-n", "-i", "-I", "-L", "-s", "-S"}


def check_options(options: str) -> None:
    """Refuse options for `check` that this tool could not follow."""
    wrong = _NOT_OURS.intersection(shlex.split(options))
    if wrong:
        raise Failure(f"-O {options}: {', '.join(sorted(wrong))} changes what check prints or how "
                      "often it runs tests; -C repeats tests, --list shows them")


def plan(
    directory: Path, configs: list[str], count: int, tests: list[str], *, without_excluded: bool
) -> ResultSet:
    """All items of a run; those that are excluded have their result already."""
    names = config.names() if configs == ["all"] else [config.load(name).name for name in configs]
    if not tests:
        raise Failure("no tests are left to run")
    if (directory / "results.json").exists():
        raise Failure(f"{directory} has results already; go on with --resume, or name another")
    made = ResultSet(directory, {})
    for name in dict.fromkeys(names):
        excluded = config.excluded(name) if without_excluded else {}
        for iteration in range(1, count + 1):
            for test in tests:
                item = Item(name, iteration, test)
                made.plan.append(item)
                if test in excluded:
                    made.results[item] = Result(item, EXCLUDED, 0, excluded[test])
    return made


def _our_version() -> str:
    def git(*words: str) -> str:
        return subprocess.run(
            ["git", "-C", str(TOP), *words],
            stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=False, text=True,
        ).stdout.strip()

    version = git("log", "-1", "--abbrev=12", "--format=%h") or "unknown"
    return f"{version} and changes" if git("status", "--porcelain", "--", "rust", "Kbuild") else version


def about(tree: Tree, *, fs: str, kernel_name: str, **more: str) -> dict[str, str]:
    """What a result set says of itself."""
    return {
        "fs": fs,
        "kernel": kernel_name,
        "release": kernel.get(kernel_name).release,
        "xfstests": tree.version(),
        "rext4": _our_version() if fs == "rext4" else "",
        "date": time.strftime("%Y-%m-%d %H:%M:%S"),
        **more,
    }


def resume(results: ResultSet, fs: str, kernel_name: str) -> None:
    """Go on with a run, if it is one of the same kind; another version of rext4 is noted."""
    if (results.about["fs"], results.about["kernel"]) != (fs, kernel_name):
        raise Failure(f"{results.directory} was run with --fs {results.about['fs']} "
                      f"--kernel {results.about['kernel']}; say the same, with --resume")
    versions = results.about["rext4"].split(", ")
    if fs == "rext4" and _our_version() not in versions:
        results.about["rext4"] = ", ".join([*versions, _our_version()])


def finish(results: ResultSet) -> None:
    """Write summary and JUnit XML."""
    results.save()
    (results.directory / "summary").write_text(summary.text(results), encoding="utf-8")
    summary.write_junit(results, results.directory / "results.xml")
