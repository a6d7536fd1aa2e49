# SPDX-License-Identifier: GPL-2.0
"""The two devices that jobs run on, both in memory, and a file system on one of them."""

from __future__ import annotations

import contextlib
import mmap
import os
import subprocess
from pathlib import Path
from typing import Iterator

from rext4test.filesystem import Filesystem, journal_transaction

from .jobs import MIB, PLAIN

MOUNTPOINT = Path("/mnt/bench")
#: Completes each request after 100 µs, as a fast disk does.
DELAYED = "/dev/nullb0"
#: Completes at once: for what is limited by processors.
RAM = "/dev/ram0"
MIB_OF_DEVICE = 1024
COMPLETION_NS = 100_000

# irqmode 2: completion by a timer. queue_mode 2: blk-mq. The queues are deep enough for all jobs.
_SETTINGS = {
    "size": MIB_OF_DEVICE, "blocksize": 512, "memory_backed": 1, "queue_mode": 2, "irqmode": 2,
    "completion_nsec": COMPLETION_NS, "submit_queues": os.cpu_count(), "hw_queue_depth": 256, "power": 1,
}


def run(*words: str | Path) -> str:
    """Run a command that must not fail; its output."""
    done = subprocess.run([str(word) for word in words], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, check=False, text=True, errors="replace")
    if done.returncode:
        shown = " ".join(str(word) for word in words)
        raise RuntimeError(f"`{shown}` ended with {done.returncode}: {done.stdout.strip()}")
    return done.stdout


@contextlib.contextmanager
def aligned(length: int) -> Iterator[memoryview]:
    """Memory for direct I/O, not all zeros."""
    with mmap.mmap(-1, length) as pages:
        pages.write(b"\x5a" * length)
        with memoryview(pages) as view:
            yield view


def start() -> None:
    """Make both devices."""
    configfs = Path("/sys/kernel/config")
    run("modprobe", "null_blk", "nr_devices=0")
    if not os.path.ismount(configfs):
        run("mount", "-t", "configfs", "configfs", configfs)
    device = configfs / "nullb" / Path(DELAYED).name
    device.mkdir()
    for name, value in _SETTINGS.items():
        (device / name).write_text(f"{value}\n", encoding="ascii")
    run("modprobe", "brd", "rd_nr=1", f"rd_size={MIB_OF_DEVICE << 10}")
    # A device in memory allocates a page when a block is first written, which no disk does. Jobs that
    # write new blocks would measure that.
    for name in (DELAYED, RAM):
        fill(name, MIB_OF_DEVICE * MIB)
    MOUNTPOINT.mkdir(parents=True, exist_ok=True)


def fill(path: str | Path, length: int) -> None:
    """Write it directly, in order."""
    chunk = MIB
    flags = os.O_WRONLY | os.O_DIRECT | (0 if str(path).startswith("/dev/") else os.O_CREAT)
    file = os.open(path, flags, 0o644)
    try:
        with aligned(chunk) as memory:
            at = 0
            while at < length:
                at += os.pwrite(file, memory[: min(chunk, length - at)], at)
        os.fsync(file)
    finally:
        os.close(file)


def make(device: str, variant: str) -> None:
    """An empty file system of 4 KiB blocks, all of whose tables are written.

    Nothing is discarded: the device keeps its memory.
    """
    words = ["mke2fs", "-q", "-F", "-t", "ext4", "-b", "4096", "-E",
             "nodiscard,lazy_itable_init=0,lazy_journal_init=0"]
    if variant == PLAIN:
        words += ["-O", "^metadata_csum,^metadata_csum_seed"]
    run(*words, device)


def forget() -> None:
    """Empty the caches."""
    os.sync()
    Path("/proc/sys/vm/drop_caches").write_text("3\n", encoding="ascii")


@contextlib.contextmanager
def mounted(device: str, fstype: str) -> Iterator[Path]:
    """Mounted for the block, with default options but `noatime`."""
    run("mount", "-t", fstype, "-o", "noatime", device, MOUNTPOINT)
    try:
        yield MOUNTPOINT
    finally:
        run("umount", MOUNTPOINT)


def counters(device: str) -> dict[str, int]:
    """What was counted since the mount: transactions, and in rext4 its own counters."""
    filesystem = Filesystem(device, MOUNTPOINT)
    return {"transactions": journal_transaction(device), **filesystem.counters()}


def leave() -> None:
    """Unmount what a failed run may have left."""
    if os.path.ismount(MOUNTPOINT):
        run("umount", MOUNTPOINT)
