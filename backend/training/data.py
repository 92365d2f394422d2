"""A run's rows as sequences: what is learned, and what is held out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from finetty.backend.conversation import Encoder, Row
from finetty.backend.dataset import read_rows, read_validation, split_rows
from finetty.backend.messages import Refusal, message
from finetty.backend.planning.plan import Plan

NOTHING_LEARNED = message("training.nothing_learned", "No row has a token to learn from after shortening.")
LONGER_CUTOFF = message("training.longer_cutoff", "Set a longer dataset.cutoff, or dataset.train_on: all.")


@dataclass(frozen=True)
class RunData:
    """Rows for the tokenizer's check, and their sequences as the model gets them."""

    rows: Sequence[Row]
    train: Any
    held_out: Any
    sha256: str


def read_data(plan: Plan, encoder: Encoder) -> RunData:
    """The rows as sequences, split into what is learned and what is held out; texts for pretraining share sequences
    where the recipe packs. Raises Refusal."""
    from finetty.backend.training.batches import Example, Examples, in_blocks

    def encoded(rows: Sequence[Row]) -> Examples:
        sequences = (Example(one.ids, one.trained) for row in encoder.encode_rows(rows) for one in row.sequences)
        return Examples([example for example in sequences if example.targets])

    rows, kept_back = read_rows(plan.recipe), read_validation(plan.recipe)
    if kept_back is None:
        train, held_out = split_rows(rows.rows, plan.validation_rows or 0, plan.recipe.training.seed)
    else:
        train, held_out = rows.rows, kept_back.rows
    learned, cutoff = encoded(train), plan.recipe.dataset.cutoff
    if plan.recipe.dataset.packing is True and isinstance(cutoff, int) and all(row.plain for row in rows.rows):
        learned = in_blocks(list(learned), cutoff)
    data = RunData(train, learned, encoded(held_out), rows.sha256)
    if not len(data.train):
        raise Refusal(NOTHING_LEARNED(), LONGER_CUTOFF(), option="dataset.cutoff")
    return data
