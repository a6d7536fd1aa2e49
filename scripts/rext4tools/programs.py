# SPDX-License-Identifier: GPL-2.0
"""Programs of our own for the guest: each tests/programs/NAME.c is one.

They are linked statically, against libaio and liburing too, and are in the
guest's PATH.
"""

from __future__ import annotations

import subprocess
from pathlib import Path

from . import buildroot, cache
from .base import BUILD, TOP, Failure

SOURCES = TOP / "tests" / "programs"
OUTPUT = BUILD / "programs"
_FLAGS = ("-std=gnu17", "-O2", "-g", "-Wall", "-Wextra", "-Werror", "-static", "-D_GNU_SOURCE")
_LIBRARIES = ("-laio", "-luring", "-pthread")


def _stale(source: Path, program: Path) -> bool:
    if not program.exists():
        return True
    newest = max(file.stat().st_mtime for file in SOURCES.glob("*.[ch]"))
    return program.stat().st_mtime < max(newest, source.stat().st_mtime)


def build() -> None:
    """Compile what is not up to date."""
    with cache.lock(f"programs-{cache.key(str(OUTPUT))}"):
        for source in sorted(SOURCES.glob("*.c")):
            program = OUTPUT / source.stem
            if not _stale(source, program):
                continue
            OUTPUT.mkdir(parents=True, exist_ok=True)
            words = ["gcc", *_FLAGS, "-o", program, source, *_LIBRARIES]
            if subprocess.run(buildroot.command(words), check=False).returncode != 0:
                program.unlink(missing_ok=True)
                raise Failure(f"compiling {source.relative_to(TOP)} failed; the messages are above")
