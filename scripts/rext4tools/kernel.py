# SPDX-License-Identifier: GPL-2.0
"""Kernels: which one is taken, its packages, and the trees modules build against.

Flavours: `stock` is Debian's own binary, with a tree prepared so that modules
built in it load into that binary; `debug` and `kasan` are compiled from the
same source with configurations of our own (scripts/kernels/).
"""

from __future__ import annotations

import dataclasses
import json
import re
import shutil
from pathlib import Path

from . import buildroot, cache
from .base import TOP, Failure, cpus, run_logged, say

#: Series that the project supports, newest first.
SERIES = ("7.2",)
#: Raise it when the way of making a tree changes.
RECIPE = "2"
CONFIGS = TOP / "scripts" / "kernels"


@dataclasses.dataclass(frozen=True)
class Choice:
    """One version of Debian's kernel packages."""

    version: str  # of the packages, 7.2.12-1~bpo13+1
    series: str  # 7.2
    release: str  # uname -r of the stock kernel, 7.2.12+deb13-amd64
    unsigned: bool = False  # the binary comes without a signature, in a package named so

    @property
    def packages(self) -> list[str]:
        """The packages that are downloaded, with their version."""
        names = [
            f"linux-source-{self.series}",
            f"linux-headers-{self.release}",
            f"linux-binary-{'unsigned-' if self.unsigned else ''}{self.release}",
            f"linux-modules-{self.release}",
        ]
        return [f"{name}={self.version}" for name in names]


@dataclasses.dataclass(frozen=True)
class Kernel:
    """A kernel that boots and that modules can be built against."""

    flavour: str
    choice: Choice
    image: Path  # bzImage
    tree: Path  # for make -C
    modules: Path  # has lib/modules
    llvm: bool  # built with clang

    @property
    def config(self) -> str:
        """The text of its .config."""
        return (self.tree / ".config").read_text(encoding="utf-8")

    @property
    def release(self) -> str:
        """What `uname -r` says in it."""
        text = (self.tree / "include/config/kernel.release").read_text(encoding="utf-8")
        return text.strip()


def _version_order(version: str) -> list[int]:
    return [int(number) for number in re.findall(r"\d+", version)]


def _newest() -> Choice:
    """Ask the archive for the newest kernel of a supported series."""
    log = cache.log("apt-update")
    run_logged(
        "asking the Debian archive for kernels",
        buildroot.command(
            ["apt-get", "-o", "APT::Sandbox::User=root", "-o", "Acquire::Retries=5", "update"],
            apt=True,
        ),
        log,
    )
    found: dict[str, list[Choice]] = {}
    listing = buildroot.output(
        ["sh", "-c", "apt-cache dumpavail | grep -E '^(Package|Version):'"], apt=True
    )
    name = ""
    sources: set[tuple[str, str]] = set()
    binaries: dict[tuple[str, str], bool] = {}
    headers: list[tuple[str, str, str]] = []
    for line in listing.splitlines():
        field, value = line.split(": ", 1)
        if field == "Package":
            name = value
        elif match := re.fullmatch(r"linux-source-(\d+\.\d+)", name):
            sources.add((match[1], value))
        elif match := re.fullmatch(r"linux-binary-(unsigned-)?(\d.*-amd64)", name):
            key = (match[2], value)
            # A signed one is better known to work.
            binaries[key] = bool(match[1]) and binaries.get(key, True)
        elif match := re.fullmatch(r"linux-headers-((\d+\.\d+)[0-9.]*\+deb\d+[0-9.]*-amd64)", name):
            headers.append((match[2], value, match[1]))
    for series, version, release in headers:
        unsigned = binaries.get((release, version))
        if (series, version) in sources and unsigned is not None:
            found.setdefault(series, []).append(Choice(version, series, release, unsigned))
    for series in SERIES:
        if series in found:
            break
    else:
        newer = [s for s in found if _version_order(s) > _version_order(SERIES[0])]
        if not newer:
            raise Failure(
                f"the archive has no kernel of a series that rext4 supports ({', '.join(SERIES)}); "
                f"it has {', '.join(sorted(found)) or 'none'}. Build against a tree of your own with "
                "`make module KDIR=…`."
            )
        series = min(newer, key=_version_order)
        say(f"warning: Linux {', '.join(SERIES)} is gone from the archive; trying {series}, which rext4 may not build against")
    return max(found[series], key=lambda choice: _version_order(choice.version))


def _choice_file() -> Path:
    return cache.root() / "kernel-choice.json"


def choice(*, ask: bool = False) -> Choice:
    """The kernel that this cache uses; asks the archive once, or with `ask`."""
    with cache.lock("kernel-choice"):
        file = _choice_file()
        if not ask and file.exists():
            chosen = Choice(**json.loads(file.read_text(encoding="utf-8")))
            # Without its packages it is worth nothing: the archive drops versions.
            if (_packages_path(chosen) / ".complete").exists():
                return chosen
        chosen = _newest()
        say(f"kernel: Linux {chosen.version} (stock kernel {chosen.release})")
        packages(chosen)
        temporary = file.with_suffix(".new")
        temporary.write_text(json.dumps(dataclasses.asdict(chosen)), encoding="utf-8")
        temporary.rename(file)
        return chosen


def _packages_digest(chosen: Choice) -> str:
    return cache.key(RECIPE, *chosen.packages)


def _packages_path(chosen: Choice) -> Path:
    return cache.root() / f"kernel-{chosen.series}-{_packages_digest(chosen)}"


def packages(chosen: Choice) -> Path:
    """Source, configuration, binary and modules of one version, unpacked.

    Has source/, headers/, binary/ and modules/ (with lib/modules).
    """

    def make(target: Path) -> None:
        debs = target / "debs"
        debs.mkdir()
        log = cache.log("kernel-packages")
        run_logged(
            f"downloading Linux {chosen.version} (source, headers, binary; 250 MB)",
            buildroot.command(
                ["apt-get", "-o", "APT::Sandbox::User=root", "-o", "Acquire::Retries=5",
                 "download", *chosen.packages],
                chdir=debs,
                apt=True,
            ),
            log,
        )
        script = f"""
            set -eu
            for part in source headers binary modules; do
                dpkg-deb -x debs/linux-$part-*.deb $part
            done
            tar -C source -xf source/usr/src/linux-source-{chosen.series}.tar.xz
            rm -r debs source/usr
            mv source/linux-source-{chosen.series} tree
            rm -rf source; mv tree source
            # Since the merge of / and /usr files may be in either place.
            test -d modules/lib || mv modules/usr/lib modules/lib
            for file in binary/boot/vmlinuz-* binary/usr/lib/modules/*/vmlinuz*; do
                if test -e "$file"; then cp "$file" binary/vmlinuz; fi
            done
            depmod -b modules {chosen.release}
        """
        run_logged(
            "unpacking the kernel packages",
            buildroot.command(["sh", "-c", script], chdir=target),
            log,
        )

    return cache.entry(f"kernel-{chosen.series}", _packages_digest(chosen), 5, make)


def _stock(chosen: Choice) -> Kernel:
    base = packages(chosen)
    build_root = buildroot.path()

    def make(target: Path) -> None:
        headers = next((base / "headers/usr/src").glob("linux-headers-*"))
        shutil.copy(headers / ".config", target / ".config")
        shutil.copy(headers / "Module.symvers", target / "Module.symvers")
        make_words = ["make", "-C", base / "source", f"O={target}", f"KERNELRELEASE={chosen.release}",
                      f"-j{cpus()}"]
        log = cache.log("stock-tree")
        run_logged(
            "preparing the stock kernel's tree for modules",
            buildroot.command(
                ["sh", "-c", '"$@" olddefconfig && "$@" modules_prepare', "sh", *make_words]
            ),
            log,
        )
        _same_config(headers / ".config", target / ".config")

    digest = cache.key(RECIPE, _packages_digest(chosen), build_root.name)
    tree = cache.entry("stock", digest, 1, make)
    image = base / "binary" / "vmlinuz"
    return Kernel("stock", chosen, image, tree, base / "modules", llvm=False)


# How the compiler is called is no part of what it makes.
_FREE_SYMBOLS = {"CONFIG_CC_VERSION_TEXT"}


def _symbols(config: Path) -> set[str]:
    lines = config.read_text(encoding="utf-8").splitlines()
    return {line for line in lines if line.startswith("CONFIG_")}


def _same_config(theirs: Path, ours: Path) -> None:
    """Fail unless two configurations agree.

    The configuration depends on the tools that are there, and structures on
    the configuration: a module built with another one would not load, or
    worse, would load.
    """
    changed = {line.split("=")[0] for line in _symbols(theirs) ^ _symbols(ours)} - _FREE_SYMBOLS
    if changed:
        raise Failure(
            "the build root's tools change the configuration of the stock kernel: "
            f"{', '.join(sorted(changed)[:12])}. A package is missing in {buildroot.PACKAGES / 'build-root'}."
        )


def get(flavour: str, width: int | None = None) -> Kernel:
    """The kernel of a flavour; when it is not there it is made, by so many processes (default: all)."""
    chosen = choice()
    if flavour == "stock":
        return _stock(chosen)
    from . import ownkernel

    return ownkernel.get(flavour, chosen, width or cpus())
