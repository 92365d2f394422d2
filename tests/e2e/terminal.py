"""The installed program in a real pseudo-terminal, with the screen that a person would see."""

from __future__ import annotations

import fcntl
import os
import pty
import select
import signal
import struct
import sys
import termios
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import pyte
import pyte.modes

FINETTY = str(Path(sys.executable).with_name("finetty"))

KEYS = {
    "enter": "\r",
    "escape": "\x1b",
    "tab": "\t",
    "shift+tab": "\x1b[Z",
    "backspace": "\x7f",
    "up": "\x1b[A",
    "down": "\x1b[B",
    "right": "\x1b[C",
    "left": "\x1b[D",
    "pageup": "\x1b[5~",
    "pagedown": "\x1b[6~",
    "home": "\x1b[H",
    "end": "\x1b[F",
    "f1": "\x1bOP",
    "f2": "\x1bOQ",
    **{f"ctrl+{letter}": chr(ord(letter) - 96) for letter in "abcdefghijklmnopqrstuvwxyz"},
}


class Terminal:
    """A program on a terminal of its own. Nothing is read from it but while waiting, as on a line that stalls."""

    def __init__(
        self,
        command: Sequence[str],
        size: tuple[int, int] = (80, 24),
        *,
        env: dict[str, str] | None = None,
        cwd: Path | None = None,
    ) -> None:
        """Start `command` ("finetty" is the installed one) as the leader of a session; `size` is (columns, lines)."""
        self._screen = _Screen(*size)
        self._stream = pyte.ByteStream(self._screen)
        self.raw = b""
        self._status: int | None = None
        command = [FINETTY if word == "finetty" else word for word in command]
        environment = {**os.environ, "TERM": "xterm-256color", "COLORTERM": "truecolor", "LANG": "C.UTF-8"}
        for name in ("NO_COLOR", "FINETTY_LANG", "LC_ALL", "LC_MESSAGES", "COLUMNS", "LINES"):
            environment.pop(name, None)
        environment |= env or {}
        self.pid, self._master = pty.fork()
        if self.pid == 0:
            _become(command, environment, size, cwd)
        self._descriptor: int | None = self._master

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def send(self, keys: str) -> None:
        """Type text as it is."""
        assert self._descriptor is not None
        os.write(self._descriptor, keys.encode())

    def press(self, *keys: str) -> None:
        """Press keys by Textual's names (`enter`, `ctrl+r`, `f1`, `a`), one after the other."""
        for key in keys:
            self.send(KEYS.get(key, key))

    def wait_for(self, text: str, seconds: float = 30) -> str:
        """Read until `text` is on the screen; returns the screen. Fails with the screen when it does not come."""
        return self.wait_until(lambda screen: text in screen, seconds, f"{text!r}")

    def wait_gone(self, text: str, seconds: float = 30) -> str:
        return self.wait_until(lambda screen: text not in screen, seconds, f"no {text!r}")

    def wait_until(self, is_so: Callable[[str], bool], seconds: float, what: str) -> str:
        until = time.monotonic() + seconds
        while not is_so(self.screen()):
            if time.monotonic() > until:
                raise AssertionError(f"waited {seconds} s for {what} on this screen:\n{self.screen()}")
            if not self.read(0.1) and self.has_ended():
                self.read(0.1)
                if is_so(self.screen()):
                    break
                raise AssertionError(f"the program ended without {what} on this screen:\n{self.screen()}")
        return self.screen()

    def read(self, seconds: float) -> bool:
        """Take in what the program has written; False when there was nothing."""
        if self._descriptor is None or not select.select([self._descriptor], [], [], seconds)[0]:
            return False
        try:
            content = os.read(self._descriptor, 1 << 16)
        except OSError:  # nobody has the other end any more
            return False
        self.raw += content
        self._stream.feed(content)
        return bool(content)

    def screen(self) -> str:
        """The lines of the screen, without the blanks at their ends."""
        return "\n".join(line.rstrip() for line in self._screen.display)

    def cursor_is_shown(self) -> bool:
        return not self._screen.cursor.hidden

    def leftovers(self) -> list[str]:
        """The modes that a program has left switched on and that a shell does not want."""
        modes = {"1049": "alternate screen", "1000": "mouse", "1003": "mouse moves", "1006": "mouse coordinates"}
        modes |= {"2004": "bracketed paste", "1004": "focus", "1002": "mouse drags", "1015": "mouse coordinates"}
        modes |= {"1016": "mouse pixels", "2048": "resize", "2026": "synchronized output"}
        on = [name for mode, name in modes.items() if self._screen.private.get(mode)]
        flags = self.modes()[3]
        return on + ([] if flags & termios.ECHO and flags & termios.ICANON else ["raw input"])

    def modes(self) -> list[Any]:
        """The terminal's own modes, as `stty` shows them."""
        return termios.tcgetattr(self._master)

    def resize(self, columns: int, lines: int) -> None:
        _set_size(self._master, columns, lines)
        self._screen.resize(lines, columns)

    def hang_up(self) -> None:
        """Close the terminal, as when the line drops."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def has_ended(self) -> bool:
        if self._status is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            self._status = status if pid else None
        return self._status is not None

    def exit_code(self, seconds: float = 30) -> int:
        """Wait for the program's end, reading on; a death by signal is its negative number."""
        until = time.monotonic() + seconds
        while not self.has_ended():
            if time.monotonic() > until:
                raise AssertionError(f"still running after {seconds} s, with this screen:\n{self.screen()}")
            if not self.read(0.05):
                time.sleep(0.02)
        while self.read(0.1):
            pass
        assert self._status is not None
        return os.waitstatus_to_exitcode(self._status)

    def close(self) -> None:
        """End the program, and with it its terminal."""
        if not self.has_ended():
            os.kill(self.pid, signal.SIGKILL)
            os.waitpid(self.pid, 0)
            self._status = signal.SIGKILL
        self.hang_up()


class _Screen(pyte.Screen):
    """pyte's screen that notes private modes down, has an alternate screen of a kind, and answers no question."""

    def __init__(self, columns: int, lines: int) -> None:
        self.private: dict[str, bool] = {}
        super().__init__(columns, lines)

    def set_mode(self, *modes: int, **options: Any) -> None:
        self._note(modes, options, on=True)
        super().set_mode(*modes, **options)

    def reset_mode(self, *modes: int, **options: Any) -> None:
        self._note(modes, options, on=False)
        super().reset_mode(*modes, **options)

    def _note(self, modes: tuple[int, ...], options: dict[str, Any], *, on: bool) -> None:
        if options.get("private"):
            self.private |= {str(mode): on for mode in modes}
            if 1049 in modes:
                self.erase_in_display(2)
                self.cursor_position(1, 1)

    def report_device_attributes(self, *_: Any, **__: Any) -> None:
        """Nobody is answered."""

    def report_device_status(self, *_: Any, **__: Any) -> None:
        """Nobody is answered."""


def _become(command: list[str], environment: dict[str, str], size: tuple[int, int], cwd: Path | None) -> None:
    """In the child: the program, on a terminal of this size."""
    try:
        _set_size(0, *size)
        if cwd:
            os.chdir(cwd)
        os.execvpe(command[0], command, environment)
    finally:
        os._exit(127)


def _set_size(descriptor: int, columns: int, lines: int) -> None:
    fcntl.ioctl(descriptor, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))
