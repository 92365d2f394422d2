"""A model folder's tokenizer, read without transformers: tokenizer.json, special tokens, chat templates."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer

from finetty.backend.messages import Refusal, message

NO_TOKENIZER = message("conversation.no_tokenizer", "The model's folder {folder} has no tokenizer.json.")
MAKE_IT = message(
    "conversation.make_tokenizer",
    "Load its tokenizer once with transformers' AutoTokenizer and save it into the folder.",
)
BROKEN_TOKENIZER = message("conversation.broken_tokenizer", "The tokenizer in {path} cannot be read: {reason}.")
DOWNLOAD_AGAIN = message("conversation.download_again", "Download the model again.")
UNREADABLE = message("conversation.unreadable", "The file {path} cannot be read: {reason}.")
BROKEN_JSON = message("conversation.broken_json", "{path} is not valid JSON: {reason}.")

LARGEST_FILE = 256 << 20
TOKEN_NAMES = ("bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token")
PAD_CANDIDATES = (
    "<pad>",
    "[PAD]",
    "<|pad|>",
    "<|finetune_right_pad_id|>",
    "<|reserved_special_token_0|>",
    "<|endoftext|>",
    "<unk>",
)


@dataclass(frozen=True)
class ModelTokenizer:
    """What a model folder says of its tokenizer. `special` holds only the special tokens that are set."""

    tokenizer: Tokenizer
    special: dict[str, str]
    chat_templates: dict[str, str]
    """The model's own, by name; the usual one is `default`."""
    stop_ids: tuple[int, ...]
    model_type: str

    def token_id(self, token: str | None) -> int | None:
        found: int | None = self.tokenizer.token_to_id(token) if token else None
        return found

    def pad_token(self, ends: tuple[int, ...]) -> str | None:
        """A token for padding that ends nothing, if there is one; else whatever there is."""
        own = self.special.get("pad_token")
        for token in (own, *PAD_CANDIDATES):
            known = self.token_id(token)
            if known is not None and known not in ends:
                return token
        return own if self.token_id(own) is not None else self.special.get("eos_token")


def read_tokenizer(folder: Path) -> ModelTokenizer:
    """Raises Refusal where tokenizer.json is missing or broken."""
    path = folder / "tokenizer.json"
    if not path.is_file():
        raise Refusal(NO_TOKENIZER(folder=folder), MAKE_IT(), option="model.path")
    config = _json(folder / "tokenizer_config.json")
    special = {name: token for name in TOKEN_NAMES for token in [_token(config.get(name))] if token}
    for name, value in _json(folder / "special_tokens_map.json").items():
        token = _token(value)
        if token and name in TOKEN_NAMES:
            special.setdefault(name, token)
    tokenizer = _tokenizer(path)
    model_config = _json(folder / "config.json")
    return ModelTokenizer(
        tokenizer,
        special,
        _chat_templates(folder, config),
        _stop_ids(tokenizer, folder, model_config, special),
        str(model_config.get("model_type", "")),
    )


def _tokenizer(path: Path) -> Tokenizer:
    try:
        tokenizer = Tokenizer.from_file(str(path))
    except BaseException as error:
        # The Rust side reports some broken files as a panic, which is no Exception.
        if isinstance(error, KeyboardInterrupt | SystemExit):
            raise
        reason = (str(error).splitlines() or ["broken"])[0]
        raise Refusal(BROKEN_TOKENIZER(path=path, reason=reason), DOWNLOAD_AGAIN(), option="model.path") from None
    tokenizer.no_padding()
    tokenizer.no_truncation()
    return tokenizer


def _json(path: Path) -> dict[str, Any]:
    if not path.is_file() or path.stat().st_size > LARGEST_FILE:
        return {}
    try:
        content = json.loads(_text(path))
    except (ValueError, RecursionError) as error:
        raise Refusal(BROKEN_JSON(path=path, reason=error), DOWNLOAD_AGAIN(), option="model.path") from None
    return content if isinstance(content, dict) else {}


def _text(path: Path) -> str:
    try:
        return path.read_text("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not UTF-8 text"
        raise Refusal(UNREADABLE(path=path, reason=reason), DOWNLOAD_AGAIN(), option="model.path") from None


def _token(value: Any) -> str | None:
    """A special token is a text, or an object with its text in `content`."""
    content = value.get("content") if isinstance(value, dict) else value
    return content if isinstance(content, str) and content else None


def _chat_templates(folder: Path, config: dict[str, Any]) -> dict[str, str]:
    """By name, from the files where there are some (they win in transformers), else from the configuration."""
    found: dict[str, str] = {}
    usual = folder / "chat_template.jinja"
    if usual.is_file():
        found["default"] = _text(usual)
    for path in sorted((folder / "additional_chat_templates").glob("*.jinja")):
        found[path.stem] = _text(path)
    if found:
        return found
    named = config.get("chat_template", _json(folder / "chat_template.json").get("chat_template"))
    if isinstance(named, str):
        return {"default": named} if named.strip() else {}
    if isinstance(named, list):
        return {
            str(item["name"]): item["template"]
            for item in named
            if isinstance(item, dict) and isinstance(item.get("template"), str) and "name" in item
        }
    return {}


def _stop_ids(
    tokenizer: Tokenizer, folder: Path, model_config: dict[str, Any], special: dict[str, str]
) -> tuple[int, ...]:
    """Every id that ends generation by the model's own files."""
    text_config = model_config.get("text_config")
    stops: list[int] = []
    for config in (_json(folder / "generation_config.json"), model_config, text_config):
        value = config.get("eos_token_id") if isinstance(config, dict) else None
        stops += [item for item in (value if isinstance(value, list) else [value]) if isinstance(item, int)]
    end = tokenizer.token_to_id(special["eos_token"]) if "eos_token" in special else None
    size = tokenizer.get_vocab_size(with_added_tokens=True)
    return tuple(dict.fromkeys(item for item in [*stops, end] if item is not None and 0 <= item < size))
