"""What is tried before step 1: all that the run will do, once, and as if it had never happened."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from finetty.backend.planning import Memory
from finetty.backend.planning.plan import Device, MemoryPrediction
from finetty.backend.runs import Run, history
from finetty.backend.training import preflight, train
from finetty.backend.training.keeping import Keeping
from finetty.backend.training.trainer import RunTrainer

from .conftest import MakeRun, plan_of

pytestmark = pytest.mark.trains

FIVE_STEPS: dict[str, Any] = {"training.max_steps": 5, "output.checkpoint_every": 5}


def alerts(run: Run) -> list[str]:
    return [event["message"] for event in history(run.events_path, kinds=("alert",))]


def losses(run: Run) -> list[float]:
    return [event["loss"] for event in history(run.events_path, kinds=("step",))]


@pytest.mark.parametrize("optimizer", ["adamw", "adamw_fused", "adamw_8bit", "paged_adamw_8bit", "adafactor"])
def test_the_rehearsal_changes_nothing(make_run: MakeRun, monkeypatch: pytest.MonkeyPatch, optimizer: str) -> None:
    options = {**FIVE_STEPS, "method.dropout": 0.1, "training.optimizer": optimizer, "training.warmup": 0}
    rehearsed, unrehearsed = make_run(**options), make_run(**options)
    assert train(rehearsed) == "finished", alerts(rehearsed)
    monkeypatch.setattr(preflight, "rehearse", lambda trainer: None)
    assert train(unrehearsed) == "finished", alerts(unrehearsed)
    assert losses(rehearsed) == losses(unrehearsed)


def test_the_longest_batch_meets_the_states_of_the_optimizer(
    make_run: MakeRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[tuple[bool, bool]] = []
    real = preflight.try_longest_batch

    def look(trainer: RunTrainer) -> float:
        before = {name: one.clone() for name, one in preflight.trained_parameters(trainer.model).items()}
        loss = real(trainer)
        after = preflight.trained_parameters(trainer.model)
        seen.append((bool(trainer.optimizer.state), all(torch.equal(before[name], after[name]) for name in before)))
        return loss

    monkeypatch.setattr(preflight, "try_longest_batch", look)
    run = make_run(**FIVE_STEPS)
    assert train(run) == "finished", alerts(run)
    assert seen == [(True, True)]


@pytest.mark.parametrize(
    ("broken", "said"),
    [
        ("try_longest_evaluation", "No space left"),
        ("try_saving", "No space left"),
        ("try_generation", "No space left"),
    ],
)
def test_what_fails_in_the_rehearsal_ends_the_run_before_step_1(
    make_run: MakeRun, monkeypatch: pytest.MonkeyPatch, broken: str, said: str
) -> None:
    real = getattr(preflight, broken)

    def fails(trainer: RunTrainer) -> None:
        real(trainer)
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(preflight, broken, fails)
    run = make_run()
    assert train(run) == "failed"
    assert any(said in message for message in alerts(run))
    assert losses(run) == []
    assert not list(run.path.glob(".*"))


def test_checkpoints_too_large_for_the_disk_end_the_run_before_step_1(
    make_run: MakeRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    def large(keeping: Keeping, folder: Path, contents: Any) -> None:
        with (folder / "trained.safetensors").open("wb") as file:
            file.truncate(1 << 42)

    monkeypatch.setattr(Keeping, "fill", large)
    run = make_run()
    assert train(run) == "failed"
    assert any("of checkpoints and" in message for message in alerts(run))
    assert losses(run) == []


def test_the_peak_is_told_beside_the_prediction(make_run: MakeRun) -> None:
    run = make_run(**FIVE_STEPS)
    live = MemoryPrediction(allocated=1, reserved=2, process=3 * 2**30, components={})
    plan = plan_of(run.recipe())
    memory = Memory(live, None, Device("cpu", "RAM", total=8 * 2**30, free=4 * 2**30), "fits")
    other = Run.create(run.path.parent, replace(plan, memory=memory).to_json(), run.recipe())
    assert train(other) == "finished", alerts(other)
    [note] = history(other.events_path, kinds=("note",))
    assert note["message"].endswith("GiB of memory; 3.00 GiB were predicted.")
    assert (note["predicted"], note["measure"]) == (3 * 2**30, "process")
    assert note["process"] > 50 * 2**20
    assert note["seconds"] > 0
