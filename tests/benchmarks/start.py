"""From the start in the wizard to the first step: with the libraries loaded while the review was read, and without."""

from __future__ import annotations

import os
import statistics
import tempfile
import time
from pathlib import Path

from tests.e2e import survival
from tests.e2e.terminal import Terminal

from finetty.backend.runs import history

PAIRS = 3
SECONDS_ON_THE_REVIEW = 10.0


def main() -> None:
    pairs = int(os.environ.get("PAIRS", PAIRS))
    taken = [(to_first_step(warm=False), to_first_step(warm=True)) for _ in range(pairs)]
    each = ", ".join(f"{cold[0]:.1f}/{warm[0]:.1f}" for cold, warm in taken)
    colds, warms = zip(*taken, strict=True)
    cold, cold_work = (statistics.median(part) for part in zip(*colds, strict=True))
    warm, warm_work = (statistics.median(part) for part in zip(*warms, strict=True))
    print(
        f"start to first step, tiny model on a CPU, side by side {pairs} times: {cold:.1f} s without, {warm:.1f} s with"
        f" libraries loaded while the review is read ({cold / warm:.1f} times; {each}); of them on a processor"
        f" {cold_work:.1f} s and {warm_work:.1f} s"
    )


def to_first_step(*, warm: bool) -> tuple[float, float]:
    """Seconds from the start to the first step, and how many of them the run's process was on a processor."""
    with tempfile.TemporaryDirectory(prefix="finetty-start-") as folder:
        run = survival.real_run(Path(folder))
        try:
            with Terminal(survival.typed_wizard(), env=survival.ENVIRONMENT) as terminal:
                if warm:
                    terminal.send("tell(do='warm', first=[], environment={})\n")
                survival.read_for(terminal, SECONDS_ON_THE_REVIEW)
                worked = _until_loaded(terminal) if warm else 0.0
                started = time.time()
                terminal.send(f"tell(do='run', run={str(run.path)!r}, options=[])\n")
                terminal.send("sys.exit(0)\n")
                terminal.wait_until(lambda _: survival.steps(run) > 0, survival.SECONDS_TO_LOAD, "the first step")
                work = _seconds_worked(survival.pid(run)) - worked
                return float(history(run.events_path)[0]["time"]) - started, work
        finally:
            survival.end(run)


def _until_loaded(terminal: Terminal) -> float:
    """Wait until the process that waits has nothing left to load; returns the seconds it was on a processor."""
    children = Path(f"/proc/{terminal.pid}/task/{terminal.pid}/children").read_text().split()
    waiting = max(map(int, children))
    before = -1.0
    while (now := _seconds_worked(waiting)) != before:
        before = now
        survival.read_for(terminal, 3)
    return now


def _seconds_worked(process: int) -> float:
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


if __name__ == "__main__":
    main()
