"""Recipes queued from a shell that has gone are trained one after another; a run trained again is the same."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from tests.e2e.test_commands import Shell

pytestmark = pytest.mark.proof


def test_queued_stopped_trained_and_reproduced(tmp_path: Path, tiny_recipe: Path) -> None:
    shell = Shell(tmp_path)
    third = tmp_path / "third.yaml"
    third.write_text(tiny_recipe.read_text() + "output: {name: third}\n")
    queued = shell("queue", tiny_recipe, tiny_recipe, third)
    assert queued.returncode == 0, queued.stderr
    last = next(run["id"] for run in shell.json("runs") if run["name"] == "third")
    assert shell("stop", last).returncode == 0
    until = time.monotonic() + 300
    while (states := sorted(run["state"] for run in shell.json("runs"))) != ["finished", "finished", "stopped"]:
        assert time.monotonic() < until, states
        time.sleep(0.5)
    finished = next(run["id"] for run in shell.json("runs") if run["state"] == "finished")
    done = shell("reproduce", finished)
    assert done.returncode == 0, done.stderr
    assert "same to the bit" in done.stdout
