"""The order of rows, and what a batch is."""

from __future__ import annotations

import random

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from finetty.backend.dataset.order import row_order
from finetty.backend.training.batches import (
    IGNORED,
    Collator,
    Example,
    Examples,
    FlatCollator,
    in_batches,
    in_blocks,
    in_parts,
    longest_batch,
    tokens_read,
)

LENGTHS = st.lists(st.integers(1, 500), min_size=1, max_size=300)


def example(*ids: int, learned: int = 1) -> Example:
    """Its last `learned` tokens are learned."""
    return Example(ids, tuple(place >= len(ids) - learned for place in range(len(ids))))


@given(LENGTHS, st.integers(1, 8), st.integers(0, 2**32 - 1), st.integers(0, 50))
def test_every_row_is_seen_once_an_epoch(lengths: list[int], micro_batch: int, seed: int, epoch: int) -> None:
    assert sorted(row_order(lengths, micro_batch, seed, epoch)) == list(range(len(lengths)))


def test_order_depends_on_seed_and_epoch_alone() -> None:
    lengths = [random.Random(1).randrange(500) for _ in range(200)]
    first = row_order(lengths, 4, seed=7, epoch=2)
    random.seed(99)
    torch.manual_seed(99)
    assert row_order(lengths, 4, seed=7, epoch=2) == first
    assert row_order(lengths, 4, seed=7, epoch=3) != first
    assert row_order(lengths, 4, seed=8, epoch=2) != first


def test_rows_of_like_length_share_a_micro_batch() -> None:
    lengths = [random.Random(number).randrange(10, 1000) for number in range(400)]

    def padded(order: list[int]) -> int:
        batches = [order[start : start + 4] for start in range(0, len(order), 4)]
        return sum(max(lengths[index] for index in batch) * len(batch) for batch in batches)

    at_random = random.Random(0).sample(range(400), 400)
    real = sum(lengths)
    assert padded(row_order(lengths, 4, 0, 0)) - real < 0.1 * (padded(at_random) - real)


def test_long_rows_are_spread_over_the_epoch() -> None:
    lengths = list(range(1, 401))
    order = row_order(lengths, 4, 0, 0)
    halves = [sum(lengths[index] for index in half) for half in (order[:200], order[200:])]
    assert min(halves) > 0.7 * max(halves)


def test_padding_is_neither_read_nor_learned() -> None:
    batch = Collator(pad_id=9)([example(1, 2, 3, learned=2), example(4, 5)])
    assert batch["input_ids"].tolist() == [[1, 2, 3], [4, 5, 9]]
    assert batch["attention_mask"].tolist() == [[1, 1, 1], [1, 1, 0]]
    assert batch["labels"].tolist() == [[-100, 2, 3], [-100, 5, -100]]
    assert int(tokens_read(batch)) == 5


def test_a_padding_token_inside_a_row_is_still_learned() -> None:
    batch = Collator(pad_id=9)([example(1, 9, learned=1)])
    assert batch["labels"].tolist() == [[-100, 9]]


def test_a_packed_row_begins_anew_and_its_first_token_is_not_learned_from_the_row_before() -> None:
    batch = FlatCollator()([example(1, 2, learned=2), example(3, 4, 5, learned=3)])
    assert batch["input_ids"].tolist() == [[1, 2, 3, 4, 5]]
    assert batch["position_ids"].tolist() == [[0, 1, 0, 1, 2]]
    assert batch["labels"].tolist() == [[-100, 2, -100, 4, 5]]
    assert int(tokens_read(batch)) == 5


@pytest.mark.parametrize("count", [1, 2, 5])
def test_the_longest_batch_holds_the_longest_rows(count: int) -> None:
    examples = Examples([example(*range(length)) for length in (3, 9, 4, 8, 2)])
    assert [len(one) for one in longest_batch(examples, count)] == [9, 8, 4, 3, 2][:count]


def test_evaluation_sees_every_row_once() -> None:
    examples = Examples([example(*range(length)) for length in (3, 9, 4, 8, 2)])
    seen = [len(one) for batch in in_batches(examples, 2) for one in batch]
    assert sorted(seen) == [2, 3, 4, 8, 9]


def texts_of(*lengths: int) -> list[Example]:
    return [Example(tuple(range(100 * n, 100 * n + length)), (True,) * length) for n, length in enumerate(lengths)]


def test_texts_share_sequences_whole_and_in_order() -> None:
    blocks = in_blocks(texts_of(30, 60, 4, 34), 64)
    assert [block.documents for block in blocks] == [(30, 34), (60, 4)]
    assert blocks.lengths == [64, 64] and blocks.block == 64
    assert [block.ids for block in blocks] == [
        (*range(30), *range(300, 334)),
        (*range(100, 160), *range(200, 204)),
    ]


def test_texts_of_a_sequence_are_kept_apart_or_follow_one_another() -> None:
    blocks = in_blocks(texts_of(3, 2, 4), 5)
    apart = FlatCollator()(list(blocks))
    assert apart["position_ids"].tolist() == [[0, 1, 2, 0, 1, 0, 1, 2, 3]]
    assert (apart["labels"][0] == IGNORED).nonzero().flatten().tolist() == [0, 3, 5]
    together = Collator(7)(list(blocks))
    assert together["input_ids"].tolist() == [[0, 1, 2, 100, 101], [200, 201, 202, 203, 7]]
    assert together["attention_mask"].sum() == 9 and "position_ids" not in together


def test_sequences_that_texts_share_are_cut_by_their_tokens() -> None:
    batch = FlatCollator()(list(in_blocks(texts_of(3, 2, 2, 3, 5), 5)))
    assert [len(part["input_ids"][0]) for part in in_parts(batch, 3, 5)] == [15]
    parts = in_parts(batch, 1, 5)
    assert [len(part["input_ids"][0]) for part in parts] == [5, 5, 5]
    assert all(part["position_ids"][0, 0] == 0 for part in parts)
