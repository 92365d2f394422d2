"""doctor(): what this machine has, what of it works, and the command that mends what does not."""

from __future__ import annotations

import os
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

from finetty.backend.machine import accelerators, host
from finetty.backend.machine.gpus import Cards, cards
from finetty.backend.machine.session import threats
from finetty.backend.machine.torch_builds import decide, problem
from finetty.backend.machine.torch_here import installed_torch
from finetty.backend.messages import Finding, Level, Message, message

TORCH_MISSING = message("doctor.torch_missing", "torch is not installed, and nothing can be trained without it.")
TORCH_WRONG = message("doctor.torch_wrong", "The card cannot be used: {problem}.")
OTHER_TORCH = message("doctor.other_torch", "Run: {command}")
UPDATE_DRIVER = message(
    "doctor.update_driver", "Update the NVIDIA driver: no torch that finetty takes runs on {driver}."
)
NO_CARD = message("doctor.no_card", "No card can be used: {reason}.")
NO_CARD_FIX = message("doctor.no_card_fix", "Training works on the processor, slowly: take small models.")
NOT_WRITABLE = message("doctor.not_writable", "Runs cannot be written to {folder}.")
MOVE_RUNS = message("doctor.move_runs", "Choose another folder with --runs-dir or FINETTY_RUNS.")
LITTLE_DISK = message("doctor.little_disk", "Only {free:.1f} GiB are free in {folder}.")
FREE_DISK = message("doctor.free_disk", "Free some space, or move the runs with --runs-dir.")
NO_LIBRARY = message("doctor.no_library", "{name} cannot be used: {reason}.")

GIB = 1 << 30
LITTLE = 5 * GIB


def doctor(runs_root: Path) -> dict[str, Any]:
    """The whole account, JSON-able: host, cards, torch, accelerators, runs, and `problems` with their mends.

    Each accelerator is imported in a process of its own, which takes up to a minute the first time.
    """
    found = cards()
    libraries = accelerators.prove()
    problems = [*_torch_problems(found), *_card_problems(found), *_place_problems(runs_root), *threats()]
    problems += [
        _finding(
            "note", NO_LIBRARY(name=one.name, reason=one.reason), OTHER_TORCH(command=one.fix) if one.fix else None
        )
        for one in libraries.values()
        if one.version is None
    ]
    return {
        "host": _host(),
        "gpus": [{**asdict(gpu), "capability": _shown(gpu.capability)} for gpu in found.gpus],
        "driver": {"version": found.driver, "cuda": _shown(found.cuda), "reason": found.reason},
        "torch": {**asdict(installed_torch()), "python": sys.version.split()[0]},
        "accelerators": {name: asdict(one) for name, one in libraries.items()},
        "runs": {"folder": str(runs_root), "free": host.disk_free(runs_root)},
        "problems": [problem.to_json() for problem in problems],
    }


def _host() -> dict[str, Any]:
    total, available = host.memory()
    return {
        "name": host.hostname(),
        "cpu": host.cpu_name(),
        "cores": host.cores(),
        "fast_bf16": host.has_fast_bf16(),
        "ram": {"total": total, "available": available},
    }


def _torch_problems(found: Cards) -> list[Finding]:
    torch = installed_torch()
    capabilities = [gpu.capability for gpu in found.gpus if gpu.capability is not None]
    decision = decide(found.driver, capabilities)
    command = OTHER_TORCH(command=" ".join([sys.executable, "-m pip install", *decision.build.pip_arguments]))
    if torch.version is None:
        return [_finding("error", TORCH_MISSING(), command)]
    if not capabilities or found.driver is None:
        return []
    wrong = problem(found.driver, max(capabilities), torch.cuda)
    if wrong is None:
        return []
    fix = command if decision.build.cuda is not None else UPDATE_DRIVER(driver=found.driver)
    return [_finding("error", TORCH_WRONG(problem=wrong), fix)]


def _card_problems(found: Cards) -> list[Finding]:
    return [] if found.gpus else [_finding("note", NO_CARD(reason=found.reason), NO_CARD_FIX())]


def _place_problems(runs_root: Path) -> list[Finding]:
    existing = next((place for place in (runs_root, *runs_root.parents) if place.exists()), runs_root)
    if not os.access(existing, os.W_OK):
        return [_finding("error", NOT_WRITABLE(folder=runs_root), MOVE_RUNS())]
    free = host.disk_free(runs_root)
    if free < LITTLE:
        return [_finding("warning", LITTLE_DISK(free=free / GIB, folder=runs_root), FREE_DISK())]
    return []


def _finding(level: Level, said: Message, fix: Message | None) -> Finding:
    return Finding(level, None, said, fix)


def _shown(version: tuple[int, int] | None) -> str | None:
    return None if version is None else f"{version[0]}.{version[1]}"
