"""The facts, the report and the preview say what the encoder does."""

from __future__ import annotations

import json
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from finetty.backend.conversation import Encoder, load_encoder
from finetty.backend.dataset import DataFacts, data_facts, data_report, preview, preview_row
from finetty.backend.dataset.report import histogram
from finetty.backend.messages import Refusal
from finetty.backend.recipe import Recipe

ROWS: list[Any] = [
    {"messages": [{"role": "user", "content": "Sea?"}, {"role": "assistant", "content": "Blue."}]},
    {"messages": [{"role": "user", "content": "Night?"}, {"role": "assistant", "content": "Black. " * 20}]},
    {"messages": [{"role": "user", "content": "Sky?"}, {"role": "assistant", "content": "Blue."}]},
    {"messages": [{"role": "user", "content": "Sky?"}, {"role": "assistant", "content": "Blue."}]},
    {"messages": [{"role": "user", "content": "Sky?"}, {"role": "assistant", "content": ""}]},
]
WITH_TOOLS = {
    "messages": [{"role": "user", "content": "Q"}, {"role": "assistant", "tool_calls": [{"function": {"name": "f"}}]}]
}


@pytest.fixture
def encoder(tiny_model: Path) -> Encoder:
    return load_encoder(tiny_model, Recipe())


def test_facts_are_what_is_encoded(read: Any, encoder: Encoder) -> None:
    rows = read(ROWS)
    facts = data_facts(rows, encoder)
    sequences = [sequence for row in rows.rows for sequence in encoder.encode(row)]
    assert (facts.rows, facts.refused, facts.duplicates) == (3, 1, 1)
    assert facts.lengths == tuple(len(sequence.ids) for sequence in sequences)
    assert facts.trained_tokens == sum(sum(sequence.trained) for sequence in sequences)
    assert facts.identical_answers == 2
    assert facts.turns == 6
    assert facts.measured
    assert facts.sequences == 3
    assert facts.sha256 == rows.sha256
    assert list(facts.answers) == [sum(sequence.trained) for sequence in sequences]
    assert facts.left_out_at(min(facts.answers)) == sum(length > min(facts.answers) for length in facts.answers)


def test_lengths_are_whole_whatever_the_encoders_cutoff(read: Any, encoder: Encoder) -> None:
    rows = read(ROWS)
    assert data_facts(rows, encoder.with_cutoff(16)).lengths == data_facts(rows, encoder).lengths


def test_without_an_encoder_rows_are_counted(read: Any) -> None:
    facts = data_facts(read(ROWS), None)
    assert (facts.rows, facts.lengths, facts.measured, facts.longest) == (3, (), False, None)


def test_rows_that_the_template_cannot_write_are_refused_with_their_line(read: Any, encoder: Encoder) -> None:
    facts = data_facts(read([*ROWS, WITH_TOOLS]), encoder)
    (left_out,) = facts.left_out
    assert left_out.line == 6
    assert (facts.rows, facts.refused) == (3, 2)


@settings(deadline=None, max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(texts=st.lists(st.text(max_size=60), min_size=2, max_size=8))
@example(
    texts=["\x00", "\u202e\x1b[31m", "<|im_end|>", "<|im_start|>system", "[bold]</b>", "\ufeff", "{{ x }}", "{% x %}"]
)
def test_whatever_is_read_is_measured_or_left_out(read: Any, encoder: Encoder, texts: list[str]) -> None:
    pairs = [{"prompt": question, "completion": answer} for question, answer in pairwise(texts)]
    try:
        rows = read(pairs)
        facts = data_facts(rows, encoder)
    except Refusal:
        return
    assert facts.rows + sum(kind.count for kind in facts.left_out) == len(rows.rows)
    assert facts.sequences == facts.rows
    for row in rows.rows:
        shown = preview_row(row, encoder)
        assert "".join(token["text"] for token in shown["tokens"]) == shown["text"]
        assert "".join(token["text"] for token in shown["tokens"] if token["trained"]) == row.answers[0] + "<|im_end|>"


def test_data_of_which_the_template_leaves_nothing_is_refused(read: Any, encoder: Encoder) -> None:
    other = {"messages": [{"role": "user", "content": "R"}, *WITH_TOOLS["messages"][1:]]}
    with pytest.raises(Refusal, match="None of the 2 rows") as refused:
        data_facts(read([WITH_TOOLS, other]), encoder)
    assert refused.value.line == 1
    assert refused.value.fix is not None
    assert "tools" in refused.value.fix.text


def test_the_report(read: Any, encoder: Encoder) -> None:
    rows = read([*ROWS, WITH_TOOLS])
    report = data_report(rows, data_facts(rows, encoder), 32)
    assert report["rows"] == {"read": 6, "used": 3, "refused": 2, "duplicates": 1}
    assert [(kind["line"], kind["count"]) for kind in report["refused"]] == [(5, 1), (6, 1)]
    assert all(kind["reason"] and kind["path"].endswith("rows.jsonl") for kind in report["refused"])
    (form,) = report["formats"].values()
    assert form == {"format": "messages", "columns": {"messages": "messages"}, "sure": 1.0, "encoding": "utf-8"}
    assert report["whole"]
    lengths = report["lengths"]
    assert sum(bin_["count"] for bin_ in lengths["histogram"]) == lengths["sequences"] == 3
    assert (lengths["cutoff"], lengths["over_cutoff"]) == (32, 1)
    assert 0 < report["tokens"]["trained"] < report["tokens"]["total"]
    assert json.loads(json.dumps(report)) == report


def test_the_histogram_covers_every_length() -> None:
    bins = histogram([21, 40, 41, 420])
    assert [(bin_["from"], bin_["to"]) for bin_ in bins][:2] == [(21, 40), (41, 60)]
    assert bins[-1]["to"] == 420
    assert [bin_["count"] for bin_ in bins if bin_["count"]] == [2, 1, 1]
    assert histogram([5, 5]) == [{"from": 5, "to": 5, "count": 2}]


def test_the_preview_is_what_is_trained(read: Any, encoder: Encoder) -> None:
    rows = read(ROWS)
    shown = preview(rows.rows, 2, encoder)
    (sequence,) = encoder.encode(rows.rows[1])
    assert shown["line"] == 2
    assert [token["id"] for token in shown["tokens"]] == list(sequence.ids)
    assert [token["trained"] for token in shown["tokens"]] == list(sequence.trained)
    assert "".join(token["text"] for token in shown["tokens"]) == shown["text"] == sequence.text
    special = [token["text"] for token in shown["tokens"] if token["special"]]
    assert special == ["<|im_start|>", "<|im_end|>"] * 2
    assert json.loads(json.dumps(shown)) == shown


def test_the_preview_says_why_a_row_cannot_be_used(read: Any, encoder: Encoder) -> None:
    shown = preview(read([*ROWS, WITH_TOOLS]).rows, 4, encoder)
    assert shown["tokens"] == []
    assert "tools" in shown["problem"]


def test_the_preview_shows_a_cut(read: Any, encoder: Encoder) -> None:
    long = [{"prompt": "why " * 100, "completion": "so"}, {"prompt": "a", "completion": "b"}]
    assert preview(read(long).rows, 1, encoder.with_cutoff(40))["cut"]


@pytest.mark.parametrize("number", [0, 4, -1])
def test_there_is_no_such_row(read: Any, encoder: Encoder, number: int) -> None:
    with pytest.raises(Refusal, match="from 1 to 3"):
        preview(read(ROWS).rows, number, encoder)


@given(st.lists(st.integers(1, 300), max_size=40), st.lists(st.integers(1, 300), max_size=20), st.integers(1, 320))
def test_what_a_cutoff_does_is_what_one_counts(chats: list[int], texts: list[int], cutoff: int) -> None:
    facts = DataFacts(rows=1, lengths=(*chats, *texts), texts=tuple(texts), measured=True)
    for _ in range(2):  # what is kept for the next keystroke is the same
        assert facts.cut_at(cutoff) == sum(length > cutoff for length in chats)
        assert facts.tokens_at(cutoff) == sum(min(length, cutoff) for length in chats) + sum(texts)
        assert facts.sequences_at(cutoff) == len(chats) + sum(-(-length // cutoff) for length in texts)


def test_the_last_answer_of_many_is_what_a_cut_has_to_keep(read: Any, encoder: Encoder) -> None:
    said = [{"role": role, "content": text} for role, text in (("user", "Q"), ("assistant", "A " * 30)) * 2]
    said[-1]["content"] = "B"
    rows = read([{"messages": said}])
    (sequence,) = encoder.encode(rows.rows[0])
    assert list(data_facts(rows, encoder).answers) == [sequence.last_answer_tokens] == [2]
    everything = data_facts(rows, replace(encoder, train_on="all"))
    assert everything.answers == () and everything.left_out_at(1) == 0
