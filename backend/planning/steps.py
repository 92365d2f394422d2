"""How many optimizer steps a run has. Whoever trains counts with this very function."""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class Schedule:
    """Rows that go through at once, micro-batches behind a step, steps an epoch, steps in all."""

    micro_batch: int
    accumulation: int
    steps_an_epoch: int
    steps: int


def steps_of(sequences: int, micro_batch: int, batch: int, epochs: float, max_steps: int | None = None) -> Schedule:
    """An epoch is ceil(sequences / micro_batch) micro-batches; `batch` / `micro_batch` of them make a step, and what
    is left at the epoch's end makes one more. Transformers' Trainer counts so."""
    accumulation = max(1, round(batch / micro_batch))
    steps_an_epoch = math.ceil(math.ceil(sequences / micro_batch) / accumulation)
    return Schedule(micro_batch, accumulation, steps_an_epoch, max_steps or max(1, math.ceil(epochs * steps_an_epoch)))
