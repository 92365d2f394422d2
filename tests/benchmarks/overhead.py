"""What a run takes beside the model: the processor time of its dashboard and callbacks, and its memory.

`python -m tests.benchmarks overhead`. The demo's job, its dashboard on, beside transformers' Trainer in a bare script
on the same rows; torch has one thread, so that whatever another thread than the trainer's takes is not the model's.
"""

from __future__ import annotations

import functools
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.benchmarks.pseudo_terminal import program
from tests.benchmarks.throughput import ONE_THREAD, new_run

from finetty.backend.runs import Run

PAIRS = 2
GOAL_OF_TIME, GOAL_OF_MEMORY = 0.01, 1.05
FOUND = "overhead.json"
CALLBACKS = ("on_step_begin", "on_substep_end", "on_step_end")


def main() -> None:
    memory, screens, callbacks = [], [], []
    with tempfile.TemporaryDirectory() as folder:
        for number in range(PAIRS):
            run = new_run(Path(folder) / str(number))
            found, peak = _with_dashboard(run)
            screens.append(found["others"] / found["process"])
            callbacks.append(found["callbacks"] / found["process"])
            memory.append(peak / _bare_peak(run))
            print(
                f"  pair {number + 1}: other threads {screens[-1]:.2%} and callbacks {callbacks[-1]:.2%} of "
                f"{found['process']:.1f} s of processor; peak {peak / 2**20:.0f} MiB, {memory[-1]:.3f} of the bare "
                "Trainer's",
                flush=True,
            )
    both = statistics.median(one + other for one, other in zip(screens, callbacks, strict=True))
    print(
        f"beside the model {both:.2%} of the processor's time (goal {GOAL_OF_TIME:.0%}), memory "
        f"{statistics.median(memory):.3f} of the bare Trainer's (goal {GOAL_OF_MEMORY}); {PAIRS} pairs"
    )


def _with_dashboard(run: Run) -> tuple[dict[str, float], int]:
    """Seconds of processor from the first step to the last, and the process's peak in bytes."""
    with program([sys.executable, "-m", "tests.benchmarks.overhead", str(run.path)], ONE_THREAD) as started:
        while run.status().state not in ("finished", "failed", "stopped", "crashed"):
            started.drain(0.5)
        assert run.status().state == "finished", run.console_path.read_text()[-2000:]
        [peak] = [line for line in Path(f"/proc/{started.pid}/status").read_text().splitlines() if "VmHWM" in line]
    return json.loads((run.path / FOUND).read_text()), int(peak.split()[1]) * 1024


def _bare_peak(run: Run) -> int:
    command = [sys.executable, "-m", "tests.benchmarks.bare_trainer", str(run.path), "1"]
    process = subprocess.Popen(command, env=os.environ | ONE_THREAD, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    assert status == 0
    return usage.ru_maxrss * 1024


class Watch:
    """Adds up what the trainer's thread spends in finetty's callbacks, and what the whole process spends meanwhile."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.begin()

    def begin(self) -> None:
        self._callbacks, self._process, self._thread = 0.0, time.process_time(), time.thread_time()

    def timed(self, function: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(function)
        def wrapped(*given: Any, **named: Any) -> Any:
            began = time.thread_time()
            try:
                return function(*given, **named)
            finally:
                self._callbacks += time.thread_time() - began

        return wrapped

    def end(self) -> None:
        process, thread = time.process_time() - self._process, time.thread_time() - self._thread
        found = {"process": process, "others": process - thread, "callbacks": self._callbacks}
        self._path.write_text(json.dumps(found), encoding="utf-8")


def watched(folder: Path) -> None:
    """Be the process that trains, with its callbacks timed."""
    from finetty.backend.training.clock import Clock
    from finetty.backend.training.course import Course
    from finetty.backend.training.trainer import RunTrainer
    from finetty.tui.run import main as run_main

    watch = Watch(folder / FOUND)
    for name in CALLBACKS:
        setattr(Course, name, watch.timed(getattr(Course, name)))
    RunTrainer.log = watch.timed(RunTrainer.log)
    start, train = Clock.start, RunTrainer.train

    def clock_started(clock: Any) -> None:
        start(clock)
        watch.begin()

    def trained(trainer: Any, *given: Any, **named: Any) -> Any:
        result = train(trainer, *given, **named)
        watch.end()
        return result

    Clock.start, RunTrainer.train = clock_started, trained
    run_main()


if __name__ == "__main__":
    watched(Path(sys.argv[1]))
