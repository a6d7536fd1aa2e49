# SPDX-License-Identifier: GPL-2.0
"""The same operations under C ext4 and under rext4; then each on what the other has left."""

from __future__ import annotations

from typing import Callable

from . import data
from .base import FSTYPE, Wrong, check, say, want
from .filesystem import Filesystem

Found = dict[str, dict[str, object]]


def compare(one: Found, other: Found, what: str, ignored: tuple[str, ...] = ()) -> None:
    """Two trees have to be the same, but for what is ignored."""
    for path in sorted(one.keys() | other.keys()):
        left, right = one.get(path, {}), other.get(path, {})
        for name in sorted(left.keys() | right.keys()):
            if left.get(name) != right.get(name) and name not in ignored:
                values = " against ".join(str(known.get(name))[:400] for known in (left, right))
                raise Wrong(f"{what}: {path[:80]}: {name}: {values}")


def _phase(filesystem: Filesystem, fstype: str, other: str, seed: int, count: int) -> tuple[list[str], Found]:
    """Operations under one file system; the outcomes and what is there then, which the other has to see too."""
    with filesystem.mounted(fstype=fstype) as top:
        outcomes = data.Operations(top, seed, 30).run(count)
        found = data.tree(top)
    filesystem.fsck()
    for reader in (other, fstype):
        with filesystem.mounted("ro", fstype=reader) as top:
            compare(found, data.tree(top), f"seed {seed}: written by {fstype}, read by {reader}")
    return outcomes, found


def differ(*options: str, seed: int, count: int, between: Callable[[Filesystem], None] = lambda _: None) -> None:
    """Two file systems, each begun by one kind and gone on with by the other; `between` is done to both then."""
    say(f"   seed {seed}, {count} operations twice, mke2fs {' '.join(options)}")
    first = Filesystem("/dev/vdb").make(*options)
    second = Filesystem("/dev/vdc").make(*options)
    for phase, (theirs, ours) in enumerate(((first, second), (second, first))):
        if phase:
            between(theirs)
            between(ours)
        their_outcomes, their_tree = _phase(theirs, "ext4", FSTYPE, seed + phase, count)
        our_outcomes, our_tree = _phase(ours, FSTYPE, "ext4", seed + phase, count)
        for number, (one, other) in enumerate(zip(their_outcomes, our_outcomes)):
            want(other, one, f"seed {seed}, phase {phase}: outcome of operation {number}")
        compare(their_tree, our_tree, f"seed {seed}, phase {phase}: C ext4 against rext4", data.TIMES)
        wrong = data.times_disagree(their_tree, our_tree)
        check(not wrong, f"seed {seed}, phase {phase}: order of times: {wrong}")
        good = sum(": " not in outcome for outcome in our_outcomes)
        check(good > count // 4, f"only {good} of {count} operations did something")
        full = [outcome for outcome in our_outcomes if outcome.endswith("ENOSPC")]
        # Of attributes there is only so much room for each file.
        full = [outcome for outcome in full if not outcome.startswith(("set", "access", "default"))]
        check(not full, f"the disk was full, where the two may differ: {full}")
