"""One way of training, tried: planned, trained in a process of its own, and what came of it."""

from __future__ import annotations

import os
import signal
import statistics
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil

from finetty.backend.machine import watch_gpus
from finetty.backend.messages import Refusal
from finetty.backend.planning import Plan, gather, plan
from finetty.backend.proving.paths import TrainingPath
from finetty.backend.recipe import Recipe, with_values
from finetty.backend.runs import Run, history

STEPS = 20
WARM = 3
"""Steps at the beginning that say nothing of the speed."""
PATIENCE = 1800
"""Seconds for one way of training: 4-bit weights on a processor are slow."""
SECONDS_BETWEEN_LOOKS = 0.2
MODULE = "finetty.backend.proving.process"
TORCHRUN = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node")


def tried(path: TrainingPath, recipe: Recipe, root: Path, texts: Path) -> dict[str, Any]:
    """What became of it, JSON-able. Never raises for what goes wrong with the training: that is its `reason`.

    `texts`: a file of plain texts, for the ways that learn from those.
    """
    data = {"dataset.train": [{"path": str(texts), "format": "text"}]} if path.texts else {}
    asked = with_values(
        recipe,
        {
            **path.options,
            **data,
            "training.max_steps": STEPS,
            "training.batch": 2,
            "training.micro_batch": 2,
            "dataset.validation": 0,
            "output.samples": [],
            "output.checkpoint_every": STEPS,
        },
    )
    about: dict[str, Any] = {"name": path.name, "device": path.device}
    try:
        facts = gather(asked, runs_root=root)
        planned = plan(asked, facts.model, facts.machine, facts.data)
    except Refusal as refusal:
        return about | _failed(str(refusal))
    if planned.errors:
        return about | _failed(" ".join(str(found.message) for found in planned.errors))
    run = Run.create(root, planned.to_json(), planned.recipe, asked=asked)
    code, process, card = _train(run)
    return about | {"compute": planned.recipe.precision.compute} | _outcome(run, planned, code, process, card)


def _failed(reason: str) -> dict[str, Any]:
    return {"worked": False, "reason": reason}


def _train(run: Run) -> tuple[int, int, int | None]:
    """Exit code, and the most bytes that the process took: of RAM, and on a card by NVML where that says so."""
    with run.console_path.open("ab") as console:
        child = subprocess.Popen(
            _command(run),
            stdin=subprocess.DEVNULL,
            stdout=console,
            stderr=console,
            env={**os.environ, "TOKENIZERS_PARALLELISM": "false"},
            start_new_session=True,
        )
    try:
        return _watched(child)
    finally:
        with suppress(ProcessLookupError):  # what is left of it: at Ctrl+C all of it
            os.killpg(child.pid, signal.SIGKILL)


def _watched(child: subprocess.Popen[bytes]) -> tuple[int, int, int | None]:
    card: int | None = None
    end = time.monotonic() + PATIENCE
    while True:
        done, status, used = os.wait4(child.pid, os.WNOHANG)
        if done:
            child.returncode = os.waitstatus_to_exitcode(status)
            return child.returncode, used.ru_maxrss * 1024, card
        if time.monotonic() > end:
            os.killpg(child.pid, signal.SIGKILL)
        ours = _with_children(child.pid)
        taken = [one.used for gpu in watch_gpus() for one in gpu.processes or () if one.pid in ours and one.used]
        card = max([card or 0, *taken]) or None
        time.sleep(SECONDS_BETWEEN_LOOKS)


def _command(run: Run) -> list[str]:
    devices = run.plan_document()["recipe"]["hardware"]["devices"]
    several = [*TORCHRUN, str(len(devices))] if isinstance(devices, list) and len(devices) > 1 else []
    return [sys.executable, *several, "-m", MODULE, str(run.path)]


def _with_children(pid: int) -> set[int]:
    """torchrun's processes are its children."""
    try:
        return {pid, *(child.pid for child in psutil.Process(pid).children(recursive=True))}
    except psutil.Error:
        return {pid}


def _outcome(run: Run, planned: Plan, code: int, process: int, card: int | None) -> dict[str, Any]:
    events = history(run.events_path, ("step", "alert", "note"))
    steps = [event for event in events if event["kind"] == "step"]
    if run.status().state != "finished":
        said = [event["message"] for event in events if event["kind"] == "alert" and event["level"] == "error"]
        return _failed(said[-1] if said else f"the process ended with exit code {code}")
    note = next((one for one in events if one["kind"] == "note" and "reserved" in one and "allocated" in one), {})
    on_card = bool(note.get("reserved"))
    live = planned.memory.live
    return {
        "worked": True,
        "reason": None,
        "steps": len(steps),
        "loss": [steps[0]["loss"], steps[-1]["loss"]],
        "tokens_per_second": round(statistics.median(step["tokens_per_second"] for step in steps[WARM:]), 1),
        "predicted": None
        if live is None
        else {"allocated": live.allocated, "reserved": live.reserved, "process": live.process},
        "measured": {
            "allocated": note["allocated"] if on_card else None,
            "reserved": note["reserved"] if on_card else None,
            "process": card if on_card else process,
        },
    }
