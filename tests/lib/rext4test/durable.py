# SPDX-License-Identifier: GPL-2.0
"""Steps that each end with fsync, and what has to be there after a crash between any two of them."""

from __future__ import annotations

import os
import random
from pathlib import Path
from typing import Callable

from . import direct, names
from .base import Wrong
from .filesystem import POISON
from .populate import COLLAPSE_RANGE, INSERT_RANGE, KEEP_SIZE, PUNCH_HOLE, ZERO_RANGE, fallocate

#: Bytes that a file has at most, but for what is inserted.
LIMIT = 300 << 10
FILES = 6
_POISON = bytes([POISON]) * 64

#: The content of files by name; a name that is not there is no file.
State = dict[str, bytes]


class Steps:
    """Changes of files below a directory."""

    def __init__(self, top: Path, seed: int) -> None:
        self._top = top
        self._dice = random.Random(seed)
        self._model: dict[str, bytearray] = {}
        #: What has to be there after each step; `touched` are the names that it changed.
        self.states: list[State] = [{}]
        self.touched: list[set[str]] = [set()]

    def _range(self, step: int = 1) -> tuple[int, int]:
        length = step * self._dice.randrange(1, 40_000 // step)
        return step * self._dice.randrange((LIMIT - length) // step), length

    def _store(self, name: str, offset: int, data: bytes) -> None:
        model = self._model[name]
        model.extend(bytes(max(0, offset - len(model))))
        model[offset : offset + len(data)] = data

    def _data(self, length: int) -> bytes:
        return bytes([self._dice.randrange(1, 160)]) * length

    def _sync_directory(self) -> None:
        descriptor = os.open(self._top, os.O_RDONLY)
        os.fsync(descriptor)
        os.close(descriptor)

    def _change(self, name: str, descriptor: int) -> None:
        kind = self._dice.choice(("write", "write", "append", "direct", "direct", "truncate", "punch", "zero",
                                  "allocate", "collapse", "insert"))
        model = self._model[name]
        if kind == "write":
            offset, length = self._range()
            data = self._data(length)
            os.pwrite(descriptor, data, offset)
            self._store(name, offset, data)
        elif kind == "append":
            data = self._data(self._dice.randrange(1, 20_000))
            os.pwrite(descriptor, data, len(model))
            model.extend(data)
        elif kind == "direct":
            offset, length = self._range(512)
            around = os.open(self._top / name, os.O_WRONLY | os.O_DIRECT)
            data = direct.aligned(length, self._dice.randrange(1, 160))
            os.pwrite(around, data, offset)
            os.close(around)
            self._store(name, offset, bytes(data))
        elif kind == "truncate":
            size = self._dice.randrange(LIMIT)
            os.ftruncate(descriptor, size)
            model.extend(bytes(max(0, size - len(model))))
            del model[size:]
        elif kind in ("punch", "zero"):
            offset, length = self._range()
            fallocate(descriptor, PUNCH_HOLE if kind == "punch" else ZERO_RANGE | KEEP_SIZE, offset, length)
            end = min(offset + length, len(model))
            if offset < end:
                model[offset:end] = bytes(end - offset)
        elif kind == "allocate":
            offset, length = self._range()
            fallocate(descriptor, 0, offset, length)
            model.extend(bytes(max(0, offset + length - len(model))))
        else:
            offset, length = self._range(4096)
            if kind == "collapse" and offset + length < len(model):
                fallocate(descriptor, COLLAPSE_RANGE, offset, length)
                del model[offset : offset + length]
            elif kind == "insert" and offset < len(model) < LIMIT:
                fallocate(descriptor, INSERT_RANGE, offset, length)
                model[offset:offset] = bytes(length)

    def _some_file(self) -> str:
        return self._dice.choice(sorted(self._model))

    def _work(self) -> set[str]:
        """Some changes of one file, then fsync or fdatasync."""
        name = self._some_file()
        descriptor = os.open(self._top / name, os.O_RDWR)
        for _ in range(self._dice.randrange(1, 4)):
            self._change(name, descriptor)
        self._dice.choice((os.fsync, os.fdatasync))(descriptor)
        os.close(descriptor)
        return {name}

    def _replace(self) -> set[str]:
        """A new file, synced, takes the place of another one."""
        name = f"file{self._dice.randrange(FILES)}"
        data = self._data(self._dice.randrange(1, 50_000))
        with open(self._top / "new", "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.rename(self._top / "new", self._top / name)
        self._sync_directory()
        self._model[name] = bytearray(data)
        return {name, "new"}

    def _exchange(self) -> set[str]:
        """Two files change places."""
        one, other = self._some_file(), self._some_file()
        if one != other:
            names.renameat2(self._top / one, self._top / other, names.EXCHANGE)
            self._model[one], self._model[other] = self._model[other], self._model[one]
        self._sync_directory()
        return {one, other}

    def _remove(self) -> set[str]:
        """A file goes away while it is open."""
        name = self._some_file()
        descriptor = os.open(self._top / name, os.O_RDONLY)
        os.unlink(self._top / name)
        self._sync_directory()
        os.close(descriptor)
        del self._model[name]
        return {name}

    def step(self) -> None:
        """One more; when it returns, all of it has to be safe."""
        kinds: list[Callable[[], set[str]]] = [self._replace] * 3
        if self._model:
            kinds += [*[self._work] * 8, self._exchange]
        if len(self._model) > FILES // 2:
            kinds.append(self._remove)
        touched = self._dice.choice(kinds)()
        self.states.append({name: bytes(data) for name, data in self._model.items()})
        self.touched.append(touched)


def look(top: Path, done: int, states: list[State], touched: list[set[str]]) -> None:
    """After a crash when `done` steps were safe: the next may have come to anything, the others have not."""
    loose = touched[done + 1] if done + 1 < len(touched) else set()
    there = {path.name: path.read_bytes() for path in top.iterdir() if path.is_file()}
    for name, seen in there.items():
        if _POISON in seen:
            raise Wrong(f"after step {done}: {name}: stale blocks at byte {seen.index(_POISON)}")
    for name in states[done].keys() | there.keys():
        wanted, seen = states[done].get(name), there.get(name)
        if name in loose or wanted == seen:
            continue
        if wanted is None or seen is None:
            raise Wrong(f"after step {done}: {name} is {'there' if wanted is None else 'missing'}")
        differ = next((at for at, (a, b) in enumerate(zip(wanted, seen)) if a != b), min(len(wanted), len(seen)))
        raise Wrong(f"after step {done}: {name}: {len(seen)} bytes, {len(wanted)} were synced; "
                    f"first difference at byte {differ}")
