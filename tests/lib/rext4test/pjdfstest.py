# SPDX-License-Identifier: GPL-2.0
"""pjdfstest, the crate: what POSIX says that the calls on names and attributes do."""

from __future__ import annotations

import os
import re
from pathlib import Path

from .base import SCRATCH, check, run

PROGRAM = Path(__file__).resolve().parents[3] / "build" / "tools" / "pjdfstest"
#: All of them. What remounts read-only (`erofs`) is skipped, since earlier ones leave files open.
EVERYTHING = ("::",)
#: All but the one that makes as many links as a file can have, which takes longer than all the rest.
QUICK = (
    "chmod::", "chown::", "ftruncate::", "link::changed", "link::e", "link::remove", "link::share", "link::unchanged",
    "mkdir::", "mkfifo::", "mknod::", "open::", "posix_fallocate::", "rename::", "rmdir::", "symlink::", "truncate::",
    "unlink::", "utimensat::",
)
REMOUNT = ("erofs",)
USERS = '[["nobody", "nogroup"], ["fsgqa", "fsgqa"]]'
_LINE = re.compile(r"^([a-z0-9_:]+) +(ok|FAILED|skipped)$", re.M)


def outcomes(top: Path, patterns: tuple[str, ...], user: str = "root") -> dict[str, str]:
    """Run what has one of the patterns in its name, as a user; `ok`, `FAILED` with what it said, or `skipped`."""
    settings = SCRATCH / "pjdfstest.toml"
    # What is not yet looked at may have the same time for as long as the clock's tick is.
    remount = str(patterns == REMOUNT).lower()
    settings.write_text(
        "[features]\nposix_fallocate = {}\nrename_ctime = {}\nstat_st_birthtime = {}\nutime_now = {}\n"
        f"utimensat = {{}}\n[settings]\nnaptime = 0.01\nallow_remount = {remount}\n"
        f"[dummy_auth]\nentries = {USERS}\n", encoding="ascii")
    # Another file system, for what can't be done across two.
    other = Path("/mnt/other")
    other.mkdir(exist_ok=True)
    run("mount", "-t", "tmpfs", "-o", "mode=1777", "tmpfs", other)
    where = top / user
    where.mkdir(exist_ok=True)
    run("chown", user, where)
    os.chmod(top, 0o755)
    output = run("setpriv", f"--reuid={user}", f"--regid={'root' if user == 'root' else 'nogroup'}", "--clear-groups",
                 "env", "NO_COLOR=1", PROGRAM, "-c", settings, "-p", where, "-s", other, *patterns, status=None)
    run("umount", other)
    lines = list(_LINE.finditer(output))
    found = {}
    for line, after in zip(lines, [*(line.start() for line in lines[1:]), len(output)]):
        said = " ".join(output[line.end():after].split()) if line[2] == "FAILED" else ""
        found[line[1]] = f"{line[2]} {said}".strip()
    check(found and "Summary:" in output, f"pjdfstest did not run to its end:\n{output[-3000:]}")
    return found
