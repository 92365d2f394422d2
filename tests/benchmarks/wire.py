"""What the dashboard of a run that trains says over the wire: bytes a second once it has settled.

The run is real, on one thread, its dashboard in the same process, on a terminal of 120 by 40.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from pathlib import Path

from tests.benchmarks.pseudo_terminal import Program, program
from tests.benchmarks.throughput import ONE_THREAD
from tests.conftest import llama_config, llama_shapes, write_config, write_tokenizer, write_weights

from finetty.backend.planning import gather, plan
from finetty.backend.recipe import Recipe, with_values
from finetty.backend.runs import Run

SETTLED = 160
"""Steps after which the chart is drawn at its slow pace."""
SECONDS = 40.0
BYTES_GOAL = 4096
ENGLISH = {"FINETTY_LANG": "en", "COLORTERM": "truecolor"}


def main() -> None:
    with tempfile.TemporaryDirectory(prefix="finetty-wire-") as folder:
        run = new_run(Path(folder))
        command = [sys.executable, "-m", "finetty.tui.run", str(run.path)]
        with program(command, ONE_THREAD | ENGLISH) as started:
            started.seconds_until(b"tokens seen", 60)
            wait_for_steps(run, started, SETTLED)
            a_second, biggest = quiet(started)
            print(
                f"settled, {steps_a_second(run):.1f} steps/s: {a_second:,.0f} bytes/s over {SECONDS:.0f} s, the busiest"
                f" second {biggest:,} (goal under {BYTES_GOAL:,})"
            )


def new_run(root: Path) -> Run:
    """A run of a small random model that would train for hours."""
    model, data = root / "Small-Llama", root / "rows.jsonl"
    model.mkdir()
    vocabulary = write_tokenizer(model)
    write_config(model, llama_config(vocabulary, 256, 6))
    write_weights(model, llama_shapes(vocabulary, 256, 6))
    rows = [{"instruction": f"Colour {number}?", "output": f"Blue {number * 7919}. " * 4} for number in range(400)]
    data.write_text("".join(json.dumps(row) + "\n" for row in rows))
    values = {"model.path": str(model), "dataset.train": [{"path": str(data)}], "dataset.validation": 0}
    values |= {"training.max_steps": 100_000, "training.batch": 8, "output.checkpoint_every": 50_000}
    recipe = with_values(Recipe(), values)
    facts = gather(recipe, runs_root=root)
    planned = plan(recipe, facts.model, facts.machine, facts.data)
    return Run.create(root, planned.to_json(), planned.recipe, asked=recipe)


def wait_for_steps(run: Run, shown: Program, steps: int) -> None:
    until = time.monotonic() + 300
    while run.status().step < steps:
        assert time.monotonic() < until, run.console_path.read_text()[-2000:]
        shown.drain(0.5)


def steps_a_second(run: Run) -> float:
    status = run.status()
    events = [json.loads(line) for line in run.events_path.read_text().splitlines() if '"step"' in line]
    times = [event["time"] for event in events if event["kind"] == "step"]
    return (len(times) - 1) / (times[-1] - times[0]) if len(times) > 1 else float(status.step)


def quiet(shown: Program) -> tuple[float, int]:
    """Bytes a second while nobody touches a key, and those of the busiest second."""
    began, seconds = time.perf_counter(), [0] * (int(SECONDS) + 1)
    while (passed := time.perf_counter() - began) < SECONDS:
        before = len(shown.received)
        shown.drain(min(0.1, SECONDS - passed))
        seconds[int(passed)] += len(shown.received) - before
    return sum(seconds) / SECONDS, max(seconds)


if __name__ == "__main__":
    main()
