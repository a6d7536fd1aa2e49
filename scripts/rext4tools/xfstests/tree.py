# SPDX-License-Identifier: GPL-2.0
"""A built xfstests tree on the host: which tests it has, and its way into a guest."""

from __future__ import annotations

import fnmatch
import os
import subprocess
import tarfile
from pathlib import Path

from ..base import Failure

UPSTREAM = "https://git.kernel.org/pub/scm/fs/xfs/xfstests-dev.git"
WANTED = (
    f"set XFSTESTS_DIR to a built xfstests tree: clone {UPSTREAM}, then build it as its README "
    "says, on (or in a chroot of) Debian trixie, which is what the guests are"
)
# Of these directories of tests/.
DIRECTORIES = ("generic", "ext4")
# What shows that the tree was built.
_BUILT = ("ltp/fsstress", "ltp/fsx", "src/aio-dio-regress", "tests/generic/group.list")
_SOURCES = (".c", ".o", ".h", ".lo", ".la", ".a", ".m4", ".am")
_NOT_IN_GUEST = {".git", "autom4te.cache", "LICENSES", "doc", "m4", "build", "configure", ".libs"}


class Tree:
    """The tree at a path."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._groups = {name: self._read(name) for name in DIRECTORIES}

    @classmethod
    def find(cls) -> "Tree":
        """The one that $XFSTESTS_DIR names."""
        given = os.environ.get("XFSTESTS_DIR", "")
        if not given:
            raise Failure(f"XFSTESTS_DIR is not set; {WANTED}")
        path = Path(given).absolute()
        if not (path / "check").is_file():
            raise Failure(f"XFSTESTS_DIR={given}: no xfstests tree (it has no `check`); {WANTED}")
        for name in _BUILT:
            if not (path / name).exists():
                raise Failure(f"XFSTESTS_DIR={given} is not built (it has no {name}); {WANTED}")
        return cls(path)

    def version(self) -> str:
        """How git calls what is checked out, or what the tree says of itself."""
        done = subprocess.run(
            ["git", "-C", str(self.path), "log", "-1", "--abbrev=12", "--date=short",
             "--format=%h (%cd)"],
            stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=False, text=True,
        )
        return done.stdout.strip() or "unknown"

    def _read(self, directory: str) -> dict[str, set[str]]:
        """The tests of a directory with their groups, as its group.list says."""
        tests = {}
        path = self.path / "tests" / directory / "group.list"
        for line in path.read_text(encoding="utf-8").splitlines():
            words = line.split("#")[0].split()
            if words:
                tests[f"{directory}/{words[0]}"] = set(words[1:]) | {"all"}
        return tests

    def group(self, name: str) -> list[str]:
        """The tests of a group: NAME, or DIRECTORY/NAME."""
        directory, slash, plain = name.partition("/")
        among = [directory] if slash else DIRECTORIES
        found = [
            test
            for each in among
            for test, groups in self._groups.get(each, {}).items()
            if (plain if slash else name) in groups
        ]
        if not found:
            raise Failure(f"group {name}: this xfstests tree has no such test in "
                          f"{' and '.join(DIRECTORIES)}")
        return found

    def matching(self, pattern: str) -> list[str]:
        """The tests that a name or pattern (as generic/11?) stands for."""
        known = [test for tests in self._groups.values() for test in tests]
        pattern = pattern.removeprefix("tests/")
        found = [test for test in known if fnmatch.fnmatchcase(test, pattern)]
        if not found:
            raise Failure(f"{pattern}: this xfstests tree has no such test in "
                          f"{' and '.join(DIRECTORIES)}")
        return found

    def select(self, groups: list[str], patterns: list[str], without: list[str]) -> list[str]:
        """The tests of all groups and patterns, less those of some groups, in order."""
        chosen = {test for name in groups for test in self.group(name)}
        chosen |= {test for pattern in patterns for test in self.matching(pattern)}
        chosen -= {test for name in without for test in self.group(name)}
        return sorted(chosen)

    def pack(self, target: Path) -> None:
        """Write what a guest needs of the tree: no sources, no tests of other file systems."""

        def keep(member: tarfile.TarInfo) -> tarfile.TarInfo | None:
            words = Path(member.name).parts
            if any(word in _NOT_IN_GUEST for word in words) or member.name.endswith(_SOURCES):
                return None
            if len(words) == 2 and words[0] == "tests" and words[1] not in DIRECTORIES:
                return None if member.isdir() else member
            member.uid = member.gid = 0
            member.uname = member.gname = "root"
            return member

        with tarfile.open(target, "w", format=tarfile.GNU_FORMAT) as tar:
            tar.add(self.path, ".", filter=keep)
