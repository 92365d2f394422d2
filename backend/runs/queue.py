"""The queue: runs that wait for their device, started one after another by one process that outlives the terminal.

A waiting run holds a file `waiting`. Whoever removes that file has the run: the process that works through the queue,
to start it, or the person who takes it out. So neither needs to know of the other.
"""

from __future__ import annotations

import fcntl
import json
import os
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from finetty.backend.files import write_new, write_whole
from finetty.backend.messages import Message, Refusal
from finetty.backend.runs.directory import Run, list_runs
from finetty.backend.runs.events import EventLog

LOCK, LOG = ".queue.lock", ".queue.log"
"""In the folder of all runs, where no run can have such a name."""


def enqueue(run: Run) -> None:
    """Put a run that has not begun at the end of the queue. Raises OSError."""
    write_new(_mark(run), f"{time.time_ns()}\n".encode())


def waiting(root: Path) -> list[Run]:
    """The runs that wait, the next one first. One that was begun by hand waits no more."""
    aged = [(age, run) for run in list_runs(root) if (age := _since(run)) is not None]
    return [run for _age, run in sorted(aged, key=lambda pair: pair[0])]


def claim(run: Run) -> bool:
    """Take a run off the queue; True for the one process that did."""
    try:
        _mark(run).unlink()
    except FileNotFoundError:
        return False
    return True


def take_out(run: Run) -> bool:
    """Take a waiting run out of the queue: it is then stopped, and `finetty resume` begins it. False when it did not
    wait any more. Raises OSError."""
    if not claim(run):
        return False
    end(run, "stopped")
    return True


def end(run: Run, state: str, said: Message | None = None, fix: Message | None = None) -> None:
    """Write down what became of a run that never began. Raises OSError."""
    log = EventLog(run)
    if said is not None:
        told = {"message": said.to_json(), "advice": fix.to_json() if fix else None}
        advice = fix.text if fix else None
        log.append("alert", level="error", code=said.id, message=said.text, advice=advice, said=told)
    log.append("state", state=state)
    log.close()
    run.write_status(state=state)


def give_plan(run: Run, plan: Mapping[str, Any]) -> None:
    """The plan as it is when the run's turn comes: by then the memory is free again. Raises OSError."""
    write_whole(run.plan_path, (json.dumps(plan, ensure_ascii=False, indent=1, allow_nan=False) + "\n").encode())
    run.write_status(total=plan.get("steps"))


def device_of(run: Run) -> tuple[str, str | None] | None:
    """The kind and UUID of the device that its plan names; None where it names none."""
    try:
        device = run.plan_document()["memory"]["device"]
        return device["kind"], device.get("uuid")
    except (Refusal, KeyError, TypeError):
        return None


def holder_of(root: Path, run: Run) -> Run | None:
    """A live run that has the device `run` is for."""
    wanted = device_of(run)
    for other in list_runs(root):
        with suppress(Refusal):
            if other.is_alive() and device_of(other) == wanted:
                return other
    return None


@contextmanager
def working(root: Path) -> Iterator[bool]:
    """Whether this process is the one that works through the queue; the lock goes with the process."""
    descriptor = os.open(root / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
        else:
            yield True
    finally:
        os.close(descriptor)


def _mark(run: Run) -> Path:
    return run.path / "waiting"


def _since(run: Run) -> int | None:
    try:
        since = int(_mark(run).read_bytes())
        return since if run.status().state == "queued" else None
    except (OSError, ValueError, Refusal):
        return None
