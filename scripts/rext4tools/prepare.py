# SPDX-License-Identifier: GPL-2.0
"""What has to be made before tests can run, as jobs: the long ones side by side."""

from __future__ import annotations

import functools
from typing import Iterable

from . import guestimage, kernel, module, ownkernel, pool
from .base import cpus

#: Kernels in the order in which they are begun: what takes longest to compile is first.
ORDER = ("kasan", "debug", "stock")


def _one(flavour: str, width: int) -> None:
    guestimage.initramfs(kernel.get(flavour, width))
    module.build(flavour)


def jobs(flavours: Iterable[str], *, guests: bool) -> list[pool.Job]:
    """Make these kernels with the module for each (by the kernel's name), and the `image` for guests."""
    chosen = kernel.choice()
    wanted = sorted(flavours, key=ORDER.index)
    missing = [name for name in wanted if name != "stock" and not ownkernel.made(name, chosen)]
    # Side by side each with few processes: no processor waits for the parts that only one can do.
    width = max(1, cpus() // max(1, len(missing)))
    found = [pool.Job(functools.partial(_one, name, width), makes=name) for name in wanted]
    if guests:
        found.append(pool.Job(guestimage.root, makes="image"))
    return found
