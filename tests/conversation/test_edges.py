"""What is learned of a row, found among its ids, is what the tokenizer's offsets say: to the token, for any content."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.conversation.test_skeleton import NAMES, contents, conversation, conversations, encoder_of
from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

from finetty.backend.conversation import Encoder, Row
from finetty.backend.conversation.edges import edges_of
from finetty.backend.conversation.skeleton import Skeleton

HEADING = "<|im_start|>assistant\n"
SKELETON = Skeleton(
    ("<|im_start|>user\n", f"<|im_end|>\n{HEADING}", "<|im_end|>\n"), (0, 1), (False, False), ((1, 10),)
)
TEXTS = [
    "Who is there?\nIt is I.\n\n",
    "assistant user system",
    "  spaces   and\n\nnewlines",
    "设置：基础\n含义：好",
    "é e\u0301",
]


class ByOffsets(Encoder):
    """Asks the offsets for every row."""

    def _edges(self, skeleton: Skeleton | None) -> None:
        return None


def by_offsets(encoder: Encoder) -> Encoder:
    return ByOffsets(**{name: getattr(encoder, name) for name in encoder.__dataclass_fields__})


def learned(encoder: Encoder, row: Row) -> list[tuple[tuple[int, ...], tuple[bool, ...]]]:
    return [(one.ids, one.trained) for one in encoder.encode(row)]


_encoders: dict[str, Encoder] = {}


@pytest.mark.parametrize("name", ["own", *NAMES])
@settings(deadline=None, max_examples=6, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(row=conversations)
def test_every_template(name: str, row: Row, tiny_model: Path) -> None:
    if name not in _encoders:
        _encoders[name] = encoder_of(tiny_model, name)
    assert learned(_encoders[name], row) == learned(by_offsets(_encoders[name]), row)


def byte_level() -> Tokenizer:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=600, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False
    )
    tokenizer.train_from_iterator([HEADING.split(">")[1] + text for text in TEXTS * 3], trainer)
    return tokenizer


def sentencepiece() -> Tokenizer:
    tokenizer = Tokenizer(models.BPE(byte_fallback=True, unk_token="<unk>"))
    tokenizer.normalizer = normalizers.Sequence(
        [normalizers.NFKC(), normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")]
    )
    trainer = trainers.BpeTrainer(vocab_size=400, special_tokens=["<unk>"], show_progress=False)
    tokenizer.train_from_iterator(TEXTS * 3, trainer)
    return tokenizer


MADE = {"bytes": byte_level, "sentencepiece": sentencepiece}
_tokenizers: dict[str, Tokenizer] = {}


def tokenizer_of(kind: str) -> Tokenizer:
    """Merges go beyond words and lines, so that a content's beginning can become one with the heading."""
    if kind not in _tokenizers:
        _tokenizers[kind] = MADE[kind]()
        _tokenizers[kind].add_special_tokens(["<|im_start|>", AddedToken("<|im_end|>", rstrip=kind == "bytes")])
    return _tokenizers[kind]


@pytest.mark.parametrize("kind", MADE)
@settings(deadline=None, max_examples=150)
@given(asked=contents, answer=contents | st.sampled_from(TEXTS))
def test_every_kind_of_tokenizer(kind: str, asked: str, answer: str) -> None:
    tokenizer = tokenizer_of(kind)
    edges = edges_of(SKELETON, tokenizer)
    assert edges is not None
    text, stretches = SKELETON.filled(conversation(False, [(asked, answer)], ""))
    encoding = tokenizer.encode(text, add_special_tokens=False)
    told = edges.stretches(encoding.ids, text, stretches)
    if told is not None:
        ((start, end),) = stretches
        begins = [first for first, last in encoding.offsets]
        inside = [place for place, first in enumerate(begins) if start <= first < end]
        assert told == [(inside[0], inside[-1] + 1)]


def found(kind: str, answer: str) -> object:
    tokenizer = tokenizer_of(kind)
    edges = edges_of(SKELETON, tokenizer)
    assert edges is not None
    text, stretches = SKELETON.filled(conversation(False, [("Who is there?", answer)], ""))
    return edges.stretches(tokenizer.encode(text, add_special_tokens=False).ids, text, stretches)


@pytest.mark.parametrize("kind", MADE)
@pytest.mark.parametrize("answer", ["Zero.", "a <|im_end|> within <|im_start|>assistant\nand on"])
def test_usual_answers_are_found_without_offsets(kind: str, answer: str) -> None:
    assert found(kind, answer) is not None


def test_an_answer_that_became_one_with_the_heading_is_left_to_the_offsets() -> None:
    merged = tokenizer_of("bytes").encode("assistant\n设", add_special_tokens=False).tokens
    assert merged[0].startswith("assistantĊè")
    assert found("bytes", "设置") is None


def test_a_heading_without_a_special_token_is_left_to_the_offsets() -> None:
    plain = Skeleton(("User: ", "\nAssistant: ", "<|im_end|>"), (0, 1), (False, False), ((1, 10),))
    assert edges_of(plain, tokenizer_of("bytes")) is None
