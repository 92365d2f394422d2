"""Runs of a tiny model, made from recipes that have no `auto` left."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from finetty.backend.messages import Message
from finetty.backend.planning.plan import Disk, Memory, Plan, Time
from finetty.backend.recipe import Recipe, parse_recipe, with_values
from finetty.backend.runs import Run

RESOLVED: dict[str, Any] = {
    "hardware.devices": "cpu",
    "dataset.cutoff": 128,
    "dataset.packing": False,
    "dataset.validation": 8,
    "template.date": None,
    "method.rank": 4,
    "method.alpha": 8.0,
    "method.targets": "all-linear",
    "method.layers": 1,
    "precision.compute": "fp32",
    "precision.quantization": "none",
    "acceleration.attention": "sdpa",
    "acceleration.loss": "chunked",
    "training.epochs": 2.0,
    "training.micro_batch": 2,
    "training.batch": 4,
    "training.learning_rate": 0.01,
    "training.warmup": 2,
    "training.optimizer": "adamw",
    "training.gradient_checkpointing": False,
    "output.checkpoint_every": 4,
}

MakeRun = Callable[..., Run]


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> None:
    """Sums in another order are other sums: a run in this process and one in a child are compared to the bit."""
    import torch

    torch.set_num_threads(1)


@pytest.fixture
def make_run(tmp_path: Path, tiny_model: Path, tiny_data: Path) -> MakeRun:
    """A new run of the tiny model with these options changed: `make_run(**{"method.rank": 8})`."""
    root = tmp_path / "runs"
    root.mkdir()

    def make(model: Path = tiny_model, data: Path = tiny_data, **options: Any) -> Run:
        recipe = resolved_recipe(model, data, **options)
        return Run.create(root, plan_of(recipe).to_json(), recipe, asked=recipe)

    return make


def resolved_recipe(model: Path, data: Path, **options: Any) -> Recipe:
    recipe = parse_recipe(f"finetty: 1\nmodel: {{path: '{model}'}}\ndataset: {{train: [{{path: '{data}'}}]}}\n")
    return with_values(recipe, {**RESOLVED, **options})


def plan_of(recipe: Recipe) -> Plan:
    """A plan that only carries its recipe: no prediction, nothing found."""
    held_out = recipe.dataset.validation
    return Plan(
        recipe=recipe,
        choices=(),
        findings=(),
        total_parameters=None,
        trainable_parameters=None,
        memory=Memory(None, None, None, "unknown"),
        disk=Disk(None, None),
        time=Time(None, None, Message("test.no_time")),
        steps=None,
        train_rows=None,
        validation_rows=held_out if isinstance(held_out, int) else 0,
    )
