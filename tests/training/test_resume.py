"""Killed with SIGKILL at any moment and resumed, a run on the CPU has the losses, to the bit, of one never killed."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from finetty.backend.runs import Run, history
from finetty.backend.training import resume, train

from .conftest import MakeRun

pytestmark = pytest.mark.trains

OPTIONS: dict[str, Any] = {"method.dropout": 0.1, "output.checkpoint_every": 4, "training.epochs": 3.0}

MOMENTS = {
    "before the first checkpoint": "after_step(2)",
    "in the first epoch": "after_step(6)",
    "in a later epoch": "after_step(14)",
    "with a checkpoint at an epoch's end": "after_step(9)",
    "while a checkpoint is written": "while_writing('step-000012')",
    "between a checkpoint's rename and its event": "after_rename('step-000012')",
    "while an old checkpoint is removed": "while_removing('step-000008')",
    "while the result is written": "while_writing('output')",
}

# One process imports torch; each kill has a child of it, so that a kill costs a fork and not an import.
KILLED = """
import os, shutil, signal, sys
from pathlib import Path
import torch
torch.set_num_threads(1)
from finetty.backend.runs import Run
from finetty.backend.training import checkpoints, journal, load, methods, train, trainer


def die():
    os.kill(os.getpid(), signal.SIGKILL)

def after_step(number):
    real = journal.Journal.step
    def step(self, at, **values):
        real(self, at, **values)
        if at == number:
            die()
    journal.Journal.step = step

def while_writing(name):
    real = checkpoints.write_folder
    def write(path, fill):
        def half(folder):
            fill(folder)
            for file in list(folder.iterdir())[::2]:
                os.truncate(file, file.stat().st_size // 2)
            die()
        real(path, half if path.name == name else fill)
    for module in (checkpoints, sys.modules['finetty.backend.training.save']):
        module.write_folder = write

def after_rename(name):
    real = checkpoints._put_in_place
    def put(beside, path):
        real(beside, path)
        if path.name == name:
            die()
    checkpoints._put_in_place = put

def while_removing(name):
    real = shutil.rmtree
    def remove(path, **values):
        if name in str(path) and Path(path).exists():
            next(iter(sorted(Path(path).iterdir()))).unlink()
            die()
        real(path, **values)
    checkpoints.shutil.rmtree = remove

import finetty.backend.training.save
for line in sys.argv[1:]:
    moment, folder = line.split('\\t')
    pid = os.fork()
    if pid == 0:
        eval(moment)
        train(Run.open(Path(folder)))
        os._exit(3)
    _, status = os.waitpid(pid, 0)
    assert os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL, (moment, status)
"""


@pytest.fixture
def runs(make_run: MakeRun) -> dict[str, Run]:
    """One run killed at each moment."""
    runs = {name: make_run(**OPTIONS) for name in MOMENTS}
    told = [f"{MOMENTS[name]}\t{run.path}" for name, run in runs.items()]
    subprocess.run(
        [sys.executable, "-c", KILLED, *told], check=True, env={**os.environ, "OMP_NUM_THREADS": "1"}, timeout=300
    )
    return runs


def told(run: Run, kind: str) -> list[tuple[int, float]]:
    return [(one["step"], one["loss"]) for one in history(run.events_path, (kind,))]


def test_killed_and_resumed_is_never_killed(make_run: MakeRun, runs: dict[str, Run]) -> None:
    whole = make_run(**OPTIONS)
    assert train(whole) == "finished"
    result = load_file(whole.output / "adapter_model.safetensors")
    for moment, run in runs.items():
        assert run.status().state == "crashed", moment
        assert resume(run) == "finished", (moment, history(run.events_path, ("alert",)))
        assert told(run, "step") == told(whole, "step"), moment
        assert dict(told(run, "eval")) == dict(told(whole, "eval")), moment
        resumed = load_file(run.output / "adapter_model.safetensors")
        assert all(torch.equal(result[name], resumed[name]) for name in result), moment
        assert not leftovers(run.path), moment
        assert len(list(run.checkpoints.iterdir())) == 2, moment


def leftovers(folder: Path) -> list[Path]:
    return [path for path in folder.rglob(".*") if path.suffix in (".writing", ".removed", ".before")]
