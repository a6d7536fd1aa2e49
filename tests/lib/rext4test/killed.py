# SPDX-License-Identifier: GPL-2.0
"""A machine that is killed in the midst of direct writes of several kinds, and what is on its disk then.

A test with this runs itself in guests: `main` is called on the host, and in each of them.
"""

from __future__ import annotations

import dataclasses
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Iterable

from . import tool
from .base import FSTYPE, check, say, wait_until

_TOP = Path(__file__).resolve().parents[3]
_IMAGE_SIZE = 96 << 20
_SIZE = 8 << 20
_LOOP = f"--length {_SIZE} --passes 1000"
#: Writers, each with a file of its own: what there is before, and what is done to it.
_WRITERS = {
    "append": ("empty", "--engine aio --depth 32 --length 64m --sizes 4096,8192"),
    "holes": ("sparse", f"--engine aio --depth 32 --pattern shuffle --sizes 4096,12k {_LOOP}"),
    "preallocated": ("preallocated", f"--engine uring --depth 8 --pattern shuffle --sizes 4096,12k {_LOOP}"),
    "unaligned": ("sparse", f"--engine aio --depth 32 --pattern random --sizes 512,1536,5632 {_LOOP}"),
    "sector-63": ("preallocated", f"--engine aio --depth 8 --pattern random --shift 32256 --sizes 4096 {_LOOP}"),
}
#: How they make it durable: now and then, which commits what others have done as well; or each write.
_FSYNC, _EACH = "--fsync-every 25", "--odsync"
#: Records of something that must survive: an fsync, or a durable write.
_DURABLE = ("\nF ", "\nS ")
#: File systems that are looked at in one guest; each needs two disks.
_TOGETHER = 3


@dataclasses.dataclass(frozen=True)
class Death:
    """One kill."""

    #: After something is durable in each file.
    seconds: float
    #: Of mke2fs.
    options: tuple[str, ...] = ()
    #: Of the writers, which have each write durable if it is odd.
    seed: int = 2

    def __str__(self) -> str:
        how = _EACH if self.seed % 2 else _FSYNC
        return f"killed after {self.seconds:.2f} s; seed {self.seed}, {how}; {' '.join(self.options) or 'defaults'}"


def _guest(*words: str) -> None:
    """A guest of the kernel that the runner wants."""
    command = [_TOP / "scripts" / "guest", "--kernel", os.environ.get("REXT4_KERNEL", "debug"), "--timeout", "200"]
    if FSTYPE == "ext4":
        command.append("--no-module")
    subprocess.run([*command, *words], check=True)


def _on_the_host(script: str, deaths: list[Death]) -> None:
    """Let it die, and look at two copies of its disk."""
    scratch = _TOP / "build" / "scratch"
    scratch.mkdir(parents=True, exist_ok=True)
    for first in range(0, len(deaths), _TOGETHER):
        with tempfile.TemporaryDirectory(prefix="killed-", dir=scratch) as name:
            directory = Path(name)
            disks: list[str] = []
            for number, death in enumerate(deaths[first : first + _TOGETHER]):
                ours, reference, logs = (directory / f"{name}-{number}" for name in ("ours", "reference", "logs"))
                logs.mkdir()
                with open(ours, "wb") as image:
                    for _ in range(_IMAGE_SIZE >> 20):
                        image.write(b"\xa5" * (1 << 20))
                say(f"-- {death}")
                _guest("--disk", str(ours), "--share", str(logs), "--kill-after", str(death.seconds), "--",
                       f"REXT4_FSTYPE={FSTYPE} {script} --write {death.seed} {' '.join(death.options)}")
                shutil.copy(ours, reference)
                disks += ["--disk", str(ours), "--disk", str(reference)]
            _guest(*disks, "--share", str(directory), "--", f"REXT4_FSTYPE={FSTYPE} {script} --check {len(disks) // 4}")


def _is_durable(logs: Path) -> bool:
    """Whether there is something that has to survive, in each file."""
    try:
        texts = [(logs / f"{name}.log").read_text(encoding="ascii") for name in _WRITERS]
    except OSError:
        return False  # not there yet; and 9p may fail to read a file that grows
    return all(any(kind in f"\n{text}" for kind in _DURABLE) for text in texts)


def _write(seed: int, options: list[str]) -> None:
    """In the guest that will die: write until then, with the logs on the host."""
    from . import direct  # pylint: disable=import-outside-toplevel
    from .filesystem import Filesystem  # pylint: disable=import-outside-toplevel

    filesystem = Filesystem().make("-E", "nodiscard", *options)
    with filesystem.mounted(fstype="ext4") as top:
        for name, (what, _) in _WRITERS.items():
            if what == "preallocated":
                direct.preallocated(top / name, _SIZE + (64 << 10))
            else:
                direct.sparse(top / name, 0 if what == "empty" else _SIZE)
    filesystem.mount("dioread_nolock")
    common = f"{_EACH if seed % 2 else _FSYNC} --seed {seed}"
    writers = [tool.Background("write", f"{options} {common} --log /share/{name}.log", filesystem.path / name)
               for name, (_, options) in _WRITERS.items()]
    wait_until("something durable in each file", lambda: _is_durable(Path("/share")), 100)
    print("@@kill-timer@@", flush=True)
    for writer in writers:
        writer.finish()


def _look(top: Path, logs: Path) -> None:
    """What was durable is there; the rest is zeros or data; nothing stands beyond the end."""
    from .recovery import no_stray_blocks  # pylint: disable=import-outside-toplevel

    block = os.statvfs(top).f_bsize
    for name, (what, _) in _WRITERS.items():
        limits = "--dense-from 0" if what == "empty" else f"--max-size {(top / name).stat().st_size}"
        found = tool.verify(f"--crash --how direct,buffered {limits} --log {logs / name}.log", top / name)
        say(f"   {name}: {found}")
        no_stray_blocks(top / name, block)


def _check(count: int) -> None:
    """In the last guest: recovery with both, after each death."""
    from .recovery import recover  # pylint: disable=import-outside-toplevel

    letters = "bcdefg"
    for number in range(count):
        logs = Path(f"/share/logs-{number}")
        records = sum(len((logs / f"{name}.log").read_text(encoding="ascii").splitlines()) for name in _WRITERS)
        say(f"   {records} records in the logs")
        check(_is_durable(logs), "nothing was durable before the end: nothing was tested")
        for letter, fstype in zip(letters[2 * number :], (FSTYPE, "ext4")):
            recover(f"/dev/vd{letter}", lambda top, logs=logs: _look(top, logs), fstype)


def main(script: str, deaths: Iterable[Death]) -> None:
    """The part of it that this is: `script` is the test, as it is named in a guest."""
    if sys.argv[1:2] == ["--write"]:
        _write(int(sys.argv[2]), sys.argv[3:])
    elif sys.argv[1:2] == ["--check"]:
        _check(int(sys.argv[2]))
    else:
        _on_the_host(script, list(deaths))
