"""A run of a million steps against one of a thousand: until it is seen, and from a key to the repainted cells.

Both are past runs that are attached to on a pseudo-terminal. The long one is seen by its tail and by samples first, and
read behind that; keys are pressed while it is read, and again once it was.
"""

from __future__ import annotations

import json
import random
import sys
import tempfile
import time
from pathlib import Path

from tests.benchmarks.keys import CHART, Answers, Shown, answers, holds
from tests.benchmarks.pseudo_terminal import program
from tests.benchmarks.wire import ENGLISH

from finetty.backend.recipe import Recipe, with_values
from finetty.backend.runs import Run

LONG, SHORT = 1_000_000, 1_000
PAIRS = 3
GOAL = 1.0


def main() -> None:
    with tempfile.TemporaryDirectory(prefix="finetty-long-") as folder:
        root = Path(folder)
        long, short = past_run(root, LONG), past_run(root, SHORT)
        print(f"the log of {LONG:,} steps: {long.events_path.stat().st_size / 1e6:.0f} MB", flush=True)
        pairs = [(opened(root, long, LONG), opened(root, short, SHORT)) for _ in range(PAIRS)]
        of_long, of_short = (min(side) for side in zip(*pairs, strict=True))
        print(
            f"until the curve is seen: {of_long:.2f} s, {of_short:.2f} s of {SHORT:,} steps, the best of {PAIRS} each;"
            f" {of_long - of_short:+.2f} s (goal {GOAL:.0f} s)"
        )
        while_read, afterwards = keys_of(root, long)
        of_short_run = keys_of(root, short)[1]
        for name, found in (("while it is read", while_read), ("once it is read", afterwards), ("short", of_short_run)):
            print(f"{name}: {found.line()}")


def past_run(root: Path, steps: int) -> Run:
    """A finished run whose loss falls, with the events that a trainer writes."""
    recipe = with_values(Recipe(), {"output.name": f"run{steps}"})
    run = Run.create(root, {"steps": steps, "memory": {}}, recipe)
    dice, now = random.Random(7), 1_780_000_000.0
    with run.events_path.open("w", encoding="utf-8") as log:
        for step in range(1, steps + 1):
            loss = 1 + 3 / (1 + 20 * step / steps) + dice.uniform(-0.2, 0.2)
            log.write(
                f'{{"time": {now + step}, "kind": "step", "step": {step}, "loss": {loss}, "learning_rate": 0.0002,'
                f' "grad_norm": 0.71, "tokens": {step * 2048}, "tokens_per_second": 1024.5, "elapsed": {step}.0}}\n'
            )
        log.write(json.dumps({"time": now + steps, "kind": "state", "state": "finished"}) + "\n")
    run.write_status(state="finished", step=steps)
    return run


def attached(root: Path, run: Run) -> list[str]:
    return [str(Path(sys.executable).with_name("finetty")), "attach", run.id, "--runs-dir", str(root)]


def opened(root: Path, run: Run, steps: int) -> float:
    """Seconds from the start until the newest step and the curve are on the screen."""
    with program(attached(root, run), ENGLISH) as started:
        shown = Shown(started)
        return shown.until(lambda text: f"{steps:,}" in text and "smoothed" in text, 60) - started.started


def keys_of(root: Path, run: Run) -> tuple[Answers, Answers]:
    """While the log is read, and after its reader has been idle."""
    with program(attached(root, run), ENGLISH) as started:
        shown = Shown(started)
        shown.until(holds("smoothed"), 60)
        while_read = answers(shown, CHART, 5)
        until_read(shown)
        return while_read, answers(shown, CHART, 10)


def until_read(shown: Shown) -> None:
    """Wait until the process is idle: it takes less than a tenth of a core for three seconds."""
    idle = 0
    while idle < 3:
        before = cpu_seconds(shown.pid)
        until = time.perf_counter() + 1
        while time.perf_counter() < until:
            shown.look(until - time.perf_counter())
        idle = idle + 1 if cpu_seconds(shown.pid) - before < 0.1 else 0


def cpu_seconds(pid: int) -> float:
    tasks = Path(f"/proc/{pid}/task").glob("*/schedstat")
    return sum(int(task.read_text().split()[0]) for task in tasks) / 1e9


if __name__ == "__main__":
    main()
