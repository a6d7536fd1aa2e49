# SPDX-License-Identifier: GPL-2.0
"""Running one command in one guest."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import re
import select
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import BinaryIO, Callable, Iterator

from . import buildroot, console, guestimage, kernel, module, qemu
from .base import BUILD, LOGS, TOP, Failure, say, stopping, tail

#: A command that prints this line starts the clock of `kill_after`.
KILL_TIMER = b"@@kill-timer@@"
# The guest's init ends the output with this, the exit status and a NUL.
END_MARK = b"\0rext4-exit:"

#: Exit status when the guest itself failed, whatever the command said.
GUEST_FAILED = 124


@dataclasses.dataclass
class Options:
    """What scripts/guest can be told."""

    kernel: str = "stock"
    disks: list[qemu.Disk] = dataclasses.field(default_factory=list)
    memory: int = 1024  # MiB
    cpus: int = 2
    timeout: float = 300  # seconds
    share: Path | None = None
    load_module: bool = True
    module_args: str = ""
    append: str = ""
    kunit: bool = False  # run the module's KUnit suites when it is loaded
    kill_after: float | None = None  # seconds after KILL_TIMER was printed
    command: list[str] = dataclasses.field(default_factory=list)
    interactive: bool = False
    counted: bool = False  # time in the guest is the number of instructions
    #: What in the kernel's log ends the guest.
    reports: re.Pattern[str] = console.REPORTS
    log: Path | None = None  # for the console; one of its own in build/logs if not given


class Output:
    """Receives the command's output, and finds the mark at its end."""

    def __init__(self, path: Path, sink: BinaryIO) -> None:
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(path))
        self._listener.listen(1)
        self._sink = sink
        self.status: int | None = None
        self.timer_at: float | None = None
        self.ended = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        try:
            connection, _ = self._listener.accept()
            with connection:
                self._receive(connection)
        except OSError:
            pass
        finally:
            self.ended.set()

    def _receive(self, connection: socket.socket) -> None:
        held = b""
        recent = b""
        while data := connection.recv(65536):
            if self.timer_at is None:
                recent = (recent + data)[-len(data) - len(KILL_TIMER) :]
                if KILL_TIMER in recent:
                    self.timer_at = time.monotonic()
            held += data
            mark = held.find(END_MARK)
            if mark >= 0:
                self._write(held[:mark])
                held = held[mark:]
                digits, nul, _ = held[len(END_MARK) :].partition(b"\0")
                if nul:
                    self.status = int(digits)
                    return
            else:
                # The mark may be cut in two: hold back what may be its start.
                nul_at = held.rfind(b"\0", max(0, len(held) - len(END_MARK)))
                ready = len(held) if nul_at < 0 else nul_at
                self._write(held[:ready])
                held = held[ready:]
        self._write(held)

    def _write(self, data: bytes) -> None:
        if data:
            self._sink.write(data)
            self._sink.flush()

    def close(self) -> None:
        """Stop receiving."""
        self._listener.close()
        self._thread.join(2)


# What the kernel says when it starts its init, and how long it may take to.
BOOTED = b"as init process"
BOOT_SECONDS = 100


class Guest:
    """A started QEMU."""

    def __init__(self, words: list[str], directory: Path, binds: list[Path], interactive: bool):
        self._qmp = directory / "qmp"
        self._errors = directory / "qemu-errors"
        words = [*words, "-qmp", f"unix:{self._qmp},server=on,wait=off"]
        # QEMU inherits the other end: it is closed when QEMU is gone, which can be a moment after
        # the sandbox around it is.
        self._alive, inherited = os.pipe()
        with open(self._errors, "wb") as errors:
            self.process = subprocess.Popen(
                buildroot.command(words, binds=binds),
                stdin=None if interactive else subprocess.DEVNULL,
                stdout=None if interactive else errors,
                stderr=None if interactive else errors,
                # A Ctrl-C at the terminal is for us to handle, not for QEMU.
                start_new_session=not interactive,
                pass_fds=(inherited,),
            )
        os.close(inherited)

    def errors(self) -> str:
        """What QEMU itself complained about."""
        return tail(self._errors)

    def quit(self) -> None:
        """End the machine in order: what it wrote is in the disk files."""
        try:
            with socket.socket(socket.AF_UNIX) as qmp:
                qmp.settimeout(10)
                qmp.connect(str(self._qmp))
                for command in ("qmp_capabilities", "quit"):
                    qmp.sendall(json.dumps({"execute": command}).encode() + b"\n")
                while qmp.recv(4096):
                    pass
            self.process.wait(20)
        except (OSError, subprocess.TimeoutExpired):
            self.kill()

    def kill(self) -> None:
        """End it as a power cut would: nothing more gets written."""
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()
        if not select.select([self._alive], [], [], 20)[0]:
            raise Failure("QEMU does not end although it was killed")

    def close(self) -> None:
        """Forget the ended machine."""
        os.close(self._alive)


def _settings(options: Options, directory: Path, target: kernel.Kernel) -> None:
    """Write the job that the guest's init reads, see scripts/guest-files/init."""
    dependencies = ""
    if options.load_module:
        built = module.build(options.kernel)
        (directory / "module").mkdir()
        shutil.copy(built, directory / "module" / "rext4.ko")
        dependencies = " ".join(module.dependencies(built, target))
    values = {
        "REXT4_KERNEL": options.kernel,
        "MODULE": "yes" if options.load_module else "",
        "MODULE_ARGS": options.module_args,
        "DEPENDENCIES": dependencies,
        "SHARE": "yes" if options.share else "",
        "INTERACTIVE": "yes" if options.interactive else "",
    }
    text = "".join(f"{name}={shlex.quote(value)}\n" for name, value in values.items())
    (directory / "settings").write_text(text, encoding="utf-8")
    command = options.command
    line = command[0] if len(command) == 1 else shlex.join(command)
    (directory / "command").write_text(line + "\n", encoding="utf-8")


@contextlib.contextmanager
def _scratch(options: Options) -> Iterator[list[Path]]:
    """Files for all disks; those of scratch disks are sparse and go away."""
    made: list[Path] = []
    files: list[Path] = []
    directory = BUILD / "scratch"
    directory.mkdir(parents=True, exist_ok=True)
    try:
        for disk in options.disks:
            if disk.file is not None:
                files.append(disk.file)
                continue
            handle, name = tempfile.mkstemp(prefix="disk-", dir=directory)
            made.append(Path(name))
            os.ftruncate(handle, disk.bytes)
            os.close(handle)
            files.append(Path(name))
        yield files
    finally:
        for file in made:
            file.unlink(missing_ok=True)


def _words(
    options: Options, target: kernel.Kernel, directory: Path, files: list[Path], log: Path
) -> list[str]:
    """The command line of QEMU."""
    # tsc=nowatchdog: emulated, on a busy machine, the TSC looks unstable to the kernel's watchdog,
    # and the clock it takes then is slow to read and shared by all processors.
    append = (
        "console=ttyS0 panic=-1 mitigations=off random.trust_cpu=on loglevel=7 tsc=nowatchdog "
        f"log_buf_len=4M kunit.enable={int(options.kunit)} {options.append}"
    )
    words = [
        "qemu-system-x86_64", "-machine", "pc", *(qemu.COUNTED if options.counted else qemu.accelerator(target)),
        "-smp", str(options.cpus), "-m", str(options.memory),
        "-nodefaults", "-no-user-config", "-display", "none", "-no-reboot",
        "-kernel", str(target.image), "-initrd", str(guestimage.initramfs(target)),
        "-append", append.strip(),
    ]
    if options.interactive:
        words += ["-chardev", f"stdio,id=console,signal=off,logfile={log}",
                  "-serial", "chardev:console"]
    else:
        words += ["-serial", f"file:{log}"]
    image = guestimage.root()
    # The root is the first disk, vda; vdb is the first that was asked for.
    words += [
        "-drive", f"file={image},format=raw,if=none,id=root,readonly=on,file.locking=off",
        "-device", "virtio-blk-pci,drive=root",
    ]
    for number, (disk, file) in enumerate(zip(options.disks, files, strict=True)):
        words += qemu.disk_words(number, disk, file)
    words += qemu.share_words("job", directory, readonly=False)
    words += qemu.share_words("rext4", TOP, readonly=True)
    words += qemu.share_words("modules", target.modules / "lib/modules", readonly=True)
    if options.share:
        words += qemu.share_words("share", options.share.absolute(), readonly=False)
    words += [
        "-device", "virtio-serial-pci",
        "-chardev", f"socket,id=output,path={directory / 'output'}",
        "-device", "virtserialport,chardev=output,name=rext4.output",
    ]
    return words


def _new_log(what: str) -> Path:
    LOGS.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(
        prefix=f"{what}-{time.strftime('%H%M%S')}-", suffix=".log", dir=LOGS
    )
    os.close(handle)
    Path(name).chmod(0o644)
    return Path(name)


def run(
    options: Options,
    sink: BinaryIO | None = None,
    *,
    log_name: str = "guest",
    overdue: Callable[[], str | None] = lambda: None,
    tell: Callable[[str], None] = say,
) -> int:
    """Run the command in a guest; returns its exit status.

    A report in the kernel's log, a time-out or a guest that dies is
    GUEST_FAILED, and `tell` is given the reason; with `kill_after`, being
    killed as planned is 0. `overdue` is asked again and again whether the
    caller has waited long enough, and says why.
    """
    if options.share and not options.share.is_dir():
        raise Failure(f"--share {options.share}: no such directory")
    target = kernel.get(options.kernel)
    log = options.log or _new_log(f"{log_name}-{options.kernel}")
    with contextlib.ExitStack() as stack:
        directory = Path(
            stack.enter_context(tempfile.TemporaryDirectory(prefix="rext4-", dir="/tmp"))
        )
        files = stack.enter_context(_scratch(options))
        _settings(options, directory, target)
        words = _words(options, target, directory, files, log)
        binds = [directory, log.parent, *(file.parent for file in files)]
        if options.share:
            binds.append(options.share.absolute())
        for last in (False, True):
            (directory / "output").unlink(missing_ok=True)
            output = Output(directory / "output", sink or sys.stdout.buffer)
            stack.callback(output.close)
            guest = Guest(words, directory, binds, options.interactive)
            try:
                if options.interactive:
                    return guest.process.wait()
                status = _supervise(options, guest, output, log, overdue, tell, last)
            finally:
                if guest.process.poll() is None:
                    guest.kill()
                guest.close()
            if status is not None:
                return status
            failed = log.with_suffix(".not-booted.log")
            log.replace(failed)
            log.touch()
            say(f"the guest's kernel did not reach its init, starting it again (console log: {failed})")
        raise AssertionError("the last start has a status")


def _not_booted(log: Path, since: float) -> bool:
    """Whether the kernel hangs or died before its init.

    QEMU's emulation of several processors does not always survive the kernel
    changing its own code while it starts. Nothing of ours runs before init,
    and nothing was read or written on a disk.
    """
    return BOOTED not in log.read_bytes() and time.monotonic() - since > BOOT_SECONDS


def _supervise(
    options: Options,
    guest: Guest,
    output: Output,
    log: Path,
    overdue: Callable[[], str | None],
    tell: Callable[[str], None],
    last: bool,
) -> int | None:
    """Wait for the end of the command or of the guest.

    None if the kernel did not get as far as its init, unless this is the
    `last` time that it was started.
    """
    watch = console.Watch(log, options.reports)
    start = time.monotonic()
    deadline = start + options.timeout
    while True:
        dead = guest.process.poll() is not None
        ended = output.ended.wait(0 if dead else 0.05)
        if not last and _not_booted(log, start):
            return None
        if watch.poll():
            if not last and BOOTED not in log.read_bytes():
                return None
            # Let the rest of the report come.
            with contextlib.suppress(subprocess.TimeoutExpired):
                guest.process.wait(1.5)
            tell(f"the guest's kernel reported a problem (console log: {log}):\n{watch.context()}")
            return GUEST_FAILED
        if ended and output.status is not None:
            guest.quit()
            if options.kill_after is not None:
                tell("the command ended before the guest was to be killed")
                return output.status or GUEST_FAILED
            return output.status
        if dead:
            tell(f"the guest ended by itself (console log: {log})\n{guest.errors()}{tail(log)}")
            return GUEST_FAILED
        now = time.monotonic()
        if options.kill_after is not None and output.timer_at is not None:
            if now >= output.timer_at + options.kill_after:
                guest.kill()
                return 0
        late = overdue()
        if stopping.is_set():
            late = "all is to end"
        if now >= deadline:
            late = f"no end after {options.timeout:g} s"
        if late:
            tell(f"{late}, guest killed (console log: {log})\n{tail(log, 15)}")
            return GUEST_FAILED
