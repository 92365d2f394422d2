"""What is learned of a row, what a cutoff leaves of it, and what the model is asked with."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from finetty.backend.conversation import Encoded, Encoder, Row, Turn, load_encoder
from finetty.backend.recipe import Recipe, with_values

ONE = Row((Turn("user", "What is a rank?"), Turn("assistant", "How much the adapter can hold.")))
TWO = Row((*ONE.turns, Turn("user", "And the sea?"), Turn("assistant", "Blue.")))
CALL = {"type": "function", "function": {"name": "weather", "arguments": {"city": "Paris"}}}
TOOL = {"type": "function", "function": {"name": "weather", "parameters": {"type": "object"}}}
TOOLS = Row(
    (
        Turn("user", "Weather?"),
        Turn("assistant", "", tool_calls=(CALL,)),
        Turn("tool", "sunny", name="weather"),
        Turn("assistant", "It is sunny."),
    ),
    tools=(TOOL,),
)


def encoder_of(folder: Path, **values: Any) -> Encoder:
    return load_encoder(folder, with_values(Recipe(), {key.replace("__", "."): value for key, value in values.items()}))


@pytest.fixture
def encoder(tiny_model: Path) -> Encoder:
    return encoder_of(tiny_model)


def learned(sequence: Encoded) -> str:
    return "".join(piece for piece, trained in zip(sequence.pieces, sequence.trained, strict=True) if trained)


def test_answers_are_learned_with_their_end_token_and_nothing_else(encoder: Encoder) -> None:
    (sequence,) = encoder.encode(TWO)
    assert learned(sequence) == "How much the adapter can hold.<|im_end|>Blue.<|im_end|>"
    assert sequence.text.endswith("Blue.<|im_end|>\n")
    assert len(sequence.ids) == len(sequence.trained) == len(sequence.pieces)


def test_the_last_answer_only(tiny_model: Path) -> None:
    (sequence,) = encoder_of(tiny_model, dataset__train_on="last").encode(TWO)
    assert learned(sequence) == "Blue.<|im_end|>"


def test_everything(tiny_model: Path) -> None:
    (sequence,) = encoder_of(tiny_model, dataset__train_on="all").encode(TWO)
    assert learned(sequence) == sequence.text


def test_the_prompt_is_what_stands_before_the_answer(encoder: Encoder) -> None:
    (sequence,) = encoder.encode(TWO)
    prompt = encoder.prompt(TWO.turns[:3])
    assert list(sequence.ids[: len(prompt)]) == prompt
    assert sequence.trained[len(prompt)]
    assert not sequence.trained[len(prompt) - 1]


def test_many_rows_at_once_give_what_each_gives_alone(encoder: Encoder) -> None:
    rows = [replace(ONE, line=number) for number in range(700)]
    together = list(encoder.encode_rows(rows))
    assert [encoded.row.line for encoded in together] == list(range(700))
    assert together[600].sequences == tuple(encoder.encode(rows[600]))


def test_a_template_that_drops_old_reasoning_gives_each_answer_its_own_sequence(make_model: Any) -> None:
    row = Row(tuple(replace(turn, reasoning="hm") if turn.role == "assistant" else turn for turn in TWO.turns))
    first, second = encoder_of(make_model("qwen3")).encode(row)
    assert learned(first) == "<think>\nhm\n</think>\n\nHow much the adapter can hold.<|im_end|>"
    assert learned(second) == "<think>\nhm\n</think>\n\nBlue.<|im_end|>"
    assert "hm" not in second.text.split("And the sea?")[0]


def test_rows_without_reasoning_keep_a_thinking_model_from_thinking(make_model: Any) -> None:
    encoder = encoder_of(make_model("qwen3"))
    (sequence,) = encoder.encode(ONE)
    assert "assistant\n<think>\n\n</think>\n\nHow much" in sequence.text
    assert learned(sequence) == "How much the adapter can hold.<|im_end|>"
    assert encoder.decode(encoder.prompt(ONE.turns[:1]), special=True).endswith("<think>\n\n</think>\n\n")


def test_thinking_off_drops_the_rows_reasoning(make_model: Any) -> None:
    row = Row((ONE.turns[0], Turn("assistant", "<think>hm</think>Blue.", reasoning="hm")))
    (sequence,) = encoder_of(make_model("qwen3"), template__thinking=False).encode(row)
    assert "hm" not in sequence.text
    assert learned(sequence) == "Blue.<|im_end|>"


def test_a_template_that_asks_with_an_open_think_mark(make_model: Any) -> None:
    encoder = encoder_of(make_model("r1", marks=["<|user|>", "<|assistant|>"]))
    (plain,) = encoder.encode(ONE)
    prompt = encoder.prompt(ONE.turns[:1])
    assert list(plain.ids[: len(prompt)]) == prompt
    assert plain.text.endswith("<|assistant|><think>\n\n</think>\n\nHow much the adapter can hold.<|im_end|>")
    assert learned(plain) == "How much the adapter can hold.<|im_end|>"
    (reasoned,) = encoder.encode(Row((ONE.turns[0], Turn("assistant", "Blue.", reasoning="It is the sea."))))
    assert learned(reasoned) == "It is the sea.\n</think>\n\nBlue.<|im_end|>"
    thinking = encoder_of(make_model("r1", marks=["<|user|>", "<|assistant|>"]), template__thinking=True)
    prompt = thinking.prompt(ONE.turns[:1])
    assert list(reasoned.ids[: len(prompt)]) == prompt
    assert thinking.decode(prompt, special=True).endswith("<think>\n")


def test_a_template_that_reads_contents_as_parts(make_model: Any) -> None:
    (sequence,) = encoder_of(make_model("parts")).encode(TWO)
    assert "What is a rank?" in sequence.text
    assert learned(sequence) == "How much the adapter can hold.<|im_end|>Blue.<|im_end|>"


@pytest.mark.parametrize("content", ["Blue.", "  Blue.", "Blue.  ", "\nBlue.\n\n", "<|im_end|> Blue.", "😀", "春天"])
def test_white_space_and_marks_in_an_answer(encoder: Encoder, content: str) -> None:
    (sequence,) = encoder.encode(Row((Turn("user", "Sea?"), Turn("assistant", content))))
    assert learned(sequence) == content + "<|im_end|>"


def test_a_token_of_several_characters_pieces_together_the_text(encoder: Encoder) -> None:
    (sequence,) = encoder.encode(Row((Turn("user", "😀 é 春天\x00\u202e"), Turn("assistant", "👩‍👩‍👧 ok"))))
    assert "".join(sequence.pieces) == sequence.text
    assert learned(sequence) == "👩‍👩‍👧 ok<|im_end|>"


def test_rows_without_an_answer_are_a_problem_not_a_traceback(encoder: Encoder) -> None:
    (encoded,) = encoder.encode_rows([Row((Turn("user", "Hello?"),))])
    assert not encoded.sequences
    assert encoded.problem is not None
    assert encoder.encode(Row(())) == []


def test_a_row_that_the_template_refuses_is_a_problem(make_model: Any) -> None:
    picky = (
        "{% for m in messages %}{% if m.content == 'no' %}{{ raise_exception('not this') }}{% endif %}"
        "{{ m.content + eos_token }}{% endfor %}"
    )
    encoder = encoder_of(make_model(picky))
    good, bad = encoder.encode_rows([ONE, Row((Turn("user", "no"), Turn("assistant", "yes")))])
    assert good.sequences
    assert not bad.sequences
    assert bad.problem is not None
    assert "not this" in bad.problem.text


def test_tools_need_a_template_that_writes_them(tiny_model: Path) -> None:
    (encoded,) = encoder_of(tiny_model).encode_rows([TOOLS])
    assert encoded.problem is not None
    (sequence,) = encoder_of(tiny_model, template__name="qwen").encode(TOOLS)
    assert '"name": "weather"' in sequence.text
    assert learned(sequence) == (
        '<tool_call>\n{"name": "weather", "arguments": {"city": "Paris"}}\n</tool_call><|im_end|>It is sunny.<|im_end|>'
    )


# --- the cutoff


LONG = Row(
    (
        Turn("system", "Be short."),
        Turn("user", "first " * 30),
        Turn("assistant", "One."),
        Turn("user", "second " * 30),
        Turn("assistant", "Two."),
    )
)


def test_a_cut_takes_the_oldest_exchange_first(encoder: Encoder) -> None:
    whole = encoder.encode(LONG)[0]
    (cut,) = encoder.with_cutoff(len(whole.ids) - 1).encode(LONG)
    assert cut.cut
    assert "first" not in cut.text
    assert cut.text.count("second") == 30
    assert "Be short." in cut.text
    assert learned(cut) == "Two.<|im_end|>"


def test_a_cut_keeps_as_many_exchanges_as_fit(encoder: Encoder) -> None:
    turns = [Turn("assistant" if place % 2 else "user", f"number {place}") for place in range(200)]
    row = Row(tuple(turns))
    (cut,) = encoder.with_cutoff(300).encode(row)
    first_kept = int(cut.text.split("number ")[1].split("<")[0])
    longer = Row(row.turns[first_kept - 2 :])
    assert len(cut.ids) <= 300 < len(encoder.encode(longer)[0].ids)
    assert learned(cut).count("<|im_end|>") == (200 - first_kept) / 2


def test_then_the_start_of_the_question(encoder: Encoder) -> None:
    (cut,) = encoder.with_cutoff(80).encode(LONG)
    assert len(cut.ids) <= 80
    assert 0 < cut.text.count("second") < 30
    assert "Be short." in cut.text
    assert learned(cut) == "Two.<|im_end|>"


def test_a_row_whose_answer_does_not_fit_is_left_out(encoder: Encoder) -> None:
    row = Row((Turn("user", "Sea?"), Turn("assistant", "blue " * 200)))
    (encoded,) = encoder.with_cutoff(64).encode_rows([row])
    assert not encoded.sequences
    assert encoded.problem is not None
    assert "64" in encoded.problem.text


@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    cutoff=st.integers(16, 200),
    contents=st.lists(st.text(min_size=1, max_size=120).filter(str.strip), min_size=2, max_size=6),
)
def test_a_cut_never_takes_an_answers_end(encoder: Encoder, cutoff: int, contents: list[str]) -> None:
    contents = contents[: len(contents) // 2 * 2]
    turns = [Turn("assistant" if place % 2 else "user", text) for place, text in enumerate(contents)]
    for sequence in encoder.with_cutoff(cutoff).encode(Row(tuple(turns))):
        assert len(sequence.ids) <= cutoff
        assert learned(sequence).endswith(contents[-1] + "<|im_end|>")
        assert "".join(sequence.pieces) == sequence.text
