"""Encoding rows, template and mask included, against the tokenizer's own batch call on the finished texts."""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Callable

from finetty.backend.conversation import Encoder, Row, Turn, load_encoder
from finetty.backend.demo import DATASET
from finetty.backend.models import DEMO_MODEL, locate
from finetty.backend.recipe import Recipe

ROUNDS = 9
GOAL = 0.9
TOKENS_A_SET = 1_500_000


def main() -> None:
    folder = locate(DEMO_MODEL)
    if folder is None:
        print(f"{DEMO_MODEL} is not here: `make demo` brings it")
        return
    encoder = load_encoder(folder, Recipe())
    for name, answers in (("short answers", 1), ("answers of a paragraph", 4), ("answers of a page", 16)):
        compare(name, encoder, rows(encoder, answers))


def rows(encoder: Encoder, answers: int) -> list[Row]:
    """Conversations of one question and `answers` of the demo's answers joined, no two alike."""
    with DATASET.open(encoding="utf-8") as file:
        pairs = [[turn["content"] for turn in json.loads(line)["messages"][-2:]] for line in file]
    made: list[Row] = []
    tokens = 0
    while tokens < TOKENS_A_SET:
        number = len(made)
        question = pairs[number % len(pairs)][0]
        answer = "\n".join(pairs[(number * 7 + place) % len(pairs)][1] for place in range(answers))
        made.append(Row((Turn("user", f"{number}. {question}"), Turn("assistant", answer))))
        tokens += len(answer) // 4 + 40
    return made


def compare(name: str, encoder: Encoder, some: list[Row]) -> None:
    texts = [encoder.text(row) for row in some]
    tokenizer = encoder.tokenizer
    theirs, ours = [], []
    for _ in range(ROUNDS):
        theirs.append(
            seconds(lambda: sum(len(one.ids) for one in tokenizer.encode_batch(texts, add_special_tokens=False)))
        )
        ours.append(seconds(lambda: sum(len(one.ids) for row in encoder.encode_rows(some) for one in row.sequences)))
    (their_seconds, their_tokens), (our_seconds, our_tokens) = (min(side) for side in (theirs, ours))
    assert their_tokens == our_tokens
    ratio = statistics.median(their[0] / our[0] for their, our in zip(theirs, ours, strict=True))
    print(
        f"{name}: {len(some):,} rows, {our_tokens / len(some):.0f} tokens each: ours {our_tokens / our_seconds:,.0f}, "
        f"the tokenizer alone {their_tokens / their_seconds:,.0f} tokens/s; ratio {ratio:.2f} (goal {GOAL})",
        flush=True,
    )


def seconds(work: Callable[[], int]) -> tuple[float, int]:
    started = time.perf_counter()
    tokens = work()
    return time.perf_counter() - started, tokens


if __name__ == "__main__":
    main()
