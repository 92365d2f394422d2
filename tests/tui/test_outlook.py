"""The memory panel: its parts add up to what it says the process takes."""

from __future__ import annotations

from finetty.backend.memory import MemoryPrediction
from finetty.tui.widgets.outlook import FILLS, bar, whole

PREDICTION = MemoryPrediction(700, 900, 1000, {"weights": 400, "activations": 300, "context": 100})


def test_the_parts_add_up_to_the_process() -> None:
    assert whole(PREDICTION) == {"weights": 400, "activations": 300, "context": 100, "held": 200}


def test_the_bar_is_full_as_far_as_the_process_takes_and_empty_beyond() -> None:
    drawn = bar(whole(PREDICTION), 2000, 20).plain
    assert len(drawn) == 20
    assert all(cell in FILLS for cell in drawn[:10])
    assert drawn[10:] == "·" * 10


def test_a_mark_stands_where_memory_ends() -> None:
    drawn = bar(whole(PREDICTION), 500, 20).plain
    assert drawn[10] == "┃"
