# SPDX-License-Identifier: GPL-2.0
"""A file system on a disk of the guest: make, mount, unmount, judge."""

from __future__ import annotations

import contextlib
import ctypes
import mmap
import os
import re
from pathlib import Path
from typing import Iterator

from .base import FSTYPE, OURS, Wrong, end_children, exit_status, run, task_state, wait_until

#: Where `Filesystem` mounts.
MOUNTPOINT = Path("/mnt/test")
#: What a poisoned device is full of; see stamp.rs of diotool.
POISON = 0xA5

_libc = ctypes.CDLL(None, use_errno=True)


def poison(device: str, start: int = 0, length: int | None = None) -> None:
    """Fill a device with the pattern that nobody must ever read from a file."""
    with open(os.open(device, os.O_RDWR | os.O_DIRECT), "r+b", buffering=0) as disk:
        size = disk.seek(0, os.SEEK_END) if length is None else start + length
        with mmap.mmap(-1, 4 << 20) as chunk:
            chunk.write(bytes([POISON]) * len(chunk))
            view = memoryview(chunk)
            disk.seek(start)
            at = start
            while at < size:
                at += disk.write(view[: min(len(chunk), size - at)])
            view.release()
        os.fsync(disk.fileno())


class Filesystem:
    """One device with an ext4 file system on it."""

    def __init__(self, device: str = "/dev/vdb", mountpoint: Path = MOUNTPOINT) -> None:
        self.device = device
        self.path = mountpoint
        self.path.mkdir(parents=True, exist_ok=True)

    @property
    def name(self) -> str:
        """The device's name in kernel messages."""
        number = os.stat(self.device).st_rdev
        where = f"/sys/dev/block/{os.major(number)}:{os.minor(number)}"
        return os.path.basename(os.path.realpath(where))

    def gauge(self, name: str) -> int:
        """A number of the file system's directory in /sys/fs."""
        return int((Path("/sys/fs") / FSTYPE / self.name / name).read_text(encoding="ascii"))

    def make(self, *options: str, size: str | None = None, fill: bool = False) -> Filesystem:
        """mke2fs with the default features, plus `options`.

        Blocks are of 4 KiB, which mke2fs takes by default on anything but a
        small disk. `fill` poisons the whole device first, and keeps mke2fs from
        discarding that.
        """
        if fill:
            poison(self.device)
        words = ["mke2fs", "-q", "-F", "-t", "ext4"]
        if "-b" not in options:
            words += ["-b", "4096"]
        if fill:
            words += ["-E", "nodiscard"]
        run(*words, *options, self.device, *([size] if size else []))
        return self

    def mount(self, options: str = "", fstype: str = FSTYPE) -> Filesystem:
        """Mount it, by default with the file system under test."""
        run("mount", "-t", fstype, "-o", options or "defaults", self.device, self.path)
        return self

    def mount_error(self, options: str = "", fstype: str = FSTYPE) -> tuple[int, str]:
        """The errno of a mount that has to fail, and what it said.

        mount(2) itself, since mount(8) hides the errno.
        """
        flags = 0
        words = [word for word in options.split(",") if word]
        if "ro" in words:
            words.remove("ro")
            flags |= 1
        code = _libc.mount(
            self.device.encode(), str(self.path).encode(), fstype.encode(),
            ctypes.c_ulong(flags), ",".join(words).encode(),
        )
        if code == 0:
            run("umount", self.path)
            raise Wrong(f"mounting {self.device} ({options or 'no options'}) was not refused")
        number = ctypes.get_errno()
        return number, os.strerror(number)

    def umount(self) -> None:
        """Unmount it."""
        run("umount", self.path)

    @contextlib.contextmanager
    def mounted(self, options: str = "", fstype: str = FSTYPE) -> Iterator[Path]:
        """Mounted for the block, unmounted after it; if the block fails, too."""
        self.mount(options, fstype)
        try:
            yield self.path
        except BaseException:
            end_children()
            exit_status("umount", self.path)
            raise
        self.umount()

    def reference(self, options: str = "ro") -> contextlib.AbstractContextManager[Path]:
        """Mounted with the kernel's own ext4."""
        return self.mounted(options, "ext4")

    def mount_options(self) -> set[str]:
        """What /proc/mounts shows for it."""
        with open("/proc/self/mounts", encoding="utf-8") as mounts:
            for line in mounts:
                _, point, _, options, *_ = line.split(" ")
                if point == str(self.path):
                    return set(options.split(","))
        raise Wrong(f"{self.path} is not mounted")

    def fsck(self) -> None:
        """e2fsck has to find nothing to mend."""
        status, output = exit_status("e2fsck", "-fn", self.device)
        if status != 0:
            raise Wrong(f"e2fsck -fn {self.device}: exit status {status}\n{output}")

    def counters(self) -> dict[str, int]:
        """Numbers that the file system shows in mountstats (conversions, deferred …)."""
        with open("/proc/self/mountstats", encoding="utf-8") as stats:
            for line in stats:
                if f" mounted on {self.path} " in line:
                    return {name: int(n) for name, n in re.findall(r"\b([a-z_]+)=(\d+)\b", line)}
        return {}

    def dump(self, what: str) -> str:
        """A request to debugfs, on the unmounted device; its output."""
        return run("debugfs", "-R", what, self.device)

    def debugfs(self, *requests: str) -> str:
        """Requests to debugfs that change the unmounted device."""
        script = Path("/tmp/debugfs-requests")
        script.write_text("\n".join(requests) + "\n", encoding="utf-8")
        return run("debugfs", "-w", "-f", script, self.device)

    def super_block(self) -> dict[str, str]:
        """What dumpe2fs -h says."""
        lines = run("dumpe2fs", "-h", self.device).splitlines()
        fields = (line.partition(":") for line in lines if ":" in line)
        return {name.strip(): value.strip() for name, _, value in fields}


def prefix(filesystem: Filesystem) -> str:
    """How a kernel message about this file system begins."""
    if OURS:
        return f"rext4 ({filesystem.name}):"
    return filesystem.name


def journal_transaction(device: str) -> int:
    """The number of transactions that the journal of a mounted file system committed.

    They are counted after those who waited for the commit were told of it, so the journal's thread has to
    have nothing to do any more.
    """
    name = os.path.basename(os.path.realpath(device))
    for info in Path("/proc/fs/jbd2").glob(f"{name}-*/info"):
        thread = _kernel_thread(f"jbd2/{info.parent.name}")
        # While it commits it may wait for something too, but not so that a signal would wake it.
        wait_until("the journal's thread sleeps", lambda: task_state(thread) == "S")
        match = re.match(r"(\d+) transactions", info.read_text(encoding="ascii"))
        if match:
            return int(match[1])
    raise Wrong(f"no journal of {device} in /proc/fs/jbd2")


def _kernel_thread(name: str) -> Path:
    """Where the state of a thread of the kernel is to be read."""
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if (process / "comm").read_text(encoding="utf-8").strip() == name:
                return process / "stat"
    raise Wrong(f"the kernel has no thread {name}")
