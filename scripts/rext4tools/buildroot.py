# SPDX-License-Identifier: GPL-2.0
"""The build root: one Debian trixie with all the tools, on every host.

It is a plain directory owned by the user who made it; commands run in it
through bubblewrap, see `command()`.
"""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import Iterable

from . import cache
from .base import TOP, Failure, run_logged, say

SUITE = "trixie"
# Raise it when the way of making it changes, not only the list of packages.
RECIPE = "2"
PACKAGES = TOP / "scripts" / "packages"

# mmdebstrap writes the sources of the suite; backports are beside its updates.
BACKPORTS_HOOK = (
    'mkdir -p "$1/etc/apt/sources.list.d" && '
    f"sed -n 's/{SUITE}-updates/{SUITE}-backports/p' \"$1/etc/apt/sources.list\" "
    '> "$1/etc/apt/sources.list.d/backports.list" && '
    'test -s "$1/etc/apt/sources.list.d/backports.list"'
)


def package_list(name: str) -> list[str]:
    """Package names from scripts/packages/NAME; `#` starts a comment."""
    text = (PACKAGES / name).read_text(encoding="utf-8")
    lines = (line.split("#")[0].strip() for line in text.splitlines())
    return [word for line in lines for word in line.split()]


def mmdebstrap(packages: Iterable[str], options: Iterable[str]) -> list[str]:
    """The command that writes a Debian system with these packages as a tar to stdout."""
    return [
        "mmdebstrap",
        "--variant=apt",
        f"--include={','.join(packages)}",
        "--dpkgopt=path-exclude=/usr/share/doc/*",
        "--dpkgopt=path-exclude=/usr/share/man/*",
        "--dpkgopt=path-exclude=/usr/share/locale/*",
        "--aptopt=Acquire::Retries \"5\"",
        *options,
        SUITE,
        "-",
    ]


def _make(target: Path) -> None:
    log = cache.log("build-root")
    archive = target.with_name(target.name + ".tar")
    try:
        with open(archive, "wb") as tar:
            run_logged(
                f"making the build root (Debian {SUITE} with the tools)",
                mmdebstrap(
                    package_list("build-root"),
                    [f"--setup-hook={BACKPORTS_HOOK}", "--skip=cleanup/apt"],
                ),
                log,
                stdout=tar,
            )
        # Extracted as the user who will use it: an unprivileged user could
        # not otherwise read or delete what mmdebstrap's user ids own.
        run_logged(
            "unpacking the build root",
            ["tar", "-C", target, "-xf", archive, "--no-same-owner", "--exclude=./dev/*"],
            log,
        )
    finally:
        archive.unlink(missing_ok=True)
    # The host's files are put over these; they have to be there, as files.
    for name in ("etc/resolv.conf", "etc/hosts"):
        (target / name).unlink(missing_ok=True)
        (target / name).touch()


def path() -> Path:
    """The build root, made when it is not there."""
    digest = cache.key(RECIPE, SUITE, *package_list("build-root"))
    return cache.entry("build-root", digest, 6, _make)


def command(
    words: Iterable[str | Path],
    *,
    binds: Iterable[Path] = (),
    chdir: Path | None = None,
    setenv: dict[str, str] | None = None,
    apt: bool = False,
) -> list[str]:
    """The words of a bubblewrap command that runs `words` in the build root.

    The checkout, the cache and `binds` are at their own paths, so that messages
    name files as the host does; /tmp is empty. The build root itself is read-only,
    but for apt's state with `apt`.
    """
    base = path()
    store = cache.root()
    home = store / "home"
    home.mkdir(parents=True, exist_ok=True)
    bwrap: list[str] = ["bwrap", "--die-with-parent", "--unshare-pid"]
    if os.geteuid() != 0:
        bwrap += ["--unshare-user", "--uid", "0", "--gid", "0"]
    for name in ("usr", "etc", "opt"):
        bwrap += ["--ro-bind", str(base / name), f"/{name}"]
    bwrap += ["--bind" if apt else "--ro-bind", str(base / "var"), "/var"]
    for name in ("bin", "sbin", "lib", "lib64"):
        bwrap += ["--symlink", f"usr/{name}", f"/{name}"]
    bwrap += ["--proc", "/proc", "--dev", "/dev", "--ro-bind", "/sys", "/sys"]
    bwrap += ["--dev-bind-try", "/dev/kvm", "/dev/kvm"]
    # Name service and trust anchors are the host's.
    for name in ("/etc/resolv.conf", "/etc/hosts", "/etc/ssl/certs/ca-certificates.crt"):
        if Path(name).exists() and (base / name[1:]).exists():
            bwrap += ["--ro-bind", os.path.realpath(name), name]
    # Of its own: process numbers start anew in each sandbox, and programs
    # name their temporary files after them.
    bwrap += ["--tmpfs", "/tmp"]
    for bound in (store, TOP, *binds):
        bwrap += ["--bind", str(bound), str(bound)]
    keep = {
        name: value
        for name, value in os.environ.items()
        if name in ("TERM", "V", "MAKEFLAGS") or name.lower().endswith("_proxy")
    }
    env = {
        "PATH": "/usr/sbin:/usr/bin:/sbin:/bin",
        "HOME": str(home),
        "LANG": "C.UTF-8",
        "CARGO_HOME": str(store / "cargo"),
        "SSL_CERT_FILE": "/etc/ssl/certs/ca-certificates.crt",
        **keep,
        **(setenv or {}),
    }
    bwrap.append("--clearenv")
    for name, value in env.items():
        bwrap += ["--setenv", name, value]
    bwrap += ["--chdir", str(chdir or TOP), "--"]
    return bwrap + [str(word) for word in words]


def output(words: Iterable[str | Path], *, apt: bool = False) -> str:
    """Run a short command in the build root and return what it prints."""
    done = subprocess.run(
        command(words, apt=apt), stdout=subprocess.PIPE, stderr=subprocess.PIPE, check=False, text=True
    )
    if done.returncode != 0:
        shown = " ".join(str(word) for word in words)
        raise Failure(f"{shown}: exit status {done.returncode}\n{done.stderr[-2000:]}")
    return done.stdout
