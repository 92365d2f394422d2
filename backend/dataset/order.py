"""The order in which rows are learned, and the padding that an order costs."""

from __future__ import annotations

import random
from collections.abc import Sequence

MICRO_BATCHES_SORTED_TOGETHER = 50


def row_order(lengths: Sequence[int], micro_batch: int, seed: int, epoch: int) -> list[int]:
    """The order of one epoch's rows: random, with rows of like length side by side in each micro-batch.

    A pure function, so that a resumed run meets the same rows. Random stretches of fifty micro-batches are sorted by
    length and cut into micro-batches, whose order is random again; an incomplete micro-batch comes last.
    """
    shuffle = random.Random((seed << 32) + epoch)
    indices = list(range(len(lengths)))
    shuffle.shuffle(indices)
    stretch = micro_batch * MICRO_BATCHES_SORTED_TOGETHER
    batches: list[list[int]] = []
    for start in range(0, len(indices), stretch):
        near = sorted(indices[start : start + stretch], key=lambda index: lengths[index])
        batches += [near[place : place + micro_batch] for place in range(0, len(near), micro_batch)]
    whole = [batch for batch in batches if len(batch) == micro_batch]
    shuffle.shuffle(whole)
    return [index for batch in [*whole, *(b for b in batches if len(b) < micro_batch)] for index in batch]


def shuffled(count: int, seed: int) -> list[int]:
    """Rows in no order at all, as most trainers take them unless told otherwise."""
    indices = list(range(count))
    random.Random(seed).shuffle(indices)
    return indices


def padding_share(lengths: Sequence[int], order: Sequence[int], micro_batch: int, multiple: int = 1) -> float:
    """The share of a batch's places that hold no token of a row, when each micro-batch is as wide as its longest row.

    Widths are rounded up to a `multiple`.
    """
    places = tokens = 0
    for start in range(0, len(order), micro_batch):
        batch = [lengths[index] for index in order[start : start + micro_batch]]
        places += len(batch) * (-(-max(batch) // multiple) * multiple)
        tokens += sum(batch)
    return 1 - tokens / places if places else 0.0
