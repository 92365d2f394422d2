"""Two processes, every method: the curve of one, resumed after a kill as if there had been none, and a joint end."""

from __future__ import annotations

import functools
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from tests.proofs.together import SPOILED, carried_out
from tests.training.conftest import plan_of, resolved_recipe

from finetty.backend.runs import Run, history
from finetty.backend.training import checkpoints

pytestmark = [pytest.mark.proof, pytest.mark.trains]

OPTIONS: dict[str, Any] = {
    "training.batch": 8,
    "training.max_steps": 8,
    "training.learning_rate": 0.005,
    "acceleration.loss": "plain",
    "output.samples": ["What is a rank?"],
}
METHODS: dict[str, dict[str, Any]] = {
    "freeze": {"method.name": "freeze", "method.layers": 1},
    "freeze from below, with embeddings": {
        "method.name": "freeze",
        "method.layers": -1,
        "method.extra_modules": ["embed_tokens", "norm"],
    },
    "PiSSA": {"method.pissa": True},
    "LoRA+": {"method.lora_plus": 16.0},
    "LoRA, checkpointing": {"training.gradient_checkpointing": True},
    "full, checkpointing": {"method.name": "full", "training.gradient_checkpointing": True},
    "packing": {"dataset.packing": True},
    "the best": {"output.best": True},
}
WHOLE_ONLY: dict[str, dict[str, Any]] = {
    "nf4": {"precision.quantization": "nf4"},
    "int8": {"precision.quantization": "int8"},
    "chunked loss": {"acceleration.loss": "chunked"},
    "DoRA": {"method.dora": True},
    "Adafactor": {"method.name": "full", "training.optimizer": "adafactor"},
}
"""What FSDP does not go with, which plan() refuses there."""
SHARED: dict[str, Any] = {"hardware.fsdp": True}


def cases(methods: dict[str, dict[str, Any]]) -> Iterator[Any]:
    for name, options in methods.items():
        yield pytest.param(options, id=f"{name}, DDP")
        if name not in WHOLE_ONLY:
            yield pytest.param(options | SHARED, id=f"{name}, FSDP")


@pytest.fixture
def new_run(tmp_path: Path, tiny_model: Path, tiny_data: Path) -> Any:
    def make(name: str, options: dict[str, Any]) -> Run:
        (tmp_path / name).mkdir()
        recipe = resolved_recipe(tiny_model, tiny_data, **OPTIONS | options)
        return Run.create(tmp_path / name, plan_of(recipe).to_json(), recipe, asked=recipe)

    return make


def losses(run: Run, kind: str = "step") -> list[float]:
    return [one["loss"] for one in history(run.events_path, (kind,))]


def result(run: Run) -> dict[str, torch.Tensor]:
    return load_file(next(run.output.glob("*model.safetensors")))


@pytest.mark.parametrize("options", cases(METHODS | WHOLE_ONLY))
def test_the_curve_of_one_process(new_run: Any, options: dict[str, Any]) -> None:
    one, two = new_run("one", options | {"hardware.fsdp": False}), new_run("two", options)
    assert carried_out(one) == [0]
    assert carried_out(two, 2) == [0, 0]
    assert len(losses(two)) == 8
    assert losses(two) == pytest.approx(losses(one), rel=1e-4)
    assert losses(two, "eval") == pytest.approx(losses(one, "eval"), rel=1e-4)
    ours, theirs = result(two), result(one)
    assert ours.keys() == theirs.keys()
    assert all(torch.allclose(ours[name], theirs[name], atol=1e-4) for name in ours)


def killed_at_step_6(rank: int) -> None:
    from finetty.backend.training.guards import Guards

    def die(guards: Guards, step: int, loss: float) -> None:
        if step == 6 and rank == 0:
            os.kill(os.getpid(), signal.SIGKILL)

    Guards.step = die  # type: ignore[method-assign]


@pytest.mark.parametrize(
    "options", cases({name: METHODS[name] for name in ("freeze", "PiSSA")} | {"nf4": WHOLE_ONLY["nf4"]})
)
def test_killed_and_resumed_it_was_never_killed(new_run: Any, options: dict[str, Any]) -> None:
    """The first process is killed two steps after a checkpoint; the other ends by itself."""
    options = options | ({"method.dropout": 0.1} if options.get("method.name") != "freeze" else {})
    whole, cut = new_run("whole", options), new_run("cut", options)
    assert carried_out(whole, 2) == [0, 0]
    assert carried_out(cut, 2, spoil=killed_at_step_6) == [-signal.SIGKILL, SPOILED]
    assert checkpoints.last_checkpoint(cut.checkpoints) == cut.checkpoints / "step-000004"
    assert carried_out(cut, 2, resumed=True) == [0, 0]
    assert losses(cut) == losses(whole)
    ours, theirs = result(cut), result(whole)
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)


def without_memory(rank: int, *, who: int, stage: str) -> None:
    """From step 5 on, or in the evaluation before it, process `who` has no memory for a pass."""
    from finetty.backend.training.evaluation import Evaluation
    from finetty.backend.training.trainer import RunTrainer

    def refuse(trainer: RunTrainer) -> None:
        if rank == who and trainer.state.global_step == 4:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")

    step, mean_loss = RunTrainer.forward_and_backward, Evaluation.mean_loss

    def stepped(trainer: RunTrainer, *given: Any) -> Any:
        refuse(trainer)
        return step(trainer, *given)

    def measured(evaluation: Evaluation, *given: Any) -> Any:
        refuse(evaluation._trainer)
        return mean_loss(evaluation, *given)

    if stage == "running":
        RunTrainer.forward_and_backward = stepped  # type: ignore[method-assign]
    else:
        Evaluation.mean_loss = measured  # type: ignore[method-assign]


@pytest.mark.parametrize("stage", ["running", "evaluation"])
@pytest.mark.parametrize("who", [0, 1])
@pytest.mark.parametrize("shared", [{}, SHARED], ids=["DDP", "FSDP"])
def test_one_without_memory_ends_them_all(new_run: Any, shared: dict[str, Any], who: int, stage: str) -> None:
    run = new_run("one", shared)
    assert carried_out(run, 2, spoil=functools.partial(without_memory, who=who, stage=stage)) == [SPOILED, SPOILED]
    assert run.status().state == "failed"
    [alert] = [one for one in history(run.events_path, ("alert",)) if one["level"] == "error"]
    said = "in training" if stage == "running" else "in an evaluation"
    assert f"Memory ran out {said}" in alert["message"]
    assert "training.micro_batch" in alert["message"] + alert["advice"]
    if who == 0:
        assert alert["option"] == "training.micro_batch"
    else:
        assert "Process 1" in alert["message"]


def blocked_on_the_other(rank: int) -> None:
    """At step 5 the second process has no memory, and the first, which waits for it, is ended by its library."""
    from finetty.backend.training.trainer import RunTrainer

    step = RunTrainer.forward_and_backward

    def stepped(trainer: RunTrainer, *given: Any) -> Any:
        if trainer.state.global_step == 4:
            if rank == 1:
                raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")
            while trainer.journal.run.status().state != "failed":
                time.sleep(0.1)
            os.kill(os.getpid(), signal.SIGKILL)
        return step(trainer, *given)

    RunTrainer.forward_and_backward = stepped  # type: ignore[method-assign]


def test_the_reason_is_told_by_a_process_that_never_comes_back(new_run: Any) -> None:
    run = new_run("one", {})
    assert carried_out(run, 2, spoil=blocked_on_the_other) == [-signal.SIGKILL, SPOILED]
    assert run.status().state == "failed"
    [alert] = history(run.events_path, ("alert",))
    assert "Process 1" in alert["message"] and "Memory ran out in training" in alert["message"]
