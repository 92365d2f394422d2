"""Texts that share sequences: nothing lost, nothing cut that fits, little left empty, and always the same."""

from __future__ import annotations

import random
from itertools import chain, pairwise

from hypothesis import given
from hypothesis import strategies as st

from finetty.backend.dataset import data_report
from finetty.backend.dataset.blocks import best_fit, cut_texts
from finetty.backend.dataset.facts import DataFacts
from finetty.backend.dataset.reading import Rows

SIZE = 64
texts = st.lists(st.integers(1, 5 * SIZE), max_size=60)


@given(lengths=texts)
def test_only_texts_longer_than_a_sequence_are_cut(lengths: list[int]) -> None:
    parts = cut_texts(lengths, SIZE)
    assert sum(parts) == sum(lengths)
    assert all(0 < part <= SIZE for part in parts)
    assert len(parts) == sum(-(-length // SIZE) for length in lengths)


@given(lengths=texts)
def test_each_part_is_in_one_sequence_that_has_room(lengths: list[int]) -> None:
    parts = cut_texts(lengths, SIZE)
    blocks = best_fit(parts, SIZE)
    assert sorted(chain.from_iterable(blocks)) == list(range(len(parts)))
    assert all(sum(parts[place] for place in block) <= SIZE for block in blocks)
    assert blocks == sorted(sorted(block) for block in blocks) == best_fit(parts, SIZE)


@given(lengths=texts)
def test_no_two_sequences_could_be_one(lengths: list[int]) -> None:
    parts = cut_texts(lengths, SIZE)
    filled = sorted(sum(parts[place] for place in block) for block in best_fit(parts, SIZE))
    assert all(one + other > SIZE for one, other in pairwise(filled))


def test_a_thousand_texts_leave_next_to_nothing_empty() -> None:
    draw = random.Random(0)
    lengths = [min(2048, max(16, round(draw.lognormvariate(5.86, 0.9)))) for _ in range(1000)]
    blocks = best_fit(lengths, 2048)
    assert len(blocks) == -(-sum(lengths) // 2048), "as few as there can be"


def facts(lengths: tuple[int, ...], order: tuple[int, ...] = ()) -> DataFacts:
    return DataFacts(len(lengths), lengths=lengths, texts=lengths, measured=True, held_out_order=order)


def test_the_facts_count_sequences_without_the_rows_that_are_kept_back() -> None:
    known = facts((64, 32, 16, 32, 130), order=(4, 0, 1, 2, 3))
    assert known.only_texts and known.blocks_at(64) == 5
    assert known.blocks_at(64, 1) == 3 and known.blocks_at(64, 2) == 2
    assert facts((64,) * 10).blocks_at(64, 4) == 6, "where the order is not known, their share"
    assert not DataFacts(2, lengths=(3, 4), texts=(3,), measured=True).only_texts


def test_the_report_says_what_packing_leaves_empty() -> None:
    padding = data_report(Rows(), facts((60, 30, 30, 8)), 64, micro_batch=2)["padding"]
    assert padding["packed"] == round(1 - 128 / (3 * 64), 4)
    assert data_report(Rows(), facts((32, 32)), 64, micro_batch=2)["padding"]["packed"] == 0
