"""The padding that batches waste: by the rules of TRL's and LLaMA-Factory's defaults, and by finetty's, on like rows.

Both have rows in random order and pad each micro-batch to its longest row; LLaMA-Factory's collator pads on to a whole
multiple of 8. Their default cutoffs (1024 and 2048 tokens) cut what is longer; finetty's automatic one cuts nothing.
"""

from __future__ import annotations

import random

from finetty.backend.conversation import load_encoder
from finetty.backend.dataset import read_rows
from finetty.backend.dataset.order import padding_share, row_order, shuffled
from finetty.backend.demo import DATASET, RECIPE
from finetty.backend.models import DEMO_MODEL, locate
from finetty.backend.recipe import load_recipe, with_values

MICRO_BATCHES = (2, 4, 8)
SEED = 42


def main() -> None:
    sets = {"10,000 rows, lengths spread as chats are (log-normal, median 350)": chat_like(10_000)}
    folder = locate(DEMO_MODEL)
    if folder is not None:
        recipe = with_values(load_recipe(RECIPE), {"dataset.train": [{"path": str(DATASET)}]})
        encoder = load_encoder(folder, recipe)
        sets["the demo's rows"] = [len(one.ids) for row in read_rows(recipe).rows for one in encoder.encode(row)]
    for name, lengths in sets.items():
        print(f"{name}: {len(lengths):,} rows, {min(lengths)} to {max(lengths):,} tokens")
        for micro_batch in MICRO_BATCHES:
            print(f"  micro-batch {micro_batch}: {shares(lengths, micro_batch)}")


def chat_like(count: int) -> list[int]:
    draw = random.Random(0)
    return [min(8192, max(16, round(draw.lognormvariate(5.86, 0.9)))) for _ in range(count)]


def shares(lengths: list[int], micro_batch: int) -> str:
    order = shuffled(len(lengths), SEED)
    trl = padding_share([min(1024, one) for one in lengths], order, micro_batch)
    factory = padding_share([min(2048, one) for one in lengths], order, micro_batch, multiple=8)
    ours = padding_share(lengths, row_order(lengths, micro_batch, SEED, 0), micro_batch)
    return f"TRL {trl:.1%}, LLaMA-Factory {factory:.1%}, finetty {ours:.1%}; padding-free where a card packs 0%"


if __name__ == "__main__":
    main()
