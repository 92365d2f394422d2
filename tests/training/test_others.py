"""Why another process ends is told before it goes, and only once."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest

from finetty.backend.runs import Run, history
from finetty.backend.training import others
from finetty.backend.training.journal import Journal
from finetty.backend.training.others import Others, leave_word

from .conftest import MakeRun

LOST = RuntimeError("[gloo/transport/tcp/pair.cc:537] Connection closed by peer [127.0.0.1]:4711")


@pytest.fixture
def run(make_run: MakeRun, monkeypatch: pytest.MonkeyPatch) -> Run:
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setattr(others, "SECONDS_BETWEEN_LOOKS", 0.01)
    monkeypatch.setattr(others, "SECONDS_FOR_A_WORD", 0.2)
    return make_run()


def told(run: Run) -> list[Any]:
    return [(one["code"], one["message"]) for one in history(run.events_path, ("alert",))]


def in_a_thread(work: Callable[[], None]) -> threading.Thread:
    thread = threading.Thread(target=work)
    thread.start()
    return thread


def test_it_goes_when_the_first_process_has_told_it(run: Run) -> None:
    with run.lock():
        journal = Journal(run)
        with Others(journal) as watched:
            leave_word(run, 1, MemoryError("no room"))
            assert told(run) == [("training.another_failed", "Process 1 of the run failed: MemoryError: no room")]
            assert (run.status().state, journal.now) == ("failed", "failed")
        watched.tell_of_lost()
        assert len(told(run)) == 1
        assert not list(run.path.glob("rank-*"))


def test_it_waits_for_no_process_that_is_over(run: Run) -> None:
    run.write_status(state="failed")
    waits = in_a_thread(lambda: leave_word(run, 1, MemoryError("no room")))
    waits.join(60)
    assert not waits.is_alive()
    with run.lock():
        run.write_status(state="loading")
        with Others(Journal(run)) as watched:  # the word is of a process that is gone, and says nothing of this one
            watched.look()
            assert not watched.told
            watched.tell_of_lost()
    assert [code for code, _ in told(run)] == ["training.another_gone"]


def test_an_echo_is_left_for_nobody_in_particular(run: Run) -> None:
    with run.lock():
        run.write_status(state="running")
        leave_word(run, 2, LOST)
        Others(Journal(run)).tell_of_lost()
    [(code, said)] = told(run)
    assert code == "training.another_failed"
    assert "Connection closed" in said
