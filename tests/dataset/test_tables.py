"""CSV, TSV, Parquet and Arrow give the same rows as JSON, each with the place it stands at."""

from __future__ import annotations

import gzip
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pyarrow
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pyarrow import ipc, parquet

from finetty.backend.messages import Refusal

ROWS = [
    {"instruction": "Q1", "input": "", "output": '春天,\n"来了"'},
    {"instruction": "Q2", "input": "I", "output": "A;2\t|"},
]
CSV = 'instruction,input,output\r\nQ1,,"春天,\n""来了"""\r\n\r\nQ2,I,A;2\t|\n'


def answers(rows: Any) -> list[str]:
    return [row.turns[-1].content for row in rows.rows]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "gb18030"])
def test_a_table_of_text(read: Any, encoding: str) -> None:
    rows = read(CSV.encode(encoding), "rows.csv")
    assert answers(rows) == [row["output"] for row in ROWS]
    assert [row.line for row in rows.rows] == [2, 5]
    assert list(rows.formats.values()) == ["alpaca"]


@pytest.mark.parametrize(("separator", "name"), [("\t", "rows.tsv"), (";", "rows.csv"), ("|", "rows.csv")])
def test_other_separators(read: Any, separator: str, name: str) -> None:
    rows = read(f"prompt{separator}completion\na, b{separator}c\n", name)
    assert answers(rows) == ["c"]
    assert answers(read(gzip.compress(f"prompt{separator}completion\na{separator}c\n".encode()), name + ".gz")) == ["c"]


def test_messages_in_a_cell(read: Any) -> None:
    said = json.dumps([{"role": "user", "content": "Q"}, {"role": "assistant", "content": "A"}]).replace('"', '""')
    assert answers(read(f'id,messages\n1,"{said}"\n', "rows.csv")) == ["A"]


def test_a_row_of_another_width_is_refused_with_its_line(read: Any) -> None:
    rows = read("prompt,completion\na,b\nc\nd,e,f\ng,h\n", "rows.csv")
    assert [(refused.line, refused.count) for refused in rows.refused] == [(3, 2)]
    assert answers(rows) == ["b", "h"]


@pytest.mark.parametrize(
    ("content", "line"),
    [
        ("", None),
        ("prompt,completion\n", None),
        ("\n\n", None),
        ("prompt,prompt\na,b\n", 1),
        ('prompt,completion\na,b\nc,"d\ne,f\n', 3),
        ('prompt,completion\na,"b"c\n', 2),
    ],
)
def test_a_broken_table_is_refused(read: Any, content: str, line: int | None) -> None:
    with pytest.raises(Refusal) as refused:
        read(content, "rows.csv")
    assert refused.value.line == line
    assert refused.value.fix is not None


@settings(deadline=None, max_examples=80, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(content=st.text(alphabet=st.sampled_from('ab,;\t"\n\r\x00\u202e\x1b春'), max_size=80))
def test_any_table_is_rows_or_a_refusal(read: Any, content: str) -> None:
    try:
        rows = read("prompt,completion\n" + content, "rows.csv")
    except Refusal as refused:
        assert str(refused)
    else:
        assert len(rows.rows) + rows.refused_count + rows.duplicates == rows.read


# --- Parquet and Arrow

CHATS = [
    {
        "messages": [{"role": "user", "content": f"Q{number}"}, {"role": "assistant", "content": f"A{number}"}],
        "tools": None,
        "picture": b"\x00" * 100,
    }
    for number in range(450)
]


def written(path: Path, rows: list[dict[str, Any]], kind: str) -> bytes:
    table = pyarrow.Table.from_pylist(rows)
    if kind == "parquet":
        parquet.write_table(table, path, row_group_size=100)
    else:
        with (ipc.new_stream if kind == "stream" else ipc.new_file)(str(path), table.schema) as writer:
            writer.write_table(table, max_chunksize=130)
    return path.read_bytes()


@pytest.mark.parametrize("kind", ["parquet", "stream", "file"])
def test_parquet_and_arrow(read: Any, tmp_path: Path, kind: str) -> None:
    rows = read(written(tmp_path / "made", CHATS, kind), "rows.bin")
    assert answers(rows) == [f"A{number}" for number in range(450)]
    assert [row.line for row in rows.rows] == list(range(1, 451))
    assert list(rows.formats.values()) == ["messages"]


def test_columns_of_numbers_and_dates_do_no_harm(read: Any, tmp_path: Path) -> None:
    import datetime

    rows = [{"prompt": "Q", "completion": "A", "n": 1.5, "at": datetime.datetime(2020, 1, 1), "words": {"a": "b"}}]
    assert answers(read(written(tmp_path / "made", rows, "parquet"))) == ["A"]


@pytest.mark.parametrize("kind", ["parquet", "stream", "file"])
def test_a_broken_parquet_or_arrow_file_is_refused(read: Any, tmp_path: Path, kind: str) -> None:
    whole = written(tmp_path / "made", CHATS, kind)
    for content in (whole[:200], whole[: len(whole) // 2], whole[:8]):
        with pytest.raises(Refusal) as refused:
            read(content)
        assert refused.value.path is not None
        assert refused.value.fix is not None


def test_without_rows_it_is_empty(read: Any, tmp_path: Path) -> None:
    parquet.write_table(pyarrow.table({"prompt": pyarrow.array([], pyarrow.string())}), tmp_path / "made")
    with pytest.raises(Refusal, match="empty"):
        read((tmp_path / "made").read_bytes())


def test_pyarrow_is_loaded_only_for_its_files_and_brings_nothing_heavy(tmp_path: Path) -> None:
    written(tmp_path / "rows.parquet", CHATS, "parquet")
    (tmp_path / "rows.jsonl").write_text('{"prompt": "a", "completion": "b"}\n')
    program = (
        "import sys\n"
        "from finetty.backend.dataset import read_rows\n"
        "from finetty.backend.recipe import Recipe, with_values\n"
        "for name in ('rows.jsonl', 'rows.parquet'):\n"
        "    read_rows(with_values(Recipe(), {'dataset.train': [{'path': name}]}))\n"
        "    print([name for name in ('pyarrow', 'torch', 'pandas', 'datasets') if name in sys.modules])\n"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == ["[]", "['pyarrow']"]
