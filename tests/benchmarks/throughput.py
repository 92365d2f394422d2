"""Tokens a second of a finetty run, its dashboard on, against transformers' Trainer in a bare script.

Same model, same rows, same order, torch on one thread on both sides; only the steps are timed, not the loading.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.benchmarks.pseudo_terminal import program

from finetty.backend.demo import RECIPE
from finetty.backend.planning import gather, plan
from finetty.backend.recipe import load_recipe, with_values
from finetty.backend.runs import Run

PAIRS = 4
STEPS = 10
SKIPPED = 2
"""Steps at the beginning that are not counted: allocators and caches warm up in them."""
GOAL = 0.03
ONE_THREAD = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        pairs = []
        for number in range(PAIRS):
            run = new_run(Path(folder) / str(number))
            pairs.append((with_dashboard(run), bare_trainer(run)))
            print(
                f"  pair {number + 1}: finetty {pairs[-1][0]:.1f}, bare Trainer {pairs[-1][1]:.1f} tokens/s", flush=True
            )
    ratios = sorted(ours / theirs for ours, theirs in pairs)
    ours, theirs = (statistics.median(side) for side in zip(*pairs, strict=True))
    print(
        f"finetty {ours:.1f} tokens/s, bare Trainer {theirs:.1f}; ratio {statistics.median(ratios):.3f} "
        f"({ratios[0]:.3f} to {ratios[-1]:.3f}, {PAIRS} pairs; goal at least {1 - GOAL})"
    )


def new_run(root: Path) -> Run:
    root.mkdir()
    recipe = with_values(
        load_recipe(RECIPE),
        {"training.max_steps": STEPS, "output.samples": [], "output.checkpoint_every": STEPS, "dataset.validation": 0},
    )
    facts = gather(recipe, runs_root=root)
    planned = plan(recipe, facts.model, facts.machine, facts.data)
    return Run.create(root, planned.to_json(), planned.recipe, asked=recipe)


def with_dashboard(run: Run) -> float:
    """Tokens a second of the run's own steps, while its dashboard draws on a terminal."""
    command = [sys.executable, "-m", "finetty.tui.run", str(run.path)]
    with program(command, ONE_THREAD) as started:
        while run.status().state not in ("finished", "failed", "stopped", "crashed"):
            started.drain(0.5)
    assert run.status().state == "finished", run.console_path.read_text()[-2000:]
    steps = [event for event in map(json.loads, run.events_path.read_text().splitlines()) if event["kind"] == "step"]
    first, last = steps[SKIPPED - 1], steps[-1]
    return float((last["tokens"] - first["tokens"]) / (last["elapsed"] - first["elapsed"]))


def bare_trainer(run: Run) -> float:
    done = subprocess.run(
        [sys.executable, "-m", "tests.benchmarks.bare_trainer", str(run.path), str(SKIPPED)],
        env=os.environ | ONE_THREAD,
        capture_output=True,
        text=True,
        check=True,
    )
    return float(done.stdout.split()[-1])
