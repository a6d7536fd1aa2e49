# SPDX-License-Identifier: GPL-2.0
"""Results that are kept with the project, for a page of many runs on several machines.

One file for each file system and kernel. For each configuration and test it has
the newest result, and from which run that is: kernel, xfstests and commit.
"""

from __future__ import annotations

import json
from pathlib import Path

from ..base import TOP, Failure
from .results import Item, Result, ResultSet, write_whole

DIRECTORY = TOP / "Documentation" / "xfstests"
#: rext4 against C ext4, made of all that is kept.
PAGE = TOP / "Documentation" / "xfstests-parity.md"

_ABOUT = ("fs", "kernel", "release", "xfstests", "rext4", "date")


def _file(directory: Path, about: dict[str, str]) -> Path:
    return directory / f"{about['fs']}-{about['kernel']}.json"


def load(directory: Path = DIRECTORY) -> list[ResultSet]:
    """All that is kept: a set for each run of which something still counts."""
    return [each for file in sorted(directory.glob("*.json")) for each in _read(file)]


def _read(file: Path) -> list[ResultSet]:
    if not file.exists():
        return []
    try:
        data = json.loads(file.read_text(encoding="utf-8"))
        sets = [ResultSet(file.parent, about) for about in data["runs"]]
        for config, test, outcome, seconds, reason, run in data["results"]:
            item = Item(config, 1, test)
            sets[run].plan.append(item)
            sets[run].results[item] = Result(item, outcome, seconds, reason)
        return sets
    except (ValueError, KeyError, TypeError, IndexError) as error:
        raise Failure(f"{file} is not what this tool wrote: {error}") from error


def keep(new: ResultSet, directory: Path = DIRECTORY) -> Path:
    """Take the verdicts of a run in, in place of older ones for the same tests; where they are."""
    if "changes" in new.about["rext4"] or "unknown" in new.about["rext4"]:
        raise Failure(f"{new.directory} is of {new.about['rext4']}: only results of a commit are kept")
    file = _file(directory, new.about)
    about = {name: new.about[name] for name in _ABOUT}
    newest: dict[tuple[str, str], tuple[dict[str, str], Result]] = {}
    for each in sorted([*_read(file), new], key=lambda one: one.about["date"]):
        words = about if each is new else each.about
        for config in each.configs():
            for test, result in each.verdicts(config).items():
                newest[config, test] = (words, result)
    _write(file, newest)
    return file


def _write(file: Path, newest: dict[tuple[str, str], tuple[dict[str, str], Result]]) -> None:
    runs: list[dict[str, str]] = []
    for about, _ in newest.values():
        if about not in runs:
            runs.append(about)
    runs.sort(key=lambda about: about["date"])
    results = [
        (config, test, result.outcome, round(result.seconds, 1), result.reason, runs.index(about))
        for (config, test), (about, result) in sorted(newest.items())
    ]
    # A result a line, so that a change is seen as one.
    write_whole(file, f'{{"runs": [\n{_lines(runs)}\n],\n"results": [\n{_lines(results)}\n]}}\n')


def _lines(values: list) -> str:
    return ",\n".join(json.dumps(value) for value in values)


def known(fs: str, kernel: str, directory: Path = DIRECTORY) -> set[tuple[str, str]]:
    """The configurations and tests that have a result."""
    sets = _read(_file(directory, {"fs": fs, "kernel": kernel}))
    return {(item.config, item.test) for each in sets for item in each.results}
