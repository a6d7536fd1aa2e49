# SPDX-License-Identifier: GPL-2.0
"""Running the tests of a plan in guests, until each has a result."""

from __future__ import annotations

import dataclasses
import re
import shlex
import shutil
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Iterator

from .. import guest, kernel, module, qemu
from ..base import BUILD, Failure, say
from ..console import HARMLESS, REPORTS
from . import summary
from .config import Config
from .output import FAIL, Stream
from .results import ERROR, Item, Result, ResultSet
from .tree import Tree

#: `check` itself judges warnings in the kernel's log; only this ends a guest.
_FATAL = re.compile(r"\bKernel panic\b")
# A day: each test has a limit of its own.
_GUEST_SECONDS = 86400
# Until the first test begins.
_START_SECONDS = 400
_KEPT = (".out.bad", ".full", ".dmesg", ".hints", ".core")
_KEPT_BYTES = 4 << 20  # of a file that a failure left


@dataclasses.dataclass(frozen=True)
class Settings:
    """How tests are run, whatever the configuration."""

    fs: str  # rext4 or ext4
    kernel: str
    disk_size: str  # of the test, the scratch and the log-writes device
    memory: int  # MiB
    cpus: int
    shards: int
    test_seconds: float  # the limit of one test
    seconds: float | None  # the limit of the whole run
    check_options: str = ""
    mount_options: str = ""  # added to those of the configuration
    soak: str = ""


def _reason(told: list[str], log: str) -> str:
    """What ended a guest, in a line: what `told` begins with, and the first report in its log."""
    first = told[0].splitlines()[0].split(" (console log")[0].rstrip(":") if told else "no result"
    for line in log.splitlines():
        if REPORTS.search(line) and not HARMLESS.search(line):
            return f"{first}: {line.partition('] ')[2] or line}"
    return first


class Runner:
    """One run."""

    def __init__(self, tree: Tree, settings: Settings, results: ResultSet) -> None:
        self._tree = tree
        self._settings = settings
        self._results = results
        self._lock = threading.Lock()
        self._stop: str | None = None
        self._deadline = time.monotonic() + settings.seconds if settings.seconds else None
        self._packed = Path()

    def run(self, configs: dict[str, Config]) -> None:
        """Run what has no result yet."""
        settings = self._settings
        if settings.fs == "rext4":
            # Once, before several guests want it.
            module.build(settings.kernel)
        BUILD.mkdir(exist_ok=True)
        with tempfile.TemporaryDirectory(prefix="xfstests-", dir=BUILD) as name:
            self._packed = Path(name) / "tree.tar"
            self._tree.pack(self._packed)
            for config in configs.values():
                items = [item for item in self._results.missing() if item.config == config.name]
                if items and not self._stop:
                    self._config(config, items, Path(name))

    def _config(self, config: Config, items: list[Item], directory: Path) -> None:
        say(f"BEGIN TEST {config.name} ({len(items)} tests): {config.title} {time.strftime('%c')}")
        shards = [items[number :: self._settings.shards] for number in range(self._settings.shards)]
        with ThreadPoolExecutor(self._settings.shards) as pool:
            try:
                waiting = [
                    pool.submit(self._shard, config, shard, directory) for shard in shards if shard
                ]
                for each in waiting:
                    each.result()
            except BaseException:
                self._stop = self._stop or "stopped"
                raise
        say(f"END TEST {config.name} {time.strftime('%c')}")

    def _shard(self, config: Config, items: list[Item], directory: Path) -> None:
        """Guest after guest, until all items have results."""
        while items and not self._stop:
            with tempfile.TemporaryDirectory(prefix="guest-", dir=directory) as name:
                self._guest(config, items, Path(name))
            left = [item for item in items if item not in self._results.results]
            if left and not self._stop:
                say(f"{config.name}: {len(left)} tests go on in a fresh guest")
            items = left

    def _guest(self, config: Config, items: list[Item], directory: Path) -> None:
        """One guest; at least one item has a result then, or this fails."""
        settings = self._settings
        (directory / "tree.tar").hardlink_to(self._packed)
        self._prepare(config, items, directory)
        tests: dict[int, list[str]] = {}
        for item in items:
            tests.setdefault(item.iteration, []).append(item.test)
        finished: list[Result] = []

        def ended(iteration: int, test: str, outcome: str, seconds: float, reason: str) -> None:
            result = Result(Item(config.name, iteration, test), outcome, seconds, reason)
            finished.append(result)
            self._add(result)

        stream = Stream(tests, ended)

        def overdue() -> str | None:
            now = time.monotonic()
            if self._deadline and now > self._deadline:
                self._stop = self._stop or "the time given is over"
            if self._stop:
                return self._stop
            began = bool(finished) or stream.current is not None
            limit = settings.test_seconds if began else max(settings.test_seconds, _START_SECONDS)
            return f"no end after {limit:g} s" if now - stream.since > limit else None

        console = directory / "console"
        console.touch()
        told: list[str] = []
        guest.run(
            guest.Options(
                kernel=settings.kernel,
                disks=[qemu.Disk.parse(settings.disk_size)] * 3,
                memory=settings.memory,
                cpus=settings.cpus,
                timeout=_GUEST_SECONDS,
                share=directory,
                load_module=settings.fs == "rext4",
                module_args="as_ext4=1",
                append="oops=panic",
                reports=_FATAL,
                log=console,
                command=["/rext4/scripts/guest-files/xfstests"],
            ),
            stream,  # type: ignore[arg-type]
            overdue=overdue,
            tell=told.append,
        )
        if not self._stop and stream.current is not None:
            item = Item(config.name, stream.iteration, stream.current)
            log = console.read_text(encoding="utf-8", errors="replace")
            log = log[max(0, log.rfind(f"run fstests {item.test} ")) :]
            result = Result(item, ERROR, time.monotonic() - stream.since, _reason(told, log))
            finished.append(result)
            self._add(result)
            kept = self._results.kept(item)
            kept.parent.mkdir(parents=True, exist_ok=True)
            kept.with_name(kept.name + ".console").write_text(log, encoding="utf-8")
        for result in finished:
            if result.outcome in (FAIL, ERROR):
                self._keep(result.item, directory / "results")
                self._explain(result)
        if not finished and not self._stop:
            raise Failure(
                f"no test ended in the guest; its output:\n{stream.around[-3000:]}\n"
                + "\n".join(told)[-3000:]
            )

    def _prepare(self, config: Config, items: list[Item], directory: Path) -> None:
        """Write what scripts/guest-files/xfstests reads."""
        mount = ",".join(filter(None, (
            "block_validity", config.mount_options, self._settings.mount_options
        )))
        values = {
            "FS": self._settings.fs,
            "MKFS": config.mkfs_options,
            "MOUNT": mount,
            "OPTIONS": self._settings.check_options,
            "SOAK": self._settings.soak,
            "LIMIT": f"{self._settings.test_seconds:.0f}",
        }
        text = "".join(f"{name}={shlex.quote(value)}\n" for name, value in values.items())
        (directory / "settings").write_text(text, encoding="utf-8")
        built_with = kernel.get(self._settings.kernel).config
        (directory / "config").write_text(built_with, encoding="utf-8")
        (directory / "lists").mkdir()
        (directory / "results").mkdir()
        for item in items:
            with open(directory / "lists" / f"{item.iteration:04}", "a", encoding="utf-8") as tests:
                tests.write(item.test + "\n")

    def _add(self, result: Result) -> None:
        with self._lock:
            self._results.add(result)
            done, all_of_it = len(self._results.results), len(self._results.plan)
            print(f"[{done}/{all_of_it}] {result.item.config}: {summary.line(result)}", flush=True)

    def _explain(self, result: Result) -> None:
        """Put what was found in the kernel's log into the reason."""
        kept = self._results.kept(result.item)
        file = kept.with_name(kept.name + ".dmesg")
        if result.reason.startswith("_check_dmesg") and file.is_file():
            reason = _reason([result.reason], file.read_text(encoding="utf-8", errors="replace"))
            with self._lock:
                self._results.add(dataclasses.replace(result, reason=reason))

    def _left_by(self, item: Item, results: Path) -> Iterator[Path]:
        base = results / f"{item.iteration:04}" / item.test
        for suffix in _KEPT:
            file = base.with_name(base.name + suffix)
            if file.is_file() and file.stat().st_size:
                yield file

    def _keep(self, item: Item, results: Path) -> None:
        """Copy what a failure left; of big files the end."""
        target = self._results.kept(item).parent
        target.mkdir(parents=True, exist_ok=True)
        for file in self._left_by(item, results):
            if file.stat().st_size <= _KEPT_BYTES:
                shutil.copyfile(file, target / file.name)
                continue
            with open(file, "rb") as source:
                source.seek(-_KEPT_BYTES, 2)
                (target / file.name).write_bytes(b"[the end of it]\n" + source.read())
