# SPDX-License-Identifier: GPL-2.0
"""A stream of random operations, the same for the same seed."""

from __future__ import annotations

import errno
import random
from pathlib import Path

from .base import Wrong


class Stream:
    """Operations below a directory. They may fail: how, is a part of the outcome."""

    #: Each with its weight; the method has the name, with an underscore before it.
    KINDS: tuple[tuple[str, int], ...] = ()

    def __init__(self, top: Path, seed: int) -> None:
        self._top = top
        self._random = random.Random(seed)

    def run(self, count: int) -> list[str]:
        """Do that many; how each ended."""
        kinds = [kind for kind, _ in self.KINDS]
        weights = [weight for _, weight in self.KINDS]
        outcome = []
        for kind in self._random.choices(kinds, weights, k=count):
            # Drawn before anything is done, so that what fails costs as many numbers.
            seed = self._random.random()
            try:
                getattr(self, f"_{kind}")(random.Random(seed))
                outcome.append(kind)
            except OSError as error:
                if error.errno in (errno.EUCLEAN, errno.EIO, errno.EROFS):
                    raise Wrong(f"{kind}: {error}") from error
                outcome.append(f"{kind}: {errno.errorcode[error.errno or 0]}")
        return outcome
