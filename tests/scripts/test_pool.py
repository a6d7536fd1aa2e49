# SPDX-License-Identifier: GPL-2.0
"""Jobs that need what others make."""

import sys
import tempfile
import threading
import unittest
from pathlib import Path
from unittest import mock

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "scripts"))
# pylint: disable=wrong-import-position
from rext4tools import base, pool
from rext4tools.pool import Job


class Pool(unittest.TestCase):
    """What is begun when."""

    def setUp(self) -> None:
        self.addCleanup(base.stopping.clear)
        two = mock.patch.object(pool, "_workers", return_value=2)
        two.start()
        self.addCleanup(two.stop)
        self.seen: list[str] = []

    def note(self, name: str):
        """A job that is noted when it is done."""
        return lambda: self.seen.append(name)

    def test_needs(self) -> None:
        """One worker makes the kernel while the other does what needs none, however late it comes."""
        others = threading.Event()

        def kernel() -> None:
            self.assertTrue(others.wait(10))
            self.seen.append("kernel")

        def last() -> None:
            self.seen.append("last")
            others.set()

        pool.run([
            Job(kernel, makes="kernel"),
            Job(self.note("guest"), frozenset({"kernel"})),
            Job(self.note("first")),
            Job(last),
        ])
        self.assertEqual(self.seen, ["first", "last", "kernel", "guest"])

    def test_failure(self) -> None:
        """What failed is told, what needed it is not begun, and others are told to end."""
        def fail() -> None:
            raise base.Failure("no compiler")

        def patient() -> None:
            self.assertTrue(base.stopping.wait(10))
            self.seen.append("ended")

        with self.assertRaisesRegex(base.Failure, "no compiler"):
            pool.run([Job(patient), Job(fail, makes="kernel"), Job(self.note("guest"), frozenset({"kernel"}))])
        self.assertEqual(self.seen, ["ended"])

    def test_command(self) -> None:
        """A long command ends when all is to end."""
        base.stopping.set()
        with (
            tempfile.TemporaryDirectory() as name,
            mock.patch.object(base, "say"),
            self.assertRaises(base.Failure),
        ):
            base.run_logged("sleeping", ["sleep", "60"], Path(name) / "log")

    def test_unknown(self) -> None:
        """Nobody waits for what is never made."""
        with self.assertRaises(AssertionError):
            pool.run([Job(self.note("guest"), frozenset({"kernel"}))])


if __name__ == "__main__":
    unittest.main()
