"""Rows are put aside small and come back as they were, in memory or on the disk."""

from __future__ import annotations

import json
import threading
from pathlib import Path
from typing import Any

import pytest

from finetty.backend.conversation import Row, Turn
from finetty.backend.dataset import Progress, data_facts, first_look, kept, read_rows, split_rows
from finetty.backend.dataset.kept import KeptRows, RowStore
from finetty.backend.dataset.reading import fingerprint
from finetty.backend.recipe import Recipe, with_values

CALL = {"type": "function", "function": {"name": "f", "arguments": {"b": 1, "a": [None, "x"]}}}
ROWS = [
    Row((Turn("user", "Q\x00\u202e\x1b[1m"), Turn("assistant", "A", "because")), "one.jsonl", 3),
    Row(
        (Turn("user", "Q"), Turn("assistant", "", tool_calls=(CALL,)), Turn("tool", "3", name="f", call_id="c")),
        "two.jsonl",
        None,
        ({"type": "function", "function": {"name": "f", "parameters": {}}},),
    ),
    Row((Turn("system", "S"), Turn("user", "春"), Turn("assistant", "天" * 300)), "one.jsonl", 9),
]


@pytest.fixture(params=[0, 1 << 20], ids=["disk", "memory"])
def store(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> RowStore:
    monkeypatch.setattr(kept, "IN_MEMORY", request.param or 1)
    store = RowStore()
    for row in ROWS:
        store.append(row, fingerprint(row))
    return store


def test_rows_come_back_as_they_were(store: RowStore) -> None:
    rows = KeptRows(store, range(3))
    assert list(rows) == ROWS
    assert list(rows[::-1]) == ROWS[::-1]
    assert rows[-1] == ROWS[2]
    assert list(rows.chosen([2, 0, 2])) == [ROWS[2], ROWS[0], ROWS[2]]
    assert list(rows.marks()) == [fingerprint(row) for row in ROWS]
    assert list(json.loads(json.dumps(rows[1].turns[1].tool_calls[0]))["function"]["arguments"]) == ["b", "a"]
    with pytest.raises(IndexError):
        rows[3]


def test_threads_may_read_at_once(store: RowStore) -> None:
    rows, wrong = KeptRows(store, range(3)), []

    def look() -> None:
        wrong.extend(index for index in [0, 1, 2] * 300 if rows[index] != ROWS[index])

    threads = [threading.Thread(target=look) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def recipe_of(path: Path) -> Recipe:
    return with_values(Recipe(), {"dataset.train": [{"path": str(path)}]})


def test_a_file_that_changes_does_not_change_the_rows(read: Any, tmp_path: Path) -> None:
    rows = read([{"prompt": "Q", "completion": str(number)} for number in range(50)])
    (tmp_path / "rows.jsonl").write_text("gone")
    assert [row.turns[1].content for row in rows.rows] == [str(number) for number in range(50)]


def test_the_first_look_reads_no_further_and_says_so(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    lines = [json.dumps({"prompt": "Q", "completion": str(number)}) for number in range(300)]
    path.write_text("\n".join([*lines, "this line is broken"]))
    look = first_look(recipe_of(path), 250)
    assert (len(look.rows), look.read, look.whole) == (250, 250, False)
    path.write_text("\n".join(lines[:20]))
    assert first_look(recipe_of(path)).whole
    assert len(first_look(recipe_of(path), 5).rows) == 5


def test_the_reading_tells_how_far_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("finetty.backend.dataset.reading.SECONDS_BETWEEN_REPORTS", 0)
    path = tmp_path / "rows.jsonl"
    path.write_text("\n".join(json.dumps({"prompt": "Q", "completion": str(n) + "x" * 9000}) for n in range(300)))
    told: list[Progress] = []
    rows = read_rows(recipe_of(path), told.append)
    shares = [progress.share for progress in told]
    assert shares == sorted(shares)
    assert any(0 < share < 1 for share in shares)
    assert (told[-1].share, told[-1].rows, told[-1].total) == (1.0, 300, path.stat().st_size)
    assert len(rows.rows) == 300


def test_what_the_report_raises_ends_the_reading(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text(json.dumps({"prompt": "Q", "completion": "A"}))

    def stop(_: Progress) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        read_rows(recipe_of(path), stop)


def test_facts_and_split_are_those_of_a_list(read: Any) -> None:
    rows = read([{"prompt": f"Q{number}", "completion": str(number % 7)} for number in range(100)])
    assert data_facts(rows, None).identical_answers == 15
    as_list = split_rows(list(rows.rows), 20, 7)
    assert [list(side) for side in split_rows(rows.rows, 20, 7)] == [list(side) for side in as_list]
    assert len(as_list[1]) == 20
