# SPDX-License-Identifier: GPL-2.0
"""The kernels that are compiled here: debug and kasan."""

from __future__ import annotations

import re
from pathlib import Path

from . import buildroot, cache
from .base import TOP, Failure, run_logged
from .kernel import Choice, Kernel, packages

#: Raise it when the way of making one changes.
RECIPE = "1"
CONFIGS = TOP / "scripts" / "kernels"
#: What is on in them; what has a choice and is not here is off.
FRAGMENTS = {"debug": ("debug.config",), "kasan": ("debug.config", "kasan.config")}


def _wanted(fragments: list[str]) -> dict[str, str]:
    """Symbol and value of each line of the fragments; later ones win."""
    lines = "\n".join(fragments).splitlines()
    matches = (re.fullmatch(r"(CONFIG_\w+)=(.+)", line) for line in lines)
    return {match[1]: match[2] for match in matches if match}


def _check(flavour: str, wanted: dict[str, str], config: Path) -> None:
    """Fail when the configuration is not what the fragments say."""
    have = _wanted([config.read_text(encoding="utf-8")])
    lost = [
        f"{symbol} is {have.get(symbol, 'n')} and not {value}"
        for symbol, value in wanted.items()
        if have.get(symbol, "n") != value
    ]
    if lost:
        raise Failure(
            f"the {flavour} kernel's configuration (scripts/kernels/) does not hold: "
            + "; ".join(lost)
        )


def _configuration(flavour: str) -> dict[str, str]:
    """What the configuration files of a flavour ask for."""
    return _wanted([(CONFIGS / name).read_text(encoding="utf-8") for name in FRAGMENTS[flavour]])


def _digest(wanted: dict[str, str], source: str) -> str:
    return cache.key(RECIPE, source, buildroot.path().name, repr(sorted(wanted.items())))


def made(flavour: str, chosen: Choice) -> bool:
    """Whether one of our own kernels is there."""
    return cache.has(flavour, _digest(_configuration(flavour), packages(chosen).name))


def get(flavour: str, chosen: Choice, width: int) -> Kernel:
    """One of our own kernels, compiled by `width` processes when it is not there."""
    base = packages(chosen)
    wanted = _configuration(flavour)

    def make(target: Path) -> None:
        log = cache.log(f"{flavour}-kernel")
        words = ["make", "-C", base / "source", f"O={target}", "LLVM=1", f"-j{width}",
                 f"LOCALVERSION=-rext4-{flavour}", "KBUILD_BUILD_TIMESTAMP=@0"]

        def step(what: str, *more: str) -> None:
            run_logged(what, buildroot.command([*words, *more]), log)

        # allnoconfig, but for what the fragments say.
        lines = [f"{symbol}={value}\n" for symbol, value in wanted.items()]
        (target / "wanted.config").write_text("".join(lines), encoding="utf-8")
        step(f"configuring the {flavour} kernel", "allnoconfig",
             f"KCONFIG_ALLCONFIG={target / 'wanted.config'}")
        _check(flavour, wanted, target / ".config")
        step(f"compiling the {flavour} kernel (some minutes)", "bzImage", "modules")
        step(f"collecting the {flavour} kernel's modules", "modules_install",
             f"INSTALL_MOD_PATH={target / 'installed'}")

    tree = cache.entry(flavour, _digest(wanted, base.name), 4, make)
    return Kernel(
        flavour, chosen, tree / "arch/x86/boot/bzImage", tree, tree / "installed", llvm=True
    )
