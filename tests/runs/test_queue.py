"""Runs wait for their device and are started one after another, whatever becomes of the one before."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from finetty.backend.recipe import Recipe
from finetty.backend.runs import Run, history, runs_root
from finetty.backend.runs.queue import claim, enqueue, take_out, waiting, working
from finetty.tui.queue import work_through

STEPPING = Path(__file__).parent.parent / "tui" / "stepping.py"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return runs_root(tmp_path / "runs")


def made(root: Path, name: str, device: str = "cpu") -> Run:
    recipe = Recipe()
    recipe.output.name = name
    plan = {"steps": 3, "recipe": recipe.model_dump(mode="json"), "memory": {"device": {"kind": device}}}
    return Run.create(root, plan, recipe)


def put(root: Path, *names: str) -> list[Run]:
    runs = [made(root, name) for name in names]
    for run in runs:
        enqueue(run)
    return runs


def stepping(run: Run, **environment: str) -> subprocess.Popen[bytes]:
    """A process that holds the run's lock and steps, as the one that trains does."""
    command = [sys.executable, str(STEPPING), str(run.path), "--plain"]
    nowhere = subprocess.DEVNULL
    return subprocess.Popen(command, stdout=nowhere, stderr=nowhere, env={**os.environ, "STEPS": "3", **environment})


def began(run: Run) -> float:
    return next(event["time"] for event in history(run.events_path, ["state"]) if event["state"] == "running")


def test_one_after_another_in_their_order_and_a_failure_stops_nothing(root: Path) -> None:
    first, second, third = put(root, "first", "second", "third")

    def start(run: Run) -> subprocess.Popen[bytes]:
        return stepping(run, STEPPING="break" if run.id == second.id else "")

    assert [run.id for run in waiting(root)] == [first.id, second.id, third.id]
    work_through(root, start, pause=0.02)
    assert [run.status().state for run in (first, second, third)] == ["finished", "failed", "finished"]
    assert began(first) < began(third)
    assert waiting(root) == []


def test_one_that_is_killed_is_crashed_and_the_next_begins(root: Path) -> None:
    first, second = put(root, "first", "second")

    def start(run: Run) -> subprocess.Popen[bytes]:
        process = stepping(run, STEPS="1000000" if run.id == first.id else "3")
        while run.id == first.id and run.status().step == 0:
            assert process.poll() is None
            time.sleep(0.02)
        if run.id == first.id:
            process.kill()
        return process

    work_through(root, start, pause=0.02)
    assert [run.status().state for run in (first, second)] == ["crashed", "finished"]
    assert waiting(root) == []


def test_what_never_began_is_said_to_have_failed(root: Path) -> None:
    (run,) = put(root, "only")
    work_through(root, lambda _run: subprocess.Popen(["false"]))
    assert run.status().state == "failed"


def test_it_waits_while_another_run_has_the_device(root: Path) -> None:
    busy, elsewhere = made(root, "busy"), made(root, "elsewhere", device="cuda")
    process = stepping(busy, STEPS="1000000")
    other = stepping(elsewhere, STEPS="1000000")
    try:
        until = time.monotonic() + 60
        while not (busy.is_alive() and elsewhere.is_alive()):
            assert time.monotonic() < until, "the runs did not begin"
            time.sleep(0.02)
        (run,) = put(root, "waits")
        worker = threading.Thread(target=work_through, args=(root, stepping), kwargs={"pause": 0.02})
        worker.start()
        time.sleep(0.3)
        assert run.status().state == "queued"
        process.send_signal(signal.SIGTERM)
        worker.join(timeout=60)
        assert run.status().state == "finished"
        assert elsewhere.is_alive(), "the other device's run is none of the queue's business"
    finally:
        for one in (process, other):
            one.kill()
            one.wait()


def test_stop_takes_a_waiting_run_out_once(root: Path) -> None:
    first, second = put(root, "first", "second")
    assert take_out(first)
    assert not take_out(first)
    assert first.status().state == "stopped"
    assert [run.id for run in waiting(root)] == [second.id]
    assert claim(second)
    assert not take_out(second), "the queue has it already"
    assert second.status().state == "queued"


def test_only_one_process_works_and_what_comes_late_is_not_forgotten(root: Path) -> None:
    put(root, "first")
    with working(root) as mine, working(root) as other:
        assert (mine, other) == (True, False)
        work_through(root, lambda _run: pytest.fail("another process works"))
    late: list[Run] = []

    def start(run: Run) -> subprocess.Popen[bytes]:
        if not late:
            late.extend(put(root, "late"))
        return stepping(run)

    work_through(root, start)
    assert late[0].status().state == "finished"


def test_a_run_that_was_begun_by_hand_waits_no_more(root: Path) -> None:
    (run,) = put(root, "mine")
    run.write_status(state="finished")
    assert waiting(root) == []


def test_a_mark_that_leads_elsewhere_is_no_harm(root: Path, tmp_path: Path) -> None:
    precious = tmp_path / "precious"
    precious.write_text("12")
    run = made(root, "linked")
    (run.path / "waiting").symlink_to(precious)
    assert claim(run)
    assert precious.read_text() == "12"
