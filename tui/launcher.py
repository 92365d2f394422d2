"""The entry point: on a terminal it stays as the holder, a few megabytes that outlive wizard and run.

Nothing heavy is imported here. The holder keeps the terminal's state, starts one child at a time, does what the child
asks for in JSON lines, and puts the terminal right when the child dies.
"""

from __future__ import annotations

import os
import signal
import sys
import termios
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from finetty.tui.held import Held
from finetty.tui.warm import Warm, set_environment

if TYPE_CHECKING:
    from typing import TextIO

    from finetty.backend.recipe import Recipe
    from finetty.tui.app import Start
    from finetty.tui.held import Child, Order

SCREENS = ("new", "demo", "setup", "train", "attach", "resume", "chat")
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
    saved, warm, held = termios.tcgetattr(0), Warm(), Held(child)
    try:
        return _hold_on(held, warm, saved)
    finally:
        warm.end()


def _hold_on(held: Held, warm: Warm, saved: list[Any]) -> int:
    order: Order = {}
    begun_ahead = False
    while True:
        status, orders = held.outcome(warm.hear)
        if begun_ahead and not orders and _died(status):  # of what it had imported: once more, from the beginning
            begun_ahead, held = False, Held(_next_child(order))
            continue
        order = orders[-1] if orders else {}
        if any(one["do"] == "leave_screen" for one in orders):
            _leave_screen()
        if order.get("do") == "detach":
            _say(order.get("text", ""), sys.stdout)
            return 0
        if os.WIFSIGNALED(status):
            _restore(saved)
            return _say_death(os.WTERMSIG(status), orders, machine_lacked_memory=held.machine_lacked_memory)
        if order.get("do") not in ("run", "wizard"):
            return os.WEXITSTATUS(status)
        set_environment(order)
        taken = warm.taken(order)
        begun_ahead, held = taken is not None, taken or Held(_next_child(order))


def _died(status: int) -> bool:
    """Whether a process that had not begun its run ended by itself: nobody stopped it, and it refused nothing."""
    from finetty.tui.errors import EXIT_REFUSED

    if os.WIFSIGNALED(status):
        return os.WTERMSIG(status) not in (signal.SIGINT, signal.SIGTERM)
    return os.WEXITSTATUS(status) not in (0, EXIT_REFUSED)


def command_line(arguments: list[str]) -> None:
    """The command line in this very process; without arguments the app itself, which saves it a tenth of a second."""
    from finetty.backend.settings import apply, kept_settings

    sys.argv[1:] = arguments
    apply(kept_settings())
    if not arguments:
        from finetty.tui.errors import with_errors_said

        with_errors_said(open_home)
        return
    from finetty.tui.cli import main as run_command

    run_command()


def open_home() -> None:
    """The first screen, and before it, at the very first start, the guided set-up."""
    from finetty.backend.settings import kept_settings

    open_app("home" if kept_settings().set_up else "setup")


def open_app(start: Start, recipe: Recipe | None = None, **opened_with: Any) -> None:
    """The app on a terminal, opened as FinettyApp takes it; without one, a sentence that says what to use instead."""
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

    FinettyApp(draft=recipe, start=start, **opened_with).run_and_hand_over()


def run_child(run: str, *options: str) -> Child:
    """Become the process that trains in this run's folder: a fresh interpreter."""
    command = [sys.executable, "-m", "finetty.tui.run", run, *options]
    return lambda: os.execv(command[0], command)


def _next_child(order: dict[str, Any]) -> Child:
    if order["do"] == "run":
        return run_child(order["run"], *order.get("options", ()))
    fault = ["--fault", order["fault"]] if order.get("fault") else []
    return lambda: command_line(["new", order["draft"], *fault])


def _restore(saved: list[Any]) -> None:
    """Give the terminal its modes back, and leave the screen if the dead child was on one: then input was raw."""
    with suppress(OSError, termios.error):  # the terminal is gone too
        if termios.tcgetattr(0)[3] != saved[3]:
            _leave_screen()
        termios.tcsetattr(0, termios.TCSAFLUSH, saved)


def _leave_screen() -> None:
    """What ends a screen that the child could not end itself; waits as long as the terminal takes nothing."""
    with suppress(OSError):
        os.write(1, _LEAVE.encode())


def _say(text: str, stream: TextIO) -> None:
    with suppress(OSError):
        print(text, file=stream, flush=True)


def _say_death(number: int, orders: list[dict[str, Any]], *, machine_lacked_memory: bool) -> int:
    """Say what killed the child and how to go on; returns the exit code."""
    from finetty.tui.language import _

    cause = signal.Signals(number).name if number in set(signal.Signals) else str(number)
    run = next((order["run"] for order in reversed(orders) if order["do"] == "training"), None)
    if number in (signal.SIGINT, signal.SIGTERM):
        sentence = (
            _("finetty was ended by {cause} at once, without saving.") if run else _("finetty was ended by {cause}.")
        )
    elif number == signal.SIGKILL and machine_lacked_memory:
        sentence = _(
            "Memory had run out, and the system killed finetty's process ({cause}). "
            "Free some, or take a smaller model or micro-batch."
        )
    elif number == signal.SIGKILL:
        sentence = _("finetty's process was killed by {cause}; a machine that runs out of memory does that.")
    else:
        sentence = _("finetty's process died of {cause}.")
    _say(sentence.format(cause=cause), sys.stderr)
    if run:
        _say(_("The run's console.log may say more."), sys.stderr)
        _say(_("resume it:  finetty resume {run}").format(run=run), sys.stderr)
    return 128 + number if number in (signal.SIGINT, signal.SIGTERM) else 1


if __name__ == "__main__":
    main()
