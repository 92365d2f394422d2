"""However many rows are refused, what is kept of them is the first of each kind."""

from __future__ import annotations

import json
import tracemalloc
from collections.abc import Iterator
from pathlib import Path

import pytest

from finetty.backend.dataset import read_rows
from finetty.backend.dataset.reading import Refusals
from finetty.backend.messages import Refusal, message
from finetty.backend.recipe import Recipe, with_values

BAD = message("test.bad_row", "The row {number} is bad.")
MIB = 1 << 20


def refused(count: int) -> Iterator[tuple[str, int, int]]:
    for number in range(count):
        yield f"file-{number % 3}.jsonl", number + 1, number


def test_refusals_are_counted_in_no_memory() -> None:
    refusals = Refusals()
    tracemalloc.start()
    try:
        for path, line, number in refused(200_000):
            refusals.add(path, line, BAD(number=number))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert refusals.count == 200_000 and [kind.count for kind in refusals.kinds()] == [66_667, 66_667, 66_666]
    assert [kind.line for kind in refusals.kinds()] == [1, 2, 3] and peak < MIB


def peak_of(path: Path, rows: int) -> int:
    with path.open("w", encoding="utf-8") as file:
        for number in range(rows):
            file.write(json.dumps({"instruction": f"Question {number}", "output": ""}) + "\n")
    recipe = with_values(Recipe(), {"dataset.train": [{"path": str(path), "format": "alpaca"}]})
    tracemalloc.start()
    try:
        with pytest.raises(Refusal, match=f"all {rows} rows"):
            read_rows(recipe)
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_a_file_of_refused_rows_is_read_in_the_same_memory_however_long_it_is(tmp_path: Path) -> None:
    peak_of(tmp_path / "warm.jsonl", 100)
    assert peak_of(tmp_path / "long.jsonl", 60_000) < peak_of(tmp_path / "short.jsonl", 6_000) + MIB
