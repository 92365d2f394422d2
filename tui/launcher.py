"""The entry point: on a terminal it stays as the holder, a few megabytes that outlive wizard and run.

Nothing heavy is imported here. The holder keeps the terminal's state, starts one child at a time, does what the child
asks for in JSON lines, and puts the terminal right when the child dies.
"""

from __future__ import annotations

import os
import select
import signal
import sys
import termios
from typing import TYPE_CHECKING, Any

from finetty.tui.holder import VARIABLE

if TYPE_CHECKING:
    from collections.abc import Callable

    from finetty.backend.recipe import Recipe
    from finetty.tui.app import Start

    Child = Callable[[], None]

SCREENS = ("new", "demo", "train", "attach", "resume")
"""The commands that open a screen when they are on a terminal."""
WITHOUT_SCREEN = ("--plain", "--help", "-h", "--version")
OPTIONS_WITH_VALUE = ("--lang", "--runs-dir")

_LEAVE = (
    "\x18"  # ends the sequence that a killed process left half-written
    "\x1b[?1000l\x1b[?1002l\x1b[?1003l\x1b[?1006l\x1b[?1015l\x1b[?1016l"  # the mouse
    "\x1b[?2004l\x1b[?1004l\x1b[?2048l\x1b[?2026l"  # paste, focus, resize, synchronized output
    "\x1b[<u\x1b[?7h\x1b[?1049l\x1b[?25h\x1b[0m"  # keyboard, wrap, alternate screen, cursor, colours
)


def main() -> None:
    """Run finetty on this process's arguments."""
    if wants_screen(sys.argv[1:]) and on_terminal():
        sys.exit(hold(lambda: command_line(sys.argv[1:])))
    command_line(sys.argv[1:])


def wants_screen(arguments: list[str]) -> bool:
    """Whether these arguments open a screen where there is a terminal; no command at all opens the app."""
    if any(argument in WITHOUT_SCREEN for argument in arguments):
        return False
    words = iter(arguments)
    for word in words:
        if word in OPTIONS_WITH_VALUE:
            next(words, None)
        elif not word.startswith("-"):
            return word in SCREENS
    return True


def on_terminal() -> bool:
    """Whether a screen can be shown: input and output are a terminal that this process has in the foreground."""
    if not (os.isatty(0) and os.isatty(1)) or os.environ.get("TERM", "dumb") == "dumb":
        return False
    try:
        return os.tcgetpgrp(0) == os.getpgrp()
    except OSError:
        return False


def hold(child: Child) -> int:
    """Keep the terminal while children use it, one after the other; returns the exit code."""
    saved = termios.tcgetattr(0)
    while True:
        status, orders = _Held(child).outcome()
        last = orders[-1] if orders else {}
        if last.get("do") == "detach":
            print(last.get("text", ""), flush=True)
            return 0
        if os.WIFSIGNALED(status):
            _restore(saved)
            return _say_death(os.WTERMSIG(status), orders)
        if last.get("do") not in ("run", "wizard"):
            return os.WEXITSTATUS(status)
        child = _next_child(last)


def command_line(arguments: list[str]) -> None:
    """The command line in this very process; without arguments the app itself, which saves it a tenth of a second."""
    sys.argv[1:] = arguments
    if not arguments:
        from finetty.tui.errors import with_errors_said

        with_errors_said(lambda: open_app("home"))
        return
    from finetty.tui.cli import main as run_command

    run_command()


def open_app(start: Start, recipe: Recipe | None = None, *, fault: str | None = None) -> None:
    """The app on a terminal; without one, a sentence that says what to use instead."""
    if not on_terminal():
        from finetty.tui.errors import stop
        from finetty.tui.language import _

        stop(
            _(
                "finetty's screen needs a terminal. Without one, use `finetty train RECIPE --plain`, "
                "`finetty plan RECIPE` or `finetty demo`; `finetty --help` lists every command."
            )
        )
    from finetty.tui.app import FinettyApp

    FinettyApp(draft=recipe, start=start, fault=fault).run_and_hand_over()


def run_child(run: str, *options: str) -> Child:
    """Become the process that trains in this run's folder: a fresh interpreter."""
    command = [sys.executable, "-m", "finetty.tui.run", run, *options]
    return lambda: os.execv(command[0], command)


def _next_child(order: dict[str, Any]) -> Child:
    os.environ.update(order.get("environment", {}))
    if order["do"] == "run":
        return run_child(order["run"], *order.get("options", ()))
    fault = ["--fault", order["fault"]] if order.get("fault") else []
    return lambda: command_line(["new", order["draft"], *fault])


class _Held:
    """One child: started on the terminal, watched until it ends or goes its own way."""

    def __init__(self, child: Child) -> None:
        self._heard, talk = os.pipe()
        lifeline, self._life = os.pipe()
        self._wake, woken = os.pipe()
        self._woken = woken
        os.set_blocking(woken, False)
        signal.set_wakeup_fd(woken)
        # Ctrl+C reaches the child by itself.
        signal.signal(signal.SIGINT, lambda *_: None)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        self._orders: list[dict[str, Any]] = []
        self._unread = b""
        self.pid = os.fork()
        if self.pid == 0:
            self._become(child, talk, lifeline)
        signal.signal(signal.SIGTERM, lambda number, _: os.kill(self.pid, number))
        os.close(talk)
        os.close(lifeline)

    def outcome(self) -> tuple[int, list[dict[str, Any]]]:
        """The wait status and what the child asked for. A child that detached is not waited for: status 0."""
        poll = select.poll()
        poll.register(self._heard, select.POLLIN)
        poll.register(self._wake, select.POLLIN)
        status = None
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
            self._close()

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
            self._orders += [json.loads(line) for line in lines]
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

    def _close(self) -> None:
        signal.set_wakeup_fd(-1)
        for descriptor in (self._heard, self._life, self._wake, self._woken):
            os.close(descriptor)


def _restore(saved: list[Any]) -> None:
    """Give the terminal its modes back, and leave the screen if the dead child was on one: then input was raw."""
    try:
        if termios.tcgetattr(0)[3] != saved[3]:
            os.write(1, _LEAVE.encode())
        termios.tcsetattr(0, termios.TCSAFLUSH, saved)
    except (OSError, termios.error):
        pass  # the terminal is gone too


def _say_death(number: int, orders: list[dict[str, Any]]) -> int:
    """Say what killed the child and how to go on; returns the exit code."""
    from finetty.tui.language import _

    cause = signal.Signals(number).name if number in set(signal.Signals) else str(number)
    run = next((order["run"] for order in reversed(orders) if order["do"] == "training"), None)
    if number in (signal.SIGINT, signal.SIGTERM):
        sentence = (
            _("finetty was ended by {cause} at once, without saving.") if run else _("finetty was ended by {cause}.")
        )
    elif number == signal.SIGKILL:
        sentence = _("finetty's process was killed by {cause}; a machine that runs out of memory does that.")
    else:
        sentence = _("finetty's process died of {cause}.")
    print(sentence.format(cause=cause), file=sys.stderr)
    if run:
        print(
            _("Its console.log may say more. Resume it with `finetty resume {run}`.").format(run=run), file=sys.stderr
        )
    return 128 + number if number in (signal.SIGINT, signal.SIGTERM) else 1


if __name__ == "__main__":
    main()
