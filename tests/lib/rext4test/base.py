# SPDX-License-Identifier: GPL-2.0
"""Running a test: its cases, commands, expected errors."""

from __future__ import annotations

import contextlib
import errno
import os
import subprocess
import sys
import threading
import time
import traceback
from pathlib import Path
from typing import Callable, Iterator, NoReturn, Sequence

#: The file system type under test. Set it to `ext4` to try a test itself
#: against the kernel's own file system.
FSTYPE = os.environ.get("REXT4_FSTYPE", "rext4")
OURS = FSTYPE != "ext4"

#: Scratch space in memory, for logs and flags.
SCRATCH = Path("/tmp")


class Wrong(Exception):
    """What was seen is not what has to be."""


class Skip(Exception):
    """The test can't be done here; the text says why."""


def say(text: str) -> None:
    """A line of progress."""
    print(text, flush=True)


def run(*words: str | Path, status: int | None = 0, quiet: bool = True) -> str:
    """Run a command and return its output, errors included.

    Another exit status than `status` is Wrong; None takes any.
    """
    done = subprocess.run(
        [str(word) for word in words],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        check=False,
    )
    output = done.stdout.decode(errors="replace")
    if status is not None and done.returncode != status:
        shown = " ".join(str(word) for word in words)
        raise Wrong(f"`{shown}` ended with {done.returncode}, not {status}:\n{output}")
    if not quiet:
        say(output.rstrip())
    return output


def exit_status(*words: str | Path) -> tuple[int, str]:
    """Run a command that may fail; its exit status and output."""
    done = subprocess.run(
        [str(word) for word in words],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        check=False,
    )
    return done.returncode, done.stdout.decode(errors="replace")


def want(seen: object, wanted: object, what: str) -> None:
    """Compare two values."""
    if seen != wanted:
        raise Wrong(f"{what}: expected {wanted!r}, found {seen!r}")


def check(truth: object, what: str) -> None:
    """Something has to be true."""
    if not truth:
        raise Wrong(what)


@contextlib.contextmanager
def fails_with(what: str, *numbers: int) -> Iterator[None]:
    """The block has to fail with one of these errnos."""
    names = "/".join(errno.errorcode[number] for number in numbers)
    try:
        yield
    except OSError as error:
        if error.errno not in numbers:
            name = errno.errorcode.get(error.errno or 0, str(error.errno))
            raise Wrong(f"{what}: expected {names}, got {name}") from error
        return
    raise Wrong(f"{what}: expected {names}, but it worked")


@contextlib.contextmanager
def as_user(user: int) -> Iterator[None]:
    """The block is done by this user, of the group with the same number."""
    os.setegid(user)
    os.seteuid(user)
    try:
        yield
    finally:
        os.seteuid(0)
        os.setegid(0)


def wait_until(what: str, condition: Callable[[], object], seconds: float = 30) -> None:
    """Poll until a condition holds."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise Wrong(f"{what}: not within {seconds:g} s")
        time.sleep(0.02)


def task_state(stat: Path) -> str:
    """The state of a task, from its file in /proc: D waits for a lock or a device, S for something that a signal would
    end, Z has ended."""
    return stat.read_text(encoding="utf-8").rpartition(")")[2][1]


def stays_stuck(stat: Path) -> bool:
    """Whether a task waits for a lock or a device, and not just for a moment."""
    for _ in range(5):
        if task_state(stat) != "D":
            return False
        time.sleep(0.1)
    return True


def is_stuck(thread: threading.Thread) -> bool:
    """Whether a thread waits for a lock of the kernel or for a device, or has ended."""
    try:
        return task_state(Path(f"/proc/self/task/{thread.native_id}/stat")) == "D"
    except (FileNotFoundError, ProcessLookupError):
        # The second one, if it ends between opening and reading.
        return True


_children: list[subprocess.Popen] = []


def start(words: Sequence[str], **settings: object) -> subprocess.Popen:
    """A process beside the test; if the test fails it is ended before the unmount."""
    child = subprocess.Popen(words, **settings)  # pylint: disable=consider-using-with
    _children.append(child)
    return child


def end_children() -> None:
    """End the processes that a failed case has left."""
    for child in _children:
        if child.poll() is None:
            child.kill()
            child.wait()
    _children.clear()


def main(*cases: Callable[[], None]) -> NoReturn:
    """Run the cases of a test file, or those named on the command line.

    All are tried, also after a failure, so that one run says all there is.
    """
    wanted = sys.argv[1:]
    chosen = [case for case in cases if not wanted or case.__name__ in wanted]
    if not chosen:
        names = ", ".join(case.__name__ for case in cases)
        sys.exit(f"no such case; there are: {names}")
    failed = 0
    skipped: list[str] = []
    for case in chosen:
        begin = time.monotonic()
        try:
            case()
            outcome = "ok"
        except Skip as reason:
            skipped.append(f"{case.__name__}: {reason}")
            outcome = f"SKIPPED: {reason}"
        except Wrong as error:
            failed += 1
            outcome = "FAILED"
            say(f"{error}")
        except Exception:  # pylint: disable=broad-except
            failed += 1
            outcome = "FAILED"
            say(traceback.format_exc())
        say(f"-- {case.__name__}: {outcome} ({time.monotonic() - begin:.1f} s)")
        _leave_mounts()
    if failed:
        sys.exit(1)
    if skipped and len(skipped) == len(chosen):
        say("; ".join(skipped))
        sys.exit(77)
    sys.exit(0)


def _leave_mounts() -> None:
    """Unmount what a failed case left, so that the next can begin."""
    end_children()
    mounts = Path("/proc/self/mounts").read_text(encoding="utf-8").splitlines()
    points = [line.split(" ")[1] for line in mounts]
    for point in reversed([point for point in points if point.startswith("/mnt/")]):
        subprocess.run(["umount", point], check=False)
