"""Two processes on the CPU under torchrun, with gloo: the same curve as one, the same commands, and a death is told."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import psutil
import pytest
import torch
from safetensors.torch import load_file

from finetty.backend.runs import Run, history, list_runs, send_command

pytestmark = [pytest.mark.proof, pytest.mark.trains]

BIN = Path(sys.executable).parent
TWO = [str(BIN / "torchrun"), "--standalone", "--nproc-per-node", "2", "--no-python"]

ENVIRONMENT = os.environ | {"OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "passive"}


def recipe(folder: Path, model: Path, data: Path, steps: int, method: str = "{rank: 4}", more: str = "") -> Path:
    path = folder / "recipe.yaml"
    path.write_text(
        f"finetty: 1\nmodel: {{path: {model}}}\nhardware: {{devices: cpu{more}}}\n"
        f"dataset: {{train: [{{path: {data}}}], validation: 8}}\nmethod: {method}\n"
        f"training: {{max_steps: {steps}, micro_batch: 2, batch: 8, learning_rate: 0.005}}\n"
        "output: {checkpoint_every: 4, samples: [What is a rank?]}\n"
    )
    return path


def started(root: Path, path: Path, *before: str) -> subprocess.Popen[str]:
    root.mkdir(exist_ok=True)
    command = [*before, str(BIN / "finetty"), "--runs-dir", str(root), "train", str(path), "--plain"]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=ENVIRONMENT)


def begun(root: Path, process: subprocess.Popen[str]) -> Run:
    """The run, once it has taken some steps."""
    for _ in range(600):
        runs = list_runs(root)
        if runs and runs[0].status().step >= 4:
            return runs[0]
        assert process.poll() is None, process.communicate()[0]
        time.sleep(0.2)
    raise AssertionError("it never began")


def losses(run: Run, kind: str) -> list[float]:
    return [one["loss"] for one in history(run.events_path, (kind,))]


@pytest.mark.parametrize(
    ("method", "more"),
    [("{rank: 4}", ""), ("{rank: 4}", ", fsdp: true"), ("{name: full}", ", fsdp: true")],
    ids=["lora", "lora, FSDP", "full, FSDP"],
)
def test_the_same_curve_as_one_process_with_the_same_batch(
    tmp_path: Path, tiny_model: Path, tiny_data: Path, method: str, more: str
) -> None:
    runs: list[Run] = []
    for name, before, hardware in (("one", [], ""), ("two", TWO, more)):
        process = started(tmp_path / name, recipe(tmp_path, tiny_model, tiny_data, 8, method, hardware), *before)
        said = process.communicate(timeout=300)[0]
        assert process.returncode == 0, said
        runs += list_runs(tmp_path / name)
    one, two = runs
    assert losses(two, "step") == pytest.approx(losses(one, "step"), rel=1e-4)
    assert losses(two, "eval") == pytest.approx(losses(one, "eval"), rel=1e-4)
    tokens = [[event["tokens"] for event in history(run.events_path, ("step",))] for run in runs]
    assert tokens[0] == tokens[1]
    asked = [[event["step"] for event in history(run.events_path, ("sample",))] for run in runs]
    assert {0, 8} <= set(asked[0]) & set(asked[1])
    states: Any = [event["state"] for event in history(two.events_path, ("state",))]
    assert states == ["loading", "preflight", "running", "saving", "finished"]
    ours, theirs = (load_file(next(run.output.glob("*model.safetensors"))) for run in runs)
    assert ours.keys() == theirs.keys()
    assert all(torch.allclose(ours[name], theirs[name], atol=1e-4) for name in ours)


@pytest.mark.parametrize("more", ["", ", fsdp: true"], ids=["DDP", "FSDP"])
def test_resumed_it_is_never_ended(tmp_path: Path, tiny_model: Path, tiny_data: Path, more: str) -> None:
    """With dropout, whose random states are each process's own."""
    path = recipe(tmp_path, tiny_model, tiny_data, 8, "{rank: 4, dropout: 0.1}", more)
    process = started(tmp_path / "whole", path, *TWO)
    said = process.communicate(timeout=300)[0]
    assert process.returncode == 0, said
    [whole] = list_runs(tmp_path / "whole")
    shutil.copytree(tmp_path / "whole", tmp_path / "cut")
    [cut] = list_runs(tmp_path / "cut")
    shutil.rmtree(cut.checkpoints / "step-000008")
    shutil.rmtree(cut.output)
    cut.write_status(state="failed")
    command = [*TWO, str(BIN / "finetty"), "--runs-dir", str(tmp_path / "cut"), "resume", cut.id, "--plain"]
    done = subprocess.run(command, capture_output=True, text=True, env=ENVIRONMENT, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    assert losses(cut, "step") == losses(whole, "step")
    results = [load_file(run.output / "adapter_model.safetensors") for run in (whole, cut)]
    assert all(torch.equal(results[0][name], results[1][name]) for name in results[0])


def test_commands_reach_all_and_a_death_is_told(tmp_path: Path, tiny_model: Path, tiny_data: Path) -> None:
    path = recipe(tmp_path, tiny_model, tiny_data, 100_000)
    process = started(tmp_path / "runs", path, *TWO)
    run = begun(tmp_path / "runs", process)
    for command in ("pause", "checkpoint", "resume", "stop-and-save"):
        send_command(run, command)
        time.sleep(2)
        if command == "pause":
            assert run.status().state == "paused"
    process.communicate(timeout=120)
    assert run.status().state == "stopped"
    done = [one["result"] for one in history(run.events_path, ("command",))]
    assert done == ["done"] * 4
    assert (run.output / "adapter_model.safetensors").is_file()

    process = started(tmp_path / "others", path, *TWO)
    run = begun(tmp_path / "others", process)
    ranks = [child for child in psutil.Process(process.pid).children(recursive=True) if child.pid != run.status().pid]
    second = next(child for child in ranks if child.environ().get("RANK") == "1")
    os.kill(second.pid, signal.SIGKILL)
    process.communicate(timeout=120)
    assert process.returncode != 0
    assert run.status().state == "failed"
    [alert] = [one for one in history(run.events_path, ("alert",)) if one["level"] == "error"]
    assert alert["code"] == "training.another_gone"
    assert json.dumps(alert).count("finetty resume") >= 1
