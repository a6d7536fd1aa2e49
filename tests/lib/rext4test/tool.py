# SPDX-License-Identifier: GPL-2.0
"""diotool: stamped direct writes and their verification; see `diotool --help`."""

from __future__ import annotations

import contextlib
import json
import signal
import subprocess
from pathlib import Path
from typing import Iterator

from .base import SCRATCH, Wrong, start, stays_stuck, task_state

PROGRAM = Path(__file__).resolve().parents[3] / "build" / "tools" / "diotool"


def _words(command: str, options: str, files: tuple[str | Path, ...]) -> list[str]:
    if not PROGRAM.exists():
        raise Wrong(f"{PROGRAM} is not there; run scripts/test-tools")
    return [str(PROGRAM), command, *options.split(), *map(str, files)]


def _result(words: list[str], status: int, output: str, errors: str) -> dict:
    if status != 0:
        raise Wrong(f"{' '.join(words)}:\n{output}{errors}")
    return json.loads(output.splitlines()[-1])


def _call(command: str, options: str, files: tuple[str | Path, ...]) -> dict:
    words = _words(command, options, files)
    done = subprocess.run(words, capture_output=True, check=False, text=True)
    return _result(words, done.returncode, done.stdout, done.stderr)


def log_of(file: str | Path) -> Path:
    """Where the writes to a file are logged by default."""
    return SCRATCH / f"{Path(file).name}.log"


def write(options: str, *files: str | Path) -> dict:
    """Stamped writes; those to one file are logged at `log_of(file)`."""
    if "--log" not in options and len(files) == 1:
        options += f" --log {log_of(files[0])}"
    return _call("write", options, files)


def verify(options: str, file: str | Path) -> dict:
    """Compare a file with the log of the writes to it."""
    if "--log" not in options:
        options += f" --log {log_of(file)}"
    return _call("verify", options, (file,))


def verify_all_ways(file: str | Path, options: str = "") -> None:
    """Through the page cache, around it and through a mapping."""
    verify(f"--how direct,buffered,mmap {options}", file)


class Background:
    """A diotool that runs beside the test."""

    def __init__(self, command: str, options: str, *files: str | Path) -> None:
        self._words = _words(command, options, files)
        self._process = start(self._words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    @property
    def process_id(self) -> int:
        """Of the process."""
        return self._process.pid

    def running(self) -> bool:
        """Whether it has not ended yet."""
        return self._process.poll() is None

    def waits(self) -> bool:
        """Whether it sleeps until a write ends that it has submitted: io_getevents, io_uring_enter."""
        for task in Path(f"/proc/{self.process_id}/task").iterdir():
            with contextlib.suppress(OSError):
                if ((task / "syscall").read_text(encoding="ascii").split()[0] in ("208", "426")
                        and task_state(task / "stat") == "S"):
                    return True
        return False

    def is_stuck(self) -> bool:
        """Whether one of its threads waits for a lock of the kernel, or for a device, and not just for a moment."""
        return any(stays_stuck(task / "stat") for task in Path(f"/proc/{self.process_id}/task").iterdir())

    @contextlib.contextmanager
    def paused(self) -> Iterator[None]:
        """It submits nothing more during the block: what is looked at then has the machine for itself."""
        self._process.send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            self._process.send_signal(signal.SIGCONT)

    def stop(self) -> None:
        """End it, wherever it is; fails if it had failed before that."""
        self._process.terminate()
        output, errors = self._process.communicate()
        if self._process.returncode not in (0, -signal.SIGTERM):
            _result(self._words, self._process.returncode, output, errors)

    def kill(self, number: int) -> None:
        """A signal, and the end."""
        self._process.send_signal(number)
        self._process.communicate()

    def finish(self) -> dict:
        """Wait for its end; its findings."""
        output, errors = self._process.communicate()
        return _result(self._words, self._process.returncode, output, errors)


class Watcher(Background):
    """Readers of a file that is being written: zeros or the new data, never anything else."""

    _number = 0

    def __init__(self, file: str | Path, how: str, options: str = "") -> None:
        Watcher._number += 1
        self._stop = SCRATCH / f"stop-{Watcher._number}"
        self._stop.unlink(missing_ok=True)
        options = f"--how {how} --stop {self._stop} --seed {Watcher._number} {options}"
        super().__init__("watch", options, file)

    def finish(self) -> dict:
        """Stop it; its findings."""
        self._stop.touch()
        return super().finish()
