"""Pause, resume, checkpoint, stop and stop-and-save, sent through the inbox while a run trains."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from safetensors.torch import load_file

from finetty.backend.runs import Run, history, send_command, wait_for_result
from finetty.backend.training import resume, train
from finetty.backend.training.course import Course

from .conftest import MakeRun

pytestmark = pytest.mark.trains

LONG: dict[str, Any] = {"training.max_steps": 100_000, "output.checkpoint_every": 100_000}


@contextmanager
def training(run: Run, begin: Callable[[Run], str] = train) -> Iterator[list[str]]:
    """The run trains in a thread; the list holds its end state when it is over."""
    ends: list[str] = []
    thread = threading.Thread(target=lambda: ends.append(begin(run)))
    thread.start()
    try:
        yield ends
    finally:
        if thread.is_alive():
            send_command(run, "stop")
        thread.join(120)


def steps(run: Run) -> int:
    return len(history(run.events_path))


def wait_until(true: Callable[[], Any], seconds: float = 120) -> None:
    until = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < until, "it did not happen"
        time.sleep(0.02)


def tell(run: Run, name: str) -> dict[str, Any]:
    result = wait_for_result(run, send_command(run, name), seconds=60)
    assert result is not None
    return result


def test_a_run_is_paused_kept_and_ended_from_outside(make_run: MakeRun) -> None:
    run = make_run(**LONG)
    with training(run) as ends:
        wait_until(lambda: steps(run) >= 2)

        assert tell(run, "pause")["result"] == "done"
        wait_until(lambda: run.status().state == "paused")
        held_at = steps(run)
        time.sleep(0.3)
        assert steps(run) == held_at

        kept = tell(run, "checkpoint")
        assert kept["result"] == "done"
        assert (run.path / kept["path"] / "trained.safetensors").is_file()
        wait_until(lambda: run.status().state == "paused")

        assert tell(run, "resume")["result"] == "done"
        wait_until(lambda: steps(run) > held_at + 2)

        assert tell(run, "stop-and-save")["result"] == "done"
        wait_until(lambda: ends)
    assert ends == ["stopped"]
    assert run.status().state == "stopped"
    assert load_file(run.output / "adapter_model.safetensors")
    paused = [one for one in history(run.events_path, ("state",)) if one["state"] == "paused"]
    assert len(paused) == 2

    reached = run.status().step
    with training(run, resume) as ends:
        wait_until(lambda: run.status().step > reached or ends)
        assert tell(run, "stop")["result"] == "done"
        wait_until(lambda: ends)
    assert ends == ["stopped"]
    state = next(one for one in history(run.events_path, ("state",)) if "resumed_from" in one)
    assert state["resumed_from"] == reached


def test_stop_ends_a_paused_run_and_saves_nothing(make_run: MakeRun) -> None:
    run = make_run(**LONG)
    with training(run) as ends:
        wait_until(lambda: steps(run) >= 1)
        tell(run, "pause")
        wait_until(lambda: run.status().state == "paused")
        tell(run, "stop")
        wait_until(lambda: ends)
    assert ends == ["stopped"]
    assert not run.output.exists()


def test_a_stop_sent_before_training_begins_is_obeyed(make_run: MakeRun) -> None:
    run = make_run(**LONG)
    send_command(run, "stop-and-save")
    assert train(run) == "stopped"
    assert steps(run) == 0
    assert not run.output.exists()


def test_a_stop_during_an_evaluation_ends_it(make_run: MakeRun, monkeypatch: pytest.MonkeyPatch) -> None:
    run = make_run(**{**LONG, "output.checkpoint_every": 2})
    on_step_end = Course.on_step_end

    def stop_at_step_2(course: Course, args: Any, state: Any, control: Any, **values: Any) -> None:
        on_step_end(course, args, state, control, **values)
        if state.global_step == 2:
            send_command(run, "stop-and-save")

    monkeypatch.setattr(Course, "on_step_end", stop_at_step_2)
    assert train(run) == "stopped"
    assert [one["step"] for one in history(run.events_path, ("eval",))] == [0]
    assert run.status().step == 2
    assert (run.output / "adapter_model.safetensors").is_file()


def test_a_checkpoint_asked_for_too_late_is_answered_with_an_error(make_run: MakeRun) -> None:
    run = make_run(**LONG)
    checkpoint = send_command(run, "checkpoint")
    send_command(run, "stop")
    assert train(run) == "stopped"
    result = wait_for_result(run, checkpoint, seconds=0)
    assert result is not None
    assert result["result"] == "error"
