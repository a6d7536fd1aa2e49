# SPDX-License-Identifier: GPL-2.0
"""Configurations, and the tests that are left out with them: scripts/xfstests."""

from __future__ import annotations

import dataclasses
import fnmatch
import re
import shlex
from pathlib import Path

from ..base import TOP, Failure

DIRECTORY = TOP / "scripts" / "xfstests"
_FIELDS = {"SIZE", "TESTNAME", "EXT_MKFS_OPTIONS", "EXT_MOUNT_OPTIONS"}


@dataclasses.dataclass(frozen=True)
class Config:
    """How the file systems of a run are made and mounted."""

    name: str
    title: str
    mkfs_options: str
    mount_options: str


def _lines(path: Path) -> list[str]:
    """The lines of a file without comments and empty ones."""
    lines = path.read_text(encoding="utf-8").splitlines()
    return [line.strip() for line in lines if line.strip() and not line.startswith("#")]


def pairs(path: Path) -> list[tuple[str, str]]:
    """A file of `KEY: text` lines."""
    found = []
    for line in _lines(path):
        key, colon, text = line.partition(": ")
        if not colon:
            raise Failure(f"{path}: `{line}` is not `KEY: text`")
        found.append((key, text.strip()))
    return found


def gaps(directory: Path = DIRECTORY) -> list[tuple[str, str]]:
    """What it would take for a test: a pattern and a text, the first that fits counts."""
    return pairs(directory / "gaps")


def names(directory: Path = DIRECTORY) -> list[str]:
    """The configurations that there are."""
    return sorted(path.name for path in (directory / "cfg").iterdir())


def load(name: str, directory: Path = DIRECTORY) -> Config:
    """Read a configuration; its file is in the format of kvm-xfstests."""
    name = name.removeprefix("ext4/").removeprefix("rext4/")
    name = "4k" if name == "default" else name
    path = directory / "cfg" / name
    if not re.fullmatch(r"\w+", name) or not path.is_file():
        for pattern, why in pairs(directory / "refused"):
            if fnmatch.fnmatchcase(name, pattern):
                raise Failure(f"-c {name}: {why}; there is {', '.join(names(directory))}")
        raise Failure(f"-c {name}: no such configuration; there is {', '.join(names(directory))}")
    fields = {}
    for line in _lines(path):
        key, equals, value = line.removeprefix("export ").partition("=")
        if key not in _FIELDS or not equals:
            raise Failure(f"{path}: cannot make sense of `{line}`")
        fields[key] = " ".join(shlex.split(value))
    return Config(name, fields.get("TESTNAME", name), fields.get("EXT_MKFS_OPTIONS", ""),
                  fields.get("EXT_MOUNT_OPTIONS", ""))


def excluded(name: str, directory: Path = DIRECTORY) -> dict[str, str]:
    """Tests that are left out with a configuration, and why."""
    found = {}
    for path in (directory / "exclude" / "all", directory / "exclude" / name):
        for line in _lines(path) if path.is_file() else []:
            test, _, why = line.partition(" ")
            if not why.strip():
                raise Failure(f"{path}: `{test}` is excluded without a reason")
            found[test] = why.strip()
    return found
