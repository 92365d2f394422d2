"""Whether rows that lie behind one another in one sequence stay strangers, tried on the loaded model.

A model whose layers carry a state from token to token (linear attention, convolutions) lets a row read the one before
it, silently, unless its code cuts that state at each row's start.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from finetty.backend.messages import message
from finetty.backend.training.batches import Example, Examples, FlatCollator
from finetty.backend.training.journal import Journal
from finetty.backend.training.load import DTYPES

MIXES = message(
    "training.packing_mixes",
    "Packed rows read one another in this model (their logits differ by {share:.1%}), so rows are padded instead.",
)
TEXTS_MIX = message(
    "training.texts_mix",
    "Texts that share a sequence read one another in this model (their logits differ by {share:.1%}), with the end "
    "token between them, as is usual in pretraining.",
)
TOKENS = 64
"""Tokens of each row that is tried."""
NOISE = {"fp32": 1e-5, "bf16": 5e-2, "fp16": 1e-2}
"""The share of the largest logit by which two orders of the same sums may differ. Measured in fp32 on
tiny random models: 2e-7 where rows stay apart, 4e-5 through one convolution, 3e-2 through linear attention."""


def packs_safely(model: Any, examples: Examples, journal: Journal, compute: str = "fp32") -> bool:
    """Whether a row's logits, in this number format, are the same alone and behind another row. Where they are not,
    the run is told."""
    rows = [Example(one.ids[:TOKENS], one.trained[:TOKENS]) for one in (examples[0], examples[len(examples) // 2])]
    share = _difference(model, rows, compute)
    if share <= NOISE[compute]:
        return True
    said = MIXES if examples.block is None else TEXTS_MIX
    journal.alert("warning", said(share=share), option="dataset.packing")
    return False


@torch.no_grad()
def _difference(model: Any, rows: Sequence[Example], compute: str = "fp32") -> float:
    """The largest difference of the second row's logits, alone against packed, as a share of its largest logit."""
    training = model.training
    model.eval()
    device = next(model.parameters()).device

    def logits(some: Sequence[Example]) -> torch.Tensor:
        batch = FlatCollator()(some)
        ids, positions = (batch[name].to(device) for name in ("input_ids", "position_ids"))
        with torch.autocast(device.type, dtype=DTYPES[compute], enabled=compute != "fp32"):
            found: torch.Tensor = model(input_ids=ids, position_ids=positions, use_cache=False).logits[0].float()
        return found[-len(some[-1]) :]

    try:
        alone, packed = logits(rows[-1:]), logits(rows)
        return float((alone - packed).abs().max() / alone.abs().max().clamp_min(1e-9))
    finally:
        model.train(training)
