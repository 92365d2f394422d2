"""The lock of a run: held by the process that trains, for as long as it lives, whatever kills it."""

from __future__ import annotations

import fcntl
import os
import time
from pathlib import Path
from types import TracebackType
from typing import Self
from weakref import WeakSet

from finetty.backend.messages import Refusal, message

IN_USE = message("runs.in_use", "Another process is training in this run.")
WATCH_IT = message("runs.watch_it", "Watch it with `finetty attach {run}`, or stop it with `finetty stop {run}`.")

SECONDS_FOR_VIEWERS = 1.0
"""A viewer's probe holds the lock shared for a moment; so a refusal is believed only after this long."""

_open_locks: WeakSet[RunLock] = WeakSet()


class RunLock:
    """The exclusive flock on a run's lock file. Entered twice by its owner, it is let go at the last exit."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._descriptor: int | None = None
        self._depth = 0

    @property
    def held(self) -> bool:
        return self._descriptor is not None

    def __enter__(self) -> Self:
        """Take the lock. Raises Refusal when another process trains in this run, OSError when it cannot be opened."""
        if self._descriptor is None:
            self._descriptor = _taken(self._path)
            _open_locks.add(self)
        self._depth += 1
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._depth -= 1
        if self._depth == 0:
            self.close()

    def close(self) -> None:
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None
        _open_locks.discard(self)


def is_locked(path: Path) -> bool:
    """Whether some process holds the lock; never waits."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        return True
    finally:
        os.close(descriptor)
    return False


def _taken(path: Path) -> int:
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    until = time.monotonic() + SECONDS_FOR_VIEWERS
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return descriptor
        except BlockingIOError:
            if time.monotonic() >= until:
                os.close(descriptor)
                raise Refusal(IN_USE(), WATCH_IT(run=path.parent.name)) from None
            time.sleep(0.02)
        except OSError:
            os.close(descriptor)
            raise


def _let_go_in_child() -> None:
    """A forked data worker shares the open file, and would hold the lock on after the trainer's death."""
    for lock in list(_open_locks):
        lock.close()


os.register_at_fork(after_in_child=_let_go_in_child)
