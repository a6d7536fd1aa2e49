# SPDX-License-Identifier: GPL-2.0
"""QEMU: its command line, and whether it runs guests with KVM here."""

from __future__ import annotations

import dataclasses
import functools
import os
import re
import subprocess
import tempfile
import time
from pathlib import Path

from . import buildroot, compilers
from .base import BUILD, Failure, say
from .kernel import Kernel

SIZE = re.compile(r"(\d+)([KMGT]?)")
#: The processor that is emulated.
TCG_CPU = ["-cpu", "max,la57=off,erms=off,fsrm=off"]
#: Images by name, made when they are asked for; a guest can only read them.
IMAGES = {"compilers": compilers.image}


@dataclasses.dataclass(frozen=True)
class Disk:
    """One disk of a guest: a raw file that is there, scratch of a size, or an image."""

    file: Path | None
    bytes: int
    block_size: int  # logical and physical, in bytes
    read_only: bool = False  # other guests may read it at the same time

    @classmethod
    def parse(cls, text: str) -> "Disk":
        """`SIZE`, `FILE` or the name of an image, then `,lbs=512|4096` if wanted."""
        name, *options = text.split(",")
        block_size = 512
        for option in options:
            if option not in ("lbs=512", "lbs=4096"):
                raise Failure(f"--disk {text}: unknown option `{option}`; there is lbs=512 and lbs=4096")
            block_size = int(option[4:])
        if match := SIZE.fullmatch(name):
            size = int(match[1]) << (" KMGT".index(match[2]) * 10 if match[2] else 0)
            if size == 0 or size % 4096:
                raise Failure(f"--disk {text}: a size is a multiple of 4K (as 512M)")
            return cls(None, size, block_size)
        file = IMAGES[name]() if name in IMAGES else Path(name).absolute()
        if not file.exists():
            raise Failure(f"--disk {text}: neither a size (as 512M) nor a file that is there")
        return cls(file, file.stat().st_size, block_size, name in IMAGES)


def _kvm_starts(kernel: Kernel) -> bool:
    """Start a kernel with KVM: /dev/kvm may be there and still not work."""
    with tempfile.TemporaryDirectory(prefix="rext4-kvm-", dir="/tmp") as name:
        log = Path(name) / "log"
        words = [
            "qemu-system-x86_64", "-accel", "kvm", "-cpu", "host", "-m", "512", "-nodefaults",
            "-no-user-config", "-display", "none", "-no-reboot", "-kernel", str(kernel.image),
            "-append", "console=ttyS0 panic=-1", "-serial", f"file:{log}",
        ]
        with subprocess.Popen(
            buildroot.command(words, binds=[Path(name)]), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        ) as process:
            try:
                deadline = time.monotonic() + 8
                while time.monotonic() < deadline:
                    if log.exists() and b"Linux version" in log.read_bytes():
                        return True
                    if process.poll() is not None:
                        return False
                    time.sleep(0.1)
                return False
            finally:
                process.kill()


@functools.cache
def accelerator(kernel: Kernel) -> list[str]:
    """QEMU's words for the accelerator; found out once per boot of the host."""
    boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    known = BUILD / "accelerator"
    state = known.read_text(encoding="ascii").split() if known.exists() else []
    wanted = [boot, str(os.geteuid())]
    if state[:2] != wanted:
        usable = os.access("/dev/kvm", os.R_OK | os.W_OK) and _kvm_starts(kernel)
        state = [*wanted, "kvm" if usable else "tcg"]
        BUILD.mkdir(exist_ok=True)
        known.write_text(" ".join(state) + "\n", encoding="ascii")
    if state[2] == "kvm":
        say("guest runs with KVM")
        return ["-accel", "kvm", "-cpu", "host"]
    if Path("/dev/kvm").exists() and not os.access("/dev/kvm", os.R_OK | os.W_OK):
        say("guest runs with TCG, slowly: no permission for /dev/kvm (`adduser $USER kvm`)")
    else:
        say("guest runs with TCG, slowly: no guest starts with KVM here")
    return ["-accel", "tcg,thread=multi,tb-size=512", *TCG_CPU]


#: QEMU's words for a guest whose clock counts instructions, a nanosecond each. Where all processors wait
#: it goes on to the next timer at once. What the host does besides does not show in it.
COUNTED = ["-accel", "tcg,thread=single,tb-size=512", *TCG_CPU, "-icount", "shift=0,sleep=off"]


def disk_words(number: int, disk: Disk, file: Path) -> list[str]:
    """A virtio disk; flushes reach the host's disk, discards punch holes."""
    return [
        "-drive",
        f"file={str(file).replace(',', ',,')},format=raw,if=none,id=disk{number},"
        "cache=writeback,discard=unmap,detect-zeroes=off"
        f"{',readonly=on,file.locking=off' if disk.read_only else ''}",
        "-device",
        f"virtio-blk-pci,drive=disk{number},serial=rext4-{number},"
        f"logical_block_size={disk.block_size},physical_block_size={disk.block_size}",
    ]


def share_words(tag: str, directory: Path, *, readonly: bool) -> list[str]:
    """A 9p share of a directory of the host."""
    return [
        "-virtfs",
        f"local,path={str(directory).replace(',', ',,')},mount_tag={tag},security_model=none,"
        f"multidevs=remap{',readonly=on' if readonly else ''}",
    ]
