"""What padding costs, by hand and in the report."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from finetty.backend.conversation import load_encoder
from finetty.backend.dataset import data_facts, data_report
from finetty.backend.dataset.order import padding_share, row_order, shuffled
from finetty.backend.recipe import Recipe
from finetty.tui.plain import report_lines


def test_the_share_is_what_one_counts_by_hand() -> None:
    assert padding_share([1, 3, 2, 2], [0, 1, 2, 3], 2) == pytest.approx(2 / 10)
    assert padding_share([1, 3, 2, 2], [0, 1, 2, 3], 2, multiple=8) == pytest.approx(1 - 8 / 32)
    assert padding_share([5, 5], [1, 0], 1) == 0.0 and padding_share([], [], 4) == 0.0


def test_like_lengths_waste_less() -> None:
    lengths = [10 + number * 7919 % 900 for number in range(600)]
    like = padding_share(lengths, row_order(lengths, 8, 0, 0), 8)
    assert like < 0.05 < 0.3 < padding_share(lengths, shuffled(600, 0), 8)


def test_the_report_says_how_sure_what_encoding_and_what_padding_costs(read: Any, tiny_model: Path) -> None:
    rows = [{"instruction": f"问 {number}?", "output": "yes " * (number % 30 + 1)} for number in range(80)]
    text = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    found = read(text.encode("gb18030"))
    report = data_report(found, data_facts(found, load_encoder(tiny_model, Recipe())), 64, micro_batch=8)
    padding = report["padding"]
    assert 0 <= padding["like_lengths"] < padding["any_order"] < 1 and padding["packed"] == 0
    lines = "\n".join(report_lines(report))
    assert "100% of the rows" in lines and "gb18030" in lines and "padding in micro-batches of 8" in lines
