"""prove(): the account of every way of training on this machine, and the file that it is kept in."""

from __future__ import annotations

import json
import re
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from finetty.backend.demo import RECIPE
from finetty.backend.files import write_whole
from finetty.backend.folders import state_root
from finetty.backend.machine import MachineFacts, machine_facts
from finetty.backend.messages import Message, message
from finetty.backend.models import DEMO_MODEL, fetch
from finetty.backend.packages import installed_version
from finetty.backend.proving.paths import TrainingPath, training_paths
from finetty.backend.proving.trial import STEPS, tried
from finetty.backend.recipe import Recipe, load_recipe

TRYING = message("proving.trying", "{number} of {count}: {name} on {device}")
PACKAGES = ("torch", "transformers", "peft", "accelerate", "bitsandbytes", "unsloth", "flash-attn", "liger-kernel")

Report = Callable[[Message], None]


def prove(
    tell: Report, *, recipe: Recipe | None = None, choose: Callable[[MachineFacts], list[TrainingPath]] = training_paths
) -> dict[str, Any]:
    """Train 20 steps on each path that the machine has, one after the other. JSON-able; takes minutes.

    Without a recipe it is the demo's, whose model is brought first. Raises Refusal where that cannot be had.
    """
    if recipe is None:
        fetch(DEMO_MODEL, report=tell)
        recipe = load_recipe(RECIPE)
    machine = machine_facts()
    paths = choose(machine)
    with tempfile.TemporaryDirectory(prefix="finetty-proof-") as folder:
        outcomes = []
        for number, path in enumerate(paths, 1):
            tell(TRYING(number=number, count=len(paths), name=path.name, device=path.device))
            outcomes.append(tried(path, recipe, Path(folder)))
    return {
        "finetty": 1,
        "date": time.strftime("%Y-%m-%d"),
        "model": recipe.model.path,
        "steps": STEPS,
        "machine": {
            "cpu": machine.cpu,
            "cores": machine.cores,
            "ram": machine.ram_total,
            "cards": [{"name": card.name, "total": card.total} for card in machine.gpus],
            "driver": machine.driver,
            "versions": {name: version for name in PACKAGES if (version := installed_version(name))},
        },
        "paths": outcomes,
    }


def write_report(report: dict[str, Any]) -> Path:
    """Keep the report in finetty's state folder, named by its device and date; returns the file."""
    folder = state_root() / "finetty" / "proven"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    cards = report["machine"]["cards"]
    device = cards[0]["name"] if cards else report["machine"]["cpu"]
    name = re.sub(r"[^a-z0-9]+", "-", device.lower()).strip("-")[:60]
    path = folder / f"{name}-{report['date']}.json"
    write_whole(path, (json.dumps(report, indent=2, ensure_ascii=False) + "\n").encode())
    return path
