# SPDX-License-Identifier: GPL-2.0
"""Building rext4.ko against a kernel tree, with Kbuild."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Iterable

from . import buildroot, cache, kernel
from .base import BUILD, TOP, Failure, cpus, say


def _make_words(tree: Path, output: Path, config: str, extra: Iterable[str]) -> list[str]:
    words = ["make", "--no-print-directory", "-C", str(tree), f"M={TOP}", f"MO={output}"]
    if "CONFIG_CC_IS_CLANG=y" in config:
        words.append("LLVM=1")
    return [*words, f"-j{cpus()}", *extra]


class BuildFailure(Failure):
    """make failed; the text is what it said, if it was to be quiet."""


def _run(words: list[str], what: str, quiet: bool) -> None:
    # The messages are the compiler's, made for a person: they go straight on.
    done = subprocess.run(
        words,
        stdout=subprocess.PIPE if quiet else sys.stderr,
        stderr=subprocess.STDOUT if quiet else None,
        check=False,
        text=True,
        errors="replace",
    )
    if done.returncode != 0:
        raise BuildFailure(done.stdout or f"{what} failed; the messages are above")


def build(
    flavour: str, extra: Iterable[str] = (), output: Path | None = None, *, quiet: bool = False
) -> Path:
    """Build the module for one of our kernels; returns the path of rext4.ko.

    `output` is where the objects go, if not to the flavour's own directory.
    """
    target = kernel.get(flavour)
    output = output or BUILD / flavour
    output.mkdir(parents=True, exist_ok=True)
    with cache.lock(f"module-{cache.key(str(output))}"):
        words = _make_words(target.tree, output, target.config, extra)
        _run(buildroot.command(words), f"building the module for the {flavour} kernel", quiet)
    return output / "rext4.ko"


def _printed(words: list[str]) -> str:
    """What a command prints, in one line; nothing if it can't be run."""
    try:
        done = subprocess.run(words, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=False, text=True)
    except FileNotFoundError:
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""


def _foreign_command(tree: Path, config: str, words: list[str]) -> list[str]:
    """`words`, to be run with the very rustc that the kernel in `tree` was compiled with.

    Rust has no stable format for compiled crates: another version can't read the kernel's.
    """
    match = re.search(r'^CONFIG_RUSTC_VERSION_TEXT="(.*)"$', config, re.M)
    wanted = match[1] if match else ""
    here = _printed(["rustc", "--version"])
    if wanted == here and shutil.which("bindgen"):
        say(f"building against {tree} with this machine's tools")
        return words
    if not shutil.which("bwrap"):
        raise Failure(
            f"the kernel in {tree} was compiled with `{wanted}`; this machine has `{here or 'no rustc'}`"
            f"{'' if shutil.which('bindgen') else ' and no bindgen'}. Install what is missing, or run "
            "scripts/setup-host for the tools that rext4 brings."
        )
    ours = _printed(buildroot.command(["rustc", "--version"]))
    if wanted != ours:
        raise Failure(
            f"the kernel in {tree} was compiled with `{wanted}`; this machine has `{here or 'no rustc'}`"
            f"{'' if shutil.which('bindgen') else ' and no bindgen'}, the build root `{ours}`. Install that "
            "rustc and bindgen, or compile the kernel with one of these."
        )
    say(f"building against {tree} with the tools of the build root")
    # A tree that was made with O= uses its source.
    source = tree / "source"
    binds = [tree, *([source.resolve()] if source.exists() else [])]
    return buildroot.command(words, binds=binds)


def build_foreign(tree: Path) -> Path:
    """Build the module against the user's own kernel tree."""
    tree = tree.resolve()
    config = tree / ".config"
    if not config.exists():
        raise Failure(
            f"{tree} is not a configured kernel tree (it has no .config). Give the directory that "
            "the kernel was built in."
        )
    text = config.read_text(encoding="utf-8")
    needs = ("CONFIG_RUST=y", "CONFIG_MODULES=y", "CONFIG_LEGACY_DIRECT_IO=y")
    missing = [need for need in needs if need not in text]
    if missing or ("CONFIG_JBD2=y" not in text and "CONFIG_JBD2=m" not in text):
        raise Failure(
            f"the kernel in {tree} lacks {', '.join(missing) or 'CONFIG_JBD2'}; "
            "rext4 needs a kernel that is configured with it"
        )
    if not (tree / "rust/libkernel.rmeta").exists():
        raise Failure(
            f"{tree} has no rust/libkernel.rmeta: its Rust crates are not built. Run `make` there, or "
            "`make modules_prepare`; header packages of distributions often come without them."
        )
    output = BUILD / f"kdir-{cache.key(str(tree))}"
    output.mkdir(parents=True, exist_ok=True)
    words = _foreign_command(tree, text, _make_words(tree, output, text, ()))
    _run(words, f"building the module against {tree}", quiet=False)
    return output / "rext4.ko"


def _modinfo(built: Path, field: str) -> str:
    """A field of the module's .modinfo section."""
    mark = b"\0" + field.encode() + b"="
    data = built.read_bytes()
    start = data.find(mark)
    if start < 0:
        return ""
    start += len(mark)
    return data[start : data.index(b"\0", start)].decode()


def depends(built: Path) -> list[str]:
    """Names of the modules that have to be loaded before this one."""
    return [name for name in _modinfo(built, "depends").split(",") if name]


def dependencies(built: Path, target: kernel.Kernel) -> list[str]:
    """As `depends`, for a module that must be one for this kernel."""
    release = _modinfo(built, "vermagic").split(" ")[0]
    if release != target.release:
        raise Failure(
            f"{built} was built for Linux {release}, the guest runs {target.release}; "
            "`make clean` and build it again"
        )
    return depends(built)
