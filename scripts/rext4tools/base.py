# SPDX-License-Identifier: GPL-2.0
"""Paths, messages and running of commands."""

from __future__ import annotations

import collections
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import IO, Mapping, NoReturn, Sequence

#: The checkout that the running script belongs to.
TOP = Path(__file__).resolve().parents[2]
#: Everything that belongs to this checkout alone: objects, logs.
BUILD = TOP / "build"
LOGS = BUILD / "logs"

FLAVOURS = ("stock", "debug", "kasan")

#: Set when all is to end: who waits for long looks at it now and then.
stopping = threading.Event()


class Failure(Exception):
    """Something the user has to know; the text says what to do about it."""


def say(text: str) -> None:
    """Progress goes to stderr, so that stdout stays the command's own."""
    print(f"rext4: {text}", file=sys.stderr, flush=True)


def main(function) -> NoReturn:
    """Run a command's main function; a Failure becomes one clear message."""
    def ended(*_) -> NoReturn:
        # timeout(1) sends it twice, and the second would end the cleaning up.
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        sys.exit(143)

    # So that being ended cleans up too.
    signal.signal(signal.SIGTERM, ended)
    try:
        sys.exit(function())
    except Failure as failure:
        print(f"rext4: error: {failure}", file=sys.stderr, flush=True)
        sys.exit(2)
    except KeyboardInterrupt:
        print("rext4: interrupted", file=sys.stderr, flush=True)
        sys.exit(130)
    except BrokenPipeError:
        sys.exit(1)


def tail(path: Path, lines: int = 25) -> str:
    """The last lines of a log, for a message."""
    try:
        with open(path, errors="replace") as log:
            return "".join(collections.deque(log, lines))
    except OSError:
        return ""


def _heartbeat(what: str, log: Path, done: threading.Event) -> None:
    start = time.monotonic()
    while not done.wait(20):
        last = tail(log, 1).strip()[:90]
        say(f"  … {what}, {time.monotonic() - start:.0f} s so far: {last}")


def _wait(process: subprocess.Popen) -> int:
    """Its exit status; it is ended when all is to end."""
    with process:
        try:
            while True:
                try:
                    return process.wait(0.5)
                except subprocess.TimeoutExpired:
                    if stopping.is_set():
                        process.terminate()
        except BaseException:
            process.kill()
            raise


def run_logged(
    what: str,
    command: Sequence[str | Path],
    log: Path,
    *,
    env: Mapping[str, str] | None = None,
    stdin: IO | None = None,
    stdout: IO | None = None,
) -> None:
    """Run a long command into a log, with a line of progress now and then.

    `stdout` is for commands whose output is a product and not a message.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    say(what)
    start = time.monotonic()
    done = threading.Event()
    heart = threading.Thread(target=_heartbeat, args=(what, log, done), daemon=True)
    with open(log, "ab") as out:
        heart.start()
        try:
            code = _wait(
                subprocess.Popen(
                    [str(word) for word in command],
                    stdin=stdin or subprocess.DEVNULL,
                    stdout=stdout or out,
                    stderr=out,
                    env=env,
                )
            )
        except FileNotFoundError as error:
            raise Failure(f"cannot run {error.filename}; run scripts/setup-host") from error
        finally:
            done.set()
            heart.join()
    if code != 0:
        text = tail(log)
        hint = ""
        if "No space left on device" in text:
            hint = "\nThe disk is full: free some space, or point REXT4_CACHE elsewhere."
        raise Failure(f"{what}: failed (exit status {code}). The end of {log}:\n{text}{hint}")
    say(f"  done in {time.monotonic() - start:.0f} s: {what}")


def cpus() -> int:
    """CPUs this process may use."""
    return len(os.sched_getaffinity(0))
