"""Which column is which: what can be named, what a row becomes under an answer, and that the reading agrees."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from finetty.backend.conversation import Turn
from finetty.backend.dataset import read_rows
from finetty.backend.dataset.columns import Sample, about_columns, sample_of
from finetty.backend.messages import Refusal
from finetty.backend.recipe import DataFile, Recipe, with_values

TURNS = (Turn("user", "Q"), Turn("assistant", "A"))


def file_of(tmp_path: Path, *rows: Any, **answers: Any) -> DataFile:
    path = tmp_path / "rows.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return DataFile(path=str(path), **answers)


def read_both(file: DataFile) -> Sample:
    """The sample; after making sure that its first example is the row that a run reads."""
    sample = sample_of(file)
    rows = read_rows(with_values(Recipe(), {"dataset.train": [file.model_dump()]}))
    assert sample.example(0, file).row == rows.rows[0]
    return sample


def test_columns_and_values_are_those_of_the_first_rows(tmp_path: Path) -> None:
    sample = sample_of(file_of(tmp_path, {"frage": "Q", "zahl": 3}, {"antwort": "A", "frage": "x" * 900}))
    assert sample.columns == ("frage", "zahl", "antwort")
    assert list(sample.values("zahl")) == ["3"]
    assert [len(value) for value in sample.values("frage", 1)] == [400]


def test_the_example_is_the_row_that_will_be_read(tmp_path: Path) -> None:
    row = {"frage": "Q", "antwort": "A", "input": "never"}
    unsure = sample_of(file_of(tmp_path, row)).example(0, DataFile(path="x"))
    assert unsure.row is None and unsure.problem is not None and about_columns(unsure.problem)
    columns = {"instruction": "frage", "output": "antwort", "input": None}
    answered = file_of(tmp_path, row, format="alpaca", columns=columns)
    read_both(answered)
    assert sample_of(answered).example(0, answered).row.turns == TURNS  # type: ignore[union-attr]


def test_no_column_is_an_answer_too(tmp_path: Path) -> None:
    """Recognised, the context goes into the question; null leaves it out, and so it does for a system column."""
    row = {"instruction": "Q", "context": "C", "output": "A", "system": "S"}
    recognised = read_both(file_of(tmp_path, row)).example(0, file_of(tmp_path, row))
    assert recognised.row is not None and [turn.content for turn in recognised.row.turns] == ["S", "Q\nC", "A"]
    without = file_of(tmp_path, row, columns={"input": None, "system": None})
    assert read_both(without).example(0, without).row.turns == TURNS  # type: ignore[union-attr]
    needed = file_of(tmp_path, row, format="alpaca", columns={"output": None})
    assert sample_of(needed).example(0, needed).problem.text == "The row has no column output."  # type: ignore[union-attr]


def test_messages_whose_keys_and_speakers_are_named_otherwise(tmp_path: Path) -> None:
    said = [{"who": "customer", "says": "Q"}, {"who": "agent", "says": "A"}]
    row = {"id": 3, "log": said}
    columns: dict[str, str | None] = {"messages": "log"}
    sample = sample_of(file_of(tmp_path, row))
    assert sample.choices("messages", {}) == ("id", "log")
    assert sample.choices("role", columns) == sample.choices("content", columns) == ("who", "says")
    assert sample.choices("user", columns) == ()
    columns |= {"role": "who", "content": "says"}
    assert sample.choices("assistant", columns) == ("customer", "agent")
    columns |= {"user": "customer", "assistant": "agent"}
    answered = file_of(tmp_path, row, format="messages", columns=columns)
    assert read_both(answered).example(0, answered).row.turns == TURNS  # type: ignore[union-attr]


def test_a_role_key_alone_leaves_the_texts_where_they_are(tmp_path: Path) -> None:
    said = [{"speaks": "user", "content": "Q"}, {"speaks": "assistant", "content": "A"}]
    answered = file_of(tmp_path, {"messages": said}, columns={"role": "speaks"})
    assert read_both(answered).example(0, answered).row.turns == TURNS  # type: ignore[union-attr]


@pytest.mark.parametrize("record", [None, 3, "text", {}, {"log": None}, {"log": "[[[["}, {"log": [3, None]}])
def test_whatever_a_row_is_it_has_a_row_or_a_reason(tmp_path: Path, record: Any) -> None:
    answered = file_of(tmp_path, record, format="messages", columns={"messages": "log", "role": "who"})
    sample = sample_of(answered)
    for part in ("messages", "role", "content", "user", "assistant"):
        assert isinstance(sample.choices(part, answered.columns), tuple)
    example = sample.example(0, answered)
    assert example.row is None and example.problem is not None and example.problem.text.isprintable()


def test_a_file_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Refusal, match="no file"):
        sample_of(DataFile(path=str(tmp_path / "gone.jsonl")))
