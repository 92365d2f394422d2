"""`python -m tests.benchmarks.rivals [--rows 2000] [--epochs 2] [--rounds 1] [--shapes llama qwen] [--sides ...]`.

Same model, same rows, same epochs, same effective batch, learning rate and schedule, the same held-out rows, torch on
one thread; what else a tool does is its own choice. In a round every side runs once, one after the other, in an order
that turns. Wall and processor time are of the whole process, its imports and its reading of the rows among them.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
from collections.abc import Sequence
from pathlib import Path

from tests.benchmarks.rivals.job import Job, write_job
from tests.benchmarks.rivals.judge import held_out_loss
from tests.benchmarks.rivals.sides import SIDES, Outcome

OURS = "finetty"
GOAL = 0.6
"""Of LLaMA-Factory's wall time, for an equal or better held-out loss."""


def main(words: Sequence[str] = ()) -> None:
    asked = _arguments(words)
    with tempfile.TemporaryDirectory() as root:
        for shape in asked.shapes:
            folder = Path(root) / shape
            folder.mkdir()
            job = write_job(folder, shape, asked.rows, epochs=asked.epochs, method=asked.method)
            print(f"{shape}: {asked.rows} rows, {asked.epochs:g} epochs, {asked.method}", flush=True)
            _told(_rounds(folder, job, asked.sides, asked.rounds))


def _arguments(words: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.rivals", description=__doc__)
    parser.add_argument("--rows", type=int, default=2000)
    parser.add_argument("--epochs", type=float, default=2.0)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--method", choices=["full", "lora"], default="full")
    parser.add_argument("--shapes", nargs="+", choices=["llama", "qwen"], default=["llama", "qwen"])
    parser.add_argument("--sides", nargs="+", choices=list(SIDES), default=list(SIDES))
    return parser.parse_args(words)


def _rounds(folder: Path, job: Job, sides: Sequence[str], rounds: int) -> dict[str, list[tuple[Outcome, float]]]:
    """Each side's outcomes and held-out losses, round by round."""
    found: dict[str, list[tuple[Outcome, float]]] = {side: [] for side in sides}
    for number in range(rounds):
        turn = number % len(sides)
        for side in [*sides[turn:], *sides[:turn]]:
            output = folder / f"{number}-{side}"
            output.mkdir()
            outcome = SIDES[side](folder, job, output)
            found[side].append((outcome, held_out_loss(job, outcome.model)))
            print(f"  {side}: {_line(*found[side][-1])}", flush=True)
    return found


def _line(outcome: Outcome, loss: float) -> str:
    spent = outcome.spent
    return (
        f"{spent.wall:.1f} s to the end, {spent.processor:.1f} s of processor, {outcome.training:.1f} s of training, "
        f"{outcome.preflight:.1f} s of preflight, peak {spent.peak / 2**20:.0f} MiB, held-out loss {loss:.4f}"
    )


def _told(found: dict[str, list[tuple[Outcome, float]]]) -> None:
    """Ours over each rival's, pair by pair."""
    if OURS not in found:
        return
    for side in [one for one in found if one != OURS]:
        pairs = list(zip(found[OURS], found[side], strict=True))
        wall, processor = (
            sorted(getattr(ours.spent, kind) / getattr(theirs.spent, kind) for (ours, _), (theirs, _) in pairs)
            for kind in ("wall", "processor")
        )
        loss = statistics.median(own - other for (_, own), (_, other) in pairs)
        goal = f"; goal {GOAL} at a loss no higher" if side == "llama-factory" else ""
        print(
            f"  finetty over {side}: wall {statistics.median(wall):.2f} ({wall[0]:.2f} to {wall[-1]:.2f}), processor "
            f"{statistics.median(processor):.2f} ({processor[0]:.2f} to {processor[-1]:.2f}), "
            f"held-out loss {loss:+.4f}, of {len(pairs)}{goal}",
            flush=True,
        )


if __name__ == "__main__":
    import sys

    main(sys.argv[1:])
