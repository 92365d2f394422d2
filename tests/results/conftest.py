"""Finished runs of the tiny model, to ask questions of."""

from __future__ import annotations

import importlib.util
from functools import cache
from pathlib import Path
from types import ModuleType

import pytest

from finetty.backend.runs import Run
from finetty.backend.training import train


@pytest.fixture(scope="session")
def tuned_runs(tmp_path_factory: pytest.TempPathFactory, tiny_model: Path, tiny_data: Path) -> dict[str, Run]:
    """A finished run by the name of its method; the tiny model has learned the colours by heart."""
    root = tmp_path_factory.mktemp("runs")
    runs = {}
    for method, rate in (("lora", 0.02), ("full", 0.01), ("freeze", 0.01)):
        recipe = making().resolved_recipe(
            tiny_model,
            tiny_data,
            **{"method.name": method, "training.epochs": 8.0, "training.learning_rate": rate, "method.rank": 16},
        )
        runs[method] = Run.create(root, making().plan_of(recipe).to_json(), recipe, asked=recipe)
        assert train(runs[method]) == "finished"
    return runs


@cache
def making() -> ModuleType:
    """What makes recipes and plans without `auto` for the tests of training."""
    path = Path(__file__).parent.parent / "training" / "conftest.py"
    spec = importlib.util.spec_from_file_location("training_conftest", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
