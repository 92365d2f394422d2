"""Who takes part, and how each is started on a job."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tests.benchmarks.rivals.environments import python_of
from tests.benchmarks.rivals.job import Job
from tests.benchmarks.rivals.measured import Spent, spent_by

from finetty.backend.runs import Run, history, list_runs

HERE = Path(__file__).parent
ENVIRONMENT = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "OMP_WAIT_POLICY": "passive", "HF_HUB_OFFLINE": "1"}


@dataclass(frozen=True)
class Outcome:
    """What it took from start to end, of which in the training's own steps, and before them in a preflight, seconds."""

    spent: Spent
    training: float
    preflight: float
    model: Path
    """The folder of the result."""


Side = Callable[[Path, Job, Path], Outcome]


def finetty(folder: Path, job: Job, output: Path) -> Outcome:
    recipe = output / "recipe.yaml"
    recipe.write_text(_recipe(job), encoding="utf-8")
    command = [str(Path(sys.executable).with_name("finetty")), "--runs-dir", str(output / "runs")]
    spent = spent_by([*command, "train", str(recipe), "--plain"], log=output / "log", **ENVIRONMENT)
    [run] = list_runs(output / "runs")
    steps = history(run.events_path, ("step",))
    return Outcome(spent, steps[-1]["elapsed"], _preflight(run), run.output)


def _preflight(run: Run) -> float:
    [note] = [one for one in history(run.events_path, ("note",)) if "seconds" in one]
    return float(note["seconds"])


def _recipe(job: Job) -> str:
    document = {
        "finetty": 1,
        "model": {"path": job.model},
        "hardware": {"devices": "cpu"},
        "dataset": {"train": [{"path": job.train}], "validation": job.held_out},
        "method": {"name": job.method} | ({"rank": job.rank, "alpha": job.alpha} if job.method == "lora" else {}),
        "training": {
            "epochs": job.epochs,
            "micro_batch": job.micro_batch,
            "batch": job.batch,
            "learning_rate": job.learning_rate,
            "weight_decay": job.weight_decay,
            "max_grad_norm": job.max_grad_norm,
            "warmup": job.warmup_steps,
            "seed": job.seed,
        },
        # The others measure once and keep the result alone; finetty measures before its first step too.
        "output": {"checkpoint_every": 1_000_000, "keep": 1, "samples": []},
    }
    return json.dumps(document)  # JSON is YAML


def _by(environment: str | None, script: str, *more: str) -> Side:
    def side(folder: Path, job: Job, output: Path) -> Outcome:
        python = str(python_of(environment)) if environment else sys.executable
        command = [python, str(HERE / script), str(folder), str(output), *more]
        spent = spent_by(command, log=output / "log", **ENVIRONMENT)
        return Outcome(spent, json.loads((output / "seconds.json").read_text()), 0.0, output / "model")

    return side


SIDES: dict[str, Side] = {
    "finetty": finetty,
    "transformers": _by(None, "bare_side.py"),
    "trl": _by("trl", "trl_side.py"),
    "llama-factory": _by("llama-factory", "llama_factory_side.py"),
    "llama-factory-lean": _by("llama-factory", "llama_factory_side.py", "disable_gradient_checkpointing=true"),
}
"""The last is LLaMA-Factory without the gradient checkpointing that it does unasked and a small job can spare."""
