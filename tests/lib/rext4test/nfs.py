# SPDX-License-Identifier: GPL-2.0
"""A server of NFS in the guest, and its client over the loopback interface."""

from __future__ import annotations

import contextlib
import subprocess
from pathlib import Path
from typing import Iterator

from .base import Skip, end_children, exit_status, run, start, wait_until
from .direct import drop_caches

#: Where what the server has is mounted by its client.
CLIENT = Path("/mnt/client")
_CONTROL = Path("/proc/fs/nfsd")
_LEASES = Path("/proc/sys/fs/leases-enable")
_STATE = Path("/var/lib/nfs")
# Where Debian's programs look for it.
_PIPES = Path("/run/rpc_pipefs")


class Server:
    """The kernel's server, of one directory."""

    def __init__(self, directory: Path, options: str = "") -> None:
        self._directory = directory
        self._options = ",".join(filter(None, ("rw,sync,no_root_squash,fsid=0,insecure", options or "no_subtree_check")))

    def export(self) -> None:
        """Let clients in."""
        run("exportfs", "-o", self._options, f"127.0.0.1:{self._directory}")

    @contextlib.contextmanager
    def restarted(self) -> Iterator[None]:
        """The server is not there during the block, and has forgotten all that it knew after it. Clients wait, so
        the block must not use them."""
        # What is left to be told to the server, or given back, would be waited for below.
        drop_caches()
        run("rpc.nfsd", "0")
        drop_caches()
        try:
            yield
        finally:
            run("exportfs", "-f")
            run("rpc.nfsd", "2")

    @contextlib.contextmanager
    def mounted(self, version: str, options: str = "") -> Iterator[Path]:
        """What a client sees, as long as the block runs."""
        CLIENT.mkdir(parents=True, exist_ok=True)
        # The messages for locks go another way in the old version.
        words = filter(None, (f"vers={version}", "nolock" if version == "3" else "", "timeo=50", options))
        # `fsid=0` makes the directory the root of what the new versions see.
        directory = self._directory if version == "3" else "/"
        run("mount", "-t", "nfs", "-o", ",".join(words), f"127.0.0.1:{directory}", CLIENT)
        try:
            yield CLIENT
        except BaseException:
            end_children()
            exit_status("umount", "-f", "-l", CLIENT)
            raise
        run("umount", CLIENT)


@contextlib.contextmanager
def serving(directory: Path, options: str = "") -> Iterator[Server]:
    """A server runs as long as the block does."""
    if exit_status("modprobe", "nfsd")[0] != 0:
        raise Skip("this kernel has no NFS server: run it with `--kernel stock`")
    for where in (_PIPES, _STATE / "nfsdcld"):
        where.mkdir(parents=True, exist_ok=True)
    for where, fstype, file in ((_CONTROL, "nfsd", "threads"), (_PIPES, "rpc_pipefs", "nfsd")):
        if not (where / file).exists():
            run("mount", "-t", fstype, fstype, where)
    for name in ("etab", "rmtab"):
        (_STATE / name).touch()
    server = Server(directory, options)
    # A client that gives back what it was granted for a file waits for the server, which the test may have stopped.
    _LEASES.write_text("0\n", encoding="ascii")
    # What remembers which clients there were, so that none is waited for who was not.
    daemons = [start(["rpcbind", "-f", "-w"]), start(["nfsdcld", "--foreground"], stderr=subprocess.DEVNULL)]
    try:
        wait_until("rpcbind answers", lambda: exit_status("rpcinfo", "-p")[0] == 0)
        daemons.append(start(["rpc.mountd", "--foreground"], stderr=subprocess.DEVNULL))
        server.export()
        run("rpc.nfsd", "2")
        wait_until("mountd answers", lambda: exit_status("rpcinfo", "-t", "127.0.0.1", "mountd", "3")[0] == 0)
        yield server
    finally:
        exit_status("umount", "-f", "-l", CLIENT)
        exit_status("rpc.nfsd", "0")
        exit_status("exportfs", "-ua")
        exit_status("exportfs", "-f")
        for daemon in daemons:
            daemon.terminate()
            daemon.wait()
        _LEASES.write_text("1\n", encoding="ascii")
