# SPDX-License-Identifier: GPL-2.0
"""The groups of tests that are no guest tests: host, tools, fuzz, KUnit."""

from __future__ import annotations

import io
import re
import subprocess
import time

from . import buildroot, guest, ktap
from .base import BUILD, LOGS, TOP
from .guesttests import SLOWER
from .report import FAIL, PASS, SKIP, Report

HOST = TOP / "tests" / "host"
FUZZ = TOP / "tests" / "fuzz" / "run"
_CARGO = re.compile(r"^test result: \w+\. (\d+) passed; (\d+) failed; (\d+) ignored", re.M)


def _logged(name: str, words: list[str], timeout: float = 1800) -> tuple[int, str]:
    """Run a command on the host; returns exit status and output, kept in a log too."""
    LOGS.mkdir(parents=True, exist_ok=True)
    with subprocess.Popen(
        words, cwd=TOP, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT, text=True, errors="replace",
    ) as process:
        try:
            output, _ = process.communicate(timeout=timeout)
        except subprocess.TimeoutExpired:
            process.kill()
            output, _ = process.communicate()
            output += f"\nno end after {timeout:g} s\n"
        status = process.returncode
    (LOGS / f"{name}.log").write_text(output, encoding="utf-8")
    return status, output


def _end(output: str, lines: int = 100) -> str:
    return "\n".join(output.splitlines()[-lines:])


def _cargo(report: Report, name: str, words: list[str]) -> None:
    """A command that runs `cargo test`, whose cases are counted."""
    start = time.monotonic()
    status, output = _logged(name, words)
    found = [tuple(map(int, match)) for match in _CARGO.findall(output)]
    passed, failed, skipped = (sum(column) for column in zip(*found)) if found else (0, 0, 0)
    good = status == 0 and passed > 0
    report.add(PASS if good else FAIL, name, time.monotonic() - start,
               output=_end(output), counts=(passed, failed, skipped))


def host(report: Report) -> None:
    """`cargo test` over tests/host: the parts of the module that need no kernel."""
    cargo = ["cargo", "test", "--release", "--locked", "--no-fail-fast"]
    words = buildroot.command(
        cargo, chdir=HOST, setenv={"CARGO_TARGET_DIR": str(BUILD / "cargo")}
    )
    _cargo(report, "host", words)


def tools(report: Report) -> None:
    """The programs that guest tests use, built and tested."""
    _cargo(report, "tools", [str(TOP / "scripts" / "test-tools"), "--test"])


def fuzz(report: Report) -> None:
    """tests/fuzz/run: a bounded number of inputs for each target, fewer than it takes by itself."""
    start = time.monotonic()
    if not FUZZ.exists():
        report.add(SKIP, "fuzz", 0, "there is no tests/fuzz/run")
        return
    status, output = _logged("fuzz", buildroot.command([FUZZ, "--runs", "20000", "--seconds", "20"]))
    outcome = {0: PASS, 77: SKIP}.get(status, FAIL)
    lines = output.strip().splitlines()
    note = lines[-1] if outcome == SKIP and lines else ""
    report.add(outcome, "fuzz", time.monotonic() - start, note, _end(output))


def kunit(report: Report, kernel: str = "debug") -> None:
    """Load the module; what KUnit then says in the kernel's log decides."""
    start = time.monotonic()
    sink = io.BytesIO()
    reasons: list[str] = []
    options = guest.Options(
        kernel=kernel, kunit=True, command=["dmesg"], timeout=300 * SLOWER[kernel]
    )
    status = guest.run(options, sink, log_name="kunit", tell=reasons.append)
    output = sink.getvalue().decode(errors="replace")
    results = ktap.parse(output.splitlines())
    LOGS.mkdir(parents=True, exist_ok=True)
    (LOGS / f"kunit-{kernel}.log").write_text(output, encoding="utf-8")
    problems = [*reasons, *results.problems]
    if status != 0 and not reasons:
        problems.append(f"the guest's command ended with status {status}")
    counts = (len(results.passed), len(results.failed), len(results.skipped))
    good = status == 0 and results.good
    text = "\n".join([*(f"not ok: {name}" for name in results.failed), *problems])
    if not good:
        text += "\n" + _end("\n".join(line for line in output.splitlines() if "]   " in line or "# " in line), 60)
    report.add(PASS if good else FAIL, f"kunit [{kernel}]", time.monotonic() - start,
               output=text, counts=counts)
