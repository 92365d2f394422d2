"""Plain text is learned whole: passages of a text file, or a column of texts, with nothing masked and nothing lost."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tokenizers import Tokenizer
from tokenizers.processors import TemplateProcessing

from finetty.backend.conversation import Turn, load_encoder
from finetty.backend.dataset import data_facts, data_report
from finetty.backend.dataset.prose import PASSAGE
from finetty.backend.messages import Refusal
from finetty.backend.recipe import Recipe


def test_a_column_of_texts(read: Any) -> None:
    rows = read([{"text": "One.", "n": 3}, {"text": " "}, {"text": None}, {"text": "Two."}])
    assert list(rows.formats.values()) == ["text"]
    assert [row.turns for row in rows.rows] == [(Turn("assistant", "One."),), (Turn("assistant", "Two."),)]
    assert [(refused.line, refused.count) for refused in rows.refused] == [(2, 2)]
    assert read([{"body": "One."}], columns={"text": "body"}).rows[0].plain


def test_questions_and_answers_go_before_a_text(read: Any) -> None:
    assert list(read([{"text": "x", "prompt": "Q", "completion": "A"}]).formats.values()) == ["prompt_completion"]


def test_a_text_file_becomes_passages_of_whole_lines(read: Any) -> None:
    lines = [f"Line {number} of the book." if number % 10 else "" for number in range(1000)]
    rows = read("\n".join(lines), "book.txt")
    texts = [row.turns[0].content for row in rows.rows]
    assert len(texts) > 5
    assert all(len(text) <= PASSAGE for text in texts)
    assert [line for text in texts for line in text.split("\n") if line] == [line for line in lines if line]
    assert all(text.startswith(lines[(row.line or 0) - 1]) for text, row in zip(texts, rows.rows, strict=True))


def test_a_text_may_begin_with_a_bracket(read: Any) -> None:
    text = "[Chapter 1]\nIt began.\n"
    assert read(text, "book.txt", format="text").rows[0].turns[0].content == text.strip()
    with pytest.raises(Refusal):
        read(text, "book.txt")


def test_a_lone_answer_in_a_conversation_is_still_refused(read: Any) -> None:
    with pytest.raises(Refusal, match="None of the 1 rows"):
        read([{"messages": [{"role": "assistant", "content": "A"}]}])


def test_all_of_it_is_learned_and_nothing_is_left_out(read: Any, tiny_model: Path) -> None:
    row = read([{"text": "春 to-morrow and to-morrow " * 40}]).rows[0]
    encoder = load_encoder(tiny_model, Recipe())
    (whole,) = encoder.encode(row)
    assert all(whole.trained)
    assert whole.text == row.turns[0].content + "<|im_end|>"
    cut = encoder.with_cutoff(16).encode(row)
    assert [token for one in cut for token in one.ids] == list(whole.ids)
    assert "".join(one.text for one in cut) == whole.text
    assert all(len(one.ids) <= 16 and all(one.trained) for one in cut)
    assert data_facts(read([{"text": "a b c"}, {"text": "d e"}]), encoder).trained_tokens > 0


def test_a_text_begins_as_the_models_own_tokenizer_begins_one(read: Any, tiny_model: Path) -> None:
    row = read([{"text": "Once."}]).rows[0]
    encoder = load_encoder(tiny_model, Recipe())
    assert encoder.text(row) == "Once.<|im_end|>"
    first = encoder.tokenizer.id_to_token(0)
    tokenizer = Tokenizer.from_str(encoder.tokenizer.to_str())
    tokenizer.post_processor = TemplateProcessing(single=f"{first} $A", special_tokens=[(first, 0)])
    adds = replace(encoder, tokenizer=tokenizer, special={**encoder.special, "bos_token": first})
    assert adds.text(row) == first + "Once.<|im_end|>"
    assert adds.encode(row)[0].ids[0] == 0


@pytest.mark.parametrize("cutoff", [16, 17, 64, 1000])
def test_the_facts_foretell_what_a_cutoff_makes_of_texts(read: Any, tiny_model: Path, cutoff: int) -> None:
    texts = [{"text": "to-morrow and " * count} for count in (1, 9, 40)]
    rows, encoder = read(texts), load_encoder(tiny_model, Recipe())
    facts = data_facts(rows, encoder)
    sequences = [one for row in rows.rows for one in encoder.with_cutoff(cutoff).encode(row)]
    assert facts.sequences_at(cutoff) == len(sequences)
    assert facts.tokens_at(cutoff) == sum(len(one.ids) for one in sequences)
    assert facts.cut_at(cutoff) == 0
    assert data_report(rows, facts, cutoff)["lengths"]["over_cutoff"] == 0
