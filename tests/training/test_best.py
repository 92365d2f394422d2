"""The checkpoint with the lowest held-out loss: kept, and the result where the recipe says so."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from finetty.backend.runs import Run, history
from finetty.backend.training import resume, train
from finetty.backend.training.evaluation import Evaluation

from .conftest import MakeRun

pytestmark = pytest.mark.trains

OPTIONS: dict[str, Any] = {
    "training.max_steps": 8,
    "output.checkpoint_every": 1,
    "output.keep": 1,
    "method.name": "freeze",
    "training.warmup": 0,
}


@pytest.fixture
def best_at_3(monkeypatch: pytest.MonkeyPatch) -> None:
    """Held-out losses with their lowest at step 3."""
    monkeypatch.setattr(Evaluation, "held_out_loss", lambda one: 1.0 + abs(one._trainer.state.global_step - 3))


def result(run: Run) -> dict[str, torch.Tensor]:
    return load_file(run.output / "model.safetensors")


def same(weights: dict[str, torch.Tensor], kept: dict[str, torch.Tensor]) -> bool:
    return all(torch.equal(weights[name], kept[name]) for name in kept)


def test_the_best_is_kept_and_the_last_is_the_result(make_run: MakeRun, best_at_3: None) -> None:
    run = make_run(**OPTIONS)
    assert train(run) == "finished"
    assert sorted(path.name for path in run.checkpoints.iterdir()) == ["step-000003", "step-000008"]
    assert same(result(run), load_file(run.checkpoints / "step-000008" / "trained.safetensors"))


def test_the_best_is_the_result_where_asked(make_run: MakeRun, best_at_3: None) -> None:
    run = make_run(**OPTIONS, **{"output.best": True})
    for begin in (train, resume):
        assert begin(run) == "finished", history(run.events_path, ("alert",))
        assert same(result(run), load_file(run.checkpoints / "step-000003" / "trained.safetensors"))
        note = history(run.events_path, ("note",))[-1]
        assert note["code"] == "training.took_best"
        assert note["step"] == 3
        assert sorted(path.name for path in run.checkpoints.iterdir()) == ["step-000003", "step-000008"]
