"""The chunked loss against transformers' own: tokens a second and the process's peak on the demo's job, in alternation.

`python -m tests.benchmarks loss`. Each run is a process of its own, without a dashboard; torch has one thread.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from finetty.backend.demo import RECIPE
from finetty.backend.planning import gather, plan
from finetty.backend.recipe import load_recipe, with_values
from finetty.backend.runs import Run

PAIRS, STEPS, SKIPPED = 3, 12, 2
"""Steps at the beginning are not counted: allocators and caches warm up in them."""
TRAIN = "import sys; from pathlib import Path; from finetty.backend.runs import Run; from finetty.backend.training "
TRAIN += "import train; sys.exit(train(Run.open(Path(sys.argv[1]))) != 'finished')"
ENVIRONMENT = os.environ | {"OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "passive", "HF_HUB_OFFLINE": "1"}


def main() -> None:
    found: dict[str, list[tuple[float, float]]] = {"chunked": [], "plain": []}
    with tempfile.TemporaryDirectory() as folder:
        for number in range(PAIRS):
            for loss, figures in found.items():
                figures.append(measured(new_run(Path(folder) / f"{number}-{loss}", loss)))
                speed, peak = figures[-1]
                print(f"  {loss}: {speed:.1f} tokens/s, peak {peak:.0f} MiB", flush=True)
    ratios = sorted(ours[0] / own[0] for ours, own in zip(found["chunked"], found["plain"], strict=True))
    peaks = {loss: statistics.median(peak for _, peak in figures) for loss, figures in found.items()}
    print(
        f"tokens/s of chunked over plain: {statistics.median(ratios):.3f} ({ratios[0]:.3f} to {ratios[-1]:.3f}); "
        f"peak {peaks['chunked']:.0f} and {peaks['plain']:.0f} MiB"
    )


def new_run(root: Path, loss: str) -> Run:
    root.mkdir()
    values = {"training.max_steps": STEPS, "output.samples": [], "output.checkpoint_every": STEPS}
    recipe = with_values(load_recipe(RECIPE), {**values, "dataset.validation": 0, "acceleration.loss": loss})
    facts = gather(recipe, runs_root=root)
    planned = plan(recipe, facts.model, facts.machine, facts.data)
    return Run.create(root, planned.to_json(), planned.recipe, asked=recipe)


def measured(run: Run, **environment: str) -> tuple[float, float]:
    """Tokens a second of the counted steps, and the process's peak in the longest batch in MiB."""
    subprocess.run([sys.executable, "-c", TRAIN, str(run.path)], check=True, env=ENVIRONMENT | environment)
    events = [json.loads(line) for line in run.events_path.read_text().splitlines()]
    steps = [event for event in events if event["kind"] == "step"]
    tokens = steps[-1]["tokens"] - steps[SKIPPED - 1]["tokens"]
    [peak] = [event["process"] for event in events if event["kind"] == "note" and "process" in event]
    return tokens / (steps[-1]["elapsed"] - steps[SKIPPED - 1]["elapsed"]), peak / 2**20
