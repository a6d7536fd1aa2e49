# SPDX-License-Identifier: GPL-2.0
"""A disk for guests with what it takes to build something: a Debian system with compilers, and a source package."""

from __future__ import annotations

from pathlib import Path

from . import buildroot, cache
from .base import run_logged

#: Raise it when the way of making the image changes.
RECIPE = "1"
#: The source package, in /source of the image.
SOURCE = "e2fsprogs"

# The sources of the build root's system, asked for without a change of what its apt knows.
_FETCH = """
set -eu
top=$PWD
sed -n 's/^deb /deb-src /p' /etc/apt/sources.list > sources.list
test -s sources.list
mkdir -p lists/partial source
apt() {
    apt-get -o APT::Sandbox::User=root -o Acquire::Retries=5 -o Dir::State::Lists="$top/lists" \\
        -o Dir::Etc::SourceList="$top/sources.list" -o Dir::Etc::SourceParts=- "$@"
}
apt update
cd source
# What upstream has, what Debian changes in it. (Not the upstream signature, which nobody would look at.)
apt source --tar-only "$1"
apt source --diff-only "$1"
"""


def _make(target: Path) -> None:
    log = cache.log("compilers")
    source, archive = target / "source", target / "root.tar"
    run_logged(
        f"downloading the source package of {SOURCE} (10 MB)",
        buildroot.command(["sh", "-c", _FETCH, "sh", SOURCE], chdir=target, apt=True),
        log,
    )
    with open(archive, "wb") as tar:
        run_logged(
            f"making a system with compilers (Debian {buildroot.SUITE})",
            buildroot.mmdebstrap(
                buildroot.package_list("compilers"),
                ['--customize-hook=mkdir "$1/build"', f"--customize-hook=copy-in {source} /"],
            ),
            log,
            stdout=tar,
        )
    with open(archive, "rb") as tar:
        run_logged(
            "packing the system with compilers",
            buildroot.command(["sqfstar", "-comp", "lz4", "-quiet", "-no-progress", target / "root.squashfs"]),
            log,
            stdin=tar,
        )
    for rest in ("source", "lists", "sources.list", "root.tar"):
        cache.remove(target / rest)


def image() -> Path:
    """The squashfs, made when it is not there."""
    digest = cache.key(RECIPE, buildroot.SUITE, SOURCE, *buildroot.package_list("compilers"))
    return cache.entry("compilers", digest, 3, _make) / "root.squashfs"
