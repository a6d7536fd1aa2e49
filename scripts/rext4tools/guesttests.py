# SPDX-License-Identifier: GPL-2.0
"""Running the tests in tests/guest, and the long ones in tests/long.

A test is an executable file. Comment lines at its top say what it wants:

    # kernel: debug          debug (default), stock or kasan
    # disk: 512M             one line for each disk, as for scripts/guest (`compilers` too)
    # memory: 1024           MiB
    # timeout: 120           seconds, on the debug kernel
    # append: WORDS          for the kernel command line
    # needs-kasan: yes       `make test` runs it on the KASAN kernel, which is the debug kernel and more
    # host: yes              runs on the host and calls scripts/guest itself

It passes with exit status 0, is skipped with 77 (its last line says why) and
fails with any other. A few tests that want the same guest share one, one after
the other, with the module loaded afresh and the disks emptied for each; one may
have more disks than a test asked for. Several
guests run side by side.
"""

from __future__ import annotations

import dataclasses
import functools
import io
import os
import re
import subprocess
import time
from pathlib import Path

from . import buildroot, guest, pool, qemu
from .base import LOGS, TOP, Failure, say, stopping
from .report import FAIL, PASS, SKIP, Report

TESTS = TOP / "tests"
#: Groups of tests: those of `make test`, and those of `make test-long`.
GUEST, LONG = "guest", "long"
# KASAN under TCG is some times slower.
SLOWER = {"stock": 1, "debug": 1, "kasan": 5}
# Seconds that a guest may take until it begins with a test.
START = 300
# Tests that share a guest, at most: starting one takes as long as a short test, and more would
# keep the last processor at work long after the others.
SHARE = 5
_HEADER = re.compile(r"# ([a-z-]+): (.+)")
_FIELDS = {"kernel", "disk", "memory", "timeout", "append", "needs-kasan", "host"}
_MARK = re.compile(rb"^@@test-(begin|end) (.+)@@$")


@dataclasses.dataclass(frozen=True)
class Test:
    """A test file and what its header says."""

    group: str
    name: str
    kernel: str = "debug"
    disks: tuple[str, ...] = ()
    memory: int = 1024
    timeout: int = 120
    append: str = ""
    needs_kasan: bool = False
    host: bool = False

    @classmethod
    def read(cls, path: Path) -> "Test":
        """Read the header; an unknown field is an error, not a surprise."""
        fields: dict[str, list[str]] = {}
        for line in path.read_text(encoding="utf-8").splitlines()[:40]:
            match = _HEADER.fullmatch(line)
            if match and match[1] in _FIELDS:
                fields.setdefault(match[1], []).append(match[2].strip())
        kernel = fields.get("kernel", ["debug"])[0]
        if kernel not in SLOWER:
            raise Failure(f"{path}: `# kernel: {kernel}`; there is {', '.join(SLOWER)}")
        return cls(
            path.parent.name,
            path.name,
            kernel,
            tuple(fields.get("disk", [])),
            int(fields.get("memory", ["1024"])[0]),
            int(fields.get("timeout", ["120"])[0]),
            " ".join(fields.get("append", [])),
            fields.get("needs-kasan") == ["yes"],
            fields.get("host") == ["yes"],
        )

    def on(self, kernel: str) -> "Test":
        """The same test on another kernel."""
        return dataclasses.replace(
            self, kernel=kernel, timeout=self.timeout * SLOWER[kernel],
            memory=self.memory * 2 if kernel == "kasan" else self.memory,
        )

    @property
    def path(self) -> str:
        """The file, from tests."""
        return f"{self.group}/{self.name}"

    @property
    def title(self) -> str:
        """How results call it."""
        return f"{self.path} [{self.kernel}]"

    @property
    def log_name(self) -> str:
        """How its logs are called."""
        return self.name if self.group == GUEST else f"{self.group}-{self.name}"

    def fits(self, other: "Test") -> bool:
        """Whether it can share a guest that was made for the other: more disks do no harm."""
        return (
            self.kernel == other.kernel
            and self.memory == other.memory
            and self.append == other.append
            and other.disks[: len(self.disks)] == self.disks
        )


def find(group: str) -> list[Test]:
    """All tests of a group, by name."""
    directory = TESTS / group
    if not directory.is_dir():
        return []
    files = sorted(directory.iterdir())
    return [Test.read(file) for file in files if file.is_file() and os.access(file, os.X_OK)]


class Stream(io.RawIOBase):
    """Follows the output of scripts/guest-files/run-tests."""

    def __init__(self, tests: list[Test], report: Report) -> None:
        super().__init__()
        self._waiting = {test.path: test for test in tests}
        self._report = report
        self._rest = b""
        self._lines: list[str] = []
        self.current: Test | None = None
        self._since = 0.0
        self._idle_since: float | None = None  # until the guest has been started

    def writable(self) -> bool:
        return True

    def write(self, data) -> int:
        """Take some output."""
        *lines, self._rest = (self._rest + bytes(data)).split(b"\n")
        for line in lines:
            self._line(line)
        return len(data)

    def _line(self, line: bytes) -> None:
        match = _MARK.match(line)
        if match is None:
            self._lines.append(line.decode(errors="replace"))
            if self.current is not None and self.current.group == LONG and line.startswith(b"--"):
                say(f"{self.current.title} {self._lines[-1]}")
            return
        words = match[2].decode().split()
        if match[1] == b"begin":
            self.current = self._waiting[words[0]]
            self._since = time.monotonic()
            self._lines = []
        elif self.current is not None and words[0] == self.current.path:
            self._end(int(words[1]), words[2] == "yes")

    def _end(self, status: int, clean: bool) -> None:
        assert self.current is not None
        if status == 0 and clean:
            self._result(PASS)
        elif status == 77 and clean:
            shown = [line for line in self._lines if line.strip()]
            self._result(SKIP, shown[-1] if shown else "no reason given")
        elif status in (124, 137):
            self._result(FAIL, f"no end after {self.current.timeout} s")
        elif status == 0:
            self._result(FAIL, "left something behind, see the last line")
        else:
            self._result(FAIL, f"exit status {status}")

    def _result(self, outcome: str, note: str = "", more: str = "") -> None:
        assert self.current is not None
        test = self.current
        output = "\n".join(self._lines).strip("\n") + "\n" + more
        log = LOGS / "tests" / f"{test.log_name}-{test.kernel}.log"
        log.parent.mkdir(parents=True, exist_ok=True)
        log.write_text(output, encoding="utf-8")
        shown = output.splitlines()
        if len(shown) > 150:
            shown = [f"(… the beginning is in {log})", *shown[-150:]]
        self._report.add(outcome, test.title, time.monotonic() - self._since, note, "\n".join(shown))
        del self._waiting[test.path]
        self.current = None
        self._idle_since = time.monotonic()

    @property
    def left(self) -> list[Test]:
        """Tests without a result."""
        return list(self._waiting.values())

    def overdue(self) -> str | None:
        """Whether the running test hangs so that its own time limit did not end it."""
        now = time.monotonic()
        if self.current is None:
            if self._idle_since is None:
                self._idle_since = now
            return f"no test began in {START} s" if now > self._idle_since + START else None
        limit = self.current.timeout + 30
        return f"{self.current.name} hangs" if now > self._since + limit else None

    def guest_failed(self, reason: str) -> None:
        """The guest is gone: the running test, or else the next one, has failed."""
        if self.current is None:
            self.current = next(iter(self._waiting.values()))
            self._since = self._idle_since or time.monotonic()
        self._result(FAIL, "the guest failed", reason)


def _run_shared(tests: list[Test], report: Report) -> None:
    """Run tests that share a guest; a fresh one after one that was lost."""
    while tests:
        first = max(tests, key=lambda test: len(test.disks))
        stream = Stream(tests, report)
        reasons: list[str] = []
        words = [f"{test.path}:{test.timeout}" for test in tests]
        options = guest.Options(
            kernel=first.kernel,
            disks=[qemu.Disk.parse(disk) for disk in first.disks],
            memory=first.memory,
            append=first.append,
            timeout=sum(test.timeout + 30 for test in tests) + 120,
            command=["/rext4/scripts/guest-files/run-tests", *words],
        )
        status = guest.run(
            options, stream, log_name=first.log_name, overdue=stream.overdue, tell=reasons.append
        )
        why = "\n".join(reasons) or f"the guest ended with status {status}"
        if stream.current is not None:
            stream.guest_failed(why)
        elif len(stream.left) == len(tests):
            # Not one began: another guest would do no better.
            while stream.left:
                stream.guest_failed(why)
        elif status != 0:
            # After the end of a test that had passed: that counts as well.
            report.add(FAIL, f"{first.group}/(between tests) [{first.kernel}]", 0, "the guest failed", why)
        tests = stream.left


def _run_on_host(test: Test, report: Report) -> None:
    start = time.monotonic()
    env = {**os.environ, "REXT4_KERNEL": test.kernel}
    with subprocess.Popen(
        [TESTS / test.path], cwd=TOP, env=env, stdin=subprocess.DEVNULL, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, errors="replace",
    ) as process:
        note = ""
        while not note:
            try:
                output, _ = process.communicate(timeout=1)
                note = f"exit status {process.returncode}"
            except subprocess.TimeoutExpired:
                if time.monotonic() - start > test.timeout or stopping.is_set():
                    process.terminate()
                    try:
                        output, _ = process.communicate(timeout=10)
                    except subprocess.TimeoutExpired:
                        process.kill()
                        output, _ = process.communicate()
                    note = f"no end after {test.timeout} s"
        status = process.returncode
    outcome = {0: PASS, 77: SKIP}.get(status, FAIL) if not note.startswith("no end") else FAIL
    lines = output.strip().splitlines()
    if outcome == PASS:
        note = ""
    elif outcome == SKIP:
        note = lines[-1] if lines else "no reason given"
    report.add(outcome, f"{test.title} on the host", time.monotonic() - start, note, output)


def prepare() -> None:
    """Build what runs in the guests besides the module."""
    # The programs they call, in build/tools.
    if subprocess.run([TOP / "scripts" / "test-tools"], check=False).returncode != 0:
        raise Failure("the programs that the guest tests use can't be built")
    # Guests see them read-only, and each test would compile its library anew.
    words = ["python3", "-m", "compileall", "-q", str(TOP / "tests" / "lib")]
    if subprocess.run(buildroot.command(words), check=False).returncode != 0:
        raise Failure("the library of the guest tests, tests/lib, is no valid Python")


def jobs(tests: list[Test], report: Report) -> list[pool.Job]:
    """What runs the tests, grouped by the guest they want; what may take longest comes first.

    They need the kernel by its name, the `image` of the guest, and the `programs` of `prepare`.
    """
    groups = [[test] for test in tests if test.host]
    machines: list[list[Test]] = []
    for test in sorted(tests, key=lambda test: -len(test.disks)):
        if not test.host:
            same = next((same for same in machines if test.fits(same[0])), None)
            if same is None:
                machines.append([test])
            else:
                same.append(test)
    for same in machines:
        same.sort(key=lambda test: test.timeout)
        # Long ones with short ones.
        count = -(-len(same) // SHARE)
        groups += [same[start::count] for start in range(count)]
    # What starts guests of its own waits for most of them.
    groups.sort(key=lambda group: (not group[0].host, -sum(test.timeout for test in group)))
    return [
        pool.Job(
            functools.partial(_run_group, group, report),
            frozenset({group[0].kernel, "image", "programs"}),
        )
        for group in groups
    ]


def _run_group(tests: list[Test], report: Report) -> None:
    if tests[0].host:
        _run_on_host(tests[0], report)
    else:
        _run_shared(tests, report)
