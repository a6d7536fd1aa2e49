# SPDX-License-Identifier: GPL-2.0
"""Device mapper: devices that fail, that are slow, and copies as of a moment."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from .base import SCRATCH, Skip, exit_status, run

SECTOR = 512


def sectors(device: str | Path) -> int:
    """The size of a device."""
    with open(device, "rb", buffering=0) as opened:
        return opened.seek(0, os.SEEK_END) // SECTOR


def need(target: str) -> None:
    """Skip the case if the kernel has no such target."""
    exit_status("modprobe", f"dm-{target}")
    if target not in {line.split(" ")[0] for line in run("dmsetup", "targets").splitlines()}:
        raise Skip(f"this kernel has no device-mapper target `{target}`")


class Mapped:
    """A device of the device mapper, removed at the end of a `with` block."""

    def __init__(self, name: str, *table: str) -> None:
        self.name = name
        self.path = f"/dev/mapper/{name}"
        self._feed("create", table)

    def _feed(self, command: str, table: tuple[str, ...]) -> None:
        file = SCRATCH / f"{self.name}.table"
        file.write_text("\n".join(table) + "\n", encoding="ascii")
        run("dmsetup", command, self.name, file)

    def load(self, *table: str, quick: bool = False) -> None:
        """Another table; `quick` does not wait for the I/O in flight, nor flush the file system."""
        self._feed("load", table)
        flags = ["--noflush", "--nolockfs"] if quick else ["--nolockfs"]
        run("dmsetup", "suspend", *flags, self.name)
        self.resume()

    def suspend(self) -> None:
        """Wait for the I/O in flight and hold back what comes; the file system is not told."""
        run("dmsetup", "suspend", "--nolockfs", self.name)

    def resume(self) -> None:
        """Go on."""
        run("dmsetup", "resume", self.name)

    def remove(self) -> None:
        """The end of it; something that has just been closed may still hold it a moment."""
        run("dmsetup", "remove", "--retry", self.name)

    def __enter__(self) -> Mapped:
        return self

    def __exit__(self, *_: object) -> None:
        subprocess.run(["dmsetup", "remove", "--force", "--retry", self.name], check=False,
                       stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def linear(device: str, start: int, length: int, at: int = 0) -> str:
    """A line of a table: `length` sectors from `start` of the device, placed at `at`."""
    return f"{at} {length} linear {device} {start}"


def broken(device: str, *parts: tuple[int, int]) -> list[str]:
    """The table of one that fails in these parts: (start, length) in bytes, in order."""
    table, at = [], 0
    for start, length in parts:
        first, count = start // SECTOR, length // SECTOR
        if first > at:
            table.append(linear(device, at, first - at, at))
        table.append(f"{first} {count} error")
        at = first + count
    if at < sectors(device):
        table.append(linear(device, at, sectors(device) - at, at))
    return table


class Camera:
    """Copies of a device as it is at a moment, as if the power had gone: what was
    not yet written is missing, whatever the file system on it is doing.

    Use `device` for the file system. `store` has to have room for what is
    written to the device and to the copies, for each copy anew.
    """

    def __init__(self, device: str, store: str) -> None:
        need("snapshot")
        self._device = device
        self._size = sectors(device)
        self._store = store
        self._room = sectors(store)
        self._used = 0
        self._taken = 0
        self._origin = Mapped("origin", f"0 {self._size} snapshot-origin {device}")
        self.device = self._origin.path

    def take(self, copies: int = 2, room: int = 48 << 20) -> list[Copy]:
        """Some equal copies of this moment."""
        made = []
        self._origin.suspend()
        try:
            for _ in range(copies):
                self._taken += 1
                length = room // SECTOR
                if self._used + length > self._room:
                    self._used = 0  # the oldest is gone by now
                store = Mapped(f"store{self._taken}", linear(self._store, self._used, length))
                self._used += length
                # The head of an old store would be taken for this one's.
                run("dd", "if=/dev/zero", f"of={store.path}", "bs=4k", "count=1", "oflag=direct")
                table = f"0 {self._size} snapshot {self._device} {store.path} N 8"
                made.append(Copy(Mapped(f"copy{self._taken}", table), store))
        finally:
            self._origin.resume()
        return made

    def __enter__(self) -> Camera:
        return self

    def __exit__(self, *_: object) -> None:
        self._origin.__exit__()


class Copy:
    """One copy that a Camera took; it can be written to."""

    def __init__(self, mapped: Mapped, store: Mapped) -> None:
        self._parts = (mapped, store)
        self.device = mapped.path

    def __enter__(self) -> Copy:
        return self

    def __exit__(self, *_: object) -> None:
        for part in self._parts:
            part.__exit__()
