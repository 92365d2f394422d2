"""What the losses of a run say of its health."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from finetty.backend.runs import Run, history
from finetty.backend.training import load, train
from finetty.backend.training.guards import Guards
from finetty.backend.training.journal import Journal
from finetty.backend.training.lookout import Lookout
from finetty.backend.training.trainer import RunTrainer

from .conftest import MakeRun

pytestmark = pytest.mark.trains


def codes(run: Run) -> list[str]:
    return [event["code"] for event in history(run.events_path, kinds=("alert",))]


def after(make_run: MakeRun, losses: list[float]) -> list[str]:
    run = make_run()
    guards = Guards(Journal(run))
    for step, loss in enumerate(losses, 1):
        guards.step(step, loss)
    return codes(run)


@pytest.mark.parametrize(
    ("losses", "said"),
    [
        ([3 - step / 50 + (step % 5) / 10 for step in range(100)], []),
        ([0.01 * (1 + step % 7) for step in range(100)], []),
        ([2.0] * 30 + [5.0] + [2.0] * 30, ["guards.spike"]),
        ([2.0] * 30 + [5.0, 6.0, 5.0] + [2.0] * 30, ["guards.spike"]),
        ([1.0, 1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0], ["guards.at_zero"]),
        ([2.0] * 30 + [2.0 + step / 30 for step in range(60)], ["guards.diverges"]),
    ],
    ids=["learning", "learned", "a spike", "three spikes at once", "zero", "divergence"],
)
def test_troubles_of_the_loss_are_told_once(make_run: MakeRun, losses: list[float], said: list[str]) -> None:
    assert after(make_run, losses) == said


def test_a_held_out_loss_that_rises_three_times_names_the_best_step(make_run: MakeRun) -> None:
    run = make_run()
    guards = Guards(Journal(run))
    for step, loss in enumerate([3.0, 2.0, 1.0, 1.1, 1.05, 1.2, 1.3]):
        guards.evaluated(10 * step, loss)
    assert codes(run) == []
    guards.evaluated(70, 1.4)
    [alert] = history(run.events_path, kinds=("alert",))
    assert "the best was 1.000 at step 20" in alert["message"]


def test_a_gradient_that_is_no_number_is_not_taken_and_the_weights_before_it_are_saved(
    make_run: MakeRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = make_run(**{"output.checkpoint_every": 100, "training.batch": 2})
    real = load.load_model

    def spoil(module: Any, _: Any, output: Any) -> None:
        if module.training and len(history(run.events_path, kinds=("step",))) == 3:
            output.register_hook(lambda gradient: gradient * float("nan"))

    def loaded(*args: Any, **values: Any) -> Any:
        model = real(*args, **values)
        model.model.layers[-1].mlp.register_forward_hook(spoil)
        return model

    monkeypatch.setattr(load, "load_model", loaded)
    assert train(run) == "failed"
    assert codes(run) == ["training.gradient_lost"]
    saved = load_file(run.checkpoints / "step-000003" / "trained.safetensors")
    assert all(torch.isfinite(tensor).all() for tensor in saved.values())
    assert run.status().last_checkpoint == "checkpoints/step-000003"


def test_a_run_that_takes_no_step_any_more_is_told_once(make_run: MakeRun) -> None:
    run, now = make_run(), [0.0]
    journal = Journal(run)
    lookout = Lookout(journal, clock=lambda: now[0])
    journal.state("running")
    lookout.step(30)
    now[0] += 590
    lookout.look()
    assert codes(run) == []
    for _ in range(3):
        now[0] += 20
        lookout.look()
    assert codes(run) == ["lookout.stalled"]
    lookout.step(30)
    now[0] += 700
    lookout.look()
    assert codes(run) == ["lookout.stalled"] * 2


def test_a_pause_is_no_stall(make_run: MakeRun) -> None:
    run, now = make_run(), [0.0]
    journal = Journal(run)
    lookout = Lookout(journal, clock=lambda: now[0])
    journal.state("running")
    lookout.step(1)
    journal.state("paused")
    now[0] += 10_000
    lookout.look()
    journal.state("running")
    lookout.look()
    assert codes(run) == []


def test_a_disk_that_fills_up_is_told_and_a_checkpoint_written_first(
    make_run: MakeRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = make_run(**{"output.checkpoint_every": 100, "dataset.validation": 0, "training.max_steps": 10})
    real = RunTrainer.log

    def log(trainer: RunTrainer, *values: Any, **named: Any) -> None:
        real(trainer, *values, **named)
        if trainer.state.global_step == 3:
            assert trainer.lookout.checkpoint_bytes > 10_000
            monkeypatch.setattr(trainer.lookout, "_free", lambda folder: trainer.lookout.checkpoint_bytes)
            trainer.lookout.look()
            trainer.lookout.look()

    monkeypatch.setattr(RunTrainer, "log", log)
    assert train(run) == "finished"
    assert codes(run) == ["lookout.disk_fills"]
    assert [one["step"] for one in history(run.events_path, kinds=("checkpoint",))] == [4, 10]
