# SPDX-License-Identifier: GPL-2.0
"""Test programs of other projects, from crates.io: pinned, built once, kept in the cache."""

from __future__ import annotations

import functools
import shutil
from pathlib import Path

from . import buildroot, cache
from .base import run_logged

#: Program and crate are of one name. The crate's own lock file pins what it is made of.
VERSIONS = {"fsx": "0.3.2", "pjdfstest": "0.2.2"}


def _make(name: str, version: str, target: Path) -> None:
    words = ["cargo", "install", "--locked", "--version", f"={version}", "--root", target, name]
    run_logged(f"building {name} {version} from crates.io", buildroot.command(words), cache.log(name))


def install(directory: Path) -> None:
    """Put all of them into a directory, which a guest can see; the cache it can't."""
    for name, version in VERSIONS.items():
        # Built by, and for, the build root's system.
        digest = cache.key(name, version, buildroot.path().name)
        made = cache.entry(f"crate-{name}", digest, 1, functools.partial(_make, name, version))
        program, wanted = directory / name, made / "bin" / name
        if not program.exists() or program.stat().st_mtime_ns != wanted.stat().st_mtime_ns:
            # Renamed, since a guest may be running the old one.
            fresh = directory / f"{name}.new"
            shutil.copy2(wanted, fresh)
            fresh.rename(program)
