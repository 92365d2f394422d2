"""Other logs get what the run's own events say, by transformers' own callbacks."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import transformers.trainer
from transformers import TrainerCallback

from finetty.backend.runs import history
from finetty.backend.training import train
from finetty.backend.training.arguments import arguments, schedule

from .conftest import MakeRun, resolved_recipe


def test_the_names_reach_the_library(tmp_path: Path) -> None:
    wanted = resolved_recipe(Path("model"), Path("data.jsonl"), **{"output.logs": ["tensorboard", "wandb"]})
    said = arguments(wanted, tmp_path / "a-run" / "checkpoints", schedule(wanted, 100), on_cpu=True)
    assert (said["report_to"], said["run_name"]) == (["tensorboard", "wandb"], "a-run")


def test_losses_are_logged_there_too(make_run: MakeRun, monkeypatch: pytest.MonkeyPatch) -> None:
    """The package itself is not here: its callback is the boundary."""
    heard: list[dict[str, Any]] = []

    class Board(TrainerCallback):  # type: ignore[misc]
        def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **_: Any) -> None:
            heard.append({"step": state.global_step, **logs})

    monkeypatch.setattr(transformers.trainer, "get_reporting_integration_callbacks", lambda names: [Board])
    run = make_run(**{"output.logs": ["tensorboard"], "training.max_steps": 4})
    assert train(run) == "finished"
    steps, evaluations = (list(history(run.events_path, (kind,))) for kind in ("step", "eval"))
    assert [(one["step"], one["loss"]) for one in heard if "loss" in one] == [
        (one["step"], one["loss"]) for one in steps
    ]
    assert [one["eval_loss"] for one in heard if "eval_loss" in one] == [one["loss"] for one in evaluations]
