"""A pseudo-terminal that times a program's output, and drains it so that the program never waits for its reader."""

from __future__ import annotations

import fcntl
import os
import pty
import select
import signal
import struct
import termios
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field


@dataclass
class Program:
    """A program on its own terminal of 120 by 40."""

    pid: int
    fd: int
    started: float
    received: bytearray = field(default_factory=bytearray)

    def seconds_until(self, wanted: bytes, timeout: float) -> float:
        """Seconds from the start until the program has written `wanted`. Raises TimeoutError."""
        deadline = self.started + timeout
        while wanted not in self.received:
            if not self.drain(max(0.0, deadline - time.perf_counter())):
                raise TimeoutError(bytes(self.received[-2000:]).decode(errors="replace"))
        return time.perf_counter() - self.started

    def drain(self, seconds: float) -> bool:
        """Read once, waiting at most `seconds`; False on silence or when the program has gone."""
        ready, _, _ = select.select([self.fd], [], [], seconds)
        if not ready:
            return False
        try:
            chunk = os.read(self.fd, 65536)
        except OSError:
            return False
        self.received += chunk
        return bool(chunk)

    def send(self, keys: bytes) -> None:
        os.write(self.fd, keys)

    def wait(self) -> int:
        """Drain until the program ends; its exit code."""
        while self.drain(3600):
            pass
        return os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])


@contextmanager
def program(command: Sequence[str], environment: dict[str, str]) -> Iterator[Program]:
    """Start `command` on a terminal of its own; killed, with its children, when the block ends."""
    started = time.perf_counter()
    pid, fd = pty.fork()
    if pid == 0:
        os.execvpe(command[0], list(command), os.environ | {"TERM": "xterm-256color"} | environment)
    fcntl.ioctl(fd, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 120, 0, 0))
    running = Program(pid, fd, started)
    try:
        yield running
    finally:
        for kill in (lambda: os.killpg(pid, signal.SIGKILL), lambda: os.waitpid(pid, 0), lambda: os.close(fd)):
            try:
                kill()
            except (OSError, ChildProcessError):
                continue
