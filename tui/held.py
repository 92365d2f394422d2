"""A child of the holder, on the terminal: with a line to say what it wants, and one that closes with the holder."""

from __future__ import annotations

import os
import select
import signal
import sys
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from finetty.tui.holder import VARIABLE

if TYPE_CHECKING:
    from collections.abc import Callable

    Child = Callable[[], None]
    Order = dict[str, Any]


class Held:
    """One child: started on the terminal, watched until it ends or goes its own way.

    Raises OSError where the machine has no room for another process.
    """

    def __init__(self, child: Child) -> None:
        self._heard, talk = os.pipe()
        lifeline, self._life = os.pipe()
        self._wake, self._woken = os.pipe()
        os.set_blocking(self._woken, False)
        # Ctrl+C reaches the child by itself.
        signal.signal(signal.SIGINT, lambda *_: None)
        self._orders: list[Order] = []
        self._unread = b""
        self._memory_kills = _memory_kills()
        try:
            self.pid = os.fork()
        except OSError:
            self._close()
            os.close(talk)
            os.close(lifeline)
            raise
        if self.pid == 0:
            self._become(child, talk, lifeline)
        os.close(talk)
        os.close(lifeline)

    def outcome(self, hear: Callable[[Order], None] = lambda _order: None) -> tuple[int, list[Order]]:
        """The wait status and what the child asked for. A child that detached is not waited for: status 0.

        `hear` is told of each order as it comes.
        """
        signal.set_wakeup_fd(self._woken)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.signal(signal.SIGTERM, lambda number, _: os.kill(self.pid, number))
        self._tell = hear
        poll = select.poll()
        poll.register(self._heard, select.POLLIN)
        poll.register(self._wake, select.POLLIN)
        status = self._ended()
        try:
            while status is None:
                ready = [descriptor for descriptor, _ in poll.poll()]
                if self._wake in ready:
                    os.read(self._wake, 512)
                    status = self._ended()
                if self._heard in ready and not self._hear():
                    poll.unregister(self._heard)
                if self._orders and self._orders[-1]["do"] == "detach":
                    return 0, self._orders
            os.set_blocking(self._heard, False)
            self._hear()
            return status, self._orders
        finally:
            signal.set_wakeup_fd(-1)
            self._close()

    @property
    def machine_lacked_memory(self) -> bool:
        """Whether the kernel has killed a process for memory since this one began: it was most likely this one."""
        return _memory_kills() > self._memory_kills

    def _ended(self) -> int | None:
        pid, status = os.waitpid(self.pid, os.WNOHANG)
        return status if pid else None

    def _hear(self) -> bool:
        """Take in what the child says; False once it has closed the line."""
        try:
            said = os.read(self._heard, 1 << 16)
        except BlockingIOError:
            return True
        if said:
            import json

            *lines, self._unread = (self._unread + said).split(b"\n")
            for line in lines:
                self._orders.append(json.loads(line))
                self._tell(self._orders[-1])
        return bool(said)

    def _become(self, child: Child, talk: int, lifeline: int) -> None:
        """In the child: signals as they were, hang-ups ignored until it has a handler of its own."""
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        self._close()
        for descriptor in (talk, lifeline):
            os.set_inheritable(descriptor, True)
        os.environ[VARIABLE] = f"{talk},{lifeline}"
        os.environ.setdefault("TEXTUAL_DRIVER", "finetty.tui.driver:TerminalDriver")
        child()
        sys.exit(0)

    def end(self) -> None:
        """Kill a child that is not watched, and forget it."""
        with suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGKILL)
        with suppress(ChildProcessError):
            os.waitpid(self.pid, 0)
        self._close()

    def _close(self) -> None:
        for descriptor in (self._heard, self._life, self._wake, self._woken):
            os.close(descriptor)


def _memory_kills() -> int:
    """How many processes the kernel has killed since it started because memory had run out; 0 where it does not say."""
    try:
        with open("/proc/vmstat", "rb") as counters:  # noqa: PTH123 - the holder imports next to nothing
            said = counters.read().rpartition(b"\noom_kill ")[2].split(maxsplit=1)
        return int(said[0])
    except (OSError, ValueError, IndexError):
        return 0
