"""The ways in which a run leaves its terminal, and whether a person can go on working on it."""

from __future__ import annotations

import os
import signal
import sys
import termios
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tests.e2e.survival import (
    ENVIRONMENT,
    end,
    held,
    in_the_middle,
    parent,
    pid,
    read_for,
    stall,
    stepping_run,
    wait_until,
)
from tests.e2e.terminal import Terminal

from finetty.backend.messages import Refusal
from finetty.backend.runs import Run


@dataclass(frozen=True)
class Ending:
    """What ends it, the exit code that follows, and what must then stand on the screen (`{run}` is its id)."""

    bring: Callable[[Terminal, Run], None]
    code: int
    said: str = "{run}"
    environment: tuple[tuple[str, str], ...] = ()
    traced: bool = False
    """Whether the console log says where the process was when it died."""


def leave_a_terminal(name: str, folder: Path, *, stalled: bool = False) -> str:
    """End a run that steps, and look at its terminal: what is wrong with it, empty where nothing is.

    A terminal that is `stalled` takes nothing when the end comes, and is read again after it.
    """
    ending, run = ENDINGS[name], stepping_run(folder)
    try:
        with Terminal(held(run), (100, 30), env={**ENVIRONMENT, **dict(ending.environment)}) as terminal:
            child = in_the_middle(terminal, run)
            if stalled:
                stall(child)
            ending.bring(terminal, run)
            if stalled:
                wait_until(lambda: not _exists(child) or run.status().state == "running", "the end")
            return _wrong_with(terminal, ending, run, stalled=stalled)
    except (AssertionError, OSError, Refusal) as error:
        return f"{type(error).__name__}: {error}"
    finally:
        end(run)


def _wrong_with(terminal: Terminal, ending: Ending, run: Run, *, stalled: bool) -> str:
    code, said = terminal.exit_code(60), ending.said.format(run=run.id)
    wrong = [f"{mode} left on" for mode in terminal.leftovers()]
    if code != ending.code:
        wrong.append(f"exit code {code}, not {ending.code}")
    if not terminal.cursor_is_shown():
        wrong.append("no cursor")
    if terminal.modes() != _fresh_modes():
        wrong.append("terminal modes are not those of a new one")
    if ending.traced and b"Fatal Python error" not in run.console_path.read_bytes():
        wrong.append("console.log does not say where it died")
    if not stalled and said not in terminal.screen():
        wrong.append(f"{said!r} is not on the screen:\n{terminal.screen()}")
    return "; ".join(wrong)


def _fresh_modes() -> list[object]:
    master, slave = os.openpty()
    try:
        return termios.tcgetattr(slave)
    finally:
        os.close(master)
        os.close(slave)


def _exists(process: int) -> bool:
    return Path(f"/proc/{process}").exists()


def _press(*keys: str) -> Callable[[Terminal, Run], None]:
    return lambda terminal, _run: terminal.press(*keys)


def _signal(number: signal.Signals) -> Callable[[Terminal, Run], None]:
    return lambda _terminal, run: os.kill(pid(run), number)


def _signal_holder(number: signal.Signals) -> Callable[[Terminal, Run], None]:
    return lambda _terminal, run: os.kill(parent(pid(run)), number)


def _twice(number: signal.Signals) -> Callable[[Terminal, Run], None]:
    def bring(_terminal: Terminal, run: Run) -> None:
        os.kill(pid(run), number)
        wait_until(lambda: run.status().state == "saving", "it saves")
        os.kill(pid(run), number)

    return bring


def _resize_and_detach(terminal: Terminal, _run: Run) -> None:
    for columns, lines in ((200, 60), (20, 5), (300, 100), (1, 1), (80, 24)) * 20:
        terminal.resize(columns, lines)
        terminal.read(0)
    read_for(terminal, 0.5)
    terminal.press("d")


def _finish(terminal: Terminal, _run: Run) -> None:
    terminal.wait_for("finished")
    terminal.press("enter")


def _ask_and_stop(terminal: Terminal, _run: Run) -> None:
    terminal.press("ctrl+c")
    terminal.wait_for("What becomes of the run?")
    read_for(terminal, 1)  # a question takes no key that may have been on its way before it came up
    terminal.press("s")
    terminal.wait_for("stopped")
    terminal.press("enter")


_SAVES_LONG = (("SAVING", "60"),)
_RESUME = "finetty resume {run}"

ENDINGS = {
    "detach": Ending(_press("d"), 0, "finetty attach {run}"),
    "resize storm, detach": Ending(_resize_and_detach, 0, "finetty attach {run}"),
    "Ctrl+C, stop": Ending(_ask_and_stop, 130),
    "finished": Ending(_finish, 0, environment=(("STEPS", "300"),)),
    "SIGINT": Ending(_signal(signal.SIGINT), 130),
    "SIGTERM": Ending(_signal(signal.SIGTERM), 143),
    "SIGTERM of the holder": Ending(_signal_holder(signal.SIGTERM), 143),
    "SIGINT twice": Ending(_twice(signal.SIGINT), 130, _RESUME, _SAVES_LONG),
    "SIGTERM twice": Ending(_twice(signal.SIGTERM), 143, _RESUME, _SAVES_LONG),
    "SIGKILL": Ending(_signal(signal.SIGKILL), 1, _RESUME),
    "SIGSEGV": Ending(_signal(signal.SIGSEGV), 1, _RESUME, traced=True),
    "SIGABRT": Ending(_signal(signal.SIGABRT), 1, _RESUME, traced=True),
}
ON_STALLED = ("detach", "SIGTERM", "SIGTERM twice", "SIGKILL", "SIGSEGV")
"""Those that are tried also where nobody reads the terminal when they come."""


if __name__ == "__main__":
    import tempfile

    for one, unread in [*((name, False) for name in ENDINGS), *((name, True) for name in ON_STALLED)]:
        if len(sys.argv) < 2 or sys.argv[1] in one:
            with tempfile.TemporaryDirectory() as place:
                print(one, unread, leave_a_terminal(one, Path(place), stalled=unread) or "ok", flush=True)
