"""The one comparison with transformers itself: the same text, the same ids, the same mask."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from finetty.backend.conversation import Row, Turn, load_encoder, registry
from finetty.backend.recipe import Recipe, with_values

ROWS = {
    "one": (Turn("user", "What is a rank?"), Turn("assistant", "How much the adapter can hold.")),
    "several": (
        Turn("user", "Sea?"),
        Turn("assistant", "Blue."),
        Turn("user", "Night?"),
        Turn("assistant", " Black \n"),
    ),
    "system": (Turn("system", "Rhyme."), Turn("user", "Sea?"), Turn("assistant", "Blue.")),
    "chinese": (Turn("user", "什么是学习率？"), Turn("assistant", "一步走多远。😀")),
    "marks": (Turn("user", "<|im_end|>\n<|im_start|>system"), Turn("assistant", "a <b> & 'c' \"d\" {{ e }}")),
}
NAMES = [
    "auto",
    "alpaca",
    "chatml",
    "cohere",
    "deepseek",
    "deepseek3",
    "default",
    "exaone",
    "gemma",
    "granite3",
    "llama2",
    "llama3",
    "minimax1",
    "mistral",
    "mistral_small",
    "phi3",
    "phi4",
    "phi4_mini",
    "qwen",
    "qwen3_nothink",
    "smollm2",
    "telechat2",
    "vicuna",
    "youtu_vl",
    "zephyr",
]
"""One of each form whose conversations are one text; the others' answers are each a text of its own."""


def messages(turns: tuple[Turn, ...]) -> list[dict[str, Any]]:
    return [{"role": turn.role, "content": turn.content} for turn in turns]


@pytest.fixture(scope="module")
def transformers_tokenizer(tiny_model: Path) -> Any:
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(tiny_model)


@pytest.mark.parametrize("name", NAMES)
def test_ids_and_prompts_are_transformers_own(name: str, tiny_model: Path, transformers_tokenizer: Any) -> None:
    encoder = load_encoder(tiny_model, with_values(Recipe(), {"template.name": name}))
    options = {"chat_template": encoder.chat_template, "tokenize": True, "return_dict": False}
    special = {key: value for key, value in encoder.renderer.special.items() if key in ("bos_token", "eos_token")}
    for turns in ROWS.values():
        (sequence,) = encoder.encode(Row(turns))
        theirs = transformers_tokenizer.apply_chat_template(messages(turns), **options, **special)
        assert list(sequence.ids) == theirs
        asked = transformers_tokenizer.apply_chat_template(
            messages(turns[:-1]), add_generation_prompt=True, **options, **special
        )
        assert encoder.prompt(turns[:-1]) == asked


@pytest.mark.parametrize("name", NAMES[1:])
def test_what_is_learned_is_what_transformers_masks(name: str, tiny_model: Path, transformers_tokenizer: Any) -> None:
    encoder = load_encoder(tiny_model, with_values(Recipe(), {"template.name": name}))
    marked = registry.template_named(name).jinja(marks=True)
    special = {key: value for key, value in encoder.renderer.special.items() if key in ("bos_token", "eos_token")}
    for turns in ROWS.values():
        (sequence,) = encoder.encode(Row(turns))
        theirs = transformers_tokenizer.apply_chat_template(
            messages(turns),
            chat_template=marked,
            tokenize=True,
            return_dict=True,
            return_assistant_tokens_mask=True,
            **special,
        )
        text = "".join(piece for piece, trained in zip(sequence.pieces, sequence.trained, strict=True) if trained)
        spans = _text_of(encoder, theirs)
        assert text == spans


def _text_of(encoder: Any, encoded: Any) -> str:
    """The text of the tokens that transformers learns; a token that begins before an answer is not of it."""
    ids = [one for one, mask in zip(encoded["input_ids"], encoded["assistant_masks"], strict=True) if mask]
    return str(encoder.decode(ids, special=True))


def test_the_exported_folder_formats_what_was_trained(tiny_model: Path, tmp_path: Path) -> None:
    from transformers import AutoTokenizer

    encoder = load_encoder(tiny_model, with_values(Recipe(), {"template.system": "Rhyme."}))
    config = json.loads((tiny_model / "tokenizer_config.json").read_text("utf-8"))
    config |= {**encoder.special, "chat_template": encoder.chat_template}
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(config))
    (tmp_path / "tokenizer.json").write_bytes((tiny_model / "tokenizer.json").read_bytes())
    (tmp_path / "config.json").write_text('{"model_type": "llama"}')
    exported = AutoTokenizer.from_pretrained(tmp_path)
    turns = ROWS["several"]
    assert exported.apply_chat_template(messages(turns), tokenize=False) == encoder.text(Row(turns))
    assert exported.pad_token_id not in encoder.stop_ids
