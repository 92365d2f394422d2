"""Files are read or refused with the line at fault; rows are used rightly or refused with theirs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from finetty.backend.dataset import read_rows, read_validation, text_files
from finetty.backend.dataset.reading import Refusals, fingerprint
from finetty.backend.messages import Refusal, message
from finetty.backend.recipe import Recipe, with_values

GOOD = {"instruction": "What is a rank?", "output": "A size."}


def test_jsonl_with_empty_lines_keeps_its_line_numbers(read: Any) -> None:
    first, second, third = (json.dumps({"prompt": question, "completion": "b"}) for question in "ace")
    text = f"{first}\n\n  \r\n{second}\r\n{third}"
    rows = read(text)
    assert [row.line for row in rows.rows] == [1, 4, 5]
    assert rows.rows[0].source.endswith("rows.jsonl")


def test_a_byte_order_mark_is_no_text(read: Any) -> None:
    assert read(b"\xef\xbb\xbf" + json.dumps(GOOD).encode()).rows[0].turns[0].content == "What is a rank?"
    assert len(read(b"\xef\xbb\xbf [" + json.dumps(GOOD).encode() + b"]", "rows.json").rows) == 1


def test_a_json_list_keeps_the_line_of_each_row(read: Any) -> None:
    text = (
        '\n[\n {"prompt": "a",\n  "completion": "b"},\n {"prompt": "c", "completion": ""},'
        '\n\n {"prompt": "e", "completion": "f"}]\n'
    )
    rows = read(text, "rows.json")
    assert [row.line for row in rows.rows] == [3, 7]
    assert [refused.line for refused in rows.refused] == [5]


@pytest.mark.parametrize("name", ["rows.json", "rows.jsonl", "rows.txt"])
def test_lists_and_lines_are_told_apart_by_content(read: Any, name: str) -> None:
    assert len(read(json.dumps([GOOD]), name).rows) == len(read([GOOD], name).rows) == 1


BROKEN: list[tuple[Any, int]] = [
    ('{"prompt": "a", "completion": "b"}\n{"prompt": "a", \n', 2),
    ('{"prompt": "a", "completion": "b"}\n\n{"prompt" "a"}\n', 3),
    ('[\n{"prompt": "a", "completion": "b"},\n{"prompt": "c" "completion": "d"}\n]', 3),
    ('[{"prompt": "a", "completion": "b"}\n{"prompt": "c", "completion": "d"}]', 2),
    ('[{"prompt": "a", "completion": "b"},\n', 2),
    ('[{"prompt": "a", "completion": "b"}]\n\nmore', 3),
    (b'{"prompt": "a", "completion": "b"}\n{"prompt": "\xff\xfe"}\n', 2),
    (b'[{"prompt": "a",\n"completion": "\xff"}]', 2),
    (b"\x00" * 100, 1),
    ("[" * 100_000, 1),
    ('{"a":' * 100_000, 1),
    ('{"prompt": "a", "completion": ' + "9" * 5000 + "}", 1),
    ('{"prompt": "tab\tinside", "completion": "b"}', 1),
]


@pytest.mark.parametrize(("content", "line"), BROKEN, ids=range(len(BROKEN)))
def test_a_broken_file_is_refused_with_its_line(read: Any, content: Any, line: int) -> None:
    with pytest.raises(Refusal) as refused:
        read(content)
    assert refused.value.line == line
    assert refused.value.path is not None
    assert refused.value.fix is not None
    assert refused.value.option == "dataset.train"


def test_a_huge_line_is_refused(read: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(text_files, "LONGEST_LINE", 1000)
    with pytest.raises(Refusal) as refused:
        read([GOOD, {"instruction": "x" * 2000, "output": "y"}])
    assert refused.value.line == 2


@pytest.mark.parametrize("content", ["", "\n\n", "  ", "[]", "[ \n ]", b"\xef\xbb\xbf"])
def test_an_empty_file(read: Any, content: Any) -> None:
    with pytest.raises(Refusal, match="empty"):
        read(content)


def test_no_file_a_folder_and_no_data(tmp_path: Path) -> None:
    for path, said in ((tmp_path / "none.jsonl", "no file"), (tmp_path, "folder")):
        with pytest.raises(Refusal, match=said):
            read_rows(with_values(Recipe(), {"dataset.train": [{"path": str(path)}]}))
    with pytest.raises(Refusal, match="no file to learn from"):
        read_rows(Recipe())


def test_refused_rows_are_counted_and_the_first_of_each_kind_kept(read: Any) -> None:
    bad: list[Any] = [[1], {"instruction": "a", "output": ""}, {"instruction": "a", "output": 3}, "text", None]
    rows = read([GOOD, *bad, *bad])
    assert len(rows.rows) == 1
    assert rows.refused_count == 10
    kinds = {(refused.line, refused.count) for refused in rows.refused}
    assert kinds == {(2, 6), (3, 2), (4, 2)}
    assert rows.read == 11


def test_however_many_rows_are_refused_one_of_each_kind_is_kept() -> None:
    said = message("test.reason", "Bad: {what}")
    refusals = Refusals()
    for number in range(200_000):
        refusals.add("a", number, said(what=number))
    assert refusals.count == 200_000
    (kept,) = refusals.kinds()
    assert (kept.line, kept.count) == (0, 200_000)


@pytest.mark.parametrize(
    "rows",
    [
        [{"instruction": "a", "output": ""}, {"instruction": "", "output": "x"}],
        [{"messages": []}],
        [{"messages": [{"role": "user", "content": "a"}]}],
        [1, 2, 3],
        ["a"],
    ],
)
def test_nothing_usable_is_refused_with_the_first_reason(read: Any, rows: list[Any]) -> None:
    with pytest.raises(Refusal) as refused:
        read(rows)
    assert f"None of the {len(rows)} rows" in str(refused.value)
    assert refused.value.line == 1
    assert refused.value.fix is not None


@pytest.mark.parametrize(
    ("row", "column"),
    [
        ({"instruction": "a", "output": "  \n"}, "output"),
        ({"instruction": "", "response": "x"}, "instruction"),
        ({"question": "a", "answer": None}, "answer"),
        ({"query": " ", "answer": "b"}, "query"),
        ({"text": ""}, "text"),
    ],
)
def test_a_column_that_is_empty_throughout_is_named(read: Any, row: dict[str, Any], column: str) -> None:
    with pytest.raises(Refusal, match=f"The column {column} is empty in all 3 rows") as refused:
        read([row] * 3)
    assert refused.value.fix is not None


def test_duplicates_are_removed(read: Any) -> None:
    rows = read([GOOD, {"instruction": "b", "output": "c"}, GOOD, {**GOOD, "input": ""}])
    assert len(rows.rows) == 2
    assert rows.duplicates == 2
    assert rows.rows[0].line == 1


def test_rows_that_are_all_the_same_are_refused(read: Any) -> None:
    with pytest.raises(Refusal, match="the same"):
        read([GOOD] * 5)
    assert len(read([GOOD]).rows) == 1


def test_half_a_character_is_refused_and_an_odd_one_used(read: Any) -> None:
    rows = read(
        '{"prompt": "a", "completion": "\\ud800"}\n'
        '{"prompt": "a", "completion": "nul \\u0000 bidi \\u202e esc \\u001b[31m <b>[bold]"}\n'
    )
    assert [refused.line for refused in rows.refused] == [1]
    assert rows.rows[0].turns[1].content == "nul \x00 bidi \u202e esc \x1b[31m <b>[bold]"


def test_the_same_rows_have_the_same_hash(read: Any) -> None:
    first = read([GOOD, {"instruction": "b", "output": "c"}])
    same = read(
        [{"prompt": "What is a rank?", "completion": "A size."}, {"prompt": "b", "completion": "c"}], "other.jsonl"
    )
    moved = read([{"instruction": "b", "output": "c"}, GOOD], "moved.jsonl")
    assert first.sha256 == same.sha256
    assert first.sha256 != moved.sha256
    assert len({fingerprint(row) for row in [*first.rows, *moved.rows]}) == 2


def test_a_validation_file(read: Any, tmp_path: Path) -> None:
    path = tmp_path / "held_out.jsonl"
    path.write_text(json.dumps(GOOD))
    recipe = with_values(Recipe(), {"dataset.validation": str(path)})
    found = read_validation(recipe)
    assert found is not None
    assert len(found.rows) == 1
    assert read_validation(Recipe()) is None


# --- whatever a file holds, each row is used or refused, never both, never a traceback

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=6), inner, max_size=4),
    max_leaves=12,
)
words = st.sampled_from(
    ["user", "assistant", "system", "tool", "gpt", "human", "function_call", "observation", "x", "", "\u202e"]
)
turns = st.fixed_dictionaries(
    {},
    optional={
        "role": words | json_values,
        "from": words,
        "content": st.text(max_size=30) | json_values,
        "value": st.text(max_size=30),
        "tool_calls": json_values,
        "reasoning_content": json_values,
    },
)
names = [
    "instruction",
    "input",
    "output",
    "history",
    "system",
    "prompt",
    "completion",
    "messages",
    "conversations",
    "tools",
]
odd_rows = json_values | st.fixed_dictionaries(
    {}, optional={name: st.text(max_size=30) | st.lists(turns, max_size=5) | json_values for name in names}
)


@settings(deadline=None, max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows=st.lists(odd_rows, min_size=1, max_size=8))
@example(rows=[{"messages": [{"role": "tool", "content": "x"}, {"role": "assistant", "content": "y"}]}])
@example(rows=[{"messages": [None]}, {"messages": {"role": "user"}}, {"prompt": [None], "completion": []}])
@example(rows=[{"conversations": [{"from": "human", "value": "\ud800"}, {"from": "gpt", "value": "x"}]}])
def test_every_row_is_used_or_refused(read: Any, rows: list[Any]) -> None:
    content = "\n".join(json.dumps(row) for row in rows)
    try:
        found = read(content)
    except Refusal as refused:
        assert str(refused)
        assert refused.fix is not None
        return
    lines = [row.line for row in found.rows] + [refused.line for refused in found.refused]
    assert len(set(lines)) == len(lines)
    assert len(found.rows) + found.refused_count + found.duplicates == len(rows)
    assert sum(refused.count for refused in found.refused) == found.refused_count
    for row in found.rows:
        assert row.turns[-1].role == "assistant"
        assert all(turn.content.strip() or turn.tool_calls for turn in row.turns if turn.role in ("user", "assistant"))


@settings(deadline=None, max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(content=st.binary(max_size=200) | st.text(max_size=200).map(lambda text: text.encode("utf-8", "replace")))
def test_any_bytes_are_rows_or_a_refusal(read: Any, content: bytes) -> None:
    try:
        rows = read(content)
    except Refusal as refused:
        assert str(refused)
    else:
        assert rows.rows
