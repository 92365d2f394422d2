"""A command of finetty's own: on a pseudo-terminal, so that its progress shows, and ended with all that it started."""

from __future__ import annotations

import contextlib
import fcntl
import os
import pty
import select
import signal
import struct
import subprocess
import termios
import threading
from collections.abc import Iterator, Sequence

COLUMNS, LINES = 68, 24
"""Of its terminal: as many columns as a window on a screen of 80 has."""
SECONDS_BETWEEN_LOOKS = 0.2
SECONDS_TO_END = 4.0
"""How long a command may take to end after it was asked to, before it is told again in a harder way."""


class Running:
    """It is started at once, reads nothing, and has a session of its own. Raises OSError where it cannot be started."""

    def __init__(self, command: Sequence[str]) -> None:
        self._output, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", LINES, COLUMNS, 0, 0))
        plain = {"NO_COLOR": "1", "PIP_NO_INPUT": "1", "PIP_DISABLE_PIP_VERSION_CHECK": "1", "TERM": "xterm"}
        try:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=slave,
                stderr=slave,
                start_new_session=True,
                env={**os.environ, **plain},
            )
        except OSError:
            os.close(self._output)
            raise
        finally:
            os.close(slave)
        self.cancelled = False

    def output(self) -> Iterator[bytes]:
        """What it prints as it comes, and b"" now and then where nothing does; ends with the command. One reader."""
        try:
            while True:
                over = self._process.poll() is not None
                if not select.select([self._output], [], [], 0 if over else SECONDS_BETWEEN_LOOKS)[0]:
                    if over:
                        return
                    yield b""
                    continue
                said = self._read()
                if not said:
                    return
                yield said
        finally:
            self._sweep(signal.SIGKILL)
            os.close(self._output)

    def exit_code(self) -> int:
        """Wait for its end; a death by signal is its negative number."""
        return self._process.wait()

    def cancel(self) -> None:
        """End the whole process group, first as Ctrl+C does, so that it can tidy up. Returns once it has ended."""
        self.cancelled = True
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGKILL):
            self._sweep(number)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(SECONDS_TO_END)
                return

    def cancel_in_background(self) -> None:
        threading.Thread(target=self.cancel, daemon=True).start()

    def _read(self) -> bytes:
        try:
            return os.read(self._output, 1 << 16)
        except OSError:  # nobody has the other end any more
            return b""

    def _sweep(self, number: int) -> None:
        """The group outlives its first process where that has left others behind."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, number)
