# SPDX-License-Identifier: GPL-2.0
"""Programs that do random operations on a file whose content they know, several at the same time."""

from __future__ import annotations

import hashlib
import os
import subprocess
from pathlib import Path
from typing import Callable

from . import tool
from .base import SCRATCH, check, say, start
from .filesystem import Filesystem

FSX = tool.PROGRAM.with_name("fsx")
#: Files that are worked on at the same time.
SIDE_BY_SIDE = 2
#: fsx never unmaps what it maps to read, so that this one is rare, and no run long.
_WEIGHTS = {
    "close_open": 1, "invalidate": 1, "mapread": 1, "mapwrite": 8, "read": 8, "write": 10, "truncate": 5,
    "fsync": 0.5, "fdatasync": 0.5, "posix_fallocate": 4, "punch_hole": 6, "sendfile": 2, "posix_fadvise": 2,
    "copy_file_range": 5,
}

#: The words of a command for a seed, a number of operations, the block size and a file.
Command = Callable[[int, int, int, Path], list]


def fsx(seed: int, count: int, _block: int, file: Path) -> list:
    """The crate: no direct I/O. With every fourth seed it waits for what it has stored through mappings."""
    lines = [f"flen = {256 << 10}", f"nomsyncafterwrite = {str(seed % 4 != 0).lower()}",
             # It may choose 0 else, which fallocate refuses.
             "[opsize]", "min = 1", f"max = {16 << 10}",
             "[weights]", *(f"{name} = {float(weight)}" for name, weight in _WEIGHTS.items())]
    settings = SCRATCH / f"fsx-{seed}.toml"
    settings.write_text("\n".join(lines) + "\n", encoding="ascii")
    return ["env", "NO_COLOR=1", FSX, "-f", settings, "-N", count, "-S", seed, "-P", SCRATCH, file]


def mixture(seed: int, count: int, block: int, file: Path) -> list:
    """Our own: direct I/O too, ranges that are zeroed, collapsed and inserted."""
    return [tool.PROGRAM, "random", "--seed", seed, "--count", count, "--unit", block, file]


def mixture_without_extents(seed: int, count: int, block: int, file: Path) -> list:
    """The same, for a file with a block map."""
    return [*mixture(seed, count, block, file), "--without-extents"]


def _digests(files: list[Path]) -> list[str]:
    return [hashlib.sha256(file.read_bytes()).hexdigest() for file in files]


def together(filesystem: Filesystem, command: Command, seeds: list[int], count: int, options: str = "") -> None:
    """A file for each seed, at the same time, `count` operations on each.

    Then e2fsck, and C ext4 reads what was read before.
    """
    say(f"   {command.__name__}, seeds {', '.join(map(str, seeds))}: {count} operations each, options `{options}`")
    with filesystem.mounted(options) as top:
        block = os.statvfs(top).f_bsize
        files = [top / f"file-{number}" for number in range(len(seeds))]
        running = []
        for seed, file in zip(seeds, files):
            file.touch()
            words = [str(word) for word in command(seed, count, block, file)]
            running.append(start(words, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                                 text=True))
        for seed, process in zip(seeds, running):
            output, _ = process.communicate()
            # The last operations are what tells most.
            check(process.returncode == 0,
                  f"{command.__name__}, seed {seed}: exit status {process.returncode}:\n{output[-8000:]}")
        seen = _digests(files)
    filesystem.fsck()
    with filesystem.reference():
        check(_digests(files) == seen, f"seeds {seeds}: C ext4 reads something else")
