"""The most memory that merging a model for an export takes, beside the size of the model's weights.

`python -m tests.benchmarks export-memory`. The demo's model with an untrained adapter, merged into one file and into
several, each time in a process of its own. Resident memory counts the pages of the base's file that are read, too.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.benchmarks.throughput import new_run

from finetty.backend.models.weights import weight_files
from finetty.backend.results.source import source_of
from finetty.backend.runs import Run

OWN = (sys.executable, "-m", "tests.benchmarks.export_memory")
SHARDS = (1 << 30, 100 << 20)
GOAL = 2 << 30
"""Bytes above the model's file and the largest shard."""


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        run = new_run(Path(folder) / "runs")
        _peak([*OWN, "save", str(run.path)])
        size = sum(path.stat().st_size for path in weight_files(source_of(run).base))
        print(f"  the model's weights: {size / 2**20:.0f} MiB")
        for number, shard in enumerate(SHARDS):
            out = Path(folder) / str(number)
            peak = _peak([*OWN, "merge", str(run.path), str(out), str(shard)])
            largest = max(path.stat().st_size for path in weight_files(out))
            above = peak - size - largest
            print(
                f"largest shard {largest / 2**20:.0f} MiB: peak {peak / 2**20:.0f} MiB, {peak / size:.2f} of the "
                f"weights, {above / 2**20:.0f} MiB above weights and shard (goal at most {GOAL / 2**20:.0f})",
                flush=True,
            )


def _peak(command: list[str]) -> int:
    """Bytes: the most that the process ever had resident.

    A child begins with its parent's peak, so this process loads no torch.
    """
    environment = os.environ | {"HF_HUB_OFFLINE": "1"}
    process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    assert status == 0, command
    return usage.ru_maxrss * 1024


def save(run: Run) -> None:
    """The run's result as it would be after no step at all."""
    from finetty.backend.conversation import load_encoder
    from finetty.backend.planning.plan import Plan
    from finetty.backend.training.load import load_model, stored_dtype
    from finetty.backend.training.methods import prepare
    from finetty.backend.training.place import model_folder
    from finetty.backend.training.save import save_output

    recipe = Plan.from_json(run.plan_document()).recipe
    base = model_folder(recipe)
    model = prepare(load_model(base, recipe, on_cpu=True), recipe, run.path)
    save_output(
        model,
        run.output,
        base=base,
        recipe=recipe,
        encoder=load_encoder(base, recipe),
        stored=stored_dtype(model.config),
        use_cache=None,
        run=run.path,
    )


def merge(run: Run, folder: Path, shard_bytes: int) -> None:
    from finetty.backend.results.merged_folder import write_merged

    folder.mkdir()
    write_merged(source_of(run), run.output, folder, dtype=None, shard_bytes=shard_bytes, report=lambda _said: None)


if __name__ == "__main__":
    opened = Run.open(Path(sys.argv[2]))
    if sys.argv[1] == "save":
        save(opened)
    else:
        merge(opened, Path(sys.argv[3]), int(sys.argv[4]))
