"""The terminal under Textual, taken so that its death never reaches the training in the same process.

Textual's own driver starts second reader and writer threads on the SIGCONT that a hang-up brings, dies of a failed
write and spins on a terminal that is gone. This one loses the terminal quietly and closes the app; whoever ran the app
sees that it came back without a result.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import threading
import time
from typing import Any

from textual.app import App
from textual.drivers.linux_driver import LinuxDriver

from finetty.tui.holder import Holder
from finetty.tui.wire import lean

SECONDS_TO_LEAVE = 2.0
"""How long a terminal that takes no more bytes may hold up the end of the app."""


class Terminal:
    """The terminal as the file that Textual writes to, on a description of its own; it never raises.

    Standard output and error may then go elsewhere, and a terminal that stalls holds up only the writer thread.
    """

    encoding = "utf-8"

    def __init__(self) -> None:
        self._descriptor = _own_description()
        self.lost = False
        self.cut_off = False
        """Whether something was dropped on a terminal that is still there: it may be in the middle of a sequence."""
        self._leaving_until: float | None = None

    def write(self, text: str) -> int:
        """Write to the terminal, waiting while it takes nothing; what it cannot take any more is dropped."""
        content = lean(text).encode("utf-8", "replace")
        while content and not self._given_up():
            content = content[self._write_some(content) :]
        self.cut_off |= bool(content) and not self.lost
        return len(text)

    def flush(self) -> None:
        """Nothing is held back."""

    def fileno(self) -> int:
        return self._descriptor

    def isatty(self) -> bool:
        return True

    def close(self) -> None:
        self.lost = True
        os.close(self._descriptor)

    def hurry(self) -> None:
        """The app is to end: wait no longer than SECONDS_TO_LEAVE for a terminal that takes nothing."""
        self._leaving_until = self._leaving_until or time.monotonic() + SECONDS_TO_LEAVE

    def size(self) -> tuple[int, int]:
        """Columns and lines."""
        try:
            columns, lines = os.get_terminal_size(self._descriptor)
        except OSError:
            return 80, 24
        return columns or 80, lines or 24

    def is_gone(self) -> bool:
        """Whether the line has been hung up."""
        poll = select.poll()
        poll.register(self._descriptor, 0)
        return any(found & (select.POLLHUP | select.POLLERR | select.POLLNVAL) for _, found in poll.poll(0))

    def in_foreground(self) -> bool:
        """Whether this process may set the terminal's modes, or the shell has it back already."""
        try:
            return os.tcgetpgrp(self._descriptor) == os.getpgrp()
        except OSError:
            return False

    def _given_up(self) -> bool:
        return self.lost or (self._leaving_until is not None and time.monotonic() > self._leaving_until)

    def _write_some(self, content: bytes) -> int:
        poll = select.poll()
        poll.register(self._descriptor, select.POLLOUT)
        try:
            return os.write(self._descriptor, content) if poll.poll(100) else 0
        except BlockingIOError:
            return 0
        except OSError:
            self.lost = True
            return 0


class TerminalDriver(LinuxDriver):
    """Textual's driver on a terminal that may go away, or whose holder may."""

    def __init__(self, app: App[Any], **options: Any) -> None:
        self._terminal = Terminal()
        self._closed = False
        self._end, self._ending = os.pipe()
        self._watcher = threading.Thread(target=self._watch, name="terminal-watch", daemon=True)
        super().__init__(app, **options)
        self._file = self._terminal  # type: ignore[assignment]  # the part of a file that the writer thread uses
        for stop in (signal.SIGTSTP, signal.SIGCONT):
            signal.signal(stop, lambda *_: None)
        signal.signal(signal.SIGHUP, lambda *_: self.lose())

    def start_application_mode(self) -> None:
        super().start_application_mode()  # type: ignore[no-untyped-call]
        # Once the holder is killed the shell has the terminal back: setting its modes must not stop the training.
        signal.signal(signal.SIGTTOU, signal.SIG_IGN)
        signal.signal(signal.SIGTTIN, signal.SIG_IGN)
        self._watcher.start()

    def stop_application_mode(self) -> None:
        self._terminal.hurry()
        if not self._terminal.in_foreground():
            self.attrs_before = None
        super().stop_application_mode()

    def close(self) -> None:
        """Let go of the terminal altogether: one that a training process holds open cannot be closed by its user."""
        super().close()
        if self._closed:
            return
        self._closed = True
        os.close(self._ending)
        if self._watcher.is_alive():
            self._watcher.join()
        os.close(self._end)
        cut_off = self._terminal.cut_off
        self._terminal.close()
        if cut_off and (holder := Holder.ours()):
            holder.tell("leave_screen")

    def lose(self) -> None:
        """The terminal is gone: write and read no more, and close the app. Also called from a signal handler."""
        if self._closed:
            return
        self._terminal.lost = True
        nothing = os.open(os.devnull, os.O_RDWR)
        os.dup2(nothing, self.fileno)
        os.close(nothing)
        self.exit_event.set()
        self.close_app()

    def close_app(self) -> None:
        """End the app without a result, from any thread; a stalled terminal holds that up for a moment at most."""
        self._terminal.hurry()
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._app.exit)

    def _watch(self) -> None:
        """Wait, asleep, for the line to be hung up, the holder to be killed, or the app to end."""
        poll, holder = select.poll(), Holder.ours()
        for descriptor in (self._terminal.fileno(), self._end, *([holder.lifeline] if holder else [])):
            poll.register(descriptor, 0)
        found = [descriptor for descriptor, _ in poll.poll()]
        if self._end in found:
            return
        if self._terminal.fileno() in found:
            self.lose()
        else:
            self.close_app()

    def _get_terminal_size(self) -> tuple[int, int]:
        return self._terminal.size()

    def _run_input_thread(self) -> None:
        try:
            self.run_input_thread()
        except OSError:
            # In the background, reading fails on a terminal that is still there: leave it as it should be left.
            self.lose() if self._terminal.is_gone() else self.close_app()


def _own_description() -> int:
    """A descriptor of the terminal whose flags nobody shares: a flag set on standard output is set in the shell too.

    After `su` the terminal's own name belongs to somebody else, and /dev/tty leads to it all the same.
    """
    flags = os.O_WRONLY | os.O_NOCTTY | os.O_NONBLOCK | os.O_CLOEXEC
    for name in (_name_of_input(), "/dev/tty"):
        with contextlib.suppress(OSError):
            return os.open(name, flags)
    return os.dup(0)


def _name_of_input() -> str:
    try:
        return os.ttyname(0)
    except OSError:
        return "/dev/tty"
