"""Whatever stands in a file of any kind: each row is used rightly or refused with its place, and nothing breaks."""

from __future__ import annotations

import csv
import io
import json
import os
from pathlib import Path
from typing import Any

import pyarrow
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from pyarrow import parquet

from finetty.backend.dataset import Rows, data_facts, data_report, read_rows
from finetty.backend.messages import Refusal
from finetty.backend.recipe import Recipe, with_values

NASTY = ["\x00", "\x1b[2J\x1b]0;title\x07", "\u202eevil", "[bold]</b>", "{{ x }}", "<|im_end|>", "\ufeff", "\x85\u2028"]
texts = st.sampled_from(NASTY) | st.text(max_size=20)
anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=8,
)
roles = st.sampled_from(["user", "assistant", "system", "tool", "gpt", "human", "\u202e", ""])
message = st.fixed_dictionaries({"role": roles | anything, "content": texts | anything})
rows_of_any_kind = st.lists(
    st.fixed_dictionaries({}, optional={"messages": st.lists(message, max_size=4) | anything, "tools": anything})
    | st.fixed_dictionaries({"prompt": texts | anything, "completion": texts | anything})
    | st.fixed_dictionaries({"text": texts | anything})
    | anything,
    min_size=1,
    max_size=6,
)
on_any_rows = settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])


def check(rows: Rows, count: int) -> None:
    """Every row once: used, refused or a duplicate; reasons fit a line of a terminal and show no control character."""
    assert len(rows.rows) + rows.refused_count + rows.duplicates == rows.read == count
    used = {row.line for row in rows.rows}
    for refused in rows.refused:
        assert refused.line not in used
        assert refused.reason.text.isprintable()
    for row in rows.rows:
        assert row.plain or row.turns[-1].role == "assistant"
    report = data_report(rows, data_facts(rows, None))
    assert json.loads(json.dumps(report)) == report


def read_or_refused(read: Any, content: Any, name: str, count: int) -> None:
    try:
        rows = read(content, name)
    except Refusal as refusal:
        assert refusal.said.text.isprintable()
        assert refusal.fix is None or refusal.fix.text.isprintable()
        return
    check(rows, count)


@on_any_rows
@given(rows=rows_of_any_kind)
@example(rows=[{"text": "\ud800"}, {"text": "\x1b[2J"}])
def test_a_json_list(read: Any, rows: list[Any]) -> None:
    read_or_refused(read, "[" + ",\n".join(map(json.dumps, rows)) + "]", "rows.json", len(rows))


@on_any_rows
@given(rows=rows_of_any_kind, encoding=st.sampled_from(["utf-8", "utf-16", "gb18030"]))
def test_lines_in_any_encoding(read: Any, rows: list[Any], encoding: str) -> None:
    lines = "\n".join(json.dumps(row, ensure_ascii=False) for row in rows)
    read_or_refused(read, lines.encode(encoding, "replace"), "rows.jsonl", len(rows))


@on_any_rows
@given(rows=st.lists(st.tuples(texts, texts), min_size=1, max_size=6), named=st.tuples(texts, texts))
@example(rows=[("a", "b")], named=("prompt", "completion"))
def test_a_table_with_any_names(read: Any, rows: list[tuple[str, str]], named: tuple[str, str]) -> None:
    stream = io.StringIO()
    csv.writer(stream).writerows([named, *rows])
    try:
        found = read(stream.getvalue().encode("utf-8", "replace"), "rows.csv")
    except Refusal as refusal:
        assert refusal.said.text.isprintable()
        return
    check(found, found.read)


@on_any_rows
@given(rows=rows_of_any_kind)
def test_parquet(read: Any, tmp_path: Path, rows: list[Any]) -> None:
    rows = [row for row in rows if isinstance(row, dict) and row]
    try:
        table = pyarrow.Table.from_pylist(rows)
        parquet.write_table(table, tmp_path / "made")
    except (pyarrow.ArrowException, TypeError, ValueError, OverflowError, AttributeError):
        return
    if table.num_columns:
        read_or_refused(read, (tmp_path / "made").read_bytes(), "rows.parquet", len(rows))


@on_any_rows
@given(noise=st.binary(max_size=30), place=st.integers(0, 2000))
def test_parquet_with_noise_in_it(read: Any, tmp_path: Path, noise: bytes, place: int) -> None:
    parquet.write_table(pyarrow.table({"prompt": ["a", "b"], "completion": ["c", "d"]}), tmp_path / "made")
    whole = (tmp_path / "made").read_bytes()
    place = 4 + place % (len(whole) - 8)
    read_or_refused(read, whole[:place] + noise + whole[place + len(noise) :], "rows.parquet", 2)


@pytest.mark.parametrize("nasty", NASTY)
def test_nasty_texts_are_data_like_any_other(read: Any, nasty: str) -> None:
    rows = read([{"prompt": "Q" + nasty, "completion": nasty + "A"}])
    assert [turn.content for turn in rows.rows[0].turns] == ["Q" + nasty, nasty + "A"]


def test_a_device_and_a_pipe_are_no_files(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.jsonl")
    for path in ("/dev/zero", str(tmp_path / "pipe.jsonl"), "bad\x00name.jsonl", "x" * 400 + ".jsonl"):
        with pytest.raises(Refusal):
            read_rows(with_values(Recipe(), {"dataset.train": [{"path": path}]}))


@pytest.mark.parametrize("levels", [200, 900, 960, 980, 990])
def test_tools_nested_too_deeply_are_refused(read: Any, levels: int) -> None:
    good = {"messages": [{"role": "user", "content": "Q"}, {"role": "assistant", "content": "A"}]}
    deep = '{"a":' * levels + "1" + "}" * levels
    calls = '[{"role": "user", "content": "R"}, {"role": "assistant", "tool_calls": [{"name": "f", "arguments": %s}]}]'
    lines = [
        json.dumps(good),
        json.dumps(good)[:-1] + ', "tools": [' + deep + "]}",
        '{"messages": ' + calls % deep + "}",
    ]
    read_or_refused(read, "\n".join(lines), "rows.jsonl", 3)
    with_text = {**good, "tools": f"[{deep}]"}
    read_or_refused(read, json.dumps(good) + "\n" + json.dumps(with_text), "rows.jsonl", 2)
