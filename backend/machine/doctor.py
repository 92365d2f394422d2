"""doctor(): what this machine has, what of it works, and the command that mends what does not."""

from __future__ import annotations

import os
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

from finetty.backend.machine import accelerators, host
from finetty.backend.machine.gpus import GpuReading, cards, watch_gpus
from finetty.backend.machine.mending import Lack, lacks
from finetty.backend.machine.mounts import LITTLE as LITTLE_HERE
from finetty.backend.machine.mounts import place_at
from finetty.backend.machine.reading import machine_facts
from finetty.backend.machine.session import threats
from finetty.backend.machine.torch_here import installed_torch
from finetty.backend.messages import Finding, Level, Message, message

RUN = message("doctor.run", "Run: {command}")
LACK = message("doctor.lack", "{name}: {reason}")
NOT_WRITABLE = message("doctor.not_writable", "Runs cannot be written to {folder}.")
MOVE_RUNS = message("doctor.move_runs", "Choose another folder with --runs-dir, FINETTY_RUNS or `finetty setup`.")
LITTLE_DISK = message("doctor.little_disk", "Only {free:.1f} GiB are free in {folder}.")
FREE_DISK = message("doctor.free_disk", "Free some space, or move the runs with --runs-dir.")

GIB = 1 << 30
LITTLE = 5 * GIB


def doctor(runs_root: Path) -> dict[str, Any]:
    """The whole account, JSON-able: host, cards, torch, accelerators, runs, and `problems` with their mends.

    Each accelerator is imported in a process of its own, which takes up to a minute the first time.
    """
    libraries = accelerators.prove()
    found, machine = cards(), machine_facts(runs_root)
    readings = {one.uuid: one for one in watch_gpus()}
    problems = [*map(_lack, lacks(machine)), *_place_problems(runs_root), *threats()]
    return {
        "host": _host(),
        "gpus": [
            {**asdict(gpu), "capability": _shown(gpu.capability), **_now(readings.get(gpu.uuid))} for gpu in found.gpus
        ],
        "driver": {
            "version": found.driver,
            "cuda": _shown(found.cuda),
            "reason": found.reason.text if found.reason else None,
        },
        "torch": {**asdict(installed_torch()), "python": sys.version.split()[0]},
        "accelerators": {name: asdict(one) for name, one in libraries.items()},
        "runs": {"folder": str(runs_root), "free": host.disk_free(runs_root)},
        "problems": [problem.to_json() for problem in problems],
    }


NOW = (
    "used",
    "busy_percent",
    "watts",
    "watts_limit",
    "celsius",
    "sm_clock_mhz",
    "memory_clock_mhz",
    "throttling",
    "processes",
)


def _now(card: GpuReading | None) -> dict[str, Any]:
    """The card's reading, with `missing` saying why a value is null; null throughout for one that was lost just now."""
    if card is None:
        return {**dict.fromkeys(NOW), "missing": {}}
    whole = asdict(card)
    missing = {name: why.told() for name, why in card.missing.items()}
    return {**{name: whole[name] for name in NOW}, "missing": missing}


def _host() -> dict[str, Any]:
    total, available = host.memory()
    return {
        "name": host.hostname(),
        "cpu": host.cpu_name(),
        "cores": host.cores(),
        "fast_bf16": host.has_fast_bf16(),
        "ram": {"total": total, "available": available},
    }


def _lack(lack: Lack) -> Finding:
    said = lack.reason if lack.name in ("torch", "driver") else LACK(name=lack.name, reason=lack.reason)
    fix = RUN(command=lack.by_hand) if lack.by_hand else lack.note
    return _finding("error" if lack.urgent else "note", said, fix)


def _place_problems(runs_root: Path) -> list[Finding]:
    existing = next((place for place in (runs_root, *runs_root.parents) if place.exists()), runs_root)
    if not os.access(existing, os.W_OK):
        return [_finding("error", NOT_WRITABLE(folder=runs_root), MOVE_RUNS())]
    free = host.disk_free(runs_root)
    if free < LITTLE:
        return [
            _finding("warning", LITTLE_DISK(free=free / GIB, folder=runs_root), FREE_DISK()),
            *_drawbacks(runs_root),
        ]
    return _drawbacks(runs_root)


def _drawbacks(runs_root: Path) -> list[Finding]:
    """What the file system would do to runs; how much room it has is said already."""
    place = place_at(runs_root)
    said = [one for one in place.drawbacks if one.id != LITTLE_HERE.id] if place else []
    harmless = place is not None and place.persistent and place.locks
    return [_finding("note", one, None) if harmless else _finding("warning", one, MOVE_RUNS()) for one in said]


def _finding(level: Level, said: Message, fix: Message | None) -> Finding:
    return Finding(level, None, said, fix)


def _shown(version: tuple[int, int] | None) -> str | None:
    return None if version is None else f"{version[0]}.{version[1]}"
