# SPDX-License-Identifier: GPL-2.0
"""What a guest boots into: the root image and the initramfs.

The root is a squashfs, so that it needs no ext4 of either kind; the initramfs
puts a tmpfs over it and starts scripts/guest-files/init.
"""

from __future__ import annotations

import lzma
from pathlib import Path

from . import buildroot, cache
from .base import TOP, Failure, run_logged
from .kernel import Kernel

#: Raise it when the way of making the image changes.
RECIPE = "2"
FILES = TOP / "scripts" / "guest-files"

# What the initramfs and the guest's init use, where the kernel has it as modules.
BOOT_MODULES = (
    "virtio_pci",
    "virtio_blk",
    "virtio_console",
    "9pnet_virtio",
    "9p",
    "squashfs",
    "overlay",
)

# Users that xfstests expects.
CUSTOMIZE = """
set -eu
for user in fsgqa 123456-fsgqa fsgqa2; do
    chroot "$1" useradd --badname --create-home --shell /bin/bash "$user"
done
echo rext4 > "$1/etc/hostname"
echo "127.0.0.1 localhost rext4" > "$1/etc/hosts"
ln -sf /proc/self/mounts "$1/etc/mtab"
mkdir -p "$1/rext4" "$1/share" "$1/job" "$1/lib/modules" "$1/mnt"
rm -rf "$1/var/cache/apt" "$1/var/lib/apt/lists"
"""


def _make_root(target: Path) -> None:
    log = cache.log("guest-root")
    archive = target / "root.tar"
    with open(archive, "wb") as tar:
        run_logged(
            "making the guest's root (Debian trixie with the test tools)",
            buildroot.mmdebstrap(
                buildroot.package_list("guest"), [f"--customize-hook={CUSTOMIZE}"]
            ),
            log,
            stdout=tar,
        )
    with open(archive, "rb") as tar:
        run_logged(
            "packing the guest's root",
            buildroot.command(["sqfstar", "-comp", "lz4", "-quiet", "-no-progress",
                               target / "root.squashfs"]),
            log,
            stdin=tar,
        )
    archive.unlink()


def root() -> Path:
    """The squashfs with the guest's root."""
    digest = cache.key(RECIPE, CUSTOMIZE, *buildroot.package_list("guest"))
    return cache.entry("guest-root", digest, 3, _make_root) / "root.squashfs"


class Cpio:
    """An archive in the `newc` format, as the kernel wants an initramfs."""

    def __init__(self) -> None:
        self._data = bytearray()
        self._inode = 0

    def add(self, name: str, mode: int, data: bytes = b"") -> None:
        """Add a file; `mode` has the type in it, as in st_mode."""
        self._inode += 1
        raw = name.encode() + b"\0"
        fields = (self._inode, mode, 0, 0, 1, 0, len(data), 0, 0, 0, 0, len(raw), 0)
        self._data += b"070701" + b"".join(b"%08X" % field for field in fields) + raw
        self._pad()
        self._data += data
        self._pad()

    def _pad(self) -> None:
        self._data += b"\0" * (-len(self._data) % 4)

    def finish(self) -> bytes:
        """The bytes of the whole archive."""
        self.add("TRAILER!!!", 0)
        return bytes(self._data)


def module_order(kernel: Kernel, wanted: tuple[str, ...]) -> list[Path]:
    """Files of the wanted modules and what they depend on, in loading order."""
    base = kernel.modules / "lib/modules" / kernel.release
    depends: dict[str, list[str]] = {}
    files: dict[str, str] = {}
    for line in (base / "modules.dep").read_text(encoding="utf-8").splitlines():
        file, needs = line.split(":")
        depends[file] = needs.split()
        files[Path(file).name.split(".ko")[0].replace("-", "_")] = file
    order: list[str] = []

    def visit(file: str) -> None:
        for needed in depends[file]:
            visit(needed)
        if file not in order:
            order.append(file)

    for name in wanted:
        # One that is not there is built in.
        if name.replace("-", "_") in files:
            visit(files[name.replace("-", "_")])
    return [base / file for file in order]


def _read_module(path: Path) -> bytes:
    data = path.read_bytes()
    if path.suffix == ".xz":
        return lzma.decompress(data)
    if path.suffix == ".ko":
        return data
    raise Failure(f"{path}: unknown compression of a kernel module")


def initramfs(kernel: Kernel) -> Path:
    """The initramfs for a kernel."""
    own = [(FILES / name).read_bytes() for name in ("initramfs-init", "init")]
    digest = cache.key(RECIPE, str(kernel.tree), repr(BOOT_MODULES), *own)

    def make(target: Path) -> None:
        cpio = Cpio()
        for name in ("bin", "dev", "proc", "sys", "modules", "image", "layer", "root"):
            cpio.add(name, 0o040755)
        cpio.add("bin/busybox", 0o100755, (buildroot.path() / "usr/bin/busybox").read_bytes())
        cpio.add("init", 0o100755, own[0])
        cpio.add("guest-init", 0o100755, own[1])
        for number, module in enumerate(module_order(kernel, BOOT_MODULES)):
            cpio.add(f"modules/{number:03}-{module.name.split('.ko')[0]}.ko", 0o100644,
                     _read_module(module))
        (target / "initramfs").write_bytes(cpio.finish())

    return cache.entry(f"initramfs-{kernel.flavour}", digest, 0.2, make) / "initramfs"
