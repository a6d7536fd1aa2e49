# SPDX-License-Identifier: GPL-2.0
"""Results of a run, kept in a directory: results.json and what failures left.

results.json is written again after each test, so that a run which was ended
can be looked at, and gone on with.
"""

from __future__ import annotations

import dataclasses
import json
import os
from pathlib import Path

from ..base import Failure
from .output import FAIL, NOT_RUN, PASS

#: The guest did not survive the test: a panic, or no end.
ERROR = "error"
EXCLUDED = "excluded"
OUTCOMES = (PASS, FAIL, ERROR, NOT_RUN, EXCLUDED)


def write_whole(file: Path, text: str) -> None:
    """Write a file so that whoever is interrupted leaves the old one or the new one."""
    file.parent.mkdir(parents=True, exist_ok=True)
    partial = file.with_suffix(".new")
    partial.write_text(text, encoding="utf-8")
    os.replace(partial, file)


@dataclasses.dataclass(frozen=True)
class Item:
    """One test to run: with which configuration, and for the how manieth time."""

    config: str
    iteration: int
    test: str


@dataclasses.dataclass(frozen=True)
class Result:
    """What became of an item."""

    item: Item
    outcome: str
    seconds: float
    reason: str


@dataclasses.dataclass
class ResultSet:
    """All of a run: what was to be run, with what, and the results so far."""

    directory: Path
    #: fs (rext4 or ext4), kernel, release, xfstests, rext4, cpus, memory, size, date, command.
    about: dict[str, str]
    plan: list[Item] = dataclasses.field(default_factory=list)
    results: dict[Item, Result] = dataclasses.field(default_factory=dict)

    @property
    def file(self) -> Path:
        """Where it is kept."""
        return self.directory / "results.json"

    def add(self, result: Result) -> None:
        """Take a result and keep it."""
        self.results[result.item] = result
        self.save()

    def missing(self) -> list[Item]:
        """What has no result yet, in order."""
        return [item for item in self.plan if item not in self.results]

    def leave_out(self, known: set[tuple[str, str]]) -> None:
        """Have nothing to do with these configurations and tests."""
        self.plan = [item for item in self.plan if (item.config, item.test) not in known]
        if not self.plan:
            raise Failure("all of these tests have a result that is kept; leave --not-kept out")
        self.results = {item: self.results[item] for item in self.plan if item in self.results}

    def configs(self) -> list[str]:
        """The configurations of the plan, in order."""
        return list(dict.fromkeys(item.config for item in self.plan))

    def of(self, config: str) -> list[Result]:
        """The results with a configuration, by test."""
        found = [result for item, result in self.results.items() if item.config == config]
        return sorted(found, key=lambda result: (result.item.test, result.item.iteration))

    def verdicts(self, config: str) -> dict[str, Result]:
        """One result for each test; of several times the worst."""
        worst = (ERROR, FAIL, PASS, NOT_RUN, EXCLUDED)
        found: dict[str, Result] = {}
        for result in self.of(config):
            known = found.get(result.item.test)
            if known is None or worst.index(result.outcome) < worst.index(known.outcome):
                found[result.item.test] = result
        return found

    def kept(self, item: Item) -> Path:
        """The directory for what is kept of a failure."""
        return self.directory / item.config / str(item.iteration) / item.test

    def save(self) -> None:
        """Write results.json."""
        data = {
            "about": self.about,
            "plan": [dataclasses.astuple(item) for item in self.plan],
            "results": [
                (*dataclasses.astuple(result.item), result.outcome, result.seconds, result.reason)
                for result in self.results.values()
            ],
        }
        write_whole(self.file, json.dumps(data, indent=0))

    @classmethod
    def load(cls, directory: Path) -> "ResultSet":
        """Read the results in a directory."""
        try:
            data = json.loads((directory / "results.json").read_text(encoding="utf-8"))
            plan = [Item(*words) for words in data["plan"]]
            results = {
                Item(config, iteration, test): Result(
                    Item(config, iteration, test), outcome, seconds, reason
                )
                for config, iteration, test, outcome, seconds, reason in data["results"]
            }
            return cls(directory, data["about"], plan, results)
        except OSError as error:
            raise Failure(f"{directory}: no results there ({error.strerror})") from error
        except (ValueError, KeyError, TypeError) as error:
            raise Failure(f"{directory}/results.json is not what this tool wrote: {error}") from error
