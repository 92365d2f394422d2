"""Whatever a text file is written in is recognised, or refused with its line; never half understood."""

from __future__ import annotations

import gzip
import json
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from finetty.backend.dataset import text_files
from finetty.backend.dataset.text_files import recognised_encoding
from finetty.backend.messages import Refusal

CHINESE = [
    {"instruction": "帮我写一首关于春天的诗", "output": "春风又绿江南岸,明月何时照我还。"},
    {"instruction": "What is a rank?", "output": "秩是矩阵中线性无关的行数。"},
]
LINES = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in CHINESE)
LIST = json.dumps(CHINESE, ensure_ascii=False, indent=1)


@pytest.mark.parametrize("text", [LINES, LIST], ids=["lines", "list"])
@pytest.mark.parametrize(
    ("written", "recognised"),
    [
        ("utf-8", "utf-8"),
        ("utf-8-sig", "utf-8"),
        ("utf-16", "utf-16-le"),
        ("utf-16-le", "utf-16-le"),
        ("utf-16-be", "utf-16-be"),
        ("gb18030", "gb18030"),
        ("gbk", "gb18030"),
    ],
)
@pytest.mark.parametrize("packed", [False, True], ids=["plain", "gzip"])
def test_every_encoding_reads_the_same(read: Any, text: str, written: str, recognised: str, packed: bool) -> None:
    content = text.encode(written)
    rows = read(gzip.compress(content) if packed else content)
    assert [row.turns[1].content for row in rows.rows] == [row["output"] for row in CHINESE]
    assert list(rows.encodings.values()) == [recognised]


def test_one_broken_line_does_not_change_what_the_file_is(read: Any) -> None:
    content = LINES.encode() + b'{"instruction": "\xe5\xb8", "output": "x"}\n'
    with pytest.raises(Refusal, match="UTF-8") as refused:
        read(content)
    assert refused.value.line == 3


FOREIGN = [
    ("C'était l'été à Orléans, où l'on dînait tôt.", "latin-1"),
    ("Größere Äpfel für Jürgen, süß und schön.", "latin-1"),
    ("機械学習とは、データから規則を学ぶことです。", "shift-jis"),
    ("機械学習とは、データから規則を学ぶことです。", "euc-jp"),
    ("機器學習是從資料中學習規則的方法,請寫一首關於春天的詩。", "big5"),
    ("Машинное обучение учится на данных.", "cp1251"),
]


@pytest.mark.parametrize(("text", "encoding"), FOREIGN)
def test_other_encodings_are_refused_not_read_as_chinese(read: Any, text: str, encoding: str) -> None:
    with pytest.raises(Refusal, match="neither UTF-8 nor GB18030") as refused:
        read(b'{"prompt": "a", "completion": "b"}\n' + f'{{"prompt": "Q", "completion": "{text}"}}\n'.encode(encoding))
    assert refused.value.line == 2


def test_traditional_characters_in_gb18030_are_recognised() -> None:
    assert recognised_encoding("我們今天要去圖書館借書,因為明天有一個很重要的考試。".encode("gb18030")) == "gb18030"


def test_a_line_of_another_encoding_is_refused(read: Any) -> None:
    with pytest.raises(Refusal, match="GB18030") as refused:
        read(LINES.encode("gb18030") + b'{"prompt": "\xff\xff", "completion": "b"}\n')
    assert refused.value.line == 3


def test_a_broken_archive_is_refused(read: Any) -> None:
    whole = gzip.compress(LINES.encode() * 50)
    for content in (whole[: len(whole) // 2], whole[:12], whole[:-9] + b"123456789", b"\x1f\x8b"):
        with pytest.raises(Refusal) as refused:
            read(content, "rows.jsonl.gz")
        assert refused.value.fix is not None


def test_a_bomb_of_one_line_stops_at_the_longest_line(read: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(text_files, "LONGEST_LINE", 10_000)
    with pytest.raises(Refusal, match="longer than"):
        read(gzip.compress(b'{"prompt": "' + b"x" * 1_000_000), "bomb.jsonl.gz")


@pytest.mark.parametrize("piece", [1, 2, 7, 64])
def test_a_list_reads_the_same_in_pieces(read: Any, monkeypatch: pytest.MonkeyPatch, piece: int) -> None:
    monkeypatch.setattr(text_files, "PIECE", piece)
    rows = read(LIST)
    assert [row.turns[1].content for row in rows.rows] == [row["output"] for row in CHINESE]
    assert [row.line for row in rows.rows] == [2, 6]


def test_an_item_that_never_ends_is_refused_without_reading_on(read: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(text_files, "PIECE", 1000)
    monkeypatch.setattr(text_files, "LONGEST_LINE", 10_000)
    with pytest.raises(Refusal) as refused:
        read('[\n{"prompt": "' + "x" * 1_000_000)
    assert refused.value.line == 2


@settings(deadline=None, max_examples=80, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(text=st.text(max_size=40), encoding=st.sampled_from(["utf-8", "utf-8-sig", "utf-16"]))
def test_any_text_survives_its_encoding(read: Any, text: str, encoding: str) -> None:
    row = {"prompt": "Q", "completion": "A" + text}
    content = json.dumps(row, ensure_ascii=False).encode(encoding, "surrogatepass")
    try:
        rows = read(content)
    except Refusal as refused:
        assert "\\ud" in json.dumps(text) or str(refused)
        return
    assert rows.rows[0].turns[1].content == "A" + text
