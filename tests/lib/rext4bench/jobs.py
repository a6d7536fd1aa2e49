# SPDX-License-Identifier: GPL-2.0
"""What each job is, which figures it gives, and what is aimed at. Only data: host and guest read it.

A direct job runs fio. Its file is made anew by C ext4 for each run, so both find the same state:
`layout` says of what, `size` how large. A job that fills holes or preallocated space never writes
the same block twice, because fio's random map stays on: it ends after `seconds`, or before that
when all of the file has been hit. Rates are operations by the time they took, so both ways of
ending are right, and `covered` in the results says how much of the file was hit.
"""

from __future__ import annotations

import dataclasses

MIB = 1 << 20

#: Default features, and without checksums of metadata.
CSUM, PLAIN = "csum", "plain"


@dataclasses.dataclass(frozen=True)
class Figure:
    """One number of a job."""

    name: str
    unit: str

    @property
    def less_is_better(self) -> bool:
        """Times and extents; everything else is a rate."""
        return self.unit in ("µs", "s", "extents")


@dataclasses.dataclass(frozen=True)
class Aim:
    """What rext4's first figure is to be, as a multiple of another's.

    `against`: `ext4` (C ext4 in this job), `raw` (the bare device in this job), or the name of a
    job of rext4's own. The multiple may differ with and without checksums.
    """

    against: str
    csum: float
    plain: float

    def multiple(self, variant: str) -> float:
        """For one variant."""
        return self.csum if variant == CSUM else self.plain


@dataclasses.dataclass(frozen=True)
class Direct:
    """How fio does a direct job."""

    layout: str  # written, preallocated, sparse, empty, beside (written, then a hole)
    size: int  # bytes that the job may hit
    order: str = "randwrite"
    block: int = 4096  # bytes
    offset: int = 0  # bytes
    depth: int = 32
    tasks: int = 1
    engine: str = "libaio"
    pace: int = 0  # writes a second at most beside the reads; 0: as many as can be

    @property
    def repeats(self) -> bool:
        """Whether blocks may be hit again: nothing is used up."""
        return self.layout == "written"


@dataclasses.dataclass(frozen=True)
class Job:
    """One line of the plan."""

    name: str
    title: str
    figures: tuple[Figure, ...]
    direct: Direct | None = None  # none: on the ram disk, done by tree.py or cached.py
    variants: tuple[str, ...] = (CSUM,)
    raw: bool = False  # on the bare device too
    aims: tuple[Aim, ...] = ()


BOTH = (CSUM, PLAIN)
IOPS = (Figure("", "IOPS"),)
#: 63 sectors: where partitions used to begin.
SECTOR_63 = 63 * 512
#: Less than any of the file systems can do on any machine that was seen.
PACE = 1000


def _ext4(csum: float, plain: float | None = None) -> Aim:
    return Aim("ext4", csum, csum if plain is None else plain)


def _than(job: str, multiple: float) -> Aim:
    return Aim(job, multiple, multiple)


DIRECT = (
    Job("overwrite", "random write over written blocks, QD 32", IOPS,
        Direct("written", 64 * MIB), BOTH, True, (_ext4(1), _than("raw", 0.95))),
    Job("overwrite-63", "the same from sector 63 on", IOPS,
        Direct("written", 64 * MIB, offset=SECTOR_63), BOTH, True, (_ext4(1), _than("raw", 0.95))),
    Job("read", "random read, QD 32", IOPS,
        Direct("written", 64 * MIB, "randread"), BOTH, True, (_ext4(1), _than("raw", 0.95))),
    Job("preallocated", "random write, preallocated, QD 32", IOPS,
        Direct("preallocated", 512 * MIB), BOTH, aims=(_ext4(3, 1.3), _than("overwrite", 0.5))),
    Job("preallocated-1", "random write, preallocated, QD 1", IOPS,
        Direct("preallocated", 512 * MIB, depth=1), BOTH, aims=(_ext4(1.3),)),
    Job("sparse", "random write, sparse, QD 32", IOPS,
        Direct("sparse", 512 * MIB), BOTH, aims=(_ext4(2.5, 1.5),)),
    Job("sparse-4", "the same by 4 tasks, QD 32 each, on one file", IOPS,
        Direct("sparse", 512 * MIB, tasks=4), BOTH, aims=(_ext4(3), _than("sparse", 1))),
    Job("sparse-63", "random write from sector 63 on, sparse, QD 32", IOPS,
        Direct("sparse", 512 * MIB, offset=SECTOR_63), BOTH, aims=(_ext4(4), _than("sparse", 0.9))),
    Job("sparse-512", "random write of 512 bytes, sparse, QD 32", IOPS,
        Direct("sparse", 512 * MIB, block=512), BOTH, aims=(_ext4(4), _than("sparse", 0.9))),
    Job("append", "append, QD 32", IOPS,
        Direct("empty", 512 * MIB, "write"), BOTH, aims=(_ext4(2),)),
    Job("read-beside", "random read, QD 1, beside a writer (QD 32) that fills holes of the file",
        (Figure("p50", "µs"), Figure("p99", "µs"), Figure("writer", "IOPS")),
        Direct("beside", 512 * MIB), BOTH, aims=(_ext4(1),)),
    Job("read-beside-paced", f"the same, with the writer held to {PACE} writes a second",
        (Figure("p50", "µs"), Figure("p99", "µs"), Figure("writer", "IOPS")),
        Direct("beside", 512 * MIB, pace=PACE), BOTH, aims=(_ext4(1),)),
    Job("preallocated-uring", "preallocated, with io_uring", IOPS,
        Direct("preallocated", 512 * MIB, engine="io_uring"), aims=(_ext4(3),)),
    Job("sparse-uring", "sparse, with io_uring", IOPS,
        Direct("sparse", 512 * MIB, engine="io_uring"), aims=(_ext4(2.5),)),
)

FASTER = (_ext4(1),)

CACHED = (
    Job("cached-write", "sequential write of 256 MiB, 64 KiB each, fsync at the end",
        (Figure("", "MiB/s"),), aims=FASTER),
    Job("cached-read", "sequential read of it, 64 KiB each, nothing in the cache",
        (Figure("", "MiB/s"),), aims=FASTER),
    Job("cached-fsync", "random write of 4 KiB over written blocks, fsync after each", IOPS, aims=FASTER),
    Job("cached-4", "4 tasks, each writes 64 MiB in order to a file of its own, 64 KiB each",
        (Figure("", "MiB/s"), Figure("a file", "extents")), aims=FASTER),
    Job("names-1", "create, stat and unlink files in one directory, 1 task",
        (Figure("create", "/s"), Figure("stat", "/s"), Figure("unlink", "/s")), aims=FASTER),
    Job("names-4", "the same by 4 tasks, in one directory",
        (Figure("create", "/s"), Figure("stat", "/s"), Figure("unlink", "/s")), aims=FASTER),
    Job("small-files", "create a file, write 4 KiB, fsync, close", (Figure("", "/s"),), aims=FASTER),
    Job("tree", "unpack a tar archive, sync; rm -rf, sync",
        (Figure("untar", "s"), Figure("rm -rf", "s")), aims=FASTER),
)

JOBS = DIRECT + CACHED


def named(names: list[str]) -> list[Job]:
    """The jobs with these names, `direct` and `cached` standing for groups; all for none."""
    groups = {"direct": DIRECT, "cached": CACHED}
    known = {job.name: (job,) for job in JOBS} | groups
    unknown = [name for name in names if name not in known]
    if unknown:
        raise KeyError(f"no job `{unknown[0]}`; there is {', '.join(known)}")
    chosen = {job.name for name in names for job in known[name]}
    return [job for job in JOBS if not names or job.name in chosen]
