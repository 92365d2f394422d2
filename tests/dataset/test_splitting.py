"""The split is a pure function: the same rows and seed, the same rows held out."""

from __future__ import annotations

import random

import pytest

from finetty.backend.conversation import Row, Turn
from finetty.backend.dataset import split_rows

ROWS = [Row((Turn("user", f"Q{number}"), Turn("assistant", "A")), "f", number) for number in range(100)]


def test_every_row_is_on_one_side_in_the_files_order() -> None:
    train, held_out = split_rows(ROWS, 20, 42)
    assert len(held_out) == 20
    assert sorted(train + held_out, key=lambda row: row.line or 0) == ROWS
    for side in (train, held_out):
        assert [row.line for row in side] == sorted(row.line or 0 for row in side)


def test_the_same_everywhere_whatever_the_order() -> None:
    _, held_out = split_rows(ROWS, 20, 42)
    moved = ROWS.copy()
    random.Random(1).shuffle(moved)
    assert {row.line for row in split_rows(moved, 20, 42)[1]} == {row.line for row in held_out}
    assert [row.line for row in held_out][:5] == FIRST_HELD_OUT


def test_another_seed_holds_out_others() -> None:
    assert split_rows(ROWS, 20, 42)[1] != split_rows(ROWS, 20, 43)[1]


@pytest.mark.parametrize(("asked", "kept"), [(0, 0), (-1, 0), (99, 99), (1000, 99)])
def test_something_is_left_to_learn_from(asked: int, kept: int) -> None:
    train, held_out = split_rows(ROWS, asked, 0)
    assert len(held_out) == kept
    assert train


def test_no_rows() -> None:
    assert split_rows([], 5, 0) == ([], [])


FIRST_HELD_OUT = [7, 9, 11, 15, 16]
"""Recorded once: another version of finetty or Python must not move a row across."""
