# SPDX-License-Identifier: GPL-2.0
"""What ends a mount, or the device, while the writers of a race are at work; and full disks and journals.

Each makes a file system of its own, and says how often it has disturbed the writers. Its docstring says what
comes out, besides what is said in races.py.
"""

from __future__ import annotations

import contextlib
import errno
import os
import signal
import time
from typing import Callable

from .base import check, exit_status, fails_with, run, wait_until, want
from .control import COMMIT_ONLY, FLUSH, NOW, shut_down
from .filesystem import Filesystem
from .full import fill_up
from .manifest import fiemap
from .mapper import SECTOR, Mapped, broken, linear, need, sectors
from .populate import fallocate
from .races import SIZE, Kind, Race, Stage, settled, umount_soon
from .slow import journal_places

#: A race of writers of a kind, with this seed, of so many writes.
Ending = Callable[[Kind, int, int], int]
_BLOCKS = ("4096", "1024")


def unmount(kind: Kind, seed: int, count: int) -> int:
    """As soon as the writer is gone, dead or done: what was acknowledged is there."""
    stage = Stage("-b", _BLOCKS[seed // 2 % 2])
    stage.filesystem.mount(stage.options)
    race = Race(stage.filesystem.path, kind, seed, count)
    writer = race.writer("--close")
    if seed % 2:
        writer.finish()
    else:
        race.death = "--killed"
        wait_until("the first write", race.begun)
        writer.kill(signal.SIGKILL)
    umount_soon(stage.filesystem)
    stage.judge([race])
    return 1


def remount(kind: Kind, seed: int, count: int) -> int:
    """Read-only, as soon as nobody has it open for writing; all is on the disk, and the journal is not needed."""
    stage = Stage("-b", _BLOCKS[seed % 2])
    with stage.filesystem.mounted(stage.options) as top:
        race = Race(top, kind, seed, count)
        race.death = "--killed"
        writer = race.writer("--close")

        def read_only() -> bool:
            race.steps += 1
            return exit_status("mount", "-o", "remount,ro", top)[0] == 0

        wait_until("the first write", race.begun)
        if read_only():
            # In a moment in which the writer did not have it open.
            run("mount", "-o", "remount,rw", top)
        writer.kill(signal.SIGKILL)
        wait_until("remount", read_only)
        features = stage.filesystem.super_block()["Filesystem features"]
        check("needs_recovery" not in features, "the journal is still needed")
        stage.filesystem.fsck()
        race.judge()
        run("mount", "-o", "remount,rw", top)
        settled(stage.filesystem)
    stage.judge([race])
    return race.steps


def shutdown(kind: Kind, seed: int, count: int) -> int:
    """As a power cut: what was durable is there, anything later may be, but no poison. Then it recovers."""
    stage = Stage("-b", _BLOCKS[seed // 3 % 2])
    with stage.filesystem.mounted(stage.options) as top:
        race = Race(top, kind, seed, count)
        writer = race.writer("--passes 1000 --until-error")
        with open(race.file, "rb", buffering=0) as file:
            wait_until("the first write", race.begun)
            race.fsync_some(file.fileno(), 5)
        time.sleep(race.dice.random() / 20)
        shut_down(top, (NOW, COMMIT_ONLY, FLUSH)[seed % 3])
        check(writer.finish()["errors"] > 0, "no write failed")
    race.death = "--crash"
    with stage.filesystem.mounted(stage.options):
        race.judge()
    stage.judge([race])
    return 1


def errors(kind: Kind, seed: int, count: int) -> int:
    """Parts of the device fail for a moment. A write that failed may be there, in part, or not; others are."""
    need("linear")
    stage = Stage()
    disk = stage.filesystem.device
    whole = linear(disk, 0, sectors(disk))
    with Mapped("bad", whole) as device:
        filesystem = Filesystem(device.path)
        with filesystem.mounted(stage.options) as top:
            race = Race(top, kind, seed, count)
            with open(race.file, "r+b", buffering=0) as file, open(top / "spare", "wb", buffering=0) as spare:
                # Its data will be here, and nothing else, so that nothing else fails.
                fallocate(file.fileno(), 0, 0, SIZE)
                # What is to be there as a whole is written beside it.
                fallocate(spare.fileno(), 0, 0, SIZE)
                places = [(physical, length) for used in ((spare, file) if kind.shape == "whole" else (file,))
                          for _, physical, length, _ in fiemap(used.fileno())]
            if kind.shape == "whole":
                # Where "spare" was and nowhere else.
                fill_up(top)
            os.unlink(top / "spare")
            os.sync()

            def step() -> None:
                device.load(whole, quick=race.dice.randrange(2) == 0)
                start, length = race.dice.choice(places)
                skipped = race.dice.randrange(0, length, 4096)
                bad = (start + skipped, race.dice.randrange(4096, length - skipped + 1, 4096))
                device.load(*broken(disk, bad), quick=race.dice.randrange(2) == 0)

            # So that also a writer who is done at once has met something.
            start, length = places[0]
            device.load(*broken(disk, (start, length // 8192 * 4096)), quick=True)
            passes = 10 if kind.shape == "whole" else 2
            [done] = race.beside(step, race.writer(f"--errors 1000000 --passes {passes}"))
            device.load(whole)
            check(done["errors"] > 0 and done["writes"] > 0, f"nothing was tested: {done}")
            race.judge()
            settled(filesystem)
    stage.judge([race])
    return race.steps


def lost_journal(kind: Kind, seed: int, count: int) -> int:
    """The device fails where the journal is, and nowhere else: nothing is changed any more, which is said; all that
    was acknowledged can be read until it is unmounted, and what was durable is there after a recovery."""
    need("linear")
    stage = Stage("-b", _BLOCKS[seed // 3 % 2])
    disk = stage.filesystem.device
    places = [(start * SECTOR, (end - start) * SECTOR) for start, end in journal_places(stage.filesystem)]
    whole = linear(disk, 0, sectors(disk))
    with Mapped("bad", whole) as device:
        filesystem = Filesystem(device.path)
        with filesystem.mounted(stage.options) as top:
            race = Race(top, kind, seed, count)
            (top / "file").write_bytes(b"synced")
            writer = race.writer("--passes 1000 --until-error")
            with open(race.file, "rb", buffering=0) as file:
                wait_until("the first write", race.begun)
                race.fsync_some(file.fileno(), 3)
                device.load(*broken(disk, *places), quick=race.dice.randrange(2) == 0)
                if seed % 2:
                    # Else the journal's own timer finds out, or whoever needs room in it.
                    with fails_with("fsync", errno.EIO, errno.EROFS):
                        while True:
                            os.fsync(file.fileno())
            check(writer.finish()["errors"] > 0, "no write failed")
            with fails_with("create", errno.EROFS, errno.EIO):
                (top / "new").touch()
            check("emergency_ro" in filesystem.mount_options(), "/proc/mounts does not say that it was stopped")
            want((top / "file").read_bytes(), b"synced", "another file")
            race.judge()
            settled(filesystem)
        device.load(whole)
    race.death = "--crash"
    with stage.filesystem.mounted(stage.options):
        race.judge()
    stage.judge([race])
    return 1


def full_disk(kind: Kind, seed: int, count: int) -> int:
    """Space comes and goes. Who found none wrote nothing, or the beginning."""
    stage = Stage("-m", "0", size="24M")
    with stage.rounds() as races:
        top = stage.filesystem.path
        race = Race(top, kind, seed, count)
        with open(top / "filler", "wb", buffering=0) as file:
            def fill() -> None:
                status = os.fstatvfs(file.fileno())
                size = os.fstat(file.fileno()).st_size
                # What the writers have taken meanwhile is missing.
                with contextlib.suppress(OSError):
                    fallocate(file.fileno(), 0, size, max(4096, status.f_bavail * status.f_bsize))

            def step() -> None:
                size = os.fstat(file.fileno()).st_size
                os.ftruncate(file.fileno(), max(0, size - race.dice.randrange(4096, 128 << 10, 4096)))
                os.fsync(file.fileno())
                time.sleep(race.dice.random() / 100)
                fill()

            fill()
            [done] = race.beside(step, race.writer("--errors 1000000 --passes 2"))
        check(done["errors"] > 0 and done["writes"] > 0, f"nothing was tested: {done}")
        race.judge()
        races.append(race)
    return race.steps


def full_journal(kind: Kind, seed: int, count: int) -> int:
    """So small a journal that everybody waits for it, with metadata of others in it: nothing is lost."""
    stage = Stage("-b", "1024", "-J", "size=1")
    with stage.rounds() as races:
        top = stage.filesystem.path
        race = Race(top, kind, seed, count)

        def step() -> None:
            made = [top / f"directory-{race.steps}-{number}" for number in range(24)]
            for directory in made:
                directory.mkdir()
                (directory / "file").write_bytes(b"metadata" * 200)
            for directory in made:
                (directory / "file").unlink()
                directory.rmdir()

        race.beside(step, race.writer("--passes 2"))
        race.judge()
        races.append(race)
    return race.steps


ENDINGS: dict[str, Ending] = {
    function.__name__: function
    for function in (unmount, remount, shutdown, errors, lost_journal, full_disk, full_journal)
}
