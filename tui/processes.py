"""Handing a run over to the process that trains, and letting that process go its own way."""

from __future__ import annotations

import contextlib
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from finetty.backend.runs import Run
from finetty.backend.settings import SAID_BY
from finetty.tui import launcher
from finetty.tui.holder import Holder
from finetty.tui.language import _, language

if TYPE_CHECKING:
    from finetty.backend.machine.facts import MachineFacts
    from finetty.backend.planning.plan import Plan

ROOM_TO_WARM = 4 << 30
"""Bytes of memory that must be free beside the run's own before its libraries are loaded ahead; they take 0.6 GB."""


def hand_over(run: Run, *, plain: bool, resume: bool = False) -> NoReturn:
    """Have this run trained, in a fresh interpreter.

    On a terminal the holder starts it once this process has ended; without a screen this very process becomes it.
    """
    resuming = ("--resume",) if resume else ()
    holder = Holder.ours()
    os.environ["FINETTY_LANG"] = language()
    if plain:
        become(run, "--plain", *resuming)
    if holder is None and launcher.on_terminal():
        sys.exit(launcher.hold(launcher.run_child(str(run.path), *resuming)))
    if holder is None or not holder.tell("run", run=str(run.path), options=resuming, environment=_settings()):
        # The terminal went while the run was being prepared; it was asked for, so it is trained.
        become(run, "--plain", *resuming)
    print(_("Starting {run}.").format(run=run.id), flush=True)
    sys.exit(0)


def warm_order(plan: Plan, machine: MachineFacts) -> dict[str, Any] | None:
    """What to tell the holder so that a run of this plan finds its libraries loaded; None where that would not help."""
    from finetty.backend.training.place import on_cpu, surroundings

    prediction = plan.memory.exact or plan.memory.live
    needed = prediction.process if prediction and on_cpu(plan) else 0
    devices = plan.recipe.hardware.devices
    of_several = isinstance(devices, list) and len(devices) > 1
    if plan.errors or of_several or machine.ram_available - needed < ROOM_TO_WARM:
        return None
    first = ["unsloth"] if plan.recipe.acceleration.unsloth else []
    return {"first": first, "environment": {**_settings(), **surroundings(plan)}}


def back_to_wizard(run: Run, option: str | None) -> bool:
    """Have the wizard opened with this run's answers, at this option, once this process has ended.

    False where there is no holder to do it.
    """
    holder = Holder.ours()
    return bool(
        holder
        and holder.tell(
            "wizard", draft=str(run.recipe_path), fault=option, environment={**_settings(), "FINETTY_LANG": language()}
        )
    )


def _settings() -> dict[str, str | None]:
    """What command line and settings chose for the whole program: language, folders, ASCII; None what is not said."""
    said = {name: value for name, value in os.environ.items() if name.startswith("FINETTY_")}
    return {**{name: os.environ.get(name) for name in SAID_BY}, **said}


def become(run: Run, *options: str) -> NoReturn:
    sys.stdout.flush()
    sys.stderr.flush()
    launcher.run_child(str(run.path), *options)()
    raise AssertionError("exec came back")


def leave_terminal(console: Path) -> None:
    """Become a session of its own, with nothing of the terminal: input from nowhere, output into the console log."""
    with contextlib.suppress(OSError):  # a process that leads its group has no holder, and stays in its session
        os.setsid()
    point(os.devnull, os.O_RDONLY, 0)
    point(console, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW, 1, 2)


def point(path: Path | str, flags: int, *descriptors: int) -> None:
    """Let these descriptors lead to a file. Raises OSError."""
    opened = os.open(path, flags, 0o600)
    for descriptor in descriptors:
        os.dup2(opened, descriptor)
    os.close(opened)
