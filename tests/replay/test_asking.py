"""The exact prediction asked for from outside: another process, which can be late, die, or be stopped."""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest
from tests.replay.conftest import Configured
from tests.replay.test_replaying import JOB, T4

from finetty.backend.memory import Device
from finetty.backend.replay.asking import Question, Replays
from finetty.backend.replay.replaying import replay

CARD = Device("cuda", "T4", None, None)


@pytest.fixture(scope="module")
def replays() -> Iterator[Replays]:
    found = Replays()
    yield found
    found.close()


def wait_until(is_so: Callable[[], object], seconds: float = 60) -> None:
    until = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < until
        time.sleep(0.02)


def forks(replays: Replays) -> list[psutil.Process]:
    assert replays._process is not None
    return psutil.Process(replays._process.pid).children()


def test_a_fork_of_the_warm_process_gives_the_same(replays: Replays, configured: Configured) -> None:
    folder = configured(num_hidden_layers=3)
    for job in (JOB, dataclasses.replace(JOB, quantization="nf4", checkpointing=True)):
        answer = replays.ask(Question(job, folder, CARD, flash=False)).answer()
        assert answer.finding is None
        assert answer.prediction == replay(job, folder, "cuda", T4).prediction


def test_a_question_survives_its_json() -> None:
    question = Question(dataclasses.replace(JOB, targets=("q_proj",), modules=("mlp",)), Path("/model"), CARD)
    assert Question.from_json(json.loads(json.dumps(question.to_json()))) == question


def test_what_the_library_refuses_is_a_note(replays: Replays, configured: Configured) -> None:
    folder = configured(num_hidden_layers=3)
    (folder / "config.json").write_text('{"model_type": "no_such_model"}')
    answer = replays.ask(Question(JOB, folder, CARD)).answer()
    assert answer.prediction is None
    assert answer.finding is not None and answer.finding.level == "note"


def test_what_takes_too_much_ram_is_a_note(
    replays: Replays, configured: Configured, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(psutil, "virtual_memory", lambda: SimpleNamespace(available=2_000_000))
    answer = replays.ask(Question(JOB, configured(), CARD)).answer()
    assert answer.finding is not None and answer.finding.message.id == "replay.no_memory"


def test_one_that_outlives_its_time_is_ended(replays: Replays, configured: Configured) -> None:
    answer = replays.ask(Question(JOB, configured(), CARD), seconds=0.2).answer()
    assert answer.finding is not None and answer.finding.message.id == "replay.too_long"
    assert not psutil.wait_procs(forks(replays), timeout=10)[1]


def test_one_that_is_stopped_answers_with_nothing(replays: Replays, configured: Configured) -> None:
    replaying = replays.ask(Question(JOB, configured(), CARD))
    wait_until(lambda: forks(replays))
    replaying.stop()
    assert replaying.answer().prediction is None
    assert not psutil.wait_procs(forks(replays), timeout=10)[1]


def test_one_that_dies_is_a_note_and_the_next_is_answered(replays: Replays, configured: Configured) -> None:
    question = Question(JOB, configured(num_hidden_layers=3), CARD)
    replaying = replays.ask(question)
    wait_until(lambda: forks(replays))
    forks(replays)[0].kill()
    answer = replaying.answer()
    assert answer.finding is not None and answer.finding.message.id == "replay.died"
    assert replays.ask(question).answer().prediction is not None


def test_a_warm_process_that_died_is_started_again(replays: Replays, configured: Configured) -> None:
    replays.start()
    assert replays._process is not None
    replays._process.kill()
    replays._process.wait()
    assert replays.ask(Question(JOB, configured(num_hidden_layers=3), CARD)).answer().prediction is not None


def test_it_all_ends_with_the_process_that_asked(replays: Replays, configured: Configured) -> None:
    question = Question(JOB, configured(), CARD)
    asking = """
import json, sys
from finetty.backend.replay.asking import Question, Replays
replays = Replays()
replaying = replays.ask(Question.from_json(json.loads(sys.argv[1])))
print(replays._process.pid, flush=True)
sys.stdin.read()
"""
    asker = subprocess.Popen(
        [sys.executable, "-c", asking, json.dumps(question.to_json())],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert asker.stdout is not None
    warm = psutil.Process(int(asker.stdout.readline()))
    wait_until(lambda: not warm.is_running() or warm.children())
    all_of_it = [warm, *warm.children()]
    assert len(all_of_it) == 2
    asker.kill()
    asker.wait()
    assert not psutil.wait_procs(all_of_it, timeout=30)[1]


def test_plan_exact_fills_the_exact_figure(tiny_recipe: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "finetty.tui.launcher", "plan", str(tiny_recipe), "--gpu", "T4", "--exact", "--json"],
        capture_output=True,
        text=True,
        check=False,
        timeout=330,
    )
    memory = json.loads(done.stdout)["memory"]
    assert set(memory["exact"]) == set(memory["live"])
    assert set(memory["exact"]["components"]) == set(memory["live"]["components"])
    assert abs(memory["exact"]["allocated"] / memory["live"]["allocated"] - 1) < 0.25
