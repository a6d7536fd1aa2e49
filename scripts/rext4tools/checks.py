# SPDX-License-Identifier: GPL-2.0
"""What `make check` looks at."""

from __future__ import annotations

import re
import subprocess
import time
from pathlib import Path
from typing import Callable

from . import buildroot, module
from .base import BUILD, TOP, Failure
from .report import FAIL, PASS, Report

#: Directories that may have `unsafe` in them, with their module files.
UNSAFE_HOMES = ("rust/bindings", "rust/vfs")
MOST_LINES = 900
_SHELL = re.compile(r"#!.*\b(bash|sh)\b")


def files() -> list[Path]:
    """The project's files: what git has, and what it would add."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=TOP, stdout=subprocess.PIPE, check=True, text=True,
    ).stdout
    paths = (TOP / name for name in listed.split("\0") if name)
    return sorted(path for path in paths if path.is_file())


def _text(path: Path) -> str:
    return path.read_text(encoding="utf-8", errors="replace")


def _first_line(path: Path) -> str:
    with open(path, encoding="utf-8", errors="replace") as lines:
        return lines.readline()


def _in_root(words: list[str]) -> str:
    """Run a tool of the build root; returns what it says when it fails."""
    done = subprocess.run(
        buildroot.command(words), stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        check=False, text=True, errors="replace",
    )
    return "" if done.returncode == 0 else done.stdout or f"exit status {done.returncode}"


def _rustfmt() -> str:
    sources = [str(path) for path in files() if path.suffix == ".rs"]
    return _in_root(["rustfmt", "--check", "--config-path", str(TOP / ".rustfmt.toml"), *sources])


def _kbuild(flavour: str, name: str, *words: str) -> str:
    try:
        module.build(flavour, words, BUILD / f"{name}-{flavour}", quiet=True)
    except module.BuildFailure as failure:
        return str(failure)
    return ""


def _clippy(flavour: str) -> str:
    return _kbuild(flavour, "clippy", "CLIPPY=1", "KRUSTFLAGS=-Dwarnings", "KCFLAGS=-Werror")


def _rustdoc() -> str:
    return _kbuild("debug", "rustdoc", "REXT4_RUSTDOC=1")


def _shellcheck() -> str:
    scripts = [str(path) for path in files() if _SHELL.match(_first_line(path))]
    return _in_root(["shellcheck", "--shell=bash", "--exclude=SC1091", *scripts])


def _python() -> str:
    problems = []
    for path in files():
        if path.suffix == ".py" or "python" in _first_line(path)[:40]:
            try:
                compile(_text(path), str(path), "exec")
            except SyntaxError as error:
                problems.append(f"{path}:{error.lineno}: {error.msg}")
    return "\n".join(problems)


def _code(line: str) -> str:
    """A line of Rust without comments and strings, near enough."""
    return re.sub(r'"(\\.|[^"\\])*"', '""', line).split("//")[0]


def _unsafe() -> str:
    problems = []
    for path in files():
        name = path.relative_to(TOP).as_posix()
        if path.suffix != ".rs" or not name.startswith("rust/"):
            continue
        if any(name == f"{home}.rs" or name.startswith(f"{home}/") for home in UNSAFE_HOMES):
            continue
        for number, line in enumerate(_text(path).splitlines(), 1):
            if re.search(r"\bunsafe\b", _code(line)) and "unsafe_code" not in line:
                problems.append(f"{name}:{number}: unsafe outside {' and '.join(UNSAFE_HOMES)}")
    return "\n".join(problems)


def _headers() -> str:
    exempt = {"COPYING"}
    problems = []
    for path in files():
        name = path.relative_to(TOP).as_posix()
        if name in exempt or path.suffix in (".lock", ".bin", ".json"):
            continue
        text = _text(path)
        if "SPDX-License-Identifier: GPL-2.0" not in "\n".join(text.splitlines()[:5]):
            problems.append(f"{name}: no SPDX-License-Identifier: GPL-2.0 in its first lines")
        if text.count("\n") > MOST_LINES:
            problems.append(f"{name}: more than {MOST_LINES} lines; make two things of it")
    return "\n".join(problems)


def _script_tests() -> str:
    return _in_root(["python3", "-B", "-m", "unittest", "discover", "-q", "-s", "tests/scripts"])


CHECKS: dict[str, Callable[[], str]] = {
    "rustfmt": _rustfmt,
    # For the debug kernel: what is not compiled for it, as it has KUnit, is compiled for no other.
    "clippy": lambda: _clippy("debug"),
    "rustdoc": _rustdoc,
    "shellcheck": _shellcheck,
    "python": _python,
    "unsafe": _unsafe,
    "headers": _headers,
    "tests of the scripts": _script_tests,
}


def run(report: Report) -> None:
    """Run all checks; each is one case."""
    for name, check in CHECKS.items():
        start = time.monotonic()
        try:
            problem = check()
        except Failure as failure:
            problem = str(failure)
        outcome = FAIL if problem else PASS
        report.add(outcome, f"check/{name}", time.monotonic() - start, output=problem)
