"""The job that all of them get: a small model, rows of mixed lengths to learn from, and others to measure on.

The rows are what Python's own library says of itself: a question for a function or a class, and its documentation as
the answer. They are on every machine, real English, and from a few tokens to some hundred long.
"""

from __future__ import annotations

import importlib
import inspect
import json
import pkgutil
import random
import sys
import warnings
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from tests.conftest import CHATML, SPECIAL_TOKENS

CUTOFF = 512
VOCABULARY = 8192
SEED = 42
HELD_OUT_SHARE = 0.05
ANSWER_CHARACTERS = range(80, 1800)
"""Answers of other lengths are left out, so that no cutoff is ever asked for and every tool sees the same tokens."""

NOT_IMPORTED = {"antigravity", "this", "idlelib", "test", "lib2to3", "turtledemo", "tkinter", "turtle", "pip"}
SHAPE: dict[str, Any] = {
    "hidden_size": 256,
    "intermediate_size": 688,
    "num_hidden_layers": 6,
    "num_attention_heads": 8,
    "num_key_value_heads": 4,
    "head_dim": 32,
    "max_position_embeddings": 2048,
    "tie_word_embeddings": True,
    "bos_token_id": 0,
    "eos_token_id": 2,
    "pad_token_id": 0,
}
"""9 million parameters, of which 2 are the embeddings: a vocabulary in proportion."""
MODEL_TYPES = {"llama": "llama", "qwen": "qwen3"}


@dataclass(frozen=True)
class Job:
    """What is trained on what, and how; written to `job.json` for those that run in another environment."""

    model: str
    train: str
    held_out: str
    method: str
    epochs: float
    micro_batch: int = 8
    batch: int = 16
    learning_rate: float = 1e-3
    weight_decay: float = 0.01
    max_grad_norm: float = 1.0
    warmup_steps: int = 10
    rank: int = 16
    alpha: int = 32
    cutoff: int = CUTOFF
    seed: int = SEED


def write_job(folder: Path, shape: str, rows: int, *, epochs: float, method: str) -> Job:
    """Make the model's folder, both files of rows, and `job.json`, all in `folder`."""
    learned, measured = _split(rows)
    train, held_out = folder / "train.jsonl", folder / "held_out.jsonl"
    for path, some in ((train, learned), (held_out, measured)):
        path.write_text("".join(json.dumps({"messages": turns}) + "\n" for turns in some), encoding="utf-8")
    model = folder / f"{shape}-small"
    _write_model(model, MODEL_TYPES[shape], [turn["content"] for turns in learned for turn in turns])
    job = Job(str(model), str(train), str(held_out), method, epochs)
    (folder / "job.json").write_text(json.dumps(asdict(job)), encoding="utf-8")
    return job


def read_job(folder: Path) -> Job:
    return Job(**json.loads((folder / "job.json").read_text("utf-8")))


def _split(count: int) -> tuple[list[Any], list[Any]]:
    rows = [
        [{"role": "user", "content": f"What does {name} do in Python?"}, {"role": "assistant", "content": text}]
        for name, text in sorted(dict(_documented()).items())
    ]
    random.Random(SEED).shuffle(rows)
    if len(rows) < count:
        raise SystemExit(f"this Python documents {len(rows)} things of its library; ask for at most so many rows")
    kept_back = max(16, round(HELD_OUT_SHARE * count))
    return rows[kept_back:count], rows[:kept_back]


def _documented() -> Iterator[tuple[str, str]]:
    """Names and documentation of what the standard library's modules hold, each text once."""
    seen: set[str] = set()
    for module in _modules():
        for name, value in [*vars(module).items()]:
            of_class = vars(value).items() if inspect.isclass(value) else ()
            for full, one in [(name, value), *((f"{name}.{inner}", method) for inner, method in of_class)]:
                text = inspect.getdoc(one) if callable(one) else None
                if text and not name.startswith("_") and len(text) in ANSWER_CHARACTERS and text not in seen:
                    seen.add(text)
                    yield f"{module.__name__}.{full}", text


def _modules() -> Iterator[Any]:
    warnings.simplefilter("ignore")
    names = sorted(sys.stdlib_module_names - NOT_IMPORTED)
    inside = (
        f"{name}.{one.name}" for name in ("asyncio", "email", "http", "logging", "xml.dom") for one in _inside(name)
    )
    for name in [one for one in names if not one.startswith("_")] + [*inside]:
        if not name.endswith("__main__"):
            try:
                yield importlib.import_module(name)
            except ImportError:
                continue


def _inside(package: str) -> Iterator[Any]:
    return pkgutil.iter_modules(importlib.import_module(package).__path__)


def _write_model(folder: Path, kind: str, texts: list[str]) -> None:
    import torch
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY, special_tokens=SPECIAL_TOKENS, initial_alphabet=alphabet, show_progress=False
    )
    tokenizer.train_from_iterator(texts, trainer)
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, eos_token="<|im_end|>", pad_token="<|endoftext|>", chat_template=CHATML
    )
    fast.save_pretrained(folder)
    torch.manual_seed(SEED)
    config = AutoConfig.for_model(kind, vocab_size=VOCABULARY, **SHAPE)
    AutoModelForCausalLM.from_config(config).save_pretrained(folder)
