"""A run that fails leads back to its answers, with the one at fault in focus and nothing forgotten."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from safetensors.numpy import load_file, save_file
from tests.e2e.terminal import Terminal

from finetty.backend.runs import find_run, runs_root


@pytest.fixture
def model_with_a_hole(tmp_path: Path, tiny_model: Path) -> Path:
    """A model of which one tensor is missing: nothing but loading it tells."""
    folder = Path(shutil.copytree(tiny_model, tmp_path / "Holey-Llama"))
    weights = load_file(folder / "model.safetensors")
    del weights[next(name for name in weights if "mlp" in name)]
    save_file(weights, folder / "model.safetensors", {"format": "pt"})
    return folder


@pytest.mark.trains
def test_a_failed_run_opens_the_wizard_at_the_field_at_fault(
    tmp_path: Path, model_with_a_hole: Path, tiny_data: Path
) -> None:
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text(
        f"finetty: 1\nmodel: {{path: {model_with_a_hole}}}\ndataset: {{train: [{{path: {tiny_data}}}]}}\n"
        "method: {rank: 5}\n"
    )
    runs = runs_root(tmp_path / "runs")
    env = {"XDG_STATE_HOME": str(tmp_path / "state"), "FINETTY_LANG": "en", "FINETTY_RUNS": str(runs)}
    with Terminal(["finetty", "train", str(recipe)], (120, 40), env=env | {"OMP_NUM_THREADS": "1"}) as terminal:
        terminal.wait_for("Failed at step 0", 120)
        terminal.wait_for("e Edit")
        terminal.press("e")
        terminal.wait_until(lambda screen: "1 Model" in screen and "Holey-Llama" in screen, 30, "the model's step")
        terminal.press("ctrl+r")
        terminal.wait_for("Alpha 10")  # twice the rank that was asked for
        terminal.press("ctrl+c")
        terminal.wait_for("Leave finetty?")
        terminal.send("y")
        assert terminal.exit_code() == 0
        assert terminal.leftovers() == []
    assert find_run(runs, "latest").status().state == "failed"
