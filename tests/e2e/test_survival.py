"""Real training on a real terminal: what happens to the terminal, or to a process, never costs what was learned."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.e2e.terminal import FINETTY, Terminal

from finetty.backend.runs import Run, find_run, history, list_runs, runs_root

pytestmark = pytest.mark.trains

SECONDS_TO_LOAD = 120


class Desk:
    """A person at a terminal, with a folder of runs of their own."""

    def __init__(self, folder: Path) -> None:
        self.root = runs_root(folder / "runs")
        self.env = {"FINETTY_RUNS": str(self.root), "FINETTY_LANG": "en", "OMP_NUM_THREADS": "1"}

    def terminal(self, *command: str) -> Terminal:
        return Terminal(["finetty", *command], env=self.env)

    def training(self, recipe: Path) -> Terminal:
        """A terminal whose run is in the middle of its training."""
        terminal = self.terminal("train", str(recipe))
        terminal.wait_for("held-out loss", SECONDS_TO_LOAD)
        terminal.wait_until(lambda _screen: self.steps() > 3, SECONDS_TO_LOAD, "the first steps")
        return terminal

    @property
    def run(self) -> Run:
        return find_run(self.root, "latest")

    def steps(self) -> int:
        return len(history(self.run.events_path)) if list_runs(self.root) else 0

    def wait_for_state(self, *states: str, seconds: float = 120) -> None:
        wait_until(lambda: self.run.status().state in states, seconds)

    def goes_on(self) -> None:
        before = self.steps()
        wait_until(lambda: self.steps() > before + 3)
        assert self.run.status().state == "running"

    def call(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        command = [FINETTY, *arguments]
        return subprocess.run(command, capture_output=True, text=True, env=os.environ | self.env, check=False)

    def listed(self) -> dict[str, Any]:
        (run,) = json.loads(self.call("runs", "--json").stdout)
        return dict(run)


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    desk = Desk(tmp_path)
    yield desk
    for run in list_runs(desk.root):
        if run.is_alive() and (pid := run.status().pid):
            os.kill(pid, signal.SIGKILL)


def recipe_of(folder: Path, model: Path, data: Path, steps: int) -> Path:
    path = folder / "recipe.yaml"
    path.write_text(
        f"finetty: 1\nmodel: {{path: {model}}}\ndataset: {{train: [{{path: {data}}}], validation: 4}}\n"
        f"training: {{max_steps: {steps}, micro_batch: 2, batch: 2, learning_rate: 0.005}}\n"
        "output: {checkpoint_every: 50}\n"
    )
    return path


@pytest.fixture
def endless(tmp_path: Path, tiny_model: Path, tiny_data: Path) -> Path:
    """A recipe that would train for longer than any test waits."""
    return recipe_of(tmp_path, tiny_model, tiny_data, 1_000_000)


@pytest.fixture
def short(tmp_path: Path, tiny_model: Path, tiny_data: Path) -> Path:
    return recipe_of(tmp_path, tiny_model, tiny_data, 200)


def wait_until(is_so: Callable[[], bool], seconds: float = 60) -> None:
    until = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < until, f"it never came to that in {seconds} s"
        time.sleep(0.1)


def adapter_of(run: Run) -> Path:
    return run.output / "adapter_model.safetensors"


def test_detach_gives_the_prompt_back_and_the_run_finishes(desk: Desk, short: Path) -> None:
    with desk.training(short) as terminal:
        terminal.press("d")
        assert terminal.exit_code() == 0
        assert f"finetty attach {desk.run.id}" in terminal.screen()
        assert terminal.leftovers() == []
    desk.wait_for_state("finished")
    assert [event["step"] for event in history(desk.run.events_path)] == list(range(1, 201))
    assert adapter_of(desk.run).is_file()


def test_after_a_hang_up_the_run_goes_on_and_another_login_attaches_and_stops_it(desk: Desk, endless: Path) -> None:
    terminal = desk.training(endless)
    terminal.hang_up()
    desk.goes_on()
    terminal.close()
    with desk.terminal("attach") as other:
        other.wait_for("running")
        other.press("d")
        assert other.exit_code() == 0
    desk.goes_on()
    stopped = desk.call("stop", "latest")
    assert stopped.returncode == 0, stopped.stderr
    desk.wait_for_state("stopped")
    assert adapter_of(desk.run).is_file()


def test_a_killed_holder_does_not_take_the_run_with_it(desk: Desk, endless: Path) -> None:
    with desk.training(endless) as terminal:
        os.kill(terminal.pid, signal.SIGKILL)
        assert terminal.exit_code() == -signal.SIGKILL
        desk.goes_on()
    desk.goes_on()


def test_sigterm_saves_and_exits_143(desk: Desk, endless: Path) -> None:
    with desk.training(endless) as terminal:
        os.kill(terminal.pid, signal.SIGTERM)
        assert terminal.exit_code(120) == 143
        assert terminal.leftovers() == []
    assert desk.run.status().state == "stopped"
    assert adapter_of(desk.run).is_file()


def test_a_killed_process_restores_the_terminal_and_resumes_from_its_last_whole_checkpoint(
    desk: Desk, endless: Path
) -> None:
    with desk.training(endless) as terminal:
        wait_until(lambda: desk.run.status().last_checkpoint is not None, SECONDS_TO_LOAD)
        pid = desk.run.status().pid
        assert pid
        os.kill(pid, signal.SIGKILL)
        assert terminal.exit_code() == 1
        assert terminal.leftovers() == []
        assert terminal.cursor_is_shown()
        assert "finetty resume" in terminal.screen()
    assert desk.listed()["state"] == "crashed"
    with desk.terminal("resume", "latest") as terminal:
        wait_until(lambda: terminal.read(0.1) is None or desk.run.status().state == "running", SECONDS_TO_LOAD)
        os.kill(terminal.pid, signal.SIGTERM)
        assert terminal.exit_code(120) == 143
    steps = [event["step"] for event in history(desk.run.events_path)]
    assert steps == list(range(1, len(steps) + 1))
