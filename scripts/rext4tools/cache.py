# SPDX-License-Identifier: GPL-2.0
"""The cache outside the checkout, for what is big and slow to make.

An entry is a directory named after what it is and a hash of all that it is
made from. A file `.complete` is put into it last, so that an interrupted
set-up is never taken for a whole one. (It is not renamed into place: a kernel
tree has its own path written all over it.) A lock file per entry makes a
second checkout wait instead of making the same thing again.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Callable, Iterator

from .base import Failure, say


#: Names of the entries that this process asked for.
asked: set[str] = set()


def root() -> Path:
    """The cache directory: $REXT4_CACHE, or rext4 in the user's cache."""
    given = os.environ.get("REXT4_CACHE")
    if given:
        return Path(given).absolute()
    home = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(home) / "rext4"


def key(*parts: str | bytes) -> str:
    """Twelve hex digits that stand for all the parts."""
    digest = hashlib.sha256()
    for part in parts:
        data = part.encode() if isinstance(part, str) else part
        digest.update(len(data).to_bytes(8, "little"))
        digest.update(data)
    return digest.hexdigest()[:12]


def need_space(gib: float) -> None:
    """Fail early, with a clear message, when the cache's disk is too full."""
    directory = root()
    directory.mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(directory).free / 2**30
    if free < gib:
        raise Failure(
            f"{directory} has {free:.1f} GiB free and {gib} GiB are needed. "
            "Free some space, or set REXT4_CACHE to a directory on a bigger disk."
        )


@contextlib.contextmanager
def lock(name: str) -> Iterator[None]:
    """Hold the lock of one entry; says so when it has to wait."""
    locks = root() / "locks"
    locks.mkdir(parents=True, exist_ok=True)
    with open(locks / name, "w", encoding="utf-8") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say(f"waiting for another set-up that is making {name}")
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def remove(path: Path) -> None:
    """Delete a file or a tree, whatever the modes in it are."""
    if path.is_dir() and not path.is_symlink():
        # Directories without write permission would stop shutil.
        subprocess.run(["chmod", "-R", "u+rwX", str(path)], check=False)
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def entry(name: str, digest: str, gib: float, make: Callable[[Path], None]) -> Path:
    """The directory of an entry, filled by `make(directory)` when it is not there.

    `gib` is the space that making it takes.
    """
    path = root() / f"{name}-{digest}"
    asked.add(path.name)
    complete = path / ".complete"
    if complete.exists():
        return path
    with lock(path.name):
        if complete.exists():
            return path
        remove(path)
        need_space(gib)
        try:
            path.mkdir(parents=True)
            make(path)
            complete.touch()
        except OSError as error:
            raise Failure(f"making {path}: {error}") from error
    return path


def has(name: str, digest: str) -> bool:
    """Whether an entry is there, whole."""
    return (root() / f"{name}-{digest}" / ".complete").exists()


def prune() -> None:
    """Remove the entries that this process did not ask for."""
    for path in sorted(root().iterdir()):
        if path.name in asked or not re.fullmatch(r"[a-z0-9.-]+-[0-9a-f]{12}", path.name):
            continue
        with lock(path.name):
            say(f"removing {path}")
            remove(path)


def log(name: str) -> Path:
    """A fresh log file for making something."""
    path = root() / "logs" / f"{name}.log"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)
    return path
