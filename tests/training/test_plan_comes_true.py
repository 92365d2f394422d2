"""What plan() foretold is what training does: steps, rows and trained parameters, on recipes full of `auto`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file

from finetty.backend.planning import gather, plan
from finetty.backend.recipe import parse_recipe, with_values
from finetty.backend.runs import Run, history
from finetty.backend.training import train

pytestmark = pytest.mark.trains


@pytest.mark.parametrize("vision", [False, True], ids=["text", "vision-language"])
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"method.name": "full", "training.epochs": 1.5},
        {"method.name": "freeze", "training.max_steps": 3},
        {"method.name": "freeze", "method.layers": -1, "method.modules": ["mlp"], "method.extra_modules": ["norm"]},
        {"method.targets": ["q_proj", "v_proj"], "method.dora": True, "dataset.validation": 0},
        {"precision.quantization": "nf4", "training.batch": 7, "training.micro_batch": 2},
    ],
    ids=str,
)
def test_steps_and_parameters(
    tmp_path: Path,
    tiny_model: Path,
    tiny_vision_model: Path,
    tiny_data: Path,
    options: dict[str, Any],
    vision: bool,
) -> None:
    model = tiny_vision_model if vision else tiny_model
    asked = parse_recipe(f"finetty: 1\nmodel: {{path: '{model}'}}\ndataset: {{train: [{{path: '{tiny_data}'}}]}}\n")
    asked = with_values(asked, {"hardware.devices": "cpu", **options})
    facts = gather(asked)
    foretold = plan(asked, facts.model, facts.machine, facts.data)
    assert foretold.errors == ()
    run = Run.create(tmp_path, foretold.to_json(), foretold.recipe, asked=asked)
    assert train(run) == "finished", history(run.events_path, ("alert",))

    assert run.status().total == foretold.steps
    assert run.status().step == foretold.steps
    [*_, last] = sorted(run.checkpoints.iterdir())
    trained = load_file(last / "trained.safetensors")
    if "method.modules" in options and foretold.trainable_parameters is None:
        return  # chosen modules may have any size: then the plan says that it does not know
    assert sum(tensor.numel() for tensor in trained.values()) == foretold.trainable_parameters
