"""prove(): the account of every way of training on this machine, and the file that it is kept in."""

from __future__ import annotations

import json
import re
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from finetty.backend.demo import DATASET, RECIPE
from finetty.backend.files import write_whole
from finetty.backend.folders import state_root
from finetty.backend.machine import MachineFacts, machine_facts
from finetty.backend.messages import Message, Refusal, message
from finetty.backend.models import DEMO_MODEL, fetch, local_models, model_facts
from finetty.backend.packages import installed_version
from finetty.backend.proving.paths import TrainingPath, training_paths
from finetty.backend.proving.trial import STEPS, tried
from finetty.backend.recipe import Recipe, load_recipe

TRYING = message("proving.trying", "{number} of {count}: {name} on {device}")
PACKAGES = (
    *("torch", "transformers", "peft", "accelerate", "bitsandbytes", "unsloth", "flash-attn", "kernels"),
    *("liger-kernel", "gptqmodel"),
)

Report = Callable[[Message], None]


def paths_here(machine: MachineFacts) -> list[TrainingPath]:
    return training_paths(machine, quantized_models())


def quantized_models() -> dict[str, str]:
    """The smallest model on this machine of each kind that a library has quantized, by that kind."""
    found: dict[str, str] = {}
    for model in sorted(local_models(), key=lambda model: model.size):
        with suppress(Refusal):
            kind = model_facts(str(model.folder)).quantization
            if kind in ("gptq", "awq"):
                found.setdefault(kind, str(model.folder))
    return found


def prove(
    tell: Report, *, recipe: Recipe | None = None, choose: Callable[[MachineFacts], list[TrainingPath]] = paths_here
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
        texts = _texts(Path(folder, "texts.jsonl"))
        outcomes = []
        for number, path in enumerate(paths, 1):
            tell(TRYING(number=number, count=len(paths), name=path.name, device=path.device))
            outcomes.append(tried(path, recipe, Path(folder), texts))
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


def _texts(path: Path) -> Path:
    """The demo's answers as plain texts, for continued pretraining."""
    rows = (json.loads(line) for line in DATASET.read_text(encoding="utf-8").splitlines())
    texts = ({"text": row["messages"][-1]["content"]} for row in rows)
    path.write_text("".join(json.dumps(text, ensure_ascii=False) + "\n" for text in texts), encoding="utf-8")
    return path


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
