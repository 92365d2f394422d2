"""Memory runs out at the model's lowest layer, and the run goes on, asks or ends with what it has learned."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from finetty.backend.runs import Run, history, send_command, wait_for_result
from finetty.backend.training import load, resume, train
from finetty.backend.training.batches import Collator, Example, FlatCollator, in_parts

from .conftest import MakeRun

pytestmark = pytest.mark.trains

OPTIONS: dict[str, Any] = {
    "training.max_steps": 6,
    "training.micro_batch": 4,
    "training.batch": 8,
    "output.checkpoint_every": 4,
    "training.warmup": 0,
    "training.on_out_of_memory": "shrink",
}


def full() -> Exception:
    return torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")


def told(run: Run, kind: str) -> list[tuple[int, float]]:
    return [(one["step"], one["loss"]) for one in history(run.events_path, (kind,))]


def alerts(run: Run) -> list[dict[str, Any]]:
    return history(run.events_path, ("alert",))


class Scarce:
    """A hook on the model's first layer that has no memory for more than so many rows, from the n-th pass on."""

    def __init__(self, run: Run, *, rows: int, step: int = 0, training: bool = True) -> None:
        self._run, self._rows, self._step, self._training = run, rows, step, training
        self.refused = 0

    def __call__(self, module: Any, inputs: Any) -> None:
        reached = self._run.status().state == "running" and len(told(self._run, "step")) >= self._step
        if not reached and self._step:
            return
        if module.training is self._training and inputs[0].shape[0] > self._rows:
            self.refused += 1
            raise full()


@pytest.fixture
def scarce(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Scarce]:
    def install(run: Run, **how: Any) -> Scarce:
        hook, real = Scarce(run, **how), load.load_model

        def loaded(*args: Any, **values: Any) -> Any:
            model = real(*args, **values)
            # The last layer: gradients of this micro-batch's beginning and of earlier ones are there when it raises.
            model.model.layers[-1].register_forward_pre_hook(hook)
            return model

        monkeypatch.setattr(load, "load_model", loaded)
        return hook

    return install


@pytest.mark.parametrize("packing", [False, True])
def test_shrinking_leaves_the_losses_and_loses_no_step(
    make_run: MakeRun, scarce: Callable[..., Scarce], packing: bool
) -> None:
    options = {**OPTIONS, "dataset.packing": packing}
    whole, short = make_run(**options), make_run(**options)
    assert train(whole) == "finished", alerts(whole)
    # Packed rows lie in one: the hook counts that one, so nothing is small enough.
    hook = scarce(short, rows=0 if packing else 1, step=3)
    if packing:
        assert train(short) == "failed"
        assert alerts(short)[-1]["option"] == "training.gradient_checkpointing"
        return
    assert train(short) == "finished", alerts(short)
    assert hook.refused == 2
    assert [step for step, _ in told(short, "step")] == [1, 2, 3, 4, 5, 6]
    assert [loss for _, loss in told(short, "step")] == pytest.approx(
        [loss for _, loss in told(whole, "step")], rel=1e-5
    )
    assert [one["level"] for one in alerts(short)] == ["warning", "warning"]
    assert alerts(short)[0]["code"] == "training.out_of_memory.running"
    assert "with 2 rows at once" in alerts(short)[0]["advice"]
    result, other = (load_file(run.output / "adapter_model.safetensors") for run in (whole, short))
    assert all(torch.allclose(result[name], other[name], atol=1e-5) for name in result)


def test_the_whole_window_is_done_again_with_the_same_dropout(
    make_run: MakeRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Out of memory in the second micro-batch, once and by accident: one that then fits is as if it never happened."""
    options = {**OPTIONS, "method.dropout": 0.1, "training.micro_batch": 1, "training.batch": 4}
    whole, short = make_run(**options), make_run(**options)
    assert train(whole) == "finished"

    from finetty.backend.training.out_of_memory import Room

    passes = iter(range(10_000))
    real = load.load_model

    def refuse(module: Any, _: Any) -> None:
        if module.training and next(passes) == 10:
            raise full()

    def loaded(*args: Any, **values: Any) -> Any:
        model = real(*args, **values)
        model.model.layers[-1].register_forward_pre_hook(refuse)
        return model

    monkeypatch.setattr(load, "load_model", loaded)
    monkeypatch.setattr(Room, "make", lambda room, stage: None)
    assert train(short) == "finished", alerts(short)
    assert [one[1] for one in told(short, "step")] == pytest.approx([one[1] for one in told(whole, "step")], rel=1e-5)


def test_a_preflight_without_room_shrinks_before_step_1(make_run: MakeRun, scarce: Callable[..., Scarce]) -> None:
    run = make_run(**OPTIONS)
    scarce(run, rows=2)
    assert train(run) == "finished", alerts(run)
    assert [one["code"] for one in alerts(run)] == ["training.out_of_memory.preflight"]


def test_an_evaluation_without_room_shrinks_and_measures_the_same(
    make_run: MakeRun, scarce: Callable[..., Scarce]
) -> None:
    other, plain = make_run(**OPTIONS), make_run(**OPTIONS)
    assert train(plain) == "finished"
    scarce(other, rows=2, step=1, training=False)
    assert train(other) == "finished", alerts(other)
    assert [one["code"] for one in alerts(other)] == ["training.out_of_memory.evaluation"]
    assert [loss for _, loss in told(other, "eval")] == pytest.approx(
        [loss for _, loss in told(plain, "eval")], rel=1e-5
    )


@pytest.mark.parametrize("policy", ["stop", "ask"])
def test_without_consent_the_run_ends_with_what_it_has_learned(
    make_run: MakeRun, scarce: Callable[..., Scarce], policy: str
) -> None:
    run = make_run(**{**OPTIONS, "training.on_out_of_memory": policy, "method.dropout": 0.1})
    hook = scarce(run, rows=2, step=3)
    assert train(run) == "failed"
    assert [path.name for path in run.checkpoints.iterdir()] == ["step-000003"]
    assert (run.output / "adapter_model.safetensors").is_file()
    assert [one["level"] for one in alerts(run)] == ["error"]
    assert "training.micro_batch lower" in alerts(run)[0]["advice"]

    hook._rows = 4
    assert resume(run) == "finished", alerts(run)
    whole = make_run(**{**OPTIONS, "method.dropout": 0.1})
    assert train(whole) == "finished"
    assert told(run, "step") == told(whole, "step")


def test_in_the_optimizers_step_what_was_learned_is_saved_first(
    make_run: MakeRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Fewer rows at once are no help there, whatever the recipe says."""
    run = make_run(**OPTIONS)
    own = torch.optim.AdamW.step

    def step(optimizer: Any, *given: Any, **named: Any) -> Any:
        if len(told(run, "step")) == 3:
            raise full()
        return own(optimizer, *given, **named)

    monkeypatch.setattr(torch.optim.AdamW, "step", step)
    assert train(run) == "failed"
    [alert] = alerts(run)
    assert alert["option"] == "training.optimizer" and "ran out in training" in alert["message"]
    assert "adamw_8bit" in alert["advice"]
    assert (run.output / "adapter_model.safetensors").is_file()
    assert run.status().last_checkpoint == "checkpoints/step-000003"
    monkeypatch.undo()
    assert resume(run) == "finished"
    assert [number for number, _ in told(run, "step")] == [1, 2, 3, 4, 5, 6]


def test_rows_at_once_outlive_a_restart(make_run: MakeRun, scarce: Callable[..., Scarce]) -> None:
    run = make_run(**{**OPTIONS, "output.checkpoint_every": 2})
    hook = scarce(run, rows=2, step=1)
    assert train(run) == "finished"
    refused = hook.refused
    assert resume(run) == "finished"
    assert hook.refused == refused


def test_one_row_at_a_time_is_the_least(make_run: MakeRun, scarce: Callable[..., Scarce]) -> None:
    for checkpointing, option in ((False, "training.gradient_checkpointing"), (True, "dataset.cutoff")):
        run = make_run(**{**OPTIONS, "training.micro_batch": 1, "training.gradient_checkpointing": checkpointing})
        scarce(run, rows=0)
        assert train(run) == "failed"
        [alert] = alerts(run)
        assert alert["option"] == option
        assert option in alert["advice"]


@contextmanager
def asked(run: Run) -> Iterator[list[str]]:
    """The run trains in a thread until it asks; the list gets its end state."""
    ends: list[str] = []
    thread = threading.Thread(target=lambda: ends.append(train(run, seconds_to_answer=60)))
    thread.start()
    until = time.monotonic() + 120
    while not any(one["choices"] for one in alerts(run)) and thread.is_alive():
        assert time.monotonic() < until, "it did not ask"
        time.sleep(0.02)
    yield ends
    thread.join(120)


@pytest.mark.parametrize(
    ("answer", "end"),
    [("shrink", "finished"), ("resume", "finished"), ("stop-and-save", "stopped"), ("stop", "stopped")],
)
def test_the_owner_is_asked(make_run: MakeRun, scarce: Callable[..., Scarce], answer: str, end: str) -> None:
    run = make_run(**{**OPTIONS, "training.on_out_of_memory": "ask"})
    scarce(run, rows=2, step=3)
    with asked(run) as ends:
        question = next(one for one in alerts(run) if one["choices"])
        assert question["choices"] == ["shrink", "stop-and-save", "stop"]
        assert "2 rows at once" in question["advice"]
        result = wait_for_result(run, send_command(run, answer), seconds=60)
        assert result is not None
        assert result["result"] == "done"
    assert ends == [end]
    assert run.output.exists() is (answer != "stop")
    assert len(told(run, "step")) == (6 if end == "finished" else 3)


def test_nobody_answers_for_too_long(make_run: MakeRun, scarce: Callable[..., Scarce]) -> None:
    run = make_run(**{**OPTIONS, "training.on_out_of_memory": "ask"})
    scarce(run, rows=2, step=3)
    assert train(run, seconds_to_answer=0.01) == "failed"
    assert (run.output / "adapter_model.safetensors").is_file()


def test_shrink_is_refused_where_nothing_was_asked(make_run: MakeRun) -> None:
    run = make_run(**OPTIONS)
    command = send_command(run, "shrink")
    assert train(run) == "finished"
    result = wait_for_result(run, command, seconds=0)
    assert result is not None
    assert result["result"] == "error"


def test_parts_hold_the_same_rows() -> None:
    rows = [Example(tuple(range(1, length + 1)), (True,) * length) for length in (3, 7, 5)]
    padded = in_parts(Collator(0)(rows), 2)
    assert [part["input_ids"].shape for part in padded] == [(2, 7), (1, 5)]
    flat = in_parts(FlatCollator()(rows), 2)
    assert [part["input_ids"].shape for part in flat] == [(1, 10), (1, 5)]
    assert flat[1]["position_ids"].tolist() == [[0, 1, 2, 3, 4]]
    assert sum(int((part["labels"] != -100).sum()) for part in flat) == 2 + 6 + 4
    assert in_parts(Collator(0)(rows), 3)[0]["input_ids"].shape == (3, 7)
