# SPDX-License-Identifier: GPL-2.0
"""Tests of the console watch: reports are seen, ordinary lines are not."""

import sys
import tempfile
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "scripts"))
# pylint: disable=wrong-import-position
from rext4tools.console import Watch

BAD = """\
[   12.0] BUG: kernel NULL pointer dereference, address: 0000000000000008
[   12.0] Oops: Oops: 0000 [#1] SMP PTI
[   12.0] WARNING: CPU: 1 PID: 77 at fs/jbd2/transaction.c:334 start_this_handle+0x1/0x2
[   12.0] WARNING: fs/jbd2/transaction.c:334 at start_this_handle+0x1/0x2, CPU#1: fio/77
[   12.0] WARNING: possible circular locking dependency detected
[   12.0] WARNING: suspicious RCU usage
[   12.0] BUG: KASAN: slab-use-after-free in rext4_init+0x1/0x2
[   12.0] BUG: sleeping function called from invalid context at kernel/locking/mutex.c:1
[   12.0] INFO: task fio:77 blocked for more than 120 seconds.
[   12.0] rcu: INFO: rcu_preempt detected stalls on CPUs/tasks:
[   12.0] refcount_t: underflow; use-after-free.
[   12.0] rust_kernel: panicked at rust/extent/insert.rs:7:9:
[   12.0] UBSAN: array-index-out-of-bounds in fs/x.c:1:2
[   12.0] Kernel panic - not syncing: Fatal exception
[   12.0] Oops: general protection fault, probably for non-canonical address
[   12.0] VFS: Busy inodes after unmount of vdb (rext4)
"""

HARMLESS = """\
[    0.0] Linux version 7.2.12
[    3.5] rext4: loading out-of-tree module taints kernel.
[    3.5] EXT4-fs error (device vdb): ext4_lookup:1: inode #2: comm ls: deleted inode referenced
[    4.0] rext4 (vdb): warning: mounting an unchecked file system
[    4.0] debug: BUG_ON is on
"""


class Console(unittest.TestCase):
    def check(self, text: str) -> bool:
        with tempfile.TemporaryDirectory() as name:
            log = Path(name) / "log"
            watch = Watch(log)
            self.assertFalse(watch.poll())
            # In two pieces: a line may come bit by bit.
            data = text.encode()
            log.write_bytes(data[: len(data) // 2])
            watch.poll()
            log.write_bytes(data)
            return watch.poll()

    def test_reports_are_seen(self) -> None:
        for line in BAD.splitlines(keepends=True):
            self.assertTrue(self.check(line), line)

    def test_other_lines_are_not(self) -> None:
        self.assertFalse(self.check(HARMLESS))


if __name__ == "__main__":
    unittest.main()
