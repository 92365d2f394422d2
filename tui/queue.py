"""The process that works through the queue, in a session of its own: `python -m finetty.tui.queue ROOT`.

    python -m finetty.tui.queue --turn RUN_FOLDER      one run's turn: planned anew, then trained

A run that fails does not keep the next one from starting.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from finetty.backend.messages import Refusal
from finetty.backend.runs import Run
from finetty.backend.runs.queue import LOG, claim, end, give_plan, holder_of, waiting, working

SECONDS_BETWEEN_LOOKS = 2.0

Start = Callable[[Run], "subprocess.Popen[bytes]"]


def main() -> None:
    if sys.argv[1] == "--turn":
        take_turn(Run.open(Path(sys.argv[2])))
    else:
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        work_through(Path(sys.argv[1]), _start)


def begin(root: Path) -> None:
    """See to it that some process works through the queue, whatever becomes of this terminal. Raises OSError."""
    log = os.open(root / LOG, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    command = [sys.executable, "-m", "finetty.tui.queue", str(root)]
    with open(os.devnull, "rb") as nothing:  # noqa: PTH123 - a device
        subprocess.Popen(command, stdin=nothing, stdout=log, stderr=log, start_new_session=True)
    os.close(log)


def work_through(root: Path, start: Start, *, pause: float = SECONDS_BETWEEN_LOOKS) -> None:
    """Start what waits, one at a time, until nothing waits. Returns at once where another process does it."""
    while waiting(root):
        with working(root) as mine:
            if not mine:
                return
            while runs := waiting(root):
                if holder_of(root, runs[0]):
                    time.sleep(pause)
                elif claim(runs[0]):
                    _see_through(runs[0], start)
        # What was put in while the lock was being let go has found it held: look once more.


def _see_through(run: Run, start: Start) -> None:
    code = start(run).wait()
    print(f"{time.strftime('%Y-%m-%d %H:%M:%S')} {run.id} {code}", flush=True)
    if run.status().state == "queued":
        end(run, "failed")


def _start(run: Run) -> subprocess.Popen[bytes]:
    """What it prints is in its own folder."""
    command = [sys.executable, "-m", "finetty.tui.queue", "--turn", str(run.path)]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL)


def take_turn(run: Run) -> None:
    """Plan again, now that the device is free, and become the process that trains. Exit code 2 where it cannot be."""
    from finetty.backend.planning import gather
    from finetty.backend.planning import plan as make_plan
    from finetty.tui.errors import EXIT_REFUSED
    from finetty.tui.processes import become

    try:
        recipe = run.recipe()
        facts = gather(recipe, runs_root=run.path.parent, report=lambda said: print(said.text, flush=True))
        planned = make_plan(recipe, facts.model, facts.machine, facts.data)
        if planned.errors:
            first = planned.errors[0]
            raise Refusal(first.message, first.fix, option=first.option)
    except Refusal as refusal:
        print(refusal, flush=True)
        end(run, "failed", refusal.said, refusal.fix)
        sys.exit(EXIT_REFUSED)
    give_plan(run, planned.to_json())
    become(run, "--plain")


def queued(paths: Sequence[Path], root: Path) -> list[Run]:
    """Put these recipes into the queue, all of them or none. Raises Refusal: a recipe that could not run even with all
    of the device's memory free."""
    from finetty.backend.planning import gather
    from finetty.backend.planning import plan as make_plan
    from finetty.backend.recipe import load_recipe
    from finetty.backend.runs.queue import enqueue

    planned = []
    for path in paths:
        recipe = load_recipe(path)
        facts = gather(recipe, runs_root=root, report=lambda said: print(said.text, file=sys.stderr))
        cards = tuple(replace(card, free=card.total) for card in facts.machine.gpus)
        machine = replace(facts.machine, gpus=cards, ram_available=facts.machine.ram_total)
        plan = make_plan(recipe, facts.model, machine, facts.data)
        if plan.errors:
            first = plan.errors[0]
            raise Refusal(first.message, first.fix, option=first.option, path=path)
        planned.append((recipe, plan))
    runs = []
    for recipe, plan in planned:
        run = Run.create(root, plan.to_json(), plan.recipe, asked=recipe)
        enqueue(run)
        runs.append(run)
    return runs


if __name__ == "__main__":
    main()
